"""The spool's file against a list: what was committed and not removed is there, in order, after any crash."""

from __future__ import annotations

import tempfile
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.spool_file import NUMBERS_SKIPPED, SpoolFile


class SpoolModel(RuleBasedStateMachine):
    """The model: a list of (number, pack), and every number ever given out."""

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "spool.db"
        self.boot = 1
        self.file = SpoolFile(self.path, "boot-1")
        self.waiting: list[tuple[int, bytes]] = []
        self.given: set[int] = set()
        self.spool_id = self.file.spool_id

    @rule(
        packs=st.lists(st.binary(min_size=1, max_size=40), max_size=4), picks=st.sets(st.integers(0, 30), max_size=4)
    )
    def append_and_remove_in_one_commit(self, packs: list[bytes], picks: set[int]) -> None:
        remove = {self.waiting[i][0] for i in picks if i < len(self.waiting)} | {999_999_999}  # one is unknown
        added = self.file.apply([(pack, 1) for pack in packs], remove)
        numbers = [b.id.number for b in added]
        assert not self.given & set(numbers)
        assert numbers == sorted(numbers)
        self.given |= set(numbers)
        self.waiting = [(n, p) for n, p in self.waiting if n not in remove]
        self.waiting += list(zip(numbers, packs, strict=True))

    @rule()
    def crash_and_open_again(self) -> None:
        self.file.abandon()
        self.file = SpoolFile(self.path, f"boot-{self.boot}")

    @rule()
    def close_and_open_again(self) -> None:
        self.file.close()
        self.file = SpoolFile(self.path, f"boot-{self.boot}")

    @rule()
    def power_cut(self) -> None:
        last = self.file.last_number()
        self.file.abandon()
        self.boot += 1
        self.file = SpoolFile(self.path, f"boot-{self.boot}")
        assert self.file.last_number() == last + NUMBERS_SKIPPED

    @rule(after=st.integers(0, 12), limit=st.integers(1, 5))
    def a_page_is_a_part_of_the_list(self, after: int, limit: int) -> None:
        expected = [(n, p) for n, p in self.waiting if n > after][:limit]
        assert [(b.id.number, b.pack) for b in self.file.after(after, limit)] == expected

    @rule(least=st.integers(1, 200))
    def the_oldest_are_a_prefix(self, least: int) -> None:
        numbers, _ = self.file.oldest(least)
        assert numbers == [n for n, _ in self.waiting[: len(numbers)]]

    @invariant()
    def the_file_is_the_list(self) -> None:
        if hasattr(self, "file"):
            found = self.file.after(0, 1000)
            assert [(b.id.number, b.pack) for b in found] == self.waiting
            assert {b.id.spool for b in found} <= {self.spool_id}
            assert (self.file.batches, self.file.readings) == (len(self.waiting), len(self.waiting))

    def teardown(self) -> None:
        if hasattr(self, "file"):
            self.file.abandon()
            self.folder.cleanup()


TestSpoolModel = SpoolModel.TestCase
TestSpoolModel.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
