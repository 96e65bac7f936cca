"""Fields and pastures, as JSON or as GeoJSON (`Accept: application/geo+json`); what grows and what stands on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, HTTPException, Path, Query, Request
from sqlalchemy.orm import Session

from api.centre import CentreNow
from api.etags import Changing, Tagging
from api.media import JSON, accepted
from api.once import Once
from api.paging import Paging
from api.problems import existing, invalid
from api.routes.animals import may_try, must_see
from api.routes.consents import names
from api.sessions import Accounting, SignedIn, writing
from api.shapes import Names
from api.shapes.fields import (
    AreaOut,
    FeatureCollectionOut,
    FeatureOut,
    FieldIn,
    FieldOut,
    FieldPatch,
    FieldRow,
    FieldsOut,
    SeasonIn,
    SeasonOut,
    SeasonPatch,
    SeasonsOut,
    SensorOut,
    SensorsOut,
)
from collectors.registry import fields
from collectors.registry.fields import SOIL_NAMES, FieldKind, FieldTaken, WrongOrder
from collectors.registry.groups import NoSuchPlace
from collectors.registry.schema import Placement
from collectors.registry.schema.herd import CropSeason, Field
from collectors.registry.viewer import Viewer, require
from makiba.outline import CHO_M2, TAN_M2, NotAnOutline, bounds, make_outline, oddities

router = APIRouter(tags=["fields"])

WHAT: Final[Mapping[str, Names]] = {
    "/sites/{site}/fields": Names(ja="畑の 一覧を 見ました", en="looked at the fields"),
    "/sites/{site}/fields/{field}": Names(ja="畑を 見ました", en="looked at a field"),
    "/sites/{site}/fields/{field}/sensors": Names(ja="畑の センサーを 見ました", en="looked at a field's sensors"),
    "/sites/{site}/fields/{field}/seasons": Names(ja="畑の 作付けを 見ました", en="looked at a field's crops"),
    "/sites/{site}/fields/{field}/seasons/{season}": Names(ja="作付けを 見ました", en="looked at a crop"),
    "field.changed": Names(ja="畑を 直しました", en="changed a field"),
    "field.removed": Names(ja="畑を 消しました", en="removed a field"),
    "season.changed": Names(ja="作付けを 直しました", en="changed a crop"),
    "season.removed": Names(ja="作付けを 消しました", en="removed a crop"),
}
GEOJSON: Final = "application/geo+json"

FieldRef = Annotated[str, Path(min_length=1, max_length=64, description="An id, or `number:…`")]
SeasonId = Annotated[str, Path(min_length=1, max_length=64)]


@router.get(
    "/sites/{site}/fields",
    response_model=FieldsOut,
    responses={200: {"content": {GEOJSON: {"schema": FeatureCollectionOut.model_json_schema()}}}},
)
def list_of(
    site: str, request: Request, viewer: SignedIn, centre: CentreNow, account: Accounting, page: Paging,
    tags: Tagging,
    kind: FieldKind | None = None,
    crop: Annotated[str | None, Query(max_length=64, description="Those on which this crop stands")] = None,
    q: Annotated[str | None, Query(min_length=1, max_length=64, description="A part of a number or name")] = None,
) -> Any:  # fmt: skip
    """The fields of the farm, each with its crops and sensors; as a GeoJSON FeatureCollection by `Accept`."""
    must_see(viewer, site, "field")
    form = accepted(request, (JSON, GEOJSON))
    with centre.registry.read() as session:
        found = fields.list_fields(session, viewer, site, limit=page.ask, after=page.after, kind=kind, crop=crop, q=q)
        rows, more = page.cut(found, fields.place_of)
        shown = _rows(session, viewer, site, rows)
    account.note(site, {"field"})
    tags.response.headers["Vary"] = "Accept"
    told = FieldsOut(rows=shown, next=more) if form == JSON else _geojson(shown, more)
    state = told.model_dump_json(exclude={"next"} if more else set()).encode()
    return tags.spelled(told.model_dump_json().encode(), form, state=state)


@router.post("/sites/{site}/fields", status_code=201)
def add(site: str, given: FieldIn, viewer: SignedIn, account: Accounting, centre: CentreNow, once: Once) -> FieldOut:
    """A new field. Its outline is made regular; 422 says what is wrong with one that cannot be."""
    may_try(account, site, "field")
    with once.write(site, "edit fields") as session:
        row = _tried(fields.add, session, viewer, site, _fields(given), centre.clock())
        return once.made(FieldOut(**_told(row)), f"/sites/{site}/fields/{row.id}", version=row.version)


@router.get("/sites/{site}/fields/{field}")
def one(
    site: str, field: FieldRef, viewer: SignedIn, centre: CentreNow, account: Accounting, tags: Tagging
) -> FieldOut:
    """One field."""
    must_see(viewer, site, "field")
    with centre.registry.read() as session:
        row = _found(session, viewer, site, field)
    account.note(site, {"field"})
    tags.version(row.version)
    return FieldOut(**_told(row))


@router.patch("/sites/{site}/fields/{field}")
def change(
    site: str, field: FieldRef, given: FieldPatch, viewer: SignedIn, account: Accounting,
    centre: CentreNow, tags: Changing,
) -> FieldOut:  # fmt: skip
    """Changes what is given of a field."""
    may_try(account, site, "field")
    with writing(centre, viewer, site) as session:
        row = _found(session, viewer, site, field, lock=True)
        require(viewer, site, "edit fields")
        tags.expect(row.version)
        _tried(fields.change, session, viewer, row, _fields(given), centre.clock())
    tags.changed(row.version)
    return FieldOut(**_told(row))


@router.delete("/sites/{site}/fields/{field}", status_code=204)
def remove(
    site: str, field: FieldRef, viewer: SignedIn, account: Accounting, centre: CentreNow, tags: Changing
) -> None:
    """Takes a field out, with its crops. Places, sensors and what they measured stay."""
    may_try(account, site, "field")
    with writing(centre, viewer, site) as session:
        row = _found(session, viewer, site, field, lock=True)
        require(viewer, site, "edit fields")
        tags.expect(row.version)
        fields.remove(session, viewer, row, centre.clock())


@router.get("/sites/{site}/fields/{field}/sensors")
def sensors(
    site: str, field: FieldRef, viewer: SignedIn, centre: CentreNow, account: Accounting, tags: Tagging
) -> SensorsOut:
    """What stands in the field now: what its place's placements say."""
    must_see(viewer, site, "field")
    with centre.registry.read() as session:
        row = _found(session, viewer, site, field)
        standing = fields.sensors_in(session, viewer, site, [row.place_id] if row.place_id else [])
    account.note(site, {"field"})
    return tags.content(SensorsOut(sensors=[_sensor(p) for p in standing.get(row.place_id or "", [])]))


# ----------------------------------------------------------------------------------------------------- seasons


@router.get("/sites/{site}/fields/{field}/seasons")
def seasons(
    site: str, field: FieldRef, viewer: SignedIn, centre: CentreNow, account: Accounting, tags: Tagging
) -> SeasonsOut:
    """What grew on the field, the newest first."""
    must_see(viewer, site, "field")
    with centre.registry.read() as session:
        row = _found(session, viewer, site, field)
        found = fields.seasons_of(session, viewer, site, [row.id]).get(row.id, [])
    account.note(site, {"field"})
    return tags.content(SeasonsOut(seasons=[_season(one_of) for one_of in found]))


@router.post("/sites/{site}/fields/{field}/seasons", status_code=201)
def add_season(
    site: str, field: FieldRef, given: SeasonIn, viewer: SignedIn, account: Accounting, centre: CentreNow, once: Once
) -> SeasonOut:
    """A crop on the field."""
    may_try(account, site, "field")
    with once.write(site) as session:
        row = _found(session, viewer, site, field)
        told = given.model_dump()
        season = _tried(fields.add_season, session, viewer, row, told, centre.clock())
        where = f"/sites/{site}/fields/{row.id}/seasons/{season.id}"
        return once.made(_season(season), where, version=season.version)


@router.get("/sites/{site}/fields/{field}/seasons/{season}")
def one_season(
    site: str, field: FieldRef, season: SeasonId, viewer: SignedIn, centre: CentreNow, account: Accounting,
    tags: Tagging,
) -> SeasonOut:  # fmt: skip
    """One crop on the field."""
    must_see(viewer, site, "field")
    with centre.registry.read() as session:
        row = _found_season(session, viewer, site, field, season)
    account.note(site, {"field"})
    tags.version(row.version)
    return _season(row)


@router.patch("/sites/{site}/fields/{field}/seasons/{season}")
def change_season(
    site: str, field: FieldRef, season: SeasonId, given: SeasonPatch, viewer: SignedIn, account: Accounting,
    centre: CentreNow,
    tags: Changing,
) -> SeasonOut:  # fmt: skip
    """Changes what is given of a crop."""
    may_try(account, site, "field")
    with writing(centre, viewer, site) as session:
        row = _found_season(session, viewer, site, field, season, lock=True)
        require(viewer, site, "edit fields")
        tags.expect(row.version)
        told = given.model_dump(exclude_unset=True)
        told = {name: value for name, value in told.items() if value is not None or name.endswith("_on")}
        _tried(fields.change_season, session, viewer, row, told, centre.clock())
    tags.changed(row.version)
    return _season(row)


@router.delete("/sites/{site}/fields/{field}/seasons/{season}", status_code=204)
def remove_season(
    site: str,
    field: FieldRef,
    season: SeasonId,
    viewer: SignedIn,
    account: Accounting,
    centre: CentreNow,
    tags: Changing,
) -> None:
    """Takes a crop out that was entered by mistake."""
    may_try(account, site, "field")
    with writing(centre, viewer, site) as session:
        row = _found_season(session, viewer, site, field, season, lock=True)
        require(viewer, site, "edit fields")
        tags.expect(row.version)
        fields.remove_season(session, viewer, row, centre.clock())


# ------------------------------------------------------------------------------------------------------- parts


def _found(session: Session, viewer: Viewer, site: str, field: str, *, lock: bool = False) -> Field:
    return existing(fields.get_field(session, viewer, site, field, lock=lock))


def _found_season(
    session: Session, viewer: Viewer, site: str, field: str, season: str, *, lock: bool = False
) -> CropSeason:
    return existing(fields.get_season(session, viewer, _found(session, viewer, site, field), season, lock=lock))


def _tried(do: Any, *args: Any) -> Any:
    """What `do` answers; what it refuses, as a problem."""
    try:
        return do(*args)
    except FieldTaken as error:
        raise HTTPException(409, str(error)) from None
    except (NoSuchPlace, WrongOrder) as error:
        where, _, why = str(error).partition(": ")
        raise invalid(where, why) from None


def _fields(given: FieldIn | FieldPatch) -> dict[str, Any]:
    """What is given, by the registry's names."""
    told = given.model_dump(exclude_unset=True)
    found: dict[str, Any] = {n: told[n] for n in ("kind", "soil", "note") if told.get(n) is not None}
    if given.name is not None:
        found["name_ja"], found["name_en"] = given.name.both
    if "number" in told:
        found["number"] = told["number"]
    if "place" in told:
        found["place_id"] = told["place"]
    if "outline" in told:
        try:
            found["outline"] = make_outline(told["outline"]) if told["outline"] is not None else None
        except NotAnOutline as error:
            raise invalid("outline", str(error)) from None
    return found


def _rows(session: Session, viewer: Viewer, site: str, rows: Sequence[Field]) -> list[FieldRow]:
    grown = fields.seasons_of(session, viewer, site, [row.id for row in rows])
    standing = fields.sensors_in(session, viewer, site, [row.place_id for row in rows if row.place_id])
    return [
        FieldRow(
            **_told(row),
            seasons=[_season(one_of) for one_of in grown.get(row.id, [])],
            sensors=[_sensor(p) for p in standing.get(row.place_id or "", [])],
        )
        for row in rows
    ]


def _told(row: Field) -> dict[str, Any]:
    area = row.area_m2
    return {
        "id": row.id,
        "version": row.version,
        "name": Names(ja=row.name_ja, en=row.name_en),
        "kind": row.kind,
        "number": row.number,
        "place": row.place_id,
        "outline": row.outline,
        "bbox": list(bounds(row.outline)) if row.outline else None,
        "area": None if area is None else AreaOut(m2=area, ha=area / 1e4, tan=area / TAN_M2, cho=area / CHO_M2),
        "soil": row.soil,
        "soil_name": next((names(words) for soil, words in SOIL_NAMES.items() if soil == row.soil), None),
        "note": row.note,
        "warnings": list(oddities(row.outline)) if row.outline else [],
        "created_ms": row.created_ms,
        "changed_ms": row.changed_ms,
    }


def _season(row: CropSeason) -> SeasonOut:
    return SeasonOut(
        id=row.id,
        version=row.version,
        crop=row.crop,
        variety=row.variety,
        sown_on=row.sown_on,
        planted_on=row.planted_on,
        harvested_on=row.harvested_on,
        note=row.note,
        created_ms=row.created_ms,
        changed_ms=row.changed_ms,
    )


def _sensor(row: Placement) -> SensorOut:
    name = Names(ja=row.name_ja or row.subject, en=row.name_en or row.subject)
    return SensorOut(subject=row.subject, name=name, role=row.role, from_ms=row.from_ms)


def _geojson(rows: Sequence[FieldRow], more: str | None) -> FeatureCollectionOut:
    return FeatureCollectionOut(
        features=[
            FeatureOut(
                id=row.id,
                geometry=row.outline,
                bbox=row.bbox,
                properties=row.model_dump(mode="json", exclude={"id", "outline", "bbox"}),
            )
            for row in rows
        ],
        next=more,
    )
