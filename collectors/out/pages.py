"""Readings and windows of a store, a page at a time, so that memory is flat however many there are.

A page is a few thousand; only as many pages as there are columns side by side are in memory at once. What is written
while pages are read is seen or not, as it comes.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from collectors.registry.sight import Span
from collectors.store import Point, Store, Window
from collectors.store.levels import DAY_MS, DAY_OFFSET_MS
from makiba.reading import Series

PAGE: Final = 5_000
TOGETHER: Final = 40_000
"""Points in memory at once where series stand side by side."""
SMALLEST_PAGE: Final = 50
STRIDE_MS: Final = 100 * DAY_MS


def points(store: Store, series: Series, stretches: Iterable[Span], page: int = PAGE) -> Iterator[list[Point]]:
    """The readings of each of [start_ms, end_ms), ascending."""
    for start_ms, end_ms in stretches:
        while start_ms < end_ms:
            found = store.range(series, start_ms, end_ms, page)
            if found:
                yield found
                start_ms = found[-1].time_ms + 1
            if len(found) < page:
                break


def windows(
    store: Store, series: Series, stretches: Iterable[Span], width_ms: int, offset_ms: int, page: int = PAGE
) -> Iterator[list[Window]]:
    """The windows of each of [start_ms, end_ms), ascending; a window that the edge cuts counts what is inside.

    A page is a stretch that could hold `page` windows. Where there is nothing, no page is asked for: a thousand years
    of seconds cost as little as what is stored in them.
    """
    step = page * width_ms
    for start_ms, end_ms in stretches:
        at_ms = start_ms
        for from_ms, to_ms in _filled(store, series, start_ms, end_ms):
            at_ms = max(at_ms, _aligned(from_ms, width_ms, offset_ms))
            while at_ms < to_ms:
                until_ms = min(_aligned(at_ms + step, width_ms, offset_ms), end_ms)
                found = store.windows(series, at_ms, until_ms, width_ms, offset_ms)
                if found:
                    yield found
                at_ms = until_ms


def _aligned(time_ms: int, width_ms: int, offset_ms: int) -> int:
    """The start of the window that holds `time_ms`."""
    return time_ms - (time_ms - offset_ms) % width_ms


def side_by_side(
    store: Store, series: Sequence[Series], stretches: Sequence[Iterable[Span]]
) -> Iterator[tuple[int, int, Point]]:
    """(time_ms, place in `series`, point) of all of them, ascending in time; each in its own stretches."""
    page = _page_of(series)

    def one(place: int, single: Series) -> Iterator[tuple[int, int, Point]]:
        for found in points(store, single, stretches[place], page):
            for point in found:
                yield point.time_ms, place, point

    return heapq.merge(*(one(place, single) for place, single in enumerate(series)))


def windows_side_by_side(
    store: Store, series: Sequence[Series], stretches: Sequence[Iterable[Span]], width_ms: int, offset_ms: int
) -> Iterator[tuple[int, int, Window]]:
    """(start_ms, place in `series`, window) of all of them, ascending in time."""
    page = _page_of(series)

    def one(place: int, single: Series) -> Iterator[tuple[int, int, Window]]:
        for found in windows(store, single, stretches[place], width_ms, offset_ms, page):
            for window in found:
                yield window.start_ms, place, window

    return heapq.merge(*(one(place, single) for place, single in enumerate(series)))


def _page_of(series: Sequence[Series]) -> int:
    return max(SMALLEST_PAGE, min(PAGE, TOGETHER // max(1, len(series))))


def _filled(store: Store, series: Series, start_ms: int, end_ms: int) -> list[Span]:
    """What of [start_ms, end_ms) holds all of its readings, in strides. Every store answers it from its roll-ups."""
    found = store.windows(series, start_ms, end_ms, STRIDE_MS, DAY_OFFSET_MS)
    return [(max(start_ms, one.start_ms), min(end_ms, one.start_ms + STRIDE_MS)) for one in found]
