"""The delivery protocol against everything that may go wrong, in any order: sampled is stored, once, unaltered.

After every step: what the gateway does not hold any more is in the store, but for what a power cut may take. Once the
faults end the spool empties, and the store holds what was sampled and nothing else. See tests/chaos/faulty_world.py
for what is real here; tests/chaos/town.py is the same with real processes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from collectors.ingest import Pack
from collectors.registry import Registry
from makiba.reading import Reading, Series, Value
from makiba.wire import BatchId
from tests.chaos.faulty_world import FORCE_EVERY_S, Collector, Gateway, HurtStore, Key, Machine, pack_of
from tests.often import often
from tests.service.collecting import GATEWAY, SITE, farm, registry_with

SERIES = (
    Series(SITE, "tank-1", "milk_temperature"),
    Series(SITE, "meter-1", "energy"),
    Series(SITE, "tank-1", "state"),
)
CLOCK_OFF_S = (-7200, -30, -1, 0, 1, 600, 5000)
FAULTS = (
    "kill", "kill, writing", "kill, between files", "kill collector", "power", "power", "clock", "clock", "merge",
    "packs", "answers", "broker", "link",
)  # fmt: skip
FATES = ("well", "well", "away", "part", "dies", "dead")


class Delivery(RuleBasedStateMachine):
    registry: Registry

    @initialize()
    def begin(self) -> None:
        memory = Path("/dev/shm")
        self.folder = tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)
        path = Path(self.folder.name)
        self.machine = Machine()
        self.gateway = Gateway(path, self.machine)
        self.collectors = [Collector(self.registry, HurtStore(path / "store.db")) for _ in range(2)]
        self.packs: list[Pack] = []
        self.answers: list[bytes] = []
        self.sampled: dict[Key, Value] = {}
        self.may_lack: set[Key] = set()
        self.before_cut: frozenset[Key] = frozenset()
        self.given: dict[BatchId, bytes] = {}
        self.count = self.newest_ms = 0

    # ------------------------------------------------------------------------------------------ the gateway

    @rule(values=st.integers(1, 4))
    def sample(self, values: int) -> None:
        now_ms = self.gateway.now_ms()
        assert now_ms > self.newest_ms, "time ran backwards"
        self.newest_ms = now_ms
        readings = []
        for series in SERIES[:values]:
            self.count += 1
            value: Value = f"ok {self.count}" if series.quantity == "state" else float(self.count) / 10
            readings.append(Reading(series, now_ms, value))
        # Over a power cut and a clock that was set back a time may come twice: no one could tell.
        if not any((r.series, r.time_ms) in self.before_cut for r in readings):
            for reading in readings:
                self.sampled[reading.series, reading.time_ms] = reading.value
            self.gateway.sample(readings)
        self.pass_time(25)  # no device is asked sooner again

    @rule(milliseconds=st.sampled_from((1, 40, 700, 3000, 9000, 11000)))
    def pass_time(self, milliseconds: int) -> None:
        """In steps as small as the gateway's own, so that what is due is done when it is due."""
        while milliseconds > 0:
            self.machine.mono_ns += min(milliseconds, 500) * 1_000_000
            milliseconds -= 500
            self.gateway.now_ms()
            self.gateway.force()

    @rule(most=st.integers(1, 20))
    def publish(self, most: int) -> None:
        if not self.gateway.is_connected:
            self.gateway.connect()
        for _ in range(most):
            batch = self.gateway.publish()
            if batch is None:
                return
            assert self.given.setdefault(batch.id, batch.pack) == batch.pack, "one number for two packs"
            self.packs.append(pack_of(GATEWAY, batch, self.machine.true_ms))
            self.pass_time(25)

    def kill_gateway_between_its_files(self) -> None:
        self.machine.mono_ns += 9_000_000_000
        self.gateway.force(crash=True)

    def cut_power(self, keeps_removals: bool) -> None:
        assert self.gateway.oldest_age_s() <= FORCE_EVERY_S, "older than the interval, and not on the card"
        self.may_lack.update(self.gateway.cut_power(keeps_removals=keeps_removals))
        self.before_cut, self.newest_ms = frozenset(self.sampled), 0
        self.machine.mono_ns += 1_000_000

    # ------------------------------------------------------------------------------------------ on the way

    @rule(pick=st.integers(0, 1000), copies=st.sampled_from((1, 1, 2, 0)), to=st.integers(0, 1), stays=st.booleans(),
          most=st.integers(1, 20))  # fmt: skip
    def deliver(self, pick: int, copies: int, to: int, stays: bool, most: int) -> None:
        """Any of what is under way, never, once or twice, to either collector; `stays`: it comes again later."""
        for _ in range(min(most, len(self.packs))):
            place = pick % len(self.packs)
            pack = self.packs[place] if stays else self.packs.pop(place)
            self.collectors[to].inbox += [pack] * copies

    @rule(pick=st.integers(0, 1000), stays=st.booleans(), most=st.integers(1, 20))
    def answer(self, pick: int, stays: bool, most: int) -> None:
        """Answers arrive in any order; `stays`: they come again later, perhaps in another life of the gateway."""
        for _ in range(min(most, len(self.answers))):
            place = pick % len(self.answers)
            self.gateway.answered(self.answers[place] if stays else self.answers.pop(place))

    def broker_forgets(self) -> None:
        self.packs.clear()
        self.answers.clear()
        for collector in self.collectors:
            collector.inbox.clear()
        self.gateway.disconnect()

    @rule(most=st.integers(1, 20), to=st.integers(0, 1), fate=st.sampled_from(FATES), answers=st.booleans())
    def exchange(self, most: int, to: int, fate: str, answers: bool) -> None:
        """All at once: what may go goes, to a collector that fares as `fate` says."""
        self.publish(most)
        self.collectors[to].inbox += self.packs
        self.packs.clear()
        self.collect(to, fate, 1000)
        if answers:
            self.answer(0, stays=False, most=20)

    # ------------------------------------------------------------------------------------------ the centre

    @rule(who=st.integers(0, 1), fate=st.sampled_from(FATES), answers=st.sampled_from((1000, 1000, 0, 1)))
    def collect(self, who: int, fate: str, answers: int) -> None:
        self.collectors[who].work(fate, answers, self.answers.append)

    # ------------------------------------------------------------------------------------------ faults

    @rule(what=st.sampled_from(FAULTS), number=st.integers(0, 40))
    def fault(self, what: str, number: int) -> None:
        """One rule for all of them, so that between them there are enough steps in which something is done."""
        {
            "kill": self.gateway.kill,
            "kill, writing": lambda: self.gateway.kill(cut_off=number),
            "kill, between files": self.kill_gateway_between_its_files,
            "kill collector": self.collectors[number % 2].start,
            "power": lambda: self.cut_power(keeps_removals=bool(number % 2)),
            "clock": lambda: setattr(self.machine, "off_ns", CLOCK_OFF_S[number % len(CLOCK_OFF_S)] * 10**9),
            "merge": self.gateway.merge,
            "packs": self.packs.clear,
            "answers": self.answers.clear,
            "broker": self.broker_forgets,
            "link": self.gateway.disconnect,
        }[what]()

    # ------------------------------------------------------------------------------------------ what has to hold

    def stored(self) -> dict[Key, Value]:
        store = self.collectors[0].store.real
        return {(s, p.time_ms): p.value for s in SERIES for p in store.range(s, 0, 9_000_000_000_000)}

    @invariant()
    def what_the_gateway_does_not_hold_is_stored(self) -> None:
        if not hasattr(self, "gateway"):
            return
        stored = self.stored()
        altered = {key: value for key, value in stored.items() if self.sampled.get(key) != value}
        assert not altered, f"stored, and never sampled so: {altered}"
        lost = self.sampled.keys() - stored.keys() - self.gateway.waiting().keys() - self.may_lack
        assert not lost, f"neither stored nor waiting: {lost}"

    def teardown(self) -> None:
        if not hasattr(self, "gateway"):
            return
        try:
            self.end_of_faults()
        finally:
            self.gateway.close()
            for collector in self.collectors:
                collector.store.real.close()
            self.folder.cleanup()

    def end_of_faults(self) -> None:
        """Nothing goes wrong any more: the spool empties, and the store holds what was sampled."""
        self.gateway.disconnect()
        for _ in range(200):
            if not self.gateway.waiting():
                break
            self.publish(16)
            while self.packs:
                self.deliver(0, copies=1, to=0, stays=False, most=8)
            for collector in self.collectors:
                collector.work("well", 1_000_000, self.answers.append)
            while self.answers:
                self.answer(0, stays=False, most=8)
            self.pass_time(500)
        assert not self.gateway.waiting(), "the spool does not empty"
        self.what_the_gateway_does_not_hold_is_stored()


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    known = registry_with(tmp_path_factory.mktemp("registry"), farm())
    yield known
    known.close()


def test_what_is_sampled_is_stored_once_whatever_goes_wrong(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.hot.REWRITE_ABOVE", 400)  # so that the hot file is rewritten now and then
    machine = type("Delivery", (Delivery,), {"registry": registry})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=often(200), stateful_step_count=60, deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )  # fmt: skip
