"""The bulk tank by the minute: milk in, cooling, stirring, pick-up, wash; and what a probe in its floor feels.

Plain heat balance. The cooling power follows from the class of ISO 5708 that the tank has (its share of milk from 35
to 4 °C in so many hours at 32 °C outside); insulation from 3-A (at most 1.7 K warmer in 12 h, full). The probe feels
the floor: cold milk lies there while warm milk comes in above, the less is stirred the more (NARO); empty, it feels
steel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tests.farm_year.faults import Fault
from tests.farm_year.life import Life
from tests.farm_year.plan import Plan
from tests.farm_year.weather import Array, Weather, smooth

J_PER_M3_K = 1030 * 3900.0
STIR_MIN, EACH_MIN = 2, 15


@dataclass(frozen=True)
class Tank:
    """Each minute. `milk_c` is the milk itself, `floor_c` what the probe feels, `drain_c` the water that leaves."""

    milk_c: Array
    floor_c: Array
    volume_m3: Array
    cooling: Array
    stirring: Array
    drain_c: Array
    milking: Array


def _washing(plan: Plan, life: Life, room: Array) -> tuple[Array, Array]:
    """Water in the tank and at the drain, in °C; NaN where there is none."""
    water, drain = np.full(plan.minutes, np.nan), room.copy()
    for wash in life.washes:
        at = wash.start
        for length, temperature in ((4, 36.0), (wash.hot_min, wash.hot_c), (3, 14.0), (6, 30.0), (3, 12.0)):
            stop = min(at + length, plan.minutes)
            water[at:stop] = temperature
            cooled = temperature - (3.0 + 0.9 * np.arange(max(0, stop - at))) * (temperature > 40)
            drain[at + 1 : stop + 1] = cooled[: max(0, len(drain[at + 1 : stop + 1]))]
            at = stop + 1
    return water, smooth(drain, 1.5)


def _inflow(plan: Plan, life: Life, blocked: Array) -> Array:
    """m³ of milk a minute."""
    daily = plan.cows * plan.kg_per_cow / 1030
    flow = np.zeros(plan.minutes)
    rng = plan.rng("inflow")
    day_yield = 1 + smooth(rng.normal(0, 1, plan.days + 1), 6.0) * 0.06
    if plan.kind == "robot":
        flow[:] = daily / 1440 * day_yield[np.arange(plan.minutes) // 1440]
        lumps = smooth(rng.gamma(0.5, 2.0, plan.minutes), 4.0)
        flow *= lumps
        return np.where(blocked > 0, 0.0, flow)
    for start, stop in life.milkings:
        share = 0.53 if (start % 1440) < 720 else 0.47
        n = stop - start
        shape = np.clip(np.minimum(np.arange(n) / 12, (n - np.arange(n)) / 12), 0.15, 1)
        flow[start:stop] = daily * share * day_yield[start // 1440] * shape / shape.sum() * rng.normal(1, 0.015)
    return flow


def make_tank(plan: Plan, life: Life, weather: Weather, faults: list[Fault], power: Array) -> Tank:
    n = plan.minutes
    room = smooth(np.clip(7 + 0.7 * weather.air_c, 4, 30), 240.0)
    water, drain = _washing(plan, life, room)
    cleaning = np.zeros(n)
    emptied = np.zeros(n)
    for start, stop in life.pickups:
        emptied[start:stop] = 1.0
        cleaning[start:stop] = 1.0
    for wash in life.washes:
        cleaning[wash.start : wash.start + wash.hot_min + 22] = 1.0
    if plan.kind == "robot":  # it lets no milk in until its tank is clean
        for _, stop in life.pickups:
            cleaning[stop : next((w.start for w in life.washes if stop <= w.start < stop + 240), stop + 40)] = 1.0
    inflow = _inflow(plan, life, cleaning + (power == 0))
    for_milkings = 2 * plan.pickup_days
    watts = plan.tank_m3 / for_milkings * J_PER_M3_K * 31 / (plan.tank_class_h * 3600)
    strength = np.clip(1 + 0.011 * (32 - weather.air_c), 0.7, 1.35)
    stirrer = np.ones(n)
    for fault in faults:
        if fault.kind == "compressor-off":
            strength[fault.span] = 0.0
        elif fault.kind == "compressor-weak":
            strength[fault.span] *= 0.35 - 0.25 * fault.size
        elif fault.kind == "agitator-off":
            stirrer[fault.span] = 0.0
    lid = np.zeros(n)
    for start, stop in life.lid:
        lid[start:stop] = 1.0
    return _balance(plan, inflow, watts, strength, stirrer, power, room, water, emptied, lid, drain)


def _balance(
    plan: Plan, inflow: Array, watts: float, strength: Array, stirrer: Array, power: Array, room: Array, water: Array,
    emptied: Array, lid: Array, drain: Array,
) -> Tank:  # fmt: skip
    n = plan.minutes
    milk, floor, volumes = np.empty(n), np.empty(n), np.empty(n)
    cooling, stirring = np.zeros(n), np.zeros(n)
    volume = 0.45 * plan.tank_m3
    t = f = plan.cooler_off_c + 0.3
    on = False
    leaks_w_k = plan.tank_m3 * J_PER_M3_K * 1.7 / (12 * 3600 * 28)
    pump = plan.tank_m3 / 10
    least = 0.04 * plan.tank_m3
    has = power.tolist()
    rows = zip(
        inflow.tolist(), strength.tolist(), stirrer.tolist(), has, room.tolist(), water.tolist(), emptied.tolist(),
        lid.tolist(), strict=True,
    )  # fmt: skip
    for i, (into, strong, stirs, powered, room_c, wet, leaving, open_lid) in enumerate(rows):
        if leaving:
            volume = max(0.0, volume - pump)
            on = False
        washing = not math.isnan(wet)
        if washing:
            volume, on = 0.0, False
            t = f = f + (wet - f) * 0.5
        elif into > 0 or volume > 0:
            if volume < 1e-4:
                t = plan.precooled_c
            if into > 0:
                t = (t * volume + plan.precooled_c * into) / (volume + into)
                volume += into
            heat = (leaks_w_k * (room_c - t)) * 60 / (J_PER_M3_K * max(volume, 0.02))
            t += heat + open_lid * 0.0008 * (room_c - t)
            on = on if powered else False
            if volume < least:
                on = False
            elif not on and f > plan.cooler_on_c and powered and not leaving:
                on = True
            elif on and f < plan.cooler_off_c:
                on = False
            if on:
                cools = watts * strong * (min(1.0, volume / (0.25 * plan.tank_m3))) * 60 / (J_PER_M3_K * volume)
                t = max(0.3, t - cools * (1.0 if stirs else 0.25))
        else:
            t += (room_c - t) / 40
        turns = bool(powered and stirs and volume > least and (on or i % EACH_MIN < STIR_MIN or into > 0))
        if not washing:
            if volume <= 1e-3:
                f += (room_c - f) / 40
            elif turns:
                f += (t - f) / 1.6
            else:
                below = t - (1.5 if into > 0 else 0.0)
                f += (below - f) / 90 - (0.02 if on and strong and not stirs and f > 0.5 else 0.0)
        milk[i], floor[i], volumes[i] = t, f, volume
        cooling[i], stirring[i] = on, turns
    return Tank(milk, floor, volumes, cooling, stirring, drain, (inflow > 0).astype(float))
