"""Which batch goes next. A state machine without clock, socket or disk.

While connected, at most `size` batches are unacknowledged at a time. Live batches (committed while connected) go
first; the backlog goes oldest first, takes at most half of the window, and no more than `backlog_per_s` of it a
second, so that a gateway that was offline for a month does not hold up what happens now. A batch that is not
acknowledged after `resend_s` is sent again. A disconnect forgets what was under way: all of it is backlog then.

The backlog is not held in memory. It is the range of numbers from `cursor` to `horizon` in the file, read page by
page: `wanted` says which page is next, `page` takes it. When acknowledgements stall and live batches pile up, the
horizon moves up over them and they become backlog.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.spool_file import Batch


@dataclass(frozen=True, slots=True)
class WindowRules:
    """`backlog_size` is a part of `size`."""

    size: int = 16
    backlog_size: int = 8
    resend_s: float = 10.0
    backlog_per_s: float = 50.0
    live_most: int = 64
    page_size: int = 16


@dataclass(frozen=True, slots=True)
class Sending:
    """A batch to publish now. `is_live` is false for backlog and for what is sent again."""

    batch: Batch
    is_live: bool


@dataclass(slots=True)
class _UnderWay:
    batch: Batch
    sent_s: float
    is_live: bool


@dataclass(slots=True)
class Window:
    """Times are seconds of one clock, given by the caller."""

    rules: WindowRules = field(default_factory=WindowRules)
    connected: bool = False
    _last: int = 0
    _cursor: int = 0
    _horizon: int = 0
    _live: deque[Batch] = field(default_factory=deque)
    _page: deque[Batch] = field(default_factory=deque)
    _under_way: dict[int, _UnderWay] = field(default_factory=dict)
    _backlog_due_s: float = 0.0

    def opened(self, last_number: int) -> None:
        """The file is open, or another one is; all that is in it is backlog."""
        self._last = last_number
        self._forget()

    def connect(self) -> None:
        self.connected = True
        self._forget()

    def disconnect(self) -> None:
        self.connected = False
        self._forget()

    def _forget(self) -> None:
        self._under_way.clear()
        self._live.clear()
        self._page.clear()
        self._cursor, self._horizon = 0, self._last

    def committed(self, batches: Sequence[Batch]) -> None:
        """New batches are in the file."""
        self._last = max(self._last, batches[-1].id.number)
        if not self.connected:
            self._horizon = self._last
            return
        self._live.extend(batches)
        if len(self._live) > self.rules.live_most:
            self._live.clear()
            self._horizon = self._last

    def acknowledged(self, number: int) -> bool:
        """Whether the batch was under way."""
        if self._page and any(b.id.number == number for b in self._page):
            self._page = deque(b for b in self._page if b.id.number != number)
        return self._under_way.pop(number, None) is not None

    @property
    def is_idle(self) -> bool:
        """Nothing is under way and nothing live waits."""
        return not self._under_way and not self._live

    def wanted(self) -> tuple[int, int, int] | None:
        """(after, up to, how many) of the next page of backlog, when there may be more."""
        if self.connected and not self._page and self._cursor < self._horizon:
            return self._cursor, self._horizon, self.rules.page_size
        return None

    def page(self, batches: Sequence[Batch], asked: tuple[int, int, int]) -> None:
        """The page for what `wanted` said; an answer to a question of before a disconnect is passed over."""
        after, upto, limit = asked
        if after != self._cursor or self._page or not self.connected:
            return
        self._page.extend(b for b in batches if b.id.number not in self._under_way)
        self._cursor = batches[-1].id.number if len(batches) == limit else max(upto, self._cursor)

    def next(self, now_s: float, chance: float) -> Sending | None:
        """The batch to publish now, taken as sent; None when none may go. `chance` in 0..1 draws jitter."""
        if not self.connected:
            return None
        has_room = len(self._under_way) < self.rules.size
        if self._live and has_room:
            batch = self._live.popleft()
            return self._send(batch, now_s, is_live=True)
        for number, sent in self._under_way.items():
            if now_s - sent.sent_s < self.rules.resend_s:
                break  # in the order of sending, so that none after it is due
            del self._under_way[number]
            return self._send(sent.batch, now_s, is_live=sent.is_live, again=True)
        if (
            self._page
            and has_room
            and now_s >= self._backlog_due_s
            and self._backlog_under_way() < self.rules.backlog_size
        ):
            batch = self._page.popleft()
            self._backlog_due_s = now_s + (0.75 + chance / 2) / self.rules.backlog_per_s
            return self._send(batch, now_s, is_live=False)
        return None

    def _send(self, batch: Batch, now_s: float, *, is_live: bool, again: bool = False) -> Sending:
        self._under_way[batch.id.number] = _UnderWay(batch, now_s, is_live)
        return Sending(batch, is_live and not again)

    def _backlog_under_way(self) -> int:
        return sum(not sent.is_live for sent in self._under_way.values())

    def wake_s(self, now_s: float) -> float | None:
        """In how many seconds `next` may have something without anything else happening; None: never."""
        if not self.connected:
            return None
        waits = []
        if self._under_way:
            waits.append(next(iter(self._under_way.values())).sent_s + self.rules.resend_s - now_s)
        if (
            self._page
            and len(self._under_way) < self.rules.size
            and self._backlog_under_way() < self.rules.backlog_size
        ):
            waits.append(self._backlog_due_s - now_s)
        return max(min(waits), 0.0) if waits else None
