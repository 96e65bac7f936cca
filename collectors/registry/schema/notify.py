"""What is sent to whom: addresses, wishes, the outbox with its log, how far an alert was carried, counts.

`analytics/notify/DESIGN.md` says what stands on these tables. Nothing in them lets anybody in: codes are kept as
hashes, and a vendor's keys are settings.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from collectors.registry.schema.base import Base, RowId


class Address(Base):
    """Where a person, or a contact of a farm, is reached on a channel (`push`, `line`, `mail`, `sms`, `voice`, …).

    `address` is what the channel needs, and `fingerprint` the hash of what makes it this one. Only a verified one
    that is not gone is used; `gone_ms`: the vendor said that it exists no more, or its owner took it away.
    """

    __tablename__ = "address"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    person_id: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), index=True)
    contact_id: Mapped[str | None] = mapped_column(ForeignKey("contact.id", ondelete="CASCADE"), index=True)
    channel: Mapped[str] = mapped_column(String(16))
    address: Mapped[dict[str, Any]]
    fingerprint: Mapped[str] = mapped_column(String(64))
    label: Mapped[str] = mapped_column(String(200), default="")
    created_ms: Mapped[int]
    verified_ms: Mapped[int | None]
    gone_ms: Mapped[int | None]
    gone_why: Mapped[str] = mapped_column(String(200), default="")
    version: Mapped[int] = mapped_column(default=1)
    __table_args__ = (Index(None, "channel", "fingerprint"),)


class Wish(Base):
    """How a person wants to be told. Without a row the defaults of `collectors.registry.wishes` hold.

    `channels`: {severity: channels in the order in which they are tried}. Quiet from `quiet_from` until `quiet_to`,
    minutes of the farm's day, both None: never. `night_budget`: how many warnings may wake them in one night.
    """

    __tablename__ = "wish"
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), primary_key=True)
    channels: Mapped[dict[str, Any]]
    quiet_from: Mapped[int | None]
    quiet_to: Mapped[int | None]
    night_budget: Mapped[int]
    morning_list: Mapped[bool]
    changed_ms: Mapped[int]
    version: Mapped[int]


class Escalation(Base):
    """How far an alert was carried. Written with the event that calls for it; the notifier takes it from there.

    `event`: of the alert book, that began this; `since_ms`: when. `next_ms`: when somebody is asked next, None:
    nobody any more (acknowledged, over, or it was said as often as it is). `asked`: {who: how often};
    `round`: how often altogether.
    """

    __tablename__ = "escalation"
    alert_id: Mapped[str] = mapped_column(ForeignKey("alert.id", ondelete="CASCADE"), primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"), index=True)
    event: Mapped[int]
    severity: Mapped[str] = mapped_column(String(16))
    since_ms: Mapped[int]
    next_ms: Mapped[int | None]
    round: Mapped[int]
    asked: Mapped[dict[str, Any]]
    why: Mapped[str] = mapped_column(String(40), default="")
    __table_args__ = (
        Index(
            "ix_escalation_next", "next_ms",
            sqlite_where=text("next_ms IS NOT NULL"), postgresql_where=text("next_ms IS NOT NULL"),
        ),
    )  # fmt: skip


class Outbox(Base):
    """One message to one address of somebody. `id` is the hash of what it is for, so that it is written once.

    `state`: `waiting` (to be sent from `due_ms` on), `held` (told in the list that is due then), `accepted` by the
    vendor, `delivered`, `seen`, `failed` (for good; another channel took over where there is one), `withdrawn`
    (nobody needs it any more), `listed` (in the message `told_in`). While `lease` holds, one notifier
    has it in its hands. `telling`: what makes the rows one telling of one person; `night`: the day on which the night
    began in which it wakes them, empty: it does not. `content`: what its kind needs beside the alert; never a code.
    """

    __tablename__ = "outbox"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    site_id: Mapped[str | None] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"), index=True)
    alert_id: Mapped[str | None] = mapped_column(ForeignKey("alert.id", ondelete="CASCADE"), index=True)
    event: Mapped[int | None]
    person_id: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    contact_id: Mapped[str | None] = mapped_column(ForeignKey("contact.id", ondelete="CASCADE"), index=True)
    address_id: Mapped[str | None] = mapped_column(String(32))
    channel: Mapped[str] = mapped_column(String(16))
    severity: Mapped[str] = mapped_column(String(16))
    telling: Mapped[str] = mapped_column(String(32), index=True)
    night: Mapped[str] = mapped_column(String(10), default="")
    content: Mapped[dict[str, Any]] = mapped_column(default=dict)
    state: Mapped[str] = mapped_column(String(10))
    reason: Mapped[str] = mapped_column(String(400), default="")
    told_in: Mapped[str | None] = mapped_column(String(32))
    created_ms: Mapped[int]
    due_ms: Mapped[int]
    lease: Mapped[str | None] = mapped_column(String(32))
    leased_until_ms: Mapped[int | None]
    attempts: Mapped[int] = mapped_column(default=0)
    provider_id: Mapped[str | None] = mapped_column(String(200))
    accepted_ms: Mapped[int | None]
    delivered_ms: Mapped[int | None]
    seen_ms: Mapped[int | None]
    __table_args__ = (
        Index(
            "ix_outbox_open", "state", "due_ms",
            sqlite_where=text("state IN ('waiting', 'held')"), postgresql_where=text("state IN ('waiting', 'held')"),
        ),
        Index(None, "person_id", "night"),
        Index(None, "channel", "provider_id"),
    )  # fmt: skip


class OutboxLog(Base):
    """What happened to a message: `written`, `sent`, `accepted`, `delivered`, `seen`, `failed`, … Never changed."""

    __tablename__ = "outbox_log"
    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    outbox_id: Mapped[str] = mapped_column(ForeignKey("outbox.id", ondelete="CASCADE"), index=True)
    at_ms: Mapped[int]
    step: Mapped[str] = mapped_column(String(12))
    detail: Mapped[str] = mapped_column(String(400), default="")


class Quota(Base):
    """How many messages of a channel were handed over in a month (`2026-11`, Japan's), for those that are counted.

    `told_left`: the lowest remainder, in percent, that the administrators were told of.
    """

    __tablename__ = "quota"
    channel: Mapped[str] = mapped_column(String(16), primary_key=True)
    month: Mapped[str] = mapped_column(String(7), primary_key=True)
    used: Mapped[int]
    told_left: Mapped[int] = mapped_column(default=100)


class LinkCode(Base):
    """A code by which a person shows that an address is theirs; only its hash is kept.

    `channel`: what it links. `address_id`: the address that it verifies; None where the address comes with the code.
    """

    __tablename__ = "link_code"
    code_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), index=True)
    channel: Mapped[str] = mapped_column(String(16))
    address_id: Mapped[str | None] = mapped_column(ForeignKey("address.id", ondelete="CASCADE"), index=True)
    made_ms: Mapped[int]
    expires_ms: Mapped[int]
    tries: Mapped[int] = mapped_column(default=0)


class VendorEvent(Base):
    """What a vendor told us already (a webhook's event id, the answer to a call), so that it is done once.

    Written in the transaction of what it led to, and forgotten after a week: no vendor says it again later.
    """

    __tablename__ = "vendor_event"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    at_ms: Mapped[int] = mapped_column(index=True)
