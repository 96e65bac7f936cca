"""What was committed arrives, whatever dies: the gateway by kill -9, the broker, the collector, the disk's file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.hot import hot_path, peek_hot
from makiba.wire import Ack, BatchId, RefusedRecord
from tests.parts import Broker, Process, free_port, makiba, wait_until
from tests.service.gateway_parts import GATEWAY, Collector, Key, gateway_file, spool_contents
from tests.service.test_gateway_tcp_and_nmea import meter


class Scene:
    """A gateway that polls a meter every 100 ms."""

    def __init__(self, folder: Path, broker: Broker, port: int) -> None:
        self.broker = broker
        self.folder = folder
        self.collector = Collector(broker.options("collector"))
        buses = (
            f"  power:\n    tcp: {{host: 127.0.0.1, port: {port}}}\n"
            "    devices: [{name: fan, profile: sdm120, unit_id: 1, every: 100ms}]\n"
        )
        self.file = gateway_file(folder, broker.options(GATEWAY), buses)
        self.spool = folder / "spool.db"
        self.process: Process = makiba("gateway", "run", "-c", str(self.file), log=folder / "gateway.log")

    def waiting(self) -> dict[BatchId, set[Key]]:
        """Batches in the two files of the spool, and what is in them."""
        return spool_contents(self.folder / "spool.db")

    def waiting_keys(self) -> set[Key]:
        return {key for keys in self.waiting().values() for key in keys}

    def stored(self) -> set[Key]:
        """What the collector answered for; while it does not answer, it does not store either."""
        answered = dict(self.collector.acknowledged)
        return {(r.series, r.time_ms) for h in list(self.collector.heard) if h.batch in answered for r in h.readings}

    def hot_id(self) -> str:
        state = peek_hot(hot_path(self.spool))
        return state.spool_id if state else ""

    def is_empty(self) -> bool:
        """Everything was acknowledged but for what is being polled."""
        return len(self.waiting()) <= 1

    def wait_for_more(self, count: int, within_s: float = 10.0) -> None:
        seen = len(self.collector.heard)
        wait_until(lambda: len(self.collector.heard) >= seen + count, within_s, lambda: self.process.log()[-2000:])


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    port = free_port()
    with Broker() as broker, meter(port):
        scene = Scene(tmp_path, broker, port)
        with scene.process:
            scene.wait_for_more(3)
            yield scene
        scene.collector.close()
        assert "xception" not in scene.process.log(), scene.process.log()[-3000:]


def test_every_committed_reading_arrives_over_kills_and_an_acknowledged_batch_does_not_come_again(
    scene: Scene,
) -> None:
    committed: set[Key] = set()
    for round_ in range(5):
        scene.collector.answering = round_ % 2 == 0
        scene.wait_for_more(5)
        scene.process.kill()
        waiting, settled = scene.waiting(), dict(scene.collector.acknowledged)
        committed |= scene.waiting_keys()
        # What was answered and has left the spool before the kill must never come again.
        gone = {batch for batch in settled if batch not in waiting}
        scene.process.start()
        scene.wait_for_more(1)
        assert all(scene.collector.acknowledged[batch] == settled[batch] for batch in gone)
    scene.collector.answering = True
    wait_until(lambda: committed <= scene.stored(), 25, lambda: str(committed - scene.stored()))
    wait_until(scene.is_empty, 25, lambda: str(scene.waiting().keys()))
    assert scene.process.terminate() == 0
    # The hot file outlives every kill; what a busy machine left waiting comes from the journal, which has its own id.
    heard = [h.batch.spool for h in scene.collector.heard if h.readings]
    assert heard[0] == scene.hot_id()
    assert len(set(heard)) <= 2


def test_a_dead_store_keeps_the_readings_and_they_go_when_it_lives(scene: Scene) -> None:
    scene.collector.answering = False
    scene.process.kill()
    scene.process.start()
    heard = len(scene.collector.heard)
    wait_until(lambda: len(scene.waiting()) >= 30, 20)
    assert len(scene.collector.heard) - heard <= 30  # the window, not all
    committed = scene.waiting_keys()
    scene.collector.answering = True
    scene.process.kill()  # a new connection does not wait for the answers of the old one
    scene.process.start()
    wait_until(lambda: committed <= scene.stored() and scene.is_empty(), 25, lambda: f"{len(scene.waiting())} wait")
    early = [h for h in scene.collector.heard[heard:] if not h.user_properties.get("content-encoding")]
    assert early, "what waited for moments only is plain for any reader"


def test_what_waited_longer_than_the_interval_comes_in_few_dense_packs(scene: Scene) -> None:
    scene.broker.kill()
    wait_until(lambda: len(scene.waiting_keys()) >= 300, 20)
    wait_until(lambda: any(b.number == 1 and b.spool != scene.hot_id() for b in scene.waiting()), 20)
    committed = scene.waiting_keys()
    scene.collector.close()
    scene.broker.start()
    scene.collector = Collector(scene.broker.options("collector"))
    wait_until(lambda: committed <= scene.stored(), 25, lambda: f"{len(committed - scene.stored())} are missing")
    dense = [h for h in scene.collector.heard if h.batch.spool != scene.hot_id() and len(h.readings) > 100]
    assert dense


def test_a_broker_that_dies_costs_nothing(scene: Scene) -> None:
    scene.broker.kill()
    before = scene.waiting_keys()
    wait_until(lambda: len(scene.waiting_keys()) >= len(before) + 50, 10)
    stored_before, committed = scene.stored(), scene.waiting_keys()
    scene.collector.close()
    scene.broker.start()
    scene.collector = Collector(scene.broker.options("collector"))
    wait_until(lambda: committed <= scene.stored() | stored_before and scene.is_empty(), 25)
    assert scene.process.terminate() == 0
    log = scene.process.log()
    assert log.count("WARNING") == 1, log
    assert log.count(": connected") == 1, log


def test_a_collector_that_comes_late_has_the_first_readings_within_two_seconds(scene: Scene) -> None:
    scene.collector.close()
    wait_until(lambda: len(scene.waiting()) >= 20, 10)
    committed = scene.waiting_keys()
    scene.collector = Collector(scene.broker.options("collector"))
    # The pause between two probes has grown to a few seconds at most by now.
    wait_until(lambda: committed <= scene.stored(), 6, lambda: f"{len(committed - scene.stored())} are missing")


def test_a_second_gateway_on_the_same_spool_is_refused(scene: Scene) -> None:
    second = makiba("gateway", "run", "-c", str(scene.file), log=scene.folder / "second.log").start()
    assert second.wait(20) == 1
    assert "another gateway keeps this spool" in second.log()
    assert "Traceback" not in second.log()


def test_a_refused_record_is_logged_and_leaves_the_spool(scene: Scene) -> None:
    def refuse(ack: Ack) -> Ack:
        return ack.model_copy(update={"refused": (RefusedRecord(index=0, name="a/b/c", reason="not of this farm"),)})

    scene.collector.answer = refuse
    wait_until(lambda: "not of this farm" in scene.process.log(), 5)
    scene.collector.answer = lambda ack: ack
    wait_until(scene.is_empty, 5)


def test_a_damaged_spool_is_kept_aside_polling_goes_on_and_the_centre_hears_of_it(scene: Scene) -> None:
    scene.process.kill()
    for end in ("-wal", "-shm"):
        (scene.folder / f"spool.db{end}").unlink(missing_ok=True)
    (scene.folder / "spool.db").write_bytes(b"this is no database" * 500)
    scene.process.start()
    scene.wait_for_more(3)
    wait_until(
        lambda: scene.collector.values(f"{GATEWAY}.spool", "state")[-2:] == ["damaged", "ok"],
        10,
        lambda: scene.process.log()[-2000:],
    )
    assert list(scene.folder.glob("spool.db.damaged-*"))
    assert "was damaged" in scene.process.log()


def test_readings_are_published_within_a_few_milliseconds(scene: Scene) -> None:
    scene.wait_for_more(20)
    delays = sorted(h.at_ms - h.readings[0].time_ms for h in scene.collector.heard[-20:])
    assert delays[len(delays) // 2] <= 25, delays
