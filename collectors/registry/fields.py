"""Fields and pastures: their outlines, soil and crops, and which sensors stand in them.

A field has an outline of its own and, where sensors stand in it, the place of the farm (kind field or pasture) into
which placements put them. The farm may call it by a number. Seasons of crops are dated by the farm's calendar. All of
it is of the data class `field`; owner and family edit it.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final, Literal

from sqlalchemy import delete, func, literal, or_, select, tuple_
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from collectors.registry import audit
from collectors.registry.groups import NoSuchPlace
from collectors.registry.schema import Place, Placement
from collectors.registry.schema.herd import CropSeason, Field
from collectors.registry.viewer import Viewer, may_see, require, spell
from makiba.outline import Outline

FieldKind = Literal["field", "pasture"]
Soil = Literal[
    "unknown", "andosol", "wet-andosol", "brown-forest", "brown-lowland", "grey-lowland", "gley", "peat", "podzol",
    "red-yellow", "terrace", "sand", "made-ground",
]  # fmt: skip

SOIL_NAMES: Final[Mapping[Soil, Mapping[str, str]]] = {
    "unknown": {"ja": "不明", "en": "unknown"},
    "andosol": {"ja": "黒ボク土", "en": "andosol (volcanic ash)"},
    "wet-andosol": {"ja": "多湿黒ボク土", "en": "wet andosol"},
    "brown-forest": {"ja": "褐色森林土", "en": "brown forest soil"},
    "brown-lowland": {"ja": "褐色低地土", "en": "brown lowland soil"},
    "grey-lowland": {"ja": "灰色低地土", "en": "grey lowland soil"},
    "gley": {"ja": "グライ土", "en": "gley soil"},
    "peat": {"ja": "泥炭土", "en": "peat soil"},
    "podzol": {"ja": "ポドゾル", "en": "podzol"},
    "red-yellow": {"ja": "赤黄色土", "en": "red-yellow soil"},
    "terrace": {"ja": "台地土", "en": "terrace soil"},
    "sand": {"ja": "砂丘未熟土", "en": "sand"},
    "made-ground": {"ja": "造成土", "en": "made ground"},
}
"""The groups of soil that maps of Japanese farmland name, as far as a farmer needs them."""

EDITABLE: Final = ("number", "name_ja", "name_en", "kind", "place_id", "outline", "soil", "note")
SEASON_EDITABLE: Final = ("crop", "variety", "sown_on", "planted_on", "harvested_on", "note")
_PLACE_KINDS: Final = ("field", "pasture")


class FieldTaken(ValueError):
    """Another field of the farm has this `number` or this `place`."""

    def __init__(self, field: str) -> None:
        super().__init__(f"{field}: another field of this farm has it")
        self.field = field


class WrongOrder(ValueError):
    """A crop is harvested after it was sown or planted."""


# ------------------------------------------------------------------------------------------------------ reading


def list_fields(
    session: Session,
    viewer: Viewer,
    site: str,
    *,
    limit: int,
    after: tuple[Any, ...] | None = None,
    kind: str | None = None,
    crop: str | None = None,
    q: str | None = None,
) -> Sequence[Field]:
    """The fields of `site` by number, as people count; `crop`: those on which it stands, not harvested yet."""
    if not may_see(viewer, site, "field"):
        return []
    query = select(Field).where(Field.site_id == site)
    if kind is not None:
        query = query.where(Field.kind == kind)
    if crop is not None:
        standing = select(CropSeason.field_id).where(
            CropSeason.site_id == site, CropSeason.crop == crop, CropSeason.harvested_on.is_(None)
        )
        query = query.where(Field.id.in_(standing))
    if q:
        words = (Field.number, Field.name_ja, Field.name_en)
        query = query.where(or_(*(word.icontains(q, autoescape=True) for word in words)))
    number = func.coalesce(Field.number, "")
    order = (func.length(number), number, Field.id)
    if after is not None:
        query = query.where(tuple_(*order) > tuple_(*(literal(value) for value in after)))
    return session.scalars(query.order_by(*order).limit(limit)).all()


def place_of(row: Field) -> tuple[Any, ...]:
    """Where `row` stands in `list_fields`."""
    return (len(row.number or ""), row.number or "", row.id)


def get_field(session: Session, viewer: Viewer, site: str, reference: str, *, lock: bool = False) -> Field | None:
    """The field of this id, or of `number:…`."""
    if not may_see(viewer, site, "field"):
        return None
    key, colon, value = reference.partition(":")
    named = (Field.number == value if key == "number" else Field.id == "") if colon else Field.id == reference
    query = select(Field).where(Field.site_id == site, named)
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    return session.scalar(query)


def sensors_in(session: Session, viewer: Viewer, site: str, places: Sequence[str]) -> dict[str, list[Placement]]:
    """By place, what stands in it now."""
    found: dict[str, list[Placement]] = {}
    if not may_see(viewer, site, "field") or not places:
        return found
    query = select(Placement).where(
        Placement.site_id == site, Placement.place_id.in_(places), Placement.to_ms.is_(None)
    )
    for row in session.scalars(query.order_by(Placement.id)):
        found.setdefault(row.place_id, []).append(row)
    return found


def seasons_of(session: Session, viewer: Viewer, site: str, fields: Sequence[str]) -> dict[str, list[CropSeason]]:
    """By field, what grew on it, the newest first."""
    found: dict[str, list[CropSeason]] = {}
    if not may_see(viewer, site, "field") or not fields:
        return found
    query = select(CropSeason).where(CropSeason.site_id == site, CropSeason.field_id.in_(fields))
    for row in sorted(session.scalars(query), key=_began, reverse=True):
        found.setdefault(row.field_id, []).append(row)
    return found


def get_season(
    session: Session, viewer: Viewer, field: Field, season_id: str, *, lock: bool = False
) -> CropSeason | None:
    """The season."""
    if not may_see(viewer, field.site_id, "field"):
        return None
    query = select(CropSeason).where(CropSeason.field_id == field.id, CropSeason.id == season_id)
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    return session.scalar(query)


def _began(row: CropSeason) -> tuple[str, int, str]:
    began = row.sown_on or row.planted_on or row.harvested_on
    return (began.isoformat() if began else "", row.created_ms, row.id)


# ------------------------------------------------------------------------------------------------------ writing


def add(session: Session, viewer: Viewer, site: str, fields: Mapping[str, Any], now_ms: int) -> Field:
    """A new field; `outline` is a `makiba.outline.Outline` or None. `FieldTaken`, `NoSuchPlace`."""
    require(viewer, site, "edit fields")
    row = Field(
        id=secrets.token_urlsafe(16), site_id=site, version=1, created_ms=now_ms, changed_ms=now_ms,
        created_by=spell(viewer), soil="unknown", note="",
    )  # fmt: skip
    _set(session, row, fields)
    session.add(row)
    _flush(session)
    return row


def change(session: Session, viewer: Viewer, row: Field, fields: Mapping[str, Any], now_ms: int) -> bool:
    """Makes `row` (found locked) say `fields`; False when it says so already."""
    require(viewer, row.site_id, "edit fields")
    changed = {name: value for name, value in fields.items() if _kept(row, name) != _plain(value)}
    if not changed:
        return False
    _set(session, row, changed)
    row.version, row.changed_ms = row.version + 1, now_ms
    audit.note_change(session, viewer, row.site_id, "field.changed", now_ms, field=row.id, fields=sorted(changed))
    _flush(session)
    return True


def remove(session: Session, viewer: Viewer, row: Field, now_ms: int) -> None:
    """Takes the field out, with its seasons. Places, sensors and what they measured stay."""
    require(viewer, row.site_id, "edit fields")
    audit.note_change(session, viewer, row.site_id, "field.removed", now_ms, field=row.id, name=row.name_ja)
    session.execute(delete(Field).where(Field.id == row.id))


def add_season(session: Session, viewer: Viewer, field: Field, told: Mapping[str, Any], now_ms: int) -> CropSeason:
    """A new season on `field`. `WrongOrder`."""
    require(viewer, field.site_id, "edit fields")
    row = CropSeason(
        id=secrets.token_urlsafe(16), site_id=field.site_id, field_id=field.id, version=1, created_ms=now_ms,
        changed_ms=now_ms, created_by=spell(viewer), variety="", note="",
    )  # fmt: skip
    _set_season(row, told)
    session.add(row)
    session.flush()
    return row


def change_season(session: Session, viewer: Viewer, row: CropSeason, told: Mapping[str, Any], now_ms: int) -> bool:
    """Makes `row` (found locked) say `told`; False when it says so already. `WrongOrder`."""
    require(viewer, row.site_id, "edit fields")
    changed = {name: value for name, value in told.items() if getattr(row, name) != value}
    if not changed:
        return False
    _set_season(row, changed)
    row.version, row.changed_ms = row.version + 1, now_ms
    audit.note_change(
        session, viewer, row.site_id, "season.changed", now_ms, field=row.field_id, season=row.id,
        fields=sorted(changed),
    )  # fmt: skip
    session.flush()
    return True


def remove_season(session: Session, viewer: Viewer, row: CropSeason, now_ms: int) -> None:
    """Takes the season out."""
    require(viewer, row.site_id, "edit fields")
    audit.note_change(
        session, viewer, row.site_id, "season.removed", now_ms, field=row.field_id, season=row.id, crop=row.crop
    )
    session.execute(delete(CropSeason).where(CropSeason.id == row.id))


def _set(session: Session, row: Field, fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        if name not in EDITABLE:
            raise ValueError(f"{name!r} is not a field that is edited")
        if name == "outline":
            row.area_m2 = value.area_m2 if isinstance(value, Outline) else None
            value = _plain(value)
        elif name == "place_id" and value is not None:
            place = session.get(Place, (row.site_id, value))
            if place is None or place.kind not in _PLACE_KINDS:
                raise NoSuchPlace("place: the farm has no such field or pasture")
        if name in ("number", "place_id") and value is not None:
            taken = select(Field.id).where(Field.site_id == row.site_id, getattr(Field, name) == value)
            with session.no_autoflush:
                if session.scalar(taken.where(Field.id != row.id)) is not None:
                    raise FieldTaken(name.removesuffix("_id"))
        setattr(row, name, value)


def _plain(value: Any) -> Any:
    return value.geometry if isinstance(value, Outline) else value


def _kept(row: Field, name: str) -> Any:
    return getattr(row, name)


def _set_season(row: CropSeason, told: Mapping[str, Any]) -> None:
    for name, value in told.items():
        if name not in SEASON_EDITABLE:
            raise ValueError(f"{name!r} is not a field that is edited")
        setattr(row, name, value)
    begun: list[date] = [day for day in (row.sown_on, row.planted_on) if day is not None]
    if row.harvested_on is not None and any(day > row.harvested_on for day in begun):
        raise WrongOrder("harvested_on: must not be before it was sown or planted")


def _flush(session: Session) -> None:
    """Two writers at once: the database decides, and the second is told the same as if it had come later."""
    try:
        session.flush()
    except IntegrityError as error:
        raise FieldTaken("place" if re.search("place_id", str(error.orig)) else "number") from None
