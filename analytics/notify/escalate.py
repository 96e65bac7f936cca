"""Who is asked next, and when: pure. The numbers are those of "Common mechanics", proposed, with no source.

An alert is carried in rounds. Round `n` of a severity is due so long after the event that began it, whoever was
asked meanwhile; in each, who was asked least is asked, then who comes first in the order of those who can be asked
*now*. So a shift that changes, an absence and a new phone need no case of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from collectors.registry.rota_times import Who

MINUTE_MS: Final = 60_000
CRITICAL_EVERY_MS: Final = 10 * MINUTE_MS
VOICE_AFTER_MS: Final = 5 * MINUTE_MS
_ROUNDS: Final[Mapping[str, tuple[int, ...]]] = {
    "warning": (0, 30 * MINUTE_MS, 60 * MINUTE_MS),
    "advisory": (0,),
    "info": (0,),
}
_AGAIN: Final = ("warning", 1)
_TECHNICIAN: Final = ("warning", 2)


@dataclass(frozen=True, slots=True)
class Candidate:
    """Somebody who can be reached now. `waits`: they are quiet or have been woken often enough; for them it waits.

    `only_as_technician`: neither on call nor one of the farm's people; a technician who may see its alerts.
    """

    who: Who
    is_technician: bool = False
    only_as_technician: bool = False
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Carried:
    """How far an alert was carried: the next round, how often each was asked, who was asked last."""

    severity: str
    since_ms: int
    round: int = 0
    asked: Mapping[str, int] = field(default_factory=dict, hash=False)
    last: str | None = None


def spell_who(who: Who) -> str:
    """`person:ID` or `contact:ID`."""
    return f"{who[0]}:{who[1]}"


def due_ms(severity: str, number: int, since_ms: int) -> int | None:
    """When round `number` is due; None: there is none."""
    if severity == "critical":
        return since_ms + number * CRITICAL_EVERY_MS
    rounds = _ROUNDS.get(severity, (0,))
    return since_ms + rounds[number] if number < len(rounds) else None


def choose(carried: Carried, order: Sequence[Candidate]) -> tuple[Candidate | None, Candidate | None]:
    """Who is asked in this round, None: nobody can be now; and for whom it waits, who would have come before them.

    `order`: those who can be reached, in the order of the rota.
    """
    step = (carried.severity, carried.round)
    usual = [one for one in order if not one.only_as_technician]
    awake = [one for one in usual if not one.waits]
    if step == _AGAIN:
        same = next((one for one in awake if spell_who(one.who) == carried.last), None)
        if same is not None:
            return same, None
    if step == _TECHNICIAN:
        technician = next((one for one in order if one.is_technician and not one.waits), None)
        if technician is not None:
            return technician, None
    chosen = min(awake, key=lambda one: carried.asked.get(spell_who(one.who), 0), default=None)
    first = usual[0] if usual else None
    is_first_word = carried.round == 0 and not carried.asked
    return chosen, first if is_first_word and first is not None and first.waits else None


def after(carried: Carried, asked: Candidate | None, now_ms: int) -> tuple[Carried, int | None]:
    """What stands once `asked` (None: nobody could be) was asked in this round; and when the next is due.

    A round that is late is not made up for: the next comes its whole distance later, so that nobody is called twice
    in a minute because a notifier was away.
    """
    times, last = dict(carried.asked), carried.last
    if asked is not None:
        last = spell_who(asked.who)
        times[last] = times.get(last, 0) + 1
    planned_ms = due_ms(carried.severity, carried.round, carried.since_ms)
    late_ms = 0 if planned_ms is None else max(0, now_ms - planned_ms)
    since_ms = carried.since_ms + (late_ms if late_ms >= MINUTE_MS else 0)
    then = Carried(carried.severity, since_ms, carried.round + 1, times, last)
    return then, due_ms(then.severity, then.round, then.since_ms)


def after_failure(carried: Carried, failed: str, failed_round: int, order: Sequence[Candidate]) -> bool:
    """Whether somebody is to be asked at once because `failed`, asked in `failed_round`, cannot be reached.

    Only while nobody was asked after them, and only if somebody was asked less: who fails again and again waits for
    the clock.
    """
    if carried.round != failed_round + 1 or carried.last != failed:
        return False
    mine = carried.asked.get(failed, 0)
    others = [one for one in order if not one.waits and not one.only_as_technician]
    return any(carried.asked.get(spell_who(one.who), 0) < mine for one in others)
