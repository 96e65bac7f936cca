"""UTC from the monotonic clock, over steps of the wall clock."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.clock import JUMP_BACK_NS, observe, start_map

S = 1_000_000_000
T0 = 1_700_000_000 * S


def test_a_step_forward_is_followed_at_once() -> None:
    clock = start_map(0, T0)
    clock, step = observe(clock, 5 * S, T0 + 100_000 * S)
    assert step == 99_995 * S
    assert clock.utc_ns(6 * S) == T0 + 100_001 * S


def test_a_step_back_is_absorbed_at_half_speed() -> None:
    clock = start_map(0, T0)
    clock, step = observe(clock, 10 * S, T0 + 4 * S)  # set back by 6 s
    assert step == -6 * S
    assert clock.utc_ns(10 * S) == T0 + 10 * S
    assert clock.utc_ns(14 * S) == T0 + 12 * S
    assert clock.utc_ns(22 * S) == T0 + 16 * S  # caught up: what the wall clock says
    assert clock.utc_ns(30 * S) == T0 + 24 * S


def test_a_step_back_of_more_than_an_hour_is_followed() -> None:
    clock = start_map(0, T0)
    clock, _ = observe(clock, S, T0 - JUMP_BACK_NS)
    assert clock.utc_ns(S) == T0 - JUMP_BACK_NS


@given(st.lists(st.tuples(st.integers(4, 100_000), st.integers(-1_000_000, 1_000_000)), max_size=30))
def test_two_polls_never_get_one_time_over_any_steps(steps_ms: list[tuple[int, int]]) -> None:
    clock, mono, wall, last = start_map(0, T0), 0, T0, T0 - 1
    for elapsed, step in ((e * 1_000_000, s * 1_000_000) for e, s in steps_ms):
        for part in (elapsed // 2, elapsed):
            now = clock.utc_ns(mono + part)
            assert now // 1_000_000 > last // 1_000_000
            last = now
        mono += elapsed
        wall += elapsed + step
        if last - wall <= JUMP_BACK_NS:
            clock, _ = observe(clock, mono, wall)
        else:
            wall -= step
