"""A farm's year put together: the plan, its weather, what people do, the faults, the true values and the readings."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final

import numpy as np

from analytics.farm import Farm
from tests.farm_year.barn import Barn, make_barn
from tests.farm_year.faults import Fault, draw_faults
from tests.farm_year.instruments import Instrument, Truth, farm_of, make_instruments
from tests.farm_year.life import Life, live, pickup_days
from tests.farm_year.plan import DAY_MIN, Kind, Plan, draw_plan
from tests.farm_year.stream import Stream
from tests.farm_year.tank import Tank, make_tank
from tests.farm_year.weather import LATITUDE, LONGITUDE, TOKYO, Weather, local_day, make_weather

UNMOVED: Final = (
    "fan",
    "comp-meter",
    "stir-meter",
    "pump-meter",
    "mains-meter",
    "vacuum-gauge",
    "water-meter",
    "mast",
    "pit-gas",
    "dipstick",
)
"""Instruments that may honestly say the same for days, or whose value on and off is all they know."""


@dataclass(frozen=True)
class Year:
    plan: Plan
    life: Life
    faults: list[Fault]
    truth: Truth
    instruments: list[Instrument]
    farm: Farm
    settings: dict[str, Any]
    overrides: dict[str, Any]

    def stream(self) -> Stream:
        return Stream(self.plan, self.life, self.faults, self.instruments, self.truth.power)


def start_of(year: int, month: int = 1, day: int = 1) -> int:
    return round(datetime(year, month, day, tzinfo=TOKYO).timestamp() * 1000)


def make_year(
    seed: int, kind: Kind, days: int = 365, *, start_ms: int | None = None, faults: bool = True, share: float = 1.0,
    quick: bool = True, full: bool = False, slow: bool = False,
) -> Year:  # fmt: skip
    """A year, or so many days of it. `share`: of the faults that it would bring. The rest as in `draw_plan`."""
    plan = draw_plan(
        seed, kind, days, start_of(2026) if start_ms is None else start_ms, quick=quick, full=full, slow=slow
    )
    weather = make_weather(plan)
    names, buses = _names(plan)
    steady = [n for n in names if not n.startswith(UNMOVED)]
    targets = {
        "fan-stuck": [n for n in names if n.startswith("fan-")],
        "sensor-stuck": [n for n in steady if n != "fence-end"],
        "sensor-drift": ["cooler-probe"],
        "sensor-spikes": steady,
        "sensor-unplugged": [n for n in names if n.endswith(("-probe", "-3", "-air", "-gas"))],
        "sensor-silent": names,
        "bus-down": buses,
    }
    drawn = draw_faults(plan, weather, pickup_days(plan), targets, share) if faults else []
    life = live(plan, weather, drawn, names)
    power = np.ones(plan.minutes)
    for fault in drawn:
        if fault.kind == "power-lost":
            power[fault.span] = 0.0
    tank = make_tank(plan, life, weather, drawn, power)
    truth = Truth(weather, tank, make_barn(plan, life, weather, drawn, power, tank.milking), power)
    instruments = make_instruments(plan, truth)
    settings = _settings(plan)
    return Year(plan, life, drawn, truth, instruments, farm_of(instruments), settings, {})


def _names(plan: Plan) -> tuple[list[str], list[str]]:
    """Devices and buses that the farm will have, before anything is known of the year."""
    nothing = np.zeros(plan.minutes)
    values = dict.fromkeys((f.name for f in fields(Barn) if f.name != "fans"), nothing)
    barn = Barn(**values, fans={f"fan-{i}": nothing for i in range(1, plan.fans + 1)})
    found = make_instruments(plan, Truth(Weather(*([nothing] * 8)), Tank(*([nothing] * 7)), barn, nothing))
    return [i.name for i in found], sorted({i.bus for i in found})


def _settings(plan: Plan) -> dict[str, Any]:
    """What a farmer answers when asked, in round figures."""

    def clock(minute: float) -> str:
        minute = round(minute / 15) * 15 % DAY_MIN
        return f"{minute // 60:02d}:{minute % 60:02d}"

    said: dict[str, Any] = {
        "cows": float(round(plan.cows, -1)),
        "calves": float(plan.calves),
        "young_calves": float(max(1, plan.calves // 3)),
        "milking_by": {"tie-stall": "pipeline", "freestall": "parlour", "robot": "robot"}[plan.kind],
        "tank_volume": float(round(plan.tank_m3 * 1000, -2)),
        "pickup_days": "every-day" if plan.pickup_days == 1 else "every-second-day",
        "pickup_on": local_day(plan, min(pickup_days(plan), default=0)).date().isoformat(),
        "pickup_time": clock(max(plan.pickup_at, plan.milking_at[0] + plan.milking_min * 1.4 + 25)),
        "compressor_current": round(plan.compressor_a, 1),
        "agitator_current": round(plan.agitator_a, 1),
        "vacuum_setpoint": float(round(plan.vacuum_kpa)),
        "vacuum_pump_current": round(plan.pump_a, 1),
        "stall.barn_type": "tie-stall" if plan.kind == "tie-stall" else "freestall",
        "hutches.barn_type": "hutch",
        "fan_current": round(plan.fan_a, 1),
        "fan_starts_at": float(round(plan.fan_on_c)),
        "water_heater": "yes" if plan.bowls_heated else "no",
        "mains_voltage": float(round(plan.mains_v)),
        "generator": "no",
        "latitude": LATITUDE,
        "longitude": LONGITUDE,
    }
    if plan.kind != "robot":
        said["milking_times"] = [f"{clock(m)}-{clock(m + plan.milking_min + 10)}" for m in plan.milking_at]
    grazes = plan.kind != "robot" and plan.cows <= 150
    if grazes or "fence" in plan.sensors:  # young stock grazes elsewhere
        said["pasture_season" if grazes else "meadow.pasture_season"] = "05-15..10-25"
    if grazes:
        said["pasture_hours"] = [
            f"{clock(plan.milking_at[0] + plan.milking_min + 60)}-{clock(plan.milking_at[1] - 35)}"
        ]
    return said
