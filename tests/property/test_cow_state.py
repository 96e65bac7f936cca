"""What an animal is by its events, against a slow model, and what holds whatever happened to it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from makiba.cow import DAY_MS, HOUR_MS, CowState, Happened, cow_state, status_after, stays
from makiba.herd_event import (
    KIND_NAMES,
    KINDS,
    Abortion,
    Arrival,
    Calving,
    Death,
    Detail,
    DryOff,
    Heat,
    Insemination,
    Move,
    PregnancyCheck,
    Sale,
    Treatment,
    Weaning,
    parse_detail,
    spell_detail,
)

T0 = 1_700_000_000_000


def day(number: float) -> int:
    return T0 + round(number * DAY_MS)


details: st.SearchStrategy[Detail] = st.one_of(
    st.builds(Calving),
    st.builds(Abortion),
    st.builds(Heat),
    st.builds(DryOff),
    st.builds(Weaning),
    st.builds(Sale),
    st.builds(Death),
    st.builds(Arrival),
    st.builds(Insemination, result=st.sampled_from(["unknown", "pregnant", "empty"])),
    st.builds(
        PregnancyCheck,
        result=st.sampled_from(["pregnant", "empty", "unsure"]),
        days=st.none() | st.integers(1, 290),
    ),
    st.builds(Move, group=st.none() | st.sampled_from(["a", "b"])),
    st.builds(
        Treatment,
        drug=st.just("x"),
        milk_withdrawal_h=st.none() | st.integers(0, 200).map(float),
        meat_withdrawal_h=st.none() | st.integers(0, 200).map(float),
    ),
)
histories = st.lists(st.builds(Happened, st.integers(0, 1500).map(day), details), max_size=25)


def at(events: list[Happened], when: float, breed: str = "") -> CowState:
    return cow_state(events, day(when), breed)


# ------------------------------------------------------------------------------------------------ whatever happened


@given(histories, st.integers(-10, 1600))
def test_what_holds_whatever_happened(events: list[Happened], when: int) -> None:
    state, now_ms = at(events, when), day(when)
    past = [e for e in events if e.at_ms <= now_ms]
    kinds = [e.detail.kind for e in past]
    assert state.lactating_since_ms is None or state.dry_since_ms is None
    assert (state.days_in_milk is None) == (state.lactating_since_ms is None)
    assert state.days_in_milk is None or state.days_in_milk >= 0
    assert state.calvings == kinds.count("calving")
    assert (state.expected_calving_ms is None) == (state.pregnant_since_ms is None)
    assert (state.status == "present") == (state.left_ms is None)
    assert state.status == "dead" or "death" not in kinds
    for until in (state.milk_withheld_until_ms, state.meat_withheld_until_ms):
        assert until is None or until > now_ms
    times = (state.calved_ms, state.lactating_since_ms, state.dry_since_ms, state.heat_ms, state.inseminated_ms)
    assert all(t is None or t in [e.at_ms for e in past] for t in times)


@given(st.permutations(range(12)), st.lists(details, min_size=12, max_size=12), st.integers(0, 13))
def test_the_order_in_which_they_were_entered_matters_only_within_a_moment(
    order: list[int], told: list[Detail], when: int
) -> None:
    events = [Happened(day(n), detail) for n, detail in enumerate(told)]
    shuffled = [events[n] for n in order]
    assert at(events, when) == at(shuffled, when)
    assert stays(events) == stays(shuffled)


@given(histories, st.integers(0, 1500))
def test_the_future_says_nothing_about_now(events: list[Happened], when: int) -> None:
    assert at(events, when) == at([e for e in events if e.at_ms <= day(when)], when)


@given(histories)
def test_stays_follow_each_other_and_are_what_a_slow_look_finds(events: list[Happened]) -> None:
    found = stays(events)
    for one, following in itertools.pairwise(found):
        assert one.to_ms is not None
        assert one.from_ms < one.to_ms <= following.from_ms
    moments = sorted({e.at_ms for e in events})
    for moment in moments:
        group, there, dead = None, True, False
        for e in sorted(events, key=lambda e: e.at_ms):
            if e.at_ms > moment:
                break
            kind = e.detail.kind
            if kind == "death":
                dead, there, group = True, False, None
            elif kind == "sale":
                there, group = False, None
            elif kind == "arrival":
                there = not dead
            elif isinstance(e.detail, Move) and there:
                group = e.detail.group
        inside = [s.group for s in found if s.from_ms <= moment and (s.to_ms is None or moment < s.to_ms)]
        assert inside == ([group] if group else [])


@given(details)
def test_a_detail_comes_back_from_json(detail: Detail) -> None:
    assert parse_detail(spell_detail(detail)) == detail


# --------------------------------------------------------------------------------------------------- a cow's year


YEAR = [
    Happened(day(0), Calving()),
    Happened(day(50), Heat()),
    Happened(day(71), Insemination(bull="JP5H54321")),
    Happened(day(92), Insemination(bull="JP5H54322")),
    Happened(day(130), PregnancyCheck(result="pregnant")),
    Happened(day(312), DryOff()),
    Happened(day(372), Calving()),
]


def test_a_cows_year() -> None:
    assert at(YEAR, -1) == CowState()
    milking = at(YEAR, 45.9)
    assert (milking.lactating_since_ms, milking.days_in_milk, milking.calvings) == (day(0), 45, 1)
    served = at(YEAR, 80)
    assert (served.inseminated_ms, served.pregnant_since_ms, served.heat_ms) == (day(71), None, day(50))
    pregnant = at(YEAR, 130)
    assert (pregnant.pregnant_since_ms, pregnant.expected_calving_ms) == (day(92), day(92 + 280))
    assert at(YEAR, 130, "japanese-black").expected_calving_ms == day(92 + 285)
    dry = at(YEAR, 320)
    assert (dry.dry_since_ms, dry.lactating_since_ms, dry.days_in_milk) == (day(312), None, None)
    again = at(YEAR, 372)
    assert (again.calvings, again.days_in_milk, again.dry_since_ms) == (2, 0, None)
    assert (again.pregnant_since_ms, again.inseminated_ms, again.expected_calving_ms) == (None, None, None)


@pytest.mark.parametrize(
    ("ended_by", "served"),
    [
        (PregnancyCheck(result="empty"), None),
        (Abortion(), None),
        (Insemination(), day(200)),
        (Insemination(result="empty"), None),
    ],
)
def test_what_ends_a_pregnancy(ended_by: Detail, served: int | None) -> None:
    state = at([*YEAR[:5], Happened(day(200), ended_by)], 201)
    assert (state.pregnant_since_ms, state.inseminated_ms) == (None, served)


def test_a_check_says_itself_how_long_and_an_unsure_one_says_nothing() -> None:
    events = [Happened(day(0), Calving()), Happened(day(60), Insemination())]
    days = [*events, Happened(day(100), PregnancyCheck(result="pregnant", days=35))]
    assert at(days, 100).pregnant_since_ms == day(65)
    unsure = [*events, Happened(day(100), PregnancyCheck(result="unsure"))]
    assert at(unsure, 100) == at(events, 100)
    # A bull that nobody saw: pregnant, and nobody knows since when.
    assert at([Happened(day(0), PregnancyCheck(result="pregnant"))], 1).pregnant_since_ms is None
    stale = [Happened(day(0), Insemination()), Happened(day(330), PregnancyCheck(result="pregnant"))]
    assert at(stale, 331).pregnant_since_ms is None


def test_milk_and_meat_are_withheld_until_the_last_of_all_treatments_says() -> None:
    long = Treatment(drug="a", milk_withdrawal_h=96.0, meat_withdrawal_h=480.0)
    short = Treatment(drug="b", last_ms=day(2), milk_withdrawal_h=36.0)
    events = [Happened(day(0), long), Happened(day(1), short)]
    state = at(events, 3)
    assert state.milk_withheld_until_ms == day(4)
    assert state.meat_withheld_until_ms == day(20)
    again = at([*events, Happened(day(3), short.model_copy(update={"last_ms": day(4)}))], 3)
    assert again.milk_withheld_until_ms == day(4) + 36 * HOUR_MS
    assert at(events, 4).milk_withheld_until_ms is None
    assert at(events, 19.9).meat_withheld_until_ms == day(20)
    # Nothing said is not zero: it neither begins nor ends anything.
    silent = Happened(day(3), Treatment(drug="c"))
    assert at([*events, silent], 3).milk_withheld_until_ms == day(4)


def test_who_is_dead_does_not_come_back_and_who_was_sold_may() -> None:
    sold = [Happened(day(0), Sale()), Happened(day(9), Arrival())]
    assert [at(sold, d).status for d in (-1, 0, 9)] == ["present", "sold", "present"]
    dead = [Happened(day(0), Death()), Happened(day(9), Arrival()), Happened(day(10), Sale())]
    assert at(dead, 20).left_ms == day(0)
    assert status_after(dead) == "dead"


def test_a_group_is_left_by_a_sale_and_not_entered_again_by_itself() -> None:
    events = [
        Happened(day(0), Move(group="a")),
        Happened(day(5), Move(group="a")),
        Happened(day(9), Sale()),
        Happened(day(10), Move(group="b")),
        Happened(day(20), Arrival()),
        Happened(day(21), Move(group="b")),
    ]
    assert [(s.group, s.from_ms, s.to_ms) for s in stays(events)] == [
        ("a", day(0), day(9)), ("b", day(21), None),
    ]  # fmt: skip


def test_of_two_moves_at_one_moment_the_later_entered_counts() -> None:
    events = [Happened(day(0), Move(group="a")), Happened(day(5), Move(group="b")), Happened(day(5), Move(group="a"))]
    assert [(s.group, s.from_ms, s.to_ms) for s in stays(events)] == [("a", day(0), None)]
    assert stays([*events[1:2], Happened(day(5), Sale())]) == []


def test_every_kind_has_a_name_and_a_detail_of_another_shape_is_refused() -> None:
    assert KIND_NAMES.keys() == set(KINDS)
    wrong: list[object] = [
        {"kind": "birthday"},
        {"kind": "weight"},
        {"kind": "weight", "weight_kg": float("nan")},
        {"kind": "heat", "bull": "x"},
        {"kind": "note\x00"},
        {"kind": "sale", "buyer": "a\x00b"},
        {"kind": "sale", "buyer": "\ud800"},
        {"kind": "treatment", "drug": "x", "milk_withdrawal_h": -1},
        "heat",
        None,
    ]
    for told in wrong:
        with pytest.raises(ValidationError):
            parse_detail(told)
