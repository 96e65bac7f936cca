"""One store made of several: each farm's readings lie on the server that the registry assigns it to.

`RoutedStore` sends every call to the server of its farm, and one about everything to all of them. A farm without an
assignment is on the store of the settings, whose name is `own`.

One server that is away makes only its farms' readings wait: the others are committed, and `PartlyCommitted` says
which are not, be it all of a write. Without servers it is the one store, and its errors are what they were. A
server that was away is not asked again by whoever writes or reads, which would cost everybody its time-out, but by
a thread of its own, until it answers; meanwhile its farms' calls fail at once.

An assignment is in force everywhere at the latest `ASSIGNED_S` after it was made. While nobody can say where farms
are (the registry is down), the last answer stands; without one, `StoreUnavailable`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, TypeVar

from collectors.store.protocol import (
    Inventory,
    Level,
    Movable,
    PartlyCommitted,
    Point,
    ReadingsRejected,
    Store,
    StoreDamaged,
    StoreError,
    StoreUnavailable,
    Window,
)
from makiba.reading import Columns, Reading, Series

OWN: Final = "own"
ASSIGNED_S: Final = 5.0
PROBE_S: Final = (0.5, 15.0)
"""How often a server that is away is asked: at first, and at most."""

T = TypeVar("T")
log = logging.getLogger("makiba.store")


@dataclass(frozen=True, slots=True)
class Server:
    """Where a store server is. Its password or token is in a file of this machine, not here."""

    url: str
    user: str = ""


@dataclass(frozen=True, slots=True)
class Directory:
    """The servers by name, and the server of each farm that has been assigned to one."""

    servers: Mapping[str, Server] = field(default_factory=dict)
    server_of: Mapping[str, str] = field(default_factory=dict)


class RoutedStore:
    """See `collectors.store.protocol.Store` for what is promised, and the module for what is different."""

    def __init__(
        self,
        own: Store,
        look_up: Callable[[], Directory],
        open_server: Callable[[str, Server], Store],
        *,
        on_close: Callable[[], None] | None = None,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`look_up` asks the registry; what it raises means that the last answer stands."""
        self._on_close = on_close
        self._look_up, self._open_server, self._monotonic_s = look_up, open_server, monotonic_s
        self._directory: tuple[float, Directory] | None = None
        self._opened: dict[str, tuple[Server | None, Store]] = {OWN: (None, own)}
        self._away: dict[str, StoreError] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()

    # ------------------------------------------------------------------------------------------------- writing

    def write(self, readings: Sequence[Reading]) -> None:
        self.write_columns(Columns.of(readings))

    def write_columns(self, columns: Columns) -> None:
        directory = self._now()
        names = {site: directory.server_of.get(site, OWN) for site in {series[0] for series in columns.series}}
        if not names:
            return
        if not directory.servers:
            with self._using(OWN, directory) as store:
                store.write_columns(columns)
            return
        rows: dict[str, list[int]] = {}
        if len(set(names.values())) == 1:
            rows[next(iter(names.values()))] = list(range(len(columns)))
        else:
            for row, series in enumerate(columns.series):
                rows.setdefault(names[series[0]], []).append(row)
        rejected: list[tuple[int, str]] = []
        failed: dict[str, StoreError] = {}
        for name, mine in rows.items():
            try:
                with self._using(name, directory) as store:
                    store.write_columns(columns if len(rows) == 1 else _part(columns, mine))
            except ReadingsRejected as error:
                rejected += [(mine[index], reason) for index, reason in error.rejected]
            except StoreError as error:
                failed[name] = error
        if failed:
            raise PartlyCommitted(failed, sorted(row for name in failed for row in rows[name]), rejected)
        if rejected:
            raise ReadingsRejected(rejected)

    # ------------------------------------------------------------------------------------------- about one farm

    def latest(self, site: str, subjects: Collection[str] | None = None) -> Mapping[Series, Point]:
        with self._of(site) as store:
            return store.latest(site, subjects)

    def range(self, series: Series, start_ms: int, end_ms: int, limit: int | None = None) -> list[Point]:
        with self._of(series.site) as store:
            return store.range(series, start_ms, end_ms, limit)

    def windows(self, series: Series, start_ms: int, end_ms: int, width_ms: int, offset_ms: int = 0) -> list[Window]:
        with self._of(series.site) as store:
            return store.windows(series, start_ms, end_ms, width_ms, offset_ms)

    def series(self, site: str) -> list[Series]:
        with self._of(site) as store:
            return store.series(site)

    def gaps(self, series: Series, start_ms: int, end_ms: int, longer_than_ms: int) -> list[tuple[int, int]]:
        with self._of(series.site) as store:
            return store.gaps(series, start_ms, end_ms, longer_than_ms)

    def horizons_of(self, site: str) -> Mapping[Level, int]:
        """`Movable.horizons` of the farm's server."""
        with self._of(site) as store:
            return store.horizons() if isinstance(store, Movable) else {}

    # ------------------------------------------------------------------------------------------- about all of it

    def roll_up(self, before_ms: int, limit: int = 500) -> int:
        """Of all servers that answer; raises only where there was nothing else to do."""
        done, failed = self._each(lambda store: store.roll_up(before_ms, limit))
        if failed and not any(done.values()):
            raise next(iter(failed.values()))
        return sum(done.values())

    def expire(self, level: Level, before_ms: int) -> int:
        done, failed = self._each(lambda store: store.expire(level, before_ms))
        if failed:
            raise next(iter(failed.values()))
        return min(done.values())

    def delete_site(self, site: str) -> None:
        """On every server: a farm that was moved has left readings behind."""
        _, failed = self._each(lambda store: store.delete_site(site))
        if failed:
            raise next(iter(failed.values()))

    def check(self) -> None:
        """Returns when one server answers at least; which do not is in `away`."""
        done, failed = self._each(lambda store: store.check())
        if not done:
            raise next(iter(failed.values()))

    def inventory(self) -> Inventory:
        done, failed = self._each(lambda store: store.inventory())
        parts = list(done.values())
        away = {name: error for name, error in failed.items() if isinstance(error, StoreUnavailable)}
        levels = {level for part in parts for level in part.rows}
        return Inventory(
            series=sum(part.series for part in parts),
            rows={level: _sum(part.rows.get(level, 0) for part in parts) for level in levels},
            dirty=sum(part.dirty for part in parts),
            oldest_ms=min((p.oldest_ms for p in parts if p.oldest_ms is not None), default=None),
            newest_ms=max((p.newest_ms for p in parts if p.newest_ms is not None), default=None),
            problems=[
                *(f"{name}: {problem}" for name, part in done.items() for problem in part.problems),
                *(f"{name}: {error}" for name, error in failed.items() if name not in away),
            ],
            damaged=any(part.damaged for part in parts) or any(isinstance(e, StoreDamaged) for e in failed.values()),
            away=[f"{name}: {error}" for name, error in away.items()],
        )

    @property
    def away(self) -> Mapping[str, StoreError]:
        """The servers that do not answer, and why."""
        with self._lock:
            return dict(self._away)

    def close(self) -> None:
        self._closing.set()
        with self._lock:
            for _, store in self._opened.values():
                store.close()
            self._opened.clear()
        if self._on_close:
            self._on_close()

    # ------------------------------------------------------------------------------------------------- the rim

    def _now(self) -> Directory:
        now_s = self._monotonic_s()
        if self._directory is None or now_s >= self._directory[0]:
            try:
                directory = self._look_up()
            except Exception as error:
                # Whatever the registry's reason: farms do not move by themselves, so that the last answer stands.
                if self._directory is None:
                    raise StoreUnavailable(f"nobody says which server a farm is on: {error}") from error
                directory = self._directory[1]
            self._directory = (now_s + ASSIGNED_S, directory)
        return self._directory[1]

    @contextmanager
    def _of(self, site: str) -> Iterator[Store]:
        directory = self._now()
        with self._using(directory.server_of.get(site, OWN), directory) as store:
            yield store

    @contextmanager
    def _using(self, name: str, directory: Directory) -> Iterator[Store]:
        """The server `name`, opened. It is away from the moment that it fails until it answers its probe."""
        if not directory.servers:
            yield self._open(OWN, directory)
            return
        with self._lock:
            away = self._away.get(name)
        if away is not None:
            raise StoreUnavailable(f"store server {name}: {away}", PROBE_S[0])
        try:
            yield self._open(name, directory)
        except ReadingsRejected:
            raise
        except StoreError as error:
            self._send_away(name, directory, error)
            raise

    def _open(self, name: str, directory: Directory) -> Store:
        wanted = directory.servers.get(name)
        if name != OWN and wanted is None:
            raise StoreUnavailable(f"store server {name} is not in the registry any more")
        with self._lock:
            if self._closing.is_set():
                raise StoreUnavailable("this store is closed")
            known = self._opened.get(name)
            if known and known[0] == wanted:
                return known[1]
            store = self._open_server(name, wanted) if wanted else self._opened[OWN][1]
            self._opened[name] = (wanted, store)
        if known:
            known[1].close()
        return store

    def _send_away(self, name: str, directory: Directory, error: StoreError) -> None:
        with self._lock:
            if name in self._away or self._closing.is_set():
                return
            self._away[name] = error
        log.error("store server %s: %s; readings of its farms wait", name, error)
        threading.Thread(target=self._probe, args=(name, directory), name=f"probe {name}", daemon=True).start()

    def _probe(self, name: str, directory: Directory) -> None:
        wait_s = PROBE_S[0]
        while not self._closing.wait(wait_s):
            try:
                directory = self._look_up()
            except Exception:
                log.debug("the registry does not answer", exc_info=True)
            try:
                self._open(name, directory).check()
                break
            except StoreError:
                wait_s = min(PROBE_S[1], wait_s * 2)
        with self._lock:
            self._away.pop(name, None)
        if not self._closing.is_set():
            log.info("store server %s is back", name)

    def _each(self, ask: Callable[[Store], T]) -> tuple[dict[str, T], dict[str, StoreError]]:
        """What each server says, and those that failed."""
        directory = self._now()
        done: dict[str, T] = {}
        failed: dict[str, StoreError] = {}
        for name in (OWN, *sorted(directory.servers)):
            try:
                with self._using(name, directory) as store:
                    done[name] = ask(store)
            except StoreError as error:
                failed[name] = error
        return done, failed


def _part(columns: Columns, rows: Sequence[int]) -> Columns:
    series, times_ms, values = columns.series, columns.times_ms, columns.values
    return Columns([series[row] for row in rows], [times_ms[row] for row in rows], [values[row] for row in rows])


def _sum(counts: Iterator[int | None]) -> int | None:
    total = 0
    for count in counts:
        if count is None:
            return None
        total += count
    return total
