"""How a farm's rules did: faults found in time and by their cause, alerts that nothing explains, floods."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

from analytics.replay import Outcome
from makiba.rule import SEVERITIES
from tests.farm_year.hazards import Hazard
from tests.farm_year.labels import Label
from tests.farm_year.plan import MINUTE_MS

Class = Literal["cause", "also", "right", "flood", "silly"]
Found = Literal["found", "late", "missed", "unseen"]


@dataclass(frozen=True, slots=True)
class Judged:
    """An alert and what it was. `why`: the fault or hazard that explains it."""

    outcome: Outcome
    what: Class
    why: str = ""


@dataclass
class Score:
    faults: list[tuple[Label, Found, int | None]] = field(default_factory=list)  # with the alert's time
    alerts: list[Judged] = field(default_factory=list)

    def of(self, what: Class, *, pushed: bool = False) -> list[Judged]:
        """Alerts of one class; `pushed`: those that anybody is told of, so not `info`."""
        return [a for a in self.alerts if a.what == what and not (pushed and a.outcome.severity == "info")]

    @property
    def silly(self) -> list[Judged]:
        return self.of("silly", pushed=True)

    @property
    def to_find(self) -> int:
        return sum(found != "unseen" for _, found, _ in self.faults)

    @property
    def found(self) -> int:
        return sum(found == "found" for _, found, _ in self.faults)

    def by_rule(self) -> dict[str, Counter[str]]:
        table: dict[str, Counter[str]] = defaultdict(Counter)
        for alert in self.alerts:
            table[alert.outcome.rule][alert.what] += 1
        return dict(sorted(table.items()))

    def by_kind(self) -> dict[str, Counter[str]]:
        table: dict[str, Counter[str]] = defaultdict(Counter)
        for label, found, _ in self.faults:
            table[label.kind][found] += 1
        return dict(sorted(table.items()))


def score(outcomes: Iterable[Outcome], labels: Sequence[Label], hazards: Sequence[Hazard]) -> Score:
    """Everything that was raised against everything that was there."""
    raised = sorted(outcomes, key=lambda o: o.raised_ms)
    result = Score()
    for label in labels:
        result.faults.append(_find(label, raised))
    for outcome in raised:
        result.alerts.append(_judge(outcome, labels, hazards))
    return result


def _find(label: Label, raised: Sequence[Outcome]) -> tuple[Label, Found, int | None]:
    if label.visible_ms is None:
        return label, "unseen", None
    told = [
        o.raised_ms
        for o in raised
        if o.rule in label.expected
        and (not label.subjects or o.subject in label.subjects)
        and label.start_ms <= o.raised_ms <= max(label.end_ms, label.deadline_ms)
    ]
    if not told:
        return label, "missed", None
    return label, "found" if told[0] <= label.deadline_ms else "late", told[0]


def _judge(outcome: Outcome, labels: Sequence[Label], hazards: Sequence[Hazard]) -> Judged:
    here = [la for la in labels if la.start_ms <= outcome.raised_ms <= max(la.end_ms, la.deadline_ms)]
    for label in here:
        if outcome.rule in label.expected and (not label.subjects or outcome.subject in label.subjects):
            return Judged(outcome, "cause", label.kind)
    for label in here:
        if any(fnmatchcase(outcome.rule, rule) for rule in label.also):
            return Judged(outcome, "also", label.kind)
    until = outcome.raised_ms if outcome.ended_ms is None else outcome.ended_ms
    for hazard in hazards:
        if (
            hazard.start_ms <= until
            and outcome.onset_ms - 5 * MINUTE_MS <= hazard.end_ms
            and fnmatchcase(outcome.rule, hazard.rule)
            and hazard.subject in ("", outcome.subject)
            and SEVERITIES.index(outcome.severity) <= SEVERITIES.index(hazard.severity)
        ):
            return Judged(outcome, "right", hazard.rule)
    for label in here:
        if label.kind != "sensor-spikes":
            return Judged(outcome, "flood", label.kind)
    return Judged(outcome, "silly", here[0].kind if here else "")
