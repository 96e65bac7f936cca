"""Sums, means and extremes over readings that come at irregular times.

Theory: a series is a line through its readings. Between two readings it runs straight, unless they are further
apart than `gap_s`: then nothing is known between them. Nothing is known before the first and after the last either.
Every sum is the exact integral of that line (crossings of a limit included), so that readings put on the line
change nothing, and the sums of two spans that meet add up to that of both. What is known of the span comes with
every answer.

Times are ms since 1970, in rising order (`ValueError` otherwise); two at the same time: the later counts. A NaN
reading is no reading. A state (on/off, wet/dry) does not run straight: `held_hours` lets a reading hold until the
next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analytics.derived.numbers import DAY_MS, HOUR_S, MS, BoolArray, Covered, FloatArray, IntArray, floats


@dataclass(frozen=True, slots=True)
class Line:
    """Readings in order, without NaN, and which steps between neighbours are known."""

    times_ms: FloatArray
    values: FloatArray
    known: BoolArray
    """One shorter than the readings."""


def line(times_ms: npt.ArrayLike, values: npt.ArrayLike, gap_s: float) -> Line:
    """The line through the readings. Raises ValueError: times not rising, not as many as values, or `gap_s` <= 0."""
    times, numbers = np.atleast_1d(floats(times_ms)), np.atleast_1d(floats(values))
    if times.shape != numbers.shape or times.ndim != 1:
        raise ValueError(f"{times.shape} times and {numbers.shape} values")
    if not gap_s > 0:
        raise ValueError(f"gap_s is {gap_s}, and has to be more than 0")
    good = ~np.isnan(numbers)
    times, numbers = times[good], numbers[good]
    steps = np.diff(times)
    if np.any(steps < 0) or np.any(np.isnan(steps)):
        raise ValueError("times have to rise")
    last = np.append(steps > 0, True) if len(times) else np.zeros(0, dtype=np.bool_)
    times, numbers = times[last], numbers[last]
    return Line(times, numbers, np.diff(times) <= gap_s * MS)


def _crossed(given: Line, level: float) -> Line:
    """The same line with a reading more wherever it crosses `level`."""
    t, v = given.times_ms, given.values
    a, b = v[:-1] - level, v[1:] - level
    at = np.flatnonzero((a * b < 0) & given.known)
    if not len(at):
        return given
    share = a[at] / (a[at] - b[at])
    new_t = t[at] + share * (t[at + 1] - t[at])
    return Line(np.insert(t, at + 1, new_t), np.insert(v, at + 1, level), np.insert(given.known, at + 1, True))


def _sum_to(given: Line, at_ms: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Integral of the line (value x ms) and known ms, from its first reading up to each of `at_ms`."""
    t, v, known = given.times_ms, given.values, given.known
    if len(t) < 2:
        return np.zeros(at_ms.shape), np.zeros(at_ms.shape)
    width = np.where(known, np.diff(t), 0.0)
    area = np.concatenate(([0.0], np.cumsum(width * (v[:-1] + v[1:]) / 2)))
    covered = np.concatenate(([0.0], np.cumsum(width)))
    at = np.clip(at_ms, t[0], t[-1])
    i = np.clip(np.searchsorted(t, at, side="right") - 1, 0, len(t) - 2)
    inside = np.where(known[i], at - t[i], 0.0)
    step = t[i + 1] - t[i]  # 0 where a crossing falls on a reading
    slope = np.divide(v[i + 1] - v[i], step, out=np.zeros(step.shape), where=step > 0)
    return area[i] + inside * (v[i] + slope * inside / 2), covered[i] + inside


def _over(given: Line, start_ms: float, end_ms: float) -> tuple[float, float, float]:
    """Integral (value x s), known s and span s of [start, end)."""
    if end_ms < start_ms:
        raise ValueError("a span ends before it starts")
    area, known = _sum_to(given, floats([start_ms, end_ms]))
    return float(area[1] - area[0]) / MS, float(known[1] - known[0]) / MS, (end_ms - start_ms) / MS


def integral(
    times_ms: npt.ArrayLike, values: npt.ArrayLike, start_ms: float, end_ms: float, *, gap_s: float
) -> Covered:
    """Sum over time of the values, in their unit x s, over what is known of [start, end)."""
    area, known, span = _over(line(times_ms, values, gap_s), start_ms, end_ms)
    return Covered(area if known > 0 else np.nan, known, span)


def time_mean(
    times_ms: npt.ArrayLike, values: npt.ArrayLike, start_ms: float, end_ms: float, *, gap_s: float
) -> Covered:
    """Mean weighted by time, in the unit of the values, over what is known of [start, end)."""
    area, known, span = _over(line(times_ms, values, gap_s), start_ms, end_ms)
    return Covered(area / known if known > 0 else np.nan, known, span)


def excess_hours(
    times_ms: npt.ArrayLike, values: npt.ArrayLike, level: float, start_ms: float, end_ms: float, *, gap_s: float
) -> Covered:
    """Sum over time of max(0, value - level), in the unit of the values x h: degree-hours, THI-hours."""
    crossed = _crossed(line(times_ms, values, gap_s), level)
    above = Line(crossed.times_ms, np.maximum(0.0, crossed.values - level), crossed.known)
    area, known, span = _over(above, start_ms, end_ms)
    return Covered(area / HOUR_S if known > 0 else np.nan, known, span)


def hours_below(
    times_ms: npt.ArrayLike, values: npt.ArrayLike, level: float, start_ms: float, end_ms: float, *, gap_s: float
) -> Covered:
    """Hours with the value at or below `level`. A line that lies on the level counts as below."""
    crossed = _crossed(line(times_ms, values, gap_s), level)
    middles = (crossed.values[:-1] + crossed.values[1:]) / 2
    return _steps(crossed, middles <= level, start_ms, end_ms)


def held_hours(
    times_ms: npt.ArrayLike, state: npt.ArrayLike, start_ms: float, end_ms: float, *, gap_s: float
) -> Covered:
    """Hours for which a state held (1 or true; 0 or false; NaN unknown): each reading holds until the next one.

    Of hourly readings it is the number of hours counted, as the rules for leaf wetness and blight are written.
    """
    given = line(times_ms, values=np.asarray(state, dtype=np.float64), gap_s=gap_s)
    return _steps(given, given.values[:-1] > 0, start_ms, end_ms)


def _steps(given: Line, true: BoolArray, start_ms: float, end_ms: float) -> Covered:
    """Hours of the steps that are true and known, cut to [start, end)."""
    if end_ms < start_ms:
        raise ValueError("a span ends before it starts")
    left, right = np.clip(given.times_ms[:-1], start_ms, end_ms), np.clip(given.times_ms[1:], start_ms, end_ms)
    width_s = np.where(given.known, right - left, 0.0) / MS
    known = float(np.sum(width_s))
    value = float(np.sum(width_s[true])) / HOUR_S if known > 0 else np.nan
    return Covered(value, known, (end_ms - start_ms) / MS)


def by_day(times_ms: npt.ArrayLike, offset_ms: int, of: Callable[[float, float], Covered]) -> Mapping[int, Covered]:
    """`of` each day from the first to the last reading, by the day's start in ms (midnight at `offset_ms` from UTC).

    Days without readings in between are there too, with no coverage; without readings there are no days.
    """
    return {start: of(start, start + DAY_MS) for start in days(times_ms, offset_ms)}


def days(times_ms: npt.ArrayLike, offset_ms: int) -> list[int]:
    """The starts of all days from the first to the last reading."""
    times = np.atleast_1d(floats(times_ms))
    if not len(times):
        return []
    first, last = (int(np.floor((t + offset_ms) / DAY_MS)) for t in (np.min(times), np.max(times)))
    return [d * DAY_MS - offset_ms for d in range(first, last + 1)]


@dataclass(frozen=True, slots=True)
class Rolling:
    """Of the `width_s` before and at each time asked for: mean over time, lowest, highest, share known (0..1)."""

    mean: FloatArray
    low: FloatArray
    high: FloatArray
    coverage: FloatArray


def rolling(
    times_ms: npt.ArrayLike, values: npt.ArrayLike, at_ms: npt.ArrayLike, width_s: float, *, gap_s: float
) -> Rolling:
    """Rolling mean, minimum and maximum of an irregular series, at any times; NaN where all of a window is unknown.

    Extremes are of the line: of the readings inside, and of where the line enters and leaves the window.
    """
    if not width_s > 0:
        raise ValueError(f"width_s is {width_s}, and has to be more than 0")
    given = line(times_ms, values, gap_s)
    end = np.atleast_1d(floats(at_ms))
    start = end - width_s * MS
    (area_0, known_0), (area_1, known_1) = _sum_to(given, start), _sum_to(given, end)
    known = known_1 - known_0
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(known > 0, (area_1 - area_0) / known, np.nan)
    first, last = np.searchsorted(given.times_ms, start), np.searchsorted(given.times_ms, end, side="right")
    edges = np.stack([value_at(given, start), value_at(given, end)])
    low = np.fmin(_extremes(given.values, first, last, np.fmin), np.fmin(edges[0], edges[1]))
    high = np.fmax(_extremes(given.values, first, last, np.fmax), np.fmax(edges[0], edges[1]))
    return Rolling(mean, low, high, known / (width_s * MS))


def value_at(given: Line, at_ms: FloatArray) -> FloatArray:
    """The value of the line at each time; NaN where it is not known there."""
    t = given.times_ms
    if len(t) == 0:
        return np.full(at_ms.shape, np.nan)
    on = np.interp(at_ms, t, given.values, left=np.nan, right=np.nan)
    if len(t) == 1:
        return np.asarray(on, dtype=np.float64)
    i = np.clip(np.searchsorted(t, at_ms, side="right") - 1, 0, len(t) - 2)
    return np.where(given.known[i] | (at_ms == t[i]) | (at_ms == t[i + 1]), on, np.nan)


def _extremes(
    values: FloatArray, first: IntArray, last: IntArray, pick: Callable[[FloatArray, FloatArray], FloatArray]
) -> FloatArray:
    """Extreme of values[first:last] for each pair, NaN where that is empty; a table of powers of two."""
    tables = [values]
    while 2 ** len(tables) <= len(values):
        half = 2 ** (len(tables) - 1)
        tables.append(pick(tables[-1][:-half], tables[-1][half:]))
    found = np.full(first.shape, np.nan)
    length = last - first
    for power, table in enumerate(tables):
        here = (length >= 2**power) & (length < 2 ** (power + 1))
        found[here] = pick(table[first[here]], table[last[here] - 2**power])
    return found
