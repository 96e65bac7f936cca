"""Calm pairs: which readings cannot change what a pair without a problem remembers, which is nothing.

Theory of operation. A problem begins when *all* conditions of `raise` hold (or of one of its `or`: then each has a
guard). As long as one of them is known not to hold, the guard, the others may be anything: the pair remembers nothing
(`makiba/standing.py`), and a reading need not be looked at. `guard_of` chooses a guard and says within which values
of which series it stays one, and until when. That holds whatever becomes stale or faulty meanwhile: unknown raises
nothing either, and of several sources any part stays within the same band as all of them. What excuses a pair
(`excused.after`) is remembered, so that those conditions must stay untrue as well.

Not every condition can be a guard: one on a sum or a context moves with time. A pair without a guard is looked at
with every reading of it; as long as it has no problem, only at what still keeps it from one (`is_kept`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import product
from typing import Final, NamedTuple

from analytics.derived import derive
from analytics.pairs import Pair
from analytics.seen import STATE, Seen
from analytics.signals.planned import Planned
from analytics.watching import NEVER
from makiba.reading import Series, Value
from makiba.rule import DERIVATIONS, Condition
from makiba.standing import groups, holds

_STEPS: Final[Mapping[str, float]] = {"air": 2.0, "rh": 8.0, "wind": 2.0}
"""How far at most an argument of a derivation may go, in its unit, before it is looked at again."""
_SHARES: Final = (1.0, 0.25)
"""Parts of these steps that are tried, one after the other."""
_SOUND: Final[Mapping[str, str]] = {"device": "ok", "gateway": "online"}


class Band(NamedTuple):
    """Values of a series that change nothing: numbers between the two, and one text (`ANY`: each)."""

    low: float
    high: float
    text: str | None = None


ANY: Final = "*"
FREE: Final = Band(-math.inf, math.inf, ANY)
"""Of a series that the guard does not ask for."""

Bands = dict[Series, Band]


class Guard(NamedTuple):
    """As long as readings stay within `bands` (any, of a series that is not in it) and before `until_ms`."""

    bands: Bands
    until_ms: int = NEVER


def guard_of(pair: Pair, seen: Seen) -> Guard | None:
    """With which readings `pair` stays without a problem; None where that cannot be said."""
    found = Guard({})
    excused = pair.rule.rule.excused
    for condition in excused.after if excused else ():
        if condition.signal in pair.signals:
            one = _stays_untrue(pair, seen, condition)
            if one is None:
                return None
            found = _both(found, one)
    for when in groups(pair.rule, pair.rule.rule.raise_, pair.signals):
        best: Guard | None = None
        for condition in when:
            one = _stays_untrue(pair, seen, condition)
            if one is not None and (best is None or one.until_ms > best.until_ms):
                best = one
                if one.until_ms == NEVER:
                    break
        if best is None:
            return None
        found = _both(found, best)
    return found


def ways_of(pair: Pair) -> tuple[tuple[Condition, ...], ...]:
    """The ways in which a problem of `pair` may begin: conditions that must all hold, the cheapest first."""

    def price(condition: Condition) -> int:
        planned = pair.signals[condition.signal]
        return 3 if planned.tracks else 0 if planned.plain or planned.keys else 1 if not planned.signal.derived else 2

    return tuple(tuple(sorted(when, key=price)) for when in groups(pair.rule, pair.rule.rule.raise_, pair.signals))


def is_kept(pair: Pair, ways: tuple[tuple[Condition, ...], ...], seen: Seen, at_ms: int) -> bool:
    """Whether in each way a condition does not hold at `at_ms`, or is unknown, so that no problem begins."""
    return all(
        any(not holds(pair.rule, condition, seen.value(pair, condition.signal, at_ms)) for condition in when)
        for when in ways
    )


def _both(one: Guard, other: Guard) -> Guard:
    return Guard(_within(one.bands, other.bands), min(one.until_ms, other.until_ms))


def _within(one: Bands, other: Bands) -> Bands:
    found = dict(one)
    for series, band in other.items():
        had = found.get(series, FREE)
        text = band.text if had.text == ANY else had.text if band.text in (ANY, had.text) else None
        found[series] = Band(max(had.low, band.low), min(had.high, band.high), text)
    return found


def _stays_untrue(pair: Pair, seen: Seen, condition: Condition) -> Guard | None:
    """Where `condition` does not hold now, the readings with which that stays so; None where that cannot be said."""
    found = _bands(pair, seen, condition)
    if found is not None:
        return Guard(found)
    if condition.is_ is None:
        until_ms = _remembered_until(pair, seen, condition)
        if until_ms is not None:
            return Guard({}, until_ms)
    return None


def _remembered_until(pair: Pair, seen: Seen, condition: Condition) -> int | None:
    """Until when a window remembers a reading that alone keeps `condition` from holding, whatever comes.

    A least value is not above what was seen, a greatest one not below it, and both are not closer than two of those.
    """
    planned, level, is_above = pair.signals[condition.signal], pair.rule.level(condition), condition.above is not None
    if planned.signal.difference is not None and not is_above:
        high, low = (pair.signals[part] for part in planned.signal.parts)
        if (
            (high.signal.as_, low.signal.as_) != ("max", "min")
            or high.sources != low.sources
            or len(high.tracks) != 1
        ):
            return None
        highs, lows = seen.window(high.tracks[0]), seen.window(low.tracks[0])
        if highs is None or lows is None or highs.newest is None:
            return None
        return max(highs.higher_until_ms(highs.newest + level), lows.lower_until_ms(highs.newest - level))
    if len(planned.tracks) != 1 or planned.signal.as_ != ("min" if is_above else "max"):
        return None
    window = seen.window(planned.tracks[0])
    if window is None:
        return None
    return window.lower_until_ms(level) if is_above else window.higher_until_ms(level)


def _bands(pair: Pair, seen: Seen, condition: Condition) -> Bands | None:
    planned = pair.signals[condition.signal]
    if condition.is_ is not None:
        return _other_text(pair, planned, seen, condition.is_)
    level, is_above = pair.rule.level(condition), condition.above is not None

    def is_untrue(value: float) -> bool:
        return value < level if is_above else value > level  # not at the level itself, where rounding would decide

    return _numbers(pair, planned, seen, is_untrue, level)


def _numbers(
    pair: Pair, planned: Planned, seen: Seen, is_untrue: Callable[[float], bool], level: float
) -> Bands | None:
    if planned.signal.context is not None:
        return None
    if planned.tracks:
        return _tracked(planned, seen, is_untrue, level)
    if planned.keys:  # told: who tells something else wakes the pair
        value = _told(planned, seen)
        return {} if value is None or (isinstance(value, float | int) and is_untrue(value)) else None
    if planned.sources and planned.signal.derived is None:
        return _measured(planned, seen, is_untrue, level)
    if planned.signal.derived is not None:
        return _derived(planned, seen, is_untrue, level)
    if any(p.keys and _told(p, seen) is None for p in (pair.signals[part] for part in planned.signal.parts)):
        return {}  # unknown until it is told
    leaves = _leaves(pair, planned, seen)
    return _box(leaves, is_untrue) if leaves is not None else None


def _measured(planned: Planned, seen: Seen, is_untrue: Callable[[float], bool], level: float) -> Bands | None:
    """All sources on the good side of `level`: so is what they say together, however many of them are fresh."""
    several = len(planned.sources) > 1
    if several and planned.signal.pick == "sum":
        return None
    margin = 1e-9 * max(1.0, abs(level)) if several else 0.0  # a mean is rounded
    found: Bands = {}
    is_below = is_untrue(-math.inf)
    band = Band(-math.inf, level - margin) if is_below else Band(level + margin, math.inf)
    for (series,) in planned.sources:
        value = seen.newest_value(series)
        if value is not None and not (isinstance(value, float | int) and band.low < value < band.high):
            return None
        found[series] = band
    return found


def _derived(planned: Planned, seen: Seen, is_untrue: Callable[[float], bool], level: float) -> Bands | None:
    """Of each source a box of its arguments in which it is on the good side, with which the same follows as above."""
    signal, derived = planned.signal, planned.signal.derived or ""
    if len(planned.sources) > 1 and signal.pick == "sum":
        return None
    margin = 1e-9 * max(1.0, abs(level)) if len(planned.sources) > 1 else 0.0
    found: Bands = {}
    for source in planned.sources:
        leaves = [_leaf(s, _STEPS[n], seen) for n, s in zip(DERIVATIONS[derived], source, strict=True)]
        known = [leaf for leaf in leaves if leaf is not None]
        if len(known) < len(leaves):
            return None
        box = _box(
            (known, lambda xs: derive(derived, tuple(xs))), lambda v: is_untrue(v - margin) and is_untrue(v + margin)
        )
        if box is None:
            return None
        found = _within(found, box)
    return found


def _tracked(planned: Planned, seen: Seen, is_untrue: Callable[[float], bool], level: float) -> Bands | None:
    """A mean, least or greatest value over time lies between all there are in it: those of now, and those to come.

    A greatest value that is not below the level stays so while the newest is not, and the other way round.
    """
    read = planned.signal.as_
    is_below = is_untrue(-math.inf)
    newest = _measured(planned, seen, is_untrue, level) if planned.signal.derived is None else None
    if newest is None or read not in ("mean", "min", "max"):
        return None
    if read == ("min" if is_below else "max"):
        return newest
    for track in planned.tracks:
        if track.is_folded or track.window_ms == 0 or track.level is not None or track.is_counter:
            return None
        extreme = seen.extreme(track, "max" if is_below else "min")
        if extreme is None or not newest[track.source[0]].low < extreme < newest[track.source[0]].high:
            return None
    return newest


def _told(planned: Planned, seen: Seen) -> Value | None:
    return next((seen.told[key] for key in planned.keys if key in seen.told), None)


class _Leaf(NamedTuple):
    """What a combined signal is made of: its newest value, how far it may go, and its series."""

    value: float
    step: float
    series: Series | None  # None: it was told


def _leaves(
    pair: Pair, planned: Planned, seen: Seen
) -> tuple[list[_Leaf], Callable[[Sequence[float]], Value | None]] | None:
    """The two series whose difference or ratio `planned` is, and how it is worked out."""
    signal = planned.signal
    leaves = []
    for part in (pair.signals[part] for part in signal.parts):
        leaf = None
        if part.plain is not None:
            leaf = _leaf(part.plain, 0.0, seen)
        elif part.keys and isinstance(told := _told(part, seen), float | int):
            leaf = _Leaf(float(told), 0.0, None)
        if leaf is None:
            return None
        leaves.append(leaf)
    if signal.difference is not None:
        return leaves, lambda xs: xs[0] - xs[1]
    return leaves, lambda xs: xs[0] / xs[1] if xs[1] > 0 else None


def _leaf(series: Series, step: float, seen: Seen) -> _Leaf | None:
    value = seen.newest_value(series)
    if not isinstance(value, float | int):
        return None
    return _Leaf(value, step or 0.05 * abs(value), series)


def _box(
    made: tuple[list[_Leaf], Callable[[Sequence[float]], Value | None]], is_untrue: Callable[[float], bool]
) -> Bands | None:
    """A box around the newest values in whose corners the condition is untrue.

    Each of our derivations rises or falls with each of its arguments while the others stay, so that it is greatest
    and smallest in corners.
    """
    leaves, work_out = made
    for share in _SHARES:
        sides = [(leaf.value - share * leaf.step, leaf.value + share * leaf.step) for leaf in leaves]
        values = (work_out(corner) for corner in product(*sides))
        if all(isinstance(v, float | int) and is_untrue(v) for v in values):
            return {leaf.series: Band(*side) for leaf, side in zip(leaves, sides, strict=True) if leaf.series}
    return None


def _other_text(pair: Pair, planned: Planned, seen: Seen, patterns: Sequence[str]) -> Bands | None:
    """The text that it is now, where that is none of `patterns`."""
    about = pair.rule.rule.about
    if planned.keys:
        told = _told(planned, seen)
        return {} if told is None or not _is_one_of(told, patterns) else None
    if planned.plain is None:
        return None
    said = seen.newest_value(planned.plain)
    if planned.plain.quantity == STATE and about in _SOUND:
        # What it says of itself may become stale: then it is sound as long as anything comes from it.
        sound = _SOUND[about]
        if said not in (None, sound) or _is_one_of(sound, patterns):
            return None
        return {planned.plain: Band(math.inf, -math.inf, sound)}
    if said is None or _is_one_of(said, patterns):
        return None
    return {planned.plain: Band(math.inf, -math.inf, str(said))}


def _is_one_of(value: Value, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(str(value), pattern) for pattern in patterns)
