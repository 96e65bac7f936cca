"""Whether a store holds what a meter answered: each answer once, right value, right time. Pure.

A number that the meter answered may be missing only where
- the gateway was killed and this was the last answer before it came back (`cut_off`), or
- the gateway said itself that it had not measured: between the stored neighbours its device's state was not `ok`
  (`not_measured`): an answer that came after the timeout, since the process was stopped or the machine busy.

The time is right when it lies between the answer and the moment in which the gateway can have read it, on the clock
that the gateway had: true time plus the steps that it was given. After a step back a gateway's time runs at half
speed until the truth has caught up (see gateway/clock.py), never backwards.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

READ_WITHIN_S: Final = 2.5
"""Timeout of a poll and a busy machine."""
FOLLOWED_WITHIN_S: Final = 6.0
"""A gateway looks at its wall clock once a second; a busy machine may let it wait."""
TOLERANCE_S: Final = 0.05
GRID_S: Final = 0.05

Stored = Mapping[int, Sequence[tuple[int, float]]]
"""(time in ms, value) of each point of the meter."""


@dataclass(frozen=True, slots=True)
class Life:
    """What happened to one gateway; monotonic seconds. `steps`: since when its clock was off, and by how much."""

    name: str
    wall_s: float
    served: Sequence[tuple[int, float]]
    deaths: Sequence[tuple[float, float]] = ()
    stops: Sequence[tuple[float, float]] = ()
    steps: Sequence[tuple[float, float]] = ()
    end_s: float = 0.0


@dataclass(slots=True)
class Verdict:
    """Readings by what became of them. `wrong` is empty when the promise held."""

    sampled: int = 0
    stored: int = 0
    cut_off: int = 0
    not_measured: int = 0
    lost: int = 0
    doubled: int = 0
    altered: int = 0
    latest_s: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def add(self, other: Verdict) -> None:
        for name in ("sampled", "stored", "cut_off", "not_measured", "lost", "doubled", "altered"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.latest_s = max(self.latest_s, other.latest_s)
        self.wrong += other.wrong


def judge(life: Life, stored: Stored, states: Sequence[tuple[int, str]]) -> Verdict:
    """What became of the answers of `life`'s meter. `states` are those of its device, by time."""
    verdict = Verdict()
    served = dict(life.served)
    cut_off = _cut_off(life)
    troubled_ms = [time_ms for time_ms, state in states if state != "ok"]
    clock = _Clock(life)
    for point, rows in stored.items():
        name = f"{life.name}.p{point}"
        counts = Counter(round(value) for _, value in rows)
        verdict.sampled += len(served)
        verdict.stored += len(rows)
        twice = {n: c for n, c in counts.items() if c > 1}
        verdict.doubled += sum(c - 1 for c in twice.values())
        verdict.wrong += [f"{name}: {n} is stored {c} times" for n, c in sorted(twice.items())]
        _judge_missing(verdict, name, served, counts, rows, cut_off, troubled_ms)
        _judge_rows(verdict, name, served, rows, clock, is_first=point == 0)
    first = {round(value): time_ms for time_ms, value in stored.get(0, ())}
    for point, rows in stored.items():
        apart = [round(v) for t, v in rows if first.get(round(v), t) != t]
        verdict.altered += len(apart)
        verdict.wrong += [f"{life.name}.p{point}: {n} has another time than p0" for n in apart]
    return verdict


def _cut_off(life: Life) -> set[int]:
    """The last answer before each death; one that was answered while the process died counts too."""
    times = [at for _, at in life.served]
    lasts = (bisect_right(times, back) - 1 for _, back in life.deaths)
    return {life.served[place][0] for place in lasts if place >= 0}


def _absences(life: Life) -> list[tuple[float, float]]:
    """From each death to the first answer after it: so long nobody looked at the clock."""
    times = [at for _, at in life.served]
    return [(died, times[place] if (place := bisect_right(times, back)) < len(times) else back)
            for died, back in life.deaths]  # fmt: skip


def _judge_missing(
    verdict: Verdict,
    name: str,
    served: Mapping[int, float],
    counts: Counter[int],
    rows: Sequence[tuple[int, float]],
    cut_off: set[int],
    troubled_ms: Sequence[int],
) -> None:
    there = sorted((round(value), time_ms) for time_ms, value in rows)
    numbers = [number for number, _ in there]
    for number in sorted(served.keys() - counts.keys()):
        place = bisect_left(numbers, number)
        after_ms = there[place - 1][1] if place else 0
        until_ms = there[place][1] if place < len(there) else 2**62
        if number in cut_off:
            verdict.cut_off += 1
        elif bisect_right(troubled_ms, until_ms) > bisect_right(troubled_ms, after_ms):
            verdict.not_measured += 1
        else:
            verdict.lost += 1
            verdict.wrong.append(f"{name}: {number} is lost")


def _judge_rows(
    verdict: Verdict,
    name: str,
    served: Mapping[int, float],
    rows: Sequence[tuple[int, float]],
    clock: _Clock,
    *,
    is_first: bool,
) -> None:
    before = 0
    for time_ms, value in rows:
        number = round(value)
        if value != number or number not in served:
            verdict.altered += 1
            verdict.wrong.append(f"{name}: {value!r} at {time_ms} was never measured")
            continue
        low_s, high_s = clock.between(served[number])
        if not low_s - TOLERANCE_S <= time_ms / 1000 <= high_s + TOLERANCE_S:
            verdict.altered += 1
            off = time_ms / 1000 - low_s, time_ms / 1000 - high_s
            verdict.wrong.append(f"{name}: {number} is {off[0]:+.3f}/{off[1]:+.3f} s off its time")
        if number <= before:
            verdict.altered += 1
            verdict.wrong.append(f"{name}: {number} stands behind {before}")
        before = number
        if is_first and not clock.is_stepped:
            verdict.latest_s = max(verdict.latest_s, time_ms / 1000 - low_s)


class _Clock:
    """What a gateway's clock may have said."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self.is_stepped = bool(life.steps)
        self._steps = [(float("-inf"), 0.0), *sorted(life.steps)]
        self._begin_s = min((at for _, at in life.served), default=0.0)
        self._blind = sorted([*life.stops, *_absences(life)])
        self._ahead = self._highest() if life.steps else []

    def between(self, at_s: float) -> tuple[float, float]:
        """The earliest and the latest UTC that an answer at `at_s` can have been given."""
        read_s = self._after_stops(at_s + READ_WITHIN_S)
        seen_s = self._before_blind(at_s) - FOLLOWED_WITHIN_S
        wall_s = self._life.wall_s
        offsets = self._offsets(seen_s, read_s)
        low_s, high_s = wall_s + at_s + min(offsets), wall_s + read_s + max(offsets)
        if self._ahead:
            place = min(int((read_s - self._begin_s) / GRID_S) + 1, len(self._ahead) - 1)
            high_s = max(high_s, self._ahead[max(place, 0)])
        return low_s, high_s

    def _offsets(self, from_s: float, upto_s: float) -> list[float]:
        before = [offset for at, offset in self._steps if at <= from_s][-1:]
        return before + [offset for at, offset in self._steps if from_s < at <= upto_s]

    def _highest(self) -> list[float]:
        """On a grid: the highest that can have been said, when a step back is absorbed at half speed."""
        said: list[float] = []
        count = int((self._life.end_s - self._begin_s) / GRID_S) + 2
        for place in range(count):
            at_s = self._begin_s + place * GRID_S
            seen_s = self._before_blind(at_s) - FOLLOWED_WITHIN_S
            truth_s = self._life.wall_s + at_s + max(self._offsets(seen_s, at_s))
            said.append(max(truth_s, said[-1] + GRID_S / 2) if said else truth_s)
        return said

    def _after_stops(self, at_s: float) -> float:
        """`at_s`, or when the process went on if it was stopped then."""
        for begin, end in sorted(self._life.stops):
            if begin <= at_s and at_s - READ_WITHIN_S <= end:
                at_s = max(at_s, end + READ_WITHIN_S)
        return at_s

    def _before_blind(self, at_s: float) -> float:
        """`at_s`, or when the process saw its clock last if it was stopped or dead then."""
        for begin, end in reversed(self._blind):
            if begin <= at_s <= end + FOLLOWED_WITHIN_S:
                at_s = begin
        return at_s
