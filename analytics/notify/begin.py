"""What an event of the alert book means for telling people: in the transaction of `alert_book.note`, and no more.

Guarantees: an event that calls for people and the row that says so (`escalation`) are one commit; one that answers,
puts off or ends withdraws what waits in its own. Nothing is read here but the row itself: the book is locked
meanwhile, and an alert must not be lost because somebody's wishes cannot be read. Planning is `carry`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy.orm import Session

from collectors.registry import outbox
from collectors.registry.schema import Alert
from collectors.registry.schema.notify import Escalation
from collectors.registry.viewer import Service

ME: Final = Service("analytics")

CALLS: Final = frozenset({"opened", "reopened", "worsened", "again", "woke", "restored"})
ANSWERS: Final = frozenset({"acknowledged", "snoozed", "ended", "reset", "over", "demoted"})

CORRELATED: Final = frozenset({"pow.lost", "gateway.silent"})
"""Rules whose alert may be one of many with one cause: they wait, so that an incident can take them in."""
CORRELATED_MS: Final = 15_000


def take_note(session: Session, row: Alert, event: int, kind: str, detail: Mapping[str, Any], at_ms: int) -> None:
    """The event number `event` of the alert `row`, just written. What a backlog told of (`late`) calls for nobody."""
    if kind in ANSWERS:
        if kind != "demoted" or row.severity != "critical":
            outbox.stop(session, ME, [row.id], kind, at_ms)
    elif kind in CALLS and not detail.get("late") and is_nobodys(row):
        outbox.withdraw(session, ME, [row.id], f"{kind}: it begins anew", at_ms)
        carried = session.get(Escalation, row.id, with_for_update=True, populate_existing=True)
        if carried is None:
            carried = Escalation(alert_id=row.id, site_id=row.site_id)
            session.add(carried)
        carried.event, carried.severity, carried.since_ms, carried.why = event, row.severity, at_ms, kind
        carried.next_ms = at_ms + (CORRELATED_MS if row.rule in CORRELATED else 0)
        carried.round, carried.asked = 0, {}
        session.flush()


def is_nobodys(row: Alert) -> bool:
    """Whether somebody has to be told: it goes on, and nobody has answered, put it off or is to reset it."""
    answered = (row.ended_ms, row.acknowledged_ms, row.snoozed_until_ms, row.over_ms)
    return all(moment is None for moment in answered)
