"""Which rule watches which subject: the pairs of a farm, from its devices, placements and the series seen so far."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from analytics.farm import UNPOLLED_EVERY_MS, Farm, FarmDevice, Placed
from analytics.rules import FarmRules
from analytics.signals.contexts import Contexts, NoContexts
from analytics.signals.planned import FactKey, Ground, Planned, Source, plan_signals
from makiba.reading import Series
from makiba.rule import SEVERITIES, Rule, Severity, Tuned, to_ms
from makiba.season import Gate
from makiba.standing import Pace, pace

DAY_MS: Final = 86_400_000
"""A sum since something is read again as far back as this where its memory is lost."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A rule and a subject it watches. `signals`: what each signal is made of, each after those it is made of.

    `gate`: when it watches. `moves`: it may change by the clock or by what is told, so that it has to be looked at
    without a reading.
    """

    rule: Tuned
    subject: str
    severity: Severity
    place: str | None
    pace: Pace
    signals: Mapping[str, Planned] = field(hash=False)
    gate: Gate = field(compare=False)
    series: frozenset[Series] = field(compare=False)
    """Every series whose readings may change what one of its signals says."""
    moves: bool = False

    @property
    def key(self) -> tuple[str, str]:
        return self.rule.rule.rule, self.subject

    @property
    def inputs(self) -> Mapping[str, tuple[Source, ...]]:
        """Of each signal that is measured, the sources it may come from."""
        return {name: planned.sources for name, planned in self.signals.items() if planned.sources}

    @property
    def plain(self) -> Mapping[str, Series] | None:
        """The one series of each signal, where each is plain: the subject's own newest value; None otherwise."""
        found = {name: planned.plain for name, planned in self.signals.items()}
        return {name: series for name, series in found.items() if series is not None} if all(found.values()) else None

    @property
    def memory_ms(self) -> int:
        """How far back readings can matter for what it says now."""
        p = self.pace
        windows = [s.signal.window_ms for s in self.signals.values() if not s.signal.is_folded]
        sums = [DAY_MS for s in self.signals.values() if s.signal.since is not None]
        window_ms = max([*windows, *sums, 0])
        return max(p.for_ms, p.clear_for_ms, p.excused_ms, *p.worse_ms) + (p.stale_ms or 0) + window_ms


def plan_pairs(
    farm: Farm,
    rules: FarmRules,
    seen: Collection[Series],
    contexts: Contexts | None = None,
    told: Collection[FactKey] = frozenset(),
) -> dict[tuple[str, str], Pair]:
    """Every pair of `farm`, by rule and subject. `told`: the settings and facts that are known of it."""
    ground = Ground(farm, seen)
    settings = {name for name, _ in told}
    pairs: dict[tuple[str, str], Pair] = {}
    for name, rule in rules.rules.items():
        if not settings.issuperset(rule.needs):
            continue
        spoken_for: set[str | None] = {None} if rule.once_per == "place" else set()
        for subject in _subjects(ground, rule):
            placed = ground.place_of(subject)
            speaks_for = farm.site if rule.once_per == "site" else placed.place if placed else None
            if rule.once_per != "subject" and speaks_for in spoken_for:
                continue
            pair = _pair(ground, rules.tuned(name, subject), subject, contexts or NoContexts(), told)
            if pair is None:
                continue
            spoken_for.add(speaks_for)
            pairs[pair.key] = pair
    return pairs


def waiting(rules: Mapping[str, Rule], told: Collection[FactKey]) -> Iterator[tuple[str, str]]:
    """(rule, setting) for each rule that watches nothing because the farm does not say what it needs."""
    known = {name for name, _ in told}
    for name, rule in rules.items():
        own = [s.setting for s in rule.signals.values() if s.setting is not None and not s.optional]
        yield from ((name, need) for need in dict.fromkeys((*rule.needs, *own)) if need not in known)


def _subjects(ground: Ground, rule: Rule) -> list[str]:
    farm = ground.farm
    if rule.about == "gateway":
        return sorted(farm.gateways)
    if rule.about == "bus":
        return sorted(farm.buses)
    if rule.about == "device":
        return sorted(farm.devices)
    above = farm.gateways | farm.buses
    own = [q for s in rule.signals.values() if s.of == "subject" and not s.optional for q in s.quantities]
    may = ground.measuring(own) if own else sorted(ground.by_subject)
    return [s for s in may if s not in above and _is_about(rule, ground.place_of(s))]


def may_watch(farm: Farm, rule: Rule, subject: str) -> bool:
    """Whether `rule` is about `subject` at all, whatever was measured of it so far."""
    if rule.about != "subject":
        return subject in {"gateway": farm.gateways, "bus": farm.buses, "device": farm.devices}[rule.about]
    return _is_about(rule, farm.place_of(subject))


def _is_about(rule: Rule, placed: Placed | None) -> bool:
    if rule.role is not None and (placed is None or placed.role != rule.role):
        return False
    return rule.where is None or (placed is not None and placed.kind in rule.where)


def _pair(ground: Ground, rule: Tuned, subject: str, contexts: Contexts, told: Collection[FactKey]) -> Pair | None:
    signals = plan_signals(ground, rule, subject, contexts, told)
    if not signals:  # one that it needs is not there, or none is of all that may be
        return None
    farm, placed, season, hours = ground.farm, ground.place_of(subject), rule.rule.season, rule.rule.hours
    device = farm.device_of(subject)
    return Pair(
        rule,
        subject,
        _severity(farm, rule.rule, subject, ground.by_subject),
        placed.place if placed else None,
        pace(rule, device.every_ms if device else UNPOLLED_EVERY_MS if rule.rule.raise_.polls else 0),
        signals,
        Gate(season.season if season else None, hours.window if hours else None, farm.timezone),
        frozenset(series for planned in signals.values() for series in planned.inputs),
        any(planned.moves for planned in signals.values()),
    )


def _severity(farm: Farm, rule: Rule, subject: str, by_subject: Mapping[str, set[str]]) -> Severity:
    if rule.guards is None:
        return rule.severity
    device = farm.devices.get(subject)
    subjects = {subject, *device.subjects} if device else {subject}
    measured = {q for s in subjects for q in by_subject.get(s, ())}
    return worst(rule.severity, rule.guards.severity) if measured & set(rule.guards.quantities) else rule.severity


def worst(*severities: Severity) -> Severity:
    """The worst of `severities`."""
    return max(severities, key=SEVERITIES.index)


def stale_ms(rule: Rule, device: FarmDevice | None) -> int | None:
    """When a value of `device` is too old for `rule`: never before the device missed three polls."""
    if rule.stale_after is None:
        return None
    return max(to_ms(rule.stale_after), 3 * device.every_ms if device else 0)
