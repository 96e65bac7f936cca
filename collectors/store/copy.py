"""`makiba store copy`: a farm's readings from one store into another, whatever kinds the two are.

**What is promised.** When a copy ends well, every reading that FROM had committed before the last whole pass began is
in TO with the same time and the same value to the bit, and has been read back from there. Readings that FROM gets
later may be in TO or not: stop what writes to FROM, or switch it to TO, and copy once more; that writes only what is
missing. What TO holds beyond FROM stays and is counted. Where both have a reading of the same time, FROM's stands.

**No progress is written down**, because nothing would make it true: TO itself is the progress. A stretch of a series
is read from both sides; where they are the same to the bit it is passed over, else what is missing is written and the
stretch is read back. So a copy that was killed goes on by being started again, at the speed of reading, and does not
care who else wrote what meanwhile.

**Passes.** The first copies. One that wrote nothing is the last. Otherwise a second whole pass compares everything
again, and writes what came during the first; its counts and checksums are the ones reported. A series that still grew
is compared again, `MAX_PASSES` passes in all.

**Roll-ups** are not copied: TO marks what was written as dirty, and its own job folds it. Only where raw has expired
in FROM, they are all there is, and are carried (`collectors.store.carry`).

Memory is a page from each side, however long a series is. `StoreUnavailable` is waited for, `PATIENCE_S` at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from collectors.store.checksum import Checksum, Packed, missing
from collectors.store.protocol import Point, ReadingsRejected, Store, StoreUnavailable
from makiba.reading import Columns, Series

PAGE: Final = 10_000
MAX_PASSES: Final = 5
PATIENCE_S: Final = 60.0
REFUSALS_KEPT: Final = 20

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reading that TO will never take, and why."""

    series: Series
    time_ms: int
    reason: str


@dataclass(slots=True)
class Compared:
    """What one pass found of a series. `extra`: readings of the stretch that only TO has; `written` by this pass."""

    series: Series
    source: Checksum = field(default_factory=Checksum)
    target: Checksum = field(default_factory=Checksum)
    written: int = 0
    extra: int = 0
    refused: int = 0
    refusals: list[Refusal] = field(default_factory=list)
    """The first `REFUSALS_KEPT` of what was refused."""

    @property
    def is_equal(self) -> bool:
        """Whether everything of FROM is in TO."""
        return self.source.count == self.target.count and self.source.hex() == self.target.hex()


@dataclass(slots=True)
class Result:
    """What became of a copy: the last comparison of each series, and how much was written in all passes."""

    compared: dict[Series, Compared] = field(default_factory=dict)
    written: int = 0
    growing: tuple[Series, ...] = ()
    """Series that got readings during every pass; what they had before the last one is in TO."""

    @property
    def unequal(self) -> list[Compared]:
        return [one for one in self.compared.values() if not one.is_equal]

    @property
    def count(self) -> int:
        return sum(one.source.count for one in self.compared.values())

    @property
    def extra(self) -> int:
        return sum(one.extra for one in self.compared.values())

    @property
    def refusals(self) -> list[Refusal]:
        return [refusal for one in self.compared.values() for refusal in one.refusals]

    @property
    def refused(self) -> int:
        return sum(one.refused for one in self.compared.values())


class Copy:
    """A copy of [start_ms, end_ms) of some farms. `on_page` hears after each page how many readings it had."""

    def __init__(
        self,
        source: Store,
        target: Store,
        start_ms: int,
        end_ms: int,
        *,
        on_page: Callable[[int], None] = lambda _: None,
        page: int = PAGE,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._source, self._target = source, target
        self._start_ms, self._end_ms = start_ms, end_ms
        self._on_page = on_page
        self._page = page
        self._wait = wait

    def run(
        self, list_series: Callable[[], Iterable[Series]], on_pass: Callable[[int], None] = lambda _: None
    ) -> Result:
        """Copies what `list_series` names; it is asked again before the second pass, for what is new by then.

        `StoreUnavailable` when a store stays away, `StoreMisconfigured`; what was copied stays, and counts next time.
        """
        result = Result()
        wanted = sorted(self.patiently(lambda: list(list_series())))
        for number in range(1, MAX_PASSES + 1):
            on_pass(number)
            growing: list[Series] = []
            for series in wanted:
                found = result.compared[series] = self._series(series)
                result.written += found.written
                if found.written:
                    growing.append(series)
            result.growing = tuple(growing)
            if not growing:
                break
            wanted = growing if number > 1 else sorted(self.patiently(lambda: list(list_series())))
        return result

    def patiently(self, ask: Callable[[], T]) -> T:
        """What `ask` gives; asked again while the store is away, for `PATIENCE_S`."""
        until_s = time.monotonic() + PATIENCE_S
        pause_s = 0.25
        while True:
            try:
                return ask()
            except StoreUnavailable as error:
                if time.monotonic() >= until_s:
                    raise
                self._wait(min(error.retry_after_s or pause_s, PATIENCE_S))
                pause_s = min(pause_s * 2, 5.0)

    def _series(self, series: Series) -> Compared:
        found = Compared(series)
        at_ms = self._start_ms
        while at_ms < self._end_ms:
            wanted, until_ms, there = self._both(series, at_ms)
            source, target = Packed.of(wanted), Packed.of(there)
            if source != target:
                there = self._repair(found, wanted, there, at_ms, until_ms)
                times = {point.time_ms for point in wanted}
                held = [point for point in there if point.time_ms in times]
                target = Packed.of(held)
                found.extra += len(there) - len(held)
            found.source.add(source)
            found.target.add(target)
            self._on_page(len(wanted))
            at_ms = until_ms
        return found

    def _both(self, series: Series, at_ms: int) -> tuple[list[Point], int, list[Point]]:
        """FROM's next page, where its stretch ends, and what TO has in it; shorter where TO has much more."""
        wanted = self.patiently(lambda: self._source.range(series, at_ms, self._end_ms, self._page))
        until_ms = wanted[-1].time_ms + 1 if len(wanted) == self._page else self._end_ms
        most = 2 * self._page
        there = self.patiently(lambda: self._target.range(series, at_ms, until_ms, most + 1))
        if len(there) > most:
            until_ms = there.pop().time_ms
            wanted = [point for point in wanted if point.time_ms < until_ms]
        return wanted, until_ms, there

    def _repair(
        self, found: Compared, wanted: Sequence[Point], there: list[Point], at_ms: int, until_ms: int
    ) -> list[Point]:
        """Writes what TO does not have; what it has afterwards, read back."""
        series = found.series
        absent = missing(wanted, there)
        if not absent:
            return there
        columns = Columns([series] * len(absent), [p.time_ms for p in absent], [p.value for p in absent])
        rejected: Sequence[tuple[int, str]] = ()
        try:
            self.patiently(lambda: self._target.write_columns(columns))
        except ReadingsRejected as error:
            rejected = error.rejected
        found.refused += len(rejected)
        found.written += len(absent) - len(rejected)
        room = REFUSALS_KEPT - len(found.refusals)
        found.refusals += [Refusal(series, absent[index].time_ms, reason) for index, reason in rejected[:room]]
        return self.patiently(lambda: self._target.range(series, at_ms, until_ms))
