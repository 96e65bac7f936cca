"""LoRaWAN through a real Mosquitto: what ChirpStack publishes, whatever happens to collector, broker and store."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from collectors.registry import dead_letters, lora
from tests.parts import ROOT, Broker, Process, makiba, wait_until
from tests.service.collecting import CONSOLE, SITE
from tests.service.ways_parts import ChirpstackBroker, opened, run, stored

EUI, OTHER = "a84041f621857cd2", "a84041f621857cd3"
GOOD = json.loads((ROOT / "tests/cases/ways/lorawan/lse01-one-gateway/payload.json").read_text(encoding="utf-8"))
T0 = 1_780_338_800

SITE_FILE = f"""\
site: {SITE}
name: {{ja: 牧場, en: Farm}}
gateways: [gw-a]
lorawan:
  - {{dev_eui: {EUI.upper()}, subject: soil-3, profile: dragino-lse01}}
"""


def frame(number: int, eui: str = EUI, **more: Any) -> bytes:
    """Frame `number` of a device, heard a minute after the one before."""
    at = f"2026-06-01T{18 + number // 60:02}:{number % 60:02}:00.000000+00:00"
    event = {
        **GOOD, "deduplicationId": f"{eui}-{number}", "fCnt": number, "time": at,
        "deviceInfo": {**GOOD["deviceInfo"], "devEui": eui},
        "rxInfo": [{"gatewayId": "0016c001f153a14c", "nsTime": at, "rssi": -89, "snr": 6.25}],
        "object": {**GOOD["object"], "temp_SOIL": f"{number / 10:.2f}"}, **more,
    }  # fmt: skip
    return json.dumps(event).encode()


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with Broker() as running:
        yield running


@pytest.fixture
def home(tmp_path: Path) -> Path:
    site = tmp_path / "site.yaml"
    site.write_text(SITE_FILE, encoding="utf-8")
    applied = run(tmp_path, "site", "apply", str(site))
    assert applied.exit_code == 0, applied.output
    return tmp_path


def collector(home: Path, broker: Broker, chirpstack: ChirpstackBroker, log: str = "collect.log") -> Process:
    process = makiba(
        "collect", log=home / log, env={"MAKIBA_HOME": str(home), **broker.env(), **chirpstack.env()}
    ).start()
    wait_until(lambda: "LoRaWAN: broker" in process.log() or not process.running, 15, process.log)
    assert process.running, process.log()
    return process


def temperatures(home: Path) -> list[float]:
    return [
        float(v) for (s, q, _), v in sorted(stored(home).items(), key=lambda x: x[0][2]) if q == "soil_temperature"
    ]


def test_frames_are_stored_and_devices_listed(home: Path, broker: Broker) -> None:
    with ChirpstackBroker(home / "chirpstack") as chirpstack, collector(home, broker, chirpstack) as process:
        no_codec = frame(4, object=None)
        status = {"time": "2026-06-02T00:00:00Z", "margin": 7, "batteryLevel": 50}
        chirpstack.publish(
            [
                (EUI, "up", frame(1)),
                (EUI, "up", frame(3)),
                (EUI, "up", frame(3)),
                (EUI, "join", b'{"deviceInfo": {}, "time": "2026-06-01T18:00:00Z"}'),
                (EUI, "txack", b"not for us"),
                (EUI, "up", b"\x00\x01"),
                (OTHER, "up", frame(1, OTHER)),
                (OTHER, "up", frame(2, OTHER)),
                (EUI, "up", no_codec),
                (
                    EUI,
                    "status",
                    json.dumps(status).encode(),
                ),
            ]
        )
        wait_until(lambda: ("soil-3", "battery") in {k[:2] for k in stored(home)}, 10, process.log)
        assert temperatures(home) == [0.1, 0.3]
        rows = stored(home)
        assert [v for (_, q, _), v in rows.items() if q == "frames_missing"] == [1.0]
        with opened(home) as (registry, _):

            def noted() -> bool:
                with registry.read() as session:
                    row = lora.list_devices(session, CONSOLE, SITE)[0]
                    letters = [x.reason for x in dead_letters.list_letters(session, CONSOLE)]
                no_codec = [reason for reason in letters if "no decoded object" in reason]
                return (row.frames, row.missing, row.frame, len(letters), len(no_codec)) == (3, 1, 4, 2, 1)

            wait_until(noted, 10, process.log)
        listed = run(home, "lorawan", "devices").stdout
        assert f"{EUI}  {SITE}/soil-3  dragino-lse01  heard 2026-06-02T00:00:00Z  3 frames, 1 missing" in listed
        assert f"{OTHER}  2 events" in run(home, "lorawan", "unknown").stdout
        assert chirpstack.PASSWORD not in process.log()
        assert process.terminate() == 0


def test_a_device_that_is_named_later_is_taken_from_then_on(home: Path, broker: Broker) -> None:
    with ChirpstackBroker(home / "chirpstack") as chirpstack, collector(home, broker, chirpstack) as process:
        chirpstack.publish([(OTHER, "up", frame(1, OTHER))])
        wait_until(lambda: OTHER in run(home, "lorawan", "unknown").stdout, 10, process.log)
        more = f"  - {{dev_eui: {OTHER}, subject: soil-4, profile: dragino-lse01}}\n"
        (home / "site.yaml").write_text(SITE_FILE + more, encoding="utf-8")
        assert run(home, "site", "apply", str(home / "site.yaml")).exit_code == 0
        assert run(home, "lorawan", "unknown").stdout == ""
        chirpstack.publish([(OTHER, "up", frame(2, OTHER))])
        wait_until(lambda: "soil-4" in {k[0] for k in stored(home)}, 10, process.log)


def test_nothing_the_broker_has_is_lost_or_doubled_when_collector_and_broker_die(home: Path, broker: Broker) -> None:
    """Killed with a store that takes nothing, killed in the middle of events, the broker restarted in between."""
    with ChirpstackBroker(home / "chirpstack") as chirpstack:
        process = collector(home, broker, chirpstack, "first.log")
        chirpstack.publish([(EUI, "up", frame(0))])
        wait_until(lambda: temperatures(home) == [0.0], 10, process.log)
        lock = sqlite3.connect(home / "store.db", isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        chirpstack.publish([(EUI, "up", frame(n)) for n in range(1, 41)])
        wait_until(lambda: "trying again until it is back" in process.log(), 15, process.log)
        process.kill()
        lock.execute("ROLLBACK")
        lock.close()
        chirpstack.publish([(EUI, "up", frame(n)) for n in range(41, 61)])  # while nobody listens
        chirpstack.stop()
        chirpstack.start()
        second = collector(home, broker, chirpstack, "second.log")
        chirpstack.publish([(EUI, "up", frame(n)) for n in range(61, 200)])
        wait_until(lambda: len(temperatures(home)) > 80, 10, second.log)
        second.kill()
        third = collector(home, broker, chirpstack, "third.log")
        wait_until(lambda: len(temperatures(home)) == 200, 15, third.log)
        with opened(home) as (registry, _):

            def device() -> tuple[int, int, int | None]:
                with registry.read() as session:
                    row = lora.list_devices(session, CONSOLE, SITE)[0]
                return row.frames, row.missing, row.frame

            wait_until(lambda: device() == (200, 0, 199), 10, lambda: str(device()))
        assert temperatures(home) == [n / 10 for n in range(200)]
        assert "kept no session" not in second.log() + third.log()
        third.kill()


def test_a_wrong_address_or_profile_is_said_at_the_start(home: Path, broker: Broker) -> None:
    env = {"MAKIBA_HOME": str(home), **broker.env()}
    process = makiba("collect", log=home / "a.log", env={**env, "MAKIBA_LORAWAN_BROKER": "mqtt://lora.example.org"})
    assert process.start().wait(15) == 2
    assert "MAKIBA_LORAWAN_BROKER: plain MQTT is allowed to this machine itself only" in process.log()
    wrong = home / "profiles"
    wrong.mkdir()
    (wrong / "x.yaml").write_text("names: {ja: a, en: b}\n", encoding="utf-8")
    settings = {"MAKIBA_LORAWAN_BROKER": "mqtt://127.0.0.1:1", "MAKIBA_LORAWAN_PROFILES": str(wrong)}
    process = makiba("collect", log=home / "b.log", env={**env, **settings})
    assert process.start().wait(15) == 2
    assert "x.yaml:1:1: fields: is missing" in process.log()
