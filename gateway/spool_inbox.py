"""What the spool's thread is asked, and how it takes it: much at once, woken seldom. Any thread puts, one takes.

Waking a thread costs more than what it then does with one poll: two switches and a fight for the interpreter. So a
request wakes the thread only when it sleeps for want of any. While it gathers (it committed less than `WINDOW_S` ago)
readings and answers are laid down beside it in silence; only what cannot wait a window rings.
"""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gateway.card import Journal
from gateway.hot import ClockNote
from makiba.reading import Reading

WINDOW_S = 0.012


@dataclass(frozen=True, slots=True)
class Append:
    """Readings that were measured together."""

    readings: Sequence[Reading]
    is_urgent: bool = False


@dataclass(frozen=True, slots=True)
class Gone:
    """A batch of the hot file that was acknowledged."""

    number: int


@dataclass(frozen=True, slots=True)
class Settle:
    """UTC is known: what was held is so much later."""

    shift_ms: int


@dataclass(frozen=True, slots=True)
class Journaled:
    """The card's word on a job: the new numbers, or None when it took nothing."""

    job: Journal
    numbers: list[int] | None
    took_s: float


@dataclass(frozen=True, slots=True)
class CardOpened:
    """The card's word that its file is open; `hot` says up to where of which hot file it has all."""

    spool_id: str
    last_number: int
    hot: tuple[str, int]


@dataclass(frozen=True, slots=True)
class CardState:
    """The card's word on how it is."""

    state: str


@dataclass(frozen=True, slots=True)
class Barrier:
    """Tells when all before it was done."""

    reached: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Stop:
    """The last request."""


Word = Journaled | CardOpened | ClockNote
Request = Append | Gone | Settle | Word | CardState | Barrier | Stop


@dataclass(slots=True)
class Work:
    """What one turn of the thread does; `settle` ends the turn, since what follows it is on another clock."""

    readings: list[Reading] = field(default_factory=list)
    is_urgent: bool = False
    gone: list[int] = field(default_factory=list)
    words: list[Word] = field(default_factory=list)
    barriers: list[Barrier] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    settle: Settle | None = None
    stop: bool = False

    @property
    def may_wait(self) -> bool:
        """Whether company is worth waiting for, and nobody is waiting for this turn."""
        if self.stop or self.barriers or self.settle or self.is_urgent:
            return False
        return bool(self.readings or self.gone)

    def take(self, request: Request) -> None:
        match request:
            case Append():
                self.readings.extend(request.readings)
                self.is_urgent |= request.is_urgent
            case Gone():
                self.gone.append(request.number)
            case CardState():
                self.states.append(request.state)
            case Settle():
                self.settle = request
            case Barrier():
                self.barriers.append(request)
            case Stop():
                self.stop = True
            case _:
                self.words.append(request)


class Inbox:
    """The requests of one thread."""

    def __init__(self) -> None:
        self._requests: deque[Request] = deque()
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._asleep = self._gathering = False

    def __len__(self) -> int:
        return len(self._requests)

    def put(self, request: Request) -> None:
        """From any thread; never blocks."""
        self._requests.append(request)
        # `sleep` says that it sleeps and then looks once more; so either it sees the request, or it is seen asleep.
        if self._asleep or (self._gathering and not _may_wait(request)):
            self._bell.put(None)

    def next_work(self, idle_s: float | None, window_ends_s: float) -> Work:
        """Waits at most `idle_s` for a request, then takes all there are; readings wait until the window ends."""
        self._sleep(idle_s)
        work = Work()
        self._drain(work)
        while work.may_wait and (left_s := window_ends_s - time.monotonic()) > 0:
            self._gathering = True
            self._listen(left_s)
            self._gathering = False
            self._drain(work)
        return work

    def _sleep(self, idle_s: float | None) -> None:
        self._asleep = True
        if not self._requests:
            self._listen(idle_s)
        self._asleep = False

    def _listen(self, timeout_s: float | None) -> None:
        try:
            self._bell.get(timeout=timeout_s)
        except queue.Empty:
            return
        while not self._bell.empty():  # rung by several before it woke
            self._bell.get()

    def _drain(self, work: Work) -> None:
        while self._requests and not work.settle:
            work.take(self._requests.popleft())


def _may_wait(request: Request) -> bool:
    return isinstance(request, Gone) or (isinstance(request, Append) and not request.is_urgent)
