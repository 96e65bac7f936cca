"""The schedule of a whole bus, played through in simulated time: no drift, no bursts, dead devices within budget."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.schedule import (
    LONGEST_NS,
    PROBE_SHARE,
    ProbeBudget,
    after_answer,
    after_silence,
    first_slot,
    most_urgent,
)
from tests.often import often

MS = 1_000_000
S = 1000 * MS


@dataclass(frozen=True, slots=True)
class Played:
    """When each device's polls began, and the time that probes of silent ones took."""

    polls: list[list[int]]
    probing_ns: int
    probes_of_dead: list[list[int]]


def play(
    every: list[int], costs: list[int], dead: set[int], timeout: int, until: int, seed: int,
    stall: tuple[int, int] | None = None, shifts: list[int] | None = None,
) -> Played:  # fmt: skip
    """A bus as `gateway.bus` runs it. `stall` is (when, how long) the line is blocked once."""
    chance, now = random.Random(seed), 0
    slots = [first_slot(e, 0, s) for e, s in zip(every, shifts or [0] * len(every), strict=True)]
    budget, probing = ProbeBudget(), 0
    polls: list[list[int]] = [[] for _ in every]
    while now < until:
        index, due = most_urgent(slots, budget.free_ns)
        now = began = max(now, due)
        if stall and now >= stall[0]:
            now, stall = now + stall[1], None
        polls[index].append(began)
        was_silent = slots[index].silent
        if index in dead:
            now += timeout
            slots[index] = after_silence(slots[index], now, chance.random())
            if was_silent:
                probing += timeout
                budget = budget.spent(timeout, now)
        else:
            now += costs[index]
            slots[index] = after_answer(slots[index], now, began)
    return Played(polls, probing, [p for i, p in enumerate(polls) if i in dead])


periods = st.sampled_from([200 * MS, 500 * MS, S, 2 * S, 10 * S, 30 * S])


@given(st.lists(periods, min_size=1, max_size=12), st.integers(0, 10**6), st.booleans())
@settings(max_examples=often(60), deadline=None)
def test_a_bus_with_room_keeps_every_grid_without_drift(every: list[int], seed: int, shifted: bool) -> None:
    costs = [e // (2 * len(every)) if e == min(every) else min(every) // (2 * len(every)) for e in every]
    shifts = [i * costs[i] if shifted else 0 for i in range(len(every))]
    played = play(every, costs, set(), S, 120 * S, seed, shifts=shifts)
    for period, shift, begins in zip(every, shifts, played.polls, strict=True):
        assert abs(len(begins) - 120 * S / period) <= 2
        # Each stands behind a slot of the first one's grid, by no more than the turns of others.
        assert all((b - shift) % period <= min(every) // 2 for b in begins[2:])


@given(
    st.lists(periods, min_size=1, max_size=12),
    st.integers(0, 50 * S),
    st.integers(0, 60 * S),
    st.integers(1, 80),
    st.integers(0, 10**6),
)
@settings(max_examples=often(60), deadline=None)
def test_a_stall_or_an_overloaded_bus_is_never_followed_by_a_burst(
    every: list[int], at: int, length: int, cost_ms: int, seed: int
) -> None:
    played = play(every, [cost_ms * MS] * len(every), set(), S, 100 * S, seed, stall=(at, length))
    for period, begins in zip(every, played.polls, strict=True):
        assert all(b - a >= period // 2 for a, b in itertools.pairwise(begins))


@given(st.integers(1, 10), st.integers(1, 10), st.sampled_from([200 * MS, S, 3 * S]), st.integers(0, 10**6))
@settings(max_examples=often(30), deadline=None)
def test_dead_devices_cost_a_twentieth_of_the_bus_and_are_never_forgotten(
    living: int, dying: int, timeout: int, seed: int
) -> None:
    every = [S] * (living + dying)
    played = play(every, [20 * MS] * len(every), set(range(living, living + dying)), timeout, 3600 * S, seed)
    assert played.probing_ns <= 3600 * S // PROBE_SHARE + timeout
    longest_wait = max(LONGEST_NS * 11 // 10, dying * timeout * PROBE_SHARE) + 5 * timeout
    for begins in played.probes_of_dead:
        assert all(b - a <= longest_wait for a, b in itertools.pairwise(begins))


def test_sixteen_of_twenty_keep_99_percent_of_a_tight_cadence_while_four_are_dead() -> None:
    """42 ms a poll, each once a second: two thirds of the bus are in use, and a probe waits 1 s."""
    played = play([S] * 20, [42 * MS] * 20, {3, 8, 13, 18}, S, 600 * S, 1)
    for index in set(range(20)) - {3, 8, 13, 18}:
        assert len(played.polls[index]) >= 0.99 * 600
