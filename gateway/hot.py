"""The hot file: what was measured in the last seconds, in memory that outlives the process. Synchronous, one thread.

A batch is in this file before anybody publishes it, and leaves it when it is acknowledged or stands in the journal on
the card. The file lies in memory-backed `/run` or `/dev/shm` where there is one: it survives `kill -9` and costs the
card nothing. It does not survive a power cut and is not meant to: a file of another boot is thrown away unread, so
that it may as well lie on the card and is never forced there.

The file is a log of records, each with a checksum; `kill -9` can cut off only the last one, whose batch nobody was
told of yet. When most of it is history it is written anew beside and renamed.

When the file cannot be written (its memory is full), batches are kept in this process's memory all the same and
`trouble` says why; the next write that works brings everything back into the file.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import stat
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.packs import Batch
from makiba.wire import BatchId

_HEAD: Final = struct.Struct("<BIIQ")  # kind, length and checksum of the body, number
_COUNT: Final = struct.Struct("<IBQq")  # readings, held, when it was added (boot time, ms), its newest time (UTC, ms)
_BEGIN, _BATCH, _GONE, _UPTO, _CLOCK = range(1, 6)
_MAGIC: Final = "makiba-hot-1"
REWRITE_ABOVE: Final = 256 * 1024
NUMBERS_SKIPPED: Final = 1_000_000


class SpoolInUse(Exception):
    """Another process keeps this spool."""


@dataclass(frozen=True, slots=True)
class ClockNote:
    """What this boot knows of the time: milliseconds to add to the monotonic clock. None: not known yet."""

    provisional_ms: int | None = None
    utc_ms: int | None = None


def hot_path(spool: Path, option: str = "auto") -> Path:
    """Where the hot file of `spool` lies: `auto` looks for memory-backed folders, `off` is beside it, or a path."""
    if option == "off":
        return spool.with_name(f"{spool.name}-hot")
    if option != "auto":
        return Path(option)
    name = f"makiba-{hashlib.sha256(os.fsencode(spool.resolve())).hexdigest()[:16]}.hot"
    given = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    for folder in (Path(given) if given else None, Path("/run/makiba"), Path("/dev/shm")):  # noqa: S108
        if folder and folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
            return folder / name
    return spool.with_name(f"{spool.name}-hot")


class Lock:
    """One owner of a spool at a time; the kernel lets go of it when the process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._fd)
            raise SpoolInUse(f"{path}: another gateway keeps this spool; two cannot") from None

    def release(self) -> None:
        os.close(self._fd)


class HotState:
    """What a hot file says. `batches` are those that wait, by number and in order."""

    def __init__(self, boot_id: str = "") -> None:
        self.boot_id = boot_id
        self.spool_id = secrets.token_hex(8)
        self.batches: dict[int, Batch] = {}
        self.added_ms: dict[int, int] = {}
        self.size = self.readings = 0
        self.last_number = 0
        self.last_ms = 0
        self.clock = ClockNote()

    def _take(self, batch: Batch, now_ms: int) -> None:
        self.batches[batch.id.number] = batch
        self.added_ms[batch.id.number] = now_ms
        self.readings += batch.readings
        self.size += len(batch.pack) + _HEAD.size + _COUNT.size

    def _drop(self, number: int) -> bool:
        batch = self.batches.pop(number, None)
        if batch is None:
            return False
        del self.added_ms[number]
        self.readings -= batch.readings
        self.size -= len(batch.pack) + _HEAD.size + _COUNT.size
        return True

    def replay(self, data: bytes) -> int | None:
        """Takes over what `data` says; how much of it is whole. None: not a file of this boot, where that matters."""
        at = 0
        while at + _HEAD.size <= len(data):
            kind, length, checksum, number = _HEAD.unpack_from(data, at)
            body = data[at + _HEAD.size : at + _HEAD.size + length]
            if len(body) < length or checksum != _checksum(kind, number, body):
                break
            if at == 0:
                begin = json.loads(body) if kind == _BEGIN else {}
                if begin.get("magic") != _MAGIC or self.boot_id not in ("", begin["boot"]):
                    return None
                self.spool_id, self.last_ms, self.last_number = begin["spool"], begin["last"], number
            elif kind == _BATCH:
                count, held, added_ms, newest_ms = _COUNT.unpack_from(body)
                pack = body[_COUNT.size :]
                self._take(Batch(BatchId(self.spool_id, number), count, pack, is_held=bool(held)), added_ms)
                self.last_number, self.last_ms = max(self.last_number, number), max(self.last_ms, newest_ms)
            elif kind == _GONE:
                for gone in struct.unpack(f"<{length // 8}Q", body):
                    self._drop(gone)
            elif kind == _UPTO:
                for gone in [n for n in self.batches if n <= number]:
                    self._drop(gone)
            elif kind == _CLOCK:
                self.clock = ClockNote(*json.loads(body))
            at += _HEAD.size + length
        return at or None


class HotFile(HotState):
    """Open from construction to `close`; used by one thread."""

    def __init__(self, path: Path, boot_id: str) -> None:
        super().__init__(boot_id)
        self.path = path
        self.trouble: OSError | None = None
        self._fd = -1
        self._length = 0
        self._lock: Lock | None = None
        try:
            self._lock = Lock(path.with_name(f"{path.name}.lock"))
            if not self._load():
                self._rewrite()
        except OSError as error:
            self.trouble = error

    # ------------------------------------------------------------------------------------------ what it takes

    def add(self, packs: Sequence[tuple[bytes, int]], now_ms: int, newest_ms: int, *, held: bool) -> list[Batch]:
        """New batches. `now_ms` is of the clock that `added_ms` is on."""
        added = []
        records = []
        for pack, count in packs:
            self.last_number += 1
            batch = Batch(BatchId(self.spool_id, self.last_number), count, pack, is_held=held)
            self._take(batch, now_ms)
            added.append(batch)
            records.append(_batch_record(batch, now_ms, newest_ms))
        self.last_ms = max(self.last_ms, newest_ms)
        self._write(records)
        return added

    def remove(self, numbers: Iterable[int]) -> None:
        """These were acknowledged; one that is not here is passed over."""
        gone = [n for n in numbers if self._drop(n)]
        if gone:
            self._write([_record(_GONE, 0, struct.pack(f"<{len(gone)}Q", *gone))])

    def remove_upto(self, number: int) -> None:
        """These are in the journal."""
        if gone := [n for n in self.batches if n <= number]:
            for n in gone:
                self._drop(n)
            self._write([_record(_UPTO, number, b"")])

    def replace(self, batches: Iterable[Batch], newest_ms: int) -> None:
        """Other contents for batches that nobody was told of yet."""
        for batch in batches:
            added_ms = self.added_ms[batch.id.number]
            self._drop(batch.id.number)
            self._take(batch, added_ms)
        self.batches = dict(sorted(self.batches.items()))
        self.added_ms = {number: self.added_ms[number] for number in self.batches}  # the oldest first here too
        self.last_ms = newest_ms
        self._again()

    def note_clock(self, note: ClockNote) -> None:
        if note != self.clock:
            self.clock = note
            self._write([self._clock_record()])

    def close(self) -> None:
        """Lets go; a file in which nothing waits is taken away."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            if not self.batches and self.clock == ClockNote():
                with contextlib.suppress(OSError):
                    self.path.unlink()
        if self._lock:
            self._lock.release()

    # ------------------------------------------------------------------------------------------ the file

    def _write(self, records: Sequence[bytes]) -> None:
        data = b"".join(records)
        if self.trouble or self._fd < 0 or self._length + len(data) > max(REWRITE_ABOVE, 4 * self.size):
            self._again()  # memory is ahead of the file already, so that this writes `records` too
            return
        try:
            _write_all(self._fd, data)
            self._length += len(data)
        except OSError as error:
            self.trouble = error
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._length)

    def _again(self) -> None:
        try:
            self._rewrite()
            self.trouble = None
        except OSError as error:
            self.trouble = error

    def _rewrite(self) -> None:
        """The file anew, in which only what waits is written; the old one is there until the new one is whole."""
        beside = self.path.with_name(f"{self.path.name}.new")
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()
        fd = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            begin = json.dumps({"magic": _MAGIC, "spool": self.spool_id, "boot": self.boot_id, "last": self.last_ms})
            records = [_record(_BEGIN, self.last_number, begin.encode()), self._clock_record()]
            records += [_batch_record(b, self.added_ms[n], self.last_ms) for n, b in self.batches.items()]
            data = b"".join(records)
            _write_all(fd, data)
            beside.rename(self.path)
        except BaseException:
            os.close(fd)
            raise
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._length = fd, len(data)

    def _clock_record(self) -> bytes:
        return _record(_CLOCK, 0, json.dumps([self.clock.provisional_ms, self.clock.utc_ms]).encode())

    def _load(self) -> bool:
        """Takes over the file of this boot; False when there is none, or it is another boot's."""
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_NOFOLLOW | os.O_APPEND | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            about = os.fstat(fd)
            if not stat.S_ISREG(about.st_mode) or about.st_uid != os.geteuid():
                raise PermissionError(f"{self.path} is not a file of this user")
            with open(fd, "rb", closefd=False) as file:
                data = file.read()
            whole = self.replay(data)
            if whole is None:
                os.close(fd)
                return False
        except BaseException:
            os.close(fd)
            raise
        self._fd, self._length = fd, whole
        if whole < len(data):
            # Cut off by kill -9, and nobody was told of it; or damaged, and numbers behind may have been published.
            self.last_number += NUMBERS_SKIPPED
            self._rewrite()
        return True


def peek_hot(path: Path) -> HotState | None:
    """What waits in the hot file of a gateway that may be running; None when there is none."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    state = HotState()
    return state if state.replay(data) else None


def _record(kind: int, number: int, body: bytes) -> bytes:
    return _HEAD.pack(kind, len(body), _checksum(kind, number, body), number) + body


def _batch_record(batch: Batch, added_ms: int, newest_ms: int) -> bytes:
    count = _COUNT.pack(batch.readings, batch.is_held, added_ms, newest_ms)
    return _record(_BATCH, batch.id.number, count + batch.pack)


def _checksum(kind: int, number: int, body: bytes) -> int:
    return zlib.crc32(body, kind * 65_599 + number & 0xFFFF_FFFF)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
