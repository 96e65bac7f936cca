"""The spool's file: batches that the centre has not acknowledged, in SQLite. Synchronous, for one thread.

See DESIGN.md in this folder for what is guaranteed and why. In short: a method that returns has committed to the file
(kill -9 takes nothing back); `force` makes what is committed survive a power cut; a number is never used twice,
not even when a power cut took commits back.

Errors are sqlite3's own. `is_damage` tells a file that is no database any more from a disk that is full or gone.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from makiba.wire import BatchId

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS boot (number INTEGER PRIMARY KEY AUTOINCREMENT, boot_id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS batch (
    number INTEGER PRIMARY KEY AUTOINCREMENT, readings INTEGER NOT NULL, boot INTEGER NOT NULL, pack BLOB NOT NULL
);
"""
_VERSION = 1
ROW_BYTES = 48
"""What a row costs beside its pack, for `max_bytes`."""
CHECKPOINT_PAGES = 4000
NUMBERS_SKIPPED = 100_000
"""After a power cut: more than the commits that fit between two checkpoints, each of which forces."""

_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT})


@dataclass(frozen=True, slots=True)
class Batch:
    """One SenML pack, how many readings are in it, and its id."""

    id: BatchId
    readings: int
    pack: bytes


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is broken, so that waiting will not help."""
    return _code(error) in _DAMAGED or isinstance(error, WrongVersion)


def is_full(error: sqlite3.Error) -> bool:
    return _code(error) == sqlite3.SQLITE_FULL


def _code(error: sqlite3.Error) -> int:
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


class WrongVersion(sqlite3.DatabaseError):
    """A file that another version of Makiba wrote."""


class SpoolFile:
    """Open from construction to `close`. `batches`, `readings` and `size` say what waits."""

    def __init__(self, path: Path, boot_id: str) -> None:
        self.path = path
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
        self._wal_fd = -1
        try:
            self._open(boot_id)
        except BaseException:
            self._db.close()
            raise

    def _open(self, boot_id: str) -> None:
        db = self._db
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        db.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version not in (0, _VERSION):
            raise WrongVersion(f"spool of version {version}; this is {_VERSION}")
        if version == 0:
            db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version={_VERSION}; COMMIT;")
        db.execute("BEGIN IMMEDIATE")
        self.spool_id = self._meta("spool_id", secrets.token_hex(8))
        self.dropped = int(self._meta("dropped", "0"))
        self._note_boot(boot_id)
        db.execute("COMMIT")
        self.batches, self.readings, self.size = db.execute(
            "SELECT count(*), coalesce(sum(readings), 0), coalesce(sum(length(pack) + ?), 0) FROM batch", (ROW_BYTES,)
        ).fetchone()
        self._wal_fd = os.open(f"{self.path}-wal", os.O_RDONLY)
        self.force()
        _sync_folder(self.path.parent)

    def _meta(self, name: str, default: str) -> str:
        self._db.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (name, default))
        (value,) = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return str(value)

    def _note_boot(self, boot_id: str) -> None:
        """Skips numbers after what may have been a power cut: another boot, and nobody closed the file."""
        db = self._db
        last = db.execute("SELECT number, boot_id FROM boot ORDER BY number DESC LIMIT 1").fetchone()
        is_same = last is not None and last[1] == boot_id
        if not is_same:
            db.execute("INSERT INTO boot (boot_id) VALUES (?)", (boot_id,))
        self._boot = int(last[0]) if is_same else int(db.execute("SELECT max(number) FROM boot").fetchone()[0])
        if last is not None and not is_same and self._meta("closed", "0") == "0":
            db.execute("INSERT INTO sqlite_sequence (name, seq) SELECT 'batch', 0 WHERE NOT EXISTS "
                       "(SELECT 1 FROM sqlite_sequence WHERE name = 'batch')")  # fmt: skip
            db.execute("UPDATE sqlite_sequence SET seq = seq + ? WHERE name = 'batch'", (NUMBERS_SKIPPED,))
        db.execute("INSERT OR REPLACE INTO meta VALUES ('closed', '0')")

    def apply(
        self, packs: Sequence[tuple[bytes, int]], remove: Iterable[int] = (), *, dropped: int | None = None
    ) -> list[Batch]:
        """Adds packs (each with its count of readings) and removes batches, in one commit.

        `dropped` is the new total of readings dropped, when it changed.
        """
        db = self._db
        added: list[Batch] = []
        batches, readings, size = self.batches, self.readings, self.size
        db.execute("BEGIN IMMEDIATE")
        try:
            for number in remove:
                row = db.execute(
                    "DELETE FROM batch WHERE number = ? RETURNING readings, length(pack)", (number,)
                ).fetchone()
                if row:
                    batches, readings, size = batches - 1, readings - row[0], size - row[1] - ROW_BYTES
            for pack, count in packs:
                cursor = db.execute(
                    "INSERT INTO batch (readings, boot, pack) VALUES (?, ?, ?)", (count, self._boot, pack)
                )
                added.append(Batch(BatchId(self.spool_id, int(cursor.lastrowid or 0)), count, pack))
                batches, readings, size = batches + 1, readings + count, size + len(pack) + ROW_BYTES
            if dropped is not None:
                db.execute("INSERT OR REPLACE INTO meta VALUES ('dropped', ?)", (str(dropped),))
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        # Only now: a failed commit stays retryable.
        self.batches, self.readings, self.size = batches, readings, size
        if dropped is not None:
            self.dropped = dropped
        return added

    def oldest(self, at_least: int) -> tuple[list[int], int]:
        """The oldest batches that together free `at_least` bytes, and how many readings are in them."""
        numbers: list[int] = []
        lost = freed = 0
        for number, count, length in self._db.execute(
            "SELECT number, readings, length(pack) FROM batch ORDER BY number"
        ):
            if freed >= at_least:
                break
            numbers.append(number)
            lost += count
            freed += length + ROW_BYTES
        return numbers, lost

    def after(self, number: int, limit: int, upto: int | None = None) -> list[Batch]:
        """The batches after `number`, the oldest first."""
        rows = self._db.execute(
            "SELECT number, readings, pack FROM batch WHERE number > ? AND number <= ? ORDER BY number LIMIT ?",
            (number, 2**62 if upto is None else upto, limit),
        ).fetchall()
        return [Batch(BatchId(self.spool_id, n), count, pack) for n, count, pack in rows]

    def last_number(self) -> int:
        """The last number given out."""
        row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'batch'").fetchone()
        return int(row[0]) if row else 0

    def force(self) -> None:
        """What is committed survives a power cut once this returns.

        A commit in WAL mode is whole in the `-wal` file; SQLite's locks live in the others, so that an own descriptor
        of this one disturbs none (POSIX locks are lost when any descriptor of their file is closed).
        """
        os.fsync(self._wal_fd)

    def close(self) -> None:
        """Checkpoints and closes; the next owner knows that nothing was lost."""
        try:
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('closed', '1')")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Lets go of the file without a word."""
        if self._wal_fd >= 0:
            os.close(self._wal_fd)
            self._wal_fd = -1
        self._db.close()


def move_aside(path: Path, suffix: str) -> Path:
    """Renames a damaged file and what belongs to it; returns the new name."""
    aside = path.with_name(f"{path.name}.damaged-{suffix}")
    for end in ("-wal", "-shm", ""):
        part = Path(f"{path}{end}")
        if part.exists():
            part.rename(f"{aside}{end}")
    _sync_folder(path.parent)
    return aside


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
