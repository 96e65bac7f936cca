"""What waited, told in one: the morning list, what came in quiet hours, what was too much at once; late summaries.

Guarantees: what was held of one person until now becomes one message, whoever does it and how often; what was
answered meanwhile is not in it. One thing alone is told as itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from analytics.notify import plan
from analytics.notify.begin import ME
from analytics.notify.escalate import spell_who
from analytics.notify.plan import telling_id
from analytics.notify.tell import tell
from analytics.notify.who import Ways, order_of, reaches_of, who_of
from collectors.registry import addresses, late, outbox, recovery
from collectors.registry.addresses import Reachable
from collectors.registry.outbox import NewRow
from collectors.registry.schema import PersonRow
from collectors.registry.schema.notify import Outbox

MAIL_EVERY_MS: Final = 3_600_000
"""At most one mail of a link in this time to one person, however often somebody asks in their name."""


def fold(session: Session, ways: Ways, person: int | None, contact: str | None, now_ms: int) -> int:
    """Makes one telling of what was held of this person until now; how many things are in it."""
    rows = outbox.held_of(session, ME, person, contact, now_ms)
    if not rows:
        return 0
    who = who_of(session, rows[0], now_ms)
    if who is None or not reaches_of(who):
        for row in rows:
            outbox.become(session, ME, row, "failed", now_ms, "no address")
        return 0
    one = rows[0] if len({row.alert_id for row in rows}) == 1 else None
    telling = telling_id("list", person, contact, *(row.id for row in rows))
    new = NewRow(
        id="", kind="alert" if one else "list", telling=telling, channel="", severity=_mildest(rows), due_ms=now_ms,
        content={"count": len(rows), "tag": "list"},
    )  # fmt: skip
    if one is not None:
        new = replace(
            new, site_id=one.site_id, alert_id=one.alert_id, event=one.event, content=dict(one.content or {})
        )
    tell(session, ways, who, new, now_ms)
    for row in rows:
        row.told_in = telling
        outbox.become(session, ME, row, "listed", now_ms, "told in one")
    return len(rows)


def tell_late(session: Session, ways: Ways, now_ms: int, limit: int = 20) -> int:
    """One message for each outage of which a backlog told: to who is on call first; by night it waits."""
    told = 0
    for summary in late.untold(session, ME, limit):
        summary.told_ms = now_ms
        ended: list[Mapping[str, Any]] = [
            one for one in summary.ended if one.get("severity") in ("critical", "warning")
        ]
        order = order_of(session, summary.site_id, now_ms)
        who = next((one for one in order.usual if reaches_of(one)), None)
        if who is None or not ended:
            continue
        telling = telling_id("late", summary.id, spell_who(who.who))
        content = {
            "from_ms": summary.from_ms, "to_ms": summary.to_ms, "rules": [str(one["rule"]) for one in ended],
        }  # fmt: skip
        wait = plan.waits("advisory", who.wishes, order.zone, now_ms)
        new = NewRow(
            id="", kind="late", telling=telling, channel="", severity="advisory", due_ms=now_ms,
            site_id=summary.site_id, content=content,
        )  # fmt: skip
        for written in tell(session, ways, who, new, now_ms):
            row = outbox.locked(session, ME, written)
            if row is not None and wait is not None:
                row.due_ms = wait.until_ms
        told += 1
    return told


def is_more(session: Session, asked_ms: int) -> bool:
    """Whether there is a late summary or a request for a link; needs no writer's session."""
    return bool(late.untold(session, ME, 1)) or bool(recovery.asked_since(session, ME, asked_ms))


def tell_who_asked(session: Session, ways: Ways, since_ms: int, now_ms: int) -> int:
    """Mails a link to who asked to be let in and has shown a mail address to be theirs; how many were written.

    Whoever asks learns nothing of it: their request wrote one row, whether anybody has that login or not.
    """
    asked = recovery.asked_since(session, ME, since_ms)
    if not asked or "mail" not in ways.channels:
        return 0
    told = 0
    persons = session.execute(
        select(PersonRow.id, PersonRow.login).where(PersonRow.is_admin.is_(False), PersonRow.disabled_ms.is_(None))
    ).all()
    named = {number: asked[key] for number, login in persons if (key := recovery.login_hash(login)) in asked}
    for who in addresses.of_persons(session, ME, named, now_ms).values() if named else ():
        mails = tuple(pair for pair in who.addresses if pair[1] == "mail")
        if not mails or who.person_id is None:
            continue
        by_mail = Reachable(who.who, who.name, who.language, who.wishes, mails[:1], person_id=who.person_id)
        telling = telling_id("recovery", who.person_id, named[who.person_id] // MAIL_EVERY_MS)
        new = NewRow(id="", kind="recovery", telling=telling, channel="", severity="critical", due_ms=now_ms)
        told += bool(tell(session, ways, by_mail, new, now_ms))
    return told


def _mildest(rows: Sequence[Outbox]) -> str:
    """A list is sent by one channel, as an advisory is; a warning among them makes it one."""
    return "warning" if any(row.severity == "warning" for row in rows) else "advisory"
