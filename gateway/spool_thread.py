"""The spool's thread: owns the hot file, and has the card's thread take over what waits too long.

A turn: what was asked (`spool_inbox.py`) is committed to the hot file and told to the event loop, what the card said
is taken, and what is due goes to the card (`spool_force.py`). While the card is full or gone everything waits in the
hot file, up to `HOT_MOST`; then the oldest goes, and how many is said. Trouble is reported once and so is its end.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.card import Card, CardEvents, Journal, spell_gap
from gateway.hot import HotFile
from gateway.packs import Batch, plain_packs, readings_in, shifted
from gateway.spool_file import Gap
from gateway.spool_force import Force
from gateway.spool_inbox import (
    WINDOW_S,
    Append,
    CardOpened,
    CardState,
    Inbox,
    Journaled,
    Settle,
    Word,
    Work,
)
from makiba.reading import Reading, Series
from makiba.senml import encode_json

log = logging.getLogger("makiba.gateway.spool")

HOT_MOST = 16_000_000
"""Bytes that may wait in memory while the card takes nothing: some 250 000 readings."""
STOP_S = 30.0


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
class Names:
    """Who keeps this spool, where, in which boot."""

    path: Path
    site: str
    gateway: str
    boot_id: str


class SpoolThread(CardEvents):
    """`run` is the thread. `CardEvents` come on the card's, and are queued or handed over.

    `hand_over` has a call made on the event loop. What else is public may be read from there, as of the last commit.
    """

    def __init__(self, names: Names, inbox: Inbox, force_every_s: float, now_ms: Callable[[], int]) -> None:
        self._names = names
        self._inbox = inbox
        self._now_ms = now_ms
        self._force = Force(force_every_s)
        self.hand_over: Callable[[Callable[[], None]], None] = lambda call: call()
        self.events = SpoolEvents()
        self.hot: HotFile | None = None
        self.card: Card
        self.card_id = ""
        self.card_seen = threading.Event()
        self.noted_ms = 0
        self.waiting = 0
        self.is_held = False
        self._last_commit_s = 0.0
        self._card_state = self._said = "ok"
        self._gap_ms = 0
        self._shift_ms = 0

    def run(self) -> None:
        assert self.hot is not None
        try:
            self._run(self.hot)
        except BaseException as error:
            log.exception("spool %s: unexpected error", self._names.path)
            self.card_died(error)

    def _run(self, hot: HotFile) -> None:
        batches = tuple(hot.batches.values())
        self.waiting = hot.readings
        self.hand_over(lambda: self.events.opened(hot.spool_id, batches))
        while True:
            idle_s = self._force.idle_s(hot, time.monotonic())
            work = self._inbox.next_work(idle_s, self._last_commit_s + WINDOW_S)
            self._commit(hot, work)
            for word in work.words:
                self._take_word(hot, word)
            if work.settle:
                self._settle(hot, work.settle)
            self._limit(hot)
            self.waiting = hot.readings
            self._force.is_urgent |= work.is_urgent or hot.trouble is not None
            if job := self._force.next_job(hot, time.monotonic()):
                self.card.journal(job)
            self._say(work.states)
            for barrier in work.barriers:
                barrier.reached()
            if work.stop:
                self._stop(hot)
                return

    # ------------------------------------------------------------------------------------------ the hot file

    def _commit(self, hot: HotFile, work: Work) -> None:
        if work.gone:
            hot.remove(work.gone)
        if work.readings:
            newest_ms = max(r.time_ms for r in work.readings)
            batches = hot.add(plain_packs(work.readings), _boot_ms(), newest_ms, held=self.is_held)
            self._last_commit_s = time.monotonic()
            self.hand_over(lambda: self.events.committed(batches))

    def _settle(self, hot: HotFile, settle: Settle) -> None:
        """UTC is known. What is under way to the card on the old clock is settled there, after it has arrived."""
        self.is_held, self._shift_ms = False, settle.shift_ms
        job = self._force.job
        self._settle_hot(hot, after=job.hot[1] if job else 0)
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
            self._force.lost += batch.readings
        hot.remove(gone)
        upto = gone[-1]
        log.warning(
            "spool %s: the card takes nothing; the oldest %d batches were dropped", self._names.path, len(gone)
        )
        self.hand_over(lambda: self.events.journaled(upto, 0))

    # ------------------------------------------------------------------------------------------ the card's words

    def _take_word(self, hot: HotFile, word: Word) -> None:
        if isinstance(word, Journaled):
            self._take_journaled(hot, word)
        elif isinstance(word, CardOpened):
            upto = 0
            if word.hot[0] == hot.spool_id:
                # Killed between the two files: what the journal has need not come again.
                upto = word.hot[1]
                hot.remove_upto(upto)
            self.hand_over(lambda: self.events.card_opened(word.spool_id, word.last_number))
            if upto:
                self.hand_over(lambda: self.events.journaled(upto, word.last_number))
        else:
            hot.note_clock(word)

    def _take_journaled(self, hot: HotFile, done: Journaled) -> None:
        if done.numbers is None:
            self._force.failed(time.monotonic())
            if not self.is_held:
                self._settle_hot(hot, after=0)
            return
        self._force.succeeded(done.took_s)
        if not any(b.id.number in hot.batches for b in done.job.batches):
            for number in done.numbers:  # all of it was acknowledged meanwhile
                self.card.remove(number)
        upto, last = done.job.hot[1], max(done.numbers, default=0)
        hot.remove_upto(upto)
        self.hand_over(lambda: self.events.journaled(upto, last))

    def _stop(self, hot: HotFile) -> None:
        """What is left goes to the card, so that nothing is lost when the machine is switched off now."""
        deadline_s = time.monotonic() + STOP_S
        tries = 2
        while (hot.batches or self._force.job) and tries and time.monotonic() < deadline_s:
            if self._force.job is None:
                self.card.journal(self._force.everything(hot))
                tries -= 1
            work = self._inbox.next_work(max(deadline_s - time.monotonic(), 0.0), 0.0)
            self._commit(hot, work)
            for word in work.words:
                self._take_word(hot, word)
            self.waiting = hot.readings
        self.card.stop()
        hot.close()

    def _say(self, states: Sequence[str]) -> None:
        """Hands on what the card said, and whether the hot file's memory is full, which is worse."""
        hot_trouble = self.hot.trouble if self.hot else None
        for state in states or [self._card_state]:
            self._card_state = state
            said = "memory-full" if hot_trouble and state == "ok" else state
            if said != self._said:
                self._said = said
                if self.hot and said == "memory-full":
                    log.error("spool %s: hot file %s: %s", self._names.path, self.hot.path, hot_trouble)
                self._tell_trouble(said)

    def _tell_trouble(self, state: str) -> None:
        self.hand_over(lambda: self.events.trouble(state))

    # ------------------------------------------------------------------------------------------ on the card's thread

    def card_opened(self, spool_id: str, last_number: int, hot: tuple[str, int], noted_ms: int) -> None:
        self.card_id, self.noted_ms = spool_id, noted_ms
        self._inbox.put(CardOpened(spool_id, last_number, hot))
        self.card_seen.set()

    def journaled(self, job: Journal, numbers: list[int] | None, took_s: float) -> None:
        self._inbox.put(Journaled(job, numbers, took_s))

    def grown(self, last_number: int) -> None:
        self.hand_over(lambda: self.events.journaled(0, last_number))

    def card_state(self, state: str) -> None:
        if state != "ok":
            self.card_seen.set()
        self._inbox.put(CardState(state))

    def made_room(self, gap: Gap, dropped: int) -> None:
        self._gap_ms = max(self._now_ms(), self._gap_ms + 1)  # two gaps are two readings
        site, gateway = self._names.site, self._names.gateway
        said = [Reading(Series(site, gateway, "spool_gap"), self._gap_ms, spell_gap(gap))]
        if not gap.is_thinned:
            said.append(Reading(Series(site, gateway, "spool_dropped"), self._gap_ms, float(dropped)))
        self._inbox.put(Append(said))

    def found_unset(self, boots: list[tuple[str, int, int]]) -> None:
        self.hand_over(lambda: self.events.found_unset(boots))

    def card_died(self, error: BaseException) -> None:
        self.hand_over(lambda: self.events.died(error))


def _boot_ms() -> int:
    """Milliseconds on the clock that outlives a process and that nobody sets."""
    return time.monotonic_ns() // 1_000_000
