"""Copies of SQLite files that are in use: complete, verified, and either the new one or the old one, never a half.

The copy is one state of the file: a transaction holds it while its pages are copied, writers go on meanwhile. It is
checked (`integrity_check`, and every table has as many rows as the original in that state) before it takes the place
of an older copy: temporary file beside it, fsync, rename, fsync of the folder. Restoring is copying it back while
nothing runs."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PAGES: Final = 4096
"""Pages copied at a time: 16 MB."""


class BackupFailed(Exception):
    """There is no new copy; the message says why. An older one is as it was."""


@dataclass(frozen=True, slots=True)
class Copied:
    """A verified copy."""

    path: Path
    size_bytes: int
    tables: int
    rows: int


def back_up(source: Path, target: Path, tell: Callable[[float], None] = lambda _: None) -> Copied:
    """Copies the SQLite file `source` to `target`; `tell` hears the share that is done. `BackupFailed` otherwise."""
    if not source.is_file():
        raise BackupFailed(f"{source}: is not there")
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        free, needed = shutil.disk_usage(target.parent).free, source.stat().st_size
        if free < needed:
            raise BackupFailed(f"{target.parent}: {free >> 20} MB are free, {needed >> 20} MB are needed")
        copied = _copy(source, temporary, target, tell)
        _sync(temporary)
        temporary.replace(target)
        _sync(target.parent)
    except OSError as error:
        raise BackupFailed(f"{error.filename or target}: {error.strerror}") from error
    except sqlite3.Error as error:
        raise BackupFailed(f"{source} to {target}: {error}") from error
    finally:
        for end in ("", "-wal", "-shm", "-journal"):
            Path(f"{temporary}{end}").unlink(missing_ok=True)
    return copied


def _copy(source: Path, temporary: Path, target: Path, tell: Callable[[float], None]) -> Copied:
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))  # a farm's data is the farm's
    with closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True, isolation_level=None)) as original:
        original.execute("BEGIN")
        expected = _rows(original)  # reading pins the state that is copied
        with closing(sqlite3.connect(temporary, isolation_level=None)) as copy:
            original.backup(copy, pages=PAGES, progress=lambda _, left, all_: tell(1 - left / max(all_, 1)))
        original.execute("COMMIT")
    with closing(sqlite3.connect(temporary, isolation_level=None)) as copy:
        found = copy.execute("PRAGMA integrity_check(3)").fetchall()
        if found != [("ok",)]:
            raise BackupFailed(f"{source}: the copy is damaged, so that the file is: {found[0][0]}")
        rows = _rows(copy)
    if rows != expected:
        different = sorted(name for name in {*rows, *expected} if rows.get(name) != expected.get(name))
        raise BackupFailed(f"{source}: the copy differs in {', '.join(different[:3])}")
    return Copied(target, temporary.stat().st_size, len(rows), sum(rows.values()))


def _rows(db: sqlite3.Connection) -> dict[str, int]:
    """Rows of each table."""
    names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    return {name: int(db.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]) for name in names}  # noqa: S608


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
