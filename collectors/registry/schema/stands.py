"""Farms and what stands on them: gateways, devices, places, and what stood where when."""

from __future__ import annotations

import secrets
from typing import Any

from sqlalchemy import ForeignKey, ForeignKeyConstraint, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from collectors.registry.schema.base import Base, RowId


class Site(Base):
    """A farm or public station. `rules` holds the farm's own numbers: {rule: {parameter: value}}.

    `settings` is what it says of itself (`makiba.farm_settings`), `settings_edited_ms` when people last did so in the
    API; null: only its site file has.
    """

    __tablename__ = "site"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name_ja: Mapped[str] = mapped_column(String(200))
    name_en: Mapped[str] = mapped_column(String(200))
    timezone: Mapped[str] = mapped_column(String(64), default="Asia/Tokyo")
    rules: Mapped[dict[str, Any]] = mapped_column(default=dict)
    settings: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")
    settings_version: Mapped[int] = mapped_column(default=1, server_default="1")
    settings_edited_ms: Mapped[int | None]
    created_ms: Mapped[int]


class Gateway(Base):
    """A box; its id is its certificate's common name. `status` is what it, or its will, last said."""

    __tablename__ = "gateway"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"), index=True)
    status: Mapped[str] = mapped_column(String(20), default="unknown")
    status_ms: Mapped[int] = mapped_column(default=0)
    connection: Mapped[str] = mapped_column(String(64), default="")
    software: Mapped[str] = mapped_column(String(64), default="")
    revoked_ms: Mapped[int | None]


class Device(Base):
    """An instrument on a gateway's bus. Its subjects are `name` or `name.channel`."""

    __tablename__ = "device"
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    gateway_id: Mapped[str] = mapped_column(ForeignKey("gateway.id", ondelete="CASCADE"), index=True)
    bus: Mapped[str] = mapped_column(String(64))
    profile: Mapped[str] = mapped_column(String(64))
    every_s: Mapped[float]
    subjects: Mapped[list[Any]] = mapped_column(default=list)


def _new_id() -> str:
    return secrets.token_urlsafe(16)


class Place(Base):
    """A barn, parlour, tank room, field, pasture, silo.

    `edited_ms`: since then it is as people say, and no longer as the site file does. `retired_ms`: nothing stands
    there any more; only the past knows it.
    """

    __tablename__ = "place"
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[str] = mapped_column(String(32))
    name_ja: Mapped[str] = mapped_column(String(200))
    name_en: Mapped[str] = mapped_column(String(200))
    position: Mapped[int] = mapped_column(default=0)
    version: Mapped[int] = mapped_column(default=1, server_default="1")
    edited_ms: Mapped[int | None]
    retired_ms: Mapped[int | None]


class Placement(Base):
    """A subject stands in a place from `from_ms` until `to_ms`; a moved sensor keeps both histories true.

    `role` says what it is for there (`fan`, `compressor`, …) and the names how the farm calls it. `public_id` is what
    people see of its number. `edited_ms`: since then it is as people say, and no longer as the site file does.
    """

    __tablename__ = "placement"
    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    site_id: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(64))
    place_id: Mapped[str] = mapped_column(String(64))
    role: Mapped[str] = mapped_column(String(32), default="")
    name_ja: Mapped[str] = mapped_column(String(200), default="")
    name_en: Mapped[str] = mapped_column(String(200), default="")
    from_ms: Mapped[int]
    to_ms: Mapped[int | None]
    public_id: Mapped[str] = mapped_column(String(32), default=_new_id, server_default="")
    version: Mapped[int] = mapped_column(default=1, server_default="1")
    edited_ms: Mapped[int | None]
    __table_args__ = (
        ForeignKeyConstraint(["site_id", "place_id"], ["place.site_id", "place.id"], ondelete="CASCADE"),
        Index(None, "site_id", "subject", "from_ms"),
        Index(None, "public_id", unique=True),
        # A subject stands in one place at a time.
        Index(
            "uq_placement_current", "site_id", "subject", unique=True,
            sqlite_where=text("to_ms IS NULL"), postgresql_where=text("to_ms IS NULL"),
        ),
    )  # fmt: skip
