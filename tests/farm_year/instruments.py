"""The farm's instruments: what hangs on which wire, how often it is asked, and how far it is from the truth.

Each reads with a bias and noise of its own, in the steps that its register has. What is asked each minute is asked a
little early or late. A few on the air speak only when something changed, at the latest after ten minutes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from analytics.farm import Farm, FarmDevice, Placed
from tests.farm_year.barn import Barn
from tests.farm_year.plan import Plan
from tests.farm_year.tank import Tank
from tests.farm_year.weather import Array, Weather

SITE: Final = "year-1"
GATEWAY: Final = "gw-y"
PLACES: Final = {
    "milkroom": "tank-room", "stall": "barn", "hutches": "barn", "yard": "station", "meadow": "pasture",
    "acre": "field", "parlour": "parlour",
}  # fmt: skip


@dataclass(frozen=True)
class Channel:
    """One measured quantity. `steps`: it is taken as it stands at that moment, not as a line between two minutes."""

    subject: str
    quantity: str
    truth: Array = field(repr=False)
    noise: float
    bias: float
    resolution: float
    lowest: float = -1e9
    steps: bool = False
    counter: bool = False


@dataclass(frozen=True)
class Instrument:
    """A device on a wire, or on the air."""

    name: str
    bus: str
    every_s: float
    place: str
    role: str
    channels: tuple[Channel, ...]
    on_change: bool = False

    @property
    def subjects(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(c.subject for c in self.channels))


@dataclass(frozen=True)
class Truth:
    """Everything as it is, each minute."""

    weather: Weather
    tank: Tank
    barn: Barn
    power: Array


def make_instruments(plan: Plan, truth: Truth) -> list[Instrument]:
    rng = plan.rng("instruments")
    w, t, b = truth.weather, truth.tank, truth.barn
    milking_place = "parlour" if plan.kind == "freestall" else "stall"
    found: list[Instrument] = []

    def has(
        sensor: str, name: str, bus: str, place: str, role: str, *channels: Channel, on_change: bool = False
    ) -> None:
        if sensor in plan.sensors:
            found.append(Instrument(name, bus, plan.polls_s[sensor], place, role, channels, on_change))

    def of(
        subject: str, quantity: str, values: Array, noise: float, bias: float, resolution: float,
        lowest: float = -1e9, *, steps: bool = False, counter: bool = False,
    ) -> Channel:  # fmt: skip
        return Channel(
            subject, quantity, values, noise, float(rng.normal(0, bias)), resolution, lowest, steps, counter
        )

    def amps(subject: str, on: Array, a: float) -> Channel:
        return of(subject, "current", on * a, a * 0.015, a * 0.01, 0.001 if a < 2 else 0.01, 0.0, steps=True)

    has(
        "tank",
        "cooler-probe",
        "milk",
        "milkroom",
        "tank",
        of("cooler-probe", "milk_temperature", t.floor_c, 0.05, 0.12, 0.1),
    )
    has(
        "volume",
        "dipstick",
        "milk",
        "milkroom",
        "tank",
        of("dipstick", "milk_volume", t.volume_m3, 0.004, 0.004, 0.001, 0.0),
    )
    has(
        "compressor", "comp-meter", "milk", "milkroom", "compressor", amps("comp-meter", t.cooling, plan.compressor_a)
    )
    has("agitator", "stir-meter", "milk", "milkroom", "agitator", amps("stir-meter", t.stirring, plan.agitator_a))
    has(
        "drain",
        "drain-probe",
        "milk",
        "milkroom",
        "drain",
        of("drain-probe", "water_temperature", t.drain_c, 0.2, 0.4, 0.1),
    )
    has(
        "pipe",
        "pipe-probe",
        "milk",
        "milkroom",
        "pipe",
        of("pipe-probe", "pipe_temperature", b.pipe_c, 0.06, 0.15, 0.0625),
    )
    has(
        "mains",
        "mains-meter",
        "milk",
        "milkroom",
        "mains",
        of("mains-meter", "voltage", truth.power * plan.mains_v, 0.8, 0.5, 0.1, 0.0, steps=True),
    )
    has(
        "vacuum",
        "vacuum-gauge",
        "stalls",
        milking_place,
        "vacuum",
        of("vacuum-gauge", "vacuum", b.vacuum_kpa * 1000, 120.0, 150.0, 100.0, 0.0, steps=True),
    )
    has("vacuum", "pump-meter", "stalls", milking_place, "vacuum-pump", amps("pump-meter", b.pump_on, plan.pump_a))
    has(
        "barn",
        "stall-air",
        "stalls",
        "stall",
        "",
        of("stall-air", "air_temperature", b.air_c, 0.08, 0.25, 0.1),
        of("stall-air", "relative_humidity", b.rh, 0.6, 1.8, 0.1, 0.0),
    )
    has("co2", "stall-co2", "stalls", "stall", "", of("stall-co2", "carbon_dioxide", b.co2, 12e-6, 25e-6, 1e-6, 0.0))
    has("nh3", "stall-nh3", "stalls", "stall", "", of("stall-nh3", "ammonia", b.nh3, 0.3e-6, 0.6e-6, 0.1e-6, 0.0))
    if "fans" in plan.sensors:
        for name, runs in b.fans.items():
            has("fans", name, "stalls", "stall", "fan", amps(name, runs, plan.fan_a))
    has("bowl", "bowl-3", "stalls", "stall", "bowl", of("bowl-3", "water_temperature", b.bowl_c, 0.06, 0.15, 0.1))
    has(
        "h2s",
        "pit-gas",
        "stalls",
        "stall",
        "",
        of("pit-gas", "hydrogen_sulfide", b.h2s, 0.12e-6, 0.1e-6, 0.1e-6, 0.0),
    )
    has(
        "water",
        "water-meter",
        "stalls",
        "stall",
        "water",
        of("water-meter", "water_flow", b.water_l_min / 60_000, 0.0, 0.0, 1e-7, 0.0, steps=True),
    )
    has(
        "weather",
        "mast",
        "yard",
        "yard",
        "outdoors",
        of("mast", "air_temperature", w.air_c, 0.05, 0.12, 0.1),
        of("mast", "relative_humidity", w.rh, 0.6, 1.5, 0.1, 0.0),
        of("mast", "wind_speed", w.wind, 0.2, 0.0, 0.1, 0.0),
        of("mast", "rainfall", np.cumsum(w.rain) / 1000, 0.0, 0.0, 0.0002, 0.0, counter=True),
        of("mast", "global_radiation", w.sun, 3.0, 1.0, 1.0, 0.0),
    )
    has(
        "grass",
        "grass-probe",
        "yard",
        "acre",
        "grass",
        of("grass-probe", "grass_temperature", w.grass_c, 0.06, 0.12, 0.1),
    )
    has(
        "soil",
        "soil-2",
        "yard",
        "acre",
        "",
        of("soil-2", "soil_moisture", np.where(w.soil_c < 0, 0.12, b.soil_moisture), 0.002, 0.01, 0.001, 0.0),
        of("soil-2", "soil_temperature", w.soil_c, 0.05, 0.15, 0.1),
        on_change=bool(rng.random() < 0.6),
    )
    has("hutch", "hutch-1", "yard", "hutches", "", of("hutch-1", "air_temperature", b.hutch_c, 0.08, 0.2, 0.1))
    has(
        "fence",
        "fence-end",
        "yard",
        "meadow",
        "fence",
        of("fence-end", "fence_voltage", b.fence_v, 60.0, 80.0, 10.0, 0.0),
        on_change=bool(rng.random() < 0.5),
    )
    return found  # fmt: skip


def farm_of(instruments: list[Instrument]) -> Farm:
    """The farm as its registry says it."""
    devices = {
        i.name: FarmDevice(
            i.name, GATEWAY, f"{GATEWAY}.{i.bus}", 600_000 if i.on_change else round(i.every_s * 1000), i.subjects
        )
        for i in instruments
    }
    placed = {s: Placed(i.place, PLACES[i.place], i.role) for i in instruments for s in i.subjects}
    return Farm(SITE, frozenset({GATEWAY}), devices, placed)


Ill = Callable[[Array, Array], Array]
"""(times in minutes, values as read) to the values with something wrong."""
