"""Drives the judge over a farm's year as a worker does: what arrives is fed then, and the clock is looked at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from analytics.context.farm_contexts import FarmContexts
from analytics.decision import Decision
from analytics.judge import Judge
from analytics.rules import FarmRules
from makiba.rule import Rule
from tests.farm_year.plan import DAY_MIN
from tests.farm_year.stream import Arrived
from tests.farm_year.told import Teller
from tests.farm_year.year import Year

LOOK_EVERY_MS: Final = 60_000
TELL_EVERY_MS: Final = 1_800_000


def decisions(year: Year, rules: dict[str, Rule], judge: Any = None) -> Iterator[Decision]:
    """Every decision over the year, each confirmed before it is given."""
    judge = judge or make_judge(year, rules)
    teller = Teller(year)
    for number, day in enumerate(year.stream().days()):
        yield from _day(judge, teller, day, year.plan.at(number * DAY_MIN), year.plan.at((number + 1) * DAY_MIN))


def make_judge(year: Year, rules: dict[str, Rule]) -> Judge:
    """A judge of the year's farm, with everything that the farm says of itself."""
    contexts = FarmContexts(year.farm, year.settings)
    return Judge(year.farm, FarmRules(rules, year.overrides), contexts)


def _day(judge: Any, teller: Teller, arrived: list[Arrived], from_ms: int, to_ms: int) -> Iterator[Decision]:
    place, count = 0, len(arrived)
    next_due_ms = getattr(judge, "next_due_ms", lambda: 0)
    for look_ms in range(from_ms + LOOK_EVERY_MS, to_ms + 1, LOOK_EVERY_MS):
        if (look_ms - from_ms) % TELL_EVERY_MS == LOOK_EVERY_MS:
            judge.tell(teller(look_ms))
        first = place
        while place < count and arrived[place][0] <= look_ms:
            place += 1
        if place > first:
            judge.feed([reading for _, reading in arrived[first:place]])
        if next_due_ms() > look_ms:
            continue
        for decision in judge.tick(look_ms):
            judge.confirm(decision)
            yield decision
