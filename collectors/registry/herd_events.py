"""What happened to animals: entered once, corrected and never overwritten, deleted with a reason that stays.

- Every event has a version. A correction keeps what stood there before (`history`); a deletion leaves the event with
  who deleted it, when and why, and it counts no more.
- `key` is the entering program's own name of an event (`icar:…`, a row of a file). Entering the same key again is the
  same event: unchanged, or corrected where it says something else, and never a second one. One that was deleted stays
  deleted.
- After each change the animal's status and stays in groups are worked out again from all of its events
  (`makiba.cow`), in the same transaction, with the animal's row locked.

Who may: the farm's own people; a vet whom the farm shows its herd, who corrects and deletes what they entered
themselves. Names of people are kept as they were then, as in the audit.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import delete, select, tuple_
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from collectors.registry import animals, audit
from collectors.registry.schema.herd import Animal, HerdEvent, HerdEventBefore, HerdGroup, HerdMember
from collectors.registry.viewer import NotAllowed, Person, Viewer, is_insider, may_see, require, spell
from makiba.cow import CowState, Happened, cow_state, status_after, stays
from makiba.herd_event import Detail, Move, parse_detail, spell_detail

AHEAD_MS: Final = 86_400_000
"""An event lies at most this far ahead: clocks differ, and a sale of today may be dated this evening."""
_ANIMALS_PER_QUERY: Final = 400


class NoSuchGroup(ValueError):
    """A move goes into a group that the farm has not."""


class InFuture(ValueError):
    """What has not happened yet cannot be entered."""


class KeyRace(ValueError):
    """Somebody entered an event of this key in the same moment; entering it again finds theirs."""


@dataclass(frozen=True, slots=True)
class Told:
    """What somebody says that happened."""

    at_ms: int
    detail: Detail
    note: str = ""


# ------------------------------------------------------------------------------------------------------ reading


def list_events(
    session: Session,
    viewer: Viewer,
    site: str,
    *,
    limit: int,
    after: tuple[Any, ...] | None = None,
    animal: str | None = None,
    group: str | None = None,
    kinds: Sequence[str] = (),
    from_ms: int | None = None,
    to_ms: int | None = None,
    deleted: bool = False,
) -> Sequence[HerdEvent]:
    """What happened on `site` in [from_ms, to_ms), the newest first; `deleted`: those that were deleted, too."""
    if not may_see(viewer, site, "herd"):
        return []
    query = select(HerdEvent).where(HerdEvent.site_id == site)
    if animal is not None:
        query = query.where(HerdEvent.animal_id == animal)
    if group is not None:
        inside = select(HerdMember.animal_id).where(HerdMember.group_id == group, HerdMember.to_ms.is_(None))
        query = query.where(HerdEvent.animal_id.in_(inside))
    if kinds:
        query = query.where(HerdEvent.kind.in_(kinds))
    if from_ms is not None:
        query = query.where(HerdEvent.at_ms >= from_ms)
    if to_ms is not None:
        query = query.where(HerdEvent.at_ms < to_ms)
    if not deleted:
        query = query.where(HerdEvent.deleted_ms.is_(None))
    if after is not None:
        query = query.where(tuple_(HerdEvent.at_ms, HerdEvent.id) < tuple_(*after))
    return session.scalars(query.order_by(HerdEvent.at_ms.desc(), HerdEvent.id.desc()).limit(limit)).all()


def get_event(session: Session, viewer: Viewer, site: str, event_id: str, *, lock: bool = False) -> HerdEvent | None:
    """The event, deleted or not. With `lock` its animal is locked first, as every change needs it."""
    if not may_see(viewer, site, "herd"):
        return None
    query = select(HerdEvent).where(HerdEvent.site_id == site, HerdEvent.id == event_id)
    row = session.scalar(query)
    if row is not None and lock:
        _lock(session, row.animal_id)
        session.refresh(row)
    return row


def by_key(session: Session, viewer: Viewer, site: str, key: str) -> HerdEvent | None:
    """The event that was entered under this key, deleted or not."""
    if not may_see(viewer, site, "herd"):
        return None
    return session.scalar(select(HerdEvent).where(HerdEvent.site_id == site, HerdEvent.key == key))


def says(row: HerdEvent, animal: Animal, told: Told) -> bool:
    """Whether the event counts, and says just this."""
    return row.deleted_ms is None and row.animal_id == animal.id and _says(row, told)


def history(session: Session, viewer: Viewer, row: HerdEvent) -> Sequence[HerdEventBefore]:
    """What the event said before it was corrected, the newest first."""
    if not may_see(viewer, row.site_id, "herd"):
        return []
    query = select(HerdEventBefore).where(HerdEventBefore.event_id == row.id)
    return session.scalars(query.order_by(HerdEventBefore.version.desc())).all()


def states_of(
    session: Session, viewer: Viewer, site: str, rows: Iterable[Animal], now_ms: int
) -> dict[str, CowState]:
    """What each of these animals is just now, by id. Rules are gated by it."""
    if not may_see(viewer, site, "herd"):
        return {}
    breeds = {row.id: row.breed for row in rows if row.site_id == site}
    happened = _happened(session, sorted(breeds))
    return {animal: cow_state(happened[animal], now_ms, breed) for animal, breed in breeds.items()}


def _happened(session: Session, ids: Sequence[str]) -> dict[str, list[Happened]]:
    """What counts of each animal's events, in order; of one moment, as it was entered."""
    found: dict[str, list[Happened]] = defaultdict(list)
    for start in range(0, len(ids), _ANIMALS_PER_QUERY):
        query = select(HerdEvent.animal_id, HerdEvent.at_ms, HerdEvent.detail).where(
            HerdEvent.animal_id.in_(ids[start : start + _ANIMALS_PER_QUERY]), HerdEvent.deleted_ms.is_(None)
        )
        order = (HerdEvent.at_ms, HerdEvent.entered_ms, HerdEvent.id)
        for animal, at_ms, detail in session.execute(query.order_by(*order)):
            found[animal].append(Happened(at_ms, parse_detail(detail)))
    return found


# ------------------------------------------------------------------------------------------------------ writing


def enter(
    session: Session, viewer: Viewer, animal: Animal, told: Told, now_ms: int, *, key: str | None = None
) -> tuple[HerdEvent, bool]:
    """The event, and whether it is new. With a `key` that is known it is that one, corrected if `told` differs.

    `NoSuchGroup`, `InFuture`, `KeyRace`; `animals.Taken` when the animal would be there again and its number is not.
    """
    site = animal.site_id
    require(viewer, site, "enter events")
    _lock(session, animal.id)
    if key is not None and (row := by_key(session, viewer, site, key)) is not None:
        if row.deleted_ms is None and row.animal_id == animal.id and not _says(row, told):
            correct(session, viewer, row, told, now_ms)
        return row, False
    _check(session, site, told, now_ms)
    row = HerdEvent(
        id=secrets.token_urlsafe(16), site_id=site, animal_id=animal.id, version=1, key=key, kind=told.detail.kind,
        at_ms=told.at_ms, detail=spell_detail(told.detail), note=told.note, entered_ms=now_ms,
        entered_by=spell(viewer), entered_name=_name(viewer),
    )  # fmt: skip
    session.add(row)
    try:
        session.flush()
    except IntegrityError:
        raise KeyRace("key: somebody entered it just now") from None
    refold(session, animal)
    return row, True


def correct(session: Session, viewer: Viewer, row: HerdEvent, told: Told, now_ms: int) -> bool:
    """Makes `row` (found locked) say `told`; what it said stays in its history. False when it says so already."""
    _require_own(viewer, row)
    if _says(row, told):
        return False
    _check(session, row.site_id, told, now_ms)
    session.add(
        HerdEventBefore(
            event_id=row.id, version=row.version, site_id=row.site_id, animal_id=row.animal_id, kind=row.kind,
            at_ms=row.at_ms, detail=row.detail, note=row.note, entered_ms=row.entered_ms,
            entered_by=row.entered_by, entered_name=row.entered_name, replaced_ms=now_ms,
        )
    )  # fmt: skip
    row.version += 1
    row.kind, row.at_ms, row.detail, row.note = told.detail.kind, told.at_ms, spell_detail(told.detail), told.note
    row.entered_ms, row.entered_by, row.entered_name = now_ms, spell(viewer), _name(viewer)
    audit.note_change(session, viewer, row.site_id, "event.corrected", now_ms, event=row.id, event_kind=row.kind)
    session.flush()
    refold(session, _lock(session, row.animal_id))
    return True


def delete_event(session: Session, viewer: Viewer, row: HerdEvent, why: str, now_ms: int) -> bool:
    """Makes `row` (found locked) count no more; it stays, with who and why. False when it is deleted already."""
    _require_own(viewer, row)
    if row.deleted_ms is not None:
        return False
    row.version += 1
    row.deleted_ms, row.deleted_why = now_ms, why
    row.deleted_by, row.deleted_name = spell(viewer), _name(viewer)
    audit.note_change(session, viewer, row.site_id, "event.deleted", now_ms, event=row.id, event_kind=row.kind)
    session.flush()
    refold(session, _lock(session, row.animal_id))
    return True


def forget(session: Session, viewer: Viewer, row: HerdEvent) -> None:
    """Takes an event out as if it had never been entered: the undo of an import, which keeps its own record."""
    require(viewer, row.site_id, "edit animals")
    animal = _lock(session, row.animal_id)
    session.execute(delete(HerdEvent).where(HerdEvent.id == row.id))
    refold(session, animal)


def refold(session: Session, animal: Animal) -> None:
    """Works out the animal's status and stays from its events. Call it with the animal locked."""
    happened = _happened(session, [animal.id])[animal.id]
    status, before = status_after(happened), animal.status
    if status == "present" and before != "present":
        animals.check_number_free(session, animal)
    own = select(HerdMember).where(HerdMember.animal_id == animal.id).order_by(HerdMember.from_ms)
    known = [(m.group_id, m.from_ms, m.to_ms) for m in session.scalars(own)]
    wanted = [(s.group, s.from_ms, s.to_ms) for s in stays(happened)]
    if known != wanted:
        session.execute(delete(HerdMember).where(HerdMember.animal_id == animal.id))
        session.add_all(
            HerdMember(site_id=animal.site_id, animal_id=animal.id, group_id=group, from_ms=from_ms, to_ms=to_ms)
            for group, from_ms, to_ms in wanted
        )
    if known != wanted or status != before:
        animal.status, animal.version = status, animal.version + 1
        session.flush()


def _lock(session: Session, animal_id: str) -> Animal:
    locked = select(Animal).where(Animal.id == animal_id).with_for_update()
    return session.scalars(locked.execution_options(populate_existing=True)).one()


def _check(session: Session, site: str, told: Told, now_ms: int) -> None:
    if told.at_ms > now_ms + AHEAD_MS:
        raise InFuture("at_ms: this has not happened yet")
    if isinstance(told.detail, Move) and told.detail.group is not None:
        group = select(HerdGroup.id).where(HerdGroup.site_id == site, HerdGroup.id == told.detail.group)
        if session.scalar(group) is None:
            raise NoSuchGroup("detail.group: the farm has no such group")


def _says(row: HerdEvent, told: Told) -> bool:
    return (row.at_ms, row.detail, row.note) == (told.at_ms, spell_detail(told.detail), told.note)


def _require_own(viewer: Viewer, row: HerdEvent) -> None:
    require(viewer, row.site_id, "enter events")
    if not is_insider(viewer, row.site_id) and row.entered_by != spell(viewer):
        raise NotAllowed(f"{spell(viewer)} may not change what others entered")


def _name(viewer: Viewer) -> str:
    return viewer.name if isinstance(viewer, Person) else ""
