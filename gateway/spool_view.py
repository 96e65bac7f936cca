"""A look into a spool's file from outside; nothing is changed, and the gateway may be running."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from gateway.hot import hot_path, peek_hot
from gateway.packs import readings_in


def view_spool(path: Path, hot: str = "auto") -> Iterator[str]:
    """Lines for a person: what waits, since when, and the oldest batch."""
    if (state := peek_hot(hot_path(path, hot))) and state.batches:
        waiting = sum(b.readings for b in state.batches.values())
        yield f"{hot_path(path, hot)}: {len(state.batches)} batches with {waiting} readings wait in memory"
    if not path.is_file():
        yield f"{path}: no spool yet"
        return
    try:
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)
        try:
            yield from _lines(path, db)
        finally:
            db.close()
    except sqlite3.Error as error:
        yield f"{path}: cannot be read: {error}"


def _lines(path: Path, db: sqlite3.Connection) -> Iterator[str]:
    spool_id, dropped = db.execute("SELECT spool_id, dropped FROM state").fetchone()
    batches, readings, size = db.execute(
        "SELECT count(*), coalesce(sum(readings), 0), coalesce(sum(length(pack)), 0) FROM batch"
    ).fetchone()
    yield f"{path}: spool {spool_id}"
    yield f"{batches} batches with {readings} readings wait on the card ({size / 1000:.0f} kB)"
    if dropped:
        yield f"{dropped} readings were dropped since this spool was made"
    for name, order in (("oldest", "ASC"), ("newest", "DESC")):
        row = db.execute(f"SELECT number, deflated, pack FROM batch ORDER BY number {order} LIMIT 1").fetchone()  # noqa: S608
        if row:
            found = readings_in(row[2], is_deflated=bool(row[1]))
            if not found:
                yield f"{name}: batch {row[0]} cannot be read"
                continue
            stamp = datetime.fromtimestamp(found[0].time_ms / 1000, tz=UTC).isoformat(timespec="seconds")
            yield f"{name}: batch {row[0]}, measured {stamp}, {len(found)} readings"
