"""Carries alerts to people: who is next of those that are due, and the rows of the outbox for them.

Each alert is one transaction under the lock of its `escalation`, which comes before the locks of its messages
everywhere; what is written has the same ids however often it is planned. The decisions are `escalate` and `plan`.
"""

from __future__ import annotations

import logging

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from analytics.notify import escalate, plan
from analytics.notify.begin import ME, is_nobodys
from analytics.notify.escalate import Carried, spell_who
from analytics.notify.plan import telling_id
from analytics.notify.tell import tell, tell_administrators
from analytics.notify.who import Ways, candidates, order_of
from collectors.registry import outbox
from collectors.registry.addresses import Reachable
from collectors.registry.outbox import NewRow
from collectors.registry.schema import Alert
from collectors.registry.schema.book import AlertAssignee
from collectors.registry.schema.notify import Escalation

log = logging.getLogger(__name__)


def is_due(session: Session, now_ms: int) -> bool:
    """Whether somebody is to be asked now; needs no writer's session."""
    query = select(func.count()).select_from(Escalation).where(Escalation.next_ms <= now_ms)
    return bool(session.scalar(query))


def carry_one(session: Session, ways: Ways, now_ms: int) -> bool:
    """Carries the alert that waits longest one round on; False: none is due."""
    query = select(Escalation).where(Escalation.next_ms <= now_ms)
    row = session.scalar(query.order_by(Escalation.next_ms).limit(1).with_for_update(skip_locked=True))
    if row is None:
        return False
    alert = session.get_one(Alert, row.alert_id)
    if not is_nobodys(alert):
        row.next_ms, row.why = None, "answered"
        return True
    carry(session, ways, row, alert, now_ms)
    return True


def carry(session: Session, ways: Ways, row: Escalation, alert: Alert, now_ms: int) -> None:
    """One round of the locked `row`."""
    carried = carried_of(row)
    order = order_of(session, alert.site_id, now_ms, _assignee(session, alert))
    found, waiting = candidates(session, ways, alert, order, now_ms)
    chosen, holds = escalate.choose(carried, found)
    if holds is not None and waiting[spell_who(holds.who)].why == plan.MANY:
        chosen = None  # nobody else is flooded instead
    if holds is not None and (one := order.find(spell_who(holds.who))) is not None:
        _hold(session, row, alert, one, waiting[spell_who(holds.who)], now_ms)
    if chosen is not None and (one := order.find(spell_who(chosen.who))) is not None:
        about = _about(row, alert, one)
        new = NewRow(
            id="", kind="alert", telling=telling_id(*about), channel="", severity=alert.severity, due_ms=now_ms,
            site_id=alert.site_id, alert_id=alert.id, event=row.event, content={"round": row.round},
            night=plan.night_of(now_ms, order.zone),
        )  # fmt: skip
        tell(session, ways, one, new, now_ms)
        outbox.withdraw_held(session, ME, alert.id, one.person_id, one.contact_id, "told now", now_ms)
    elif not found:
        log.warning("%s: nobody can be reached about %s", alert.site_id, alert.rule)
        tell_administrators(
            session, ways, "unreachable", f"{alert.id}|{row.event}", "warning", {"site": alert.site_id}, now_ms
        )
    then, next_ms = escalate.after(carried, chosen, now_ms)
    row.round, row.since_ms, row.next_ms = then.round, then.since_ms, next_ms
    row.asked = {"times": dict(then.asked), "last": then.last}
    row.severity = alert.severity
    if next_ms is None:
        row.why = "said as often as it is"


def carried_of(row: Escalation) -> Carried:
    """How far it was carried."""
    kept = row.asked or {}
    return Carried(row.severity, row.since_ms, row.round, dict(kept.get("times", {})), kept.get("last"))


def ask_next(session: Session, ways: Ways, row: Escalation, failed: str, number: int, now_ms: int) -> bool:
    """Asks somebody else at once where `failed`, asked in round `number` of the locked `row`, cannot be reached."""
    alert = session.get(Alert, row.alert_id)
    if alert is None or row.why in ("answered",) or not is_nobodys(alert):
        return False
    found, _ = candidates(session, ways, alert, order_of(session, alert.site_id, now_ms), now_ms)
    if not escalate.after_failure(carried_of(row), failed, number, found):
        return False
    row.round, row.next_ms = number, now_ms
    return True


def _hold(session: Session, row: Escalation, alert: Alert, one: Reachable, wait: plan.Wait, now_ms: int) -> None:
    if alert.severity == "info" and not one.wishes.morning_list:
        return
    telling = telling_id("held", *_about(row, alert, one))
    held = NewRow(
        id=telling, kind="alert", telling=telling, channel="", severity=alert.severity, due_ms=wait.until_ms,
        person_id=one.person_id, contact_id=one.contact_id, site_id=alert.site_id, alert_id=alert.id, event=row.event,
        state="held", reason=wait.why, content={"round": row.round, "who": spell_who(one.who)},
    )  # fmt: skip
    outbox.write(session, ME, [held], now_ms)


def _about(row: Escalation, alert: Alert, one: Reachable) -> tuple[object, ...]:
    return "alert", alert.id, row.event, row.round, spell_who(one.who)


def _assignee(session: Session, alert: Alert) -> int | None:
    return session.scalar(select(AlertAssignee.person_id).where(AlertAssignee.alert_id == alert.id))
