"""The outlet beside real brokers: what a Home Assistant would hear is what its documents ask for, once, and no more.

`check` is our own reading of home-assistant.io ("MQTT", "MQTT sensor", "MQTT binary sensor") and of the units and
state classes in home-assistant/core's `homeassistant/components/sensor/const.py`.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from collectors.out import home_assistant as ha
from collectors.registry import people
from collectors.registry.sites import DeviceSpec, PlacementSpec, record_reported
from collectors.registry.viewer import Service
from collectors.store import open_store
from deploy.broker import program
from makiba.quantities import catalogue
from makiba.reading import Reading, Series
from tests.parts import Broker, Process, free_port, makiba, wait_until
from tests.service.collecting import CONSOLE, GATEWAY, SITE, farm, registry_with
from tests.service.test_tail import OTHER, Centre

TEMPERATURE, POWER = {"°C", "°F", "K"}, {"mW", "W", "kW", "MW", "GW", "TW"}
UNITS: dict[str | None, set[str | None]] = {
    "temperature": {*TEMPERATURE}, "humidity": {"%"}, "atmospheric_pressure": {"hPa", "mbar", "Pa", "kPa", "bar"},
    "wind_speed": {"m/s", "km/h", "kn", "mph", "ft/s", "Beaufort"}, "wind_direction": {"°"},
    "precipitation": {"mm", "cm", "in"}, "precipitation_intensity": {"mm/h", "mm/d", "in/h", "in/d"},
    "duration": {"d", "h", "min", "s", "ms"}, "distance": {"km", "m", "cm", "mm", "mi", "yd", "in", "ft"},
    "irradiance": {"W/m²", "BTU/(h⋅ft²)"}, "illuminance": {"lx"},
    "volume_storage": {"m³", "L", "mL", "ft³", "CCF", "gal", "fl. oz."},
    "volume_flow_rate": {"m³/h", "L/min", "ft³/min"},
    "water": {"m³", "L", "ft³", "CCF", "gal"}, "speed": {"m/s", "km/h", "mm/h", "mm/d", "kn", "mph"},
    "moisture": {"%"}, "conductivity": {"S/cm", "mS/cm", "µS/cm"}, "ph": {None}, "carbon_dioxide": {"ppm"},
    "carbon_monoxide": {"ppm"}, "voltage": {"V", "mV"}, "current": {"A", "mA"}, "power": {*POWER},
    "apparent_power": {"VA"}, "reactive_power": {"var"}, "power_factor": {"%", None},
    "frequency": {"Hz", "kHz", "MHz", "GHz"}, "energy": {"Wh", "kWh", "MWh", "J", "kJ", "MJ", "GJ"},
    "weight": {"kg", "g", "mg", "oz", "lb"}, "battery": {"%"}, "signal_strength": {"dB", "dBm"},
}  # fmt: skip
TOTALS_ONLY = {"energy", "water"}
ANY_CLASS = {"distance", "duration", "precipitation", "weight", None}
BINARY = {"running"}
FIELDS = {
    "name", "unique_id", "state_topic", "availability", "availability_mode", "qos", "device", "origin",
    "device_class", "expire_after", "entity_category",
}  # fmt: skip
NUMBERS = {"suggested_display_precision", "unit_of_measurement", "state_class"}
DEVICE = {"identifiers", "name", "manufacturer", "model", "sw_version", "via_device", "suggested_area"}


def check(topic: str, payload: bytes, prefix: str = "homeassistant") -> dict[str, Any]:
    """The config in `payload`, which keeps to what is documented."""
    told: dict[str, Any] = json.loads(payload)
    head, component, node, entity, last = topic.split("/")
    assert (head, last) == (prefix, "config")
    assert all((c.isascii() and c.isalnum()) or c in "_-" for c in node + entity), topic
    assert set(told) <= FIELDS | (NUMBERS if component == "sensor" else set())
    assert {"name", "unique_id", "state_topic", "availability", "device", "origin"} <= set(told)
    assert told["origin"]["name"]
    assert told["availability_mode"] in ("all", "any", "latest")
    assert all(set(a) == {"topic"} for a in told["availability"])
    assert set(told["device"]) <= DEVICE
    assert told["device"]["identifiers"] == [i for i in told["device"]["identifiers"] if isinstance(i, str) and i]
    assert told.get("entity_category") in (None, "diagnostic")
    assert isinstance(told.get("expire_after", 1), int)
    assert told.get("expire_after", 1) > 0
    kind = told.get("device_class")
    if component == "binary_sensor":
        assert kind in BINARY
        return told
    assert component == "sensor"
    if kind is not None:
        assert told.get("unit_of_measurement") in UNITS[kind], (topic, kind)
    state = told.get("state_class")
    assert state in ("measurement", "total_increasing", None)
    if kind in TOTALS_ONLY:
        assert state == "total_increasing"
    elif kind == "wind_direction":
        assert state is None
    elif kind not in ANY_CLASS:
        assert state == "measurement"
    assert told["suggested_display_precision"] >= 0
    return told


def test_every_quantity_keeps_to_what_is_documented() -> None:
    device = ha.Device("dev", "機器", "xy-md02", "gw-1", 30.0)
    shown = [name for name in catalogue() if ha.how(name)]
    assert {n for n, q in catalogue().items() if q.kind == "text"} == set(catalogue()) - set(shown)
    assert set(ha.TABLE) <= set(shown)
    for name in shown:
        entity = ha.Entity(Series(SITE, "dev", name), device, "機器")
        told = check(ha.config_topic("homeassistant", entity), ha.config(entity, "1.0", "ja"))
        assert told["expire_after"] == 90
        ha.state(name, 1.0)


@pytest.mark.parametrize(
    ("quantity", "value", "state"),
    [
        ("milk_temperature", 4.25, b"4.25"), ("air_pressure", 101325.0, b"1013.25"), ("energy", 3.6e6, b"1.0"),
        ("carbon_dioxide", 0.0008, b"800.0"), ("signal_strength", -120.0, b"-90.0"), ("switched_on", 1.0, b"ON"),
        ("switched_on", 0.0, b"OFF"), ("milk_volume", 1.2345, b"1234.5"), ("temperature", -0.0001, b"0.0"),
    ],
)  # fmt: skip
def test_values_are_in_the_unit_that_is_told(quantity: str, value: float, state: bytes) -> None:
    assert ha.state(quantity, value) == state


def test_names_that_differ_stay_different() -> None:
    names = ["a.b", "a-b", "a_b", "a", "a.b.c", "A", "牛舎", "a..b"]
    assert len({ha.slug(n) for n in names}) == len(names)
    assert all(c.isascii() and (c.isalnum() or c in "_-") for n in names for c in ha.slug(n))


# ------------------------------------------------------------------------------------------------ beside brokers


@dataclass
class Home:
    """A reader of Home Assistant's broker: everything that was published, and what stands there."""

    port: int
    heard: list[tuple[str, bytes, bool]] = field(default_factory=list)

    def connect(self) -> None:
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="home", protocol=paho.MQTTv311)
        subscribed = threading.Event()
        self._client.on_message = lambda _c, _u, m: self.heard.append((m.topic, bytes(m.payload), m.retain))
        self._client.on_connect = lambda c, *_: c.subscribe("#", 1)
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.connect("127.0.0.1", self.port)
        self._client.loop_start()
        assert subscribed.wait(5)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str, payload: bytes, retain: bool = False) -> None:
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(5)

    def configs(self) -> dict[str, bytes]:
        """What stands on config topics."""
        found: dict[str, bytes] = {}
        for topic, payload, _ in list(self.heard):
            if topic.endswith("/config"):
                found[topic] = payload
        return {topic: payload for topic, payload in found.items() if payload}

    def states(self, of: str) -> list[bytes]:
        return [payload for topic, payload, _ in list(self.heard) if topic == of]

    def last(self, topic: str) -> bytes | None:
        return (self.states(topic) or [None])[-1]  # type: ignore[list-item]


@dataclass
class House:
    centre: Centre
    home: Home
    folder: Path
    person: int

    @contextmanager
    def outlet(self, **env: str) -> Iterator[Process]:
        process = self.start(**env)
        try:
            yield process
        finally:
            process.kill()

    def start(self, **env: str) -> Process:
        settings = {
            "MAKIBA_HOME": str(self.folder), **self.centre.broker.env(), "MAKIBA_HOME_ASSISTANT_SITE": SITE,
            "MAKIBA_HOME_ASSISTANT_BROKER": f"mqtt://127.0.0.1:{self.home.port}",
            "MAKIBA_HOME_ASSISTANT_PERSON": "hanako", "MAKIBA_HOME_ASSISTANT_LANGUAGE": "en", **env,
        }  # fmt: skip
        return makiba("outlet", "home-assistant", log=self.folder / "outlet.log", env=settings).start()


def now_ms() -> int:
    return time.time_ns() // 1_000_000


MILK = Series(SITE, "pt.ch1", "milk_temperature")
AIR = Series(SITE, "barn-1-climate", "air_temperature")
BACKLOG = Series(SITE, GATEWAY, "spool_backlog")
STATUS = f"{ha.OUT}/{ha.slug(SITE)}/status"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    placed = (
        PlacementSpec("pt.ch1", "tank", "", "バルク", "Bulk tank"),
        PlacementSpec("barn-1-climate", "barn-1", "", "空気", "Air"),
    )  # fmt: skip
    registry = registry_with(tmp_path, farm(placements=placed), farm(OTHER, ("gw-b",)))
    with registry.write() as session:
        devices = [
            DeviceSpec("pt", "bus", "pt100-4ch", 10.0, ("pt.ch1",)),
            DeviceSpec("barn-1-climate", "bus", "xy-md02", 30.0, ("barn-1-climate",)),
        ]
        record_reported(session, Service("collector"), GATEWAY, devices)
        person = people.create_person(session, CONSOLE, login="hanako", name="花子", now_ms=1).id
        people.grant_role(session, CONSOLE, person, SITE, "worker", 1)
    store = open_store(f"sqlite:{tmp_path / 'store.db'}")
    store.write([Reading(MILK, now_ms() - 1000, 4.25), Reading(AIR, now_ms() - 86_400_000, 9.0)])
    store.write(
        [Reading(BACKLOG, now_ms(), 0.0), Reading(Series(OTHER, "tank-1", "milk_temperature"), now_ms(), 6.5)]
    )
    store.close()
    port = free_port()
    config = tmp_path / "home.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
    with Broker() as broker, Process([program(), "-c", str(config)], log=tmp_path / "home.log"):
        wait_until(lambda: _is_open(port))
        centre, home = Centre(tmp_path, broker, registry), Home(port)
        centre.connect()
        home.connect()
        yield House(centre, home, tmp_path, person)
        home.close()
        centre.close()
    registry.close()


def _is_open(port: int) -> bool:
    import socket

    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def topic_of(house: House, subject: str, quantity: str) -> str:
    end = f"/{ha.slug(subject)}_{quantity}/config"
    [topic] = [t for t in house.home.configs() if t.endswith(end)]
    return topic


def test_a_farm_is_told_once_and_a_kill_changes_nothing(house: House) -> None:
    home = house.home
    with house.outlet() as outlet:
        wait_until(lambda: home.last(STATUS) == b"online", 20, outlet.log)
        configs = home.configs()
        told = {t: check(t, p) for t, p in configs.items()}
        assert len(told) == 3
        milk = told[topic_of(house, "pt.ch1", "milk_temperature")]
        assert (milk["device"]["name"], milk["device"]["model"], milk["device"]["suggested_area"]) == (
            "pt", "pt100-4ch", "Tank room",
        )  # fmt: skip
        assert (milk["name"], milk["unit_of_measurement"], milk["expire_after"]) == (
            "Bulk tank milk temperature",
            "°C",
            60,
        )
        gateway = told[topic_of(house, GATEWAY, "spool_backlog")]
        assert milk["device"]["via_device"] in gateway["device"]["identifiers"]
        assert gateway["entity_category"] == "diagnostic"
        assert len({t["unique_id"] for t in told.values()}) == 3
        wait_until(lambda: home.states(milk["state_topic"]) == [b"4.25"])
        assert not home.states(told[topic_of(house, "barn-1-climate", "air_temperature")]["state_topic"])  # a day old

        def comes(value: float, shown: bytes) -> None:
            def sent() -> bool:
                house.centre.committed(Reading(MILK, now_ms(), value))
                return home.last(milk["state_topic"]) == shown

            wait_until(sent, 10, outlet.log, every_s=0.1)

        comes(5.5, b"5.5")
        house.centre.committed(Reading(Series(OTHER, "tank-1", "milk_temperature"), now_ms(), 6.5))
        house.centre.committed(Reading(MILK, now_ms() - 86_400_000, 99.0))  # a backlog is not told as one of now
        comes(5.75, b"5.75")
        assert b"99.0" not in home.states(milk["state_topic"])
        assert OTHER not in str(home.heard)
        assert b"6.5" not in [payload for _, payload, _ in home.heard]
        house.centre.committed(Reading(Series(SITE, "pt", "state"), now_ms(), "timeout"))
        wait_until(lambda: home.last(milk["availability"][1]["topic"]) == b"offline", 5, outlet.log)
        assert milk["availability"][0]["topic"] == STATUS
        outlet.kill()
    wait_until(lambda: home.last(STATUS) == b"offline", 60)
    with house.outlet() as outlet:
        wait_until(lambda: home.last(STATUS) == b"online", 20, outlet.log)
        assert home.configs() == configs
        assert outlet.terminate() == 0
    assert home.last(STATUS) == b"offline"


def test_it_tells_again_when_home_assistant_starts_and_takes_away_what_is_gone(house: House) -> None:
    home = house.home
    stale = f"homeassistant/sensor/{ha.node(SITE)}/gone_milk_temperature/config"
    foreign = "homeassistant/sensor/somebody/else/config"
    for topic in (stale, foreign):
        home.publish(topic, b"{}", retain=True)
    with house.outlet() as outlet:
        wait_until(lambda: home.last(STATUS) == b"online", 20, outlet.log)
        wait_until(lambda: stale not in home.configs(), 10, outlet.log)
        assert foreign in home.configs()
        topic = topic_of(house, "pt.ch1", "milk_temperature")
        state = json.loads(home.configs()[topic])["state_topic"]
        wait_until(lambda: len(home.states(state)) == 1, 5)
        count = len(home.states(topic))
        home.publish("homeassistant/status", b"online")
        wait_until(lambda: len(home.states(topic)) > count and len(home.states(state)) > 1, 5, outlet.log)
        assert home.last(state) == b"4.25"


def test_it_ends_with_nothing_left_when_its_person_belongs_to_the_farm_no_more(house: House) -> None:
    home = house.home
    with house.outlet() as outlet:
        wait_until(lambda: len(home.configs()) == 3, 20, outlet.log)
        with house.centre.registry.write() as session:
            people.revoke_role(session, CONSOLE, house.person, SITE, now_ms())
        assert outlet.wait(10) == 2
        wait_until(lambda: home.configs() == {}, 5)
        assert "hanako is none of the people" in outlet.log()


def test_it_says_what_is_missing(house: House) -> None:
    for env, said in (
        ({"MAKIBA_HOME_ASSISTANT_BROKER": ""}, "off"),
        ({"MAKIBA_HOME_ASSISTANT_PERSON": ""}, "MAKIBA_HOME_ASSISTANT_PERSON"),
        ({"MAKIBA_HOME_ASSISTANT_PERSON": "nobody"}, "nobody is none of the people"),
        ({"MAKIBA_HOME_ASSISTANT_BROKER": "mqtt://192.0.2.1:1883"}, "this machine itself only"),
        ({"MAKIBA_HOME_ASSISTANT_SITE": "shikaoi-999"}, "no site"),
    ):
        with house.outlet(**env) as outlet:
            assert outlet.wait(15) == 2
            assert said in outlet.log()
    assert house.home.configs() == {}
