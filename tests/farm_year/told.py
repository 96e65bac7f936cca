"""What a judge is told besides readings: the farm's settings, the forecast, the sun, the herd.

A forecast is what will come, and an error that grows with how far it looks; it is made anew every six hours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from makiba.farm_settings import FarmSettings
from makiba.reading import Value
from makiba.rule_words import WITHIN_H, forecast_name
from tests.farm_year.plan import MINUTE_MS
from tests.farm_year.weather import Array
from tests.farm_year.year import Year

Key = tuple[str, str | None]
MADE_EVERY_H: Final = 6


@dataclass(frozen=True, slots=True)
class Told:
    """As `analytics.facts.Facts`."""

    values: Mapping[Key, Value] = field(hash=False)


class Teller:
    """Says what is known at a time."""

    def __init__(self, year: Year) -> None:
        self._year = year
        self._said = dict(_settings(year)) | dict(_herd(year))
        w = year.truth.weather
        hours = year.plan.days * 24
        self._low, self._high = (_hourly(w.air_c, hours, f) for f in (np.min, np.max))
        self._wind = _hourly(w.wind, hours, np.max)
        self._rain = _hourly(w.rain, hours, np.sum) / 1000
        self._cloud = _hourly(w.cloud, hours, np.mean)
        self._sun = w.sun > 0
        self._error = year.plan.rng("forecast").normal(0, 1, (hours // MADE_EVERY_H + 1, 2))

    def __call__(self, now_ms: int) -> Told:
        minute = (now_ms - self._year.plan.start_ms) // MINUTE_MS
        hour = min(max(0, int(minute) // 60), len(self._low) - 1)
        return Told(self._said | dict(self._forecast(hour)) | dict(self._daylight(int(minute))))

    def _forecast(self, hour: int) -> list[tuple[Key, Value]]:
        made = self._error[hour // MADE_EVERY_H]
        found: dict[str, list[tuple[int, Value]]] = {}
        for within in WITHIN_H:
            ahead = slice(hour, hour + within)
            low, high = float(self._low[ahead].min()), float(self._high[ahead].max())
            error = 0.7 + 0.015 * within
            low, high = round(low + made[0] * error), round(high + made[1] * error)
            wet = float(self._rain[ahead].sum())
            said: dict[str, Value] = {
                "air_temperature_min": low, "air_temperature_min_lower": low - 2,
                "air_temperature_min_upper": low + 2,
                "air_temperature_max": high, "air_temperature_max_lower": high - 2,
                "air_temperature_max_upper": high + 2, "wind_speed": float(self._wind[ahead].max()),
                "precipitation": wet * float(np.exp(0.3 * made[0])),
                "precipitation_probability": 0.8 if wet > 0.001 else 0.3 if wet > 0 else 0.1,
            }  # fmt: skip
            cloud = float(self._cloud[ahead].mean())
            code, word = _sky(wet, cloud)
            said |= {"weather_code": code, "weather": word, "wind": "南の風"}
            for element, value in said.items():
                found.setdefault(element, []).append((within, value))
        return [((forecast_name(e, h), None), v) for e, rows in found.items() for h, v in rows]

    def _daylight(self, minute: int) -> list[tuple[Key, Value]]:
        ahead = self._sun[minute : minute + 1440]
        rise, fall = np.flatnonzero(ahead[1:] & ~ahead[:-1]), np.flatnonzero(ahead[:-1] & ~ahead[1:])
        found: list[tuple[Key, Value]] = []
        if len(rise):
            found.append((("hours_to_sunrise", None), float(rise[0]) / 60))
        if len(fall):
            found.append((("hours_to_sunset", None), float(fall[0]) / 60))
        return found


def _sky(wet_m: float, cloud: float) -> tuple[str, str]:
    """The weather service's code and word."""
    if wet_m > 0.002:
        return "300", "雨"
    return ("200", "くもり") if cloud > 0.55 else ("100", "晴れ")


def _hourly(values: Array, hours: int, fold: object) -> Array:
    return np.asarray(fold(values[: hours * 60].reshape(hours, 60), axis=1))  # type: ignore[operator]


def _settings(year: Year) -> list[tuple[Key, Value]]:
    said = FarmSettings.of(year.settings).said
    found: list[tuple[Key, Value]] = []
    for name, value in said.items():
        scope, _, key = name.rpartition(".")
        found.append(((key, scope or None), value if isinstance(value, float | str) else str(value)))
    return found


def _herd(year: Year) -> list[tuple[Key, Value]]:
    plan = year.plan
    return [
        (("cows_in_milk", None), float(plan.cows)),
        (("dry_cows", None), float(plan.cows // 7)),
        (("calves", None), float(plan.calves)),
        (("calves_under_21_d", None), float(max(1, plan.calves // 3))),
        (("crop", "acre"), "sugar-beet"),
        (("crop_pf_start", "acre"), 2.7),
        (("crop_frost", "acre"), -2.0),
    ]
