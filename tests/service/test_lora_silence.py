"""A LoRaWAN device that falls silent: from the farm's file to the alert and to the pages' list of devices."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from analytics.decision import Decision
from analytics.farm import read_farm
from analytics.judge import Judge
from analytics.rules import FarmRules
from analytics.texts import farm_names
from api.routes.places import arrange, read_standing
from collectors.registry import Registry, open_registry
from collectors.registry.lora import NETWORK
from makiba.reading import Reading, Series
from makiba.rule import load_rules
from makiba.settings import configs_dir
from tests.service.collecting import CONSOLE, SITE
from tests.service.ways_parts import run

T0 = 1_780_338_800_000
MIN = 60_000
SITE_FILE = f"""\
site: {SITE}
name: {{ja: 牧場, en: Farm}}
gateways: [gw-a]
lorawan:
  - {{dev_eui: a84041f621857cd2, subject: soil-3, profile: dragino-lse01, every: 10min}}
  - {{dev_eui: a84041f621857cd3, subject: soil-4, profile: dragino-lse01, every: 20min}}
  - {{dev_eui: a84041f621857cd4, subject: silo-1, profile: dragino-dds75}}
"""


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    (tmp_path / "site.yaml").write_text(SITE_FILE, encoding="utf-8")
    applied = run(tmp_path, "site", "apply", str(tmp_path / "site.yaml"))
    assert applied.exit_code == 0, applied.output
    registry = open_registry(f"sqlite:{tmp_path / 'registry.db'}")
    yield registry
    registry.close()


class Air:
    """The farm's judge, minute by minute; `speaks` holds how often each device speaks, in minutes."""

    def __init__(self, registry: Registry) -> None:
        with registry.read() as session:
            farm = read_farm(session, CONSOLE, SITE)
        self.judge = Judge(farm, FarmRules(load_rules(configs_dir() / "rules"), {}))
        self.minute = 0
        self.speaks = {"soil-3": 10, "soil-4": 20, "silo-1": 60}
        self.open: dict[tuple[str, str], Decision] = {}
        self.opened: list[tuple[str, str]] = []

    def run(self, minutes: int) -> None:
        for _ in range(minutes):
            self.minute += 1
            now_ms = T0 + self.minute * MIN
            due = [subject for subject, every in self.speaks.items() if self.minute % every == 0]
            self.judge.feed(Reading(Series(SITE, s, "battery_voltage"), now_ms, 3.6) for s in due)
            for decision in self.judge.tick(now_ms):
                if decision.kind == "end":
                    self.open.pop(decision.key)
                elif self.open.setdefault(decision.key, decision) is decision:
                    self.opened.append(decision.key)
                self.judge.confirm(decision)


def test_devices_that_speak_when_they_should_are_not_silent(registry: Registry) -> None:
    air = Air(registry)
    air.run(24 * 60)
    assert air.opened == []


def test_one_that_stays_away_three_times_is_silent_until_it_speaks(registry: Registry) -> None:
    air = Air(registry)
    air.run(120)
    del air.speaks["soil-4"]
    air.run(59)  # 20 + 20 + 20 min after what it said at 120 min, and the next of another device
    assert air.opened == []
    air.run(22)
    assert set(air.open) == {("device.silent", "soil-4")}
    assert air.open["device.silent", "soil-4"].onset_ms == T0 + 120 * MIN
    air.speaks["soil-4"] = 20
    air.run(20)
    assert air.open == {}


def test_a_device_whose_interval_is_not_said_is_taken_to_speak_every_hour(registry: Registry) -> None:
    air = Air(registry)
    air.run(120)
    del air.speaks["silo-1"]
    air.run(179)
    assert air.opened == []
    air.run(30)
    assert set(air.open) == {("device.silent", "silo-1")}


def test_when_nothing_is_heard_on_the_air_that_is_one_alert(registry: Registry) -> None:
    air = Air(registry)
    air.run(120)
    speaks, air.speaks = air.speaks, {}
    air.run(180)
    assert air.opened == []
    air.run(30)
    assert set(air.open) == {("gateway.silent", NETWORK)}
    assert set(air.open["gateway.silent", NETWORK].children) == {"silo-1", "soil-3", "soil-4"}
    air.speaks = speaks
    air.run(120)
    assert air.open == {}
    assert air.opened == [("gateway.silent", NETWORK)]
    with registry.read() as session:
        assert farm_names(session, CONSOLE, SITE).of(NETWORK)["en"] == "the LoRaWAN gateway"


def test_the_pages_list_the_devices_before_they_ever_spoke(registry: Registry) -> None:
    with registry.read() as session:
        [place] = arrange(read_standing(session, CONSOLE, SITE), {}, now_ms=T0)
    assert [(s.subject, s.gateway) for s in place.subjects] == [(n, NETWORK) for n in ("silo-1", "soil-3", "soil-4")]
