"""The rules in force on a farm: those of the rules' folder with the farm's own numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from makiba.rule import Rule, Tuned, check_overrides, load_rules, tuned
from makiba.settings import Settings


@dataclass(frozen=True)
class FarmRules:
    """All rules as `overrides` of one farm leave them.

    An override that cannot be applied is in `problems`, as (rule, what is wrong), and its rule keeps the numbers it
    comes with: a slip in one line must not silence a tank.
    """

    rules: Mapping[str, Rule]
    overrides: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def problems(self) -> tuple[tuple[str, str], ...]:
        return tuple(check_overrides(self.rules, self.overrides))

    def tuned(self, rule: str, subject: str | None = None) -> Tuned:
        """The rule called `rule` with the numbers in force for `subject`; one for all whose numbers are the same."""
        override = None if rule in self._wrong else self.overrides.get(rule)
        own = subject if any("." in str(key) for key in override or ()) else None
        known = self._tuned.get((rule, own))
        if known is None:
            known = self._tuned[rule, own] = tuned(self.rules[rule], override, own)
        return known

    @cached_property
    def _wrong(self) -> frozenset[str]:
        return frozenset(name for name, _ in self.problems)

    @cached_property
    def _tuned(self) -> dict[tuple[str, str | None], Tuned]:
        return {}


def all_rules(settings: Settings) -> dict[str, Rule]:
    """Every rule of `settings.rules_dir`; `ConfigErrors` with all that is wrong."""
    return load_rules(settings.rules_dir)
