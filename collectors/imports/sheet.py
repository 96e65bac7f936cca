"""The rows of a file as what they say: each field read, each problem with its place. Flat memory.

A row with a date column per event ("分娩日", "授精日") gives one entry for each date that it has.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from datetime import time as TimeOfDay
from pathlib import Path
from typing import Any, Final

from collectors.imports.cells import Read, clock_of, day_of, digits_of, label_of, plain, text_of
from collectors.imports.kinds import Cell, fold
from collectors.imports.mapping import HEADS_WITHIN, Layout, LoadedMapping, Slot, find_heads, lay_out
from collectors.imports.said import Said, said
from collectors.imports.sniff import NotCsv, dialect_of
from collectors.ways.csv_mapping import plain_number
from collectors.ways.csv_rows import Dialect, Row, Rows
from makiba.herd_event import Kind as EventKind
from makiba.located_yaml import ConfigErrors, Problem

DIGITS: Final = 10
TAG_DIGITS: Final = 15
_HOURS: Final = {"日": 24, "日間": 24, "d": 24, "days": 24, "時間": 1, "h": 1, "hours": 1, "": 1}

Value = str | float | int | bool | date | TimeOfDay | Mapping[str, Any]


@dataclass(slots=True)
class Entry:
    """What one row says about one thing. `places`: where in it each field is; `said`: what is wrong or odd."""

    number: int
    row: Row
    dialect: Dialect
    values: dict[str, Value] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    said: list[Said] = field(default_factory=list)

    @property
    def line(self) -> int:
        return self.row.line

    @property
    def is_refused(self) -> bool:
        return any(one.is_refusal for one in self.said)

    def column_of(self, one: Said) -> int:
        """The column that `one` is about, from 1."""
        index = self.places.get(one.field)
        return 1 if index is None or index >= len(self.row.fields) else self.row.column_of(index, self.dialect)


@dataclass(frozen=True, slots=True)
class Sheet:
    """An opened file: its layout, and its entries."""

    layout: Layout
    dialect: Dialect
    entries: Iterator[Entry]


def open_sheet(file: Path, mapping: LoadedMapping, name: str) -> Sheet:
    """The entries of `file` by `mapping`; `ConfigErrors` when its columns cannot be found. `name` is for messages.

    The file is open until the entries end or are closed.
    """
    try:
        asked = mapping.model.file
        dialect = dialect_of(file, asked.encoding, asked.delimiter, asked.quote)
    except NotCsv as error:
        raise ConfigErrors([Problem(name, 1, 1, "", str(error))]) from None
    with file.open("rb") as binary:
        first = list(itertools.islice(Rows(binary, dialect), HEADS_WITHIN))
    before = find_heads(mapping, [row.fields for row in first])
    if before > len(first) or (before and first[before - 1].problem):
        raise ConfigErrors([Problem(name, 1, 1, "", f"has no {before} rows of heads")])
    heads = [plain(text) for text in first[before - 1].fields] if before else []
    layout = lay_out(mapping, heads, name, first[before - 1].line if before else 1)
    return Sheet(layout, dialect, _entries(file, dialect, layout, before))


def _entries(file: Path, dialect: Dialect, layout: Layout, before: int) -> Iterator[Entry]:
    number = itertools.count(1)
    with file.open("rb") as binary:
        for row in itertools.islice(Rows(binary, dialect), before, None):
            for entry in read_entries(layout, dialect, row):
                entry.number = next(number)
                yield entry


def read_entries(layout: Layout, dialect: Dialect, row: Row) -> Iterator[Entry]:
    """What `row` says: one entry, or one for each day in a column of days of events."""
    if row.problem:
        yield Entry(0, row, dialect, said=[said("broken-row", why=row.problem)])
        return
    common = _entry(layout, dialect, row, None)
    days = [slot for slot in layout.slots if slot.event is not None and _text(layout, row, slot)]
    if "kind" in common.values or not any(slot.event for slot in layout.slots):
        yield common
        return
    for slot in days:
        yield _entry(layout, dialect, row, slot.event)


def _entry(layout: Layout, dialect: Dialect, row: Row, event: EventKind | None) -> Entry:
    entry = Entry(0, row, dialect)
    if event is not None:
        entry.values["kind"] = event
    need = max((slot.index for slot in layout.slots), default=0) + 1
    for slot in layout.slots:
        if slot.event is not None and slot.event != event:
            continue
        name = slot.cell.name
        text = _text(layout, row, slot)
        entry.places[name] = slot.index
        if not text:
            continue
        known = slot.values.get(fold(text))
        found = read_cell(slot.cell, known if known is not None else text, layout.decimal, slot.format)
        if isinstance(found, Said):
            entry.said.append(Said(found.code, found.about, name))
            continue
        if found.said is not None:
            entry.said.append(Said(found.said.code, found.said.about, name))
        _fill(entry, name, found.value)
    if len(row.fields) < need and not entry.values:
        entry.said.append(said("short-row", count=len(row.fields), need=need))
    return entry


def _fill(entry: Entry, name: str, value: Value) -> None:
    """Puts a value into its field; ten digits in a column of tags are the national id, as on Japan's ear tags."""
    if name == "tag" and isinstance(value, str) and len(value) == DIGITS:
        if entry.values.get("national_id", value) == value:
            entry.places.setdefault("national_id", entry.places["tag"])
            entry.values["national_id"] = value
        else:
            entry.said.append(said("not-digits", "tag", text=value, count=TAG_DIGITS))
        return
    entry.values[name] = value


def _text(layout: Layout, row: Row, slot: Slot) -> str:
    """The cell's text; empty where it is missing or means 'no value'."""
    text = row.fields[slot.index].strip() if slot.index < len(row.fields) else ""
    return "" if text in layout.missing else text


def read_cell(cell: Cell, text: str, decimal: str = ".", format_: str = "") -> Read[Any] | Said:
    """What `text` is in a column of `cell`."""
    if cell.read == "digits":
        return digits_of(text, cell.most)
    if cell.read == "tag":
        ten = digits_of(text, DIGITS)
        return ten if isinstance(ten, Read) else digits_of(text, TAG_DIGITS)
    if cell.read == "day":
        return day_of(text, format_)
    if cell.read == "time":
        clock = clock_of(text)
        return said("not-a-time", text=text) if clock is None else Read(clock)
    if cell.read == "word":
        value = cell.words.get(fold(text))
        known = ", ".join(sorted(set(cell.words.values())))
        return said("unknown-word", text=text, known=known) if value is None else Read(value)
    if cell.read in ("number", "whole", "hours"):
        return _number(cell, text, decimal)
    if cell.read == "outline":
        return _outline(text, cell.most)
    if cell.read == "label":
        return label_of(text, cell.most)
    return text_of(text, cell.most, lines=cell.read == "lines")


def _number(cell: Cell, text: str, decimal: str) -> Read[Any] | Said:
    word, times = plain(text), 1
    if cell.read == "hours":
        digits = word.rstrip("日間時dayshour ")
        times = _HOURS.get(word[len(digits) :].strip(), 0)
        word = digits
    number = plain_number(word, decimal)
    if number is None or not times:
        return said("not-a-number", text=text)
    value = float(number * times)
    if not cell.low <= value <= cell.high:
        return said("out-of-range", text=text, low=f"{cell.low:g}", high=f"{cell.high:g}")
    if cell.read == "whole":
        return Read(int(value)) if value == int(value) else said("not-a-number", text=text)
    return Read(value * cell.factor)


def _outline(text: str, most: int) -> Read[Any] | Said:
    if len(text) > most:
        return said("too-long", count=len(text), most=most)
    try:
        told = json.loads(text)
    except ValueError:
        return said("not-an-outline", why="no JSON")
    return Read(told) if isinstance(told, dict) else said("not-an-outline", why="no object")
