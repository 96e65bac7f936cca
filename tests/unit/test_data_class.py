"""Of which class of data a series is: every quantity in every kind of place, and what follows for one viewer."""

from __future__ import annotations

import itertools
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.out.stretches import seen_windows
from collectors.registry.sight import ALWAYS, WHOLE, FarmSight, Stood
from collectors.registry.site_file import PlaceKind
from collectors.registry.viewer import INSIDERS, MAY, NEEDS, OUTSIDERS, ROLE_NAMES, Role
from makiba.data_class import (
    BY_GROUP,
    BY_PLACE,
    BY_QUANTITY,
    DATA_CLASSES,
    NAMES,
    OF_TANK_OR_COW,
    DataClass,
    classes_of,
)
from makiba.quantities import catalogue

KINDS: tuple[str, ...] = get_args(PlaceKind)
NO_CLASS: frozenset[DataClass] = frozenset()


def test_every_kind_of_place_has_a_class_and_every_word_its_names() -> None:
    assert set(BY_PLACE) == set(KINDS)
    assert set(NAMES) == set(DATA_CLASSES)
    assert {*BY_QUANTITY, *OF_TANK_OR_COW} <= set(catalogue())
    assert set(BY_GROUP) <= {q.group for q in catalogue().values()}
    assert set(ROLE_NAMES) == set(get_args(Role)) == INSIDERS | OUTSIDERS


@pytest.mark.parametrize("quantity", catalogue())
def test_a_series_is_of_the_class_of_its_quantity_or_of_its_place(quantity: str) -> None:
    word = catalogue()[quantity]
    for kind in (*KINDS, "other", ""):
        here: set[str] = {BY_PLACE[kind]} if kind in BY_PLACE else set()
        expected: set[str]
        if quantity == "state":
            expected = here | {"technical"}
        elif quantity in ("milk_temperature", "milk_volume"):
            expected = {"tank"}
        elif word.group == "animal" and (quantity.startswith("milk_") or quantity == "somatic_cells"):
            of_cow = quantity in ("milk_yield", "milk_conductivity", "milk_conductivity_ratio")
            expected = {"tank"} if kind == "tank-room" and not of_cow else {"herd"}
        elif word.group == "animal" and quantity != "weight":
            expected = {"herd"}
        elif quantity == "fence_voltage":
            expected = {"field"}
        elif quantity == "vacuum":
            expected = {"barn"}
        elif word.group == "soil":
            expected = {"field"}
        elif word.group in ("gateway", "radio") or quantity in ("firmware", "model", "signal_quality"):
            expected = {"technical"}
        elif quantity == "weather_warnings":
            expected = {"weather"}
        else:
            expected = here
        assert classes_of(quantity, kind) == expected, (quantity, kind)
        assert "alerts" not in classes_of(quantity, kind)


def test_what_the_catalogue_does_not_know_is_the_farms_own() -> None:
    assert {classes_of("no_such_word", kind) for kind in (*KINDS, None)} == {NO_CLASS}


def test_nobody_from_outside_decides_about_a_farm() -> None:
    for action, roles in MAY.items():
        if roles & OUTSIDERS:
            assert action in NEEDS or action == "comment", action
    for action in ("consent", "grant roles", "invite", "export all", "delete farm", "see audit", "acknowledge"):
        assert not MAY[action] & OUTSIDERS


# -------------------------------------------------------------------------------------------------- value by value

times = st.integers(1_000, 1_000_000)


@st.composite
def stood(draw: st.DrawFn) -> tuple[Stood, ...]:
    """Where a subject stood, in order and never in two places."""
    ends = sorted(draw(st.sets(times, min_size=2, max_size=8)))
    pairs = [(a, b) for a, b in itertools.pairwise(ends) if draw(st.booleans())]
    return tuple(Stood(a, b, draw(st.sampled_from(KINDS))) for a, b in pairs)


@given(
    stood(), st.sampled_from(["air_temperature", "milk_fat", "milk_temperature", "state", "battery"]),
    st.sets(st.sampled_from(DATA_CLASSES)), st.lists(times, min_size=1),
)  # fmt: skip
def test_spans_hold_exactly_the_times_at_which_a_value_may_be_read(
    places: tuple[Stood, ...], quantity: str, classes: set[DataClass], at: list[int]
) -> None:
    sight = FarmSight(frozenset(classes), False, {"s-1": places})
    spans = sight.spans("s-1", quantity)
    for time_ms in at + [t for p in places for t in (p.from_ms, p.to_ms, p.to_ms - 1)]:
        assert any(a <= time_ms < b for a, b in spans) == sight.may_read("s-1", quantity, time_ms)
    assert list(spans) == sorted(spans)
    assert all(b < c for (_, b), (c, _) in itertools.pairwise(spans))
    assert bool(spans) == bool(sight.classes_of("s-1", quantity))


@given(
    st.lists(times, min_size=2, max_size=9, unique=True), times, st.integers(1, 400_000), st.integers(1, 5_000),
    st.integers(-5_000, 5_000),
)  # fmt: skip
def test_no_window_of_a_chart_touches_a_time_that_is_not_to_be_seen(
    edges: list[int], start: int, length: int, width: int, offset: int
) -> None:
    ends = sorted(edges)
    spans = list(zip(ends[::2], ends[1::2], strict=False))
    end = start + length
    asked = list(seen_windows(spans, start, end, width, offset))
    for first, last in asked:
        assert start <= first < last <= end
        # Every window that [first, last) touches lies within one span, whole.
        low = (first - offset) // width * width + offset
        high = -(-(last - offset) // width) * width + offset
        assert any(a <= low and high <= b for a, b in spans)
    assert list(seen_windows([ALWAYS], start, end, width, offset)) == [(start, end)]
    seen = [t for first, last in asked for t in (first, last)]
    assert seen == sorted(seen)


def test_the_farms_own_people_see_everything_whatever_stands_where() -> None:
    assert WHOLE.may_read("anything", "no_such_word", 0)
    assert WHOLE.spans("anything", "no_such_word") == (ALWAYS,)
