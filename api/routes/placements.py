"""Places and what stands in them, to be edited: technical, with every change in the farm's audit.

A placement decides of which class of data a value is. Owner and family edit all of it; a technician to whom the farm
shows its technical side moves things from now on, and never so that they see more by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, HTTPException, Path, Query, Response

from api.centre import CentreNow
from api.etags import Changing, Tagging
from api.once import Once
from api.paging import Paging
from api.problems import Refused, existing, invalid
from api.routes.technical import require_technical, require_technical_of_the_farm
from api.sessions import Accounting, SignedIn, writing
from api.shapes import Millis, Names
from api.shapes.placements import (
    PlaceChange,
    PlaceIn,
    PlacementChange,
    PlacementIn,
    PlacementOut,
    PlacementsOut,
    PlaceRowOut,
)
from collectors.registry import placements, sites
from collectors.registry.placements import Impossible, Move
from collectors.registry.schema import Place, Placement

router = APIRouter(tags=["placements"])

PlaceId = Annotated[str, Path(max_length=64)]
PlacementId = Annotated[str, Path(max_length=64)]

WHAT: Final[Mapping[str, Names]] = {
    "/sites/{site}/places/{place_id}": Names(ja="場所を 見ました", en="looked at a place"),
    "/sites/{site}/placements": Names(ja="センサーの 置き場所を 見ました", en="looked at where things stand"),
    "/sites/{site}/placements/{placement_id}": Names(
        ja="センサーの 置き場所を 見ました", en="looked at where something stands"
    ),
    "place.added": Names(ja="場所を 加えました", en="added a place"),
    "place.changed": Names(ja="場所を 直しました", en="changed a place"),
    "place.removed": Names(ja="場所を 消しました", en="removed a place"),
    "placement.moved": Names(ja="センサーを 移しました", en="moved a sensor"),
    "placement.changed": Names(ja="置き場所の 記録を 直しました", en="changed where a sensor stands or stood"),
    "placement.removed": Names(ja="置き場所の 記録を 消しました", en="removed a mistaken placement"),
}


# -------------------------------------------------------------------------------------------------------- places


@router.post("/sites/{site}/places", status_code=201)
def add_place(
    site: str, given: PlaceIn, viewer: SignedIn, account: Accounting, centre: CentreNow, once: Once
) -> PlaceRowOut:
    """A new place, behind the others."""
    require_technical_of_the_farm(account, site)
    with once.write(site, "edit placements") as session:
        try:
            row = placements.add_place(session, viewer, site, given.kind, given.name.both, centre.clock(), given.id)
        except Impossible as error:
            raise _impossible(error) from None
        return once.made(_place(row), f"/sites/{site}/places/{row.id}", version=row.version)


@router.get("/sites/{site}/places/{place_id}")
def place(
    site: str, place_id: PlaceId, viewer: SignedIn, centre: CentreNow, account: Accounting, tags: Tagging
) -> PlaceRowOut:
    """One place, with its version as ETag. What stands in it: `placements`; with values: `places`."""
    require_technical(viewer, site)
    with centre.registry.read() as session:
        row = existing(placements.get_place(session, viewer, site, place_id))
    account.note(site, ["technical"])
    tags.version(row.version)
    return _place(row)


@router.patch("/sites/{site}/places/{place_id}")
def change_place(
    site: str, place_id: PlaceId, given: PlaceChange, viewer: SignedIn, account: Accounting,
    centre: CentreNow, tags: Changing,
    response: Response,
) -> PlaceRowOut:  # fmt: skip
    """Another name, or another position among the places."""
    require_technical_of_the_farm(account, site)
    with writing(centre, viewer, site) as session:
        row = existing(placements.get_place(session, viewer, site, place_id, to_change=True))
        tags.expect(row.version)
        names = given.name.both if given.name else None
        placements.change_place(session, viewer, row, names, given.position, centre.clock())
        return _place(row, response)


@router.delete("/sites/{site}/places/{place_id}", status_code=204)
def remove_place(
    site: str, place_id: PlaceId, viewer: SignedIn, account: Accounting, centre: CentreNow, tags: Changing
) -> None:
    """Takes out a place in which nothing stands; 409 while something does. What stood there stays true."""
    require_technical_of_the_farm(account, site)
    with writing(centre, viewer, site) as session:
        row = existing(placements.get_place(session, viewer, site, place_id, to_change=True))
        tags.expect(row.version)
        try:
            placements.remove_place(session, viewer, row, centre.clock())
        except placements.StandsThere as error:
            raise HTTPException(409, str(error)) from None


# ---------------------------------------------------------------------------------------------------- placements


@router.get("/sites/{site}/placements")
def list_of(
    site: str,
    viewer: SignedIn,
    centre: CentreNow,
    account: Accounting,
    page: Paging,
    subject: Annotated[str | None, Query(max_length=64)] = None,
    at_ms: Annotated[Millis | None, Query()] = None,
) -> PlacementsOut:
    """What stood where when, the newest first; of one `subject`, or as it was at `at_ms`, where given."""
    require_technical(viewer, site)
    with centre.registry.read() as session:
        existing(sites.get_site(session, viewer, site, "technical"))
        rows = placements.list_placements(session, viewer, site, page.ask, page.after, subject=subject, at_ms=at_ms)
    account.note(site, ["technical"])
    shown, following = page.cut(rows, lambda row: (row.from_ms, row.public_id))
    return PlacementsOut(rows=[_placement(row) for row in shown], next=following)


@router.post("/sites/{site}/placements", status_code=201)
def move(
    site: str, given: PlacementIn, viewer: SignedIn, account: Accounting, centre: CentreNow, once: Once
) -> PlacementOut:
    """Moves a subject, or places it. Where it stands already with this role nothing changes."""
    require_technical_of_the_farm(account, site)
    wanted = Move(given.subject, given.place, given.role, given.name.both if given.name else None, given.from_ms)
    with once.write(site, "edit placements") as session:
        try:
            row = placements.move(session, viewer, site, wanted, centre.clock())
        except Impossible as error:
            raise _impossible(error) from None
        return once.made(_placement(row), f"/sites/{site}/placements/{row.public_id}", version=row.version)


@router.get("/sites/{site}/placements/{placement_id}")
def one(
    site: str, placement_id: PlacementId, viewer: SignedIn, centre: CentreNow, account: Accounting, tags: Tagging
) -> PlacementOut:
    """One placement, with its version as ETag."""
    require_technical(viewer, site)
    with centre.registry.read() as session:
        row = existing(placements.get_placement(session, viewer, site, placement_id))
    account.note(site, ["technical"])
    tags.version(row.version)
    return _placement(row)


@router.patch("/sites/{site}/placements/{placement_id}")
def change(
    site: str, placement_id: PlacementId, given: PlacementChange, viewer: SignedIn, account: Accounting,
    centre: CentreNow,
    tags: Changing, response: Response,
) -> PlacementOut:  # fmt: skip
    """Another name or role, taken away, or corrected: where and when it really stood."""
    require_technical_of_the_farm(account, site)
    now_ms = centre.clock()
    with writing(centre, viewer, site) as session:
        row = existing(placements.get_placement(session, viewer, site, placement_id, to_change=True))
        tags.expect(row.version)
        try:
            placements.change(session, viewer, row, _wanted(given, now_ms), now_ms)
        except Impossible as error:
            raise _impossible(error) from None
        return _placement(row, response)


@router.delete("/sites/{site}/placements/{placement_id}", status_code=204)
def remove(
    site: str, placement_id: PlacementId, viewer: SignedIn, account: Accounting, centre: CentreNow, tags: Changing
) -> None:
    """The placement was a mistake: the subject never stood there. For owner and family."""
    require_technical_of_the_farm(account, site)
    with writing(centre, viewer, site) as session:
        row = existing(placements.get_placement(session, viewer, site, placement_id, to_change=True))
        tags.expect(row.version)
        placements.remove(session, viewer, row, centre.clock())


def _wanted(given: PlacementChange, now_ms: int) -> dict[str, Any]:
    said = given.model_fields_set
    wanted: dict[str, Any] = {}
    if given.role is not None:
        wanted["role"] = given.role
    if given.name is not None:
        wanted["names"] = given.name.both
    if given.place is not None:
        wanted["place_id"] = given.place
    if given.from_ms is not None:
        wanted["from_ms"] = given.from_ms
    if "to_ms" in said:
        wanted["to_ms"] = given.to_ms
    if given.taken_away:
        if "to_ms" in said:
            raise invalid("taken_away", "from now on; or say with to_ms since when, one of the two")
        wanted["to_ms"] = now_ms
    return wanted


def _impossible(error: Impossible) -> Refused:
    return invalid(error.where, str(error))


def _place(row: Place, response: Response | None = None) -> PlaceRowOut:
    if response is not None:
        response.headers["ETag"] = f'"{row.version}"'
    return PlaceRowOut(
        id=row.id, kind=row.kind, name=Names(ja=row.name_ja, en=row.name_en), position=row.position,
        edited=row.edited_ms is not None, version=row.version,
    )  # fmt: skip


def _placement(row: Placement, response: Response | None = None) -> PlacementOut:
    if response is not None:
        response.headers["ETag"] = f'"{row.version}"'
    return PlacementOut(
        id=row.public_id, subject=row.subject, place=row.place_id, role=row.role,
        name=Names(ja=row.name_ja or row.subject, en=row.name_en or row.subject), from_ms=row.from_ms,
        to_ms=row.to_ms, edited=row.edited_ms is not None, version=row.version,
    )  # fmt: skip
