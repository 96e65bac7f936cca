"""What somebody answers to a message that reached them: a button in LINE, a 1 on the telephone.

Guarantees: it is done with the rights of that person in this moment and through the alert book, so that it stands
there like an answer on the pages; a second time it changes nothing; an alert that they may not see (any more) is
answered like one that never was. Two things a button does not do, since it was pressed on an older message: it does
not answer for an alert that got worse or came again since, and it does not reset one that is over, which is the word
that all is safe.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from analytics import alert_book
from analytics.book_states import Refused
from analytics.notify.begin import ME
from collectors.registry import outbox, people
from collectors.registry.schema import Alert, AlertEvent, PersonRow
from collectors.registry.schema.notify import Outbox
from collectors.registry.viewer import NotAllowed, Person
from makiba.rule import Rule

Action = Literal["acknowledge", "going", "snooze"]
Kind = Literal["done", "already", "ended", "over", "stale", "not-now", "not-you", "nothing"]
"""`already`: somebody else has it. `over`: it waits for a reset. `stale`: the message is of before it got worse.
`not-now`: it cannot be put off. `not-you`: they see it and may not answer. `nothing`: none that they may see."""

ANEW: Final = ("worsened", "again", "reopened")
SNOOZE_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of it. `who`: who has it, where that is somebody else."""

    kind: Kind
    who: str = ""
    alert: Alert | None = None


def answer(
    session: Session,
    person: Person,
    action: Action,
    alert_id: str,
    message_id: str,
    rules: Mapping[str, Rule],
    now_ms: int,
) -> Answered:
    """Does what `person` answered to the message `message_id`, and notes that they have seen it."""
    try:
        row = alert_book.found(session, person, alert_id, "acknowledge")
    except NotAllowed:
        return Answered("not-you")
    if row is None:
        return Answered("nothing")
    told = _act(session, person, action, row, message_id, rules, now_ms)
    sent = session.get(Outbox, message_id)
    if sent is not None and sent.person_id == person.id:
        outbox.note_receipt(session, ME, "seen", now_ms, outbox_id=message_id)
    return told


def _act(
    session: Session, person: Person, action: Action, row: Alert, message_id: str, rules: Mapping[str, Rule],
    now_ms: int,
) -> Answered:  # fmt: skip
    if row.ended_ms is not None:
        return Answered("ended", alert=row)
    if row.over_ms is not None:
        return Answered("over", alert=row)
    if _is_of_before(session, row, message_id):
        return Answered("stale", alert=row)
    if action == "snooze":
        return _snooze(session, person, row, rules, now_ms)
    had = row.acknowledged_by
    alert_book.acknowledge(session, person, row.id, now_ms)
    if action == "going":
        alert_book.assign(session, person, row.id, person, now_ms)
    elif had is not None and had != person.id:
        return Answered("already", _name(session, had), row)
    return Answered("done", alert=row)


def _snooze(session: Session, person: Person, row: Alert, rules: Mapping[str, Rule], now_ms: int) -> Answered:
    if row.acknowledged_by is not None and row.acknowledged_by != person.id:
        return Answered("already", _name(session, row.acknowledged_by), row)
    if row.snoozed_until_ms is not None:
        return Answered("done", alert=row)
    rule = rules.get(row.rule)
    try:
        alert_book.snooze(
            session, person, row.id, now_ms + SNOOZE_MS, now_ms, is_life_safety=rule is not None and rule.life_safety
        )
    except Refused:
        return Answered("not-now", alert=row)
    return Answered("done", alert=row)


def _is_of_before(session: Session, row: Alert, message_id: str) -> bool:
    """Whether the alert got worse, or came again, after what the message told of."""
    told = session.scalar(select(Outbox.event).where(Outbox.id == message_id, Outbox.alert_id == row.id))
    if told is None:
        return False
    newest = select(func.max(AlertEvent.id)).where(AlertEvent.alert_id == row.id, AlertEvent.kind.in_(ANEW))
    return (session.scalar(newest) or 0) > told


def _name(session: Session, person_id: int) -> str:
    return session.scalar(select(PersonRow.name).where(PersonRow.id == person_id)) or ""


def person_of(session: Session, message_id: str, now_ms: int) -> tuple[Person, str] | None:
    """Who was told by this message, with their rights now, and of which alert; None: nobody of whom that holds."""
    row = session.get(Outbox, message_id)
    if row is None or row.person_id is None or row.alert_id is None:
        return None
    person = people.viewer_of(session, ME, row.person_id, now_ms)
    return None if person is None else (person, row.alert_id)
