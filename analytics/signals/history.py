"""Windows of days: readings folded by local day, kept in the judge, and filled from the store's roll-ups once.

A window of N days is the N local days before today. It is unknown where readings came on fewer than `KNOWN_ENOUGH` of
them. Each day counts the same in a mean. What it says of a day is what the store would: count, lowest, mean over the
readings, highest and last value; late readings are in it only after the next fill.

`Days` is one series (or derivation); `Tracks` feeds it. `fill` reads what a judge that has just begun does not have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, isnan
from typing import Any, Final
from zoneinfo import ZoneInfo

from analytics.derived import derive
from analytics.derived.signals import theil_sen
from analytics.signals.planned import Source
from analytics.signals.windows import KNOWN_ENOUGH, short
from collectors.store import Store
from makiba.reading import Series
from makiba.season import local_midnight_ms

DAY_MS: Final = 86_400_000
QUARTER_MS: Final = 900_000


@dataclass(slots=True)
class Day:
    """The readings of one local day."""

    count: int
    total: float
    low: float
    high: float
    last: float

    @property
    def mean(self) -> float:
        return self.total / self.count

    def add(self, other: Day) -> None:
        """Takes in what came later on the same day."""
        self.count += other.count
        self.total += other.total
        self.low, self.high, self.last = min(self.low, other.low), max(self.high, other.high), other.last


class Calendar:
    """The local days of a farm; remembers the one it was last asked for."""

    def __init__(self, timezone: str) -> None:
        self._zone = ZoneInfo(timezone)
        self._start_ms = self._end_ms = 0

    def day(self, at_ms: int) -> int:
        """The midnight with which the day of `at_ms` began."""
        if not self._start_ms <= at_ms < self._end_ms:
            self._start_ms = local_midnight_ms(at_ms, self._zone)
            self._end_ms = local_midnight_ms(at_ms, self._zone, 1)
        return self._start_ms

    def days(self, at_ms: int, count: int) -> list[int]:
        """The midnights of the `count` days before that of `at_ms`, ascending, and of that day itself."""
        return [local_midnight_ms(at_ms, self._zone, -n) for n in range(count, -1, -1)]


class Days:
    """The newest `keep` days of one source, today among them."""

    def __init__(self, calendar: Calendar, is_counter: bool) -> None:
        self._calendar, self._is_counter = calendar, is_counter
        self._days: dict[int, Day] = {}
        self._newest_ms = 0
        self._cached: tuple[int, int, list[int]] = (0, 0, [])
        self.count = 0
        """How many days before today are looked at at most."""
        self.filled = 0
        """For how many of them the store was asked."""

    @property
    def newest_ms(self) -> int:
        return self._newest_ms

    def take(self, time_ms: int, value: float) -> None:
        """Notes a reading that is newer than the newest; another is passed over."""
        if time_ms <= self._newest_ms:
            return
        self._newest_ms = time_ms
        start = self._calendar.day(time_ms)
        today = self._days.get(start)
        if today is None:
            self._days[start] = Day(1, value, value, value, value)
            for old in sorted(self._days)[: -(self.count + 2)]:
                del self._days[old]
        else:
            today.add(Day(1, value, value, value, value))

    def put(self, days: dict[int, Day]) -> None:
        """Takes over what the store says of whole days, and of today up to the newest reading."""
        self._days |= days

    def read(self, what: str, count: int, at_ms: int) -> float | None:
        """What the `count` days before that of `at_ms` say; see `windows.Window.read` for the words."""
        starts = self._before(count, at_ms)
        known = [(n, self._days[s]) for n, s in enumerate(starts[1:]) if s in self._days]
        if len(known) < ceil(KNOWN_ENOUGH * count):
            return None
        days = [day for _, day in known]
        match what:
            case "mean":
                return sum(day.mean for day in days) / len(days)
            case "min":
                return min(day.low for day in days)
            case "max":
                return max(day.high for day in days)
            case "sum":
                return sum(day.total for day in days)
            case "sum_per_day":
                return sum(day.total for day in days) / len(days)
            case "total" | "total_per_day":
                grown = self._grown(starts, days)
                return grown if grown is None or what == "total" else grown / len(days)
        return self._trend(what, known, starts)

    def _before(self, count: int, at_ms: int) -> list[int]:
        """The midnight one day earlier than the window, and those of its days."""
        today = self._calendar.day(at_ms)
        if self._cached[:2] != (today, count):
            self._cached = (today, count, self._calendar.days(today, count + 1)[:-1])
        return self._cached[2]

    def _grown(self, starts: Sequence[int], days: Sequence[Day]) -> float | None:
        """What a counter counted; of a flow, its sum over time. A counter that was cleared tells what came since."""
        if not self._is_counter:
            return sum(day.mean for day in days) * DAY_MS / 1000
        lasts = [self._days[s].last for s in starts if s in self._days]
        if len(lasts) < 2:
            return None
        return sum(b - a if b >= a else b for a, b in pairwise(lasts))

    def _trend(self, what: str, known: Sequence[tuple[int, Day]], starts: Sequence[int]) -> float | None:
        values = [day.last if self._is_counter else day.mean for _, day in known]
        if what == "change":
            return self._grown(starts, [d for _, d in known]) if self._is_counter else values[-1] - values[0]
        if len(known) < 2:
            return None
        slope = float(theil_sen([n * DAY_MS for n, _ in known], values).value)
        return slope / 24 if what == "rise_per_hour" else slope

    def memory(self) -> list[Any]:
        """As JSON."""
        rows = [[s, d.count, *(short(v) for v in (d.total, d.low, d.high, d.last))] for s, d in self._days.items()]
        return [self._newest_ms, self.filled, rows]

    def recall(self, memory: Sequence[Any]) -> None:
        """Goes on from `memory`."""
        self._newest_ms, self.filled, rows = memory
        self._days = {row[0]: Day(*row[1:]) for row in rows}


# ---------------------------------------------------------------------------------------------- what the store has


def fill(
    store: Store, unfilled: Iterable[tuple[Source, str | None, Days]], timezone: str, now_ms: int,
    newest_ms: Callable[[Series], int],
) -> int:  # fmt: skip
    """Asks the store once for the days that `unfilled` do not have; how many sources those were. Raises `StoreError`.

    Of today it takes what is not newer than `newest_ms` of the series: the rest will be fed.
    """
    calendar, asked = Calendar(timezone), 0
    for source, derived, days in unfilled:
        until_ms = min(newest_ms(series) for series in source) + 1
        starts = calendar.days(now_ms, days.count + 1)
        if derived is None:
            found = dict(_folded(store, source[0], starts, until_ms))
        else:
            found = _derived(store, source, derived, starts, until_ms)
        days.put(found)
        days.filled = days.count
        asked += 1
    return asked


def _folded(store: Store, series: Series, starts: Sequence[int], until_ms: int) -> Iterator[tuple[int, Day]]:
    """Each day from the store's windows; runs of days of 24 h are asked for at once."""
    ends = [*starts[1:], starts[-1] + DAY_MS]
    run: list[int] = []
    for start, end in zip(starts, ends, strict=True):
        if end - start == DAY_MS:
            run.append(start)
            continue
        yield from _windows(store, series, run, DAY_MS, until_ms)
        yield from _windows(store, series, [start], end - start, until_ms)
        run = []
    yield from _windows(store, series, run, DAY_MS, until_ms)


def _windows(
    store: Store, series: Series, starts: Sequence[int], width_ms: int, until_ms: int
) -> Iterator[tuple[int, Day]]:
    if not starts or until_ms <= starts[0]:
        return
    end_ms = min(starts[-1] + width_ms, until_ms)
    for w in store.windows(series, starts[0], end_ms, width_ms, starts[0] % width_ms):
        yield w.start_ms, Day(w.count, w.mean * w.count, w.minimum, w.maximum, w.last)


def _derived(store: Store, source: Source, derived: str, starts: Sequence[int], until_ms: int) -> dict[int, Day]:
    """Of quarters of an hour: the derivation of the arguments' means."""
    end_ms = min(starts[-1] + DAY_MS, until_ms)
    if end_ms <= starts[0]:
        return {}
    arguments = [{w.start_ms: w for w in store.windows(s, starts[0], end_ms, QUARTER_MS)} for s in source]
    found: dict[int, Day] = {}
    for quarter_ms in sorted(set.intersection(*(set(a) for a in arguments))):
        value = derive(derived, tuple(a[quarter_ms].mean for a in arguments))
        start = max(s for s in starts if s <= quarter_ms)
        day = Day(arguments[0][quarter_ms].count, value * arguments[0][quarter_ms].count, value, value, value)
        if isnan(value):
            continue
        if start in found:
            found[start].add(day)
        else:
            found[start] = day
    return found
