"""Which batch goes next. A state machine without clock, socket or disk.

While connected, at most `size` batches are unacknowledged at a time. Live batches (committed while connected) go
first. What is older is backlog: batches that waited in the hot file when the link came up, then the journal, oldest
first; it takes at most half of the window and no more than `backlog_per_s` of it a second, so that a gateway that was
offline for a month does not hold up what happens now. A batch that is not acknowledged after `resend_s` is sent
again, then after twice and four times as long, so that a centre that cannot keep up does not get everything twice. A
disconnect forgets what was under way: all of it is backlog then.

A centre that is busy answers late. Backlog begins with one batch on the way and one more for each prompt answer; a
late answer (after `prompt_s`) halves that, and with one on the way the pause before the next doubles. So five hundred
gateways that come back at one moment do not bury what all of them measure just now.

When the broker says that nobody listens (PUBACK 0x10: no collector yet), nothing goes for a second, then one batch as
a probe, and so on with doubling pauses up to `resend_s`, until one is acknowledged.

The journal's backlog is not held in memory. It is the range of numbers from `cursor` to `horizon` in its file, read
page by page: `wanted` says which page is next, `page` takes it. What moves from the hot file to the journal moves
here too, whether it was under way or not; it goes again under its new number.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.packs import Batch
from makiba.wire import BatchId

MOST_PATIENCE = 4


@dataclass(frozen=True, slots=True)
class WindowRules:
    """`backlog_size` is a part of `size`. `backlog_per_s` counts batches; old ones have 1000 readings."""

    size: int = 16
    backlog_size: int = 8
    resend_s: float = 10.0
    nobody_s: float = 0.75
    backlog_per_s: float = 50.0
    prompt_s: float = 1.0
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
    is_unheard: bool = False  # nobody listened: that says nothing about how busy the centre is
    patience: int = 1  # in `resend_s`


@dataclass(slots=True)
class Window:
    """Times are seconds of one clock, given by the caller."""

    rules: WindowRules = field(default_factory=WindowRules)
    connected: bool = False
    _hot_id: str = ""
    _card_id: str = ""
    _last: int = 0
    _cursor: int = 0
    _horizon: int = 0
    _hot: dict[int, Batch] = field(default_factory=dict)
    _live: deque[Batch] = field(default_factory=deque)
    _late: deque[Batch] = field(default_factory=deque)
    _page: deque[Batch] = field(default_factory=deque)
    _under_way: dict[BatchId, _UnderWay] = field(default_factory=dict)
    _backlog_due_s: float = 0.0
    _backlog_room: int = 1
    _backlog_pause_s: float = 0.0
    _quiet_until_s: float = 0.0
    _nobody_step_s: float = 0.0

    # ------------------------------------------------------------------------------------------ what happens

    def opened(self, spool_id: str, batches: Sequence[Batch]) -> None:
        """The hot file is open; `batches` waited in it."""
        self._hot_id = spool_id
        self._hot = {b.id.number: b for b in batches if not b.is_held}
        self._forget()

    def card_opened(self, spool_id: str, last_number: int) -> None:
        """The journal is open, or another one is; all that is in it is backlog."""
        for sent in [i for i in self._under_way if i.spool != self._hot_id]:
            del self._under_way[sent]
        self._page.clear()
        self._card_id = spool_id
        self._last = self._horizon = last_number
        self._cursor = 0

    def connect(self) -> None:
        self.connected = True
        self._quiet_until_s = self._nobody_step_s = 0.0
        self._forget()

    def disconnect(self) -> None:
        self.connected = False
        self._forget()

    def _forget(self) -> None:
        self._backlog_room, self._backlog_pause_s = 1, 0.0
        self._under_way.clear()
        self._live.clear()
        self._late = deque(self._hot.values())
        self._page.clear()
        self._cursor, self._horizon = 0, self._last

    def committed(self, batches: Sequence[Batch]) -> None:
        """New batches are in the hot file."""
        ready = [b for b in batches if not b.is_held]
        self._hot.update((b.id.number, b) for b in ready)
        if not self.connected:
            self._late.extend(ready)
            return
        self._live.extend(ready)
        if len(self._live) > self.rules.live_most:
            self._late.extend(self._live)
            self._live.clear()

    def journaled(self, upto: int, last_number: int) -> None:
        """Hot batches up to `upto` are in the journal, which has batches up to `last_number`."""
        for number in [n for n in self._hot if n <= upto]:
            del self._hot[number]
            self._under_way.pop(BatchId(self._hot_id, number), None)
        if upto:
            self._live = deque(b for b in self._live if b.id.number > upto)
            self._late = deque(b for b in self._late if b.id.number > upto)
        self._last = self._horizon = max(self._last, last_number)

    def acknowledged(self, batch: BatchId, now_s: float) -> bool:
        """Whether the batch was under way."""
        if batch.spool == self._hot_id:
            self._hot.pop(batch.number, None)
            if self._late and any(b.id == batch for b in self._late):
                self._late = deque(b for b in self._late if b.id != batch)
        elif self._page and any(b.id == batch for b in self._page):
            self._page = deque(b for b in self._page if b.id != batch)
        self._quiet_until_s = self._nobody_step_s = 0.0
        sent = self._under_way.pop(batch, None)
        if sent is not None:
            self._pace(sent, now_s)
        return sent is not None

    def _pace(self, sent: _UnderWay, now_s: float) -> None:
        """How much backlog may go from now on, after a batch of it was answered, or was not for too long."""
        if sent.is_live or sent.is_unheard:
            return
        took_s = now_s - sent.sent_s
        if took_s <= self.rules.prompt_s:
            self._backlog_room = min(self._backlog_room + 1, self.rules.backlog_size)
            self._backlog_pause_s = self._backlog_pause_s / 2 if self._backlog_pause_s > 0.1 else 0.0
        elif self._backlog_room > 1:
            self._backlog_room //= 2
        else:
            self._backlog_pause_s = min(max(took_s, 2 * self._backlog_pause_s), self.rules.resend_s)

    def nobody_listens(self, batch: BatchId, now_s: float, chance: float) -> None:
        """The broker had nobody to give this batch to."""
        sent = self._under_way.get(batch)
        if sent is None or sent.sent_s < self._quiet_until_s:
            return
        if now_s >= self._quiet_until_s:
            step_s = self._nobody_step_s * 2 or self.rules.nobody_s
            self._nobody_step_s = min(step_s, self.rules.resend_s)
            self._quiet_until_s = now_s + self._nobody_step_s * (0.75 + chance / 4)
        # All that is under way went the same way: each is due when the pause is over.
        for other in self._under_way.values():
            other.sent_s = min(other.sent_s, self._quiet_until_s - self.rules.resend_s)
            other.is_unheard, other.patience = True, 1

    @property
    def is_idle(self) -> bool:
        """Nothing is under way and nothing live waits."""
        return not self._under_way and not self._live

    # ------------------------------------------------------------------------------------------ the journal's pages

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
        if batches and batches[0].id.spool != self._card_id:
            return
        self._page.extend(b for b in batches if b.id not in self._under_way)
        self._cursor = batches[-1].id.number if len(batches) == limit else max(upto, self._cursor)

    # ------------------------------------------------------------------------------------------ what goes

    def next(self, now_s: float, chance: float) -> Sending | None:
        """The batch to publish now, taken as sent; None when none may go. `chance` in 0..1 draws jitter."""
        if not self.connected or now_s < self._quiet_until_s:
            return None
        if self._nobody_step_s:
            return self._probe(now_s)
        has_room = len(self._under_way) < self.rules.size
        if self._live and has_room:
            return self._send(self._live.popleft(), now_s, is_live=True)
        for batch_id, sent in self._under_way.items():
            if now_s < self._due_s(sent):
                continue
            del self._under_way[batch_id]
            self._pace(sent, now_s)
            patience = 1 if sent.is_unheard else min(2 * sent.patience, MOST_PATIENCE)
            return self._send(sent.batch, now_s, is_live=sent.is_live, again=True, patience=patience)
        if has_room and self._has_backlog(now_s):
            batch = (self._late or self._page).popleft()
            pause_s = max(1 / self.rules.backlog_per_s, self._backlog_pause_s)
            self._backlog_due_s = now_s + (0.75 + chance / 2) * pause_s
            return self._send(batch, now_s, is_live=False)
        return None

    def _probe(self, now_s: float) -> Sending | None:
        """One batch after a pause in which nobody listened: whatever is due, or the newest."""
        if any(now_s - s.sent_s < self.rules.resend_s for s in self._under_way.values()):
            return None  # the last probe
        for batch_id, sent in self._under_way.items():
            del self._under_way[batch_id]
            return self._send(sent.batch, now_s, is_live=sent.is_live, again=True)
        queue = self._live or self._late or self._page
        return self._send(queue.popleft(), now_s, is_live=queue is self._live) if queue else None

    def _has_backlog(self, now_s: float) -> bool:
        return (
            bool(self._late or self._page)
            and now_s >= self._backlog_due_s
            and self._backlog_under_way() < self._backlog_room
        )

    def _due_s(self, sent: _UnderWay) -> float:
        """When it goes again."""
        return sent.sent_s + self.rules.resend_s * sent.patience

    def _send(self, batch: Batch, now_s: float, *, is_live: bool, again: bool = False, patience: int = 1) -> Sending:
        self._under_way[batch.id] = _UnderWay(batch, now_s, is_live, patience=patience)
        return Sending(batch, is_live and not again)

    def _backlog_under_way(self) -> int:
        return sum(not sent.is_live for sent in self._under_way.values())

    def wake_s(self, now_s: float) -> float | None:
        """In how many seconds `next` may have something without anything else happening; None: never."""
        if not self.connected:
            return None
        waits = []
        if self._under_way:
            waits.append(min(map(self._due_s, self._under_way.values())) - now_s)
        if self._nobody_step_s and (self._live or self._late or self._page) and not self._under_way:
            waits.append(self._quiet_until_s - now_s)
        if (
            (self._late or self._page)
            and len(self._under_way) < self.rules.size
            and self._backlog_under_way() < self._backlog_room
        ):
            waits.append(self._backlog_due_s - now_s)
        return max(min(waits), self._quiet_until_s - now_s, 0.0) if waits else None
