"""A bus on a pseudo-terminal whose instruments answer only at their own baud rate."""

from __future__ import annotations

import logging
import os
import select
import termios
import threading
import tty
from collections.abc import Mapping, Sequence

import modbus_tk.defines as modbus
from modbus_tk import modbus_rtu
from modbus_tk.modbus import Databank

TABLES = {"coil": modbus.COILS, "discrete": modbus.DISCRETE_INPUTS, "input": modbus.ANALOG_INPUTS,
          "holding": modbus.HOLDING_REGISTERS}  # fmt: skip
SPEEDS = {getattr(termios, name): int(name[1:]) for name in dir(termios) if name[:1] == "B" and name[1:].isdigit()}
Registers = Mapping[str, Sequence[tuple[int, Sequence[int]]]]
"""Per table: blocks of (first address, values)."""


class Bus:
    """modbus-tk answers behind it. `asked` has every request as it came, at whatever speed."""

    def __init__(self) -> None:
        logging.getLogger("modbus_tk").setLevel(logging.CRITICAL)
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        self._banks: dict[int, Databank] = {}
        self.asked: list[tuple[int, bytes]] = []
        self._stopping = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def add(self, unit_id: int, baud: int, registers: Registers) -> None:
        bank = self._banks.setdefault(baud, Databank(error_on_missing_slave=False))
        slave = bank.add_slave(unit_id)
        for table, blocks in registers.items():
            for first, values in blocks:
                name = f"{table} {first}"
                slave.add_block(name, TABLES[table], first, len(values))
                slave.set_values(name, first, list(values))

    def __enter__(self) -> Bus:
        self._thread.start()
        return self

    def _run(self) -> None:
        while not self._stopping:
            ready, _, _ = select.select([self._master], [], [], 0.05)
            if not ready:
                continue
            data = os.read(self._master, 256)
            baud = SPEEDS[termios.tcgetattr(self._slave)[5]]
            self.asked.append((baud, data))
            bank = self._banks.get(baud)
            if bank and (reply := bank.handle_request(modbus_rtu.RtuQuery(), data)):
                os.write(self._master, reply)

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        self._thread.join()
        os.close(self._master)
        os.close(self._slave)
