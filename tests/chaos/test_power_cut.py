"""Power cuts at random moments: un-synced writes are lost, kept in part, or torn. Kill -9 proves nothing here."""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway import spool_file
from gateway.packs import Batch, plain_packs, readings_in
from gateway.spool import Spool, SpoolEvents
from gateway.spool_file import SpoolFile
from makiba.reading import Reading, Series
from makiba.wire import BatchId
from tests.chaos.power_cut import SYNC, Recorder, is_possible, leave, recording

pytestmark = pytest.mark.skipif(not is_possible(), reason="this Python's sqlite3 has a library of its own")

SERIES = Series("shikaoi-001", "tank-1", "milk_temperature")
HOT = "a" * 16
T0 = 1_700_000_000_000
CUTS = 150


def values(batches: Sequence[Batch]) -> list[int]:
    return [round(float(r.value)) for b in batches for r in readings_in(b.pack, is_deflated=b.is_deflated) or ()]


@dataclass
class Past:
    """What had been promised when so many operations were done."""

    at_op: int
    journaled: frozenset[int]
    removed: frozenset[int]
    given: dict[int, bytes]


@dataclass
class Story:
    """A spool's life, with what was promised after each step."""

    recorder: Recorder
    past: list[Past] = field(default_factory=list)
    journaled: set[int] = field(default_factory=set)
    removed: set[int] = field(default_factory=set)
    given: dict[int, bytes] = field(default_factory=dict)

    def live(self, path: Path, chance: random.Random, steps: int) -> None:
        card = SpoolFile(path)
        number = hot = 0
        for _ in range(steps):
            what = chance.random()
            if what < 0.6:
                readings = [Reading(SERIES, T0 + 1000 * (number + i), float(number + i)) for i in range(40)]
                number += len(readings)
                [(pack, count)] = plain_packs(readings)
                hot += 1
                card.journal([Batch(BatchId(HOT, hot), count, pack)], (HOT, hot))
                self.journaled |= {round(float(r.value)) for r in readings}
            elif what < 0.9:
                found = card.after(0, 3)
                card.remove([b.id.number for b in found])
                self.removed |= set(values(found))
            elif what < 0.95:
                card.merge()
            else:
                card.close()
                card = SpoolFile(path)
            self.given |= {b.id.number: b.pack for b in card.after(0, 10_000)}
            self._note()
        card.abandon()

    def _note(self) -> None:
        self.past.append(
            Past(len(self.recorder.ops), frozenset(self.journaled), frozenset(self.removed), dict(self.given))
        )


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    folder = tmp_path_factory.mktemp("life")
    with recording() as recorder:
        story = Story(recorder)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(spool_file, "CHECKPOINT_PAGES", 60)  # so that cuts fall into checkpoints too
            patch.setattr(spool_file, "PACK_MOST", 500)
            story.live(folder / "spool.db", random.Random(4), 260)
    assert recorder.syncs > 100
    return story


def _check(story: Story, cut: int, chance: random.Random, folder: Path) -> None:
    ops = story.recorder.ops[:cut]
    leave(ops, folder, chance)
    past = max(
        (p for p in story.past if p.at_op <= cut),
        key=lambda p: p.at_op,
        default=Past(0, frozenset(), frozenset(), {}),
    )
    card = SpoolFile(folder / "spool.db")
    assert card._db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    left = card.after(0, 10_000)
    there = values(left)
    assert len(there) == len(set(there)), "a reading is there twice"
    lost = past.journaled - past.removed - set(there) - set(values_removed_later(story, cut))
    assert not lost, f"lost: {sorted(lost)[:10]}"
    for batch in left:  # a number that was given out means what it meant
        assert story.given.get(batch.id.number, batch.pack) == batch.pack
    [number] = card.journal([Batch(BatchId(HOT, 1), 1, plain_packs([Reading(SERIES, T0, 1.0)])[0][0])], (HOT, 1))
    assert number not in past.given, "a number is given out twice"
    card.abandon()


def values_removed_later(story: Story, cut: int) -> frozenset[int]:
    """What the step in which the cut fell was removing: it may be gone already."""
    return next((p.removed for p in story.past if p.at_op > cut), frozenset())


def test_after_any_power_cut_the_journal_opens_with_everything_that_was_promised(
    story: Story, tmp_path: Path
) -> None:
    chance = random.Random(20261124)
    cuts = [chance.randrange(1, len(story.recorder.ops)) for _ in range(CUTS)]
    syncs = [at for at, op in enumerate(story.recorder.ops) if op.at == SYNC]
    cuts += [at + around for at in chance.sample(syncs, 25) for around in (0, 1)]
    first_promise = story.past[0].at_op
    for number, cut in enumerate(cuts):
        folder = tmp_path / str(number)
        folder.mkdir()
        if cut < first_promise:
            leave(story.recorder.ops[:cut], folder, chance)
            SpoolFile(folder / "spool.db").abandon()  # it opens
        else:
            _check(story, cut, chance, folder)
        shutil.rmtree(folder)


def test_a_layer_that_drops_synced_writes_is_noticed(story: Story, tmp_path: Path) -> None:
    """The test of the test: without syncs the same cuts lose what was promised."""
    without = Story(Recorder([op for op in story.recorder.ops if op.at != SYNC]), story.past, given=story.given)
    ratio = len(without.recorder.ops) / len(story.recorder.ops)
    without.past = [Past(round(p.at_op * ratio), p.journaled, p.removed, p.given) for p in story.past]
    chance = random.Random(1)
    failed = 0
    for number in range(10):
        folder = tmp_path / str(number)
        folder.mkdir()
        try:
            _check(
                without, chance.randrange(len(without.recorder.ops) // 2, len(without.recorder.ops)), chance, folder
            )
        except (AssertionError, sqlite3.Error):
            failed += 1
    assert failed >= 5


class Events(SpoolEvents):
    def __init__(self) -> None:
        self.batches: list[tuple[float, Batch]] = []

    def committed(self, batches: Sequence[Batch]) -> None:
        self.batches += [(time.monotonic(), b) for b in batches]


@pytest.mark.parametrize("sync_s", [0.0, 0.25])
def test_a_cut_costs_at_most_the_interval_whatever_the_card_takes_over_a_sync(tmp_path: Path, sync_s: float) -> None:
    """The whole spool with its threads, its hot file lost; every moment of the recording is a possible cut."""
    force_every_s = 1.5
    moments: list[tuple[float, int]] = []

    async def live(recorder: Recorder) -> dict[int, float]:
        spool = Spool(
            tmp_path / "spool.db", max_mb=10, force_every_s=force_every_s, gateway="gw", site="s", boot_id="b",
            now_ms=lambda: T0, hot=str(tmp_path / "hot"),
        )  # fmt: skip
        events = Events()
        spool.start(events)
        await spool.opened()
        recorder.sync_s = sync_s
        appended: dict[int, float] = {}
        for number in range(200):
            appended[number] = time.monotonic()
            spool.append([Reading(SERIES, T0 + number, float(number))])
            await asyncio.sleep(0.02)
            moments.append((time.monotonic(), len(recorder.ops)))
        recorder.sync_s = 0.0
        await spool.stop()
        return appended

    with recording() as recorder:
        appended = asyncio.run(live(recorder))
    chance = random.Random(7)
    for number, (moment_s, ops) in enumerate(moments[::8]):
        folder = tmp_path / f"cut-{number}"
        folder.mkdir()
        leave(recorder.ops[:ops], folder, chance)
        card = SpoolFile(folder / "spool.db")
        there = set(values(card.after(0, 10_000)))
        card.abandon()
        lost = [n for n, at in appended.items() if at < moment_s - force_every_s and n not in there]
        assert not lost, f"{moment_s - appended[lost[0]]:.2f} s old"
