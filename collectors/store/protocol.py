"""The face of a store of readings, and what every implementation promises.

Two real implementations exist, `sqlite` and `influx`; one contract suite (`tests/service/test_store_contract.py`)
runs over both. All methods are synchronous and may be called from any thread; one call at a time writes.

Promises of an implementation:

- **Committed.** When `write` returns, its readings survive the death of this process and of the store's. When it
  raises `StoreUnavailable`, any part of them may be there or not: the caller writes all of them again.
- **Idempotent.** A series has at most one value at a time. Writing the same reading again changes nothing;
  writing another value at the same series and time replaces the first.
- **Order.** `range` and `windows` answer in ascending time. Late readings take their place in it.
- **Numbers** come back as the same IEEE double, texts as the same text. NaN and infinities cannot be written
  (`Reading` refuses them).
- **Not there** is an empty answer, never an error.
- A series is a gauge or a text for ever: the catalogue fixes which.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from makiba.reading import Reading, Series, Value


class StoreError(Exception):
    """Root of this package's errors: StoreUnavailable | ReadingsRejected | StoreMisconfigured."""


class StoreUnavailable(StoreError):
    """The store is down, slow or full; the same call may succeed later. `retry_after_s` where it said so."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class StoreMisconfigured(StoreError):
    """A wrong address, password or database; a person has to change something. The message says what."""


class ReadingsRejected(StoreError):
    """The store took every reading of the batch but these, and will never take them.

    Each comes with its reason; the others are committed.
    """

    def __init__(self, rejected: Sequence[tuple[Reading, str]]) -> None:
        super().__init__(f"{len(rejected)} readings rejected; the first: {rejected[0][1] if rejected else ''}")
        self.rejected = tuple(rejected)


@dataclass(frozen=True, slots=True)
class Point:
    """One stored value; `time_ms` is UTC in milliseconds."""

    time_ms: int
    value: Value


@dataclass(frozen=True, slots=True)
class Window:
    """What happened in [start_ms, start_ms + width): all in the quantity's unit; `count` readings, at least one."""

    start_ms: int
    count: int
    minimum: float
    mean: float
    maximum: float
    last: float


class Store(Protocol):
    """A store of readings. See the module's docstring for what is promised."""

    def write(self, readings: Sequence[Reading]) -> None:
        """Commits `readings`, any number, of any series and order.

        Raises `StoreUnavailable`, `ReadingsRejected` or `StoreMisconfigured`.
        """

    def latest(self, site: str, subjects: Collection[str] | None = None) -> Mapping[Series, Point]:
        """The newest point of each series of `site`, of `subjects` only where given."""

    def range(self, series: Series, start_ms: int, end_ms: int, limit: int | None = None) -> list[Point]:
        """Points with start_ms <= time < end_ms, ascending; the first `limit` of them."""

    def windows(self, series: Series, start_ms: int, end_ms: int, width_ms: int) -> list[Window]:
        """Numbers of [start_ms, end_ms) folded into windows aligned to multiples of `width_ms` since 1970.

        Windows without a reading are left out. A text series gives an empty list.
        """

    def series(self, site: str) -> list[Series]:
        """Every series of `site` that has a reading, sorted."""

    def gaps(self, series: Series, start_ms: int, end_ms: int, longer_than_ms: int) -> list[tuple[int, int]]:
        """(from_ms, to_ms) of each stretch of [start_ms, end_ms] without a reading for longer than that.

        Stretches before the first and after the last reading count too.
        """

    def delete_site(self, site: str) -> None:
        """Removes every reading of `site` for good (the right to leave)."""

    def check(self) -> None:
        """Returns when the store answers; `StoreUnavailable` or `StoreMisconfigured` otherwise."""

    def close(self) -> None:
        """Frees what is held; the store cannot be used afterwards."""
