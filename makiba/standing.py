"""The scalar judge: what a rule says of one subject, as a small state machine that gateway and centre share.

Theory of operation, all of it on the time of measurement:

- A condition is true, false or unknown. It is unknown while a signal is stale, faulty or not there, and unknown
  neither raises nor ends anything: that a sensor is silent is another rule's business.
- `Held` is since when a condition is known to hold. False forgets it; unknown leaves it; a true reading that comes
  later than `stale_ms` after the one before starts it anew, since nobody knows what was between.
- `observe` takes a reading. `settle` looks at the clock. Only `settle` raises, and only on a condition that is
  true now, so that a problem that a backlog tells of and that is over raises nothing. `observe` may end, so that
  a problem which ended and came again while nobody looked is two problems.
- While there is no problem and none begins, a standing remembers nothing but its excuse: how well things are, or how
  much worse they would be, counts from a problem's onset on. So most standings stay as they are, reading by reading.
- A decision to end stays in the state (`end_ms`) until `ended` confirms it; one to raise is made again until
  `raised` confirms it. So the caller writes first and remembers afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Literal

from makiba.reading import Value
from makiba.rule import Condition, Raise, Tuned, Worse, to_ms


@dataclass(frozen=True, slots=True)
class Truths:
    """What the conditions say at one time: True, False, or None for unknown."""

    raising: bool | None
    clearing: bool | None
    worse: tuple[bool | None, ...] = ()
    excusing: bool | None = False
    excuse_over: bool | None = False


def truths(rule: Tuned, values: Mapping[str, Value | None]) -> Truths:
    """What the rule's conditions say of `values`; None is a signal that is stale, faulty or not there.

    A signal that is not in `values` at all is one that this farm does not measure: its conditions are left out, or
    the whole group in which they stand.
    """

    def each(when: Sequence[Condition]) -> list[bool | None]:
        return [holds(rule, c, values[c.signal]) for c in when if c.signal in values]

    def one_of(group: Raise | Worse) -> bool | None:
        return _any([_all(each(when)) for when in groups(rule, group, values)])

    excused = rule.rule.excused
    return Truths(
        False if _any(each(rule.rule.raise_.unless)) else one_of(rule.rule.raise_),
        _any(each(rule.rule.clear.when)),
        tuple(one_of(w) for w in rule.rule.worse),
        _any(each(excused.after)) if excused else False,
        _any(each(excused.until)) if excused else False,
    )


def groups(rule: Tuned, of: Raise | Worse, there: Container[str]) -> list[list[Condition]]:
    """The conditions of which all of one list must hold, given the signals that are `there` on this farm.

    Without a signal that is `optional: group` its whole list is left out: what is left would say another thing.
    """
    whole = [
        [c for c in when if c.signal in there]
        for when in (of.when, *of.or_)
        if all(c.signal in there or rule.rule.signals[c.signal].optional != "group" for c in when)
    ]
    return [when for when in whole if when]


def holds(rule: Tuned, condition: Condition, value: Value | None) -> bool | None:
    """Whether `condition` is true of its signal's `value`; None where that is unknown."""
    if value is None:
        return None
    if condition.is_ is not None:
        return any(fnmatchcase(str(value), pattern) for pattern in condition.is_)
    if isinstance(value, str) or math.isnan(value):
        return None
    return value > rule.level(condition) if condition.above else value < rule.level(condition)


def _all(values: Sequence[bool | None]) -> bool | None:
    return False if False in values or not values else None if None in values else True


def _any(values: Sequence[bool | None]) -> bool | None:
    return True if True in values else None if None in values else False


@dataclass(frozen=True, slots=True)
class Pace:
    """How long things must hold, for one subject."""

    for_ms: int
    clear_for_ms: int
    stale_ms: int | None
    worse_ms: tuple[int, ...] = ()
    excused_ms: int = 0


def pace(rule: Tuned, every_ms: int) -> Pace:
    """The pace for a device polled every `every_ms`: never shorter than the polls that the rule asks for."""
    stale = rule.rule.stale_after
    return Pace(
        max(rule.for_ms, rule.rule.raise_.polls * every_ms),
        rule.clear_for_ms,
        None if stale is None else max(to_ms(stale), 3 * every_ms),
        tuple(to_ms(w.for_) for w in rule.rule.worse),
        to_ms(rule.rule.excused.at_most) if rule.rule.excused else 0,
    )


@dataclass(frozen=True, slots=True)
class Held:
    """Since when a condition is known to hold (None: it does not), and when that was last known."""

    since_ms: int | None = None
    known_ms: int = 0

    def after(self, truth: bool | None, at_ms: int, stale_ms: int | None) -> Held:
        """The same after a reading at `at_ms` that makes the condition `truth`."""
        if truth is None:
            return self
        if not truth:
            return Held()
        if self.since_ms is None or (stale_ms is not None and at_ms - self.known_ms > stale_ms):
            return Held(at_ms, at_ms)
        return Held(self.since_ms, at_ms)

    def long_enough(self, for_ms: int, at_ms: int) -> bool:
        return self.since_ms is not None and at_ms - self.since_ms >= for_ms


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of one rule and one subject.

    `onset_ms`: since when the problem that was raised is there. `end_ms`: it is over since then, and nobody has
    confirmed that yet. `step`: how many of `worse` it took. `excused_ms`: when what excuses it was last seen.
    """

    raising: Held = Held()
    clearing: Held = Held()
    worse: tuple[Held, ...] = ()
    onset_ms: int | None = None
    end_ms: int | None = None
    step: int = 0
    excused_ms: int | None = None

    @property
    def active(self) -> bool:
        """Whether the problem is raised, or may be before long."""
        return self.onset_ms is not None or self.raising.since_ms is not None

    def raised(self, onset_ms: int, step: int = 0) -> Standing:
        """After the problem has been written down."""
        return replace(self, onset_ms=onset_ms, end_ms=None, step=max(step, self.step))

    def ended(self) -> Standing:
        """After its end has been written down."""
        return replace(self, onset_ms=None, end_ms=None, clearing=Held(), step=0)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What should be written down now: `raise` with its onset, `worsen` to a step, or `end` with its time."""

    kind: Literal["raise", "worsen", "end"]
    at_ms: int
    step: int = 0


def observe(at: Pace, standing: Standing, says: Truths, at_ms: int) -> Standing:
    """`standing` after a reading measured at `at_ms`, not earlier than the one before."""
    end_ms = standing.end_ms
    if standing.onset_ms is not None and end_ms is None:
        known = at.stale_ms is None or at_ms - standing.clearing.known_ms <= at.stale_ms
        if known and standing.clearing.long_enough(at.clear_for_ms, at_ms):
            end_ms = (standing.clearing.since_ms or 0) + at.clear_for_ms
    # What was measured up to its onset cannot end a problem; a worker that starts again reads it once more.
    before = standing.onset_ms is not None and at_ms <= standing.onset_ms
    was = standing.worse if len(standing.worse) == len(says.worse) else (Held(),) * len(says.worse)
    excused_ms = at_ms if says.excusing else None if says.excuse_over else standing.excused_ms
    excused = excused_ms is not None and at_ms - excused_ms < at.excused_ms
    raising = standing.raising.after(says.raising and not excused, at_ms, at.stale_ms)
    # Where there is no problem and none begins, nothing ends or gets worse: such a pair remembers nothing.
    shows = standing.onset_ms is not None or raising.since_ms is not None
    worse = zip(was, says.worse, strict=True) if shows else ()
    return replace(
        standing,
        excused_ms=excused_ms,
        raising=raising,
        clearing=Held() if before or not shows else standing.clearing.after(says.clearing, at_ms, at.stale_ms),
        worse=tuple(h.after(t, at_ms, at.stale_ms) for h, t in worse),
        end_ms=end_ms,
    )


def settle(at: Pace, standing: Standing, says: Truths, now_ms: int) -> Verdict | None:
    """What is due at `now_ms`, where `says` counts a signal that is stale by now as unknown."""
    if standing.end_ms is not None:
        return Verdict("end", standing.end_ms)
    if standing.onset_ms is None:
        if says.raising and standing.raising.long_enough(at.for_ms, now_ms):
            return Verdict("raise", standing.raising.since_ms or 0, _step(at, standing, says, now_ms))
        return None
    if says.clearing and standing.clearing.long_enough(at.clear_for_ms, now_ms):
        return Verdict("end", (standing.clearing.since_ms or 0) + at.clear_for_ms)
    step = _step(at, standing, says, now_ms)
    return Verdict("worsen", now_ms, step) if step > standing.step else None


def _step(at: Pace, standing: Standing, says: Truths, now_ms: int) -> int:
    """The worst step that holds long enough; 0 for none."""
    steps = zip(standing.worse, says.worse, at.worse_ms, strict=False)
    return max((i for i, (h, t, ms) in enumerate(steps, 1) if t and h.long_enough(ms, now_ms)), default=0)
