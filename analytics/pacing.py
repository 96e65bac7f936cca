"""Whose turn it is, when something has to be done for each farm from time to time and there may be thousands.

Each is done at once when it is new, then at most once in `every_s`; all together take at most `share` of the time,
so that with many farms each has its turn more rarely and judging is not held up.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final

BURST_S: Final = 0.02
"""So much is done at a stretch at most."""
HURRY_S: Final = 0.1
"""The same of what is new or in a hurry, which has no share to keep."""
_NOW: Final = -1.0


class Paced:
    """The turns of one kind of work. `clock`: monotonic seconds. `every_s` may be changed at any time."""

    def __init__(self, every_s: float, share: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.every_s, self._share, self._clock = every_s, share, clock
        self._turns: deque[tuple[float, str]] = deque()  # when it had its last turn, the longest ago first
        self._last_s: dict[str, float] = {}
        self._allowed_s = BURST_S
        self._then_s = clock()

    def keep(self, keys: Iterable[str]) -> None:
        """These are all that there are; those that are new come first."""
        wanted = set(keys)
        for key in self._last_s.keys() - wanted:
            del self._last_s[key]
        for key in sorted(wanted - self._last_s.keys(), reverse=True):
            self.hurry(key)

    def hurry(self, key: str) -> None:
        """It is `key`'s turn now."""
        self._last_s[key] = _NOW
        self._turns.appendleft((_NOW, key))

    def turns(self) -> Iterator[str]:
        """Those whose turn it is; what is done between two of them counts as the time it took."""
        begun = self._clock()
        self._allowed_s = min(BURST_S, self._allowed_s + self._share * (begun - self._then_s))
        self._then_s = begun
        while self._turns:
            last, key = self._turns[0]
            if self._last_s.get(key) != last:
                self._turns.popleft()  # gone, or it had another turn
                continue
            now = self._clock()
            is_hurried = last == _NOW
            if now - begun > HURRY_S or not (is_hurried or (now - last >= self.every_s and self._allowed_s > 0)):
                return
            self._turns.popleft()
            self._last_s[key] = now
            self._turns.append((now, key))
            yield key
            if not is_hurried:
                self._allowed_s -= self._clock() - now
