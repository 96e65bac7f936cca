"""Spans in which an alert is right though nothing is broken: a hot day, a frost night, a tank filled too fast."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from makiba.rule import Severity
from tests.farm_year.oracle import Mask, lasting, oracle, spans
from tests.farm_year.plan import DAY_MIN
from tests.farm_year.weather import Array, local_day
from tests.farm_year.year import Year


@dataclass(frozen=True, slots=True)
class Hazard:
    """A span in which alerts of `rule` (`*` for anything after it) are right, of `severity` at most."""

    rule: str
    start_ms: int
    end_ms: int
    severity: Severity = "critical"
    subject: str = ""


def thi(air_c: Array, rh: Array) -> Array:
    """Heat index in Japanese practice."""
    return np.asarray(0.8 * air_c + rh / 100 * (air_c - 14.4) + 46.4)


def hazards_of(year: Year) -> list[Hazard]:
    """Every span in which an alert is right though nothing is broken, and a while more: levels to clear are lower."""
    found: list[Hazard] = []
    for rule, mask, severity, tail in _hazards(year):
        for start, stop in spans(mask, join=120):
            found.append(Hazard(rule, year.plan.at(start), year.plan.at(stop + tail), severity))
    plan = year.plan
    for (start, stop), name, _ in year.life.serviced:
        found.append(Hazard("device.silent", plan.at(start), plan.at(stop + 10), "critical", name))
        # A probe that comes back reads the room for a moment.
    for start, stop in year.life.gaps:
        if stop - start >= 9:
            found.append(Hazard("gateway.silent", plan.at(start), plan.at(stop + 5)))
    return found


def _ahead(values: Array, minutes: int) -> Array:
    """The lowest of the next so many minutes, by the hour."""
    found = np.full(len(values), np.inf)
    for shift in range(0, minutes + 1, 30):
        part = values[shift:]
        found[: len(part)] = np.minimum(found[: len(part)], part)
    return found


def _hazards(year: Year) -> Iterator[tuple[str, Mask, Severity, int]]:
    w, t, b, plan = year.truth.weather, year.truth.tank, year.truth.barn, year.plan
    seen = oracle(year, margin_c=0.4)
    index = thi(b.air_c, b.rh)
    month = np.repeat([local_day(plan, d).month for d in range(plan.days)], DAY_MIN)
    yield "heat.*", index > 67.0, "advisory", 90
    yield "heat.*", lasting(index > 71.0, 60), "warning", 720
    yield "heat.*", index > 78.0, "critical", 180
    yield "heat.vent", (b.air_c - w.air_c > 2.5) & (w.air_c > 19), "warning", 60
    limit = 1500e-6 if plan.kind == "tie-stall" else 1000e-6
    yield "air.co2*", b.co2 > 0.94 * limit, "advisory", 120
    yield "air.co2*", b.co2 > 2800e-6, "warning", 120
    yield "air.nh3", b.nh3 > 18e-6, "advisory", 120
    yield "air.nh3*", b.nh3 > 32e-6, "warning", 120
    yield "air.damp", (b.indoors_gkg - b.outdoors_gkg > 1.4) & np.isin(month, (11, 12, 1, 2, 3, 4)), "advisory", 180
    yield "frz.bowl", b.bowl_c < 2.4, "advisory", 90
    yield "frz.bowl", b.bowl_c < 0.9, "warning", 90
    yield "frz.*", _ahead(w.air_c, DAY_MIN) < -6, "advisory", 120
    yield "frz.*", _ahead(w.air_c, DAY_MIN) < -13, "warning", 120
    yield "frz.*", _ahead(w.air_c, DAY_MIN) < -18, "critical", 120
    yield "calf.cold1", b.hutch_c < 15.5, "info", 180
    yield "calf.*", b.hutch_c < 9.5, "advisory", 180
    yield "calf.*", b.hutch_c < -4, "warning", 180
    yield "calf.hot", b.hutch_c > 27.5, "warning", 120
    frosty = np.isin(month, (4, 5, 6, 9, 10))
    yield "frost.*", (_ahead(w.air_c, DAY_MIN) < 6.0) & frosty, "advisory", 120
    yield "frost.*", (w.grass_c < 1.2) & frosty, "warning", 120
    yield "soil.frozen", w.soil_c < 0.6, "info", 300
    yield "soil.dry", b.soil_moisture < 0.32, "advisory", 1440
    yield "soil.wet", b.soil_moisture > 0.38, "info", 1440
    yield "soil.sow", w.soil_c > 6.5, "info", 1440
    wet_hours = np.convolve((w.rh > 86) & (w.air_c > 9), np.ones(DAY_MIN), "full")[: plan.minutes] > 240
    yield "blight*", wet_hours, "advisory", 2 * DAY_MIN
    yield "weather.*", w.wind > 11, "warning", 90
    hour_rain = np.convolve(w.rain, np.ones(60), "full")[: plan.minutes]
    yield (
        "weather.*",
        (hour_rain > 25) | (np.convolve(w.rain, np.ones(DAY_MIN), "full")[: plan.minutes] > 65),
        "advisory",
        120,
    )
    yield "weather.*", (w.wind > 8) & (w.air_c < -1), "warning", 90
    yield "tank.slow", seen.late, "critical", 30
    yield "tank.robot", seen.warm, "critical", 30
    yield "tank.hold", seen.warm | seen.late, "critical", 30
    yield "tank.blend", seen.blend, "warning", 30
    yield "tank.freeze", t.floor_c < 1.8, "warning", 30
    yield "tank.load", seen.load > 3200, "advisory", 0
    yield "tank.load", seen.load > 4600, "warning", 0
    yield "fence.*", (b.fence_v < 3150) & (b.fence_v > 0), "advisory", 30
