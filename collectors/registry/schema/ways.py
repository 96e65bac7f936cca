"""Other ways in than gateways, the weather, and the servers that readings are on."""

from __future__ import annotations

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from collectors.registry.schema.base import Base


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
