"""What should have come by now: milkings and pick-ups by the farm's times, or by what it does every day.

A slot is when something should begin. It is met by one that goes on, or that was last on after the slot's `early`
before it. What is missing is missing since the earliest slot that was not met; slots from before anybody could see
(a hole in the readings, a late start) are nobody's. Times are by the farm's clock: on the day the clocks change, a
slot in the hour that does not exist is an hour later.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from statistics import median
from typing import Final
from zoneinfo import ZoneInfo

from analytics.context.spell import HOUR_MS, MINUTE_MS
from makiba.farm_settings import DAY_MIN, Days, FarmSettings, Window

LOOK_BACK_D: Final = 3
EARLY_MIN: Final = 120
LEARNED_OF_D: Final = 7
LEARNED_DAYS: Final = 4
"""In how many of the last seven days it has to be."""
TOGETHER_MIN: Final = 75
NOON_MIN: Final = 12 * 60


def local(at_ms: int, zone: ZoneInfo) -> tuple[date, int]:
    """The farm's day and minute of it."""
    at = datetime.fromtimestamp(at_ms / 1000, zone)
    return at.date(), at.hour * 60 + at.minute


def moment(day: date, minute: int, zone: ZoneInfo) -> int:
    """When the farm's clock shows `minute` of `day`."""
    at = datetime(day.year, day.month, day.day, tzinfo=zone) + timedelta(minutes=minute)
    return round(at.timestamp() * 1000)


def slots(
    at_ms: int, zone: ZoneInfo, minutes: Iterable[int], on: Days | None = None, known: date | None = None
) -> list[int]:
    """The slots of the last days up to `at_ms`, the newest first; `on`: only on such days, counted from `known`."""
    today, _ = local(at_ms, zone)
    back = LOOK_BACK_D if on is None else 8
    days = [today - timedelta(days=n) for n in range(back + 1)]
    found = [moment(day, minute, zone) for day in days if _comes(day, on, known) for minute in minutes]
    return sorted((slot for slot in found if slot <= at_ms), reverse=True)


def _comes(day: date, on: Days | None, known: date | None) -> bool:
    if on is None:
        return True
    if on.weekdays:
        return day.weekday() in on.weekdays
    return on.every == 1 or (known is not None and (day - known).days % on.every == 0)


def missing_since(found: Sequence[int], met_ms: int | None, early_ms: int, seen_from_ms: int) -> int | None:
    """Since when something is missing, `found` being its slots, the newest first; None: it is not.

    `met_ms`: when it was last on (now, while it is). `seen_from_ms`: since when it would have been seen.
    """
    missing: int | None = None
    for slot in found:
        if slot - early_ms < seen_from_ms or (met_ms is not None and met_ms >= slot - early_ms):
            break
        missing = slot
    return missing


def early_ms(minutes: Sequence[int]) -> int:
    """How long before its slot something counts for it: half of the way from the one before, at most 2 h."""
    ordered = sorted(minutes)
    between = [(b - a) % DAY_MIN or DAY_MIN for a, b in zip(ordered, [*ordered[1:], *ordered[:1]], strict=True)]
    return min(EARLY_MIN, min(between, default=DAY_MIN) // 2) * MINUTE_MS


def learned(begins_ms: Iterable[int], now_ms: int, zone: ZoneInfo) -> list[int]:
    """Minutes of the day at which something usually begins: on four of the last seven days, within 75 min."""
    from_ms = now_ms - LEARNED_OF_D * 24 * HOUR_MS
    at = sorted((local(ms, zone)[::-1]) for ms in begins_ms if ms >= from_ms)
    if not at:
        return []
    groups: list[list[tuple[int, date]]] = [[at[0]]]
    for one in at[1:]:
        if one[0] - groups[-1][0][0] <= TOGETHER_MIN:
            groups[-1].append(one)
        else:
            groups.append([one])
    if len(groups) > 1 and groups[0][0][0] + DAY_MIN - groups[-1][0][0] <= TOGETHER_MIN:
        last = groups.pop()
        groups[0] = [(minute - DAY_MIN, day) for minute, day in last] + groups[0]
    often = [group for group in groups if len({day for _, day in group}) >= LEARNED_DAYS]
    return [round(median(minute for minute, _ in group)) % DAY_MIN for group in often]


def milking_minutes(said: FarmSettings, place: str | None) -> list[int]:
    """When the farm says that it begins to milk."""
    return [window.start for window in said.windows("milking_times", place)]


def in_windows(at_ms: int, zone: ZoneInfo, windows: Iterable[Window], around_min: int = 0) -> bool:
    """Whether it is within one of `windows`, or so many minutes from it."""
    _, minute = local(at_ms, zone)
    return any(
        w.start - around_min <= m < w.end + around_min
        for w in windows
        for m in (minute - DAY_MIN, minute, minute + DAY_MIN)
    )


def edges(at_ms: int, zone: ZoneInfo, windows: Sequence[Window]) -> tuple[int, int | None]:
    """(since when it has been as it is, when a window last ended or None while in one)."""
    today, _ = local(at_ms, zone)
    spans = [
        (moment(today - timedelta(days=n), w.start, zone), moment(today - timedelta(days=n), w.end, zone))
        for n in (0, 1, 2)
        for w in windows
    ]
    inside = [start for start, end in spans if start <= at_ms < end]
    if inside:
        return min(inside), None
    ended = max(end for _, end in spans if end <= at_ms)
    return ended, ended
