"""UTC from the monotonic clock: who is believed, over steps of the wall clock, kills, and boots without a clock."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.clock import (
    AHEAD_MS,
    BUILT_MS,
    COLLECTOR,
    JUMP_BACK_NS,
    SYNCHRONISED,
    UNKNOWN,
    WALL,
    Clock,
    Seen,
    follow_map,
    start_map,
    unset_readings,
)
from gateway.hot import ClockNote

S = 1_000_000_000
H_MS = 3_600_000
T0 = 1_800_000_000 * S
T0_MS = T0 // 1_000_000


@dataclass
class Board:
    """A gateway's clocks, driven by hand."""

    mono_ns: int = 5 * S
    wall_ns: int = T0
    is_synchronised: bool = False
    is_kept: bool = False
    shifts: list[tuple[int, ClockNote]] = field(default_factory=list)
    notes: list[ClockNote] = field(default_factory=list)

    def see(self) -> Seen:
        return Seen(self.mono_ns, self.wall_ns, self.is_synchronised, self.is_kept)

    def wait(self, seconds: float) -> None:
        self.mono_ns += round(seconds * S)
        self.wall_ns += round(seconds * S)

    def step(self, seconds: float) -> None:
        self.wall_ns += round(seconds * S)

    def clock(self, note: ClockNote = ClockNote(), newest_ms: int = 0, noted_ms: int = 0) -> Clock:  # noqa: B008
        clock = Clock(self.see)
        clock.on_known = lambda shift, n: self.shifts.append((shift, n))
        clock.on_note = self.notes.append
        clock.begin(note, newest_ms, noted_ms)
        return clock


# ---------------------------------------------------------------------------------------------- the map


def test_a_step_forward_is_followed_at_once() -> None:
    clock, step = follow_map(start_map(0, T0), 5 * S, T0 + 100_000 * S)
    assert step == 99_995 * S
    assert clock.utc_ns(6 * S) == T0 + 100_001 * S


def test_a_step_back_is_absorbed_at_half_speed() -> None:
    clock, step = follow_map(start_map(0, T0), 10 * S, T0 + 4 * S)  # set back by 6 s
    assert step == -6 * S
    assert clock.utc_ns(10 * S) == T0 + 10 * S
    assert clock.utc_ns(14 * S) == T0 + 12 * S
    assert clock.utc_ns(22 * S) == T0 + 16 * S  # caught up: the truth
    assert clock.utc_ns(30 * S) == T0 + 24 * S


def test_a_step_back_of_more_than_a_day_is_followed() -> None:
    clock, _ = follow_map(start_map(0, T0), S, T0 - JUMP_BACK_NS)
    assert clock.utc_ns(S) == T0 - JUMP_BACK_NS


@given(st.lists(st.tuples(st.integers(1, 3600), st.integers(-7200, 7200)), max_size=30))
def test_time_never_runs_backwards_nor_stands_over_steps_of_hours(story: list[tuple[int, int]]) -> None:
    mono, wall = 0, T0
    clock = start_map(mono, wall)
    before = clock.utc_ns(mono)
    for pass_s, step_s in story:
        mono, wall = mono + pass_s * S, wall + (pass_s + step_s) * S
        if clock.utc_ns(mono) - wall > JUMP_BACK_NS:
            return
        clock, _ = follow_map(clock, mono, wall)
        now = clock.utc_ns(mono)
        assert now > before
        assert clock.utc_ns(mono + 1_000_000) // 500_000 > now // 500_000
        before = now


# ---------------------------------------------------------------------------------------------- who is believed


def test_a_wall_clock_that_is_kept_right_is_believed_at_once() -> None:
    board = Board(is_synchronised=True)
    clock = board.clock()
    assert (clock.source, clock.now_ms()) == (SYNCHRONISED, T0_MS)


def test_a_clock_chip_is_believed_unless_it_is_before_what_is_past() -> None:
    assert Board(is_kept=True).clock().source == WALL
    assert Board(is_kept=True).clock(noted_ms=T0_MS + 1).source == UNKNOWN
    assert Board(is_kept=True, wall_ns=(BUILT_MS - 1) * 1_000_000).clock().source == UNKNOWN


def test_without_a_clock_time_is_provisional_beyond_everything_noted_and_shifted_when_it_is_known() -> None:
    board = Board(wall_ns=T0 - 500_000 * S)
    clock = board.clock(noted_ms=T0_MS)
    assert not clock.is_known
    assert clock.now_ms() == T0_MS + AHEAD_MS
    board.wait(60)
    given_ms = clock.now_ms()
    board.is_synchronised = True
    board.wall_ns = T0 + 7200 * S
    clock.follow()
    assert clock.now_ms() == T0_MS + 2 * H_MS
    [(shift_ms, note)] = board.shifts
    assert given_ms + shift_ms == T0_MS + 2 * H_MS  # what was stamped a moment ago is now
    assert note.utc_ms == T0_MS + 2 * H_MS - board.mono_ns // 1_000_000
    board.wait(1)
    clock.follow()
    assert len(board.shifts) == 1


def test_the_collectors_time_is_taken_when_nothing_better_is_there() -> None:
    board = Board(wall_ns=0)
    clock = board.clock()
    clock.hear(T0_MS, 2 * S)
    assert (clock.source, clock.now_ms()) == (COLLECTOR, T0_MS + 1000)  # half of the round trip later
    board.step(99_999)
    assert clock.follow() == 0, "a wall clock that nobody keeps is not followed"
    board.is_synchronised = True
    board.wall_ns = T0 + 30 * S
    clock.follow()
    assert clock.source == SYNCHRONISED


def test_a_step_by_hand_is_not_followed_once_the_time_was_kept_right() -> None:
    board = Board(is_synchronised=True)
    clock = board.clock()
    board.wait(10)
    board.is_synchronised = False  # the kernel forgets it at settimeofday
    board.step(-5 * 3600)
    assert clock.follow() == 0
    assert clock.now_ms() == T0_MS + 10_000
    board.wait(10)
    board.is_synchronised = True
    board.step(5 * 3600)
    assert clock.follow() == 0
    assert clock.now_ms() == T0_MS + 20_000


def test_a_chip_that_is_wrong_is_corrected_by_the_collector() -> None:
    board = Board(is_kept=True)
    clock = board.clock()
    assert clock.hear(T0_MS + 400, 0) == 0  # true enough
    assert clock.hear(T0_MS + H_MS, 0) == 3600 * S
    assert (clock.source, clock.now_ms()) == (COLLECTOR, T0_MS + H_MS)


@pytest.mark.parametrize("step_s", [-5 * 3600, 5 * 3600])
def test_a_kill_does_not_make_time_run_backwards(step_s: int) -> None:
    board = Board(is_kept=True)
    clock = board.clock()
    board.wait(10)
    newest_ms = clock.now_ms()
    board.step(step_s)
    board.wait(1)
    clock = board.clock(board.notes[-1] if board.notes[-1].utc_ms else board.shifts[-1][1], newest_ms)
    assert clock.now_ms() > newest_ms
    board.wait(10)
    clock.follow()
    assert clock.now_ms() > newest_ms + 4000


def test_a_kill_before_the_time_is_known_keeps_the_provisional_time() -> None:
    board = Board(wall_ns=0)
    clock = board.clock(noted_ms=T0_MS)
    board.wait(100)
    newest_ms = clock.now_ms()
    clock = board.clock(board.notes[-1], newest_ms, noted_ms=T0_MS)
    assert clock.now_ms() == newest_ms
    board.wait(1)
    clock.hear(T0_MS + 10 * H_MS, 0)
    [(shift_ms, _)] = board.shifts
    assert newest_ms + shift_ms == T0_MS + 10 * H_MS - 1000


def test_a_boot_that_never_knew_says_between_what_its_readings_lie() -> None:
    first, last, began = T0_MS + AHEAD_MS, T0_MS + AHEAD_MS + 50_000, T0_MS + 10 * H_MS
    state, over = unset_readings("s", "gw.clock", first, last, began)
    assert (state.time_ms, state.value) == (first, "unset 2027-01-15T08:00:00Z/2027-01-15T18:00:00Z")
    assert (over.time_ms, over.value) == (last + 1, "ok")
