"""A year's weather at Shikaoi by the minute: seasons, fronts, clear nights, heat waves, cold spells, rain, wind.

Monthly means after the normals of the town's weather station (known, not re-read). What makes a frost night is what
makes it in life: clear sky and no wind; grass is then colder than the air.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from tests.farm_year.plan import DAY_MIN, Plan

Array = npt.NDArray[np.float64]
LATITUDE, LONGITUDE = 43.1, 142.99
MONTHS_C: Final = (-9.0, -8.0, -2.3, 4.7, 10.6, 14.6, 18.4, 19.8, 15.8, 9.2, 2.4, -5.6)
TOKYO: Final = ZoneInfo("Asia/Tokyo")


@dataclass(frozen=True)
class Weather:
    """Each minute: air and grass in °C, relative humidity in %, wind and gust in m/s, rain in mm/min, W/m²."""

    air_c: Array
    rh: Array
    wind: Array
    rain: Array
    sun: Array
    grass_c: Array
    cloud: Array
    soil_c: Array


def smooth(values: Array, constant_min: float, start: float | None = None) -> Array:
    """First-order lag with a time constant in minutes."""
    keep = float(np.exp(-1.0 / constant_min))
    found = np.empty_like(values)
    state = float(values[0]) if start is None else start
    for i, value in enumerate(values.tolist()):
        state = value + (state - value) * keep
        found[i] = state
    return found


def saturation_pa(air_c: Array) -> Array:
    """Magnus over water."""
    return 611.2 * np.exp(17.62 * air_c / (243.12 + air_c))


def rh_of(vapour_pa: Array, air_c: Array) -> Array:
    return np.clip(100.0 * vapour_pa / saturation_pa(air_c), 15.0, 99.0)


def local_day(plan: Plan, day: int) -> datetime:
    """Local midnight that begins the day."""
    return datetime.fromtimestamp(plan.start_ms / 1000, TOKYO) + timedelta(days=day)


def make_weather(plan: Plan) -> Weather:
    rng = plan.rng("weather")
    days = plan.days + 2
    when = [local_day(plan, d) for d in range(days)]
    of_year = np.array([w.timetuple().tm_yday for w in when], float)
    mids = np.array([15.5 + 30.44 * i for i in range(-1, 13)])
    means = np.array([MONTHS_C[i % 12] for i in range(-1, 13)])
    mean = np.interp(of_year, mids, means)
    cloud_d, front = _fronts(rng, days)
    mean = mean + front * np.where((of_year < 90) | (of_year > 330), 1.3, 1.0)
    swing = (3.0 + 5.5 * (1 - cloud_d)) * np.where((of_year > 150) & (of_year < 250), 0.85, 1.0)
    warm, cold = _spells(rng, when)
    mean = np.where(warm > 0, np.maximum(mean, 22.0 + 4.0 * warm), mean)
    swing = np.where(warm > 0, 5.0, swing)
    mean = np.where(cold > 0, np.minimum(mean, -12.0 - 5.0 * cold), mean)
    cloud_d = np.where((warm > 0) | (cold > 0), 0.15, cloud_d)
    swing = np.where(cold > 0, 8.0, swing)

    minute = np.arange(plan.minutes, dtype=float)
    day = minute / DAY_MIN
    hour = (minute % DAY_MIN) / 60.0
    middle = np.arange(days) + 0.5
    mean_m, swing_m, cloud = (np.interp(day, middle, x) for x in (mean, swing, cloud_d))
    wave = np.where(hour < 14.3, _rise(hour), np.cos(np.pi * (hour - 14.3) / 14.4))
    wander = smooth(rng.normal(0, 1, plan.minutes), 45.0) * 4.0
    air = mean_m + swing_m * wave + wander
    sun = _sun(of_year[0], minute) * (1 - 0.75 * cloud)
    rain = _rain(rng, plan, of_year, cloud_d, hour)
    base = 1.2 + 2.2 * cloud + 1.6 * (sun > 50) + 2.5 * np.interp(day, middle, rng.gamma(1.2, 0.8, days))
    wind = np.clip(
        base * np.exp(smooth(rng.normal(0, 1, plan.minutes), 12.0) * 1.6) * np.where(sun > 0, 1.0, 0.6), 0.1, 30
    )
    low = np.interp(day, middle, mean - swing)
    dew = low - np.interp(day, middle, rng.uniform(-1.0, 2.0, days)) + 1.5 * wave
    dew = np.where(np.interp(day, middle, warm) > 0, np.maximum(dew, 17.0), dew)
    dew = np.where(rain > 0, np.maximum(dew, air - 1.0), dew)
    rh = rh_of(saturation_pa(np.minimum(dew, air - 0.2)), air)
    night = sun <= 0
    calm = np.clip(1.6 - 0.5 * wind, 0, 1)
    grass = air - np.where(night, 5.5 * (1 - cloud) * calm, -3.0 * (1 - cloud)) * np.clip(1 - rain * 50, 0, 1)
    grass = smooth(grass, 12.0)
    soil = smooth(np.maximum(mean_m, -1.5) + 2.0 * wave, 60 * 20.0)
    return Weather(air, rh, wind, rain, sun, grass, cloud, soil)


def _rise(hour: Array) -> Array:
    """From the day before's evening down to sunrise at about 4.7 h, then up to the afternoon."""
    before = np.cos(np.pi * (hour + 24 - 14.3) / 14.4)
    up = -np.cos(np.pi * (hour - 4.7) / 9.6)
    return np.where(hour < 4.7, before, up)


def _fronts(rng: np.random.Generator, days: int) -> tuple[Array, Array]:
    """How cloudy each day is, and how much warmer than usual."""
    state, front = 0.0, np.empty(days)
    for d in range(days):
        state = 0.72 * state + rng.normal(0, 1.9)
        front[d] = state
    wet = np.empty(days)
    cloud = 0.5
    for d in range(days):
        cloud = float(np.clip(0.45 * cloud + 0.55 * rng.beta(0.8, 0.8), 0, 1))
        wet[d] = cloud
    return wet, front


def _spells(rng: np.random.Generator, when: list[datetime]) -> tuple[Array, Array]:
    """Heat waves and cold spells: how strong each day's is, 0 to 1."""
    warm, cold = np.zeros(len(when)), np.zeros(len(when))
    left = {"warm": 0, "cold": 0}
    strength = 0.0
    for d, w in enumerate(when):
        if left["warm"] == left["cold"] == 0:
            if w.month in (7, 8) and rng.random() < 0.035:
                left["warm"], strength = int(rng.integers(3, 7)), float(rng.uniform(0.2, 1))
            elif w.month in (12, 1, 2) and rng.random() < 0.05:
                left["cold"], strength = int(rng.integers(2, 5)), float(rng.uniform(0.2, 1))
        for name, to in (("warm", warm), ("cold", cold)):
            if left[name] > 0:
                to[d] = strength
                left[name] -= 1
    return warm, cold


def _sun(first_day: float, minute: Array) -> Array:
    """Clear-sky radiation on the level."""
    of_year = first_day + minute / DAY_MIN
    tilt = np.radians(23.44) * np.sin(2 * np.pi * (of_year - 80.5) / 365.25)
    angle = 2 * np.pi * ((minute % DAY_MIN) / DAY_MIN - 0.49)
    at = np.radians(LATITUDE)
    height = np.sin(at) * np.sin(tilt) + np.cos(at) * np.cos(tilt) * np.cos(angle)
    return np.asarray(1050.0 * np.clip(height, 0, 1) ** 1.15)


def _rain(rng: np.random.Generator, plan: Plan, of_year: Array, cloud_d: Array, hour: Array) -> Array:
    """Showers and long rain, in mm/min; in winter it is snow, which no gauge here counts."""
    rain = np.zeros(plan.minutes)
    for d in range(plan.days):
        if cloud_d[d] < 0.55 or rng.random() > 0.8 or not 95 < of_year[d] < 325:
            continue
        for _ in range(int(rng.integers(1, 4))):
            start = int(d * DAY_MIN + rng.integers(0, DAY_MIN))
            length = int(rng.integers(15, 300))
            strength = float(rng.gamma(1.1, 3.0)) / 60
            stop = min(start + length, plan.minutes)
            rain[start:stop] = np.maximum(rain[start:stop], strength * rng.uniform(0.3, 1.6, max(0, stop - start)))
    return rain
