"""The spool: readings are in a file before anybody publishes them, and leave it when they are acknowledged.

Two files, two threads, and the event loop waits for neither. What is queued at once becomes one batch in the hot
file (`hot.py`, kept by `spool_thread.py`); after a commit the next waits until `WINDOW_S` has passed, so that a quiet
gateway commits at once and a busy one a few dozen times a second. What is not acknowledged within the interval goes
to the journal on the card (`card.py`), where it survives a power cut; readings that are `urgent` go there at once.
See DESIGN.md for the guarantee and its limits.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.card import Card
from gateway.hot import ClockNote, HotFile, Lock, SpoolInUse, hot_path
from gateway.packs import Batch
from gateway.spool_inbox import Append, Barrier, Gone, Inbox, Settle, Stop
from gateway.spool_thread import Names, SpoolEvents, SpoolThread
from makiba.reading import Reading
from makiba.wire import BatchId

log = logging.getLogger("makiba.gateway.spool")


@dataclass(frozen=True, slots=True)
class Opened:
    """What the spool knew when it was opened. `newest_ms`: of this boot's readings; `noted_ms`: the card's note."""

    spool_id: str
    clock: ClockNote
    newest_ms: int
    noted_ms: int


class Spool:
    """The event loop's side. `start` once, `stop` once."""

    def __init__(
        self,
        path: Path,
        *,
        max_mb: int,
        force_every_s: float,
        gateway: str,
        site: str,
        boot_id: str,
        now_ms: Callable[[], int],
        hot: str = "auto",
        is_held: bool = False,
    ) -> None:
        self._path = path
        self._hot_path = hot_path(path, hot)
        self._boot_id = boot_id
        self._inbox = Inbox()
        self._owner = SpoolThread(Names(path, site, gateway, boot_id), self._inbox, force_every_s, now_ms)
        self._owner.is_held = is_held
        self._card = self._owner.card = Card(path, max_mb * 1_000_000, boot_id, self._owner)
        self._thread = threading.Thread(target=self._owner.run, name="spool", daemon=True)
        self._lock: Lock | None = None

    @property
    def waiting(self) -> int:
        """Readings not yet acknowledged, as of the last commit."""
        return self._owner.waiting + self._card.waiting

    @property
    def asked(self) -> int:
        """Requests that the thread has not taken yet."""
        return len(self._inbox)

    def start(self, events: SpoolEvents) -> None:
        """`SpoolInUse` when another gateway keeps this spool."""
        loop = asyncio.get_running_loop()

        def hand_over(call: Callable[[], None]) -> None:
            # The loop may be closed by now; then nobody is left who wants to know.
            if not loop.is_closed():
                loop.call_soon_threadsafe(call)

        try:
            self._lock = Lock(self._path.with_name(f"{self._path.name}.lock"))
        except OSError as error:
            log.warning("spool %s: no lock file beside it: %s", self._path, error.strerror)
        self._owner.hand_over = hand_over
        self._owner.events = events
        try:
            self._owner.hot = HotFile(self._hot_path, self._boot_id)
        except SpoolInUse:
            if self._lock:
                self._lock.release()
            raise
        self._thread.start()
        self._card.start()

    async def opened(self, within_s: float = 5.0) -> Opened:
        """What was known, as soon as both files are open; without the card's part when that takes too long."""
        deadline = time.monotonic() + within_s
        while not self._owner.card_seen.is_set() and time.monotonic() < deadline:  # noqa: ASYNC110 (a thread's)
            await asyncio.sleep(0.005)
        hot, note = self._owner.hot, self._owner.noted_ms
        assert hot is not None
        return Opened(hot.spool_id, hot.clock, hot.last_ms, note)

    def append(self, readings: Sequence[Reading], *, urgent: bool = False) -> None:
        """Readings that were measured together; returns at once. `urgent`: to the card without waiting."""
        self._inbox.put(Append(readings, urgent))

    def acknowledged(self, batch: BatchId) -> None:
        """The centre has this batch."""
        hot = self._owner.hot
        if hot and batch.spool == hot.spool_id:
            self._inbox.put(Gone(batch.number))
        elif batch.spool == self._owner.card_id:
            self._card.remove(batch.number)

    async def page(self, after: int, upto: int, limit: int) -> list[Batch] | None:
        """The journal's batches after `after` up to `upto`, the oldest first; None when it cannot be read now."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Batch] | None] = loop.create_future()

        def give(found: list[Batch] | None) -> None:
            self._owner.hand_over(lambda: None if answer.done() else answer.set_result(found))

        self._card.page(after, upto, limit, give)
        return await answer

    def settle(self, shift_ms: int, note: ClockNote) -> None:
        """UTC is known: what was appended while it was not is `shift_ms` later, and may go."""
        self._inbox.put(note)
        self._inbox.put(Settle(shift_ms))

    def note_clock(self, note: ClockNote) -> None:
        """What this boot knows of the time, for a process that is started again in it."""
        self._inbox.put(note)

    def note_time(self, now_ms: int) -> None:
        """What the clock says, for a later boot that has none; goes to the card every ten minutes."""
        self._card.note_time(now_ms)

    async def flush(self) -> None:
        """Returns when everything appended before is in the hot file, and was tried on the card if it is due."""
        reached = asyncio.Event()
        self._inbox.put(Barrier(lambda: self._owner.hand_over(reached.set)))
        while not reached.is_set() and self._thread.is_alive():
            try:
                async with asyncio.timeout(0.5):
                    await reached.wait()
            except TimeoutError:
                continue  # a busy machine; or a thread that died, which the condition sees

    async def stop(self) -> None:
        """Takes what waits to the card if it can, closes both files, ends the threads."""
        self._inbox.put(Stop())
        await asyncio.to_thread(self._thread.join)
        if self._lock:
            self._lock.release()


__all__ = ["Opened", "Spool", "SpoolEvents", "SpoolInUse"]
