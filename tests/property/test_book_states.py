"""The life of an alert, and what a rule is worth: what holds whatever comes in which order."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.book_states import (
    Acknowledge,
    AlertState,
    Assign,
    Comment,
    Event,
    Feedback,
    Label,
    Refused,
    Snooze,
    Wake,
    step,
)
from analytics.decision import Decision
from analytics.precision import Counts, count, is_demoted, wakes, wilson_low, worth
from makiba.rule import SEVERITIES

PERSON = st.integers(1, 3)
LABEL = st.sampled_from(("useful", "false", "knew"))
DECISIONS = st.builds(
    Decision, st.sampled_from(("open", "worsen", "seen", "end")), st.just("farm"), st.just("tank.hold"),
    st.just("tank-1"), st.just(0), st.integers(0, 40), st.sampled_from(SEVERITIES),
    children=st.lists(st.sampled_from("abc"), unique=True, max_size=3).map(tuple), by_hand=st.booleans(),
)  # fmt: skip
EVENTS: st.SearchStrategy[Event] = st.one_of(
    DECISIONS, st.builds(Acknowledge, PERSON), st.builds(Snooze, st.integers(0, 60), st.booleans()),
    st.just(Wake()), st.builds(Assign, PERSON | st.none()), st.builds(Feedback, PERSON, LABEL | st.none()),
)  # fmt: skip


def lived(events: list[Event]) -> list[tuple[AlertState | None, Event, AlertState | None, list[str], int]]:
    """Each event with the alert before and after it; what is refused is left out. The clock goes up by one each."""
    alert: AlertState | None = None
    found = []
    for now_ms, event in enumerate(events):
        try:
            after, steps = step(alert, event, now_ms)
        except Refused:
            continue
        found.append((alert, event, after, [s.kind for s in steps], now_ms))
        alert = after
    return found


@given(st.lists(EVENTS, max_size=25))
def test_no_step_without_a_change_and_no_change_of_state_without_a_step(events: list[Event]) -> None:
    for before, event, after, steps, _ in lived(events):
        if not steps:
            assert (before and before.state) == (after and after.state), event
            assert (
                not (before and after)
                or replace(
                    after,
                    seen_ms=before.seen_ms,
                    place=before.place,
                    signals=before.signals,
                    children=before.children,
                )
                == before
            )
        elif before and after:
            assert before != after, event


@given(st.lists(EVENTS, max_size=25))
def test_whatever_is_said_twice_is_done_once(events: list[Event]) -> None:
    for _, event, after, _, now_ms in lived(events):
        try:
            again, steps = step(after, event, now_ms)
        except Refused:
            continue
        if isinstance(event, Decision):
            # An end that is said twice may meet a by-hand alert: `seen` and `open` after it are other events.
            assert [s.kind for s in steps if s.kind not in ("over", "ended")] == [], event
        else:
            assert (again, steps) == (after, ()), event


@given(st.lists(EVENTS, max_size=25))
def test_severity_falls_only_when_it_begins_anew(events: list[Event]) -> None:
    for before, event, after, steps, _ in lived(events):
        if before and after and SEVERITIES.index(after.severity) < SEVERITIES.index(before.severity):
            assert steps == ["reopened"], event


@given(st.lists(EVENTS, max_size=25))
def test_what_got_worse_or_came_back_is_nobodys_and_whose_it_is_to_do_stays(events: list[Event]) -> None:
    for before, event, after, steps, _ in lived(events):
        if after and set(steps) & {"worsened", "again", "reopened", "woke", "opened"}:
            assert after.state == "open", event
        if after and "over" in steps:
            assert after.state == "over"
        if before and after and not isinstance(event, Assign):
            assert after.assigned_to == before.assigned_to


@given(st.lists(EVENTS, max_size=25))
def test_an_alert_is_in_one_state_and_only_what_is_put_off_wakes(events: list[Event]) -> None:
    for before, event, after, steps, now_ms in lived(events):
        if after is None:
            continue
        assert not (after.acknowledged_ms is not None and after.snoozed_until_ms is not None)
        assert (after.acknowledged_ms is None) == (after.acknowledged_by is None)
        assert after.ended_ms is None or (after.ended_ms >= after.onset_ms and after.snoozed_until_ms is None)
        if isinstance(event, Wake):
            due = before is not None and before.state == "snoozed" and (before.snoozed_until_ms or 0) <= now_ms
            assert bool(steps) == due


def test_what_is_about_life_and_what_is_over_cannot_be_put_off() -> None:
    alert = AlertState("warning", 0, 0, 0)
    for state, event in (
        (alert, Snooze(5, True)), (replace(alert, over_ms=1), Snooze(5)), (replace(alert, ended_ms=1), Snooze(5)),
        (alert, Snooze(1)), (alert, Snooze(8 * 86_400_000)),
        (replace(alert, severity="critical"), Snooze(3 * 3_600_000)), (replace(alert, ended_ms=1), Assign(1)),
        (None, Comment("c")),
    ):  # fmt: skip
        with pytest.raises(Refused):
            step(state, event, 1)


@pytest.mark.parametrize(
    ("hits", "of", "low"),
    # Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 3: the score method without correction.
    [(81, 263, 0.2553), (15, 148, 0.0624), (0, 20, 0.0), (1, 29, 0.0061)],
)
def test_the_lower_bound_is_that_of_the_published_tables(hits: int, of: int, low: float) -> None:
    assert wilson_low(hits, of) == pytest.approx(low, abs=0.00005)


COUNTS = st.builds(Counts, st.integers(0, 60), st.integers(0, 60), st.integers(0, 60))


@given(COUNTS)
def test_the_bound_is_below_the_share_and_rises_with_each_useful_alert(counts: Counts) -> None:
    assert 0 <= counts.low <= (counts.useful / counts.judged if counts.judged else 0) + 1e-12
    assert replace(counts, useful=counts.useful + 1).low >= counts.low
    assert replace(counts, wrong=counts.wrong + 1).low <= counts.low
    assert math.isfinite(counts.low)


@given(COUNTS, st.sampled_from(("by-labels", "wakes", "morning")))
def test_life_is_never_demoted_and_few_labels_demote_nobody(counts: Counts, mode: str) -> None:
    assert not is_demoted(counts, mode, is_vital=True)  # type: ignore[arg-type]
    if counts.judged < 8:
        assert not is_demoted(counts, "by-labels", is_vital=False)
    assert not is_demoted(counts, "wakes", is_vital=False)
    assert is_demoted(counts, "morning", is_vital=False)
    assert wakes("critical", is_demoted=True)


@given(COUNTS, st.integers(0, 20), st.integers(0, 20))
def test_better_labels_never_demote_and_what_was_known_says_nothing(counts: Counts, more: int, knew: int) -> None:
    demoted = is_demoted(counts, "by-labels", is_vital=False)
    better = replace(counts, useful=counts.useful + more, knew=counts.knew + knew)
    if not demoted and counts.judged >= 8:
        assert not is_demoted(better, "by-labels", is_vital=False)
    assert is_demoted(replace(counts, knew=counts.knew + knew), "by-labels", is_vital=False) == demoted


@given(st.lists(st.lists(LABEL, max_size=4), max_size=30))
def test_one_alert_is_one_vote(labels: list[list[Label]]) -> None:
    counts = count(labels)
    assert counts.judged + counts.knew == sum(bool(said) for said in labels)
    assert counts.useful == sum("useful" in said for said in labels)
    assert counts == count([list(reversed(said)) * 2 for said in labels])
    assert [worth(said) for said in labels].count("knew") == counts.knew
