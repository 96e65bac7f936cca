"""How often somebody may try to sign in."""

from __future__ import annotations

from api import attempts
from api.attempts import FREE_FAILURES, LONGEST_WAIT_MS, Attempts

T = 1_700_000_000_000


def test_the_first_failures_are_free_and_then_each_costs_more() -> None:
    tries, now_ms, waits = Attempts(), T, []
    for _ in range(FREE_FAILURES + 4):
        wait = tries.begin("k", now_ms)
        waits.append(wait)
        if wait:
            assert tries.begin("k", now_ms + wait - 1) == 1  # trying early neither helps nor costs
            now_ms += wait
            assert tries.begin("k", now_ms) == 0
    assert waits[:FREE_FAILURES] == [0] * FREE_FAILURES
    assert waits[FREE_FAILURES:] == [2_000, 4_000, 8_000, 16_000]


def test_the_wait_has_an_end_and_success_or_time_forgets() -> None:
    tries, now_ms = Attempts(), T
    for _ in range(60):
        now_ms += tries.begin("k", now_ms)
        tries.begin("k", now_ms)
    assert tries.begin("k", now_ms) == LONGEST_WAIT_MS
    assert tries.begin("other", now_ms) == 0
    assert tries.begin("k", now_ms + attempts.FORGET_AFTER_MS) == 0
    tries.succeeded("k")
    assert [tries.begin("k", now_ms) for _ in range(FREE_FAILURES)] == [0] * FREE_FAILURES


def test_what_is_remembered_is_bounded() -> None:
    tries = Attempts()
    for n in range(attempts.MAX_KEYS + 10):
        tries.begin(f"k{n}", T)
    assert len(tries._failures) == attempts.MAX_KEYS
