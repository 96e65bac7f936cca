"""Times as people write and read them: in a farm's timezone, with the offset, so that nobody has to guess.

A time that is read may be a date, a date and a time, `now`, or a duration back from now (`7d`); without an offset it
is the farm's. A time that is written is ISO 8601 with milliseconds and offset.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from makiba.located_yaml import parse_duration
from makiba.reading import EARLIEST_MS, LATEST_MS

FORMS: Final = "2026-11-24, 2026-11-24T06:30, 2026-11-24T06:30+09:00, now, or a duration back from now such as 7d"
_QUARTER_MS: Final = 900_000
_DAY_MS: Final = 86_400_000


def parse_time(text: str, zone: tzinfo, now_ms: int) -> int:
    """The time that `text` names, in UTC ms; `ValueError` says what is expected."""
    words = text.strip()
    if words == "now":
        return now_ms
    try:
        return max(EARLIEST_MS, now_ms - round(parse_duration(words) / timedelta(milliseconds=1)))
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(words)
    except ValueError:
        raise ValueError(f"{text!r} is not a time; expected {FORMS}") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    time_ms = round(moment.timestamp() * 1000)
    if not EARLIEST_MS <= time_ms <= LATEST_MS:
        raise ValueError(f"{text!r} is before 1978 or after 9999")
    return time_ms


def zone_of(name: str) -> ZoneInfo:
    """The timezone called `name`; UTC+9's where nobody knows it."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        return ZoneInfo("Asia/Tokyo")


def offset_ms(zone: tzinfo, at_ms: int) -> int:
    """What a clock in `zone` is ahead of UTC at `at_ms`."""
    # The last hours of 9999 are year 10000 in Japan, which no clock shows.
    ahead = datetime.fromtimestamp(min(at_ms, LATEST_MS - _DAY_MS) / 1000, zone).utcoffset()
    return round((ahead or timedelta()) / timedelta(milliseconds=1))


class IsoTimes:
    """Spells times of one timezone; quick where they come in order, since offset and hour hold for a quarter."""

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._quarter = -1
        self._head, self._minute, self._tail = "", 0, ""

    def __call__(self, time_ms: int) -> str:
        quarter, rest = divmod(time_ms, _QUARTER_MS)
        if quarter != self._quarter:
            self._enter(quarter)
        minute, rest = divmod(rest, 60_000)
        second, ms = divmod(rest, 1000)
        return f"{self._head}{self._minute + minute:02d}:{second:02d}.{ms:03d}{self._tail}"

    def _enter(self, quarter: int) -> None:
        seconds = quarter * _QUARTER_MS // 1000
        try:
            moment = datetime.fromtimestamp(seconds, self._zone)
            if moment.minute % 15 or moment.second:  # no zone has had such an offset since 1978
                raise ValueError
        except (ValueError, OverflowError):  # the last hours of 9999 are year 10000 in Japan
            moment = datetime.fromtimestamp(seconds, UTC)
        self._quarter, self._minute = quarter, moment.minute
        self._head = moment.strftime("%Y-%m-%dT%H:").zfill(14)
        self._tail = moment.isoformat()[19:]
