"""The registry's tables: farms and what stands on them, people, dead letters, the alert book.

Times are UTC in milliseconds. Names that people read come in Japanese and English. The migrations in
`migrations/` bring a database to this shape; a test holds the two equal.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

_NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

# SQLite numbers rows by itself only for INTEGER keys.
_RowId = BigInteger().with_variant(Integer(), "sqlite")


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=_NAMING)
    type_annotation_map = {int: BigInteger, dict[str, Any]: JSON, list[Any]: JSON}  # noqa: RUF012


class Site(Base):
    """A farm or public station. `rules` holds the farm's own numbers: {rule: {parameter: value}}."""

    __tablename__ = "site"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name_ja: Mapped[str] = mapped_column(String(200))
    name_en: Mapped[str] = mapped_column(String(200))
    timezone: Mapped[str] = mapped_column(String(64), default="Asia/Tokyo")
    rules: Mapped[dict[str, Any]] = mapped_column(default=dict)
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


class Place(Base):
    """A barn, parlour, tank room, field, pasture, silo."""

    __tablename__ = "place"
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[str] = mapped_column(String(32))
    name_ja: Mapped[str] = mapped_column(String(200))
    name_en: Mapped[str] = mapped_column(String(200))
    position: Mapped[int] = mapped_column(default=0)


class Placement(Base):
    """A subject stands in a place from `from_ms` until `to_ms`; a moved sensor keeps both histories true.

    `role` says what it is for there (`fan`, `compressor`, …) and the names how the farm calls it.
    """

    __tablename__ = "placement"
    id: Mapped[int] = mapped_column(_RowId, primary_key=True, autoincrement=True)
    site_id: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(64))
    place_id: Mapped[str] = mapped_column(String(64))
    role: Mapped[str] = mapped_column(String(32), default="")
    name_ja: Mapped[str] = mapped_column(String(200), default="")
    name_en: Mapped[str] = mapped_column(String(200), default="")
    from_ms: Mapped[int]
    to_ms: Mapped[int | None]
    __table_args__ = (
        ForeignKeyConstraint(["site_id", "place_id"], ["place.site_id", "place.id"], ondelete="CASCADE"),
        Index(None, "site_id", "subject", "from_ms"),
        # A subject stands in one place at a time.
        Index(
            "uq_placement_current", "site_id", "subject", unique=True,
            sqlite_where=text("to_ms IS NULL"), postgresql_where=text("to_ms IS NULL"),
        ),
    )  # fmt: skip


class PersonRow(Base):
    """Somebody who may sign in. Without `password_hash` they come in by invitation only."""

    __tablename__ = "person"
    id: Mapped[int] = mapped_column(_RowId, primary_key=True, autoincrement=True)
    login: Mapped[str] = mapped_column(String(200), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    language: Mapped[str] = mapped_column(String(8), default="ja")
    password_hash: Mapped[str | None] = mapped_column(String(400))
    is_admin: Mapped[bool] = mapped_column(default=False)
    created_ms: Mapped[int]
    disabled_ms: Mapped[int | None]


class RoleRow(Base):
    """What a person is on a farm."""

    __tablename__ = "role"
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"), primary_key=True)
    role: Mapped[str] = mapped_column(String(20))


class Invitation(Base):
    """A code that signs its person in; only its SHA-256 is kept. `uses_left` None: as often as wanted until then."""

    __tablename__ = "invitation"
    code_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), index=True)
    expires_ms: Mapped[int]
    uses_left: Mapped[int | None]


class WebSession(Base):
    """A signed-in browser; only the SHA-256 of its cookie is kept."""

    __tablename__ = "web_session"
    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), index=True)
    created_ms: Mapped[int]
    expires_ms: Mapped[int]
    seen_ms: Mapped[int]
    device: Mapped[str] = mapped_column(String(200), default="")


class DeadLetter(Base):
    """A record that was refused, with its reason: nothing vanishes. A resent batch finds its letters here already."""

    __tablename__ = "dead_letter"
    id: Mapped[int] = mapped_column(_RowId, primary_key=True, autoincrement=True)
    gateway_id: Mapped[str] = mapped_column(String(64))
    batch: Mapped[str] = mapped_column(String(64))
    record_index: Mapped[int]
    received_ms: Mapped[int] = mapped_column(index=True)
    name: Mapped[str] = mapped_column(String(300), default="")
    reason: Mapped[str] = mapped_column(Text)
    record: Mapped[str] = mapped_column(Text, default="")
    __table_args__ = (Index(None, "gateway_id", "batch", "record_index", unique=True),)


class Alert(Base):
    """One problem. `id` is the hash of rule, site, subject and onset, so that judging again never doubles it."""

    __tablename__ = "alert"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"))
    rule: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(64))
    place_id: Mapped[str | None] = mapped_column(String(64))
    severity: Mapped[str] = mapped_column(String(16))
    onset_ms: Mapped[int]
    opened_ms: Mapped[int]
    seen_ms: Mapped[int]
    ended_ms: Mapped[int | None]
    acknowledged_ms: Mapped[int | None]
    acknowledged_by: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="SET NULL"))
    signals: Mapped[dict[str, Any]] = mapped_column(default=dict)
    children: Mapped[list[Any]] = mapped_column(default=list)
    __table_args__ = (
        Index(None, "site_id", "opened_ms"),
        # One open alert per rule and subject, held by the database itself.
        Index(
            "uq_alert_open", "site_id", "rule", "subject", unique=True,
            sqlite_where=text("ended_ms IS NULL"), postgresql_where=text("ended_ms IS NULL"),
        ),
    )  # fmt: skip


class AlertEvent(Base):
    """A step in the life of an alert: who, when, why. Never changed, never removed but with its farm."""

    __tablename__ = "alert_event"
    id: Mapped[int] = mapped_column(_RowId, primary_key=True, autoincrement=True)
    alert_id: Mapped[str] = mapped_column(ForeignKey("alert.id", ondelete="CASCADE"), index=True)
    site_id: Mapped[str] = mapped_column(String(64), index=True)
    at_ms: Mapped[int]
    kind: Mapped[str] = mapped_column(String(20))
    who: Mapped[str] = mapped_column(String(64))
    detail: Mapped[dict[str, Any]] = mapped_column(default=dict)


class JudgeSnapshot(Base):
    """What a worker remembers of one farm, so that a killed one goes on where it was."""

    __tablename__ = "judge_snapshot"
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"), primary_key=True)
    saved_ms: Mapped[int]
    state: Mapped[dict[str, Any]]
