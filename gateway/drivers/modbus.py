"""Modbus over a serial line (`rtu`) and over TCP (`tcp`).

This module has the options and the arithmetic; the wire is in `_modbus_line.py`, which is imported when a bus is
started, so that checking a file needs no Modbus library.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Any, Literal

from pydantic import Field

from gateway.bus import PolledBus
from gateway.driver import Bus, Device, DeviceOptions, Every, Explained, Load, Path_
from gateway.interpret import interpreter
from gateway.plan import Read
from gateway.profile import Strict
from gateway.record import Recorder
from gateway.registers import ModbusProfile


class RtuOptions(Strict):
    """A serial line, RS-485 or RS-232. What is left out is taken from the first device's profile."""

    port: str = Field(min_length=1, description="A path that stays the same: /dev/serial/by-path/…")
    baud: int | None = Field(default=None, ge=50, le=4_000_000)
    parity: Literal["none", "even", "odd"] | None = None
    data_bits: Literal[7, 8] | None = None
    stop_bits: Literal[1, 2] | None = None
    echo: bool = Field(default=False, description="The adapter hands back what it sends (noticed anyway)")


class TcpOptions(Strict):
    """A Modbus TCP server, or a converter to a serial line."""

    host: str = Field(min_length=1)
    port: int = Field(default=502, ge=1, le=65535)
    framing: Literal["tcp", "rtu"] = Field(default="tcp", description="rtu: a converter that passes bytes through")


class ModbusDevice(DeviceOptions):
    """A device on a Modbus bus."""

    # The standard keeps 248 and up for itself; some sensors are shipped with such an address (Senseair: 254).
    unit_id: int = Field(ge=1, le=254)
    every: Every


class ModbusTcpDevice(DeviceOptions):
    """A device behind a TCP connection; many servers answer to unit id 0 or 255 only."""

    unit_id: int = Field(default=1, ge=0, le=255)
    every: Every


def reads_of(device: Device) -> tuple[Read, ...]:
    """The reads of one poll."""
    return interpreter(device).reads


class _Modbus:
    family = "modbus"
    profile_model = ModbusProfile

    def problems(
        self, options: Any, devices: Sequence[Any], line_of: Callable[[Path_], int]
    ) -> Iterator[tuple[Path_, str]]:
        del options
        seen: dict[int, int] = {}
        for index, device in enumerate(devices):
            if device.unit_id in seen:
                other = seen[device.unit_id]
                line = line_of(("devices", other, "unit_id"))
                yield (
                    ("devices", index, "unit_id"),
                    f"unit_id {device.unit_id} used twice ({devices[other].name}, line {line})",
                )
            seen.setdefault(device.unit_id, index)

    async def run(self, bus: Bus, recorder: Recorder) -> None:
        from gateway.drivers._modbus_line import ModbusLine

        every_ns = [int(d.options.every.total_seconds() * 1e9) for d in bus.devices]
        await PolledBus(bus, every_ns, ModbusLine(bus), recorder, self._shifts_ns(bus)).run()

    async def read_once(self, bus: Bus, device: Device) -> Explained:
        from gateway.drivers._modbus_line import explain

        return await explain(bus, device)

    def loads(self, bus: Bus) -> tuple[Load, ...]:
        return tuple(
            Load(
                device.name,
                sum(self._seconds(bus, device, read) for read in reads_of(device)),
                device.options.every.total_seconds(),
                len(reads_of(device)),
            )
            for device in bus.devices
        )

    def _seconds(self, bus: Bus, device: Device, read: Read) -> float:
        raise NotImplementedError

    def _shifts_ns(self, bus: Bus) -> list[int] | None:
        """How far each device's grid stands behind the first one's."""
        del bus
        return None


class Rtu(_Modbus):
    """Modbus RTU on a serial line."""

    kind = "rtu"
    bus_model = RtuOptions
    device_model: type[DeviceOptions] = ModbusDevice

    def _seconds(self, bus: Bus, device: Device, read: Read) -> float:
        """Request 8 bytes, reply 5 and the data, the device's turnaround, and 3.5 characters of silence twice."""
        serial = serial_settings(bus)
        bits = bits_of(serial)
        data = (read.count + 7) // 8 if read.table in ("coil", "discrete") else 2 * read.count
        profile: ModbusProfile = device.profile
        wait_s = max(profile.pause.total_seconds(), 7 * bits / serial["baudrate"])
        return float((13 + data) * bits / serial["baudrate"] + profile.turnaround.total_seconds() + wait_s)

    def _shifts_ns(self, bus: Bus) -> list[int]:
        """One behind the other by the time that each takes; a line is a queue anyway."""
        busy_ns = (int(load.busy_s * 1e9) for load in self.loads(bus))
        return list(accumulate(busy_ns, initial=0))[:-1]


class Tcp(_Modbus):
    """Modbus TCP."""

    kind = "tcp"
    bus_model = TcpOptions
    device_model: type[DeviceOptions] = ModbusTcpDevice

    def _seconds(self, bus: Bus, device: Device, read: Read) -> float:
        del bus, read
        return float(device.profile.turnaround.total_seconds() + device.profile.pause.total_seconds() + 0.002)


def bits_of(serial: dict[str, Any]) -> int:
    """Bits of one character on the line, start and stop bits included."""
    return int(1 + serial["bytesize"] + (serial["parity"] != "N") + serial["stopbits"])


def serial_settings(bus: Bus) -> dict[str, Any]:
    """The line's settings in pyserial's words: the bus's own, else those of its first device's profile."""
    options, shipped = bus.options, bus.devices[0].profile.serial
    parity = options.parity or shipped.parity
    return {
        "baudrate": options.baud or shipped.baud,
        "parity": {"none": "N", "even": "E", "odd": "O"}[parity],
        "bytesize": options.data_bits or shipped.data_bits,
        "stopbits": options.stop_bits or shipped.stop_bits,
    }


DRIVERS = (Rtu(), Tcp())
