"""The journal on the card: batches that waited longer than the interval, in SQLite. Synchronous, for one thread.

See DESIGN.md in this folder for what is guaranteed and why. In short: `journal` and `merge` return when what they
wrote survives a power cut; what was removed may come back after one; a number is never given out twice, because it is
on the card before anybody learns of it. The mark `hot` says up to which batch of which hot file all is here, in the
same commit, so that whoever is killed between the two files takes nothing twice.

Errors are sqlite3's own. `is_damage` tells a file that is no database any more from a disk that is full or gone.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.packs import PACK_MOST, Batch, dense_packs, minute_means, readings_in, shifted
from makiba.reading import Reading
from makiba.wire import BatchId

# `age` is the number under which the oldest of a batch came to the card: merging gives new numbers, dropping goes by
# age. `held` is the boot whose clock the times are on, while they are not UTC yet.
_SCHEMA: Final = """
CREATE TABLE state (
    one INTEGER PRIMARY KEY CHECK (one = 1), spool_id TEXT NOT NULL, last INTEGER NOT NULL, dropped INTEGER NOT NULL,
    hot TEXT NOT NULL, hot_upto INTEGER NOT NULL, noted_ms INTEGER NOT NULL
);
CREATE TABLE batch (
    number INTEGER PRIMARY KEY, readings INTEGER NOT NULL, age INTEGER NOT NULL, stage INTEGER NOT NULL,
    held TEXT, deflated INTEGER NOT NULL, pack BLOB NOT NULL
);
CREATE INDEX batch_age ON batch (age);
"""
_VERSION: Final = 2
ROW_BYTES: Final = 32
"""What a row costs beside its pack, for the spool's size."""
PAGE_BYTES: Final = 1024
"""A commit every ten seconds writes three or four pages: a small page is a small write."""
CHECKPOINT_PAGES: Final = 1000
SMALL, MERGED, THINNED = range(3)
THIN_ROUNDS: Final = 8

_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT})


@dataclass(frozen=True, slots=True)
class Gap:
    """Readings that are missing, or thinned, between two times (UTC, ms, both ends included)."""

    readings: int
    from_ms: int
    upto_ms: int
    is_thinned: bool = False


def is_damage(error: BaseException) -> bool:
    """Whether the file itself is broken, so that waiting will not help."""
    return isinstance(error, WrongVersion) or (isinstance(error, sqlite3.Error) and _code(error) in _DAMAGED)


def state_of(error: BaseException) -> str:
    """The word for what the disk has against it."""
    code = _code(error) if isinstance(error, sqlite3.Error) else -1
    number = error.errno if isinstance(error, OSError) else -1
    if is_damage(error):
        return "damaged"
    if code == sqlite3.SQLITE_FULL or number in (28, 122):  # ENOSPC, EDQUOT
        return "disk-full"
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM) or number in (1, 13, 30):  # EPERM, EACCES, EROFS
        return "read-only"
    return "disk-error"


def _code(error: sqlite3.Error) -> int:
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


class WrongVersion(sqlite3.DatabaseError):
    """A file that another version of Makiba wrote."""


class SpoolFile:
    """Open from construction to `close`. `batches`, `readings` and `size` say what waits."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
        try:
            self._open()
        except BaseException:
            self._db.close()
            raise

    def _open(self) -> None:
        db = self._db
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version not in (0, 1, _VERSION):
            raise WrongVersion(f"spool of version {version}; this is {_VERSION}")
        if version == 0:
            db.execute(f"PRAGMA page_size={PAGE_BYTES}")
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        if version != _VERSION:
            self._make(version)
        row = db.execute("SELECT spool_id, last, dropped, hot, hot_upto, noted_ms FROM state").fetchone()
        if row is None:
            raise WrongVersion("spool without its state")
        self.spool_id, self.last_number, self.dropped = str(row[0]), int(row[1]), int(row[2])
        self.hot, self.noted_ms = (str(row[3]), int(row[4])), int(row[5])
        self.batches, self.readings, self.size = db.execute(
            "SELECT count(*), coalesce(sum(readings), 0), coalesce(sum(length(pack) + ?), 0) FROM batch", (ROW_BYTES,)
        ).fetchone()
        (self.small,) = db.execute(
            "SELECT coalesce(sum(readings), 0) FROM batch WHERE stage = ? AND held IS NULL", (SMALL,)
        ).fetchone()
        _sync_folder(self.path.parent)

    def _make(self, version: int) -> None:
        """Makes the tables; takes over what a file of version 1 holds."""
        spool_id, last, dropped = secrets.token_hex(8), 0, 0
        with self._transaction() as db:
            if version == 1:
                meta = dict(db.execute("SELECT name, value FROM meta").fetchall())
                spool_id, dropped = meta.get("spool_id", spool_id), int(meta.get("dropped", "0"))
                row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'batch'").fetchone()
                last = int(row[0]) if row else 0
                db.execute("ALTER TABLE batch RENAME TO batch_1")
            for statement in _SCHEMA.split(";")[:-1]:
                db.execute(statement)
            if version == 1:
                db.execute("INSERT INTO batch SELECT number, readings, number, 0, NULL, 0, pack FROM batch_1")
                db.execute("DROP TABLE batch_1")
            db.execute("INSERT INTO state VALUES (1, ?, ?, ?, '', 0, 0)", (spool_id, last, dropped))
            db.execute(f"PRAGMA user_version={_VERSION}")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All of it or nothing, and forced to the card."""
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    # ------------------------------------------------------------------------------------------ what comes

    def journal(self, batches: Sequence[Batch], hot: tuple[str, int], *, held: str | None = None) -> list[int]:
        """Takes over `batches` of the hot file, merged; all of it up to the mark `hot` is here or acknowledged.

        Returns the new numbers. `held`: the boot on whose clock the held ones are.
        """
        rows = [row for held_ones in (False, True) for row in _merged(batches, held_ones, held)]
        self._commit(rows, hot=hot)
        return list(range(self.last_number - len(rows) + 1, self.last_number + 1))

    def add(self, readings: Sequence[Reading]) -> None:
        """Readings of the spool's own."""
        self._commit([_Row(pack, count, 0, SMALL, None, True) for pack, count in dense_packs(readings)])

    def merge(self) -> bool:
        """Makes full packs of the small ones, when there are enough; False when there were not."""
        if self.small < PACK_MOST:
            return False
        rows = self._rows("stage = ? AND held IS NULL", (SMALL,))
        readings = [r for row in rows for r in row[4] or ()]
        again = [_Row(p, n, rows[0][2], MERGED, None, True) for p, n in dense_packs(readings)]
        # What cannot be read here is the centre's to refuse: it stays as it is and is not looked at again.
        self._mark([row[0] for row in rows if row[4] is None], MERGED)
        self._commit(again, gone=[row[0] for row in rows if row[4] is not None])
        self._count_small()
        return True

    def make_room(self, max_bytes: int) -> list[Gap]:
        """Thins plain data to minute means, the oldest first, and drops the oldest when that is not enough.

        Takes a hundredth more than needed, so that a full spool does not say so with every batch.
        """
        gaps: list[Gap] = []
        if self.size > max_bytes:
            aim = max_bytes - max_bytes // 100
            while self.size > aim and (gap := self._thin_some()):
                gaps.append(gap)
            while self.size > aim and (gap := self._drop_some(self.size - aim)):
                gaps.append(gap)
        return gaps

    def _thin_some(self) -> Gap | None:
        """Thins the oldest plain rows; None when there are none, or the next hundred have nothing to give."""
        for _ in range(THIN_ROUNDS):
            rows = self._rows("stage < ? AND held IS NULL ORDER BY age LIMIT 12", (THINNED,))
            if not rows:
                return None
            before = [r for row in rows for r in row[4] or ()]
            after = minute_means(before)
            if len(after) < len(before):
                again = [_Row(p, n, rows[0][2], THINNED, None, True) for p, n in dense_packs(after)]
                self._mark([row[0] for row in rows if row[4] is None], THINNED)
                self._commit(again, gone=[row[0] for row in rows if row[4] is not None])
                self._count_small()
                times = [r.time_ms for r in before]
                return Gap(len(before) - len(after), min(times), max(times), is_thinned=True)
            self._mark([row[0] for row in rows], THINNED)
        return None

    def _mark(self, numbers: Sequence[int], stage: int) -> None:
        with self._transaction() as db:
            db.executemany("UPDATE batch SET stage = ? WHERE number = ?", [(stage, n) for n in numbers])
        self._count_small()

    def _drop_some(self, at_least: int) -> Gap | None:
        rows, freed = [], 0
        for row in self._rows("1 ORDER BY age LIMIT 64", ()):
            if freed >= at_least:
                break
            rows.append(row)
            freed += row[3] + ROW_BYTES
        if not rows:
            return None
        lost = sum(row[1] for row in rows)
        times = [r.time_ms for row in rows for r in row[4] or ()] or [0]
        self._commit([], gone=[row[0] for row in rows], dropped=self.dropped + lost)
        self._count_small()
        return Gap(lost, min(times), max(times))

    def count_dropped(self, readings: int) -> None:
        """More were dropped, before they came here."""
        self._commit([], dropped=self.dropped + readings)

    def settle(self, boot_id: str, shift_ms: int) -> None:
        """UTC is known: what this boot stamped without knowing it is `shift_ms` later, and may go."""
        rows = self._rows("held = ?", (boot_id,))
        readings = [r for row in rows for r in row[4] or ()]
        if rows:
            again = [_Row(p, n, rows[0][2], SMALL, None, True) for p, n in dense_packs(shifted(readings, shift_ms))]
            self._commit(again, gone=[row[0] for row in rows if row[4] is not None])
            self._count_small()

    def release(self, boot_id: str) -> list[tuple[str, int, int]]:
        """Lets go what boots before `boot_id` stamped and never knew UTC: (boot, from, up to) of each."""
        found: list[tuple[str, int, int]] = []
        for (boot,) in self._db.execute("SELECT DISTINCT held FROM batch WHERE held IS NOT NULL").fetchall():
            if boot == boot_id:
                continue
            times = [r.time_ms for row in self._rows("held = ?", (boot,)) for r in row[4] or ()]
            self.settle(boot, 0)
            found.append((boot, min(times, default=0), max(times, default=0)))
        return found

    def remove(self, numbers: Iterable[int]) -> None:
        """These were acknowledged. Not forced: after a power cut they may go out again."""
        self._db.execute("PRAGMA synchronous=NORMAL")
        try:
            self._commit([], gone=numbers)
        finally:
            self._db.execute("PRAGMA synchronous=FULL")
        self._count_small()

    def note_time(self, now_ms: int) -> None:
        """What the clock says, for the next boot; and not in vain, the page is written with it anyway."""
        with self._transaction() as db:
            db.execute("UPDATE state SET noted_ms = ?", (now_ms,))
        self.noted_ms = now_ms

    def _commit(
        self,
        rows: Sequence[_Row],
        gone: Iterable[int] = (),
        *,
        hot: tuple[str, int] | None = None,
        dropped: int | None = None,
    ) -> None:
        batches, readings, size, last = self.batches, self.readings, self.size, self.last_number
        small = self.small
        with self._transaction() as db:
            for number in gone:
                row = db.execute(
                    "DELETE FROM batch WHERE number = ? RETURNING readings, length(pack)", (number,)
                ).fetchone()
                if row:
                    batches, readings, size = batches - 1, readings - row[0], size - row[1] - ROW_BYTES
            for row in rows:
                last += 1
                db.execute(
                    "INSERT INTO batch VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (last, row.readings, row.age or last, row.stage, row.held, row.is_deflated, row.pack),
                )
                batches, readings, size = batches + 1, readings + row.readings, size + len(row.pack) + ROW_BYTES
                small += row.readings if row.stage == SMALL and row.held is None else 0
            mark, total = hot or self.hot, self.dropped if dropped is None else dropped
            if rows or mark != self.hot or total != self.dropped:
                db.execute("UPDATE state SET last = ?, dropped = ?, hot = ?, hot_upto = ?", (last, total, *mark))
        # Only now: a failed commit stays retryable.
        self.batches, self.readings, self.size, self.small = batches, readings, size, small
        self.last_number, self.dropped, self.hot = last, total, mark

    def _count_small(self) -> None:
        (self.small,) = self._db.execute(
            "SELECT coalesce(sum(readings), 0) FROM batch WHERE stage = ? AND held IS NULL", (SMALL,)
        ).fetchone()

    # ------------------------------------------------------------------------------------------ what goes

    def after(self, number: int, limit: int, upto: int | None = None) -> list[Batch]:
        """The batches after `number` that may go, in the order of their numbers."""
        rows = self._db.execute(
            "SELECT number, readings, pack, deflated FROM batch WHERE number > ? AND number <= ? AND held IS NULL "
            "ORDER BY number LIMIT ?",
            (number, 2**62 if upto is None else upto, limit),
        ).fetchall()
        return [Batch(BatchId(self.spool_id, n), count, pack, bool(deflated)) for n, count, pack, deflated in rows]

    def _rows(self, where: str, values: tuple[object, ...]) -> list[tuple[int, int, int, int, list[Reading] | None]]:
        """(number, count, age, bytes, readings) of rows; readings None where they cannot be read here."""
        found = self._db.execute(
            f"SELECT number, readings, age, deflated, pack FROM batch WHERE {where}",  # noqa: S608 (ours)
            values,
        ).fetchall()
        return [
            (number, count, age, len(pack), readings_in(pack, is_deflated=bool(deflated)))
            for number, count, age, deflated, pack in found
        ]

    def close(self) -> None:
        """Checkpoints and closes."""
        try:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            self._db.close()

    def abandon(self) -> None:
        """Lets go of the file without a word."""
        self._db.close()


@dataclass(frozen=True, slots=True)
class _Row:
    pack: bytes
    readings: int
    age: int
    stage: int
    held: str | None
    is_deflated: bool


def _merged(batches: Sequence[Batch], are_held: bool, boot_id: str | None) -> Iterator[_Row]:
    """The rows that `batches` become on the card; one that cannot be read here becomes a row as it is."""
    readings: list[Reading] = []
    held = boot_id if are_held else None
    for batch in batches:
        if batch.is_held != are_held:
            continue
        found = readings_in(batch.pack, is_deflated=batch.is_deflated)
        if found is None:
            yield _Row(batch.pack, batch.readings, 0, MERGED, held, batch.is_deflated)
        else:
            readings += found
    for pack, count in dense_packs(readings):
        yield _Row(pack, count, 0, SMALL if count < PACK_MOST // 2 else MERGED, held, True)


def move_aside(path: Path, suffix: str) -> Path:
    """Renames a damaged file and what belongs to it; returns the new name."""
    aside = path.with_name(f"{path.name}.damaged-{suffix}")
    for end in ("-wal", "-shm", ""):
        part = Path(f"{path}{end}")
        if part.exists():
            part.rename(f"{aside}{end}")
    _sync_folder(path.parent)
    return aside


def salvage(damaged: Path, into: SpoolFile) -> int:
    """Takes every batch that can still be read out of a damaged file; returns how many readings that were."""
    found: list[Reading] = []
    try:
        db = sqlite3.connect(f"file:{damaged}?mode=ro", uri=True)
    except sqlite3.Error:
        return 0
    try:
        pack_of = "SELECT pack FROM batch WHERE number = ?"
        last, failures, number = _last_number(db), 0, 0
        while number < last and failures < 1000:
            number = _next_number(db, number, last)
            try:
                row = db.execute(pack_of, (number,)).fetchone()
            except sqlite3.Error:
                failures += 1
                continue
            if row and isinstance(row[0], bytes):
                found += readings_in(row[0], is_deflated=row[0][:1] != b"[") or ()
    except sqlite3.Error:
        pass  # the rest cannot be read
    finally:
        db.close()
    if found:
        into.add(found)
    return len(found)


def _last_number(db: sqlite3.Connection) -> int:
    for query in ("SELECT last FROM state", "SELECT max(number) FROM batch"):
        try:
            row = db.execute(query).fetchone()
        except sqlite3.Error:
            continue
        if row and isinstance(row[0], int):
            return row[0]
    return 0


def _next_number(db: sqlite3.Connection, after: int, last: int) -> int:
    """The next row's number; where the tree is broken there, simply the next one."""
    try:
        row = db.execute("SELECT min(number) FROM batch WHERE number > ?", (after,)).fetchone()
        return int(row[0]) if row and row[0] is not None else last
    except sqlite3.Error:
        return after + 1


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
