"""A mapping of a file about animals, events or fields: which column is what; and the columns that need none. Pure.

The same language as a mapping of readings (`collectors/ways/csv_mapping.py`): `file` says how it is written, columns
are named by head or place, `values` says what a text of theirs means. Without a mapping the heads are known by
`kinds.py`; with one, its columns hold and the others are taken by their heads, unless `others: ignore`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import Field, model_validator

from collectors.imports.kinds import CELLS, EVENT_DAYS, KEYS, Cell, Kind, cell_of, fold, known_heads
from collectors.ways.csv_mapping import ColumnName, FileForm
from collectors.ways.values import Strict
from makiba.herd_event import Kind as EventKind
from makiba.located_yaml import ConfigErrors, Located, Problem, load_located, parse_located
from makiba.reading import SITE_PATTERN
from makiba.words import nearest

HEADS_WITHIN: Final = 30
"""Rows at the beginning among which the heads are looked for."""
MAX_COLUMNS: Final = 200
MAX_DEPTH: Final = 20
_OPENS: Final = (
    yaml.FlowSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.BlockMappingStartToken,
)
_CLOSES: Final = (yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken, yaml.BlockEndToken)


class TableFile(FileForm):
    """How the file is written; what is not said is found out."""

    encoding: Literal["auto", "utf-8", "cp932"] = "auto"
    delimiter: Literal["auto", ",", ";", "\t", "|"] = "auto"
    heads: Annotated[int, Field(ge=0, le=100)] | None = Field(
        default=None, description="Rows before the data; the last has the heads. Without it they are looked for"
    )


class ColumnEntry(Strict):
    """A column: the field that it fills, or the event whose day it holds."""

    column: ColumnName
    field: str = ""
    event: EventKind | None = None
    values: dict[str, Annotated[str, Field(max_length=200)]] = Field(
        default_factory=dict, description="What a text of theirs means"
    )
    format: Annotated[str, Field(max_length=40)] = Field(default="", description="Of a day, as strptime has it")

    @model_validator(mode="after")
    def _one_of_two(self) -> ColumnEntry:
        if bool(self.field) == (self.event is not None):
            raise ValueError("either 'field' or 'event'")
        return self


class TableMapping(Strict):
    """A whole mapping."""

    kind: Kind
    site: Annotated[str, Field(pattern=SITE_PATTERN)] | None = None
    file: TableFile = TableFile()
    columns: Annotated[list[ColumnEntry], Field(max_length=MAX_COLUMNS)] = Field(default_factory=list)
    others: Literal["by-head", "ignore"] = "by-head"


@dataclass(frozen=True, slots=True)
class LoadedMapping:
    """A mapping that is right by itself, and the places of its words. `located` None: nobody gave one."""

    model: TableMapping
    located: Located | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Slot:
    """A column that is taken: where it is, and what it fills."""

    index: int
    cell: Cell
    values: Mapping[str, str]
    format: str
    event: EventKind | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of one file. `unused`: the heads that nobody takes."""

    slots: tuple[Slot, ...]
    heads: Sequence[str]
    unused: tuple[str, ...]
    missing: frozenset[str]
    decimal: str

    def columns(self) -> list[dict[str, Any]]:
        """Which column is what, as people are shown it."""
        return [
            {
                "column": slot.index + 1,
                "head": self.heads[slot.index] if slot.index < len(self.heads) else "",
                "field": slot.event or slot.cell.name,
            }
            for slot in self.slots
        ]


def no_mapping(kind: Kind) -> LoadedMapping:
    """The mapping of a file that needs none."""
    return LoadedMapping(TableMapping(kind=kind))


def load_table_mapping(file: Path, kind: Kind) -> LoadedMapping:
    """The mapping in `file`; `ConfigErrors` with every problem of it otherwise."""
    return _loaded(load_located(file), kind, file.read_text(encoding="utf-8"))


def parse_table_mapping(text: str, name: str, kind: Kind) -> LoadedMapping:
    """The same for a text that somebody sent."""
    return _loaded(parse_sent(text, name), kind, text)


def parse_sent(text: str, name: str) -> Located:
    """A mapping of whoever sent it: without anchors, which can make a short text endless, and not nested deeply."""
    try:
        depth = 0
        for token in yaml.scan(text, Loader=yaml.SafeLoader):
            if isinstance(token, yaml.AliasToken | yaml.AnchorToken):
                line, column = token.start_mark.line + 1, token.start_mark.column + 1
                raise ConfigErrors([Problem(name, line, column, "", "anchors (& and *) are not taken here")])
            depth += isinstance(token, _OPENS) - isinstance(token, _CLOSES)
            if depth > MAX_DEPTH:
                raise ConfigErrors([Problem(name, token.start_mark.line + 1, 1, "", "is nested too deeply")])
        return parse_located(text, name)
    except yaml.YAMLError:
        return parse_located(text, name)  # which says where
    except ValueError:
        raise ConfigErrors([Problem(name, 1, 1, "", "holds a number that is none")]) from None


def _loaded(located: Located, kind: Kind, text: str) -> LoadedMapping:
    model = located.validate(TableMapping)
    problems: list[Problem] = []
    if model.kind != kind:
        problems.append(located.problem(("kind",), f"is a mapping of {model.kind}, not of {kind}"))
    names = [cell.name for cell in CELLS[model.kind]]
    seen: dict[str, int] = {}
    for index, entry in enumerate(model.columns):
        if entry.event is not None and model.kind != "events":
            problems.append(located.problem(("columns", index, "event"), "is for a mapping of events"))
        if entry.field and entry.field not in names:
            wrong = (
                f"{entry.field!r} is no field of {model.kind}{nearest(entry.field, names)}; it has {', '.join(names)}"
            )
            problems.append(located.problem(("columns", index, "field"), wrong))
        if entry.field and entry.field in seen:
            wrong = f"is column {seen[entry.field] + 1} of this list already"
            problems.append(located.problem(("columns", index, "field"), wrong))
        seen.setdefault(entry.field, index)
    if problems:
        raise ConfigErrors(problems)
    return LoadedMapping(model, located, text)


def find_heads(mapping: LoadedMapping, first: Sequence[Sequence[str]]) -> int:
    """How many of the first rows stand before the data; the last of them has the heads.

    The first row that holds a head of the mapping, or a key and the most heads that are known.
    """
    if mapping.model.file.heads is not None:
        return mapping.model.file.heads
    kind = mapping.model.kind
    wanted = {fold(e.column) for e in mapping.model.columns if isinstance(e.column, str)}
    known = known_heads(kind)

    def fits(row: Sequence[str]) -> int:
        folded = {fold(text) for text in row if text.strip()}
        found = {known[word] for word in folded if word in known}
        days = len(folded & set(EVENT_DAYS)) if kind == "events" else 0
        keys = bool(found & set(KEYS[kind]))
        return 100 * len(folded & wanted) + (len(found) + days if keys or wanted else 0)

    scores = [fits(row) for row in first[:HEADS_WITHIN]]
    best = max(scores, default=0)
    return scores.index(best) + 1 if best else 0


def lay_out(mapping: LoadedMapping, heads: Sequence[str], file: str, line: int = 1) -> Layout:
    """The columns of a file that has `heads`; `ConfigErrors` for what a mapping names and is not there."""
    model = mapping.model
    problems: list[Problem] = []
    slots: list[Slot] = []
    for position, entry in enumerate(model.columns):
        index = _index_of(entry.column, heads)
        if index is None:
            assert mapping.located
            shown = ", ".join(head for head in heads if head) or "no heads"
            near = nearest(str(entry.column), [head for head in heads if head])
            wrong = f"no column {entry.column!r} in {file}{near}; it has {shown}"
            problems.append(mapping.located.problem(("columns", position, "column"), wrong))
            continue
        cell = cell_of("events", "day") if entry.event else cell_of(model.kind, entry.field)
        values = {fold(text): value for text, value in entry.values.items()}
        slots.append(Slot(index, cell, values, entry.format, entry.event))
    if model.others == "by-head":
        slots += _by_head(model.kind, heads, slots)
    if not any(slot.cell.name in KEYS[model.kind] for slot in slots) and not problems:
        keys = " or ".join(c.ja + "/" + c.en for c in CELLS[model.kind] if c.name in KEYS[model.kind])
        problems.append(
            Problem(file, line, 1, "", f"no column says which one a row is about ({keys}); give a mapping")
        )
    if problems:
        raise ConfigErrors(problems)
    taken = {slot.index for slot in slots}
    unused = tuple(head for index, head in enumerate(heads) if head and index not in taken)
    return Layout(
        tuple(sorted(slots, key=lambda s: s.index)), tuple(heads), unused, frozenset(model.file.missing),
        model.file.decimal,
    )  # fmt: skip


def _index_of(column: str | int, heads: Sequence[str]) -> int | None:
    if isinstance(column, int):
        return column - 1
    folded = [fold(head) for head in heads]
    return folded.index(fold(column)) if fold(column) in folded else None


def _by_head(kind: Kind, heads: Sequence[str], slots: Sequence[Slot]) -> list[Slot]:
    known = known_heads(kind)
    taken, filled = {slot.index for slot in slots}, {slot.cell.name for slot in slots if slot.event is None}
    found = []
    for index, head in enumerate(heads):
        word = fold(head)
        if index in taken or not word:
            continue
        if kind == "events" and word in EVENT_DAYS:
            found.append(Slot(index, cell_of("events", "day"), {}, "", EVENT_DAYS[word]))
        elif word in known and known[word] not in filled:
            filled.add(known[word])
            found.append(Slot(index, cell_of(kind, known[word]), {}, ""))
    return found


def mapping_schema(kind: Kind) -> dict[str, Any]:
    """The JSON Schema of a mapping of `kind`, for an editor."""
    schema = TableMapping.model_json_schema()
    schema["properties"]["kind"] = {"const": kind}
    field = schema["$defs"]["ColumnEntry"]["properties"]["field"]
    field["enum"] = [cell.name for cell in CELLS[kind]]
    return schema
