"""Completeness against slow models: what should have come, the longest gap, and what explains it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.out.completeness import Standing, report
from collectors.out.coverage import (
    Pace,
    RecordedGap,
    cut,
    empty_runs,
    expected,
    joined,
    longest_gap,
    parse_gap,
    ratio,
    states_in,
    whole_windows,
)
from collectors.out.states import stretches
from collectors.store import open_store
from collectors.store.levels import DAY_MS, DAY_OFFSET_MS
from gateway.card import spell_gap
from gateway.spool_file import Gap
from makiba.reading import Columns, Series

T0 = 1_790_000_000_000 // DAY_MS * DAY_MS + DAY_OFFSET_MS
SPANS = st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)).map(lambda p: (min(p), max(p))), max_size=5)
PACES = st.lists(
    st.tuples(st.integers(0, 100), st.sampled_from([0, 1, 2, 5])), min_size=1, max_size=4, unique_by=lambda p: p[0]
)


@given(PACES, SPANS, st.one_of(st.none(), st.integers(0, 100)))
def test_what_should_have_come_is_the_sum_over_every_moment(
    drawn: list[tuple[int, int]], spans: list[tuple[int, int]], first: int | None
) -> None:
    steps = sorted(drawn)
    paces = [Pace(at * 1000, float(every)) for at, every in steps]
    got = expected(paces, [(a * 1000, b * 1000) for a, b in joined(spans)], None if first is None else first * 1000)
    total, assumed = 0.0, False
    for second in range(101):
        if not any(a <= second < b for a, b in spans):
            continue
        in_force = [every for at, every in steps if at <= second]
        if in_force:
            every = in_force[-1]
        elif first is not None and first <= second:
            every, assumed = steps[0][1], assumed or steps[0][1] > 0
        else:
            every = 0
        total += 1 / every if every else 0
    assert got.count is not None
    assert abs(got.count - total) < 1 + 1e-6
    assert got.basis == ("assumed" if assumed else "reported")


def test_without_a_pace_nothing_is_expected() -> None:
    assert expected([], [(0, 10)], 0).count is None
    assert ratio(3, None) is None
    assert ratio(7, 5) == 1.0


@given(st.lists(st.integers(0, 99), unique=True).map(sorted))
def test_the_longest_gap_is_no_shorter_than_any(times: list[int]) -> None:
    start, end = longest_gap(times, 0, 100)
    assert not [t for t in times if start < t < end]
    assert all(b - a <= end - start for a, b in pairwise([0, *times, 100]))


@given(st.lists(st.integers(0, 19), unique=True).map(sorted), st.integers(0, 30), st.integers(1, 69))
def test_empty_runs_are_the_moments_of_windows_without_a_reading(filled: list[int], start: int, length: int) -> None:
    end = start + length
    starts = [n * 5 for n in filled if n * 5 + 5 > start and n * 5 < end]
    runs = empty_runs(starts, start, end, 5)
    for at in range(start, end):
        assert any(a <= at < b for a, b in runs) == (at // 5 * 5 not in starts)


@given(SPANS)
def test_joined_and_cut_keep_the_moments(spans: list[tuple[int, int]]) -> None:
    for at in range(101):
        inside = any(a <= at < b for a, b in spans)
        assert any(a <= at < b for a, b in joined(spans)) == inside
        assert any(a <= at < b for a, b in cut(spans, 20, 60)) == (inside and 20 <= at < 60)
    assert all(b < c for (_, b), (c, _) in pairwise(joined(spans)))


@given(st.integers(-50, 150), st.integers(-50, 150), st.integers(1, 13), st.integers(0, 12))
def test_a_window_that_touches_what_is_not_to_be_seen_is_left_out(a: int, b: int, width: int, offset: int) -> None:
    for start, end in whole_windows([(min(a, b), max(a, b))], 0, 100, width, offset):
        assert max(min(a, b), 0) <= start < end <= min(max(a, b), 100)
        assert start == 0 or (start - offset) % width == 0
        assert end == 100 or (end - offset) % width == 0


@given(
    st.lists(st.tuples(st.integers(0, 100), st.sampled_from(["ok", "timeout", "crc"])), unique_by=lambda p: p[0]).map(
        sorted
    ),
    SPANS,
)
def test_a_state_lasts_until_the_next_word_or_until_it_should_have_been_said_again(
    words: list[tuple[int, str]], spans: list[tuple[int, int]]
) -> None:
    lasted = states_in(words, joined(spans), 10)
    model: dict[str, int] = {}
    for at in range(120):
        before = [(t, w) for t, w in words if t <= at]
        if before and before[-1][1] != "ok" and at < before[-1][0] + 10 and any(a <= at < b for a, b in spans):
            model[before[-1][1]] = model.get(before[-1][1], 0) + 1
    assert lasted == model
    told = stretches("x", words)
    assert [s.state for s in told] == [w for (_, v), (_, w) in pairwise([(0, ""), *words]) if v != w]
    assert all(a.to_ms == b.from_ms and a.state != b.state for a, b in pairwise(told))


@given(st.integers(0, 10**9), st.integers(10**9, 2 * 10**9), st.integers(0, 10**6), st.booleans())
def test_what_a_gateway_writes_of_a_gap_is_understood(a: int, length: int, readings: int, thinned: bool) -> None:
    gap = Gap(readings, a * 1000, (a + length) * 1000, thinned)
    assert parse_gap(spell_gap(gap)) == RecordedGap(readings, thinned, a * 1000, (a + length) * 1000)
    assert parse_gap(spell_gap(Gap(readings, 0, 0, thinned))) == RecordedGap(readings, thinned, None, None)
    assert parse_gap("x" + spell_gap(gap)) is None


MISSING = st.lists(st.tuples(st.integers(0, 5 * 1440 - 1), st.integers(1, 900)), max_size=4)


@given(MISSING, st.sampled_from([60, 900, 3600]))
@settings(max_examples=20, deadline=None)
def test_a_report_out_of_a_real_store_is_what_counting_gives(
    tmp_path_factory: object, missing: list[tuple[int, int]], every_s: int
) -> None:
    folder: Path = tmp_path_factory.mktemp("store")  # type: ignore[attr-defined]
    store = open_store(f"sqlite:{folder}/s.db")
    series = Series("shikaoi-001", "dev", "temperature")
    times = [
        T0 + m * 60_000 + 7
        for m in range(0, 5 * 1440, every_s // 60)
        if not any(a <= m < a + length for a, length in missing)
    ]
    store.write_columns(Columns([series] * len(times), times, [1.0] * len(times)))
    while store.roll_up(T0 + 6 * DAY_MS):
        pass
    standing = Standing({"dev": "dev"}, {"dev": [Pace(T0 - DAY_MS, float(every_s))]})
    span = (T0, T0 + 5 * DAY_MS)
    rows = report(store, "shikaoi-001", standing, lambda _s, _q: [(-(1 << 62), 1 << 62)], span)
    store.close()
    if not times:
        assert rows == []
        return
    [row] = rows
    should = 5 * 86_400 // every_s
    assert (row.present, row.expected, row.basis) == (len(times), should, "reported")
    start, end = longest_gap(times, *span)
    if end - start > 2 * max(900, every_s) * 1000 + 60_000:
        assert row.gap == (start, end)
    elif len(times) == should:
        assert row.gap is None
