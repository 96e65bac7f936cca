"""How heat and cold are for animals: THI in two forms, felt temperature, wind chill, the day's load of heat.

Value by value, scalars and arrays alike; NaN where an input is NaN. They do not judge: bands and limits are numbers
of rules, with their sources.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from analytics.derived.air import SEA_LEVEL_PA, wet_bulb
from analytics.derived.numbers import JAPAN_OFFSET_MS, Covered, FloatArray, floats
from analytics.derived.sums import by_day, excess_hours

LOAD_FROM_THI: Final = 68.0
"""From where modern cows lose milk (daily mean; Collier 2012, Bernabucci 2010, via dairy.katestone.com.au)."""


def thi(air_c: npt.ArrayLike, rh_pct: npt.ArrayLike) -> FloatArray:
    """Temperature-humidity index of cattle, dimensionless, in the broadcast shape of the inputs; NaN where either is.

    `air_c`: dry bulb in ℃; `rh_pct`: relative humidity in percent, cut to 0..100 (a wet sensor says up to 105).
    THI = 0.8 T + RH/100 (T - 14.4) + 46.4, the form used in Japan (shepherd-clc.com, archives 3304). At 24 ℃ and
    75 % it gives 72.8; `thi_nrc` gives 72.9. Without wind and sun: under fans cows feel less, on pasture more.
    """
    air = np.asarray(air_c, dtype=np.float64)
    share = np.clip(np.asarray(rh_pct, dtype=np.float64), 0.0, 100.0) / 100.0
    return np.asarray(0.8 * air + share * (air - 14.4) + 46.4, dtype=np.float64)


def thi_nrc(air_c: npt.ArrayLike, rh_pct: npt.ArrayLike) -> FloatArray:
    """The same index in the form of most papers: (1.8T + 32) - (0.55 - 0.0055 RH)(1.8T - 26.8); RH cut to 0..100.

    Within 0.5 of `thi` from 15 to 35 ℃. Source: NRC (1971), A Guide to Environmental Research on Animals.
    """
    air, rh = floats(air_c), np.clip(floats(rh_pct), 0.0, 100.0)
    return np.asarray((1.8 * air + 32) - (0.55 - 0.0055 * rh) * (1.8 * air - 26.8), dtype=np.float64)


def felt_temperature(
    air_c: npt.ArrayLike, rh_pct: npt.ArrayLike, pressure_pa: npt.ArrayLike = SEA_LEVEL_PA
) -> FloatArray:
    """Felt temperature of cows in ℃: 0.35 dry bulb + 0.65 wet bulb; for the warm season, without wind.

    Respiration rises from 19.4, rectal temperature from 21.6, intake falls from 21.7, milk from 22.2 (the last two
    as means of a day). Source: Rakuno Gakuen University, rp.rakuno.ac.jp/?p=1788. NaN as `wet_bulb`.
    """
    return 0.35 * floats(air_c) + 0.65 * wet_bulb(air_c, rh_pct, pressure_pa)


def wind_chill(air_c: npt.ArrayLike, wind_m_s: npt.ArrayLike) -> FloatArray:
    """Wind chill in ℃ after JAG/TI: 13.12 + 0.6215 T - 11.37 V^0.16 + 0.3965 T V^0.16, V in km/h at 10 m height.

    Below 4.8 km/h (1.3 m/s) and above 10 ℃ it is the air temperature itself: the formula is not meant for there.
    Made for a walking adult's face: of a calf it tells that wind counts, not how long it lives; in a hutch measure
    at the calf, and know that 2 m above ground the wind is about two thirds of that at 10 m. NaN where an input is,
    or the wind is negative. Source: Environment Canada, wind chill calculation chart (2001 index).
    """
    air, wind = np.broadcast_arrays(floats(air_c), floats(wind_m_s))
    power = (np.where(wind >= 0, wind, np.nan) * 3.6) ** 0.16
    chill = 13.12 + 0.6215 * air - 11.37 * power + 0.3965 * air * power
    calm = (wind * 3.6 < 4.8) | (air > 10.0)
    return np.where(calm & ~np.isnan(chill), air, np.where(np.isnan(air), np.nan, np.minimum(chill, air)))


def thi_load_by_day(
    times_ms: npt.ArrayLike,
    index: npt.ArrayLike,
    *,
    from_thi: float = LOAD_FROM_THI,
    gap_s: float = 3600.0,
    offset_ms: int = JAPAN_OFFSET_MS,
) -> Mapping[int, Covered]:
    """THI-hours above `from_thi` of each day that has readings: the sum over time of max(0, THI - 68), in THI x h.

    By the start of the day (ms, midnight at `offset_ms` from UTC). Readings may come at any times; between two the
    index runs straight, and a hole longer than `gap_s` is unknown: the value is then of the rest, and a lower
    bound. Source of the idea: Frontiers in Animal Science 2022, 946592. Milk answers 1-2 days later.
    """
    return by_day(times_ms, offset_ms, lambda a, b: excess_hours(times_ms, index, from_thi, a, b, gap_s=gap_s))
