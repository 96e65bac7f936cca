"""Where a series begins and ends, within the times at which somebody may see it.

Asked with few and small questions, whatever the store: the first reading is one; the last, where it is not simply the
newest, is found by halving what is left, some forty questions for one reading each.
"""

from __future__ import annotations

from collections.abc import Sequence

from collectors.out.stretches import seen
from collectors.registry.sight import Span
from collectors.store import Point, Store
from makiba.reading import EARLIEST_MS, LATEST_MS, Series


def first_ms(store: Store, series: Series, spans: Sequence[Span]) -> int | None:
    """The time of the first reading in `spans`; None when there is none."""
    for start_ms, end_ms in seen(spans, EARLIEST_MS, LATEST_MS + 1):
        if found := store.range(series, start_ms, end_ms, 1):
            return found[0].time_ms
    return None


def last_ms(store: Store, series: Series, spans: Sequence[Span], newest: Point | None) -> int | None:
    """The time of the last reading in `spans`; `newest` is the newest of all (`Store.latest`)."""
    if newest is None:
        return None
    for start_ms, end_ms in reversed(list(seen(spans, EARLIEST_MS, newest.time_ms + 1))):
        if start_ms <= newest.time_ms < end_ms:
            return newest.time_ms
        if (found := _last_in(store, series, start_ms, end_ms)) is not None:
            return found
    return None


def _last_in(store: Store, series: Series, start_ms: int, end_ms: int) -> int | None:
    last = None
    while start_ms < end_ms:
        middle_ms = (start_ms + end_ms) // 2
        if found := store.range(series, middle_ms, end_ms, 1):
            last = found[0].time_ms
            start_ms = last + 1
        else:
            end_ms = middle_ms
    return last
