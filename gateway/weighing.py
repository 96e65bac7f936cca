"""Whose weight is it? A scale's weights and a reader's tags -> the body weight of an animal. Pure.

The rules:
1. A *load* begins when the scale shows more than `zero_kg`, and is over when it shows `zero_kg` or less twice in a
   row. It is judged when it is over, because only then is it known that no second tag came.
2. The weight of a load is its longest plateau: stable weights in a row that stay within `tolerance_kg` of its first,
   at least `confirm` of them. One stable line is no weight (a scale's line has no checksum, and an animal that steps
   on stands still for a moment). Of equally long ones the later counts.
3. A tag belongs to a load when it was read during it, or at most `window_s` before it began, and it and the plateau
   are at most `window_s` apart. A tag belongs to one load only; the next needs it read again. A tag that is read
   after the load is the next one's, never the last one's; but an animal that was just weighed and is read again
   within `window_s`, the scale having stood still at zero, is going and not coming, and is passed over.
4. One animal at a time: two tags in one load give no weight (`two-tags`). No tag gives none either (`no-tag`); nor
   does a load without a plateau (`no-stable-weight`), an overloaded one (`overload`), or one of less than `least_kg`
   (`too-light`).
5. The same tag within `repeat_s` is counted once (`duplicate`), unless the scale stood still at zero between: an
   animal that steps back and forth is one weighing, an animal that is sent again is two.
6. Every tag counts, whether anybody knows it or not: who it is, is the centre's to say.
7. When the scale falls silent or a port is lost, the load is dropped (`interrupted`): what happened meanwhile is not
   known.

Not promised: an animal whose tag is not read, and which follows within `window_s` one whose tag was read and which
did not step on the scale, is taken for that one. A reader that sees the scale only, and not the way to it, rules
this out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from gateway.record import OK
from gateway.scale import OVERLOAD, Weight

NO_TAG = "no-tag"
TWO_TAGS = "two-tags"
NO_STABLE_WEIGHT = "no-stable-weight"
TOO_LIGHT = "too-light"
DUPLICATE = "duplicate"
INTERRUPTED = "interrupted"

MOST_TAGS = 3
"""Remembered beside a new one: two are too many already, so that more say nothing more."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The numbers of the rules; seconds and kilograms."""

    window_s: float = 20.0
    repeat_s: float = 600.0
    zero_kg: float = 5.0
    least_kg: float = 10.0
    tolerance_kg: float = 1.0
    confirm: int = 3


@dataclass(frozen=True, slots=True)
class Plateau:
    """Stable weights in a row that agree: the last of them, how many, from when to when."""

    first_kg: float
    kg: float
    count: int
    since_s: float
    until_s: float


@dataclass(frozen=True, slots=True)
class Seen:
    """A tag and when it was read first and last, on the monotonic clock."""

    code: str
    first_s: float
    last_s: float


@dataclass(frozen=True, slots=True)
class Counted:
    """A tag that got its weight, and whether the scale stood still at zero since."""

    code: str
    at_s: float
    zero_since: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """What is known between two events."""

    loaded: bool = False
    zeros: int = 0
    overloaded: bool = False
    now: Plateau | None = None
    best: Plateau | None = None
    tags: tuple[Seen, ...] = ()
    counted: tuple[Counted, ...] = ()


@dataclass(frozen=True, slots=True)
class Judged:
    """A load that is over: `ok` or why no animal gets it; `kg` and `at_s` are the plateau's, if there was one."""

    result: str
    tags: tuple[str, ...]
    kg: float | None
    at_s: float


def take_tag(state: State, code: str, now_s: float, rules: Rules) -> State:
    """A tag was read."""
    if not state.loaded and any(_is_going(c, code, now_s, rules) for c in state.counted):
        return state
    kept = tuple(t for t in state.tags if state.loaded or now_s - t.last_s <= rules.window_s)
    known = next((t for t in kept if t.code == code), None)
    if known is None:
        return replace(state, tags=(*kept[-MOST_TAGS:], Seen(code, now_s, now_s)))
    return replace(state, tags=tuple(replace(t, last_s=now_s) if t is known else t for t in kept))


def take_weight(state: State, weight: Weight, now_s: float, rules: Rules) -> tuple[State, Judged | None]:
    """The scale said something; a load that is over by it, if one is."""
    if not weight.is_load:
        return state, None
    if weight.state == OVERLOAD:
        begun = state if state.loaded else _begin(state, now_s, rules)
        return replace(begun, overloaded=True, now=None, zeros=0), None
    if weight.kg is None:
        return replace(state, now=None), None
    if weight.kg > rules.zero_kg:
        begun = state if state.loaded else _begin(state, now_s, rules)
        return _add(begun, weight, weight.kg, now_s, rules), None
    still = weight.state == OK
    if not state.loaded:
        return (replace(state, counted=_at_zero(state.counted)) if still else state), None
    if state.zeros == 0:
        return replace(state, zeros=1, now=None), None
    ended, judged = _end(state, now_s, rules)
    return (replace(ended, counted=_at_zero(ended.counted)) if still else ended), judged


def interrupt(state: State, now_s: float) -> tuple[State, Judged | None]:
    """The scale fell silent or a port was lost: nothing of a running load counts."""
    judged = Judged(INTERRUPTED, tuple(t.code for t in state.tags), None, now_s) if state.loaded else None
    return State(counted=state.counted), judged


def _is_going(counted: Counted, code: str, now_s: float, rules: Rules) -> bool:
    return counted.code == code and counted.zero_since and now_s - counted.at_s <= rules.window_s


def _at_zero(counted: tuple[Counted, ...]) -> tuple[Counted, ...]:
    return counted if all(c.zero_since for c in counted) else tuple(replace(c, zero_since=True) for c in counted)


def _begin(state: State, now_s: float, rules: Rules) -> State:
    tags = tuple(t for t in state.tags if now_s - t.last_s <= rules.window_s)
    return State(loaded=True, tags=tags, counted=state.counted)


def _add(state: State, weight: Weight, kg: float, now_s: float, rules: Rules) -> State:
    """A weight of a load: lengthens the plateau, or begins one, or (unstable) ends it."""
    if weight.state != OK:
        return replace(state, now=None, zeros=0)
    now = state.now
    if now is not None and abs(kg - now.first_kg) <= rules.tolerance_kg:
        now = replace(now, kg=kg, count=now.count + 1, until_s=now_s)
    else:
        now = Plateau(kg, kg, 1, now_s, now_s)
    best = now if state.best is None or now.count >= state.best.count else state.best
    return replace(state, now=now, best=best, zeros=0)


def _end(state: State, now_s: float, rules: Rules) -> tuple[State, Judged]:
    best = state.best if state.best and state.best.count >= rules.confirm else None
    near = tuple(
        t
        for t in state.tags
        if best is None or (t.last_s >= best.since_s - rules.window_s and t.first_s <= best.until_s + rules.window_s)
    )
    counted = tuple(c for c in state.counted if now_s - c.at_s <= rules.repeat_s)
    result = _result(state, best, near, counted, rules)
    if result == OK:
        counted = (*(c for c in counted if c.code != near[0].code), Counted(near[0].code, now_s))
    codes = tuple(t.code for t in (near if result == OK else state.tags))
    judged = Judged(result, codes, best.kg if best else None, best.until_s if best else now_s)
    return State(counted=counted), judged


def _result(
    state: State, best: Plateau | None, near: tuple[Seen, ...], counted: tuple[Counted, ...], rules: Rules
) -> str:
    if len(state.tags) > 1:
        return TWO_TAGS
    if state.overloaded:
        return OVERLOAD
    if best is None:
        return NO_STABLE_WEIGHT
    if best.kg < rules.least_kg:
        return TOO_LIGHT
    if not near:
        return NO_TAG
    if any(c.code == near[0].code and not c.zero_since for c in counted):
        return DUPLICATE
    return OK
