"""How long one device is waited for."""

from __future__ import annotations

from gateway.patience import ENOUGH, Patience


def learned(*took_s: float) -> Patience:
    patience = Patience(1.0, 0.1)
    for took in took_s or [0.2] * ENOUGH:
        patience.heard(took)
    return patience


def test_a_device_is_waited_for_as_its_profile_says_until_it_has_answered_a_few_times() -> None:
    patience = Patience(1.0, 0.1)
    assert patience.timeout_s() == 1.0
    for _ in range(ENOUGH - 1):
        patience.heard(0.2)
    assert patience.timeout_s() == 1.0
    patience.heard(0.2)
    assert patience.timeout_s() == 0.4


def test_the_profile_bounds_it_from_above_and_the_line_from_below() -> None:
    assert learned(*[0.9] * ENOUGH).timeout_s() == 1.0
    assert learned(*[0.001] * ENOUGH).timeout_s() == 0.1


def test_one_slow_reply_in_a_hundred_is_forgotten_and_two_are_not() -> None:
    assert learned(0.45, *[0.2] * 119).timeout_s() == 0.4
    assert learned(0.45, 0.45, *[0.2] * 118).timeout_s() == 0.9


def test_a_device_that_became_slow_gets_its_whole_time_every_third_time() -> None:
    patience = learned()
    waits = []
    for _ in range(6):
        waits.append(patience.timeout_s())
        patience.missed()
    assert waits == [0.4, 1.0, 0.4, 0.4, 1.0, 0.4]
    patience.heard(0.3)
    assert patience.timeout_s() == 0.4


def test_one_that_was_never_heard_is_waited_for_like_its_neighbours_once_it_was_given_its_time() -> None:
    never, others = Patience(1.0, 0.1), [learned(), learned(*[0.1] * ENOUGH)]
    waits = []
    for _ in range(5):
        waits.append(never.timeout_s(others))
        never.missed()
    assert waits == [1.0, 1.0, 0.4, 0.4, 1.0]
    assert Patience(1.0, 0.1).timeout_s([Patience(1.0, 0.1)]) == 1.0
