"""Readings and roll-ups out of a SQLite file, inside the caller's transaction: one question sees one state."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from collectors.store.levels import (
    DAY_MS,
    DAY_OFFSET_MS,
    MINUTE_MS,
    MINUTES_FROM,
    QUARTER_MS,
    Freshness,
    Segment,
    merge,
    segments,
)
from collectors.store.protocol import Level, Window
from collectors.store.sqlite_layout import (
    BLOCK,
    BLOCK_BITS,
    DAY_BITS,
    DIRTY_BITS,
    HOT_BLOCK_SHIFT,
    HOT_TIME_BITS,
    HOUR_MS,
    MINUTE_BITS,
    QUARTER_BITS,
    WEEK_BITS,
    WEEK_MS,
    Layout,
    decoded,
    spot_of,
    table_of,
)

Number = tuple[int, float]
"""time_ms and value of a reading that is a number."""

_HOT_TIME_MASK = (1 << HOT_TIME_BITS) - 1
_GRID: dict[Level, tuple[int, int]] = {
    "minute": (MINUTE_BITS, MINUTE_MS),
    "quarter": (QUARTER_BITS, QUARTER_MS),
    "day": (DAY_BITS, DAY_MS),
}


def numbers_of(
    db: sqlite3.Connection, layout: Layout, series_id: int, start_ms: int, end_ms: int
) -> Iterator[Number]:
    """Readings in [start_ms, end_ms), ascending; those of a week are read when they are asked for."""
    for week in layout.weeks_in("raw", start_ms, end_ms):
        base = series_id << WEEK_BITS
        low, high = max(start_ms - week, 0), min(end_ms - week, WEEK_MS)
        yield from db.execute(
            f"SELECT key - ?, {decoded('value')} FROM {table_of('raw', week)}"
            " WHERE key >= ? AND key < ? ORDER BY key",
            (base - week, base + low, base + high),
        )
    spot = spot_of(series_id)
    base = spot >> HOT_BLOCK_SHIFT << HOT_BLOCK_SHIFT
    for hour_ms, hour in layout.hours.items():
        if hour_ms >= end_ms or hour_ms + HOUR_MS <= start_ms or series_id < hour.settled:
            continue
        low, high = max(start_ms - hour_ms, 0), min(end_ms - hour_ms, HOUR_MS)
        yield from db.execute(
            f"SELECT ((key >> {BLOCK_BITS}) & {_HOT_TIME_MASK}) + ?, CAST(value AS REAL) FROM hot_{hour.slot}"
            f" WHERE key >= ? AND key < ? AND key & {BLOCK - 1} = ? ORDER BY key",
            (hour_ms, base + (low << BLOCK_BITS), base + (high << BLOCK_BITS), series_id & (BLOCK - 1)),
        )


# -------------------------------------------------------------------------------------------------------- latest


def newest_numbers(db: sqlite3.Connection, layout: Layout, ids: Sequence[int]) -> dict[int, Number]:
    """The newest reading of each of `ids` (ascending) that has one."""
    found: dict[int, Number] = {}
    missing = set(ids)
    for block in sorted({series_id >> BLOCK_BITS for series_id in ids}):
        for hour_ms in sorted(layout.hours, reverse=True):
            _newest_hot(db, layout, block, hour_ms, missing, found)
    for week in reversed(layout.weeks["raw"]):
        for series_id in sorted(missing):
            row = db.execute(
                f"SELECT key - ?1, {decoded('value')} FROM {table_of('raw', week)}"
                f" WHERE key BETWEEN ?2 AND ?2 + {WEEK_MS - 1} ORDER BY key DESC LIMIT 1",
                ((series_id << WEEK_BITS) - week, series_id << WEEK_BITS),
            ).fetchone()
            if row:
                found[series_id] = row
                missing.discard(series_id)
    return found


def _newest_hot(
    db: sqlite3.Connection, layout: Layout, block: int, hour_ms: int, missing: set[int], found: dict[int, Number]
) -> None:
    """Moves what an open hour has of `missing` in `block` to `found`.

    Who is alive stands in the last few rows; one look at all of them for those that are not.
    """
    hour = layout.hours[hour_ms]
    wanted = {i for i in missing if i >> BLOCK_BITS == block and i >= hour.settled}
    if not wanted:
        return
    sql = f"SELECT key, CAST(value AS REAL) FROM hot_{hour.slot} WHERE key >= ? AND key < ? ORDER BY key DESC"
    base = block << HOT_BLOCK_SHIFT
    alive = db.execute(f"{sql} LIMIT ?", (base, base + (1 << HOT_BLOCK_SHIFT), 4 * len(wanted) + 64))
    _take_newest(alive, block, hour_ms, wanted, found)
    if wanted:
        rest = db.execute(
            f"SELECT max(key), CAST(value AS REAL) FROM hot_{hour.slot} WHERE key >= ? AND key < ?"
            f" GROUP BY key & {BLOCK - 1}",
            (base, base + (1 << HOT_BLOCK_SHIFT)),
        )
        _take_newest(rest, block, hour_ms, wanted, found)
    missing.difference_update(found)


def _take_newest(rows: Iterator[Any], block: int, hour_ms: int, wanted: set[int], found: dict[int, Number]) -> None:
    first = block << BLOCK_BITS
    for key, value in rows:
        series_id = first + (key & (BLOCK - 1))
        if series_id in wanted:
            wanted.discard(series_id)
            found[series_id] = (((key >> BLOCK_BITS) & _HOT_TIME_MASK) + hour_ms, value)
            if not wanted:
                return


# -------------------------------------------------------------------------------------------------------- windows


def windows_of(
    db: sqlite3.Connection, layout: Layout, series_id: int, asked: tuple[int, int], width_ms: int, offset_ms: int
) -> list[Window]:
    """[start_ms, end_ms) = `asked`, folded."""
    start_ms, end_ms = asked
    first, last = start_ms // QUARTER_MS, end_ms // QUARTER_MS
    base = series_id << DIRTY_BITS
    dirty = [
        (key - base) * QUARTER_MS
        for (key,) in db.execute(
            # A day is as old as the oldest of its quarters, so that those around the ends count too.
            "SELECT key FROM dirty WHERE key BETWEEN ? AND ?",
            (base + max(first - DAY_MS // QUARTER_MS, 0), base + last + DAY_MS // QUARTER_MS),
        )
    ]
    fresh = Freshness(
        dirty=dirty,
        quarters_until_ms=layout.quarters_until_ms(series_id),
        days_until_ms=layout.days_fresh_ms(series_id),
        kept_from_ms=dict(layout.kept_from_ms),
    )
    parts = [
        _read(db, layout, series_id, segment) for segment in segments(start_ms, end_ms, width_ms, offset_ms, fresh)
    ]
    return merge(chain.from_iterable(parts), width_ms, offset_ms)


def _read(db: sqlite3.Connection, layout: Layout, series_id: int, segment: Segment) -> Iterator[Window]:
    """The windows or readings of a segment, ascending."""
    if segment.level == "raw":
        return _raw(db, layout, series_id, segment.start_ms, segment.end_ms)
    if segment.level == "minute":
        return _minutes(db, layout, series_id, segment.start_ms, segment.end_ms)
    return rolled(db, layout, series_id, segment)


def _raw(db: sqlite3.Connection, layout: Layout, series_id: int, start_ms: int, end_ms: int) -> Iterator[Window]:
    for time_ms, value in numbers_of(db, layout, series_id, start_ms, end_ms):
        yield Window(time_ms, 1, value, value, value, value)


def rolled(db: sqlite3.Connection, layout: Layout, series_id: int, segment: Segment) -> Iterator[Window]:
    """Roll-ups of one level that start in the segment."""
    bits, width = _GRID[segment.level]
    if segment.level == "day":
        tables = [("day", DAY_OFFSET_MS)]
    else:
        weeks = layout.weeks_in(segment.level, segment.start_ms, segment.end_ms)
        tables = [(table_of(segment.level, week), week) for week in weeks]
    base = series_id << bits
    for table, origin in tables:
        low = max(-(-(segment.start_ms - origin) // width), 0)
        high = min(-(-(segment.end_ms - origin) // width), 1 << bits)
        for row in db.execute(
            f"SELECT (key - ?) * {width} + ?, count, {decoded('minimum')}, {decoded('total')} / count,"
            f" {decoded('maximum')}, {decoded('last')} FROM {table} WHERE key >= ? AND key < ? ORDER BY key",
            (base, origin, base + low, base + high),
        ):
            yield Window(*row)


def _minutes(db: sqlite3.Connection, layout: Layout, series_id: int, start_ms: int, end_ms: int) -> Iterator[Window]:
    """[start_ms, end_ms) by minutes where there are some, else raw; the whole quarter where raw has expired."""
    sparse = [
        quarter
        for quarter in rolled(db, layout, series_id, Segment("quarter", start_ms - QUARTER_MS + 1, end_ms))
        if quarter.count < MINUTES_FROM
    ]
    minutes = rolled(db, layout, series_id, Segment("minute", start_ms, end_ms))
    at = start_ms
    held: Window | None = None
    for quarter in sparse:
        held = held or next(minutes, None)
        while held is not None and held.start_ms < quarter.start_ms:
            yield held
            held = next(minutes, None)
        at = quarter.start_ms + QUARTER_MS
        if quarter.start_ms >= layout.kept_from_ms["raw"]:
            yield from _raw(db, layout, series_id, max(quarter.start_ms, start_ms), min(at, end_ms))
        elif quarter.start_ms >= start_ms:
            yield quarter
    if held is not None:
        yield held
    yield from minutes
