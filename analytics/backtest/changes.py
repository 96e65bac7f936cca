"""Numbers that somebody wants to try (`--set tank.hold.limit=5.5`), and what they would have done. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analytics.replay import Outcome
from makiba.rule import Rule, check_overrides
from makiba.words import nearest


class WrongChange(ValueError):
    """What was to be set is no number of a rule; the message says what there is."""


def changed(overrides: Mapping[str, Any], settings: Sequence[str], rules: Mapping[str, Rule]) -> dict[str, Any]:
    """`overrides` of a farm with `settings` (`RULE.NUMBER=VALUE`) on top; `WrongChange`."""
    found = {rule: dict(numbers) for rule, numbers in overrides.items()}
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals:
            raise WrongChange(f"--set {setting}: expected RULE.NUMBER=VALUE, such as tank.hold.limit=5.5")
        rule = next((r for r in sorted(rules, key=len, reverse=True) if path.startswith(f"{r}.")), None)
        if rule is None:
            known = nearest(path.rpartition(".")[0], rules) or f"; there are {', '.join(sorted(rules))}"
            raise WrongChange(f"--set {setting}: begins with no rule{known}")
        found.setdefault(rule, {})[path.removeprefix(f"{rule}.")] = _value(text)
    wrong = [w for rule, w in check_overrides(rules, found) if found.get(rule) != overrides.get(rule)]
    if wrong:
        raise WrongChange(f"--set: {wrong[0]}")
    return found


def _value(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text  # a duration


@dataclass(frozen=True, slots=True)
class Moved:
    """An alert that is there before and after, at another time or of another severity."""

    before: Outcome
    after: Outcome


@dataclass(frozen=True, slots=True)
class Difference:
    """What a change makes of the alerts."""

    gained: Sequence[Outcome]
    lost: Sequence[Outcome]
    moved: Sequence[Moved]
    same: int


def compare(before: Sequence[Outcome], after: Sequence[Outcome]) -> Difference:
    """Alerts of one rule and subject are the same when they were there at the same time; each counts once."""
    left = sorted(after, key=lambda o: o.onset_ms)
    lost: list[Outcome] = []
    moved: list[Moved] = []
    same = 0
    for old in sorted(before, key=lambda o: o.onset_ms):
        new = next((n for n in left if n.key == old.key and _overlap(old, n)), None)
        if new is None:
            lost.append(old)
            continue
        left.remove(new)
        if (old.raised_ms, old.ended_ms, old.severity) == (new.raised_ms, new.ended_ms, new.severity):
            same += 1
        else:
            moved.append(Moved(old, new))
    return Difference(left, lost, moved, same)


def _overlap(one: Outcome, other: Outcome) -> bool:
    forever = 1 << 62
    return one.onset_ms <= (forever if other.ended_ms is None else other.ended_ms) and other.onset_ms <= (
        forever if one.ended_ms is None else one.ended_ms
    )
