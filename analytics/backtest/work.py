"""One run over recorded readings: rules, a detector, or both; the alerts, and over how long they count."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

from analytics.backtest.farms import Judged
from analytics.backtest.labels import MONTH_MS
from analytics.backtest.ordered import Course
from analytics.context.farm_contexts import FarmContexts
from analytics.decision import Decision
from analytics.detect import Band, PlainDetector, Spell, spells
from analytics.judge import Judge
from analytics.pairs import plan_pairs
from analytics.replay import Outcome, alerts_of, replay
from analytics.rules import FarmRules
from collectors.out.clock import zone_of
from makiba.reading import Reading, Series
from makiba.rule import Rule

TICKS_MS: Final = (1_000, 60_000)
"""The judge is asked so often at most and at least; in between a fifth of the quickest sensor's time."""
BAND_EVERY_MS: Final = 3_600_000
UNUSUAL: Final = "unusual"
"""The rule that a detector's findings are told as."""


@dataclass(frozen=True, slots=True)
class RuleCount:
    """What a rule did: how many alerts, and how long it watched how many sensors."""

    alerts: int
    watched: int
    months: float

    @property
    def per_month(self) -> float:
        return self.alerts / self.months if self.months > 0 else 0.0


def chosen(rules: Mapping[str, Rule], patterns: Sequence[str]) -> dict[str, Rule]:
    """The rules that fit one of `patterns`, and those that explain them."""
    wanted = {n for n in rules if any(fnmatchcase(n, p) for p in patterns)}
    while more := {p for n in wanted for p in rules[n].explained_by} - wanted:
        wanted |= more
    return {n: rule for n, rule in rules.items() if n in wanted}


def run_rules(
    judged: Judged,
    rules: FarmRules,
    readings: Iterable[Reading],
    until_ms: int,
    tick_ms: int,
    progress: Callable[[int], None] | None = None,
) -> list[Outcome]:
    """The alerts of `rules` over `readings`, as an undisturbed worker would have had them."""
    judge = Judge(judged.farm, rules, FarmContexts(judged.farm, judged.settings))
    return alerts_of(replay(judge, counted(readings, progress), tick_ms, until_ms, judged.facts))


def tick_for(courses: Mapping[Series, Course]) -> int:
    """How often the judge is asked over such readings: what is told each five minutes needs no look each second."""
    quickest = min((c.every_ms for c in courses.values() if c.every_ms), default=0)
    low, high = TICKS_MS
    return max(low, min(high, quickest // 5 // 1000 * 1000))


def counted(readings: Iterable[Reading], progress: Callable[[int], None] | None) -> Iterator[Reading]:
    """`readings`, told of by the thousand."""
    if progress is None:
        yield from readings
        return
    for number, reading in enumerate(readings, 1):
        yield reading
        if number % 1000 == 0:
            progress(number)


def run_detector(
    timezone: str, readings: Iterable[Reading], until_ms: int, progress: Callable[[int], None] | None = None
) -> tuple[list[Outcome], Mapping[Series, list[tuple[int, Band]]]]:
    """What the plain detector finds unusual, as alerts of a rule `unusual`; and its bands, each hour."""
    detector = PlainDetector(zone_of(timezone))
    bands: dict[Series, list[tuple[int, Band]]] = {}

    def taken() -> Iterator[Reading]:
        for reading in counted(readings, progress):
            yield reading
            known = bands.setdefault(reading.series, [])
            is_due = not known or reading.time_ms - known[-1][0] >= BAND_EVERY_MS
            if is_due and (band := detector.band(reading.series, reading.time_ms)) is not None:
                known.append((reading.time_ms, band))

    found = [
        Outcome(
            UNUSUAL,
            spell.first.series.subject,
            spell.first.since_ms,
            spell.first.time_ms,
            spell.ended_ms,
            "advisory",
            _as_decision(spell),
        )
        for spell in spells(detector, taken(), until_ms)
    ]
    return sorted(found, key=lambda a: a.raised_ms), bands


def _as_decision(spell: Spell) -> Decision:
    first, series = spell.first, spell.first.series
    told: dict[str, Any] = {"quantity": series.quantity, "subject": series.subject, "time_ms": first.time_ms}
    told |= {"kind": first.kind, "score": round(spell.score, 2)}
    if first.band is not None:
        told |= {"expected": first.band.expected, "low": first.band.low, "high": first.band.high}
    return Decision(
        "open", series.site, UNUSUAL, series.subject, first.since_ms, first.time_ms, "advisory", signals={"it": told}
    )


def rule_counts(
    judged: Judged,
    rules: FarmRules,
    courses: Mapping[Series, Course],
    alerts: Sequence[Outcome],
    has_detector: bool = False,
) -> dict[str, RuleCount]:
    """Per rule that watched anything: its alerts, over the time for which what it watched was measured."""
    lasted: dict[str, float] = {}
    for series, course in courses.items():
        lasted[series.subject] = max(lasted.get(series.subject, 0.0), (course.last_ms - course.first_ms) / MONTH_MS)
    whole = _whole(courses)
    found: dict[str, RuleCount] = {}
    pairs = plan_pairs(judged.farm, rules, set(courses))
    for name in rules.rules:
        subjects = {subject for rule, subject in pairs if rule == name}
        if subjects:
            count = sum(a.rule == name for a in alerts)
            found[name] = RuleCount(count, len(subjects), sum(lasted.get(s, whole) for s in subjects))
    if has_detector:
        count = sum(a.rule == UNUSUAL for a in alerts)
        numbers = [(c.last_ms - c.first_ms) / MONTH_MS for s, c in courses.items() if s.quantity != "state"]
        found[UNUSUAL] = RuleCount(count, len(numbers), sum(numbers))
    return found


def _whole(courses: Mapping[Series, Course]) -> float:
    if not courses:
        return 0.0
    first, last = min(c.first_ms for c in courses.values()), max(c.last_ms for c in courses.values())
    return (last - first) / MONTH_MS


def by_file(alerts: Iterable[Outcome], file_of: Mapping[str, str], judged: Judged) -> dict[str, list[Outcome]]:
    """The alerts by the file that their subject comes from; those of a gateway or bus by the files that hang on
    it."""
    behind: dict[str, set[str]] = {}
    for device in judged.farm.devices.values():
        files = {file_of[s] for s in device.subjects if s in file_of}
        for name in (device.name, device.gateway, device.bus):
            behind.setdefault(name, set()).update(files)
    found: dict[str, list[Outcome]] = {}
    for alert in alerts:
        own = file_of.get(alert.subject)
        for name in sorted({own} if own else behind.get(alert.subject, set())):
            found.setdefault(name, []).append(alert)
    return found
