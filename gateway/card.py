"""The thread that owns the journal on the card, so that a card that takes seconds over a commit holds up nobody.

It takes requests from a queue and answers by calls, which it makes on its own thread: whoever gave them hands over.
When the card is full, read-only or gone it says so once, tries again every few seconds, and everything stays in
the hot file meanwhile. A damaged file is moved aside, and what can be read of it is taken over into a new one.
"""

from __future__ import annotations

import logging
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from gateway.packs import Batch
from gateway.spool_file import Gap, SpoolFile, is_damage, move_aside, salvage, state_of

log = logging.getLogger("makiba.gateway.spool")

RETRY_S = 1.0
LONGEST_RETRY_S = 15.0
NOTE_TIME_MS = 600_000
REMOVE_TOGETHER_S = 0.25
"""Acknowledgements wait so long for others: one commit takes back a whole window of backlog."""


class CardEvents:
    """What the card tells. Each call comes on the card's thread."""

    def card_opened(self, spool_id: str, last_number: int, hot: tuple[str, int], noted_ms: int) -> None:
        """A file is open (again). Batches of another spool id are gone."""

    def journaled(self, job: Journal, numbers: list[int] | None, took_s: float) -> None:
        """What `job` brought is on the card as `numbers`; None: it is not, and should be brought again."""

    def grown(self, last_number: int) -> None:
        """There may be new batches up to `last_number`."""

    def card_state(self, state: str) -> None:
        """`disk-full`, `read-only`, `disk-error`, `damaged`; `ok` when it is over."""

    def made_room(self, gap: Gap, dropped: int) -> None:
        """The spool was full; `dropped` is the total since it was made."""

    def found_unset(self, boots: list[tuple[str, int, int]]) -> None:
        """Boots that ended before they knew UTC: (boot, first, last) time that they gave to readings."""

    def card_died(self, error: BaseException) -> None:
        """A defect ended the thread."""


@dataclass(frozen=True, slots=True)
class Journal:
    """Batches of the hot file up to `hot`, and how many readings were dropped before they came so far."""

    batches: tuple[Batch, ...]
    hot: tuple[str, int]
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class _Page:
    after: int
    upto: int
    limit: int
    answer: Callable[[list[Batch] | None], None]


@dataclass(frozen=True, slots=True)
class _Settle:
    shift_ms: int


@dataclass(frozen=True, slots=True)
class _Barrier:
    reached: Callable[[], None]


_Request = Journal | _Page | _Settle | _Barrier | int | float | None


class Card:
    """The face: each call returns at once."""

    def __init__(self, path: Path, max_bytes: int, boot_id: str, events: CardEvents) -> None:
        self._queue: queue.SimpleQueue[_Request] = queue.SimpleQueue()
        self._owner = _Owner(self._queue, path, max_bytes, boot_id, events)
        self._thread = threading.Thread(target=self._owner.run, name="card", daemon=True)

    @property
    def waiting(self) -> int:
        """Readings in the journal, as of the last commit."""
        return self._owner.waiting

    def start(self) -> None:
        self._thread.start()

    def journal(self, job: Journal) -> None:
        self._queue.put(job)

    def remove(self, number: int) -> None:
        self._queue.put(number)

    def page(self, after: int, upto: int, limit: int, answer: Callable[[list[Batch] | None], None]) -> None:
        """None: it cannot be read just now."""
        self._queue.put(_Page(after, upto, limit, answer))

    def settle(self, shift_ms: int) -> None:
        """UTC is known."""
        self._queue.put(_Settle(shift_ms))

    def note_time(self, now_ms: int) -> None:
        self._queue.put(float(now_ms))

    def barrier(self, reached: Callable[[], None]) -> None:
        self._queue.put(_Barrier(reached))

    def stop(self) -> None:
        """Waits until everything asked before was tried once and the file is closed."""
        self._queue.put(None)
        self._thread.join()


class _Owner:
    def __init__(
        self, requests: queue.SimpleQueue[_Request], path: Path, max_bytes: int, boot_id: str, events: CardEvents
    ) -> None:
        self._requests = requests
        self._path = path
        self._max_bytes = max_bytes
        self._boot_id = boot_id
        self._events = events
        self.waiting = 0
        self._file: SpoolFile | None = None
        self._state = "ok"
        self._remove: list[int] = []
        self._remove_at_s = 0.0
        self._settle: list[_Settle] = []
        self._note_ms = 0
        self._is_full = False
        self._retry_s = 0.0
        self._pause_s = RETRY_S

    def run(self) -> None:
        try:
            self._try(self._open)
            while self._turn():
                pass
        except BaseException as error:
            log.exception("spool %s: unexpected error", self._path)
            self._events.card_died(error)
        finally:
            if self._file:
                try:
                    self._file.close()
                except sqlite3.Error as error:
                    log.warning("spool %s: closing: %s", self._path, error)

    def _turn(self) -> bool:
        """Waits for a request and serves it; False: it was the last."""
        try:
            request = self._requests.get(timeout=self._idle_s())
        except queue.Empty:
            request = _Barrier(lambda: None)
        if self._file is None and (time.monotonic() >= self._retry_s or request is None):
            self._try(self._open)
        if isinstance(request, Journal):
            self._journal(request)
        elif isinstance(request, _Page):
            self._answer(request)
        elif isinstance(request, _Settle):
            self._settle.append(request)
        elif isinstance(request, float):
            self._note_ms = int(request)
        elif isinstance(request, int):
            self._remove_at_s = self._remove_at_s if self._remove else time.monotonic() + REMOVE_TOGETHER_S
            self._remove.append(request)
        if self._file and (time.monotonic() >= self._retry_s or request is None):
            self._try(lambda: self._tidy(at_once=request is None))
        if isinstance(request, _Barrier):
            request.reached()
        return request is not None

    def _idle_s(self) -> float | None:
        if self._file is None or self._state != "ok":
            return max(self._retry_s - time.monotonic(), 0.01)
        return max(self._remove_at_s - time.monotonic(), 0.0) if self._remove else None

    def _try(self, action: Callable[[], None]) -> bool:
        """Runs `action`; what the disk or SQLite has against it becomes a state and is tried again later."""
        try:
            action()
        except (sqlite3.Error, OSError) as error:
            self._retry_s = time.monotonic() + self._pause_s
            self._pause_s = min(self._pause_s * 2, LONGEST_RETRY_S)
            state = state_of(error)
            if state == "disk-error" and not os.access(self._path.parent, os.W_OK):
                state = "read-only"
            self._say(state, error)
            if is_damage(error):
                self._replace()
            return False
        if self._file:
            self._pause_s = RETRY_S
            self.waiting = self._file.readings
        return True

    def _say(self, state: str, error: Exception | None = None) -> None:
        if state == self._state:
            return
        self._state = state
        if error:
            log.error("spool %s: %s: %s; readings wait in the hot file", self._path, state, error)
        else:
            log.info("spool %s: writing again", self._path)
        self._events.card_state(state)

    def _open(self) -> None:
        file = self._file = SpoolFile(self._path)
        self._events.card_opened(file.spool_id, file.last_number, file.hot, file.noted_ms)
        self.waiting = file.readings

    def _replace(self) -> None:
        """Moves a damaged file aside, starts a new one, and takes over what can still be read."""
        if self._file:
            self._file.abandon()
            self._file = None
        try:
            aside = move_aside(self._path, str(time.time_ns() // 1_000_000))
            file = SpoolFile(self._path)
            saved = salvage(aside, file)
        except (sqlite3.Error, OSError) as failure:
            log.error("spool %s is damaged and cannot be replaced: %s", self._path, failure)
            return
        log.error(
            "spool %s was damaged; it is kept as %s; %d readings of it go on in a new one",
            self._path, aside.name, saved,
        )  # fmt: skip
        self._remove.clear()  # they were of the other file
        file.abandon()
        self._retry_s = 0.0
        self._try(self._open)

    def _journal(self, job: Journal) -> None:
        began_s = time.monotonic()
        numbers: list[int] | None = None

        def commit() -> None:
            nonlocal numbers
            if file := self._file:
                numbers = file.journal(job.batches, job.hot, held=self._boot_id)
                if job.dropped:
                    file.count_dropped(job.dropped)
                    self._events.made_room(Gap(job.dropped, 0, 0), file.dropped)

        self._try(commit)
        self._events.journaled(job, numbers, time.monotonic() - began_s)
        if numbers is not None:
            self._say("ok")

    def _tidy(self, *, at_once: bool) -> None:
        """Removes what was acknowledged, settles the time, makes full packs, and makes room."""
        file = self._file
        if file is None:
            return
        if self._state != "ok":
            file.note_time(file.noted_ms)  # whether it can be written again
            self._say("ok")
        if self._remove and (at_once or time.monotonic() >= self._remove_at_s):
            file.remove(self._remove)
            self._remove.clear()
        while self._settle:
            self._settle_time(file, self._settle[0])
            self._settle.pop(0)
        if self._note_ms and abs(self._note_ms - file.noted_ms) >= NOTE_TIME_MS:
            file.note_time(self._note_ms)
        self._note_ms = 0
        if file.merge():
            self._events.grown(file.last_number)
        if self._is_full and file.size < self._max_bytes * 0.9:
            log.info("spool %s has room again", self._path)
            self._is_full = False
        for gap in file.make_room(self._max_bytes):
            if not self._is_full:
                log.warning("spool %s is full: %s, and so on", self._path, spell_gap(gap))
            self._is_full = True
            self._events.made_room(gap, file.dropped)
            self._events.grown(file.last_number)

    def _settle_time(self, file: SpoolFile, settle: _Settle) -> None:
        file.settle(self._boot_id, settle.shift_ms)
        if boots := file.release(self._boot_id):
            self._events.found_unset(boots)
        self._events.grown(file.last_number)

    def _answer(self, page: _Page) -> None:
        found: list[Batch] | None = None

        def read() -> None:
            nonlocal found
            if self._file:
                found = self._file.after(page.after, page.limit, page.upto)

        self._try(read)
        page.answer(found)


def spell_gap(gap: Gap) -> str:
    """For the log and for the reading that says so."""
    what = "thinned to minute means" if gap.is_thinned else "dropped"
    if not gap.upto_ms:
        return f"{gap.readings} readings {what}"
    return f"{_stamp(gap.from_ms)}/{_stamp(gap.upto_ms)} {gap.readings} readings {what}"


def _stamp(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


__all__: Sequence[str] = ["Card", "CardEvents", "Journal", "spell_gap"]
