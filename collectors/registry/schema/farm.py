"""A farm's contacts, rota and maintenance windows, and how often its devices measured when.

Rows with a `version` may be edited: it begins at 1 and goes up by one with each change.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from collectors.registry.schema.base import Base, RowId


class Contact(Base):
    """Somebody whom the farm calls: vet, milk collector, dealer, electrician, neighbour. They need no account.

    `phone` is in E.164 (`+81156661234`), `phone_written` as the farm wrote it; both empty: none.
    """

    __tablename__ = "contact"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(200))
    kind: Mapped[str] = mapped_column(String(20))
    what_for: Mapped[str] = mapped_column(String(200), default="")
    phone: Mapped[str] = mapped_column(String(16), default="")
    phone_written: Mapped[str] = mapped_column(String(40), default="")
    mail: Mapped[str] = mapped_column(String(254), default="")
    note: Mapped[str] = mapped_column(String(2000), default="")
    created_ms: Mapped[int]
    version: Mapped[int]
    __table_args__ = (Index(None, "site_id", "id"),)


class Shift(Base):
    """A line of the rota: a person of the farm, or a contact, is on call (`dated`, `weekly`) or away (`absence`).

    `dated` and `absence`: from `from_ms` until `to_ms`. `weekly`: on `weekdays` (0 is Monday) from `start_minute` of
    the farm's own day for `minutes`, from the day `first_day` to `last_day` (ISO dates, both included, empty:
    always), but not on `except_days`.
    """

    __tablename__ = "shift"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(10))
    tier: Mapped[str] = mapped_column(String(10))
    position: Mapped[int]
    person_id: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), index=True)
    contact_id: Mapped[str | None] = mapped_column(ForeignKey("contact.id", ondelete="CASCADE"), index=True)
    from_ms: Mapped[int | None]
    to_ms: Mapped[int | None]
    weekdays: Mapped[list[Any]] = mapped_column(default=list)
    start_minute: Mapped[int] = mapped_column(default=0)
    minutes: Mapped[int] = mapped_column(default=0)
    first_day: Mapped[str] = mapped_column(String(10), default="")
    last_day: Mapped[str] = mapped_column(String(10), default="")
    except_days: Mapped[list[Any]] = mapped_column(default=list)
    note: Mapped[str] = mapped_column(String(400), default="")
    created_ms: Mapped[int]
    version: Mapped[int]
    __table_args__ = (Index(None, "site_id", "id"),)


class Maintenance(Base):
    """Somebody works on something in [from_ms, to_ms): on subjects, places, devices, or the whole farm.

    `ended_ms`: it was over earlier. `targets` is [[kind, id], …] with kind `site`, `place`, `device` or `subject`.
    """

    __tablename__ = "maintenance"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"))
    targets: Mapped[list[Any]]
    from_ms: Mapped[int]
    to_ms: Mapped[int]
    ended_ms: Mapped[int | None]
    why: Mapped[str] = mapped_column(String(400))
    who: Mapped[str] = mapped_column(String(64))
    who_name: Mapped[str] = mapped_column(String(200), default="")
    created_ms: Mapped[int]
    version: Mapped[int]
    __table_args__ = (Index(None, "site_id", "from_ms"),)


class DevicePace(Base):
    """Since `from_ms` a device was set to measure every `every_s`, as its gateway reported it."""

    __tablename__ = "device_pace"
    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"))
    device: Mapped[str] = mapped_column(String(64))
    from_ms: Mapped[int]
    every_s: Mapped[float]
    __table_args__ = (Index(None, "site_id", "device", "from_ms", unique=True),)
