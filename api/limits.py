"""Lines that a chart draws: where a farm's rules begin to count, with the farm's own numbers.

Which levels those are is decided in `analytics/levels.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy.orm import Session

from analytics.farm import read_farm
from analytics.levels import levels
from analytics.pairs import may_watch
from analytics.rules import FarmRules
from api.shapes import LimitOut, Names
from collectors.registry.schema import Site
from collectors.registry.viewer import Viewer
from makiba.rule import Rule, Tuned


def limits_of(
    session: Session, viewer: Viewer, rules: Mapping[str, Rule], site: Site, subject: str, quantity: str
) -> list[LimitOut]:
    """The levels of `quantity` at which the rules about `subject` begin to count, by rule."""
    farm = read_farm(session, viewer, site.id)
    own = FarmRules(rules, site.rules)
    about = [n for n, r in sorted(rules.items()) if r.about == "subject" and may_watch(farm, r, subject)]
    return [limit for name in about for limit in _levels(own.tuned(name, subject), quantity)]


def _levels(rule: Tuned, quantity: str) -> Iterable[LimitOut]:
    signals = rule.rule.signals.items()
    own = {n for n, s in signals if s.of == "subject" and s.sums is None and s.as_ in (None, "mean", "min", "max")}
    for level in levels(rule):
        if level.signal in own and level.quantity == quantity and level.counts_always:
            title = Names(ja=level.title.ja, en=level.title.en)
            yield LimitOut(rule=rule.rule.rule, title=title, kind=level.direction, value=level.value)
