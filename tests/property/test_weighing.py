"""Pairing: the rules of `gateway/weighing.py` as examples, and what holds whatever animals, readers and scales do."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.scale import Weight
from gateway.weighing import Judged, Rules, State, interrupt, take_tag, take_weight

A, B = "982000001088420", "982000001088421"
RULES = Rules()

Event = tuple[float, str | Weight | None]
"""When, and what: a tag, a weight, or None for an interruption."""


def play(events: list[Event], rules: Rules = RULES) -> list[Judged]:
    state, ended = State(), []
    for now_s, what in events:
        judged: Judged | None = None
        if what is None:
            state, judged = interrupt(state, now_s)
        elif isinstance(what, str):
            state = take_tag(state, what, now_s, rules)
        else:
            state, judged = take_weight(state, what, now_s, rules)
        ended += [judged] if judged else []
    return ended


def stable(kg: float) -> Weight:
    return Weight("ok", kg)


def moving(kg: float) -> Weight:
    return Weight("unstable", kg)


ZERO = stable(0.0)
OVER = Weight("overload")


def story(*steps: str | Weight | float | None) -> list[Event]:
    """Steps half a second apart; a number lets so many seconds pass."""
    events: list[Event] = []
    now_s = 100.0
    for step in steps:
        if isinstance(step, (int, float)):
            now_s += step
        else:
            events.append((now_s, step))
            now_s += 0.5
    return events


def results(*steps: str | Weight | float | None) -> list[tuple[str, float | None]]:
    return [(j.result, j.kg) for j in play(story(*steps))]


UP = [moving(40.0), moving(90.0), stable(123.4), stable(123.5), stable(123.4)]
DOWN = [moving(60.0), ZERO, ZERO]


def test_a_tag_and_a_plateau_are_a_body_weight_with_the_time_of_the_plateau() -> None:
    (judged,) = play(story(A, *UP, 30, *DOWN))
    assert judged == Judged("ok", (A,), 123.4, 102.5)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([*UP, A, *DOWN], [("ok", 123.4)]),  # the tag comes while it stands there
        ([A, 15, *UP, *DOWN], [("ok", 123.4)]),
        ([A, 25, *UP, *DOWN], [("no-tag", 123.4)]),  # too long before
        ([B, 25, *UP, A, *DOWN], [("ok", 123.4)]),  # one that only passed by, long ago
        ([*UP, 30, A, *DOWN], [("no-tag", 123.4)]),  # too long after the plateau
        ([*UP, *DOWN, A], [("no-tag", 123.4)]),  # after the load: the next one's
        ([*UP, *DOWN, A, *UP, *DOWN], [("no-tag", 123.4), ("ok", 123.4)]),
        ([A, B, *UP, *DOWN], [("two-tags", 123.4)]),
        ([A, *UP, B, *DOWN], [("two-tags", 123.4)]),
        ([A, *UP, 300, B, *DOWN], [("two-tags", 123.4)]),  # however late
        ([A, *UP, A, A, *DOWN], [("ok", 123.4)]),  # one tag many times is one
        ([A, moving(120.0), moving(121.0), *DOWN], [("no-stable-weight", None)]),
        ([A, stable(120.0), moving(121.0), stable(120.0), *DOWN], [("no-stable-weight", None)]),
        ([A, stable(120.0), stable(123.0), stable(126.0), *DOWN], [("no-stable-weight", None)]),
        ([A, *UP, OVER, *DOWN], [("overload", 123.4)]),
        ([A, OVER, *DOWN], [("overload", None)]),
        ([A, stable(7.0), stable(7.0), stable(7.0), *DOWN], [("too-light", 7.0)]),
        # the longest plateau wins: first only the forelegs
        ([A, *[stable(55.0)] * 3, *[stable(123.4)] * 5, *[stable(60.0)] * 4, *DOWN], [("ok", 123.4)]),
        # a tare says nothing, and one line at zero is no end
        ([A, *UP, Weight("ok", 0.0, False), Weight("ok", 0.0, False), *DOWN], [("ok", 123.4)]),
        ([A, *UP[:4], ZERO, *UP, *DOWN], [("ok", 123.4)]),
        # twice without a still zero between is once; with one, twice
        ([A, *UP, moving(0.0), moving(1.0), A, *UP, *DOWN], [("ok", 123.4), ("duplicate", 123.4)]),
        ([A, *UP, *DOWN, 21, A, *UP, *DOWN], [("ok", 123.4), ("ok", 123.4)]),
        ([A, *UP, moving(0.0), moving(1.0), 601, A, *UP, *DOWN], [("ok", 123.4), ("ok", 123.4)]),
        # the one that goes is read again and does not spoil the next one's weight
        ([A, *UP, *DOWN, A, B, *UP, *DOWN], [("ok", 123.4), ("ok", 123.4)]),
        ([A, *UP, None, ZERO, ZERO], [("interrupted", None)]),
        ([A, None, *UP, *DOWN], [("no-tag", 123.4)]),
    ],
)
def test_the_rules(steps: list[str | Weight | float | None], expected: list[tuple[str, float | None]]) -> None:
    assert results(*steps) == expected


WHAT = st.one_of(
    st.sampled_from([A, B, "951000001088420", None]),
    st.builds(
        Weight,
        st.sampled_from(["ok", "ok", "ok", "unstable"]),
        st.sampled_from([0.0, 0.0, 3.0, 60.0, 123.4, 123.6, 140.0]),
        st.sampled_from([True, True, True, False]),
    ),
    st.sampled_from([OVER, Weight("not-ready"), Weight("invalid")]),
)
EVENTS = st.lists(st.tuples(st.sampled_from([0.1, 0.5, 5.0, 30.0, 700.0]), WHAT), max_size=60)


def timed(steps: list[tuple[float, str | Weight | None]]) -> list[Event]:
    events: list[Event] = []
    now_s = 1000.0
    for after_s, what in steps:
        now_s += after_s
        events.append((now_s, what))
    return events


@given(EVENTS)
def test_a_body_weight_was_stable_seen_often_enough_and_has_one_tag_near_it(
    steps: list[tuple[float, str | Weight | None]],
) -> None:
    events = timed(steps)
    for judged in play(events):
        if judged.result != "ok":
            continue
        (tag,) = judged.tags
        assert judged.kg is not None
        assert judged.kg >= RULES.least_kg
        assert any(w == stable(judged.kg) and t == judged.at_s for t, w in events)
        assert any(w == tag and abs(t - judged.at_s) <= RULES.window_s + 700 * len(steps) for t, w in events)


@given(EVENTS)
def test_an_animal_is_never_weighed_twice_in_one_load(steps: list[tuple[float, str | Weight | None]]) -> None:
    """Each judgement needs two zeros of its own, or an interruption."""
    events = timed(steps)
    ended = play(events)
    zeros = sum(isinstance(w, Weight) and w.is_load and w.kg is not None and w.kg <= RULES.zero_kg for _, w in events)
    interruptions = sum(w is None for _, w in events)
    assert len(ended) <= zeros // 2 + interruptions


@given(EVENTS, st.integers(0, 60))
def test_a_second_tag_while_something_stands_there_never_leaves_a_weight(
    steps: list[tuple[float, str | Weight | None]], place: int
) -> None:
    """Any story, then a load in which two tags are read: no animal gets it."""
    state, now_s = State(), 0.0
    for now_s, what in timed(steps[:place]):
        if what is None:
            state, _ = interrupt(state, now_s)
        elif isinstance(what, str):
            state = take_tag(state, what, now_s, RULES)
        else:
            state, _ = take_weight(state, what, now_s, RULES)
    ended: list[Judged] = []
    load: list[str | Weight] = [stable(120.0), "392000000000001", *[stable(120.0)] * 5, "392000000000002", ZERO, ZERO]
    for step in load:
        now_s += 0.5
        if isinstance(step, str):
            state = take_tag(state, step, now_s, RULES)
        else:
            state, judged = take_weight(state, step, now_s, RULES)
            ended += [judged] if judged else []
    assert [j.result for j in ended] == ["two-tags"]


@given(EVENTS)
def test_what_is_remembered_is_bounded(steps: list[tuple[float, str | Weight | None]]) -> None:
    state = State()
    for now_s, step in timed(steps):
        if isinstance(step, str):
            state = take_tag(state, step, now_s, replace(RULES, window_s=1e9))
        elif step is not None:
            state, _ = take_weight(state, step, now_s, RULES)
        assert len(state.tags) <= 4
        assert len({c.code for c in state.counted}) == len(state.counted)
