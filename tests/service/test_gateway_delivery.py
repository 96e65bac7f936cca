"""What was committed arrives, whatever dies: the gateway by kill -9, the broker, the collector, the disk's file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from makiba.wire import Ack, RefusedRecord
from tests.parts import Broker, Process, free_port, makiba, wait_until
from tests.service.gateway_parts import GATEWAY, Collector, gateway_file
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
        self.process: Process = makiba("gateway", "run", "-c", str(self.file), log=folder / "gateway.log")

    def waiting(self) -> set[int]:
        """Numbers of the batches in the spool's file."""
        db = sqlite3.connect(f"file:{self.folder / 'spool.db'}?mode=ro", uri=True)
        try:
            return {n for (n,) in db.execute("SELECT number FROM batch")}
        finally:
            db.close()

    def last_number(self) -> int:
        db = sqlite3.connect(f"file:{self.folder / 'spool.db'}?mode=ro", uri=True)
        try:
            row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'batch'").fetchone()
            return int(row[0]) if row else 0
        finally:
            db.close()

    def stored(self) -> set[int]:
        """What the collector answered for; while it does not answer, it does not store either."""
        return {batch.number for batch in list(self.collector.acknowledged)}

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


def test_every_committed_batch_arrives_over_kills_and_an_acknowledged_one_does_not_come_again(scene: Scene) -> None:
    for round_ in range(5):
        scene.collector.answering = round_ % 2 == 0
        scene.wait_for_more(5)
        scene.process.kill()
        committed, settled = scene.waiting(), dict(scene.collector.acknowledged)
        # What was answered and has left the file before the kill must never come again.
        gone = {batch for batch in settled if batch.number not in committed}
        scene.process.start()
        scene.wait_for_more(1)
        assert all(scene.collector.acknowledged[batch] == settled[batch] for batch in gone)
    scene.collector.answering = True
    wait_until(
        lambda: not scene.waiting() or scene.waiting() == {scene.last_number()}, 25, lambda: str(scene.waiting())
    )
    assert scene.process.terminate() == 0
    last = scene.last_number()
    assert scene.stored() == set(range(1, last + 1))
    assert {h.batch.spool for h in scene.collector.heard} == {scene.collector.heard[0].batch.spool}
    assert scene.waiting() == set()


def test_a_dead_store_keeps_the_batches_and_they_go_when_it_lives(scene: Scene) -> None:
    scene.collector.answering = False
    scene.process.kill()
    scene.process.start()
    wait_until(lambda: len(scene.waiting()) >= 30, 20)
    assert len([h for h in scene.collector.heard if h.batch.number in scene.waiting()]) <= 30  # the window, not all
    scene.collector.answering = True
    scene.process.kill()  # a new connection does not wait for the answers of the old one
    scene.process.start()
    wait_until(lambda: len(scene.waiting()) <= 2, 25, lambda: f"{len(scene.waiting())} wait")
    backlog = [h for h in scene.collector.heard if h.user_properties.get("content-encoding") == "deflate"]
    assert backlog, "the backlog travels deflated"
    assert scene.stored() | scene.waiting() == set(range(1, scene.last_number() + 1))


def test_a_broker_that_dies_costs_nothing(scene: Scene) -> None:
    scene.broker.kill()
    seen = scene.last_number()
    wait_until(lambda: scene.last_number() >= seen + 10, 10)
    scene.collector.close()
    scene.broker.start()
    stored_before = scene.stored()
    scene.collector = Collector(scene.broker.options("collector"))
    wait_until(lambda: len(scene.waiting()) <= 2 and scene.last_number() > seen, 25)
    assert scene.process.terminate() == 0
    # Stopping does not wait for backlog; it stays in the file.
    assert stored_before | scene.stored() | scene.waiting() == set(range(1, scene.last_number() + 1))
    log = scene.process.log()
    assert log.count("WARNING") == 1, log
    assert log.count(": connected") == 1, log


def test_a_refused_record_is_logged_and_leaves_the_spool(scene: Scene) -> None:
    def refuse(ack: Ack) -> Ack:
        return ack.model_copy(update={"refused": (RefusedRecord(index=0, name="a/b/c", reason="not of this farm"),)})

    scene.collector.answer = refuse
    wait_until(lambda: "not of this farm" in scene.process.log(), 5)
    scene.collector.answer = lambda ack: ack
    wait_until(lambda: len(scene.waiting()) <= 1, 5)


def test_a_damaged_spool_is_kept_aside_and_polling_goes_on(scene: Scene) -> None:
    scene.process.kill()
    before = {h.batch.spool for h in scene.collector.heard}
    for end in ("-wal", "-shm"):
        (scene.folder / f"spool.db{end}").unlink(missing_ok=True)
    (scene.folder / "spool.db").write_bytes(b"this is no database" * 500)
    scene.process.start()
    wait_until(
        lambda: {h.batch.spool for h in scene.collector.heard} - before, 10, lambda: scene.process.log()[-2000:]
    )
    assert list(scene.folder.glob("spool.db.damaged-*"))
    assert "was damaged" in scene.process.log()


def test_readings_are_published_within_a_few_milliseconds(scene: Scene) -> None:
    scene.wait_for_more(20)
    delays = sorted(h.at_ms - h.readings[0].time_ms for h in scene.collector.heard[-20:])
    assert delays[len(delays) // 2] <= 25, delays
