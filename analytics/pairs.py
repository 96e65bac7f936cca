"""Which rule watches which subject: the pairs of a farm, from its devices, placements and the series seen so far."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from analytics.farm import UNPOLLED_EVERY_MS, Farm, FarmDevice
from analytics.rules import FarmRules
from makiba.reading import Series
from makiba.rule import SEVERITIES, Rule, Severity, Signal, Tuned, to_ms
from makiba.standing import Pace, pace

Source = tuple[Series, ...]
"""What one value of a signal is made of: one series, or a derivation's arguments in their order."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A rule and a subject it watches. `inputs`: per signal the sources it may come from; `every_ms`: its polls."""

    rule: Tuned
    subject: str
    severity: Severity
    place: str | None
    pace: Pace
    inputs: Mapping[str, tuple[Source, ...]] = field(hash=False)

    @property
    def key(self) -> tuple[str, str]:
        return self.rule.rule.rule, self.subject

    @property
    def series(self) -> frozenset[Series]:
        return frozenset(s for sources in self.inputs.values() for source in sources for s in source)

    @property
    def memory_ms(self) -> int:
        """How far back readings can matter for what it says now."""
        p = self.pace
        return max(p.for_ms, p.clear_for_ms, p.excused_ms, *p.worse_ms) + (p.stale_ms or 0)


def plan_pairs(farm: Farm, rules: FarmRules, seen: Collection[Series]) -> dict[tuple[str, str], Pair]:
    """Every pair of `farm`, by rule and subject."""
    by_subject: dict[str, set[str]] = {}
    for series in seen:
        by_subject.setdefault(series.subject, set()).add(series.quantity)
    pairs: dict[tuple[str, str], Pair] = {}
    for name, rule in rules.rules.items():
        spoken_for: set[str | None] = {None}
        for subject in _subjects(farm, rule, by_subject):
            pair = _pair(farm, rules.tuned(name, subject), subject, by_subject)
            if pair is None or (rule.once_per == "place" and pair.place in spoken_for):
                continue
            spoken_for.add(pair.place)
            pairs[pair.key] = pair
    return pairs


def _subjects(farm: Farm, rule: Rule, by_subject: Mapping[str, set[str]]) -> list[str]:
    if rule.about == "gateway":
        return sorted(farm.gateways)
    if rule.about == "bus":
        return sorted(farm.buses)
    if rule.about == "device":
        return sorted(farm.devices)
    above = farm.gateways | farm.buses
    return sorted(s for s in by_subject if s not in above and may_watch(farm, rule, s))


def may_watch(farm: Farm, rule: Rule, subject: str) -> bool:
    """Whether `rule` is about `subject` at all, whatever was measured of it so far."""
    if rule.about != "subject":
        return subject in {"gateway": farm.gateways, "bus": farm.buses, "device": farm.devices}[rule.about]
    placed = farm.place_of(subject)
    if rule.role is not None and (placed is None or placed.role != rule.role):
        return False
    return rule.where is None or (placed is not None and placed.kind in rule.where)


def _pair(farm: Farm, rule: Tuned, subject: str, by_subject: Mapping[str, set[str]]) -> Pair | None:
    inputs: dict[str, tuple[Source, ...]] = {}
    for name, signal in rule.rule.signals.items():
        sources = _sources(farm, rule.rule, signal, subject, by_subject)
        if not sources and not signal.optional:
            return None
        if sources:
            inputs[name] = sources
    placed = farm.place_of(subject)
    device = farm.device_of(subject)
    return Pair(
        rule,
        subject,
        _severity(farm, rule.rule, subject, by_subject),
        placed.place if placed else None,
        pace(rule, device.every_ms if device else UNPOLLED_EVERY_MS if rule.rule.raise_.polls else 0),
        inputs,
    )


def _sources(
    farm: Farm, rule: Rule, signal: Signal, subject: str, by_subject: Mapping[str, set[str]]
) -> tuple[Source, ...]:
    needed = set(signal.quantities)
    if signal.of == "subject":
        if rule.about == "subject" and not needed <= by_subject.get(subject, set()):
            return ()
        return (tuple(Series(farm.site, subject, q) for q in signal.quantities),)
    here = farm.place_of(subject)
    if here is None:
        return ()
    neighbours = sorted(
        s for s, quantities in by_subject.items() if needed <= quantities and _stands(farm, s, here.place)
    )
    return tuple(tuple(Series(farm.site, s, q) for q in signal.quantities) for s in neighbours)


def _stands(farm: Farm, subject: str, place: str) -> bool:
    placed = farm.place_of(subject)
    return placed is not None and placed.place == place


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
