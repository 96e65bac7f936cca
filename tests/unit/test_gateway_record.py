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


def test_two_polls_in_one_millisecond_are_two_readings(
    recorder: Recorder, clock: HandClock, kept: list[list[Reading]]
) -> None:
    first, second = Series("s", "d.a", "value"), Series("s", "d.b", "value")
    began = clock.now
    for number in range(3):
        recorder.record([(first, float(number)), (second, float(number))], {})
    clock.now += 1  # behind what was stamped: still later than the poll before
    recorder.record([(first, 3.0)], {})
    assert [r.time_ms - began for readings in kept for r in readings] == [0, 0, 1, 1, 2, 2, 3]


def test_a_clock_that_is_set_back_is_believed(
    recorder: Recorder, clock: HandClock, kept: list[list[Reading]]
) -> None:
    series = Series("s", "d", "value")
    recorder.record([(series, 1.0)], {})
    clock.now -= 3_600_000
    recorder.record([(series, 2.0)], {})
    assert kept[1][0].time_ms == clock.now


def test_two_polls_that_overlap_are_told_apart_by_what_both_have(
    recorder: Recorder, kept: list[list[Reading]]
) -> None:
    first, second = Series("s", "d.a", "value"), Series("s", "d.b", "value")
    recorder.record([(first, 1.0)], {})
    recorder.record([(second, 1.0), (first, 2.0)], {"d.b": "ok"})
    assert {r.time_ms for r in kept[1]} == {kept[0][0].time_ms + 1}  # its states too
