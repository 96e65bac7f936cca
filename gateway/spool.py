"""The spool: readings are in a file before anybody publishes them, and leave it when they are acknowledged.

Two files, two threads, and the event loop waits for neither. What is queued at once becomes one batch in the hot file
(`hot.py`); after a commit the next waits until `WINDOW_S` has passed, so that a quiet gateway commits at once and a
busy one a few dozen times a second. What is not acknowledged within the interval goes to the journal on the card
(`card.py`), where it survives a power cut; readings that are `urgent` go there at once. See DESIGN.md for the
guarantee and its limits.

While the card is full or gone, everything waits in the hot file, up to `HOT_MOST`; then the oldest goes, and how many
is said. The trouble is reported once and so is its end.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from gateway.card import Card, CardEvents, Journal, spell_gap
from gateway.hot import ClockNote, HotFile, Lock, SpoolInUse, hot_path
from gateway.packs import Batch, plain_packs, readings_in, shifted
from gateway.spool_file import Gap
from makiba.reading import Reading, Series
from makiba.senml import encode_json
from makiba.wire import BatchId

log = logging.getLogger("makiba.gateway.spool")

WINDOW_S = 0.012
HOT_MOST = 16_000_000
"""Bytes that may wait in memory while the card takes nothing: some 250 000 readings."""
YOUNG_MS = 1000
"""A batch younger than this is not taken to the card with older ones: its answer is probably on the way."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What the spool knew when it was opened. `newest_ms`: of this boot's readings; `noted_ms`: the card's note."""

    spool_id: str
    clock: ClockNote
    newest_ms: int
    noted_ms: int


class SpoolEvents:
    """What the spool tells the event loop. Each call arrives there, in the order in which it happened."""

    def opened(self, spool_id: str, batches: Sequence[Batch]) -> None:
        """The hot file is open; `batches` were in it."""

    def card_opened(self, spool_id: str, last_number: int) -> None:
        """The journal is open (again). Its batches of another id are gone."""

    def committed(self, batches: Sequence[Batch]) -> None:
        """These are in the hot file now and may be published, except for those that are held."""

    def journaled(self, upto: int, last_number: int) -> None:
        """Batches of the hot file up to `upto` are gone from it; the journal has some up to `last_number`."""

    def trouble(self, state: str) -> None:
        """`disk-full`, `read-only`, `disk-error`, `damaged`, `memory-full`; `ok` when it is over."""

    def found_unset(self, boots: list[tuple[str, int, int]]) -> None:
        """Boots that ended before they knew UTC: (boot, first, last) time that they gave to readings."""

    def died(self, error: BaseException) -> None:
        """A defect ended a thread; nothing is kept any more, so that the process must end too."""


@dataclass(frozen=True, slots=True)
class _Append:
    readings: Sequence[Reading]
    is_urgent: bool


@dataclass(frozen=True, slots=True)
class _Settle:
    shift_ms: int


@dataclass(frozen=True, slots=True)
class _Journaled:
    job: Journal
    numbers: list[int] | None
    took_s: float


@dataclass(frozen=True, slots=True)
class _CardOpened:
    spool_id: str
    last_number: int
    hot: tuple[str, int]
    noted_ms: int


@dataclass(frozen=True, slots=True)
class _Barrier:
    reached: Callable[[], None]


@dataclass(slots=True)
class _Work:
    """What one turn of the thread does; `settle` ends the turn, since what follows it is on another clock."""

    readings: list[Reading] = field(default_factory=list)
    is_urgent: bool = False
    remove: list[int] = field(default_factory=list)
    others: list[_Journaled | _CardOpened | ClockNote] = field(default_factory=list)
    barriers: list[_Barrier] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    settle: _Settle | None = None
    stop: bool = False


_Request = _Append | int | str | _Settle | _Journaled | _CardOpened | ClockNote | _Barrier | None


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
        self._queue: queue.SimpleQueue[_Request] = queue.SimpleQueue()
        self._owner = _Owner(self._queue, self._hot_path, path, force_every_s, (site, gateway), boot_id, now_ms)
        self._owner.is_held = is_held
        self._card = self._owner.card = Card(path, max_mb * 1_000_000, boot_id, self._owner)
        self._thread = threading.Thread(target=self._owner.run, name="spool", daemon=True)
        self._lock: Lock | None = None

    @property
    def waiting(self) -> int:
        """Readings not yet acknowledged, as of the last commit."""
        return self._owner.waiting + self._card.waiting

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
            self._owner.hot = HotFile(self._hot_path, self._owner.boot_id)
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
        self._queue.put(_Append(readings, urgent))

    def acknowledged(self, batch: BatchId) -> None:
        """The centre has this batch."""
        if batch.spool == self._owner.spool_id:
            self._queue.put(batch.number)
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
        self._queue.put(note)
        self._queue.put(_Settle(shift_ms))

    def note_clock(self, note: ClockNote) -> None:
        """What this boot knows of the time, for a process that is started again in it."""
        self._queue.put(note)

    def note_time(self, now_ms: int) -> None:
        """What the clock says, for a later boot that has none; goes to the card every ten minutes."""
        self._card.note_time(now_ms)

    async def flush(self) -> None:
        """Returns when everything appended before is in the hot file, and was tried on the card if it is due."""
        reached = asyncio.Event()
        self._queue.put(_Barrier(lambda: self._owner.hand_over(reached.set)))
        while not reached.is_set() and self._thread.is_alive():
            try:
                async with asyncio.timeout(0.5):
                    await reached.wait()
            except TimeoutError:
                continue  # a busy machine; or a thread that died, which the condition sees

    async def stop(self) -> None:
        """Takes what waits to the card if it can, closes both files, ends the threads."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        if self._lock:
            self._lock.release()


class _Owner(CardEvents):
    """The hot file's thread; `CardEvents` come on the card's, and are queued or handed over."""

    def __init__(
        self,
        requests: queue.SimpleQueue[_Request],
        hot_path: Path,
        path: Path,
        force_every_s: float,
        names: tuple[str, str],
        boot_id: str,
        now_ms: Callable[[], int],
    ) -> None:
        self._requests = requests
        self._hot_path = hot_path
        self._path = path
        self._force_every_s = force_every_s
        site, gateway = names
        self._dropped_series = Series(site, gateway, "spool_dropped")
        self._gap_series = Series(site, gateway, "spool_gap")
        self.boot_id = boot_id
        self._now_ms = now_ms
        self.hand_over: Callable[[Callable[[], None]], None] = lambda call: call()
        self.events = SpoolEvents()
        self.hot: HotFile | None = None
        self.card: Card
        self.card_id = ""
        self.card_seen = threading.Event()
        self.noted_ms = 0
        self.waiting = 0
        self.is_held = False
        self._job: Journal | None = None
        self._is_urgent = self._was_urgent = False
        self._lost = 0
        self._took_s = 0.0
        self._retry_s = 0.0
        self._last_commit_s = 0.0
        self._card_state = self._said = "ok"
        self._gap_ms = 0
        self._shift_ms = 0

    @property
    def spool_id(self) -> str:
        return self.hot.spool_id if self.hot else ""

    def run(self) -> None:
        try:
            self._run()
        except BaseException as error:
            log.exception("spool %s: unexpected error", self._path)
            self.card_died(error)

    def _run(self) -> None:
        hot = self.hot
        assert hot is not None
        batches = tuple(hot.batches.values())
        self._count()
        self.hand_over(lambda: self.events.opened(hot.spool_id, batches))
        while True:
            work = self._next_work()
            self._commit(hot, work)
            for other in work.others:
                self._take_word(hot, other)
            if work.settle:
                self._settle(hot, work.settle)
            self._limit(hot)
            self._is_urgent |= work.is_urgent or hot.trouble is not None
            self._journal_when_due(hot)
            self._say(work.states)
            for barrier in work.barriers:
                barrier.reached()
            if work.stop:
                self._stop(hot)
                return

    # ------------------------------------------------------------------------------------------ requests

    def _next_work(self) -> _Work:
        """Waits for a request, then takes all there are; readings wait out the window since the last commit."""
        work = _Work()
        self._take(work, block=True, timeout=self._idle_s())
        deadline = self._last_commit_s + WINDOW_S
        while (
            (work.readings or work.remove)
            and not (work.stop or work.barriers or work.settle or work.is_urgent)
            and (left := deadline - time.monotonic()) > 0
        ):
            if not self._take(work, block=True, timeout=left):
                break
        while not work.settle and self._take(work, block=False, timeout=None):
            pass
        return work

    def _idle_s(self) -> float | None:
        """How long nothing has to be done; None for ever."""
        hot = self.hot
        if hot is None or not hot.added_ms or self._job:
            return None
        now_s = time.monotonic()
        if self._is_urgent:
            return max(self._retry_s - now_s, 0.0)
        due_s = next(iter(hot.added_ms.values())) / 1000 + self._due_after_s()
        return max(due_s - _boot_ms() / 1000, self._retry_s - now_s, 0.0)

    def _due_after_s(self) -> float:
        """Age at which a batch goes to the card, so that it is there within the interval even on a slow card."""
        spare_s = max(1.0, 2 * self._took_s + 0.5)
        return self._force_every_s - min(spare_s, self._force_every_s / 2)

    def _take(self, work: _Work, *, block: bool, timeout: float | None) -> bool:
        try:
            request = self._requests.get(block=block, timeout=timeout)
        except queue.Empty:
            return False
        if request is None:
            work.stop = True
        elif isinstance(request, int):
            work.remove.append(request)
        elif isinstance(request, str):
            work.states.append(request)
        elif isinstance(request, _Append):
            work.readings.extend(request.readings)
            work.is_urgent |= request.is_urgent
        elif isinstance(request, _Settle):
            work.settle = request
        elif isinstance(request, _Barrier):
            work.barriers.append(request)
        else:
            work.others.append(request)
        return True

    # ------------------------------------------------------------------------------------------ the hot file

    def _commit(self, hot: HotFile, work: _Work) -> None:
        if work.remove:
            hot.remove(work.remove)
        if work.readings:
            newest_ms = max(r.time_ms for r in work.readings)
            batches = hot.add(plain_packs(work.readings), _boot_ms(), newest_ms, held=self.is_held)
            self._last_commit_s = time.monotonic()
            self.hand_over(lambda: self.events.committed(batches))
        self._count()

    def _count(self) -> None:
        self.waiting = sum(b.readings for b in self.hot.batches.values()) if self.hot else 0

    def _take_word(self, hot: HotFile, word: _Journaled | _CardOpened | ClockNote) -> None:
        if isinstance(word, ClockNote):
            hot.note_clock(word)
        elif isinstance(word, _CardOpened):
            upto = 0
            if word.hot[0] == hot.spool_id:
                # Killed between the two files: what the journal has need not come again.
                upto = word.hot[1]
                hot.remove_upto(upto)
            self.hand_over(lambda: self.events.card_opened(word.spool_id, word.last_number))
            if upto:
                self.hand_over(lambda: self.events.journaled(upto, word.last_number))
        else:
            self._journaled(hot, word)
        self._count()

    def _settle(self, hot: HotFile, settle: _Settle) -> None:
        """UTC is known. What is under way to the card on the old clock is settled there, after it has arrived."""
        self.is_held, self._shift_ms = False, settle.shift_ms
        self._settle_hot(hot, after=self._job.hot[1] if self._job else 0)
        self.card.settle(settle.shift_ms)

    def _settle_hot(self, hot: HotFile, after: int) -> None:
        released = []
        for number, batch in hot.batches.items():
            if batch.is_held and number > after:
                readings = readings_in(batch.pack, is_deflated=batch.is_deflated)
                pack = batch.pack if readings is None else encode_json(shifted(readings, self._shift_ms))
                released.append(replace(batch, pack=pack, is_held=False))
        if released:
            hot.replace(released, max(self._now_ms(), hot.last_ms + self._shift_ms))
            self.hand_over(lambda: self.events.committed(released))

    def _limit(self, hot: HotFile) -> None:
        """While the card takes nothing: the oldest go when there are too many."""
        if hot.size <= HOT_MOST:
            return
        gone = []
        size = hot.size
        for number, batch in hot.batches.items():
            if size <= HOT_MOST - HOT_MOST // 100:
                break
            gone.append(number)
            size -= len(batch.pack)
            self._lost += batch.readings
        hot.remove(gone)
        upto = gone[-1]
        log.warning("spool %s: the card takes nothing; the oldest %d batches were dropped", self._path, len(gone))
        self.hand_over(lambda: self.events.journaled(upto, 0))
        self._count()

    # ------------------------------------------------------------------------------------------ the card

    def _journal_when_due(self, hot: HotFile) -> None:
        if self._job or not hot.batches or time.monotonic() < self._retry_s:
            return
        now_ms = _boot_ms()
        oldest_ms = next(iter(hot.added_ms.values()))
        if not self._is_urgent and now_ms - oldest_ms < self._due_after_s() * 1000:
            return
        young_ms = 0 if self._is_urgent else min(YOUNG_MS, self._force_every_s * 100)
        self._journal([b for n, b in hot.batches.items() if now_ms - hot.added_ms[n] >= young_ms], hot)

    def _journal(self, batches: Sequence[Batch], hot: HotFile) -> None:
        self._was_urgent, self._is_urgent = self._is_urgent, False
        self._job = Journal(tuple(batches), (hot.spool_id, batches[-1].id.number), self._lost)
        self.card.journal(self._job)

    def _journaled(self, hot: HotFile, done: _Journaled) -> None:
        self._job = None
        if done.numbers is None:
            self._retry_s = time.monotonic() + 1.0
            self._is_urgent |= self._was_urgent
            if not self.is_held:
                self._settle_hot(hot, after=0)
            return
        self._took_s = max(done.took_s, self._took_s * 0.9)
        self._lost -= done.job.dropped
        if not any(b.id.number in hot.batches for b in done.job.batches):
            for number in done.numbers:  # all of it was acknowledged meanwhile
                self.card.remove(number)
        upto, last = done.job.hot[1], max(done.numbers, default=0)
        hot.remove_upto(upto)
        self.hand_over(lambda: self.events.journaled(upto, last))

    def _stop(self, hot: HotFile) -> None:
        """What is left goes to the card, so that nothing is lost when the machine is switched off now."""
        deadline = time.monotonic() + 30.0
        tries = 2
        while (hot.batches or self._job) and tries and time.monotonic() < deadline:
            if self._job is None:
                self._journal(list(hot.batches.values()), hot)
                tries -= 1
            work = _Work()
            if self._take(work, block=True, timeout=deadline - time.monotonic()):
                self._commit(hot, work)
                for other in work.others:
                    self._take_word(hot, other)
        self.card.stop()
        hot.close()

    # ------------------------------------------------------------------------------------------ the card's events

    def card_opened(self, spool_id: str, last_number: int, hot: tuple[str, int], noted_ms: int) -> None:
        self.card_id, self.noted_ms = spool_id, noted_ms
        self._requests.put(_CardOpened(spool_id, last_number, hot, noted_ms))
        self.card_seen.set()

    def journaled(self, job: Journal, numbers: list[int] | None, took_s: float) -> None:
        self._requests.put(_Journaled(job, numbers, took_s))

    def grown(self, last_number: int) -> None:
        self.hand_over(lambda: self.events.journaled(0, last_number))

    def card_state(self, state: str) -> None:
        if state != "ok":
            self.card_seen.set()
        self._requests.put(state)

    def made_room(self, gap: Gap, dropped: int) -> None:
        self._gap_ms = max(self._now_ms(), self._gap_ms + 1)  # two gaps are two readings
        said = [Reading(self._gap_series, self._gap_ms, spell_gap(gap))]
        if not gap.is_thinned:
            said.append(Reading(self._dropped_series, self._gap_ms, float(dropped)))
        self._requests.put(_Append(said, is_urgent=False))

    def found_unset(self, boots: list[tuple[str, int, int]]) -> None:
        self.hand_over(lambda: self.events.found_unset(boots))

    def card_died(self, error: BaseException) -> None:
        self.hand_over(lambda: self.events.died(error))

    def _say(self, states: Sequence[str]) -> None:
        """Hands on what the card said, and whether the hot file's memory is full, which is worse."""
        hot_trouble = self.hot.trouble if self.hot else None
        for state in states or [self._card_state]:
            self._card_state = state
            said = "memory-full" if hot_trouble and state == "ok" else state
            if said != self._said:
                self._said = said
                if said == "memory-full":
                    log.error("spool %s: hot file %s: %s", self._path, self._hot_path, hot_trouble)
                self._tell_trouble(said)

    def _tell_trouble(self, state: str) -> None:
        self.hand_over(lambda: self.events.trouble(state))


def _boot_ms() -> int:
    """Milliseconds on the clock that outlives a process and that nobody sets."""
    return time.monotonic_ns() // 1_000_000
