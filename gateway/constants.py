"""What only the site knows of a device: numbers and tables, as the gateway file gives them. Pure.

A number is plain, in the unit that the profile declares, or a text with a unit: `4.2 m`, `420 cm`. A table is a list
of pairs, rising in its first column; between two pairs it is a straight line, and beyond its ends it says nothing.
"""

from __future__ import annotations

import itertools
import math
import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, WithJsonSchema

from gateway.profile import Constant
from makiba.units import convert
from makiba.words import nearest

_AMOUNT = re.compile(r"\s*([-+]?\d+(?:\.\d+)?)\s*(\S+)\s*")


@dataclass(frozen=True, slots=True)
class Table:
    """Rising points (x, y)."""

    points: tuple[tuple[float, float], ...]

    def at(self, x: float) -> float | None:
        """y by straight lines between the points; None beyond them."""
        place = bisect_left(self.points, x, key=lambda point: point[0])
        if place == len(self.points):
            return None
        right = self.points[place]
        if right[0] == x:
            return right[1]
        if place == 0:
            return None
        left = self.points[place - 1]
        return left[1] + (right[1] - left[1]) * (x - left[0]) / (right[0] - left[0])


ConstantValue = float | Table


def _shape(given: Any) -> Any:
    if isinstance(given, bool) or not isinstance(given, (int, float, str, list)):
        raise ValueError(f"{given!r} is neither a number, a text like '4.2 m' nor a list of pairs")
    return given


Given = Annotated[
    Any,
    AfterValidator(_shape),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number"},
                {"type": "string", "description": "A number with its unit: 4.2 m"},
                {
                    "type": "array",
                    "minItems": 2,
                    "items": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
                },
            ]
        }
    ),
]
"""A constant in the gateway file."""


def constant_value(constant: Constant, given: Any) -> ConstantValue:
    """`given` in the units of `constant`; `ValueError` says what was expected."""
    if constant.kind == "table":
        return _table(given)
    number = _number(given, constant.unit)
    if constant.bounds and not constant.bounds[0] <= number <= constant.bounds[1]:
        low, high = constant.bounds
        raise ValueError(f"{given!r} is not accepted; expected {low:g} to {high:g} {constant.unit or ''}".rstrip())
    return number


def _number(given: Any, unit: str | None) -> float:
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        if not math.isfinite(given):
            raise ValueError(f"{given!r} is no finite number")
        return given
    found = _AMOUNT.fullmatch(given) if isinstance(given, str) else None
    if found is None:
        raise ValueError(f"expected a number{f' in {unit}, or a text like {4.2:g} {unit}' if unit else ''}")
    number = convert(float(found[1]), found[2], unit)
    if number is None:
        raise ValueError(f"unit {found[2]!r} does not fit; expected {unit or 'a number without a unit'}")
    return number


def _table(given: Any) -> Table:
    if not isinstance(given, list) or len(given) < 2:
        raise ValueError("expected a table: two or more pairs [value, what it means]")
    for place, pair in enumerate(given, 1):
        if not (isinstance(pair, list) and len(pair) == 2 and all(_is_number(part) for part in pair)):
            raise ValueError(f"row {place} is {pair!r}; expected a pair of numbers")
    for place, (one, two) in enumerate(itertools.pairwise(given), 2):
        if one[0] >= two[0]:
            raise ValueError(f"row {place}: {two[0]:g} does not come after {one[0]:g}; the first column has to rise")
    return Table(tuple((float(x), float(y)) for x, y in given))


def _is_number(part: Any) -> bool:
    return isinstance(part, (int, float)) and not isinstance(part, bool) and math.isfinite(part)


def constants_for(
    declared: Mapping[str, Constant], given: Mapping[str, Any], profile: str
) -> Iterator[tuple[str, ConstantValue | ValueError]]:
    """Each constant of one device by its name, or what is wrong with it.

    Optional ones that are not given are left out. A missing one that is required is an error under its own name.
    """
    for name, value in given.items():
        if name not in declared:
            known = f"; it has {', '.join(declared)}" if declared else "; it has none"
            yield name, ValueError(f"{profile} has no constant {name!r}{nearest(name, declared) or known}")
            continue
        try:
            yield name, constant_value(declared[name], value)
        except ValueError as error:
            yield name, error
    for name, constant in declared.items():
        if name in given:
            continue
        if constant.default is not None:
            yield name, constant.default
        elif constant.required:
            unit = f" in {constant.unit}" if constant.unit else ""
            yield name, ValueError(f"is missing: {constant.names.en}{unit} ({constant.names.ja})")
