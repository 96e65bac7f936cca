"""From an instrument's unit to the catalogue's, exactly.

A factor is a fraction, so that 421 x 0.1 hPa becomes 4210 Pa and not 4210.000000000001. The names are SenML's
(RFC 8428; RFC 8798 for secondary units) and the few that instruments use and SenML does not register.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

_F = Fraction
_DEGREE = Fraction(math.pi) / 180

# instrument's unit -> (catalogue's unit, factor, offset); catalogue = instrument * factor + offset
_TABLE: Final[tuple[tuple[str, str, Fraction, Fraction], ...]] = tuple(
    (given, primary, _F(factor), _F(offset))
    for given, primary, factor, offset in (
        ("%", "/", "1/100", 0),
        ("/100", "/", "1/100", 0),
        ("%", "%RH", 1, 0),
        ("ppm", "/", "1/1000000", 0),
        ("ppb", "/", "1/1000000000", 0),
        ("mg/kg", "/", "1/1000000", 0),
        ("mg/L", "kg/m3", "1/1000", 0),
        ("mg/dL", "kg/m3", "1/100", 0),
        ("dBm", "dBW", 1, -30),
        ("deg", "rad", _DEGREE, 0),
        ("degF", "Cel", "5/9", "-160/9"),
        ("K", "Cel", 1, "-273.15"),
        ("hPa", "Pa", 100, 0),
        ("kPa", "Pa", 1000, 0),
        ("bar", "Pa", 100000, 0),
        ("inHg", "Pa", "3386.389", 0),
        ("uS/cm", "S/m", "1/10000", 0),
        ("mS/cm", "S/m", "1/10", 0),
        ("kW", "W", 1000, 0),
        ("Wh", "J", 3600, 0),
        ("kWh", "J", 3600000, 0),
        ("kVA", "VA", 1000, 0),
        ("kvar", "var", 1000, 0),
        ("kvarh", "vars", 3600000, 0),
        ("mV", "V", "1/1000", 0),
        ("mA", "A", "1/1000", 0),
        ("mm", "m", "1/1000", 0),
        ("cm", "m", "1/100", 0),
        ("mm/h", "m/s", "1/3600000", 0),
        ("km/h", "m/s", "10/36", 0),
        ("kn", "m/s", "1852/3600", 0),
        ("mph", "m/s", "0.44704", 0),
        ("L", "m3", "1/1000", 0),
        ("L/min", "m3/s", "1/60000", 0),
        ("m3/h", "m3/s", "1/3600", 0),
        ("g", "kg", "1/1000", 0),
        ("min", "s", 60, 0),
        ("h", "s", 3600, 0),
    )
)


@dataclass(frozen=True, slots=True)
class Conversion:
    """catalogue = instrument * factor + offset."""

    factor: Fraction
    offset: Fraction


SAME: Final = Conversion(_F(1), _F(0))


def conversion(given: str | None, primary: str | None) -> Conversion | None:
    """How a value in `given` becomes one in `primary`; None when the two do not measure the same thing."""
    if given is None or given == primary:
        return SAME
    for unit, target, factor, offset in _TABLE:
        if unit == given and target == primary:
            return Conversion(factor, offset)
    return None


def convert(value: float, given: str | None, wanted: str | None) -> float | None:
    """`value` in `given` as a value in `wanted`; None when the two do not measure the same thing."""
    if given == wanted:
        return value
    for target in {wanted, *(t for unit, t, _, _ in _TABLE if unit == wanted)}:
        one, two = conversion(given, target), conversion(wanted, target)
        if one is not None and two is not None and given is not None and wanted is not None:
            exact = Fraction(repr(value)) * one.factor + one.offset
            return float((exact - two.offset) / two.factor)
    return None


def units_for(primary: str | None) -> Iterator[str]:
    """The units that an instrument may give for `primary`, itself first."""
    if primary is not None:
        yield primary
    for unit, target, _, _ in _TABLE:
        if target == primary:
            yield unit


def known_units() -> frozenset[str]:
    """Every unit that stands in the table, on either side."""
    return frozenset(u for row in _TABLE for u in row[:2])
