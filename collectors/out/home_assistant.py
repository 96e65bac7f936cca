"""What Home Assistant is told of a farm: discovery messages, states, availability. Pure.

One retained message per entity on `<prefix>/<component>/makiba_<site>/<entity>/config`; its state, not retained, on
`makiba-out/<site>/<entity>/state`, and `online` or `offline`, retained, for the outlet and for each device. An empty
message on the config topic takes an entity away. The forms are those of every Home Assistant since MQTT discovery
began (a message per entity, long names); nothing is ever asked of Makiba, no topic is a command.

Sources: home-assistant.io, "MQTT" (discovery, availability, birth message), "MQTT sensor", "MQTT binary sensor"; the
units and state classes that a device class takes: home-assistant/core, `homeassistant/components/sensor/const.py`
(`DEVICE_CLASS_UNITS`, `DEVICE_CLASS_STATE_CLASSES`). A quantity without a class there is a number with a unit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from makiba.quantities import Quantity, catalogue
from makiba.reading import Series

OUT: Final = "makiba-out"
Language = Literal["ja", "en"]
Component = Literal["sensor", "binary_sensor"]


@dataclass(frozen=True, slots=True)
class As:
    """How a quantity is shown: its device class and unit there, and shown = value * factor + offset."""

    device_class: str | None
    unit: str | None
    factor: float = 1.0
    offset: float = 0.0
    component: Component = "sensor"
    state_class: str | None = "measurement"


_CELSIUS: Final = As("temperature", "°C")
_PERCENT: Final = As(None, "%", 100)

TABLE: Final[Mapping[str, As]] = {
    **dict.fromkeys(
        ("air_temperature", "dew_point", "wind_chill", "milk_temperature", "water_temperature", "pipe_temperature",
         "soil_temperature", "temperature", "cpu_temperature"), _CELSIUS,
    ),
    "relative_humidity": As("humidity", "%"),
    "air_pressure": As("atmospheric_pressure", "hPa", 0.01),
    "sea_level_pressure": As("atmospheric_pressure", "hPa", 0.01),
    "wind_speed": As("wind_speed", "m/s"),
    "wind_gust": As("wind_speed", "m/s"),
    # Older ones know no state class for a direction; its mean would be wrong.
    "wind_direction": As("wind_direction", "°", 57.29577951308232, state_class=None),
    "rainfall": As("precipitation", "mm", 1000, state_class="total_increasing"),
    "rain_rate": As("precipitation_intensity", "mm/h", 3_600_000),
    **dict.fromkeys(("rain_10min", "rain_1h", "rain_24h"), As("precipitation", "mm", 1000)),
    "sunshine_10min": As("duration", "min", 1 / 60),
    "snow_depth": As("distance", "cm", 100),
    "global_radiation": As("irradiance", "W/m²"),
    "illuminance": As("illuminance", "lx"),
    "milk_volume": As("volume_storage", "L", 1000),
    "volume": As("volume_storage", "m³"),
    "water_flow": As("volume_flow_rate", "L/min", 60_000),
    "water_total": As("water", "m³", state_class="total_increasing"),
    "flow_speed": As("speed", "m/s"),
    "soil_moisture": As("moisture", "%", 100),
    "soil_conductivity": As("conductivity", "mS/cm", 10),
    "soil_ph": As("ph", None),
    "carbon_dioxide": As("carbon_dioxide", "ppm", 1_000_000),
    "carbon_monoxide": As("carbon_monoxide", "ppm", 1_000_000),
    "voltage": As("voltage", "V"),
    "battery_voltage": As("voltage", "V"),
    "current": As("current", "A"),
    "power": As("power", "W"),
    "apparent_power": As("apparent_power", "VA"),
    "reactive_power": As("reactive_power", "var"),
    "power_factor": As("power_factor", None),
    "frequency": As("frequency", "Hz"),
    "energy": As("energy", "kWh", 1 / 3_600_000, state_class="total_increasing"),
    "energy_exported": As("energy", "kWh", 1 / 3_600_000, state_class="total_increasing"),
    "distance": As("distance", "m"),
    "level": As("distance", "m"),
    "fill": _PERCENT,
    "disk_free": _PERCENT,
    "bus_utilisation": _PERCENT,
    "signal_quality": _PERCENT,
    **dict.fromkeys(("weight", "body_weight", "milk_yield"), As("weight", "kg")),
    "battery": As("battery", "%", 100),
    "signal_strength": As("signal_strength", "dBm", 1, 30),
    "signal_to_noise": As("signal_strength", "dB"),
    "clock_offset": As("duration", "s"),
    "switched_on": As("running", None, component="binary_sensor", state_class=None),
}  # fmt: skip

DIAGNOSTIC: Final = frozenset({"gateway", "radio"})
"""Groups of the catalogue that are about the equipment itself."""

EXPIRES_AFTER: Final = 3
"""A value that did not come for so many times its pace is unavailable."""
EXPIRES_AT_LEAST_S: Final = 60


@dataclass(frozen=True, slots=True)
class Device:
    """What a subject belongs to; `every_s` 0: its pace is not known. `gateway` empty: it stands behind none."""

    name: str
    title: str
    model: str
    gateway: str = ""
    every_s: float = 0.0
    software: str = ""
    is_gateway: bool = False


@dataclass(frozen=True, slots=True)
class Entity:
    """A series as an entity there."""

    series: Series
    device: Device
    title: str
    area: str = ""

    @property
    def id(self) -> str:
        return f"{slug(self.series.subject)}_{self.series.quantity}"


def how(quantity: str) -> As | None:
    """How a quantity is shown; None for one that is not (a text)."""
    word = catalogue().get(quantity)
    if word is None or word.kind == "text":
        return None
    return TABLE.get(quantity) or As(
        None, word.show_unit or None, word.show_factor, word.show_offset,
        state_class="total_increasing" if word.kind == "counter" else "measurement",
    )  # fmt: skip


def slug(name: str) -> str:
    """`name` as a part of a topic and of an id there; different names stay different."""
    return re.sub(r"[^a-z0-9]", lambda m: "-" if m[0] == "-" else f"_{ord(m[0]):x}_", name)


def node(site: str) -> str:
    return f"makiba_{slug(site)}"


def config_topic(prefix: str, entity: Entity) -> str:
    shown = how(entity.series.quantity)
    component = shown.component if shown else "sensor"
    return f"{prefix}/{component}/{node(entity.series.site)}/{entity.id}/config"


def all_configs(prefix: str, site: str) -> str:
    """The filter of every config topic of the farm."""
    return f"{prefix}/+/{node(site)}/+/config"


def state_topic(entity: Entity) -> str:
    return f"{OUT}/{slug(entity.series.site)}/{entity.id}/state"


def outlet_topic(site: str) -> str:
    """Whether the outlet itself is there; the broker says `offline` when its link breaks."""
    return f"{OUT}/{slug(site)}/status"


def device_topic(site: str, device: str) -> str:
    """Whether the device answers."""
    return f"{OUT}/{slug(site)}/device/{slug(device)}/status"


def config(entity: Entity, software: str, language: Language) -> bytes:
    """The discovery message of `entity`."""
    series, device = entity.series, entity.device
    word, shown = catalogue()[series.quantity], how(series.quantity)
    assert shown is not None
    told: dict[str, Any] = {
        "name": f"{entity.title} {word.names[language]}" if entity.title != device.title else word.names[language],
        "unique_id": f"{node(series.site)}_{entity.id}",
        "state_topic": state_topic(entity),
        "availability": [
            {"topic": outlet_topic(series.site)}, {"topic": device_topic(series.site, device.name)},
        ],
        "availability_mode": "all",
        "qos": 0,
        "device": _device(series.site, device, entity.area),
        "origin": {"name": "Makiba", "sw_version": software},
    }  # fmt: skip
    if shown.device_class:
        told["device_class"] = shown.device_class
    if shown.component == "sensor":
        told |= _number(word, shown)
    if device.every_s > 0:
        told["expire_after"] = max(EXPIRES_AT_LEAST_S, round(EXPIRES_AFTER * device.every_s))
    if word.group in DIAGNOSTIC:
        told["entity_category"] = "diagnostic"
    return json.dumps(told, ensure_ascii=False, sort_keys=True).encode()


def _number(word: Quantity, shown: As) -> dict[str, Any]:
    told: dict[str, Any] = {"suggested_display_precision": word.decimals}
    if shown.unit:
        told["unit_of_measurement"] = shown.unit
    if shown.state_class:
        told["state_class"] = shown.state_class
    return told


def _device(site: str, device: Device, area: str) -> dict[str, Any]:
    told: dict[str, Any] = {
        "identifiers": [f"{node(site)}_{slug(device.name)}"],
        "name": device.title,
        "manufacturer": "Makiba",
        "model": device.model or "sensor",
    }
    if device.software:
        told["sw_version"] = device.software
    if device.gateway and not device.is_gateway:
        told["via_device"] = f"{node(site)}_{slug(device.gateway)}"
    if area:
        told["suggested_area"] = area
    return told


def state(quantity: str, value: float) -> bytes:
    """`value` (in the catalogue's unit) as the entity's state."""
    shown, word = how(quantity), catalogue()[quantity]
    assert shown is not None
    if shown.component == "binary_sensor":
        return b"ON" if value >= 0.5 else b"OFF"
    number = round(value * shown.factor + shown.offset, word.decimals + 2)
    return repr(number + 0.0).encode()  # plus zero: no -0.0
