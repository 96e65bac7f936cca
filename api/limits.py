"""Lines that a chart draws: where a farm's rules begin to count, with the farm's own numbers.

Only levels that raise a problem and whose way back ends it are lines: 'milk above 5 ℃' is one, 'and not hotter
than wash water' beside it is a guard and is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from sqlalchemy.orm import Session

from analytics.farm import read_farm
from analytics.pairs import may_watch
from analytics.rules import FarmRules
from api.shapes import LimitOut, Names
from collectors.registry.schema import Site
from collectors.registry.viewer import Viewer
from makiba.rule import Condition, Rule, Text, Tuned

Direction = Literal["above", "below"]


def limits_of(
    session: Session, viewer: Viewer, rules: Mapping[str, Rule], site: Site, subject: str, quantity: str
) -> list[LimitOut]:
    """The levels of `quantity` at which the rules about `subject` begin to count, by rule."""
    farm = read_farm(session, viewer, site.id)
    own = FarmRules(rules, site.rules)
    about = [n for n, r in sorted(rules.items()) if r.about == "subject" and may_watch(farm, r, subject)]
    return [limit for name in about for limit in _levels(own.tuned(name, subject), quantity)]


def _levels(rule: Tuned, quantity: str) -> Iterable[LimitOut]:
    own = {n for n, s in rule.rule.signals.items() if s.of == "subject" and s.shown_as == quantity}
    ends = {(c.signal, _direction(c)) for c in rule.rule.clear.when}
    raises, worse = rule.rule.raise_, rule.rule.worse
    steps: list[tuple[Text, list[Condition]]] = [(rule.rule.title, when) for when in (raises.when, *raises.or_)]
    steps += [(w.title or rule.rule.title, when) for w in worse for when in (w.when, *w.or_)]
    for title, conditions in steps:
        for condition in conditions:
            direction = _direction(condition)
            if direction is None or condition.signal not in own:
                continue
            back: Direction = "below" if direction == "above" else "above"
            if (condition.signal, back) in ends:
                names = Names(ja=title.ja, en=title.en)
                yield LimitOut(rule=rule.rule.rule, title=names, kind=direction, value=rule.level(condition))


def _direction(condition: Condition) -> Direction | None:
    return "above" if condition.above else "below" if condition.below else None
