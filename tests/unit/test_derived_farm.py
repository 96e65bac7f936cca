"""Tank, crops and soil: published limits and examples, curves with known answers, intervals that hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.derived.crop import (
    BlightDay,
    DayWeather,
    blight_days,
    blight_periods,
    blight_risk,
    chill_hours,
    daily_range,
    degree_days_average,
    degree_days_sine,
    frost_hours,
    stage_reached,
)
from analytics.derived.soil import (
    SOILS,
    Retention,
    available_mm,
    capacity_mm,
    kpa_to_pf,
    pf_to_kpa,
    soil_pf,
    through,
)
from analytics.derived.tank import (
    LOAD_LIMIT_C_MIN,
    cooling_curve,
    degree_minutes,
    minutes_to_cold,
    minutes_to_limit,
)

MIN = 60_000
H = 60 * MIN
DAY = 24 * H
NINE = 9 * H


def test_degree_minutes_of_a_milking_by_hand() -> None:
    # 35 ℃ straight down to 4 ℃ in 3 h, as ISO 5708 allows, then held at 3.5: 31 x 180 / 2 = 2790 ℃ min.
    times, milk = [0, 3 * H, 4 * H, 20 * H], [35.0, 4.0, 3.5, 3.5]
    got = degree_minutes(times, milk, 0, 20 * H, gap_s=20 * 3600)
    assert got.value == pytest.approx(2790)
    assert got.value < LOAD_LIMIT_C_MIN < 2 * got.value


def test_degree_minutes_begin_at_the_reset_and_a_hole_makes_them_a_lower_bound() -> None:
    times = np.arange(0, 10 * H + 1, 5 * MIN)
    milk = np.full(times.shape, 6.0)
    assert degree_minutes(times, milk, 4 * H, 10 * H).value == pytest.approx(2 * 360)
    kept = (times < 5 * H) | (times > 7 * H)
    got = degree_minutes(times[kept], milk[kept], 4 * H, 10 * H)
    assert got.value == pytest.approx(2 * (360 - 130))
    assert got.coverage == pytest.approx(230 / 360)


def cooling(count: int, *, noise: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """35 ℃ towards 1 ℃ at 3 % a minute: 4.4 ℃ after 76.75 min."""
    times = np.arange(count) * MIN
    milk = 1 + 34 * np.exp(-0.03 * np.arange(count))
    return times, milk + np.random.default_rng(seed).normal(0, noise, count) if noise else milk


REACHED = float(np.log(34 / 3.4) / 0.03)


@pytest.mark.parametrize("coolant_c", [None, 1.0])
def test_a_clean_cooling_curve_is_found_again(coolant_c: float | None) -> None:
    times, milk = cooling(40)
    curve = cooling_curve(times, milk, coolant_c=coolant_c)
    assert curve is not None
    assert curve.rate_per_min[0] == pytest.approx(0.03, rel=0.01)
    assert curve.end_c[0] == pytest.approx(1.0, abs=0.15)
    np.testing.assert_allclose(curve.at(times), milk, atol=0.02)
    left = minutes_to_cold(times, milk, times[-1], coolant_c=coolant_c)
    assert left.value == pytest.approx(REACHED - 39, rel=0.02)


def test_the_interval_holds_the_truth_nearly_always_and_narrows() -> None:
    held, widths = 0, []
    for seed in range(60):
        times, milk = cooling(25, noise=0.15, seed=seed)
        left = minutes_to_cold(times, np.round(milk, 1), times[-1])
        held += left.low <= REACHED - 24 <= left.high
        widths.append(minutes_to_cold(times, np.round(milk, 1), times[-1], coolant_c=1.0))
    assert held >= 54
    assert np.mean([w.high - w.low for w in widths]) < 5
    short, long = cooling(8, noise=0.1), cooling(60, noise=0.1)
    near = minutes_to_cold(*long, long[0][-1])
    assert minutes_to_cold(*short, short[0][-1]).high > 100
    assert near.high - near.low < 5


def test_a_tank_that_stops_cooling_will_perhaps_never_be_cold() -> None:
    times = np.arange(60) * MIN
    milk = np.round(8 + 20 * np.exp(-0.08 * np.arange(60)), 1)
    assert minutes_to_cold(times, milk, times[-1]).value == np.inf


def test_what_is_cold_has_no_minutes_left_and_what_warms_no_curve() -> None:
    times, milk = cooling(120)
    assert minutes_to_cold(times, milk, times[-1]).value == 0.0
    assert np.isnan(minutes_to_cold(times[:3], milk[:3], times[2]).value)
    assert cooling_curve(times[:30], milk[:30][::-1]) is None
    assert np.isnan(minutes_to_cold([0, MIN], [np.nan, np.nan], MIN).value)
    held = np.tile([3.9, 4.0, 4.1, 4.0], 8)
    assert minutes_to_cold(np.arange(32) * MIN, held, 31 * MIN).value == 0.0
    assert np.isnan(minutes_to_cold(np.arange(32) * MIN, held + 4, 31 * MIN).value)


def warming(hours: float) -> tuple[np.ndarray, np.ndarray]:
    """4 ℃ in a barn of 20 ℃ at 1.2 % an hour, read every 15 min to a tenth: 10 ℃ after 39.2 h."""
    times = np.arange(0, hours * H + 1, 15 * MIN)
    return times, np.round(20 - 16 * np.exp(-0.012 * times / H), 1)


WARM_H = float(np.log(16 / 10) / 0.012)


def test_after_a_power_cut_the_first_reading_gives_a_wide_answer_and_hours_a_narrow_one() -> None:
    before = np.inf
    for hours in (0, 2, 6, 12):
        times, milk = warming(hours)
        left = minutes_to_limit(times, milk, times[-1], surround_c=20, limit_c=10, volume_m3=3, full_m3=4)
        assert left.low <= WARM_H * 60 - hours * 60 <= left.high
        assert left.high - left.low < before
        before = left.high - left.low
    assert before < 12 * 60


def test_less_milk_warms_sooner_and_an_unknown_volume_is_less_sure() -> None:
    def ask(volume: float | None) -> tuple[float, float]:
        left = minutes_to_limit([0], [4.0], 0, surround_c=20, limit_c=10, volume_m3=volume, full_m3=4)
        return left.value, left.high / left.low

    assert ask(1.0)[0] < ask(2.0)[0] < ask(4.0)[0]
    assert ask(None)[1] > ask(4.0)[1] > 1


def test_in_a_cold_barn_milk_does_not_warm_and_too_warm_is_now() -> None:
    assert minutes_to_limit([0], [4.0], 0, surround_c=-5, limit_c=10).value == np.inf
    assert minutes_to_limit([0], [4.0], 0, surround_c=8, limit_c=10).low == np.inf
    assert minutes_to_limit([0], [12.0], 0, surround_c=20, limit_c=10).value == 0.0
    assert minutes_to_limit([0], [12.0], 0, surround_c=5, limit_c=10).value == 0.0
    assert np.isnan(minutes_to_limit([0], [np.nan], 0, surround_c=20, limit_c=10).value)


def test_curves_refuse_times_that_do_not_rise() -> None:
    with pytest.raises(ValueError, match="rise"):
        cooling_curve([3, 2, 1, 0], [9, 8, 7, 6])


def test_degree_days_of_the_textbook() -> None:
    # Simple average: (30 + 16)/2 - 10 = 13. All above the base: the sine is the same.
    assert float(degree_days_average(16, 30, 10)) == 13.0
    assert float(degree_days_sine(16, 30, 10)) == pytest.approx(13.0)
    # Half above: a sine of amplitude 10 around the base has 10/pi.
    assert float(degree_days_average(0, 20, 10)) == 0.0
    assert float(degree_days_sine(0, 20, 10)) == pytest.approx(10 / np.pi)
    # Wholly above the upper threshold: all that it can be, 30 - 10.
    assert float(degree_days_sine(32, 38, 10, 30)) == pytest.approx(20.0)
    assert float(degree_days_sine(-5, 5, 10, 30)) == 0.0
    assert np.isnan(degree_days_sine([5, np.nan], [1, 20], 10)).all()
    with pytest.raises(ValueError, match="threshold"):
        degree_days_sine(0, 1, 10, 10)


@given(st.floats(-20, 40), st.floats(0, 25), st.floats(0, 12), st.floats(0.5, 25))
def test_the_sine_is_the_integral_of_the_sine(low: float, range_c: float, base: float, above: float) -> None:
    day = low + range_c / 2 + range_c / 2 * np.sin((np.arange(20_000) + 0.5) / 20_000 * 2 * np.pi)
    for upper, cut in ((None, day), (base + above, np.minimum(day, base + above))):
        truth = float(np.mean(np.maximum(0.0, cut - base)))
        assert float(degree_days_sine(low, low + range_c, base, upper)) == pytest.approx(truth, abs=1e-3)


def test_hours_of_chill_and_frost() -> None:
    times, air = [0, 10 * H, 20 * H], [12.2, 2.2, -7.8]
    assert chill_hours(times, air, 0, 20 * H, gap_s=36_000).value == pytest.approx(15.0)
    assert frost_hours(times, air, 0, 20 * H, gap_s=36_000).value == pytest.approx(7.8)


def hourly(days: int) -> np.ndarray:
    return np.arange(days * 24 + 1) * H - NINE


def test_hutton_needs_two_days_in_a_row_and_smith_more_hours() -> None:
    times = hourly(4)
    hour = np.arange(len(times)) % 24
    rh = np.where(hour < 6, 92.0, 70.0)  # six damp hours each night
    air = np.full(times.shape, 14.0)
    air[2 * 24 + 3] = 9.0  # the third night is too cold once
    days = blight_days(times, air, rh)
    # the reading at the last midnight begins a fifth day, of which nothing is known
    assert [d.suits(6) for d in days] == [True, True, False, True, None]
    assert blight_periods(days) == [times[0] + DAY]
    assert blight_periods(days, 11) == []
    damp = blight_days(times, np.full(times.shape, 12.0), np.where(hour < 11, 95.0, 60.0))
    assert len(blight_periods(damp, 11)) == 3


def test_a_day_with_a_hole_is_no_day() -> None:
    times = hourly(2)
    rh = np.full(times.shape, 95.0)
    rh[5:15] = np.nan
    days = blight_days(times, np.full(times.shape, 14.0), rh)
    assert [d.suits(6) for d in days] == [None, True, None]
    assert blight_periods(days) == []
    assert blight_days([], [], []) == []


def test_days_that_are_apart_make_no_period() -> None:
    assert blight_periods([BlightDay(0, 12, 8, True), BlightDay(2 * DAY, 12, 8, True)]) == []


class _Wet:
    """A score for the test, not of FLABS: 1.5 on a day with rain."""

    def score(self, day: DayWeather) -> float:
        return 1.5 if day.rain_mm > 0 else 0.0 if not np.isnan(day.rain_mm) else np.nan


def test_a_plugged_in_score_adds_up_from_emergence_to_danger_at_21() -> None:
    weather = [DayWeather(i * DAY, 22, 12, 17, 3.0 if i % 2 else 0.0) for i in range(40)]
    got = blight_risk(weather, 5 * DAY, _Wet())
    # days 5, 7, ... are wet; the 14th of them, day 31, makes 21
    assert got.danger_ms == 31 * DAY
    assert got.cumulative[-1] == pytest.approx(18 * 1.5)
    assert blight_risk(weather[:20], 5 * DAY, _Wet()).danger_ms is None


def test_a_day_without_a_score_is_counted_and_a_wrong_score_is_refused() -> None:
    weather = [DayWeather(0, 22, 12, 17, np.nan), DayWeather(DAY, 22, 12, 17, 1.0)]
    assert blight_risk(weather, 0, _Wet()).unknown_days == 1

    class Wrong:
        def score(self, day: DayWeather) -> float:
            return 4.0

    with pytest.raises(ValueError, match=r"0\.\.3"):
        blight_risk(weather, 0, Wrong())


def test_stages_are_reached_by_the_sum() -> None:
    assert stage_reached([50, 60, np.nan, 100], [100, 200, 300]).tolist() == [0, 1, 1, 2]
    with pytest.raises(ValueError, match="stages"):
        stage_reached([1], [2, 2])


def test_the_range_of_a_day_needs_the_day() -> None:
    times = hourly(2)[:-4]
    starts, low, high = daily_range(times, np.arange(len(times), dtype=float))
    assert starts == [-NINE, DAY - NINE]
    assert (low[0], high[0]) == (0.0, 24.0)
    assert np.isnan(low[1])
    assert np.isnan(high[1])


@pytest.mark.parametrize(("pf", "kpa"), [(2.5, 31), (2.7, 49), (2.3, 20)])
def test_suctions_are_those_of_the_irrigation_table(pf: float, kpa: int) -> None:
    # HRO Kitami 1992: start of irrigation of wheat and potato, sugar beet, onion.
    assert round(float(pf_to_kpa(pf))) == kpa
    assert float(kpa_to_pf(pf_to_kpa(pf))) == pytest.approx(pf)
    assert np.isnan(kpa_to_pf([0.0, -30.0])).all()


def test_van_genuchtens_own_example() -> None:
    # van Genuchten (1980), Silt Loam G.E. 3: residual 0.131, saturated 0.396, alpha 0.00423/cm, n 2.06; at 1/alpha
    # the effective saturation is 2^-m.
    soil = Retention(0.131, 0.396, 0.00423, 2.06, 0.0, 0.0, "test")
    expected = 0.131 + 0.265 * 2 ** -(1 - 1 / 2.06)
    assert float(soil.water_content(np.log10(1 / 0.00423))) == pytest.approx(expected)


def test_volcanic_ash_soil_has_the_published_readily_available_water() -> None:
    # HRO 1992091: about 30 mm in the 15 cm of the limiting layer of dry volcanic soil in Tokachi.
    assert capacity_mm(SOILS["andosol"], 0.15, up_to_pf=3.0) == pytest.approx(30, abs=1)
    # Kobayashi and Ishiwata (1995), 577 places in Hokkaido: most in peat, little in brown lowland soil.
    ready = {name: capacity_mm(soil, 0.15, up_to_pf=3.0) for name, soil in SOILS.items()}
    assert ready["peat"] > ready["andosol"] > ready["brown-lowland"]


@given(st.sampled_from(sorted(SOILS)), st.floats(0.5, 4.4))
def test_pf_undoes_water_content_and_the_interval_is_around_it(name: str, pf: float) -> None:
    soil = SOILS[name]
    band = soil_pf(soil.water_content(pf), soil)
    assert float(band.value) == pytest.approx(pf, abs=1e-5)
    assert float(band.low) <= float(band.value) <= float(band.high)


def test_a_class_alone_is_too_vague_for_a_rule_and_a_point_of_the_field_helps() -> None:
    soil = SOILS["andosol"]
    by_class = soil_pf(soil.water_content(2.5), soil)
    assert float(by_class.high) - float(by_class.low) > 1.5
    own = through(soil, 0.55)
    assert float(own.water_content(1.8)) == pytest.approx(0.55)
    known = soil_pf(own.water_content(2.5), own, sensor_sd=0.02)
    assert float(known.high) - float(known.low) < 0.7 * (float(by_class.high) - float(by_class.low))


def test_beyond_the_curve_it_is_cut_and_frozen_soil_is_not_known() -> None:
    soil = SOILS["brown-lowland"]
    assert soil_pf([0.6, 0.005], soil).value.tolist() == [0.0, 4.5]
    got = soil_pf([0.3, 0.3, np.nan], soil, soil_c=[5.0, -0.5, 5.0])
    assert np.isnan(got.value).tolist() == [False, True, True]
    assert np.isnan(got.high).tolist() == [False, True, True]


def test_available_water_is_never_negative_and_falls_with_drying() -> None:
    soil = SOILS["peat"]
    left = available_mm(soil.water_content([1.8, 3.0, 4.2, 4.5]), soil, 0.5)
    assert np.all(np.diff(left) <= 0)
    assert left[-1] == 0.0
    with pytest.raises(ValueError, match="depth"):
        available_mm(0.3, soil, 0)
    with pytest.raises(ValueError, match="curve"):
        through(soil, 0.99)
