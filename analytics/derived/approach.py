"""How milk comes nearer to what surrounds it: T(t) = end + A exp(-k t) through readings, and when it meets a level.

Theory: with the rate `k` given, the best `end` and `A` are formulas, so that the fit is a search for one number, on
a grid that is made finer around what agrees with the readings (likelihood ratio, 95 %). For each rate that agrees,
so do the ends within a known distance; all these pairs are kept, and the interval of a time is the range of the
times that they give. That takes bounds and a prior, and says honestly "perhaps never" while the readings cannot
tell how cold it will become. Errors that last are allowed for by the correlation of neighbouring residuals,
rounding by the instrument's resolution.

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
_RATES: Final = 200
_ENDS: Final = np.linspace(-1.0, 1.0, 41)
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
    freedom = max(1, len(values) - (2 if end_c[0] == end_c[1] else 3))
    limit = _CHI2_95 * (1 + 3.6 / (freedom + (_PRIOR_WORTH if prior else 0)))  # nearly the F quantile
    bounds = (np.log(SLOWEST_PER_MIN), np.log(FASTEST_PER_MIN))
    for _ in range(_PASSES):
        log_rates = np.linspace(*bounds, _RATES)
        sums = _Sums.of(minutes, values, np.exp(log_rates))
        best_end = np.clip(sums.best_end(), *end_c)
        squares, amplitudes = sums.squares(best_end[:, None], warming)
        if not np.any(np.isfinite(squares)):
            return None
        i = int(np.argmin(squares))
        residuals = values - best_end[i] - amplitudes[i, 0] * np.exp(-np.exp(log_rates[i]) * minutes)
        variance = _variance(residuals, freedom, resolution_c)
        if prior is None and float(np.sum((values - np.mean(values)) ** 2) - squares[i, 0]) <= limit * variance:
            return None  # standing still explains the readings as well
        strain = 0.0 if prior is None else ((log_rates - np.log(prior.rate_per_min)) / np.log(prior.factor)) ** 2
        profile = squares[:, 0] / variance + strain
        agree = np.flatnonzero(profile <= np.min(profile) + limit)
        bounds = log_rates[max(0, agree[0] - 1)], log_rates[min(_RATES - 1, agree[-1] + 1)]
    reach = np.sqrt(limit * variance / np.maximum(sums.curvature, 1e-300))[:, None]
    ends = np.clip(np.column_stack([best_end, sums.best_end()[:, None] + reach * _ENDS]), *end_c)
    squares, amplitudes = sums.squares(ends, warming)
    misfit = squares / variance + np.broadcast_to(strain, log_rates.shape)[:, None]
    best = int(np.argmin(misfit))
    chosen = np.append(best, np.flatnonzero(misfit <= misfit.flat[best] + limit))
    rows, columns = np.unravel_index(chosen, misfit.shape)
    sd = float(np.sqrt(squares.flat[best] / freedom))
    return Approach(
        start_ms, np.exp(log_rates[rows]), ends[rows, columns], amplitudes[rows, columns], sd, len(values)
    )


@dataclass(frozen=True, slots=True)
class _Sums:
    """What least squares need of the readings, for each rate; temperatures from their mean, against cancellation."""

    count: int
    centre: float
    e: FloatArray
    ee: FloatArray
    ev: FloatArray
    vv: float

    @classmethod
    def of(cls, minutes: FloatArray, values: FloatArray, rates: FloatArray) -> _Sums:
        shape = np.exp(-np.outer(rates, minutes))
        centre = float(np.mean(values))
        v = values - centre
        return cls(
            len(values), centre, np.sum(shape, axis=1), np.sum(shape**2, axis=1), shape @ v, float(np.sum(v**2))
        )

    @property
    def curvature(self) -> FloatArray:
        """How fast the squares rise with the distance (squared) from the best end."""
        return self.count - self.e**2 / self.ee

    def best_end(self) -> FloatArray:
        """The end with the least squares for each rate, in ℃, without bounds."""
        with np.errstate(divide="ignore", invalid="ignore"):
            offset = -self.e * self.ev / self.ee / self.curvature
        return np.nan_to_num(offset, nan=0.0) + self.centre

    def squares(self, ends: FloatArray, warming: bool) -> tuple[FloatArray, FloatArray]:
        """Squared residuals and best amplitude for each rate (rows) and end; infinite where the sign is wrong."""
        offset = ends - self.centre
        ev = self.ev[:, None] - self.e[:, None] * offset
        amplitudes = ev / self.ee[:, None]
        squares = np.maximum(0.0, self.vv + self.count * offset**2 - ev * amplitudes)
        right = (amplitudes < 0) if warming else (amplitudes > 0)
        return np.where(right, squares, np.inf), amplitudes


def _variance(residuals: FloatArray, freedom: int, resolution_c: float) -> float:
    """Of one independent reading: from the best fit's residuals, more for errors that last, not below rounding."""
    squares = float(np.sum(residuals**2))
    lasting = 0.0
    if len(residuals) > 3 and squares > 0:
        lasting = float(np.sum(residuals[1:] * residuals[:-1]) / squares)
        if lasting > 2 / np.sqrt(len(residuals)):  # real, and then a fit through it shows too little of it
            lasting += 2 * (1 + 3 * lasting) / len(residuals)
        lasting = float(np.clip(lasting, 0.0, 0.95))
    return max(squares / freedom, resolution_c**2 / 12) * (1 + lasting) / (1 - lasting)
