"""Quantities that are computed from measured ones: pure functions of numpy arrays that take scalars too.

They guarantee the broadcast shape of their inputs and NaN wherever an input is NaN; they do no I/O, keep nothing,
and do not judge. `air` and `heat` are value by value; `sums`, `signals`, `tank`, `crop` and `water` work on
readings at irregular times and say how much of a span they know; `soil` and `sun` stand alone. docs/derived.md
lists formulas, sources and where each fails.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from analytics.derived.air import dew_point, mixing_ratio, vapour_deficit_kpa, wet_bulb
from analytics.derived.heat import felt_temperature, thi, thi_nrc, wind_chill
from analytics.derived.numbers import Covered, Estimate, FloatArray

__all__ = ["FORMULAS", "Covered", "Estimate", "FloatArray", "derive", "thi", "thi_nrc"]


def _mixing_ratio(air_c: FloatArray, rh_pct: FloatArray) -> npt.NDArray[Any]:
    return mixing_ratio(air_c, rh_pct) / 1000.0  # the catalogue's unit is kg/kg


def _vpd(air_c: FloatArray, rh_pct: FloatArray) -> npt.NDArray[Any]:
    return vapour_deficit_kpa(air_c, rh_pct) * 1000.0  # Pa


FORMULAS: Final[Mapping[str, Callable[..., npt.NDArray[Any]]]] = {
    "thi": thi,
    "dew_point": dew_point,
    "wet_bulb": wet_bulb,
    "felt_temperature": felt_temperature,
    "wind_chill": wind_chill,
    "mixing_ratio": _mixing_ratio,
    "vpd": _vpd,
}
"""By the word in a rule's `derived`; arguments in the order of `makiba.rule_model.DERIVATIONS`."""


def derive(name: str, arguments: tuple[float, ...]) -> float:
    """One value of the derived quantity `name`; NaN where an argument is NaN."""
    return float(np.float64(FORMULAS[name](*arguments)))
