"""The catalogue of quantities: what a value means, its unit, its plausible range, its names.

The facts are in `quantities.yaml`; adding a quantity is adding a line there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel

from makiba.located_yaml import load_located
from makiba.reading import QUANTITY_PATTERN
from makiba.words import nearest

Kind = Literal["gauge", "counter", "text"]


class _Show(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    unit: str = ""
    factor: float = 1.0
    offset: float = 0.0
    decimals: int = Field(default=1, ge=0, le=6)


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    unit: str | None = None
    kind: Kind = "gauge"
    plausible: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    show: _Show = _Show()
    group: str
    ja: str
    en: str


class _Catalogue(RootModel[dict[Annotated[str, Field(pattern=QUANTITY_PATTERN)], _Entry]]):
    pass


@dataclass(frozen=True, slots=True)
class Quantity:
    """A word of the catalogue. `lowest` and `highest` are in `unit`; None means unbounded."""

    name: str
    unit: str | None
    kind: Kind
    lowest: float | None
    highest: float | None
    group: str
    names: Mapping[str, str] = field(hash=False)
    show_unit: str = ""
    show_factor: float = 1.0
    show_offset: float = 0.0
    decimals: int = 1

    def is_plausible(self, value: float) -> bool:
        """Whether `value`, in `unit`, can be true at all."""
        return (self.lowest is None or value >= self.lowest) and (self.highest is None or value <= self.highest)

    def shown(self, value: float) -> str:
        """`value` as people read it, for example '1.2 ppm' for 1.2e-6 of ammonia."""
        number = f"{value * self.show_factor + self.show_offset:.{self.decimals}f}"
        if float(number) == 0:
            number = number.removeprefix("-")
        return f"{number} {self.show_unit}".rstrip()


@cache
def catalogue() -> Mapping[str, Quantity]:
    """All quantities by name."""
    located = load_located(Path(__file__).with_name("quantities.yaml"))
    entries = located.validate(_Catalogue).root
    return {
        name: Quantity(
            name=name,
            unit=e.unit,
            kind=e.kind,
            lowest=e.plausible[0] if e.plausible else None,
            highest=e.plausible[1] if e.plausible else None,
            group=e.group,
            names={"ja": e.ja, "en": e.en},
            show_unit=e.show.unit,
            show_factor=e.show.factor,
            show_offset=e.show.offset,
            decimals=e.show.decimals,
        )
        for name, e in entries.items()
    }


def quantity(name: str) -> Quantity:
    """The quantity called `name`; `KeyError` with the nearest known word when there is none."""
    try:
        return catalogue()[name]
    except KeyError:
        hint = nearest(name, catalogue())
        raise KeyError(f"quantity {name!r} is not in the catalogue{hint}") from None
