"""How a CSV of readings is written: by whom, and so what its columns are. One mapping for all of them. Pure but for
the look at the file's first rows.

In this order: the mapping that somebody gave; what `makiba export` writes, long or wide; heads that `makiba import
readings` knows; a column of times and columns of numbers, each guessed (`columns.py`).
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import yaml

from analytics.backtest.columns import Guess, guess
from collectors.imports.cells import day_of
from collectors.imports.readings import mapping_of_heads, resolved
from collectors.imports.said import Said
from collectors.imports.sniff import NotCsv, dialect_of
from collectors.out.table import HEADS
from collectors.ways.csv_mapping import Mapping_, parse_mapping, plain_number
from collectors.ways.csv_rows import Dialect, Rows
from makiba.located_yaml import ConfigErrors, Problem
from makiba.quantities import catalogue
from makiba.reading import Series

LOOKED_AT: Final = 400
_TIMES: Final = ("%d-%m-%Y %H:%M:%S", "%d-%m-%Y %H:%M", "%d/%m/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M:%S",
                 "%m/%d/%Y %H:%M")  # fmt: skip
_WIDE: Final = re.compile(
    r"(?:(?P<site>[^/\s]+)/)?(?P<subject>[^/\s]+)/(?P<quantity>[a-z][a-z0-9_]*)"
    r"(?: (?P<fold>count|min|mean|max|last))?(?: \[(?P<unit>[^\]]*)\])?"
)
_MISSING: Final = ("", "-", "nan", "NaN", "NA", "N/A", "null", "None", "***")


@dataclass(frozen=True, slots=True)
class Form:
    """How one file is read. `renamed`: the true series by the subject and quantity that the mapping gives.

    `guesses`: what columns were taken for, by the file's heads. `site_column`: where a long export names the farm.
    `only`: the one column of values, of which an empty cell says that the sensor sent no number.
    """

    mapping: Mapping_
    renamed: Mapping[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    guesses: Mapping[str, tuple[str, Guess]] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)
    site_column: int | None = None
    only: int | None = None


def form_of(file: Path, given: Mapping_ | None, timezone: str) -> Form:
    """The form of `file`; `ConfigErrors` when there is none. Times without an offset are in `timezone`."""
    name = str(file)
    if given is not None:
        return Form(resolved(given, file, name))
    try:
        dialect = dialect_of(file)
    except NotCsv as error:
        raise ConfigErrors([Problem(name, 1, 1, "", str(error))]) from None
    except OSError as error:
        raise ConfigErrors([Problem(name, 1, 1, "", error.strerror or str(error))]) from None
    with file.open("rb") as binary:
        rows = [list(row.fields) for row in itertools.islice(Rows(binary, dialect), LOOKED_AT) if not row.problem]
    if not rows:
        raise ConfigErrors([Problem(name, 1, 1, "", "is empty")])
    heads = [head.strip() for head in rows[0]]
    return (
        _long_export(name, dialect, heads)
        or _wide_export(name, dialect, heads)
        or _known_heads(file, name)
        or _guessed(file, dialect, heads, rows[1:], timezone)
    )


def _file_part(dialect: Dialect) -> dict[str, Any]:
    return {"encoding": dialect.encoding, "delimiter": dialect.delimiter, "missing": list(_MISSING)}


def _parsed(told: Mapping[str, Any], name: str, dialect: Dialect) -> Mapping_:
    text = yaml.safe_dump({**told, "file": _file_part(dialect)}, allow_unicode=True, sort_keys=False)
    return parse_mapping(text, f"{name} (its heads)")


def _named(heads: Sequence[str], name: str) -> int | None:
    """The place of the column that an export calls `name`, in either language."""
    return next((i for i, head in enumerate(heads) if head in (name, HEADS[name])), None)


def _long_export(name: str, dialect: Dialect, heads: Sequence[str]) -> Form | None:
    place = {n: _named(heads, n) for n in ("utc_ms", "site", "subject", "quantity", "value", "mean", "text", "unit")}
    value = place["value"] if place["value"] is not None else place["mean"]
    if value is None or any(place[n] is None for n in ("utc_ms", "subject", "quantity")):
        return None
    long = {"quantity": (place["quantity"] or 0) + 1, "value": value + 1}
    long |= {n: at + 1 for n in ("text", "unit") if (at := place[n]) is not None}
    told = {
        "time": {"columns": [(place["utc_ms"] or 0) + 1], "format": "unix-ms"},
        "subject": {"column": (place["subject"] or 0) + 1},
        "long": long,
    }
    return Form(_parsed(told, name, dialect), site_column=place["site"])


def _wide_export(name: str, dialect: Dialect, heads: Sequence[str]) -> Form | None:
    time = _named(heads, "utc_ms")
    found = {i: m for i, head in enumerate(heads) if (m := _WIDE.fullmatch(head)) and m["quantity"] in catalogue()}
    if time is None or not found:
        return None
    columns: dict[int, tuple[str, str, str | None]] = {}
    for i, match in found.items():
        if match["fold"] in (None, "mean", "last"):
            columns.setdefault(i, (match["subject"], match["quantity"], match["unit"] or None))
    told, renamed = _by_place(columns)
    told["time"] = {"columns": [time + 1], "format": "unix-ms"}
    return Form(_parsed(told, name, dialect), renamed)


def _by_place(
    columns: Mapping[int, tuple[str, str, str | None]],
) -> tuple[dict[str, Any], dict[tuple[str, str], tuple[str, str]]]:
    """A mapping in which each column has a subject of its own, and the subjects that they truly have."""
    values, renamed = [], {}
    for i, (subject, quantity, unit) in columns.items():
        values.append(
            {"column": i + 1, "quantity": quantity, "channel": f"c{i + 1}", **({"unit": unit} if unit else {})}
        )
        renamed[f"x.c{i + 1}", quantity] = (subject, quantity)
    return {"subject": "x", "values": values}, renamed


def _known_heads(file: Path, name: str) -> Form | None:
    try:
        return Form(mapping_of_heads(file, name))
    except ConfigErrors:
        return None


# ------------------------------------------------------------------------------------------------------ guessed


def _guessed(
    file: Path, dialect: Dialect, heads: Sequence[str], rows: Sequence[Sequence[str]], timezone: str
) -> Form:
    name = str(file)
    firsts = next((row for row in rows if any(cell.strip() for cell in row)), None)
    found = next(((i, f) for i, cell in enumerate(firsts or ()) if (f := time_format(cell))), None)
    if found is None:
        wrong = "no column of times is found in its first row of data; give a mapping (--map)"
        raise ConfigErrors([Problem(name, 2 if firsts else 1, 1, "", wrong)])
    place, form = found
    decimal = "," if dialect.delimiter == ";" else "."
    columns: dict[int, Guess] = {}
    for i, head in enumerate(heads):
        cells = [row[i] for row in rows if i < len(row) and row[i].strip() not in _MISSING]
        numbers = [float(n) for cell in cells if (n := plain_number(cell, decimal)) is not None]
        if i != place and len(numbers) > len(cells) / 2:
            columns[i] = guess(head, file.stem, numbers)
    if not columns:
        raise ConfigErrors([Problem(name, 1, 1, "", "no column of numbers; give a mapping (--map)")])
    subjects = _subjects(slug(file.stem), heads, columns)
    told, renamed = _by_place({i: (subjects[i], g.quantity, g.unit) for i, g in columns.items()})
    told["time"] = {"columns": [place + 1], "format": form, "timezone": timezone}
    mapping = parse_mapping(
        yaml.safe_dump({**told, "file": {**_file_part(dialect), "decimal": decimal}}, allow_unicode=True),
        f"{name} (its heads)",
    )
    return Form(
        mapping,
        renamed,
        {heads[i] or f"column {i + 1}": (subjects[i], g) for i, g in columns.items()},
        {subjects[i]: g.kind for i, g in columns.items()},
        only=next(iter(columns)) if len(columns) == 1 else None,
    )


def time_format(cell: str) -> str:
    """The form of the time in `cell`, as a mapping says it; empty when it is none."""
    text = cell.strip()
    number = plain_number(text, ".")
    if number is not None:
        return "unix" if 2e8 < number < 1e11 else "unix-ms" if 2e11 < number < 1e14 else ""
    try:
        datetime.fromisoformat(text)
    except ValueError:
        pass
    else:
        return "iso"
    if not isinstance(day_of(text), Said):
        return "auto"
    for form in _TIMES:
        try:
            datetime.strptime(text, form)  # noqa: DTZ007 (only its form is looked at)
        except ValueError:
            continue
        return form
    return ""


def _subjects(stem: str, heads: Sequence[str], columns: Mapping[int, Guess]) -> dict[int, str]:
    """A name for whatever each column is about. Columns of one instrument ('Sensor 3 - humidity') share theirs."""
    if len(columns) == 1:
        return dict.fromkeys(columns, stem)
    instruments = {i: slug(heads[i].split(" - ")[0], 32) if " - " in heads[i] else "" for i in columns}
    taken: set[tuple[str, str]] = set()
    found: dict[int, str] = {}
    for i, guessed in columns.items():
        shared = instruments[i] and list(instruments.values()).count(instruments[i]) > 1
        subject = instruments[i] if shared else slug(heads[i], 32) or f"c{i + 1}"
        if (subject, guessed.quantity) in taken:
            subject = f"{subject[:26].rstrip('-')}.c{i + 1}"
        taken.add((subject, guessed.quantity))
        found[i] = subject
    return found


def slug(text: str, most: int = 48) -> str:
    """`text` as a name: what Latin letters and digits there are in it."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9_]+", "-", plain).strip("-")[:most].rstrip("-")
    try:
        Series("x", words, "x")
    except ValueError:
        return ""
    return words
