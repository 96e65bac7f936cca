"""A look into a spool's file from outside; nothing is changed, and the gateway may be running."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from makiba.senml import parse_json, resolve


def view_spool(path: Path) -> Iterator[str]:
    """Lines for a person: what waits, since when, and the oldest batch."""
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
    meta = dict(db.execute("SELECT name, value FROM meta").fetchall())
    batches, readings, size = db.execute(
        "SELECT count(*), coalesce(sum(readings), 0), coalesce(sum(length(pack)), 0) FROM batch"
    ).fetchone()
    yield f"{path}: spool {meta.get('spool_id')}"
    yield f"{batches} batches with {readings} readings wait ({size / 1000:.0f} kB)"
    if int(meta.get("dropped", "0")):
        yield f"{meta['dropped']} readings were dropped since this spool was made"
    for name, order in (("oldest", "ASC"), ("newest", "DESC")):
        row = db.execute(f"SELECT number, pack FROM batch ORDER BY number {order} LIMIT 1").fetchone()  # noqa: S608
        if row:
            records = [r for r in resolve(parse_json(row[1]), 0.0) if hasattr(r, "time_s")]
            since = min(r.time_s for r in records if hasattr(r, "time_s"))
            stamp = datetime.fromtimestamp(since, tz=UTC).isoformat(timespec="seconds")
            yield f"{name}: batch {row[0]}, measured {stamp}, {len(records)} readings"
