"""For what a series is looked at: by its quantity, the role of its subject and the kind of its place.

Roles are the words that a site file gives (`role: compressor`); docs/farm-settings.md lists those that matter here.
"""

from __future__ import annotations

from typing import Final, Literal

from analytics.farm import Placed

Use = Literal[
    "volume", "fill", "milk", "drain", "vacuum", "vacuum-pump", "wash-pump", "agitator", "compressor", "pump",
    "yield", "flow", "rain", "soil", "soil-temperature", "pickup",
]  # fmt: skip

ELECTRIC: Final = ("current", "power", "switched_on")
"""What shows that a machine runs, the best last: of one subject only the best is looked at."""
RAIN: Final = ("rain_rate", "rain_1h", "rain_10min", "rainfall")
"""The same for rain."""
MACHINES: Final[tuple[Use, ...]] = ("vacuum-pump", "wash-pump", "agitator", "compressor")


def use_of(quantity: str, placed: Placed | None) -> Use | None:
    """For what a series of `quantity` is looked at; None: for nothing."""
    role, kind = (placed.role, placed.kind) if placed is not None else ("", "")
    match quantity:
        case "milk_yield":
            return "yield"
        case "rain_rate" | "rain_1h" | "rain_10min" | "rainfall":
            return "rain"
        case _ if placed is None:
            return None
        case "milk_volume":
            return "volume"
        case "fill" | "volume" if role == "tank":
            return "fill" if quantity == "fill" else "volume"
        case "milk_temperature":
            return "drain" if role == "drain" else "milk"
        case "temperature" | "water_temperature" | "pipe_temperature" if role == "drain":
            return "drain"
        case "vacuum":
            return "vacuum"
        case "switched_on" if role == "pickup":
            return "pickup"
        case "current" | "power" | "switched_on":
            return _machine(role)
        case "water_flow" if kind == "field" or role == "irrigation":
            return "flow"
        case "soil_moisture":
            return "soil"
        case "soil_temperature":
            return "soil-temperature"
    return None


def _machine(role: str) -> Use | None:
    named: Use | None = next((use for use in MACHINES if use == role), None)
    return named or ("pump" if role == "pump" or role.endswith("-pump") else None)
