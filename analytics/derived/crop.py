"""What crops count: degree days, chill and frost hours, days that suit blight.

Days are those of UTC+9 unless said otherwise. Arrays value by value answer NaN where an input is NaN; what works on
readings at irregular times says how much it knows, and a day that is known too little is no day (None).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from analytics.derived.numbers import DAY_MS, JAPAN_OFFSET_MS, Covered, FloatArray, floats
from analytics.derived.sums import days, held_hours, hours_below, line, rolling

BASE_C: Final[Mapping[str, float]] = {
    "maize": 10.0,
    "beans": 10.0,
    "sugar-beet": 5.0,
    "potato": 5.0,
    "wheat": 0.0,
}
"""Base temperatures as commonly used (general knowledge; varieties differ by 1-2 ℃)."""
CHILL_C: Final = 7.2
"""45 °F, the classic chill-hour limit (Weinberger 1950)."""
BLIGHT_MIN_C: Final = 10.0
BLIGHT_RH_PCT: Final = 90.0
HUTTON_H: Final = 6.0
SMITH_H: Final = 11.0
FLABS_DANGER: Final = 21.0
ENOUGH: Final = 0.9
"""Share of a day that has to be known for the day to count."""


def degree_days_average(low_c: npt.ArrayLike, high_c: npt.ArrayLike, base_c: float) -> FloatArray:
    """Degree days of each day: max(0, (min + max)/2 - base), in ℃ d; NaN where the minimum is above the maximum.

    Fails on days that cross the base: a day of -5..15 ℃ has none at base 10, and plants grew at noon; see the sine.
    """
    low, high = floats(low_c), floats(high_c)
    return floats(np.where(low <= high, np.maximum(0.0, (low + high) / 2 - base_c), np.nan))


def degree_days_sine(
    low_c: npt.ArrayLike, high_c: npt.ArrayLike, base_c: float, upper_c: float | None = None
) -> FloatArray:
    """Degree days of each day under a sine through its minimum and maximum, in ℃ d; horizontal cut-off at `upper_c`.

    Above `upper_c` a plant grows as at `upper_c`. NaN where the minimum is above the maximum. Raises ValueError for
    an upper threshold that is not above the base. Source: Baskerville and Emin (1969), Ecology 50, 514-517; cut-off
    as in UC IPM.
    """
    if upper_c is not None and not upper_c > base_c:
        raise ValueError(f"the upper threshold {upper_c} is not above the base {base_c}")
    low, high = np.broadcast_arrays(floats(low_c), floats(high_c))
    above = _sine_above(low, high, base_c)
    if upper_c is not None:
        above = above - _sine_above(low, high, upper_c)
    return floats(np.where(low <= high, above, np.nan))


def _sine_above(low: FloatArray, high: FloatArray, level: float) -> FloatArray:
    """Mean over a day of max(0, sine - level)."""
    middle, half = (high + low) / 2, (high - low) / 2
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        angle = np.arcsin(np.clip((level - middle) / half, -1, 1))
    part = ((middle - level) * (np.pi / 2 - angle) + half * np.cos(angle)) / np.pi
    return floats(np.where(low >= level, middle - level, np.where(high <= level, 0.0, part)))


def chill_hours(
    times_ms: npt.ArrayLike, air_c: npt.ArrayLike, start_ms: float, end_ms: float, *, gap_s: float = 5400.0
) -> Covered:
    """Hours at or below 7.2 ℃ in [start, end). All cold counts alike, frost too, which some models do not."""
    return hours_below(times_ms, air_c, CHILL_C, start_ms, end_ms, gap_s=gap_s)


def frost_hours(
    times_ms: npt.ArrayLike,
    surface_c: npt.ArrayLike,
    start_ms: float,
    end_ms: float,
    *,
    at_c: float = 0.0,
    gap_s: float = 5400.0,
) -> Covered:
    """Hours at or below `at_c` in [start, end), of a leaf or at grass height.

    Of air at 1.5 m it says too little: on clear still nights leaves are several degrees colder (risktaisaku.com,
    27599).
    """
    return hours_below(times_ms, surface_c, at_c, start_ms, end_ms, gap_s=gap_s)


@dataclass(frozen=True, slots=True)
class BlightDay:
    """One day's weather for blight: lowest temperature, hours of damp air, and whether enough of both is known."""

    start_ms: int
    low_c: float
    damp_h: float
    known: bool

    def suits(self, hours: float) -> bool | None:
        """Whether the day meets the rule; None where that is not known. A day that was too cold once is known."""
        if self.low_c < BLIGHT_MIN_C:
            return False
        return self.damp_h >= hours if self.known else None


def blight_days(
    times_ms: npt.ArrayLike,
    air_c: npt.ArrayLike,
    rh_pct: npt.ArrayLike,
    *,
    gap_s: float = 5400.0,
    offset_ms: int = JAPAN_OFFSET_MS,
) -> list[BlightDay]:
    """Each day's lowest temperature and hours with RH >= 90 %, from hourly (or denser) readings in order.

    An hour counts by its reading, as the criteria are written. A humidity sensor that is 3 % off moves the hours by
    several: take it as a second opinion.
    """
    air, rh = floats(air_c), floats(rh_pct)
    damp = np.where(np.isnan(rh), np.nan, rh >= BLIGHT_RH_PCT)
    starts = days(times_ms, offset_ms)
    if not starts:
        return []
    wet = [held_hours(times_ms, damp, s, s + DAY_MS, gap_s=gap_s) for s in starts]
    cold = rolling(times_ms, air, floats(starts) + DAY_MS - 1, DAY_MS / 1000, gap_s=gap_s)
    return [
        BlightDay(s, float(low), w.value, min(w.coverage, float(share)) >= ENOUGH)
        for s, low, share, w in zip(starts, cold.low, cold.coverage, wet, strict=True)
    ]


def blight_periods(given: Sequence[BlightDay], hours: float = HUTTON_H) -> list[int]:
    """Starts of the days that complete a period: they and the day before suit. 6 h: Hutton; 11 h: Smith.

    Hutton criteria: AHDB project 11120018 (Dancey, Skelsey, Cooke 2017). Smith (1956) asks for 11 h; some stations
    use 10.
    """
    pairs = itertools.pairwise(given)
    return [b.start_ms for a, b in pairs if b.start_ms - a.start_ms == DAY_MS and a.suits(hours) and b.suits(hours)]


@dataclass(frozen=True, slots=True)
class DayWeather:
    """What FLABS takes of a day: temperatures in ℃, rain in mm."""

    start_ms: int
    high_c: float
    low_c: float
    mean_c: float
    rain_mm: float


class BlightScore(Protocol):
    """How well a day suits infection, 0..3. FLABS' own table is not public; who has it plugs it in here."""

    def score(self, day: DayWeather) -> float:
        """0..3; NaN where the day is not known."""
        ...


@dataclass(frozen=True, slots=True)
class BlightRisk:
    """Sum of the scores from emergence on to each day, the day that reached 21 (None: none yet), days not known."""

    cumulative: FloatArray
    danger_ms: int | None
    unknown_days: int


def blight_risk(weather: Sequence[DayWeather], emergence_ms: int, scorer: BlightScore) -> BlightRisk:
    """Cumulative score from emergence; at 21 danger: first outbreak some two weeks later (agri.hro.or.jp, FLABS).

    A day without a score adds nothing and is counted as unknown: the sum is then a lower bound. A score outside 0..3
    raises ValueError, so that a wrong table is seen at once.
    """
    used = [d for d in weather if d.start_ms >= emergence_ms]
    scores = floats([scorer.score(d) for d in used])
    if np.any((scores < 0) | (scores > 3)):
        raise ValueError("a day's score is 0..3")
    total = np.cumsum(np.nan_to_num(scores, nan=0.0))
    reached = np.flatnonzero(total >= FLABS_DANGER)
    danger = used[int(reached[0])].start_ms if len(reached) else None
    return BlightRisk(total, danger, int(np.sum(np.isnan(scores))))


def stage_reached(degree_days: npt.ArrayLike, needed: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Number of stages that are reached on each day: `needed` is the degree days of each stage, rising.

    `degree_days` is by day, and summed up here; a NaN day adds nothing. Raises ValueError for stages that do not
    rise.
    """
    stages = floats(needed)
    if np.any(np.diff(stages) <= 0):
        raise ValueError("stages have to need more and more degree days")
    total = np.cumsum(np.nan_to_num(np.atleast_1d(floats(degree_days)), nan=0.0))
    return np.asarray(np.searchsorted(stages, total, side="right"), dtype=np.int64)


def daily_range(
    times_ms: npt.ArrayLike, air_c: npt.ArrayLike, *, gap_s: float = 5400.0, offset_ms: int = JAPAN_OFFSET_MS
) -> tuple[list[int], FloatArray, FloatArray]:
    """Starts of the days, their lowest and highest temperature; NaN where less than 90 % of a day is known."""
    starts = days(times_ms, offset_ms)
    if not starts or not len(line(times_ms, air_c, gap_s).times_ms):
        return starts, np.full(len(starts), np.nan), np.full(len(starts), np.nan)
    found = rolling(times_ms, air_c, floats(starts) + DAY_MS, DAY_MS / 1000, gap_s=gap_s)
    enough = found.coverage >= ENOUGH
    return starts, np.where(enough, found.low, np.nan), np.where(enough, found.high, np.nan)
