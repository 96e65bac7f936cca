"""`makiba watch` as a process of its own, with a real broker, store and registry: alerts in time, and none doubled.

`Farm` stands for gateway and collector: it commits a reading to the store every 0.2 s and publishes it on the feed.
"""

from __future__ import annotations

import random
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import paho.mqtt.client as paho
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from sqlalchemy import select

from analytics import alert_book
from collectors.registry import Registry, open_registry
from collectors.registry.schema import Alert, AlertEvent, JudgeSnapshot, PersonRow
from collectors.registry.sites import (
    DeviceSpec,
    PlacementSpec,
    PlaceSpec,
    SiteSpec,
    apply_site,
    record_reported,
)
from collectors.registry.viewer import Person, Service
from collectors.store import open_store
from makiba.mqtt import connect_properties, new_client
from makiba.reading import Reading, Series, Value
from makiba.senml import encode_json
from makiba.settings import configs_dir
from makiba.topics import stored_topic
from makiba.wire import BatchId, pack_payload
from tests.parts import Broker, Process, makiba, wait_until

SITE = "farm"
POLL_S = 0.2
PERSISTENCE_S = 1.0
RULES: dict[str, dict[str, Any]] = {
    "tank.hold": {"for": "1s", "clear_for": "1s", "filled": 0, "settled": 0, "rinsed": 0},
    "device.silent": {"for": "2s"},
    "gateway.silent": {"for": "2s"},
}


class Farm:
    """A registry, a store, and readings that come as long as `values` has some."""

    def __init__(self, folder: Path, broker: Broker) -> None:
        self.folder, self.broker = folder, broker
        self.registry: Registry = open_registry(f"sqlite:{folder / 'registry.db'}", migrate=True)
        self.store = open_store(f"sqlite:{folder / 'store.db'}")
        self.values: dict[tuple[str, str], Value] = {}
        self._number = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._client: paho.Client | None = None
        self._thread = threading.Thread(target=self._poll, daemon=True)
        with self.registry.write() as session:
            place = PlaceSpec("tank-room", "tank-room", "処理室", "Tank room")
            placement = PlacementSpec("tank-1", "tank-room", "", "バルクタンク", "Bulk tank")
            console = Service("console")
            spec = SiteSpec(
                SITE, "牧場", "Farm", gateways=("gw-1",), places=(place,), placements=(placement,), rules=RULES
            )
            apply_site(session, console, spec, now_ms())
            devices = [DeviceSpec("tank-1", "milk", "r4dcb08", POLL_S, ("tank-1",))]
            record_reported(session, Service("collector"), "gw-1", devices)

    def env(self) -> dict[str, str]:
        return {"MAKIBA_HOME": str(self.folder), **self.broker.env()}

    def start(self) -> None:
        self._thread.start()

    def connect(self) -> None:
        """The feed begins, or begins again."""
        options = self.broker.options("collector")
        client = new_client(options, f"collector-test-{random.random()}")
        client.connect(options.host, options.port, clean_start=True, properties=connect_properties())
        client.loop_start()
        wait_until(client.is_connected)
        self._client = client

    def say(self, subject: str, quantity: str, value: Value) -> None:
        self.commit([Reading(Series(SITE, subject, quantity), now_ms(), value)])

    def commit(self, readings: list[Reading]) -> None:
        with self._lock:
            self.store.write(readings)
            if self._client is None or not self._client.is_connected():
                return
            self._number += 1
            payload = pack_payload(encode_json(readings), deflate=False)
            properties: Any = cast(Any, Properties)(PacketTypes.PUBLISH)
            properties.CorrelationData = BatchId("0" * 16, self._number).to_bytes()
            properties.UserProperty = [*payload.user_properties, ("gateway", "gw-1")]
            self._client.publish(stored_topic(SITE), payload.data, 0, properties=properties)

    def _poll(self) -> None:
        while not self._stop.wait(POLL_S):
            now = now_ms()
            readings = [Reading(Series(SITE, s, q), now, v) for (s, q), v in dict(self.values).items()]
            if readings:
                self.commit(readings)

    def milk(self, celsius: float) -> None:
        self.values["tank-1", "milk_temperature"] = celsius

    def alerts(self) -> list[Alert]:
        with self.registry.read() as session:
            return list(session.scalars(select(Alert).order_by(Alert.opened_ms)))

    def open(self, rule: str = "tank.hold") -> list[Alert]:
        return [a for a in self.alerts() if a.ended_ms is None and a.rule == rule]

    def events(self, alert: Alert) -> list[str]:
        query = select(AlertEvent.kind).where(AlertEvent.alert_id == alert.id).order_by(AlertEvent.id)
        with self.registry.read() as session:
            return list(session.scalars(query))

    def close(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._client is not None:
            self._client.disconnect()
            self._client.loop_stop()
        self.store.close()
        self.registry.close()


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[Farm]:
    with Broker() as broker:
        made = Farm(tmp_path, broker)
        made.connect()
        made.say("gw-1", "state", "online")
        made.say("tank-1", "state", "ok")
        made.milk(4.0)
        made.start()
        yield made
        made.close()


def watching(farm: Farm, name: str = "watch", **env: str) -> Process:
    process = makiba("watch", log=farm.folder / f"{name}.log", env={**farm.env(), **env})
    process.start()
    begun = process.log().count("listening")
    wait_until(
        lambda: process.log().count("readings from the store") > begun or process.returncode is not None,
        within_s=15,
        what=process.log,
    )
    wait_until(lambda: "listening" in process.log(), what=process.log)
    assert process.running, process.log()
    return process


def test_a_fault_is_an_alert_within_its_persistence_and_two_seconds_and_ends_by_itself(farm: Farm) -> None:
    with watching(farm) as worker:
        farm.milk(6.2)
        warm_ms = now_ms()
        alert = wait_until(farm.open, within_s=10, what=worker.log)[0]
        assert alert.opened_ms - warm_ms < (PERSISTENCE_S + 2) * 1000
        assert warm_ms <= alert.onset_ms <= warm_ms + 500
        assert (alert.severity, alert.place_id) == ("critical", "tank-room")
        assert alert.signals["t"]["value"] == 6.2
        farm.milk(4.0)
        wait_until(lambda: not farm.open(), within_s=10, what=worker.log)
        assert farm.events(alert) == ["opened", "ended"]
        assert worker.terminate() == 0
    with farm.registry.read() as session:
        assert session.get(JudgeSnapshot, SITE) is not None


def test_without_a_broker_alerts_come_from_the_store_and_with_it_again_from_the_feed(farm: Farm) -> None:
    with watching(farm) as worker:
        farm.broker.kill()
        wait_until(lambda: "trying again" in worker.log(), within_s=10, what=worker.log)
        farm.milk(6.2)
        wait_until(farm.open, within_s=10, what=worker.log)
        farm.broker.start()
        farm.connect()
        wait_until(lambda: worker.log().count("listening") == 2, within_s=15, what=worker.log)
        farm.milk(4.0)
        wait_until(lambda: not farm.open(), within_s=5, what=worker.log)
        assert len(farm.alerts()) == 1


def test_a_worker_killed_at_any_moment_neither_loses_nor_doubles_an_alert(farm: Farm) -> None:
    dice = random.Random(7)
    worker = watching(farm)
    try:
        for cycle in range(1, 4):
            for celsius, there in ((6.2, True), (4.0, False)):
                farm.milk(celsius)
                moment = time.monotonic() + dice.uniform(0.0, 1.4)
                wait_until(lambda: time.monotonic() > moment)  # noqa: B023
                worker.kill()
                worker.start()
                wait_until(lambda: bool(farm.open()) == there, within_s=15, what=worker.log)  # noqa: B023
            assert len(farm.alerts()) == cycle
    finally:
        worker.kill()
    for alert in farm.alerts():
        assert farm.events(alert) == ["opened", "ended"]


def test_a_problem_that_began_and_ended_while_nobody_watched_wakes_nobody_and_one_that_lasts_does(farm: Farm) -> None:
    watching(farm).terminate()
    start = now_ms()
    series = Series(SITE, "tank-1", "milk_temperature")
    farm.milk(7.0)
    wait_until(lambda: sum(p.value == 7.0 for p in farm.store.range(series, start, now_ms())) > 8)
    farm.milk(4.0)
    wait_until(lambda: sum(p.value == 4.0 for p in farm.store.range(series, start, now_ms())) > 8)
    with watching(farm) as worker:
        farm.milk(7.5)
        wait_until(farm.open, within_s=10, what=worker.log)
        assert [a.signals["t"]["worst"] for a in farm.alerts()] == [7.5]
        worker.kill()
        farm.milk(4.0)
        worker.start()
        wait_until(lambda: not farm.open(), within_s=15, what=worker.log)
    assert len(farm.alerts()) == 1


def test_a_silent_device_and_then_its_gateway_are_alerts_that_know_each_other(farm: Farm) -> None:
    with watching(farm) as worker:
        farm.say("gw-1", "state", "offline")
        farm.values.clear()
        farm.say("tank-1", "state", "timeout")
        alert = wait_until(lambda: farm.open("gateway.silent"), within_s=10, what=worker.log)[0]
        assert alert.children == [{"subject": "tank-1"}]
        assert farm.open("device.silent") == []
        farm.say("gw-1", "state", "online")
        silent = wait_until(lambda: farm.open("device.silent"), within_s=10, what=worker.log)[0]
        assert silent.severity == "warning"
        assert farm.open("gateway.silent") == []


def test_a_farm_s_number_counts_while_it_runs_and_a_wrong_one_is_told(farm: Farm) -> None:
    with watching(farm) as worker:
        with farm.registry.write() as session:
            rules = {"tank.hold": {**RULES["tank.hold"], "limit": 3.5, "clear": 3.0}, "air.nh3": {"limt": 3}}
            place = PlaceSpec("tank-room", "tank-room", "処理室", "Tank room")
            spec = SiteSpec(SITE, "牧場", "Farm", gateways=("gw-1",), places=(place,), rules=rules)
            apply_site(session, Service("console"), spec, now_ms())
        wait_until(farm.open, within_s=12, what=worker.log)
        assert "air.nh3: no number 'limt'; did you mean 'limit'?" in worker.log()


def test_wrong_rules_are_told_with_their_place_and_nothing_starts(tmp_path: Path) -> None:
    with Broker() as broker:
        farm = Farm(tmp_path, broker)
        farm.close()
        (tmp_path / "rules").mkdir()
        (tmp_path / "rules" / "a.yaml").write_text("rule: tank.hold\nabout: subjct\n", encoding="utf-8")
        process = makiba(
            "watch", log=tmp_path / "watch.log", env={**farm.env(), "MAKIBA_RULES": str(tmp_path / "rules")}
        )
        with process:
            assert process.wait(15) == 2
        assert "a.yaml:2:1: about: 'subjct' is unknown; did you mean 'subject'?" in process.log()


def test_gas_is_over_by_itself_and_its_alert_ends_by_a_person_only(farm: Farm) -> None:
    """The rule's own half hour is a second here; a restart in between brings nothing back and nothing twice."""
    rules = farm.folder / "rules"
    shutil.copytree(configs_dir() / "rules", rules)
    file = rules / "gas.h2s2.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("for: 30min", "for: 1s"), encoding="utf-8")
    owner = Person(1, "Owner", {SITE: "owner"})
    with farm.registry.write() as session:
        session.add(PersonRow(id=1, login="owner", name="Owner", created_ms=now_ms()))
        devices = [DeviceSpec(name, "milk", "r4dcb08", POLL_S, (name,)) for name in ("tank-1", "pit")]
        record_reported(session, Service("collector"), "gw-1", devices)

    def the_alert() -> Alert | None:
        return next(iter(farm.open("gas.h2s2")), None)

    def is_over() -> bool:
        alert = the_alert()
        return alert is not None and alert.over_ms is not None

    def gas(ppm: float) -> None:
        farm.values["pit", "hydrogen_sulfide"] = ppm * 1e-6

    farm.say("pit", "state", "ok")
    gas(1)
    with watching(farm, MAKIBA_RULES=str(rules)) as worker:
        gas(12)
        wait_until(the_alert, within_s=10, what=worker.log)
        gas(1)
        wait_until(is_over, within_s=10, what=worker.log)
        worker.kill()
        worker.start()
        wait_until(lambda: worker.log().count("readings from the store") > 1, within_s=15, what=worker.log)
        gas(13)
        wait_until(lambda: not is_over(), within_s=10, what=worker.log)
        gas(1)
        wait_until(is_over, within_s=10, what=worker.log)
        alert = the_alert()
        assert alert is not None
        assert farm.events(alert) == ["opened", "over", "again", "over"]
        with farm.registry.write() as session:
            alert_book.acknowledge(session, owner, alert.id, now_ms())
        assert the_alert() is None
        assert farm.events(alert)[-1] == "reset"
