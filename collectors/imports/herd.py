"""Between plans and the registry: what is on file, and one planned row done, or taken back. By query functions only.

`planned` reads what is on file in the session that it is given; events in stretches of `BATCH` rows, so that memory
holds the farm's animals and no more of its events than a stretch needs.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from datetime import time as TimeOfDay
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from collectors.imports.kinds import Kind, fold
from collectors.imports.plan import (
    FIELD_FIELDS,
    SEASON_FIELDS,
    AnimalPlanner,
    EventPlanner,
    EventsOnFile,
    FieldPlanner,
    Herd,
    Land,
    OnFile,
    Planned,
    event_key,
    find_animal,
    mark_of,
)
from collectors.imports.said import Said, said
from collectors.imports.sheet import Entry
from collectors.registry import animals, fields, groups, herd_events, sites
from collectors.registry.schema.herd import Animal, CropSeason, Field, HerdEvent, HerdMember
from collectors.registry.schema.imports import ImportRow
from collectors.registry.viewer import Viewer, may_see
from makiba.herd_event import parse_detail
from makiba.outline import NotAnOutline, make_outline

R = TypeVar("R", Animal, HerdEvent, Field, CropSeason)

BATCH: Final = 500
_DAYS: Final = frozenset({"born_on", "sown_on", "planted_on", "harvested_on"})


class Left(Exception):
    """This row cannot be done, or not taken back, and stays as it is."""

    def __init__(self, why: Said) -> None:
        super().__init__(str(why))
        self.why = why


# ------------------------------------------------------------------------------------------------------ on file


def zone_of(session: Session, viewer: Viewer, site: str) -> ZoneInfo:
    """The farm's time zone, in which its days begin."""
    row = sites.get_site(session, viewer, site)
    return ZoneInfo(row.timezone if row is not None else "Asia/Tokyo")


def values_of(row: Animal | HerdEvent | Field | CropSeason) -> dict[str, Any]:
    """All that an import compares, as JSON's own types."""
    if isinstance(row, HerdEvent):
        return {"at_ms": row.at_ms, "detail": row.detail, "note": row.note, "animal": row.animal_id}
    names: Sequence[str] = animals.EDITABLE
    if isinstance(row, Field):
        names = FIELD_FIELDS
    elif isinstance(row, CropSeason):
        names = SEASON_FIELDS
    return {name: _plain(getattr(row, name)) for name in names}


def on_file(row: Animal | HerdEvent | Field | CropSeason) -> OnFile:
    """`row` as far as an import compares it."""
    values = values_of(row)
    return OnFile(row.id, mark_of(values), values)


def herd_of(session: Session, viewer: Viewer, site: str) -> Herd:
    """The animals and groups of the farm."""
    herd = Herd()
    if not may_see(viewer, site, "herd"):
        return herd
    for row in session.scalars(select(Animal).where(Animal.site_id == site).execution_options(yield_per=BATCH)):
        herd.add(on_file(row), present=row.status == "present")
        session.expunge(row)
    for group in groups.list_groups(session, viewer, site, limit=1_000):
        herd.groups |= dict.fromkeys((fold(group.name_ja), fold(group.name_en), group.id), group.id)
    now = select(HerdMember.animal_id, HerdMember.group_id)
    for animal, in_group in session.execute(now.where(HerdMember.site_id == site, HerdMember.to_ms.is_(None))):
        herd.group_now[animal] = in_group
    return herd


def events_on_file(
    session: Session, viewer: Viewer, site: str, animal_ids: Iterable[str], keys: Iterable[str]
) -> EventsOnFile:
    """The events of these animals, and those of these keys."""
    found = EventsOnFile()
    if not may_see(viewer, site, "herd"):
        return found
    wanted = or_(HerdEvent.animal_id.in_(sorted(set(animal_ids))), HerdEvent.key.in_(sorted(set(keys))))
    for row in session.scalars(select(HerdEvent).where(HerdEvent.site_id == site, wanted)):
        if row.deleted_ms is not None:
            found.deleted |= {row.key} if row.key is not None else set()
            continue
        one = on_file(row)
        found.by_animal[row.animal_id].append(one)
        if row.key is not None:
            found.by_key[row.key] = one
    return found


def land_of(session: Session, viewer: Viewer, site: str) -> Land:
    """The fields of the farm and their seasons."""
    land = Land()
    rows = fields.list_fields(session, viewer, site, limit=10_000)
    land.by_id = {row.id: on_file(row) for row in rows}
    grown: Mapping[str, Sequence[CropSeason]] = {}
    ids = list(land.by_id)
    for start in range(0, len(ids), BATCH):
        grown = fields.seasons_of(session, viewer, site, ids[start : start + BATCH])
        for field_id, seasons in grown.items():
            land.seasons[field_id] = [on_file(season) for season in seasons]
    return land


# ---------------------------------------------------------------------------------------------------- planning


def planned(
    session: Session, viewer: Viewer, site: str, kind: Kind, entries: Iterator[Entry], now_ms: int
) -> Iterator[Planned]:
    """What becomes of each of `entries`, numbered."""
    number = itertools.count(1)
    for together in _plans(session, viewer, site, kind, entries, now_ms):
        first = None
        for one in together:
            one.number = next(number)
            first = first or one.number
            one.of_row = first if one.of_row is not None else None
            yield one


def _plans(
    session: Session, viewer: Viewer, site: str, kind: Kind, entries: Iterator[Entry], now_ms: int
) -> Iterator[list[Planned]]:
    zone = zone_of(session, viewer, site)
    today = datetime.fromtimestamp(now_ms / 1000, zone).date()
    if kind == "fields":
        land_planner = FieldPlanner(land_of(session, viewer, site))
        yield from (land_planner.plan(entry) for entry in entries)
        return
    herd = herd_of(session, viewer, site)
    if kind == "animals":
        planner = AnimalPlanner(herd, today, animals.is_tag)
        yield from (planner.plan(entry) for entry in entries)
        return
    event_planner = EventPlanner(herd, today, zone)
    while batch := list(itertools.islice(entries, BATCH)):
        about = [found for entry in batch if isinstance(found := find_animal(herd, entry), str)]
        keys = [event_key(str(entry.values["key"])) for entry in batch if "key" in entry.values]
        known = events_on_file(session, viewer, site, about, keys)
        yield from ([event_planner.plan(entry, known)] for entry in batch)
        session.expunge_all()


# ------------------------------------------------------------------------------------- between plan and apply


def changed_since(
    session: Session, viewer: Viewer, site: str, rows: Sequence[ImportRow], zone: ZoneInfo
) -> dict[int, Said]:
    """By number, the rows of a plan that the registry does not fit any more."""
    found: dict[int, Said] = {}
    for thing, check in _CHECKS.items():
        mine = [row for row in rows if row.thing == thing and row.action in ("create", "update")]
        found |= check(session, viewer, site, mine, zone) if mine else {}
    return found


def _changed_animals(
    session: Session, _: Viewer, site: str, rows: Sequence[ImportRow], __: ZoneInfo
) -> dict[int, Said]:
    marks = _marks(session, site, Animal, rows)
    given = {
        name: {str((row.after or {})[name]) for row in rows if row.action == "create" and (row.after or {}).get(name)}
        for name in ("national_id", "tag", "number")
    }
    wanted = or_(*(getattr(Animal, name).in_(sorted(values)) for name, values in given.items()))
    taken = {name: set[str]() for name in given}
    for row in session.scalars(select(Animal).where(Animal.site_id == site, wanted)):
        for name, values in taken.items():
            if name != "number" or row.status == "present":
                values.add(getattr(row, name))
    return _not_fitting(rows, marks, lambda row: any((row.after or {}).get(n) in v for n, v in taken.items()))


def _changed_fields(
    session: Session, _: Viewer, site: str, rows: Sequence[ImportRow], __: ZoneInfo
) -> dict[int, Said]:
    known = list(session.scalars(select(Field).where(Field.site_id == site)))
    numbers = {row.number for row in known} - {None}
    names = {row.name_ja for row in known if row.number is None}

    def taken(row: ImportRow) -> bool:
        after = row.after or {}
        return after.get("number") in numbers or (after.get("number") is None and after.get("name_ja") in names)

    return _not_fitting(rows, {row.id: mark_of(values_of(row)) for row in known}, taken)


def _changed_seasons(
    session: Session, _: Viewer, site: str, rows: Sequence[ImportRow], __: ZoneInfo
) -> dict[int, Said]:
    return _not_fitting(rows, _marks(session, site, CropSeason, rows), lambda _: False)


def _changed_events(
    session: Session, viewer: Viewer, site: str, rows: Sequence[ImportRow], zone: ZoneInfo
) -> dict[int, Said]:
    """A row without a key that would be created: has somebody entered that day's event meanwhile?"""
    marks = _marks(session, site, HerdEvent, rows)
    new = [row.after or {} for row in rows if row.action == "create" and "at_ms" in (row.after or {})]
    known = events_on_file(
        session, viewer, site, [a["animal"] for a in new if "animal" in a], [a["key"] for a in new if "key" in a]
    )
    days = defaultdict(set)
    for animal, events in known.by_animal.items():
        days[animal] = {(one.values["detail"]["kind"], _day(one.values["at_ms"], zone)) for one in events}

    def taken(row: ImportRow) -> bool:
        after = row.after or {}
        if "key" in after:
            return after["key"] in known.by_key or after["key"] in known.deleted
        if "at_ms" not in after:
            return False
        return (after["detail"]["kind"], _day(after["at_ms"], zone)) in days[after.get("animal", "")]

    return _not_fitting(rows, marks, taken)


_CHECKS: Final[
    Mapping[str, Callable[[Session, Viewer, str, Sequence[ImportRow], ZoneInfo], dict[int, Said]]]
] = {
    "animal": _changed_animals, "event": _changed_events, "field": _changed_fields, "season": _changed_seasons,
}  # fmt: skip


def _marks(session: Session, site: str, table: Any, rows: Sequence[ImportRow]) -> dict[str, str]:
    ids = [row.target for row in rows if row.action == "update" and row.target is not None]
    found = session.scalars(select(table).where(table.site_id == site, table.id.in_(ids))) if ids else ()
    return {row.id: mark_of(values_of(row)) for row in found if not (isinstance(row, HerdEvent) and row.deleted_ms)}


def _not_fitting(
    rows: Sequence[ImportRow], marks: Mapping[str, str], taken: Callable[[ImportRow], bool]
) -> dict[int, Said]:
    return {
        row.number: said("changed")
        for row in rows
        if (taken(row) if row.action == "create" else marks.get(row.target or "") != row.mark)
    }


def _day(at_ms: int, zone: ZoneInfo) -> date:
    return datetime.fromtimestamp(at_ms / 1000, zone).date()


# ----------------------------------------------------------------------------------------------------- applying


def apply_row(session: Session, viewer: Viewer, site: str, row: ImportRow, of: ImportRow | None, now_ms: int) -> None:
    """Does what `row` plans, and notes on it what it made. `Left` when it cannot be done."""
    if row.of_row is not None and (of is None or of.state != "done"):
        raise Left(said("needed", what=f"row {row.of_row}"))
    try:
        target = _DO[row.thing](session, viewer, site, row, of, now_ms)
    except _REFUSALS as error:
        raise Left(said("refused", why=str(error))) from None
    row.target, row.mark = target.id, mark_of(values_of(target))


_REFUSALS: Final = (
    animals.Taken, animals.WrongTime, herd_events.NoSuchGroup, herd_events.InFuture, herd_events.KeyRace,
    fields.FieldTaken, groups.NoSuchPlace, fields.WrongOrder, NotAnOutline,
)  # fmt: skip


def _do_animal(
    session: Session, viewer: Viewer, site: str, row: ImportRow, _: ImportRow | None, now_ms: int
) -> Animal:
    told = _typed(row.after or {})
    if row.action == "create":
        return animals.add(session, viewer, site, told, now_ms)
    found = _same(row, animals.find(session, viewer, site, row.target or "", lock=True))
    # A tag that was there is one that was lost and replaced: what was measured under it stays the animal's.
    since_ms = now_ms if "tag" in told and found.tag is not None else None
    animals.change(session, viewer, found, told, now_ms, tag_from_ms=since_ms)
    return found


def _do_event(
    session: Session, viewer: Viewer, site: str, row: ImportRow, of: ImportRow | None, now_ms: int
) -> HerdEvent:
    after = row.after or {}
    if row.action == "update":
        found = _same(row, herd_events.get_event(session, viewer, site, row.target or "", lock=True))
        herd_events.correct(session, viewer, found, _told({**values_of(found), **after}), now_ms)
        return found
    animal_id = after.get("animal") or (of.target if of is not None else None) or ""
    animal = animals.find(session, viewer, site, animal_id, lock=True)
    if animal is None:
        raise Left(said("gone-since"))
    told = _told({"at_ms": now_ms, **after})
    event, is_new = herd_events.enter(session, viewer, animal, told, now_ms, key=after.get("key"))
    if not is_new:
        raise Left(said("changed"))
    return event


def _told(values: Mapping[str, Any]) -> herd_events.Told:
    return herd_events.Told(values["at_ms"], parse_detail(values["detail"]), values["note"])


def _do_field(session: Session, viewer: Viewer, site: str, row: ImportRow, _: ImportRow | None, now_ms: int) -> Field:
    told = _typed(row.after or {})
    if row.action == "create":
        return fields.add(session, viewer, site, told, now_ms)
    found = _same(row, fields.get_field(session, viewer, site, row.target or "", lock=True))
    fields.change(session, viewer, found, told, now_ms)
    return found


def _do_season(
    session: Session, viewer: Viewer, site: str, row: ImportRow, of: ImportRow | None, now_ms: int
) -> CropSeason:
    after = dict(row.after or {})
    field_id = after.pop("field", None) or (of.target if of is not None else None)
    if row.action == "create":
        field = fields.get_field(session, viewer, site, field_id or "", lock=True)
        if field is None:
            raise Left(said("gone-since"))
        return fields.add_season(session, viewer, field, _typed(after), now_ms)
    found = _same(row, _season(session, viewer, site, row.target))
    fields.change_season(session, viewer, found, _typed(after), now_ms)
    return found


_DO: Final[Mapping[str, Callable[..., Any]]] = {
    "animal": _do_animal, "event": _do_event, "field": _do_field, "season": _do_season,
}  # fmt: skip


# -------------------------------------------------------------------------------------------------- taking back


def undo_row(session: Session, viewer: Viewer, site: str, row: ImportRow, now_ms: int) -> None:
    """Takes back what `row` did. `Left` when somebody changed it since, or something hangs on it."""
    try:
        _UNDO[row.thing](session, viewer, site, row, now_ms)
    except animals.InUse as error:
        raise Left(said("in-use", why=str(error))) from None
    except _REFUSALS as error:
        raise Left(said("refused", why=str(error))) from None


def _undo_animal(session: Session, viewer: Viewer, site: str, row: ImportRow, now_ms: int) -> None:
    found = _unchanged(row, animals.find(session, viewer, site, row.target or "", lock=True))
    if row.action == "create":
        animals.remove(session, viewer, found, now_ms)
        return
    before = _typed(row.before or {})
    if "tag" in before and before["tag"] is not None:
        animals.wear_again(session, viewer, found)
    animals.change(session, viewer, found, before, now_ms)


def _undo_event(session: Session, viewer: Viewer, site: str, row: ImportRow, now_ms: int) -> None:
    found = herd_events.get_event(session, viewer, site, row.target or "", lock=True)
    if found is not None and found.deleted_ms is not None:
        raise Left(said("changed-since"))
    event = _unchanged(row, found)
    if row.action == "create":
        herd_events.forget(session, viewer, event)
        return
    herd_events.correct(session, viewer, event, _told({**values_of(event), **(row.before or {})}), now_ms)


def _undo_field(session: Session, viewer: Viewer, site: str, row: ImportRow, now_ms: int) -> None:
    found = _unchanged(row, fields.get_field(session, viewer, site, row.target or "", lock=True))
    if row.action == "update":
        fields.change(session, viewer, found, _typed(row.before or {}), now_ms)
    elif fields.seasons_of(session, viewer, site, [found.id]):
        raise Left(said("in-use", why="something grew on this field"))
    else:
        fields.remove(session, viewer, found, now_ms)


def _undo_season(session: Session, viewer: Viewer, site: str, row: ImportRow, now_ms: int) -> None:
    found = _unchanged(row, _season(session, viewer, site, row.target))
    if row.action == "create":
        fields.remove_season(session, viewer, found, now_ms)
    else:
        fields.change_season(session, viewer, found, _typed(row.before or {}), now_ms)


_UNDO: Final[Mapping[str, Callable[..., None]]] = {
    "animal": _undo_animal, "event": _undo_event, "field": _undo_field, "season": _undo_season,
}  # fmt: skip


def _season(session: Session, viewer: Viewer, site: str, season_id: str | None) -> CropSeason | None:
    known = session.get(CropSeason, season_id or "")
    field = fields.get_field(session, viewer, site, known.field_id) if known is not None else None
    return fields.get_season(session, viewer, field, season_id or "", lock=True) if field is not None else None


def _same(row: ImportRow, found: R | None) -> R:
    if found is None:
        raise Left(said("gone-since"))
    if mark_of(values_of(found)) != row.mark:
        raise Left(said("changed"))
    return found


def _unchanged(row: ImportRow, found: R | None) -> R:
    if found is None:
        raise Left(said("gone-since"))
    if mark_of(values_of(found)) != row.mark:
        raise Left(said("changed-since"))
    return found


def _typed(values: Mapping[str, Any]) -> dict[str, Any]:
    """JSON's types as the registry's functions take them."""
    return {name: _value(name, value) for name, value in values.items()}


def _value(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name in _DAYS:
        return date.fromisoformat(value)
    return make_outline(value) if name == "outline" else value


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date | TimeOfDay) else value
