"""The spool: readings are in its file before anybody publishes them, and leave it when they are acknowledged.

One thread owns the file and takes requests from a queue; the event loop never waits for a disk. What is queued at
once becomes one batch; after a commit the next waits until `WINDOW_S` has passed, so that a quiet gateway commits
at once and a busy one a few dozen times a second. See DESIGN.md for the guarantee and its limits.

When the disk is full or gone, polling goes on: readings wait in memory up to `PENDING_MOST`, the oldest going
first, the trouble is reported once and so is its end.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.spool_file import Batch, SpoolFile, is_damage, is_full, move_aside
from makiba.reading import Reading, Series
from makiba.senml import encode_json

log = logging.getLogger("makiba.gateway.spool")

WINDOW_S = 0.012
RETRY_S = 1.0
PENDING_MOST = 20_000
PACK_MOST = 1000
"""Readings in one pack; more become several batches, so that a pack stays below the wire's limit."""


class SpoolEvents:
    """What the spool tells the event loop. Each call arrives there, in the order in which it happened."""

    def opened(self, spool_id: str, last_number: int) -> None:
        """A file is open (again). Batches of another spool id are gone."""

    def committed(self, batches: Sequence[Batch]) -> None:
        """These are in the file now and may be published."""

    def trouble(self, state: str) -> None:
        """`disk-full` or `disk-error`; `ok` when it is over."""

    def died(self, error: BaseException) -> None:
        """A defect ended the thread; nothing is kept any more, so that the process must end too."""


@dataclass(frozen=True, slots=True)
class _Page:
    after: int
    upto: int
    limit: int
    answer: Callable[[list[Batch]], None]


@dataclass(frozen=True, slots=True)
class _Barrier:
    reached: Callable[[], None]


@dataclass(slots=True)
class _Work:
    """What one turn of the thread does."""

    readings: list[Reading] = field(default_factory=list)
    remove: list[int] = field(default_factory=list)
    pages: list[_Page] = field(default_factory=list)
    barriers: list[_Barrier] = field(default_factory=list)
    stop: bool = False


_Request = Sequence[Reading] | int | _Page | _Barrier | None


class Spool:
    """The event loop's side. `start` once, `stop` once."""

    def __init__(
        self,
        path: Path,
        *,
        max_mb: int,
        force_every_s: float,
        dropped: Series,
        boot_id: str,
        now_ms: Callable[[], int],
    ) -> None:
        self._queue: queue.SimpleQueue[_Request] = queue.SimpleQueue()
        self._owner = _Owner(self._queue, path, max_mb * 1_000_000, force_every_s, dropped, boot_id, now_ms)
        self._thread = threading.Thread(target=self._owner.run, name="spool", daemon=True)

    @property
    def waiting(self) -> int:
        """Readings not yet acknowledged, as of the last commit."""
        return self._owner.waiting

    def start(self, events: SpoolEvents) -> None:
        loop = asyncio.get_running_loop()

        def hand_over(call: Callable[[], None]) -> None:
            # The loop may be closed by now; then nobody is left who wants to know.
            if not loop.is_closed():
                loop.call_soon_threadsafe(call)

        self._owner.hand_over = hand_over
        self._owner.events = events
        self._thread.start()

    def append(self, readings: Sequence[Reading]) -> None:
        """Readings that were measured together; returns at once."""
        self._queue.put(readings)

    def acknowledged(self, number: int) -> None:
        """The centre has this batch."""
        self._queue.put(number)

    async def page(self, after: int, upto: int, limit: int) -> list[Batch]:
        """Batches after `after` up to `upto`, the oldest first; empty when the file cannot be read just now."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Batch]] = loop.create_future()
        self._queue.put(_Page(after, upto, limit, lambda b: None if answer.done() else answer.set_result(b)))
        return await answer

    async def flush(self) -> None:
        """Returns when everything appended before is committed, or cannot be."""
        reached = asyncio.Event()
        self._queue.put(_Barrier(reached.set))
        while not reached.is_set() and self._thread.is_alive():
            try:
                async with asyncio.timeout(0.5):
                    await reached.wait()
            except TimeoutError:
                continue  # a slow card; or a thread that died, which the condition sees

    async def stop(self) -> None:
        """Commits, closes the file, ends the thread."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)


class _Owner:
    """The thread. Nothing of it is touched from elsewhere, but for `waiting`."""

    def __init__(
        self,
        requests: queue.SimpleQueue[_Request],
        path: Path,
        max_bytes: int,
        force_every_s: float,
        dropped: Series,
        boot_id: str,
        now_ms: Callable[[], int],
    ) -> None:
        self._requests = requests
        self._path = path
        self._max_bytes = max_bytes
        self._force_every_s = force_every_s
        self._dropped_series = dropped
        self._boot_id = boot_id
        self._now_ms = now_ms
        self.hand_over: Callable[[Callable[[], None]], None] = lambda call: call()
        self.events = SpoolEvents()
        self.waiting = 0
        self._file: SpoolFile | None = None
        self._trouble = "ok"
        self._pending: list[Reading] = []
        self._lost_in_memory = 0
        self._to_remove: list[int] = []
        self._unforced: dict[int, float] = {}  # batch number -> when it was committed; in that order
        self._last_commit_s = 0.0
        self._retry_s = 0.0

    def run(self) -> None:
        try:
            self._run()
        except BaseException as error:
            log.exception("spool %s: unexpected error", self._path)
            failure = error
            self.hand_over(lambda: self.events.died(failure))

    def _run(self) -> None:
        self._try(self._open)
        while True:
            work = self._next_work()
            self._pending += work.readings
            self._to_remove += work.remove
            if time.monotonic() >= self._retry_s or work.stop or work.barriers:
                self._try(self._commit)
            self._try(self._force_when_due)
            for page in work.pages:
                self._answer(page)
            for barrier in work.barriers:
                self.hand_over(barrier.reached)
            if work.stop:
                self._try(self._close)
                return

    # ------------------------------------------------------------------------------------------ requests

    def _next_work(self) -> _Work:
        """Waits for a request, then takes all there are; readings wait out the window since the last commit."""
        work = _Work()
        self._wait(work, self._idle_s())
        deadline = self._last_commit_s + WINDOW_S
        while (
            (work.readings or work.remove)
            and not (work.stop or work.barriers)
            and (left := deadline - time.monotonic()) > 0
        ):
            if not self._wait(work, left):
                break
        while self._take(work, block=False, timeout=None):
            pass
        return work

    def _idle_s(self) -> float | None:
        """How long nothing has to be done; None for ever."""
        waits = []
        if self._unforced:
            waits.append(next(iter(self._unforced.values())) + self._force_every_s * 0.9)
        if self._pending or self._to_remove or self._file is None:
            waits.append(self._retry_s)
        return max(min(waits) - time.monotonic(), 0.0) if waits else None

    def _wait(self, work: _Work, timeout: float | None) -> bool:
        return self._take(work, block=True, timeout=timeout)

    def _take(self, work: _Work, *, block: bool, timeout: float | None) -> bool:
        try:
            request = self._requests.get(block=block, timeout=timeout)
        except queue.Empty:
            return False
        if request is None:
            work.stop = True
        elif isinstance(request, int):
            work.remove.append(request)
        elif isinstance(request, _Page):
            work.pages.append(request)
        elif isinstance(request, _Barrier):
            work.barriers.append(request)
        else:
            work.readings.extend(request)
        return True

    def _answer(self, page: _Page) -> None:
        found: list[Batch] = []

        def read() -> None:
            if self._file:
                found.extend(self._file.after(page.after, page.limit, page.upto))

        self._try(read)
        self.hand_over(lambda: page.answer(found))

    # ------------------------------------------------------------------------------------------ the file

    def _try(self, action: Callable[[], None]) -> None:
        """Runs `action`; what the disk or SQLite has against it becomes a state and is tried again later."""
        try:
            action()
        except (sqlite3.Error, OSError) as error:
            self._retry_s = time.monotonic() + RETRY_S
            if isinstance(error, sqlite3.Error) and is_damage(error):
                self._replace(error)
            else:
                full = is_full(error) if isinstance(error, sqlite3.Error) else error.errno == 28
                self._say("disk-full" if full else "disk-error", error)
            self._shorten()

    def _say(self, state: str, error: Exception | None = None) -> None:
        if state == self._trouble:
            return
        self._trouble = state
        if error:
            log.error("spool %s: %s: %s; readings wait in memory", self._path, state, error)
        else:
            log.info("spool %s: writing again", self._path)
        self.hand_over(lambda: self.events.trouble(state))

    def _replace(self, error: sqlite3.Error) -> None:
        """Moves a damaged file aside and starts a new one."""
        if self._file:
            self._file.abandon()
            self._file = None
        try:
            aside = move_aside(self._path, str(self._now_ms()))
        except OSError as failure:
            self._say("disk-error", failure)
            return
        log.error("spool %s was damaged (%s); it is kept as %s and a new one started", self._path, error, aside.name)
        self._retry_s = 0.0
        self._try(self._open)

    def _open(self) -> None:
        file = self._file = SpoolFile(self._path, self._boot_id)
        self._unforced.clear()
        self._to_remove.clear()  # they were of another file, or wait in this one and will be acknowledged again
        self.waiting = file.readings
        spool_id, last = file.spool_id, file.last_number()
        self.hand_over(lambda: self.events.opened(spool_id, last))

    def _commit(self) -> None:
        if self._file is None:
            self._open()
        file = self._file
        if file is None or not (self._pending or self._to_remove):
            return
        remove, dropped, readings = list(self._to_remove), file.dropped, self._pending
        packs = [
            (encode_json(part), len(part))
            for at in range(0, len(readings), PACK_MOST)
            for part in (readings[at : at + PACK_MOST],)
        ]
        over = file.size + sum(len(pack) for pack, _ in packs) - self._max_bytes
        lost = self._lost_in_memory
        if over > 0:
            # A hundredth more than needed, so that a full spool does not say so with every batch.
            oldest, gone = file.oldest(over + self._max_bytes // 100)
            remove += oldest
            lost += gone
            log.warning("spool %s is full: the oldest %d readings were dropped", self._path, gone)
        if lost and readings:
            dropped += lost
            said = Reading(self._dropped_series, self._now_ms(), float(dropped))
            packs.append((encode_json([said]), 1))
        batches = file.apply(packs, remove, dropped=dropped if dropped != file.dropped else None)
        now_s = time.monotonic()
        self._pending, self._lost_in_memory = [], 0
        self._to_remove.clear()
        for number in remove:
            self._unforced.pop(number, None)
        for batch in batches:
            self._unforced[batch.id.number] = now_s
        self.waiting = file.readings
        if batches:
            self._last_commit_s = now_s
            self.hand_over(lambda: self.events.committed(batches))
        self._say("ok")

    def _force_when_due(self) -> None:
        """Unacknowledged batches go to the card in time; one that was acknowledged before costs it nothing."""
        file = self._file
        if not file or not self._unforced:
            return
        if time.monotonic() >= next(iter(self._unforced.values())) + self._force_every_s * 0.9:
            file.force()
            self._unforced.clear()

    def _shorten(self) -> None:
        extra = len(self._pending) - PENDING_MOST
        if extra > 0:
            del self._pending[:extra]
            self._lost_in_memory += extra

    def _close(self) -> None:
        if self._file:
            file, self._file = self._file, None
            file.close()
