"""The spool with its threads on a real disk: grouping, forcing, a full spool, a full or slow card, a second owner."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.hot import HotFile, SpoolInUse, peek_hot
from gateway.packs import Batch, readings_in
from gateway.spool import Spool, SpoolEvents
from gateway.spool_file import SpoolFile
from makiba.reading import Reading, Series
from makiba.wire import BatchId
from tests.parts import PATIENCE

SERIES = Series("shikaoi-001", "tank-1", "milk_temperature")
DROPPED = Series("shikaoi-001", "gw-1", "spool_dropped")
GAP = Series("shikaoi-001", "gw-1", "spool_gap")
T0 = 1_700_000_000_000


def values_of(batches: Sequence[Batch], series: Series = SERIES) -> list[float | str]:
    return [
        r.value for b in batches for r in readings_in(b.pack, is_deflated=b.is_deflated) or () if r.series == series
    ]


class Events(SpoolEvents):
    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.states: list[str] = []
        self.journal = (0, 0)
        self.spools: list[str] = []
        self.unset: list[tuple[str, int, int]] = []

    def opened(self, spool_id: str, batches: Sequence[Batch]) -> None:
        self.spools.append(spool_id)
        self.batches += batches

    def committed(self, batches: Sequence[Batch]) -> None:
        self.batches += batches

    def journaled(self, upto: int, last_number: int) -> None:
        self.journal = (max(self.journal[0], upto), max(self.journal[1], last_number))

    def found_unset(self, boots: list[tuple[str, int, int]]) -> None:
        self.unset += boots

    def trouble(self, state: str) -> None:
        self.states.append(state)

    def readings(self, series: Series = SERIES) -> list[float | str]:
        return values_of(self.batches, series)


def _spool(path: Path, **options: Any) -> Spool:
    given = {
        "max_mb": 10, "force_every_s": 10.0, "gateway": "gw-1", "site": "shikaoi-001", "boot_id": "b",
        "now_ms": lambda: T0, "hot": str(path.with_name("hot")), **options,
    }  # fmt: skip
    return Spool(path, **given)


def _reading(number: int) -> Reading:
    return Reading(SERIES, T0 + number, float(number))


async def _until(condition: Callable[[], Any], within_s: float = 5.0) -> None:
    async with asyncio.timeout(within_s * PATIENCE):
        while not condition():  # noqa: ASYNC110 (another thread makes it true)
            await asyncio.sleep(0.01)


async def _all(spool: Spool) -> list[Batch]:
    """What waits in the journal."""
    return await spool.page(0, 10**9, 100_000) or []


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


def test_an_acknowledged_batch_leaves_the_hot_file_and_never_sees_the_card(tmp_path: Path) -> None:
    async def story(spool: Spool, events: Events) -> None:
        await spool.opened()
        before = _sizes(tmp_path / "spool.db")
        for number in range(50):
            spool.append([_reading(number)])
            await spool.flush()
            spool.acknowledged(events.batches[-1].id)
        await spool.flush()
        assert spool.waiting == 0
        state = peek_hot(tmp_path / "hot")
        assert state
        assert not state.batches
        assert _sizes(tmp_path / "spool.db") == before

    _run(tmp_path / "spool.db", story)


def _sizes(path: Path) -> dict[str, tuple[int, int]]:
    return {p.name: (p.stat().st_size, p.stat().st_mtime_ns) for p in path.parent.glob("spool.db*")}


def test_what_was_committed_is_there_for_the_next_process_and_numbers_go_on(tmp_path: Path) -> None:
    async def killed() -> tuple[list[BatchId], str]:
        spool, events = _spool(tmp_path / "spool.db"), Events()
        spool.start(events)
        for number in range(5):
            spool.append([_reading(number)])
            await spool.flush()
        spool.acknowledged(events.batches[2].id)
        await spool.flush()
        # As a killed process leaves it: nobody closes anything, only the lock goes.
        (tmp_path / "left").write_bytes((tmp_path / "hot").read_bytes())
        await spool.stop()
        return [b.id for b in events.batches], events.spools[0]

    given, spool_id = asyncio.run(killed())
    (tmp_path / "hot").write_bytes((tmp_path / "left").read_bytes())
    (tmp_path / "spool.db").unlink()

    async def story(spool: Spool, events: Events) -> None:
        await _until(lambda: events.batches)
        assert [b.id for b in events.batches] == [i for at, i in enumerate(given) if at != 2]
        spool.append([_reading(9)])
        await spool.flush()
        assert events.batches[-1].id == BatchId(spool_id, 6)

    assert _run(tmp_path / "spool.db", story).readings() == [0.0, 1.0, 3.0, 4.0, 9.0]


def test_a_stop_takes_what_waits_to_the_card_and_leaves_no_hot_file_behind(tmp_path: Path) -> None:
    async def story(spool: Spool, events: Events) -> None:
        spool.append([_reading(1), _reading(2)])

    _run(tmp_path / "spool.db", story)
    file = SpoolFile(tmp_path / "spool.db")
    assert values_of(file.after(0, 10)) == [1.0, 2.0]
    file.close()
    assert not (tmp_path / "hot").exists()


def test_a_second_owner_is_refused_even_with_another_hot_file(tmp_path: Path) -> None:
    async def story(spool: Spool, events: Events) -> None:
        for hot in ("hot", "other"):
            with pytest.raises(SpoolInUse, match="another gateway"):
                _spool(tmp_path / "spool.db", hot=str(tmp_path / hot)).start(Events())

    _run(tmp_path / "spool.db", story)
    _run(tmp_path / "spool.db", lambda spool, events: asyncio.sleep(0))


@pytest.fixture
def journaled(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When something was forced to the card; it really is."""
    times: list[float] = []
    real = SpoolFile.journal

    def journal(self: SpoolFile, *args: Any, **options: Any) -> list[int]:
        found = real(self, *args, **options)
        times.append(time.monotonic())
        return found

    monkeypatch.setattr(SpoolFile, "journal", journal)
    return times


def test_an_unacknowledged_batch_is_on_the_card_within_the_interval_and_once(
    tmp_path: Path, journaled: list[float]
) -> None:
    async def story(spool: Spool, events: Events) -> None:
        await spool.opened()
        spool.append([_reading(1)])
        began_s = time.monotonic()
        await _until(lambda: events.journal == (1, 1), 2.0)
        assert journaled[0] - began_s <= 0.5 * PATIENCE
        assert values_of(await _all(spool)) == [1.0]
        await asyncio.sleep(0.6)
        assert len(journaled) == 1
        assert spool.waiting == 1

    _run(tmp_path / "spool.db", story, force_every_s=0.5)


def test_an_urgent_reading_is_on_the_card_at_once(tmp_path: Path, journaled: list[float]) -> None:
    async def story(spool: Spool, events: Events) -> None:
        await spool.opened()
        spool.append([_reading(1)])
        spool.append([_reading(2)], urgent=True)
        await _until(lambda: events.journal[1], 1.0)
        assert values_of(await _all(spool)) == [1.0, 2.0]

    _run(tmp_path / "spool.db", story)


def test_a_card_that_takes_seconds_holds_up_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = SpoolFile._commit

    def slow(self: SpoolFile, *args: Any, **options: Any) -> None:
        time.sleep(1.5)
        real(self, *args, **options)

    monkeypatch.setattr(SpoolFile, "_commit", slow)

    async def story(spool: Spool, events: Events) -> None:
        await spool.opened()
        spool.append([_reading(0)], urgent=True)
        await spool.flush()
        waits = []
        for number in range(1, 30):
            began_s = time.monotonic()
            spool.append([_reading(number)])
            await _until(lambda number=number: events.readings()[-1:] == [float(number)])  # type: ignore[misc]
            waits.append(time.monotonic() - began_s)
            state = peek_hot(tmp_path / "hot")  # what kill -9 would leave behind at this moment
            assert state
            assert float(number) in values_of(list(state.batches.values()))
        assert events.journal == (0, 0)
        assert max(waits) < 0.5
        assert sorted(waits)[len(waits) // 2] < 0.05
        await _until(lambda: events.journal[1])

    _run(tmp_path / "spool.db", story)


def test_a_full_spool_thins_first_then_drops_the_oldest_and_says_both(tmp_path: Path) -> None:
    """Readings every 10 s: a sixth of them is left as means, and then the oldest of those go."""

    async def story(spool: Spool, events: Events) -> None:
        spool._card._owner._max_bytes = 40_000
        for block in range(12):
            spool.append([_noisy(4000 * block + i) for i in range(4000)], urgent=True)
            await _until(lambda block=block: events.journal[0] >= 4 * (block + 1))  # type: ignore[misc]
        await _until(lambda: events.readings(DROPPED), 10)
        left = [
            r for b in await _all(spool) for r in readings_in(b.pack, is_deflated=True) or () if r.series == SERIES
        ]
        assert sum(len(b.pack) for b in await _all(spool)) <= 40_000
        times = sorted(r.time_ms for r in left)
        gaps = [after - before for before, after in itertools.pairwise(times)]
        assert set(gaps) <= {10_000, 20_000, 30_000, 40_000, 50_000, 60_000}, "no hole in what is left"
        assert gaps.count(60_000) > len(gaps) // 2
        assert times[-1] == T0 + 10_000 * 47_999

    events = _run(tmp_path / "spool.db", story)
    gaps = [str(g) for g in events.readings(GAP)]
    assert "thinned to minute means" in gaps[0]
    assert any("dropped" in g for g in gaps)
    said = [float(v) for v in events.readings(DROPPED)]
    assert said == sorted(said)
    assert said[-1] > 0


def _noisy(number: int) -> Reading:
    return Reading(SERIES, T0 + 10_000 * number, float(number * 7919 % 10_007) / 100)


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


def test_a_full_disk_is_a_state_and_nothing_is_lost_over_it(small_disk: Path, tmp_path: Path) -> None:
    ballast = small_disk / "ballast"

    async def story(spool: Spool, events: Events) -> None:
        spool.append([_reading(0)], urgent=True)
        await _until(lambda: events.journal[1])
        free = os.statvfs(small_disk)
        ballast.write_bytes(b"x" * (free.f_bavail * free.f_bsize))
        for number in range(1, 3000):
            spool.append([_reading(number)], urgent=True)
        await _until(lambda: events.states == ["disk-full"])
        await _until(lambda: events.readings() == list(range(3000)))  # published all the same
        ballast.unlink()
        await _until(lambda: events.states == ["disk-full", "ok"])
        await _until(lambda: events.journal[0] >= events.batches[-1].id.number)
        assert sorted(values_of(await _all(spool))) == list(range(3000))

    _run(small_disk / "spool.db", story, hot=str(tmp_path / "hot"))


def test_a_spool_that_cannot_be_made_yet_is_made_later(small_disk: Path, tmp_path: Path) -> None:
    free = os.statvfs(small_disk)
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * (free.f_bavail * free.f_bsize))

    async def story(spool: Spool, events: Events) -> None:
        await spool.opened(within_s=2.0)
        spool.append([_reading(0)])
        await _until(lambda: events.states == ["disk-full"])
        ballast.unlink()
        await _until(lambda: events.states == ["disk-full", "ok"])
        await _until(lambda: events.journal[1])
        assert values_of(await _all(spool)) == [0.0]

    _run(small_disk / "spool.db", story, hot=str(tmp_path / "hot"), force_every_s=1.0)


def test_a_read_only_card_is_a_state_and_what_waits_in_memory_is_limited(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.spool_thread.HOT_MOST", 200_000)

    SpoolFile(small_disk / "spool.db").close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)

    async def story(spool: Spool, events: Events) -> None:
        await spool.opened()
        spool.append([_reading(0)])
        for number in range(1, 10_001):
            spool.append([_reading(number)])
            if number % 500 == 0:
                await spool.flush()
        await _until(lambda: events.states == ["read-only"])
        state = peek_hot(tmp_path / "hot")
        assert state
        assert state.size <= 200_000
        await asyncio.to_thread(subprocess.run, ["mount", "-o", "remount,rw", str(small_disk)], check=True)
        await _until(lambda: events.readings(DROPPED) and spool.waiting < 9000, 20)
        left = [float(v) for v in values_of(await _all(spool))]
        assert float(events.readings(DROPPED)[-1]) == 10_001 - len(left)
        assert left[-1] == 10_000.0

    _run(small_disk / "spool.db", story, hot=str(tmp_path / "hot"), force_every_s=1.0)


def test_a_hot_file_without_memory_is_a_state_and_everything_goes_to_the_card(
    small_disk: Path, tmp_path: Path
) -> None:
    async def story(spool: Spool, events: Events) -> None:
        await spool.opened()
        free = os.statvfs(small_disk)
        (small_disk / "ballast").write_bytes(b"x" * (free.f_bavail * free.f_bsize))
        for number in range(2000):
            spool.append([_reading(number)])
            if number % 100 == 0:
                await spool.flush()
        await _until(lambda: "memory-full" in events.states)
        await _until(lambda: spool._owner.waiting == 0)
        assert sorted(values_of(await _all(spool))) == list(range(2000))
        (small_disk / "ballast").unlink()
        spool.append([_reading(2000)])
        await _until(lambda: events.states[-1] == "ok")

    _run(tmp_path / "spool.db", story, hot=str(small_disk / "hot"))


def test_a_hot_file_that_cannot_be_made_is_a_state_and_everything_goes_to_the_card(tmp_path: Path) -> None:
    async def story(spool: Spool, events: Events) -> None:
        for number in range(50):
            spool.append([_reading(number)])
            await spool.flush()
        await _until(lambda: events.states == ["memory-full"])
        await _until(lambda: spool._owner.waiting == 0)
        assert sorted(values_of(await _all(spool))) == list(range(50))

    _run(tmp_path / "spool.db", story, hot=str(tmp_path / "no-such-folder" / "hot"))


def test_a_hot_file_that_is_damaged_costs_what_comes_after_the_damage(tmp_path: Path) -> None:
    hot = HotFile(tmp_path / "hot", "b")
    hot.add([(_pack(n), 1) for n in range(10)], time.monotonic_ns() // 1_000_000, T0, held=False)
    hot.close()
    data = bytearray((tmp_path / "hot").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "hot").write_bytes(data)

    async def story(spool: Spool, events: Events) -> None:
        await _until(lambda: events.batches)
        found = [float(v) for v in events.readings()]
        assert found == list(range(len(found)))
        assert 2 <= len(found) < 10
        spool.append([_reading(10)])
        await spool.flush()
        assert events.batches[-1].id.number > 10, "a number that may have been published is not given out again"

    _run(tmp_path / "spool.db", story)


def test_a_damaged_journal_is_kept_aside_and_what_can_be_read_of_it_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    file = SpoolFile(path)
    for part in range(100):
        batch = Batch(BatchId("a" * 16, part + 1), 1, _pack(part))
        file.journal([batch], ("a" * 16, part + 1))
    file.close()
    data = bytearray(path.read_bytes())
    middle = len(data) // 2 // 1024 * 1024
    data[middle : middle + 3 * 1024] = os.urandom(3 * 1024)
    path.write_bytes(data)

    async def story(spool: Spool, events: Events) -> None:
        await _all(spool)
        await _until(lambda: "damaged" in events.states)
        await _until(lambda: events.states[-1] == "ok")
        left = [float(v) for v in values_of(await _all(spool))]
        assert len(left) == len(set(left))
        assert set(left) <= set(range(100))
        assert len(left) >= 60

    _run(path, story)
    assert list(tmp_path.glob("spool.db.damaged-*"))


def _pack(number: int) -> bytes:
    from makiba.senml import encode_json

    return encode_json([_reading(number)])


def test_a_page_that_cannot_be_read_is_not_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "spool.db").mkdir()

    async def story(spool: Spool, events: Events) -> None:
        assert await spool.page(0, 10, 10) is None
        await _until(lambda: events.states)

    _run(tmp_path / "spool.db", story)


def test_held_readings_are_shifted_once_when_the_time_is_known(tmp_path: Path) -> None:
    from gateway.hot import ClockNote

    async def story(spool: Spool, events: Events) -> None:
        spool.append([_reading(1)], urgent=True)
        await _until(lambda: events.journal[1])
        spool.append([_reading(2)])
        await spool.flush()
        assert await _all(spool) == []
        assert all(b.is_held for b in events.batches)
        events.batches.clear()
        spool.settle(5_000_000, ClockNote(0, 5_000_000))
        spool.append([Reading(SERIES, T0 + 5_000_003, 3.0)])
        await _until(lambda: len(events.batches) == 2)
        await _until(lambda: events.journal[1] >= 2)
        times = {
            r.value: r.time_ms
            for b in [*events.batches, *await _all(spool)]
            for r in readings_in(b.pack, is_deflated=b.is_deflated) or ()
        }
        assert times == {float(n): T0 + 5_000_000 + n for n in (1, 2, 3)}
        assert not any(b.is_held for b in events.batches)

    _run(tmp_path / "spool.db", story, is_held=True)


def test_a_boot_that_never_knew_the_time_is_found_by_the_next(tmp_path: Path) -> None:
    async def dark(spool: Spool, events: Events) -> None:
        spool.append([_reading(1), _reading(7)])

    _run(tmp_path / "spool.db", dark, is_held=True, boot_id="dark")
    found: list[tuple[str, int, int]] = []

    async def story(spool: Spool, events: Events) -> None:
        from gateway.hot import ClockNote

        events.unset = found
        await spool.opened()
        spool.settle(0, ClockNote(0, 0))
        await _until(lambda: found)
        assert values_of(await _all(spool)) == [1.0, 7.0]

    _run(tmp_path / "spool.db", story, is_held=True, boot_id="light")
    assert found == [("dark", T0 + 1, T0 + 7)]


def test_killed_between_the_two_files_nothing_comes_twice(tmp_path: Path) -> None:
    hot = HotFile(tmp_path / "hot", "b")
    now_ms = time.monotonic_ns() // 1_000_000
    batches = hot.add([(_pack(n), 1) for n in range(4)], now_ms, T0, held=False)
    file = SpoolFile(tmp_path / "spool.db")
    file.journal(batches[:3], (hot.spool_id, 3))
    file.abandon()
    hot.close()

    async def story(spool: Spool, events: Events) -> None:
        await _until(lambda: events.journal == (3, 1))
        assert values_of(await _all(spool)) == [0.0, 1.0, 2.0]
        state = peek_hot(tmp_path / "hot")
        assert state
        assert list(state.batches) == [4]

    _run(tmp_path / "spool.db", story)


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
