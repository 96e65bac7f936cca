"""What a gateway with a valid certificate can do to a collector that it shares with others: nothing but to itself."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cbor2
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from collectors.registry import dead_letters, open_registry
from collectors.store import open_store
from makiba import topics
from makiba.senml import CONTENT_TYPE_CBOR, CONTENT_TYPE_JSON
from tests.parts import Broker, Process, free_port, makiba, wait_until
from tests.service.collecting import (
    CONSOLE,
    GATEWAY,
    SITE,
    Talker,
    batch_id,
    farm,
    now_ms,
    readings,
    registry_with,
)
from tests.service.figures_parts import page
from tests.service.influx_parts import INFLUXD, NO_INFLUXD, Influxd

DEFLATED = [("content-encoding", "deflate")]
NAME = f"{SITE}/x/air_temperature"


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with Broker() as running:
        yield running


@pytest.fixture
def home(tmp_path: Path) -> Path:
    registry_with(tmp_path, farm(), farm("shikaoi-002", ["gw-b"])).close()
    return tmp_path


def collector(home: Path, broker: Broker, name: str = "collect", **more: str) -> Process:
    env = {"MAKIBA_HOME": str(home), **broker.env(), **more}
    return makiba("collect", log=home / f"{name}.log", env=env)


def connected(process: Process) -> Process:
    wait_until(lambda: ": connected" in process.log(), 20, process.log)
    return process


def memory_mb(process: Process) -> float:
    text = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("VmHWM"))


def cbor(*items: Any) -> bytes:
    return cbor2.dumps(list(items))


BAD: dict[str, tuple[bytes, list[tuple[str, str]], str, str]] = {
    "zip bomb": (zlib.compress(bytes(60_000_000)), DEFLATED, CONTENT_TYPE_JSON, "inflates to more than"),
    "zip bomb of empty maps": (
        zlib.compress(b"[" + b"{}," * 1_300_000 + b"{}]"), DEFLATED, CONTENT_TYPE_JSON, "maps and arrays"),
    "millions of tiny records": (
        zlib.compress(b'[{"n":"a"}' + b',{"n":"a"}' * 380_000 + b"]"), DEFLATED, CONTENT_TYPE_JSON,
        "380002 maps and arrays"),
    "bomb in CBOR": (
        zlib.compress(b"\x9a" + struct.pack("!L", 4_000_000) + b"\xa0" * 4_000_000), DEFLATED, CONTENT_TYPE_CBOR,
        "a CBOR pack of 4000005 bytes"),
    "deep CBOR": (b"\x81" * 5000 + b"\x00", [], CONTENT_TYPE_CBOR, "not CBOR"),
    "CBOR that claims to be long": (b"\x9b" + b"\x7f" * 8, [], CONTENT_TYPE_CBOR, "not CBOR"),
    "a circle in CBOR": (b"\xd8\x1c\x81\xd8\x1d\x00", [], CONTENT_TYPE_CBOR, "not CBOR"),
    "a pattern in CBOR": (b"\x81\xa1\x02\xd8\x23\x65(a+)+", [], CONTENT_TYPE_CBOR, "not CBOR"),
    "a huge integer in CBOR": (cbor({"bver": 10**5000}), [], CONTENT_TYPE_CBOR, "not CBOR"),
    "maps as texts in CBOR": (cbor({"n": {b"x": 1}, "v": 1}), [], CONTENT_TYPE_CBOR, "'n' is not a text"),
    "deep JSON": (b"[" * 50_000, [], CONTENT_TYPE_JSON, "not JSON"),
    "a huge integer": (b'[{"n":"%s","u":"Cel","t":1e9,"v":1%s}]' % (NAME.encode(), b"0" * 4000), [],
                       CONTENT_TYPE_JSON, "not a finite number"),
    "a longer one": (b'[{"bver":1%s}]' % (b"0" * 5000), [], CONTENT_TYPE_JSON, "not JSON"),
    "bytes that are no UTF-8": (b'[{"n":"\xff\xfe","v":1}]', [], CONTENT_TYPE_JSON, "not JSON"),
    "another's site": (json.dumps([{"n": "shikaoi-002/x/air_temperature", "u": "Cel", "t": 1.8e9, "v": 1}]).encode(),
                       [], CONTENT_TYPE_JSON, "site shikaoi-002 is not the site of gw-a"),
    "the far future": (json.dumps([{"n": NAME, "u": "Cel", "t": 4e9, "v": 1}]).encode(), [], CONTENT_TYPE_JSON,
                       "a day ahead"),
    "an ancient time": (json.dumps([{"n": NAME, "u": "Cel", "t": 3e8, "v": 1}]).encode(), [], CONTENT_TYPE_JSON,
                        "before 2015"),
    "an unknown quantity": (json.dumps([{"n": f"{SITE}/x/mood", "t": 1.8e9, "v": 1}]).encode(), [],
                            CONTENT_TYPE_JSON, "'mood' is not in the catalogue"),
    "a wrong unit": (json.dumps([{"n": NAME, "u": "km", "t": 1.8e9, "v": 1}]).encode(), [], CONTENT_TYPE_JSON,
                     "unit 'km'"),
    "an encoding of its own": (b"[{}]", [("content-encoding", "br")], CONTENT_TYPE_JSON, "is not known here"),
    "a type of its own": (b"[{}]", [], "text/\u6f22", "content type"),
    "a property that MQTT allows and paho does not": (
        b'[{"n":"x"}]', [("\ufeff", "\ufeff")], CONTENT_TYPE_JSON, "neither a value nor a sum"),
}  # fmt: skip


def test_each_hostile_pack_is_refused_with_its_reason_and_memory_stays_where_it_was(
    home: Path, broker: Broker
) -> None:
    with (
        collector(home, broker) as process,
        Talker(broker.options(GATEWAY)) as hostile,
        Talker(broker.options("gw-b"), "gw-b") as other,
    ):
        connected(process)
        other.send(1, readings(1, now_ms(), site="shikaoi-002"))
        other.ack_of(1, within_s=15)
        before_mb = memory_mb(process)
        for number, (data, user, kind, _) in enumerate(BAD.values(), 1):
            hostile.send_raw(data, batch_id(number), user=user, content_type=kind)
        for number, (name, (_, _, _, reason)) in enumerate(BAD.items(), 1):
            ack = hostile.ack_of(number, within_s=20)
            assert (ack.stored, len(ack.refused)) == (0, 1), name
            assert reason in ack.refused[0].reason, name
        other.send(2, readings(1, now_ms(), site="shikaoi-002"))
        assert other.ack_of(2).stored == 1
        assert memory_mb(process) - before_mb < 60
        assert process.log().count("connected") == 1
    done = makiba("site", "refused", GATEWAY, "--limit", "50", log=home / "refused", env={"MAKIBA_HOME": str(home)})
    assert done.start().wait(20) == 0
    for _, _, _, reason in BAD.values():
        assert reason in done.log()


def test_a_pack_that_cannot_be_read_can_be_had_as_it_came(home: Path, broker: Broker) -> None:
    data = random.Random(1).randbytes(150_000)
    with collector(home, broker) as process, Talker(broker.options(GATEWAY)) as hostile:
        connected(process)
        hostile.send_raw(data, batch_id(1))
        hostile.send_raw(data, b"no id")
        hostile.ack_of(1, within_s=15)
        registry = open_registry(f"sqlite:{home / 'registry.db'}")

        def letters() -> int:
            with registry.read() as session:
                return len(dead_letters.list_letters(session, CONSOLE))

        wait_until(lambda: letters() == 2, 15)  # what has no id has no answer either
    with registry.read() as session:
        rows = dead_letters.list_letters(session, CONSOLE)
        assert [dead_letters.payload_of(session, CONSOLE, row.id) for row in rows] == [data, data]
    done = makiba("site", "refused", "--pack", str(rows[0].id), log=home / "pack", env={"MAKIBA_HOME": str(home)})
    assert done.start().wait(20) == 0
    assert (home / "pack").read_bytes() == data


def test_a_flood_of_bad_packs_waits_while_others_are_served(home: Path, broker: Broker) -> None:
    wrong = [{"n": f"{SITE}/x-{n}/air_temperature", "u": "K", "t": 1.8e9, "v": 1} for n in range(18_000)]
    flood = zlib.compress(json.dumps(wrong).encode(), 9)
    with (
        collector(home, broker) as process,
        Talker(broker.options(GATEWAY)) as hostile,
        Talker(broker.options("gw-b"), "gw-b") as other,
    ):
        connected(process)
        other.send(1, readings(1, now_ms(), site="shikaoi-002"))
        other.ack_of(1, within_s=15)
        for number in range(1, 101):
            hostile.send_raw(flood, batch_id(number), user=DEFLATED)
        wait_until(lambda: "it has to wait" in process.log(), 40, process.log)
        took_s = []
        for number in range(2, 12):
            began_s = time.monotonic()
            other.send(number, readings(1, now_ms(), site="shikaoi-002"))
            assert other.ack_of(number, within_s=10).stored == 1
            took_s.append(time.monotonic() - began_s)
        answered = len(hostile.acks())
        assert 1 <= answered < 50
        assert sorted(took_s)[5] < 1.0
        assert len(process.log().splitlines()) < 30, "a flood does not flood the log"
    with open_registry(f"sqlite:{home / 'registry.db'}").read() as session:
        assert dead_letters.count(session, CONSOLE, GATEWAY) <= 500 * (answered + 20)


def test_a_retained_reading_is_stored_once_and_haunts_nobody(home: Path, broker: Broker) -> None:
    row = readings(1, now_ms())
    with collector(home, broker) as process, Talker(broker.options(GATEWAY)) as gateway:
        connected(process)
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.CorrelationData = batch_id(1)
        payload = json.dumps([{"n": str(row[0].series), "u": "Cel", "t": row[0].time_ms / 1000, "v": 1}])
        topic = topics.gateway_topic(GATEWAY, topics.READINGS)
        gateway.client.publish(topic, payload, qos=1, retain=True, properties=properties)
        gateway.ack_of(1, within_s=15)
    try:
        with collector(home, broker, "again") as process:
            connected(process)
            with Talker(broker.options(GATEWAY)) as gateway:
                gateway.send(2, readings(1, now_ms()))
                gateway.ack_of(2, within_s=15)
                assert list(gateway.acks()) == [batch_id(2).decode()]
    finally:
        gateway.connect().client.publish(topic, b"", qos=1, retain=True).wait_for_publish(5)
        gateway.client.disconnect()


# ------------------------------------------------------------------------------------------- dying and stopping


def test_a_member_that_is_killed_with_packs_in_its_hands_costs_a_resend_and_nothing_else(
    home: Path, broker: Broker
) -> None:
    rows = readings(60, now_ms() - 100_000)
    open_store(f"sqlite:{home / 'store.db'}").close()
    with collector(home, broker, "one") as one, collector(home, broker, "two") as two, Talker(
        broker.options(GATEWAY)
    ) as gateway:  # fmt: skip
        connected(one), connected(two)
        gateway.send(1000, rows[:1])
        gateway.ack_of(1000, within_s=15)
        blocker = sqlite3.connect(home / "store.db", isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        for number, row in enumerate(rows, 1):
            gateway.send(number, [row])
        wait_until(lambda: not gateway.client.want_write(), what="all is sent")
        gateway.say(topics.CONFIG, b"")  # forbidden and harmless: its PUBACK comes after those of all packs
        one.kill()
        blocker.execute("ROLLBACK")
        blocker.close()

        def missing() -> list[int]:
            return [n for n in range(1, 61) if batch_id(n).decode() not in gateway.acks()]

        wait_until(lambda: 0 < len(missing()) < 60, 20, two.log)
        wait_until(lambda: len(missing()) <= 30, 20, two.log)

        def all_answered() -> bool:
            for number in missing():
                gateway.send(number, [rows[number - 1]])
            return not missing()

        wait_until(all_answered, 20, two.log, every_s=1.0)
    store = open_store(f"sqlite:{home / 'store.db'}")
    assert [(p.time_ms, p.value) for p in store.range(rows[0].series, 0, 2**50)] == [
        (r.time_ms, r.value) for r in rows
    ]
    store.close()


def test_a_stop_is_not_held_up_by_a_store_that_hangs(home: Path, broker: Broker) -> None:
    if INFLUXD is None:
        pytest.skip(NO_INFLUXD)
    rows = readings(2, now_ms() - 5000)
    server = Influxd(home / "influx")
    with server, Talker(broker.options(GATEWAY)) as gateway:
        with collector(home, broker, MAKIBA_STORE=server.url) as process:
            connected(process)
            gateway.send(1, rows[:1])
            assert gateway.ack_of(1, within_s=15).stored == 1
            os.kill(server.process.pid, signal.SIGSTOP)
            gateway.send(2, rows[1:])
            wait_until(lambda: _waits_for(server.port, process.pid), 10, "a write is on its way")
            began_s = time.monotonic()
            assert process.terminate(15) == 0
            assert time.monotonic() - began_s < 10
        os.kill(server.process.pid, signal.SIGCONT)
        assert batch_id(2).decode() not in gateway.acks()
        with collector(home, broker, "again", MAKIBA_STORE=server.url) as process:
            connected(process)
            gateway.send(2, rows[1:])
            assert gateway.ack_of(2, within_s=15).stored == 1
        store = open_store(server.url)
        assert len(store.range(rows[0].series, 0, 2**50)) == 2
        store.close()


def _waits_for(port: int, pid: int) -> bool:
    """Whether the process has sent something to `port` that the other end has not read (it is stopped)."""
    text = Path(f"/proc/{pid}/net/tcp").read_text(encoding="ascii")
    mine = f":{port:04X}"
    for line in text.splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(mine) and int(fields[4].split(":")[1], 16) > 0:
            return True
    return False


def test_the_figures_tell_what_happened(home: Path, broker: Broker) -> None:
    port = free_port()
    with (
        collector(home, broker, MAKIBA_METRICS_PORT=str(port)) as process,
        Talker(broker.options(GATEWAY)) as gateway,
    ):
        connected(process)
        gateway.send(1, readings(3, now_ms()))
        gateway.send_raw(json.dumps([{"n": NAME, "u": "K", "t": 1.8e9, "v": 1}]).encode(), batch_id(2))
        gateway.send_raw(b"nonsense", batch_id(3))
        for number in (1, 2, 3):
            gateway.ack_of(number, within_s=15)
        wait_until(lambda: page(port)["makiba_collect_packs_total{outcome=refused}"] == 2, 5, lambda: str(page(port)))
        found = page(port)
    assert found["makiba_collect_packs_total{outcome=stored}"] == 1
    assert found["makiba_collect_readings_total"] == 3
    assert found["makiba_collect_refused_total{reason=unit}"] == 1
    assert found["makiba_collect_refused_total{reason=unreadable}"] == 1
    assert found["makiba_collect_freshness_seconds_count"] == 1
    assert found["makiba_collect_broker_up"] == 1
    assert found["makiba_collect_store_failing"] == 0
    assert found["makiba_collect_last_commit_timestamp_seconds"] > time.time() - 60
    assert found["makiba_collect_inbox"] == 0
    assert not {value for _, value in found.labels if SITE in value or GATEWAY in value}
