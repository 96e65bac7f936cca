"""A farm's own numbers: what a farm may change in a rule, and the numbers that are then in force.

A farm overrides numbers and persistence, never logic, and a rule that keeps people alive never to later than its
`bound`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from makiba.located_yaml import parse_duration, spell_duration
from makiba.rule_measure import number_in
from makiba.rule_model import Condition, Rule
from makiba.words import nearest


class OverrideError(ValueError):
    """A farm's override that names what the rule does not have, or is not a number; the message says which."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """A rule with the numbers in force, in the catalogue's units."""

    rule: Rule
    numbers: Mapping[str, float] = field(hash=False)
    for_ms: int
    clear_for_ms: int

    def level(self, condition: Condition) -> float:
        """The value that `above` or `below` stands for, in the signal's unit."""
        value = self.numbers[condition.above or condition.below or ""]
        return value * self.numbers[condition.times] if condition.times else value


def tuned(rule: Rule, override: Mapping[str, Any] | None = None, subject: str | None = None) -> Tuned:
    """`rule` with a farm's `override`: `for`, `clear_for` and its numbers, each in the unit the rule states.

    `fan-2.normal: 1.2` is the number `normal` for the subject `fan-2` alone. Raises `OverrideError`.
    """
    given: dict[str, Any] = {}
    for key, value in (override or {}).items():
        own, _, name = key.rpartition(".")
        _check_override(rule, key, name, value)
        if own == subject or (not own and f"{subject}.{name}" not in (override or {})):
            given[name] = value
    numbers = {n: number_in(float(given.get(n, d.value)), d.unit)[0] for n, d in rule.numbers.items()}
    found = Tuned(
        rule,
        numbers,
        to_ms(parse_duration(given.get("for", rule.raise_.for_))),
        to_ms(parse_duration(given.get("clear_for", rule.clear.for_))),
    )
    if rule.life_safety and given:
        _check_order(found)
    return found


def _check_override(rule: Rule, key: str, name: str, value: Any) -> None:
    where = f"{rule.rule}.{key}"
    if name in ("for", "clear_for"):
        try:
            parse_duration(value)
        except ValueError as error:
            raise OverrideError(f"{where}: {error}") from None
    elif name not in rule.numbers:
        known = ["for", "clear_for", *rule.numbers]
        hint = nearest(name, known) or f"; it has {', '.join(known)}"
        raise OverrideError(f"{rule.rule}: no number {name!r}{hint}")
    elif isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise OverrideError(f"{where}: {value!r} is not a number")
    if rule.life_safety:
        _check_never_later(rule, where, name, value)


def _check_never_later(rule: Rule, where: str, name: str, value: Any) -> None:
    """A farm may have the alarm of a rule that keeps people alive earlier, and never later than the rule allows."""
    if name == "for" and parse_duration(value) > rule.raise_.for_:
        raise OverrideError(
            f"{where}: at most {spell_duration(rule.raise_.for_)}: a life-safety alarm must not come later"
        )
    if name == "clear_for" and parse_duration(value) < rule.clear.for_:
        raise OverrideError(
            f"{where}: at least {spell_duration(rule.clear.for_)}: a life-safety alarm must not end sooner"
        )
    if name in rule.numbers:
        number = rule.numbers[name]
        bound = number.value if number.bound is None else number.bound
        if is_later(rule, name, float(value), bound):
            unit = "" if number.unit in (None, "/") else f" {number.unit}"
            raise OverrideError(
                f"{where}: {value:g} is past {bound:g}{unit}; a life-safety alarm may be earlier, never later"
            )


def is_later(rule: Rule, name: str, value: float, bound: float) -> bool:
    """Whether an alarm with `value` for the number `name` comes later, or ends sooner, than with `bound`."""
    begins = [c for path, c in rule.conditions() if path[0] in ("raise", "worse") and path[1] != "unless"]
    is_ceiling = any(c.above and name in (c.above, c.times) for c in begins)
    is_ceiling = is_ceiling or any(c.below and name in (c.below, c.times) for c in rule.clear.when)
    return value > bound if is_ceiling else value < bound


def _check_order(found: Tuned) -> None:
    """An alarm that begins where it also ends would come and go with every reading."""
    for ends in found.rule.clear.when:
        for begins in found.rule.raise_.when:
            if ends.signal != begins.signal or ends.is_ is not None or begins.is_ is not None:
                continue
            low, high = (ends, begins) if ends.below else (begins, ends)
            if found.level(low) > found.level(high):
                name, other = begins.above or begins.below, ends.below or ends.above
                raise OverrideError(
                    f"{found.rule.rule}.{name}: lies beyond {other!r}, where the alarm ends; set both"
                )


def check_overrides(rules: Mapping[str, Rule], overrides: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(rule, what is wrong) for each override of a farm that cannot be applied."""
    problems = []
    for name, given in overrides.items():
        if name not in rules:
            problems.append((name, f"no rule {name!r}{nearest(name, rules)}"))
        elif not isinstance(given, Mapping):
            problems.append((name, f"{name}: expected a mapping of numbers"))
        else:
            try:
                for subject in (None, *dict.fromkeys(str(key).rpartition(".")[0] for key in given)):
                    tuned(rules[name], given, subject or None)
            except OverrideError as error:
                problems.append((name, str(error)))
    return problems


def to_ms(duration: timedelta) -> int:
    """`duration` in whole milliseconds."""
    return round(duration.total_seconds() * 1000)
