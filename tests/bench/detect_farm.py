"""A farm for the benchmark of judging: everything that rules look at, and plain sensors up to a number of points.

Values wander around what is normal, with a day's swing, so that the judge has what it has most of the time: nothing
to say. `FAULT` is a reading at which a rule without persistence raises.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping

from analytics.farm import Farm, FarmDevice, Placed
from makiba.reading import Reading, Series, Value

MINUTE_MS = 60_000
GATEWAY = "gw-1"
# (name, role, place, kind of place, {quantity: normal value}), each so many times
_EQUIPMENT: tuple[tuple[int, str, str, str, str, Mapping[str, float]], ...] = (
    (1, "tank", "", "tank-room", "tank-room",
     {"milk_temperature": 3.8, "milk_volume": 2.1, "fill": 0.4}),
    (1, "cooler", "compressor", "tank-room", "tank-room", {"current": 8.0, "power": 4000.0}),
    (1, "stirrer", "agitator", "tank-room", "tank-room", {"current": 1.1}),
    (1, "vacuum", "", "parlour", "parlour", {"vacuum": 42000.0}),
    (1, "vacuum-pump", "vacuum-pump", "parlour", "parlour", {"current": 9.0}),
    (6, "fan", "fan", "barn-1", "barn", {"current": 2.0}),
    (6, "air", "", "barn-1", "barn", {"air_temperature": 17.0, "relative_humidity": 65.0}),
    (4, "gas", "", "barn-1", "barn", {"ammonia": 3e-6, "carbon_dioxide": 9e-4}),
    (2, "pit", "", "barn-1", "barn", {"hydrogen_sulfide": 1e-7, "oxygen": 0.209, "methane": 1e-5}),
    (8, "bowl", "", "barn-1", "barn", {"water_temperature": 11.0}),
    (4, "pipe", "", "barn-1", "barn", {"pipe_temperature": 11.0}),
    (2, "water", "", "barn-1", "barn", {"water_flow": 1e-4}),
    (2, "fence", "", "pasture", "pasture", {"fence_voltage": 6000.0}),
    (1, "station", "", "yard", "station",
     {"air_temperature": 15.0, "relative_humidity": 70.0, "wind_speed": 2.0, "wind_gust": 4.0, "snow_depth": 0.0}),
    (10, "field", "", "field-1", "field",
     {"soil_temperature": 14.0, "soil_moisture": 0.3, "soil_pf": 2.0, "air_temperature": 15.0}),
    (1, "digester", "", "digester", "digester",
     {"digester_temperature": 38.0, "biogas_flow": 0.01, "biogas_methane": 0.6}),
)  # fmt: skip
_PLAIN: Mapping[str, float] = {"air_temperature": 16.0, "relative_humidity": 66.0, "illuminance": 900.0}
_SWING = frozenset({"air_temperature", "relative_humidity", "illuminance", "wind_speed", "wind_gust"})
FAULT = ("pit-1", "hydrogen_sulfide", 2e-5)
SETTINGS: Mapping[str, object] = {
    "cows": 80, "dry_cows": 10, "calves": 15, "tank_volume": 6000, "compressor_current": 8, "agitator_current": 1.1,
    "vacuum_setpoint": 42, "vacuum_pump_current": 9, "fan_current": 2.0, "milking_times": "05:00-07:30 16:30-19:00",
    "pickup_days": "every-day", "pickup_time": "10:00", "generator": "no", "water_heater": "yes",
}  # fmt: skip


class SyntheticFarm:
    """`points` series of one farm, each with a reading a minute."""

    def __init__(self, site: str, points: int) -> None:
        self.site = site
        self.normal: dict[tuple[str, str], float] = {}
        devices: dict[str, FarmDevice] = {}
        placed: dict[str, Placed] = {}

        def add(name: str, role: str, place: str, kind: str, values: Mapping[str, float]) -> None:
            devices[name] = FarmDevice(name, GATEWAY, f"{GATEWAY}.{kind}", MINUTE_MS, (name,))
            placed[name] = Placed(place, kind, role)
            self.normal |= {(name, quantity): value for quantity, value in values.items()}

        for count, name, role, place, kind, values in _EQUIPMENT:
            for number in range(1, count + 1):
                add(f"{name}-{number}", role, place, kind, values)
        number = 0
        while len(self.normal) + len(_PLAIN) <= points:
            number += 1
            add(f"plain-{number}", "", f"field-{number % 7}", "field", _PLAIN)
        self.farm = Farm(site, frozenset({GATEWAY}), devices, placed)
        self.series = {name: Series(site, *name) for name in self.normal}

    def states(self, at_ms: int) -> Iterator[Reading]:
        """What gateways and devices say of themselves, every ten minutes."""
        yield Reading(Series(self.site, GATEWAY, "state"), at_ms, "online")
        for device in self.farm.devices:
            yield Reading(Series(self.site, device, "state"), at_ms, "ok")

    def minute(self, at_ms: int, dice: random.Random) -> list[Reading]:
        """A reading of each series."""
        swing = 0.05 * math.sin(at_ms / 86_400_000 * 2 * math.pi)
        found = []
        for name, normal in self.normal.items():
            share = swing + dice.gauss(0, 0.01) if name[1] in _SWING else dice.gauss(0, 0.003)
            value: Value = round(normal * (1 + share), 6 if abs(normal) >= 0.001 else 9)
            found.append(Reading(self.series[name], at_ms, value))
        return found
