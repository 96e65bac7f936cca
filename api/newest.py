"""The newest values of many farms, kept for a moment: an overview of a hundred does not ask the store for each.

A farm's values are read from the store when they are asked for the first time. While they are younger than `FRESH_S`
they are told as they are; when they are older, a thread reads them anew, and meanwhile they are told as long as they
are younger than `STALE_S`. After each farm that thread rests twice as long as it read, so that it never has the
processor to itself while somebody waits for an answer. Each value has its own time, so that nobody takes an old one
for new. Nothing here asks who looks: what is told to whom is decided with each answer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from collectors.store import Point, Store, StoreError
from makiba.data_class import DataClass
from makiba.reading import Series

FRESH_S: Final = 5.0
STALE_S: Final = 60.0
RESTS: Final = 2.0
"""So many times as long as it read a farm the thread rests: 2,000 farms of 5 ms each are read in 30 s."""
MAX_FARMS: Final = 2_000

STATE: Final = "state"
KEY: Final[Mapping[DataClass, tuple[str, ...]]] = {
    "tank": ("milk_temperature", "milk_volume"),
    "barn": ("air_temperature", "relative_humidity"),
    "field": ("soil_moisture",),
    "weather": ("air_temperature", "relative_humidity"),
}
"""Which quantities say most about a class."""
_KEPT: Final = frozenset({STATE, *(quantity for quantities in KEY.values() for quantity in quantities)})
"""What is kept of a farm."""

Values = Mapping[Series, Point]


class Newest:
    """One per process; threads share it. Of each farm it keeps the series whose quantity is in `KEY`, and states."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, tuple[float, Values]] = {}
        self._guard = threading.Lock()
        self._reading: set[str] = set()
        self._closed = threading.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="newest")

    def of(self, sites: Iterable[str]) -> Mapping[str, Values]:
        """The newest values of each farm. `StoreError` when the store does not answer, and they are not known."""
        found: dict[str, Values] = {}
        for site in sites:
            read_s, values = self._known.get(site, (float("-inf"), {}))
            age_s = time.monotonic() - read_s
            if age_s >= STALE_S:
                values = self._read(site)
            elif age_s >= FRESH_S:
                self._later(site)
            found[site] = values
        return found

    def close(self) -> None:
        """Waits for what is being read."""
        self._closed.set()
        self._thread.shutdown(cancel_futures=True)

    def _later(self, site: str) -> None:
        with self._guard:
            if site in self._reading:
                return
            self._reading.add(site)
        self._thread.submit(self._refresh, site)

    def _refresh(self, site: str) -> None:
        begun_s = time.monotonic()
        try:
            self._read(site)
        except StoreError:
            pass  # told from the answer that finds the values stale
        finally:
            with self._guard:
                self._reading.discard(site)
        self._closed.wait(RESTS * (time.monotonic() - begun_s))

    def _read(self, site: str) -> Values:
        begun_s = time.monotonic()
        values = {series: point for series, point in self._store.latest(site).items() if series.quantity in _KEPT}
        with self._guard:
            while len(self._known) >= MAX_FARMS and site not in self._known:
                del self._known[min(self._known, key=lambda known: self._known[known][0])]
            self._known[site] = begun_s, values
        return values
