"""Readings in the order of their times, as often as asked for, whatever order they came in, in flat memory.

A long file has one series after the other: up to `TOGETHER` readings are sorted at a time and, when there are more,
put into a file for the time being; the parts are merged while they are read. Of two readings of one series and time
the one that came later counts.
"""

from __future__ import annotations

import heapq
import tempfile
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any, Final

import numpy as np

from makiba.quantities import catalogue
from makiba.reading import Reading, Series, Value

TOGETHER: Final = 1_000_000
_PIECE: Final = 8_192
_MOST_STEPS: Final = 4_000
_ROW: Final = np.dtype([("time_ms", "<i8"), ("came", "<i8"), ("series", "<i4"), ("value", "<f8")])

_Row = tuple[int, int, int, float]


@dataclass(slots=True)
class Course:
    """What there is of a series: how many, from when to when, and how far apart its first readings are."""

    count: int = 0
    first_ms: int = 0
    last_ms: int = 0
    steps_ms: array[int] = field(default_factory=lambda: array("q"))
    _before_ms: int = 0

    def take(self, time_ms: int) -> None:
        if self.count == 0:
            self.first_ms = self.last_ms = time_ms
        elif time_ms > self._before_ms and len(self.steps_ms) < _MOST_STEPS:
            self.steps_ms.append(time_ms - self._before_ms)
        self._before_ms = time_ms
        self.first_ms, self.last_ms = min(self.first_ms, time_ms), max(self.last_ms, time_ms)
        self.count += 1

    @property
    def every_ms(self) -> int:
        """How often it comes: what is usual, or, of one that comes when it likes, what is rarely exceeded."""
        if not self.steps_ms:
            return 0
        usual, rare = np.percentile(np.asarray(self.steps_ms), [50, 99])
        return int(usual if rare <= 2.5 * usual else rare)


class Ordered:
    """Takes readings (`add`), then gives them in order (`readings`). A context: it forgets its file at the end."""

    def __init__(self, together: int = TOGETHER) -> None:
        self._together = together
        self.courses: dict[Series, Course] = {}
        self._index: dict[Series, int] = {}
        self._texts: list[str] = []
        self._text_of: dict[str, int] = {}
        self._columns = (array("q"), array("q"), array("i"), array("d"))
        self._came = 0
        self._file: IO[bytes] | None = None
        self._parts: list[tuple[int, int, int, int]] = []  # offset and count in the file; first and last time

    def __enter__(self) -> Ordered:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    @property
    def count(self) -> int:
        return self._came

    def add(self, readings: Iterable[Reading]) -> None:
        times, came, places, values = self._columns
        for reading in readings:
            series = reading.series
            place = self._index.setdefault(series, len(self._index))
            self.courses.setdefault(series, Course()).take(reading.time_ms)
            times.append(reading.time_ms)
            came.append(self._came)
            places.append(place)
            values.append(self._number(reading.value))
            self._came += 1
            if len(times) >= self._together:
                self._put_away()

    def _number(self, value: Value) -> float:
        if not isinstance(value, str):
            return value
        if value not in self._text_of:
            self._text_of[value] = len(self._texts)
            self._texts.append(value)
        # Its place in the list of texts; that it is one, its series says.
        return float(self._text_of[value])

    def _sorted(self) -> np.ndarray[Any, Any]:
        rows = np.empty(len(self._columns[0]), _ROW)
        for name, column in zip(_ROW.names or (), self._columns, strict=True):
            rows[name] = column
        return rows[np.lexsort((rows["came"], rows["time_ms"]))]

    def _put_away(self) -> None:
        rows = self._sorted()
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="makiba-backtest-")  # noqa: SIM115 (closed by __exit__)
        offset = self._file.seek(0, 2)
        self._file.write(rows.tobytes())
        self._parts.append((offset, len(rows), int(rows["time_ms"][0]), int(rows["time_ms"][-1])))
        for column in self._columns:
            del column[:]

    def readings(self) -> Iterator[Reading]:
        """Every reading, ascending in time."""
        series = list(self._index)
        is_text = [_is_text(one) for one in series]
        waiting: list[_Row] = []  # of one time
        for row in self._rows():
            if waiting and row[0] != waiting[0][0]:
                yield from self._told(waiting, series, is_text)
                waiting = []
            waiting.append(row)
        yield from self._told(waiting, series, is_text)

    def _told(self, rows: list[_Row], series: list[Series], is_text: list[bool]) -> Iterator[Reading]:
        last = {place: (time_ms, value) for time_ms, _, place, value in rows}
        for place, (time_ms, value) in last.items():
            yield Reading(series[place], time_ms, self._texts[int(value)] if is_text[place] else value)

    def _rows(self) -> Iterator[_Row]:
        rest = self._sorted()
        parts = [self._part(offset, count) for offset, count, _, _ in self._parts]
        if len(rest):
            parts.append(_pieces(rest))
        yield from parts[0] if len(parts) == 1 else heapq.merge(*parts)

    def _part(self, offset: int, count: int) -> Iterator[_Row]:
        assert self._file
        for start in range(0, count, _PIECE):
            self._file.seek(offset + start * _ROW.itemsize)
            data = self._file.read(min(_PIECE, count - start) * _ROW.itemsize)
            yield from np.frombuffer(data, _ROW).tolist()


def _pieces(rows: np.ndarray[Any, Any]) -> Iterator[_Row]:
    for start in range(0, len(rows), _PIECE):
        yield from rows[start : start + _PIECE].tolist()


def _is_text(series: Series) -> bool:
    known = catalogue().get(series.quantity)
    return known is not None and known.kind == "text"
