"""Data classes: the parts into which a farm's data falls when the farm says who outside may see what.

`classes_of` says which classes a series belongs to. Having one of them is enough to see it; a series without any is
for the farm's own people alone. The quantity decides where it can, else the kind of place where its subject stands:

- a value of the bulk tank, the soil or an animal is that wherever it is measured;
- what radios and gateways count about themselves is technical;
- a state (`ok`, `timeout`, …) goes with the values that it explains, and is technical too;
- a subject that stands nowhere, and a word that is not in the catalogue, say nothing to anybody outside.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final, Literal, get_args

from makiba.quantities import catalogue

DataClass = Literal["alerts", "tank", "barn", "field", "herd", "weather", "technical"]

DATA_CLASSES: Final[tuple[DataClass, ...]] = get_args(DataClass)
EVERYTHING: Final[frozenset[DataClass]] = frozenset(DATA_CLASSES)

NAMES: Final[Mapping[DataClass, Mapping[str, str]]] = {
    "alerts": {"ja": "警報", "en": "alerts"},
    "tank": {"ja": "バルククーラーと 処理室", "en": "milk tank"},
    "barn": {"ja": "牛舎の 空気と 設備", "en": "barn"},
    "field": {"ja": "畑と 放牧地", "en": "fields and pastures"},
    "herd": {"ja": "牛と えさ", "en": "herd and feed"},
    "weather": {"ja": "気象", "en": "weather"},
    "technical": {"ja": "機器の 状態", "en": "state of the devices"},
}

BY_PLACE: Final[Mapping[str, DataClass]] = {
    "barn": "barn",
    "parlour": "barn",
    "tank-room": "tank",
    "field": "field",
    "pasture": "field",
    "silo": "herd",
    "station": "weather",
}
"""By the kind of place, for every quantity that does not decide by itself."""

BY_QUANTITY: Final[Mapping[str, DataClass]] = {
    "milk_temperature": "tank",
    "milk_volume": "tank",
    "milk_yield": "herd",
    "milk_conductivity": "herd",
    "milking_duration": "herd",
    "body_weight": "herd",
    "ear_tag": "herd",
    "milk_conductivity_ratio": "herd",
    "body_temperature": "herd",
    "activity": "herd",
    "calving_state": "herd",
    "fence_voltage": "field",
    "vacuum": "barn",
    "weather_warnings": "weather",
    "firmware": "technical",
    "model": "technical",
    "signal_quality": "technical",
}
BY_GROUP: Final[Mapping[str, DataClass]] = {"soil": "field", "gateway": "technical", "radio": "technical"}

OF_TANK_OR_COW: Final = frozenset(
    {
        "milk_fat", "milk_protein", "milk_solids_not_fat", "milk_lactose", "milk_urea_nitrogen", "somatic_cells",
    }
)  # fmt: skip
"""Of the bulk tank when they are measured in the tank room, of a cow anywhere else."""

STATE: Final = "state"
_NONE: Final[frozenset[DataClass]] = frozenset()


@cache
def classes_of(quantity: str, place_kind: str | None) -> frozenset[DataClass]:
    """The classes of a series: of each that a viewer has, one suffices. Empty: for the farm's own people alone.

    `place_kind` is that of the place where its subject stood when the value was measured; None: nowhere.
    """
    word = catalogue().get(quantity)
    if word is None:
        return _NONE
    by_place = BY_PLACE.get(place_kind or "")
    here = frozenset({by_place}) if by_place else _NONE
    if quantity == STATE:
        return here | {"technical"}
    if quantity in OF_TANK_OR_COW:
        return frozenset({"tank" if by_place == "tank" else "herd"})
    decided = BY_QUANTITY.get(quantity) or BY_GROUP.get(word.group)
    return frozenset({decided}) if decided else here
