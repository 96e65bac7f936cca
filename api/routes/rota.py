"""The rota of a farm: who is on call when. Its own people see it; owner and family edit it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Path, Query

from api.centre import CentreNow
from api.etags import Changing, Tagging
from api.once import Once
from api.paging import Paging
from api.problems import existing, invalid
from api.routes.consents import names, require_insider
from api.sessions import SignedIn, writing
from api.shapes import Millis, Names
from api.shapes.farm import (
    SHIFT_EXAMPLES,
    OnCallNowOut,
    OnCallOut,
    OverlapOut,
    RotaCheckOut,
    ShiftIn,
    ShiftOut,
    ShiftsOut,
    SpanOut,
    WeeklyIn,
)
from collectors.registry import rota
from collectors.registry.contacts import TooMany
from collectors.registry.rota import Callee, ShiftSpec
from collectors.registry.rota_times import OnCall, Tier, Who, gaps, on_call, overlaps
from collectors.registry.schema.farm import Shift
from collectors.registry.viewer import ROLE_NAMES

router = APIRouter(tags=["contacts and rota"])

ShiftId = Annotated[str, Path(max_length=64)]
Given = Annotated[ShiftIn, Body(openapi_examples=SHIFT_EXAMPLES)]

CHECKED_MS: Final = 14 * 86_400_000
LONGEST_CHECK_MS: Final = 92 * 86_400_000

WHAT: Final[Mapping[str, Names]] = {
    "rota.added": Names(ja="当番を 加えました", en="added a line to the rota"),
    "rota.changed": Names(ja="当番を 直しました", en="changed a line of the rota"),
    "rota.removed": Names(ja="当番を 消しました", en="removed a line of the rota"),
}


@router.get("/sites/{site}/on-call")
def who_is_on_call(
    site: str, viewer: SignedIn, centre: CentreNow, at_ms: Annotated[Millis | None, Query()] = None
) -> OnCallNowOut:
    """Who is on call now, or at `at_ms`, in the order in which they are asked. Nobody: an empty list."""
    require_insider(viewer, site)
    when = centre.clock() if at_ms is None else at_ms
    with centre.registry.read() as session:
        desk = rota.desk_of(session, viewer, site)
    return OnCallNowOut(
        at_ms=when, on_call=[_turn(turn, desk.callees[turn.who]) for turn in on_call(desk.rota, when)]
    )


@router.get("/sites/{site}/rota")
def list_of(site: str, viewer: SignedIn, centre: CentreNow, page: Paging) -> ShiftsOut:
    """The lines of the rota: dated, weekly, and absences."""
    require_insider(viewer, site)
    with centre.registry.read() as session:
        rows = rota.list_shifts(session, viewer, site, page.ask, page.after)
        people, callees = rota.people_of(session, viewer, site), rota.callees_of(session, viewer, site)
    shown, following = page.cut(rows, lambda row: (row.id,))
    return ShiftsOut(rows=[_shown(row, people, callees) for row in shown], next=following)


@router.get("/sites/{site}/rota-check")
def check(
    site: str,
    viewer: SignedIn,
    centre: CentreNow,
    from_ms: Annotated[Millis | None, Query()] = None,
    to_ms: Annotated[Millis | None, Query()] = None,
) -> RotaCheckOut:
    """When in [from_ms, to_ms) nobody is on call, and when several are at once; the next 14 days unless asked."""
    require_insider(viewer, site)
    start = centre.clock() if from_ms is None else from_ms
    end = start + CHECKED_MS if to_ms is None else to_ms
    if not start < end <= start + LONGEST_CHECK_MS:
        raise invalid("query.to_ms", "after from_ms, and at most 92 days later")
    with centre.registry.read() as session:
        desk = rota.desk_of(session, viewer, site)
    return RotaCheckOut(
        from_ms=start,
        to_ms=end,
        gaps=[SpanOut(from_ms=a, to_ms=b) for a, b in gaps(desk.rota, start, end)],
        overlaps=[
            OverlapOut(tier=o.tier, from_ms=o.from_ms, to_ms=o.to_ms, names=[desk.callees[w].name for w in o.who])
            for o in overlaps(desk.rota, start, end)
        ],
        vacant=[line.id for line in desk.rota.lines if line.who is None],
    )


@router.post("/sites/{site}/rota", status_code=201)
def add(site: str, given: Given, viewer: SignedIn, centre: CentreNow, once: Once) -> ShiftOut:
    """A new line: once (`dated`), every week (`weekly`), or somebody is away (`absence`)."""
    require_insider(viewer, site)
    with once.write(site, "edit rota") as session:
        try:
            row = rota.add_shift(session, viewer, site, _spec(given), centre.clock())
        except (rota.NobodyThere, TooMany) as error:
            raise invalid(_where(given, error), str(error)) from None
        people, callees = rota.people_of(session, viewer, site), rota.callees_of(session, viewer, site)
        return once.made(_shown(row, people, callees), f"/sites/{site}/rota/{row.id}", version=row.version)


@router.get("/sites/{site}/rota/{shift_id}")
def one(site: str, shift_id: ShiftId, viewer: SignedIn, centre: CentreNow, tags: Tagging) -> ShiftOut:
    """One line, with its version as ETag."""
    require_insider(viewer, site)
    with centre.registry.read() as session:
        row = existing(rota.get_shift(session, viewer, site, shift_id))
        people, callees = rota.people_of(session, viewer, site), rota.callees_of(session, viewer, site)
    tags.version(row.version)
    return _shown(row, people, callees)


@router.put("/sites/{site}/rota/{shift_id}")
def change(
    site: str, shift_id: ShiftId, given: Given, viewer: SignedIn, centre: CentreNow, tags: Changing
) -> ShiftOut:  # fmt: skip
    """Makes the line say what is given; it may become one of another kind."""
    require_insider(viewer, site)
    with writing(centre, viewer, site) as session:
        row = existing(rota.get_shift(session, viewer, site, shift_id, to_change=True))
        tags.expect(row.version)
        try:
            rota.change_shift(session, viewer, row, _spec(given), centre.clock())
        except rota.NobodyThere as error:
            raise invalid(_where(given, error), str(error)) from None
        session.flush()
        tags.changed(row.version)
        people, callees = rota.people_of(session, viewer, site), rota.callees_of(session, viewer, site)
        return _shown(row, people, callees)


@router.delete("/sites/{site}/rota/{shift_id}", status_code=204)
def remove(site: str, shift_id: ShiftId, viewer: SignedIn, centre: CentreNow, tags: Changing) -> None:
    """Takes the line out."""
    require_insider(viewer, site)
    with writing(centre, viewer, site) as session:
        row = existing(rota.get_shift(session, viewer, site, shift_id, to_change=True))
        tags.expect(row.version)
        rota.remove_shift(session, viewer, row, centre.clock())


def _where(given: Any, error: Exception) -> str:
    if isinstance(error, TooMany):
        return ""
    return "contact" if given.person is None else "person"


def _spec(given: Any) -> ShiftSpec:
    if isinstance(given, WeeklyIn):
        return ShiftSpec(
            "weekly", given.tier, given.position, given.person, given.contact, weekdays=tuple(given.weekdays),
            start_minute=given.start_minute, minutes=given.minutes, first_day=given.first_day or "",
            last_day=given.last_day or "", except_days=tuple(given.except_days), note=given.note,
        )  # fmt: skip
    tier: Tier = getattr(given, "tier", "owner")  # an absence has none
    position = getattr(given, "position", 0)
    return ShiftSpec(
        given.kind, tier, position, given.person, given.contact, given.from_ms, given.to_ms, note=given.note
    )


def _shown(row: Shift, people: Mapping[int, str], callees: Mapping[Who, Callee]) -> ShiftOut:
    who = rota.who_of(row, people)
    weekly, away = row.kind == "weekly", row.kind == "absence"
    callee = callees.get(who)
    return ShiftOut.model_validate(
        {
            "id": row.id, "kind": row.kind, "person": who[1] if who[0] == "person" else None,
            "contact": row.contact_id, "name": callee.name if callee else None, "in_force": callee is not None,
            "tier": None if away else row.tier, "position": row.position, "from_ms": row.from_ms,
            "to_ms": row.to_ms, "weekdays": row.weekdays, "start_minute": row.start_minute if weekly else None,
            "minutes": row.minutes if weekly else None, "first_day": row.first_day or None,
            "last_day": row.last_day or None, "except_days": row.except_days, "note": row.note,
            "version": row.version,
        }
    )  # fmt: skip


def _turn(turn: OnCall, callee: Callee) -> OnCallOut:
    role = ROLE_NAMES.get(callee.role or "")
    kind, identity = turn.who
    return OnCallOut(
        person=identity if kind == "person" else None, contact=identity if kind == "contact" else None,
        name=callee.name, role=names(role) if role else None, tier=turn.tier, shift=turn.line, from_ms=turn.from_ms,
        to_ms=turn.to_ms, phone=callee.phone or None, phone_written=callee.phone_written, mail=callee.mail,
    )  # fmt: skip
