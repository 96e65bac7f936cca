"""Farms that never were, for what recognises contexts: tanks of many sizes, sensors good and bad, with what is true.

Nothing here knows how contexts are recognised, nor the demo's physics: a volume that rises while cows are milked, a
probe near the bottom that lags behind the milk, rinse water that comes and goes, a wash at the farm's temperature.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from analytics.farm import Farm, FarmDevice, Placed
from makiba.reading import Reading, Series

SITE: Final = "farm-9"
MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
MIDNIGHT_MS: Final = round(datetime(2026, 6, 9, 15, tzinfo=UTC).timestamp() * 1000)
"""Midnight of a Wednesday in Japan."""

Span = tuple[int, int]


@dataclass
class Plan:
    """A farm's days. Times of day in minutes; litres a milking; a wash's temperature at the tank's wall."""

    seed: int
    every_s: float = 60
    days: int = 4
    starts: tuple[int, ...] = (300, 990)
    takes_min: float = 90
    litres: float = 600
    tank_l: float = 4000
    noise_l: float = 2.0
    step_l: float = 0.0
    pickup_every: int = 2
    pickup_at: int = 570
    pickup_takes_min: float = 15
    wash_c: float = 60
    rinse_l: float = 80
    wash_follows_min: float = 15
    inlet_c: float = 33.0
    room_c: float = 16.0
    under_reads: bool = True
    has: frozenset[str] = frozenset({"volume", "temperature"})
    holes: tuple[Span, ...] = ()
    robots: bool = False


@dataclass
class Truth:
    """What really happened."""

    milkings: list[Span] = field(default_factory=list)
    pickups: list[Span] = field(default_factory=list)
    washes: list[Span] = field(default_factory=list)


def random_plan(seed: int, **given: Any) -> Plan:
    """A farm out of many."""
    rng = random.Random(seed)
    tank = rng.choice([500, 1000, 2000, 4000, 8000, 15000, 25000])
    every, milkings = rng.choice([1, 2]), rng.choice([2, 2, 2, 3])
    first = rng.randrange(240, 360)
    starts = (first, first + 690) if milkings == 2 else (first, first + 480, first + 930)
    each = tank * rng.uniform(0.5, 0.9) / (every * milkings + 1)
    return Plan(
        seed,
        **{
            "every_s": rng.choice([10, 30, 60, 120, 300]),
            "starts": starts,
            "takes_min": rng.uniform(45, 150),
            "litres": each,
            "tank_l": tank,
            "noise_l": tank * rng.choice([0.0, 0.0003, 0.001]),
            "step_l": rng.choice([0.0, 1.0, 10.0]) if tank >= 1000 else 1.0,
            "pickup_every": every,
            "pickup_at": rng.randrange(first + 200, first + 400),
            "pickup_takes_min": rng.uniform(6, 35),
            "wash_c": rng.uniform(35, 75),
            "rinse_l": min(tank * 0.05, rng.uniform(20, 120)),
            "wash_follows_min": rng.uniform(3, 40),
            "inlet_c": rng.uniform(24, 34.5),
            "room_c": rng.uniform(5, 24),
            "under_reads": rng.random() < 0.5,
            **given,
        },
    )  # fmt: skip


class Sketch:
    """The days of a plan: what is in the tank and how warm it is, minute by minute, and what happened."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.truth = plan, Truth()
        self._rng = random.Random(plan.seed * 7 + 1)
        minutes = plan.days * 1440
        self.litres = [0.0] * minutes
        self.milk_c = [0.0] * minutes
        self.drain_c = [plan.room_c] * minutes
        self.vacuum = [0.0] * minutes
        self._run(minutes)

    def _run(self, minutes: int) -> None:
        plan = self.plan
        inflow, out, wash = [0.0] * minutes, [False] * minutes, [-1] * minutes
        for day in range(plan.days):
            for start in plan.starts:
                at = day * 1440 + start + self._rng.randrange(-10, 11)
                takes = round(plan.takes_min * self._rng.uniform(0.85, 1.15))
                self._milking(inflow, at, takes, minutes)
            if day % plan.pickup_every == plan.pickup_every - 1:
                at = day * 1440 + plan.pickup_at + self._rng.randrange(-30, 31)
                takes = max(2, round(plan.pickup_takes_min))
                if at + takes + 200 < minutes:
                    for m in range(at, at + takes):
                        out[m] = True
                    self.truth.pickups.append((at, at + takes))
                    begins = at + takes + round(plan.wash_follows_min)
                    for m in range(begins, min(begins + 42, minutes)):
                        wash[m] = m - begins
                    if begins + 42 < minutes:
                        self.truth.washes.append((begins + 8, begins + 34))
        self._fill(inflow, out, wash, minutes)

    def _milking(self, inflow: list[float], at: int, takes: int, minutes: int) -> None:
        plan = self.plan
        if at + takes >= minutes:
            return
        pause = self._rng.randrange(takes // 3, 2 * takes // 3)
        rates = [self._rng.uniform(0.6, 1.4) * (0.0 if pause <= m < pause + 6 else 1.0) for m in range(takes)]
        for m, rate in enumerate(rates):
            inflow[at + m] = plan.litres * rate / sum(rates)
            self.vacuum[at + m] = 45_000 + self._rng.gauss(0, 400)
        self.truth.milkings.append((at, at + takes))

    def _fill(self, inflow: list[float], out: list[bool], wash: list[int], minutes: int) -> None:
        plan = self.plan
        litres, warm, seen = plan.litres * 0.9, 3.8, 3.8
        leaving = 0.0
        for m in range(minutes):
            if out[m]:
                if not out[m - 1]:
                    ahead = next(n for n in range(m, minutes) if not out[n]) - m
                    leaving = litres / ahead
                litres = max(0.0, litres - leaving)
            if inflow[m]:
                warm = (warm * litres + plan.inlet_c * inflow[m]) / (litres + inflow[m])
                litres += inflow[m]
            phase = wash[m]
            water = 0.0
            if phase >= 0:
                warm, water = self._washing(phase, warm)
                self.drain_c[m] = max(self.drain_c[m], warm - 3) if 8 <= phase < 34 else self.drain_c[m]
            elif litres < 1:
                warm += (plan.room_c - warm) * 0.03
            elif warm > 3.6:
                warm -= min(warm - 3.6, 0.0025 * (warm + 12) * (plan.tank_l / max(litres, plan.tank_l / 4)) ** 0.6)
            else:
                warm += 0.004
            lag = 0.06 if inflow[m] and plan.under_reads else 0.35
            seen += (warm - seen) * (1.0 if phase >= 0 else lag)
            self.litres[m], self.milk_c[m] = litres + water, seen

    def _washing(self, phase: int, warm: float) -> tuple[float, float]:
        plan = self.plan
        cold_c, water = 12.0, plan.rinse_l
        if phase < 6:  # a cold rinse
            return warm + (cold_c + 6 - warm) * 0.5, water if 1 <= phase < 5 else 0.0
        if phase < 8:
            return warm, 0.0
        if phase < 34:  # hot detergent, drained once, and acid
            hot = plan.wash_c - (phase - 8) * 0.03
            return hot, water if phase not in (20, 21) else 0.0
        if phase < 36:
            return warm - 4, 0.0
        return warm + (cold_c - warm) * 0.6, water if phase < 40 else 0.0

    # ------------------------------------------------------------------------------------------------------ readings

    def readings(self) -> Iterator[Reading]:
        """What the farm's instruments say, in the order of time."""
        plan, rng = self.plan, random.Random(self.plan.seed * 13 + 5)
        step_ms = round(plan.every_s * 1000)
        level = {name: Series(SITE, *name) for name in NAMES.values()}
        for at in range(0, plan.days * DAY_MS - MINUTE_MS, step_ms):
            at_ms = at + rng.randrange(0, 2000)  # polls are never on the second
            if any(start * MINUTE_MS <= at < end * MINUTE_MS for start, end in plan.holes):
                continue
            m, part = at // MINUTE_MS, at % MINUTE_MS / MINUTE_MS
            time_ms = MIDNIGHT_MS + at_ms
            litres = self.litres[m] + (self.litres[m + 1] - self.litres[m]) * part + rng.gauss(0, plan.noise_l)
            if plan.step_l:
                litres = round(litres / plan.step_l) * plan.step_l
            told = {
                "volume": max(0.0, litres) / 1000,
                "temperature": round(self.milk_c[m] + rng.gauss(0, 0.05), 1),
                "drain": round(self.drain_c[m], 1),
                "vacuum": max(0.0, self.vacuum[m]),
            }
            for name, value in told.items():
                if name in plan.has:
                    yield Reading(level[NAMES[name]], time_ms, value)


NAMES: Final = {
    "volume": ("tank-level", "milk_volume"),
    "temperature": ("tank-1.ch1", "milk_temperature"),
    "drain": ("tank-1.ch2", "pipe_temperature"),
    "vacuum": ("line-1", "vacuum"),
}


def farm_of(plan: Plan) -> Farm:
    """The farm with its instruments."""
    subjects = ("tank-level", "tank-1.ch1", "tank-1.ch2", "line-1")
    devices = {
        name: FarmDevice(name, "gw-1", "gw-1.bus", round(plan.every_s * 1000), subjects)
        for name in ("tank-level", "tank-1", "line-1")
    }
    placed = {
        "tank-level": Placed("tank-room", "tank-room", "tank"),
        "tank-1.ch1": Placed("tank-room", "tank-room", "tank"),
        "tank-1.ch2": Placed("tank-room", "tank-room", "drain"),
        "line-1": Placed("parlour", "parlour"),
    }
    return Farm(SITE, frozenset({"gw-1"}), devices, placed)
