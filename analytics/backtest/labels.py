"""Alerts against what is known to have been wrong: found, found in time, missed, false. Pure but for reading the
file.

A labels file is JSON: per file of readings its `faults` (`name`, `start`, `visible`: first to be seen, `deadline`
for 'in time', `end`), `excused` spans in which an alert is nobody's mistake, `scored_from` (end of the quiet time at
the beginning), `grid` (how often somebody looks) and `until`; times in seconds since 1970, as in the readings.

Counted as the labels' own scorer does: alerts of one sensor that follow each other within two hours are one; a fault
is found by an alert that *begins* inside it; an alert that begins outside faults and excused spans is false.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from analytics.replay import Outcome
from makiba.located_yaml import ConfigErrors, Problem

HOLD_MS: Final = 2 * 3_600_000
MONTH_MS: Final = 30.44 * 86_400_000
GRACE_MS: Final = 900_000
"""An alert may begin so long (or two looks) after a fault's end, for what is noticed at its end."""

Seconds = Annotated[float, Field(ge=0, le=1e11)]


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class FaultEntry(_Told):
    """A fault that is known."""

    name: str
    cls: str = ""
    start: Seconds
    visible: Seconds
    deadline: Seconds
    end: Seconds


class LabelledFile(_Told):
    """What is known of one file of readings."""

    kind: str = ""
    grid: Seconds = 0
    scored_from: Seconds = 0
    until: Seconds | None = None
    faults: list[FaultEntry] = []
    excused: list[tuple[Seconds, Seconds]] = []


_FILES: Final = TypeAdapter(dict[str, LabelledFile])


def load_labels(file: Path) -> dict[str, LabelledFile]:
    """The labels in `file`, by name of the file of readings; `ConfigErrors`."""
    try:
        return _FILES.validate_json(file.read_bytes())
    except OSError as error:
        raise ConfigErrors([Problem(str(file), 1, 1, "", error.strerror or str(error))]) from None
    except ValidationError as error:
        problems = [
            Problem(str(file), 1, 1, ".".join(str(part) for part in e["loc"]), e["msg"]) for e in error.errors()[:20]
        ]
        raise ConfigErrors(problems) from None


@dataclass(frozen=True, slots=True)
class Judgement:
    """One fault: by which alert it was found, and whether in time. `delay_ms`: from its first sign."""

    file: str
    fault: FaultEntry
    found: Outcome | None
    delay_ms: int | None

    @property
    def is_in_time(self) -> bool:
        return self.found is not None and self.found.raised_ms <= self.fault.deadline * 1000


@dataclass(slots=True)
class Score:
    """Over all files: each fault, the alerts that are false, and over how many sensor-months they count."""

    faults: list[Judgement] = field(default_factory=list)
    false: list[tuple[str, Outcome]] = field(default_factory=list)
    months: float = 0.0
    by_kind: dict[str, tuple[int, float]] = field(default_factory=dict)

    @property
    def false_per_month(self) -> float:
        return len(self.false) / self.months if self.months > 0 else 0.0

    def by_fault(self) -> dict[str, tuple[int, int, int]]:
        """Per name of a fault: how many, found, in time."""
        found: dict[str, tuple[int, int, int]] = {}
        for one in self.faults:
            n, f, t = found.get(one.fault.name, (0, 0, 0))
            found[one.fault.name] = (n + 1, f + (one.found is not None), t + one.is_in_time)
        return dict(sorted(found.items()))


def score(
    labels: Mapping[str, LabelledFile], alerts: Mapping[str, Sequence[Outcome]], until_ms: Mapping[str, int]
) -> Score:
    """`alerts` per file against `labels`; `until_ms`: the last reading of a file, where its label does not say."""
    total = Score()
    for name, label in labels.items():
        _score_file(total, name, label, alerts.get(name, ()), until_ms.get(name, 0))
    return total


def _score_file(total: Score, name: str, label: LabelledFile, alerts: Sequence[Outcome], until_ms: int) -> None:
    starts = [a for a in _joined(alerts) if a.raised_ms >= label.scored_from * 1000]
    grace_ms = max(GRACE_MS, 2000 * label.grid)
    spans = sorted(
        [(f.start * 1000, f.end * 1000 + grace_ms) for f in label.faults]
        + [(low * 1000, high * 1000) for low, high in label.excused]
    )
    false = [(name, a) for a in starts if not any(low <= a.raised_ms <= high for low, high in spans)]
    end_ms = label.until * 1000 if label.until is not None else until_ms
    covered, at_ms = 0.0, label.scored_from * 1000
    for low, high in spans:
        low, high = max(low, at_ms), min(high, end_ms)
        if high > low:
            covered, at_ms = covered + high - low, high
    months = max(0.0, (end_ms - label.scored_from * 1000 - covered) / MONTH_MS)
    total.false += false
    total.months += months
    count, before = total.by_kind.get(label.kind, (0, 0.0))
    total.by_kind[label.kind] = (count + len(false), before + months)
    for fault in label.faults:
        inside = (a for a in starts if fault.start * 1000 <= a.raised_ms <= fault.end * 1000 + grace_ms)
        hit = min(inside, key=lambda a: a.raised_ms, default=None)
        delay = None if hit is None else max(0, round(hit.raised_ms - fault.visible * 1000))
        total.faults.append(Judgement(name, fault, hit, delay))


def _joined(alerts: Sequence[Outcome]) -> list[Outcome]:
    """The first of each run of alerts of one sensor with less than `HOLD_MS` between them."""
    kept: list[Outcome] = []
    over_ms = -(1 << 62)
    for alert in sorted(alerts, key=lambda a: a.raised_ms):
        if alert.raised_ms - over_ms > HOLD_MS:
            kept.append(alert)
        over_ms = max(over_ms, 1 << 62 if alert.ended_ms is None else alert.ended_ms)
    return kept
