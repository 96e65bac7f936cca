"""A look into a spool's file from outside; nothing is changed, and the gateway may be running."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from gateway.hot import hot_path, peek_hot
from gateway.packs import readings_in
from gateway.tools.language import Say


def view_spool(path: Path, hot: str, say: Say) -> Iterator[str]:
    """Lines for a person: what waits, since when, and the oldest batch."""
    if (state := peek_hot(hot_path(path, hot))) and state.batches:
        waiting = sum(b.readings for b in state.batches.values())
        where, count = hot_path(path, hot), len(state.batches)
        yield say(
            f"{where}: メモリーで {count} 個（記録 {waiting} 件）が 待っています",
            f"{where}: {count} batches with {waiting} readings wait in memory",
        )
    if not path.is_file():
        yield say(f"{path}: まだ ありません", f"{path}: no spool yet")
        return
    try:
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)
        try:
            yield from _lines(path, db, say)
        finally:
            db.close()
    except sqlite3.Error as error:
        yield say(f"{path}: 読めません: {error}", f"{path}: cannot be read: {error}")


def _lines(path: Path, db: sqlite3.Connection, say: Say) -> Iterator[str]:
    spool_id, dropped = db.execute("SELECT spool_id, dropped FROM state").fetchone()
    batches, readings, size = db.execute(
        "SELECT count(*), coalesce(sum(readings), 0), coalesce(sum(length(pack)), 0) FROM batch"
    ).fetchone()
    yield say(f"{path}: スプール {spool_id}", f"{path}: spool {spool_id}")
    yield say(
        f"カードで {batches} 個（記録 {readings} 件、{size / 1000:.0f} kB）が 待っています",
        f"{batches} batches with {readings} readings wait on the card ({size / 1000:.0f} kB)",
    )
    if dropped:
        yield say(
            f"これまでに 記録 {dropped} 件を 捨てました", f"{dropped} readings were dropped since this spool was made"
        )
    for name, order in ((say("最古", "oldest"), "ASC"), (say("最新", "newest"), "DESC")):
        row = db.execute(f"SELECT number, deflated, pack FROM batch ORDER BY number {order} LIMIT 1").fetchone()  # noqa: S608
        if row:
            found = readings_in(row[2], is_deflated=bool(row[1]))
            if not found:
                yield say(f"{name}: {row[0]} 番は 読めません", f"{name}: batch {row[0]} cannot be read")
                continue
            stamp = datetime.fromtimestamp(found[0].time_ms / 1000, tz=UTC).isoformat(timespec="seconds")
            count = len(found)
            yield say(
                f"{name}: {row[0]} 番、測定 {stamp}、記録 {count} 件",
                f"{name}: batch {row[0]}, measured {stamp}, {count} readings",
            )
