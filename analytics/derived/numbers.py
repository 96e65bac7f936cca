"""The few words that all derived quantities share: an array of numbers, and an estimate with its interval.

Rule for NaN everywhere in this package: NaN is "not known". Functions value by value answer NaN where any input is
NaN; functions over a series take a NaN reading as no reading, so that it makes a hole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

MS: Final = 1000
HOUR_S: Final = 3600.0
DAY_MS: Final = 86_400_000
JAPAN_OFFSET_MS: Final = 9 * 3_600_000
"""A farm's day is one of the calendar at UTC+9, as in the store."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and the interval that it lies in nineteen times of twenty, if the model behind it holds.

    NaN: nothing can be said. `high` may be infinite ("perhaps never").
    """

    value: float
    low: float
    high: float


UNKNOWN: Final = Estimate(np.nan, np.nan, np.nan)


@dataclass(frozen=True, slots=True)
class Covered:
    """A sum or mean over [start, end), and how much of that time is known.

    `value` is over the known time only and never scaled up: of a sum that only grows it is a lower bound. NaN where
    nothing is known.
    """

    value: float
    known_s: float
    span_s: float

    @property
    def coverage(self) -> float:
        """Share of the time that is known, 0..1; 0 for an empty span."""
        return self.known_s / self.span_s if self.span_s > 0 else 0.0


def floats(values: npt.ArrayLike) -> FloatArray:
    """The same as an array of float64, without a copy where it is one."""
    return np.asarray(values, dtype=np.float64)
