"""Files of version 1 (one table of readings): taken over in parts, each in one transaction with its own removal.

Where a process dies, the next one that opens the file goes on. Nobody reads or writes before all is taken over.
"""

from __future__ import annotations

import logging
import sqlite3
from typing import Final

from collectors.store.sqlite_writes import Writer
from makiba.reading import Columns, Series

PART: Final = 50_000

log = logging.getLogger("makiba.store")


def set_aside(db: sqlite3.Connection) -> None:
    """Renames version 1's tables."""
    db.execute("ALTER TABLE reading RENAME TO reading_version_1")
    db.execute("ALTER TABLE series RENAME TO series_version_1")
    log.warning("the store is of version 1: taking its readings over; this may take a second for 200,000 of them")


def is_needed(db: sqlite3.Connection) -> bool:
    return bool(db.execute("SELECT 1 FROM sqlite_master WHERE name = 'reading_version_1'").fetchone())


def take_over_some(db: sqlite3.Connection, writer: Writer) -> None:
    """Takes over the next readings, whatever the catalogue says of them today; the last removes the old tables."""
    if not is_needed(db):  # another process was first
        return
    rows = db.execute(
        "SELECT r.series_id, s.site, s.subject, s.quantity, r.time_ms, r.value"
        " FROM reading_version_1 r JOIN series_version_1 s ON s.id = r.series_id"
        " ORDER BY r.series_id, r.time_ms LIMIT ?",
        (PART,),
    ).fetchall()  # fmt: skip
    if not rows:
        db.execute("DROP TABLE reading_version_1")
        db.execute("DROP TABLE series_version_1")
        log.warning("all readings of version 1 are taken over")
        return
    names = {number: Series(*name) for number, *name, _, _ in rows}
    columns = Columns([names[row[0]] for row in rows], [row[4] for row in rows], [row[5] for row in rows])
    rejected = writer.put(db, columns, any_kind=True)
    if rejected:
        raise AssertionError(f"a reading of version 1 was refused: {rejected[0][1]}")
    db.execute("DELETE FROM reading_version_1 WHERE (series_id, time_ms) <= (?, ?)", (rows[-1][0], rows[-1][4]))
