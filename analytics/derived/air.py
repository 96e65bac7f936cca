"""What temperature and humidity say about air: vapour pressure, dew and frost point, wet bulb, grams of water.

All functions work value by value, on scalars and arrays alike (broadcast), and answer NaN where an input is NaN or
outside the range that they name. Relative humidity is in percent *over water* also below 0 ℃, as instruments give
it (WMO-No. 8, part I, chapter 4); it is cut to 0..100, since a wet sensor says up to 105.

Where they fail: a capacitive humidity sensor is some ±3 % (more near saturation and below 0 ℃), which is ±0.5 ℃ of
dew point in damp air and several degrees in dry air. No formula mends that.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from analytics.derived.numbers import FloatArray, floats

KELVIN: Final = 273.15
SEA_LEVEL_PA: Final = 101_325.0
MASS_RATIO: Final = 0.62198
"""Molar mass of water over that of dry air (WMO-No. 8, annex 4.B)."""

# Buck (1996), CR-1A User's Manual, appendix 1; successor of Buck (1981), J. Appl. Meteorol. 20, 1527-1532.
_WATER: Final = (6.1121, 18.678, 234.5, 257.14)
_ICE: Final = (6.1115, 23.036, 333.7, 279.82)

# AMS Glossary, "psychrometric formula" (Ferrel): per K, with the bulb wet or covered with ice.
_BULB_WATER: Final = 6.60e-4
_BULB_ICE: Final = 5.82e-4
_BULB_SLOPE: Final = 1.15e-3
_STULL_RH: Final = (5.0, 10.0, 15.0, 20.0, 30.0, 50.0)
_STULL_COLDEST: Final = (20.0, 5.0, -2.0, -5.0, -12.0, -20.0)
_NEWTON_STEPS: Final = 12
"""From the dry bulb downwards Newton converges from one side (the function is convex); 6 steps give 1e-9 ℃."""


def _buck(temperature_c: FloatArray, constants: tuple[float, float, float, float]) -> FloatArray:
    e0, a, b, c = constants
    return np.asarray(e0 * np.exp((a - temperature_c / b) * temperature_c / (c + temperature_c)), dtype=np.float64)


def _buck_inverse(vapour_hpa: FloatArray, constants: tuple[float, float, float, float]) -> FloatArray:
    """The root of the quadratic that Buck's formula is in the temperature, in the form without cancellation."""
    e0, a, b, c = constants
    with np.errstate(divide="ignore", invalid="ignore"):
        s = np.where(vapour_hpa > 0, np.log(vapour_hpa / e0), np.nan)
        return np.asarray(2 * c * s / ((a - s) + np.sqrt((a - s) ** 2 - 4 * c * s / b)), dtype=np.float64)


def _within(values: FloatArray, low: float, high: float) -> FloatArray:
    return np.where((values >= low) & (values <= high), values, np.nan)


def _share(rh_pct: npt.ArrayLike) -> FloatArray:
    return np.clip(floats(rh_pct), 0.0, 100.0) / 100.0


def saturation_hpa(temperature_c: npt.ArrayLike) -> FloatArray:
    """Saturation vapour pressure over water in hPa, also supercooled; -80..60 ℃, else NaN.

    Pure vapour: in air at 1000 hPa the true value is 0.4 % higher (Buck's enhancement factor), which no barn sensor
    sees. Source: Buck (1996), CR-1A User's Manual, appendix 1.
    """
    return _buck(_within(floats(temperature_c), -80, 60), _WATER)


def saturation_ice_hpa(temperature_c: npt.ArrayLike) -> FloatArray:
    """Saturation vapour pressure over ice in hPa; -80..0.01 ℃, else NaN. Source: Buck (1996)."""
    return _buck(_within(floats(temperature_c), -80, 0.01), _ICE)


def vapour_hpa(air_c: npt.ArrayLike, rh_pct: npt.ArrayLike) -> FloatArray:
    """Vapour pressure in hPa of air at `air_c` with `rh_pct` over water."""
    return _share(rh_pct) * saturation_hpa(air_c)


def dew_point(air_c: npt.ArrayLike, rh_pct: npt.ArrayLike) -> FloatArray:
    """Dew point in ℃, over water also below 0 ℃; never above `air_c`; NaN at 0 %.

    The exact inverse of `saturation_hpa`. Below 0 ℃ what forms is frost, earlier: `frost_point`. Source: Buck (1996).
    """
    air = floats(air_c)
    return np.minimum(_buck_inverse(vapour_hpa(air, rh_pct), _WATER), air)


def frost_point(air_c: npt.ArrayLike, rh_pct: npt.ArrayLike) -> FloatArray:
    """Frost point in ℃: to what a surface has to cool for frost; NaN where dew comes instead (above 0 ℃), and at 0 %.

    Not below the dew point; above `air_c` where the air is supersaturated over ice. Source: Buck (1996), over ice.
    """
    found = _buck_inverse(vapour_hpa(air_c, rh_pct), _ICE)
    return np.where(found <= 0.0, found, np.nan)


def wet_bulb(
    air_c: npt.ArrayLike, rh_pct: npt.ArrayLike, pressure_pa: npt.ArrayLike = SEA_LEVEL_PA, *, ice: bool = True
) -> FloatArray:
    """Wet bulb of a ventilated psychrometer in ℃, between dew point and `air_c`; -60..60 ℃, 30..120 kPa, else NaN.

    Solves e = es(tw) - A p (t - tw) (1 + 0.00115 tw), A = 6.60e-4/K; with `ice` a bulb that comes below 0 ℃ is
    covered with ice (es over ice, A = 5.82e-4), as it is after minutes in the open: that reads up to 0.3 ℃ higher in
    damp air and up to 0.5 ℃ lower in dry. In air that is supersaturated over ice the answer stops at `air_c`. Unlike
    Stull's fit it holds in the cold and at any height. Source: AMS Glossary of Meteorology, "psychrometric formula";
    Smithsonian Meteorological Tables, p. 365.
    """
    air, rh, pressure = np.broadcast_arrays(_within(floats(air_c), -60, 60), floats(rh_pct), floats(pressure_pa))
    pressure_hpa = _within(pressure, 30_000, 120_000) / 100.0
    vapour = vapour_hpa(air, rh)
    wet = _solve_bulb(air, vapour, pressure_hpa, _WATER, _BULB_WATER)
    if ice:
        iced = np.minimum(_solve_bulb(air, vapour, pressure_hpa, _ICE, _BULB_ICE), 0.0)
        wet = np.where(wet < 0.0, iced, wet)
    return floats(np.minimum(wet, air))


def _solve_bulb(
    air: FloatArray, vapour: FloatArray, pressure: FloatArray, constants: tuple[float, float, float, float], a: float
) -> FloatArray:
    _, slope, b, c = constants
    tw: FloatArray = air.copy()
    for _ in range(_NEWTON_STEPS):
        es = _buck(tw, constants)
        log_slope = (slope - 2 * tw / b) / (c + tw) - (slope - tw / b) * tw / (c + tw) ** 2
        f = es - a * pressure * (air - tw) * (1 + _BULB_SLOPE * tw) - vapour
        df = es * log_slope + a * pressure * (1 + _BULB_SLOPE * (2 * tw - air))
        tw = tw - f / df
    return np.asarray(tw, dtype=np.float64)


def wet_bulb_stull(air_c: npt.ArrayLike, rh_pct: npt.ArrayLike) -> FloatArray:
    """Wet bulb in ℃ at sea level by Stull's fit: quick, within -1..+0.65 ℃ of the psychrometer.

    NaN outside its range: -20..50 ℃, 5..99 %, and where it is both cold and dry; the paper draws that border in
    figure 3, ours is where the fit leaves the errors that the paper states (30 % at -12 ℃, 20 % at -5 ℃, 10 % at 5
    ℃). In hot air of 5 % it is up to 1.4 ℃ too low. Source: Stull (2011), J. Appl. Meteorol. Climatol. 50,
    2267-2269, equation 1.
    """
    air, rh = _within(floats(air_c), -20, 50), _within(floats(rh_pct), 5, 99)
    air = np.where(air < np.interp(rh, _STULL_RH, _STULL_COLDEST), np.nan, air)
    fit = air * np.arctan(0.151977 * np.sqrt(rh + 8.313659)) + np.arctan(air + rh) - np.arctan(rh - 1.676331)
    return np.asarray(fit + 0.00391838 * rh**1.5 * np.arctan(0.023101 * rh) - 4.686035, dtype=np.float64)


def absolute_humidity(air_c: npt.ArrayLike, rh_pct: npt.ArrayLike) -> FloatArray:
    """Grams of water vapour in a cubic metre of air, as an ideal gas (216.68 g K/J). Source: WMO-No. 8, annex 4.B."""
    return 216.68 * vapour_hpa(air_c, rh_pct) / (floats(air_c) + KELVIN)


def mixing_ratio(
    air_c: npt.ArrayLike, rh_pct: npt.ArrayLike, pressure_pa: npt.ArrayLike = SEA_LEVEL_PA
) -> FloatArray:
    """Grams of water vapour per kilogram of dry air; NaN where the pressure is not above the vapour pressure.

    r = 622 e / (p - e). Source: WMO-No. 8, annex 4.B.
    """
    vapour, pressure = vapour_hpa(air_c, rh_pct), floats(pressure_pa) / 100.0
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(pressure > vapour, 1000 * MASS_RATIO * vapour / (pressure - vapour), np.nan)


def mixing_ratio_difference(
    barn_c: npt.ArrayLike,
    barn_rh_pct: npt.ArrayLike,
    outside_c: npt.ArrayLike,
    outside_rh_pct: npt.ArrayLike,
    pressure_pa: npt.ArrayLike = SEA_LEVEL_PA,
) -> FloatArray:
    """Barn minus outside in g/kg of dry air: what the animals add that ventilation does not take away.

    Ventilation in winter is designed for 1.7 at most; 1.3 is the older guide against dew on walls. Source of both:
    HRO dairy station (kachimai.jp, 2024-05-03). At -20 ℃ and below, outside air holds 0.8 g/kg at most: the
    difference is then nearly the barn's own, and an error of 3 % of its humidity is 0.2 g/kg.
    """
    return mixing_ratio(barn_c, barn_rh_pct, pressure_pa) - mixing_ratio(outside_c, outside_rh_pct, pressure_pa)


def vapour_deficit_kpa(air_c: npt.ArrayLike, rh_pct: npt.ArrayLike) -> FloatArray:
    """Vapour pressure deficit of air in kPa: es - e. A leaf in the sun is warmer, and its deficit larger."""
    return (1.0 - _share(rh_pct)) * saturation_hpa(air_c) / 10.0


def pressure_at_height_pa(height_m: npt.ArrayLike) -> FloatArray:
    """Pressure of the standard atmosphere in Pa, for where no barometer is; -500..5000 m, else NaN.

    Weather moves it by ±3 %, and with it mixing ratios by as much. Source: ISO 2533 (1975).
    """
    return SEA_LEVEL_PA * (1 - 2.25577e-5 * _within(floats(height_m), -500, 5000)) ** 5.25588
