"""Air and heat against published tables, and what has to hold for any air."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.derived.air import (
    absolute_humidity,
    dew_point,
    frost_point,
    mixing_ratio,
    mixing_ratio_difference,
    pressure_at_height_pa,
    saturation_hpa,
    saturation_ice_hpa,
    vapour_deficit_kpa,
    vapour_hpa,
    wet_bulb,
    wet_bulb_stull,
)
from analytics.derived.heat import felt_temperature, thi, thi_nrc, wind_chill

AIR = st.floats(-40, 45)
RH = st.floats(1, 100)
MMHG_HPA = 1.333224


@pytest.mark.parametrize(
    ("air_c", "hpa"),
    # Goff-Gratch, Smithsonian Meteorological Tables (1951), table 94; 0.1 % is 0.015 ℃ of dew point.
    [(-20, 1.2540), (-10, 2.8627), (0, 6.1078), (10, 12.272), (20, 23.373), (30, 42.430), (40, 73.777)],
)
def test_saturation_over_water_is_that_of_the_table(air_c: float, hpa: float) -> None:
    assert float(saturation_hpa(air_c)) == pytest.approx(hpa, rel=1.6e-3)


@pytest.mark.parametrize(
    ("air_c", "mmhg"),
    # GE Panametrics PM880 manual, table A-1, "Water Vapor Pressure Over Ice".
    [(0, 4.579), (-2, 3.880), (-5, 3.013), (-10, 1.950), (-15, 1.241), (-20, 0.776), (-25, 0.476), (-29, 0.317)],
)
def test_saturation_over_ice_is_that_of_the_table(air_c: float, mmhg: float) -> None:
    assert float(saturation_ice_hpa(air_c)) / MMHG_HPA == pytest.approx(mmhg, rel=2.5e-3)


def test_stulls_own_example() -> None:
    # Stull (2011): 20 ℃ and 50 % give 13.7 ℃.
    assert round(float(wet_bulb_stull(20.0, 50.0)), 1) == 13.7


@pytest.mark.parametrize(("air_c", "rh_pct"), [(-21, 50), (51, 50), (20, 4), (20, 99.5), (-10, 10)])
def test_stulls_fit_says_nothing_outside_its_range(air_c: float, rh_pct: float) -> None:
    assert np.isnan(wet_bulb_stull(air_c, rh_pct))


def test_stulls_fit_stays_within_its_published_errors_of_the_psychrometer() -> None:
    air, rh = np.meshgrid(np.arange(-20.0, 50.5, 2.5), np.arange(5.0, 99.5, 2.0))
    apart = wet_bulb_stull(air, rh) - wet_bulb(air, rh, ice=False)
    # -1.0..+0.65 ℃ in the paper; more here in very hot or dry air, where his truth has another constant.
    assert np.nanmin(apart) > -1.45
    assert np.nanmax(apart) < 0.95
    farm = (air <= 35) & (rh >= 10)
    assert np.nanmin(apart[farm]) > -1.0
    assert np.nanmax(apart[farm]) < 0.70
    assert np.nanmean(np.abs(apart[farm])) < 0.36


@pytest.mark.parametrize(
    ("air_c", "wet_c", "rh_pct"),
    # Ventilated psychrometer at 1000 hPa: e = es(tw) - 0.660 (1 + 0.00115 tw)(t - tw) hPa by the table of es above,
    # worked out by hand: es(10) = 12.272, 20 ℃: e = 12.272 - 6.676 = 5.596 hPa of 23.373.
    [(20.0, 10.0, 23.94), (30.0, 20.0, 39.2), (40.0, 30.0, 48.3)],
)
def test_wet_bulb_undoes_the_psychrometric_formula(air_c: float, wet_c: float, rh_pct: float) -> None:
    assert float(wet_bulb(air_c, rh_pct, 100_000)) == pytest.approx(wet_c, abs=0.05)


def test_an_iced_bulb_reads_lower_in_dry_air_and_higher_in_damp() -> None:
    # Iced at -5 ℃ in air of 0 ℃ at 1000 hPa: es over ice 3.013 mmHg = 4.017 hPa, less 0.582 (1 - 0.00575) 5 = 2.893,
    # leaves 1.124 hPa of 6.108: 18.4 %.
    assert float(wet_bulb(0.0, 18.4, 100_000)) == pytest.approx(-5.0, abs=0.03)
    assert float(wet_bulb(0.0, 18.4, 100_000)) < float(wet_bulb(0.0, 18.4, 100_000, ice=False))
    assert 0.1 < float(wet_bulb(-10, 80)) - float(wet_bulb(-10, 80, ice=False)) < 0.4
    assert float(wet_bulb(2.0, 30.0)) < -2.0  # snow can be made in air above 0 ℃


@pytest.mark.parametrize(
    ("air_c", "rh_pct", "dew_c"),
    # As of every psychrometric chart at sea level (ASHRAE Handbook, Fundamentals, chapter 1).
    [(25, 50, 13.9), (20, 50, 9.3), (30, 70, 23.9), (10, 80, 6.7), (0, 100, 0.0)],
)
def test_dew_points_of_the_chart(air_c: float, rh_pct: float, dew_c: float) -> None:
    assert float(dew_point(air_c, rh_pct)) == pytest.approx(dew_c, abs=0.06)


def test_grams_of_water_are_those_of_the_chart() -> None:
    # Saturated: 17.3 g/m³ at 20 ℃, 30.4 at 30, 4.85 at 0; at 101.325 kPa 14.7 g/kg at 20 ℃ (ASHRAE, table 2).
    assert float(absolute_humidity(20, 100)) == pytest.approx(17.3, abs=0.05)
    assert float(absolute_humidity(30, 100)) == pytest.approx(30.4, abs=0.06)
    assert float(absolute_humidity(0, 100)) == pytest.approx(4.85, abs=0.02)
    assert float(mixing_ratio(20, 100)) == pytest.approx(14.7, abs=0.1)
    assert float(vapour_deficit_kpa(25, 60)) == pytest.approx(1.267, abs=0.01)  # FAO-56, es(25) = 3.168 kPa


def test_height_makes_the_same_vapour_more_grams_per_kilogram() -> None:
    # ISO 2533: 898.75 hPa at 1000 m.
    assert float(pressure_at_height_pa(1000)) == pytest.approx(89_875, abs=10)
    assert float(mixing_ratio(20, 50, pressure_at_height_pa(1000))) > 1.1 * float(mixing_ratio(20, 50))


def test_barn_minus_outside_is_the_barns_own_in_the_cold() -> None:
    # 8 ℃ and 80 % (5.3 g/kg) against -20 ℃ and 80 % (0.6 g/kg): far above the design's 1.7.
    assert float(mixing_ratio_difference(8, 80, -20, 80)) == pytest.approx(4.7, abs=0.1)
    assert float(mixing_ratio_difference(8, 80, 8, 80)) == 0.0


@pytest.mark.parametrize(
    ("wind_km_h", "chills"),
    # Environment Canada, Wind Chill Calculation Chart, 5 ... -20 ℃ and -25 ... -50 ℃ in steps of 5.
    [
        (5, [4, -2, -7, -13, -19, -24, -30, -36, -41, -47, -53, -58]),
        (10, [3, -3, -9, -15, -21, -27, -33, -39, -45, -51, -57, -63]),
        (20, [1, -5, -12, -18, -24, -30, -37, -43, -49, -56, -62, -68]),
        (30, [0, -6, -13, -20, -26, -33, -39, -46, -52, -59, -65, -72]),
        (50, [-1, -8, -15, -22, -29, -35, -42, -49, -56, -63, -69, -76]),
        (80, [-3, -10, -17, -24, -31, -38, -45, -52, -60, -67, -74, -81]),
    ],
)
def test_wind_chill_is_that_of_the_chart(wind_km_h: float, chills: list[int]) -> None:
    got = wind_chill(np.arange(5.0, -51.0, -5.0), wind_km_h / 3.6)
    # Rounded like the chart; one number of it lies on the half.
    assert np.max(np.abs(got - chills)) <= 0.52


def test_wind_chill_of_still_or_warm_air_is_the_air() -> None:
    assert wind_chill([-10.0, 15.0], [1.0, 10.0]).tolist() == [-10.0, 15.0]
    assert np.isnan(wind_chill(-10.0, -1.0))


def test_both_forms_of_thi_are_the_published_ones() -> None:
    # 24 ℃ and 75 %: 72.8 and 72.9.
    assert round(float(thi(24, 75)), 1) == 72.8
    assert round(float(thi_nrc(24, 75)), 1) == 72.9
    air, rh = np.meshgrid(np.arange(15.0, 36.0), np.arange(30.0, 101.0, 5.0))
    assert float(np.max(np.abs(thi(air, rh) - thi_nrc(air, rh)))) < 0.5


def test_felt_temperature_weighs_dry_and_wet() -> None:
    assert float(felt_temperature(25, 100)) == pytest.approx(25.0, abs=1e-6)
    assert float(felt_temperature(20, 50)) == pytest.approx(0.35 * 20 + 0.65 * float(wet_bulb(20, 50)))


@given(AIR, RH)
def test_dew_point_is_below_wet_bulb_is_below_air(air_c: float, rh_pct: float) -> None:
    dew, wet = float(dew_point(air_c, rh_pct)), float(wet_bulb(air_c, rh_pct))
    assert dew - 1e-6 <= wet <= air_c + 1e-9


@given(AIR, RH)
def test_dew_point_undoes_saturation(air_c: float, rh_pct: float) -> None:
    assert float(saturation_hpa(dew_point(air_c, rh_pct))) == pytest.approx(
        float(vapour_hpa(air_c, rh_pct)), rel=1e-9
    )


@given(st.floats(-40, -1), RH)
def test_frost_comes_before_dew_and_undoes_saturation_over_ice(air_c: float, rh_pct: float) -> None:
    frost, vapour = float(frost_point(air_c, rh_pct)), float(vapour_hpa(air_c, rh_pct))
    if not np.isnan(frost):  # supersaturated air close to 0 ℃ has dew
        assert frost >= float(dew_point(air_c, rh_pct)) - 1e-9
        assert float(saturation_ice_hpa(frost)) == pytest.approx(vapour, rel=1e-9)


@given(AIR, st.floats(1, 99), st.floats(0.5, 1))
def test_more_humidity_is_more_of_everything(air_c: float, rh_pct: float, more: float) -> None:
    wetter = rh_pct + more
    for quantity in (dew_point, absolute_humidity, mixing_ratio):
        assert float(quantity(air_c, wetter)) > float(quantity(air_c, rh_pct))
    assert float(wet_bulb(air_c, wetter, ice=False)) >= float(wet_bulb(air_c, rh_pct, ice=False))
    assert float(vapour_deficit_kpa(air_c, wetter)) < float(vapour_deficit_kpa(air_c, rh_pct))


PAIRED: list[Callable[..., object]] = [
    vapour_hpa,
    dew_point,
    frost_point,
    wet_bulb,
    wet_bulb_stull,
    absolute_humidity,
    mixing_ratio,
    vapour_deficit_kpa,
    thi,
    thi_nrc,
    felt_temperature,
    wind_chill,
]


@pytest.mark.parametrize("quantity", PAIRED, ids=lambda q: q.__name__)
def test_a_scalar_is_an_array_of_one_and_nan_stays_nan(quantity: Callable[..., object]) -> None:
    first = np.array([[25.0, -12.0, np.nan], [3.0, 18.0, -30.0]])
    second = np.array([[60.0, 80.0, 50.0], [np.nan, 7.0, 90.0]])
    together = np.asarray(quantity(first, second))
    assert together.dtype == np.float64
    assert together.shape == (2, 3)
    assert np.isnan(together[0, 2])
    assert np.isnan(together[1, 0])
    for place in np.ndindex(2, 3):
        alone = np.asarray(quantity(float(first[place]), float(second[place])))
        np.testing.assert_allclose(alone, together[place], rtol=1e-14)  # the last bit of a power differs


@pytest.mark.parametrize("quantity", [saturation_hpa, dew_point, wet_bulb], ids=lambda q: q.__name__)
def test_far_outside_nothing_is_said(quantity: Callable[..., object]) -> None:
    arguments = (200.0,) if quantity is saturation_hpa else (200.0, 50.0)
    assert np.isnan(np.asarray(quantity(*arguments)))


def test_air_without_any_water_has_no_dew_point() -> None:
    assert np.isnan(dew_point(20.0, 0.0))
    assert np.isnan(frost_point(20.0, -5.0))


def test_above_zero_dew_comes_and_no_frost() -> None:
    assert np.isnan(frost_point([20.0, 1.0], [80.0, 100.0])).all()
    assert float(frost_point(5.0, 40.0)) < 0.0  # dry enough that a surface freezes before it is wet


def test_a_humidity_beyond_100_counts_as_100() -> None:
    assert float(dew_point(12.0, 104.0)) == 12.0
    assert float(vapour_deficit_kpa(12.0, 104.0)) == 0.0
