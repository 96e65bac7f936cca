"""The one relational database: farms, what stands on them, people, dead letters, the alert book.

`open_registry` opens it, SQLite or PostgreSQL, and with `migrate=True` brings it to this version's tables first;
any number of processes may do that at the same moment. A `Registry` gives sessions: `read()` sees one moment and
keeps nothing, `write()` commits or rolls back as a whole. Rows that come out of a session may be read after it.

Errors: RegistryError
        ├── RegistryUnavailable     down, locked or full; the same call may succeed later
        └── RegistryMisconfigured   a wrong address, driver or version; a person has to change something
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from collectors.registry.rights_version import WritingSession, number_changes

SCHEMA_REVISION: Final = "0019"
"""The newest of `migrations/versions`, known without importing Alembic; a test holds the two equal."""

BUSY_TIMEOUT_S: Final = 10
_MIGRATION_LOCK: Final = 0x6D616B696261  # 'makiba': the key of PostgreSQL's advisory lock
_IMMEDIATE: Final = "makiba_immediate"


class RegistryError(Exception):
    """Root of this package's errors."""


class RegistryUnavailable(RegistryError):
    """The database is down, locked or full."""


class RegistryMisconfigured(RegistryError):
    """A wrong address, a missing driver, or tables of another version; the message says what to do."""


class Registry:
    """An open registry. Threads may share it; each session belongs to one."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._writing = engine.execution_options(**{_IMMEDIATE: True})
        # PostgreSQL: a reader sees one moment; a writer sees what others committed while it waited for a row.
        one_moment = {} if engine.dialect.name == "sqlite" else {"isolation_level": "REPEATABLE READ"}
        self._reading = engine.execution_options(**one_moment)
        # SQLite has one writer per file: threads of this process queue here, without its 10 s limit on waiting.
        self._write_lock = threading.Lock() if engine.dialect.name == "sqlite" else None

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session on one moment of the database; whatever is changed in it is forgotten."""
        with _translated(), Session(self._reading, expire_on_commit=False, autoflush=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session that commits at the end of the block, or rolls back when the block raises."""
        if self._write_lock:
            self._write_lock.acquire()
        try:
            with _translated(), WritingSession(self._writing, expire_on_commit=False) as session, session.begin():
                yield session
                number_changes(session)
        finally:
            if self._write_lock:
                self._write_lock.release()

    def check(self) -> None:
        """Returns when the database answers; `RegistryUnavailable` otherwise."""
        with self.read() as session:
            session.execute(text("SELECT 1"))

    def close(self) -> None:
        """Frees what is held."""
        self.engine.dispose()


def open_registry(url: str, *, password: str | None = None, migrate: bool = False) -> Registry:
    """The registry at `url`: `sqlite:PATH` or `postgresql://user@host/database`.

    With `migrate` its tables are made or brought up to date; without it, tables of another version raise
    `RegistryMisconfigured`.
    """
    parsed = _parse(url, password)
    if migrate and parsed.drivername == "sqlite":
        _make_file(Path(parsed.database or ""))
    try:
        engine = _engine(parsed)
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise RegistryMisconfigured(f"{_shown(parsed)}: {error}; pip install 'psycopg[binary]'") from None
    try:
        with _translated(_shown(parsed)):
            found = _revision(engine) if migrate or _exists(parsed) else None
            if found != SCHEMA_REVISION:
                _refuse_newer(found, parsed)
                if not migrate:
                    state = f"has the tables of version {found}" if found else "is empty"
                    raise RegistryMisconfigured(
                        f"registry {_shown(parsed)} {state}, this Makiba needs version {SCHEMA_REVISION}; "
                        "run `makiba site migrate` (or start `makiba collect`, which does the same)"
                    )
                _migrate(engine, parsed)
    except BaseException:
        engine.dispose()
        raise
    return Registry(engine)


def _parse(url: str, password: str | None) -> URL:
    scheme, _, rest = url.partition(":")
    if scheme == "sqlite":
        path = Path(rest.removeprefix("//")).expanduser()
        if not rest.removeprefix("//") or rest == ":memory:":
            raise RegistryMisconfigured("registry sqlite: has no path; expected sqlite:/a/path/registry.db")
        return URL.create("sqlite", database=str(path))
    if scheme.partition("+")[0] in ("postgresql", "postgres"):
        try:
            parsed = make_url(url.replace("postgres://", "postgresql://", 1))
        except (ArgumentError, ValueError):
            raise RegistryMisconfigured("the registry's address is not of the form postgresql://…") from None
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        return parsed.set(password=password) if password is not None else parsed
    raise RegistryMisconfigured(f"registry {scheme[:40]!r}: expected sqlite:PATH or postgresql://host/database")


def _make_file(path: Path) -> None:
    """An empty file that its owner alone reads: it will hold people's names and hashes of their passwords."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600, exist_ok=True)
    except OSError as error:
        raise RegistryMisconfigured(f"{path}: {error.strerror}") from None


def _exists(url: URL) -> bool:
    """Whether there may be a database; looking for one must not make a file."""
    return url.drivername != "sqlite" or Path(url.database or "").exists()


def _shown(url: URL) -> str:
    """The address for messages, without a password."""
    return f"sqlite:{url.database}" if url.drivername == "sqlite" else url.render_as_string(hide_password=True)


def _engine(url: URL) -> Engine:
    if url.drivername != "sqlite":
        return create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": BUSY_TIMEOUT_S})
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    # Python's module must not begin or end transactions by itself: DDL and BEGIN IMMEDIATE are ours.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA synchronous = FULL")
    if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        _to_wal(cursor)
    cursor.close()


def _to_wal(cursor: sqlite3.Cursor) -> None:
    """Several processes may do this at once; SQLite answers some of them 'locked' without waiting."""
    for attempt in range(100):
        try:
            cursor.execute("PRAGMA journal_mode = WAL").fetchone()
            return
        except sqlite3.OperationalError:
            if attempt == 99:
                raise
            threading.Event().wait(0.05)


def _begin_sqlite(connection: Connection) -> None:
    immediate = connection.get_execution_options().get(_IMMEDIATE)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


@contextmanager
def _translated(where: str = "the registry") -> Iterator[None]:
    """Driver's errors as ours. A violated constraint is the caller's business and stays what it is."""
    try:
        yield
    except IntegrityError:
        raise
    except DBAPIError as error:
        raise RegistryUnavailable(f"{where}: {error.orig}") from error


def _revision(at: Engine | Connection) -> str | None:
    """The version of the tables; None for an empty database."""
    if isinstance(at, Engine):
        with at.connect() as connection:
            return _revision(connection)
    if not inspect(at).has_table("alembic_version"):
        return None
    row: Any = at.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return str(row) if row is not None else None


def _refuse_newer(found: str | None, url: URL) -> None:
    if found is not None and found > SCHEMA_REVISION:
        raise RegistryMisconfigured(
            f"registry {_shown(url)} has the tables of version {found}, newer than this Makiba's "
            f"{SCHEMA_REVISION}; install the newer Makiba"
        )


def _migrate(engine: Engine, url: URL) -> None:
    """Brings the tables up to date in one transaction; a process that comes second finds it done."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    # SQLite: BEGIN IMMEDIATE is the lock (its DDL is transactional). PostgreSQL: an advisory lock.
    with engine.execution_options(**{_IMMEDIATE: True}).begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        found = _revision(connection)
        _refuse_newer(found, url)
        if found != SCHEMA_REVISION:
            config.attributes["connection"] = connection
            command.upgrade(config, SCHEMA_REVISION)
