"""What people do on the farm: milking, pick-up, washing, pasture, holidays, looking into the tank, repairs.

All of it is normal. Times wander from day to day, helpers milk at other hours, the tanker comes late in snow.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tests.farm_year.faults import Fault
from tests.farm_year.plan import DAY_MIN, Plan
from tests.farm_year.weather import Weather, local_day

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Wash:
    """A wash of the tank: when, how hot its detergent is, and how long that circulates."""

    start: int
    hot_c: float
    hot_min: int


@dataclass
class Life:
    """A year's doings in minutes of the year."""

    milkings: list[Span] = field(default_factory=list)
    pickups: list[Span] = field(default_factory=list)
    washes: list[Wash] = field(default_factory=list)
    lid: list[Span] = field(default_factory=list)  # somebody looks into the tank
    pasture: list[Span] = field(default_factory=list)
    pit: list[Span] = field(default_factory=list)  # the pit is stirred, as planned
    irrigation: list[Span] = field(default_factory=list)
    blips: list[int] = field(default_factory=list)  # the mains are away for seconds
    reboots: list[int] = field(default_factory=list)  # of the gateway
    gaps: list[Span] = field(default_factory=list)  # the link is away for minutes
    serviced: list[tuple[Span, str, float]] = field(
        default_factory=list
    )  # a device is taken out, and reads otherwise


def pickup_days(plan: Plan) -> frozenset[int]:
    return frozenset(range(1 if plan.pickup_days == 2 else 0, plan.days, plan.pickup_days))


def live(plan: Plan, weather: Weather, faults: list[Fault], devices: list[str]) -> Life:
    life = Life()
    rng = plan.rng("life")
    _milk(life, plan, rng, faults)
    _collect(life, plan, rng, weather, faults)
    _graze(life, plan, rng, weather)
    per_year = plan.days / 365
    for _ in range(rng.poisson(40 * per_year)):
        start = int(rng.integers(0, plan.days) * DAY_MIN + rng.integers(540, 1080))
        life.lid.append((start, start + int(rng.integers(2, 9))))
    for _ in range(rng.poisson(30 * per_year)):
        start = int(rng.integers(0, plan.days) * DAY_MIN + rng.integers(480, 1000))
        life.pit.append((start, start + int(rng.integers(15, 45))))
    for _ in range(rng.poisson(15 * per_year)):
        start = int(rng.integers(0, plan.days) * DAY_MIN + rng.integers(300, 1100))
        if 5 <= local_day(plan, start // DAY_MIN).month <= 8:
            life.irrigation.append((start, start + int(rng.integers(120, 360))))
    ill = [(f.start - 120, f.end + 120) for f in faults]

    def quiet(minute: int) -> bool:
        return all(not a <= minute <= b for a, b in ill)

    life.blips += [m for m in rng.integers(0, plan.minutes, rng.poisson(20 * per_year)).tolist() if quiet(m)]
    life.reboots += [m for m in rng.integers(0, plan.minutes, rng.poisson(12 * per_year)).tolist() if quiet(m)]
    for minute in rng.integers(60, plan.minutes - 60, rng.poisson(60 * per_year)).tolist():
        if quiet(minute):
            life.gaps.append((minute, minute + int(1 + rng.gamma(1.0, 1.6))))
    for _ in range(rng.poisson(10 * per_year)):
        start = int(rng.integers(0, plan.days) * DAY_MIN + rng.integers(540, 1000))
        if quiet(start):
            life.serviced.append(
                ((start, start + int(rng.integers(8, 50))), str(rng.choice(devices)), float(rng.normal(0, 1)))
            )
    return life


def _milk(life: Life, plan: Plan, rng: np.random.Generator, faults: list[Fault]) -> None:
    if plan.kind == "robot":
        return
    missed = [f for f in faults if f.kind == "milking-missed"]
    for day in range(plan.days):
        holiday = rng.random() < 0.04  # a helper milks, or a festival shifts the day
        for at in plan.milking_at:
            shift = rng.normal(0, 8) + (rng.uniform(-35, 45) if holiday else 0.0)
            start = day * DAY_MIN + round(at + shift)
            length = round(plan.milking_min * rng.uniform(0.92, 1.12) * (1.15 if holiday else 1.0))
            if start + length < plan.minutes and not any(f.start - 30 <= start < f.end for f in missed):
                life.milkings.append((start, start + length))


def _collect(life: Life, plan: Plan, rng: np.random.Generator, weather: Weather, faults: list[Fault]) -> None:
    """Pick-ups and the wash after each; a fault of washing lasts for the day on which it is."""
    by_day = {f.start // DAY_MIN: f for f in faults if f.kind.startswith("wash")}
    usual_c, usual_min = float(rng.uniform(58, 72)), int(rng.integers(8, 13))
    for day in sorted(pickup_days(plan)):
        morning = slice(day * DAY_MIN + 360, day * DAY_MIN + 600)
        storm = weather.air_c[morning].mean() < -2 and weather.wind[morning].mean() > 5
        at = plan.pickup_at + rng.normal(0, 18) + (rng.uniform(30, 150) if storm else 0.0)
        at = max(at, plan.milking_at[0] + plan.milking_min * 1.4 + 25)
        start = day * DAY_MIN + round(at)
        length = int(np.clip(plan.cows * plan.kg_per_cow * plan.pickup_days / 350, 5, 25))
        if start + 600 > plan.minutes:
            break
        life.pickups.append((start, start + length))
        fault = by_day.get(day)
        wait = int(rng.integers(4, 26))
        if fault is not None and fault.kind == "wash-missed":
            continue
        if fault is not None and fault.kind == "wash-late":
            wait = round(min(float(rng.integers(110, 170)), plan.milking_at[1] - at - length - 75))
            if wait < 85:
                continue
        hot_c = usual_c + rng.normal(0, 1.5)
        if fault is not None and fault.kind == "wash-cold":
            hot_c = 38.0 + 3 * fault.size
        life.washes.append(Wash(start + length + wait, float(hot_c), usual_min))


def _graze(life: Life, plan: Plan, rng: np.random.Generator, weather: Weather) -> None:
    if plan.kind == "robot" or plan.cows > 150:
        return
    for day in range(plan.days):
        when = local_day(plan, day)
        if not (5, 15) <= (when.month, when.day) <= (10, 25):
            continue
        rain = weather.rain[day * DAY_MIN + 480 : day * DAY_MIN + 900].sum()
        if rain > 25 or rng.random() < 0.03:
            continue
        out = day * DAY_MIN + round(plan.milking_at[0] + plan.milking_min + 60 + rng.normal(0, 10))
        back = day * DAY_MIN + round(plan.milking_at[1] - 35 + rng.normal(0, 8))
        life.pasture.append((out, back))
