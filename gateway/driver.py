"""The port of a driver: what a kind of bus brings, and what it may rely on.

A driver is a module in `gateway/drivers/` with a `DRIVERS` tuple; nothing else has to be edited. It owns the models
of its options (the bus's, the device's, the profile's), so that a gateway file is checked against what it
really needs.

What a driver promises: `run` returns only when it is cancelled; a wire that breaks is opened again by it, with
back-off; it reports each measurement and each state to the recorder and blocks the loop nowhere. What it may rely
on: bus and devices have passed every check; the recorder never raises and never blocks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any, Protocol

from pydantic import AfterValidator, BeforeValidator, Field

from gateway.constants import ConstantValue, Given
from gateway.decode import Text
from gateway.errands import Errands
from gateway.profile import ChannelName, ConstantName, Profile, QuantityName, Strict, UnitName
from gateway.record import Recorder
from makiba.located_yaml import Duration
from makiba.quantities import Quantity
from makiba.reading import SUBJECT_PATTERN, Series

Path_ = tuple[str | int, ...]


def _long_enough(every: timedelta) -> timedelta:
    if every < timedelta(milliseconds=1):
        raise ValueError("is too short; the shortest is 1ms")
    return every


Every = Annotated[Duration, AfterValidator(_long_enough)]


class ChannelUse(Strict):
    """What a free channel measures, and in which unit where the profile leaves that open."""

    quantity: QuantityName
    unit: UnitName | None = None


def _short_form(given: Any) -> Any:
    return {"quantity": given} if isinstance(given, str) else given


_ChannelUse = Annotated[ChannelUse, BeforeValidator(_short_form, json_schema_input_type=QuantityName | ChannelUse)]


class DeviceOptions(Strict):
    """What every device of a gateway file has."""

    name: str = Field(pattern=SUBJECT_PATTERN)
    profile: str
    channels: dict[ChannelName, _ChannelUse] = Field(
        default={}, description="What each free channel of the profile measures; others are not read"
    )
    constants: dict[ConstantName, Given] = Field(
        default={}, description="What the profile asks of the site, such as the height that a sensor hangs at"
    )


@dataclass(frozen=True, slots=True)
class Point:
    """One value of a device: its place among the profile's values, its series and its quantity."""

    index: int
    series: Series
    quantity: Quantity
    unit: str | None = None
    """The unit that the gateway file gives, where the profile leaves it open."""


@dataclass(frozen=True, slots=True)
class Device:
    """A device of the gateway file, its profile found and its channels named."""

    name: str
    profile_name: str
    profile: Any  # the driver's own model
    options: Any  # the driver's own model
    points: tuple[Point, ...]
    constants: Mapping[str, ConstantValue] = field(default_factory=dict)

    @property
    def subjects(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(p.series.subject for p in self.points))


@dataclass(frozen=True, slots=True)
class Bus:
    """A bus of the gateway file. `subject` is what its own state is recorded under."""

    name: str
    subject: str
    driver: Driver = field(repr=False)
    options: Any
    devices: tuple[Device, ...]
    coils: frozenset[tuple[int, int]] = frozenset()
    """(unit id, coil) of the alarm outputs that the file declares on it; nothing else can be written."""
    errands: Errands = field(default_factory=Errands, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Load:
    """Predicted: seconds of the bus that one poll of a device takes, and how often it is asked."""

    device: str
    busy_s: float
    every_s: float
    requests: int


@dataclass(frozen=True, slots=True)
class Explained:
    """One device read once: what went over the wire, and what each value came out as."""

    frames: tuple[str, ...]
    values: tuple[tuple[Point, str, float | str | Text | None], ...]
    state: str


class Driver(Protocol):
    """A kind of bus; see the module's first lines."""

    kind: str
    """The key of the bus in the gateway file: `rtu`."""
    family: str
    """The `driver` of the profiles that it can read: `modbus`."""
    profile_model: type[Profile]
    bus_model: type[Strict]
    device_model: type[DeviceOptions]

    def problems(
        self, options: Any, devices: Sequence[Any], line_of: Callable[[Path_], int]
    ) -> Iterator[tuple[Path_, str]]:
        """Whole-bus checks; a path starts at the bus: `("devices", 0, "unit_id")`. `line_of` a path in the file."""
        ...

    def loads(self, bus: Bus) -> tuple[Load, ...]:
        """The bus budget; empty for a bus that is only listened to."""
        ...

    def run(self, bus: Bus, recorder: Recorder) -> Awaitable[None]:
        """Keeps the bus until cancelled."""
        ...

    def read_once(self, bus: Bus, device: Device) -> Awaitable[Explained]:
        """Reads `device` once. `OSError` when the line cannot be opened."""
        ...
