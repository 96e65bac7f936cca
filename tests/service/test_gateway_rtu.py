"""A gateway process on a serial line with modbus-tk at the other end, a real broker and a collector."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

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
    def __init__(self, folder: Path, broker: Broker, cable: Cable) -> None:
        self.cable = cable
        self.collector = Collector(broker.options("collector"))
        link = folder / "ttyBARN"
        link.symlink_to(cable.near_end)
        self.link = link
        self.file = gateway_file(folder, broker.options(GATEWAY), BUSES.replace("PORT", str(link)))
        self.process: Process = makiba("gateway", "run", "-c", str(self.file), log=folder / "gateway.log")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    cable = Cable()
    with Broker() as broker, rtu_farm(cable):
        scene = Scene(tmp_path, broker, cable)
        with scene.process:
            yield scene
        scene.collector.close()
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
    wait_until(lambda: len(scene.cable.requests) > seen + 40, 15)
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
    assert scene.process.log().count("line cannot be opened") == 1


def test_a_late_reply_is_not_taken_for_the_next_answer(scene: Scene) -> None:
    """A reply that comes after its timeout has the shape of the next answer; it must not become a value."""
    collector = scene.collector
    collector.wait_for("climate", "air_temperature", -20.5)
    scene.cable.fault = lambda _data: b""
    collector.wait_for("climate", "state", "timeout")
    # 99.9 degrees in a sound frame of unit 1, long after its timeout and before it is asked again
    scene.cable.inject(bytes.fromhex("01 04 04 03e7 0064 ") + _crc(bytes.fromhex("01 04 04 03e7 0064")))
    scene.cable.fault = lambda data: data
    wait_until(lambda: collector.values("climate", "state")[-1] == "ok", 10)
    assert 99.9 not in collector.values("climate", "air_temperature")


def _crc(data: bytes) -> bytes:
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
    return crc.to_bytes(2, "little")
