"""Each kind of signal on a farm: a rule that looks at it raises when it should and clears when it should.

Time is a parameter, and what goes on at a place is what the test says goes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from analytics.decision import Decision
from analytics.farm import Farm, FarmDevice, Placed
from analytics.judge import Judge
from analytics.rules import FarmRules
from analytics.signals.contexts import ContextState, NoContexts
from collectors.store import open_store
from makiba.reading import Reading, Series, Value
from makiba.rule import load_rules

SITE = "farm"
S, MIN, H, DAY = 1_000, 60_000, 3_600_000, 86_400_000
ZONE = ZoneInfo("Asia/Tokyo")


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZONE).timestamp() * 1000)


T0 = ms("2026-07-01T12:00")


Told = Mapping[tuple[str, str | None], Value]


@dataclass
class Said:
    """Settings, forecasts and facts of the test."""

    values: Told
    settings: Mapping[str, Any] = field(default_factory=dict)


class Here(NoContexts):
    """What goes on in the tank room, as the test says."""

    def __init__(self, *names: str) -> None:
        self.states: dict[str, ContextState | None] = dict.fromkeys(names)

    def knows(self, name: str, place: str | None) -> bool:
        return name in self.states and place in ("tank-room", None)

    def inputs(self, name: str, place: str | None) -> frozenset[Series]:
        return frozenset({Series(SITE, "tank-1", "milk_volume")})

    def state(self, name: str, place: str | None, at_ms: int) -> ContextState | None:
        return self.states[name]


def device(name: str, every_ms: int = 10 * S) -> FarmDevice:
    return FarmDevice(name, "gw-1", "gw-1.b", every_ms, (name,))


NAMES = ("tank-1", "comp-a", "comp-b", "other", "mast", "meter")
FARM = Farm(
    SITE,
    frozenset({"gw-1"}),
    {name: device(name) for name in NAMES},
    {
        "tank-1": Placed("tank-room", "tank-room"),
        "comp-a": Placed("tank-room", "tank-room", "compressor"),
        "comp-b": Placed("tank-room", "tank-room", "compressor"),
        "other": Placed("tank-room", "tank-room", "pump"),
        "mast": Placed("yard", "field", "outdoors"),
        "meter": Placed("tank-room", "tank-room"),
    },
)

TEMPLATE = """\
rule: try.one
about: subject
once_per: site
{more}
title: {{ja: 試し, en: A try}}
severity: advisory
signals: {{{signals}}}
numbers: {{{numbers}}}
raise: {{when: [{begin}], for: {hold}}}
clear: {{when: [{end}]}}
stale_after: {stale}
message: {{ja: 牧場, en: farm}}
action: {{ja: 見てください。, en: Look.}}
source: a test
trust: proposed
"""


class Trial:
    """One rule on the farm."""

    def __init__(
        self, folder: Path, signals: str, numbers: str, begin: str, end: str, *, hold: str = "0s", more: str = "",
        stale: str = "5min",
        contexts: Here | None = None, now: int = T0, farm: Farm = FARM,
    ) -> None:  # fmt: skip
        text = TEMPLATE.format(
            signals=signals, numbers=numbers, begin=begin, end=end, hold=hold, more=more, stale=stale
        )
        (folder / "a.yaml").write_text(text, encoding="utf-8")
        self.rules, self.farm, self.contexts, self.now = FarmRules(load_rules(folder)), farm, contexts, now
        self.judge = Judge(farm, self.rules, contexts)
        self.open: dict[tuple[str, str], Decision] = {}
        self.ends: list[Decision] = []
        self.polled: dict[tuple[str, str], Callable[[int], Value | None]] = {}

    def poll(self, subject: str, quantity: str, value: Value | Callable[[int], Value | None] | None) -> None:
        self.polled[subject, quantity] = value if callable(value) else lambda _: value

    def run(self, duration: int, step: int = 10 * S) -> None:
        for _ in range(duration // step):
            self.now += step
            self.feed((s, q, v) for (s, q), of in self.polled.items() if (v := of(self.now)) is not None)
            self.tick()

    def feed(self, said: Iterable[tuple[str, str, Value]]) -> None:
        self.judge.feed([Reading(Series(SITE, s, q), self.now, v) for s, q, v in said])

    def tick(self) -> None:
        for decision in self.judge.tick(self.now):
            self.judge.confirm(decision)
            if decision.kind == "end":
                self.open.pop(decision.key, None)
                self.ends.append(decision)
            else:
                self.open[decision.key] = decision

    def tell(self, **said: Value) -> None:
        self.judge.tell(Said({(name, None): value for name, value in said.items()}))

    def value(self, name: str) -> Any:
        (decision,) = self.open.values()
        return decision.signals[name]["value"]

    def restart(self) -> None:
        """Begins anew from what is remembered; what stands in the book is adopted."""
        kept = json.loads(json.dumps(self.judge.memory()))
        self.judge = Judge(self.farm, self.rules, self.contexts)
        self.judge.recall(kept)
        for decision in self.open.values():
            self.judge.adopt(decision.rule, decision.subject, decision.onset_ms, decision.severity)


def test_a_difference_to_what_is_outdoors(tmp_path: Path) -> None:
    trial = Trial(
        tmp_path,
        "t: {quantity: milk_temperature}, out: {quantity: air_temperature, of: outdoors}, d: {difference: [t, out]}",
        "x: {value: 3, unit: Cel}", "{signal: d, above: x}", "{signal: d, below: x}",
    )  # fmt: skip
    trial.poll("tank-1", "milk_temperature", 24.0)
    trial.poll("tank-1", "air_temperature", -30.0)  # not outdoors
    trial.poll("mast", "air_temperature", 22.0)
    trial.run(10 * MIN)
    assert not trial.open
    trial.poll("mast", "air_temperature", 20.0)
    trial.run(MIN)
    assert trial.value("d") == pytest.approx(4.0)
    trial.poll("mast", "air_temperature", None)  # stale: unknown ends nothing
    trial.run(20 * MIN)
    assert trial.open
    trial.poll("mast", "air_temperature", 25.0)
    trial.run(MIN)
    assert not trial.open


def test_the_weather_station_stands_in_where_the_farm_has_nothing_outdoors(tmp_path: Path) -> None:
    placed = {s: p for s, p in FARM.placed.items() if s != "mast"}
    farm = Farm(SITE, FARM.gateways, FARM.devices, placed, weather="amedas")
    trial = Trial(
        tmp_path, "out: {quantity: air_temperature, of: outdoors}", "x: {value: 3, unit: Cel}",
        "{signal: out, below: x}", "{signal: out, above: x}", farm=farm,
    )  # fmt: skip
    trial.feed([("amedas", "air_temperature", 1.0), ("tank-1", "air_temperature", 20.0)])
    trial.run(MIN)
    assert trial.value("out") == 1.0


@pytest.mark.parametrize(("pick", "value"), [("max", 6.0), ("min", 2.0), ("sum", 8.0), ("mean", 4.0)])
def test_of_several_with_a_role_one_is_picked(tmp_path: Path, pick: str, value: float) -> None:
    trial = Trial(
        tmp_path, f"c: {{quantity: current, of: place, role: compressor, pick: {pick}}}",
        "x: {value: 1, unit: A}", "{signal: c, above: x}", "{signal: c, below: x}",
    )  # fmt: skip
    for subject, current in (("comp-a", 2.0), ("comp-b", 6.0), ("other", 50.0)):
        trial.poll(subject, "current", current)
    trial.run(MIN)
    assert trial.value("c") == pytest.approx(value)


def test_a_mean_over_a_time_is_not_moved_by_one_reading_and_unknown_at_first(tmp_path: Path) -> None:
    trial = Trial(
        tmp_path, "m: {quantity: ammonia, window: 15min, as: mean}", "x: {value: 35, unit: ppm}",
        "{signal: m, above: x}", "{signal: m, below: x}",
    )  # fmt: skip
    trial.poll("tank-1", "ammonia", 50e-6)
    trial.run(11 * MIN)
    assert not trial.open  # 80 % of 15 min are not known yet
    trial.run(2 * MIN)
    assert trial.open
    trial.poll("tank-1", "ammonia", 20e-6)
    trial.run(MIN)
    assert trial.open
    trial.run(10 * MIN)
    assert not trial.open
    trial.feed([("tank-1", "ammonia", 900e-6)])
    trial.run(MIN)
    assert not trial.open


def test_a_window_goes_on_over_a_restart(tmp_path: Path) -> None:
    trial = Trial(
        tmp_path, "m: {quantity: ammonia, window: 1h, as: mean}", "x: {value: 35, unit: ppm}",
        "{signal: m, above: x}", "{signal: m, below: x}",
    )  # fmt: skip
    trial.poll("tank-1", "ammonia", 30e-6)
    trial.run(H)
    trial.poll("tank-1", "ammonia", 50e-6)
    trial.run(14 * MIN)
    assert not trial.open
    trial.restart()
    trial.run(3 * MIN)
    assert trial.open  # a quarter of the hour at 50, the rest at 30


def test_a_fall_is_told_by_its_slope(tmp_path: Path) -> None:
    trial = Trial(
        tmp_path, "f: {quantity: air_temperature, window: 30min, as: rise_per_hour}",
        "x: {value: -0.5, unit: Cel}, y: {value: 0, unit: Cel}",
        "{signal: f, below: x}", "{signal: f, above: y}",
    )  # fmt: skip
    trial.poll("mast", "air_temperature", lambda at: 5.0 - 0.4 * (at - T0) / H)
    trial.run(H)
    assert not trial.open
    trial.poll("mast", "air_temperature", lambda at: 4.6 - 2.0 * (at - T0 - H) / H)
    trial.run(H)
    assert trial.value("f") == pytest.approx(-2.0, abs=0.01)
    trial.poll("mast", "air_temperature", lambda at: 2.6 + (at - T0 - 2 * H) / H)
    trial.run(H)
    assert not trial.open


def test_water_per_cow_is_a_ratio_of_a_counter_and_a_setting(tmp_path: Path) -> None:
    trial = Trial(
        tmp_path,
        "w: {quantity: water_total, window: 12h, as: total}, cows: {setting: cows}, each: {ratio: [w, cows]}",
        "least: {value: 20, unit: L}, enough: {value: 30, unit: L}",
        "{signal: each, below: least}", "{signal: each, above: enough}", more="needs: [cows]",
    )  # fmt: skip
    trial.poll("meter", "water_total", lambda at: 100 + 2.5 * (at - T0) / H)
    trial.run(13 * H, MIN)
    assert not trial.open
    assert trial.judge.waiting() == [("try.one", "cows")]
    trial.tell(cows=2_000.0)
    assert trial.judge.waiting() == []
    trial.run(13 * H, MIN)
    assert trial.value("each") == pytest.approx(30 / 2_000, rel=0.05)
    trial.tell(cows=800.0)
    trial.run(MIN)
    assert not trial.open
    trial.tell(cows=0.0)  # nothing is so much per cow of none
    trial.run(H)
    assert not trial.open


def test_a_setting_of_the_subject_goes_before_its_places_and_the_farms(tmp_path: Path) -> None:
    trial = Trial(
        tmp_path, "v: {setting: compressor_current}", "x: {value: 5, unit: A}",
        "{signal: v, above: x}", "{signal: v, below: x}", more="role: compressor",
    )  # fmt: skip
    trial.poll("comp-a", "current", 1.0)
    everywhere: Told = {("compressor_current", None): 9.0}
    for whose in ("tank-room", "comp-a"):
        trial.judge.tell(Said(everywhere))
        trial.run(MIN)
        assert trial.value("v") == 9.0
        trial.judge.tell(Said({**everywhere, ("compressor_current", whose): 3.0}))
        trial.run(MIN)
        assert not trial.open
    trial.judge.tell(Said({**everywhere, ("compressor_current", "comp-b"): 3.0}))
    trial.run(MIN)
    assert trial.value("v") == 9.0


def test_the_load_of_milk_begins_anew_with_each_pick_up(tmp_path: Path) -> None:
    here = Here("pickup")
    trial = Trial(
        tmp_path, "l: {quantity: milk_temperature, sum_above: four, since: pickup}",
        "four: {value: 4, unit: Cel}, most: {value: 60, unit: Cel.min}",
        "{signal: l, above: most}", "{signal: l, below: most}", contexts=here,
    )  # fmt: skip
    trial.poll("tank-1", "milk_temperature", 6.0)
    trial.run(H)
    assert not trial.open  # nobody knows whether there was a pick-up
    here.states["pickup"] = ContextState(False, T0, T0)
    trial.run(MIN)
    assert trial.value("l") == pytest.approx(61 * 2 * 60, rel=0.02)
    trial.restart()
    trial.run(MIN)
    assert trial.value("l") > 61 * 2 * 60
    ended = trial.now - 5 * MIN  # recognised five minutes late
    here.states["pickup"] = ContextState(False, ended, ended)
    trial.run(MIN)
    assert not trial.open
    trial.run(23 * MIN)
    assert not trial.open
    trial.run(3 * MIN)
    assert trial.value("l") == pytest.approx(31 * 2 * 60, rel=0.05)
    here.states["pickup"] = ContextState(True, trial.now)
    trial.run(MIN)
    assert not trial.open  # nothing is in the tank


def test_heat_of_a_day_begins_at_midnight(tmp_path: Path) -> None:
    trial = Trial(
        tmp_path,
        "h: {derived: thi, from: {air: air_temperature, rh: relative_humidity}, sum_above: mild, since: day}",
        "mild: {value: 68}, most: {value: 20, unit: h}", "{signal: h, above: most}", "{signal: h, below: most}",
        now=ms("2026-07-01T18:00"),
    )  # fmt: skip
    trial.poll("mast", "air_temperature", 30.0)
    trial.poll("mast", "relative_humidity", 60.0)  # THI 79.8
    trial.run(90 * MIN, MIN)
    assert not trial.open
    trial.run(30 * MIN, MIN)
    assert trial.value("h") == pytest.approx(11.76 * 2 * 3600, rel=0.2)
    trial.run(4 * H - 5 * MIN, MIN)
    assert trial.open
    trial.run(10 * MIN, MIN)
    assert not trial.open


def test_what_goes_on_gates_and_its_times_run_on_without_a_reading(tmp_path: Path) -> None:
    here = Here("milking")
    here.states["milking"] = ContextState(True, T0)
    trial = Trial(
        tmp_path, "m: {context: milking}, q: {context: milking, as: off_for}, t: {quantity: milk_temperature}",
        "long: {value: 1, unit: h}, warm: {value: 10, unit: Cel}",
        "{signal: m, is: ['off']}, {signal: q, above: long}, {signal: t, above: warm}",
        "{signal: m, is: ['on']}", contexts=here,
    )  # fmt: skip
    trial.poll("tank-1", "milk_temperature", 12.0)
    trial.run(2 * H, MIN)
    assert not trial.open
    here.states["milking"] = ContextState(False, trial.now, trial.now)
    trial.run(59 * MIN, MIN)
    assert not trial.open
    trial.run(3 * MIN, MIN)
    assert trial.open
    here.states["milking"] = None  # cannot be told now
    trial.run(H, MIN)
    assert trial.open
    here.states["milking"] = ContextState(True, trial.now, None)
    trial.run(MIN)
    assert not trial.open


def test_an_expected_one_that_is_missing_is_told_by_the_clock_alone(tmp_path: Path) -> None:
    here = Here("milking")
    here.states["milking"] = ContextState(False, T0, T0)
    trial = Trial(
        tmp_path, "late: {context: milking, as: missing_for}",
        "long: {value: 90, unit: min}, none: {value: 1, unit: s}",
        "{signal: late, above: long}", "{signal: late, below: none}", contexts=here, more="where: [tank-room]",
    )  # fmt: skip
    trial.feed([("tank-1", "milk_volume", 1.0)])
    here.states["milking"] = ContextState(False, T0, T0, missing_ms=T0 + H)
    trial.run(2 * H, MIN)
    assert not trial.open
    trial.run(32 * MIN, MIN)
    assert len(trial.open) == 1  # once per site
    here.states["milking"] = ContextState(True, trial.now)
    trial.run(MIN)
    assert not trial.open


def test_what_was_found_about_the_last_one(tmp_path: Path) -> None:
    here = Here("washing")
    trial = Trial(
        tmp_path, "d: {context: washing, as: peak_drain}", "x: {value: 40, unit: Cel}",
        "{signal: d, below: x}", "{signal: d, above: x}", contexts=here,
    )  # fmt: skip
    trial.feed([("tank-1", "milk_volume", 1.0)])
    here.states["washing"] = ContextState(False, T0, T0)
    trial.run(MIN)
    assert not trial.open
    here.states["washing"] = ContextState(False, T0, T0, {"peak_drain": 36.0})
    trial.run(MIN)
    assert trial.value("d") == 36.0
    here.states["washing"] = ContextState(False, T0, T0, {"peak_drain": 55.0})
    trial.run(MIN)
    assert not trial.open


def test_a_context_that_is_not_there_takes_its_rule_with_it_unless_it_is_optional(tmp_path: Path) -> None:
    for optional, raised in (("", False), (", optional: true", True)):
        trial = Trial(
            tmp_path, f"m: {{context: milking{optional}}}, t: {{quantity: milk_temperature}}",
            "x: {value: 5, unit: Cel}",
            "{signal: t, above: x}, {signal: m, is: ['off']}", "{signal: t, below: x}",
        )  # fmt: skip
        trial.poll("tank-1", "milk_temperature", 9.0)
        trial.run(MIN)
        assert bool(trial.open) is raised


def test_a_forecast_and_a_fact_are_unknown_until_they_are_told(tmp_path: Path) -> None:
    trial = Trial(
        tmp_path, "f: {forecast: air_temperature_min, within: 24h}, young: {fact: calves_under_21_d}",
        "x: {value: 4, unit: Cel}, one: {value: 0.5}",
        "{signal: f, below: x}, {signal: young, above: one}", "{signal: f, above: x}", more="where: [tank-room]",
    )  # fmt: skip
    trial.poll("tank-1", "milk_temperature", 4.0)
    trial.run(MIN)
    assert not trial.open
    trial.tell(air_temperature_min_24h=1.0)
    trial.run(MIN)
    assert not trial.open
    trial.tell(air_temperature_min_24h=1.0, calves_under_21_d=2.0)
    trial.run(MIN)
    assert trial.value("f") == 1.0
    trial.tell(calves_under_21_d=2.0)
    trial.run(MIN)
    assert trial.open
    trial.tell(air_temperature_min_24h=6.0, calves_under_21_d=2.0)
    trial.run(MIN)
    assert not trial.open


def test_a_season_ends_what_is_open_and_hours_only_hold_back(tmp_path: Path) -> None:
    trial = Trial(
        tmp_path, "t: {quantity: milk_temperature}", "x: {value: 5, unit: Cel}",
        "{signal: t, above: x}", "{signal: t, below: x}", now=ms("2026-10-31T18:00"),
        more='season: {from: "05-01", to: "10-31"}\nhours: {from: "20:00", to: "05:00"}',
    )  # fmt: skip
    trial.poll("tank-1", "milk_temperature", 9.0)
    trial.run(2 * H - MIN, MIN)
    assert not trial.open
    trial.run(2 * MIN, MIN)
    assert trial.open
    trial.run(4 * H - 2 * MIN, MIN)
    assert trial.open
    trial.run(2 * MIN, MIN)
    assert not trial.open
    assert trial.ends[-1].reason == "season"
    trial.run(24 * H, 5 * MIN)
    assert not trial.open


def test_days_before_today_are_what_today_is_compared_with(tmp_path: Path) -> None:
    trial = Trial(
        tmp_path,
        "today: {quantity: milk_yield, window: 24h, as: sum}, "
        "week: {quantity: milk_yield, window: 7d, as: sum_per_day}, share: {ratio: [today, week]}",
        "x: {value: 0.9}", "{signal: share, below: x}", "{signal: share, above: x}", now=ms("2026-07-01T00:00"),
        stale="13h",
    )  # fmt: skip
    trial.poll("tank-1", "milk_yield", lambda at: 15.0 if (at - ms("2026-07-01T05:00")) % (12 * H) == 0 else None)
    trial.run(5 * DAY + 6 * H, 10 * MIN)
    assert not trial.open
    trial.run(2 * DAY, 10 * MIN)
    assert not trial.open
    trial.restart()
    trial.poll("tank-1", "milk_yield", lambda at: 10.0 if (at - ms("2026-07-01T05:00")) % (12 * H) == 0 else None)
    trial.run(DAY, 10 * MIN)
    assert trial.value("share") == pytest.approx(20 / ((6 * 30 + 25) / 7))


def test_days_are_filled_from_the_store(tmp_path: Path) -> None:
    store = open_store(f"sqlite:{tmp_path}/store.db")
    now = ms("2026-07-10T12:00")
    series, counter = Series(SITE, "tank-1", "milk_yield"), Series(SITE, "meter", "water_total")
    rows = [Reading(series, ms(f"2026-07-{d:02}T06:00") + h * H, 10.0 + d) for d in range(1, 11) for h in (0, 5)]
    rows += [Reading(counter, ms("2026-07-01T00:00") + n * H, 4.0 * n) for n in range(9 * 24 + 12)]
    store.write(rows)
    trial = Trial(
        tmp_path,
        "week: {quantity: milk_yield, window: 7d, as: mean}, "
        "w: {quantity: water_total, window: 3d, as: total_per_day, of: site}",
        "x: {value: 1, unit: kg}, y: {value: 1, unit: m3}",
        "{signal: week, above: x}, {signal: w, above: y}", "{signal: week, below: x}", now=now - MIN,
    )  # fmt: skip
    trial.feed([("tank-1", "milk_yield", 20.0), ("meter", "water_total", 4.0 * 228)])
    assert trial.judge.fill_history(store, now) == 2
    assert trial.judge.fill_history(store, now) == 0
    trial.run(MIN)
    assert trial.value("week") == pytest.approx(sum(10 + d for d in range(3, 10)) / 7)
    assert trial.value("w") == pytest.approx(96.0)
