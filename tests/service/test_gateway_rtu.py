"""A gateway process on a serial line with modbus-tk at the other end, a real broker and a collector."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from modbus_tk import modbus_rtu

from makiba.wire import GatewayStatus
from tests.parts import Broker, Process, makiba, wait_until
from tests.service.gateway_parts import GATEWAY, Cable, Collector, gateway_file, rtu_farm

BUSES = """\
  barn:
    rtu: {port: PORT}
    devices:
      - {name: climate, profile: xy-md02, unit_id: 1, every: 200ms}
      - {name: dead, profile: xy-md02, unit_id: 2, every: 200ms}
      - {name: tank, profile: r4dcb08, unit_id: 3, every: 500ms,
         channels: {ch1: milk_temperature, ch2: pipe_temperature, ch8: temperature}}
"""


class Scene:
    def __init__(self, folder: Path, broker: Broker, cable: Cable, farm: modbus_rtu.RtuServer, buses: str) -> None:
        self.cable = cable
        self.farm = farm
        self.collector = Collector(broker.options("collector"))
        link = folder / "ttyBARN"
        link.symlink_to(cable.near_end)
        self.link = link
        self.file = gateway_file(folder, broker.options(GATEWAY), buses.replace("PORT", str(link)))
        self.process: Process = makiba("gateway", "run", "-c", str(self.file), log=folder / "gateway.log")


ALONE = """\
  barn:
    rtu: {port: PORT}
    devices: [{name: climate, profile: xy-md02, unit_id: 1, every: 200ms}]
"""


@pytest.fixture
def scene(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Scene]:
    cable = Cable()
    with Broker() as broker, rtu_farm(cable) as farm:
        scene = Scene(tmp_path, broker, cable, farm, getattr(request, "param", BUSES))
        with scene.process:
            yield scene
        scene.collector.close()
        assert "xception" not in scene.process.log(), scene.process.log()[-3000:]
    cable.close()


def test_what_the_sensors_give_arrives_and_a_dead_unit_holds_up_nobody(scene: Scene) -> None:
    collector = scene.collector
    collector.wait_for("climate", "air_temperature", -20.5)
    collector.wait_for("climate", "relative_humidity", 87.5)
    collector.wait_for("tank.ch1", "milk_temperature", 3.8)
    collector.wait_for("tank.ch2", "state", "sentinel")
    collector.wait_for("tank.ch8", "state", "out-of-range")
    collector.wait_for("dead", "state", "timeout")
    collector.wait_for("climate", "state", "ok")
    assert collector.values("tank.ch2", "pipe_temperature") == []
    assert collector.values("tank.ch8", "temperature") == []

    # The dead unit is probed once per back-off step of 2 s and more, while the others keep their grid.
    seen = len(scene.cable.requests)
    wait_until(lambda: len(scene.cable.requests) > seen + 20, 15)
    requests = scene.cable.requests[seen:]
    took_s = requests[-1][0] - requests[0][0]
    probes = sum(data[0] == 2 for _, data in requests)
    assert probes <= 1 + took_s / 1.8
    gaps = [b - a for (a, d), (b, e) in _pairs([r for r in requests if r[1][0] == 1])]
    assert sorted(gaps)[len(gaps) // 2] == pytest.approx(0.2, abs=0.05)


def _pairs(rows: list[tuple[float, bytes]]) -> list[tuple[tuple[float, bytes], tuple[float, bytes]]]:
    return list(itertools.pairwise(rows))


def test_the_gateway_introduces_itself_and_says_goodbye(scene: Scene) -> None:
    collector = scene.collector
    wait_until(lambda: collector.reported, 10)
    reported = json.loads(collector.reported[-1])
    assert [d["name"] for d in reported["devices"]] == ["climate", "dead", "tank"]
    assert reported["devices"][2]["subjects"] == ["tank.ch1", "tank.ch2", "tank.ch8"]
    collector.wait_for("climate", "air_temperature", -20.5)
    assert scene.process.terminate() == 0
    wait_until(lambda: GatewayStatus.model_validate_json(collector.statuses[-1]).state == "stopped", 5)


def test_a_damaged_reply_is_a_state_and_never_a_number(scene: Scene) -> None:
    collector = scene.collector
    collector.wait_for("climate", "air_temperature", -20.5)
    scene.cable.fault = lambda data: bytes([*data[:3], data[3] ^ 0x40, *data[4:]]) if len(data) > 5 else data
    collector.wait_for("climate", "state", "crc")
    scene.cable.fault = lambda data: data
    wait_until(lambda: collector.values("climate", "state")[-1] == "ok", 10)
    assert set(collector.values("climate", "air_temperature")) == {-20.5}


def test_a_serial_adapter_that_was_pulled_out_comes_back_by_itself(scene: Scene) -> None:
    collector = scene.collector
    collector.wait_for("climate", "air_temperature", -20.5)
    scene.link.unlink()
    scene.cable.pull_out()
    collector.wait_for(f"{GATEWAY}.barn", "state", "down")
    collector.wait_for("climate", "state", "bus-down")
    scene.link.symlink_to(scene.cable.plug_in())
    wait_until(lambda: collector.values("climate", "state")[-1] == "ok", 20, lambda: scene.process.log()[-2000:])
    assert collector.values(f"{GATEWAY}.barn", "state")[-1] in ("ok", "silent")
    assert scene.process.log().count("line is down") == 1


@pytest.mark.parametrize("scene", [ALONE], indirect=True)
def test_a_late_reply_is_not_taken_for_the_next_answer(scene: Scene) -> None:
    """Each reply comes 1.5 s after its request and the timeout is 1 s: none of them may become a value."""
    collector = scene.collector
    collector.wait_for("climate", "air_temperature", -20.5)
    late: list[bytes] = []

    def delay(data: bytes) -> bytes:
        late.append(data)
        threading.Timer(1.5, scene.cable.inject, [data]).start()
        return b""

    scene.farm.get_slave(1).set_values("input", 1, [111, 500])
    wait_until(lambda: collector.values("climate", "air_temperature")[-1] == 11.1, 5)
    scene.cable.fault = delay
    scene.farm.get_slave(1).set_values("input", 1, [222, 500])
    collector.wait_for("climate", "state", "timeout")
    wait_until(lambda: sum(data[0] == 1 for data in late) >= 2, 20)
    assert 22.2 not in collector.values("climate", "air_temperature")
    scene.cable.fault = lambda data: data
    scene.farm.get_slave(1).set_values("input", 1, [333, 500])
    wait_until(lambda: collector.values("climate", "state")[-1] == "ok", 20)
    wait_until(lambda: collector.values("climate", "air_temperature")[-1] == 33.3, 5)
    assert 22.2 not in collector.values("climate", "air_temperature")
