"""The simulated farm's physics: a Tokachi January or July, a barn with a fan, a milk tank, a water pipe, wind.

Pure: `advance` gives the farm a moment later. The weather follows the real hour; what a fault changes goes a few
hundred times faster than in life, so that a visitor sees within half a minute what takes hours on a farm. Not a
model to learn from: the figures only have to lie where they lie on a real farm, and to move the right way.

Facts: mean and daily range of Shikaoi's months after the JMA normals (January about -9 °C, July about 18 °C, here a
cool one; known, not re-read); milk kept at 3 to 4 °C and 5 °C as the limit, heat index 68, ammonia 20 ppm (domain
notes on alerts).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal

Season = Literal["january", "july"]

MILKING_HOURS: Final = ((4.5, 8.0), (16.0, 19.5))
COOL_ON_C: Final = 3.9
COOL_OFF_C: Final = 3.4
TANK_L: Final = 6000.0
FAN_A, FAN_V = 2.1, 202.0
COMPRESSOR_A, COMPRESSOR_V = 11.2, 202.0


@dataclass(frozen=True, slots=True)
class Farm:
    """The farm at a moment. Temperatures in °C, humidity in %, wind from true north in degrees."""

    t_s: float = 0.0
    outside_c: float = 0.0
    outside_rh: float = 75.0
    pressure_hpa: float = 1012.0
    wind_ms: float = 3.0
    wind_deg: float = 250.0
    barn_c: float = 5.0
    barn_rh: float = 75.0
    nh3_ppm: float = 6.0
    pipe_c: float = 6.0
    milk_c: float = 3.7
    milk_l: float = 3200.0
    fan_on: bool = True
    cooling: bool = False
    fan_kwh: float = 1834.0
    compressor_kwh: float = 7210.0

    @property
    def fan_a(self) -> float:
        return (FAN_A + 0.04 * math.sin(self.t_s / 3)) if self.fan_on else 0.0

    @property
    def compressor_a(self) -> float:
        return (COMPRESSOR_A + 0.3 * math.sin(self.t_s / 5)) if self.cooling else 0.0


def season_of(month: int) -> Season:
    """The season to show in `month` (1..12)."""
    return "july" if 5 <= month <= 10 else "january"


def outside_c(season: Season, hour: float) -> float:
    """Outside air at local `hour` (0..24): coldest at 4:30, warmest at 14:30 or so."""
    mean, swing = {"january": (-9.0, 6.0), "july": (15.5, 2.8)}[season]
    return mean - swing * math.cos((hour - 2.5) / 24 * 2 * math.pi)


def is_milking(hour: float) -> bool:
    """Whether cows are milked at local `hour`."""
    return any(start <= hour < end for start, end in MILKING_HOURS)


def at_start(season: Season, when: datetime) -> Farm:
    """The farm at local time `when`, in balance and with nothing wrong."""
    farm = Farm()
    for _ in range(200):
        farm = advance(farm, season, when, frozenset(), 1.0)
    return replace(farm, t_s=0.0)


def advance(farm: Farm, season: Season, when: datetime, faults: Set[str], dt_s: float) -> Farm:
    """The farm `dt_s` later; `when` is local time, `faults` are the ids of what is wrong."""
    hour = when.hour + when.minute / 60
    t = farm.t_s + dt_s
    out = outside_c(season, hour) + (11.0 if "heat-wave" in faults and season == "july" else 0.0)
    out += 0.2 * math.sin(t / 97)
    cooling, milk_c, milk_l = _tank(farm, is_milking(hour), faults, dt_s)
    fan_on = "fan-off" not in faults
    barn_c, barn_rh, nh3 = _barn_balance(season, out, fan_on, t)
    heater = "pipe-heater-off" not in faults
    wind = max(0.2, 3.2 + 1.6 * math.sin(t / 61) + 0.9 * math.sin(t / 7.3))
    return replace(
        farm,
        t_s=t,
        outside_c=out,
        outside_rh=min(98.0, max(40.0, 76.0 - 2.0 * (outside_c(season, hour) - outside_c(season, 8.5)))),
        pressure_hpa=1012.0 + 2.0 * math.sin(t / 1800),
        wind_ms=wind,
        wind_deg=(250.0 + 25.0 * math.sin(t / 83) + 8.0 * math.sin(t / 5.1)) % 360,
        barn_c=_towards(farm.barn_c, barn_c, dt_s, 20.0),
        barn_rh=_towards(farm.barn_rh, barn_rh, dt_s, 20.0),
        nh3_ppm=_towards(farm.nh3_ppm, nh3, dt_s, 20.0),
        pipe_c=_towards(farm.pipe_c, max(out, 6.0) if heater else out, dt_s, 25.0),
        milk_c=milk_c,
        milk_l=milk_l,
        fan_on=fan_on,
        cooling=cooling,
        fan_kwh=farm.fan_kwh + farm.fan_a * FAN_V * dt_s / 3.6e6,
        compressor_kwh=farm.compressor_kwh + farm.compressor_a * COMPRESSOR_V * dt_s / 3.6e6,
    )


def shown(farm: Farm, overrides: Mapping[str, float]) -> Farm:
    """The farm as the sensors see it, with the values that somebody set by hand; unknown names are passed over."""
    known: dict[str, Any] = {k: v for k, v in overrides.items() if k in _FLOATS}
    return replace(farm, **known) if known else farm


def _barn_balance(season: Season, out: float, fan_on: bool, t: float) -> tuple[float, float, float]:
    """Temperature, humidity and ammonia that the barn's air tends to."""
    if season == "july":
        warmer, rh = (0.8, 68.0) if fan_on else (8.5, 84.0)
        air = out + warmer
    else:
        # Curtains closed, cows heat: the colder outside, the wider the difference.
        air = 8.0 + 0.35 * out + (0.0 if fan_on else 9.0)
        rh = 78.0 if fan_on else 93.0
    nh3 = (6.0 if fan_on else 31.0) + 0.5 * math.sin(t / 23)
    return air + 0.15 * math.sin(t / 31), rh + 0.8 * math.sin(t / 41), nh3


def _tank(farm: Farm, milking: bool, faults: Set[str], dt_s: float) -> tuple[bool, float, float]:
    """Whether the compressor runs, the milk's temperature, and how much there is."""
    if "tank-wash" in faults:  # picked up; hot water reaches the probe at once
        return False, _towards(farm.milk_c, 62.0, dt_s, 1.5), 0.0
    if farm.milk_l == 0:  # rinsed with cold water and filled again
        return True, _towards(farm.milk_c, 3.0, dt_s, 0.8), 0.0 if farm.milk_c > 4.2 else 3200.0
    powered = "compressor-off" not in faults
    cooling = powered and (farm.milk_c > COOL_OFF_C if farm.cooling else farm.milk_c >= COOL_ON_C)
    # Warm milk comes in at 37 °C through a plate cooler; the blend stays below 5 °C while the compressor runs.
    litres = min(TANK_L, farm.milk_l + (1.0 * dt_s if milking else 0.0))
    warming = (0.03 if milking else 0.0) + 0.085 * (22.0 - farm.milk_c) / 18.0
    removed = (0.19 + 0.03 * max(0.0, farm.milk_c - 4.0)) if cooling else 0.0
    return cooling, max(2.2, farm.milk_c + (warming - removed) * dt_s), litres


def _towards(value: float, goal: float, dt_s: float, constant_s: float) -> float:
    """First-order lag: 63 % of the way after `constant_s`."""
    return goal + (value - goal) * math.exp(-dt_s / constant_s)


_FLOATS: Final = frozenset(
    name for name in Farm.__dataclass_fields__ if Farm.__dataclass_fields__[name].type == "float" and name != "t_s"
)
