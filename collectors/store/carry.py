"""Moving what is older than FROM's raw readings: roll-ups, which are all that is left there.

TO must have forgotten its raw readings up to the same time, or a late reading could make it fold a window anew out of
that reading alone. So TO takes over FROM's horizons first, which removes nothing: where TO holds anything older, a
person has to decide (`CarryRefused`). A store forgets whole partitions (SQLite weeks from Monday, InfluxDB days, both
of UTC+9), so that TO's horizon may come out earlier than FROM's; the roll-ups in between have no safe place there,
and that is refused too.

Windows are compared after they were written: count, minimum, maximum and last to the bit, the mean to a double's
rounding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from collectors.store.fold import is_text
from collectors.store.levels import DAY_OFFSET_MS
from collectors.store.protocol import Level, Movable, Store, Window
from makiba.reading import EARLIEST_MS, Series

PAGE: Final = 5_000
ROLLED: Final[tuple[Level, ...]] = ("minute", "quarter", "day")


class CarryRefused(Exception):
    """What is older than FROM's raw readings cannot be taken over as things are; the message says what would help."""


@dataclass(frozen=True, slots=True)
class Carried:
    """How many roll-ups were carried, and how many are not the same in TO afterwards."""

    windows: int = 0
    unequal: int = 0


def raw_horizon_ms(store: Store) -> int:
    """From when on `store` has raw readings; `EARLIEST_MS` where nothing of them has expired."""
    return max(store.horizons().get("raw", EARLIEST_MS), EARLIEST_MS) if isinstance(store, Movable) else EARLIEST_MS


def take_over_horizons(source: Store, target: Store) -> None:
    """Makes `target` forget what `source` has forgotten. `CarryRefused` where that would not be safe."""
    if not isinstance(source, Movable):
        return
    for level, before_ms in source.horizons().items():
        if before_ms <= EARLIEST_MS:
            continue
        if not isinstance(target, Movable):
            raise CarryRefused("FROM has expired readings, and TO keeps no roll-ups that could stand for them")
        if target.horizons().get(level, EARLIEST_MS) >= before_ms:
            continue
        if held := _older(target, level, before_ms):
            raise CarryRefused(
                f"FROM has no {level} readings before {_day(before_ms)}, and TO has ({held}): expire them in TO up "
                "to that day, or leave the time before it out with --since"
            )
        reached_ms = target.expire(level, before_ms)
        if level == "raw" and reached_ms < before_ms:
            raise CarryRefused(
                f"FROM's raw readings begin on {_day(before_ms)}, but TO can only forget up to {_day(reached_ms)}; "
                "the roll-ups in between have no safe place there: expire FROM's raw readings up to a Monday first"
            )


def carry(source: Store, target: Store, series: Series, start_ms: int, end_ms: int) -> Carried:
    """Carries the roll-ups of `series` that begin in [start_ms, end_ms) and before `source`'s raw horizon."""
    end_ms = min(end_ms, raw_horizon_ms(source))
    if not (isinstance(source, Movable) and isinstance(target, Movable)) or is_text(series.quantity):
        return Carried()
    windows = unequal = 0
    for level in ROLLED:
        at_ms = start_ms
        while at_ms < end_ms and (page := source.rollups(series, level, at_ms, end_ms, PAGE)):
            until_ms = page[-1].start_ms + 1
            if differing(page, target.rollups(series, level, at_ms, until_ms)):
                target.carry(series, level, page)
                unequal += differing(page, target.rollups(series, level, at_ms, until_ms))
            windows += len(page)
            at_ms = until_ms
    return Carried(windows, unequal)


def differing(wanted: Sequence[Window], there: Sequence[Window]) -> int:
    """How many of `wanted` are not `there`, but for the rounding of means."""
    found = {window.start_ms: window for window in there}
    return sum(not _same(window, found.get(window.start_ms)) for window in wanted)


def _same(one: Window, other: Window | None) -> bool:
    return (
        other is not None
        and (one.count, one.minimum, one.maximum, one.last) == (other.count, other.minimum, other.maximum, other.last)
        and math.isclose(one.mean, other.mean, rel_tol=1e-12)
    )


def _older(store: Movable, level: Level, before_ms: int) -> str:
    """The name of a series of `store` that holds something of `level` before that time; empty when none does."""
    for site in store.sites():
        for series in store.series(site):
            if level in ("raw", "text"):
                is_held = is_text(series.quantity) == (level == "text") and bool(store.range(series, 0, before_ms, 1))
            else:
                is_held = bool(store.rollups(series, level, 0, before_ms, 1))
            if is_held:
                return str(series)
    return ""


def _day(time_ms: int) -> str:
    return f"{datetime.fromtimestamp((time_ms - DAY_OFFSET_MS) / 1000, UTC):%Y-%m-%d}"
