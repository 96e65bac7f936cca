"""The spool's two files against a list: what was committed and not removed is there, in order, after any crash."""

from __future__ import annotations

import tempfile
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.hot import HotFile
from gateway.packs import PACK_MOST, Batch, plain_packs, readings_in
from gateway.spool_file import SpoolFile
from makiba.reading import Reading, Series
from makiba.wire import BatchId
from tests.often import often

SERIES = Series("shikaoi-001", "tank-1", "milk_temperature")
T0 = 1_700_000_000_000


def reading(number: int) -> Reading:
    return Reading(SERIES, T0 + number * 1000, float(number))


def numbers_in(batches: list[Batch]) -> list[int]:
    return sorted(
        round(float(r.value)) for b in batches for r in readings_in(b.pack, is_deflated=b.is_deflated) or ()
    )


class TwoFiles(RuleBasedStateMachine):
    """The model: readings that wait in the hot file, readings that wait in the journal, every id ever given out.

    A crash may come between the journal's commit and the hot file's forgetting; the mark settles it.
    """

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name)
        self.boot = 1
        self.hot_waits: dict[int, list[int]] = {}
        self.card_waits: set[int] = set()
        self.given: dict[BatchId, bytes] = {}
        self.next = 0
        self.open()

    def open(self) -> None:
        self.hot = HotFile(self.path / "hot", f"boot-{self.boot}")
        self.card = SpoolFile(self.path / "spool.db")
        if self.card.hot[0] == self.hot.spool_id:
            self.hot.remove_upto(self.card.hot[1])

    def note(self, batches: list[Batch]) -> None:
        for batch in batches:
            assert self.given.setdefault(batch.id, batch.pack) == batch.pack, "a number was given out twice"

    @rule(counts=st.lists(st.integers(1, 3), min_size=1, max_size=4))
    def commit(self, counts: list[int]) -> None:
        packs = []
        for count in counts:
            readings = [reading(self.next + i) for i in range(count)]
            self.next += count
            packs += plain_packs(readings)
        batches = self.hot.add(packs, 0, T0 + self.next, held=False)
        self.note(batches)
        for batch in batches:
            self.hot_waits[batch.id.number] = numbers_in([batch])

    @rule(pick=st.integers(0, 10))
    def acknowledge_a_hot_one(self, pick: int) -> None:
        if self.hot_waits:
            number = list(self.hot_waits)[pick % len(self.hot_waits)]
            self.hot.remove([number, 999_999_999])
            del self.hot_waits[number]

    @rule(share=st.floats(0, 1), crash=st.booleans())
    def journal(self, share: float, crash: bool) -> None:
        batches = list(self.hot.batches.values())[: int(len(self.hot.batches) * share)]
        if not batches:
            return
        upto = batches[-1].id.number
        self.card.journal(batches, (self.hot.spool_id, upto))
        for batch in batches:
            self.card_waits |= set(self.hot_waits.pop(batch.id.number))
        if crash:
            self.kill()
        else:
            self.hot.remove_upto(upto)

    @rule(pick=st.integers(0, 10))
    def acknowledge_one_of_the_journal(self, pick: int) -> None:
        batches = self.card.after(0, 1000)
        if batches:
            batch = batches[pick % len(batches)]
            self.card.remove([batch.id.number, 999_999_999])
            self.card_waits -= set(numbers_in([batch]))

    @rule()
    def merge(self) -> None:
        if self.card.small:
            self.card.small = PACK_MOST  # as if there were enough
            self.card.merge()

    @rule()
    def kill(self) -> None:
        self.card.abandon()
        self.hot.close()
        self.open()

    @rule()
    def close(self) -> None:
        self.card.close()
        self.hot.close()
        self.open()

    @rule(cut=st.integers(1, 200))
    def kill_in_the_middle_of_a_write(self, cut: int) -> None:
        """The last record is cut off; nobody was told of its batch yet."""
        before = (self.path / "hot").stat().st_size
        readings = [reading(self.next)]
        self.next += 1
        self.hot.add(plain_packs(readings), 0, T0 + self.next, held=False)
        after = (self.path / "hot").stat().st_size
        self.card.abandon()
        self.hot.close()
        with open(self.path / "hot", "r+b") as file:
            file.truncate(max(before, after - cut) if after > before else after)
        self.open()
        if self.hot.last_number in self.hot.batches and self.hot.last_number not in self.hot_waits:
            self.hot_waits[self.hot.last_number] = [self.next - 1]  # it was rewritten as a whole
            self.note([self.hot.batches[self.hot.last_number]])

    @rule()
    def power_cut_that_takes_only_the_hot_file(self) -> None:
        self.card.abandon()
        self.hot.close()
        self.boot += 1
        self.hot_waits.clear()
        self.open()

    @rule(after=st.integers(0, 12), limit=st.integers(1, 5))
    def a_page_is_a_part_of_the_list(self, after: int, limit: int) -> None:
        every = self.card.after(0, 1000)
        assert self.card.after(after, limit) == [b for b in every if b.id.number > after][:limit]

    @invariant()
    def the_files_are_the_lists(self) -> None:
        if not hasattr(self, "card"):
            return
        in_hot = {n: numbers_in([b]) for n, b in self.hot.batches.items()}
        assert in_hot == self.hot_waits
        on_card = self.card.after(0, 1000)
        self.note(on_card)
        assert numbers_in(on_card) == sorted(self.card_waits)
        assert (self.card.batches, self.card.readings) == (len(on_card), len(self.card_waits))

    def teardown(self) -> None:
        if hasattr(self, "card"):
            self.card.abandon()
            self.hot.close()
            self.folder.cleanup()


TestTwoFiles = TwoFiles.TestCase
TestTwoFiles.settings = settings(max_examples=often(30), stateful_step_count=25, deadline=None)
