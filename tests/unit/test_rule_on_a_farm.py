"""The rules that come with Makiba on a small farm: what is raised, when, what is held back, and what ends it.

Time is a parameter; the book is a dict that takes what the judge decides and confirms it, as the worker does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import pytest

from analytics.decision import Decision
from analytics.farm import Farm, FarmDevice, Placed
from analytics.judge import Judge
from analytics.rules import FarmRules
from makiba.reading import Reading, Series, Value
from makiba.rule import Rule, load_rules
from makiba.settings import configs_dir

SITE = "farm"
T0 = 1_700_000_000_000
S, MIN, H = 1_000, 60_000, 3_600_000


@cache
def rules() -> dict[str, Rule]:
    return load_rules(configs_dir() / "rules")


def device(name: str, bus: str, every_s: float = 10, subjects: tuple[str, ...] = ()) -> FarmDevice:
    return FarmDevice(name, "gw-1", f"gw-1.{bus}", round(every_s * 1000), subjects or (name,))


FARM = Farm(
    SITE,
    frozenset({"gw-1"}),
    {d.name: d for d in (
        device("tank-1", "milk"),
        device("climate", "barn"), device("fan-1", "barn"), device("nh3", "barn"),
    )},
    {
        "tank-1": Placed("tank-room", "tank-room"),
        "climate": Placed("barn-1", "barn"),
        "fan-1": Placed("barn-1", "barn", "fan"),
        "nh3": Placed("barn-1", "barn"),
    },
)  # fmt: skip


class Barn:
    """A farm under test: `at` moves the clock in steps of a second, values repeat at their device's poll."""

    def __init__(self, farm: Farm = FARM, overrides: Mapping[str, Any] | None = None) -> None:
        self.farm = farm
        self.judge = Judge(farm, FarmRules(rules(), overrides or {}))
        self.now = T0
        self.polled: dict[tuple[str, str], Value] = {}
        self.open: dict[tuple[str, str], Decision] = {}
        self.log: list[tuple[int, str, str, str]] = []

    def say(self, subject: str, quantity: str, value: Value, ago: int = 0) -> None:
        self.judge.feed([Reading(Series(SITE, subject, quantity), self.now - ago, value)])

    def poll(self, subject: str, **values: Value | None) -> None:
        """From now on the device of `subject` delivers `values`; None: no more."""
        for quantity, value in values.items():
            if value is None:
                self.polled.pop((subject, quantity), None)
            else:
                self.polled[subject, quantity] = value

    def run(self, duration: int, step: int = S) -> None:
        for _ in range(duration // step):
            self.now += step
            due = [
                Reading(Series(SITE, s, q), self.now, v)
                for (s, q), v in self.polled.items()
                if (self.now - T0) % self._every(s) == 0
            ]
            self.judge.feed(due)
            self.tick()

    def _every(self, subject: str) -> int:
        found = self.farm.device_of(subject)
        return found.every_ms if found else 10 * S

    def tick(self) -> None:
        for d in self.judge.tick(self.now):
            if d.kind == "end":
                self.open.pop(d.key, None)
            else:
                self.open[d.key] = d
            if d.kind != "seen":
                self.log.append(((self.now - T0) // S, d.kind, d.rule, d.subject))
            self.judge.confirm(d)

    def severities(self) -> dict[str, str]:
        return {rule: d.severity for (rule, _), d in self.open.items()}

    def rules_open(self) -> set[str]:
        return {rule for rule, _ in self.open}


def healthy(barn: Barn, names: Iterable[str] = ("tank-1", "climate", "fan-1", "nh3")) -> Barn:
    for name in names:
        barn.say(name, "state", "ok")
    barn.say("gw-1", "state", "online")
    barn.poll("tank-1", milk_temperature=4.0)
    barn.poll("climate", air_temperature=10.0, relative_humidity=70.0)
    barn.poll("fan-1", current=0.0)
    barn.poll("nh3", ammonia=5e-6)
    return barn


def test_a_healthy_farm_raises_nothing() -> None:
    barn = healthy(Barn())
    barn.run(2 * H, 10 * S)
    assert barn.log == []


def test_a_warm_tank_is_raised_when_its_persistence_is_over_and_ends_by_itself() -> None:
    barn = healthy(Barn())
    barn.run(MIN)
    barn.poll("tank-1", milk_temperature=6.2)
    barn.run(20 * MIN)
    barn.poll("tank-1", milk_temperature=4.2)
    barn.run(15 * MIN)
    # True since the poll at 70 s, 15 min of persistence; clear since the poll at 1270 s, 10 min.
    assert barn.log == [(70 + 900, "open", "tank.hold", "tank-1"), (1270 + 600, "end", "tank.hold", "tank-1")]


def test_between_both_levels_nothing_is_raised_and_nothing_ends() -> None:
    barn = healthy(Barn(overrides={"tank.hold": {"for": "10s", "clear_for": "10s"}}))
    barn.poll("tank-1", milk_temperature=4.8)
    barn.run(5 * MIN)
    assert barn.log == []
    barn.poll("tank-1", milk_temperature=5.2)
    barn.run(MIN)
    barn.poll("tank-1", milk_temperature=4.8)
    barn.run(5 * MIN)
    assert [kind for _, kind, _, _ in barn.log] == ["open"]


def test_wash_water_and_the_empty_tank_after_it_are_not_warm_milk() -> None:
    barn = healthy(Barn())
    for celsius in (30.0, 68.0, 30.0, 18.0):
        barn.poll("tank-1", milk_temperature=celsius)
        barn.run(10 * MIN)
    barn.run(6 * H, 10 * S)
    assert barn.log == []


def test_milk_that_gets_warm_after_the_tank_was_cold_again_counts() -> None:
    barn = healthy(Barn())
    for celsius in (68.0, 4.0, 7.0):
        barn.poll("tank-1", milk_temperature=celsius)
        barn.run(20 * MIN)
    assert barn.rules_open() == {"tank.hold"}


def test_a_cooler_that_is_broken_since_the_wash_is_found_after_twelve_hours() -> None:
    barn = healthy(Barn())
    barn.poll("tank-1", milk_temperature=68.0)
    barn.run(20 * MIN)
    barn.poll("tank-1", milk_temperature=30.0)
    barn.run(12 * H, 10 * S)
    assert barn.log == []
    barn.run(20 * MIN)
    assert barn.rules_open() == {"tank.hold"}


def test_an_empty_tank_is_not_warm_milk_where_the_volume_is_known() -> None:
    barn = healthy(Barn())
    barn.poll("tank-1", milk_temperature=18.0, milk_volume=0.01)
    barn.run(H, 10 * S)
    assert barn.log == []


def test_a_stale_value_neither_raises_nor_ends() -> None:
    barn = healthy(Barn())
    barn.poll("tank-1", milk_temperature=6.2)
    barn.run(14 * MIN)
    barn.poll("tank-1", milk_temperature=None)
    barn.run(S)
    barn.say("tank-1", "state", "timeout")
    barn.run(4 * MIN)
    assert "tank.hold" not in barn.rules_open()
    barn.run(10 * MIN)
    assert barn.rules_open() == {"device.silent"}


def test_garbled_answers_between_good_ones_do_not_begin_the_persistence_anew() -> None:
    barn = healthy(Barn())
    barn.poll("tank-1", milk_temperature=6.2)
    for _ in range(16):
        barn.run(50 * S)
        barn.say("tank-1", "state", "crc")
        barn.run(10 * S)
        barn.say("tank-1", "state", "ok")
    assert (10 + 900, "open", "tank.hold", "tank-1") in barn.log


def test_late_readings_raise_nothing_and_end_nothing() -> None:
    barn = healthy(Barn())
    barn.poll("tank-1", milk_temperature=6.2)
    barn.run(16 * MIN)
    assert barn.rules_open() == {"tank.hold"}
    before = barn.judge.memory()
    for ago in range(14 * MIN, 0, -11 * S):
        barn.say("tank-1", "milk_temperature", 4.0, ago=ago)
    assert barn.judge.memory() == before


def test_a_backlog_of_a_problem_that_is_over_opens_nothing() -> None:
    barn = healthy(Barn())
    for ago in range(3 * H, H, -10 * S):
        barn.say("tank-1", "milk_temperature", 7.0, ago=ago)
    barn.tick()
    for ago in range(H, 0, -10 * S):
        barn.say("tank-1", "milk_temperature", 4.0, ago=ago)
    barn.tick()
    assert barn.log == []


def test_a_backlog_of_a_problem_that_is_still_there_opens_it_with_its_onset() -> None:
    barn = healthy(Barn())
    readings = [
        Reading(Series(SITE, "tank-1", "milk_temperature"), barn.now - ago, 7.0) for ago in range(3 * H, 0, -10 * S)
    ]
    barn.judge.feed(readings)
    barn.tick()
    assert barn.open["tank.hold", "tank-1"].onset_ms == barn.now - 3 * H


def test_heat_grows_from_advisory_to_warning_as_one_alert() -> None:
    barn = healthy(Barn())
    barn.poll("climate", air_temperature=26.0, relative_humidity=80.0)  # THI 76.5
    barn.poll("fan-1", current=2.0)
    barn.run(3 * H, 10 * S)
    assert [(kind, rule) for _, kind, rule, _ in barn.log] == [("open", "heat.stress"), ("worsen", "heat.stress")]
    assert barn.open["heat.stress", "climate"].severity == "warning"


def test_two_thermometers_in_one_barn_are_one_alert_of_its_heat() -> None:
    barn = healthy(Barn())
    barn.poll("climate", air_temperature=26.0, relative_humidity=80.0)
    barn.poll("nh3", air_temperature=27.0, relative_humidity=78.0)
    barn.poll("fan-1", current=2.0)
    barn.run(H, 10 * S)
    assert set(barn.open) == {("heat.stress", "climate")}
    barn.poll("climate", air_temperature=None, relative_humidity=None)  # its neighbour speaks on
    barn.run(H, 10 * S)
    assert ("heat.stress", "climate") in barn.open


def test_ammonia_behind_a_fan_that_stands_still_is_that_fan_s_alert() -> None:
    barn = healthy(Barn(overrides={"air.nh3": {"for": "5min"}}))
    barn.poll("climate", air_temperature=20.0)
    barn.poll("nh3", ammonia=30e-6)
    barn.run(20 * MIN)
    assert barn.rules_open() == {"fan.failed"}
    barn.poll("fan-1", current=2.0)
    barn.run(3 * MIN)
    assert barn.rules_open() == set()
    barn.run(4 * MIN)  # it is still there on its own
    assert barn.rules_open() == {"air.nh3"}


def test_a_weather_mast_in_a_field_has_no_heat_stress() -> None:
    farm = Farm(SITE, FARM.gateways, FARM.devices, {**FARM.placed, "climate": Placed("field-1", "field")})
    barn = healthy(Barn(farm))
    barn.poll("climate", air_temperature=33.0, relative_humidity=80.0)
    barn.run(3 * H, 10 * S)
    assert barn.log == []


def test_a_fan_that_stands_still_in_a_warm_barn_is_raised_and_in_a_cool_one_is_not() -> None:
    barn = healthy(Barn())
    barn.run(10 * MIN)
    barn.poll("climate", air_temperature=20.0)
    barn.run(5 * MIN)
    assert [(kind, rule) for _, kind, rule, _ in barn.log] == [("open", "fan.failed")]
    assert barn.open["fan.failed", "fan-1"].signals["air"]["subject"] == "climate"
    barn.poll("fan-1", current=1.8)
    barn.run(2 * MIN)
    assert barn.open == {}


def test_a_fan_draws_what_its_farm_says_it_draws() -> None:
    barn = healthy(Barn(overrides={"fan.failed": {"fan-1.normal": 0.5}}))
    barn.poll("climate", air_temperature=20.0)
    barn.poll("fan-1", current=0.4)
    barn.run(10 * MIN)
    assert barn.log == []


def test_ammonia_is_raised_in_ppm() -> None:
    barn = healthy(Barn(overrides={"air.nh3": {"for": "1min"}}))
    barn.poll("nh3", ammonia=22e-6)
    barn.run(2 * MIN)
    assert barn.rules_open() == {"air.nh3"}


def test_a_pipe_is_advisory_at_two_degrees_and_a_warning_at_half_a_degree() -> None:
    barn = healthy(Barn())
    barn.poll("climate", pipe_temperature=1.5)
    barn.run(11 * MIN)
    assert barn.severities() == {"frz.pipe": "advisory"}
    barn.poll("climate", pipe_temperature=0.2)
    barn.run(6 * MIN)
    assert barn.severities() == {"frz.pipe": "warning"}


def test_a_silent_device_is_raised_after_five_minutes_and_a_tank_s_as_a_warning() -> None:
    barn = healthy(Barn())
    barn.run(MIN)
    for name in ("tank-1", "nh3"):
        barn.say(name, "state", "timeout")
    barn.poll("tank-1", milk_temperature=None)
    barn.poll("nh3", ammonia=None)
    barn.run(299 * S)
    assert barn.log == []
    barn.run(2 * S)
    assert {k: d.severity for k, d in barn.open.items()} == {
        ("device.silent", "tank-1"): "warning",
        ("device.silent", "nh3"): "advisory",
    }
    barn.say("nh3", "state", "ok")
    barn.poll("nh3", ammonia=5e-6)
    barn.run(10 * S)
    assert set(barn.open) == {("device.silent", "tank-1")}


def test_the_dead_man_time_of_a_slow_device_is_three_polls() -> None:
    slow = device("soil", "field", every_s=600)
    farm = Farm(SITE, FARM.gateways, {**FARM.devices, "soil": slow}, FARM.placed)
    barn = healthy(Barn(farm))
    barn.poll("soil", soil_temperature=8.0)
    barn.run(11 * MIN)
    barn.poll("soil", soil_temperature=None)
    barn.say("soil", "state", "timeout")
    barn.run(29 * MIN, 10 * S)
    assert barn.log == []
    barn.run(2 * MIN, 10 * S)
    assert set(barn.open) == {("device.silent", "soil")}


def test_a_device_that_says_nothing_at_all_is_silent_while_its_gateway_goes_on() -> None:
    barn = healthy(Barn())
    barn.run(MIN)
    barn.poll("nh3", ammonia=None)
    barn.run(6 * MIN)
    assert {k: d.onset_ms for k, d in barn.open.items()} == {("device.silent", "nh3"): T0 + MIN}
    assert barn.open["device.silent", "nh3"].signals["state"]["value"] == "no-data"
    barn.poll("nh3", ammonia=5e-6)
    barn.run(20 * S)
    assert barn.open == {}


def test_when_everything_stops_coming_no_device_is_blamed() -> None:
    """A collector, broker or store that is down looks like this."""
    barn = healthy(Barn())
    barn.run(MIN)
    barn.polled.clear()
    barn.run(3 * H, 10 * S)
    assert barn.log == []


def test_after_a_long_gap_of_its_link_the_slower_devices_are_not_blamed() -> None:
    slow = device("soil", "field", every_s=60)
    farm = Farm(SITE, FARM.gateways, {**FARM.devices, "soil": slow}, FARM.placed)
    barn = healthy(Barn(farm))
    barn.poll("soil", soil_temperature=8.0)
    barn.run(MIN)
    polled, barn.polled = barn.polled, {}
    barn.run(3 * H, 10 * S)
    barn.polled = polled
    barn.run(10 * MIN)
    assert barn.log == []


def test_the_first_device_that_speaks_after_a_power_cut_does_not_blame_the_others() -> None:
    fast = {n: device(n, "barn", every_s=1) for n in FARM.devices}
    farm = Farm(SITE, FARM.gateways, fast, FARM.placed)
    barn = healthy(Barn(farm, {"device.silent": {"for": "12s"}, "gateway.silent": {"for": "5s"}}))
    barn.run(MIN)
    polled, barn.polled = barn.polled, {}
    barn.say("gw-1", "state", "offline")
    barn.run(22 * S)
    barn.say("gw-1", "state", "online")
    barn.run(S)
    barn.say("tank-1", "milk_temperature", 4.0)
    barn.run(3 * S)
    barn.polled = polled
    barn.run(MIN)
    assert {rule for _, _, rule, _ in barn.log} == {"gateway.silent"}


def test_an_unplugged_probe_is_a_fault_of_the_sensor_and_not_of_its_value() -> None:
    barn = healthy(Barn())
    barn.run(MIN)
    barn.poll("tank-1", milk_temperature=None)
    barn.say("tank-1", "state", "sentinel")
    for _ in range(6):
        barn.run(60 * S)
        barn.say("tank-1", "state", "sentinel")
    assert {k: d.severity for k, d in barn.open.items()} == {("sensor.fault", "tank-1"): "warning"}


def cut(barn: Barn, names: Iterable[str] = ("climate", "fan-1", "nh3")) -> dict[tuple[str, str], Value]:
    kept = dict(barn.polled)
    for name in names:
        barn.say(name, "state", "timeout")
        for key in [k for k in barn.polled if k[0] == name]:
            del barn.polled[key]
        barn.run(S)
    barn.say("gw-1.barn", "state", "silent")
    return kept


def test_a_cut_bus_is_one_alert_that_lists_its_devices() -> None:
    barn = healthy(Barn())
    barn.run(MIN)
    cut(barn)
    barn.run(15 * MIN)
    assert [(kind, rule, subject) for _, kind, rule, subject in barn.log] == [("open", "bus.down", "gw-1.barn")]
    assert barn.open["bus.down", "gw-1.barn"].children == ("climate", "fan-1", "nh3")


def test_what_was_said_before_the_farm_was_known_counts_once_it_is() -> None:
    barn = Barn(Farm(SITE, frozenset({"gw-1"})))
    barn.say("gw-1.barn", "state", "silent")
    barn.run(5 * S)
    barn.farm = FARM
    barn.judge.configure(FARM, FarmRules(rules(), {}))
    barn.run(3 * MIN)
    assert set(barn.open) == {("bus.down", "gw-1.barn")}
    assert barn.open["bus.down", "gw-1.barn"].onset_ms == T0


def test_a_device_that_stays_silent_after_its_bus_is_back_is_raised_by_itself() -> None:
    barn = healthy(Barn())
    barn.run(MIN)
    kept = cut(barn)
    barn.run(10 * MIN)
    barn.say("gw-1.barn", "state", "ok")
    for name in ("climate", "fan-1"):
        barn.say(name, "state", "ok")
    barn.polled = {k: v for k, v in kept.items() if k[0] != "nh3"}
    barn.run(S)
    assert barn.open == {}
    barn.run(6 * MIN)
    assert set(barn.open) == {("device.silent", "nh3")}


def test_devices_that_answer_soon_after_their_bus_is_back_raise_nothing() -> None:
    barn = healthy(Barn())
    barn.run(MIN)
    kept = cut(barn)
    barn.run(10 * MIN)
    barn.say("gw-1.barn", "state", "ok")
    barn.run(20 * S)
    barn.polled = kept
    for name in ("climate", "fan-1", "nh3"):
        barn.say(name, "state", "ok")
    barn.run(10 * MIN)
    assert [(kind, rule) for _, kind, rule, _ in barn.log] == [("open", "bus.down"), ("end", "bus.down")]


def test_a_silent_gateway_is_one_alert_also_when_a_bus_had_just_gone() -> None:
    barn = healthy(Barn())
    barn.run(MIN)
    cut(barn)
    barn.polled.clear()
    barn.say("gw-1", "state", "offline")
    barn.run(30 * MIN, 10 * S)
    assert [(kind, rule) for _, kind, rule, _ in barn.log] == [("open", "gateway.silent")]
    assert barn.open["gateway.silent", "gw-1"].children == ("climate", "fan-1", "nh3", "tank-1")
    barn.say("gw-1", "state", "online")
    barn.run(S)
    assert barn.open == {}


def test_what_needs_no_persistence_is_held_back_too() -> None:
    barn = healthy(Barn(overrides={"bus.down": {"for": "0s"}}))
    barn.run(MIN)
    barn.say("gw-1", "state", "offline")
    barn.say("gw-1.barn", "state", "down")
    barn.run(5 * MIN)
    assert barn.log == []


def test_a_short_loss_of_the_link_is_no_alert() -> None:
    barn = healthy(Barn())
    barn.run(MIN)
    polled, barn.polled = barn.polled, {}
    barn.say("gw-1", "state", "offline")
    barn.run(9 * MIN)
    barn.say("gw-1", "state", "online")
    barn.polled = polled
    barn.run(20 * MIN)
    assert barn.log == []


def test_a_gateway_of_unknown_status_is_silent_when_nothing_comes() -> None:
    barn = Barn()
    barn.poll("tank-1", milk_temperature=4.0)
    barn.run(MIN)
    barn.polled.clear()
    barn.run(9 * MIN)
    assert barn.log == []
    barn.run(2 * MIN)
    assert set(barn.open) == {("gateway.silent", "gw-1")}
    barn.poll("tank-1", milk_temperature=4.0)
    barn.run(20 * S)
    assert barn.open == {}


def test_an_alert_of_a_fan_that_is_no_fan_any_more_ends() -> None:
    barn = healthy(Barn())
    barn.poll("climate", air_temperature=20.0)
    barn.run(5 * MIN)
    assert barn.rules_open() == {"fan.failed"}
    placed = {**FARM.placed, "fan-1": Placed("barn-1", "barn", "light")}
    barn.judge.configure(Farm(SITE, FARM.gateways, FARM.devices, placed), FarmRules(rules()))
    barn.run(S)
    assert barn.open == {}


def test_a_farm_s_new_number_counts_without_a_restart() -> None:
    barn = healthy(Barn())
    barn.run(MIN)
    barn.judge.configure(FARM, FarmRules(rules(), {"tank.hold": {"limit": 3.5, "clear": 3.0, "for": "10s"}}))
    barn.run(MIN)
    assert barn.rules_open() == {"tank.hold"}


@pytest.mark.parametrize("at", [30, 400, 950, 1100, 1500, 1900])
def test_a_judge_that_goes_on_from_its_memory_decides_the_same(at: int) -> None:
    def story(restart_at: int | None) -> list[tuple[int, str, str, str]]:
        barn = healthy(Barn())
        for second in range(2400):
            if second == restart_at:
                memory = barn.judge.memory()
                barn.judge = Judge(FARM, FarmRules(rules()))
                barn.judge.recall(memory)
            if second == 60:
                barn.poll("tank-1", milk_temperature=6.2)
            if second == 1260:
                barn.poll("tank-1", milk_temperature=4.2)
            barn.run(S)
        return barn.log

    assert story(at) == story(None)
