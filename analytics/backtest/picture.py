"""The picture of a backtest: what was measured over the whole time, limits, the detector's bands, and the alerts.

A panel for each series that an alert looked at, those with the most alerts first, `MOST_PANELS` of them; without any
alert the first series of numbers. Each is folded to the width of the picture, so that its size does not grow with
time.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from analytics.backtest.farms import Judged
from analytics.backtest.tell import Speech
from analytics.backtest.work import UNUSUAL
from analytics.chart import Chart, Language, Limit, Panel, Point, Spell, svg
from analytics.chart_png import language_for, png
from analytics.detect import Band
from analytics.levels import levels
from analytics.replay import Outcome
from analytics.rules import FarmRules
from collectors.out.clock import zone_of
from makiba.quantities import catalogue
from makiba.reading import Reading, Series

MOST_PANELS: Final = 12
WIDTH: Final = 1200
_POINTS: Final = 900

Bands = Mapping[Series, Sequence[tuple[int, Band]]]


def write_picture(
    file: Path,
    readings: Iterable[Reading],
    present: Sequence[Series],
    span_ms: tuple[int, int],
    judged: Judged,
    rules: FarmRules,
    alerts: Sequence[Outcome],
    bands: Bands,
    speech: Speech,
) -> None:
    """Draws into `file` (.svg or .png). `NoFont` where words cannot be drawn; `OSError`."""
    language: Language = speech.language
    if file.suffix == ".png":
        language = language_for(language)
    chosen = _chosen(present, alerts)
    points = _folded(readings, chosen, span_ms)
    panels = [_panel(s, points[s], rules, alerts, bands.get(s, ()), speech, language) for s in chosen]
    title = {"ja": f"{judged.farm.site}： 警報 {len(alerts)}件", "en": f"{judged.farm.site}: {len(alerts)} alerts"}[
        language
    ]
    chart = Chart(title, panels, *span_ms, zone_of(judged.timezone), language, width=WIDTH)
    drawn = svg(chart)
    file.write_bytes(png(drawn, 2 * WIDTH) if file.suffix == ".png" else drawn.encode())


def _chosen(present: Sequence[Series], alerts: Sequence[Outcome]) -> list[Series]:
    numbers = [s for s in present if catalogue()[s.quantity].kind != "text"]
    looked_at: Counter[Series] = Counter()
    for alert in alerts:
        signals = alert.decision.signals.values() if alert.decision else ()
        for told in signals:
            subject, quantity = str(told.get("subject")), str(told.get("quantity"))
            own = [s for s in numbers if s.subject == subject and s.quantity == quantity]
            looked_at.update(own or [s for s in numbers if s.subject == subject][:1])
    return [s for s, _ in looked_at.most_common(MOST_PANELS)] or sorted(numbers)[:MOST_PANELS]


def _folded(
    readings: Iterable[Reading], chosen: Sequence[Series], span_ms: tuple[int, int]
) -> dict[Series, list[Point]]:
    """The lowest, mean and highest of each piece of the picture's width."""
    width_ms = max(1, -(-(span_ms[1] - span_ms[0]) // _POINTS))
    sums: dict[Series, dict[int, list[float]]] = {s: {} for s in chosen}
    for reading in readings:
        of = sums.get(reading.series)
        if of is None or isinstance(reading.value, str):
            continue
        value = reading.value
        held = of.setdefault((reading.time_ms - span_ms[0]) // width_ms, [value, 0.0, value, 0])
        held[0], held[1], held[2], held[3] = min(held[0], value), held[1] + value, max(held[2], value), held[3] + 1
    return {
        s: [
            Point(span_ms[0] + i * width_ms + width_ms // 2, low, total / count, high)
            for i, (low, total, high, count) in sorted(of.items())
        ]
        for s, of in sums.items()
    }


def _panel(
    series: Series,
    points: list[Point],
    rules: FarmRules,
    alerts: Sequence[Outcome],
    band: Sequence[tuple[int, Band]],
    speech: Speech,
    language: Language,
) -> Panel:
    word = catalogue()[series.quantity]
    own = [a for a in alerts if _is_about(a, series)]
    limits = {
        (level.direction, level.value)
        for name in sorted({a.rule for a in own if a.rule in rules.rules})
        for level in levels(rules.tuned(name, series.subject))
        if level.quantity == series.quantity
    }
    steps = sorted(b.time_ms - a.time_ms for a, b in itertools.pairwise(points))
    usual_ms = steps[len(steps) // 2] if steps else 0
    return Panel(
        f"{speech.names.of(series.subject)[language]} · {word.names[language]}",
        word.show_unit,
        word.decimals,
        points,
        [Limit(value, direction) for direction, value in sorted(limits)],
        [(t, b.low, b.high) for t, b in band],
        [Spell(a.raised_ms, a.ended_ms, a.severity, a.rule if len(own) <= 8 else "") for a in own],
        word.show_factor,
        word.show_offset,
        gap_ms=3 * usual_ms + 1,
    )


def _is_about(alert: Outcome, series: Series) -> bool:
    signals = alert.decision.signals.values() if alert.decision else ()
    if alert.rule == UNUSUAL:
        return any((t.get("subject"), t.get("quantity")) == (series.subject, series.quantity) for t in signals)
    return alert.subject == series.subject or any(told.get("subject") == series.subject for told in signals)
