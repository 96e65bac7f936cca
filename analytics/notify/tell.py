"""Writes messages into the outbox: one telling of one person, administrators, people of an incident."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from analytics.notify import plan
from analytics.notify.begin import ME
from analytics.notify.escalate import spell_who
from analytics.notify.plan import Row, telling_id
from analytics.notify.who import Ways, closed_for, reaches_of
from collectors.registry import addresses, outbox
from collectors.registry.addresses import Reachable
from collectors.registry.outbox import NewRow
from collectors.registry.schema.notify import Outbox

CODES_MS: Final = 3_600_000
MOST_CODES: Final = 6
"""Codes that one person may have sent in that time: each costs somebody something."""


def tell(session: Session, ways: Ways, one: Reachable, new: NewRow, now_ms: int) -> list[str]:
    """Writes one telling of one person, as `new` says but for channels and times; the ids of its rows."""
    closed = closed_for(session, ways, new.severity, now_ms)
    reaches = reaches_of(one)
    rows = plan.rows(new.severity, plan.order_of(new.severity, one.wishes, reaches, closed), reaches, now_ms)
    return write_rows(session, one, new, rows, now_ms)


def write_rows(session: Session, one: Reachable, new: NewRow, rows: Sequence[Row], now_ms: int) -> list[str]:
    """Writes `rows` of the telling that `new` describes."""
    made = [
        NewRow(
            id=plan.row_id(new.telling, row.channel, row.address or f"{one.contact_id}"),
            kind=new.kind, telling=new.telling, channel=row.channel, severity=new.severity, due_ms=row.due_ms,
            person_id=one.person_id, contact_id=one.contact_id, address_id=row.address or None,
            site_id=new.site_id, alert_id=new.alert_id, event=new.event, night=new.night if one.person_id else "",
            content={**new.content, "then": list(row.then), "who": spell_who(one.who)},
        )
        for row in rows
    ]  # fmt: skip
    return outbox.write(session, ME, made, now_ms)


def tell_persons(
    session: Session, ways: Ways, persons: Collection[int], new: NewRow, now_ms: int, *, but: str = ""
) -> int:
    """Tells each of these people the same; how many can be reached. `but`: not by this channel if
    there is another."""
    told = 0
    for one in addresses.of_persons(session, ME, persons, now_ms).values():
        others = tuple(pair for pair in one.addresses if pair[1] != but)
        reachable = Reachable(
            one.who, one.name, one.language, one.wishes, others or one.addresses, person_id=one.person_id
        )
        each = replace(new, telling=telling_id(new.kind, new.telling, spell_who(one.who)))
        told += bool(tell(session, ways, reachable, each, now_ms))
    return told


def tell_administrators(
    session: Session, ways: Ways, kind: str, about: str, severity: str, content: Mapping[str, object], now_ms: int,
    *, but: str = "",
) -> int:  # fmt: skip
    """Tells who runs the machine; once for each `about`."""
    new = NewRow(
        id="", kind=kind, telling=telling_id(kind, about), channel="", severity=severity, due_ms=now_ms,
        content=dict(content),
    )  # fmt: skip
    return tell_persons(session, ways, addresses.administrators(session, ME), new, now_ms, but=but)


def send_code(session: Session, person_id: int, address: str, channel: str, now_ms: int) -> bool:
    """Sends a code to a new address of this person, made when it is sent; False: there were too many lately."""
    lately = session.scalars(
        select(Outbox.id).where(
            Outbox.kind == "verify", Outbox.person_id == person_id, Outbox.created_ms > now_ms - CODES_MS
        )
    ).all()
    if len(lately) >= MOST_CODES:
        return False
    telling = telling_id("verify", address, len(lately), now_ms)
    row = NewRow(
        id=plan.row_id(telling, channel, address), kind="verify", telling=telling, channel=channel,
        severity="critical", due_ms=now_ms, person_id=person_id, address_id=address,
    )  # fmt: skip
    outbox.write(session, ME, [row], now_ms)
    return True


def put_incident(
    session: Session,
    ways: Ways,
    incident: str,
    step: str,
    persons: Collection[int],
    severity: str,
    title: Mapping[str, str],
    body: Mapping[str, str],
    path: str,
    now_ms: int,
) -> int:
    """Tells `persons` of an incident across farms, once for each `step` of it; texts in both languages."""
    content = {"title": dict(title), "body": dict(body), "path": path, "tag": incident}
    new = NewRow(
        id="", kind="incident", telling=telling_id("incident", incident, step), channel="", severity=severity,
        due_ms=now_ms, content=content,
    )  # fmt: skip
    return tell_persons(session, ways, persons, new, now_ms)
