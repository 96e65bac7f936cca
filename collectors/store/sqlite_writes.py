"""Readings into a SQLite file: which place each one has, and the rows that go there. Inside the caller's transaction.

The fast way is for what a farm sends all day: numbers of known series, all of one open hour. Everything else (a new
series, a text, a late reading, the first of a new hour, one that cannot be kept) takes the slow way, one by one.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from collectors.store.levels import QUARTER_MS
from collectors.store.sqlite_layout import (
    BLOCK,
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
    spot_of,
    table_of,
    week_of,
)
from collectors.store.sqlite_rollup import settle_hour
from makiba.quantities import catalogue
from makiba.reading import EARLIEST_MS, LATEST_MS, Columns, Series, Value

_NEGATIVE_ZERO: Final = "-0.0"
_ROWS: Final = (100, 50, 20, 10, 5, 2, 1)
"""Rows of one statement: a statement costs more than a row. SQLite takes 999 values everywhere."""

_UPSERT: Final[Mapping[int, str]] = {
    rows: f"INSERT INTO hot_%d VALUES {', '.join(['(?, ?)'] * rows)}"
    " ON CONFLICT (key) DO UPDATE SET value = excluded.value"
    for rows in _ROWS
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

    def __init__(self) -> None:
        self._layout: Layout | None = None
        self._spots: dict[Series, int] = {}
        self._texts: dict[Series, int] = {}

    def forget(self) -> None:
        self._layout = None
        self._spots.clear()
        self._texts.clear()

    def put(self, db: sqlite3.Connection, columns: Columns, *, any_kind: bool = False) -> list[tuple[int, str]]:
        """Writes `columns`; index and reason of those that are never taken.

        `any_kind`: keeps what is there already (a migration), whatever the catalogue says today.
        """
        if self._layout is None or layout_version(db) != self._layout.version:
            self.forget()
            self._layout = read_layout(db)
        if self._put_live(db, columns, self._layout):
            return []
        return self._put_any(db, columns, self._layout, any_kind)

    # ---------------------------------------------------------------------------------------------- the fast way

    def _put_live(self, db: sqlite3.Connection, columns: Columns, layout: Layout) -> bool:
        """Writes numbers of known series that belong to one open hour; False when they are not (nothing is wrong)."""
        values: Sequence[Any] = columns.values
        spots = self._spots
        hour_ms = hour_of(min(columns.times_ms))
        hour = layout.hours.get(hour_ms)
        if hour is None or hour.settled or max(columns.times_ms) >= hour_ms + HOUR_MS:
            return False
        try:
            keys = [
                spots[series] + ((time_ms - hour_ms) << BLOCK_BITS)
                for series, time_ms in zip(columns.series, columns.times_ms, strict=True)
            ]
            if not math.isfinite(sum(values)):
                return False
        except (KeyError, TypeError, OverflowError):
            return False
        if 0.0 in values:
            values = [_storable(value) for value in values]
        _upsert(db, hour.slot, keys, values)
        return True

    # ---------------------------------------------------------------------------------------------- the slow way

    def _put_any(
        self, db: sqlite3.Connection, columns: Columns, layout: Layout, any_kind: bool
    ) -> list[tuple[int, str]]:
        numbers: list[tuple[int, int, Any]] = []
        texts: list[tuple[int, int, str]] = []
        rejected: list[tuple[int, str]] = []
        rows = zip(columns.series, columns.times_ms, columns.values, strict=True)
        for index, (series, time_ms, value) in enumerate(rows):
            reason = _why_not(series, time_ms, value, layout, any_kind)
            if reason:
                rejected.append((index, reason))
            elif isinstance(value, str):
                texts.append((self._known(db, self._texts, series), time_ms, value))
            else:
                numbers.append((self._known(db, self._spots, series), time_ms, _storable(float(value))))
        if texts:
            db.executemany(_TEXT, texts)
        if numbers:
            layout = self._layout = _open_hours(db, sorted({hour_of(time_ms) for _, time_ms, _ in numbers}), layout)
            _place(db, numbers, layout)
            if layout_version(db) != layout.version:  # a new week
                self._layout = read_layout(db)
        return rejected

    def _known(self, db: sqlite3.Connection, known: dict[Series, int], series: Series) -> int:
        """What `known` says of `series`, which is made when it is new: the spot of a number, the number of a text."""
        found = known.get(series)
        if found is None:
            number = series_number(db, series)
            found = known[series] = number if known is self._texts else spot_of(number)
        return found


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


def series_number(db: sqlite3.Connection, series: Series) -> int:
    """The number of `series`: the next of its site's last block, or the first of a new block.

    Numbers of a farm that left are never given again: another process may still remember them.
    """
    row = db.execute("SELECT id FROM series WHERE site = ? AND subject = ? AND quantity = ?", series).fetchone()
    if row:
        return int(row[0])
    row = db.execute(
        "SELECT number, used FROM block WHERE site = ? ORDER BY number DESC LIMIT 1", (series.site,)
    ).fetchone()
    if row is None or row[1] == BLOCK:
        number = db.execute(
            "UPDATE meta SET value = value + 1 WHERE name = 'next_block' RETURNING value - 1"
        ).fetchone()[0]
        row = (number, 0)
        db.execute("INSERT INTO block VALUES (?, ?, 0)", (number, series.site))
    db.execute("UPDATE block SET used = used + 1 WHERE number = ?", (row[0],))
    series_id = int(row[0]) * BLOCK + int(row[1])
    db.execute("INSERT INTO series VALUES (?, ?, ?, ?)", (series_id, *series))
    return series_id


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
    for rows in _ROWS:
        sql = _UPSERT[rows] % slot
        while end - at >= 2 * rows:
            db.execute(sql, flat[at : at + 2 * rows])
            at += 2 * rows
