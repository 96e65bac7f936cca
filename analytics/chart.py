"""A chart as SVG, by itself: values over local time, the normal band, limit lines, and the times of alerts. Pure.

Everything that is told by colour is told in words too. Texts come escaped; nothing in the picture is fetched. What a
chart of an alert shows is decided in `alert_chart.py`; PNG is made of it by `chart_png.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Final, Literal
from xml.sax.saxutils import escape, quoteattr

Language = Literal["ja", "en"]
Direction = Literal["above", "below"]

FONTS: Final = (
    "'Hiragino Sans','Yu Gothic UI','Noto Sans JP','Noto Sans CJK JP','IPAexGothic','VL Gothic',system-ui,sans-serif"
)
_INK: Final = "#1d2521"
_MUTED: Final = "#56615b"
_GRID: Final = "#dfe5e1"
_LINE: Final = "#1f6f43"
_BAND: Final = "#dcefe3"
_LIMIT: Final = "#b3261e"
SEVERITIES: Final[dict[str, str]] = {
    "critical": "#b3261e", "warning": "#b85c00", "advisory": "#8a6d00", "info": "#3b6ea5",
}  # fmt: skip
_WORDS: Final = {
    "none": {"ja": "記録が ありません", "en": "no records"},
    "normal": {"ja": "ふつうの 範囲", "en": "normal range"},
}
_MINUTE_MS: Final = 60_000
_HOUR_MS: Final = 60 * _MINUTE_MS
_DAY_MS: Final = 24 * _HOUR_MS
_STEPS_MS: Final = (
    *(m * _MINUTE_MS for m in (1, 2, 5, 10, 15, 30)), *(h * _HOUR_MS for h in (1, 2, 3, 6, 12)),
    *(d * _DAY_MS for d in (1, 2, 7, 14, 28, 91, 182, 364)),
)  # fmt: skip
_LEFT: Final = 52
_RIGHT: Final = 12
_TOP: Final = 26
_PANEL: Final = 176
_GAP: Final = 18
_BELOW: Final = 30


@dataclass(frozen=True, slots=True)
class Point:
    """What a window holds: its middle time; lowest, mean and highest value. A reading: three times itself."""

    time_ms: int
    low: float
    mean: float
    high: float


@dataclass(frozen=True, slots=True)
class Limit:
    """A level from which on a rule counts; what lies beyond in `direction` is not normal."""

    value: float
    direction: Direction
    label: str = ""


@dataclass(frozen=True, slots=True)
class Spell:
    """A time in which an alert was there. `end_ms` None: it still is."""

    start_ms: int
    end_ms: int | None
    severity: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One signal. Values are in the catalogue's unit and shown as value * factor + offset.

    `band`: (time, low, high) of what is usual, ascending; without one, the limits bound what is normal. `gap_ms`: two
    points further apart are not joined.
    """

    name: str
    unit: str
    decimals: int
    points: Sequence[Point]
    limits: Sequence[Limit] = ()
    band: Sequence[tuple[int, float, float]] = ()
    spells: Sequence[Spell] = ()
    factor: float = 1.0
    offset: float = 0.0
    gap_ms: int = _DAY_MS

    def shown(self, value: float) -> float:
        return value * self.factor + self.offset


@dataclass(frozen=True, slots=True)
class Chart:
    """Panels over one time, below each other. `describes`: the whole in a sentence, for who cannot see it."""

    title: str
    panels: Sequence[Panel]
    start_ms: int
    end_ms: int
    zone: tzinfo
    language: Language
    describes: str = ""
    width: int = 480


def svg(chart: Chart) -> str:
    """`chart` as an SVG document."""
    lines = _wrapped(chart.title, (chart.width - 16) / 15)
    head = 12 + 20 * len(lines)
    height = head + len(chart.panels) * (_TOP + _PANEL + _GAP) + _BELOW
    told = _plain(chart.describes or chart.title)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {chart.width} {height}"',
        f' width="{chart.width}" height="{height}" role="img" aria-label={quoteattr(told)} lang="{chart.language}"',
        f' font-family="{FONTS}" font-size="13"><title>{escape(told)}</title>',
        f'<rect width="{chart.width}" height="{height}" fill="#fff"/>',
    ]
    parts += [
        f'<text x="8" y="{22 + 20 * i}" font-size="15" font-weight="bold" fill="{_INK}">{_text(line)}</text>'
        for i, line in enumerate(lines)
    ]
    for number, panel in enumerate(chart.panels):
        top = head + number * (_TOP + _PANEL + _GAP)
        parts += _Drawn(chart, panel, top + _TOP, is_last=number == len(chart.panels) - 1).parts()
    return "".join([*parts, "</svg>"])


def time_ticks(start_ms: int, end_ms: int, zone: tzinfo, language: Language, most: int) -> list[tuple[int, str]]:
    """At most about `most` marks at round local times; a day's beginning is marked by its date."""
    span = max(1, end_ms - start_ms)
    step = next((s for s in _STEPS_MS if span / s <= most), _STEPS_MS[-1])
    found: list[tuple[int, str]] = []
    at_ms = start_ms
    while True:
        local_ms = -(-(at_ms + _ahead(at_ms, zone)) // step) * step
        mark_ms = local_ms - _ahead(local_ms - _ahead(at_ms, zone), zone)
        if mark_ms > end_ms:
            return found
        if mark_ms >= start_ms:
            found.append((mark_ms, _when(mark_ms, zone, language, step)))
        at_ms = max(mark_ms, at_ms) + 1


def _ahead(at_ms: int, zone: tzinfo) -> int:
    ahead = datetime.fromtimestamp(at_ms / 1000, zone).utcoffset()
    return round(ahead.total_seconds() * 1000) if ahead else 0


def _when(at_ms: int, zone: tzinfo, language: Language, step_ms: int) -> str:
    local = datetime.fromtimestamp(at_ms / 1000, zone)
    day = f"{local.month}月{local.day}日" if language == "ja" else f"{local.day} {local:%b}"
    if step_ms >= 28 * _DAY_MS:
        return f"{local.year}年{local.month}月" if language == "ja" else f"{local:%b} {local.year}"
    return day if step_ms >= _DAY_MS or (local.hour, local.minute) == (0, 0) else f"{local.hour}:{local.minute:02d}"


def value_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round values that cover [low, high]."""
    span = max(high - low, 1e-12)
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(power * m for m in (1, 2, 5, 10) if span / (power * m) <= most)
    return [step * i for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


class _Drawn:
    """One panel, drawn with its top at `top`."""

    def __init__(self, chart: Chart, panel: Panel, top: float, *, is_last: bool) -> None:
        self._chart, self._panel, self._top, self._is_last = chart, panel, top, is_last
        self._left, self._right = float(_LEFT), float(chart.width - _RIGHT)
        self._low, self._high = self._range()

    def parts(self) -> Iterator[str]:
        panel, chart = self._panel, self._chart
        unit = f" ({panel.unit})" if panel.unit else ""
        yield f'<text x="8" y="{self._top - 9:.0f}" fill="{_INK}">{_text(panel.name + unit)}</text>'
        yield from self._normal()
        yield from self._axes()
        yield from self._spells()
        yield from self._values()
        yield from self._limits()
        if not panel.points:
            x, y = (self._left + self._right) / 2, self._top + _PANEL / 2
            text = _text(_WORDS["none"][chart.language])
            yield f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="middle" fill="{_MUTED}">{text}</text>'

    def _range(self) -> tuple[float, float]:
        """All values and all limits are in the picture; a quiet series is not blown up to noise."""
        panel = self._panel
        values = [panel.shown(v) for p in panel.points for v in (p.low, p.high)]
        values += [panel.shown(limit.value) for limit in panel.limits]
        if not values:
            return 0.0, 1.0
        low, high = min(values), max(values)
        if panel.band:  # its edges are shown as far as the values stay readable
            reach = high - low or 1.0
            low = min(low, max(min(panel.shown(b[1]) for b in panel.band), low - reach))
            high = max(high, min(max(panel.shown(b[2]) for b in panel.band), high + reach))
        least = 10 * 10.0**-panel.decimals
        if high - low < least:
            middle = (low + high) / 2
            low, high = middle - least / 2, middle + least / 2
        margin = 0.08 * (high - low)
        return low - (0 if low == 0 and min(values) >= 0 else margin), high + margin

    def _x(self, time_ms: float) -> float:
        share = (time_ms - self._chart.start_ms) / max(1, self._chart.end_ms - self._chart.start_ms)
        return self._left + min(1.0, max(0.0, share)) * (self._right - self._left)

    def _y(self, shown: float) -> float:
        share = (shown - self._low) / (self._high - self._low)
        return self._top + (1 - min(1.0, max(0.0, share))) * _PANEL

    def _normal(self) -> Iterator[str]:
        """The band of what is usual, or what the limits leave."""
        panel = self._panel
        if panel.band:
            upper = [f"{self._x(t):.1f},{self._y(panel.shown(h)):.1f}" for t, _, h in panel.band]
            lower = [f"{self._x(t):.1f},{self._y(panel.shown(low)):.1f}" for t, low, _ in reversed(panel.band)]
            yield f'<polygon points="{" ".join(upper + lower)}" fill="{_BAND}"/>'
        elif panel.limits:
            above = [panel.shown(x.value) for x in panel.limits if x.direction == "above"]
            below = [panel.shown(x.value) for x in panel.limits if x.direction == "below"]
            top, bottom = self._y(min(above, default=self._high)), self._y(max(below, default=self._low))
            if bottom > top:
                wide = self._right - self._left
                yield (
                    f'<rect x="{self._left:.1f}" y="{top:.1f}" width="{wide:.1f}" height="{bottom - top:.1f}" '
                    f'fill="{_BAND}"/>'
                )
        if panel.band or panel.limits:
            text = _text(_WORDS["normal"][self._chart.language])
            yield (
                f'<rect x="{self._right - 12:.1f}" y="{self._top - 19:.1f}" width="12" height="12" fill="{_BAND}" '
                f'stroke="{_MUTED}" stroke-width=".5"/><text x="{self._right - 17:.1f}" y="{self._top - 9:.1f}" '
                f'text-anchor="end" font-size="12" fill="{_MUTED}">{text}</text>'
            )

    def _axes(self) -> Iterator[str]:
        for value in value_ticks(self._low, self._high):
            y = self._y(value)
            yield f'<path d="M{self._left:.1f} {y:.1f}H{self._right:.1f}" stroke="{_GRID}"/>'
            label = _number(value, self._high - self._low)
            yield f'<text x="{self._left - 6:.1f}" y="{y + 4:.1f}" text-anchor="end" fill="{_MUTED}">{label}</text>'
        chart = self._chart
        most = max(2, int((self._right - self._left) // 76))
        bottom = self._top + _PANEL
        for at_ms, label in time_ticks(chart.start_ms, chart.end_ms, chart.zone, chart.language, most):
            x = self._x(at_ms)
            yield f'<path d="M{x:.1f} {self._top:.1f}V{bottom:.1f}" stroke="{_GRID}"/>'
            if self._is_last:
                at = min(max(x, self._left + 14), self._right - 18)
                told = _text(label)
                yield f'<text x="{at:.1f}" y="{bottom + 18:.1f}" text-anchor="middle" fill="{_MUTED}">{told}</text>'

    def _spells(self) -> Iterator[str]:
        rows = [-1.0] * 3  # how far the labels of each row reach
        for spell in self._panel.spells:
            colour = SEVERITIES.get(spell.severity, _MUTED)
            left, bottom = self._x(spell.start_ms), self._top + _PANEL
            right = self._x(self._chart.end_ms if spell.end_ms is None else spell.end_ms)
            yield (
                f'<rect x="{left:.1f}" y="{self._top:.1f}" width="{max(1.5, right - left):.1f}" height="{_PANEL}" '
                f'fill="{colour}" fill-opacity=".13"/>'
                f'<path d="M{left:.1f} {self._top:.1f}V{bottom:.1f}" stroke="{colour}" stroke-width="1.5"/>'
            )
            if spell.label:
                wide = _wide(spell.label) * 12
                x = left + 4 if left + 4 + wide < self._right else left - 4 - wide
                row = next((r for r, reach in enumerate(rows) if x > reach), None)
                if row is not None:
                    rows[row] = x + wide + 6
                    y = self._top + 14 + 15 * row
                    yield (
                        f'<text x="{x:.1f}" y="{y:.1f}" font-size="12" fill="{colour}" {_HALO}>'
                        f"{_text(spell.label)}</text>"
                    )

    def _values(self) -> Iterator[str]:
        for run in self._runs():
            if len(run) == 1:
                p = run[0]
                x, y = self._x(p.time_ms), self._y(self._panel.shown(p.mean))
                yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{_LINE}"/>'
                continue
            if any(p.high > p.low for p in run):
                upper = [f"{self._x(p.time_ms):.1f},{self._y(self._panel.shown(p.high)):.1f}" for p in run]
                lower = [f"{self._x(p.time_ms):.1f},{self._y(self._panel.shown(p.low)):.1f}" for p in reversed(run)]
                yield f'<polygon points="{" ".join(upper + lower)}" fill="{_LINE}" fill-opacity=".25"/>'
            line = " ".join(f"{self._x(p.time_ms):.1f},{self._y(self._panel.shown(p.mean)):.1f}" for p in run)
            pen = f'fill="none" stroke="{_LINE}" stroke-width="1.8" stroke-linejoin="round"'
            yield f'<polyline points="{line}" {pen}/>'

    def _runs(self) -> Iterator[list[Point]]:
        """Points that are joined; what lies outside the chart's time is left out."""
        run: list[Point] = []
        for point in self._panel.points:
            if not self._chart.start_ms <= point.time_ms <= self._chart.end_ms:
                continue
            if run and point.time_ms - run[-1].time_ms > self._panel.gap_ms:
                yield run
                run = []
            run.append(point)
        if run:
            yield run

    def _limits(self) -> Iterator[str]:
        for limit in self._panel.limits:
            shown = self._panel.shown(limit.value)
            y = self._y(shown)
            yield (
                f'<path d="M{self._left:.1f} {y:.1f}H{self._right:.1f}" stroke="{_LIMIT}" stroke-width="1.5" '
                f'stroke-dasharray="6 4"/>'
            )
            number = f"{shown:.{self._panel.decimals}f}"
            label = f"{limit.label} {number} {self._panel.unit}".strip()
            y += -5 if y - self._top > 34 else 14
            yield (
                f'<text x="{self._right - 4:.1f}" y="{y:.1f}" text-anchor="end" font-size="12" fill="{_LIMIT}" '
                f"{_HALO}>{_text(label)}</text>"
            )


_HALO: Final = 'stroke="#fff" stroke-width="3" paint-order="stroke" stroke-linejoin="round"'


def _number(value: float, span: float) -> str:
    decimals = max(0, min(6, 1 - math.floor(math.log10(max(span, 1e-12)))))
    text = f"{value:.{decimals}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


def _wrapped(text: str, wide: float) -> list[str]:
    """`text` in at most three lines of about `wide` Japanese characters; a Latin one is half as wide."""
    words, lines, line, used = text.split(" "), [], "", 0.0
    for word in words:
        size = _wide(word) + 0.4
        if line and used + size > wide:
            lines.append(line)
            line, used = "", 0.0
        line, used = f"{line} {word}".strip(), used + size
    return [*lines, line][:3]


def _wide(text: str) -> float:
    """About how wide `text` is, in widths of a Japanese character."""
    return sum(1.0 if ord(c) > 0x2000 else 0.55 for c in text)


def _plain(text: str) -> str:
    """Without what XML does not allow."""
    return "".join(c for c in text if c.isprintable())


def _text(text: str) -> str:
    return escape(_plain(text))
