"""Readings in one SQLite file: the store of a single machine, nothing to install.

A commit is on the disk before `write_columns` returns (WAL, synchronous=FULL). One connection writes, under a lock;
each thread reads on a connection of its own and is never held up by the writer. Several processes may share the file.
How readings lie in it and what that costs: `DESIGN.md`, `sqlite_layout`.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

from collectors.store import sqlite_migrate, sqlite_rollup
from collectors.store.fold import gaps_between, is_text
from collectors.store.levels import Segment
from collectors.store.protocol import (
    Inventory,
    Level,
    Point,
    ReadingsRejected,
    StoreDamaged,
    StoreError,
    StoreMisconfigured,
    StoreUnavailable,
    Window,
)
from collectors.store.sqlite_inventory import take_inventory
from collectors.store.sqlite_layout import SCHEMA, VERSION, Layout, layout_version, make_views, read_layout
from collectors.store.sqlite_reads import newest_numbers, numbers_of, rolled, windows_of
from collectors.store.sqlite_series import series_number
from collectors.store.sqlite_writes import Writer
from makiba.reading import Columns, Reading, Series

BUSY_TIMEOUT_S: Final = 5.0
_PRAGMAS: Final = (
    "synchronous = FULL",
    "temp_store = MEMORY",
    "secure_delete = OFF",  # a settled hour would be written once more, as zeros
    "journal_size_limit = 67108864",
)

WRITER_CACHE_KB: Final = 16_000
READER_CACHE_KB: Final = 4_000
"""Each thread reads on a connection of its own, and the machine keeps the file's pages besides."""

_NEWEST_TEXT: Final = "SELECT time_ms, value FROM text_reading WHERE series_id = ? ORDER BY time_ms DESC LIMIT 1"

T = TypeVar("T")


class _Reader:
    """A thread's connection, and what it remembers of the layout and of names."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.db = connection
        self._layout: Layout | None = None
        self.series: dict[int, Series] = {}

    def layout(self) -> Layout:
        if self._layout is None or layout_version(self.db) != self._layout.version:
            self._layout = read_layout(self.db)
        return self._layout

    def series_of(self, number: int, site: str, subject: str, quantity: str) -> Series:
        """The same object again for a number: numbers are never given twice."""
        known = self.series.get(number)
        if known is None:
            known = self.series[number] = Series(site, subject, quantity)
        return known


class SqliteStore:
    """See `collectors.store.protocol.Store` for what is promised."""

    def __init__(self, path: Path) -> None:
        """Opens or makes the file at `path`, with its folder; one of an older version is brought up to date first."""
        self._path = path
        self._writing = threading.Lock()
        self._readers = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._opening = threading.Lock()
        self._closed = False
        self._write = Writer()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600, exist_ok=True)  # a farm's data is the farm's
        except OSError as error:
            raise StoreMisconfigured(f"{path}: {error.strerror}") from None
        try:
            with _translated(path):
                self._writer = self._connect(WRITER_CACHE_KB)
                sqlite_rollup.make_temporary(self._writer)
                self._make_tables()
        except StoreError:
            self.close()
            raise

    @property
    def path(self) -> Path:
        return self._path

    # ------------------------------------------------------------------------------------------------- writing

    def write(self, readings: Sequence[Reading]) -> None:
        self.write_columns(Columns.of(readings))

    def write_columns(self, columns: Columns) -> None:
        if not len(columns):
            return
        with self._transaction() as db:
            rejected = self._write.put(db, columns)
        if rejected:
            raise ReadingsRejected(rejected)

    def roll_up(self, before_ms: int, limit: int = 500) -> int:
        with self._transaction() as db:
            return sqlite_rollup.roll_up(db, before_ms, limit)

    def expire(self, level: Level, before_ms: int) -> int:
        if level in ("text", "day"):
            return self._expire_rows(level, before_ms)
        while True:
            with self._transaction() as db:
                horizon_ms = sqlite_rollup.expire_some(db, level, before_ms)
            if horizon_ms is not None:
                return horizon_ms

    def _expire_rows(self, level: Level, before_ms: int) -> int:
        with self._transaction() as db:
            return sqlite_rollup.expire_rows(db, read_layout(db), level, before_ms)

    def delete_site(self, site: str) -> None:
        with self._transaction() as db:
            blocks = [number for (number,) in db.execute("SELECT number FROM block WHERE site = ?", (site,))]
            sqlite_rollup.delete_site(db, blocks, read_layout(db))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """The writer connection inside BEGIN IMMEDIATE … COMMIT."""
        with self._writing, _translated(self._path):
            self._require_open()
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                self._write.forget()  # numbers of a commit that failed do not exist
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    # ------------------------------------------------------------------------------------------------- reading

    def latest(self, site: str, subjects: Collection[str] | None = None) -> Mapping[Series, Point]:
        wanted = None if subjects is None else set(subjects)

        def read(reader: _Reader) -> Mapping[Series, Point]:
            found: dict[Series, Point] = {}
            numbers: dict[int, Series] = {}
            for number, subject, quantity in reader.db.execute(
                "SELECT id, subject, quantity FROM series WHERE site = ? ORDER BY id", (site,)
            ):
                if wanted is not None and subject not in wanted:
                    continue
                series = reader.series_of(number, site, subject, quantity)
                row = reader.db.execute(_NEWEST_TEXT, (number,)).fetchone() if is_text(quantity) else None
                if row:
                    found[series] = Point(*row)
                else:
                    numbers[number] = series
            for number, (time_ms, value) in newest_numbers(reader.db, reader.layout(), list(numbers)).items():
                found[numbers[number]] = Point(time_ms, value)
            return found

        return self._read(read)

    def range(self, series: Series, start_ms: int, end_ms: int, limit: int | None = None) -> list[Point]:
        def read(reader: _Reader) -> list[Point]:
            number = _number_of(reader.db, series)
            if number is None:
                return []
            texts = reader.db.execute(
                "SELECT time_ms, value FROM text_reading WHERE series_id = ? AND time_ms >= ? AND time_ms < ?"
                " ORDER BY time_ms LIMIT ?",
                (number, start_ms, end_ms, -1 if limit is None else limit),
            ).fetchall()  # fmt: skip
            rows = texts or islice(numbers_of(reader.db, reader.layout(), number, start_ms, end_ms), limit)
            return [Point(time_ms, value) for time_ms, value in rows]

        return self._read(read)

    def windows(self, series: Series, start_ms: int, end_ms: int, width_ms: int, offset_ms: int = 0) -> list[Window]:
        if is_text(series.quantity) or end_ms <= start_ms:
            return []
        width = max(1, width_ms)

        def read(reader: _Reader) -> list[Window]:
            number = _number_of(reader.db, series)
            if number is None:
                return []
            return windows_of(reader.db, reader.layout(), number, (start_ms, end_ms), width, offset_ms)

        return self._read(read)

    def series(self, site: str) -> list[Series]:
        def read(reader: _Reader) -> list[Series]:
            rows = reader.db.execute("SELECT id, site, subject, quantity FROM series WHERE site = ?", (site,))
            return sorted(reader.series_of(*row) for row in rows)

        return self._read(read)

    def gaps(self, series: Series, start_ms: int, end_ms: int, longer_than_ms: int) -> list[tuple[int, int]]:
        times = [point.time_ms for point in self.range(series, start_ms, end_ms + 1)]
        return gaps_between(times, start_ms, end_ms, longer_than_ms)

    # ---------------------------------------------------------------------------------------- moving a farm

    def sites(self) -> list[str]:
        rows = self._read(
            lambda reader: reader.db.execute("SELECT DISTINCT site FROM series ORDER BY site").fetchall()
        )
        return [site for (site,) in rows]

    def horizons(self) -> Mapping[Level, int]:
        return self._read(lambda reader: {k: at for k, at in reader.layout().kept_from_ms.items() if at})

    def rollups(
        self, series: Series, level: Level, start_ms: int, end_ms: int, limit: int | None = None
    ) -> list[Window]:
        def read(reader: _Reader) -> list[Window]:
            number = _number_of(reader.db, series)
            if number is None:
                return []
            return list(islice(rolled(reader.db, reader.layout(), number, Segment(level, start_ms, end_ms)), limit))

        return self._read(read)

    def carry(self, series: Series, level: Level, windows: Sequence[Window]) -> None:
        with self._transaction() as db:
            kept_from_ms = read_layout(db).kept_from_ms["raw"]
            if any(window.start_ms >= kept_from_ms for window in windows):
                raise StoreMisconfigured(f"{series}: a {level} with raw readings of its own cannot be carried")
            sqlite_rollup.carry(db, series_number(db, series), level, windows)

    # --------------------------------------------------------------------------------------------- the whole file

    def check(self) -> None:
        self._read(lambda reader: reader.layout())

    def inventory(self) -> Inventory:
        self._require_open()
        return take_inventory(self._path)

    def close(self) -> None:
        with self._writing, self._opening:
            self._closed = True
            for connection in self._opened:
                connection.close()
            self._opened.clear()

    def _read(self, read: Callable[[_Reader], T]) -> T:
        """What `read` answers about one state of the file."""
        self._require_open()
        with _translated(self._path):
            reader: _Reader | None = getattr(self._readers, "reader", None)
            if reader is None:
                reader = self._readers.reader = _Reader(self._connect(READER_CACHE_KB))
            reader.db.execute("BEGIN")
            try:
                return read(reader)
            finally:
                if reader.db.in_transaction:
                    reader.db.execute("COMMIT")

    # ------------------------------------------------------------------------------------------------- opening

    def _connect(self, cache_kb: int) -> sqlite3.Connection:
        # One thread at a time uses it; `close` may be called from another.
        connection = sqlite3.connect(
            self._path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False, cached_statements=512
        )
        with self._opening:
            self._opened.append(connection)
        for pragma in (*_PRAGMAS, f"cache_size = -{cache_kb}"):
            connection.execute(f"PRAGMA {pragma}")
        return connection

    def _make_tables(self) -> None:
        version = self._version()
        if version > VERSION:
            raise StoreMisconfigured(
                f"{self._path}: made by a newer Makiba (version {version}); this one knows {VERSION}"
            )
        if version < VERSION or self._writer.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            _to_wal(self._writer)
        if version < VERSION:
            with self._transaction() as db:
                version = self._version()
                if version < VERSION:  # another process may have been first
                    if version == 1:
                        sqlite_migrate.set_aside(db)
                    for statement in SCHEMA.split(";"):
                        db.execute(statement)
                    make_views(db)
                    db.execute(f"PRAGMA user_version = {VERSION}")
        while sqlite_migrate.is_needed(self._writer):
            with self._transaction() as db:
                sqlite_migrate.take_over_some(db, self._write)

    def _version(self) -> int:
        return int(self._writer.execute("PRAGMA user_version").fetchone()[0])

    def _require_open(self) -> None:
        if self._closed:
            raise StoreUnavailable(f"{self._path}: this store is closed")


def _number_of(db: sqlite3.Connection, series: Series) -> int | None:
    row = db.execute("SELECT id FROM series WHERE site = ? AND subject = ? AND quantity = ?", series).fetchone()
    return int(row[0]) if row else None


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
        raise StoreDamaged(f"{path}: {error}; it is damaged or not a store of readings") from error
