"""How long to wait for one device, learned from its own replies. Pure.

A timeout is what a silent device costs everybody else on the bus. A device that has answered `ENOUGH` times is waited
for twice as long as 99 of 100 of its last replies took, never longer than its profile says. Every second wait for a
device that keeps silent is the profile's, so that one that has become slower is found again.
"""

from __future__ import annotations

from collections import deque
from math import ceil

ENOUGH = 20
REMEMBERED = 200
EVERY = 10
"""Replies between two looks at the figures."""


class Patience:
    """Of one device. `least_s` is what the way there may take by itself: drivers, adapters, a busy machine."""

    def __init__(self, longest_s: float, least_s: float) -> None:
        self._longest_s = longest_s
        self._least_s = min(least_s, longest_s)
        self._took_s: deque[float] = deque(maxlen=REMEMBERED)
        self._learned_s = longest_s
        self._until_look = ENOUGH
        self._missed = 0

    @property
    def timeout_s(self) -> float:
        """For the next request."""
        return self._longest_s if self._missed % 2 else self._learned_s

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
