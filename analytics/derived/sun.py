"""Sunrise, sunset and how high the sun stands, for rules that know day and night (frost, heat that stays at night).

The equations of NOAA's Solar Calculator (Global Monitoring Laboratory, after Meeus, Astronomical Algorithms):
within a minute of the almanac up to 72° of latitude, from 1901 to 2099. The horizon is flat: behind mountains the
sun comes later and goes earlier, in Shikaoi by up to half an hour in the west. Latitude and longitude in degrees,
north and east positive; beyond ±90 and ±180 a ValueError.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from analytics.derived.numbers import DAY_MS, BoolArray, FloatArray, floats

SHIKAOI: Final = (43.10, 142.99)
"""Latitude and longitude of the town office, to 1 km (0.01° is 2 s of sunrise)."""
_HORIZON_DEG: Final = 90.833
"""Zenith angle at rise and set: refraction and the sun's radius."""
_MINUTE_MS: Final = 60_000.0
_J2000_DAYS: Final = 10_957.5
"""Noon of 1 January 2000, in days since 1970."""
_PASSES: Final = 3


def _declination_and_equation(time_ms: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Declination in radians, and equation of time in minutes; `t` is in Julian centuries from J2000."""
    t = (time_ms / DAY_MS - _J2000_DAYS) / 36_525.0
    longitude = np.radians(280.46646 + t * (36_000.76983 + t * 0.0003032))
    anomaly = np.radians(357.52911 + t * (35_999.05029 - 0.0001537 * t))
    eccentricity = 0.016708634 - t * (0.000042037 + 0.0000001267 * t)
    centre = (
        np.sin(anomaly) * (1.914602 - t * (0.004817 + 0.000014 * t))
        + np.sin(2 * anomaly) * (0.019993 - 0.000101 * t)
        + np.sin(3 * anomaly) * 0.000289
    )
    node = np.radians(125.04 - 1934.136 * t)
    apparent = longitude + np.radians(centre - 0.00569 - 0.00478 * np.sin(node))
    obliquity = np.radians(23.439291 - 0.0130042 * t + 0.00256 * np.cos(node))
    declination = np.arcsin(np.sin(obliquity) * np.sin(apparent))
    y = np.tan(obliquity / 2) ** 2
    equation = (
        y * np.sin(2 * longitude)
        - 2 * eccentricity * np.sin(anomaly)
        + 4 * eccentricity * y * np.sin(anomaly) * np.cos(2 * longitude)
        - 0.5 * y**2 * np.sin(4 * longitude)
        - 1.25 * eccentricity**2 * np.sin(2 * anomaly)
    )
    return floats(declination), floats(4 * np.degrees(equation))


def _check(latitude: float, longitude: float) -> None:
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        raise ValueError(f"no place on Earth: {latitude}, {longitude}")


def sun_elevation_deg(times_ms: npt.ArrayLike, latitude: float, longitude: float) -> FloatArray:
    """Height of the sun's centre above the horizon in degrees, without refraction; shape of `times_ms`."""
    _check(latitude, longitude)
    time = floats(times_ms)
    declination, equation = _declination_and_equation(time)
    minutes = np.mod(time, DAY_MS) / _MINUTE_MS + equation + 4 * longitude
    angle, lat = np.radians(minutes / 4 - 180), np.radians(latitude)
    sine = np.sin(lat) * np.sin(declination) + np.cos(lat) * np.cos(declination) * np.cos(angle)
    return floats(np.degrees(np.arcsin(np.clip(sine, -1, 1))))


def is_day(times_ms: npt.ArrayLike, latitude: float, longitude: float) -> BoolArray:
    """Whether the sun is up (its upper edge, seen through the air); False where the time is NaN."""
    return np.asarray(sun_elevation_deg(times_ms, latitude, longitude) > 90.0 - _HORIZON_DEG, dtype=np.bool_)


def sunrise_sunset_ms(days: npt.ArrayLike, latitude: float, longitude: float) -> tuple[FloatArray, FloatArray]:
    """Sunrise and sunset of each calendar day at the place, in ms since 1970 (UTC); NaN where the sun does not.

    `days`: `datetime64[D]`, or what becomes one ('2026-06-21'): the day by the sun there, which is that of UTC+9 in
    Japan.
    """
    _check(latitude, longitude)
    start = np.asarray(days, dtype="datetime64[D]").astype(np.int64).astype(np.float64) * DAY_MS
    return _event(start, latitude, longitude, -1.0), _event(start, latitude, longitude, 1.0)


def _event(start_ms: FloatArray, latitude: float, longitude: float, side: float) -> FloatArray:
    at = start_ms + (720 - 4 * longitude) * _MINUTE_MS
    lat = np.radians(latitude)
    for _ in range(_PASSES):
        declination, equation = _declination_and_equation(at)
        cosine = np.cos(np.radians(_HORIZON_DEG)) / (np.cos(lat) * np.cos(declination)) - np.tan(lat) * np.tan(
            declination
        )
        with np.errstate(invalid="ignore"):
            angle = np.degrees(np.arccos(np.where(np.abs(cosine) <= 1, cosine, np.nan)))
        at = start_ms + (720 - 4 * longitude - equation + side * 4 * angle) * _MINUTE_MS
    return floats(at)
