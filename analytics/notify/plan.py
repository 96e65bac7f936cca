"""How one person is told of one thing: which channels, when, and whether it waits. Pure.

A *telling* is one person being told once. Its rows go out together, or one after the other when those before failed.
The numbers are proposed (alerts.md section 0 for night and hold; budget and flood are ours), with no source.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from analytics.notify.escalate import MINUTE_MS, VOICE_AFTER_MS
from collectors.registry.rota_times import moment_ms
from collectors.registry.wishes import Wishes

NIGHT: Final = (21 * 60, 5 * 60)
"""Minutes of the farm's day between which only what cannot wait is said."""
LIST_MINUTE: Final = 5 * 60 + 30
FLOOD: Final = 6
FLOOD_MS: Final = 10 * MINUTE_MS
MANY: Final = "many at once"

TOGETHER: Final = frozenset({"push", "line", "webhook"})
"""Of these, a critical alert and a warning use all at once: one may be muted, off or left in the house."""
VOICE: Final = "voice"
CHANNELS: Final = ("push", "line", "webhook", "sms", "voice", "mail")

KEEP_MS: Final[Mapping[str, int]] = {"critical": 60 * MINUTE_MS, "warning": 24 * 60 * MINUTE_MS}
KEEP_OTHERWISE_MS: Final = 24 * 60 * MINUTE_MS
"""How long a message is tried: of a critical alert the next round says it anew."""


@dataclass(frozen=True, slots=True)
class Reach:
    """An address that works: its id ('' of a contact's own number) and channel."""

    address: str
    channel: str


@dataclass(frozen=True, slots=True)
class Row:
    """A message to be written; `then`: channels that take over when it and its like failed."""

    channel: str
    address: str
    due_ms: int
    then: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wait:
    """It is held until `until_ms`, and told in one with whatever else waits for that person then."""

    until_ms: int
    why: str


def is_night(at_ms: int, zone: ZoneInfo) -> bool:
    """Whether it is night on the farm."""
    return _within(NIGHT, _minute(at_ms, zone))


def night_of(at_ms: int, zone: ZoneInfo) -> str:
    """The ISO date of the day on which this night began; '' by day."""
    local = _local(at_ms, zone)
    if not _within(NIGHT, local.hour * 60 + local.minute):
        return ""
    began = local.date() if local.hour * 60 + local.minute >= NIGHT[0] else local.date() - timedelta(days=1)
    return began.isoformat()


def next_list_ms(at_ms: int, zone: ZoneInfo) -> int:
    """The next morning list of the farm, later than `at_ms`."""
    return _next(at_ms, LIST_MINUTE, zone)


def waits(
    severity: str,
    wishes: Wishes,
    zone: ZoneInfo,
    now_ms: int,
    *,
    woken: int = 0,
    told_lately: int = 0,
    in_morning_list: bool = False,
    falls_into_night: bool = False,
) -> Wait | None:
    """Whether, and until when, this person is not told; None: they are told now.

    `woken`: how often somebody was woken in this night; `told_lately`: messages to them in the last `FLOOD_MS`.
    `in_morning_list`: its rule was put there. `falls_into_night`: what it warns of happens before the list.
    """
    if severity == "critical":
        return None
    if severity == "info" or in_morning_list:
        return Wait(next_list_ms(now_ms, zone), "morning list")
    is_night_now = is_night(now_ms, zone)
    if severity != "warning" and is_night_now and not falls_into_night:
        return Wait(next_list_ms(now_ms, zone), "night")
    if wishes.quiet is not None and _within(wishes.quiet, _minute(now_ms, zone)):
        return Wait(_after_quiet(wishes.quiet, zone, now_ms), "quiet hours")
    if is_night_now and woken >= wishes.night_budget:
        return Wait(next_list_ms(now_ms, zone), "night budget")
    if told_lately >= FLOOD:
        return Wait(now_ms + FLOOD_MS, MANY)
    return None


def order_of(severity: str, wishes: Wishes, reaches: Collection[Reach], closed: Collection[str]) -> tuple[str, ...]:
    """The channels on which this person can be told of it, in order; a critical alert also by ways they did not name.

    `closed`: channels that are not open, or whose month is used up for this severity.
    """
    there = {reach.channel for reach in reaches} - set(closed)
    wanted = [channel for channel in wishes.channels.get(severity, ()) if channel in there]
    if severity == "critical":
        wanted += [channel for channel in CHANNELS if channel in there and channel not in wanted]
    return tuple(wanted)


def rows(severity: str, order: Sequence[str], reaches: Sequence[Reach], now_ms: int) -> tuple[Row, ...]:
    """The first rows of a telling; what else is in `order` takes over when they fail."""
    first = _first(severity, order)
    late = [VOICE] if severity == "critical" and VOICE in order and VOICE not in first else []
    then = tuple(channel for channel in order if channel not in first and channel not in late)
    return tuple(
        Row(reach.channel, reach.address, now_ms + (VOICE_AFTER_MS if channel in late else 0), then)
        for channel in (*first, *late)
        for reach in reaches
        if reach.channel == channel
    )


def take_over(then: Sequence[str], tried: Collection[str], reaches: Sequence[Reach], now_ms: int) -> tuple[Row, ...]:
    """The rows of the next channel that was not tried; empty: this person cannot be reached."""
    for channel in then:
        found = [reach for reach in reaches if reach.channel == channel]
        if channel not in tried and found:
            return tuple(Row(channel, reach.address, now_ms, tuple(then)) for reach in found)
    return ()


def telling_id(*about: object) -> str:
    """The id of one telling: of what, to whom, for which time. 32 hex digits."""
    return hashlib.sha256("|".join(map(str, about)).encode()).hexdigest()[:32]


def row_id(telling: str, channel: str, address: str) -> str:
    """The id of a message: 32 hex digits, the same whoever plans it."""
    return telling_id(telling, channel, address)


def _first(severity: str, order: Sequence[str]) -> list[str]:
    if severity in ("critical", "warning"):
        together = [channel for channel in order if channel in TOGETHER]
        if together:
            return together
    return list(order[:1])


def _after_quiet(quiet: tuple[int, int], zone: ZoneInfo, now_ms: int) -> int:
    """When the quiet hours end; within the night, the list."""
    until_ms = _next(now_ms, quiet[1], zone)
    return next_list_ms(until_ms, zone) if is_night(until_ms, zone) else until_ms


def _next(at_ms: int, minute: int, zone: ZoneInfo) -> int:
    """The next moment at which the farm's clocks show `minute`."""
    day: date = _local(at_ms, zone).date()
    for ahead in range(3):
        moment = moment_ms(day + timedelta(days=ahead), minute, zone)
        if moment > at_ms:
            return moment
    raise AssertionError("a day has a morning")


def _within(span: tuple[int, int], minute: int) -> bool:
    start, end = span
    return start <= minute < end if start < end else minute >= start or minute < end


def _minute(at_ms: int, zone: ZoneInfo) -> int:
    local = _local(at_ms, zone)
    return local.hour * 60 + local.minute


def _local(at_ms: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(zone)
