"""The width of a chart's windows: few enough, and not wider than needed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from api.routes.series import DAY_MS, WIDTHS_MS, width_for
from makiba.reading import EARLIEST_MS

TIMES = st.integers(EARLIEST_MS, EARLIEST_MS + 60 * 365 * DAY_MS)


def touched(start_ms: int, end_ms: int, width_ms: int) -> int:
    return (end_ms - 1) // width_ms - start_ms // width_ms + 1


@given(TIMES, st.integers(1, 20 * 365 * DAY_MS), st.integers(1, 2_000))
def test_never_more_windows_than_points(start_ms: int, length_ms: int, points: int) -> None:
    width = width_for(start_ms, start_ms + length_ms, points)
    assert touched(start_ms, start_ms + length_ms, width) <= points


@given(TIMES, st.integers(1, 365 * DAY_MS), st.integers(2, 2_000))
def test_the_next_narrower_width_would_be_too_many(start_ms: int, length_ms: int, points: int) -> None:
    width = width_for(start_ms, start_ms + length_ms, points)
    narrower = [w for w in WIDTHS_MS if w < width]
    if width in WIDTHS_MS and narrower:
        assert touched(start_ms, start_ms + length_ms, narrower[-1]) > points


def test_a_day_in_300_points_has_windows_of_five_minutes() -> None:
    assert width_for(1_700_000_000_000, 1_700_000_000_000 + DAY_MS, 300) == 300_000
