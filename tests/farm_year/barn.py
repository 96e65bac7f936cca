"""The barn by the minute: warmth, damp and gas of the herd against the air that goes through; water, vacuum, fence.

Known orders of size: a cow gives off about 1 kW of warmth, 12 kg of water vapour a day and 200 L of carbon dioxide an
hour, and drinks about 100 L a day.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tests.farm_year.faults import Fault
from tests.farm_year.life import Life
from tests.farm_year.plan import DAY_MIN, Plan
from tests.farm_year.weather import Array, Weather, local_day, rh_of, saturation_pa, smooth


@dataclass
class Barn:
    """Each minute, in °C, %, parts (of one), V, L/min, kPa."""

    air_c: Array
    rh: Array
    co2: Array
    nh3: Array
    outdoors_gkg: Array
    indoors_gkg: Array
    inside: Array  # share of the herd that is indoors
    fan_wanted: Array
    h2s: Array
    pipe_c: Array
    bowl_c: Array
    hutch_c: Array
    water_l_min: Array
    vacuum_kpa: Array
    pump_on: Array
    fence_v: Array
    soil_moisture: Array
    fans: dict[str, Array] = field(default_factory=dict)


def thermostat(values: Array, on: float, off: float) -> Array:
    """1 from above `on` until below `off`."""
    marks = np.where(values > on, 1.0, np.where(values < off, 0.0, np.nan))
    known = np.where(np.isnan(marks), 0, np.arange(len(marks)))
    np.maximum.accumulate(known, out=known)
    return np.nan_to_num(marks[known])


def _gkg(vapour_pa: Array) -> Array:
    return 622.0 * vapour_pa / (98_500.0 - vapour_pa)


def make_barn(plan: Plan, life: Life, weather: Weather, faults: list[Fault], power: Array, milking: Array) -> Barn:
    n = plan.minutes
    rng = plan.rng("barn")
    inside = np.ones(n)
    for start, stop in life.pasture:
        inside[start:stop] = 0.08
    out = weather.air_c
    herd = 0.15 + 0.85 * inside
    # Ventilation for each cow that would hold 8 °C, within what curtains and fans can do.
    wanted = (1000 * herd / np.maximum(8.0 - out, 0.05) - plan.wall_w_k) / 1200
    wanted = np.where(out >= 8.0, 99.0, wanted)
    vent = smooth(np.clip(wanted, plan.vent_min, 0.9 + 0.06 * np.clip(weather.wind, 0, 8)), 25.0)
    fan_wanted = thermostat(smooth(out + 1.5, 30.0), plan.fan_on_c, plan.fan_on_c - 1.0)
    stuck = [f for f in faults if f.kind == "fan-stuck"]
    fans: dict[str, Array] = {}
    for i in range(1, plan.fans + 1):
        runs = fan_wanted * power
        for fault in stuck:
            if fault.target == f"fan-{i}":
                runs[fault.span] = 0.0
        fans[f"fan-{i}"] = runs
    turning = sum(fans.values()) / plan.fans
    air_flow = vent * (0.55 + 0.45 * np.where(fan_wanted > 0, turning, 1.0)) * np.where(power > 0, 1.0, 0.8)
    sun_load = 0.0012 * weather.sun
    air = smooth(out + (1000 * herd + 120 * sun_load * 10) / (plan.wall_w_k + 1200 * air_flow), 18.0)
    e_out = saturation_pa(out) * weather.rh / 100
    x_out = _gkg(e_out)
    x_in = x_out + 1000 * 1.4e-4 * herd / (1.2 * air_flow)
    e_in = x_in * 98_500 / (622 + x_in)
    rh = smooth(rh_of(np.minimum(e_in, saturation_pa(air) * 0.97), air), 8.0)
    x_in = _gkg(saturation_pa(air) * rh / 100)
    co2 = smooth(420e-6 + 5.5e-5 * herd / air_flow, 20.0)
    removed = np.isin((np.arange(n) % DAY_MIN) // 30, [14, 36]) * 1.0
    nh3 = 1e-6 * smooth(0.35 * herd / air_flow * np.exp(0.04 * (air - 8)) * (1 + 0.7 * removed) + 1.0, 25.0)
    h2s = 1e-6 * np.clip(0.15 + smooth(rng.normal(0, 1, n), 20.0) * 0.5, 0, 0.9)
    for start, stop in life.pit:
        h2s[start:stop] += 1e-6 * rng.uniform(0.5, 2.2)
    for fault in faults:
        if fault.kind == "h2s":
            width = fault.end - fault.start
            peak = 1e-6 * float(np.interp(fault.size, [0, 1], [13, 120]))
            h2s[fault.span] += peak * np.clip(np.minimum(np.arange(width) / 6, (width - np.arange(width)) / 12), 0, 1)
    pipe, bowl = _water_cold(plan, out, air, faults, power)
    return Barn(
        air, rh, co2, nh3, x_out, x_in, inside, fan_wanted, smooth(h2s, 1.0), pipe, bowl,
        hutch_c=smooth(out + 2.0 + 0.004 * weather.sun, 30.0),
        water_l_min=_water(plan, rng, inside, faults, power),
        vacuum_kpa=(vac := _vacuum(plan, rng, life, faults, power))[0],
        pump_on=vac[1],
        fence_v=_fence(plan, rng, weather, faults),
        soil_moisture=_soil(plan, weather, life),
        fans=fans,
    )  # fmt: skip


def _water_cold(plan: Plan, out: Array, air: Array, faults: list[Fault], power: Array) -> tuple[Array, Array]:
    """A pipe in an unheated wall with its heater, and a drinking bowl in the barn."""
    heats = power.copy()
    for fault in faults:
        if fault.kind == "pipe-frozen":
            heats[fault.span] = 0.0
    wall = 0.75 * out + 0.25 * air
    pipe = smooth(np.where(heats > 0, np.maximum(wall, plan.pipe_heater_c), np.minimum(wall, 12)), 70.0)
    held = np.where(power > 0, 5.0 if plan.bowls_heated else -99.0, -99.0)
    return pipe, smooth(np.clip(np.maximum(air, held), 0.0, 16), 50.0)


def _water(plan: Plan, rng: np.random.Generator, inside: Array, faults: list[Fault], power: Array) -> Array:
    """What the herd drinks in the barn, cow by cow, and what is used for washing."""
    n = plan.minutes
    hour = (np.arange(n) % DAY_MIN) / 60
    first, second = (m / 60 + plan.milking_min / 60 for m in plan.milking_at)
    peaks = np.exp(-((hour - first) ** 2) / 2) + np.exp(-((hour - second) ** 2) / 2)
    rate = (0.35 + 2.0 * peaks) * np.where((hour > 21.5) | (hour < 4), 0.3, 1.0)
    rate *= plan.cows * 90 / (rate[:DAY_MIN].sum() if n >= DAY_MIN else 1)
    drinks = rng.poisson(np.maximum(rate * inside, 0) / 11.0) * rng.uniform(7, 15, n)
    for fault in faults:
        if fault.kind == "water-stopped":
            drinks[fault.span] = 0.0
        elif fault.kind == "leak":
            drinks[fault.span] += 2.5 + 14 * fault.size
    return drinks


def _vacuum(
    plan: Plan, rng: np.random.Generator, life: Life, faults: list[Fault], power: Array
) -> tuple[Array, Array]:
    """The pump runs for milking, and for washing the pipes before and after it."""
    on = np.zeros(plan.minutes)
    for start, stop in life.milkings:
        on[max(0, start - 25) : start - 12] = 1.0
        on[start - 3 : stop + 4] = 1.0
        on[stop + 14 : stop + 50] = 1.0
    on *= power
    level = plan.vacuum_kpa + smooth(rng.normal(0, 1, plan.minutes), 3.0) * 0.35
    dips = rng.random(plan.minutes) < 0.02  # a cluster is put on
    level = level - dips * rng.uniform(0.3, 1.2, plan.minutes)
    for fault in faults:
        if fault.kind == "vacuum-low":
            level[fault.span] -= 4.8 + 6 * fault.size
    return on * level, on


def _fence(plan: Plan, rng: np.random.Generator, weather: Weather, faults: list[Fault]) -> Array:
    """Wet grass takes part of it; in winter it is off."""
    wet = np.clip(smooth(np.clip(weather.rain * 60, 0, 4), 90.0) / 4, 0, 1)
    volts = plan.fence_v * (1 - 0.25 * wet) + smooth(rng.normal(0, 1, plan.minutes), 30.0) * 500
    for fault in faults:
        if fault.kind == "fence-down":
            volts[fault.span] *= 0.34 - 0.3 * fault.size
    for day in range(plan.days):
        when = local_day(plan, day)
        if not (5, 8) <= (when.month, when.day) <= (11, 2):
            volts[day * DAY_MIN : (day + 1) * DAY_MIN] = 0.0
    return np.clip(volts, 0, None)


def _soil(plan: Plan, weather: Weather, life: Life) -> Array:
    """Water in the root zone of a volcanic soil, as a share of its volume."""
    given = weather.rain.copy()
    for start, stop in life.irrigation:
        given[start:stop] += 15.0 / (stop - start)
    takes = weather.sun * 0.0000055
    state, found = 0.42, np.empty(plan.minutes)
    for i, (rain, takes_mm) in enumerate(zip(given.tolist(), takes.tolist(), strict=True)):
        state += rain / 300 - takes_mm * max(0.0, (state - 0.2)) / 0.2 * 0.4 / 30
        state -= max(0.0, state - 0.46) * 0.002
        found[i] = state
    return np.clip(found, 0.15, 0.6)
