"""When in the year and in the day a rule watches, by the farm's clock. Pure: the time is a parameter.

A season holds both of its days, hours hold their beginning and not their end; both may wrap (the new year, midnight).
A clock that is put forward or back moves the boundary with it: it is a local time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from makiba.farm_settings import DAY_MIN, Season, Window

ZONE: Final = "Asia/Tokyo"
FOREVER_MS: Final = 1 << 53


@dataclass(slots=True)
class _Stretch:
    """[from_ms, until_ms) in which the answer is the same."""

    from_ms: int = 0
    until_ms: int = 0
    is_open: bool = True


class Gate:
    """Whether a rule with `season` and `hours` watches at a time. Keeps its last answers, which hold for long."""

    __slots__ = ("_hours", "_now", "_of_day", "_season", "_zone")

    def __init__(self, season: Season | None = None, hours: Window | None = None, zone: str = ZONE) -> None:
        self._season, self._hours, self._zone = season, hours, ZoneInfo(zone)
        self._now = _Stretch(0, 0 if season else FOREVER_MS)
        self._of_day = _Stretch(0, 0 if hours else FOREVER_MS)

    def in_season(self, at_ms: int) -> bool:
        """Whether anything may be raised or stay open at all."""
        if not self._now.from_ms <= at_ms < self._now.until_ms:
            self._now = self._season_at(at_ms)
        return self._now.is_open

    def in_hours(self, at_ms: int) -> bool:
        """Whether something new may be raised at this time of day."""
        if not self._of_day.from_ms <= at_ms < self._of_day.until_ms:
            self._of_day = self._hours_at(at_ms)
        return self._of_day.is_open

    def next_change_ms(self, at_ms: int) -> int | None:
        """When one of the two answers is another one next; None: never."""
        self.in_season(at_ms)
        self.in_hours(at_ms)
        soonest = min(self._now.until_ms, self._of_day.until_ms)
        return soonest if soonest < FOREVER_MS else None

    def _season_at(self, at_ms: int) -> _Stretch:
        season = self._season
        if season is None:
            return _Stretch(0, FOREVER_MS)
        day = _local(at_ms, self._zone).date()
        is_open = day in season
        borders = [b for y in range(day.year - 1, day.year + 2) for b in _borders(season, y) if b[1] == is_open]
        others = [b for y in range(day.year - 1, day.year + 2) for b in _borders(season, y) if b[1] != is_open]
        begun = max((b for b, _ in borders if b <= day), default=None)
        ends = min((b for b, _ in others if b > day), default=None)
        return _Stretch(
            0 if begun is None else _midnight_ms(begun, self._zone),
            FOREVER_MS if ends is None else _midnight_ms(ends, self._zone),
            is_open,
        )

    def _hours_at(self, at_ms: int) -> _Stretch:
        hours = self._hours
        if hours is None:
            return _Stretch(0, FOREVER_MS)
        now = _local(at_ms, self._zone)
        days = [now.date() + timedelta(days=n) for n in (-1, 0, 1, 2)]
        opens = [_minute_ms(day, hours.start, self._zone) for day in days]
        closes = [_minute_ms(day, hours.end % DAY_MIN, self._zone) for day in days]
        borders = sorted([(ms, True) for ms in opens] + [(ms, False) for ms in closes])
        begun, is_open = max(b for b in borders if b[0] <= at_ms)
        return _Stretch(begun, min(ms for ms, _ in borders if ms > at_ms), is_open)


def local_midnight_ms(at_ms: int, zone: ZoneInfo, days: int = 0) -> int:
    """The midnight with which the local day of `at_ms` began, or that of a day so many `days` later."""
    return _midnight_ms(_local(at_ms, zone).date() + timedelta(days=days), zone)


def _borders(season: Season, year: int) -> list[tuple[date, bool]]:
    """The day on which it opens in `year`, and the first on which it is closed again."""
    return [(_day(year, season.first), True), (_day(year, season.last) + timedelta(days=1), False)]


def _day(year: int, month_day: tuple[int, int]) -> date:
    try:
        return date(year, *month_day)
    except ValueError:  # 29 February in a year that has none: the 28th is the last before it
        return date(year, 2, 28)


def _local(at_ms: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, tz=UTC).astimezone(zone)


def _midnight_ms(day: date, zone: ZoneInfo) -> int:
    return _minute_ms(day, 0, zone)


def _minute_ms(day: date, minute: int, zone: ZoneInfo) -> int:
    moment = datetime(day.year, day.month, day.day, minute // 60, minute % 60, tzinfo=zone)
    return round(moment.timestamp() * 1000)
