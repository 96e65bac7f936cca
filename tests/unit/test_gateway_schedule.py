"""When a device is asked next."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.schedule import (
    LONGEST_NS,
    Slot,
    after_answer,
    after_noise,
    after_silence,
    first_slot,
    line_back_off_s,
    most_urgent,
    next_due,
)

S = 1_000_000_000
times = st.integers(0, 10**15)


@given(times, st.integers(1, 10**12), times)
def test_the_next_slot_is_the_first_after_now_on_the_grid(last: int, every: int, later: int) -> None:
    now = last + later
    due = next_due(last, every, now)
    assert now < due <= now + every
    assert (due - last) % every == 0


def test_a_slow_poll_skips_slots_and_does_not_catch_up() -> None:
    slot = after_answer(first_slot(S, 100 * S), 103 * S + 1)
    assert slot.due_ns == 104 * S


def test_a_silent_unit_is_asked_after_2_4_6_seconds_and_at_most_every_5_minutes() -> None:
    slot, now = first_slot(S // 5, 0), 0
    waits = []
    for _ in range(200):
        slot = after_silence(slot, now, 0.5)
        waits.append(slot.due_ns - now)
        now = slot.due_ns
    assert waits[:3] == [2 * S, 4 * S, 6 * S]
    assert waits[-1] == LONGEST_NS
    back = after_answer(slot, now + 1)
    assert back.failures == 0
    assert back.due_ns <= now + 1 + S // 5
    assert back.due_ns % (S // 5) == 0


@given(st.integers(1, 10**12), st.integers(0, 500), times, st.floats(0, 1))
def test_a_silent_unit_is_never_asked_within_its_longest_late_reply(
    every: int, failures: int, now: int, chance: float
) -> None:
    slot = after_silence(Slot(every, now, now, failures), now, chance)
    assert slot.due_ns - now >= 1.8 * S - 1


def test_noise_is_forgiven_twice() -> None:
    slot = first_slot(S, 0)
    for failures in (1, 2):
        slot = after_noise(slot, slot.due_ns, 0.5)
        assert (slot.failures, slot.due_ns) == (failures, failures * S)
    assert after_noise(slot, slot.due_ns, 0.5).due_ns == 2 * S + 6 * S


def test_the_longest_due_goes_first_and_healthy_before_silent() -> None:
    assert most_urgent([Slot(S, 0, 5), Slot(S, 0, 3), Slot(S, 0, 4)]) == (1, 3)
    assert most_urgent([Slot(S, 0, 3, failures=1), Slot(S, 0, 3)]) == (1, 3)


def test_silent_devices_wait_for_the_budget_only_while_somebody_answers() -> None:
    dead = Slot(S, 0, 3, failures=1, silent=True)
    assert most_urgent([dead, Slot(S, 0, 5)], probes_free_ns=4) == (0, 4)
    assert most_urgent([dead, Slot(S, 0, 5)], probes_free_ns=9) == (1, 5)
    assert most_urgent([dead, dead], probes_free_ns=9) == (0, 3)


def test_a_turn_that_came_late_is_made_up_for_once_and_half_a_period_later() -> None:
    slot = Slot(S, 100 * S, 100 * S)
    late = after_answer(slot, 101 * S + S // 10, began_ns=101 * S)
    assert (late.grid_ns, late.due_ns) == (101 * S, 101 * S + S // 2)
    assert after_answer(late, 101 * S + S * 6 // 10, began_ns=101 * S + S // 2).due_ns == 102 * S


def test_a_silent_unit_waits_for_a_reply_that_may_be_late() -> None:
    assert after_silence(Slot(S, 0, 0), S, 0.5, ready_ns=11 * S).due_ns == 11 * S
    assert after_noise(Slot(S, 0, 0), S, 0.5, ready_ns=11 * S).due_ns == 11 * S


def test_a_line_is_tried_again_within_20_seconds_for_ever() -> None:
    assert 0.5 < line_back_off_s(1, 0.0) < line_back_off_s(10_000, 1.0) < 20
