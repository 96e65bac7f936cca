"""Animals of a farm: who they are, which series are theirs, and what they are just now.

In a path an animal is named by its id, or by `national-id:…`, `tag:…`, `number:…`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any, Final

from fastapi import APIRouter, HTTPException, Path, Query
from sqlalchemy.orm import Session

from api.centre import CentreNow
from api.etags import Changing, Tagging
from api.once import Once
from api.paging import Paging
from api.problems import existing, invalid, not_found
from api.sessions import SERVICE, Account, Accounting, SignedIn, writing
from api.shapes import Names
from api.shapes.herd import (
    AnimalIn,
    AnimalOut,
    AnimalPatch,
    AnimalSeries,
    AnimalSeriesOut,
    AnimalsOut,
    AnimalSubject,
    CowOut,
    HerdOut,
    HerdRow,
)
from collectors.registry import animals, groups, herd_events
from collectors.registry.animals import Subject
from collectors.registry.schema.herd import Animal, HerdMember
from collectors.registry.sight import FarmSight, farm_sight
from collectors.registry.viewer import Viewer, may_see, require
from collectors.store import Point
from makiba.cow import CowState, Status
from makiba.data_class import DataClass
from makiba.quantities import catalogue
from makiba.reading import Series

router = APIRouter(tags=["herd"])

WHAT: Final[Mapping[str, Names]] = {
    "/sites/{site}/animals": Names(ja="牛の 一覧を 見ました", en="looked at the animals"),
    "/sites/{site}/animals/{animal}": Names(ja="牛を 見ました", en="looked at an animal"),
    "/sites/{site}/animals/{animal}/series": Names(ja="牛の 測定値を 見ました", en="looked at an animal's values"),
    "/sites/{site}/animals/{animal}/state": Names(ja="牛の 状態を 見ました", en="looked at an animal's state"),
    "/sites/{site}/herd": Names(ja="牛群の 状態を 見ました", en="looked at the state of the herd"),
    "animal.changed": Names(ja="牛の 記録を 直しました", en="changed an animal"),
    "animal.removed": Names(ja="牛の 記録を 消しました", en="removed an animal"),
}

AnimalRef = Annotated[
    str, Path(min_length=1, max_length=64, description="An id, or `national-id:…`, `tag:…`, `number:…`")
]
GroupQuery = Annotated[str | None, Query(max_length=64, description="Those that are in this group now")]
Search = Annotated[
    str | None,
    Query(min_length=1, max_length=64, pattern=r"^[^\x00]*$", description="A part of a number, a tag or a name"),
]
StatusQuery = Annotated[Status | None, Query(description="Those that are there, sold, or dead")]


def must_see(viewer: Viewer, site: str, data_class: DataClass) -> None:
    """404 for who is shown nothing of this class by the farm, as for a farm that is not there."""
    if not may_see(viewer, site, data_class):
        raise not_found()


def may_try(account: Account, site: str, data_class: DataClass) -> None:
    """`must_see`, for a change: its answer, also a refusal, tells what is there, and so is a read from outside."""
    must_see(account.viewer, site, data_class)
    account.note(site, {data_class})


@router.get("/sites/{site}/animals")
def list_of(
    site: str, viewer: SignedIn, centre: CentreNow, account: Accounting, page: Paging, tags: Tagging,
    status: StatusQuery = None, group: GroupQuery = None, q: Search = None,
) -> AnimalsOut:  # fmt: skip
    """The animals of the farm by number, as people count."""
    must_see(viewer, site, "herd")
    with centre.registry.read() as session:
        found = animals.list_animals(
            session, viewer, site, limit=page.ask, after=page.after, status=status, group=group, q=q
        )
        rows, more = page.cut(found, animals.place_of)
        told = AnimalsOut(rows=_all(session, viewer, site, rows), next=more)
    account.note(site, {"herd"})
    return tags.content(told, but={"next"} if more else ())


@router.get("/sites/{site}/herd")
def herd(
    site: str, viewer: SignedIn, centre: CentreNow, account: Accounting, page: Paging, tags: Tagging,
    status: StatusQuery = "present", group: GroupQuery = None, q: Search = None,
) -> HerdOut:  # fmt: skip
    """The animals as `/animals` lists them, each with what it is just now."""
    must_see(viewer, site, "herd")
    now_ms = centre.clock()
    with centre.registry.read() as session:
        found = animals.list_animals(
            session, viewer, site, limit=page.ask, after=page.after, status=status, group=group, q=q
        )
        rows, more = page.cut(found, animals.place_of)
        shown = _all(session, viewer, site, rows)
        states = herd_events.states_of(session, viewer, site, rows, now_ms)
    told = HerdOut(rows=[HerdRow(animal=a, state=_cow(states[a.id], now_ms)) for a in shown], next=more)
    account.note(site, {"herd"})
    return tags.content(told, but={"next"} if more else ())


@router.post("/sites/{site}/animals", status_code=201)
def add(
    site: str, given: AnimalIn, viewer: SignedIn, account: Accounting, centre: CentreNow, once: Once
) -> AnimalOut:
    """A new animal, present and in no group. 409 when one of its numbers is another's."""
    may_try(account, site, "herd")
    if given.national_id is given.tag is given.number is None:
        require(viewer, site, "edit animals")
        raise invalid("", "one of national_id, tag and number is needed")
    with once.write(site, "edit animals") as session:
        try:
            row = animals.add(session, viewer, site, given.model_dump(), centre.clock())
        except animals.Taken as error:
            raise HTTPException(409, str(error)) from None
        return once.made(_shown(row, None), f"/sites/{site}/animals/{row.id}", version=row.version)


@router.get("/sites/{site}/animals/{animal}")
def one(
    site: str, animal: AnimalRef, viewer: SignedIn, centre: CentreNow, account: Accounting, tags: Tagging
) -> AnimalOut:
    """One animal."""
    must_see(viewer, site, "herd")
    with centre.registry.read() as session:
        row = _found(session, viewer, site, animal)
        told = _all(session, viewer, site, [row])[0]
    account.note(site, {"herd"})
    tags.version(row.version)
    return told


@router.patch("/sites/{site}/animals/{animal}")
def change(
    site: str, animal: AnimalRef, given: AnimalPatch, viewer: SignedIn, account: Accounting,
    centre: CentreNow, tags: Changing
) -> AnimalOut:  # fmt: skip
    """Changes what is given of an animal, found by its id or by one of its three numbers."""
    may_try(account, site, "herd")
    with writing(centre, viewer, site) as session:
        row = _found(session, viewer, site, animal, lock=True)
        require(viewer, site, "edit animals")
        tags.expect(row.version)
        fields = given.model_dump(exclude_unset=True)
        tag_from_ms = fields.pop("tag_from_ms", None)
        if not any(fields.get(name, kept) for name, kept in _numbers(row).items()):
            raise invalid("", "one of national_id, tag and number must stay")
        try:
            animals.change(session, viewer, row, fields, centre.clock(), tag_from_ms=tag_from_ms)
        except animals.Taken as error:
            raise HTTPException(409, str(error)) from None
        except animals.WrongTime as error:
            raise invalid("tag_from_ms", str(error).partition(": ")[2]) from None
        told = _all(session, viewer, site, [row])[0]
    tags.changed(row.version)
    return told


@router.delete("/sites/{site}/animals/{animal}", status_code=204)
def remove(
    site: str, animal: AnimalRef, viewer: SignedIn, account: Accounting, centre: CentreNow, tags: Changing
) -> None:
    """Takes an animal out that was entered by mistake. 409 when events tell of it: enter a sale or a death then."""
    may_try(account, site, "herd")
    with writing(centre, viewer, site) as session:
        row = _found(session, viewer, site, animal, lock=True)
        require(viewer, site, "edit animals")
        tags.expect(row.version)
        try:
            animals.remove(session, viewer, row, centre.clock())
        except animals.InUse as error:
            raise HTTPException(409, str(error)) from None


@router.get("/sites/{site}/animals/{animal}/state")
def state(
    site: str, animal: AnimalRef, viewer: SignedIn, centre: CentreNow, account: Accounting, tags: Tagging
) -> CowOut:
    """What the animal is just now: lactating, dry, pregnant, withheld; worked out from its events."""
    must_see(viewer, site, "herd")
    now_ms = centre.clock()
    with centre.registry.read() as session:
        row = _found(session, viewer, site, animal)
        told = _cow(herd_events.states_of(session, viewer, site, [row], now_ms)[row.id], now_ms)
    account.note(site, {"herd"})
    return tags.content(told, but={"time_ms"})


@router.get("/sites/{site}/animals/{animal}/series")
def series(site: str, animal: AnimalRef, viewer: SignedIn, centre: CentreNow, account: Accounting) -> AnimalSeriesOut:
    """Which series are the animal's, and when: those of its ten digits, and of each tag while it wore it."""
    must_see(viewer, site, "herd")
    with centre.registry.read() as session:
        row = _found(session, viewer, site, animal)
        subjects = animals.subjects_of(session, viewer, row)
        sight = farm_sight(session, SERVICE, viewer, site)
    shown = _series(subjects, centre.store.latest(site, {s.subject for s in subjects}), sight)
    told = AnimalSeriesOut(
        subjects=[AnimalSubject(subject=s.subject, from_ms=s.from_ms, to_ms=s.to_ms) for s in subjects], series=shown
    )
    account.note(site, {"herd", *(c for s in shown for c in sight.classes_of(s.subject, s.quantity))})
    return told


def _series(subjects: Sequence[Subject], latest: Mapping[Series, Point], sight: FarmSight) -> list[AnimalSeries]:
    told = []
    for own in subjects:
        for known, point in sorted(latest.items()):
            word = catalogue().get(known.quantity)
            if known.subject != own.subject or word is None or not sight.spans(known.subject, known.quantity):
                continue
            is_own = (own.from_ms or 0) <= point.time_ms and (own.to_ms is None or point.time_ms < own.to_ms)
            is_own = is_own and sight.may_read(known.subject, known.quantity, point.time_ms)
            told.append(
                AnimalSeries(
                    subject=known.subject,
                    quantity=known.quantity,
                    name=Names(ja=word.names["ja"], en=word.names["en"]),
                    unit=word.show_unit,
                    factor=word.show_factor,
                    offset=word.show_offset,
                    decimals=word.decimals,
                    from_ms=own.from_ms,
                    to_ms=own.to_ms,
                    time_ms=point.time_ms if is_own else None,
                    value=point.value if is_own else None,
                )
            )
    return told


def _found(session: Session, viewer: Viewer, site: str, animal: str, *, lock: bool = False) -> Animal:
    return existing(animals.find(session, viewer, site, animal, lock=lock))


def _all(session: Session, viewer: Viewer, site: str, rows: Sequence[Animal]) -> list[AnimalOut]:
    inside = groups.group_now(session, viewer, site, [row.id for row in rows])
    return [_shown(row, inside.get(row.id)) for row in rows]


def _numbers(row: Animal) -> dict[str, Any]:
    return {"national_id": row.national_id, "tag": row.tag, "number": row.number}


def _shown(row: Animal, stay: HerdMember | None) -> AnimalOut:
    return AnimalOut.model_validate(
        {
            "id": row.id,
            "version": row.version,
            **_numbers(row),
            "tag_from_ms": row.tag_from_ms,
            "name": row.name,
            "sex": row.sex,
            "breed": row.breed,
            "born_on": row.born_on,
            "dam": row.dam,
            "sire": row.sire,
            "note": row.note,
            "status": row.status,
            "group": stay.group_id if stay else None,
            "group_from_ms": stay.from_ms if stay else None,
            "created_ms": row.created_ms,
            "changed_ms": row.changed_ms,
        }
    )


def _cow(state: CowState, now_ms: int) -> CowOut:
    return CowOut(time_ms=now_ms, **asdict(state))
