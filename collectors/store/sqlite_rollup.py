"""Hours into weeks, roll-ups from weeks: SQL inside the caller's transaction, in slices that hold up no writer.

A slice of an open hour (readings of some series) is moved into its week, its quarters are folded, and `hot.settled`
says so, all in one transaction: a process that dies leaves no half. What came late is folded from `dirty`, and the
mark goes in the same transaction. A day is folded from its quarters once it is over, and again with each of its
quarters.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final

from collectors.store.levels import DAY_MS, DAY_OFFSET_MS, MINUTE_MS, MINUTES_FROM, QUARTER_MS, day_of
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
    Hour,
    Layout,
    decoded,
    drop_week,
    encoded,
    ensure_week,
    folded,
    read_layout,
    set_meta,
    table_of,
    total_of,
    week_of,
)

_MINUTES: Final = QUARTER_MS // MINUTE_MS
_QUARTER_MASK: Final = (1 << DIRTY_BITS) - 1
_ALL: Final = 1 << 62
_ROWS_PER_WINDOW: Final = 30
"""Readings that are moved in the time in which one dirty window is folded."""

_GRID: Final[dict[Level, tuple[int, int]]] = {
    "minute": (MINUTE_BITS, MINUTE_MS), "quarter": (QUARTER_BITS, QUARTER_MS), "day": (DAY_BITS, DAY_MS)
}  # fmt: skip

_PARTS: Final = "g.count, {lowest}, {total}, {highest}, (SELECT {last} FROM {table} WHERE key = g.last_key)"


def make_temporary(db: sqlite3.Connection) -> None:
    """Tables of this connection alone: quarters to fold, windows to fold, and what came out."""
    db.execute("CREATE TEMP TABLE mark (key INTEGER PRIMARY KEY)")
    db.execute("CREATE TEMP TABLE slot (key INTEGER PRIMARY KEY)")
    db.execute(
        "CREATE TEMP TABLE fold (key INTEGER PRIMARY KEY, count, lowest, highest, total, code, codes, last_key)"
    )


# --------------------------------------------------------------------------------------------------- what is due


def roll_up(db: sqlite3.Connection, before_ms: int, limit: int) -> int:
    """One slice of what ended by `before_ms`; about how many windows were folded, 0 when nothing is left."""
    layout = read_layout(db)
    hour_ms = min(layout.hours, default=None)
    if hour_ms is not None and hour_ms + HOUR_MS <= before_ms:
        return _settle_slice(db, hour_ms, layout.hours[hour_ms], limit * _ROWS_PER_WINDOW)
    return fold_dirty(db, layout, before_ms, limit) or _fold_days(db, layout, before_ms, limit)


def settle_hour(db: sqlite3.Connection, hour_ms: int) -> None:
    """All of an open hour, and of those before it, in the caller's one transaction."""
    while open_hours := [hour for hour in read_layout(db).hours if hour <= hour_ms]:
        first = min(open_hours)
        _settle_slice(db, first, read_layout(db).hours[first], _ALL)


# ------------------------------------------------------------------------------------------------------- hours


def _settle_slice(db: sqlite3.Connection, hour_ms: int, hour: Hour, rows: int) -> int:
    """Moves about `rows` readings of the oldest open hour into their week."""
    table, week_ms = f"hot_{hour.slot}", week_of(hour_ms)
    upto = _slice_end(db, table, hour.settled, rows)
    done = 1
    if upto is not None:
        ensure_week(db, week_ms)
        low, high = hour.settled, upto
        series_id = f"((key >> {HOT_BLOCK_SHIFT}) << {BLOCK_BITS}) + (key & {BLOCK - 1})"
        part = f" AND {series_id} BETWEEN {low} AND {high - 1}" if (low | high) & (BLOCK - 1) else ""
        time = f"((key >> {BLOCK_BITS}) & {(1 << HOT_TIME_BITS) - 1}) + {hour_ms - week_ms}"
        db.execute(
            f"INSERT INTO {table_of('raw', week_ms)}"
            f" SELECT (({series_id}) << {WEEK_BITS}) + {time}, {encoded('value')} FROM {table}"
            f" WHERE key >= ? AND key < ?{part} ORDER BY 1 ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (low >> BLOCK_BITS << HOT_BLOCK_SHIFT, -(-high >> BLOCK_BITS) << HOT_BLOCK_SHIFT),
        )
        first = hour_ms // QUARTER_MS
        done = db.execute(
            f"INSERT INTO temp.mark SELECT (s.id << {DIRTY_BITS}) + q.column1"
            f" FROM series s, (VALUES {', '.join(f'({first + i})' for i in range(HOUR_MS // QUARTER_MS))}) q"
            " WHERE s.id >= ? AND s.id < ?",
            (low, high),
        ).rowcount
        _fold(db, week_ms)
    if upto is None or not _any_from(db, table, upto):
        db.execute(f"DELETE FROM {table}")
        db.execute("UPDATE hot SET hour_ms = NULL, settled = 0 WHERE slot = ?", (hour.slot,))
        set_meta(db, frontier_ms=hour_ms + HOUR_MS)
    else:
        db.execute("UPDATE hot SET settled = ? WHERE slot = ?", (upto, hour.slot))
        set_meta(db, frontier_ms=hour_ms)
    return max(1, done)


def _slice_end(db: sqlite3.Connection, table: str, low: int, rows: int) -> int | None:
    """The series number up to which `table` has about `rows` readings from number `low` on; None when it has none."""
    block, taken, at = low >> BLOCK_BITS, 0, low
    while taken < rows:
        first = db.execute(
            f"SELECT min(key) >> {HOT_BLOCK_SHIFT} FROM {table} WHERE key >= ?",
            (block << HOT_BLOCK_SHIFT,),
        ).fetchone()[0]
        if first is None:
            break
        if first > block:
            at = first << BLOCK_BITS
        block = first
        which = f"FROM {table} WHERE key >= ? AND key < ?"
        bounds = (block << HOT_BLOCK_SHIFT, (block + 1) << HOT_BLOCK_SHIFT)
        low_n = at & (BLOCK - 1)
        if low_n:
            which += f" AND key & {BLOCK - 1} >= {low_n}"
        count = int(db.execute(f"SELECT count(*) {which}", bounds).fetchone()[0])
        if count > rows - taken and count > rows // 2:
            if taken:
                break
            last_n = int(db.execute(f"SELECT max(key & {BLOCK - 1}) {which}", bounds).fetchone()[0])
            pieces = -(-count // rows)
            return int(at + -(-(last_n - low_n + 1) // pieces))
        taken += count
        block += 1
        at = block << BLOCK_BITS
    return at if taken else None


def _any_from(db: sqlite3.Connection, table: str, low: int) -> bool:
    """Whether `table` has a reading of a series numbered `low` or higher."""
    block = low >> BLOCK_BITS
    return bool(db.execute(
        f"SELECT EXISTS (SELECT 1 FROM {table} WHERE key >= ?1)"
        f" OR EXISTS (SELECT 1 FROM {table} WHERE key >= ?2 AND key < ?1 AND key & {BLOCK - 1} >= ?3)",
        ((block + 1) << HOT_BLOCK_SHIFT, block << HOT_BLOCK_SHIFT, low & (BLOCK - 1)),
    ).fetchone()[0])  # fmt: skip


# -------------------------------------------------------------------------------------------------------- folding


def fold_dirty(db: sqlite3.Connection, layout: Layout, before_ms: int, limit: int, week_ms: int | None = None) -> int:
    """Folds up to `limit` dirty quarters of one week (`week_ms`, or the first that has one); how many."""
    quarter = f"(key & {_QUARTER_MASK})"
    due = before_ms // QUARTER_MS
    if week_ms is None:
        first = db.execute(f"SELECT {quarter} FROM dirty WHERE {quarter} < ? LIMIT 1", (due,)).fetchone()
        if first is None:
            return 0
        week_ms = week_of(first[0] * QUARTER_MS)
    low = week_ms // QUARTER_MS
    count = db.execute(
        f"INSERT INTO temp.mark SELECT key FROM dirty WHERE {quarter} >= ? AND {quarter} < ? LIMIT ?",
        (low, min(due, low + WEEK_MS // QUARTER_MS), limit),
    ).rowcount
    if count:
        db.execute("DELETE FROM dirty WHERE key IN (SELECT key FROM temp.mark)")
        _fold(db, week_ms, layout)
    return count


def _fold(db: sqlite3.Connection, week_ms: int, layout: Layout | None = None) -> None:
    """Folds the quarters of one week that are in `mark`, and their minutes; with a `layout` their days too."""
    first = week_ms // QUARTER_MS
    quarter = f"((key >> {DIRTY_BITS}) << {QUARTER_BITS}) + (key & {_QUARTER_MASK}) - {first}"
    db.execute(f"INSERT INTO temp.slot SELECT {quarter} FROM temp.mark")
    _fold_slots(db, "quarter", week_ms)
    many = db.execute(
        f"INSERT INTO temp.slot SELECT ((q.key >> {QUARTER_BITS}) << {MINUTE_BITS})"
        f" + (q.key & {(1 << QUARTER_BITS) - 1}) * {_MINUTES} + i.column1"
        f" FROM temp.mark m CROSS JOIN {table_of('quarter', week_ms)} q ON q.key ="
        f" ((m.key >> {DIRTY_BITS}) << {QUARTER_BITS}) + (m.key & {_QUARTER_MASK}) - {first}"
        f" AND q.count >= {MINUTES_FROM} CROSS JOIN (VALUES {', '.join(f'({i})' for i in range(_MINUTES))}) i"
    ).rowcount
    if many:
        _fold_slots(db, "minute", week_ms)
    if layout is not None and layout.days_to_ms > week_ms:
        _fold_marked_days(db, week_ms, layout)
    db.execute("DELETE FROM temp.mark")


def _fold_slots(db: sqlite3.Connection, level: Level, week_ms: int) -> None:
    """Folds the windows of `level` whose keys are in `slot`.

    Numbers of one scale, as most are, are folded as the integers they are stored as; a window with others number by
    number.
    """
    bits, width = _GRID[level]
    raw, target = table_of("raw", week_ms), table_of(level, week_ms)
    begin = f"((w.key >> {bits}) << {WEEK_BITS}) + (w.key & {(1 << bits) - 1}) * {width}"
    inside = f"{raw} r ON r.key BETWEEN {begin} AND {begin} + {width - 1}"
    db.execute(
        "INSERT INTO temp.fold SELECT w.key, count(*), min(r.value), max(r.value), sum(r.value),"
        f" min(r.value & 7), max(r.value & 7), max(r.key) FROM temp.slot w CROSS JOIN {inside} GROUP BY w.key"
    )
    one_scale = "typeof(w.total) = 'integer' AND w.code = w.codes"
    db.execute(
        f"INSERT OR REPLACE INTO {target} SELECT w.key, w.count, w.lowest, w.total - (w.count - 1) * w.code,"
        f" w.highest, (SELECT value FROM {raw} WHERE key = w.last_key) FROM temp.fold w WHERE {one_scale}"
    )
    groups = (
        f"SELECT w.key AS key, {folded('r.value', 'r.key')} FROM temp.fold w CROSS JOIN {inside}"
        f" WHERE NOT ({one_scale}) GROUP BY w.key"
    )
    _insert(db, target, raw, groups)
    db.execute("DELETE FROM temp.slot")
    db.execute("DELETE FROM temp.fold")


def _insert(db: sqlite3.Connection, target: str, source: str, groups: str, last: str = "value") -> None:
    """Roll-ups into `target`: `groups` has a key and the columns of `folded`, whose last_key is one of `source`."""
    parts = _PARTS.format(
        lowest=encoded("g.lowest"), total=total_of("g"), highest=encoded("g.highest"), last=last, table=source
    )
    db.execute(f"INSERT OR REPLACE INTO {target} SELECT g.key, {parts} FROM ({groups}) g")


_DAY_QUARTERS: Final = DAY_MS // QUARTER_MS
_FOLDED_QUARTERS: Final = (
    f"sum(r.count) AS count, min({decoded('r.minimum')}) AS lowest, sum({decoded('r.total')}) AS total,"
    f" max({decoded('r.maximum')}) AS highest, max(r.key) AS last_key, 99 AS digits"
)


def _day_key(series_id: str, week_ms: int, day: str) -> str:
    return f"({series_id} << {DAY_BITS}) + {(week_ms - DAY_OFFSET_MS) // DAY_MS} + {day}"


def _fold_marked_days(db: sqlite3.Connection, week_ms: int, layout: Layout) -> None:
    """The days of `mark` that have been folded before."""
    quarters = table_of("quarter", week_ms)
    first = week_ms // QUARTER_MS
    last_day = (layout.days_to_ms - week_ms) // DAY_MS
    fresh_day = (layout.days_until_ms - week_ms) // DAY_MS
    day = f"((key & {_QUARTER_MASK}) - {first}) / {_DAY_QUARTERS}"
    begin = f"(d.id << {QUARTER_BITS}) + d.day * {_DAY_QUARTERS}"
    groups = (
        f"SELECT {_day_key('d.id', week_ms, 'd.day')} AS key, {_FOLDED_QUARTERS}"
        f" FROM (SELECT DISTINCT key >> {DIRTY_BITS} AS id, {day} AS day FROM temp.mark) d"
        f" CROSS JOIN {quarters} r ON r.key BETWEEN {begin} AND {begin} + {_DAY_QUARTERS - 1}"
        f" WHERE d.day < CASE WHEN d.id < {layout.days_series} THEN {last_day} ELSE {fresh_day} END GROUP BY 1"
    )
    _insert(db, "day", quarters, groups, "last")


def _fold_days(db: sqlite3.Connection, layout: Layout, before_ms: int, limit: int) -> int:
    """Folds days of some series that are over; how many windows that may be, 0 when none is left."""
    start_ms, end_ms = layout.days_until_ms, layout.days_to_ms
    if end_ms <= start_ms:
        over_ms = day_of(min(before_ms, layout.frontier_ms))
        week_ms = next(layout.weeks_in("quarter", start_ms, over_ms), None) if start_ms < over_ms else None
        if week_ms is None:
            if start_ms < over_ms:
                set_meta(db, days_until_ms=over_ms, days_to_ms=over_ms, days_series=0)
            return 0
        start_ms, end_ms = max(start_ms, week_ms), min(week_ms + WEEK_MS, over_ms)
    week_ms = week_of(start_ms)
    days = (end_ms - start_ms) // DAY_MS
    upto = db.execute(
        "SELECT id FROM series WHERE id >= ? ORDER BY id LIMIT 1 OFFSET ?",
        (layout.days_series, max(1, limit // days)),
    ).fetchone()
    quarters = table_of("quarter", week_ms)
    low, high = (start_ms - week_ms) // QUARTER_MS, (end_ms - week_ms) // QUARTER_MS - 1
    _insert(
        db, "day", quarters,
        f"SELECT {_day_key('s.id', week_ms, f'(r.key & {(1 << QUARTER_BITS) - 1}) / {_DAY_QUARTERS}')} AS key,"
        f" {_FOLDED_QUARTERS} FROM series s CROSS JOIN {quarters} r"
        f" ON r.key BETWEEN (s.id << {QUARTER_BITS}) + {low} AND (s.id << {QUARTER_BITS}) + {high}"
        f" WHERE s.id >= {layout.days_series} AND s.id < {upto[0] if upto else _ALL} GROUP BY 1",
        "last",
    )  # fmt: skip
    if upto:
        set_meta(db, days_until_ms=start_ms, days_to_ms=end_ms, days_series=upto[0])
    else:
        set_meta(db, days_until_ms=end_ms, days_to_ms=end_ms, days_series=0)
    return max(1, limit)


# -------------------------------------------------------------------------------------------------------- expiry


def expire_some(db: sqlite3.Connection, level: Level, before_ms: int) -> int | None:
    """One step towards the horizon `before_ms` of a partitioned level; the horizon, None when there is more to do.

    Whole weeks go, and only what nothing needs any more: raw once it is folded, quarters once their days are there.
    """
    layout = read_layout(db)
    finer: dict[Level, int] = {
        "raw": before_ms,
        "minute": layout.kept_from_ms["raw"],
        "quarter": layout.kept_from_ms["minute"],
    }
    target_ms = week_of(min(before_ms, finer[level]))
    if target_ms <= layout.kept_from_ms[level]:
        return layout.kept_from_ms[level]
    if level == "raw":
        hour_ms = min(layout.hours, default=target_ms)
        if hour_ms < target_ms:
            _settle_slice(db, hour_ms, layout.hours[hour_ms], 10_000)
            return None
        if layout.frontier_ms < target_ms:
            set_meta(db, frontier_ms=target_ms)
            return None
    if level == "quarter" and layout.days_until_ms < target_ms:
        _fold_days(db, layout, target_ms, 500)
        return None
    week_ms = next((week for week in layout.weeks[level] if week < target_ms), None)
    if week_ms is None:
        set_meta(db, **{f"{level}_from_ms": target_ms})
        return target_ms
    if level == "raw" and fold_dirty(db, layout, week_ms + WEEK_MS, 500, week_ms):
        return None
    drop_week(db, level, week_ms)
    set_meta(db, **{f"{level}_from_ms": week_ms + WEEK_MS})
    return None


def delete_site(db: sqlite3.Connection, blocks: Iterable[int], layout: Layout) -> None:
    """Removes all readings and roll-ups of the series in `blocks`."""
    tables = [
        *((f"hot_{hour.slot}", HOT_BLOCK_SHIFT) for hour in layout.hours.values()),
        *((table_of("raw", week), BLOCK_BITS + WEEK_BITS) for week in layout.weeks["raw"]),
        *((table_of("minute", week), BLOCK_BITS + MINUTE_BITS) for week in layout.weeks["minute"]),
        *((table_of("quarter", week), BLOCK_BITS + QUARTER_BITS) for week in layout.weeks["quarter"]),
        ("day", BLOCK_BITS + DAY_BITS),
        ("dirty", BLOCK_BITS + DIRTY_BITS),
        ("series", BLOCK_BITS),
    ]
    for block in blocks:
        for table, bits in tables:
            key = "id" if table == "series" else "key"
            db.execute(
                f"DELETE FROM {table} WHERE {key} >= ? AND {key} < ?",
                (block << bits, (block + 1) << bits),
            )
        db.execute(
            "DELETE FROM text_reading WHERE series_id >= ? AND series_id < ?",
            (block << BLOCK_BITS, (block + 1) << BLOCK_BITS),
        )
        db.execute("DELETE FROM block WHERE number = ?", (block,))
    set_meta(db)


def expire_rows(db: sqlite3.Connection, layout: Layout, level: Level, before_ms: int) -> int:
    """Removes texts, or days, that are older than `before_ms`; the horizon in force then."""
    horizon_ms = layout.kept_from_ms[level]
    if level == "text":
        before_ms = max(before_ms, horizon_ms)
        db.execute("DELETE FROM text_reading WHERE time_ms < ?", (before_ms,))
    else:
        before_ms = max(day_of(min(before_ms, layout.kept_from_ms["quarter"])), horizon_ms)
        first = (before_ms - DAY_OFFSET_MS) // DAY_MS
        db.execute(f"DELETE FROM day WHERE key & {(1 << DAY_BITS) - 1} < ?", (first,))
    if before_ms > horizon_ms:
        set_meta(db, **{f"{level}_from_ms": before_ms})
    _forget_empty(db, read_layout(db))
    return before_ms


def _forget_empty(db: sqlite3.Connection, layout: Layout) -> None:
    """Removes series that have nothing any more."""
    nowhere = [
        "NOT EXISTS (SELECT 1 FROM text_reading WHERE series_id = s.id)",
        _nothing_in("day", DAY_BITS),
        *(_nothing_in(table_of("raw", week), WEEK_BITS) for week in layout.weeks["raw"]),
        *(_nothing_in(table_of("quarter", week), QUARTER_BITS) for week in layout.weeks["quarter"]),
    ]
    empty = {number for (number,) in db.execute(f"SELECT id FROM series s WHERE {' AND '.join(nowhere)}")}
    series_id = f"((key >> {HOT_BLOCK_SHIFT}) << {BLOCK_BITS}) + (key & {BLOCK - 1})"
    for hour in layout.hours.values():
        if empty:
            empty -= {number for (number,) in db.execute(f"SELECT DISTINCT {series_id} FROM hot_{hour.slot}")}
    if empty:
        db.executemany("DELETE FROM series WHERE id = ?", [(number,) for number in empty])
        set_meta(db)


def _nothing_in(table: str, bits: int) -> str:
    low = f"s.id << {bits}"
    return f"NOT EXISTS (SELECT 1 FROM {table} WHERE key BETWEEN {low} AND ({low}) + {(1 << bits) - 1})"


# --------------------------------------------------------------------------------------------------------- moving


def carry(db: sqlite3.Connection, number: int, level: Level, windows: Iterable[Window]) -> None:
    """Puts roll-ups of a series as they are."""
    bits, width = _GRID[level]
    parts = ", ".join(encoded(f"?{place}") for place in (3, 4, 5, 6))
    for window in windows:
        table, origin = "day", DAY_OFFSET_MS
        if level != "day":
            origin = week_of(window.start_ms)
            ensure_week(db, origin, [level])
            table = table_of(level, origin)
        key = (number << bits) + (window.start_ms - origin) // width
        fold = (window.minimum, window.mean * window.count, window.maximum, window.last)
        db.execute(
            f"INSERT OR REPLACE INTO {table} SELECT ?1, ?2, {parts}",
            (key, window.count, *fold),
        )
