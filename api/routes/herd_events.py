"""What happened to animals: entered, corrected with a history, deleted with a reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, HTTPException, Path, Query

from api.centre import CentreNow
from api.etags import Changing, Tagging
from api.once import Once
from api.paging import Paging
from api.problems import existing, invalid
from api.routes.animals import GroupQuery, may_try, must_see
from api.routes.consents import names
from api.sessions import Accounting, SignedIn, writing
from api.shapes import Line, Names
from api.shapes.herd_events import DeletedOut, EventBeforeOut, EventIn, EventOut, EventPut, EventRow, EventsOut
from collectors.registry import animals, herd_events
from collectors.registry.herd_events import Told
from collectors.registry.schema.herd import HerdEvent, HerdEventBefore
from collectors.registry.viewer import require
from makiba.herd_event import KIND_NAMES, Kind
from makiba.reading import EARLIEST_MS, LATEST_MS

router = APIRouter(tags=["herd"])

WHAT: Final[Mapping[str, Names]] = {
    "/sites/{site}/events": Names(ja="牛の できごとを 見ました", en="looked at what happened to animals"),
    "/sites/{site}/events/{event}": Names(ja="牛の できごとを 見ました", en="looked at what happened to an animal"),
    "event.corrected": Names(ja="牛の できごとを 直しました", en="corrected what happened to an animal"),
    "event.deleted": Names(ja="牛の できごとを 消しました", en="deleted what happened to an animal"),
}

EventId = Annotated[str, Path(min_length=1, max_length=64)]
Time = Annotated[int | None, Query(ge=EARLIEST_MS, le=LATEST_MS)]


@router.get("/sites/{site}/events")
def list_of(
    site: str, viewer: SignedIn, centre: CentreNow, account: Accounting, page: Paging, tags: Tagging,
    animal: Annotated[str | None, Query(max_length=64, description="An id or a number of one animal")] = None,
    group: GroupQuery = None,
    kind: Annotated[list[Kind] | None, Query(max_length=14, description="Once for each kind")] = None,
    from_ms: Time = None,
    to_ms: Time = None,
    deleted: Annotated[bool, Query(description="Those that were deleted, too")] = False,
) -> EventsOut:  # fmt: skip
    """What happened in [from_ms, to_ms), the newest first."""
    must_see(viewer, site, "herd")
    with centre.registry.read() as session:
        wanted = animals.find(session, viewer, site, animal) if animal is not None else None
        found = herd_events.list_events(
            session, viewer, site, limit=page.ask, after=page.after, group=group, kinds=kind or (),
            from_ms=from_ms, to_ms=to_ms, deleted=deleted,
            animal=None if animal is None else wanted.id if wanted else "",
        )  # fmt: skip
    rows, more = page.cut(found, lambda row: (row.at_ms, row.id))
    span = None if from_ms is None and to_ms is None else (from_ms or EARLIEST_MS, to_ms or LATEST_MS)
    account.note(site, {"herd"}, span)
    return tags.content(EventsOut(rows=[_row(row) for row in rows], next=more), but={"next"} if more else ())


@router.post("/sites/{site}/events", status_code=201)
def enter(
    site: str, given: EventIn, viewer: SignedIn, account: Accounting, centre: CentreNow, once: Once
) -> EventOut:
    """Enters what happened. An event of this `key` that says the same is that one; one that does not answers 409."""
    may_try(account, site, "herd")
    told = Told(given.at_ms, given.detail, given.note)
    with once.write(site, "enter events") as session:
        animal = animals.find(session, viewer, site, given.animal)
        if animal is None:
            raise invalid("animal", "the farm has no such animal")
        known = herd_events.by_key(session, viewer, site, given.key) if given.key is not None else None
        if known is not None and not herd_events.says(known, animal, told):
            raise HTTPException(409, "key: an event of this key says something else, or was deleted")
        row, _ = _tried(herd_events.enter, session, viewer, animal, told, centre.clock(), key=given.key)
        shown = _shown(row, herd_events.history(session, viewer, row))
        return once.made(shown, f"/sites/{site}/events/{row.id}", version=row.version)


@router.get("/sites/{site}/events/{event}")
def one(
    site: str, event: EventId, viewer: SignedIn, centre: CentreNow, account: Accounting, tags: Tagging
) -> EventOut:
    """One event, deleted or not, with what it said before."""
    must_see(viewer, site, "herd")
    with centre.registry.read() as session:
        row = existing(herd_events.get_event(session, viewer, site, event))
        shown = _shown(row, herd_events.history(session, viewer, row))
    account.note(site, {"herd"})
    tags.version(row.version)
    return shown


@router.put("/sites/{site}/events/{event}")
def correct(
    site: str, event: EventId, given: EventPut, viewer: SignedIn, account: Accounting,
    centre: CentreNow, tags: Changing
) -> EventOut:  # fmt: skip
    """Makes the event say something else; what it said stays in its history. From outside, one's own only."""
    may_try(account, site, "herd")
    told = Told(given.at_ms, given.detail, given.note)
    with writing(centre, viewer, site) as session:
        row = existing(herd_events.get_event(session, viewer, site, event, lock=True))
        require(viewer, site, "enter events")
        tags.expect(row.version)
        if row.deleted_ms is not None:
            raise HTTPException(409, "This event was deleted.")
        _tried(herd_events.correct, session, viewer, row, told, centre.clock())
        shown = _shown(row, herd_events.history(session, viewer, row))
    tags.changed(row.version)
    return shown


@router.delete("/sites/{site}/events/{event}", status_code=204)
def delete(
    site: str, event: EventId, viewer: SignedIn, account: Accounting, centre: CentreNow, tags: Changing,
    why: Annotated[Line, Query(min_length=1, max_length=400, description="The reason, which stays")],
) -> None:  # fmt: skip
    """Makes the event count no more. It stays, with who deleted it and why. From outside, one's own only."""
    may_try(account, site, "herd")
    with writing(centre, viewer, site) as session:
        row = existing(herd_events.get_event(session, viewer, site, event, lock=True))
        require(viewer, site, "enter events")
        tags.expect(row.version)
        _tried(herd_events.delete_event, session, viewer, row, why, centre.clock())


def _tried(do: Any, *args: Any, **more: Any) -> Any:
    """What `do` answers; what it refuses, as a problem."""
    try:
        return do(*args, **more)
    except (herd_events.NoSuchGroup, herd_events.InFuture) as error:
        where, _, why = str(error).partition(": ")
        raise invalid(where, why) from None
    except (herd_events.KeyRace, animals.Taken) as error:
        raise HTTPException(409, str(error)) from None


def _row(row: HerdEvent) -> EventRow:
    return EventRow.model_validate(_told(row))


def _shown(row: HerdEvent, before: Any) -> EventOut:
    return EventOut.model_validate({**_told(row), "history": [_before(was) for was in before]})


def _told(row: HerdEvent) -> dict[str, Any]:
    gone = row.deleted_ms
    return {
        "id": row.id,
        "version": row.version,
        "animal": row.animal_id,
        "kind": row.kind,
        "kind_name": next((names(words) for name, words in KIND_NAMES.items() if name == row.kind), None),
        "at_ms": row.at_ms,
        "detail": row.detail,
        "note": row.note,
        "key": row.key,
        "entered_ms": row.entered_ms,
        "entered_by": row.entered_name or None,
        "deleted": DeletedOut(at_ms=gone, by=row.deleted_name or None, why=row.deleted_why or "") if gone else None,
    }


def _before(row: HerdEventBefore) -> EventBeforeOut:
    return EventBeforeOut.model_validate(
        {
            "version": row.version,
            "kind": row.kind,
            "at_ms": row.at_ms,
            "detail": row.detail,
            "note": row.note,
            "entered_ms": row.entered_ms,
            "entered_by": row.entered_name or None,
            "replaced_ms": row.replaced_ms,
        }
    )
