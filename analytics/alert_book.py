"""The alert book: the one place where an alert is opened, worsens, is acknowledged and ends.

Guarantees (DESIGN.md says how): one problem is one alert, however often it is judged; each step is an event in the
same transaction as the change it tells of; an alert that got worse is nobody's until somebody acknowledges it again.
One whose rule says `reset: by-hand` is over when its values are well, and ends when a person says so after that.
Events are numbered in the order in which they are committed, whoever writes (`_in_order`), so that a reader who
remembers the last number has seen all before it. Reading is `collectors.registry.alerts`. Every function works in the
session of the caller, who commits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, assert_never

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from analytics.decision import Decision
from collectors.registry.schema import Alert, AlertEvent
from collectors.registry.viewer import Person, Service, Viewer, require, spell, visible_sites
from makiba.rule import SEVERITIES

_BOOK: Final = 0x616C65727473  # 'alerts': the key of PostgreSQL's advisory lock


@dataclass(frozen=True, slots=True)
class Written:
    """What stands in the book after a decision: the alert's id and onset. `changed`: an event was added."""

    alert_id: str
    onset_ms: int
    changed: bool


def alert_id(rule: str, site: str, subject: str, onset_ms: int) -> str:
    """The id of an alert: 32 hex digits, the same whoever judges it."""
    return hashlib.sha256(f"{rule}|{site}|{subject}|{onset_ms}".encode()).hexdigest()[:32]


def write(session: Session, viewer: Service, decision: Decision, now_ms: int) -> Written:
    """Writes `decision`; writing it again changes nothing.

    An open alert of the same rule and subject is this problem, whatever its onset: the answer has its onset then.
    `IntegrityError` when another worker opened it at the same moment: roll back, decide again.
    """
    _in_order(session)
    row = _open_row(session, decision)
    match decision.kind:
        case "open":
            return _open(session, viewer, row, decision, now_ms)
        case "worsen" | "seen":
            changed = row is not None and _update(session, viewer, row, decision, now_ms)
        case "end":
            changed = row is not None and _end(session, viewer, row, decision, now_ms)
        case _:
            assert_never(decision.kind)
    if row is None:
        return Written(_id(decision), decision.onset_ms, False)
    return Written(row.id, row.onset_ms, changed)


def acknowledge(session: Session, viewer: Person, alert_id: str, now_ms: int) -> Alert | None:
    """Notes that `viewer` takes care of the alert; None: there is none for them. `NotAllowed` when they only look.

    One that is acknowledged or has ended already stays as it is: the first who answered has it. One that is over and
    waits for a person ends by it.
    """
    if not isinstance(viewer, Person):
        raise TypeError("only a person acknowledges an alert")
    _in_order(session)
    theirs = Alert.site_id.in_(sorted(visible_sites(viewer, "alerts") or ()))
    row = session.scalar(select(Alert).where(Alert.id == alert_id, theirs).with_for_update())
    if row is None:
        return None
    require(viewer, row.site_id, "acknowledge")
    if row.acknowledged_ms is None and row.ended_ms is None:
        row.acknowledged_ms, row.acknowledged_by = now_ms, viewer.id
        if row.over_ms is None:
            _note(session, viewer, row, "acknowledged", now_ms)
        else:
            row.ended_ms = max(now_ms, row.onset_ms)
            _note(session, viewer, row, "reset", now_ms, {"over_ms": row.over_ms})
    return row


def _in_order(session: Session) -> None:
    """From here to the end of the transaction nobody else writes into the book.

    PostgreSQL gives numbers when rows are made, and shows them when they are committed: without this, a lower number
    could appear after a higher one. It comes before any row is locked, so that nobody waits crosswise. SQLite has one
    writer at a time anyway.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _BOOK})


def _open_row(session: Session, decision: Decision) -> Alert | None:
    query = select(Alert).where(
        Alert.site_id == decision.site,
        Alert.rule == decision.rule,
        Alert.subject == decision.subject,
        Alert.ended_ms.is_(None),
    )
    return session.scalar(query.with_for_update())


def _open(session: Session, viewer: Service, row: Alert | None, decision: Decision, now_ms: int) -> Written:
    if row is not None:
        return Written(row.id, row.onset_ms, _update(session, viewer, row, decision, now_ms))
    row = session.get(Alert, _id(decision))
    if row is not None:  # it ended and is there again since the same moment: what watched it was away
        row.ended_ms = row.over_ms = row.acknowledged_ms = row.acknowledged_by = None
        row.severity = decision.severity
        kind = "reopened"
    else:
        row = Alert(
            id=_id(decision),
            site_id=decision.site,
            rule=decision.rule,
            subject=decision.subject,
            severity=decision.severity,
            onset_ms=decision.onset_ms,
            opened_ms=now_ms,
        )
        session.add(row)
        kind = "opened"
    _refresh(row, decision, now_ms)
    session.flush()
    _note(session, viewer, row, kind, now_ms, {"severity": row.severity, "signals": dict(row.signals)})
    return Written(row.id, row.onset_ms, True)


def _update(session: Session, viewer: Service, row: Alert, decision: Decision, now_ms: int) -> bool:
    if row.over_ms is not None and decision.kind == "seen":
        return False  # of a judge that does not know yet that it is over
    _refresh(row, decision, now_ms)
    if row.over_ms is not None:
        row.over_ms = row.acknowledged_ms = row.acknowledged_by = None
        row.severity = SEVERITIES[max(SEVERITIES.index(decision.severity), _rank(row.severity))]
        _note(session, viewer, row, "again", now_ms, {"severity": row.severity, "signals": dict(row.signals)})
        return True
    if SEVERITIES.index(decision.severity) <= _rank(row.severity):
        return False
    detail = {"from": row.severity, "to": decision.severity, "signals": dict(row.signals)}
    row.severity = decision.severity
    row.acknowledged_ms = row.acknowledged_by = None
    _note(session, viewer, row, "worsened", now_ms, detail)
    return True


def _end(session: Session, viewer: Service, row: Alert, decision: Decision, now_ms: int) -> bool:
    reason = {"reason": decision.reason} if decision.reason else {}
    at_ms = max(decision.at_ms, row.onset_ms)
    if not decision.by_hand:
        row.ended_ms = at_ms
        _note(session, viewer, row, "ended", now_ms, reason)
        return True
    if row.over_ms is not None:
        return False
    # Whoever took care of it said so before it was over; that it is safe now has to be said again.
    row.over_ms = at_ms
    row.acknowledged_ms = row.acknowledged_by = None
    _note(session, viewer, row, "over", now_ms, {"over_ms": at_ms, **reason})
    return True


def _refresh(row: Alert, decision: Decision, now_ms: int) -> None:
    row.seen_ms, row.place_id = now_ms, decision.place
    row.children = [{"subject": subject} for subject in decision.children]
    row.signals = _merged(row.signals or {}, decision.signals)


def _merged(old: Mapping[str, Any], new: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Newest and worst value of each signal since the alert opened; one that is unknown now keeps its last."""
    merged = dict(old)
    for name, signal in new.items():
        entry = dict(signal)
        pick = {"above": max, "below": min}.get(str(entry.get("toward")))
        if pick is not None:
            entry["worst"] = pick(entry["value"], old.get(name, entry).get("worst", entry["value"]))
        merged[name] = entry
    return merged


def _rank(severity: str) -> int:
    return next((i for i, s in enumerate(SEVERITIES) if s == severity), 0)


def _id(decision: Decision) -> str:
    return alert_id(decision.rule, decision.site, decision.subject, decision.onset_ms)


def _note(
    session: Session, viewer: Viewer, row: Alert, kind: str, at_ms: int, detail: Mapping[str, Any] | None = None
) -> None:
    session.add(
        AlertEvent(
            alert_id=row.id,
            site_id=row.site_id,
            at_ms=at_ms,
            kind=kind,
            who=spell(viewer),
            detail=dict(detail or {}),
        )
    )
    session.flush()
