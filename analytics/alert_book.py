"""The alert book: the one place where an alert is opened, worsens, is answered, put off and ends.

Guarantees (DESIGN.md says how): one problem is one alert, however often it is judged; each step is an event in the
same transaction as the change it tells of; an alert that got worse is nobody's until somebody acknowledges it again.
One whose rule says `reset: by-hand` is over when its values are well, and ends when a person says so after that.
Events are numbered in the order in which they are committed, whoever writes (`in_order`), so that a reader who
remembers the last number has seen all before it. What an event makes of an alert is said by `book_states`; here is
the database. Reading is `collectors.registry.alerts`; comments and labels are `alert_talk`. Every function works in
the session of the caller, who commits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Select, select, text
from sqlalchemy.orm import Session

from analytics.book_states import Acknowledge, AlertState, Assign, Event, Label, Refused, Snooze, Step, Wake, step
from analytics.decision import Decision
from analytics.notify.begin import take_note
from collectors.registry.schema import Alert, AlertEvent
from collectors.registry.schema.book import AlertAssignee
from collectors.registry.viewer import Action, Person, Service, Viewer, may_do, require, spell, visible_sites

NOBODY: Final = "nobody of this farm"
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
    in_order(session)
    row = _open_row(session, decision)
    if row is None and decision.kind == "open":
        row = session.get(Alert, _id(decision))
    if row is None:
        alert, steps = step(None, decision, now_ms)
        if alert is None:
            return Written(_id(decision), decision.onset_ms, False)
        row = _new_row(decision, alert)
        session.add(row)
        _put(row, alert)
        session.flush()
        note(session, viewer, row, steps, now_ms)
    else:
        steps = take(session, viewer, row, decision, now_ms)
    return Written(row.id, row.onset_ms, bool(steps))


def acknowledge(session: Session, viewer: Person, alert_id: str, now_ms: int) -> Alert | None:
    """Notes that `viewer` takes care of the alert; None: there is none for them. `NotAllowed` when they only look.

    One that is acknowledged or has ended already stays as it is: the first who answered has it. One that is over and
    waits for a person ends by it.
    """
    if not isinstance(viewer, Person):
        raise TypeError("only a person acknowledges an alert")
    row = found(session, viewer, alert_id, "acknowledge")
    if row is not None:
        take(session, viewer, row, Acknowledge(viewer.id), now_ms)
    return row


def snooze(
    session: Session, viewer: Person, alert_id: str, until_ms: int, now_ms: int, *, is_life_safety: bool
) -> Alert | None:
    """Puts the alert off until `until_ms`; None and `NotAllowed` as for `acknowledge`. `Refused`."""
    row = found(session, viewer, alert_id, "acknowledge")
    if row is not None:
        take(session, viewer, row, Snooze(until_ms, is_life_safety), now_ms)
    return row


def assign(session: Session, viewer: Person, alert_id: str, assignee: Person | None, now_ms: int) -> Alert | None:
    """Says whose the alert is to do; None and `NotAllowed` as for `acknowledge`. `Refused`.

    It has to be somebody who might acknowledge it.
    """
    row = found(session, viewer, alert_id, "acknowledge")
    if row is None:
        return None
    if assignee is not None and not may_do(assignee, row.site_id, "acknowledge"):
        raise Refused(NOBODY, "person")
    kept = session.get(AlertAssignee, row.id)
    before = state_of(row, kept.person_id if kept else None)
    alert, steps = step(before, Assign(assignee.id if assignee else None), now_ms)
    if not steps:
        return row
    assert alert is not None
    if kept is not None:
        session.delete(kept)
        session.flush()
    if alert.assigned_to is not None:
        session.add(AlertAssignee(alert_id=row.id, site_id=row.site_id, person_id=alert.assigned_to))
    note(session, viewer, row, [Step(s.kind, {"to": spell(assignee) if assignee else None}) for s in steps], now_ms)
    return row


def is_to_wake(session: Session, now_ms: int) -> bool:
    """Whether an alert that was put off is due; cheap, and needs no writer's session."""
    return session.scalar(select(_due(now_ms).exists())) or False


def wake(session: Session, viewer: Service, now_ms: int) -> int:
    """Opens again what was put off until now; how many. Any number of workers may do so: each wakes once."""
    in_order(session)
    rows = session.scalars(_due(now_ms).order_by(Alert.snoozed_until_ms, Alert.id).with_for_update()).all()
    return sum(bool(take(session, viewer, row, Wake(), now_ms)) for row in rows)


# ------------------------------------------------------------------------------------- for `alert_talk` too


def in_order(session: Session) -> None:
    """From here to the end of the transaction nobody else writes into the book.

    PostgreSQL gives numbers when rows are made, and shows them when they are committed: without this, a lower number
    could appear after a higher one. It comes before any row is locked, so that nobody waits crosswise. SQLite has one
    writer at a time anyway.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _BOOK})


def found(session: Session, viewer: Viewer, alert_id: str, action: Action) -> Alert | None:
    """The alert, locked, for a viewer who does `action`; None: there is none for them. `NotAllowed`."""
    in_order(session)
    query = select(Alert).where(Alert.id == alert_id)
    sites = visible_sites(viewer, "alerts")
    if sites is not None:
        query = query.where(Alert.site_id.in_(sorted(sites)))
    row = session.scalar(query.with_for_update())
    if row is not None:
        require(viewer, row.site_id, action)
    return row


def take(session: Session, viewer: Viewer, row: Alert, event: Event, now_ms: int) -> tuple[Step, ...]:
    """Makes of `row` what `event` makes of it, and writes its steps down."""
    alert, steps = step(state_of(row), event, now_ms)
    assert alert is not None
    _put(row, alert)
    note(session, viewer, row, steps, now_ms)
    return steps


def note(session: Session, viewer: Viewer, row: Alert, steps: Iterable[Step], at_ms: int) -> None:
    """Writes `steps` down: the one place where an event comes to be, and with it the duty to tell people."""
    for one in steps:
        event = AlertEvent(
            alert_id=row.id,
            site_id=row.site_id,
            at_ms=at_ms,
            kind=one.kind,
            who=spell(viewer),
            detail=dict(one.detail),
        )
        session.add(event)
        session.flush()
        take_note(session, row, event.id, one.kind, one.detail, at_ms)


# ------------------------------------------------------------------------------------- rows


def _open_row(session: Session, decision: Decision) -> Alert | None:
    query = select(Alert).where(
        Alert.site_id == decision.site,
        Alert.rule == decision.rule,
        Alert.subject == decision.subject,
        Alert.ended_ms.is_(None),
    )
    return session.scalar(query.with_for_update())


def _due(now_ms: int) -> Select[Alert]:
    return select(Alert).where(Alert.snoozed_until_ms <= now_ms, Alert.ended_ms.is_(None))


def _new_row(decision: Decision, alert: AlertState) -> Alert:
    return Alert(
        id=_id(decision),
        site_id=decision.site,
        rule=decision.rule,
        subject=decision.subject,
        onset_ms=alert.onset_ms,
        opened_ms=alert.opened_ms,
    )


def _id(decision: Decision) -> str:
    return alert_id(decision.rule, decision.site, decision.subject, decision.onset_ms)


def state_of(row: Alert, assigned_to: int | None = None, labels: Mapping[int, Label] | None = None) -> AlertState:
    """The row as the states know it; what stands in other tables is given where an event is about it."""
    return AlertState(
        severity=row.severity,
        onset_ms=row.onset_ms,
        opened_ms=row.opened_ms,
        seen_ms=row.seen_ms,
        place=row.place_id,
        signals=row.signals or {},
        children=tuple(str(child["subject"]) for child in row.children or ()),
        ended_ms=row.ended_ms,
        over_ms=row.over_ms,
        acknowledged_ms=row.acknowledged_ms,
        acknowledged_by=row.acknowledged_by,
        snoozed_until_ms=row.snoozed_until_ms,
        assigned_to=assigned_to,
        labels=labels or {},
    )


def _put(row: Alert, alert: AlertState) -> None:
    row.severity, row.seen_ms, row.place_id = alert.severity, alert.seen_ms, alert.place
    row.signals = dict(alert.signals)
    row.children = [{"subject": subject} for subject in alert.children]
    row.ended_ms, row.over_ms = alert.ended_ms, alert.over_ms
    row.acknowledged_ms, row.acknowledged_by = alert.acknowledged_ms, alert.acknowledged_by
    row.snoozed_until_ms = alert.snoozed_until_ms
