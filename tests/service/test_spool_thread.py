"""The spool with its thread on a real disk: grouping, forcing, a full spool, a full disk."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.spool import Spool, SpoolEvents
from gateway.spool_file import Batch, SpoolFile
from makiba.reading import Reading, Series
from makiba.senml import parse_json, readings_of

SERIES = Series("shikaoi-001", "tank-1", "milk_temperature")
DROPPED = Series("shikaoi-001", "gw-1", "spool_dropped")
T0 = 1_700_000_000_000


class Events(SpoolEvents):
    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.states: list[str] = []

    def committed(self, batches: Sequence[Batch]) -> None:
        self.batches += batches

    def trouble(self, state: str) -> None:
        self.states.append(state)

    def readings(self, series: Series = SERIES) -> list[float | str]:
        return [
            r.value for b in self.batches for _, r in readings_of(parse_json(b.pack), 0.0)[0] if r.series == series
        ]


def _spool(path: Path, **options: Any) -> Spool:
    given = {"max_mb": 10, "force_every_s": 10.0, "dropped": DROPPED, "boot_id": "b", "now_ms": lambda: T0, **options}
    return Spool(path, **given)


def _reading(number: int) -> Reading:
    return Reading(SERIES, T0 + number, float(number))


async def _until(condition: Callable[[], Any], within_s: float = 5.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 (another thread makes it true)
            await asyncio.sleep(0.01)


def _run(path: Path, story: Callable[[Spool, Events], Awaitable[None]], **options: Any) -> Events:
    async def tell() -> Events:
        spool, events = _spool(path, **options), Events()
        spool.start(events)
        await story(spool, events)
        await spool.stop()
        await asyncio.sleep(0)
        return events

    return asyncio.run(tell())


def test_what_is_queued_at_once_is_few_batches_and_nothing_is_missing(tmp_path: Path) -> None:
    async def story(spool: Spool, events: Events) -> None:
        for number in range(2500):
            spool.append([_reading(number)])
        await spool.flush()
        assert spool.waiting == 2500

    events = _run(tmp_path / "spool.db", story)
    assert events.readings() == list(range(2500))
    assert len(events.batches) <= 10
    assert max(b.readings for b in events.batches) <= 1000


def test_an_acknowledged_batch_leaves_the_file(tmp_path: Path) -> None:
    async def story(spool: Spool, events: Events) -> None:
        spool.append([_reading(1)])
        await spool.flush()
        spool.append([_reading(2)])
        await spool.flush()
        spool.acknowledged(events.batches[0].id.number)
        await spool.flush()
        assert [b.id for b in await spool.page(0, 100, 10)] == [events.batches[1].id]

    _run(tmp_path / "spool.db", story)


@pytest.fixture
def forced(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When the file was forced to the disk; it really is."""
    times: list[float] = []
    real = SpoolFile.force

    def force(self: SpoolFile) -> None:
        times.append(self.batches)
        real(self)

    monkeypatch.setattr(SpoolFile, "force", force)
    return times


def test_a_batch_that_is_acknowledged_in_time_is_not_forced(tmp_path: Path, forced: list[float]) -> None:
    async def story(spool: Spool, events: Events) -> None:
        for number in range(20):
            spool.append([_reading(number)])
            await spool.flush()
            spool.acknowledged(events.batches[-1].id.number)
            await asyncio.sleep(0.05)

    _run(tmp_path / "spool.db", story, force_every_s=0.5)
    assert len(forced) == 1  # when it was opened


def test_an_unacknowledged_batch_is_forced_within_the_interval_and_once(tmp_path: Path, forced: list[float]) -> None:
    async def story(spool: Spool, events: Events) -> None:
        spool.append([_reading(1)])
        await spool.flush()
        await _until(lambda: len(forced) == 2, 0.5)
        await asyncio.sleep(0.6)

    _run(tmp_path / "spool.db", story, force_every_s=0.5)
    assert len(forced) == 2


def test_a_full_spool_drops_the_oldest_and_says_how_many(tmp_path: Path) -> None:
    async def story(spool: Spool, events: Events) -> None:
        for number in range(60):
            spool.append([_reading(1000 * number + i) for i in range(1000)])
            await spool.flush()
        left = await spool.page(0, 10**9, 1000)
        values = [r.value for b in left for _, r in readings_of(parse_json(b.pack), 0.0)[0] if r.series == SERIES]
        assert values == list(range(60_000 - len(values), 60_000))
        assert sum(len(b.pack) for b in left) <= 1_000_000
        kept.append(len(values))

    kept: list[int] = []
    events = _run(tmp_path / "spool.db", story, max_mb=1)
    # What is dropped may include an earlier 'spool_dropped' itself, which counts as a reading too.
    said = events.readings(DROPPED)
    assert said == sorted(said)
    assert 0 <= float(said[-1]) - (60_000 - kept[0]) <= len(said)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("mounting a file system needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_a_state_and_nothing_is_lost_over_it(small_disk: Path) -> None:
    ballast = small_disk / "ballast"

    async def story(spool: Spool, events: Events) -> None:
        spool.append([_reading(0)])
        await spool.flush()
        free = os.statvfs(small_disk)
        ballast.write_bytes(b"x" * (free.f_bavail * free.f_bsize))
        for number in range(1, 3000):
            spool.append([_reading(number)])
        await _until(lambda: events.states == ["disk-full"])
        ballast.unlink()
        await _until(lambda: events.states == ["disk-full", "ok"])

    events = _run(small_disk / "spool.db", story)
    assert events.readings() == list(range(3000))


def test_a_spool_that_cannot_be_made_yet_is_made_later(small_disk: Path) -> None:
    free = os.statvfs(small_disk)
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * (free.f_bavail * free.f_bsize))

    async def story(spool: Spool, events: Events) -> None:
        spool.append([_reading(0)])
        await _until(lambda: events.states == ["disk-full"])
        ballast.unlink()
        await _until(lambda: events.batches)

    assert _run(small_disk / "spool.db", story).readings() == [0.0]


def test_a_defect_in_the_thread_is_told_and_nobody_waits_for_it(tmp_path: Path) -> None:
    died: list[BaseException] = []

    class Watching(Events):
        def died(self, error: BaseException) -> None:
            died.append(error)

    async def story() -> None:
        spool = _spool(tmp_path / "spool.db")
        spool.start(Watching())
        spool.append([Reading(Series("s", "d", "no_such_quantity"), T0, 1.0)])
        await spool.flush()
        await spool.stop()
        await _until(lambda: died)

    asyncio.run(story())
    assert isinstance(died[0], KeyError)
