"""The lines of a chart: where a rule begins to count, with the farm's numbers. Pure.

Only levels that raise a problem and whose way back ends it are lines: 'milk above 5 ℃' is one, 'and not hotter than
wash water' beside it is a guard and is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from makiba.rule import Condition, Text, Tuned

Direction = Literal["above", "below"]


@dataclass(frozen=True, slots=True)
class Level:
    """A level of the signal called `signal`, whose values are of `quantity`, and what is said beyond it.

    `counts_always`: whatever else goes on; not only while cows are milked, or where calves are.
    """

    signal: str
    quantity: str
    direction: Direction
    value: float
    title: Text
    counts_always: bool = True


def levels(rule: Tuned) -> Iterator[Level]:
    """The levels of `rule`, those of its steps too."""
    ends = {(c.signal, direction_of(c)) for c in rule.rule.clear.when}
    raises = rule.rule.raise_
    steps: list[tuple[Text, list[Condition]]] = [(rule.rule.title, when) for when in (raises.when, *raises.or_)]
    steps += [(w.title or rule.rule.title, when) for w in rule.rule.worse for when in (w.when, *w.or_)]
    for title, conditions in steps:
        always = all(rule.rule.signals[c.signal].is_measured for c in conditions)
        for condition in conditions:
            direction = direction_of(condition)
            if direction is None:
                continue
            back: Direction = "below" if direction == "above" else "above"
            if (condition.signal, back) in ends:
                shown = rule.rule.signals[condition.signal].shown_as
                yield Level(condition.signal, shown, direction, rule.level(condition), title, always)


def direction_of(condition: Condition) -> Direction | None:
    return "above" if condition.above else "below" if condition.below else None
