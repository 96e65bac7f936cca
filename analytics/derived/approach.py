"""How milk comes nearer to what surrounds it: T(t) = end + A exp(-k t) through readings, and when it meets a level.

Theory: with `end` and `k` given the best A is a formula, so the whole fit is two numbers, and these are searched on
a grid that is made finer around what agrees with the readings (likelihood ratio, 95 %). Every pair that agrees is
kept: the interval of a time is the range of the times that they give. That needs no derivative, takes bounds, and
says honestly "perhaps never" while the readings cannot tell how cold it will become. Errors that last are allowed
for by the correlation of neighbouring residuals, rounding by the instrument's resolution.

Where it fails: when the truth is not this curve (milk is added, the agitator stands and the tank is in layers, the
compressor cycles). The interval does not know that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from analytics.derived.numbers import MS, Estimate, FloatArray, floats

RESOLUTION_C: Final = 0.1
SLOWEST_PER_MIN: Final = 1e-6
FASTEST_PER_MIN: Final = 1.0
MOST_READINGS: Final = 400
_RATES, _ENDS = 160, 61
_PASSES: Final = 4
_CHI2_95: Final = 3.84
_PRIOR_WORTH: Final = 10
_MIN_MS: Final = 60 * MS


@dataclass(frozen=True, slots=True)
class Prior:
    """What is known of the rate before anything is seen: its middle per minute, and its spread (1 sd) as a factor."""

    rate_per_min: float
    factor: float


@dataclass(frozen=True, slots=True)
class Approach:
    """A fitted curve: the best one first in each array, then all that agree with the readings.

    `T(minutes after start_ms) = end_c + amplitude_c exp(-rate_per_min * minutes)`; `sd_c` is of the residuals.
    """

    start_ms: float
    rate_per_min: FloatArray
    end_c: FloatArray
    amplitude_c: FloatArray
    sd_c: float
    readings: int

    def at(self, times_ms: npt.ArrayLike) -> FloatArray:
        """The best curve in ℃ at these times."""
        minutes = (floats(times_ms) - self.start_ms) / _MIN_MS
        return floats(self.end_c[0] + self.amplitude_c[0] * np.exp(-self.rate_per_min[0] * minutes))

    def minutes_to(self, level_c: float, now_ms: float) -> Estimate:
        """Minutes from `now_ms` until the curve meets `level_c`; 0 where it has, infinite where it never will."""
        with np.errstate(divide="ignore", invalid="ignore"):
            share = (level_c - self.end_c) / self.amplitude_c  # of the way still to go at the meeting
            met = np.where(share > 0, -np.log(share) / self.rate_per_min, np.inf)
        left = np.maximum(0.0, met - (now_ms - self.start_ms) / _MIN_MS)
        return Estimate(float(left[0]), float(np.min(left)), float(np.max(left)))


def fit_approach(
    times_ms: npt.ArrayLike,
    values_c: npt.ArrayLike,
    *,
    end_c: tuple[float, float],
    warming: bool,
    prior: Prior | None = None,
    resolution_c: float = RESOLUTION_C,
) -> Approach | None:
    """The curve through readings in ℃, or None where nothing can be said.

    `end_c`: the lowest and highest temperature that it may come to; the same twice where that is known. Without a
    prior it takes 4 readings at least, with one 1. NaN readings are none. Raises ValueError for times that do not
    rise.
    """
    times, values = np.atleast_1d(floats(times_ms)), np.atleast_1d(floats(values_c))
    good = ~np.isnan(values)
    times, values = times[good], values[good]
    if np.any(np.diff(times) <= 0):
        raise ValueError("times have to rise")
    if len(times) < (4 if prior is None else 1) or not end_c[0] <= end_c[1]:
        return None
    if len(times) > MOST_READINGS:
        keep = np.unique(np.linspace(0, len(times) - 1, MOST_READINGS).round().astype(np.int64))
        times, values = times[keep], values[keep]
    return _search((times - times[0]) / _MIN_MS, values, float(times[0]), end_c, warming, prior, resolution_c)


def _search(
    minutes: FloatArray,
    values: FloatArray,
    start_ms: float,
    end_c: tuple[float, float],
    warming: bool,
    prior: Prior | None,
    resolution_c: float,
) -> Approach | None:
    rate_range = (np.log(SLOWEST_PER_MIN), np.log(FASTEST_PER_MIN))
    end_range = end_c
    freedom = max(1, len(values) - (2 if end_c[0] == end_c[1] else 3))
    limit = _CHI2_95 * (1 + 3.6 / (freedom + (_PRIOR_WORTH if prior else 0)))  # nearly the F quantile
    found: Approach | None = None
    for _ in range(_PASSES):
        log_rates = np.linspace(*rate_range, _RATES)
        ends = np.linspace(*end_range, _ENDS) if end_range[1] > end_range[0] else floats([end_range[0]])
        squares, amplitudes = _squares(minutes, values, np.exp(log_rates), ends, warming)
        if not np.any(np.isfinite(squares)):
            return found
        variance = _variance(minutes, values, np.exp(log_rates), ends, squares, amplitudes, freedom, resolution_c)
        misfit = squares / variance
        if prior is not None:
            misfit = misfit + (((log_rates - np.log(prior.rate_per_min)) / np.log(prior.factor)) ** 2)[:, None]
        i, j = np.unravel_index(np.argmin(misfit), misfit.shape)
        agree = misfit <= misfit[i, j] + limit
        agree[i, j] = False
        rows, columns = np.nonzero(agree)
        rows, columns = np.append(i, rows), np.append(j, columns)
        sd = float(np.sqrt(squares[i, j] / freedom))
        found = Approach(start_ms, np.exp(log_rates[rows]), ends[columns], amplitudes[rows, columns], sd, len(values))
        rate_range = _around(log_rates, rows)
        end_range = _around(ends, columns) if len(ends) > 1 else end_range
    return found


def _squares(
    minutes: FloatArray, values: FloatArray, rates: FloatArray, ends: FloatArray, warming: bool
) -> tuple[FloatArray, FloatArray]:
    """Sum of squared residuals and best amplitude for each rate and end; infinite where the sign is wrong."""
    shape = np.exp(-np.outer(rates, minutes))
    centre = float(np.mean(values))
    v, offset = values - centre, ends - centre
    s_ee, s_e = np.sum(shape**2, axis=1)[:, None], np.sum(shape, axis=1)[:, None]
    s_ev = (shape @ v)[:, None] - s_e * offset[None, :]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        amplitudes = s_ev / s_ee
        total = float(np.sum(v**2)) - 2 * offset * float(np.sum(v)) + len(v) * offset**2
        squares = np.maximum(0.0, total[None, :] - s_ev * amplitudes)
    right = np.isfinite(amplitudes) & ((amplitudes < 0) if warming else (amplitudes > 0))
    return np.where(right, squares, np.inf), amplitudes


def _variance(
    minutes: FloatArray,
    values: FloatArray,
    rates: FloatArray,
    ends: FloatArray,
    squares: FloatArray,
    amplitudes: FloatArray,
    freedom: int,
    resolution_c: float,
) -> float:
    """Of one independent reading: from the best fit's residuals, more for errors that last, not below rounding."""
    i, j = np.unravel_index(np.argmin(squares), squares.shape)
    left = values - ends[j] - amplitudes[i, j] * np.exp(-rates[i] * minutes)
    lasting = 0.0
    if len(left) > 3 and np.any(left != 0):
        lasting = float(np.clip(np.sum(left[1:] * left[:-1]) / np.sum(left**2), 0.0, 0.95))
    rounding = resolution_c**2 / 12
    return max(float(squares[i, j]) / freedom, rounding) * (1 + lasting) / (1 - lasting)


def _around(grid: FloatArray, chosen: npt.NDArray[np.intp]) -> tuple[float, float]:
    return float(grid[max(0, int(np.min(chosen)) - 1)]), float(grid[min(len(grid) - 1, int(np.max(chosen)) + 1)])
