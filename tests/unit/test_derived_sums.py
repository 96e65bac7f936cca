"""Sums over irregular readings, slopes, runs, counters, the sun: worked examples, and what holds for any series."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.derived.heat import thi_load_by_day
from analytics.derived.numbers import Covered
from analytics.derived.signals import counted, increments, rates, runs, theil_sen
from analytics.derived.sums import excess_hours, held_hours, hours_below, integral, line, rolling, time_mean
from analytics.derived.sun import SHIKAOI, is_day, sun_elevation_deg, sunrise_sunset_ms
from analytics.derived.water import herd_water_counter, herd_water_flow, per_cow_day_l

H = 3_600_000
DAY = 24 * H
NINE = 9 * H

SERIES = st.lists(
    st.tuples(st.integers(1, 4 * 3600), st.floats(-30, 40)), min_size=2, max_size=30
)  # seconds since the reading before, and value


def unfold(series: list[tuple[int, float]]) -> tuple[list[float], list[float]]:
    times = (np.cumsum([step for step, _ in series]) * 1000.0).tolist()
    return times, [value for _, value in series]


def test_a_triangle_over_a_limit_is_half_its_height_by_its_width() -> None:
    # 2 h up from 0 to 10 and 2 h down: above 5 it is 2 h wide and 5 high.
    got = excess_hours([0, 2 * H, 4 * H], [0, 10, 0], 5, 0, 4 * H, gap_s=7200)
    assert got.value == pytest.approx(5.0)
    assert (got.known_s, got.span_s) == (4 * 3600, 4 * 3600)
    assert hours_below([0, 2 * H, 4 * H], [0, 10, 0], 5, 0, 4 * H, gap_s=7200).value == pytest.approx(2.0)


def test_a_hole_is_unknown_and_not_bridged() -> None:
    got = integral([0, H, 5 * H, 6 * H], [2, 2, 2, 2], 0, 8 * H, gap_s=3600)
    assert (got.value, got.known_s, got.coverage) == (2 * 7200, 7200, 0.25)
    assert time_mean([0, H, 5 * H, 6 * H], [2, 4, 0, 0], 0, 8 * H, gap_s=3600).value == pytest.approx(1.5)


def test_a_nan_reading_is_none() -> None:
    with_it = integral([0, H, 2 * H], [1, np.nan, 1], 0, 2 * H, gap_s=7200)
    assert with_it.value == 7200
    assert integral([0, H, 2 * H], [1, np.nan, 1], 0, 2 * H, gap_s=3600).coverage == 0.0


@pytest.mark.parametrize(("times", "values"), [([], []), ([0], [3.0]), ([0, H], [np.nan, np.nan])])
def test_without_two_readings_nothing_is_known(times: list[float], values: list[float]) -> None:
    for of in (excess_hours, hours_below):
        got = of(times, values, 5, 0, DAY, gap_s=3600)
        assert np.isnan(got.value)
        assert got.coverage == 0.0


def test_wrong_series_are_refused() -> None:
    with pytest.raises(ValueError, match="rise"):
        line([2, 1], [0, 0], 60)
    with pytest.raises(ValueError, match="values"):
        line([1, 2], [0], 60)
    with pytest.raises(ValueError, match="gap_s"):
        line([1, 2], [0, 0], 0)
    with pytest.raises(ValueError, match="ends"):
        integral([1, 2], [0, 0], 2, 1, gap_s=60)


def test_of_two_readings_at_one_time_the_later_counts() -> None:
    assert integral([0, 0, H], [9, 1, 1], 0, H, gap_s=3600).value == 3600


@given(SERIES, st.floats(-30, 40), st.floats(0, 1))
def test_readings_put_on_the_line_change_nothing(series: list[tuple[int, float]], level: float, share: float) -> None:
    times, values = unfold(series)
    between = [a + share * (b - a) for a, b in pairwise(times)]
    more = sorted({*times, *between})
    dense = np.interp(more, times, values)
    for of in (excess_hours, hours_below):
        sparse, fine = (
            of(t, v, level, times[0], times[-1], gap_s=1e9) for t, v in ((times, values), (more, dense.tolist()))
        )
        # a line that lies on the level to the last bit is above or below by rounding
        if of is excess_hours or min(abs(v - level) for v in values) > 1e-6:
            assert fine.value == pytest.approx(sparse.value, rel=1e-9, abs=1e-5)
        assert fine.known_s == pytest.approx(sparse.known_s)


@given(SERIES, st.floats(-30, 40), st.floats(0, 1), st.floats(900, 10_000))
def test_sums_of_spans_that_meet_add_up(
    series: list[tuple[int, float]], level: float, share: float, gap_s: float
) -> None:
    times, values = unfold(series)
    start, end = times[0] - H, times[-1] + H
    middle = start + share * (end - start)
    for of in (excess_hours, hours_below):
        whole, *parts = (
            of(times, values, level, a, b, gap_s=gap_s) for a, b in ((start, end), (start, middle), (middle, end))
        )
        assert np.nansum([p.value for p in parts]) == pytest.approx(np.nan_to_num(whole.value), abs=1e-6)
        assert sum(p.known_s for p in parts) == pytest.approx(whole.known_s, abs=1e-6)


@given(SERIES, st.floats(-30, 40))
def test_when_it_was_changes_nothing(series: list[tuple[int, float]], level: float) -> None:
    times, values = unfold(series)
    now = 1_790_000_000_000
    then = [t + now for t in times]
    for of in (excess_hours, hours_below):
        a = of(times, values, level, times[0], times[-1], gap_s=3600)
        b = of(then, values, level, then[0], then[-1], gap_s=3600)
        assert b.known_s == pytest.approx(a.known_s)
        if a.known_s > 0:
            assert b.value == pytest.approx(a.value, rel=1e-9, abs=1e-5)


@given(SERIES, st.floats(60, 40_000))
def test_a_rolling_mean_lies_between_the_extremes_and_agrees_with_the_single_mean(
    series: list[tuple[int, float]], width_s: float
) -> None:
    times, values = unfold(series)
    at = [*times, times[-1] + 1000.0 * width_s / 2]
    got = rolling(times, values, at, width_s, gap_s=5000)
    for i, end in enumerate(at):
        alone = time_mean(times, values, end - width_s * 1000, end, gap_s=5000)
        assert got.coverage[i] == pytest.approx(alone.coverage, abs=1e-9)
        if alone.known_s > 1:
            assert got.mean[i] == pytest.approx(alone.value, abs=1e-4)
            assert got.low[i] - 1e-4 <= got.mean[i] <= got.high[i] + 1e-4
        inside = [v for t, v in zip(times, values, strict=True) if end - width_s * 1000 <= t <= end]
        if inside:
            assert got.low[i] <= min(inside)
            assert got.high[i] >= max(inside)


def test_rolling_extremes_take_the_edges_of_the_window() -> None:
    got = rolling([0, 2 * H], [0, 10], [2 * H, 5 * H], 3600, gap_s=7200)
    assert (got.low[0], got.high[0], got.mean[0]) == (5.0, 10.0, 7.5)
    assert np.isnan([got.low[1], got.high[1], got.mean[1]]).all()
    assert got.coverage.tolist() == [1.0, 0.0]


def test_hourly_readings_that_hold_are_hours_counted() -> None:
    wet = [1, 1, 0, 1, np.nan, 0]
    got = held_hours([i * H for i in range(6)], wet, 0, 6 * H, gap_s=3600)
    assert (got.value, got.known_s) == (2.0, 3 * 3600)


def test_the_load_of_heat_is_by_japanese_day() -> None:
    # 70 all day, readings every 10 min from 12:00 to 12:00 at UTC+9: 12 h of each of two days, 2 THI above 68.
    times = 3 * H + np.arange(0, DAY + 1, 600_000)
    load = thi_load_by_day(times, np.full(times.shape, 70.0))
    assert list(load) == [-NINE, DAY - NINE]
    assert [c.value for c in load.values()] == pytest.approx([24.0, 24.0])
    assert [c.coverage for c in load.values()] == pytest.approx([0.5, 0.5])


def test_a_robust_slope_is_not_moved_by_a_quarter_of_wrong_readings() -> None:
    values = 3.0 - 0.5 * np.arange(40.0)
    values[::4] = 999.0
    got = theil_sen(np.arange(40) * DAY, values)
    assert got.value == pytest.approx(-0.5)
    assert got.low <= -0.5 <= got.high


def test_theil_sen_is_the_median_of_all_pairs() -> None:
    # The ten slopes of 10, 22, 21, 30, 22 on days 1..5, by hand: -8 -1 0 .5 3 4 5.5 20/3 9 12.
    got = theil_sen(np.arange(1, 6) * DAY, [10, 22, 21, 30, 22])
    assert got.value == pytest.approx(3.5)


def test_a_slope_needs_two_readings_and_an_interval_four() -> None:
    assert np.isnan(theil_sen([0], [1]).value)
    assert theil_sen([0, DAY], [1, 3]).value == pytest.approx(2.0)
    assert theil_sen([0, DAY], [1, 3]).high == np.inf


@given(st.lists(st.floats(-100, 100), min_size=4, max_size=700), st.floats(-5, 5))
def test_a_slope_added_is_a_slope_found(noise: list[float], slope: float) -> None:
    days = np.arange(len(noise))
    without, with_it = (theil_sen(days * DAY, noise + s * days) for s in (0.0, slope))
    assert with_it.value == pytest.approx(without.value + slope, abs=1e-6)
    assert with_it.low <= with_it.value <= with_it.high


def test_pump_cycles_have_lengths_and_say_which_are_whole() -> None:
    minutes = np.arange(10) * 60_000
    got = runs(minutes, [0, 5, 5, 0, 0, 0, 5, 0, 5, 5], on_above=1.0, gap_s=60)
    assert got.on.tolist() == [False, True, False, True, False, True]
    assert got.length_s.tolist() == [60, 120, 180, 60, 60, 60]
    assert got.whole.tolist() == [False, True, True, True, True, False]


def test_between_the_thresholds_a_state_stays() -> None:
    minutes = np.arange(7) * 60_000
    got = runs(minutes, [1.5, 2.5, 1.5, 0.5, 1.5, 2.5, 2.5], on_above=2.0, off_below=1.0, gap_s=60)
    assert got.on.tolist() == [False, True, False, True]
    assert got.length_s.tolist() == [60, 120, 120, 60]


def test_a_hole_ends_a_run_on_both_sides() -> None:
    got = runs([0, 60_000, 120_000, 3_600_000, 3_660_000], [1, 1, 1, 1, 1], gap_s=120)
    assert got.length_s.tolist() == [120, 60]
    assert not got.whole.any()
    with pytest.raises(ValueError, match="off below"):
        runs([0], [1], on_above=1, off_below=2, gap_s=60)


@given(st.lists(st.tuples(st.integers(1, 300), st.floats(0, 10)), max_size=40), st.floats(30, 400))
def test_runs_are_in_order_and_as_long_as_what_is_known(series: list[tuple[int, float]], gap_s: float) -> None:
    times, values = unfold(series) if series else ([], [])
    got = runs(times, values, on_above=5, gap_s=gap_s)
    known = sum(b - a for a, b in pairwise(times) if b - a <= gap_s * 1000)
    assert float(np.sum(got.length_s)) * 1000 == pytest.approx(known)
    assert np.all(got.start_ms[1:] >= got.end_ms[:-1])


def test_a_counter_is_bridged_over_nan_reset_and_wrap() -> None:
    assert np.array_equal(increments([5, 7, np.nan, 10]), [np.nan, 2, np.nan, 3], equal_nan=True)
    assert increments([90, 95, 4]).tolist()[1:] == [5, 4]  # without a wrap it was reset
    assert increments([90, 95, 4], wrap=100).tolist()[1:] == [5, 9]
    assert increments([40, 50, 4], wrap=100).tolist()[1:] == [10, 4]  # 54 is no step of this counter: a reset
    assert np.isnan(increments([1, 2, 500_000], largest=100.0)[2])  # a swapped meter
    with pytest.raises(ValueError, match="negative"):
        increments([1, -1])


def test_a_register_of_16_bits_wraps_by_its_largest_rate() -> None:
    got = rates([0, 60_000, 120_000], [65_500, 65_530, 20], wrap=65_536, largest_per_s=1.0)
    assert got.tolist()[1:] == [0.5, pytest.approx(26 / 60)]


@given(st.lists(st.integers(0, 400), min_size=2, max_size=50), st.data())
def test_nothing_is_lost_at_wraps_and_readings_left_out(steps: list[int], data: st.DataObject) -> None:
    total = np.cumsum(steps).astype(np.float64)
    seen = np.mod(total, 5000)
    left_out = data.draw(st.lists(st.booleans(), min_size=len(steps), max_size=len(steps)))
    left_out[0] = left_out[-1] = False
    # never two in a row, so that a step stays below the largest
    seen[[i for i in range(1, len(steps) - 1) if left_out[i] and i % 2]] = np.nan
    got = increments(seen, wrap=5000, largest=1000)
    assert float(np.nansum(got)) == pytest.approx(total[-1] - total[0])


def test_a_counter_tells_after_a_hole_what_went_by() -> None:
    got = counted([0, H, 11 * H], [0, 10, 60], 0, 6 * H)
    assert got.value == pytest.approx(10 + 25)
    assert got.coverage == 1.0


def test_water_per_cow_and_day_from_a_counter_and_from_a_flow() -> None:
    times = np.arange(0, DAY + 1, H)
    total = np.arange(len(times)) * 0.25  # 6 m³ a day
    drunk = herd_water_counter(times, total, 0, DAY)
    assert per_cow_day_l(drunk, 60) == pytest.approx(100.0)
    flow = herd_water_flow(times, np.full(times.shape, 0.25 / 3600), 0, DAY, gap_s=3600)
    assert per_cow_day_l(flow, 60) == pytest.approx(100.0)
    assert np.isnan(per_cow_day_l(drunk, 0))
    assert np.isnan(per_cow_day_l(Covered(1.0, 3600, 86_400), 60))


@pytest.mark.parametrize(
    ("place", "rises", "sets"),
    # 2009-03-20, 06-21, 09-23 and 12-21: saboten.sakura.ne.jp/~suzu/nichibotsu.htm, from the National Astronomical
    # Observatory's almanac (whole minutes).
    [
        ((43.06, 141.35), ["05:38", "03:55", "05:22", "07:03"], ["17:47", "19:18", "17:31", "16:03"]),
        ((43.33, 145.58), ["05:22", "03:37", "05:05", "06:47"], ["17:30", "19:02", "17:14", "15:45"]),
        ((45.42, 141.67), ["05:37", "03:45", "05:21", "07:10"], ["17:45", "19:25", "17:30", "15:53"]),
        ((35.66, 139.74), ["05:45", "04:25", "05:29", "06:47"], ["17:53", "19:00", "17:37", "16:31"]),
    ],
    ids=["Sapporo", "Nemuro", "Wakkanai", "Tokyo"],
)
def test_the_sun_rises_and_sets_by_the_almanac(place: tuple[float, float], rises: list[str], sets: list[str]) -> None:
    days = ["2009-03-20", "2009-06-21", "2009-09-23", "2009-12-21"]
    for got, told in zip(sunrise_sunset_ms(days, *place), (rises, sets), strict=True):
        minutes = np.mod(got + NINE, DAY) / 60_000
        expected = [int(t[:2]) * 60 + int(t[3:]) for t in told]
        assert np.max(np.abs(minutes - expected)) < 1.05


def test_where_the_sun_does_not_set_it_is_day_and_no_time() -> None:
    rise, down = sunrise_sunset_ms(["2026-06-21", "2026-12-21"], 70.0, 25.0)
    assert np.isnan(rise).all()
    assert np.isnan(down).all()
    noon, midnight = np.datetime64("2026-06-21T10:20", "ms"), np.datetime64("2026-06-21T22:20", "ms")
    assert is_day([noon.astype(np.int64), midnight.astype(np.int64)], 70.0, 25.0).tolist() == [True, True]


def test_day_begins_at_sunrise_and_ends_at_sunset_all_year_in_shikaoi() -> None:
    days = np.arange(np.datetime64("2026-01-01"), np.datetime64("2027-01-01"))
    rise, down = sunrise_sunset_ms(days, *SHIKAOI)
    for at, before, after in ((rise, False, True), (down, True, False)):
        assert (is_day(at - 30_000, *SHIKAOI) == before).all()
        assert (is_day(at + 30_000, *SHIKAOI) == after).all()
    # 90 - 43.1 + 23.44 at noon of midsummer
    assert float(np.max(sun_elevation_deg((rise + down) / 2, *SHIKAOI))) == pytest.approx(70.34, abs=0.05)
    with pytest.raises(ValueError, match="place"):
        sunrise_sunset_ms("2026-01-01", 91, 0)
