"""Groups of animals, and who is or was in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, HTTPException, Path, Query

from api.centre import CentreNow
from api.etags import Changing, Tagging
from api.once import Once
from api.paging import Paging
from api.problems import existing, invalid
from api.routes.animals import may_try, must_see
from api.sessions import Accounting, SignedIn, writing
from api.shapes import Names
from api.shapes.herd import (
    GroupAnimalOut,
    GroupAnimalsOut,
    GroupIn,
    GroupOut,
    GroupPatch,
    GroupRow,
    GroupsOut,
    MovesIn,
    MovesOut,
)
from collectors.registry import animals, groups, herd_events
from collectors.registry.herd_events import Told
from collectors.registry.schema.herd import HerdGroup
from collectors.registry.viewer import require
from makiba.herd_event import Move
from makiba.reading import EARLIEST_MS, LATEST_MS

router = APIRouter(tags=["herd"])

WHAT: Final[Mapping[str, Names]] = {
    "/sites/{site}/groups": Names(ja="牛群の 一覧を 見ました", en="looked at the groups of animals"),
    "/sites/{site}/groups/{group}": Names(ja="牛群を 見ました", en="looked at a group of animals"),
    "/sites/{site}/groups/{group}/animals": Names(ja="牛群の 牛を 見ました", en="looked at who is in a group"),
    "group.changed": Names(ja="牛群を 直しました", en="changed a group of animals"),
    "group.removed": Names(ja="牛群を 消しました", en="removed a group of animals"),
}

GroupId = Annotated[str, Path(min_length=1, max_length=64)]


@router.get("/sites/{site}/groups")
def list_of(
    site: str, viewer: SignedIn, centre: CentreNow, account: Accounting, page: Paging, tags: Tagging
) -> GroupsOut:
    """The groups of the farm, and how many animals are in each."""
    must_see(viewer, site, "herd")
    with centre.registry.read() as session:
        found = groups.list_groups(session, viewer, site, limit=page.ask, after=page.after)
        sizes = groups.sizes(session, viewer, site)
    rows, more = page.cut(found, lambda row: (row.created_ms, row.id))
    shown = [GroupRow(**_shown(row).model_dump(), animals=sizes.get(row.id, 0)) for row in rows]
    account.note(site, {"herd"})
    return tags.content(GroupsOut(rows=shown, next=more), but={"next"} if more else ())


@router.post("/sites/{site}/groups", status_code=201)
def add(site: str, given: GroupIn, viewer: SignedIn, account: Accounting, centre: CentreNow, once: Once) -> GroupOut:
    """A new group."""
    may_try(account, site, "herd")
    with once.write(site, "edit animals") as session:
        try:
            row = groups.add(session, viewer, site, _fields(given), centre.clock())
        except groups.NoSuchPlace as error:
            raise invalid("place", str(error).partition(": ")[2]) from None
        return once.made(_shown(row), f"/sites/{site}/groups/{row.id}", version=row.version)


@router.get("/sites/{site}/groups/{group}")
def one(
    site: str, group: GroupId, viewer: SignedIn, centre: CentreNow, account: Accounting, tags: Tagging
) -> GroupOut:
    """One group."""
    must_see(viewer, site, "herd")
    with centre.registry.read() as session:
        row = existing(groups.get_group(session, viewer, site, group))
    account.note(site, {"herd"})
    tags.version(row.version)
    return _shown(row)


@router.patch("/sites/{site}/groups/{group}")
def change(
    site: str, group: GroupId, given: GroupPatch, viewer: SignedIn, account: Accounting,
    centre: CentreNow, tags: Changing
) -> GroupOut:  # fmt: skip
    """Changes what is given of a group."""
    may_try(account, site, "herd")
    with writing(centre, viewer, site) as session:
        row = existing(groups.get_group(session, viewer, site, group, lock=True))
        require(viewer, site, "edit animals")
        tags.expect(row.version)
        try:
            groups.change(session, viewer, row, _fields(given), centre.clock())
        except groups.NoSuchPlace as error:
            raise invalid("place", str(error).partition(": ")[2]) from None
    tags.changed(row.version)
    return _shown(row)


@router.delete("/sites/{site}/groups/{group}", status_code=204)
def remove(
    site: str, group: GroupId, viewer: SignedIn, account: Accounting, centre: CentreNow, tags: Changing
) -> None:
    """Takes a group out in which never an animal was; 409 otherwise."""
    may_try(account, site, "herd")
    with writing(centre, viewer, site) as session:
        row = existing(groups.get_group(session, viewer, site, group, lock=True))
        require(viewer, site, "edit animals")
        tags.expect(row.version)
        try:
            groups.remove(session, viewer, row, centre.clock())
        except animals.InUse as error:
            raise HTTPException(409, str(error)) from None


@router.get("/sites/{site}/groups/{group}/animals")
def members(
    site: str, group: GroupId, viewer: SignedIn, centre: CentreNow, account: Accounting, page: Paging,
    tags: Tagging, at_ms: Annotated[int | None, Query(ge=EARLIEST_MS, le=LATEST_MS)] = None,
) -> GroupAnimalsOut:  # fmt: skip
    """Who is in the group now, or was at `at_ms`."""
    must_see(viewer, site, "herd")
    with centre.registry.read() as session:
        row = existing(groups.get_group(session, viewer, site, group))
        found = groups.list_members(session, viewer, row, limit=page.ask, at_ms=at_ms, after=page.after)
    rows, more = page.cut(found, lambda both: (both[0].from_ms, both[0].animal_id))
    shown = [
        GroupAnimalOut(animal=a.id, number=a.number, name=a.name, from_ms=m.from_ms, to_ms=m.to_ms) for m, a in rows
    ]
    account.note(site, {"herd"}, None if at_ms is None else (at_ms, at_ms + 1))
    return tags.content(GroupAnimalsOut(rows=shown, next=more), but={"next"} if more else ())


@router.post("/sites/{site}/groups/{group}/animals", status_code=201)
def move_in(
    site: str, group: GroupId, given: MovesIn, viewer: SignedIn, account: Accounting, centre: CentreNow, once: Once
) -> MovesOut:
    """Moves animals into the group, all of them or none."""
    may_try(account, site, "herd")
    with once.write(site) as session:
        row = existing(groups.get_group(session, viewer, site, group))
        require(viewer, site, "enter events")
        told = Told(given.at_ms, Move(group=row.id), given.note)
        entered = []
        for n, reference in enumerate(given.animals):
            animal = animals.find(session, viewer, site, reference)
            if animal is None:
                raise invalid(f"animals.{n}", "the farm has no such animal")
            try:
                entered.append(herd_events.enter(session, viewer, animal, told, centre.clock())[0].id)
            except herd_events.InFuture as error:
                raise invalid("at_ms", str(error).partition(": ")[2]) from None
        return once.made(MovesOut(events=entered), f"/sites/{site}/groups/{row.id}/animals")


def _fields(given: GroupIn | GroupPatch) -> dict[str, Any]:
    """What is given, by the registry's names."""
    told = given.model_dump(exclude_unset=True)
    fields: dict[str, Any] = {n: told[n] for n in ("kind", "note") if told.get(n) is not None}
    if given.name is not None:
        fields["name_ja"], fields["name_en"] = given.name.both
    if "place" in told:
        fields["place_id"] = told["place"]
    return fields


def _shown(row: HerdGroup) -> GroupOut:
    return GroupOut.model_validate(
        {
            "id": row.id,
            "version": row.version,
            "name": Names(ja=row.name_ja, en=row.name_en),
            "kind": row.kind,
            "place": row.place_id,
            "note": row.note,
            "created_ms": row.created_ms,
            "changed_ms": row.changed_ms,
        }
    )
