"""The rules, over simulated farms: nothing silly, nothing missed. And the farm is one, and is scored as it says."""

from __future__ import annotations

from typing import Final

import numpy as np
import pytest

from analytics.replay import Outcome, alerts_of
from makiba.rule import Severity, load_rules
from makiba.settings import Settings
from tests.farm_year.drive import decisions
from tests.farm_year.hazards import Hazard, hazards_of
from tests.farm_year.labels import Label, labels_of
from tests.farm_year.plan import KINDS, MINUTE_MS, Kind, draw_plan
from tests.farm_year.score import Score, score
from tests.farm_year.weather import make_weather
from tests.farm_year.year import Year, make_year, start_of

T0: Final = start_of(2026)
SHORT: Final = 5


def run(year: Year) -> Score:
    outcomes = alerts_of(decisions(year, load_rules(Settings().rules_dir)))
    return score(outcomes, labels_of(year), hazards_of(year))


# ---------------------------------------------------------------------------------------------- the farm is a farm


@pytest.mark.parametrize("kind", KINDS)
def test_a_healthy_farm_keeps_its_milk_cold_and_its_herd_alive(kind: Kind) -> None:
    year = make_year(11, kind, 40, faults=False, full=True)
    tank, barn, plan = year.truth.tank, year.truth.barn, year.plan
    full = tank.volume_m3 > 0.2 * plan.tank_m3
    assert np.median(tank.milk_c[full]) < 4.5
    assert tank.milk_c[tank.volume_m3 > 0.01].min() > 0.5  # it does not freeze
    assert tank.volume_m3.max() <= plan.tank_m3
    assert 60 < barn.water_l_min.sum() / plan.days / plan.cows < 130
    assert barn.h2s.max() < 5e-6
    assert len(year.life.washes) in (len(year.life.pickups), len(year.life.pickups) - 1)
    if kind != "robot":
        assert len(year.life.milkings) > 2 * plan.days - 3


def test_the_year_is_a_year_in_shikaoi() -> None:
    weather = make_weather(draw_plan(5, "tie-stall", 365, T0))
    by_day = weather.air_c.reshape(365, 1440)
    assert -12 < by_day[:59].mean() < -5
    assert 17 < by_day[181:243].mean() < 24
    assert by_day.min() < -20
    assert by_day.max() > 29
    assert 400 < weather.rain.sum() < 1400
    assert (weather.air_c - weather.grass_c).max() > 3  # clear nights


def test_the_same_seed_sends_the_same_in_order_of_arrival() -> None:
    one, other = (make_year(4, "freestall", 4) for _ in range(2))
    sent = [row for day in one.stream().days() for row in day]
    assert sent == [row for day in other.stream().days() for row in day]
    arrivals = [a for a, _ in sent]
    assert arrivals == sorted(arrivals)
    assert len({(r.series, r.time_ms) for _, r in sent}) == len(sent)
    assert {a for a, r in sent if a < r.time_ms} == set()


# ------------------------------------------------------------------------------------------ scored as it says

MIN = MINUTE_MS
FAULT = Label("fan-stuck", "fan-1", T0, T0 + 300 * MIN, T0 + 10 * MIN, T0 + 25 * MIN,
              frozenset({"fan.failed"}), frozenset({"heat.*"}), frozenset({"fan-1"}))  # fmt: skip
HOT = Hazard("heat.*", T0 + 900 * MIN, T0 + 1200 * MIN, "advisory")


def alert(rule: str, subject: str, minute: float, severity: Severity = "warning") -> Outcome:
    at = round(T0 + minute * MIN)
    return Outcome(rule, subject, at - 5 * MIN, at, at + 30 * MIN, severity)


@pytest.mark.parametrize(
    ("raised", "what", "found"),
    [
        (alert("fan.failed", "fan-1", 20), "cause", "found"),
        (alert("fan.failed", "fan-1", 40), "cause", "late"),
        (alert("fan.failed", "fan-2", 20), "flood", "missed"),
        (alert("heat.stress", "air", 20), "also", "missed"),
        (alert("device.silent", "air", 20), "flood", "missed"),
        (alert("fan.failed", "fan-1", 500), "silly", "missed"),
        (alert("heat.stress", "air", 1000, "advisory"), "right", "missed"),
        (alert("heat.stress", "air", 1000, "critical"), "silly", "missed"),
    ],
)
def test_an_alert_is_what_the_true_values_make_of_it(raised: Outcome, what: str, found: str) -> None:
    result = score([raised], [FAULT], [HOT])
    assert [a.what for a in result.alerts] == [what]
    assert [f for _, f, _ in result.faults] == [found]


# ------------------------------------------------------------------------------------------------- and the rules


def well(result: Score, *, at_least: int, lost: int = 0) -> None:
    assert not result.silly, "\n".join(map(str, result.silly))
    assert not result.of("flood", pushed=True), "\n".join(map(str, result.of("flood", pushed=True)))
    missed = [fault for fault in result.faults if fault[1] in ("late", "missed")]
    assert len(missed) <= lost, "\n".join(map(str, missed))
    assert result.found >= at_least


def test_some_days_with_faults() -> None:
    well(run(make_year(SHORT, "tie-stall", 5, start_ms=start_of(2026, 6, 10), slow=True)), at_least=2)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_fortnight_with_faults() -> None:
    well(run(make_year(7, "tie-stall", 18, start_ms=start_of(2026, 1, 10))), at_least=10)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("seed", "kind"), [(7, "tie-stall"), (21, "freestall"), (33, "robot")])
def test_a_year(seed: int, kind: Kind) -> None:
    result = run(make_year(seed, kind))
    assert not result.silly, "\n".join(str(a) for a in result.silly)
    assert result.found >= 0.95 * result.to_find, "\n".join(str(f) for f in result.faults if f[1] != "found")
