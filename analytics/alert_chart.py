"""What the chart of an alert shows: which series over which time, its limits, and when the alert was there. Pure.

First `wanted` says what to read; whoever reads (and knows what its viewer may see) gives the windows to `chart_of`. A
signal that is made of others is drawn as what it is made of, unless it can be derived from their means. An alert
about something that fell silent shows the last that came.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, Final

from analytics.chart import Chart, Language, Limit, Panel, Point, Spell
from analytics.levels import levels
from analytics.texts import Described, FarmNames
from collectors.registry.schema import Alert
from makiba.quantities import Quantity, catalogue
from makiba.reading import Series
from makiba.rule import Rule, Tuned

MOST_PANELS: Final = 3
POINTS: Final = 240
BEFORE_MS: Final = 3 * 3_600_000
AFTER_MS: Final = 3_600_000
LONGEST_MS: Final = 7 * 86_400_000
_SEVERITIES: Final[Mapping[str, tuple[str, str]]] = {
    "critical": ("危険", "critical"), "warning": ("警告", "warning"), "advisory": ("注意", "advisory"),
    "info": ("お知らせ", "info"),
}  # fmt: skip
_LIMITS: Final = {"above": {"ja": "上限", "en": "limit"}, "below": {"ja": "下限", "en": "limit"}}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A panel: the series that it is made of, and what makes one value of theirs (`derived`; None: it is the value).

    `signal`: of the rule; empty where the panel shows only a part of one.
    """

    quantity: str
    series: tuple[Series, ...]
    derived: str | None = None
    signal: str = ""


@dataclass(frozen=True, slots=True)
class Window:
    """What a window of a series holds."""

    time_ms: int
    low: float
    mean: float
    high: float


def span_of(alert: Alert, now_ms: int) -> tuple[int, int]:
    """The time that is shown: some before it began, up to some after its end, a week at most."""
    over_ms = alert.ended_ms if alert.ended_ms is not None else alert.over_ms
    end_ms = max(alert.onset_ms, now_ms if over_ms is None else min(now_ms, over_ms + AFTER_MS))
    start_ms = alert.onset_ms - max(BEFORE_MS, (end_ms - alert.onset_ms) // 2)
    return max(start_ms, end_ms - LONGEST_MS), end_ms + 1


def wanted(alert: Alert, rule: Rule | None, present: Collection[Series]) -> list[Wanted]:
    """The panels of `alert`, `MOST_PANELS` at most; `present`: the series of its farm."""
    found: dict[tuple[Series, ...], Wanted] = {}
    for name, told in (alert.signals or {}).items():
        for panel in _of_signal(alert, rule, name, told, set(present)):
            found.setdefault(panel.series, panel)
    if not found:
        subjects = (alert.subject, f"{alert.subject}.")
        own = sorted(s for s in present if s.subject == subjects[0] or s.subject.startswith(subjects[1]))
        found = {(s,): Wanted(s.quantity, (s,)) for s in own if _is_number(s.quantity)}
        return list(found.values())[:1]
    return list(found.values())[:MOST_PANELS]


def _of_signal(
    alert: Alert, rule: Rule | None, name: str, told: Mapping[str, Any], present: Collection[Series]
) -> list[Wanted]:
    signal = rule.signals.get(name) if rule else None
    subject = str(told.get("subject") or alert.subject)
    quantity = str(told.get("quantity"))
    if signal is not None and signal.derived is not None:
        parts = tuple(Series(alert.site_id, subject, q) for q in signal.from_.values())
        if parts and set(parts) <= set(present) and _is_number(quantity):
            return [Wanted(quantity, parts, signal.derived, name)]
        return [Wanted(s.quantity, (s,)) for s in parts if s in present]
    if signal is not None and signal.parts:
        measured = [(alert.signals or {}).get(part, {}) for part in signal.parts]
        parted = zip(signal.parts, measured, strict=True)
        return [panel for part, of in parted if of for panel in _of_signal(alert, rule, part, of, present)]
    try:
        series = Series(alert.site_id, subject, quantity)
    except ValueError:
        return []
    return [Wanted(quantity, (series,), None, name)] if series in present and _is_number(quantity) else []


def _is_number(quantity: str) -> bool:
    known = catalogue().get(quantity)
    return known is not None and known.kind != "text"


def chart_of(
    alert: Alert,
    tuned: Tuned | None,
    panels: Sequence[Wanted],
    windows: Mapping[Series, Sequence[Window]],
    words: Described,
    names: FarmNames,
    span_ms: tuple[int, int],
    zone: tzinfo,
    language: Language,
) -> Chart:
    """The chart; a series without windows is drawn empty."""
    severity = _SEVERITIES.get(alert.severity, ("", ""))[0 if language == "ja" else 1]
    spell = Spell(alert.onset_ms, _over(alert), alert.severity, _since(alert, severity, zone, language))
    where = [n[language] for n in (words.place_name, words.subject_name) if n]
    title = f"{words.title[language]}  {' '.join(where)}"
    drawn = [_panel(alert, tuned, panel, windows, names, spell, language) for panel in panels]
    return Chart(title, drawn, *span_ms, zone, language, f"{severity}: {title}. {words.message[language]}")


def _over(alert: Alert) -> int | None:
    return alert.ended_ms if alert.ended_ms is not None else alert.over_ms


def _since(alert: Alert, severity: str, zone: tzinfo, language: Language) -> str:
    begun = datetime.fromtimestamp(alert.onset_ms / 1000, zone)
    clock = f"{begun.hour}:{begun.minute:02d}"
    return f"{severity} {clock}から" if language == "ja" else f"{severity} since {clock}"


def _panel(
    alert: Alert,
    tuned: Tuned | None,
    panel: Wanted,
    windows: Mapping[Series, Sequence[Window]],
    names: FarmNames,
    spell: Spell,
    language: Language,
) -> Panel:
    word: Quantity = catalogue()[panel.quantity]
    limits = {
        (level.direction, level.value)
        for level in (levels(tuned) if tuned is not None and panel.signal else ())
        if level.signal == panel.signal and level.quantity == panel.quantity
    }
    points = _points(panel, windows)
    steps = sorted(b.time_ms - a.time_ms for a, b in itertools.pairwise(points))
    subject, name = panel.series[0].subject, word.names[language]
    if subject != alert.subject:
        name = f"{names.of(subject)[language]} {name}"
    return Panel(
        name,
        word.show_unit,
        word.decimals,
        points,
        [Limit(value, direction, _LIMITS[direction][language]) for direction, value in sorted(limits)],
        spells=(spell,),
        factor=word.show_factor,
        offset=word.show_offset,
        gap_ms=4 * steps[len(steps) // 2] if steps else 1,
    )


def _points(panel: Wanted, windows: Mapping[Series, Sequence[Window]]) -> list[Point]:
    from analytics.derived import derive  # with numpy: 12 MB that a service has once it draws its first chart

    if panel.derived is None:
        return [Point(w.time_ms, w.low, w.mean, w.high) for w in windows.get(panel.series[0], ())]
    by_time = [{w.time_ms: w.mean for w in windows.get(s, ())} for s in panel.series]
    found = []
    for time_ms in sorted(set(by_time[0]).intersection(*by_time[1:])):
        value = derive(panel.derived, tuple(of[time_ms] for of in by_time))
        if math.isfinite(value):
            found.append(Point(time_ms, value, value, value))
    return found
