"""How complete a series is: what should have come, what came, and the longest time without a reading. Pure.

- **Expected** is worked out of how often the device was set to measure at each time (`Pace`), and of nothing else.
  Since Makiba was told (`reported`) that is exact; before that the first pace is taken to have held (`assumed`),
  from the series' first reading on; a series without a pace has no expectation (`unknown`), and neither has what is
  measured when something happens (a cow on the scale).
- **Present** counts readings; more than expected is 100 %, never more.
- **The longest gap** is the longest stretch without a reading, ends of the range included. `longest_gap` is exact to
  the windows it is given; `look_closer` says where raw readings have to be looked at to make it exact.

Times are UTC in milliseconds, [from, to). Nothing here reads a store.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final, Literal

from makiba.quantities import catalogue

Span = tuple[int, int]
Basis = Literal["reported", "assumed", "unknown"]

NOT_REGULAR: Final = frozenset({"animal"})
"""Groups of the catalogue whose values come when something happens."""
_NEVER_REGULAR: Final = frozenset({"weight", "ear_tag"})


@dataclass(frozen=True, slots=True)
class Pace:
    """Since `from_ms` the device is set to measure every `every_s`; 0: it is set to measure no more."""

    from_ms: int
    every_s: float


@dataclass(frozen=True, slots=True)
class Expected:
    """How many readings should have come; None where that is not known."""

    count: int | None
    basis: Basis


@dataclass(frozen=True, slots=True)
class RecordedGap:
    """What a gateway said about itself: readings of [from_ms, to_ms] were dropped, or thinned to minute means.

    Without times (an older gateway) both are None.
    """

    readings: int
    thinned: bool
    from_ms: int | None
    to_ms: int | None


def is_regular(quantity: str) -> bool:
    """Whether values of this quantity come at a pace."""
    word = catalogue().get(quantity)
    return word is not None and word.group not in NOT_REGULAR and quantity not in _NEVER_REGULAR


def expected(paces: Sequence[Pace], spans: Iterable[Span], first_ms: int | None) -> Expected:
    """How many readings should have come in `spans`.

    `paces` in order of time; `first_ms`: when the series' first reading came, as far as anybody knows (None: never).
    """
    if not paces:
        return Expected(None, "unknown")
    told_ms = paces[0].from_ms
    begun_ms = told_ms if first_ms is None else min(first_ms, told_ms)
    steps = [Pace(begun_ms, paces[0].every_s), *paces] if begun_ms < told_ms else list(paces)
    ends = [step.from_ms for step in steps[1:]] + [_FOREVER]
    count, basis = 0.0, "reported"
    for from_ms, to_ms in spans:
        for step, end_ms in zip(steps, ends, strict=True):
            start, end = max(from_ms, step.from_ms), min(to_ms, end_ms)
            if start < end and step.every_s > 0:
                count += (end - start) / (step.every_s * 1000)
                basis = "assumed" if start < told_ms else basis
    return Expected(int(count + 1e-9), "assumed" if basis == "assumed" else "reported")


_FOREVER: Final = 1 << 62


def ratio(present: int, should: int | None) -> float | None:
    """The share that came, 0..1; None where it is not known what should have."""
    return None if should is None else 1.0 if should == 0 else min(1.0, present / should)


def longest_gap(times: Sequence[int], from_ms: int, to_ms: int) -> Span:
    """The longest stretch of [from_ms, to_ms) without a reading, by the times of all readings in it, ascending."""
    edges = [from_ms, *times, to_ms]
    return max(pairwise(edges), key=lambda gap: (gap[1] - gap[0], -gap[0]))


def empty_runs(filled: Iterable[int], from_ms: int, to_ms: int, width_ms: int) -> list[Span]:
    """Stretches of [from_ms, to_ms) of which no window has a reading; `filled`: starts of those that have one."""
    runs: list[Span] = []
    reached = from_ms
    for start in filled:
        if max(start, from_ms) > reached:
            runs.append((reached, start))
        reached = max(reached, min(start + width_ms, to_ms))
    if reached < to_ms:
        runs.append((reached, to_ms))
    return runs


def look_closer(run: Span, from_ms: int, to_ms: int, width_ms: int) -> tuple[Span, Span]:
    """Where the last reading before and the first after an empty run are: one window to each side of it."""
    start, end = run
    return (max(from_ms, start - width_ms), start), (end, min(to_ms, end + width_ms))


def joined(spans: Iterable[Span]) -> list[Span]:
    """The same moments in as few spans as can be, in order."""
    found: list[Span] = []
    for start, end in sorted(s for s in spans if s[0] < s[1]):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def cut(spans: Iterable[Span], from_ms: int, to_ms: int) -> list[Span]:
    """What of `spans` lies in [from_ms, to_ms)."""
    return [(max(a, from_ms), min(b, to_ms)) for a, b in spans if max(a, from_ms) < min(b, to_ms)]


def whole_windows(spans: Iterable[Span], from_ms: int, to_ms: int, width_ms: int, offset_ms: int) -> list[Span]:
    """`cut`, less the windows that an inner edge of a span goes through: they may be stored folded with what is not
    to be seen."""
    found = []
    for start, end in spans:
        a = from_ms if start <= from_ms else -((offset_ms - start) // width_ms) * width_ms + offset_ms
        b = to_ms if end >= to_ms else (end - offset_ms) // width_ms * width_ms + offset_ms
        if a < b:
            found.append((a, b))
    return found


def states_in(points: Iterable[tuple[int, str]], spans: Sequence[Span], said_for_ms: int) -> dict[str, int]:
    """How long each state other than `ok` lasted within `spans`, in ms, by its (time, word) points, ascending.

    A state holds until the next word, at most for `said_for_ms`: it is said again so often.
    """
    lasted: dict[str, int] = {}
    known = list(points)
    for (at_ms, word), (next_ms, _) in pairwise([*known, (_FOREVER, "")]):
        if word == "ok":
            continue
        for start, end in cut(spans, at_ms, min(next_ms, at_ms + said_for_ms)):
            lasted[word] = lasted.get(word, 0) + end - start
    return lasted


_GAP: Final = re.compile(r"(?:(\S+Z)/(\S+Z) )?(\d{1,15}) readings (dropped|thinned to minute means)")


def parse_gap(text: str) -> RecordedGap | None:
    """A gateway's `spool_gap`; None for anything else."""
    match = _GAP.fullmatch(text)
    if match is None:
        return None
    try:
        from_ms, to_ms = (_ms(match[1]), _ms(match[2])) if match[1] else (None, None)
    except ValueError:
        return None
    return RecordedGap(int(match[3]), match[4] != "dropped", from_ms, to_ms)


def _ms(stamp: str) -> int:
    return int(datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()) * 1000
