"""What goes on at a place is recognised on farms of many sizes, with good and bad sensors, and only where it is."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from analytics.context import FarmContexts
from analytics.context.expected import early_ms, learned, missing_since, slots
from analytics.farm import Farm, FarmDevice, Placed
from analytics.signals.contexts import ContextState
from collectors.registry.maintenance_times import Target
from collectors.registry.maintenance_times import Window as Upkeep
from makiba.farm_settings import Days
from makiba.reading import Reading, Series
from tests.context_farms import (
    DAY_MS,
    HOUR_MS,
    MIDNIGHT_MS,
    MINUTE_MS,
    SITE,
    Plan,
    Sketch,
    Span,
    farm_of,
    random_plan,
)  # fmt: skip

TANK, PARLOUR = "tank-room", "parlour"
LATE_MIN = 25
TANKS = (("milking", TANK), ("pickup", TANK), ("washing", TANK))


class Watched:
    """A farm's days through `FarmContexts`, asked every few minutes as a judge asks."""

    def __init__(self, plan: Plan, settings: Mapping[str, Any] | None = None, every_min: int = 5) -> None:
        self.plan, self.sketch = plan, Sketch(plan)
        self.contexts = FarmContexts(farm_of(plan), settings)
        self.states: dict[str, list[tuple[int, ContextState | None]]] = {}
        self._every_ms = every_min * MINUTE_MS

    def run(self, until_min: int | None = None, asked: Iterable[tuple[str, str]] = TANKS) -> Watched:
        next_ms = MIDNIGHT_MS + self._every_ms
        for reading in self.sketch.readings():
            if until_min is not None and reading.time_ms > MIDNIGHT_MS + until_min * MINUTE_MS:
                break
            while reading.time_ms > next_ms:
                for name, place in asked:
                    self.states.setdefault(name, []).append((next_ms, self.contexts.state(name, place, next_ms)))
                next_ms += self._every_ms
            self.contexts.take(reading)
        return self

    def spans(self, name: str) -> list[Span]:
        """What was over at some time, in minutes; one that was taken back or resumed counts as it was last said."""
        found: dict[int, int] = {}
        for _, state in self.states[name]:
            if state is not None and not state.is_on and state.ended_ms is not None:
                start = state.ended_ms - round(state.found.get("duration_s", 0) * 1000)
                found[minute(start)] = max(found.get(minute(start), 0), minute(state.ended_ms))
        return sorted(found.items())

    def late(self, name: str, by_min: int) -> list[int]:
        """The minutes in which it is late by more than `by_min`."""
        return [
            minute(t)
            for t, s in self.states[name]
            if s is not None and s.missing_ms is not None and t - s.missing_ms > by_min * MINUTE_MS
        ]

    def is_on(self, name: str, at_min: int) -> bool | None:
        states = [s for t, s in self.states[name] if t <= MIDNIGHT_MS + at_min * MINUTE_MS]
        return states[-1].is_on if states[-1] is not None else None


def minute(at_ms: int) -> int:
    return round((at_ms - MIDNIGHT_MS) / MINUTE_MS)


def touches(one: Span, other: Span, by: int = LATE_MIN) -> bool:
    return one[0] < other[1] + by and one[1] > other[0] - by


def unmatched(some: Iterable[Span], others: Iterable[Span]) -> list[Span]:
    kept = list(others)
    return [one for one in some if not any(touches(one, other) for other in kept)]


# ------------------------------------------------------------------------------------------------------ many farms


def hold(seeds: Iterable[int], **given: Any) -> None:
    for seed in seeds:
        plan = random_plan(seed, **given)
        if "volume" not in plan.has and plan.wash_c < 38:
            continue  # such water is known by a volume only
        watched, learning = Watched(plan).run(), 60
        truth = watched.sketch.truth
        for name, true in (("milking", truth.milkings), ("pickup", truth.pickups), ("washing", truth.washes)):
            found = watched.spans(name)
            assert unmatched(true, found) == [], (seed, name, found)
            assert [s for s in unmatched(found, true) if s[0] > learning] == [], (seed, name)
        near = [(t, f) for t in truth.milkings for f in watched.spans("milking") if touches(t, f, 0)]
        late = [pair for pair in near if abs(pair[0][0] - pair[1][0]) > 45 or abs(pair[0][1] - pair[1][1]) > 45]
        assert len(late) <= 0.15 * len(near), (seed, late)


def test_with_a_volume_every_milking_pickup_and_wash_is_seen_and_no_other() -> None:
    hold(range(4))


@pytest.mark.long
@pytest.mark.timeout(900)
def test_with_a_volume_on_hundreds_of_farms() -> None:
    hold(range(100, 250))


def test_with_vacuum_and_a_temperature_only() -> None:
    hold(range(20, 22), has=frozenset({"temperature", "vacuum"}))


@pytest.mark.long
@pytest.mark.timeout(900)
def test_with_vacuum_and_a_temperature_only_on_many_farms() -> None:
    hold(range(500, 600), has=frozenset({"temperature", "vacuum"}))


@pytest.mark.parametrize("wash_c", [35, 40, 55, 75])
def test_a_wash_tells_how_warm_it_was_in_tank_and_drain(wash_c: float) -> None:
    plan = Plan(3, days=2, wash_c=wash_c, pickup_every=1, has=frozenset({"volume", "temperature", "drain"}))
    watched = Watched(plan).run()
    truth = watched.sketch.truth
    assert len(truth.washes) == 2
    assert unmatched(truth.washes, watched.spans("washing")) == []
    found = [
        s.found for _, s in watched.states["washing"] if s is not None and not s.is_on and s.ended_ms is not None
    ]
    assert abs(found[-1]["peak_temperature"] - wash_c) < 1.5
    assert abs(found[-1]["peak_drain"] - (wash_c - 3)) < 1.5


def test_of_a_tank_with_a_temperature_only_nothing_is_invented() -> None:
    """Pick-up and wash are seen, and milk in the tank; of milkings some, and never one that was none."""
    for seed in range(40, 43):
        watched = Watched(random_plan(seed, has=frozenset({"temperature"}))).run()
        truth = watched.sketch.truth
        assert unmatched(truth.washes, watched.spans("washing")) == [], seed
        assert unmatched(watched.spans("washing"), truth.washes) == [], seed
        assert unmatched(watched.spans("milking"), truth.milkings) == [], seed


def test_with_the_farms_times_a_temperature_is_enough_for_milkings() -> None:
    plan = Plan(7, has=frozenset({"temperature"}))
    times = {"milking_times": ["04:50-06:40", "16:20-18:10"]}
    watched = Watched(plan, times).run()
    for start, end in watched.sketch.truth.milkings:
        assert watched.is_on("milking", (start + end) // 2)
    assert not watched.is_on("milking", 12 * 60)
    assert not watched.is_on("milking", 2 * 1440 + 60)


# -------------------------------------------------------------------------------------------------- holes and starts


def test_what_happened_in_a_hole_is_told_at_its_ends_and_nothing_is_missing_for_it() -> None:
    plan = Plan(5, days=3, pickup_every=1, holes=((1440 + 540, 1440 + 700),))
    watched = Watched(plan, {"milking_times": ["05:00-06:30", "16:30-18:00"]}).run()
    pickup = next(span for span in watched.sketch.truth.pickups if 1980 < span[0] < 2140)
    assert any(found[0] <= pickup[0] and found[1] >= pickup[1] for found in watched.spans("pickup"))
    after = [s for t, s in watched.states["washing"] if 1440 + 705 < minute(t) < 2 * 1440 + 500 and s is not None]
    assert after
    assert all(state.missing_ms is None for state in after if state.ended_ms is not None), (
        "the wash may have been then"
    )


def test_inside_a_hole_nothing_is_known() -> None:
    plan = Plan(5, days=2, holes=((700, 900),))
    watched = Watched(plan).run()
    known = {minute(t): state for t, state in watched.states["milking"]}
    assert known[690] is not None
    assert all(state is None for at, state in known.items() if 720 < at < 900)


def test_a_start_in_the_middle_of_a_milking_invents_no_beginning() -> None:
    plan = Plan(9, days=2)
    sketch = Sketch(plan)
    start, end = sketch.truth.milkings[0]
    contexts = FarmContexts(farm_of(plan))
    middle = MIDNIGHT_MS + (start + end) // 2 * MINUTE_MS
    for reading in sketch.readings():
        if middle <= reading.time_ms < MIDNIGHT_MS + 1000 * MINUTE_MS - 60 * MINUTE_MS:
            contexts.take(reading)
    state = contexts.state("milking", TANK, MIDNIGHT_MS + 930 * MINUTE_MS)
    assert state is not None
    assert not state.is_on
    assert state.ended_ms is None or abs(minute(state.ended_ms) - end) < LATE_MIN
    assert state.since_ms >= middle


@pytest.mark.parametrize("at_min", [330, 583, 610, 1000])
def test_a_restart_at_any_time_changes_nothing(at_min: int) -> None:
    plan = Plan(11, days=2, every_s=20, pickup_every=1, has=frozenset({"volume", "temperature", "drain", "vacuum"}))
    cut = MIDNIGHT_MS + at_min * MINUTE_MS
    whole, first = FarmContexts(farm_of(plan)), FarmContexts(farm_of(plan))
    second: FarmContexts | None = None
    for reading in Sketch(plan).readings():
        whole.take(reading)
        if reading.time_ms >= cut and second is None:
            second = FarmContexts(farm_of(plan))
            second.recall(json.loads(json.dumps(first.memory())))
        (second or first).take(reading)
    end = MIDNIGHT_MS + 2 * DAY_MS - 2 * MINUTE_MS
    assert second is not None
    for name in ("milking", "pickup", "washing", "milk", "cooling"):
        assert second.state(name, TANK, end) == whole.state(name, TANK, end)
    assert second.memory() == whole.memory()


# ---------------------------------------------------------------------------------------------------- what is missing


def test_a_missed_milking_is_asked_for_until_there_is_one() -> None:
    plan = Plan(13, days=4, noise_l=1.0, tank_l=9000, pickup_every=99)
    sketch = Sketch(plan)
    watched = Watched(plan, {"milking_times": ["05:00-06:30", "16:30-18:00"]})
    evening = 2 * 1440 + 990
    flat = sketch.litres[evening - 60]
    morning = next(s for s, _ in sketch.truth.milkings if s > 3 * 1440)
    extra = sketch.litres[morning - 30] - flat
    for m in range(evening - 60, len(sketch.litres)):
        sketch.litres[m] = flat if m < morning - 30 else sketch.litres[m] - extra
    watched.sketch = sketch
    watched.run()
    assert watched.late("milking", 0)[0] < evening, "each is late for the minutes until it is seen"
    late = watched.late("milking", 40)
    assert late
    assert late[0] - evening <= 45
    assert abs(late[-1] - morning) <= LATE_MIN
    told = [s.missing_ms for t, s in watched.states["milking"] if s is not None and minute(t) in late]
    assert {minute(ms or 0) for ms in told} == {evening}


def test_what_a_farm_does_every_day_is_expected_without_a_word() -> None:
    plan = Plan(15, days=9, every_s=120)
    sketch = Sketch(plan)
    watched = Watched(plan, every_min=15)
    last = 8 * 1440 + 300
    flat = sketch.litres[last - 90]
    for m in range(last - 90, len(sketch.litres)):
        sketch.litres[m] = flat
    watched.sketch = sketch
    watched.run()
    late = watched.late("milking", 60)
    assert late
    assert abs(late[0] - 60 - last) < 40


def test_a_tank_that_is_not_washed_after_a_pickup_is_told_and_a_washed_one_is_not() -> None:
    plan = Plan(17, days=2, pickup_every=1)
    watched = Watched(plan).run()
    end = watched.sketch.truth.pickups[0][1]
    wash = watched.sketch.truth.washes[0]
    missing = {minute(t): s.missing_ms for t, s in watched.states["washing"] if s is not None}
    assert all(value is None for at, value in missing.items() if at > wash[1] and at < 1900)
    dirty = replace(plan, wash_follows_min=100_000)
    told = Watched(dirty).run()
    after = [s.missing_ms for t, s in told.states["washing"] if s is not None and minute(t) > end + 20]
    assert after
    assert all(ms is not None and abs(minute(ms) - end) < LATE_MIN for ms in after[:50])


def test_a_tanker_that_does_not_come_is_asked_for_on_its_day() -> None:
    settings = {"pickup_days": "every-second-day", "pickup_on": "2026-06-11", "pickup_time": "09:30"}
    watched = Watched(Plan(19, days=6), settings).run()
    assert all(s.missing_ms is None or minute(s.missing_ms) % 1440 == 570 for _, s in watched.states["pickup"] if s)
    late = [minute(t) for t, s in watched.states["pickup"] if s is not None and s.missing_ms is not None]
    assert all(t % 1440 < 570 + 90 for t in late), "it came every second day, half an hour late at most"
    never = Watched(Plan(19, days=6, pickup_every=99), settings).run()
    told = [s.missing_ms for t, s in never.states["pickup"] if s is not None and minute(t) > 1440 + 575]
    assert {minute(ms or 0) for ms in told} == {1440 + 570}


@pytest.mark.parametrize(
    ("met_min", "missing"),
    [(None, 300), (180, None), (179, 300), (310, None), (1100, None)],
)
def test_a_slot_is_met_by_what_was_on_shortly_before_it_or_after(met_min: int | None, missing: int | None) -> None:
    day = [MIDNIGHT_MS + m * MINUTE_MS for m in (990, 300)]
    met = None if met_min is None else MIDNIGHT_MS + met_min * MINUTE_MS
    found = missing_since(day[1:], met, early_ms([300, 990]), MIDNIGHT_MS)
    assert found == (None if missing is None else MIDNIGHT_MS + missing * MINUTE_MS)


def test_nothing_is_missing_from_before_anybody_looked() -> None:
    assert missing_since([MIDNIGHT_MS + 300 * MINUTE_MS], None, 0, MIDNIGHT_MS + 301 * MINUTE_MS) is None


def test_slots_are_local_times_on_the_farms_days() -> None:
    from zoneinfo import ZoneInfo

    zone = ZoneInfo("Asia/Tokyo")
    found = slots(MIDNIGHT_MS + 700 * MINUTE_MS, zone, [570], Days(weekdays=frozenset({2})))
    assert [minute(at) for at in found] == [570, 570 - 7 * 1440]
    begun = [MIDNIGHT_MS + (d * 1440 + m + d % 3) * MINUTE_MS for d in range(-5, 0) for m in (5, 300, 1000)]
    assert [round(m / 10) for m in learned(begun, MIDNIGHT_MS, zone)] == [1, 30, 100]
    assert learned(begun[:6], MIDNIGHT_MS, zone) == [], "two days are no habit"


# ------------------------------------------------------------------------------------------------------ single things


def at_place(kind: str = "field", **roles: str) -> Farm:
    placed = {name.replace("_", "-"): Placed("here", kind, role) for name, role in roles.items()}
    devices = {name: FarmDevice(name, "gw", "gw.b", 60_000, (name,)) for name in placed}
    return Farm(SITE, frozenset({"gw"}), devices, placed)


def feed(contexts: FarmContexts, subject: str, quantity: str, values: Callable[[int], float], minutes: range) -> None:
    series = Series(SITE, subject, quantity)
    for m in minutes:
        contexts.take(Reading(series, MIDNIGHT_MS + m * MINUTE_MS, values(m)))


def state(contexts: FarmContexts, name: str, at_min: int, place: str | None = "here") -> ContextState:
    found = contexts.state(name, place, MIDNIGHT_MS + at_min * MINUTE_MS)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("quantity", "runs", "stands"), [("current", 7.5, 0.04), ("power", 900, 4), ("switched_on", 1, 0)]
)
def test_a_pump_runs_and_stands_without_knowing_what_it_draws(quantity: str, runs: float, stands: float) -> None:
    contexts = FarmContexts(at_place(well="pump"))
    feed(contexts, "well", quantity, lambda m: runs if m % 60 < 20 else stands, range(200))
    assert state(contexts, "pump", 199).is_on
    feed(contexts, "well", quantity, lambda m: stands, range(200, 230))
    over = state(contexts, "pump", 229)
    assert (over.is_on, over.found["duration_s"]) == (False, 1200)
    assert ("current" in over.found) == (quantity == "current")
    assert contexts.state("pump", "here", MIDNIGHT_MS + 260 * MINUTE_MS) is None, "silent for longer than it is known"


def test_an_agitator_of_which_the_farm_said_the_current_is_not_fooled_by_a_lamp() -> None:
    contexts = FarmContexts(at_place("tank-room", agi="agitator"), {"agi.agitator_current": 1.0})
    feed(contexts, "agi", "current", lambda m: 0.25, range(30))
    assert not state(contexts, "agitator", 29).is_on
    feed(contexts, "agi", "current", lambda m: 0.9, range(30, 40))
    assert state(contexts, "agitator", 39).since_ms == MIDNIGHT_MS + 30 * MINUTE_MS


@pytest.mark.parametrize("tip_mm", [0.2, 0.5, 1.0])
def test_rain_begins_with_more_than_a_tip_of_dew_and_ends_after_a_dry_hour(tip_mm: float) -> None:
    contexts = FarmContexts(at_place("station", gauge=""))
    total = [0.0]

    def counted(m: int) -> float:
        if 100 <= m < 160 and m % 10 == 0:
            total[0] += tip_mm
        return (500 + total[0]) / 1000

    feed(contexts, "gauge", "rainfall", counted, range(90))
    assert not state(contexts, "rain", 89).is_on
    feed(contexts, "gauge", "rainfall", counted, range(90, 170))
    wet = state(contexts, "rain", 169, None)
    assert wet.is_on
    assert wet.found["millimetres"] == pytest.approx(6 * tip_mm, abs=tip_mm)
    feed(contexts, "gauge", "rainfall", counted, range(170, 240))
    dry = state(contexts, "rain", 239)
    assert (dry.is_on, minute(dry.ended_ms or 0)) == (False, 150)


def test_one_tip_is_dew_and_a_cleared_gauge_is_no_rain() -> None:
    contexts = FarmContexts(at_place("station", gauge=""))
    feed(
        contexts,
        "gauge",
        "rainfall",
        lambda m: (0.2 if m > 30 else 0.0) / 1000 + (0 if m < 60 else -0.0001),
        range(90),
    )
    feed(contexts, "gauge", "rainfall", lambda m: 1.5, range(90, 95))
    assert not state(contexts, "rain", 94).is_on


def test_soil_that_becomes_wet_without_rain_is_irrigated_and_with_rain_is_not() -> None:
    def soil(m: int) -> float:
        return 0.2 if m < 300 else min(0.32, 0.2 + (m - 300) * 0.002)

    farm = at_place("field", probe="", gauge="")
    dry, wet, unknown = FarmContexts(farm), FarmContexts(farm), FarmContexts(farm)
    feed(dry, "gauge", "rainfall", lambda m: 1.0, range(400))
    feed(wet, "gauge", "rainfall", lambda m: 1.0 + max(0, m - 250) * 0.0001, range(400))
    for contexts in (dry, wet, unknown):
        feed(contexts, "probe", "soil_moisture", soil, range(280, 400))
    assert not state(wet, "irrigation", 399).is_on
    assert not state(unknown, "irrigation", 399).is_on
    watered = state(dry, "irrigation", 399)
    assert watered.ended_ms is not None or watered.is_on


def test_water_that_flows_on_a_field_is_irrigation_with_its_litres() -> None:
    contexts = FarmContexts(at_place("field", pipe="irrigation"))
    feed(contexts, "pipe", "water_flow", lambda m: 0.002 if 10 <= m < 70 else 0.0, range(100))
    over = state(contexts, "irrigation", 99)
    assert (over.is_on, minute(over.ended_ms or 0)) == (False, 69)
    assert over.found["litres"] == pytest.approx(7200, rel=0.05)


def test_robots_milk_all_day_and_their_silence_is_missed() -> None:
    rng = random.Random(1)
    contexts = FarmContexts(at_place("tank-room", level="tank"), {"milking_by": "robot", "tank_volume": 6000})
    litres = [800.0]

    def volume(m: int) -> float:
        if m < 900 and m % 9 == 0:
            litres[0] += rng.uniform(6, 14)
        return (litres[0] + rng.gauss(0, 1)) / 1000

    feed(contexts, "level", "milk_volume", volume, range(895))
    assert state(contexts, "milking", 894).is_on
    assert state(contexts, "milking", 894).missing_ms is None
    feed(contexts, "level", "milk_volume", volume, range(895, 1200))
    silent = state(contexts, "milking", 1199)
    assert not silent.is_on
    assert silent.missing_ms is not None
    assert abs(minute(silent.missing_ms) - 1080) < 30


def test_a_sensor_that_loses_its_value_is_no_pickup_once_it_has_it_again() -> None:
    contexts = FarmContexts(at_place("tank-room", level="tank"))
    feed(contexts, "level", "milk_volume", lambda m: 0.0 if 300 <= m < 330 else 3.0, range(400))
    found = state(contexts, "pickup", 399)
    assert (found.is_on, found.ended_ms) == (False, None)
    assert state(contexts, "milk", 399).is_on
    assert not state(contexts, "milking", 399).is_on


def test_a_button_tells_of_a_pickup_where_nothing_measures_it() -> None:
    contexts = FarmContexts(at_place("tank-room", hand="pickup"))
    feed(contexts, "hand", "switched_on", lambda m: float(m == 30), range(60))
    assert minute(state(contexts, "pickup", 59).ended_ms or 0) == 30


def test_pasture_is_the_farms_season_and_hours() -> None:
    contexts = FarmContexts(
        at_place("pasture", fence=""), {"pasture_season": "06-10..10-31", "pasture_hours": ["08:00-16:00"]}
    )
    assert state(contexts, "pasture", 9 * 60).is_on
    assert minute(state(contexts, "pasture", 9 * 60).since_ms) == 8 * 60
    assert not state(contexts, "pasture", 17 * 60).is_on
    assert not state(contexts, "pasture", -5 * 60).is_on
    assert not FarmContexts(at_place("pasture", fence="")).knows("pasture", "here")


def test_maintenance_is_of_its_place_its_devices_and_the_whole_farm() -> None:
    contexts = FarmContexts(at_place("barn", fan="fan"))
    hour = MIDNIGHT_MS + HOUR_MS
    assert not state(contexts, "maintenance", 90).is_on
    cases: tuple[tuple[Target, bool], ...] = (
        (("site", ""), True),
        (("place", "here"), True),
        (("place", "x"), False),
        (("device", "fan"), True),
    )
    for target, there in cases:
        contexts.upkeep([Upkeep("w", frozenset({target}), hour, hour + HOUR_MS)])
        assert state(contexts, "maintenance", 90).is_on == there
        assert not state(contexts, "maintenance", 121).is_on


def test_what_is_not_measured_is_not_known_and_another_places_milking_is() -> None:
    contexts = FarmContexts(farm_of(Plan(1)))
    contexts.learn([Series(SITE, "line-1", "vacuum"), Series(SITE, "tank-1.ch1", "milk_temperature")])
    assert contexts.knows("milking", TANK)
    assert contexts.knows("milking", "barn-7")
    assert contexts.knows("washing", TANK)
    assert not contexts.knows("washing", PARLOUR)
    assert not contexts.knows("rain", TANK)
    assert Series(SITE, "line-1", "vacuum") in contexts.inputs("milking", TANK)
    assert contexts.state("milking", TANK, MIDNIGHT_MS) is None


def test_cooling_tells_how_long_the_milk_took_to_be_cold() -> None:
    plan = Plan(21, days=2, under_reads=False, pickup_every=9)
    watched = Watched(plan).run(asked=[("cooling", TANK), ("milk", TANK), ("milking", TANK)])
    _, end = watched.sketch.truth.milkings[0]
    cold = next(m for m in range(end, len(watched.sketch.milk_c)) if watched.sketch.milk_c[m] <= 4.4)
    told = [s.found["minutes_to_cold"] for t, s in watched.states["cooling"] if s and "minutes_to_cold" in s.found]
    assert told
    assert abs(told[0] - (cold - end)) <= 15
    assert all(s is not None and s.is_on for t, s in watched.states["milk"] if minute(t) > 60)


def _readings(series: Series, values: Iterable[tuple[int, float]]) -> Iterator[Reading]:
    return (Reading(series, MIDNIGHT_MS + m * MINUTE_MS, v) for m, v in values)


def test_milk_meters_tell_of_a_milking_without_a_tank() -> None:
    contexts = FarmContexts(Farm(SITE))
    for reading in _readings(Series(SITE, "1412345670", "milk_yield"), [(300, 14.0), (312, 11.0), (330, 12.0)]):
        contexts.take(reading)
    assert state(contexts, "milking", 340, None).is_on
    over = state(contexts, "milking", 400, None)
    assert (over.is_on, minute(over.ended_ms or 0)) == (False, 330)
