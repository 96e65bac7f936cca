"""The levels of roll-ups, and which of them answers what part of a question. Pure; the same for every store.

A roll-up is a window of one series folded once and kept: minute, quarter (of an hour) and day. Readings that come
late make their quarter *dirty* (its minutes and its day with it) until it is folded again. `segments` says from which
level each stretch of a question is read, so that the answer is that of the raw readings in any case; `merge` folds
what was read into the windows that were asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

from collectors.store.protocol import Level, Window

MINUTE_MS: Final = 60_000
QUARTER_MS: Final = 900_000
DAY_MS: Final = 86_400_000

DAY_OFFSET_MS: Final = -9 * 3_600_000
"""Where days begin: midnight in Japan (UTC+9, no summer time), whose farms Makiba watches. There is no other."""

MINUTES_FROM: Final = 45
"""Readings in a quarter from which its minutes are kept: fewer than three a minute are as quick to read raw."""

WIDTHS_MS: Final[dict[Level, int]] = {"minute": MINUTE_MS, "quarter": QUARTER_MS, "day": DAY_MS}
_COARSER: Final[dict[Level, Level]] = {"raw": "minute", "minute": "quarter", "quarter": "day"}
_FINER: Final[dict[Level, Level]] = {"day": "quarter", "quarter": "minute", "minute": "raw"}

FOREVER_MS: Final = 1 << 53


def quarter_of(time_ms: int) -> int:
    """Start of the quarter of an hour that holds `time_ms`."""
    return time_ms - time_ms % QUARTER_MS


def day_of(time_ms: int) -> int:
    """Start of the day that holds `time_ms`: midnight at UTC+9."""
    return time_ms - (time_ms - DAY_OFFSET_MS) % DAY_MS


@dataclass(frozen=True, slots=True)
class Segment:
    """[start_ms, end_ms) of a question, to be read from `level`.

    Of a roll-up level every window that *starts* in the segment counts, whole.
    """

    level: Level
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Freshness:
    """What a store knows about the roll-ups of one series.

    `dirty`: starts of quarters whose roll-ups are older than their readings; `dirty_days`: starts of days that are
    older than their quarters, where a store folds them apart. Quarters from `quarters_until_ms` and days from
    `days_until_ms` on have none yet. Before `kept_from_ms[level]` that level has expired.
    """

    dirty: Collection[int] = ()
    dirty_days: Collection[int] = ()
    quarters_until_ms: int = FOREVER_MS
    days_until_ms: int = FOREVER_MS
    kept_from_ms: dict[Level, int] = field(default_factory=dict)


def segments(start_ms: int, end_ms: int, width_ms: int, offset_ms: int, fresh: Freshness) -> list[Segment]:
    """[start_ms, end_ms) in ascending stretches, each with the coarsest level that folds it exactly.

    Where that level has expired a coarser one stands for it, as near as it comes: its windows count whole, at their
    start. A quarter that is dirty, or not rolled up yet, is read raw.
    """
    if end_ms <= start_ms:
        return []
    if width_ms % DAY_MS == 0 and (offset_ms - DAY_OFFSET_MS) % DAY_MS == 0:
        level: Level = "day"
    elif width_ms % QUARTER_MS == 0 and offset_ms % QUARTER_MS == 0:
        level = "quarter"
    elif width_ms % MINUTE_MS == 0 and offset_ms % MINUTE_MS == 0:
        level = "minute"
    else:
        level = "raw"
    found: list[Segment] = []
    _split(Segment(level, start_ms, end_ms), fresh, found)
    return _joined(found)


def _split(whole: Segment, fresh: Freshness, found: list[Segment]) -> None:
    """Appends the stretches of `whole` to `found`."""
    level, start, end = whole.level, whole.start_ms, whole.end_ms
    if level == "raw":
        _kept(whole, fresh, found)
        return
    width = WIDTHS_MS[level]
    offset = DAY_OFFSET_MS if level == "day" else 0
    first = start + (offset - start) % width
    until = fresh.days_until_ms if level == "day" else fresh.quarters_until_ms
    last = min(end - (end - offset) % width, until - (until - offset) % width)
    if first >= last:
        _split(Segment(_FINER[level], start, end), fresh, found)
        return
    # Minutes are fresh with their quarter, a day with all of its quarters.
    unit = max(width, QUARTER_MS)
    stale = {*fresh.dirty, *fresh.dirty_days} if level == "day" else fresh.dirty
    holes = sorted({at - (at - offset) % unit for at in stale if first - unit < at < last})
    if start < first:
        _split(Segment(_FINER[level], start, first), fresh, found)
    at = first
    for hole in holes:
        low, high = max(hole, first), min(hole + unit, last)
        if at < low:
            _kept(Segment(level, at, low), fresh, found)
        if low < high:
            _split(Segment("raw" if level != "day" else "quarter", low, high), fresh, found)
        at = max(at, high)
    if at < last:
        _kept(Segment(level, at, last), fresh, found)
    if last < end:
        _split(Segment(_FINER[level], last, end), fresh, found)


def _kept(segment: Segment, fresh: Freshness, found: list[Segment]) -> None:
    """Appends `segment`, the part of it that has expired with a coarser level."""
    kept_from = fresh.kept_from_ms.get(segment.level, 0)
    if segment.start_ms < kept_from:
        cut = min(kept_from, segment.end_ms)
        if coarser := _COARSER.get(segment.level):
            _kept(Segment(coarser, segment.start_ms, cut), fresh, found)
        segment = Segment(segment.level, cut, segment.end_ms)
    if segment.start_ms < segment.end_ms:
        found.append(segment)


def _joined(found: Iterable[Segment]) -> list[Segment]:
    """Neighbours of one level as one."""
    joined: list[Segment] = []
    for segment in found:
        if joined and joined[-1].level == segment.level and joined[-1].end_ms == segment.start_ms:
            joined[-1] = Segment(segment.level, joined[-1].start_ms, segment.end_ms)
        else:
            joined.append(segment)
    return joined


def merge(parts: Iterable[Window], width_ms: int, offset_ms: int) -> list[Window]:
    """`parts` (ascending, not overlapping) folded into windows of `width_ms`; a reading is a part of count 1."""
    folded: list[Window] = []
    start = count = 0
    low = high = total = last = 0.0
    for part in parts:
        at = part.start_ms - (part.start_ms - offset_ms) % width_ms
        if count and at == start:
            count += part.count
            total += part.mean * part.count
            low, high, last = min(low, part.minimum), max(high, part.maximum), part.last
        else:
            if count:
                folded.append(Window(start, count, low, total / count, high, last))
            start, count, total = at, part.count, part.mean * part.count
            low, high, last = part.minimum, part.maximum, part.last
    if count:
        folded.append(Window(start, count, low, total / count, high, last))
    return folded
