"""Drives a judge over readings that are already there: what would it have decided, and when.

It guarantees the decisions, one by one and in their order, of a judge that is fed as the readings come and asked at
every multiple of `tick_ms`. It asks at those times only at which the judge can have something to say: after each
reading, and when `Judge.next_due_ms` says so. Event time is all there is: a year runs as fast as the judge does, and
memory is the judge's. Of a problem that lasts for less than `tick_ms` it may see nothing.

Not guaranteed: what a live worker that was late, killed or without its store would have done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from analytics.decision import Decision
from makiba.reading import Reading
from makiba.rule import SEVERITIES, Severity

FACTS_EVERY_MS: Final = 600_000
"""How often facts (sun, forecasts, settings) are told anew, in event time."""

Facts = Any
"""What `Judge.tell` takes (`analytics.facts.Facts`)."""


class Judging(Protocol):
    """What is driven: `analytics.judge.Judge`."""

    def feed(self, readings: Iterable[Reading]) -> Any: ...

    def tick(self, now_ms: int) -> list[Decision]: ...

    def confirm(self, decision: Decision, onset_ms: int | None = None) -> None: ...


def replay(
    judge: Judging,
    readings: Iterable[Reading],
    tick_ms: int = 1000,
    until_ms: int | None = None,
    facts: Callable[[int], Facts] | None = None,
) -> Iterator[Decision]:
    """Every decision that `judge` makes over `readings` (ascending in time), each confirmed before it is given.

    `until_ms`: how far the clock goes on after the last reading; without it, up to the first look after that reading.
    `facts`: what is told to the judge at a time, at the beginning and every `FACTS_EVERY_MS`.
    """
    clock = _Clock(judge, tick_ms, facts)
    waiting: list[Reading] = []
    slot_ms: int | None = None
    for reading in readings:
        due_ms = _ceil(reading.time_ms, tick_ms)
        if slot_ms is None or due_ms > slot_ms:
            if slot_ms is not None:
                yield from clock.look(waiting, slot_ms)
                yield from clock.pass_time(slot_ms, due_ms)
                waiting = []
            slot_ms = due_ms
        waiting.append(reading)
    if slot_ms is None:
        return
    yield from clock.look(waiting, slot_ms)
    if until_ms is not None:
        yield from clock.pass_time(slot_ms, until_ms + 1)


class _Clock:
    """Looks at the judge at multiples of `tick_ms`, and leaves out the looks that cannot matter."""

    def __init__(self, judge: Judging, tick_ms: int, facts: Callable[[int], Facts] | None) -> None:
        self._judge, self._tick_ms, self._facts = judge, tick_ms, facts
        self._next_due: Callable[[], int | None] | None = getattr(judge, "next_due_ms", None)
        self._told_ms: int | None = None

    def look(self, readings: list[Reading], at_ms: int) -> Iterator[Decision]:
        """Feeds what was measured up to `at_ms`, and asks then."""
        self._tell(readings[0].time_ms)
        self._judge.feed(readings)
        yield from self._ask(at_ms)

    def pass_time(self, from_ms: int, before_ms: int) -> Iterator[Decision]:
        """Every look that can matter after `from_ms` and before `before_ms`, in which nothing is measured."""
        at_ms = from_ms + self._tick_ms
        last_ms = _ceil(before_ms, self._tick_ms) - self._tick_ms
        while at_ms <= last_ms:
            at_ms = self._skip_to(at_ms, last_ms)
            if at_ms > last_ms:
                return
            self._tell(at_ms)
            yield from self._ask(at_ms)
            at_ms += self._tick_ms

    def _skip_to(self, at_ms: int, last_ms: int) -> int:
        """The next look from `at_ms` on that can matter; after `last_ms` when there is none."""
        if self._next_due is None:
            return at_ms
        due_ms = self._next_due()
        if self._facts is not None and self._told_ms is not None:
            told_ms = self._told_ms + FACTS_EVERY_MS
            due_ms = told_ms if due_ms is None else min(due_ms, told_ms)
        return last_ms + 1 if due_ms is None else max(at_ms, _ceil(due_ms, self._tick_ms))

    def _ask(self, at_ms: int) -> Iterator[Decision]:
        for decision in self._judge.tick(at_ms):
            self._judge.confirm(decision)
            yield decision

    def _tell(self, at_ms: int) -> None:
        if self._facts is not None and (self._told_ms is None or at_ms - self._told_ms >= FACTS_EVERY_MS):
            self._told_ms = at_ms
            self._judge.tell(self._facts(at_ms))  # type: ignore[attr-defined]


def _ceil(time_ms: int, step_ms: int) -> int:
    return -(-time_ms // step_ms) * step_ms


# ---------------------------------------------------------------------------------------------- what came of it


@dataclass(frozen=True, slots=True)
class Outcome:
    """A problem from its beginning to its end. `ended_ms` None: it was still there at the end of the readings.

    `severity`: the worst that it was. `decision`: the newest of its decisions but its end, for texts and pictures.
    """

    rule: str
    subject: str
    onset_ms: int
    raised_ms: int
    ended_ms: int | None
    severity: Severity
    decision: Decision | None = field(default=None, compare=False, repr=False)

    @property
    def key(self) -> tuple[str, str]:
        return self.rule, self.subject


def alerts_of(decisions: Iterable[Decision]) -> list[Outcome]:
    """The problems that `decisions` tell of, in the order in which they were raised."""
    found: list[Outcome] = []
    open_at: dict[tuple[str, str], int] = {}
    for decision in decisions:
        place = open_at.get(decision.key)
        if decision.kind == "end":
            if place is not None:
                found[place] = replace(found[place], ended_ms=decision.at_ms)
                del open_at[decision.key]
        elif place is None:
            open_at[decision.key] = len(found)
            found.append(
                Outcome(
                    decision.rule,
                    decision.subject,
                    decision.onset_ms,
                    decision.at_ms,
                    None,
                    decision.severity,
                    decision,
                )
            )
        else:
            worst = max(found[place].severity, decision.severity, key=SEVERITIES.index)
            found[place] = replace(found[place], severity=worst, decision=decision)
    return found
