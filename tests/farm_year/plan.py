"""What farm it is: its barn, herd, tank, milking times, sensors and habits, all drawn from one seed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np

Kind = Literal["tie-stall", "freestall", "robot"]
KINDS: Final[tuple[Kind, ...]] = ("tie-stall", "freestall", "robot")
MINUTE_MS: Final = 60_000
DAY_MIN: Final = 1440
JST_MS: Final = 9 * 3_600_000


@dataclass(frozen=True, slots=True)
class Plan:
    """One farm. Times of day in minutes after local midnight, electricity as its meters see it."""

    seed: int
    kind: Kind
    days: int
    start_ms: int  # local midnight, in UTC ms
    cows: int
    calves: int
    kg_per_cow: float  # milk of a day
    pickup_days: int  # 1: daily, 2: every second day
    pickup_at: float
    tank_m3: float
    tank_class_h: float  # hours in which the tank cools its share of milk, by the class of ISO 5708
    precooled_c: float  # milk as it comes into the tank
    cooler_on_c: float
    cooler_off_c: float
    milking_at: tuple[float, float]
    milking_min: float
    vent_min: float  # m³/s of air for each cow in the coldest time
    wall_w_k: float  # what walls and roof lose for each cow
    fan_on_c: float
    fans: int
    fan_a: float
    compressor_a: float
    agitator_a: float
    pump_a: float
    mains_v: float
    vacuum_kpa: float
    fence_v: float
    pipe_heater_c: float
    bowls_heated: bool
    battery: bool  # whether the gateway goes on without mains
    sensors: frozenset[str]
    polls_s: dict[str, float] = field(hash=False, default_factory=dict)

    @property
    def minutes(self) -> int:
        return self.days * DAY_MIN

    def rng(self, *what: str | int) -> np.random.Generator:
        """Chance of its own for each part of the farm, so that one fault more changes nothing else."""
        words = [ord(c) for w in what for c in str(w)]
        return np.random.default_rng([self.seed, *words])

    def at(self, minute: float) -> int:
        """The time of a minute of the year, in UTC ms."""
        return self.start_ms + round(minute * MINUTE_MS)


ALWAYS: Final = frozenset({"tank", "compressor", "barn", "weather"})
MAYBE: Final = {
    "volume": 0.6, "agitator": 0.7, "drain": 0.6, "fans": 0.85, "nh3": 0.7, "co2": 0.7, "vacuum": 0.8,
    "water": 0.75, "pipe": 0.85, "bowl": 0.6, "h2s": 0.6, "fence": 0.8, "mains": 0.8, "soil": 0.5,
    "grass": 0.5, "hutch": 0.7,
}  # fmt: skip
"""What a farm measures, and how many farms do."""

FAST: Final = ("h2s", "mains", "vacuum", "tank", "water", "agitator", "compressor")
"""What whoever sets up a farm has asked each minute at least."""
POLLS: Final = (10.0, 30.0, 60.0, 60.0, 120.0, 300.0)


def draw_plan(
    seed: int, kind: Kind, days: int, start_ms: int, *, quick: bool = False, full: bool = False, slow: bool = False
) -> Plan:
    """A farm by chance. `quick`: nothing is asked more often than each minute, as a year has many of them.

    `slow`: everything but `FAST` is asked every two minutes at most. `full`: it has every sensor.
    """
    rng = np.random.default_rng([seed, 1])
    cows = int(
        {"tie-stall": rng.integers(30, 81), "freestall": rng.integers(80, 401), "robot": rng.integers(55, 241)}[kind]
    )
    kg = float(rng.uniform(25, 34))
    pickup_days = 1 if kind == "freestall" and cows > 200 else int(rng.choice([1, 2]))
    share = pickup_days * cows * kg / 1030
    freestall = kind != "tie-stall"
    sensors = set(ALWAYS) | {s for s, p in MAYBE.items() if full or rng.random() < p}
    if kind == "robot":
        sensors.discard("vacuum")
    least = 120 if slow else 60 if quick else 0
    slowest = [p for p in POLLS if p >= least]
    polls = {s: float(rng.choice(slowest)) for s in sorted(sensors)}
    # What runs or flows for minutes only is not seen when it is asked rarely; nor is what kills.
    polls |= {s: min(polls[s], 60.0) for s in FAST if s in polls}
    first = float(rng.uniform(285, 330))
    return Plan(
        seed, kind, days, start_ms, cows,
        calves=max(2, cows // 12),
        kg_per_cow=kg,
        pickup_days=pickup_days,
        pickup_at=float(rng.uniform(8.8, 11.5) * 60),
        tank_m3=round(share * float(rng.uniform(1.15, 1.6)), 1),
        tank_class_h=float(rng.uniform(2.4, 3.3)),
        precooled_c=float(rng.choice([34.0, 20.0, 16.0])) if kind != "robot" else 18.0,
        cooler_on_c=float(rng.uniform(3.6, 4.2)),
        cooler_off_c=float(rng.uniform(2.6, 3.2)),
        milking_at=(first, first + float(rng.uniform(640, 715))),
        milking_min=float(np.clip({"tie-stall": 1.7, "freestall": 0.7, "robot": 1.0}[kind] * cows, 70, 210)),
        vent_min=float(rng.uniform(0.05, 0.1)),
        wall_w_k=float(rng.uniform(30, 50) if freestall else rng.uniform(10, 18)),
        fan_on_c=float(rng.uniform(14, 19)),
        fans=int(rng.integers(1, 4)),
        fan_a=float(rng.uniform(0.9, 4.5)),
        compressor_a=float(rng.uniform(7, 24)),
        agitator_a=float(rng.uniform(0.7, 2.0)),
        pump_a=float(rng.uniform(6, 14)),
        mains_v=float(rng.choice([100.5, 201.0, 203.0])),
        vacuum_kpa=float(rng.uniform(41, 49)),
        fence_v=float(rng.uniform(5200, 8500)),
        pipe_heater_c=float(rng.uniform(4, 7)),
        bowls_heated=bool(freestall or rng.random() < 0.5),
        battery=bool(rng.random() < 0.7),
        sensors=frozenset(sensors),
        polls_s=polls,
    )  # fmt: skip
