"""The sum of what is above a level since something ended is the integral over the line, whenever the end is told."""

from __future__ import annotations

import json
import math
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from analytics.signals.since import MARK_EVERY_MS, MARKS, Since

T0 = 1_700_000_000_000
GAP = 300_000
LEVEL = 4.0

STEPS = st.lists(
    st.tuples(st.sampled_from([1_000, 10_000, 60_000, 60_000, 299_999, 300_001, 3_600_000]), st.floats(0, 12)),
    min_size=2,
    max_size=60,
)


def brute(points: list[tuple[int, float]], start_ms: float) -> float:
    """The integral over known steps after `start_ms`, by very many small ones."""
    total = 0.0
    for (a, va), (b, vb) in pairwise(points):
        if b - a > GAP or b <= start_ms:
            continue
        n = 400
        for i in range(n):
            at = a + (b - a) * (i + 0.5) / n
            if at > start_ms:
                total += (b - a) / n * max(0.0, va + (vb - va) * (i + 0.5) / n - LEVEL)
    return total / 1000


@given(steps=STEPS, end=st.integers(0, 59), told=st.integers(0, 3), restart=st.integers(0, 59))
def test_it_is_the_integral_since_the_end(steps: list[tuple[int, float]], end: int, told: int, restart: int) -> None:
    since, points, now, ended, told_ms = Since(GAP, LEVEL, False), list[tuple[int, float]](), T0, None, 0
    end = min(end, len(steps) - 1)
    for n, (step, value) in enumerate(steps):
        now += step
        since.take(now, value)
        points.append((now, value))
        if n == restart:
            kept = json.loads(json.dumps(since.memory()))
            since = Since(GAP, LEVEL, False)
            since.recall(kept)
        if n == min(end + told, len(steps) - 1):
            ended, told_ms = points[end][0], now
        found = since.read(ended, now)
        assert found is not None
        if ended is None:
            assert math.isclose(found, brute(points, 0), rel_tol=1e-2, abs_tol=1.0)
        elif told == 0 or told_ms - ended == 0:
            assert math.isclose(found, brute(points, ended), rel_tol=1e-2, abs_tol=1.0)
        else:
            # What came between the end and its being told is known to a mark (four, after a restart).
            slack = 8 * 5 * MARK_EVERY_MS / 1000 if told_ms - ended <= MARKS * MARK_EVERY_MS else math.inf
            assert found <= brute(points, 0) + 1
            assert found >= brute(points, told_ms) - 1
            assert abs(found - brute(points, ended)) <= slack + 1


@given(steps=STEPS)
def test_one_that_never_happened_is_counted_from_the_beginning_and_below_mirrors_above(
    steps: list[tuple[int, float]],
) -> None:
    above, below, now = Since(GAP, LEVEL, False), Since(GAP, -LEVEL, True), T0
    for step, value in steps:
        now += step
        above.take(now, value)
        below.take(now, -value)
        above.take(now - 1, 1e9)  # late: passed over
        assert above.read(None, now) == below.read(None, now)
        assert above.read(T0 - 1, now) == above.read(None, now)
    assert above.read(None, now + GAP) is not None
    assert above.read(None, now + GAP + 1) is None
