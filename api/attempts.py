"""How often somebody may try to sign in.

A key (login and address, or an address alone) may fail `FREE_FAILURES` times; after that it waits, longer after
each failure. This slows guessing; it does not replace long passwords and 128-bit codes. Kept in memory: a
restart forgets it, and several API processes count each for itself.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

FREE_FAILURES: Final = 5
FIRST_WAIT_MS: Final = 2_000
LONGEST_WAIT_MS: Final = 300_000
FORGET_AFTER_MS: Final = 900_000
MAX_KEYS: Final = 20_000


@dataclass(frozen=True, slots=True)
class Failures:
    """How often a key failed in a row, and when last."""

    count: int
    last_ms: int


def wait_ms(failures: Failures | None, now_ms: int) -> int:
    """How long the next attempt has to wait from `now_ms` on; 0: it may be made now."""
    if failures is None or failures.count < FREE_FAILURES or now_ms - failures.last_ms >= FORGET_AFTER_MS:
        return 0
    penalty = min(LONGEST_WAIT_MS, FIRST_WAIT_MS << min(failures.count - FREE_FAILURES, 16))
    return max(0, failures.last_ms + penalty - now_ms)


def failed(failures: Failures | None, now_ms: int) -> Failures:
    """The key's failures after one more."""
    if failures is None or now_ms - failures.last_ms >= FORGET_AFTER_MS:
        return Failures(1, now_ms)
    return Failures(failures.count + 1, now_ms)


class Attempts:
    """The failures of at most `MAX_KEYS` keys; those longest untouched are forgotten first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures: OrderedDict[str, Failures] = OrderedDict()

    def begin(self, key: str, now_ms: int) -> int:
        """Milliseconds that `key` has to wait; at 0 the attempt is counted as failed until `succeeded`.

        Counting first keeps a hundred attempts sent at the same moment from all being free.
        """
        with self._lock:
            before = self._failures.get(key)
            wait = wait_ms(before, now_ms)
            if wait == 0:
                self._failures[key] = failed(before, now_ms)
                self._failures.move_to_end(key)
                if len(self._failures) > MAX_KEYS:
                    self._failures.popitem(last=False)
            return wait

    def succeeded(self, key: str) -> None:
        """Forgets the failures of `key`."""
        with self._lock:
            self._failures.pop(key, None)
