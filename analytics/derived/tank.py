"""The bulk tank: how much warmth the milk has had, when it will be cold, how long it stays cold without power.

Where they fail: a sensor at the bottom reads too low while milk is added and when the agitator stands (NARO); hot
washing is no milk, so sums begin at the first milk after a wash. Nothing here knows milking or washing: the caller
says from when.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from analytics.derived.approach import Approach, Prior, fit_approach
from analytics.derived.numbers import UNKNOWN, Covered, Estimate, floats
from analytics.derived.sums import excess_hours

LOAD_FROM_C: Final = 4.0
LOAD_LIMIT_C_MIN: Final = 5000.0
"""Between first milk and a pick-up every second day (NARO Hokkaido, naro.affrc.go.jp harc h14 ho132)."""
COLD_C: Final = 4.4
"""To be reached within 2 h of the first milking (3-A 13; uitec.net)."""
COLDEST_END_C: Final = -20.0
"""No tank cools towards less: what a direct-expansion evaporator may run at (general knowledge)."""

FULL_TANK_PER_MIN: Final = 0.008 / 60
"""Proposed: a full insulated tank warms by 0.8 % of the difference to the barn in an hour (2.7 ℃ in 12 h at 28 ℃), of
the order that standards for farm tanks ask for. What is seen soon outweighs it."""
_LEAK_POWER: Final = 0.67
"""A part-full tank leaks through all of its wall into less milk (power 1) or through the wetted wall only (1/3)."""


def degree_minutes(
    times_ms: npt.ArrayLike, milk_c: npt.ArrayLike, reset_ms: float, now_ms: float, *, gap_s: float = 900.0
) -> Covered:
    """Sum over time of max(0, milk - 4 ℃) since the reset (pick-up and wash), in ℃ min; exact on irregular readings.

    Holes longer than `gap_s` are unknown and add nothing: the value is then a lower bound. Limit `LOAD_LIMIT_C_MIN`.
    """
    hours = excess_hours(times_ms, milk_c, LOAD_FROM_C, reset_ms, now_ms, gap_s=gap_s)
    return Covered(hours.value * 60.0, hours.known_s, hours.span_s)


def cooling_curve(
    times_ms: npt.ArrayLike, milk_c: npt.ArrayLike, *, coolant_c: float | None = None
) -> Approach | None:
    """Newton's cooling through readings since the milking's end; None with fewer than 4, or where it does not cool.

    `coolant_c`: of ice water or evaporator where it is measured; else it is free between -20 ℃ and the coldest
    reading. A compressor takes nearly constant heat at first, which a free and cold end describes; a tank that is
    held by its thermostat is no cooling curve any more: leave those readings out.
    """
    values = floats(milk_c)
    if not np.any(~np.isnan(values)):
        return None
    end = (COLDEST_END_C, float(np.nanmin(values))) if coolant_c is None else (coolant_c, coolant_c)
    return fit_approach(times_ms, values, end_c=end, warming=False)


def minutes_to_cold(
    times_ms: npt.ArrayLike,
    milk_c: npt.ArrayLike,
    now_ms: float,
    *,
    cold_c: float = COLD_C,
    coolant_c: float | None = None,
) -> Estimate:
    """Minutes from now until the milk is at `cold_c`; NaN while it does not cool, `high` may be infinite."""
    curve = cooling_curve(times_ms, milk_c, coolant_c=coolant_c)
    if curve is not None:
        return curve.minutes_to(cold_c, now_ms)
    seen = floats(milk_c)[~np.isnan(floats(milk_c))]
    return Estimate(0.0, 0.0, 0.0) if len(seen) and seen[-1] <= cold_c else UNKNOWN


def warming_prior(volume_m3: float | None, full_m3: float | None) -> Prior:
    """What is known of a tank's warming before it is seen: `FULL_TANK_PER_MIN` if full, faster with less milk."""
    if volume_m3 is None or full_m3 is None or not 0 < volume_m3 <= full_m3:
        return Prior(FULL_TANK_PER_MIN * 1.5, 2.7)
    emptier = full_m3 / volume_m3
    return Prior(FULL_TANK_PER_MIN * emptier**_LEAK_POWER, 2.0 * emptier**0.33)


def minutes_to_limit(
    times_ms: npt.ArrayLike,
    milk_c: npt.ArrayLike,
    now_ms: float,
    *,
    surround_c: float,
    limit_c: float,
    volume_m3: float | None = None,
    full_m3: float | None = None,
) -> Estimate:
    """Minutes from now until milk in a tank without power is at `limit_c`; infinite where the barn is not warmer.

    `times_ms`, `milk_c`: the readings since the cut, and the last before it. `surround_c`: the air around the tank,
    as it will be (in doubt, the day's highest: that errs to the early side). With one reading it is the prior
    alone, and its interval is wide; after some hours the readings decide. Volumes sharpen the prior, and are not
    needed. NaN without readings.

    Fails: without agitation the top is warmer than a sensor at the bottom says; warm milk that was poured in just
    before the cut is not the milk that the sensor sees.
    """
    curve = fit_approach(
        times_ms,
        milk_c,
        end_c=(surround_c, surround_c),
        warming=True,
        prior=warming_prior(volume_m3, full_m3),
    )
    if curve is not None:
        return curve.minutes_to(limit_c, now_ms)
    values = floats(milk_c)
    seen = values[~np.isnan(values)]
    if not len(seen):
        return UNKNOWN
    return Estimate(0.0, 0.0, 0.0) if seen[-1] >= limit_c else Estimate(np.inf, np.inf, np.inf)
