"""Takes one message, hands it to its channel, and writes down what became of it.

Guarantees: a row is taken immediately before it is sent, and only while somebody needs it; between taking and
settling the process may be killed anywhere, and the row is taken again once its lease is over, with the same id. What
failed for good is taken over by the next channel of that person, and when there is none, by the next person.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from sqlalchemy.orm import Session

from analytics.notify import plan, tell
from analytics.notify.begin import ME
from analytics.notify.carry import ask_next
from analytics.notify.plan import Reach
from analytics.notify.port import TIMEOUT_S, Message, Sent
from analytics.notify.render import Unneeded, plain, render
from analytics.notify.who import Ways, is_kept, month_of, reaches_of, who_of
from collectors.registry import Registry, RegistryUnavailable, addresses, outbox
from collectors.registry.addresses import Reachable
from collectors.registry.outbox import NewRow
from collectors.registry.schema.notify import Escalation, Outbox

log = logging.getLogger(__name__)

LEASE_MS: Final = int(TIMEOUT_S * 1000) + 10_000
BACK_OFF_S: Final = (1, 3, 10, 30, 60, 120, 300)
DEAD_AFTER: Final = 2
"""So many tries without an answer, and the next channel is taken as well."""
LEFT_PERCENT: Final = (50, 20, 5, 0)
"""At what remains of a counted month administrators are told."""
COUNTED: Final = "counted"

Clock = Callable[[], int]


def send_one(
    registry: Registry, ways: Ways, channel: str, lease: str, clock: Clock, lease_ms: int = LEASE_MS
) -> bool:
    """Sends the most urgent message of `channel`; False: there is none."""
    with registry.write() as session:
        row = outbox.take(session, ME, channel, lease, clock(), lease_ms)
        taken = row.id if row is not None else None
    if taken is None:
        return False
    message = prepared(registry, ways, taken, lease, clock)
    if message is not None:
        settle(registry, ways, taken, ways.channels[channel].send(message), clock)
    return True


def settle(registry: Registry, ways: Ways, outbox_id: str, sent: Sent, clock: Clock) -> None:
    """Writes down what became of a message, and what follows from it; harmless if done twice."""
    with registry.write() as session:
        row, carried = _locked(session, outbox_id)
        if row is None:
            return
        now_ms = clock()
        if sent.kind in ("accepted", "duplicate"):
            why = "it had it already" if sent.kind == "duplicate" else sent.detail
            outbox.become(session, ME, row, "accepted", now_ms, why, sent.provider_id)
        elif sent.kind == "retry":
            after_s = BACK_OFF_S[min(row.attempts, len(BACK_OFF_S)) - 1]
            after_ms = int(max(after_s, min(sent.retry_after_s or 0, 3600)) * 1000)
            outbox.again(session, ME, row, now_ms + after_ms, sent.detail or "no answer", now_ms)
            if row.attempts >= DEAD_AFTER and row.state == "waiting":
                _take_over(session, ways, row, carried, now_ms)
        elif row.state == "waiting":
            if sent.kind == "gone" and row.address_id:
                addresses.note_gone(session, ME, row.address_id, sent.detail or "gone", now_ms)
            _uncount(session, row)
            _fail(session, ways, row, carried, f"{sent.kind}: {sent.detail}", now_ms)


def prepared(registry: Registry, ways: Ways, outbox_id: str, lease: str, clock: Clock) -> Message | None:
    """The message, counted; None: it is not needed, or cannot be sent, and that and what follows is written down."""
    try:
        return _made(registry, ways, outbox_id, lease, clock, render)
    except RegistryUnavailable:
        raise
    except Exception:  # a text with a slip in it must not keep an alert from anybody
        log.exception("%s: its words cannot be made; plain ones are sent", outbox_id)
    return _made(registry, ways, outbox_id, lease, clock, plain)


def _made(
    registry: Registry, ways: Ways, outbox_id: str, lease: str, clock: Clock,
    make: Callable[[Session, Ways, Outbox, int], Message | Unneeded],
) -> Message | None:  # fmt: skip
    with registry.write() as session:
        row, carried = _locked(session, outbox_id)
        if row is None or row.state != "waiting" or row.lease != lease:
            return None
        now_ms = clock()
        if now_ms - row.created_ms > plan.KEEP_MS.get(row.severity, plan.KEEP_OTHERWISE_MS):
            outbox.become(session, ME, row, "failed", now_ms, "too late")
            return None
        made = make(session, ways, row, now_ms)
        if isinstance(made, Message) and (why := _closed(session, ways, row, now_ms)):
            made = Unneeded(why, failed=True)
        if isinstance(made, Message):
            _count(session, ways, row, now_ms)
            return made
        if made.failed:
            _fail(session, ways, row, carried, made.why, now_ms)
        else:
            outbox.become(session, ME, row, "withdrawn", now_ms, made.why)
        return None


def _closed(session: Session, ways: Ways, row: Outbox, now_ms: int) -> str:
    """Why the channel takes nothing of this severity now; '' where it does."""
    if row.channel not in ways.channels:
        return "this channel is not open"
    if COUNTED in (row.content or {}) or not is_kept(session, ways, row.channel, row.severity, now_ms):
        return ""
    return "its month is used up, or kept for what is urgent"


def _count(session: Session, ways: Ways, row: Outbox, now_ms: int) -> None:
    """Counts a message of a counted month, once, and tells administrators what remains."""
    monthly = ways.monthly(row.channel)
    if monthly is None or COUNTED in (row.content or {}):
        return
    month = month_of(now_ms)
    row.content = {**(row.content or {}), COUNTED: month}
    quota = outbox.count(session, ME, row.channel, month, 1)
    left = max(0, monthly - quota.used)
    reached = [mark for mark in LEFT_PERCENT if left * 100 <= mark * monthly and mark < quota.told_left]
    if reached:
        quota.told_left = min(reached)
        content = {"channel": row.channel, "left": left, "monthly": monthly}
        about = f"{row.channel}|{month}|{quota.told_left}"
        tell.tell_administrators(session, ways, "quota", about, "warning", content, now_ms, but=row.channel)


def _uncount(session: Session, row: Outbox) -> None:
    """What was refused did not use up the month."""
    content = dict(row.content or {})
    if month := content.pop(COUNTED, None):
        row.content = content
        outbox.count(session, ME, row.channel, str(month), -1)


def _fail(session: Session, ways: Ways, row: Outbox, carried: Escalation | None, why: str, now_ms: int) -> None:
    if outbox.become(session, ME, row, "failed", now_ms, why):
        _take_over(session, ways, row, carried, now_ms)


def _take_over(session: Session, ways: Ways, row: Outbox, carried: Escalation | None, now_ms: int) -> None:
    """Another way to the same person, unless one is under way or did it; else another person."""
    others = [one for one in outbox.of_telling(session, ME, row.telling) if one.id != row.id]
    if any(one.state in outbox.DONE for one in others):
        return
    if any(one.state == "waiting" and one.due_ms <= now_ms and one.attempts < DEAD_AFTER for one in others):
        return
    later = [one for one in others if one.state == "waiting" and one.attempts == 0]
    if later:
        for one in later:
            outbox.again(session, ME, one, now_ms, "another way failed", now_ms)
        return
    who = who_of(session, row, now_ms)
    tried = {row.channel, *(one.channel for one in others)}
    content = dict(row.content or {})
    rows = plan.take_over(content.get("then", ()), tried, _open(ways, who), now_ms) if who else ()
    if rows and who is not None:
        new = NewRow(
            id="", kind=row.kind, telling=row.telling, channel="", severity=row.severity, due_ms=now_ms,
            site_id=row.site_id, alert_id=row.alert_id, event=row.event, night=row.night, content=content,
        )  # fmt: skip
        tell.write_rows(session, who, new, rows, now_ms)
    elif carried is not None and row.event == carried.event:
        ask_next(session, ways, carried, str(content.get("who")), int(content.get("round", 0)), now_ms)


def _open(ways: Ways, who: Reachable) -> tuple[Reach, ...]:
    return tuple(reach for reach in reaches_of(who) if reach.channel in ways.channels)


def _locked(session: Session, outbox_id: str) -> tuple[Outbox | None, Escalation | None]:
    """The row and how far its alert was carried, locked in the order in which everybody locks them."""
    seen = session.get(Outbox, outbox_id)
    if seen is None:
        return None, None
    carried = None
    if seen.alert_id is not None:
        carried = session.get(Escalation, seen.alert_id, with_for_update=True, populate_existing=True)
    return outbox.locked(session, ME, outbox_id), carried
