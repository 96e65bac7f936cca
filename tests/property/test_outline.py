"""A field's outline: what is drawn comes back regular, with the area that a slow integration finds."""

from __future__ import annotations

import itertools
import json
import math
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from makiba.outline import CHO_M2, MAX_POSITIONS, TAN_M2, NotAnOutline, make_outline

LON, LAT = 143.1, 43.2


def polygon(*rings: list[tuple[float, float]]) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": [[list(p) for p in (*ring, ring[0])] for ring in rings]}


def box(west: float, south: float, size: float = 0.01) -> list[tuple[float, float]]:
    return [(west, south), (west + size, south), (west + size, south + size), (west, south + size)]


def signed(ring: list[list[float]]) -> float:
    return sum(a[0] * b[1] - b[0] * a[1] for a, b in itertools.pairwise(ring))


@st.composite
def stars(draw: st.DrawFn) -> list[tuple[float, float]]:
    """A ring around a point, whose corners are seen from there one after the other: it never crosses itself."""
    count = draw(st.integers(3, 40))
    lon, lat = draw(st.floats(124, 150)), draw(st.floats(22, 44))
    radii = draw(st.lists(st.floats(0.0005, 0.004), min_size=count, max_size=count))
    ring = [
        (lon + r * math.cos(2 * math.pi * n / count), lat + r * math.sin(2 * math.pi * n / count))
        for n, r in enumerate(radii)
    ]
    return ring[::-1] if draw(st.booleans()) else ring


# --------------------------------------------------------------------------------------------------- regular


@given(stars(), st.booleans())
def test_what_is_drawn_comes_back_regular_and_stays_so(ring: list[tuple[float, float]], heights: bool) -> None:
    drawn = polygon(ring)
    if heights:
        drawn["coordinates"][0] = [[*p, 250.5] for p in drawn["coordinates"][0]]
    made = make_outline(drawn)
    [outer] = made.geometry["coordinates"]
    assert outer[0] == outer[-1]
    assert len(outer) == len(ring) + 1
    assert signed(outer) > 0
    assert outer[0] == [pytest.approx(v, abs=6e-8) for v in ring[0]]
    assert {tuple(p) for p in outer} == {(round(x, 7), round(y, 7)) for x, y in ring}
    again = make_outline(json.loads(json.dumps(made.geometry)))
    assert again == made


@given(stars())
def test_which_way_it_goes_round_and_where_it_begins_changes_nothing(ring: list[tuple[float, float]]) -> None:
    area = make_outline(polygon(ring)).area_m2
    assert make_outline(polygon(ring[::-1])).area_m2 == pytest.approx(area, rel=1e-9)
    assert make_outline(polygon(ring[1:] + ring[:1])).area_m2 == pytest.approx(area, rel=1e-9)


corners = st.tuples(st.integers(0, 6), st.integers(0, 6))


@given(st.lists(corners, min_size=3, max_size=8, unique=True))
def test_a_ring_is_taken_if_no_two_of_its_sides_meet(ring: list[tuple[int, int]]) -> None:
    """On a small grid, where corners often lie on sides and sides on each other; judged by cutting the lines."""
    drawn = polygon([(LON + x / 1000, LAT + y / 1000) for x, y in ring])
    if is_simple(ring):
        assert make_outline(drawn).area_m2 > 0
    else:
        with pytest.raises(NotAnOutline, match="itself"):
            make_outline(drawn)


def is_simple(ring: list[tuple[int, int]]) -> bool:
    sides = [(ring[n], ring[(n + 1) % len(ring)]) for n in range(len(ring))]
    for i, first in enumerate(sides):
        for second in sides[:i]:
            common = points_in_common(first, second)
            shared = set(first) & set(second)
            if common is None or common - {(Fraction(x), Fraction(y)) for x, y in shared}:
                return False
            if len(shared) == 1 and not common:
                raise AssertionError("a corner of two sides lies on both")
    return True


def points_in_common(first: Any, second: Any) -> set[tuple[Fraction, Fraction]] | None:
    """Where two sides meet; None: along a whole piece."""
    (ax, ay), (bx, by) = first
    (cx, cy), (dx, dy) = second
    ux, uy, vx, vy = bx - ax, by - ay, dx - cx, dy - cy
    turn = ux * vy - uy * vx
    if turn:
        t = Fraction((cx - ax) * vy - (cy - ay) * vx, turn)
        s = Fraction((cx - ax) * uy - (cy - ay) * ux, turn)
        return {(ax + t * ux, ay + t * uy)} if 0 <= t <= 1 and 0 <= s <= 1 else set()
    if ux * (cy - ay) - uy * (cx - ax):
        return set()
    along = ux * ux + uy * uy
    t0, t1 = sorted(Fraction((x - ax) * ux + (y - ay) * uy, along) for x, y in second)
    low, high = max(t0, Fraction(0)), min(t1, Fraction(1))
    if low > high:
        return set()
    return {(ax + low * ux, ay + low * uy)} if low == high else None


def test_holes_go_the_other_way_and_take_their_area_out() -> None:
    field, pond = box(LON, LAT), box(LON + 0.004, LAT + 0.004, 0.002)
    made = make_outline(polygon(field[::-1], pond))
    outer, hole = made.geometry["coordinates"]
    assert signed(outer) > 0 > signed(hole)
    whole = make_outline(polygon(field)).area_m2
    assert made.area_m2 == pytest.approx(whole * (1 - 0.04), rel=1e-4)


# ------------------------------------------------------------------------------------------------------ area


@pytest.mark.parametrize("south", [-43.0, 24.3, 43.2, 45.4])
def test_the_area_is_that_on_the_ellipsoid(south: float) -> None:
    """Integrated slowly: radii of curvature of WGS 84 (a = 6378137 m, f = 1/298.257223563) along the meridian."""
    a, f = 6_378_137.0, 1 / 298.257223563
    e2 = f * (2 - f)
    size, steps = 0.01, 2_000
    total = 0.0
    for n in range(steps):
        lat = math.radians(south + size * (n + 0.5) / steps)
        w = 1 - e2 * math.sin(lat) ** 2
        total += a * (1 - e2) / w**1.5 * (a / math.sqrt(w)) * math.cos(lat)
    expected = total * math.radians(size) ** 2 / steps
    assert make_outline(polygon(box(143.0, south, size))).area_m2 == pytest.approx(expected, rel=1e-7)


def test_japans_units() -> None:
    assert pytest.approx(991.7355, abs=1e-4) == TAN_M2
    assert pytest.approx(9917.355, abs=1e-3) == CHO_M2


def test_outside_japan_is_a_warning() -> None:
    assert make_outline(polygon(box(LON, LAT))).warnings == ()
    assert make_outline(polygon(box(LAT, 60.0))).warnings == ("outside-japan",)


# --------------------------------------------------------------------------------------------------- refusals

SQUARE = polygon(box(LON, LAT))
OPEN = {"type": "Polygon", "coordinates": [SQUARE["coordinates"][0][:-1]]}
TWO = {"type": "MultiPolygon", "coordinates": [polygon(box(LON, LAT))["coordinates"]]}


@pytest.mark.parametrize(
    ("drawn", "why"),
    [
        (None, "expected a GeoJSON geometry"),
        ({"type": "Point", "coordinates": [LON, LAT]}, "Polygon or MultiPolygon"),
        ({"type": "Polygon"}, "a list"),
        ({"type": "Polygon", "coordinates": []}, "a list"),
        ({"type": "Polygon", "coordinates": [[]]}, "at least 4"),
        ({"type": "Polygon", "coordinates": [5]}, "a list of positions"),
        ({"type": "MultiPolygon", "coordinates": [5]}, "a list of rings"),
        ({"type": "Polygon", "coordinates": [[[LON, "43"]] * 4]}, "longitude, latitude"),
        ({"type": "Polygon", "coordinates": [[[LON, True]] * 4]}, "longitude, latitude"),
        ({"type": "Polygon", "coordinates": [[[LON]] * 4]}, "longitude, latitude"),
        ({"type": "Polygon", "coordinates": [[[LON, math.nan]] * 4]}, "longitude, latitude"),
        ({"type": "Polygon", "coordinates": [[[LON, 10**400]] * 4]}, "longitude, latitude"),
        ({**SQUARE, "crs": {"type": "name"}}, "crs"),
        ({**SQUARE, "properties": {}}, "unknown member"),
        (OPEN, "not closed"),
        (polygon([(LAT, LON), (LAT, LON + 0.1), (LAT + 0.1, LON)]), "no longitude and latitude"),
        (polygon([(LON, LAT), (LON + 0.01, LAT), (LON, LAT)]), "3 different positions"),
        (polygon([(LON, LAT), (LON + 0.01, LAT), (LON + 0.02, LAT)]), "crosses or touches itself"),
        (polygon([(LON, LAT), (LON + 0.01, LAT + 0.01), (LON + 0.01, LAT), (LON, LAT + 0.01)]), "touches itself"),
        (polygon([(179.9, 0.0), (-179.9, 0.0), (-179.9, 0.1)]), "antimeridian"),
        (polygon(box(LON, LAT, 0.2)), "its area is"),
        (polygon(box(LON, LAT, 0.000001)), "its area is"),
        (polygon(box(LON, LAT), box(LON + 0.02, LAT, 0.001)), "does not lie inside"),
        (polygon(box(LON, LAT), box(LON + 0.005, LAT + 0.002, 0.007)), "cross or touch"),
        (polygon(box(LON, LAT), box(LON, LAT + 0.002, 0.002)), "cross or touch"),
        (polygon(box(LON, LAT), box(143.102, 43.202, 0.006), box(143.104, 43.204, 0.002)), "another hole"),
        ({"type": "MultiPolygon", "coordinates": [polygon(box(LON, LAT))["coordinates"]] * 2}, "cover each other"),
        ({"type": "MultiPolygon", "coordinates": [
            polygon(box(LON, LAT))["coordinates"], polygon(box(LON + 0.002, LAT + 0.002, 0.002))["coordinates"],
        ]}, "cover each other"),
        (polygon([(LON + n * 1e-5, LAT) for n in range(MAX_POSITIONS)]), f"at most {MAX_POSITIONS}"),
    ],
)  # fmt: skip
def test_what_is_no_outline_is_refused_with_the_reason(drawn: Any, why: str) -> None:
    with pytest.raises(NotAnOutline, match=why):
        make_outline(drawn)


def test_parts_may_lie_side_by_side_and_in_each_others_holes() -> None:
    apart = [polygon(box(LON, LAT))["coordinates"], polygon(box(LON + 0.02, LAT))["coordinates"]]
    made = make_outline({"type": "MultiPolygon", "coordinates": apart})
    assert made.area_m2 == pytest.approx(2 * make_outline(polygon(box(LON, LAT))).area_m2, rel=1e-9)
    holed = polygon(box(LON, LAT), box(LON + 0.002, LAT + 0.002, 0.006))["coordinates"]
    island = polygon(box(LON + 0.004, LAT + 0.004, 0.002))["coordinates"]
    for parts in ([holed, island], [island, holed]):
        assert make_outline({"type": "MultiPolygon", "coordinates": parts}).area_m2 > 0


def test_the_worst_that_fits_is_judged_quickly() -> None:
    """Every side's box meets every other's: nothing is swept away."""
    import time

    count = MAX_POSITIONS - 2
    comb = [(LON + 0.01 * (n % 2), LAT + n * 1e-5) for n in range(count)]
    began = time.process_time()
    make_outline(polygon([*comb, (LON - 0.001, LAT + count * 1e-5)]))
    assert time.process_time() - began < 3
