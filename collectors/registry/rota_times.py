"""Who is on call when: the rota's arithmetic, without a database or a clock.

- A `dated` line is on call in [from_ms, to_ms). A `weekly` one on its weekdays, from `start_minute` of the farm's day
  for `minutes`, unless the day on which it begins is in `except_days` or outside first_day..last_day. Both ends are
  times on the wall: where clocks change, a night may have one hour more or less, and lines that meet on the wall meet
  in truth. A time on the wall that does not exist is the moment at which the clocks jump; one that comes twice is its
  first coming.
- An `absence` takes its person or contact out, whatever other lines say.
- The order of those on call: owner, family, helper, co-op; then `position`; then who began first. Nobody comes twice.

Times are UTC in milliseconds, [from, to). Days are ISO dates of the farm's timezone; Monday is 0.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

Tier = Literal["owner", "family", "helper", "coop"]
Kind = Literal["dated", "weekly", "absence"]
TIERS: Final[tuple[Tier, ...]] = ("owner", "family", "helper", "coop")

DAY_MINUTES: Final = 1440
WEEK_MINUTES: Final = 7 * DAY_MINUTES
DAY_MS: Final = 86_400_000

Span = tuple[int, int]
Who = tuple[Literal["person", "contact"], str]
"""A person (by number) or a contact (by id)."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a rota. `who` None: nobody any more (a person who left the farm): it is on call for no one."""

    id: str
    kind: Kind
    who: Who | None
    tier: Tier = "owner"
    position: int = 0
    from_ms: int = 0
    to_ms: int = 0
    weekdays: frozenset[int] = frozenset()
    start_minute: int = 0
    minutes: int = 0
    first_day: date | None = None
    last_day: date | None = None
    except_days: frozenset[date] = frozenset()


@dataclass(frozen=True, slots=True)
class Rota:
    """All lines of a farm, and its timezone."""

    lines: tuple[Line, ...]
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("Asia/Tokyo"))


@dataclass(frozen=True, slots=True)
class OnCall:
    """Somebody is on call by the line `line` in [from_ms, to_ms)."""

    who: Who
    tier: Tier
    position: int
    line: str
    from_ms: int
    to_ms: int


@dataclass(frozen=True, slots=True)
class Overlap:
    """More than one person of one tier is on call at once; nothing is wrong, but somebody may not know it."""

    tier: Tier
    from_ms: int
    to_ms: int
    who: tuple[Who, ...]


def on_call(rota: Rota, at_ms: int) -> list[OnCall]:
    """Who is on call at `at_ms`, in the order in which they are asked; empty: nobody."""
    found = [turn for turn in turns(rota, at_ms, at_ms + 1) if turn.from_ms <= at_ms < turn.to_ms]
    first: dict[Who, OnCall] = {}
    for turn in sorted(found, key=_order):
        first.setdefault(turn.who, turn)
    return list(first.values())


def turns(rota: Rota, from_ms: int, to_ms: int) -> list[OnCall]:
    """Every turn that touches [from_ms, to_ms), absences taken out, by its beginning. Its ends are its own."""
    away: dict[Who, list[Span]] = {}
    for line in rota.lines:
        if line.kind == "absence" and line.who is not None:
            away.setdefault(line.who, []).append((line.from_ms, line.to_ms))
    found = [
        OnCall(line.who, line.tier, line.position, line.id, start, end)
        for line in rota.lines
        if line.kind != "absence" and line.who is not None
        for span in _spans(line, rota.zone, from_ms, to_ms)
        for start, end in without(span, away.get(line.who, ()))
        if start < to_ms and from_ms < end
    ]
    return sorted(found, key=lambda turn: (turn.from_ms, _order(turn)))


def gaps(rota: Rota, from_ms: int, to_ms: int) -> list[Span]:
    """When in [from_ms, to_ms) nobody is on call."""
    found: list[Span] = []
    reached = from_ms
    for turn in turns(rota, from_ms, to_ms):
        if turn.from_ms > reached:
            found.append((reached, turn.from_ms))
        reached = max(reached, turn.to_ms)
    if reached < to_ms:
        found.append((reached, to_ms))
    return found


def overlaps(rota: Rota, from_ms: int, to_ms: int) -> list[Overlap]:
    """When in [from_ms, to_ms) two or more of one tier are on call at the same place of the order."""
    found: list[Overlap] = []
    every = turns(rota, from_ms, to_ms)
    for tier in TIERS:
        for position in sorted({t.position for t in every if t.tier == tier}):
            mine = [t for t in every if (t.tier, t.position) == (tier, position)]
            found += _overlaps(tier, mine, from_ms, to_ms)
    return sorted(found, key=lambda one: (one.from_ms, TIERS.index(one.tier)))


def _overlaps(tier: Tier, mine: Sequence[OnCall], from_ms: int, to_ms: int) -> Iterator[Overlap]:
    edges = sorted({from_ms, to_ms, *(m for t in mine for m in (t.from_ms, t.to_ms) if from_ms < m < to_ms)})
    open_since = from_ms
    before: tuple[Who, ...] = ()
    for start, end in (*itertools.pairwise(edges), (to_ms, to_ms)):
        now = tuple(sorted({t.who for t in mine if t.from_ms <= start and end <= t.to_ms})) if start < end else ()
        if now != before:
            if len(before) > 1:
                yield Overlap(tier, open_since, start, before)
            open_since, before = start, now


def without(span: Span, taken: Iterable[Span]) -> list[Span]:
    """What is left of `span` when all of `taken` is taken out."""
    left: list[Span] = []
    start, end = span
    for from_ms, to_ms in sorted(taken):
        if to_ms <= start or end <= from_ms or from_ms >= to_ms:
            continue
        if start < from_ms:
            left.append((start, from_ms))
        start = max(start, to_ms)
    if start < end:
        left.append((start, end))
    return left


def _order(turn: OnCall) -> tuple[int, int, int, str]:
    return (TIERS.index(turn.tier), turn.position, turn.from_ms, turn.line)


def _spans(line: Line, zone: ZoneInfo, from_ms: int, to_ms: int) -> Iterator[Span]:
    """When `line` is on call, as far as it touches [from_ms, to_ms)."""
    if line.kind != "weekly":
        if line.from_ms < line.to_ms:
            yield line.from_ms, line.to_ms
        return
    # A line that began days ago may still be running; a day more for the zone's offset.
    day = _local_day(from_ms, zone) - timedelta(days=line.minutes // DAY_MINUTES + 2)
    last = _local_day(to_ms, zone) + timedelta(days=1)
    while day <= last:
        if (
            day.weekday() in line.weekdays
            and day not in line.except_days
            and (line.first_day is None or line.first_day <= day)
            and (line.last_day is None or day <= line.last_day)
        ):
            start = moment_ms(day, line.start_minute, zone)
            end = moment_ms(day, line.start_minute + line.minutes, zone)
            if start < end:
                yield start, end
        day += timedelta(days=1)


def _local_day(at_ms: int, zone: ZoneInfo) -> date:
    return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(zone).date()


def moment_ms(day: date, minute: int, zone: ZoneInfo) -> int:
    """The moment at which the farm's clocks show `minute` (which may be of a later day) of `day`, in UTC ms."""
    wall = datetime(day.year, day.month, day.day) + timedelta(minutes=minute)  # noqa: DTZ001  a time on the wall
    early, late = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if early <= late:
        return _ms(early)
    # The clocks jump over it; `fold=1` lies before the jump and `fold=0` after.
    low, high = int(late.timestamp()), int(early.timestamp())
    before = datetime.fromtimestamp(low, zone).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high * 1000


def _ms(moment: datetime) -> int:
    return int(moment.timestamp()) * 1000
