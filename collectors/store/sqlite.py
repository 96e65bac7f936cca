"""Readings in one SQLite file: the store of a single machine, nothing to install.

A commit is on the disk before `write` returns (WAL, synchronous=FULL). One connection writes, under a lock; each
thread reads on a connection of its own and is never held up by the writer. Several processes may share the file.
A reading is a row of 20-30 bytes keyed by (series, time), so that the newest value of a series is one descent of a
tree however many there are.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from collectors.store.fold import gaps_between, is_text, wrong_kind
from collectors.store.protocol import (
    Point,
    RawOnly,
    ReadingsRejected,
    StoreError,
    StoreMisconfigured,
    StoreUnavailable,
    Window,
)
from makiba.reading import Columns, Reading, Series, Value

BUSY_TIMEOUT_S: Final = 5.0

# AUTOINCREMENT: the id of a series that was deleted is never given to another one, since a writer in another
# process may still remember it; the foreign key then refuses its row.
_SCHEMA: Final = """
CREATE TABLE series (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    site TEXT NOT NULL, subject TEXT NOT NULL, quantity TEXT NOT NULL,
    UNIQUE (site, subject, quantity)
);
CREATE TABLE reading (
    series_id INTEGER NOT NULL REFERENCES series (id) ON DELETE CASCADE,
    time_ms INTEGER NOT NULL,
    value NOT NULL,
    PRIMARY KEY (series_id, time_ms)
) WITHOUT ROWID;
PRAGMA user_version = 1;
"""

_UPSERT: Final = """
INSERT INTO reading (series_id, time_ms, value) VALUES (?, ?, ?)
ON CONFLICT (series_id, time_ms) DO UPDATE SET value = excluded.value WHERE value IS NOT excluded.value
"""

_LATEST: Final = """
SELECT s.subject, s.quantity, r.time_ms, r.value FROM series s
JOIN reading r ON r.series_id = s.id AND r.time_ms = (SELECT max(time_ms) FROM reading WHERE series_id = s.id)
WHERE s.site = ?
"""

_RANGE: Final = """
SELECT time_ms, value FROM reading WHERE series_id = (SELECT id FROM series WHERE site = ? AND subject = ? AND quantity = ?)
AND time_ms >= ? AND time_ms < ? ORDER BY time_ms LIMIT ?
"""  # noqa: E501

_WINDOWS: Final = """
SELECT w.start_ms, w.count, w.minimum, w.mean, w.maximum, r.value FROM (
    SELECT series_id, (time_ms - :offset) / :width * :width + :offset AS start_ms, count(*) AS count,
           min(value) AS minimum, avg(value) AS mean, max(value) AS maximum, max(time_ms) AS last_ms
    FROM reading
    WHERE series_id = (SELECT id FROM series WHERE site = :site AND subject = :subject AND quantity = :quantity)
      AND time_ms >= :start AND time_ms < :end
    GROUP BY (time_ms - :offset) / :width
) w JOIN reading r ON r.series_id = w.series_id AND r.time_ms = w.last_ms
ORDER BY w.start_ms
"""

_SERIES: Final = """
SELECT subject, quantity FROM series s WHERE site = ? AND EXISTS (SELECT 1 FROM reading WHERE series_id = s.id)
"""


class SqliteStore(RawOnly):
    """See `collectors.store.protocol.Store` for what is promised."""

    def __init__(self, path: Path) -> None:
        """Opens or makes the file at `path`, with its folder."""
        self._path = path
        self._ids: dict[Series, int] = {}
        self._writing = threading.Lock()
        self._readers = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._opening = threading.Lock()
        self._closed = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600, exist_ok=True)  # a farm's data is the farm's
        except OSError as error:
            raise StoreMisconfigured(f"{path}: {error.strerror}") from None
        with _translated(path):
            self._writer = self._connect()
            self._make_tables()

    def write(self, readings: Sequence[Reading]) -> None:
        wrong = wrong_kind(Columns.of(readings))
        bad = {index for index, _ in wrong}
        good = [reading for index, reading in enumerate(readings) if index not in bad]
        if good:
            with self._writing, _translated(self._path):
                try:
                    self._commit(good)
                except sqlite3.IntegrityError:
                    # Another process removed a farm whose series are remembered here: look them up again.
                    self._ids.clear()
                    self._commit(good)
        if wrong:
            raise ReadingsRejected(wrong)

    def _commit(self, readings: Sequence[Reading]) -> None:
        new: dict[Series, int] = {}
        with self._transaction() as db:
            rows: dict[tuple[int, int], Value] = {}
            for reading in readings:
                number = self._ids.get(reading.series) or new.get(reading.series)
                if number is None:
                    number = new[reading.series] = _series_id(db, reading.series)
                value = reading.value
                rows[number, reading.time_ms] = value if isinstance(value, str) else float(value)
            # In the key's order a backlog goes into few pages; the dict kept the last value of each key.
            db.executemany(_UPSERT, [(number, time_ms, rows[number, time_ms]) for number, time_ms in sorted(rows)])
        self._ids.update(new)  # only now: ids of a failed commit do not exist

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """The writer connection inside BEGIN IMMEDIATE … COMMIT; the caller holds `_writing`."""
        self._require_open()
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            yield self._writer
            self._writer.execute("COMMIT")
        except BaseException:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            raise

    def latest(self, site: str, subjects: Collection[str] | None = None) -> Mapping[Series, Point]:
        found: dict[Series, Point] = {}
        for part in _parts(subjects):
            query = _LATEST if part is None else f"{_LATEST} AND s.subject IN ({', '.join('?' * len(part))})"
            for subject, quantity, time_ms, value in self._read(query, (site, *(part or ()))):
                found[Series(site, subject, quantity)] = Point(time_ms, value)
        return found

    def range(self, series: Series, start_ms: int, end_ms: int, limit: int | None = None) -> list[Point]:
        rows = self._read(
            _RANGE,
            (series.site, series.subject, series.quantity, start_ms, end_ms, -1 if limit is None else limit),
        )
        return [Point(time_ms, value) for time_ms, value in rows]

    def windows(self, series: Series, start_ms: int, end_ms: int, width_ms: int, offset_ms: int = 0) -> list[Window]:
        if is_text(series.quantity):
            return []
        asked = {
            "site": series.site, "subject": series.subject, "quantity": series.quantity,
            "start": start_ms, "end": end_ms, "width": max(1, width_ms), "offset": offset_ms % max(1, width_ms),
        }  # fmt: skip
        return [Window(*row) for row in self._read(_WINDOWS, asked)]

    def series(self, site: str) -> list[Series]:
        return sorted(Series(site, subject, quantity) for subject, quantity in self._read(_SERIES, (site,)))

    def gaps(self, series: Series, start_ms: int, end_ms: int, longer_than_ms: int) -> list[tuple[int, int]]:
        times = [point.time_ms for point in self.range(series, start_ms, end_ms + 1)]
        return gaps_between(times, start_ms, end_ms, longer_than_ms)

    def delete_site(self, site: str) -> None:
        with self._writing, _translated(self._path):
            self._ids.clear()
            with self._transaction() as db:
                db.execute("DELETE FROM series WHERE site = ?", (site,))

    def check(self) -> None:
        self._read("SELECT 1 FROM series LIMIT 1", ())

    def close(self) -> None:
        with self._writing, self._opening:
            self._closed = True
            for connection in self._opened:
                connection.close()
            self._opened.clear()

    def _read(self, query: str, asked: Sequence[Any] | Mapping[str, Any]) -> list[Any]:
        self._require_open()
        with _translated(self._path):
            connection: sqlite3.Connection | None = getattr(self._readers, "connection", None)
            if connection is None:
                connection = self._readers.connection = self._connect()
            return connection.execute(query, asked).fetchall()

    def _connect(self) -> sqlite3.Connection:
        # One thread at a time uses it; `close` may be called from another.
        connection = sqlite3.connect(
            self._path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        with self._opening:
            self._opened.append(connection)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA cache_size = -16000")
        return connection

    def _make_tables(self) -> None:
        if self._writer.execute("PRAGMA user_version").fetchone()[0] == 1:
            return
        _to_wal(self._writer)
        with self._transaction() as db:
            if db.execute("PRAGMA user_version").fetchone()[0] == 0:  # another process may have been first
                for statement in _SCHEMA.split(";"):
                    db.execute(statement)

    def _require_open(self) -> None:
        if self._closed:
            raise StoreUnavailable(f"{self._path}: this store is closed")


def _series_id(db: sqlite3.Connection, series: Series) -> int:
    key = (series.site, series.subject, series.quantity)
    row = db.execute("SELECT id FROM series WHERE site = ? AND subject = ? AND quantity = ?", key).fetchone()
    if row:
        return int(row[0])
    return int(db.execute("INSERT INTO series (site, subject, quantity) VALUES (?, ?, ?)", key).lastrowid or 0)


def _parts(subjects: Collection[str] | None) -> Iterator[tuple[str, ...] | None]:
    """`subjects` in parts below SQLite's limit of variables; one None for all of them."""
    if subjects is None:
        yield None
        return
    known = sorted(set(subjects))
    for start in range(0, len(known), 500):
        yield tuple(known[start : start + 500])


def _to_wal(connection: sqlite3.Connection) -> None:
    """Several processes may do this at once; SQLite answers some of them 'locked' without waiting."""
    for attempt in range(100):
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
            return
        except sqlite3.OperationalError:
            if attempt == 99:
                raise
            threading.Event().wait(0.05)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """SQLite's errors as the protocol's."""
    try:
        yield
    except StoreError:
        raise
    except sqlite3.OperationalError as error:
        # READONLY, CANTOPEN and PERM need a person; locked, full and input/output errors may pass.
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        wrong = code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM)
        raise (StoreMisconfigured if wrong else StoreUnavailable)(f"{path}: {error}") from error
    except sqlite3.ProgrammingError as error:  # closed meanwhile by another thread
        raise StoreUnavailable(f"{path}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise StoreMisconfigured(f"{path}: {error}; it is damaged or not a store of readings") from error
