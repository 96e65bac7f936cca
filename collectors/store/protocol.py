"""The face of a store of readings, and what every implementation promises.

Two real implementations exist, `sqlite` and `influx`; one contract suite (`tests/service/test_store_contract.py`)
runs over both. All methods are synchronous and may be called from any thread, and several processes may have the same
store open.

Promises of an implementation:

- **Committed.** When `write_columns` (or `write`) returns, its readings survive the death of this process and of the
  store's. When it raises `StoreUnavailable`, any part of them may be there or not: the caller writes all of them
  again.
- **Idempotent.** A series has at most one value at a time. Writing the same reading again changes nothing; writing
  another value at the same series and time replaces the first. Within one write the last one stands; of two writes
  at the same moment, either.
- **Atomicity** is a reading's, not a batch's: a reader sees a reading whole or not at all, and may see a part of a
  batch that is on its way (SQLite: never; there a batch is one transaction).
- **Readers** are never held up by writers, nor writers by readers. After `write_columns` has returned, every later
  call of any process sees its readings. Two calls may see two states; one call sees one (InfluxDB: one query does).
- **Order.** `range` and `windows` answer in ascending time. Late readings take their place in it.
- **Numbers** come back as the same IEEE double, texts as the same text. NaN and infinities are rejected.
- **Not there** is an empty answer, never an error.
- A series is a gauge or a text for ever: the catalogue fixes which.
- **Roll-ups are never wrong, only late.** `windows` answers as the raw readings would, whether `roll_up` has run or
  not: what a store has written since is known to it from the same commit as the readings (a *dirty* quarter of an
  hour), and is read raw. A process that dies at any moment leaves no stale roll-up behind.
- **Expired** is what `expire` removed. A reading older than the raw (or text) horizon is rejected with that reason,
  since a roll-up whose raw is gone could not be folded again.

Errors: `StoreUnavailable` (try again, after `retry_after_s` where it says so; a store made of several servers says in
`PartlyCommitted` which readings only), `StoreMisconfigured` (a person must act), `ReadingsRejected` (those readings,
for good).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol, get_args, runtime_checkable

from makiba.reading import Columns, Reading, Series, Value

Level = Literal["raw", "text", "minute", "quarter", "day"]
"""What may expire by itself: readings that are numbers, readings that are texts, and the roll-ups of numbers."""

LEVELS: Final[tuple[Level, ...]] = get_args(Level)


class StoreError(Exception):
    """Root of the package's errors: StoreUnavailable (PartlyCommitted) | ReadingsRejected | StoreMisconfigured."""


class StoreUnavailable(StoreError):
    """The store is down, slow or full; the same call may succeed later. `retry_after_s` where it said so."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class PartlyCommitted(StoreUnavailable):
    """Of several servers some did not answer; what belongs to the others is committed.

    `uncommitted`: the index of each reading that may not be there, ascending: exactly those are written again; they
    may be all of a write, while readings of other farms would be taken. `rejected`: as in `ReadingsRejected`, of the
    others. Whoever does not tell it from `StoreUnavailable` writes all of them again, which changes nothing.
    """

    def __init__(
        self, failed: Mapping[str, StoreError], uncommitted: Sequence[int], rejected: Sequence[tuple[int, str]] = ()
    ) -> None:
        waits_s = [error.retry_after_s for error in failed.values() if isinstance(error, StoreUnavailable)]
        super().__init__(
            "; ".join(str(error) for error in failed.values()), max((w for w in waits_s if w), default=None)
        )
        self.uncommitted = tuple(uncommitted)
        self.rejected = tuple(sorted(rejected))


class StoreMisconfigured(StoreError):
    """A wrong address, password or database; a person has to change something. The message says what."""


class StoreDamaged(StoreMisconfigured):
    """The store's file is damaged: a person has to put a backup in its place."""


class ReadingsRejected(StoreError):
    """The store took every reading of the batch but these, and will never take them.

    `rejected`: the index of each in what was given, ascending, and the reason. The others are committed.
    """

    def __init__(self, rejected: Sequence[tuple[int, str]]) -> None:
        super().__init__(f"{len(rejected)} readings rejected; the first: {rejected[0][1] if rejected else ''}")
        self.rejected = tuple(sorted(rejected))


@dataclass(frozen=True, slots=True)
class Point:
    """One stored value; `time_ms` is UTC in milliseconds."""

    time_ms: int
    value: Value


@dataclass(frozen=True, slots=True)
class Window:
    """What happened in [start_ms, start_ms + width): all in the quantity's unit; `count` readings, at least one.

    `mean` is exact to a double's rounding, everything else to the bit.
    """

    start_ms: int
    count: int
    minimum: float
    mean: float
    maximum: float
    last: float


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a store holds. `rows` by level; None where a store cannot say."""

    series: int
    rows: Mapping[Level, int | None]
    dirty: int
    """Quarters of a series that are read raw until `roll_up` has folded them; 0 is not asked for, it is normal."""
    size_bytes: int | None = None
    oldest_ms: int | None = None
    newest_ms: int | None = None
    kept_from_ms: Mapping[Level, int] = field(default_factory=dict)
    problems: Sequence[str] = ()
    """What a person has to see to, and why."""
    damaged: bool = False
    """A file's pages are among the problems: a backup has to take its place."""
    away: Sequence[str] = ()
    """Servers that did not answer, and why: nothing of theirs is counted here."""


class Store(Protocol):
    """A store of readings. See the module's docstring for what is promised."""

    def write(self, readings: Sequence[Reading]) -> None:
        """Commits `readings`, any number, of any series and order.

        Raises `StoreUnavailable`, `ReadingsRejected` or `StoreMisconfigured`.
        """

    def write_columns(self, columns: Columns) -> None:
        """`write` for readings that come as columns, without an object for each: the hot path."""

    def latest(self, site: str, subjects: Collection[str] | None = None) -> Mapping[Series, Point]:
        """The newest point of each series of `site`, of `subjects` only where given."""

    def range(self, series: Series, start_ms: int, end_ms: int, limit: int | None = None) -> list[Point]:
        """Points with start_ms <= time < end_ms, ascending; the first `limit` of them."""

    def windows(self, series: Series, start_ms: int, end_ms: int, width_ms: int, offset_ms: int = 0) -> list[Window]:
        """Numbers of [start_ms, end_ms) folded into windows that start at multiples of `width_ms` plus `offset_ms`.

        Only what lies in [start_ms, end_ms) counts; a window that is cut keeps its place. Windows without a reading
        are left out. A text series gives an empty list. Quick where width and offset fit a level: minutes, quarters,
        and days that begin at midnight UTC+9 (`levels.DAY_OFFSET_MS`). Where raw has expired, the finest level that
        is left stands for it: each of its windows counts whole, at its start.
        """

    def series(self, site: str) -> list[Series]:
        """Every series of `site` that has a reading or a roll-up, sorted."""

    def gaps(self, series: Series, start_ms: int, end_ms: int, longer_than_ms: int) -> list[tuple[int, int]]:
        """(from_ms, to_ms) of each stretch of [start_ms, end_ms] without a reading for longer than that.

        Stretches before the first and after the last reading count too.
        """

    def roll_up(self, before_ms: int, limit: int = 500) -> int:
        """Folds at most about `limit` dirty windows that ended by `before_ms`; how many it did, 0 when none is left.

        One call is short: it holds up a writer for some 10 ms at most. Any number of processes may do this at once.
        """

    def expire(self, level: Level, before_ms: int) -> int:
        """Removes what is older than `before_ms` of `level`; the horizon that is in force then.

        The horizon may be earlier than asked for (a store forgets whole partitions, and a coarser level never before
        a finer one) and never goes back. Raw goes only after its roll-ups are there. Asking again changes nothing; a
        call that died half-way is finished by the next.
        """

    def delete_site(self, site: str) -> None:
        """Removes every reading and roll-up of `site` for good (the right to leave)."""

    def check(self) -> None:
        """Returns when the store answers; `StoreUnavailable` or `StoreMisconfigured` otherwise."""

    def inventory(self) -> Inventory:
        """Looks at everything that is there; may take minutes. Damage is an answer (`problems`), not an error."""

    def close(self) -> None:
        """Frees what is held; the store cannot be used afterwards."""


@runtime_checkable
class Movable(Store, Protocol):
    """What a store offers beyond `Store` so that a farm can be moved to another one, expired readings and all."""

    def sites(self) -> list[str]:
        """Every site that has a series, sorted."""

    def horizons(self) -> Mapping[Level, int]:
        """For each level that has expired in part the horizon in force: nothing of it is from before that time."""

    def rollups(
        self, series: Series, level: Level, start_ms: int, end_ms: int, limit: int | None = None
    ) -> list[Window]:
        """Roll-ups of `level` as they stand that start in [start_ms, end_ms), ascending; the first `limit` of them.

        Right where `roll_up` has nothing left to do; `windows` is right everywhere.
        """

    def carry(self, series: Series, level: Level, windows: Sequence[Window]) -> None:
        """Takes over roll-ups of `level` from another store, in place of those of the same start. Idempotent.

        Only where raw has expired here too, since elsewhere the readings say what is true: `StoreMisconfigured`
        when one begins at or after the raw horizon.
        """
