"""A field's outline: a GeoJSON Polygon or MultiPolygon (RFC 7946) made regular, with its area. Pure.

`make_outline(geometry)` gives the same outline with

- positions in WGS 84, longitude first, rounded to 1e-7 degrees (a centimetre), heights left out;
- closed rings without repeated positions, outer ones counterclockwise, holes clockwise (the right-hand rule);
- rings that neither cross nor touch themselves or each other; holes inside, parts of a MultiPolygon apart;
- at most `MAX_POSITIONS` positions and `MAX_AREA_M2`.

Anything else is a `NotAnOutline` that says what and where. An outline elsewhere than in Japan is one, with a warning:
most often longitude and latitude are swapped. What is regular already comes back as it is.

The area is that on the ellipsoid, by the equal-area cylindrical projection (Snyder, Map Projections: A Working
Manual, USGS Professional Paper 1395, 1987, equations 3-12 and 10-13 to 10-15); sides are straight in that projection,
which for a side of 1 km differs from the shortest line by centimetres. It is the plan's area: slopes are not in it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeGuard

MAX_POSITIONS: Final = 1_000
MAX_AREA_M2: Final = 1e8
"""100 km²: five times Japan's largest pasture."""
MIN_AREA_M2: Final = 1.0
JAPAN: Final = (122.0, 20.0, 154.0, 46.0)
"""West, south, east, north of all its islands, generously."""

TAN_M2: Final = 300 * 400 / 121
"""One 反: 300 坪 of 400/121 m²."""
CHO_M2: Final = 10 * TAN_M2

_SCALE: Final = 10_000_000
_A: Final = 6_378_137.0
_F: Final = 1 / 298.257223563
_E2: Final = _F * (2 - _F)
_E: Final = math.sqrt(_E2)

Point = tuple[int, int]
"""Longitude and latitude in 1e-7 degrees: whole numbers, so that what crosses is decided exactly."""
Ring = tuple[Point, ...]
"""Without the repeated last position."""


class NotAnOutline(ValueError):
    """What was given is no outline of a field; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Outline:
    """`geometry` as GeoJSON; `warnings`: what is odd and may be right (`outside-japan`)."""

    geometry: dict[str, Any]
    area_m2: float
    bbox: tuple[float, float, float, float]
    warnings: tuple[str, ...] = ()


def make_outline(geometry: Any) -> Outline:
    """The outline that `geometry` draws; `NotAnOutline` when it draws none."""
    parts = _parts(geometry)
    polygons = [_polygon(part, f"part {n + 1}, " if len(parts) > 1 else "") for n, part in enumerate(parts)]
    _check_apart(polygons)
    area = math.fsum(sum(_area_m2(ring) for ring in polygon) for polygon in polygons)
    if not MIN_AREA_M2 <= area <= MAX_AREA_M2:
        raise NotAnOutline(f"its area is {area:.0f} m²; a field has between {MIN_AREA_M2:.0f} and {MAX_AREA_M2:.0f}")
    coordinates = [[_spell(ring) for ring in polygon] for polygon in polygons]
    is_one = geometry["type"] == "Polygon"
    made = {"type": geometry["type"], "coordinates": coordinates[0] if is_one else coordinates}
    return Outline(made, area, bounds(made), oddities(made))


def bounds(geometry: Mapping[str, Any]) -> tuple[float, float, float, float]:
    """West, south, east, north of an outline's geometry."""
    parts = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
    outer = [position for part in parts for position in part[0]]
    lons, lats = [p[0] for p in outer], [p[1] for p in outer]
    return min(lons), min(lats), max(lons), max(lats)


def oddities(geometry: Mapping[str, Any]) -> tuple[str, ...]:
    """What is odd about an outline's geometry and may be right."""
    west, south, east, north = bounds(geometry)
    inside = JAPAN[0] <= west and east <= JAPAN[2] and JAPAN[1] <= south and north <= JAPAN[3]
    return () if inside else ("outside-japan",)


# ------------------------------------------------------------------------------------------------------ reading


def _parts(geometry: Any) -> Sequence[Any]:
    if not isinstance(geometry, Mapping):
        raise NotAnOutline("expected a GeoJSON geometry, an object with type and coordinates")
    kind, coordinates = geometry.get("type"), geometry.get("coordinates")
    if kind not in ("Polygon", "MultiPolygon"):
        raise NotAnOutline("type: expected Polygon or MultiPolygon")
    if "crs" in geometry:
        raise NotAnOutline("crs: GeoJSON is always WGS 84 (RFC 7946, section 4); convert the coordinates")
    if unknown := sorted(str(name)[:40] for name in geometry.keys() - {"type", "coordinates", "bbox"}):
        raise NotAnOutline(f"{unknown[0]}: unknown member")
    parts = [coordinates] if kind == "Polygon" else coordinates
    if not _is_list(parts) or not parts:
        raise NotAnOutline("coordinates: expected a list that is not empty")
    count = sum(len(ring) for part in parts if _is_list(part) for ring in part if _is_list(ring))  # others: below
    if count > MAX_POSITIONS:
        raise NotAnOutline(f"has {count} positions; at most {MAX_POSITIONS} (simplify it)")
    return parts


def _polygon(part: Any, where: str) -> list[Ring]:
    if not _is_list(part) or not part:
        raise NotAnOutline(f"{where}coordinates: expected a list of rings")
    rings = [_ring(ring, f"{where}ring {n + 1}") for n, ring in enumerate(part)]
    for n, ring in enumerate(rings):
        for m, other in enumerate(rings[:n]):
            if _meet(ring, other):
                raise NotAnOutline(f"{where}rings {m + 1} and {n + 1} cross or touch each other")
            if m == 0 and not _is_inside(ring[0], other):
                raise NotAnOutline(f"{where}ring {n + 1} is a hole and does not lie inside the first ring")
            if m > 0 and (_is_inside(ring[0], other) or _is_inside(other[0], ring)):
                raise NotAnOutline(f"{where}ring {n + 1} lies inside another hole, or around it")
    return [_turned(rings[0], left=True), *(_turned(ring, left=False) for ring in rings[1:])]


def _ring(ring: Any, where: str) -> Ring:
    if not _is_list(ring):
        raise NotAnOutline(f"{where}: expected a list of positions")
    points = [_position(position, f"{where}, position {n + 1}") for n, position in enumerate(ring)]
    if len(points) < 4:
        raise NotAnOutline(f"{where}: has {len(points)} positions, a ring has at least 4")
    if points[0] != points[-1]:
        raise NotAnOutline(f"{where}: is not closed; its last position must be the first again")
    kept = tuple(p for before, p in itertools.pairwise(points) if p != before)
    if len(kept) < 3:
        raise NotAnOutline(f"{where}: has fewer than 3 different positions")
    if max(p[0] for p in kept) - min(p[0] for p in kept) > 180 * _SCALE:
        raise NotAnOutline(f"{where}: crosses the antimeridian; cut it there")
    kept = (kept[-1], *kept[:-1])  # it begins where it began
    if (crossing := _own_crossing(kept)) is not None:
        lon, lat = crossing
        raise NotAnOutline(f"{where}: crosses or touches itself near {lon / _SCALE:.7f}, {lat / _SCALE:.7f}")
    return kept


def _position(position: Any, where: str) -> Point:
    if not _is_list(position) or not 2 <= len(position) <= 3 or not all(_is_number(v) for v in position):
        raise NotAnOutline(f"{where}: expected [longitude, latitude] in degrees")
    lon, lat = float(position[0]), float(position[1])
    if not (-180 <= lon <= 180 and -90 <= lat <= 90):
        raise NotAnOutline(f"{where}: {lon:g}, {lat:g} is no longitude and latitude")
    return round(lon * _SCALE), round(lat * _SCALE)


def _is_list(value: Any) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, list | tuple)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9


def _spell(ring: Ring) -> list[list[float]]:
    return [[lon / _SCALE, lat / _SCALE] for lon, lat in (*ring, ring[0])]


# --------------------------------------------------------------------------------------------------- geometry


def _turned(ring: Ring, *, left: bool) -> Ring:
    """The ring, going round to the left or to the right, from the same first position."""
    return ring if (_twice_area(ring) > 0) == left else (ring[0], *reversed(ring[1:]))


def _twice_area(ring: Ring) -> int:
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in _sides(ring))


def _sides(ring: Ring) -> Iterator[tuple[Point, Point]]:
    return zip(ring, (*ring[1:], ring[0]), strict=True)


def _side_of(a: Point, b: Point, c: Point) -> int:
    """Positive: `c` lies left of the line from `a` to `b`; 0: on it."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _is_between(a: Point, b: Point, c: Point) -> bool:
    """Whether `c`, on the line through `a` and `b`, lies between them, ends included."""
    return min(a[0], b[0]) <= c[0] <= max(a[0], b[0]) and min(a[1], b[1]) <= c[1] <= max(a[1], b[1])


def _cross(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Whether the sides a-b and c-d have a point in common."""
    c_side, d_side = _side_of(a, b, c), _side_of(a, b, d)
    a_side, b_side = _side_of(c, d, a), _side_of(c, d, b)
    if (c_side > 0) != (d_side > 0) and (a_side > 0) != (b_side > 0) and 0 not in (c_side, d_side, a_side, b_side):
        return True
    on = ((c_side, a, b, c), (d_side, a, b, d), (a_side, c, d, a), (b_side, c, d, b))
    return any(side == 0 and _is_between(p, q, r) for side, p, q, r in on)


def _own_crossing(ring: Ring) -> Point | None:
    """A position near which the ring meets itself."""
    sides = list(_sides(ring))
    count = len(sides)
    for n, (a, b) in enumerate(sides):
        c = sides[(n + 1) % count][1]
        # Of two sides that follow each other only the corner is common: the second must not lead back.
        if _side_of(a, b, c) == 0 and (_is_between(a, b, c) or _is_between(b, c, a)):
            return b
    for n, m in _near(sides, sides):
        if n < m and m - n != 1 and (n, m) != (0, count - 1) and _cross(*sides[n], *sides[m]):
            return sides[m][0]
    return None


def _meet(ring: Ring, other: Ring) -> bool:
    mine, theirs = list(_sides(ring)), list(_sides(other))
    return any(_cross(*mine[n], *theirs[m]) for n, m in _near(mine, theirs))


def _near(mine: Sequence[tuple[Point, Point]], theirs: Sequence[tuple[Point, Point]]) -> Iterator[tuple[int, int]]:
    """The numbers of sides whose boxes meet, each pair once: swept from west to east."""
    spans = [(min(a[0], b[0]), max(a[0], b[0]), min(a[1], b[1]), max(a[1], b[1]), m)
             for m, (a, b) in enumerate(theirs)]  # fmt: skip
    spans.sort()
    for n, (a, b) in enumerate(mine):
        west, east = min(a[0], b[0]), max(a[0], b[0])
        south, north = min(a[1], b[1]), max(a[1], b[1])
        for w, e, s, t, m in spans:
            if w > east:
                break
            if e >= west and s <= north and t >= south:
                yield n, m


def _is_inside(point: Point, ring: Ring) -> bool:
    """Whether `point`, which lies on no side of it, is inside the ring."""
    x, y = point
    inside = False
    for a, b in _sides(ring):
        if (a[1] > y) != (b[1] > y):
            low, high = (a, b) if a[1] < b[1] else (b, a)
            if _side_of(low, high, (x, y)) > 0:
                inside = not inside
    return inside


def _check_apart(polygons: Sequence[Sequence[Ring]]) -> None:
    """`NotAnOutline` when two parts of a MultiPolygon have something in common."""
    for n, polygon in enumerate(polygons):
        for m, other in enumerate(polygons[:n]):
            meet = any(_meet(ring, ring_of_other) for ring in polygon for ring_of_other in other)
            if meet or _covers(polygon, other[0][0]) or _covers(other, polygon[0][0]):
                raise NotAnOutline(f"parts {m + 1} and {n + 1} cross, touch or cover each other")


def _covers(polygon: Sequence[Ring], point: Point) -> bool:
    return _is_inside(point, polygon[0]) and not any(_is_inside(point, hole) for hole in polygon[1:])


def _area_m2(ring: Ring) -> float:
    """Positive for a ring that goes round to the left."""
    # Around its own first position, so that no digits are lost.
    lon0, _ = ring[0]
    points = [
        (_A * math.radians((lon - lon0) / _SCALE), _A * _q(math.radians(lat / _SCALE)) / 2) for lon, lat in ring
    ]
    y0 = points[0][1]
    flat = [(x, y - y0) for x, y in points]
    turned = zip(flat, (*flat[1:], flat[0]), strict=True)
    return math.fsum(xa * yb - xb * ya for (xa, ya), (xb, yb) in turned) / 2


def _q(lat: float) -> float:
    """Snyder's q (3-12) of a latitude in radians."""
    s = math.sin(lat)
    return (1 - _E2) * (s / (1 - _E2 * s * s) + math.atanh(_E * s) / _E)
