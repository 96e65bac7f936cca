"""Readings into packs and back: plain ones for what happens now, dense ones for what has to wait. Pure.

A plain pack is SenML JSON that any stock tool reads. A dense pack is series-major and deflated, about 5 bytes a
reading on the wire and at rest. `minute_means` makes less of what does not fit any more: numbers become the mean of
their minute, counters its last value; texts, and the quantities that lives depend on, are kept as they are.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from makiba.quantities import catalogue
from makiba.reading import Reading, Series
from makiba.senml import SenmlError, encode_json, parse_json, readings_of
from makiba.wire import BatchId

PACK_MOST: Final = 1000
"""Readings in one pack; more become several, so that a pack stays below the wire's limit."""
MINUTE_MS: Final = 60_000
LIFE_SAFETY: Final = frozenset({"hydrogen_sulfide", "oxygen", "carbon_monoxide", "methane"})
"""Quantities that are never thinned: what a gas did before somebody fell must be there afterwards."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One SenML pack, how many readings are in it, and its id. `is_held`: its times are not UTC yet."""

    id: BatchId
    readings: int
    pack: bytes
    is_deflated: bool = False
    is_held: bool = False


def plain_packs(readings: Sequence[Reading]) -> list[tuple[bytes, int]]:
    """Packs in the order of `readings`, each with its count."""
    parts = [readings[at : at + PACK_MOST] for at in range(0, len(readings), PACK_MOST)]
    return [(encode_json(part), len(part)) for part in parts]


def dense_packs(readings: Iterable[Reading]) -> list[tuple[bytes, int]]:
    """Deflated packs of at most `PACK_MOST`, the oldest readings in the first; each with its count."""
    ordered = sorted(readings, key=lambda r: r.time_ms)
    count = -(-len(ordered) // PACK_MOST)
    packs = []
    for part in range(count):
        rows = ordered[part * len(ordered) // count : (part + 1) * len(ordered) // count]
        packs.append((zlib.compress(encode_json(rows, series_major=True), 9), len(rows)))
    return packs


def readings_in(pack: bytes, *, is_deflated: bool) -> list[Reading] | None:
    """What `pack` holds; None when not all of it can be read here, so that it must stay as it is."""
    try:
        taken, refused = readings_of(parse_json(zlib.decompress(pack) if is_deflated else pack), 0.0)
    except (SenmlError, zlib.error):
        return None
    return None if refused else [reading for _, reading in taken]


def shifted(readings: Iterable[Reading], by_ms: int) -> list[Reading]:
    """The same, measured `by_ms` later."""
    return [replace(r, time_ms=r.time_ms + by_ms) for r in readings]


def minute_means(readings: Iterable[Reading]) -> list[Reading]:
    """One reading a minute and series, at the time of the minute's last one."""
    words = catalogue()
    kept: list[Reading] = []
    minutes: dict[tuple[Series, int], list[Reading]] = {}
    for reading in readings:
        if isinstance(reading.value, str) or reading.series.quantity in LIFE_SAFETY:
            kept.append(reading)
        else:
            minutes.setdefault((reading.series, reading.time_ms // MINUTE_MS), []).append(reading)
    for (series, _), rows in minutes.items():
        last = max(rows, key=lambda r: r.time_ms)
        if len(rows) == 1 or words[series.quantity].kind == "counter":
            kept.append(last)
        else:
            kept.append(replace(last, value=_mean([float(r.value) for r in rows])))
    return sorted(kept, key=lambda r: r.time_ms)


def _mean(values: Sequence[float]) -> float:
    """Rounded to one digit more than the values have: digits that were not measured cost bytes."""
    digits = max((len(text.partition(".")[2]) if "e" not in (text := repr(v)) else 12) for v in values)
    return round(sum(values) / len(values), digits + 1)
