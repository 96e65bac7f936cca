"""Water that a herd drank, per cow and day, from a counter or a flow."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analytics.derived.numbers import Covered
from analytics.derived.signals import counted
from analytics.derived.sums import integral

DAY_S = 86_400.0
LITRES = 1000.0
ENOUGH = 0.5


def per_cow_day_l(drunk: Covered, cows: float) -> float:
    """Litres per cow and day of a volume in m³ with its coverage; NaN without cows, or with less than half known.

    Scaled from the known time to the day: of a span with holes at night it says too much. Cows need some 80-130 L a
    day, and less than 40 means that something is wrong with the water (general knowledge, not a published limit).
    One meter mostly serves the parlour too (10-20 L per cow and day of washing), and calves.
    """
    if not cows > 0 or drunk.coverage < ENOUGH:
        return float("nan")
    return drunk.value / drunk.known_s * DAY_S * LITRES / cows


def herd_water_counter(
    times_ms: npt.ArrayLike,
    total_m3: npt.ArrayLike,
    start_ms: float,
    end_ms: float,
    *,
    wrap_m3: float | None = None,
    largest_m3_s: float | None = None,
) -> Covered:
    """Cubic metres in [start, end) by a water meter that counts up; resets and wraps as in `signals.increments`."""
    return counted(times_ms, total_m3, start_ms, end_ms, wrap=wrap_m3, largest_per_s=largest_m3_s)


def herd_water_flow(
    times_ms: npt.ArrayLike, flow_m3_s: npt.ArrayLike, start_ms: float, end_ms: float, *, gap_s: float
) -> Covered:
    """Cubic metres in [start, end) by a flow meter; backward flow counts as none.

    Drinking comes in short bursts: polled less often than every minute a flow misses or doubles them; prefer a
    counter.
    """
    forward = np.maximum(0.0, np.asarray(flow_m3_s, dtype=np.float64))
    return integral(times_ms, forward, start_ms, end_ms, gap_s=gap_s)
