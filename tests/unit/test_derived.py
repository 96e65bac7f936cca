"""Derived quantities against published values."""

from __future__ import annotations

import numpy as np

from analytics.derived import FORMULAS, derive, thi
from makiba.quantities import catalogue
from makiba.rule import DERIVATIONS


def test_thi_is_the_published_value() -> None:
    assert round(float(thi(24.0, 75.0)), 1) == 72.8


def test_thi_agrees_with_the_nrc_formula_within_one_over_a_summer() -> None:
    air = np.arange(15.0, 35.0)[:, None]
    rh = np.arange(40.0, 100.0, 5.0)[None, :]
    nrc = (1.8 * air + 32) - (0.55 - 0.0055 * rh) * (1.8 * air - 26.8)
    assert float(np.max(np.abs(thi(air, rh) - nrc))) < 1.0


def test_nan_stays_nan_and_only_there() -> None:
    got = thi([20.0, np.nan, 20.0], [50.0, 50.0, np.nan])
    assert got.dtype == np.float64
    assert np.isnan(got).tolist() == [False, True, True]


def test_humidity_beyond_100_counts_as_100() -> None:
    assert derive("thi", (25.0, 104.0)) == derive("thi", (25.0, 100.0))


def test_each_word_that_a_rule_may_derive_has_a_formula_and_a_quantity() -> None:
    assert set(FORMULAS) == set(DERIVATIONS)
    for word, arguments in DERIVATIONS.items():
        assert catalogue()[word].unit == {"mixing_ratio": "/", "vpd": "Pa", "thi": None}.get(word, "Cel")
        assert np.isfinite(derive(word, (5.0,) * len(arguments)))
        for place in range(len(arguments)):
            holed = tuple(float("nan") if i == place else 5.0 for i in range(len(arguments)))
            assert np.isnan(derive(word, holed)), (word, arguments[place])
