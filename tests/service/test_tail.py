"""`makiba tail` beside a real broker and registry: what is committed just now, filtered, in words or as SenML."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from analytics import alert_book
from analytics.decision import Decision
from collectors.registry import Registry, dead_letters
from collectors.registry.dead_letters import Letter
from collectors.registry.viewer import Service
from collectors.store import open_store
from makiba import topics
from makiba.mqtt import connect_properties, new_client
from makiba.reading import Reading, Series
from makiba.senml import encode_cbor, encode_json, parse_json, readings_of
from makiba.wire import pack_payload
from tests.parts import Broker, Process, makiba, wait_until
from tests.service.collecting import GATEWAY, SITE, Talker, farm, registry_with
from tests.service.test_collector_cli import run

OTHER = next(site for n in range(2, 1000) if topics.shard_of(site := f"shikaoi-{n:03d}") == topics.shard_of(SITE))
"""A farm whose packs come on the same topic."""
NOW_MS = 1_790_000_000_000
MILK = Series(SITE, "tank-1", "milk_temperature")
STATE = Series(SITE, "tank-1", "state")


@dataclass
class Centre:
    """A broker, a registry of two farms, and a collector's voice on the committed feed."""

    home: Path
    broker: Broker
    registry: Registry

    def connect(self) -> None:
        options = self.broker.options("collector")
        self._client = new_client(options, "test-collector")
        self._client.connect(options.host, options.port, clean_start=True, properties=connect_properties())
        self._client.loop_start()
        wait_until(self._client.is_connected)

    def committed(self, *readings: Reading, deflate: bool = False, cbor: bool = False) -> None:
        payload = pack_payload(encode_cbor(readings) if cbor else encode_json(readings), deflate=deflate)
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.UserProperty = list(payload.user_properties)
        properties.ContentType = "application/senml+cbor" if cbor else "application/senml+json"
        topic = topics.stored_topic(readings[0].series.site)
        self._client.publish(topic, payload.data, qos=0, properties=properties).wait_for_publish(5)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    @contextmanager
    def tail(self, *arguments: str) -> Iterator[Tail]:
        env = {"MAKIBA_HOME": str(self.home), **self.broker.env(), "LANG": "C.UTF-8", "LC_ALL": ""}
        out, log = self.home / "out.txt", self.home / "tail.log"
        for file in (out, log):
            file.unlink(missing_ok=True)
        command = makiba("tail", *arguments, log=log).command
        script = 'exec "$@" >"$0"'
        with Process(["sh", "-c", script, str(out), *command], log=log, env=env) as process:
            wait_until(lambda: "listening" in process.log() or not process.running, 15, process.log)
            yield Tail(process, out)


@dataclass
class Tail:
    process: Process
    out: Path

    def lines(self) -> list[str]:
        return self.out.read_text(encoding="utf-8").splitlines()

    def wait_for(self, count: int) -> list[str]:
        wait_until(lambda: len(self.lines()) >= count, 10, lambda: f"{self.lines()} {self.process.log()}")
        return self.lines()


@pytest.fixture
def centre(tmp_path: Path) -> Iterator[Centre]:
    registry = registry_with(tmp_path, farm(), farm(OTHER, ("gw-b",)))
    with Broker() as broker:
        made = Centre(tmp_path, broker, registry)
        made.connect()
        yield made
        made.close()
    registry.close()


def milk(celsius: float, site: str = SITE, subject: str = "tank-1") -> Reading:
    return Reading(Series(site, subject, "milk_temperature"), NOW_MS, celsius)


def test_lines_are_decoded_filtered_and_in_the_farm_s_time_and_language(centre: Centre) -> None:
    with centre.tail(SITE, "--subject", "tank-*", "--lang", "ja") as tail:
        centre.committed(milk(4.25), milk(9.0, subject="calf-1"), Reading(STATE, NOW_MS, "ok\x1b[2J"))
        centre.committed(milk(5.0, site=OTHER))
        centre.committed(milk(4.5), deflate=True)
        centre.committed(milk(4.75), cbor=True)
        assert tail.wait_for(4) == [
            "2026-09-21 23:13:20.000  shikaoi-001  tank-1  乳温  4.2 ℃",
            "2026-09-21 23:13:20.000  shikaoi-001  tank-1  状態  ok\\x1b[2J",
            "2026-09-21 23:13:20.000  shikaoi-001  tank-1  乳温  4.5 ℃",
            "2026-09-21 23:13:20.000  shikaoi-001  tank-1  乳温  4.8 ℃",
        ]
        assert tail.process.terminate() == 0


def test_json_is_a_senml_record_per_line_that_reads_back_exactly(centre: Centre) -> None:
    sent = [milk(0.1 + 0.2), Reading(STATE, NOW_MS + 1, "雪"), milk(5.5, site=OTHER)]
    with centre.tail("--json") as tail:
        for reading in sent:
            centre.committed(reading)
        lines = tail.wait_for(3)
    taken = [reading for line in lines for _, reading in readings_of(parse_json(f"[{line}]"), 0)[0]]
    assert taken == sent


def turn_away(port: int, times: int) -> None:
    """Hangs up on whoever calls `port`, so many times."""
    with socket.create_server(("127.0.0.1", port)) as server:
        server.settimeout(10)
        for _ in range(times):
            server.accept()[0].close()


def test_a_link_that_breaks_and_returns_is_said_once_each(centre: Centre) -> None:
    with centre.tail(SITE) as tail:
        centre.close()
        centre.broker.kill()
        turn_away(centre.broker.port, 1)
        centre.broker.start()
        centre.connect()
        wait_until(lambda: tail.process.log().count("listening") == 2, 20, tail.process.log)
        centre.committed(milk(4.0))
        assert len(tail.wait_for(1)) == 1
        assert [line.rpartition(": ")[2] for line in tail.process.log().splitlines()][::2] == ["listening"] * 2
        assert len(tail.process.log().splitlines()) == 3


def alert_of(registry: Registry, time_ms: int) -> None:
    with registry.write() as session:
        decision = Decision("open", SITE, "tank.hold", "tank-1", NOW_MS, time_ms, severity="critical")
        alert_book.write(session, Service("analytics"), decision, time_ms)


def test_steps_of_alerts_and_refusals_come_as_they_are_written_and_old_ones_do_not(centre: Centre) -> None:
    def letter(index: int) -> Letter:
        return Letter(GATEWAY, "0000/1", index, NOW_MS, f"{SITE}/x/y", f"reason {index}", "{}")

    def refuse(letters: Sequence[Letter]) -> None:
        with centre.registry.write() as session:
            dead_letters.add(session, Service("collector"), letters)

    refuse([letter(0)])
    with centre.tail(SITE, "--alerts", "--refused", "--no-readings", "--lang", "en") as tail:
        refuse([letter(1)])
        alert_of(centre.registry, NOW_MS + 1000)
        lines = sorted(tail.wait_for(2))
        assert lines[0] == f"2026-09-21 23:13:20.000  {GATEWAY}  ? refused: {SITE}/x/y: reason 1"
        assert lines[1].startswith(f"2026-09-21 23:13:21.000  {SITE}  tank-1  ! critical opened: ")
        assert lines[1].endswith("(tank.hold)")


def test_a_gateway_s_own_packs_are_shown_before_anybody_stored_them(centre: Centre) -> None:
    with centre.tail("--raw-gateway", GATEWAY, "--json") as tail:
        with Talker(centre.broker.options(GATEWAY)) as talker:
            talker.send(1, [milk(4.0)])
            assert json.loads(tail.wait_for(1)[0]) == {
                "n": "shikaoi-001/tank-1/milk_temperature", "u": "Cel", "t": NOW_MS / 1000, "v": 4.0,
            }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["shikaoi-01"], "no site 'shikaoi-01'; did you mean 'shikaoi-001'?"),
        ([SITE, "--subject", "tank1"], "no subject 'tank1'; did you mean 'tank-1'?"),
        ([SITE, "--quantity", "milk_temprature"], "did you mean 'milk_temperature'?"),
        (["--raw-gateway", "gateway 1"], "expected a gateway's id, such as gw-7f3a"),
        ([SITE], "`makiba pki issue api` makes them"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_listened_to(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    registry_with(tmp_path).close()
    store = open_store(f"sqlite:{tmp_path / 'store.db'}")
    store.write([milk(4.0)])
    store.close()
    ran = run(tmp_path, "tail", *arguments)
    assert ran.returncode == 2
    assert said in ran.stderr


def test_the_registry_is_not_needed_to_listen(centre: Centre) -> None:
    centre.registry.close()
    for file in centre.home.glob("registry.db*"):
        file.unlink()
    with centre.tail(SITE, "--quantity", "milk_temperature") as tail:
        centre.committed(milk(4.0))
        assert tail.wait_for(1)[0].endswith("milk temperature  4.0 ℃")
