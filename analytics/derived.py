"""Quantities that are computed from measured ones: pure functions of numpy arrays.

They guarantee the shape of their inputs, and NaN wherever an input is NaN; they do not judge.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def thi(air_c: npt.ArrayLike, rh_pct: npt.ArrayLike) -> FloatArray:
    """Temperature-humidity index of cattle, dimensionless, in the broadcast shape of the inputs; NaN where either is.

    `air_c`: dry bulb in ℃; `rh_pct`: relative humidity in percent, cut to 0..100 (a wet sensor says up to 105).
    THI = 0.8 T + RH/100 (T - 14.4) + 46.4, the form used in Japan (shepherd-clc.com, archives 3304). At 24 ℃ and
    75 % it gives 72.8; NRC (1971), A Guide to Environmental Research on Animals, gives 72.9.
    """
    air = np.asarray(air_c, dtype=np.float64)
    share = np.clip(np.asarray(rh_pct, dtype=np.float64), 0.0, 100.0) / 100.0
    return np.asarray(0.8 * air + share * (air - 14.4) + 46.4, dtype=np.float64)


FORMULAS: Final[Mapping[str, Callable[..., npt.NDArray[Any]]]] = {"thi": thi}
"""By the word in a rule's `derived`; arguments in the order of `makiba.rule.DERIVATIONS`."""


def derive(name: str, arguments: tuple[float, ...]) -> float:
    """One value of the derived quantity `name`; NaN where an argument is NaN."""
    return float(FORMULAS[name](*arguments))
