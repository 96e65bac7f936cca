"""The sum over time of what is above (or below) a level, since something last happened: a pick-up, midnight.

What it guarantees: the exact integral of max(0, value - level) over the line through the readings, in unit x s,
from when that something ended. Where readings are further apart than `gap_ms` nothing is added, and where it was
never seen to happen the sum begins with the first reading: in both cases it is a lower bound.

An end may be told of late (a recogniser is sure after some minutes): marks of the last `MARKS` minutes tell what
the sum was then. An end that is told of later than that, or taken back, leaves a sum that is too small.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, Final

MARK_EVERY_MS: Final = 60_000
MARKS: Final = 40


def excess_ms(t0: int, v0: float, t1: int, v1: float) -> float:
    """The integral of max(0, v) over a straight step, in value x ms."""
    width = t1 - t0
    if v0 >= 0 and v1 >= 0:
        return width * (v0 + v1) / 2
    if v0 <= 0 and v1 <= 0:
        return 0.0
    top = max(v0, v1)
    return width * top / (abs(v0) + abs(v1)) * top / 2


class Since:
    """One such sum. `take` in ascending time; a reading of the same time replaces the one before."""

    def __init__(self, gap_ms: int, level: float, is_below: bool) -> None:
        self.gap_ms, self._level, self._is_below = gap_ms, level, is_below
        self._before: tuple[int, float, float] | None = None  # time, value over the level, and the sum until then
        self._tip: tuple[int, float, float] | None = None
        self._first_ms = 0
        self._began_ms = 0  # the end from which it counts
        self._less = 0.0  # what the sum was at that end
        self._marks: list[tuple[int, float]] = []

    @property
    def newest_ms(self) -> int:
        return self._tip[0] if self._tip else 0

    def take(self, time_ms: int, value: float) -> None:
        """Notes a reading that is not older than the newest; an older one is passed over."""
        over = self._level - value if self._is_below else value - self._level
        tip = self._tip
        if tip is not None and time_ms < tip[0]:
            return
        if tip is not None and time_ms > tip[0]:
            self._before = tip
            if not self._marks or tip[0] - self._marks[-1][0] >= MARK_EVERY_MS:
                self._marks.append((tip[0], tip[2]))
                del self._marks[:-MARKS]
        if tip is None:
            self._first_ms = time_ms
        total = 0.0
        if self._before is not None:
            t0, v0, total = self._before
            if time_ms - t0 <= self.gap_ms:
                total += excess_ms(t0, v0, time_ms, over)
        self._tip = (time_ms, over, total)

    def read(self, ended_ms: int | None, at_ms: int) -> float | None:
        """The sum since `ended_ms`, in unit x s; None where the newest reading is too old for it."""
        if self._tip is None or at_ms - self._tip[0] > self.gap_ms:
            return None
        if ended_ms is not None and ended_ms > self._began_ms:
            self._began_ms = ended_ms
            self._less = self._sum_at(ended_ms) if ended_ms > self._first_ms else 0.0
        return max(0.0, self._tip[2] - self._less) / 1000

    def _sum_at(self, time_ms: int) -> float:
        """The sum until `time_ms`, between two marks; that of the oldest mark for what was before."""
        assert self._tip is not None
        known = [*self._marks, (self._tip[0], self._tip[2])]
        after = bisect_right(known, (time_ms, float("inf")))
        if after == 0:
            return known[0][1]
        if after == len(known):
            return known[-1][1]
        (t0, s0), (t1, s1) = known[after - 1], known[after]
        return s0 + (s1 - s0) * (time_ms - t0) / (t1 - t0)

    def memory(self) -> list[Any]:
        """As JSON. Of the marks every fourth: they matter for some minutes only."""
        return [self._before, self._tip, self._first_ms, self._began_ms, self._less, self._marks[-1::-4][::-1]]

    def recall(self, memory: Sequence[Any]) -> None:
        """Goes on from `memory`."""
        before, tip, self._first_ms, self._began_ms, self._less, marks = memory
        self._before, self._tip = (tuple(before) if before else None), (tuple(tip) if tip else None)
        self._marks = [(int(t), float(s)) for t, s in marks]
