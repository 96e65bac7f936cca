"""What a rule's signals are made of on a farm: which series, which window over them, whose context. Pure.

A signal that is not there (nobody measures it, the farm does not say it, the context cannot be recognised) takes its
rule's pair with it, unless it is `optional`: then it is left out, and what is made of it too. Forecasts and facts are
always there: until they are told they are unknown.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, NamedTuple, Protocol

from analytics.farm import Farm, Placed
from analytics.signals.contexts import Contexts
from makiba.quantities import catalogue
from makiba.reading import Series, Value
from makiba.rule import Rule, Signal, Tuned
from makiba.rule_words import forecast_name

Source = tuple[Series, ...]
"""What one value of a signal is made of: one series, or a derivation's arguments in their order."""

FactKey = tuple[str, str | None]
"""A fact or setting, and the place or subject that it is said of; None: the farm."""


class Facts(Protocol):
    """What is told to a judge: settings, forecasts, facts, by name and by whom they are about (`analytics/facts.py`).

    A setting that is no number or word (milking times) is there with any text, since a rule may need it. Where it has
    `settings`, all of them as the farm wrote them, they are for what recognises contexts.
    """

    @property
    def values(self) -> Mapping[FactKey, Value]: ...


OUTDOORS: Final = "outdoors"
STATION: Final = "station"
WHOLE_DAY: Final = "day"


class Track(NamedTuple):
    """What is kept over time of one source; rules that ask for the same share it.

    `window_ms` 0: since the context `since` at `place` was last on, or since midnight. `level`: what is above it
    (below with `is_below`) is summed. `is_folded`: by local day.
    """

    source: Source
    derived: str | None
    window_ms: int = 0
    level: float | None = None
    is_below: bool = False
    since: str | None = None
    place: str | None = None
    is_folded: bool = False

    @property
    def is_counter(self) -> bool:
        return self.derived is None and catalogue()[self.source[0].quantity].kind == "counter"


@dataclass(frozen=True, slots=True)
class Planned:
    """A signal of one pair. `tracks`: of each source, in their order; empty where the newest value is taken."""

    signal: Signal
    sources: tuple[Source, ...] = ()
    tracks: tuple[Track, ...] = ()
    place: str | None = None
    inputs: frozenset[Series] = frozenset()
    """The series whose readings may change it: of its sources, of its context."""
    keys: tuple[FactKey, ...] = field(default=())
    """Where a fact, forecast or setting is looked for, the first that is there."""

    @property
    def plain(self) -> Series | None:
        """The one series whose newest value it is; None where it is anything else."""
        return self.sources[0][0] if self.signal.is_plain else None

    @property
    def moves(self) -> bool:
        """Whether it may change without a reading: times that run on, what is told, what depends on the day."""
        s = self.signal
        return s.context is not None or bool(self.keys) or s.since is not None or s.is_folded


class Ground:
    """What stands where on a farm and what is measured of it, looked up once for many rules."""

    def __init__(self, farm: Farm, seen: Collection[Series]) -> None:
        self.farm = farm
        self.by_subject: dict[str, set[str]] = {}
        self._placed: dict[str, Placed | None] = {}
        for series in seen:
            self.by_subject.setdefault(series.subject, set()).add(series.quantity)

    @cached_property
    def by_quantity(self) -> Mapping[str, set[str]]:
        found: dict[str, set[str]] = {}
        for subject, quantities in self.by_subject.items():
            for quantity in quantities:
                found.setdefault(quantity, set()).add(subject)
        return found

    def place_of(self, subject: str) -> Placed | None:
        if subject not in self._placed:
            self._placed[subject] = self.farm.place_of(subject)
        return self._placed[subject]

    def measuring(self, quantities: Sequence[str]) -> list[str]:
        """The subjects that measure all of `quantities`, by name."""
        found = [self.by_quantity.get(q, set()) for q in quantities]
        return sorted(set.intersection(*found)) if found else []


def plan_signals(
    ground: Ground, rule: Tuned, subject: str, contexts: Contexts, told: Collection[FactKey]
) -> dict[str, Planned] | None:
    """Every signal of `rule` for `subject`, each after those it is made of; None where a needed one is not there."""
    found: dict[str, Planned] = {}
    here = ground.place_of(subject)
    for name in rule.rule.in_order():
        signal = rule.rule.signals[name]
        planned = _plan(ground, rule, signal, subject, here.place if here else None, contexts, told, found)
        if planned is not None:
            found[name] = planned
        elif not signal.optional:
            return None
    return found


def _plan(
    ground: Ground,
    rule: Tuned,
    signal: Signal,
    subject: str,
    place: str | None,
    contexts: Contexts,
    told: Collection[FactKey],
    before: Mapping[str, Planned],
) -> Planned | None:
    if signal.is_measured:
        sources = _sources(ground, rule.rule, signal, subject)
        if not sources:
            return None
        tracks = tuple(_track(rule, signal, source, place) for source in sources) if _is_tracked(signal) else ()
        inputs = frozenset(series for source in sources for series in source)
        if signal.since is not None and signal.since != WHOLE_DAY:
            if not contexts.knows(signal.since, place):
                return None
            inputs |= contexts.inputs(signal.since, place)
        return Planned(signal, sources, tracks, place, inputs)
    if signal.parts:
        if not all(part in before for part in signal.parts):
            return None
        return Planned(signal, inputs=frozenset(s for part in signal.parts for s in before[part].inputs))
    if signal.context is not None:
        where = None if signal.of == "site" else place
        if not contexts.knows(signal.context, where):
            return None
        return Planned(signal, place=where, inputs=contexts.inputs(signal.context, where))
    keys = _keys(signal, subject, place)
    is_there = signal.setting is None and not signal.optional
    return Planned(signal, place=place, keys=keys) if is_there or any(key in told for key in keys) else None


def _is_tracked(signal: Signal) -> bool:
    return signal.window is not None or signal.sums is not None


def _track(rule: Tuned, signal: Signal, source: Source, place: str | None) -> Track:
    level = rule.numbers[signal.sums] if signal.sums else None
    of_place = place if signal.since not in (None, WHOLE_DAY) else None
    return Track(
        source, signal.derived, signal.window_ms, level, signal.sum_below is not None, signal.since, of_place,
        signal.is_folded,
    )  # fmt: skip


def _keys(signal: Signal, subject: str, place: str | None) -> tuple[FactKey, ...]:
    if signal.forecast is not None:
        return ((forecast_name(signal.forecast, signal.within_h), None),)
    name = signal.setting or signal.fact or ""
    return tuple((name, where) for where in dict.fromkeys((subject, place, None)))


def _sources(ground: Ground, rule: Rule, signal: Signal, subject: str) -> tuple[Source, ...]:
    site, needed = ground.farm.site, signal.quantities
    if signal.of == "subject":
        if rule.about == "subject" and not set(needed) <= ground.by_subject.get(subject, set()):
            return ()
        return (tuple(Series(site, subject, q) for q in needed),)
    measuring = ground.measuring(needed)
    if signal.of == "place":
        here = ground.place_of(subject)
        measuring = [s for s in measuring if here is not None and _stands(ground, s, here.place, signal.role)]
    elif signal.of == "outdoors":
        measuring = _outdoors(ground, measuring)
    elif signal.role is not None:
        measuring = [s for s in measuring if (p := ground.place_of(s)) is not None and p.role == signal.role]
    return tuple(tuple(Series(site, s, q) for q in needed) for s in measuring)


def _stands(ground: Ground, subject: str, place: str, role: str | None) -> bool:
    placed = ground.place_of(subject)
    return placed is not None and placed.place == place and role in (None, placed.role)


def _outdoors(ground: Ground, measuring: Sequence[str]) -> list[str]:
    """What the farm has outdoors; what its weather station says where it has nothing there."""
    own = [
        s
        for s in measuring
        if s != ground.farm.weather
        and (p := ground.place_of(s)) is not None
        and (p.role == OUTDOORS or p.kind == STATION)
    ]
    return own or [s for s in measuring if s == ground.farm.weather]
