"""Readings into a SQLite file: which place each one has, and the rows that go there. Inside the caller's transaction.

The fast way is for what a farm sends all day: numbers of series that the file knows, of one open hour; several hours
are nearly as fast. Everything else (a new series, a text, a late reading, the first of a new hour, one that cannot be
kept) takes the slow way, one by one.
"""

from __future__ import annotations

import math
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from collectors.store.levels import QUARTER_MS
from collectors.store.sqlite_layout import (
    BLOCK_BITS,
    DIRTY_BITS,
    HOUR_MS,
    SLOTS,
    WEEK_BITS,
    Layout,
    encoded,
    ensure_week,
    hour_of,
    id_of_spot,
    layout_version,
    read_layout,
    set_meta,
    table_of,
    week_of,
)
from collectors.store.sqlite_rollup import settle_hour
from collectors.store.sqlite_series import ROWS, Remembered
from makiba.quantities import catalogue
from makiba.reading import EARLIEST_MS, LATEST_MS, Columns, Series, Value

_NEGATIVE_ZERO: Final = "-0.0"
_LARGEST: Final = sys.float_info.max
_REMEMBERED: Final = 60_000
"""Series of numbers in each of two generations, about 300 bytes each. A quarter as many of texts."""

_UPSERT: Final[Mapping[int, str]] = {
    rows: f"INSERT INTO hot_%d VALUES {', '.join(['(?, ?)'] * rows)}"
    " ON CONFLICT (key) DO UPDATE SET value = excluded.value"
    for rows in ROWS
}
_COLD: Final = (
    f"INSERT INTO %s SELECT ?1, {encoded('?2')} WHERE true"
    " ON CONFLICT (key) DO UPDATE SET value = excluded.value WHERE value IS NOT excluded.value"
)
_TEXT: Final = (
    "INSERT INTO text_reading VALUES (?, ?, ?)"
    " ON CONFLICT (series_id, time_ms) DO UPDATE SET value = excluded.value WHERE value IS NOT excluded.value"
)

Numbers = Sequence[tuple[int, int, Any]]
"""Rows (spot, time_ms, value) in the order they came."""


class Writer:
    """Remembers series and layout between transactions; whoever rolls one back calls `forget`."""

    def __init__(self, remembered: int = _REMEMBERED) -> None:
        self._layout: Layout | None = None
        self._spots = Remembered(remembered, texts=False)
        self._texts = Remembered(max(1, remembered // 4), texts=True)

    @property
    def remembered(self) -> int:
        """Series that it remembers now."""
        return len(self._spots) + len(self._texts)

    def forget(self) -> None:
        self._layout = None
        self._spots.forget()
        self._texts.forget()

    def put(self, db: sqlite3.Connection, columns: Columns, *, any_kind: bool = False) -> list[tuple[int, str]]:
        """Writes `columns`; index and reason of those that are never taken.

        `any_kind`: keeps what is there already (a migration), whatever the catalogue says today.
        """
        if self._layout is None or layout_version(db) != self._layout.version:
            self.forget()
            self._layout = read_layout(db)
        if any_kind:
            rejected = self._put_any(db, columns, self._layout, any_kind)
            self.forget()  # what is taken whatever it is says nothing about what may be taken fast
            return rejected
        if self._put_live(db, columns, self._layout):
            return []
        others = self._put_open(db, columns, self._layout)
        if not others:
            return []
        rest = Columns(
            [columns.series[i] for i in others],
            [columns.times_ms[i] for i in others],
            [columns.values[i] for i in others],
        )
        return [(others[at], reason) for at, reason in self._put_any(db, rest, self._layout)]

    # ---------------------------------------------------------------------------------------------- the fast way

    def _put_live(self, db: sqlite3.Connection, columns: Columns, layout: Layout) -> bool:
        """Writes numbers of known series that belong to one open hour; False when they are not (nothing is wrong)."""
        values: Sequence[Any] = columns.values
        hour_ms = hour_of(min(columns.times_ms))
        hour = layout.hours.get(hour_ms)
        if hour is None or hour.settled or max(columns.times_ms) >= hour_ms + HOUR_MS:
            return False
        try:
            if not math.isfinite(sum(values)):
                return False
        except (TypeError, OverflowError):
            return False
        try:
            keys = self._keys(columns, hour_ms)
        except KeyError:
            self._spots.recall(db, columns.series)
            try:
                keys = self._keys(columns, hour_ms)
            except KeyError:
                return False
        if 0.0 in values:
            values = [_storable(value) for value in values]
        _upsert(db, hour.slot, keys, values)
        return True

    def _keys(self, columns: Columns, hour_ms: int) -> list[int]:
        spots = self._spots.young
        return [
            spots[series] + ((time_ms - hour_ms) << BLOCK_BITS)
            for series, time_ms in zip(columns.series, columns.times_ms, strict=True)
        ]

    def _put_open(self, db: sqlite3.Connection, columns: Columns, layout: Layout) -> list[int]:
        """Writes the numbers of known series that belong to open hours; the indices of all others, ascending."""
        hours: dict[int, tuple[int, list[int], list[Any]]] = {
            hour_ms: (hour.slot, [], []) for hour_ms, hour in layout.hours.items() if not hour.settled
        }
        if not hours:
            return list(range(len(columns)))
        self._spots.recall(db, columns.series)
        others: list[int] = []
        spots = self._spots.young
        rows = zip(columns.series, columns.times_ms, columns.values, strict=True)
        for index, (series, time_ms, value) in enumerate(rows):
            hour_ms = time_ms - time_ms % HOUR_MS
            hour = hours.get(hour_ms)
            spot = spots.get(series)
            if hour is None or spot is None or isinstance(value, str) or not -_LARGEST <= value <= _LARGEST:
                others.append(index)
                continue
            _, keys, values = hour
            keys.append(spot + ((time_ms - hour_ms) << BLOCK_BITS))
            values.append(float(value) if value else _storable(float(value)))
        for slot, keys, values in hours.values():
            _upsert(db, slot, keys, values)
        return others

    # ---------------------------------------------------------------------------------------------- the slow way

    def _put_any(
        self, db: sqlite3.Connection, columns: Columns, layout: Layout, any_kind: bool = False
    ) -> list[tuple[int, str]]:
        numbers: list[tuple[int, int, Any]] = []
        texts: list[tuple[int, int, str]] = []
        rejected: list[tuple[int, str]] = []
        self._spots.recall(db, columns.series)
        self._texts.recall(
            db, [s for s, value in zip(columns.series, columns.values, strict=True) if isinstance(value, str)]
        )
        rows = zip(columns.series, columns.times_ms, columns.values, strict=True)
        for index, (series, time_ms, value) in enumerate(rows):
            reason = _why_not(series, time_ms, value, layout, any_kind)
            if reason:
                rejected.append((index, reason))
            elif isinstance(value, str):
                texts.append((self._texts.add(db, series), time_ms, value))
            else:
                numbers.append((self._spots.add(db, series), time_ms, _storable(float(value))))
        if texts:
            db.executemany(_TEXT, texts)
        if numbers:
            layout = self._layout = _open_hours(db, sorted({hour_of(time_ms) for _, time_ms, _ in numbers}), layout)
            _place(db, numbers, layout)
            if layout_version(db) != layout.version:  # a new week
                self._layout = read_layout(db)
        return rejected


def _why_not(series: Series, time_ms: int, value: Value, layout: Layout, any_kind: bool) -> str:
    """Why a reading cannot be kept; empty when it can."""
    kept_from_ms = layout.kept_from_ms["text" if isinstance(value, str) else "raw"]
    if time_ms < kept_from_ms:
        return f"older than what is kept (since {_day(kept_from_ms)})"
    if any_kind:
        return ""
    known = catalogue().get(series.quantity)
    if known is None:
        return f"quantity {series.quantity!r} is not in the catalogue"
    if isinstance(value, str) != (known.kind == "text"):
        return f"{known.name} is a {'text' if known.kind == 'text' else 'number'}"
    if not isinstance(value, str) and not _is_finite(value):
        return f"{value} is not a finite number"
    if not EARLIEST_MS <= time_ms <= LATEST_MS:
        return f"time {time_ms} ms is not a time since 1978"
    return ""


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an int that no double holds
        return False


def _day(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d}"


def _storable(value: float) -> float | str:
    """SQL cannot tell -0.0 from 0.0: it is kept as its text."""
    return _NEGATIVE_ZERO if value == 0 and math.copysign(1.0, value) < 0 else value


# ------------------------------------------------------------------------------------------------- hours, weeks


def _open_hours(db: sqlite3.Connection, hours: Sequence[int], layout: Layout) -> Layout:
    """Opens those of `hours` (ascending) that can be; the layout after that.

    A write that spans many hours is no live one: only its newest two are opened, the others go to their weeks.
    """
    new = [hour for hour in hours if hour >= layout.frontier_ms and hour not in layout.hours]
    if len(new) > 2:
        _advance(db, new[-3] + HOUR_MS)
        layout = read_layout(db)
    for hour in new[-2:]:
        if hour < layout.frontier_ms:
            continue
        if len(layout.hours) == SLOTS:
            oldest = min(layout.hours)
            if hour < oldest:
                set_meta(db, frontier_ms=hour + HOUR_MS)
                layout = read_layout(db)
                continue
            settle_hour(db, oldest)
            layout = read_layout(db)
        slot = next(slot for slot in range(SLOTS) if slot not in {used.slot for used in layout.hours.values()})
        db.execute("UPDATE hot SET hour_ms = ?, settled = 0 WHERE slot = ?", (hour, slot))
        set_meta(db)
        layout = read_layout(db)
    return layout


def _advance(db: sqlite3.Connection, frontier_ms: int) -> None:
    """Settles every hour before `frontier_ms`, which becomes the frontier."""
    for hour in [hour for hour in read_layout(db).hours if hour < frontier_ms]:
        settle_hour(db, hour)
    set_meta(db, frontier_ms=frontier_ms)


def _place(db: sqlite3.Connection, numbers: Numbers, layout: Layout) -> None:
    """Writes each of `numbers` where it belongs; what goes to a week makes its quarter dirty."""
    hot: dict[int, dict[int, Any]] = {}
    cold: dict[int, dict[int, Any]] = {}
    for spot, time_ms, value in numbers:
        hour_ms = hour_of(time_ms)
        hour = layout.hours.get(hour_ms)
        if hour is not None and (not hour.settled or id_of_spot(spot) >= hour.settled):
            hot.setdefault(hour.slot, {})[spot + ((time_ms - hour_ms) << BLOCK_BITS)] = value
        else:
            week_ms = week_of(time_ms)
            cold.setdefault(week_ms, {})[(id_of_spot(spot) << WEEK_BITS) + time_ms - week_ms] = value
    for slot, rows in hot.items():
        _upsert(db, slot, list(rows), list(rows.values()))
    for week_ms, rows in cold.items():
        _put_cold(db, week_ms, rows)


def _put_cold(db: sqlite3.Connection, week_ms: int, rows: Mapping[int, Any]) -> None:
    ensure_week(db, week_ms)
    before = db.total_changes
    # In the key's order a backlog goes into few pages.
    db.executemany(_COLD % table_of("raw", week_ms), sorted(rows.items()))
    if db.total_changes == before:
        return  # a resend
    first = week_ms // QUARTER_MS
    marks = {(key >> WEEK_BITS << DIRTY_BITS) + first + (key & ((1 << WEEK_BITS) - 1)) // QUARTER_MS for key in rows}
    db.executemany("INSERT OR IGNORE INTO dirty VALUES (?)", [(mark,) for mark in sorted(marks)])


def _upsert(db: sqlite3.Connection, slot: int, keys: Sequence[int], values: Sequence[Any]) -> None:
    """Rows into a hot table, as many as fit into one statement at a time."""
    flat: list[Any] = [None] * (2 * len(keys))
    flat[::2], flat[1::2] = keys, values
    at, end = 0, len(flat)
    for rows in ROWS:
        sql = _UPSERT[rows] % slot
        while end - at >= 2 * rows:
            db.execute(sql, flat[at : at + 2 * rows])
            at += 2 * rows
