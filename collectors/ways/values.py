"""From a number as somebody else writes it to the catalogue's unit, exactly. Pure.

Shared by what describes other people's data in YAML (LoRaWAN profiles, mappings of imports): the words that name
quantities and units, and the arithmetic. A factor is a fraction: 22.6 mm is 0.0226 m and nothing near it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, GetJsonSchemaHandler

from makiba.quantities import catalogue
from makiba.units import SAME, Conversion, conversion, known_units, units_for
from makiba.words import nearest


class Strict(BaseModel):
    """Frozen, unknown keys forbidden, `"1"` is not `1`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _known_quantity(name: str) -> str:
    if name not in catalogue():
        raise ValueError(f"quantity {name!r} is not in the catalogue{nearest(name, catalogue())}")
    return name


def _all_units() -> frozenset[str]:
    return frozenset(q.unit for q in catalogue().values() if q.unit) | known_units()


def _known_unit(unit: str) -> str:
    if unit not in _all_units():
        raise ValueError(f"unit {unit!r} is not known{nearest(unit, sorted(_all_units()))}")
    return unit


class _Words:
    """Lists the words that are known in the JSON Schema, so that an editor offers them."""

    def __init__(self, words: Callable[[], Iterable[str]]) -> None:
        self._words = words

    def __get_pydantic_json_schema__(self, core: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(core), "enum": sorted(self._words())}


QuantityName = Annotated[str, AfterValidator(_known_quantity), _Words(catalogue)]
UnitName = Annotated[str, AfterValidator(_known_unit), _Words(_all_units)]


class Valued(Strict):
    """What a number of theirs is: the quantity, the unit it comes in, and how it is scaled.

    value in `unit` = number * scale + offset.
    """

    quantity: QuantityName
    unit: UnitName | None = Field(default=None, description="Unit that the number comes in; default: the catalogue's")
    scale: FiniteFloat = 1.0
    offset: FiniteFloat = 0.0
    sentinels: tuple[FiniteFloat, ...] = Field(default=(), strict=False, description="Numbers that mean 'no value'")


def unit_problem(valued: Valued) -> str:
    """Why the unit does not fit the quantity; empty when it does."""
    known = catalogue()[valued.quantity]
    if known.kind == "text":
        return "a text has no unit" if valued.unit is not None else ""
    if conversion(valued.unit, known.unit) is not None:
        return ""
    fitting = ", ".join(units_for(known.unit)) or "none"
    return f"{valued.unit!r} does not measure {valued.quantity} ({known.unit or 'a bare number'}); expected {fitting}"


@dataclass(frozen=True, slots=True)
class Scaling:
    """How a number becomes one in the catalogue's unit."""

    scale: Fraction = Fraction(1)
    offset: Fraction = Fraction(0)
    conversion: Conversion = SAME

    def apply(self, number: Fraction) -> float:
        """The value in the catalogue's unit."""
        return float((number * self.scale + self.offset) * self.conversion.factor + self.conversion.offset)


def scaling_of(valued: Valued) -> Scaling:
    """The arithmetic of a `Valued` whose unit fits."""
    found = conversion(valued.unit, catalogue()[valued.quantity].unit)
    assert found, valued
    return Scaling(exact(valued.scale), exact(valued.offset), found)


def exact(number: float) -> Fraction:
    """The fraction that a float's shortest text means: 0.1 is one tenth."""
    return Fraction(repr(float(number)))


def number_of(given: object) -> Fraction | None:
    """The number in a JSON value: a number, a text that is one, true and false; None for anything else."""
    if isinstance(given, bool):
        return Fraction(int(given))
    if isinstance(given, (int, float)):
        return exact(given) if abs(given) <= _LARGEST else None
    if isinstance(given, str):
        return number_in(given.strip())
    return None


_LONGEST = 40
_LARGEST = 1e30
"""Nothing on a farm is larger, and what is made of it in another unit stays finite."""


def number_in(text: str) -> Fraction | None:
    """The number that `text` is in plain decimal writing, without blanks; None when it is none."""
    if not text or len(text) > _LONGEST or not set(text) <= set("0123456789.+-eE"):
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    if not abs(number) <= _LARGEST:
        return None
    # A fraction of 1e-99999999 would fill the memory: with an exponent the float's own digits are enough.
    return exact(number) if "e" in text.lower() else Fraction(text)
