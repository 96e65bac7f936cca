"""States are recorded when they change, and said again before they are old."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest

from gateway.clock import Clock
from gateway.record import Recorder, worst
from makiba.reading import Reading, Series

MIN_MS = 60_000


class HandClock(Clock):
    now = 1_700_000_000_000

    def now_ms(self) -> int:
        return self.now


@pytest.fixture
def kept() -> list[list[Reading]]:
    return []


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def recorder(clock: HandClock, kept: list[list[Reading]]) -> Recorder:
    def keep(readings: Sequence[Reading]) -> None:
        kept.append(list(readings))

    return Recorder("s", clock, keep)


def test_a_poll_is_one_list_with_one_time(recorder: Recorder, kept: list[list[Reading]]) -> None:
    series = Series("s", "d", "value")
    recorder.record([(series, 1.0)], {"d": "ok"})
    assert [(str(r.series), r.value) for r in kept[0]] == [("s/d/value", 1.0), ("s/d/state", "ok")]
    assert len({r.time_ms for r in kept[0]}) == 1


def test_a_state_is_recorded_on_change_only(recorder: Recorder, kept: list[list[Reading]]) -> None:
    for state in ("ok", "ok", "timeout", "timeout", "ok"):
        recorder.record((), {"d": state})
    assert [r.value for readings in kept for r in readings] == ["ok", "timeout", "ok"]


def test_a_state_is_said_again_within_ten_minutes(
    recorder: Recorder, clock: HandClock, kept: list[list[Reading]]
) -> None:
    recorder.record((), {"d": "ok"})
    times = [clock.now]
    for _ in range(30):
        clock.now += MIN_MS
        before = len(kept)
        recorder.say_again()
        times += [clock.now] * (len(kept) - before)
    assert len(times) > 2
    assert max(b - a for a, b in itertools.pairwise(times)) <= 10 * MIN_MS


def test_the_worst_state_wins() -> None:
    assert worst(["ok", "sentinel", "timeout", "exception-2"]) == "timeout"
    assert worst(["ok", "exception-2", "out-of-range"]) == "exception-2"
    assert worst([]) == "ok"
