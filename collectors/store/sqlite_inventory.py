"""What a SQLite store holds, and whether it is whole: looks at every page, on a connection of its own."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from collectors.store.protocol import Inventory, Level
from collectors.store.sqlite_layout import (
    BLOCK_BITS,
    HOT_TIME_BITS,
    PARTITIONED,
    WEEK_BITS,
    Layout,
    read_layout,
    table_of,
)

_PROBLEMS: Final = 20


def take_inventory(path: Path) -> Inventory:
    """What the file at `path` holds. What is damaged comes as `problems`, with the counts that could be had."""
    try:
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5.0, isolation_level=None)
    except sqlite3.Error as error:
        return Inventory(0, {}, 0, problems=(str(error),), damaged=True)
    try:
        problems = [str(row[0]) for row in db.execute(f"PRAGMA integrity_check({_PROBLEMS})") if row[0] != "ok"]
        if problems:
            return Inventory(0, {}, 0, _size(path), problems=problems, damaged=True)
        db.execute("BEGIN")
        layout = read_layout(db)
        newest, oldest = _span(db, layout)
        return Inventory(
            series=_count(db, "series"),
            rows=_rows(db, layout),
            dirty=_count(db, "dirty"),
            size_bytes=_size(path),
            oldest_ms=oldest,
            newest_ms=newest,
            kept_from_ms={level: at for level, at in layout.kept_from_ms.items() if at},
        )
    except sqlite3.DatabaseError as error:
        return Inventory(0, {}, 0, _size(path), problems=(str(error),), damaged=True)
    finally:
        db.close()


def _rows(db: sqlite3.Connection, layout: Layout) -> dict[Level, int | None]:
    rows: dict[Level, int | None] = {
        level: sum(_count(db, table_of(level, week)) for week in layout.weeks[level]) for level in PARTITIONED
    }
    # Rows of an hour that is settled in part are in their week already.
    for hour in layout.hours.values():
        low = f"(key >> {BLOCK_BITS + HOT_TIME_BITS} << {BLOCK_BITS}) + (key & {(1 << BLOCK_BITS) - 1})"
        rows["raw"] = (rows["raw"] or 0) + _count(db, f"hot_{hour.slot} WHERE {low} >= {hour.settled}")
    rows["text"] = _count(db, "text_reading")
    rows["day"] = _count(db, "day")
    return rows


def _span(db: sqlite3.Connection, layout: Layout) -> tuple[int | None, int | None]:
    """Times of the newest and the oldest reading."""
    times: list[int] = []
    for hour_ms, hour in layout.hours.items():
        time = f"(key >> {BLOCK_BITS}) & {(1 << HOT_TIME_BITS) - 1}"
        row = db.execute(f"SELECT min({time}), max({time}) FROM hot_{hour.slot}").fetchone()
        times += [hour_ms + int(offset) for offset in row if offset is not None]
    weeks = layout.weeks["raw"]
    for week in {*weeks[:1], *weeks[-1:]}:
        time = f"key & {(1 << WEEK_BITS) - 1}"
        row = db.execute(f"SELECT min({time}), max({time}) FROM {table_of('raw', week)}").fetchone()
        times += [week + int(offset) for offset in row if offset is not None]
    row = db.execute("SELECT min(time_ms), max(time_ms) FROM text_reading").fetchone()
    times += [time_ms for time_ms in row if time_ms is not None]
    return (max(times), min(times)) if times else (None, None)


def _count(db: sqlite3.Connection, table: str) -> int:
    return int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def _size(path: Path) -> int:
    return sum(Path(f"{path}{end}").stat().st_size for end in ("", "-wal") if Path(f"{path}{end}").exists())
