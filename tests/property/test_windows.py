"""A sliding window says what the whole line says, cut out and integrated by hand; gaps, repeats, restarts."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.signals.windows import CELLS, KNOWN_ENOUGH, Window

T0 = 1_700_000_000_000
GAP = 300_000
WHATS = ("mean", "min", "max", "sum", "change", "rise_per_hour", "slope_per_day", "total", "integral")

STEPS = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 1_000, 9_999, 10_000, 10_000, 30_000, 60_000, 250_000, 300_000, 300_001, 4_000_000]),
        st.sampled_from([0.0, 1.0, -3.5, 4.0, 4.4, 5.0, 12.25, 1e-6]) | st.floats(-50, 50),
    ),
    min_size=1,
    max_size=80,
)
WIDTHS = st.sampled_from([1, 29, 60_000, 900_000, 3_600_000, 86_400_000])


class Line:
    """All readings, and what they say of a window, by going through all of them each time."""

    def __init__(self, width_ms: int, gap_ms: float = GAP) -> None:
        self.width, self.gap = width_ms, gap_ms
        self.points: list[tuple[float, float]] = []

    def put(self, time_ms: float, value: float) -> None:
        if self.points and self.points[-1][0] == time_ms:
            self.points.pop()
        self.points.append((time_ms, value))

    def pieces(self) -> tuple[float, list[tuple[float, float, float, float]], list[float], list[float]]:
        """Where the window begins; the known pieces in it; what the line takes on; the readings."""
        end = self.points[-1][0]
        cell = max(1, self.width // CELLS)
        start = (end - self.width) // cell * cell
        pieces, values = [], [v for t, v in self.points if t > start]
        readings = list(values)
        for (a, va), (b, vb) in zip(self.points, self.points[1:], strict=False):
            if b - a > self.gap or b <= start:
                continue
            if a < start:
                va, a = va + (vb - va) * (start - a) / (b - a), start
            values.append(va)
            pieces.append((a, va, b, vb))
        return start, pieces, values, readings

    def read(self, what: str) -> float | None:
        start, pieces, values, readings = self.pieces()
        end = self.points[-1][0]
        width, known = end - start, sum(b - a for a, _, b, _ in pieces)
        if what == "sum":
            return sum(readings) if end - self.points[0][0] >= KNOWN_ENOUGH * width else None
        if known < KNOWN_ENOUGH * width or not known:
            return None
        area = sum((b - a) * (va + vb) / 2 for a, va, b, vb in pieces)
        match what:
            case "mean":
                return area / known
            case "min" | "max":
                return min(values) if what == "min" else max(values)
            case "change":
                first = min([(t, v) for t, v in self.points if t > start] + [(a, va) for a, va, _, _ in pieces])
                return self.points[-1][1] - first[1]
            case "total" | "integral":
                return area / 1000
        middle_t = sum((b * b - a * a) / 2 - (b - a) * start for a, _, b, _ in pieces) / known
        top = bottom = 0.0
        for a, va, b, vb in pieces:  # Simpson is exact for a line times a line
            x, y, z = a - start - middle_t, (a + b) / 2 - start - middle_t, b - start - middle_t
            top += (b - a) / 6 * (x * va + 4 * y * (va + vb) / 2 + z * vb)
            bottom += (b - a) / 6 * (x * x + 4 * y * y + z * z)
        slope = top / bottom if bottom else 0.0
        return slope * (3_600_000 if what == "rise_per_hour" else 86_400_000)


def same(found: float | None, wanted: float | None, scale: float) -> bool:
    if found is None or wanted is None:
        return found is wanted
    return math.isclose(found, wanted, rel_tol=1e-6, abs_tol=1e-6 * scale)


def scale_of(line: Line, what: str) -> float:
    largest = max(1.0, *(abs(v) for _, v in line.points))
    seconds = line.width / 1000
    return largest * {
        "total": seconds, "integral": seconds, "sum": 1, "rise_per_hour": 3_600 / max(seconds, 1e-3),
        "slope_per_day": 86_400 / max(seconds, 1e-3),
    }.get(what, 1)  # fmt: skip


@given(steps=STEPS, width=WIDTHS, restart=st.integers(0, 80))
def test_a_window_is_the_line_cut_out(steps: list[tuple[int, float]], width: int, restart: int) -> None:
    window, line, now = Window(width, GAP), Line(width), T0
    for n, (step, value) in enumerate(steps):
        now += step
        window.take(now, value)
        line.put(now, value)
        if n == restart:
            kept = json.loads(json.dumps(window.memory()))
            window = Window(width, GAP)
            window.recall(kept)
        for what in WHATS:
            assert same(window.read(what, now), line.read(what), scale_of(line, what)), (n, what)


@given(steps=STEPS, level=st.sampled_from([0.0, 4.4, -3.0]), is_below=st.booleans())
def test_what_is_above_a_level_is_the_excess_of_the_line(
    steps: list[tuple[int, float]], level: float, is_below: bool
) -> None:
    window, line, now = Window(3_600_000, GAP, level=level, is_below=is_below), Line(3_600_000), T0
    before: tuple[int, float] | None = None
    for step, value in steps:
        now += max(1_000, step)
        window.take(now, value)
        signed = (level - value) if is_below else (value - level)
        if before and before[1] * signed < 0 and now - before[0] <= GAP:
            line.put(before[0] + (now - before[0]) * before[1] / (before[1] - signed), 0.0)
        line.put(now, max(0.0, signed))
        before = (now, signed)
        found, wanted = window.read("integral", now), line.read("integral")
        # A crossing is kept to the millisecond.
        assert (found is None) == (wanted is None)
        assert found is None or wanted is None or math.isclose(found, wanted, rel_tol=1e-4, abs_tol=0.2)


@given(
    steps=st.lists(
        st.tuples(st.sampled_from([60_000, 600_000, 7_200_000]), st.integers(-3, 9)), min_size=2, max_size=60
    )
)
def test_a_counter_tells_what_was_counted_whatever_was_missed(steps: list[tuple[int, int]]) -> None:
    window, grown, now, value = Window(6 * 3_600_000, GAP, is_counter=True), Line(6 * 3_600_000, math.inf), T0, 0
    total = 0
    for step, more in steps:
        now += step
        cleared = more < 0
        rest = min(value - 1, -more)  # what came since it was cleared; nothing below what it was shows that it was
        added = max(0, rest if cleared and value else more)
        value, total = (0 if cleared else value) + added, total + added
        window.take(now, value)
        grown.put(now, total)
        assert same(window.read("total", now), grown.read("change"), 100)


def test_an_older_reading_changes_nothing_and_a_window_that_went_by_is_unknown() -> None:
    window = Window(900_000, GAP)
    for n in range(100):
        window.take(T0 + n * 10_000, float(n))
    before = window.read("mean", T0 + 990_000)
    window.take(T0 + 500_000, 1e6)
    assert window.read("mean", T0 + 990_000) == before
    assert before == pytest.approx(99 - 45.5, abs=1.6)
    assert window.read("mean", T0 + 990_000 + GAP) == before
    assert window.read("mean", T0 + 990_000 + GAP + 1) is None


def test_memory_is_bounded_and_rounding_does_not_add_up() -> None:
    window = Window(3_600_000, GAP)
    for n in range(30_000):
        window.take(T0 + n * 1_000, 1e6 + math.sin(n))
    assert len(window._entries) <= 2 * CELLS + 3
    assert len(json.dumps(window.memory())) < 6_000
    for n in range(30_000, 34_000):
        window.take(T0 + n * 1_000, 0.001)
    assert window.read("mean", T0 + 33_999_000) == pytest.approx(0.001, rel=1e-6)
