"""The registry's tables: farms and what stands on them, people, dead letters, the alert book, other ways in.

Times are UTC in milliseconds. Names that people read come in Japanese and English. The migrations in
`migrations/` bring a database to this shape; a test holds the two equal.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
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


class Consent(Base):
    """A farm shows classes of its data to a role on it, or to one person, in [from_ms, until_ms).

    Once given it is never changed but by its withdrawal, and goes with its farm only. Its id is random: a number
    would tell how many other farms gave.
    """

    __tablename__ = "consent"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"), index=True)
    role: Mapped[str | None] = mapped_column(String(20))
    person_id: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="SET NULL"), index=True)
    classes: Mapped[list[Any]]
    from_ms: Mapped[int]
    until_ms: Mapped[int | None]
    given_ms: Mapped[int]
    given_by: Mapped[str] = mapped_column(String(64))
    withdrawn_ms: Mapped[int | None]
    withdrawn_by: Mapped[str | None] = mapped_column(String(64))


class AuditRow(Base):
    """That somebody from outside read a farm's data, or that somebody changed who may.

    Reads of one minute, person, class and route are one row with a count; `from_ms` and `to_ms` hold all spans that
    were asked for. `name` is the person's at that time.
    """

    __tablename__ = "audit"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(8))
    minute: Mapped[int]
    at_ms: Mapped[int]
    last_ms: Mapped[int]
    who: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(200), default="")
    role: Mapped[str] = mapped_column(String(20), default="")
    data_class: Mapped[str] = mapped_column(String(20), default="")
    what: Mapped[str] = mapped_column(String(200))
    from_ms: Mapped[int | None]
    to_ms: Mapped[int | None]
    count: Mapped[int]
    detail: Mapped[dict[str, Any]] = mapped_column(default=dict)
    __table_args__ = (
        Index(None, "site_id", "at_ms"),
        Index(
            "uq_audit_read", "site_id", "minute", "who", "data_class", "what", unique=True,
            sqlite_where=text("kind = 'read'"), postgresql_where=text("kind = 'read'"),
        ),
    )  # fmt: skip


class RightsVersion(Base):
    """One row: the number goes up in the same transaction as anything that changes who may see what."""

    __tablename__ = "rights_version"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    version: Mapped[int]


SESSION_TABLES: Final = frozenset({"web_session"})
RIGHTS_TABLES: Final = frozenset({"person", "role", "consent", "place", "placement"})
"""What the rights of a viewer are made of; a placement decides of which class a value is."""


class DeadLetter(Base):
    """A record that was refused, with its reason: nothing vanishes. A resent batch finds its letters here already.

    `payload`: the whole pack, as it came, where not even its records could be told apart.
    """

    __tablename__ = "dead_letter"
    id: Mapped[int] = mapped_column(_RowId, primary_key=True, autoincrement=True)
    gateway_id: Mapped[str] = mapped_column(String(64))
    batch: Mapped[str] = mapped_column(String(64))
    record_index: Mapped[int]
    received_ms: Mapped[int] = mapped_column(index=True)
    name: Mapped[str] = mapped_column(String(300), default="")
    reason: Mapped[str] = mapped_column(Text)
    record: Mapped[str] = mapped_column(Text, default="")
    payload: Mapped[bytes | None] = mapped_column(LargeBinary, default=None, deferred=True)
    __table_args__ = (Index(None, "gateway_id", "batch", "record_index", unique=True),)


class DeadLetterDay(Base):
    """What was refused of one gateway on one day (UTC, counted from 1970): how many letters are kept, how large they
    are, and how many records more were refused and are counted only."""

    __tablename__ = "dead_letter_day"
    gateway_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    day: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    letters: Mapped[int]
    bytes: Mapped[int]
    left_out: Mapped[int]
    last_ms: Mapped[int]
    last_reason: Mapped[str] = mapped_column(Text)


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
    over_ms: Mapped[int | None]
    """Since when the values are well again, of an alert that only a person ends."""
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


class Source(Base):
    """Whoever sends for a farm without being a gateway: a system with a token, an import, the weather, a LoRaWAN.

    Its id (`src-…`) is never a gateway's (`gw-…`). Of a token only its SHA-256 is kept; only kind `http` has one.
    """

    __tablename__ = "source"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str] = mapped_column(String(20))
    name: Mapped[str] = mapped_column(String(200), default="")
    token_hash: Mapped[str | None] = mapped_column(String(64), unique=True)
    created_ms: Mapped[int]
    revoked_ms: Mapped[int | None]
    used_ms: Mapped[int | None]


class SourceBatch(Base):
    """When a batch with times relative to now came first, so that the same batch again means the same times."""

    __tablename__ = "source_batch"
    source_id: Mapped[str] = mapped_column(ForeignKey("source.id", ondelete="CASCADE"), primary_key=True)
    batch: Mapped[str] = mapped_column(String(64), primary_key=True)
    received_ms: Mapped[int] = mapped_column(index=True)


class LoraDevice(Base):
    """A LoRaWAN device of a farm, and what its frame counter said last. `missing` are frames that never came.

    `frames_seen` has a bit for each of the frames before `frame`, so that one that comes late or again is known.
    """

    __tablename__ = "lora_device"
    dev_eui: Mapped[str] = mapped_column(String(16), primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"), index=True)
    subject: Mapped[str] = mapped_column(String(64))
    profile: Mapped[str] = mapped_column(String(64))
    every_s: Mapped[float | None]
    dev_addr: Mapped[str] = mapped_column(String(8), default="")
    frame: Mapped[int | None]
    frame_id: Mapped[str] = mapped_column(String(64), default="")
    frames_seen: Mapped[int] = mapped_column(default=0)
    seen_ms: Mapped[int] = mapped_column(default=0)
    frames: Mapped[int] = mapped_column(default=0)
    missing: Mapped[int] = mapped_column(default=0)
    repeated: Mapped[int] = mapped_column(default=0)
    note: Mapped[str] = mapped_column(String(200), default="")


class LoraUnknown(Base):
    """A LoRaWAN device that spoke and that no farm names: what a technician needs to name it."""

    __tablename__ = "lora_unknown"
    dev_eui: Mapped[str] = mapped_column(String(16), primary_key=True)
    name: Mapped[str] = mapped_column(String(200), default="")
    application: Mapped[str] = mapped_column(String(200), default="")
    profile_name: Mapped[str] = mapped_column(String(200), default="")
    first_ms: Mapped[int]
    seen_ms: Mapped[int]
    frames: Mapped[int]


class SiteWeather(Base):
    """Which of the weather service's areas and stations a farm looks at; empty: none of that kind."""

    __tablename__ = "site_weather"
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"), primary_key=True)
    office: Mapped[str] = mapped_column(String(6), default="")
    area: Mapped[str] = mapped_column(String(6), default="")
    municipality: Mapped[str] = mapped_column(String(7), default="")
    station: Mapped[str] = mapped_column(String(5), default="")
    amedas: Mapped[str] = mapped_column(String(5), default="")
    subject: Mapped[str] = mapped_column(String(64), default="")


class Forecast(Base):
    """What was foretold at `issued_ms` about [valid_from_ms, valid_to_ms) in an area or at a station.

    Kept per area, not per farm: many farms share one. `value` is in the element's unit, or `words` says it.
    """

    __tablename__ = "forecast"
    area: Mapped[str] = mapped_column(String(40), primary_key=True)
    element: Mapped[str] = mapped_column(String(40), primary_key=True)
    valid_from_ms: Mapped[int] = mapped_column(primary_key=True)
    issued_ms: Mapped[int] = mapped_column(primary_key=True)
    valid_to_ms: Mapped[int]
    value: Mapped[float | None]
    words: Mapped[str | None] = mapped_column(String(400))
    source: Mapped[str] = mapped_column(String(16))


class WeatherWarning(Base):
    """An official warning for an area from `since_ms` until `ended_ms`; None: it is in force."""

    __tablename__ = "weather_warning"
    area: Mapped[str] = mapped_column(String(16), primary_key=True)
    code: Mapped[str] = mapped_column(String(8), primary_key=True)
    since_ms: Mapped[int] = mapped_column(primary_key=True)
    name_ja: Mapped[str] = mapped_column(String(100))
    level: Mapped[str] = mapped_column(String(16))
    status: Mapped[str] = mapped_column(String(40))
    reported_ms: Mapped[int]
    ended_ms: Mapped[int | None]
    source: Mapped[str] = mapped_column(String(16))


class FetchState(Base):
    """What is known about an address that is fetched from time to time, so that a pass is polite after a restart."""

    __tablename__ = "fetch_state"
    url: Mapped[str] = mapped_column(String(300), primary_key=True)
    etag: Mapped[str] = mapped_column(String(200), default="")
    last_modified: Mapped[str] = mapped_column(String(64), default="")
    checked_ms: Mapped[int] = mapped_column(default=0)
    changed_ms: Mapped[int] = mapped_column(default=0)
    failures: Mapped[int] = mapped_column(default=0)
    not_before_ms: Mapped[int] = mapped_column(default=0)


class StoreServer(Base):
    """A server for readings. Its password or token is in no table: each machine has it in a file."""

    __tablename__ = "store_server"
    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    url: Mapped[str] = mapped_column(String(300))
    user_name: Mapped[str] = mapped_column(String(100), default="")
    created_ms: Mapped[int]


class SiteStore(Base):
    """The server that a farm's readings are on; a farm without a row is on the store of the settings.

    `site_id` is no foreign key: a farm that has left the registry still has to be found in its store to be deleted.
    """

    __tablename__ = "site_store"
    site_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    server: Mapped[str] = mapped_column(ForeignKey("store_server.name"), index=True)
    assigned_ms: Mapped[int]
