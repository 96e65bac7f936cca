"""Which part of a question may be answered to somebody who sees a series only at times (`registry.sight`). Pure.

A reading is seen or not by its own time. A window is seen where all of it is: one that touches a time that is not to
be seen may be stored folded together with it, and is left out. Where raw readings have expired, a day may stand for
what was asked for in minutes, whole, at its start: there, what is seen ends at a midnight.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol, runtime_checkable

from collectors.registry.sight import ALWAYS, Span
from collectors.store import Store
from collectors.store.levels import day_of
from collectors.store.protocol import Level, Movable


def seen(spans: Iterable[Span], start_ms: int, end_ms: int) -> Iterator[Span]:
    """What of `spans` lies in [start_ms, end_ms), in order."""
    for from_ms, to_ms in spans:
        first, last = max(from_ms, start_ms), min(to_ms, end_ms)
        if first < last:
            yield first, last


def seen_windows(
    spans: Iterable[Span], start_ms: int, end_ms: int, width_ms: int, offset_ms: int, raw_from_ms: int = 0
) -> Iterator[Span]:
    """`seen`, in whole windows but for the ends of the question itself; raw has expired before `raw_from_ms`."""
    for from_ms, to_ms in spans:
        if to_ms < raw_from_ms:
            to_ms = day_of(to_ms)
        first = floor(start_ms, width_ms, offset_ms)
        first = start_ms if from_ms <= first else -floor(-from_ms, width_ms, -offset_ms)
        last = -floor(-end_ms, width_ms, -offset_ms)
        last = end_ms if to_ms >= last else floor(to_ms, width_ms, offset_ms)
        if first < last:
            yield first, last


def floor(at_ms: int, width_ms: int, offset_ms: int) -> int:
    """The start of the window that holds `at_ms`."""
    return (at_ms - offset_ms) // width_ms * width_ms + offset_ms


@runtime_checkable
class _ByFarm(Protocol):
    """A store made of several."""

    def horizons_of(self, site: str) -> Mapping[Level, int]: ...


def raw_from_ms(store: Store, site: str, spans: Iterable[Span]) -> int:
    """Since when raw readings of `site` are kept; 0 where `spans` do not end, so that it does not matter."""
    if all(to_ms >= ALWAYS[1] for _, to_ms in spans):
        return 0
    if isinstance(store, _ByFarm):
        return store.horizons_of(site).get("raw", 0)
    return store.horizons().get("raw", 0) if isinstance(store, Movable) else ALWAYS[1]
