"""How long to wait for one device, learned from its own replies. Pure.

A timeout is what a silent device costs everybody else on the bus. A device that has answered `ENOUGH` times is waited
for twice as long as 99 of 100 of its last replies took, never longer than its profile says. A device that keeps
silent is waited for as long as its profile says every third time, so that one that has become slower is found
again; one that was never heard is waited for like its neighbours the other times.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from math import ceil

ENOUGH = 6
REMEMBERED = 200
EVERY = 6
"""Replies between two looks at the figures."""


class Patience:
    """Of one device. `least_s` is what the way there may take by itself: drivers, adapters, a busy machine."""

    def __init__(self, longest_s: float, least_s: float) -> None:
        self._longest_s = longest_s
        self._least_s = min(least_s, longest_s)
        self._took_s: deque[float] = deque(maxlen=REMEMBERED)
        self._learned_s: float | None = None
        self._until_look = ENOUGH
        self._missed = 0

    @property
    def learned_s(self) -> float | None:
        """What its replies have taught; None before there were enough."""
        return self._learned_s

    def timeout_s(self, neighbours: Iterable[Patience] = ()) -> float:
        """For the next request. `neighbours` are the others on the line."""
        if self._missed % 3 == 1:
            return self._longest_s
        if self._learned_s is None and self._missed:
            known = [other.learned_s for other in neighbours if other.learned_s is not None]
            return min(max(known), self._longest_s) if known else self._longest_s
        return self._learned_s or self._longest_s

    def heard(self, took_s: float) -> None:
        """A reply began after `took_s`."""
        self._missed = 0
        self._took_s.append(took_s)
        self._until_look -= 1
        if self._until_look <= 0:
            self._until_look = EVERY
            ranked = sorted(self._took_s)
            p99_s = ranked[ceil(0.99 * len(ranked)) - 1]
            self._learned_s = min(max(2 * p99_s, self._least_s), self._longest_s)

    def missed(self) -> None:
        """No reply came."""
        self._missed += 1
