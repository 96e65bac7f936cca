"""Several workers share the farms, and what came late pushes nothing: `makiba watch` as processes of its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from collectors.registry.schema import Alert, AlertEvent, JudgeSnapshot
from collectors.registry.schema.leases import LateSummary, ShardLease
from collectors.registry.sites import DeviceSpec, record_reported
from collectors.registry.viewer import Service
from makiba.reading import Reading, Series
from tests.parts import Broker, Process, makiba, wait_until
from tests.service.test_worker import SITE, Farm, now_ms, watching

MIN, HOUR = 60_000, 3_600_000


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[Farm]:
    with Broker() as broker:
        made = Farm(tmp_path, broker)
        made.connect()
        made.say("gw-1", "state", "online")
        made.say("tank-1", "state", "ok")
        yield made
        made.close()


def holders(farm: Farm) -> set[str]:
    with farm.registry.read() as session:
        return set(session.scalars(select(ShardLease.holder).where(ShardLease.until_ms > 0)))


def judging(log: str) -> str:
    return log.rpartition("judging ")[2].partition(" of")[0]


def events(farm: Farm) -> list[tuple[str, bool]]:
    with farm.registry.read() as session:
        rows = session.scalars(select(AlertEvent).order_by(AlertEvent.id)).all()
    return [(row.kind, bool(row.detail.get("late"))) for row in rows]


def test_another_worker_goes_on_after_a_kill_and_one_that_was_stopped_for_long_writes_nothing(farm: Farm) -> None:
    farm.milk(4.0)
    farm.start()
    first = watching(farm, "first")
    second = watching_beside(farm, "second")
    try:
        wait_until(lambda: len(holders(farm)) == 2, 30, first.log)
        wait_until(lambda: judging(first.log()) == judging(second.log()) == "8", 30, second.log)
        first.kill()
        wait_until(lambda: judging(second.log()) == "16", 30, second.log)
        farm.milk(6.2)
        alert = wait_until(farm.open, 30, second.log)[0]
        os.kill(second.pid, signal.SIGSTOP)  # as a machine that sleeps: it still believes that the farms are its own
        third = watching_beside(farm, "third")
        try:
            wait_until(lambda: judging(third.log()) == "16", 40, third.log)
            farm.milk(4.0)
            wait_until(lambda: not farm.open(), 30, third.log)
            farm.milk(6.3)
            wait_until(farm.open, 30, third.log)
            os.kill(second.pid, signal.SIGCONT)
            wait_until(lambda: judging(second.log()) != "16", 40, second.log)
            assert third.terminate() == 0
            wait_until(lambda: judging(second.log()) == "16", 40, second.log)  # given back, at once
            farm.milk(4.0)
            wait_until(lambda: not farm.open(), 30, second.log)
        finally:
            third.kill()
    finally:
        first.kill()
        second.kill()
    assert farm.events(alert) == ["opened", "ended"]
    assert [kind for kind, _ in events(farm)] == ["opened", "ended"] * 2


def watching_beside(farm: Farm, name: str) -> Process:
    """A worker that may have no farm at first."""
    process = makiba("watch", log=farm.folder / f"{name}.log", env=farm.env())
    process.start()
    wait_until(lambda: "watching with" in process.log(), 30, process.log)
    return process


@pytest.mark.parametrize("dies", [pytest.param(False, marks=pytest.mark.long), True])
def test_two_days_of_backlog_push_nothing_and_are_told_of_once(farm: Farm, dies: bool) -> None:
    """Two problems that are over become history; the worker may die in between. What still is true is an alert."""
    with farm.registry.write() as session:
        record_reported(
            session, Service("collector"), "gw-1", [DeviceSpec("tank-1", "milk", "r4dcb08", 60, ("tank-1",))]
        )
    series = Series(SITE, "tank-1", "milk_temperature")
    end = now_ms() // MIN * MIN
    begin = end - 48 * HOUR

    def celsius(time: int) -> float:
        ago = end - time
        is_warm = 30 * HOUR < ago < 32 * HOUR or 25 * MIN < ago < 40 * MIN
        return (7.0 if is_warm else 4.0) + time // MIN % 5 / 10

    farm.commit([Reading(series, time, celsius(time)) for time in range(begin - HOUR, begin, MIN)])
    worker = watching(farm)
    try:
        wait_until(lambda: has_snapshot(farm), 30, worker.log)
        times = list(range(begin, end, MIN))
        for number, start in enumerate(range(0, len(times), 120)):
            farm.commit([Reading(series, time, celsius(time)) for time in times[start : start + 120]])
            if dies and number == 12:
                worker.kill()
                worker.start()
        farm.milk(4.0)
        farm.start()
        wait_until(lambda: summaries(farm), 60, worker.log)
        with farm.registry.read() as session:
            rows = list(session.scalars(select(Alert).order_by(Alert.onset_ms)))
        assert [(row.rule, row.ended_ms is not None) for row in rows] == [("tank.hold", True)] * 2, worker.log()
        assert events(farm) == [("opened", True), ("ended", True)] * 2
        (summary,) = summaries(farm)
        assert [one["alert"] for one in summary.ended] == [row.id for row in rows]
        assert (summary.from_ms, summary.told_ms) == (begin - MIN, None)
        farm.milk(6.5)
        wait_until(farm.open, 30, worker.log)
        assert events(farm)[-1] == ("opened", False)
        assert len(summaries(farm)) == 1
        assert worker.terminate() == 0
    finally:
        worker.kill()


def has_snapshot(farm: Farm) -> bool:
    with farm.registry.read() as session:
        return session.get(JudgeSnapshot, SITE) is not None


def summaries(farm: Farm) -> list[LateSummary]:
    with farm.registry.read() as session:
        return list(session.scalars(select(LateSummary)))
