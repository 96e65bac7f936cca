"""SDI-12 sensors on one wire through an adapter (`sdi12`).

A Raspberry Pi's own UART can neither invert the line nor hold the break, so that an adapter stands between. Adapters
differ: some make the break themselves (`break_by: adapter`), some pass on that of the port (`break_by: port`); some
hand back what is sent (`echo: true`). The wire is in `_sdi12_line.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from gateway.driver import Bus, Device, DeviceOptions, Every, Explained, Load, Path_
from gateway.drivers._port import PortOptions
from gateway.record import Recorder
from gateway.sdi12 import ADDRESS_PATTERN, Sdi12Profile


class Sdi12Options(PortOptions):
    """An SDI-12 adapter; 1200 7E1 when nothing else is said."""

    echo: bool = Field(default=False, description="The adapter hands back what it sends")
    break_by: Literal["adapter", "port"] = Field(
        default="adapter", description="Who wakes the sensors: the adapter, or a break of the serial port"
    )


def _digit(given: Any) -> Any:
    return str(given) if isinstance(given, int) and not isinstance(given, bool) and 0 <= given <= 9 else given


class Sdi12Device(DeviceOptions):
    """A sensor by its address: 0-9, A-Z, a-z."""

    address: Annotated[str, BeforeValidator(_digit, json_schema_input_type=str | int), Field(pattern=ADDRESS_PATTERN)]
    every: Every


class Sdi12:
    """The driver; see `gateway.driver.Driver`."""

    kind = "sdi12"
    family = "sdi12"
    profile_model = Sdi12Profile
    bus_model = Sdi12Options
    device_model: type[DeviceOptions] = Sdi12Device

    def problems(
        self, options: Any, devices: Sequence[Any], line_of: Callable[[Path_], int]
    ) -> Iterator[tuple[Path_, str]]:
        del options
        seen: dict[str, int] = {}
        for index, device in enumerate(devices):
            if device.address in seen:
                other = seen[device.address]
                line = line_of(("devices", other, "address"))
                yield (
                    ("devices", index, "address"),
                    f"address {device.address} used twice ({devices[other].name}, line {line})",
                )
            seen.setdefault(device.address, index)

    def loads(self, bus: Bus) -> tuple[Load, ...]:
        """Bytes, breaks and gaps; not the time that an M measurement holds the bus: the sensor says that."""
        return tuple(_load(bus, device) for device in bus.devices)

    async def run(self, bus: Bus, recorder: Recorder) -> None:
        from gateway.drivers._sdi12_line import Sdi12Bus

        await Sdi12Bus(bus, recorder).run()

    async def read_once(self, bus: Bus, device: Device) -> Explained:
        from gateway.drivers._sdi12_line import explain

        return await explain(bus, device)


_BREAK_S = 0.021
_TURNAROUND_S = 0.015
_CHARACTERS_OF_A_VALUE = 8


def _load(bus: Bus, device: Device) -> Load:
    profile: Sdi12Profile = device.profile
    characters, requests = 0, 0
    for measurement in profile.measurements:
        count = max(v.value for v in measurement.values)
        page = 4 if measurement.command[0] == "M" else 9  # of 35 or 75 characters
        pages = -(-count // page)
        requests += pages + (measurement.command[0] != "R")
        characters += 4 + 8 + pages * (4 + 3 + 3 * measurement.crc) + count * _CHARACTERS_OF_A_VALUE
    baud = bus.options.baud or profile.serial.baud
    busy_s = characters * 10 / baud + requests * (_BREAK_S + _TURNAROUND_S)
    return Load(device.name, busy_s, device.options.every.total_seconds(), requests)


DRIVERS = (Sdi12(),)
