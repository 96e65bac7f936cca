"""Places and what stands in them, as people edit them; a site file that is applied later asks before it overwrites.

A subject stands in one place at a time. Moving it ends the old placement and begins a new one, so that both
histories stay true. What was wrong from the beginning is corrected in place. Both decide of which class a value is
(`makiba.data_class`), so that

- every change stands in the farm's audit, with what was before;
- what changes the class of values that were measured already (anything dated before now) is for owner and family;
- somebody from outside, a technician, moves things from now on only, and never so that they see more by it;
- the kind of a place is given once: another kind is another place.

Rows that people edited carry `edited_ms`: `sites.apply_site` leaves them as they are and says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, func, or_, select, tuple_
from sqlalchemy.orm import Session

from collectors.registry import audit
from collectors.registry.schema import Place, Placement, Site
from collectors.registry.viewer import NotAllowed, Viewer, belongs_to, classes_on, may_see, require, spell
from makiba.data_class import STATE, classes_of
from makiba.quantities import catalogue

MOST_PLACES: Final = 500
MOST_PLACEMENTS: Final = 5_000
"""Of one farm, in force."""


class Impossible(ValueError):
    """What is asked for cannot be; `where` names the field."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(why)
        self.where = where


class StandsThere(ValueError):
    """A place in which something stands cannot be taken out."""


@dataclass(frozen=True, slots=True)
class Move:
    """A subject goes to `place`. None: role and names stay what they were; `at_ms` None: now."""

    subject: str
    place: str
    role: str | None = None
    names: tuple[str, str] | None = None
    at_ms: int | None = None


# -------------------------------------------------------------------------------------------------------- places


def get_place(session: Session, viewer: Viewer, site: str, place: str, *, to_change: bool = False) -> Place | None:
    """The place of this id; one that only the past knows is not there. `to_change` locks the farm's places."""
    _look(session, viewer, site, to_change=to_change)
    row = session.get(Place, (site, place))
    return row if row is not None and row.retired_ms is None else None


def add_place(
    session: Session, viewer: Viewer, site: str, kind: str, names: tuple[str, str], now_ms: int, place: str | None
) -> Place:
    """A new place behind the others; without `place` its id is made of its kind. `Impossible`."""
    _look(session, viewer, site, to_change=True)
    taken = {row.id: row for row in session.scalars(select(Place).where(Place.site_id == site))}
    if len(taken) >= MOST_PLACES:
        raise Impossible("", f"a farm has at most {MOST_PLACES} places")
    if place is None:
        place = next(name for n in range(1, MOST_PLACES + 2) if (name := f"{kind}-{n}") not in taken)
    row = taken.get(place)
    if row is not None and (row.retired_ms is None or row.kind != kind):
        raise Impossible("id", "a place of this id is or was there")
    if row is None:
        row = Place(site_id=site, id=place, kind=kind, version=0)
        session.add(row)
    row.name_ja, row.name_en, row.retired_ms, row.edited_ms = *names, None, now_ms
    row.position = max((p.position for p in taken.values()), default=-1) + 1
    row.version += 1
    audit.note_change(session, viewer, site, "place.added", now_ms, place=place, kind=kind, name=names[0])
    session.flush()
    return row


def change_place(
    session: Session, viewer: Viewer, row: Place, names: tuple[str, str] | None, position: int | None, now_ms: int
) -> None:
    """Another name, or another place in the order (0 is the first)."""
    require(viewer, row.site_id, "edit placements")
    before = {"name": row.name_ja, "position": row.position}
    if names is not None:
        row.name_ja, row.name_en = names
    if position is not None:
        others = session.scalars(
            select(Place)
            .where(Place.site_id == row.site_id, Place.id != row.id, Place.retired_ms.is_(None))
            .order_by(Place.position, Place.id)
        ).all()
        ordered = [*others[:position], row, *others[position:]]
        for number, place in enumerate(ordered):
            place.position = number
    row.edited_ms = now_ms
    row.version += 1
    after = {"name": row.name_ja, "position": row.position}
    audit.note_change(session, viewer, row.site_id, "place.changed", now_ms, place=row.id, before=before, after=after)


def remove_place(session: Session, viewer: Viewer, row: Place, now_ms: int) -> None:
    """Takes a place out in which nothing stands; the past goes on knowing it. `StandsThere`."""
    require(viewer, row.site_id, "edit placements")
    here = select(Placement.id).where(Placement.site_id == row.site_id, Placement.place_id == row.id)
    if session.scalar(here.where(Placement.to_ms.is_(None)).limit(1)) is not None:
        raise StandsThere("something stands in this place; move it first")
    # The row stays, so that a site file that still names the place does not bring it back unasked.
    row.retired_ms = row.edited_ms = now_ms
    row.version += 1
    audit.note_change(session, viewer, row.site_id, "place.removed", now_ms, place=row.id, name=row.name_ja)


# ---------------------------------------------------------------------------------------------------- placements


def list_placements(
    session: Session,
    viewer: Viewer,
    site: str,
    limit: int,
    after: Sequence[Any] | None = None,
    *,
    subject: str | None = None,
    at_ms: int | None = None,
) -> Sequence[Placement]:
    """What stood where on `site`, the newest first, from behind `after` on; of `subject`, in force at `at_ms`."""
    _look(session, viewer, site)
    query = select(Placement).where(Placement.site_id == site, _is_one())
    if subject is not None:
        query = query.where(Placement.subject == subject)
    if at_ms is not None:
        query = query.where(Placement.from_ms <= at_ms, or_(Placement.to_ms.is_(None), Placement.to_ms > at_ms))
    if after is not None:
        query = query.where(tuple_(Placement.from_ms, Placement.public_id) < tuple(after))
    return session.scalars(query.order_by(Placement.from_ms.desc(), Placement.public_id.desc()).limit(limit)).all()


def get_placement(
    session: Session, viewer: Viewer, site: str, placement: str, *, to_change: bool = False
) -> Placement | None:
    """The placement of this id; `to_change` locks the farm's places."""
    _look(session, viewer, site, to_change=to_change)
    query = select(Placement).where(Placement.public_id == placement, Placement.site_id == site, _is_one())
    return session.scalar(query)


def move(session: Session, viewer: Viewer, site: str, wanted: Move, now_ms: int) -> Placement:
    """Where `wanted.subject` stands from then on; what stands there already stays as it is. `Impossible`."""
    _look(session, viewer, site, to_change=True)
    at_ms = now_ms if wanted.at_ms is None else wanted.at_ms
    place = _standing(session, site, wanted.place, "place")
    mine = _placements_of(session, site, wanted.subject)
    old = mine[-1] if mine and mine[-1].to_ms is None else None
    role = wanted.role if wanted.role is not None else old.role if old else ""
    if old is not None and (old.place_id, old.role) == (wanted.place, role):
        return old
    if at_ms > now_ms:
        raise Impossible("from_ms", "not in the future")
    if at_ms < now_ms:
        require(viewer, site, "correct placements")
    if mine and at_ms < (mine[-1].from_ms if old else mine[-1].to_ms or 0):
        raise Impossible("from_ms", "the subject came to where it stands, or was taken away, after that")
    _refuse_gain(session, viewer, site, old, place.kind)
    count = select(func.count()).select_from(Placement)
    if (session.scalar(count.where(Placement.site_id == site, Placement.to_ms.is_(None))) or 0) >= MOST_PLACEMENTS:
        raise Impossible("", f"at most {MOST_PLACEMENTS} subjects stand on a farm")
    before = _spelled(old) if old else None
    names = wanted.names or ((old.name_ja, old.name_en) if old else ("", ""))
    if old is not None:
        end(session, old, at_ms)
        old.edited_ms = now_ms
        old.version += 1
    row = Placement(site_id=site, subject=wanted.subject, place_id=wanted.place, role=role, from_ms=at_ms)
    row.name_ja, row.name_en = names
    row.edited_ms = now_ms
    session.add(row)
    session.flush()
    audit.note_change(
        session, viewer, site, "placement.moved", now_ms, subject=row.subject, before=before, after=_spelled(row)
    )
    return row


def change(session: Session, viewer: Viewer, row: Placement, given: dict[str, Any], now_ms: int) -> None:
    """Makes `row` be as `given` says: `role`, `names`; `to_ms` (taken away); `place_id` and `from_ms` (corrected).

    `Impossible`; `NotAllowed` where it is for owner and family.
    """
    site = row.site_id
    require(viewer, site, "edit placements")
    before = _spelled(row)
    taken_away = row.to_ms is None and set(given) <= {"role", "names", "to_ms"} and given.get("to_ms") == now_ms
    if {"place_id", "from_ms", "to_ms"} & set(given) and not taken_away:
        require(viewer, site, "correct placements")
    if taken_away:
        _refuse_gain(session, viewer, site, row, None)
    if "place_id" in given:
        _standing(session, site, given["place_id"], "place")
    start, stop = given.get("from_ms", row.from_ms), given.get("to_ms", row.to_ms)
    if start > now_ms:
        raise Impossible("from_ms", "not in the future")
    if stop is not None and not start < stop <= now_ms:
        raise Impossible("to_ms", "after from_ms, and not in the future")
    for other in _placements_of(session, site, row.subject):
        if other.id != row.id and start < _end_of(other) and other.from_ms < (_FOREVER if stop is None else stop):
            raise Impossible("from_ms", "the subject stood somewhere else then")
    row.from_ms, row.to_ms = start, stop
    row.place_id, row.role = given.get("place_id", row.place_id), given.get("role", row.role)
    row.name_ja, row.name_en = given.get("names", (row.name_ja, row.name_en))
    row.edited_ms = now_ms
    row.version += 1
    session.flush()
    audit.note_change(
        session, viewer, site, "placement.changed", now_ms, subject=row.subject, before=before, after=_spelled(row)
    )


def remove(session: Session, viewer: Viewer, row: Placement, now_ms: int) -> None:
    """The subject never stood there: the placement was a mistake."""
    require(viewer, row.site_id, "correct placements")
    audit.note_change(
        session, viewer, row.site_id, "placement.removed", now_ms, subject=row.subject, before=_spelled(row)
    )
    # It stays as a placement of no length, so that a site file that says it does not bring it back unasked.
    row.to_ms, row.edited_ms = row.from_ms, now_ms
    row.version += 1


def end(session: Session, row: Placement, at_ms: int) -> None:
    """`row` is over at `at_ms`; one that never was in force goes."""
    if at_ms == row.from_ms:
        session.delete(row)
    else:
        row.to_ms = at_ms
    session.flush()  # before the next placement of the subject: one at a time is in force


_FOREVER: Final = 1 << 62


def _is_one() -> ColumnElement[bool]:
    return or_(Placement.to_ms.is_(None), Placement.to_ms > Placement.from_ms)


def _end_of(row: Placement) -> int:
    return _FOREVER if row.to_ms is None else row.to_ms


def _look(session: Session, viewer: Viewer, site: str, *, to_change: bool = False) -> None:
    if not may_see(viewer, site, "technical"):
        raise NotAllowed(f"{spell(viewer)} may not see where things stand on {site}")
    if to_change:
        require(viewer, site, "edit placements")
        session.get(Site, site, with_for_update=True)  # two who move one subject at once go one after the other


def _standing(session: Session, site: str, place: str, where: str) -> Place:
    row = session.get(Place, (site, place))
    if row is None or row.retired_ms is not None:
        raise Impossible(where, "no place of this id on this farm")
    return row


def _placements_of(session: Session, site: str, subject: str) -> Sequence[Placement]:
    query = select(Placement).where(Placement.site_id == site, Placement.subject == subject, _is_one())
    return session.scalars(query.order_by(Placement.from_ms, Placement.id)).all()


def _refuse_gain(session: Session, viewer: Viewer, site: str, old: Placement | None, kind: str | None) -> None:
    """`NotAllowed` when somebody from outside would see by the move what they do not see without it."""
    if belongs_to(viewer, site):
        return
    mine = classes_on(viewer, site)
    was = session.get(Place, (site, old.place_id)) if old else None
    before = was.kind if was else None
    for quantity in catalogue():
        if quantity != STATE and not classes_of(quantity, before) & mine and classes_of(quantity, kind) & mine:
            raise NotAllowed(f"{spell(viewer)} would see more of {site} by this")


def _spelled(row: Placement) -> dict[str, Any]:
    return {
        "place": row.place_id, "role": row.role, "name": row.name_ja, "from_ms": row.from_ms, "to_ms": row.to_ms,
    }  # fmt: skip
