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
    yield from _hot_numbers_of(db, layout, series_id, start_ms, end_ms)


def _hot_numbers_of(
    db: sqlite3.Connection, layout: Layout, series_id: int, start_ms: int, end_ms: int
) -> Iterator[Number]:
    """Those of open hours."""
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
        _read(db, layout, series_id, segment, (width_ms, offset_ms % width_ms))
        for segment in segments(start_ms, end_ms, width_ms, offset_ms, fresh)
    ]
    return merge(chain.from_iterable(parts), width_ms, offset_ms)


def _read(
    db: sqlite3.Connection, layout: Layout, series_id: int, segment: Segment, grid: tuple[int, int]
) -> Iterator[Window]:
    """The windows of `grid` (width, offset) that a segment has, ascending; one may come in parts."""
    if segment.level == "raw":
        return _raw(db, layout, series_id, segment.start_ms, segment.end_ms, grid)
    if segment.level == "minute":
        return _minutes(db, layout, series_id, segment, grid)
    return _folded(db, layout, series_id, segment, grid)


def _raw(
    db: sqlite3.Connection, layout: Layout, series_id: int, start_ms: int, end_ms: int, grid: tuple[int, int]
) -> Iterator[Window]:
    base = series_id << WEEK_BITS
    for week in layout.weeks_in("raw", start_ms, end_ms):
        low, high = base + max(start_ms - week, 0), base + min(end_ms - week, WEEK_MS)
        number = decoded("value")
        columns = f"count(*) AS count, min({number}) AS low, sum({number}) AS total, max({number}) AS high"
        yield from _grouped(db, table_of("raw", week), columns, "value", (f"key - {base - week}", low, high), grid)
    for time_ms, value in _hot_numbers_of(db, layout, series_id, start_ms, end_ms):
        yield Window(time_ms, 1, value, value, value, value)


def _grouped(
    db: sqlite3.Connection, table: str, columns: str, last: str, keys: tuple[str, int, int], grid: tuple[int, int]
) -> Iterator[Window]:
    """Rows of one table, folded by SQL into windows of `grid`; `keys`: a row's time, and the first and last key."""
    (time, low, high), (width, offset) = keys, grid
    window = f"({time} - {offset} + {width}) / {width}"
    for row in db.execute(
        f"SELECT (g.at - 1) * {width} + {offset}, g.count, g.low, g.total / g.count, g.high,"
        f" (SELECT {decoded(last)} FROM {table} WHERE key = g.last_key)"
        f" FROM (SELECT {window} AS at, max(key) AS last_key, {columns} FROM {table}"
        " WHERE key >= ? AND key < ? GROUP BY 1) g ORDER BY g.at",
        (low, high),
    ):
        yield Window(*row)


def _folded(
    db: sqlite3.Connection, layout: Layout, series_id: int, segment: Segment, grid: tuple[int, int]
) -> Iterator[Window]:
    """Roll-ups that start in the segment, folded into windows of `grid`."""
    columns = (
        f"sum(count) AS count, min({decoded('minimum')}) AS low, sum({decoded('total')}) AS total,"
        f" max({decoded('maximum')}) AS high"
    )
    width = _GRID[segment.level][1]
    if grid[0] == width:
        yield from rolled(db, layout, series_id, segment)
        return
    for table, origin, base, low, high in _tables_of(layout, series_id, segment):
        time = f"(key - {base}) * {width} + {origin}"
        yield from _grouped(db, table, columns, "last", (time, base + low, base + high), grid)


def _tables_of(layout: Layout, series_id: int, segment: Segment) -> Iterator[tuple[str, int, int, int, int]]:
    """Tables with roll-ups of the segment: name, time of window 0, its key, first and last window."""
    bits, width = _GRID[segment.level]
    tables = [("day", DAY_OFFSET_MS)]
    if segment.level != "day":
        weeks = layout.weeks_in(segment.level, segment.start_ms, segment.end_ms)
        tables = [(table_of(segment.level, week), week) for week in weeks]
    for table, origin in tables:
        low = max(-(-(segment.start_ms - origin) // width), 0)
        high = min(-(-(segment.end_ms - origin) // width), 1 << bits)
        yield table, origin, series_id << bits, low, high


def rolled(db: sqlite3.Connection, layout: Layout, series_id: int, segment: Segment) -> Iterator[Window]:
    """Roll-ups of one level that start in the segment, as they are."""
    width = _GRID[segment.level][1]
    for table, origin, base, low, high in _tables_of(layout, series_id, segment):
        for row in db.execute(
            f"SELECT (key - ?) * {width} + ?, count, {decoded('minimum')}, {decoded('total')} / count,"
            f" {decoded('maximum')}, {decoded('last')} FROM {table} WHERE key >= ? AND key < ? ORDER BY key",
            (base, origin, base + low, base + high),
        ):
            yield Window(*row)


def _minutes(
    db: sqlite3.Connection, layout: Layout, series_id: int, segment: Segment, grid: tuple[int, int]
) -> Iterator[Window]:
    """A segment by minutes where there are some, else raw; by whole quarters where raw has expired."""
    start_ms, end_ms = segment.start_ms, segment.end_ms
    minutes = rolled(db, layout, series_id, segment)
    held = next(minutes, None)
    for sparse in _sparse(db, layout, series_id, start_ms, end_ms):
        while held is not None and held.start_ms < sparse[0].start_ms:
            yield held
            held = next(minutes, None)
        if sparse[0].start_ms >= layout.kept_from_ms["raw"]:
            upto = sparse[-1].start_ms + QUARTER_MS
            yield from _raw(db, layout, series_id, max(sparse[0].start_ms, start_ms), min(upto, end_ms), grid)
        else:
            yield from (quarter for quarter in sparse if quarter.start_ms >= start_ms)
    if held is not None:
        yield held
    yield from minutes


def _sparse(
    db: sqlite3.Connection, layout: Layout, series_id: int, start_ms: int, end_ms: int
) -> Iterator[list[Window]]:
    """Quarters without minutes that touch [start_ms, end_ms): runs of neighbours, cut where raw has expired."""
    run: list[Window] = []
    for quarter in rolled(db, layout, series_id, Segment("quarter", start_ms - QUARTER_MS + 1, end_ms)):
        if quarter.count >= MINUTES_FROM:
            continue
        is_next = run and quarter.start_ms == run[-1].start_ms + QUARTER_MS
        if run and not (is_next and quarter.start_ms != layout.kept_from_ms["raw"]):
            yield run
            run = []
        run.append(quarter)
    if run:
        yield run
