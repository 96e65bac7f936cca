"""The collector against a real broker, a store and a registry on disk."""

from __future__ import annotations

import json
import sqlite3
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from collectors.ingest import Ingest
from collectors.mqtt import Collector
from collectors.registry import Registry, dead_letters, sites
from collectors.store import Store, StoreUnavailable, open_store
from collectors.store.sqlite import SqliteStore
from makiba import topics
from makiba.reading import Columns, Reading, Series
from makiba.senml import parse_json, readings_of
from makiba.wire import GatewayStatus, unpack_payload
from tests.parts import Broker, makiba, wait_until
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
from tests.service.influx_parts import INFLUXD, NO_INFLUXD, Influxd


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with Broker() as running:
        yield running


@contextmanager
def collecting(broker: Broker, registry: Registry, store: Store, receive_maximum: int = 100) -> Iterator[Collector]:
    stop = threading.Event()
    collector = Collector(broker.options("collector"), Ingest(registry, store), receive_maximum=receive_maximum)
    thread = threading.Thread(target=collector.run, args=(stop,))
    thread.start()
    try:
        wait_until(collector.connected.is_set, what="the collector is connected")
        yield collector
    finally:
        stop.set()
        thread.join(15)
        assert not thread.is_alive()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:{tmp_path / 'store.db'}")
    yield opened
    opened.close()


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    opened = registry_with(tmp_path, farm(), farm("shikaoi-002", ["gw-b"]))
    yield opened
    opened.close()


def letters(registry: Registry) -> list[tuple[str, str, int, str]]:
    with registry.read() as session:
        rows = dead_letters.list_letters(session, CONSOLE)
        return sorted((r.gateway_id, r.batch, r.record_index, r.reason) for r in rows)


def test_a_batch_is_answered_and_fed_once_it_is_committed(broker: Broker, registry: Registry, store: Store) -> None:
    rows = readings(3, now_ms())
    stored_at_answer: list[int] = []

    with (
        collecting(broker, registry, store),
        Talker(broker.options(GATEWAY)) as gateway,
        Talker(broker.options("analytics"), "analytics").connect(topics.stored_topic(SITE)) as worker,
    ):
        gateway.when_heard = lambda: stored_at_answer.append(len(store.range(rows[0].series, 0, 2**50)))
        gateway.send(1, rows)
        ack = gateway.ack_of(1)
        feed = wait_until(lambda: worker.heard[:1], what="the committed feed")[0]

    assert (ack.stored, ack.refused) == (3, ())
    assert stored_at_answer == [3]
    assert gateway.heard[0].topic == topics.gateway_topic(GATEWAY, topics.ACK)
    assert gateway.heard[0].properties.CorrelationData == batch_id(1)
    assert feed.properties.CorrelationData == batch_id(1)
    assert ("gateway", GATEWAY) in feed.properties.UserProperty
    fed, _ = readings_of(parse_json(feed.payload), 0)
    assert [r for _, r in fed] == rows
    assert [p.value for p in store.range(rows[0].series, 0, 2**50)] == [r.value for r in rows]


def test_a_large_feed_is_deflated_and_says_so(broker: Broker, registry: Registry, store: Store) -> None:
    rows = readings(500, now_ms() - 600_000)
    with (
        collecting(broker, registry, store),
        Talker(broker.options(GATEWAY)) as gateway,
        Talker(broker.options("analytics"), "analytics").connect(topics.stored_topic(SITE)) as worker,
    ):
        gateway.send(1, rows, deflate=True)
        assert gateway.ack_of(1).stored == 500
        feed = wait_until(lambda: worker.heard[:1], what="the committed feed")[0]
    encoding = dict(feed.properties.UserProperty)["content-encoding"]
    fed, _ = readings_of(parse_json(unpack_payload(feed.payload, encoding)), 0)
    assert [r for _, r in fed] == rows


def test_a_batch_that_comes_twice_is_stored_once_and_answered_twice(
    broker: Broker, registry: Registry, store: Store
) -> None:
    rows = readings(5, now_ms())
    with collecting(broker, registry, store), Talker(broker.options(GATEWAY)) as gateway:
        gateway.send(1, rows)
        gateway.send(1, rows)
        wait_until(lambda: len(gateway.heard) == 2, what="two answers")
    assert len(store.range(rows[0].series, 0, 2**50)) == 5


def test_readings_of_another_site_are_refused_and_the_rest_is_stored(
    broker: Broker, registry: Registry, store: Store
) -> None:
    own, foreign = readings(2, now_ms()), readings(1, now_ms(), site="shikaoi-002")
    with collecting(broker, registry, store), Talker(broker.options(GATEWAY)) as gateway:
        gateway.send(1, [*own, *foreign])
        ack = gateway.ack_of(1)
    assert ack.stored == 2
    assert [(r.name, r.reason) for r in ack.refused] == [
        (str(foreign[0].series), "site shikaoi-002 is not the site of gw-a")
    ]
    assert store.series("shikaoi-002") == []
    assert letters(registry) == [(GATEWAY, batch_id(1).decode(), 2, "site shikaoi-002 is not the site of gw-a")]


def test_nothing_is_answered_while_the_store_is_locked_and_all_of_it_afterwards(
    broker: Broker, registry: Registry, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = readings(40, now_ms())
    with collecting(broker, registry, store), Talker(broker.options(GATEWAY)) as gateway:
        gateway.send(1, rows[:1])
        gateway.ack_of(1)
        store._writer.execute("PRAGMA busy_timeout = 50")  # type: ignore[attr-defined]
        blocker = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable):
            store.write(rows[:1])
        for number, row in enumerate(rows, 2):
            gateway.send(number, [row])
        # The broker has taken them all (QoS 1 to the gateway), the collector has seen some, nobody got an answer.
        wait_until(lambda: not gateway.client.want_write(), what="all is sent")
        assert gateway.is_unanswered(2, for_s=1.0)
        blocker.execute("ROLLBACK")
        blocker.close()
        for number in range(2, 42):
            assert gateway.ack_of(number, within_s=10).stored == 1
    assert len(store.range(rows[0].series, 0, 2**50)) == 40


class Held(SqliteStore):
    """A store that is down until it is let go, and remembers how much it was asked for at once."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.down = threading.Event()
        self.asked: list[int] = []

    def write_columns(self, columns: Columns) -> None:
        self.asked.append(len(columns))
        if self.down.is_set():
            raise StoreUnavailable("held by the test")
        super().write_columns(columns)


def test_receive_maximum_bounds_what_waits_while_the_store_is_down(
    broker: Broker, registry: Registry, tmp_path: Path
) -> None:
    store = Held(tmp_path / "held.db")
    store.down.set()
    rows = readings(40, now_ms())
    with (
        collecting(broker, registry, store, receive_maximum=5) as collector,
        Talker(broker.options(GATEWAY)) as gateway,
    ):
        for number, row in enumerate(rows, 1):
            gateway.send(number, [row])
        wait_until(lambda: len(store.asked) >= 3, what="three attempts")
        assert max(store.asked) + len(collector.inbox) <= 5
        store.down.clear()
        for number in range(1, 41):
            assert gateway.ack_of(number, within_s=10).stored == 1
    assert len(store.range(rows[0].series, 0, 2**50)) == 40
    store.close()


def test_nothing_is_answered_while_a_dead_letter_cannot_be_kept(
    broker: Broker, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collectors.registry.BUSY_TIMEOUT_S", 0.1)
    registry = registry_with(tmp_path, farm())
    own, foreign = readings(1, now_ms()), readings(1, now_ms(), site="shikaoi-002")
    with collecting(broker, registry, store), Talker(broker.options(GATEWAY)) as gateway:
        blocker = sqlite3.connect(tmp_path / "registry.db", isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        gateway.send(1, [*own, *foreign])
        wait_until(lambda: store.series(SITE), what="the readings are stored")
        assert gateway.is_unanswered(1, for_s=0.5)
        blocker.execute("ROLLBACK")
        blocker.close()
        ack = gateway.ack_of(1, within_s=10)
    assert (ack.stored, len(ack.refused), len(letters(registry))) == (1, 1, 1)
    registry.close()


def test_two_collectors_share_the_load(broker: Broker, registry: Registry, tmp_path: Path) -> None:
    stores = [Held(tmp_path / "shared.db") for _ in range(2)]
    rows = readings(60, now_ms() - 100_000)
    with (
        collecting(broker, registry, stores[0]),
        collecting(broker, registry, stores[1]),
        Talker(broker.options(GATEWAY)) as gateway,
    ):
        for number, row in enumerate(rows, 1):
            gateway.send(number, [row])
        for number in range(1, 61):
            assert gateway.ack_of(number).stored == 1
    assert [sum(store.asked) for store in stores] == [30, 30]
    assert len(stores[0].range(rows[0].series, 0, 2**50)) == 60
    for store in stores:
        store.close()


def test_an_influxdb_that_is_killed_costs_nothing(broker: Broker, registry: Registry, tmp_path: Path) -> None:
    if INFLUXD is None:
        pytest.skip(NO_INFLUXD)
    rows = readings(60, now_ms() - 100_000)
    server = Influxd(tmp_path / "influx")
    store = open_store(server.url)
    with server, collecting(broker, registry, store), Talker(broker.options(GATEWAY)) as gateway:
        gateway.send(1, rows[:1])
        assert gateway.ack_of(1).stored == 1
        server.kill()
        for number, row in enumerate(rows[1:], 2):
            gateway.send(number, [row])
        assert gateway.is_unanswered(2, for_s=0.7)
        server.start()
        for number in range(2, 61):
            assert gateway.ack_of(number, within_s=10).stored == 1
        assert [p.time_ms for p in store.range(rows[0].series, 0, 2**50)] == [r.time_ms for r in rows]
    store.close()


def test_hostile_packs_are_refused_and_harm_nobody(broker: Broker, registry: Registry, store: Store) -> None:
    bomb, deflated = zlib.compress(b" " * 50_000_000), [("content-encoding", "deflate")]
    soon = now_ms()
    name = f"{SITE}/x/air_temperature"
    packs: list[tuple[bytes, list[tuple[str, str]], str]] = [
        (bomb, deflated, "inflates to more than"),
        (b"\x00\xff garbage", [], "not JSON"),
        (b"[" * 50_000, [], "not JSON"),
        (b"[" * 100_000, [], "100000 maps and arrays"),
        (b'[{"n":"%s","u":"Cel","t":1e9,"v":NaN}]' % name.encode(), [], "not JSON"),
        (b'[{"n":"%s","u":"Cel","t":1e308,"bt":1e308,"v":1}]' % name.encode(), [], "is not a time"),
        (json.dumps([{"n": name, "u": "K", "t": soon / 1000, "v": 1}]).encode(), [], "unit 'K'"),
        (json.dumps([{"n": name, "u": "Cel", "t": soon / 1000 + 90_000, "v": 1}]).encode(), [], "a day ahead"),
        (json.dumps([{"n": name, "u": "Cel", "t": 1_000_000_000, "v": 1}]).encode(), [], "before 2015"),
        (json.dumps([{"n": name, "u": "Cel", "t": soon / 1000, "v": 999}]).encode(), [], "outside -60.0..70.0 Cel"),
        (json.dumps([{"n": f"{SITE}/x/state", "t": soon / 1000, "vs": "\ud800"}]).encode(), [], "UTF-8"),
        (json.dumps([{"n": "\ud800/x/\x00", "t": soon / 1000, "vs": "a"}]).encode(), [], "is not of the form"),
        (zlib.compress(b'[{"n":"x"}%s]' % (b',{"n":"x"}' * 30_000)), deflated, "at most 20000"),
        (zlib.compress(b'[{"n":"x"}%s]' % (b',{"n":"x"}' * 15_000)), deflated, "neither a value nor a sum"),
        (b'{"n":"x"}', [], "a pack is an array"),
        (b"[{}]", [("content-encoding", "zstd")], "is not known here"),
    ]
    with collecting(broker, registry, store), Talker(broker.options(GATEWAY)) as gateway:
        for number, (data, user, _) in enumerate(packs, 1):
            gateway.send_raw(data, batch_id(number), user=user)
        for number, (_, _, reason) in enumerate(packs, 1):
            ack = gateway.ack_of(number, within_s=20)
            assert ack.stored == 0
            assert reason in ack.refused[0].reason
        gateway.send(100, readings(2, soon))
        assert gateway.ack_of(100).stored == 2
    assert store.series(SITE) == [Series(SITE, "barn-1-climate", "air_temperature")]


def test_a_pack_without_a_batch_id_is_a_dead_letter_and_not_answered(
    broker: Broker, registry: Registry, store: Store
) -> None:
    with collecting(broker, registry, store), Talker(broker.options(GATEWAY)) as gateway:
        gateway.send_raw(b"[]", b"my own words")
        gateway.send_raw(b"[]", None)
        gateway.send(1, readings(1, now_ms()))
        gateway.ack_of(1)
        assert len(gateway.heard) == 1
    found = letters(registry)
    assert len({batch for _, batch, _, _ in found}) == 1  # the same payload is the same letter
    assert "is not a batch id" in found[0][3]


def test_a_gateway_that_no_site_names_keeps_its_readings_until_one_does(
    broker: Broker, registry: Registry, store: Store
) -> None:
    rows = readings(1, now_ms())
    with collecting(broker, registry, store), Talker(broker.options("gw-new"), "gw-new") as gateway:
        gateway.send(1, rows)
        assert gateway.is_unanswered(1, for_s=0.5)
        with registry.write() as session:
            sites.apply_site(session, CONSOLE, farm(gateways=[GATEWAY, "gw-new"]), now_ms())

        def sent_again() -> bool:
            gateway.send(1, rows)
            return bool(gateway.acks())

        wait_until(sent_again, 10, "an answer", every_s=0.3)
    assert letters(registry) == []
    assert len(store.range(rows[0].series, 0, 2**50)) == 1


def test_status_and_will_become_the_gateways_state(broker: Broker, registry: Registry, store: Store) -> None:
    began = now_ms()
    state = Series(SITE, GATEWAY, "state")

    def words() -> list[str | float]:
        return [p.value for p in store.range(state, began - 10_000, began + 60_000)]

    with (
        collecting(broker, registry, store),
        collecting(broker, registry, store),  # a second collector hears the same and changes nothing
        Talker(broker.options("analytics"), "analytics").connect(topics.stored_topic(SITE)) as worker,
        Talker(broker.options(GATEWAY)) as gateway,
    ):
        for at, word, connection in (
            (0, "online", "1"),
            (1, "offline", "1"),
            (2, "online", "2"),
            (3, "offline", "1"),
        ):
            status = GatewayStatus(state=word, connection=connection, time_ms=began + at, site=SITE, software="0.1")
            gateway.say(topics.STATUS, status.to_bytes())
        gateway.say(topics.STATUS, b"nonsense")
        wait_until(lambda: len(letters(registry)) == 1, what="the dead letter of the last one")
        wait_until(lambda: len(worker.heard) >= 3, what="the feed")
        gateway.say(topics.STATUS, b"")
    assert words() == ["online", "offline", "online"]
    with registry.read() as session:
        row = sites.get_gateway(session, CONSOLE, GATEWAY)
    assert row
    assert (row.status, row.connection, row.software) == ("online", "2", "0.1")


def test_reported_devices_are_in_the_registry(broker: Broker, registry: Registry, store: Store) -> None:
    device = {"name": "fan-1", "bus": "barn", "profile": "p", "every_s": 1.0, "subjects": ["fan-1"]}
    more = {"name": "tank-1", "bus": "barn", "profile": "q", "every_s": 10, "subjects": ["tank-1.ch1"]}

    def devices() -> list[tuple[str, float, list[str]]]:
        with registry.read() as session:
            return [(d.name, d.every_s, d.subjects) for d in sites.list_devices(session, CONSOLE, SITE)]

    with collecting(broker, registry, store), Talker(broker.options(GATEWAY)) as gateway:
        gateway.say(topics.CONFIG_REPORTED, json.dumps({"gateway": GATEWAY, "devices": [device, more]}).encode())
        wait_until(lambda: len(devices()) == 2, what="two devices")
        gateway.say(topics.CONFIG_REPORTED, json.dumps({"gateway": GATEWAY, "devices": [more]}).encode())
        wait_until(lambda: devices() == [("tank-1", 10, ["tank-1.ch1"])], what="one device")
        gateway.say(topics.CONFIG_REPORTED, b"")


@pytest.mark.long
def test_kill_9_between_a_batch_and_its_answer_costs_nothing_and_doubles_nothing(
    broker: Broker, registry: Registry, tmp_path: Path
) -> None:
    rows: list[Reading] = readings(200, now_ms() - 300_000)
    env = {"MAKIBA_HOME": str(tmp_path), **broker.env()}
    collector = makiba("collect", log=tmp_path / "collect.log", env=env)

    def connected_times(count: int) -> bool:
        return collector.log().count("connected") == count

    def answered(count: int) -> bool:
        return len(gateway.acks()) > count

    with Talker(broker.options(GATEWAY)) as gateway:
        for life in range(1, 5):
            with collector:
                wait_until(partial(connected_times, life), 10, collector.log)
                for number in range(1, 201):
                    if batch_id(number).decode() not in gateway.acks():
                        gateway.send(number, [rows[number - 1]])
                wait_until(partial(answered, 40 * life), 10, collector.log)
        with collector:
            wait_until(partial(connected_times, 5), 10, collector.log)

            def all_answered() -> bool:
                missing = [n for n in range(1, 201) if batch_id(n).decode() not in gateway.acks()]
                for number in missing:
                    gateway.send(number, [rows[number - 1]])
                return not missing

            wait_until(all_answered, 20, collector.log, every_s=0.5)
            assert collector.terminate() == 0
    store = open_store(f"sqlite:{tmp_path / 'store.db'}")
    found = store.range(rows[0].series, 0, 2**50)
    store.close()
    assert [(p.time_ms, p.value) for p in found] == [(r.time_ms, r.value) for r in rows]
    assert collector.log().count("stopped") == 1
