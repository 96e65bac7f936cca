"""When what waits in the hot file is taken to the card. Without clock and disk: `now_s` is the monotonic clock's.

A batch is on its way there so early that it has arrived within the interval even when the card is as slow as it was
last; a word that something is urgent makes it now. One job is under way at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.card import Journal
from gateway.hot import HotState

YOUNG_MS = 1000
"""A batch younger than this is not taken to the card with older ones: its answer is probably on the way."""
RETRY_S = 1.0


@dataclass(slots=True)
class Force:
    """`lost`: readings that were dropped before they came to the card, which it has to be told."""

    every_s: float
    is_urgent: bool = False
    lost: int = 0
    job: Journal | None = None
    _was_urgent: bool = False
    _took_s: float = 0.0
    _retry_s: float = 0.0

    def idle_s(self, hot: HotState, now_s: float) -> float | None:
        """How long nothing has to be done; None for ever."""
        if not hot.added_ms or self.job:
            return None
        retry_s = max(self._retry_s - now_s, 0.0)
        return retry_s if self.is_urgent else max(self._due_s(hot) - now_s, retry_s)

    def next_job(self, hot: HotState, now_s: float) -> Journal | None:
        """What is to be taken to the card now."""
        if self.job or not hot.batches or now_s < self._retry_s:
            return None
        if not self.is_urgent and now_s < self._due_s(hot):
            return None
        young_ms = 0 if self.is_urgent else min(YOUNG_MS, self.every_s * 100)
        return self._begin(hot, before_ms=now_s * 1000 - young_ms)

    def everything(self, hot: HotState) -> Journal:
        """All that waits, whatever its age."""
        return self._begin(hot, before_ms=None)

    def _begin(self, hot: HotState, before_ms: float | None) -> Journal:
        self._was_urgent, self.is_urgent = self.is_urgent, False
        batches = tuple(b for n, b in hot.batches.items() if before_ms is None or hot.added_ms[n] <= before_ms)
        self.job = Journal(batches, (hot.spool_id, batches[-1].id.number), self.lost)
        return self.job

    def succeeded(self, took_s: float) -> None:
        """The card has it."""
        assert self.job is not None
        self._took_s = max(took_s, self._took_s * 0.9)
        self.lost -= self.job.dropped
        self.job = None

    def failed(self, now_s: float) -> None:
        """It has to be brought again."""
        self.job = None
        self._retry_s = now_s + RETRY_S
        self.is_urgent |= self._was_urgent

    def _due_s(self, hot: HotState) -> float:
        oldest_ms = next(iter(hot.added_ms.values()))
        spare_s = max(1.0, 2 * self._took_s + 0.5)
        return oldest_ms / 1000 + self.every_s - min(spare_s, self.every_s / 2)
