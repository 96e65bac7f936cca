"""Recorded measurements from a CSV file: a time column first, then columns of numbers, empty cells where nothing was.

Read as such files come: comma, semicolon or tab, with or without byte order mark, UTF-8 or Windows-1252, decimal
comma where the semicolon separates, headers in any language. A cell that is no number is an error with its line,
because a gap nobody made would be worse than none.
"""

from __future__ import annotations

import csv
import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from makiba.quantities import catalogue

GAPS: Final = frozenset({"", "nan", "null", "none", "na", "n/a", "-"})
_FORMATS: Final = ("%d-%m-%Y %H:%M:%S", "%d-%m-%Y %H:%M", "%d/%m/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%Y/%m/%d %H:%M:%S",
                   "%Y/%m/%d %H:%M", "%Y-%m-%d %H:%M")  # fmt: skip
_CELSIUS: Final = re.compile(r"[°º]\s*C\b|℃|\bcelsius\b", re.IGNORECASE)


class RecordingError(ValueError):
    """The file cannot be used; the text says file, line and column."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column: header, channel (unique, fit for a name) and quantity (`temperature` for °C, else `value`)."""

    header: str
    channel: str
    quantity: str


@dataclass(frozen=True, slots=True)
class Row:
    """One moment. `time_s` is as recorded (local time read as if it were UTC), None is a gap."""

    time_s: float
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Recording:
    """A file of recorded measurements."""

    name: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


def read_recording(path: Path) -> Recording:
    """The recording in `path`; `RecordingError` when it is none."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror}") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", errors="replace")
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    lines = list(csv.reader(text.splitlines(), delimiter=delimiter))
    if not lines or len(lines[0]) < 2:
        raise RecordingError(f"{path}:1: expected a time column and at least one column of numbers")
    headers = lines[0][1:]
    rows = []
    for number, cells in enumerate(lines[1:], start=2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(lines[0]):
            raise RecordingError(f"{path}:{number}: {len(cells)} cells, the header has {len(lines[0])}")
        values = tuple(
            _number(cell, delimiter == ";", f"{path}:{number}: column {i} ({headers[i - 2]!r})")
            for i, cell in enumerate(cells[1:], start=2)
        )
        rows.append(Row(_time(cells[0], f"{path}:{number}"), values))
    columns = tuple(_column(i, header, rows) for i, header in enumerate(headers))
    return Recording(path.stem, columns, tuple(rows))


def _number(cell: str, decimal_comma: bool, where: str) -> float | None:
    text = cell.strip()
    if text.casefold() in GAPS:
        return None
    try:
        value = float(text.replace(",", ".") if decimal_comma else text)
    except ValueError:
        raise RecordingError(f"{where}: {text[:40]!r} is no number") from None
    if not math.isfinite(value):
        raise RecordingError(f"{where}: {text[:40]!r} is not finite")
    return value


def _time(cell: str, where: str) -> float:
    text = cell.strip()
    try:
        return float(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = next(filter(None, (_parsed(text, form) for form in _FORMATS)), None) or _no_time(text, where)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _parsed(text: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(text, form).replace(tzinfo=UTC)
    except ValueError:
        return None


def _no_time(text: str, where: str) -> datetime:
    raise RecordingError(f"{where}: column 1: {text[:40]!r} is no time; expected one such as 2020-08-16 12:45:00")


def _column(index: int, header: str, rows: Sequence[Row]) -> Column:
    """Numbered, because headers repeat and are longer than a name may be."""
    plain = unicodedata.normalize("NFKD", header).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    channel = f"c{index + 1:02d}-{words}"[:32].rstrip("-")
    temperature = catalogue()["temperature"]
    is_temperature = _CELSIUS.search(header) and all(
        row.values[index] is None or temperature.is_plausible(float(row.values[index] or 0)) for row in rows
    )
    return Column(header.strip() or channel, channel, "temperature" if is_temperature else "value")
