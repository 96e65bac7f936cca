"""A window that slides over one series: its mean, extremes, change, slope, sum and total, at any moment.

Theory: the series is a line through its readings, unknown where two are further apart than `gap_ms` (as in
`analytics/derived/sums.py`). The window ends with the newest reading and begins `width_ms` earlier, put back to a
grid of `1/CELLS` of its width; over that it is exact: the integral of the line, cut where the window begins. So
what it says depends on readings alone, and the same readings say the same, whenever they come.

Readings of one cell of the grid are folded into one entry, so that memory is bounded however often a device is
polled. An entry lies in one cell, or is a single step of the line that crosses cells; only such a step is ever cut.
Each reading is added once, leaves once, and is gone through once more when the sums are made anew: O(1) amortised.

The newest reading is kept apart (`tip`), since a derived value may come twice for one time: the later counts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, Final

CELLS: Final = 30
"""A window is up to 1/30 longer than it says."""
KNOWN_ENOUGH: Final = 0.8
"""Share of a window that has to be known."""
DIGITS: Final = 9
"""Of what is remembered over a restart."""
FOREVER_MS: Final = 1 << 60
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000


class Entry:
    """Readings of one cell, or one step of the line that crosses cells; `tarea`: of (t - t0) v dt. Times in ms."""

    __slots__ = ("area", "count", "high", "low", "t0", "t1", "tarea", "total", "v0", "v1")

    def __init__(self, t0: int, v0: float, t1: int, v1: float) -> None:
        width = t1 - t0
        self.t0, self.v0, self.t1, self.v1 = t0, v0, t1, v1
        self.area = width * (v0 + v1) / 2
        self.tarea = width * width * (v0 + 2 * v1) / 6
        self.count, self.total = 1, v1
        self.low = self.high = v1

    def add(self, step: Entry) -> None:
        """Takes in the step that follows it."""
        self.tarea += step.tarea + (step.t0 - self.t0) * step.area
        self.area += step.area
        self.t1, self.v1 = step.t1, step.v1
        self.count += step.count
        self.total += step.total
        self.low, self.high = min(self.low, step.low), max(self.high, step.high)

    def cut(self, start: int) -> Entry:
        """The part of a step after `start`."""
        if self.t0 >= start:
            return self
        share = (start - self.t0) / (self.t1 - self.t0)
        return Entry(start, self.v0 + (self.v1 - self.v0) * share, self.t1, self.v1)


class _Sums:
    """Integrals over known time, from `base` on: of 1, t, t², v, t v; and count and sum of the readings."""

    __slots__ = ("area", "base", "count", "known", "t", "tarea", "total", "tt")

    def __init__(self, base: int) -> None:
        self.base = base
        self.known = self.t = self.tt = self.area = self.tarea = self.total = 0.0
        self.count = 0

    def copy(self) -> _Sums:
        other = _Sums(self.base)
        other.known, other.t, other.tt, other.area = self.known, self.t, self.tt, self.area
        other.tarea, other.total, other.count = self.tarea, self.total, self.count
        return other

    def put(self, e: Entry, sign: int) -> None:
        """Adds (1) or takes out (-1) an entry."""
        a, b = e.t0 - self.base, e.t1 - self.base
        self.known += sign * (b - a)
        self.t += sign * (b * b - a * a) / 2
        self.tt += sign * (b**3 - a**3) / 3
        self.area += sign * e.area
        self.tarea += sign * (e.tarea + a * e.area)
        self.count += sign * e.count
        self.total += sign * e.total


class Window:
    """One window over one series. Readings come in ascending time; one of the same time replaces the one before."""

    def __init__(self, width_ms: int, gap_ms: int, *, is_counter: bool = False, level: float | None = None,
                 is_below: bool = False) -> None:  # fmt: skip
        self._width, self._is_counter, self._level, self._is_below = width_ms, is_counter, level, is_below
        self.gap_ms = FOREVER_MS if is_counter else gap_ms
        self._cell = max(1, width_ms // CELLS)
        self._entries: deque[Entry] = deque()
        self._lows: deque[Entry] = deque()  # entries in order, each lower than all after it
        self._highs: deque[Entry] = deque()
        self._sums = _Sums(0)
        self._left = 0  # entries that left since the sums were made anew
        self._tip: tuple[int, float] | None = None
        self._given: tuple[int, float] | None = None  # the tip as it was measured
        self._begun_ms = 0
        self._now: tuple[_Sums, Entry, int] | None = None  # sums, oldest step and start with the tip in them

    @property
    def newest_ms(self) -> int:
        return self._given[0] if self._given else 0

    # ------------------------------------------------------------------------------------------------- what comes

    def take(self, time_ms: int, value: float) -> None:
        """Notes a reading that is not older than the newest; an older one is passed over."""
        given = self._given
        if given is None:
            self._begun_ms = time_ms
            self._given = (time_ms, value)
            self._put(time_ms, 0.0 if self._is_counter else self._excess(value))
            return
        if time_ms < given[0]:
            return
        self._given = (time_ms, value)
        if self._is_counter:
            assert self._tip is not None
            # A counter that stands lower began again: what it has now came since. It is kept as one that only grows.
            grown = value - given[1] if value >= given[1] else value
            self._put(time_ms, self._tip[1] + grown)
        elif self._level is None:
            self._put(time_ms, value)
        else:
            before, after = given[1] - self._level, value - self._level
            if before * after < 0 and time_ms - given[0] <= self.gap_ms:
                crossed = given[0] + round((time_ms - given[0]) * before / (before - after))
                if given[0] < crossed < time_ms:
                    self._put(crossed, 0.0)
            self._put(time_ms, self._excess(value))

    def _excess(self, value: float) -> float:
        if self._level is None:
            return value
        return max(0.0, self._level - value) if self._is_below else max(0.0, value - self._level)

    def _put(self, time_ms: int, value: float) -> None:
        self._now = None
        tip = self._tip
        if tip is not None and time_ms > tip[0]:
            self._commit(tip)
            self._leave(self._start(time_ms))
        self._tip = (time_ms, value)

    def _commit(self, tip: tuple[int, float]) -> None:
        """Makes the tip part of the line."""
        last = self._entries[-1] if self._entries else None
        time_ms, value = tip
        if last is None or time_ms - last.t1 > self.gap_ms:
            step = Entry(time_ms, value, time_ms, value)
        else:
            step = Entry(last.t1, last.v1, time_ms, value)
        if not self._entries:
            self._sums = _Sums(step.t0)
        self._sums.put(step, 1)
        if last is not None and step.t0 == last.t1 and last.t0 >= self._cell_start(time_ms):
            last.add(step)
        else:
            last = step
            self._entries.append(step)
        while self._lows and (self._lows[-1] is last or self._lows[-1].low >= last.low):
            self._lows.pop()
        self._lows.append(last)
        while self._highs and (self._highs[-1] is last or self._highs[-1].high <= last.high):
            self._highs.pop()
        self._highs.append(last)

    def _cell_start(self, time_ms: int) -> int:
        """Where the cell that ends at or after `time_ms` begins; a reading on a border belongs to the cell before."""
        return (-(-time_ms // self._cell) - 1) * self._cell

    def _start(self, end_ms: int) -> int:
        """Where the window that ends at `end_ms` begins: it holds what comes after that."""
        return (end_ms - self._width) // self._cell * self._cell

    def _leave(self, start: int) -> None:
        """Drops what lies before the window; the last step stays, since the next begins where it ends."""
        entries = self._entries
        while len(entries) > 1 and entries[0].t1 <= start:
            gone = entries.popleft()
            self._sums.put(gone, -1)
            self._left += 1
            if self._lows[0] is gone:
                self._lows.popleft()
            if self._highs[0] is gone:
                self._highs.popleft()
        if self._left > len(entries):
            self._anew()

    def _anew(self) -> None:
        """Makes the sums from the entries, so that rounding does not add up."""
        self._left = 0
        self._sums = _Sums(self._entries[0].t0 if self._entries else 0)
        for entry in self._entries:
            self._sums.put(entry, 1)

    # ------------------------------------------------------------------------------------------------ what it says

    def lower_until_ms(self, level: float) -> int:
        """Until when, on the time of readings, it holds something lower than `level`, or too little is known."""
        return self._until(level, self._lows, -1)

    def higher_until_ms(self, level: float) -> int:
        """The same of something higher than `level`."""
        return self._until(level, self._highs, 1)

    def _until(self, level: float, ends: deque[Entry], sign: int) -> int:
        if self._tip is None:
            return 0
        time_ms, value = self._tip
        known_ms = (self._now or self._with_tip())[0].known
        unknown_until_ms = time_ms + round(KNOWN_ENOUGH * self._width - known_ms)  # what is known grows with time
        if sign * value > sign * level:
            return time_ms + self._width
        found = next((e for e in reversed(ends) if sign * (e.high if sign > 0 else e.low) > sign * level), None)
        return max(unknown_until_ms, found.t1 + self._width if found is not None else 0)

    @property
    def newest(self) -> float | None:
        """The newest value."""
        return self._tip[1] if self._tip else None

    def read(self, what: str, at_ms: int) -> float | None:
        """`mean`, `min`, `max`, `sum`, `change`, `rise_per_hour`, `slope_per_day`, `total`, or `integral` (x s).

        None where too little is known: less than `KNOWN_ENOUGH` of the window, or its newest reading is too old.
        """
        if self._tip is None:
            return None
        sums, oldest, start = self._now or self._with_tip()
        width = self._tip[0] - start
        too_old = self._width if what == "sum" else max(self.gap_ms, self._width // 5)
        if at_ms - self._tip[0] > (too_old if too_old < FOREVER_MS else self._width):
            return None
        if what == "sum":
            return sums.total if self._tip[0] - self._begun_ms >= KNOWN_ENOUGH * width else None
        if sums.known < KNOWN_ENOUGH * width or sums.known <= 0:
            return None
        return self._read(what, sums, oldest)

    def _read(self, what: str, sums: _Sums, oldest: Entry) -> float:
        assert self._tip is not None
        if what == "mean":
            return sums.area / sums.known
        if what == "min":
            return min(self._tip[1], oldest.v0, self._lows[0].low if self._inside(self._lows) else self._tip[1])
        if what == "max":
            return max(self._tip[1], oldest.v0, self._highs[0].high if self._inside(self._highs) else self._tip[1])
        if what == "integral" or (what == "total" and not self._is_counter):
            return sums.area / 1000
        if what in ("change", "total"):
            return self._tip[1] - oldest.v0
        spread = sums.known * sums.tt - sums.t * sums.t
        slope = (sums.known * sums.tarea - sums.t * sums.area) / spread if spread > 0 else 0.0
        return slope * (HOUR_MS if what == "rise_per_hour" else DAY_MS)

    def _inside(self, extremes: Sequence[Entry]) -> bool:
        """Whether the first of them lies in the window: the last step of the line may end before it."""
        assert self._now is not None
        return bool(extremes) and extremes[0].t1 > self._now[2]

    def _with_tip(self) -> tuple[_Sums, Entry, int]:
        """The sums with the tip in them, cut where the window begins; the oldest step, and that beginning."""
        assert self._tip is not None
        time_ms, value = self._tip
        start = self._start(time_ms)
        sums, entries = self._sums.copy(), self._entries
        steps = [entries[0]] if entries else []
        last = entries[-1] if entries else None
        is_joined = last is not None and time_ms - last.t1 <= self.gap_ms
        tip = Entry(last.t1, last.v1, time_ms, value) if last and is_joined else Entry(time_ms, value, time_ms, value)
        for step in steps:
            if step.t1 <= start:  # ends before the window: it is kept only for the tip to begin where it ends
                sums, steps = _Sums(max(step.t1, start)), []
            elif step.t0 < start:
                sums.put(step, -1)
                steps = [step.cut(start)]
                sums.put(steps[0], 1)
        tip = tip.cut(start)
        if not entries:
            sums = _Sums(tip.t0)
        sums.put(tip, 1)
        self._now = (sums, steps[0] if steps else tip, start)
        return self._now

    # --------------------------------------------------------------------------------------------- over a restart

    def memory(self) -> list[Any]:
        """As JSON: a step that begins where the one before ends is [its length, its value], the rest is whole."""
        rows: list[list[Any]] = []
        before: Entry | None = None
        for e in self._entries:
            if before is not None and e.count == 1 and e.t0 == before.t1 and e.v0 == before.v1:
                rows.append([e.t1 - e.t0, short(e.v1)])
            else:
                numbers = (e.area, e.tarea, e.total, e.low, e.high)
                rows.append([e.t0, short(e.v0), e.t1, short(e.v1), e.count, *(short(n) for n in numbers)])
            before = e
        return [self._begun_ms, self._tip, self._given, rows]

    def recall(self, memory: Sequence[Any]) -> None:
        """Goes on from `memory`."""
        self._begun_ms, tip, given, rows = memory
        self._tip, self._given = (tip[0], tip[1]) if tip else None, (given[0], given[1]) if given else None
        self._entries.clear()
        for row in rows:
            if len(row) == 2:
                before = self._entries[-1]
                self._entries.append(Entry(before.t1, before.v1, before.t1 + row[0], row[1]))
            else:
                entry = Entry(*row[:4])
                entry.count, entry.area, entry.tarea, entry.total, entry.low, entry.high = row[4:]
                self._entries.append(entry)
        self._lows.clear()
        self._highs.clear()
        for entry in self._entries:
            while self._lows and self._lows[-1].low >= entry.low:
                self._lows.pop()
            self._lows.append(entry)
            while self._highs and self._highs[-1].high <= entry.high:
                self._highs.pop()
            self._highs.append(entry)
        self._now = None
        self._anew()


def short(value: float) -> float:
    """To `DIGITS` digits: a snapshot is read by a machine that asks for less."""
    return float(f"{value:.{DIGITS}g}")
