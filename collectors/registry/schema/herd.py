"""Animals, groups, what happened to them, and fields.

What happened (`HerdEvent`) is the truth; whether an animal is still there (`Animal.status`) and in which group it was
when (`HerdMember`) are worked out from it again with every change of an event.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from collectors.registry.schema.base import Base, RowId


class Animal(Base):
    """An animal of a farm. `national_id`: its ten digits; `tag`: its fifteen of ISO 11784; `number`: the farm's own.

    It wears `tag` since `tag_from_ms` (None: as far as is known); what it wore before is in `AnimalTag`.
    """

    __tablename__ = "animal"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"))
    version: Mapped[int] = mapped_column(default=1)
    national_id: Mapped[str | None] = mapped_column(String(10))
    tag: Mapped[str | None] = mapped_column(String(15))
    tag_from_ms: Mapped[int | None]
    number: Mapped[str | None] = mapped_column(String(32))
    name: Mapped[str] = mapped_column(String(100), default="")
    sex: Mapped[str] = mapped_column(String(16), default="unknown")
    breed: Mapped[str] = mapped_column(String(64), default="")
    born_on: Mapped[date | None]
    dam: Mapped[str] = mapped_column(String(64), default="")
    sire: Mapped[str] = mapped_column(String(64), default="")
    note: Mapped[str] = mapped_column(String(2000), default="")
    status: Mapped[str] = mapped_column(String(16), default="present")
    created_ms: Mapped[int]
    changed_ms: Mapped[int]
    created_by: Mapped[str] = mapped_column(String(64))
    __table_args__ = (
        Index(None, "site_id", "id"),
        # Ten digits are one animal's for its life; a tag is worn by one at a time; the farm gives its numbers again.
        Index("uq_animal_national_id", "site_id", "national_id", unique=True),
        Index("uq_animal_tag", "site_id", "tag", unique=True),
        Index(
            "uq_animal_number", "site_id", "number", unique=True,
            sqlite_where=text("status = 'present'"), postgresql_where=text("status = 'present'"),
        ),
    )  # fmt: skip


class AnimalTag(Base):
    """A tag that an animal wore until `to_ms`; `from_ms` None: as far as is known."""

    __tablename__ = "animal_tag"
    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"))
    animal_id: Mapped[str] = mapped_column(ForeignKey("animal.id", ondelete="CASCADE"), index=True)
    tag: Mapped[str] = mapped_column(String(15))
    from_ms: Mapped[int | None]
    to_ms: Mapped[int]
    __table_args__ = (Index(None, "site_id", "tag"),)


class HerdGroup(Base):
    """A group of animals. `place_id`: where it is kept; the place may be gone."""

    __tablename__ = "herd_group"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"), index=True)
    version: Mapped[int] = mapped_column(default=1)
    name_ja: Mapped[str] = mapped_column(String(100))
    name_en: Mapped[str] = mapped_column(String(100))
    kind: Mapped[str] = mapped_column(String(16))
    place_id: Mapped[str | None] = mapped_column(String(64))
    note: Mapped[str] = mapped_column(String(2000), default="")
    created_ms: Mapped[int]
    changed_ms: Mapped[int]
    created_by: Mapped[str] = mapped_column(String(64))


class HerdMember(Base):
    """An animal was in a group in [from_ms, to_ms); None: it still is. Worked out from its events."""

    __tablename__ = "herd_member"
    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"), index=True)
    animal_id: Mapped[str] = mapped_column(ForeignKey("animal.id", ondelete="CASCADE"))
    group_id: Mapped[str] = mapped_column(ForeignKey("herd_group.id", ondelete="CASCADE"))
    from_ms: Mapped[int]
    to_ms: Mapped[int | None]
    __table_args__ = (
        Index(None, "group_id", "from_ms"),
        Index(None, "animal_id", "from_ms"),
        # An animal is in one group at a time.
        Index(
            "uq_herd_member_current", "animal_id", unique=True,
            sqlite_where=text("to_ms IS NULL"), postgresql_where=text("to_ms IS NULL"),
        ),
    )  # fmt: skip


class HerdEvent(Base):
    """Something that happened to an animal: `kind` and `detail` as `makiba/herd_event.py` has them.

    `key` is the entering program's own name for it: the same key again is the same event, deleted or not.
    `entered_name` and `deleted_name` are the persons' names at that time, as in the audit.
    """

    __tablename__ = "herd_event"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"))
    animal_id: Mapped[str] = mapped_column(ForeignKey("animal.id", ondelete="CASCADE"))
    version: Mapped[int] = mapped_column(default=1)
    key: Mapped[str | None] = mapped_column(String(200))
    kind: Mapped[str] = mapped_column(String(20))
    at_ms: Mapped[int]
    detail: Mapped[dict[str, Any]] = mapped_column(default=dict)
    note: Mapped[str] = mapped_column(String(2000), default="")
    entered_ms: Mapped[int]
    entered_by: Mapped[str] = mapped_column(String(64))
    entered_name: Mapped[str] = mapped_column(String(200), default="")
    deleted_ms: Mapped[int | None]
    deleted_by: Mapped[str | None] = mapped_column(String(64))
    deleted_name: Mapped[str | None] = mapped_column(String(200))
    deleted_why: Mapped[str | None] = mapped_column(String(400))
    __table_args__ = (
        Index(None, "site_id", "at_ms", "id"),
        Index(None, "animal_id", "at_ms"),
        Index("uq_herd_event_key", "site_id", "key", unique=True),
    )


class HerdEventBefore(Base):
    """What an event said in `version`, before it was corrected at `replaced_ms`."""

    __tablename__ = "herd_event_before"
    event_id: Mapped[str] = mapped_column(ForeignKey("herd_event.id", ondelete="CASCADE"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"), index=True)
    animal_id: Mapped[str] = mapped_column(String(32))
    kind: Mapped[str] = mapped_column(String(20))
    at_ms: Mapped[int]
    detail: Mapped[dict[str, Any]] = mapped_column(default=dict)
    note: Mapped[str] = mapped_column(String(2000), default="")
    entered_ms: Mapped[int]
    entered_by: Mapped[str] = mapped_column(String(64))
    entered_name: Mapped[str] = mapped_column(String(200), default="")
    replaced_ms: Mapped[int]


class Field(Base):
    """A field or pasture: its outline (GeoJSON, WGS 84), soil, and the place in which its sensors stand, if any."""

    __tablename__ = "field"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"), index=True)
    version: Mapped[int] = mapped_column(default=1)
    number: Mapped[str | None] = mapped_column(String(32))
    name_ja: Mapped[str] = mapped_column(String(100))
    name_en: Mapped[str] = mapped_column(String(100))
    kind: Mapped[str] = mapped_column(String(16))
    place_id: Mapped[str | None] = mapped_column(String(64))
    outline: Mapped[dict[str, Any] | None]
    area_m2: Mapped[float | None]
    soil: Mapped[str] = mapped_column(String(32), default="unknown")
    note: Mapped[str] = mapped_column(String(2000), default="")
    created_ms: Mapped[int]
    changed_ms: Mapped[int]
    created_by: Mapped[str] = mapped_column(String(64))
    __table_args__ = (
        Index("uq_field_number", "site_id", "number", unique=True),
        Index("uq_field_place_id", "site_id", "place_id", unique=True),
    )


class CropSeason(Base):
    """What grew on a field: sown or planted, and harvested, on days of the farm's calendar."""

    __tablename__ = "crop_season"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"), index=True)
    field_id: Mapped[str] = mapped_column(ForeignKey("field.id", ondelete="CASCADE"), index=True)
    version: Mapped[int] = mapped_column(default=1)
    crop: Mapped[str] = mapped_column(String(64))
    variety: Mapped[str] = mapped_column(String(64), default="")
    sown_on: Mapped[date | None]
    planted_on: Mapped[date | None]
    harvested_on: Mapped[date | None]
    note: Mapped[str] = mapped_column(String(2000), default="")
    created_ms: Mapped[int]
    changed_ms: Mapped[int]
    created_by: Mapped[str] = mapped_column(String(64))
