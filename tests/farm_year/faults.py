"""Faults that a year may bring: which there are, when each can happen, and on what; drawn, and never two at once.

Nothing here says what a rule should do: `labels.py` does, from the true values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from tests.farm_year.plan import DAY_MIN, Plan
from tests.farm_year.weather import Array, Weather, local_day


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong: minutes of the year, on which subject or device, and how badly (0 to 1)."""

    kind: str
    start: int
    end: int
    target: str = ""
    size: float = 1.0

    @property
    def span(self) -> slice:
        return slice(self.start, self.end)


@dataclass(frozen=True, slots=True)
class _Kind:
    """How often in a year, how long, with what sensors, on which days and at what hours it may begin."""

    a_year: int
    hours: tuple[float, float]
    sensors: frozenset[str] = frozenset()
    day: Callable[[_Days, int], bool] = lambda _days, _day: True
    begins: tuple[float, float] = (0.0, 24.0)
    size: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True)
class _Days:
    """What of each day a fault may ask for."""

    plan: Plan
    high: Array
    low: Array
    pickup: frozenset[int]

    def month(self, day: int) -> int:
        return local_day(self.plan, day).month


def _winter(days: _Days, day: int) -> bool:
    return bool(days.low[day] < -9)


def _fan_weather(days: _Days, day: int) -> bool:
    return bool(days.high[day] > days.plan.fan_on_c + 4)


def _pasture(days: _Days, day: int) -> bool:
    return 6 <= days.month(day) <= 10


def _pickup(days: _Days, day: int) -> bool:
    return day in days.pickup


def _dry_pit(days: _Days, day: int) -> bool:
    return 3 <= days.month(day) <= 11


S = frozenset
KINDS: Final[dict[str, _Kind]] = {
    "compressor-off": _Kind(3, (9, 20), S(["tank"])),
    "compressor-weak": _Kind(3, (30, 70), S(["tank"]), size=(0.3, 1)),
    "agitator-off": _Kind(3, (5, 12), S(["agitator", "compressor"])),
    "fan-stuck": _Kind(3, (5, 30), S(["fans"]), _fan_weather, (8, 12)),
    "pipe-frozen": _Kind(3, (10, 30), S(["pipe"]), _winter, (15, 22)),
    "fence-down": _Kind(3, (3, 20), S(["fence"]), _pasture, (5, 18), (0.2, 1)),
    "vacuum-low": _Kind(3, (12, 30), S(["vacuum"]), size=(0.2, 1)),
    "h2s": _Kind(3, (0.6, 3), S(["h2s"]), _dry_pit, (7, 17)),
    "sensor-stuck": _Kind(3, (48, 60)),
    "sensor-drift": _Kind(2, (96, 140), S(["tank"]), size=(0.5, 1)),
    "sensor-spikes": _Kind(3, (10, 40)),
    "sensor-unplugged": _Kind(4, (2, 20)),
    "sensor-silent": _Kind(4, (2, 20)),
    "bus-down": _Kind(3, (1, 9)),
    "gateway-dead": _Kind(3, (1, 14)),
    "link-lost": _Kind(3, (1, 48)),
    "power-lost": _Kind(4, (0.7, 14)),
    "water-stopped": _Kind(3, (5, 10), S(["water"]), begins=(5, 9)),
    "leak": _Kind(3, (20, 60), S(["water"]), size=(0.2, 1)),
    "wash-late": _Kind(3, (4, 4), S(["tank"]), _pickup, (0, 0.1)),
    "wash-missed": _Kind(3, (22, 22), S(["tank"]), _pickup, (0, 0.1)),
    "wash-cold": _Kind(3, (14, 14), S(["tank", "drain"]), _pickup, (0, 0.1)),
    "milking-missed": _Kind(2, (11, 11), S(["vacuum"])),
}  # fmt: skip


def draw_faults(
    plan: Plan, weather: Weather, pickup_days: frozenset[int], targets: dict[str, list[str]], share: float = 1.0
) -> list[Fault]:
    """A year's faults, in order. `targets`: what a fault of a kind may hit. `share`: of what a year would bring.

    Between two faults lies a day in which the farm is well again, or in a short stretch half a day.
    """
    rng = plan.rng("faults")
    shape = (plan.days, DAY_MIN)
    days = _Days(
        plan, weather.air_c.reshape(shape).max(axis=1), weather.air_c.reshape(shape).min(axis=1), pickup_days
    )
    rest = 1.0 if plan.days > 60 else 0.4
    taken: list[tuple[float, float]] = []
    found: list[Fault] = []
    for kind in _wanted(plan, rng, targets, share):
        what = KINDS[kind]
        for day in rng.permutation(np.arange(2, plan.days - 1))[:200].tolist():
            if not what.day(days, day):
                continue
            start = day + float(rng.uniform(*what.begins)) / 24
            end = start + float(rng.uniform(*what.hours)) / 24
            if end > plan.days - 0.6 or any(start < e + rest and end + rest > s for s, e in taken):
                continue
            taken.append((start, end))
            target = str(rng.choice(targets[kind])) if kind in targets else ""
            found.append(
                Fault(kind, round(start * DAY_MIN), round(end * DAY_MIN), target, float(rng.uniform(*what.size)))
            )
            break
    return sorted(found, key=lambda f: f.start)


def _wanted(plan: Plan, rng: np.random.Generator, targets: dict[str, list[str]], share: float) -> Iterator[str]:
    """Kinds in an order by chance, the rare ones not behind the others."""
    wanted = []
    for kind, what in KINDS.items():
        if not what.sensors <= plan.sensors or not targets.get(kind, [""]):
            continue
        expected = what.a_year * share * plan.days / 365
        count = int(expected) + (rng.random() < expected % 1)
        wanted += [kind] * (count if plan.days > 60 else min(1, max(count, int(rng.random() < share))))
    yield from rng.permutation(wanted).tolist()
