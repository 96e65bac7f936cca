"""The demo as a visitor has it: one address, faults that become alerts and end again, nothing left behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from demo.home import Home
from tests.parts import Process, free_port, makiba, wait_until


class Demo:
    """A running demo and a visitor who signed in with its address."""

    def __init__(self, home: Path, process: Process) -> None:
        self.home, self.process = Home(home), process
        said = wait_until(self.home.running, 60, process.log)
        assert said
        self.pid = int(said["pid"])
        self.origin, _, self.code = str(said["address"]).partition("/#join=")
        self.visitor = httpx.Client(base_url=f"{self.origin}/api/v1", headers={"X-Makiba": "1"}, timeout=10)
        assert self.visitor.post("/session/join", json={"code": self.code}).status_code == 204

    def switch(self, fault: str, on: bool) -> None:
        assert self.visitor.put(f"/demo/faults/{fault}", json={"on": on}).status_code == 204

    def alerts(self) -> set[tuple[str, str]]:
        found = self.visitor.get("/sites/shikaoi-001/alerts", params={"state": "active"}).json()["rows"]
        return {(alert["rule"], alert["subject"]) for alert in found}

    def values(self) -> dict[tuple[str, str], Any]:
        places = self.visitor.get("/sites/shikaoi-001/places").json()["places"]
        return {
            (s["subject"], v["quantity"]): v["value"]
            for place in places for s in place["subjects"] for v in s["values"]
        }  # fmt: skip

    def children(self) -> set[int]:
        """Processes that have the demo's folder in their command line or environment."""
        mark = os.fsencode(self.home.path)
        found = set()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    texts = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
                except OSError:
                    continue
                if mark in texts:
                    found.add(int(entry.name))
        return found


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    home = tmp_path_factory.mktemp("demo-home")
    env = {"MAKIBA_HTTP_PORT": str(free_port()), "MAKIBA_MQTT_PORT": str(free_port())}
    arguments = ("demo", "--home", str(home), "--season", "january")
    with makiba(*arguments, log=home / "out.log", env=env) as process:
        yield Demo(home, process)


def test_every_sensor_of_the_farm_is_on_the_page(demo: Demo) -> None:
    expected = {
        ("barn-1-climate", "air_temperature"), ("barn-1-climate", "relative_humidity"),
        ("barn-1-ammonia", "ammonia"), ("fan-1", "current"), ("tank-1.ch1", "milk_temperature"),
        ("tank-1.ch2", "pipe_temperature"), ("compressor-1", "power"), ("mast", "wind_speed"),
        ("mast", "air_temperature"), ("mast", "air_pressure"),
    }  # fmt: skip
    wait_until(lambda: expected <= demo.values().keys(), 20, lambda: f"missing {expected - demo.values().keys()}")
    values = demo.values()
    assert 3 < values["tank-1.ch1", "milk_temperature"] < 5
    assert -20 < values["mast", "air_temperature"] < 0
    assert values["mast", "air_pressure"] == pytest.approx(101_200, abs=500)
    assert demo.alerts() == set()


def test_faults_need_a_session_and_the_header_and_a_known_name(demo: Demo) -> None:
    url = f"{demo.origin}/api/v1/demo/faults"
    assert httpx.get(url).status_code == 401
    assert httpx.put(f"{url}/fan-off", json={"on": True}, headers={"X-Makiba": "1"}).status_code == 401
    cookies = dict(demo.visitor.cookies)
    assert httpx.put(f"{url}/fan-off", json={"on": True}, cookies=cookies).status_code == 403
    assert demo.visitor.put("/demo/faults/nonsense", json={"on": True}).status_code == 404
    assert not any(fault["on"] for fault in demo.visitor.get("/demo/faults").json())


def test_each_fault_is_one_alert_and_ends_when_it_is_mended(demo: Demo) -> None:
    expected = {("sensor.fault", "tank-1.ch1"), ("bus.down", "gw-demo.barn")}
    for fault in ("probe-broken", "bus-cut"):
        demo.switch(fault, True)
    wait_until(lambda: demo.alerts() == expected, 30, lambda: f"{demo.alerts()} instead of {expected}")
    for fault in ("probe-broken", "bus-cut"):
        demo.switch(fault, False)
    wait_until(lambda: demo.alerts() == set(), 30, lambda: f"still {demo.alerts()}")


def test_a_gateway_without_power_is_one_alert_and_comes_back(demo: Demo) -> None:
    demo.switch("gateway-power-cut", True)
    wait_until(lambda: demo.alerts() == {("gateway.silent", "gw-demo")}, 15, lambda: str(demo.alerts()))
    demo.switch("gateway-power-cut", False)
    wait_until(lambda: demo.alerts() == set(), 15, lambda: f"still {demo.alerts()}")


def test_a_second_demo_in_the_same_folder_says_where_the_first_is(demo: Demo, tmp_path: Path) -> None:
    with makiba("demo", "--home", str(demo.home.path), log=tmp_path / "log") as second:
        assert second.wait(15) == 1
    assert "already runs" in second.log()
    assert demo.origin in second.log()
    with makiba("demo", "link", "--home", str(demo.home.path), log=tmp_path / "link") as link:
        assert link.wait(15) == 0
    assert link.log().strip() == f"{demo.origin}/#join={demo.code}"


def test_nothing_outlives_a_demo_that_is_killed(demo: Demo) -> None:
    assert len(demo.children()) >= 7
    os.kill(demo.pid, signal.SIGKILL)
    wait_until(lambda: not demo.children(), 5, lambda: f"still there: {demo.children()}")
    assert demo.home.running() is None
