"""What a series does: its slope in spite of outliers, how long a thing ran, what a counter counted.

Times are ms since 1970, in rising order (`ValueError` otherwise). A NaN reading is no reading.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from analytics.derived.numbers import MS, UNKNOWN, BoolArray, Covered, Estimate, FloatArray, floats
from analytics.derived.sums import line

MOST_FOR_PAIRS: Final = 600
"""180,000 slopes at most; more readings are thinned evenly."""
_Z_95: Final = 1.959964
_FOR_EVER_S: Final = 1e12


def theil_sen(times_ms: npt.ArrayLike, values: npt.ArrayLike, *, per_s: float = 86_400.0) -> Estimate:
    """Slope of the series per `per_s` seconds (a day): the median of the slopes between all pairs of readings.

    Up to 29 % of the readings may be arbitrarily wrong. The interval is Sen's: it holds for independent errors and
    is too narrow for a series whose errors last. NaN with fewer than 2 readings; the interval is infinite with
    fewer than 4. Source: Sen (1968), J. Am. Stat. Assoc. 63, 1379-1389.
    """
    given = line(times_ms, values, _FOR_EVER_S)
    t, v = given.times_ms, given.values
    if len(t) < 2:
        return UNKNOWN
    if len(t) > MOST_FOR_PAIRS:
        keep = np.unique(np.linspace(0, len(t) - 1, MOST_FOR_PAIRS).round().astype(np.int64))
        t, v = t[keep], v[keep]
    i, j = np.triu_indices(len(t), 1)
    slopes = np.sort((v[j] - v[i]) / (t[j] - t[i])) * (per_s * MS)
    n = len(t)
    half = _Z_95 * np.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    low, high = int(np.floor((len(slopes) - half) / 2)), int(np.ceil((len(slopes) + half) / 2))
    wide = n < 4 or low < 0 or high >= len(slopes)
    return Estimate(
        float(np.median(slopes)), -np.inf if wide else float(slopes[low]), np.inf if wide else float(slopes[high])
    )


@dataclass(frozen=True, slots=True)
class Runs:
    """Times of one state after the other, in order: `on[i]` from `start_ms[i]` to `end_ms[i]`.

    `whole[i]`: both ends were seen. The first and the last run, and those at a hole, were longer by an unknown time.
    """

    start_ms: FloatArray
    end_ms: FloatArray
    on: BoolArray
    whole: BoolArray

    @property
    def length_s(self) -> FloatArray:
        return (self.end_ms - self.start_ms) / MS


def runs(
    times_ms: npt.ArrayLike,
    values: npt.ArrayLike,
    *,
    on_above: float = 0.5,
    off_below: float | None = None,
    gap_s: float,
) -> Runs:
    """How long something ran and stood: pump cycles from its current, fans, doors.

    On above `on_above`, off below `off_below` (the same number unless given), unchanged between the two; before the
    first clear reading it is off. A state holds from its reading to the next one; a step longer than `gap_s` is a
    hole that ends a run. An end is late by up to one poll: a pump polled every minute has cycles that are ±1 min.
    """
    off_at = on_above if off_below is None else off_below
    if off_at > on_above:
        raise ValueError(f"off below {off_at} is above on above {on_above}")
    given = line(times_ms, values, gap_s)
    t, v = given.times_ms, given.values
    if len(t) < 2:
        nothing = np.zeros(0)
        return Runs(nothing, nothing, nothing > 0, nothing > 0)
    clear = (
        np.where(v > on_above, 1, np.where(v < off_at, 0, -1)) if off_at < on_above else (v > on_above).astype(int)
    )
    last = np.maximum.accumulate(np.where(clear >= 0, np.arange(len(v)), -1))
    state = np.where(last >= 0, clear[np.maximum(last, 0)], 0) > 0
    begins = np.concatenate(([True], (state[1:] != state[:-1]) | ~given.known))
    first = np.flatnonzero(begins)
    after_hole = np.concatenate(([True], ~given.known))
    next_first = np.append(first[1:], len(t))
    to_hole = after_hole[np.minimum(next_first, len(t) - 1)] | (next_first == len(t))
    end = np.where(to_hole, t[next_first - 1], t[np.minimum(next_first, len(t) - 1)])
    kept = end > t[first]
    return Runs(t[first][kept], end[kept], state[first][kept], ~(after_hole[first] | to_hole)[kept])


def increments(
    counts: npt.ArrayLike, *, wrap: float | None = None, largest: npt.ArrayLike | None = None
) -> FloatArray:
    """What a counter counted since the reading before, same shape; NaN for the first reading and for NaN readings.

    After a NaN the increment is since the last number, so that nothing is lost. A count that went down was wrapped
    or reset: with `wrap` (the number at which the register begins anew) it is a wrap where the step over it is at
    most `largest` (a scalar or one per reading; default a tenth of `wrap`), else a reset. After a reset the new
    count is what counts since: a lower bound, since what came between the last reading and the reset is lost. A
    step above `largest` (a swapped meter) is NaN. Negative counts raise ValueError.
    """
    count = np.atleast_1d(floats(counts))
    if np.any(count < 0):
        raise ValueError("a counter is never negative")
    found = np.full(count.shape, np.nan)
    at = np.flatnonzero(~np.isnan(count))
    if len(at) < 2:
        return found
    now, before = count[at[1:]], count[at[:-1]]
    bound = np.broadcast_to(floats(largest if largest is not None else np.inf), count.shape)[at[1:]]
    step = now - before
    if wrap is not None:
        over = step + wrap
        step = np.where(
            (step < 0) & (over >= 0) & (over <= np.minimum(bound, wrap if largest is not None else wrap / 10)),
            over,
            step,
        )
    step = np.where(step < 0, now, step)
    found[at[1:]] = np.where(step <= bound, step, np.nan)
    return found


def rates(
    times_ms: npt.ArrayLike,
    counts: npt.ArrayLike,
    *,
    wrap: float | None = None,
    largest_per_s: float | None = None,
) -> FloatArray:
    """Mean rate of a counter since the reading before, in its unit per second; NaN as `increments`, same shape."""
    time_s = np.atleast_1d(floats(times_ms)) / MS
    count = np.atleast_1d(floats(counts))
    if time_s.shape != count.shape:
        raise ValueError(f"{time_s.shape} times and {count.shape} counts")
    at = np.flatnonzero(~np.isnan(count))
    width = np.full(count.shape, np.nan)
    width[at[1:]] = np.diff(time_s[at])
    if np.any(width <= 0):
        raise ValueError("times have to rise")
    largest = None if largest_per_s is None else largest_per_s * np.where(np.isnan(width), 0.0, width)
    return floats(increments(count, wrap=wrap, largest=largest) / width)


def counted(
    times_ms: npt.ArrayLike,
    counts: npt.ArrayLike,
    start_ms: float,
    end_ms: float,
    *,
    wrap: float | None = None,
    largest_per_s: float | None = None,
) -> Covered:
    """What a counter counted in [start, end), in its unit; a step across an end is shared out by time.

    A counter bridges holes: however long it was silent, it tells afterwards what went by. Only steps that are NaN
    (a swapped meter) and the time before the first and after the last reading are unknown.
    """
    if end_ms < start_ms:
        raise ValueError("a span ends before it starts")
    rate = rates(times_ms, counts, wrap=wrap, largest_per_s=largest_per_s)
    times = np.atleast_1d(floats(times_ms))
    at = np.flatnonzero(~np.isnan(np.atleast_1d(floats(counts))))
    left, right = np.clip(times[at[:-1]], start_ms, end_ms), np.clip(times[at[1:]], start_ms, end_ms)
    step = rate[at[1:]]
    width_s = np.where(np.isnan(step), 0.0, right - left) / MS
    known = float(np.sum(width_s))
    value = float(np.nansum(step * width_s)) if known > 0 else np.nan
    return Covered(value, known, (end_ms - start_ms) / MS)
