"""From what a file says and what is on file to what would be changed: row by row, nothing written. Pure.

A row finds what it is about by its key: an animal by its ten digits, its tag or the farm's number; an event by its
record number, or by animal, kind and day; a field by its number or name. Where two keys find two different things,
or one finds several, the row is refused, never guessed. An empty cell changes nothing.

The planners keep what earlier rows of the file would do, so that a file that says one thing twice is noticed.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from datetime import time as TimeOfDay
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from collectors.imports.kinds import DETAIL, Kind, cell_of, fold
from collectors.imports.said import Said, said
from collectors.imports.sheet import Entry
from makiba.herd_event import parse_detail, spell_detail
from makiba.outline import NotAnOutline, make_outline

Action = Literal["create", "update", "unchanged", "refused"]
Thing = Literal["animal", "event", "field", "season"]
MAIN: Final[Mapping[Kind, Thing]] = {"animals": "animal", "events": "event", "fields": "field"}
"""What the rows of a file are about; what hangs on them (a season of a field, a move into a group) comes beside."""
NOON: Final = TimeOfDay(12)
"""The time of an event of which a file has the day only."""
ANIMAL_FIELDS: Final = ("national_id", "tag", "number", "name", "sex", "breed", "born_on", "dam", "sire", "note")
_STRENGTH: Final = ("national_id", "tag", "number")


@dataclass(slots=True)
class Planned:
    """What becomes of a row, as `ImportRow` keeps it. `said` is kept with its columns."""

    number: int
    line: int
    action: Action
    thing: Thing = "animal"
    label: str = ""
    target: str | None = None
    mark: str | None = None
    of_row: int | None = None
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    said: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class OnFile:
    """A row of the registry as far as an import compares it; `values` are JSON's own types."""

    id: str
    mark: str
    values: dict[str, Any]


def mark_of(values: Mapping[str, Any]) -> str:
    """Stands for all that a row says: the same values, the same mark."""
    told = json.dumps(values, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(told.encode()).hexdigest()[:32]


@dataclass(slots=True)
class Herd:
    """The animals and groups of a farm, found by what files call them.

    `numbers` are those of the animals that are there; `gone`: of those that are not. `groups`: folded name to id;
    `group_now`: by animal.
    """

    by_id: dict[str, OnFile] = field(default_factory=dict)
    national_ids: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, str] = field(default_factory=dict)
    gone: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    groups: dict[str, str] = field(default_factory=dict)
    group_now: dict[str, str] = field(default_factory=dict)

    def add(self, row: OnFile, *, present: bool) -> None:
        """Makes an animal known."""
        self.by_id[row.id] = row
        if value := row.values.get("national_id"):
            self.national_ids[value] = row.id
        if value := row.values.get("tag"):
            self.tags[value] = row.id
        if value := row.values.get("number"):
            if present:
                self.numbers[value] = row.id
            else:
                self.gone[value].append(row.id)

    def found(self, key: str, value: str) -> str | None:
        """The animal of this key, or the one that was given this number and is gone."""
        known = {"national_id": self.national_ids, "tag": self.tags, "number": self.numbers}[key].get(value)
        if known is None and key == "number" and len(self.gone.get(value, ())) == 1:
            return self.gone[value][0]
        return known

    def label(self, animal: str) -> str:
        """How people call it."""
        return label_of(self.by_id[animal].values)


def label_of(values: Mapping[str, Any]) -> str:
    """What a row is called: its first key that is given."""
    return next((str(values[name]) for name in (*_STRENGTH, "name") if values.get(name)), "")


def refused(thing: Thing, entry: Entry, *more: Said) -> Planned:
    """`entry` is not taken, for what was said of it and `more`."""
    return Planned(entry.number, entry.line, "refused", thing, label_of(entry.values), said=_kept(entry, more))


def _kept(entry: Entry, more: Sequence[Said] = ()) -> list[dict[str, Any]]:
    return [one.kept(entry.column_of(one)) for one in (*entry.said, *more)]


def _given(entry: Entry, names: Sequence[str]) -> dict[str, Any]:
    """What the row says of these fields, as JSON has it."""
    said_ = {name: entry.values[name] for name in names if name in entry.values}
    return {name: value.isoformat() if isinstance(value, date) else value for name, value in said_.items()}


def _difference(
    entry: Entry, thing: Thing, label: str, on_file: OnFile, given: Mapping[str, Any], more: Sequence[Said] = ()
) -> Planned:
    changed = {name: value for name, value in given.items() if on_file.values.get(name) != value}
    planned = Planned(entry.number, entry.line, "update" if changed else "unchanged", thing, label, on_file.id)
    planned.mark = on_file.mark
    if changed:
        planned.before = {name: on_file.values.get(name) for name in changed}
        planned.after = changed
    planned.said = _kept(entry, more)
    return planned


def find_animal(herd: Herd, entry: Entry) -> str | Said | None:
    """The animal that the row is about; None: it is not on file. A `Said` where its keys do not fit together."""
    given = [(key, str(entry.values[key])) for key in _STRENGTH if key in entry.values]
    if not given:
        known = ", ".join(cell_of("animals", key).en for key in _STRENGTH)
        return said("no-key", known=known)
    hits = {key: found for key, value in given if (found := herd.found(key, value)) is not None}
    if len(set(hits.values())) > 1:
        one, other, *_ = dict.fromkeys(hits.values())
        weakest = list(hits)[-1]
        return said("two-animals", weakest, one=herd.label(one), other=herd.label(other))
    if not hits:
        return None
    [found] = set(hits.values())
    by = next(iter(hits))
    for key, value in given[: [k for k, _ in given].index(by)]:
        has = herd.by_id[found].values.get(key)
        if has and has != value:
            return said("another-animal", key, by=f"{by} {entry.values[by]}", known=str(has), text=value)
    return found


@dataclass(slots=True)
class AnimalPlanner:
    """Animals: created or changed by their key; and the move into the group that a row names."""

    herd: Herd
    today: date
    is_tag: Callable[[str], bool]
    seen: dict[tuple[str, str], int] = field(default_factory=dict)

    def plan(self, entry: Entry) -> list[Planned]:
        """What becomes of `entry`; what later rows may meet is remembered."""
        if entry.is_refused:
            return [refused("animal", entry)]
        more = list(self._odd(entry))
        if any(one.is_refusal for one in more):
            return [refused("animal", entry, *more)]
        found = find_animal(self.herd, entry)
        if isinstance(found, Said):
            return [refused("animal", entry, found, *more)]
        keys: list[tuple[str, str]] = [(key, str(entry.values[key])) for key in _STRENGTH if key in entry.values]
        if found is not None:
            keys.append(("id", found))
        if twice := next((key for key in keys if key in self.seen), None):
            text = twice[1] if twice[0] != "id" else self.herd.label(twice[1])
            return [refused("animal", entry, said("twice", twice[0], text=text, line=self.seen[twice]), *more)]
        self.seen |= dict.fromkeys(keys, entry.line)
        group = self._group(entry, more)
        given = _given(entry, ANIMAL_FIELDS)
        if found is None:
            label = label_of(entry.values)
            planned = Planned(
                entry.number, entry.line, "create", "animal", label, after=given, said=_kept(entry, more)
            )
        else:
            label = self.herd.label(found)
            planned = _difference(entry, "animal", label, self.herd.by_id[found], given, more)
        if group is None or (found is not None and self.herd.group_now.get(found) == group):
            return [planned]
        move: dict[str, Any] = {"detail": {"kind": "move", "group": group}, "note": ""}
        move |= {"animal": found} if found is not None else {}
        of_row = entry.number if found is None else None
        return [planned, Planned(entry.number, entry.line, "create", "event", label, of_row=of_row, after=move)]

    def _odd(self, entry: Entry) -> list[Said]:
        more = []
        tag, born = entry.values.get("tag"), entry.values.get("born_on")
        if isinstance(tag, str) and not self.is_tag(tag):
            more.append(said("not-a-tag", "tag", text=tag))
        if isinstance(born, date) and born > self.today:
            more.append(said("day-to-come", "born_on", day=born.isoformat()))
        return more

    def _group(self, entry: Entry, more: list[Said]) -> str | None:
        """The id of the group that the row names; one that is not on file is said."""
        name = entry.values.get("group")
        found = self.herd.groups.get(fold(str(name))) if name is not None else None
        if name is not None and found is None:
            more.append(said("unknown-group", "group", text=str(name)))
        return found


# ------------------------------------------------------------------------------------------------------- events


@dataclass(slots=True)
class EventsOnFile:
    """Events of the animals that a stretch of rows is about; deleted ones by their key only."""

    by_animal: dict[str, list[OnFile]] = field(default_factory=lambda: defaultdict(list))
    by_key: dict[str, OnFile] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)


@dataclass(slots=True)
class EventPlanner:
    """Events of animals that are on file."""

    herd: Herd
    today: date
    zone: ZoneInfo
    seen: dict[tuple[str, ...], int] = field(default_factory=dict)

    def plan(self, entry: Entry, on_file: EventsOnFile) -> Planned:
        """What becomes of `entry`."""
        if entry.is_refused:
            return refused("event", entry)
        animal = find_animal(self.herd, entry)
        if animal is None:
            return refused("event", entry, said("unknown-animal", _first_key(entry), text=label_of(entry.values)))
        if isinstance(animal, Said):
            return refused("event", entry, animal)
        kind, day = entry.values.get("kind"), entry.values.get("day")
        for name, value in (("kind", kind), ("day", day)):
            if value is None:
                return refused("event", entry, said("needed", name, what=cell_of("events", name).en))
        assert isinstance(day, date)
        if day > self.today:
            return refused("event", entry, said("day-to-come", "day", day=day.isoformat()))
        return self._plan(entry, animal, str(kind), day, on_file)

    def _plan(self, entry: Entry, animal: str, kind: str, day: date, on_file: EventsOnFile) -> Planned:
        label = f"{self.herd.label(animal)} {kind} {day.isoformat()}"
        key = entry.values.get("key")
        mark = ("key", str(key)) if key else (animal, kind, day.isoformat())
        if mark in self.seen:
            text = str(key) if key else label
            return refused("event", entry, said("twice", "key" if key else "day", text=text, line=self.seen[mark]))
        self.seen[mark] = entry.line
        stored = event_key(str(key)) if key else None
        if stored in on_file.deleted:
            kept = _kept(entry, [said("was-deleted")])
            return Planned(entry.number, entry.line, "unchanged", "event", label, said=kept)
        same = [on_file.by_key[stored]] if stored in on_file.by_key else []
        if not key:
            same = [
                row for row in on_file.by_animal.get(animal, ())
                if row.values["detail"]["kind"] == kind and self._day(row.values["at_ms"]) == day
            ]  # fmt: skip
        if len(same) > 1:
            return refused("event", entry, said("several", "day", count=len(same)))
        before = same[0] if same else None
        if before is not None and before.values["animal"] != animal:
            other = self.herd.label(before.values["animal"])
            return refused("event", entry, said("another-animal", "key", by=f"key {key}", known=other, text=label))
        more: list[Said] = []
        told = self._told(entry, kind, day, before, more)
        if isinstance(told, Said) or any(one.is_refusal for one in more):
            return refused("event", entry, *more, *([told] if isinstance(told, Said) else []))
        if before is not None:
            return _difference(entry, "event", label, before, told, more)
        after = {**told, "animal": animal} | ({"key": stored} if stored else {})
        return Planned(entry.number, entry.line, "create", "event", label, after=after, said=_kept(entry, more))

    def _told(
        self, entry: Entry, kind: str, day: date, before: OnFile | None, more: list[Said]
    ) -> dict[str, Any] | Said:
        clock = entry.values.get("time")
        at_ms = before.values["at_ms"] if before and not clock and self._day(before.values["at_ms"]) == day else None
        if at_ms is None:
            at = datetime.combine(day, clock if isinstance(clock, TimeOfDay) else NOON, self.zone)
            at_ms = round(at.timestamp()) * 1000
        had = before.values["detail"] if before is not None and before.values["detail"]["kind"] == kind else {}
        detail = self._detail(entry, kind, had, more)
        try:
            whole = spell_detail(parse_detail(detail))
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][-1]) if first["loc"] else ""
            known = {cell.name for cell in DETAIL}
            if first["type"] == "missing":
                what = cell_of("events", name).en if name in known else name
                return said("needed", name, what=what)
            return said("refused", name if name in known else "", why=f"{name}: {first['msg']}"[:200])
        note = str(entry.values.get("note", before.values["note"] if before else ""))
        return {"at_ms": at_ms, "detail": whole, "note": note}

    def _detail(self, entry: Entry, kind: str, had: Mapping[str, Any], more: list[Said]) -> dict[str, Any]:
        given = {cell.name: entry.values[cell.name] for cell in DETAIL if cell.name in entry.values}
        detail: dict[str, Any] = {**had, "kind": kind}
        calf = {name: given.pop(f"calf_{theirs}") for name, theirs in _CALF.items() if f"calf_{theirs}" in given}
        if "alive" in calf:
            calf["alive"] = calf["alive"] == "yes"
        if calf and kind == "calving":
            first, *others = had.get("calves") or [{}]
            detail["calves"] = [{**first, **calf}, *others]
        if (name := given.pop("group", None)) is not None and kind == "move":
            group = self.herd.groups.get(fold(str(name)))
            if group is None:
                more.append(said("no-group", "group", text=str(name)))
            detail["group"] = group
        fitting = _FITTING.get(kind, frozenset())
        for name, value in given.items():
            if name in fitting:
                detail[name] = value
            else:
                more.append(said("not-of-kind", name, what=cell_of("events", name).en, kind=kind))
        return detail

    def _day(self, at_ms: int) -> date:
        return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(self.zone).date()


_CALF: Final = {"animal": "id", "sex": "sex", "alive": "alive", "weight_kg": "weight_kg"}
_FITTING: Final[Mapping[str, frozenset[str]]] = {
    "calving": frozenset({"ease"}),
    "abortion": frozenset({"cause"}),
    "insemination": frozenset({"bull", "method", "straw", "technician", "result"}),
    "pregnancy-check": frozenset({"result", "method", "days"}),
    "heat": frozenset({"strength", "signs"}),
    "dry-off": frozenset({"reason"}),
    "treatment": frozenset({"drug", "dose", "reason", "milk_withdrawal_h", "meat_withdrawal_h"}),
    "weight": frozenset({"weight_kg", "method"}),
    "arrival": frozenset({"origin"}),
    "sale": frozenset({"buyer"}),
    "death": frozenset({"cause"}),
}
"""Which cells belong to which kind; calves and the group of a move have ways of their own."""


def event_key(key: str) -> str:
    """The registry's key of an event that a file calls `key`."""
    return f"file:{key}"


def _first_key(entry: Entry) -> str:
    return next((key for key in _STRENGTH if key in entry.values), "")


# ------------------------------------------------------------------------------------------------------- fields

FIELD_FIELDS: Final = ("number", "name_ja", "name_en", "kind", "soil", "outline", "note")
SEASON_FIELDS: Final = ("crop", "variety", "sown_on", "planted_on", "harvested_on")


@dataclass(slots=True)
class Land:
    """The fields of a farm and what grew on them; `seasons` by field, the newest first."""

    by_id: dict[str, OnFile] = field(default_factory=dict)
    seasons: dict[str, list[OnFile]] = field(default_factory=lambda: defaultdict(list))


@dataclass(slots=True)
class FieldPlanner:
    """Fields: created or changed by number or name; and the season that a row tells of."""

    land: Land
    seen: dict[tuple[str, str], int] = field(default_factory=dict)

    def plan(self, entry: Entry) -> list[Planned]:
        """What becomes of `entry`."""
        if entry.is_refused:
            return [refused("field", entry)]
        if (told := entry.values.get("outline")) is not None:
            try:
                entry.values["outline"] = make_outline(_geometry(told)).geometry
            except NotAnOutline as error:
                return [refused("field", entry, said("not-an-outline", "outline", why=str(error)))]
        found = self._found(entry)
        if isinstance(found, Said):
            return [refused("field", entry, found)]
        named: list[tuple[str, str]] = [
            (key, str(entry.values[key])) for key in ("number", "name") if key in entry.values
        ]
        keys = named[:1]
        keys += [("id", found)] if found is not None else []
        if twice := next((key for key in keys if key in self.seen), None):
            text = twice[1] if twice[0] != "id" else label_of_field(self.land.by_id[twice[1]].values)
            return [refused("field", entry, said("twice", twice[0], text=text, line=self.seen[twice]))]
        self.seen |= dict.fromkeys(keys, entry.line)
        given = self._fields(entry)
        if found is None:
            if "name_ja" not in given:
                return [refused("field", entry, said("needed", "name", what=cell_of("fields", "name").en))]
            label = label_of_field(given)
            after = {"name_en": given["name_ja"], "kind": "field", **given}
            planned = Planned(entry.number, entry.line, "create", "field", label, after=after, said=_kept(entry))
        else:
            on_file = self.land.by_id[found]
            label = label_of_field(on_file.values)
            planned = _difference(entry, "field", label, on_file, given)
        season = self._season(entry, found, label)
        return [planned, *([season] if season is not None else [])]

    def _found(self, entry: Entry) -> str | Said | None:
        number, name = entry.values.get("number"), entry.values.get("name")
        if number is None and name is None:
            return said("no-key", known=f"{cell_of('fields', 'number').en}, {cell_of('fields', 'name').en}")
        rows = self.land.by_id.values()
        if number is not None:
            same = [row.id for row in rows if row.values.get("number") == number]
            if same:
                return same[0]
        by_name = [
            row for row in rows if name is not None and name in (row.values.get("name_ja"), row.values.get("name_en"))
        ]
        if number is not None:
            # A field of this name that has another number is another field.
            by_name = [row for row in by_name if not row.values.get("number")]
        if len(by_name) > 1:
            return said("several", "name", count=len(by_name))
        return by_name[0].id if by_name else None

    def _fields(self, entry: Entry) -> dict[str, Any]:
        given = _given(entry, ("number", "name_en", "kind", "soil", "outline", "note"))
        if "name" in entry.values:
            given["name_ja"] = entry.values["name"]
        return given

    def _season(self, entry: Entry, found: str | None, label: str) -> Planned | None:
        given = _given(entry, SEASON_FIELDS)
        if "crop" not in given:
            return None
        label = f"{label} {given['crop']}"
        began = (given.get("sown_on") or given.get("planted_on") or "")[:4]
        for row in self.land.seasons.get(found or "", ()):
            theirs = (row.values["sown_on"] or row.values["planted_on"] or "")[:4]
            open_ = row.values["harvested_on"] is None
            if row.values["crop"] == given["crop"] and (theirs == began if began and theirs else open_):
                changed = _difference(entry, "season", label, row, given)
                changed.said = []
                return changed if changed.action == "update" else None
        after = {**given, **({"field": found} if found is not None else {})}
        of_row = entry.number if found is None else None
        return Planned(entry.number, entry.line, "create", "season", label, of_row=of_row, after=after)


def _geometry(told: Any) -> Any:
    return told.get("geometry") if isinstance(told, dict) and told.get("type") == "Feature" else told


def label_of_field(values: Mapping[str, Any]) -> str:
    """How people call a field."""
    return " ".join(str(values[name]) for name in ("number", "name_ja") if values.get(name))
