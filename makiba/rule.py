"""A rule: when a problem begins, when it ends, and what it says; read from `firmware_configs/rules/`.

`load_rules` refuses, with file and line, what would fail at 4 a.m.: an unknown quantity, a number in a unit that
does not fit, a text that is missing in one language. What a file may say is `rule_model.py`, what is checked beyond
that `rule_check.py`; a farm's own numbers are `rule_numbers.py`. What a rule says of readings is decided in
`makiba/standing.py`; docs/rules.md is for who writes rules.
"""

from __future__ import annotations

from pathlib import Path

from makiba.located_yaml import ConfigErrors, Located, Problem, load_located
from makiba.rule_check import check
from makiba.rule_measure import measure
from makiba.rule_model import (
    DERIVATIONS,
    SEVERITIES,
    WHO,
    About,
    Condition,
    Number,
    Raise,
    Rule,
    Severity,
    Signal,
    Text,
    Who,
    Worse,
)
from makiba.rule_numbers import OverrideError, Tuned, check_overrides, to_ms, tuned
from makiba.words import nearest

__all__ = [
    "DERIVATIONS",
    "SEVERITIES",
    "WHO",
    "About",
    "Condition",
    "Number",
    "OverrideError",
    "Raise",
    "Rule",
    "Severity",
    "Signal",
    "Text",
    "Tuned",
    "Who",
    "Worse",
    "check_overrides",
    "load_rules",
    "measure",
    "to_ms",
    "tuned",
]


def load_rules(folder: Path) -> dict[str, Rule]:
    """Every rule of `folder` by name; `ConfigErrors` with all that is wrong in all of its files."""
    problems: list[Problem] = []
    rules: dict[str, Rule] = {}
    places: dict[str, Located] = {}
    for file in sorted(folder.glob("*.yaml")):
        try:
            located = load_located(file)
            rule = located.validate(Rule)
        except ConfigErrors as errors:
            problems += errors.problems
            continue
        problems += check(located, rule)
        if rule.rule in rules:
            problems.append(located.problem(("rule",), f"{rule.rule!r} is also in {places[rule.rule].file}"))
        rules[rule.rule], places[rule.rule] = rule, located
    for name, rule in rules.items():
        for i, parent in enumerate(rule.explained_by):
            if parent not in rules:
                message = f"no rule {parent!r}{nearest(parent, rules)}"
                problems.append(places[name].problem(("explained_by", i), message))
    if not rules and not problems:
        problems.append(Problem(str(folder), 1, 1, "", "holds no rule (*.yaml)"))
    if problems:
        raise ConfigErrors(problems)
    return rules
