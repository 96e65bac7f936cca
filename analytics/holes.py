"""Fills a judge from the store: whatever the feed did not bring, in the order it was measured.

The store is the truth. Reading it again is harmless, since a judge passes over what it has seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from analytics.judge import LOOK_BACK_MS, Judge
from analytics.seen import STATE
from collectors.store import Point, Store
from makiba.reading import Reading, Series

STATE_EVERY_MS: Final = 300_000
"""With which a state that was not said again after 10 min shows a gap."""
SLICE_MS: Final = 1_800_000
"""Readings are taken into memory for so long a stretch at a time."""


def fill(
    judge: Judge,
    store: Store,
    site: str,
    now_ms: int,
    tell: Callable[[Sequence[Reading]], None] = lambda _: None,
) -> int:
    """Feeds `judge` all it has missed of `site` up to the newest reading of each series; how many that were.

    `tell` hears of readings before they are fed. Raises `StoreError`; what was fed until then stays.
    """
    latest = store.latest(site)
    judge.learn(latest)
    spans: dict[Series, tuple[int, int]] = {}
    seeds: list[Reading] = []
    for series, reach_ms in judge.needs().items():
        point = latest.get(series)
        if point is None or point.time_ms <= judge.newest_ms(series):
            continue
        start_ms = max(judge.newest_ms(series) + 1, now_ms - min(reach_ms, LOOK_BACK_MS))
        if point.time_ms < start_ms:
            seeds.append(Reading(series, point.time_ms, point.value))  # a state that was said once, long ago
        else:
            spans[series] = (start_ms, point.time_ms + 1)
    judge.feed(seeds)
    count = len(seeds) + _feed_slices(judge, store, spans, tell)
    judge.fill_history(store, now_ms)
    return count


def _feed_slices(
    judge: Judge,
    store: Store,
    spans: Mapping[Series, tuple[int, int]],
    tell: Callable[[Sequence[Reading]], None],
) -> int:
    if not spans:
        return 0
    count = 0
    end_ms = max(end for _, end in spans.values())
    slice_ms = min(start for start, _ in spans.values())
    while slice_ms < end_ms:
        until_ms = slice_ms + SLICE_MS
        readings: list[Reading] = []
        for series, (start, end) in spans.items():
            readings += _range(store, series, max(start, slice_ms), min(end, until_ms))
        tell(readings)
        judge.feed(readings)
        count += len(readings)
        slice_ms = until_ms
    return count


def readings_between(store: Store, series: Iterable[Series], from_ms: int, to_ms: int) -> Iterator[Reading]:
    """The readings of `series` in [from_ms, to_ms) in ascending time, a slice in memory at a time."""
    wanted = list(series)
    for start_ms in range(from_ms, to_ms, SLICE_MS):
        end_ms = min(to_ms, start_ms + SLICE_MS)
        found = [reading for one in wanted for reading in _range(store, one, start_ms, end_ms)]
        yield from sorted(found, key=lambda reading: reading.time_ms)


def with_holes(judge: Judge, store: Store, pack: Sequence[Reading], every_ms: Mapping[str, int]) -> list[Reading]:
    """`pack`, and from the store what seems to be missing between it and the newest of its series.

    `every_ms`: how often each subject is polled. A state is said when it changes, and again every 10 min.
    """
    first: dict[Series, int] = {}
    for reading in pack:
        first[reading.series] = min(reading.time_ms, first.get(reading.series, reading.time_ms))
    found = list(pack)
    needs = judge.needs() if any(judge.newest_ms(s) == 0 for s in first) else {}
    for series, time_ms in first.items():
        newest_ms = judge.newest_ms(series)
        every = STATE_EVERY_MS if series.quantity == STATE else every_ms.get(series.subject)
        if newest_ms == 0:
            start_ms = time_ms - min(needs.get(series, 0), LOOK_BACK_MS)
        elif every is None or time_ms - newest_ms > 2.5 * every:
            start_ms = max(newest_ms + 1, time_ms - LOOK_BACK_MS)
        else:
            continue
        found += _range(store, series, start_ms, time_ms)
    return found


def _range(store: Store, series: Series, start_ms: int, end_ms: int) -> Iterable[Reading]:
    if start_ms >= end_ms:
        return []
    points: list[Point] = store.range(series, start_ms, end_ms)
    return [Reading(series, p.time_ms, p.value) for p in points]
