"""The barn's RS-485 cable: three instruments that answer Modbus RTU on a pseudo-terminal, by modbus-tk.

Register maps are written down here once more, from the makers' facts and not from `firmware_configs/devices`,
and served by another library than the gateway's: a mistake on one side cannot hide on the other. Zero-based
addresses. A unit answers only for registers that the instrument has; nobody answers for a unit id that is not there.

- unit 1, XY-MD02 (FC04): 1 temperature 0.1 °C signed, 2 humidity 0.1 %
- unit 2, JXCT JXBS-3001-NH3 (FC03): 0 humidity 0.1 %, 1 temperature 0.1 °C signed, 6 ammonia 0.1 ppm
- unit 3, Eastron SDM120 (FC04): float32, high word first; see `sdm120_words`
"""

from __future__ import annotations

import logging
import os
import select
import struct
import threading
import tty
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any, Final

import modbus_tk.defines as modbus
import serial
from modbus_tk import modbus_rtu

from demo.physics import FAN_V, Farm

CLIMATE, AMMONIA, FAN = 1, 2, 3
_SDM120_SIZE: Final = 0x015A


def sdm120_words(volts: float, amperes: float, kwh: float) -> dict[int, int]:
    """Address to word of an SDM120 that carries a load with a power factor of 0.86 (1 when there is none)."""
    factor = 0.86 if amperes > 0.01 else 1.0
    apparent = volts * amperes
    watts = apparent * factor
    values = {
        0x0000: volts, 0x0006: amperes, 0x000C: watts, 0x0012: apparent,
        0x0018: (apparent**2 - watts**2) ** 0.5, 0x001E: factor, 0x0046: 50.0,
        0x0048: kwh, 0x004A: 0.0, 0x0156: kwh, 0x0158: 0.0,
    }  # fmt: skip
    words = {}
    for address, value in values.items():
        words[address], words[address + 1] = struct.unpack(">HH", struct.pack(">f", value))
    return words


def signed(value: float) -> int:
    """`value` in tenths, as a 16-bit word in two's complement."""
    return round(value * 10) & 0xFFFF


class Cable:
    """A serial line: two pseudo-terminals and a thread that carries bytes between them, unless it is cut."""

    def __init__(self) -> None:
        self.cut = False
        self._masters: list[int] = []
        self._slaves: list[int] = []
        self.ends: list[str] = []
        for _ in range(2):
            master, slave = os.openpty()
            tty.setraw(slave)
            self._masters.append(master)
            self._slaves.append(slave)  # kept open, so that the line lives on when an end closes
            self.ends.append(os.ttyname(slave))
        threading.Thread(target=self._carry, name="cable", daemon=True).start()

    def _carry(self) -> None:
        other = dict(zip(self._masters, reversed(self._masters), strict=True))
        while True:
            for master in select.select(self._masters, [], [])[0]:
                data = os.read(master, 4096)
                if not self.cut:
                    os.write(other[master], data)


class RtuFarm:
    """The instruments on the cable; the gateway opens `port`."""

    def __init__(self) -> None:
        logging.getLogger("modbus_tk").setLevel(logging.CRITICAL)  # a silent unit is no error here
        self.cable = Cable()
        self.port = self.cable.ends[0]
        line = serial.Serial(self.cable.ends[1], 9600, bytesize=8, parity="N", stopbits=1)
        self._server = modbus_rtu.RtuServer(line, error_on_missing_slave=False)
        self._blocks: Mapping[int, list[tuple[int, int, int]]] = {
            CLIMATE: [(modbus.ANALOG_INPUTS, 1, 2), (modbus.HOLDING_REGISTERS, 0x0101, 4)],
            AMMONIA: [(modbus.HOLDING_REGISTERS, 0, 7), (modbus.HOLDING_REGISTERS, 0x0100, 2)],
            FAN: [(modbus.ANALOG_INPUTS, 0, _SDM120_SIZE)],
        }
        self._units: dict[int, Any] = {}
        for unit in self._blocks:
            self._plug(unit)

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        self._server.stop()

    def update(self, farm: Farm, faults: Set[str]) -> None:
        """Writes what the sensors see into the registers, and takes out of the line what is unplugged."""
        self.cable.cut = "bus-cut" in faults
        if "sensor-unplugged" in faults:
            self._unplug(CLIMATE)
        else:
            self._plug(CLIMATE)
            self._set(CLIMATE, modbus.ANALOG_INPUTS, 1, [signed(farm.barn_c), round(farm.barn_rh * 10)])
        self._set(AMMONIA, modbus.HOLDING_REGISTERS, 0, [
            round(farm.barn_rh * 10), signed(farm.barn_c), 0, 0, 0, 0, round(farm.nh3_ppm * 10),
        ])  # fmt: skip
        words = sdm120_words(FAN_V, farm.fan_a, farm.fan_kwh)
        self._set(FAN, modbus.ANALOG_INPUTS, 0, [words.get(a, 0) for a in range(_SDM120_SIZE)])

    def _plug(self, unit: int) -> None:
        if unit in self._units:
            return
        slave = self._server.add_slave(unit)
        for kind, start, size in self._blocks[unit]:
            slave.add_block(f"{kind}-{start}", kind, start, size)
        self._units[unit] = slave

    def _unplug(self, unit: int) -> None:
        if self._units.pop(unit, None) is not None:
            self._server.remove_slave(unit)

    def _set(self, unit: int, kind: int, start: int, words: list[int]) -> None:
        self._units[unit].set_values(f"{kind}-{start}", start, words)


def link(path: Path, target: str) -> None:
    """Makes `path` point to `target`, in one step."""
    temp = path.with_name(f".{path.name}.{os.getpid()}")
    temp.unlink(missing_ok=True)
    temp.symlink_to(target)
    os.replace(temp, path)
