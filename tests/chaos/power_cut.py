"""A file layer between SQLite and the disk that knows what was forced: what a power cut leaves can be made of it.

`Recorder` is put between `sqlite3` and the operating system as SQLite's default VFS, through ctypes: a copy of the
built-in one whose files' write, truncate, sync and delete are noted and then done. Nothing of the spool is replaced.

The model of a cut. What was written to a file before its last sync is there. Of what came after, any subset is there,
each write cut into sectors of 512 bytes of which again any subset is there (torn pages); or only a prefix is; or
nothing. The WAL index (`-shm`) is not kept: it is memory. A file that was never synced may be missing. A deletion is
sure once the folder was synced; before, the old file may be there again, as it was, and a new one of its name not.
"""

from __future__ import annotations

import ctypes
import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gateway import spool_file

SECTOR = 512

_Pointer = ctypes.c_void_p
_Int64 = ctypes.c_int64
_Write = ctypes.CFUNCTYPE(ctypes.c_int, _Pointer, _Pointer, ctypes.c_int, _Int64)
_Truncate = ctypes.CFUNCTYPE(ctypes.c_int, _Pointer, _Int64)
_Sync = ctypes.CFUNCTYPE(ctypes.c_int, _Pointer, ctypes.c_int)
_Close = ctypes.CFUNCTYPE(ctypes.c_int, _Pointer)
_Open = ctypes.CFUNCTYPE(ctypes.c_int, _Pointer, _Pointer, _Pointer, ctypes.c_int, _Pointer)
_Delete = ctypes.CFUNCTYPE(ctypes.c_int, _Pointer, ctypes.c_char_p, ctypes.c_int)


class _Methods(ctypes.Structure):
    """sqlite3_io_methods, as far as it is looked into; version 3 has 19 members."""

    _fields_ = (
        ("version", ctypes.c_int), ("close", _Close), ("read", _Pointer), ("write", _Write), ("truncate", _Truncate),
        ("sync", _Sync), *((f"rest{n}", _Pointer) for n in range(13)),
    )  # fmt: skip


class _File(ctypes.Structure):
    _fields_ = (("methods", ctypes.POINTER(_Methods)),)


class _Vfs(ctypes.Structure):
    _fields_ = (
        ("version", ctypes.c_int), ("file_bytes", ctypes.c_int), ("longest_path", ctypes.c_int), ("next", _Pointer),
        ("name", ctypes.c_char_p), ("app_data", _Pointer), ("open", _Open), ("delete", _Delete),
        *((f"rest{n}", _Pointer) for n in range(16)),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Op:
    """What was done to a file. `data` None: a truncation to `at`, or one of the words below."""

    file: str
    at: int
    data: bytes | None = None


SYNC, DELETED, FOLDER_SYNC = -1, -2, -3


@dataclass
class Recorder:
    """What was done, in order. `sync_s` makes the card slow."""

    ops: list[Op] = field(default_factory=list)
    sync_s: float = 0.0
    written: int = 0
    syncs: int = 0

    def note(self, op: Op) -> None:
        self.ops.append(op)
        if op.data is not None:
            self.written += len(op.data)
        elif op.at == SYNC:
            self.syncs += 1
            if self.sync_s:
                time.sleep(self.sync_s)


def is_possible() -> bool:
    """Whether this Python's sqlite3 uses the system's library, which can be reached from here."""
    try:
        with recording() as recorder:
            db = sqlite3.connect("/dev/shm/makiba-probe.db")
            db.execute("CREATE TABLE IF NOT EXISTS t (x)")
            db.close()
        Path("/dev/shm/makiba-probe.db").unlink()
    except (OSError, AttributeError, sqlite3.Error):
        return False
    return bool(recorder.ops)


@contextmanager
def recording() -> Iterator[Recorder]:
    """All databases opened meanwhile are recorded."""
    library = ctypes.CDLL("libsqlite3.so.0")
    library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
    recorder = Recorder()
    layer = _Layer(library.sqlite3_vfs_find(None), recorder)
    library.sqlite3_vfs_register(ctypes.byref(layer.vfs), 1)
    real_sync = spool_file._sync_folder

    def sync_folder(folder: Path) -> None:
        real_sync(folder)
        recorder.note(Op("", FOLDER_SYNC))

    spool_file._sync_folder = sync_folder
    try:
        yield recorder
    finally:
        spool_file._sync_folder = real_sync
        library.sqlite3_vfs_unregister(ctypes.byref(layer.vfs))


class _Layer:
    """The VFS. It lives as long as any file opened through it."""

    _kept: list[_Layer] = []  # noqa: RUF012 (files may be closed after their layer was taken away)

    def __init__(self, real: ctypes._Pointer[_Vfs], recorder: Recorder) -> None:
        self._kept.append(self)
        self._real = real.contents
        self._recorder = recorder
        self._names: dict[int, str] = {}
        self._tables: dict[int, tuple[_Methods, _Methods]] = {}
        self.vfs = _Vfs.from_buffer_copy(self._real)
        self.vfs.name = b"recording"
        self.vfs.open, self.vfs.delete = _Open(self._open), _Delete(self._delete)

    def _open(self, _vfs: int, name: int, file: int, flags: int, out: int) -> int:
        code = int(self._real.open(ctypes.addressof(self._real), name, file, flags, out))
        if code == 0 and name:
            handle = ctypes.cast(file, ctypes.POINTER(_File)).contents
            address = ctypes.addressof(handle.methods.contents)
            if address not in self._tables:
                self._tables[address] = self._patched(handle.methods.contents)
            handle.methods = ctypes.pointer(self._tables[address][1])
            self._names[file] = (ctypes.cast(name, ctypes.c_char_p).value or b"").decode()
        return code

    def _patched(self, real: _Methods) -> tuple[_Methods, _Methods]:
        ours = _Methods.from_buffer_copy(real)

        def write(file: int, data: int, count: int, at: int) -> int:
            self._recorder.note(Op(self._names[file], at, ctypes.string_at(data, count)))
            return int(real.write(file, data, count, at))

        def truncate(file: int, size: int) -> int:
            self._recorder.note(Op(self._names[file], size))
            return int(real.truncate(file, size))

        def sync(file: int, flags: int) -> int:
            code = int(real.sync(file, flags))
            self._recorder.note(Op(self._names[file], SYNC))
            return code

        ours.write, ours.truncate, ours.sync = _Write(write), _Truncate(truncate), _Sync(sync)
        return real, ours

    def _delete(self, _vfs: int, name: bytes, sync_folder: int) -> int:
        self._recorder.note(Op(name.decode(), DELETED))
        if sync_folder:
            self._recorder.note(Op("", FOLDER_SYNC))
        return int(self._real.delete(ctypes.addressof(self._real), name, sync_folder))


def leave(ops: list[Op], into: Path, chance: random.Random) -> None:
    """Makes in `into` the files that a power cut after `ops` may leave behind."""
    for name in sorted({op.file for op in ops} - {""}):
        content = _after_cut([op for op in ops if op.file in (name, "")], chance)
        if content is not None:
            (into / Path(name).name).write_bytes(content)


def _after_cut(ops: list[Op], chance: random.Random) -> bytes | None:
    last_sync = max(
        (
            at
            for at, op in enumerate(ops)
            if op.at == SYNC or (op.at == DELETED and any(o.at == FOLDER_SYNC for o in ops[at:]))
        ),
        default=-1,
    )
    content: bytearray | None = None
    for op in ops[: last_sync + 1]:
        content = _apply(content, op)
    unsynced = ops[last_sync + 1 :]
    way = chance.choice(("nothing", "all", "prefix", "subset", "torn"))
    if way == "prefix":
        unsynced = unsynced[: chance.randint(0, len(unsynced))]
    for op in unsynced:
        if op.at == DELETED:
            if chance.random() < 0.5:
                break  # the folder has the old file still
            content = None
            continue
        if way == "nothing" or (way in ("subset", "torn") and chance.random() < 0.5):
            continue
        if way == "torn" and op.data:
            for at in range(0, len(op.data), SECTOR):
                if chance.random() < 0.7:
                    content = _apply(content, Op(op.file, op.at + at, op.data[at : at + SECTOR]))
        else:
            content = _apply(content, op)
    return bytes(content) if content is not None else None


def _apply(content: bytearray | None, op: Op) -> bytearray | None:
    if op.at == FOLDER_SYNC:
        return content
    if op.at == SYNC:
        return bytearray() if content is None else content
    if op.at == DELETED:
        return None
    content = bytearray() if content is None else content
    if op.data is None:
        del content[op.at :]
        return content
    if len(content) < op.at:
        content.extend(bytes(op.at - len(content)))
    content[op.at : op.at + len(op.data)] = op.data
    return content
