"""An alert of the book as people read it: texts in both languages, names, values as they are shown, events.

The same for everybody who may see the alert: also who answered it, so that a family knows that somebody is on it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy.orm import Session

from analytics.precision import wakes
from analytics.texts import Described, FarmNames, ShownSignal, describe, farm_names
from api.shapes import AlertEventOut, AlertOut, Child, FeedbackOut, NamedPlace, Names, Signal
from collectors.registry import alerts, book, people
from collectors.registry.schema import Alert, AlertEvent
from collectors.registry.schema.book import RuleStanding
from collectors.registry.viewer import Service
from makiba.rule import Rule

# The caller has found the alert for its viewer; what the alert names may then be told.
_SERVICE: Final = Service("api")
_PERSON: Final = "person:"


def views(session: Session, rules: Mapping[str, Rule], rows: Iterable[Alert]) -> list[AlertOut]:
    """`rows`, found for a viewer who may see them, in the same order."""
    rows = list(rows)
    said = _said(session, rules, rows)
    names: dict[str, FarmNames] = {}
    told = []
    for row in rows:
        if row.site_id not in names:
            names[row.site_id] = farm_names(session, _SERVICE, row.site_id)
        told.append(_view(session, row, describe(row, rules.get(row.rule), names[row.site_id]), said))
    return told


def view(session: Session, rules: Mapping[str, Rule], row: Alert) -> AlertOut:
    """`row`, found for a viewer who may see it."""
    return views(session, rules, [row])[0]


@dataclass(frozen=True, slots=True)
class _Said:
    """What people did with some alerts, by id; where their rules stand, by farm and rule."""

    assignees: Mapping[str, int]
    labels: Mapping[str, Mapping[str, int]]
    comments: Mapping[str, int]
    standings: Mapping[tuple[str, str], RuleStanding]
    rules: Mapping[str, Rule]


def _said(session: Session, rules: Mapping[str, Rule], rows: Collection[Alert]) -> _Said:
    ids = {row.id for row in rows}
    return _Said(
        book.assignees(session, _SERVICE, ids),
        book.label_counts(session, _SERVICE, ids),
        book.comment_counts(session, _SERVICE, ids),
        book.standings(session, _SERVICE, {row.site_id for row in rows}),
        rules,
    )


def _view(session: Session, row: Alert, words: Described, said: _Said) -> AlertOut:
    events = alerts.events_of(session, _SERVICE, row.id)
    standing = said.standings.get((row.site_id, row.rule))
    labels = said.labels.get(row.id, {})
    told: dict[str, Any] = {
        "id": row.id,
        "rule": row.rule,
        "severity": row.severity,
        "state": _state(row),
        "site": row.site_id,
        "subject": row.subject,
        "subject_name": _names(words.subject_name),
        "place": _place(row, words),
        "title": _names(words.title),
        "message": _names(words.message),
        "action": _names(words.action),
        "note": _names(words.note) if words.note else None,
        "signals": [_signal(s) for s in words.signals],
        "onset_ms": row.onset_ms,
        "opened_ms": row.opened_ms,
        "ended_ms": row.ended_ms,
        "over_ms": row.over_ms,
        "acknowledged_ms": row.acknowledged_ms,
        "acknowledged_by": _name_of(session, row.acknowledged_by),
        "life_safety": said.rules[row.rule].life_safety if row.rule in said.rules else False,
        "snoozed_until_ms": row.snoozed_until_ms,
        "snoozed_by": _last_who(session, events, "snoozed") if row.snoozed_until_ms is not None else None,
        "assigned_to": _name_of(session, said.assignees.get(row.id)),
        "feedback": FeedbackOut(
            useful=labels.get("useful", 0), false=labels.get("false", 0), knew=labels.get("knew", 0)
        ),
        "comments": said.comments.get(row.id, 0),
        "in_morning_list": not wakes(row.severity, is_demoted=standing is not None and standing.is_demoted),
        "children": [Child(subject=subject, name=_names(name)) for subject, name in words.children],
        "events": [
            AlertEventOut(
                id=step, at_ms=e.at_ms, kind=e.kind, who=person_name(session, e.who), detail=_detail(session, e)
            )
            for step, e in enumerate(events, 1)
        ],
    }
    return AlertOut.model_validate(told)


def _state(row: Alert) -> str:
    if row.ended_ms is not None:
        return "ended"
    if row.snoozed_until_ms is not None:
        return "snoozed"
    return "open" if row.acknowledged_ms is None else "acknowledged"


def _last_who(session: Session, events: Sequence[AlertEvent], kind: str) -> str | None:
    return next((person_name(session, e.who) for e in reversed(events) if e.kind == kind), None)


def _detail(session: Session, event: AlertEvent) -> dict[str, Any]:
    """Why, as it was written down; to whom, by name and not by number."""
    if event.kind != "assigned":
        return event.detail
    return {**event.detail, "to": person_name(session, str(event.detail.get("to") or ""))}


def _place(row: Alert, words: Described) -> NamedPlace | None:
    if row.place_id is None or words.place_name is None:
        return None
    return NamedPlace(id=row.place_id, name=_names(words.place_name))


def _signal(signal: ShownSignal) -> Signal:
    ja, en = signal.shown["ja"], signal.shown["en"]
    return Signal(
        quantity=signal.quantity,
        name=_names(signal.name),
        shown=ja if ja == en else f"{ja} / {en}",
        shown_names=Names(ja=ja, en=en),
    )


def person_name(session: Session, who: str) -> str | None:
    """The name of `person:3` or `person:3/…` (their program); None for a part of Makiba and a person who is gone."""
    number = who.removeprefix(_PERSON).partition("/")[0]
    return _name_of(session, int(number)) if who.startswith(_PERSON) and number.isdecimal() else None


def _name_of(session: Session, person_id: int | None) -> str | None:
    person = people.get_person(session, _SERVICE, person_id) if person_id is not None else None
    return person.name if person else None


def _names(names: Mapping[str, str]) -> Names:
    return Names(ja=names["ja"], en=names["en"])
