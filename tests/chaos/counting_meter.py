"""A Modbus TCP instrument that counts how often each unit was read, and remembers what it answered.

Every read of a unit's ten input registers answers one number ten times: 1 at the first read, 2 at the next, … So
a store that holds a number twice has doubled a reading, and one that lacks a number has lost it.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from pyModbusTCP.server import DataBank, ModbusServer

POINTS = 10


class CountingMeter(DataBank):  # type: ignore[misc]  # the library has no types
    """Serves any unit id on `port` of the loopback. `served[unit]` lists (number, monotonic time) of each answer.

    `first_takes_s`: how long each unit takes over its first answer, as on a machine that is busy starting.
    `quiet`: answers with an exception and does not count.
    """

    def __init__(self, port: int, first_takes_s: float = 0.0) -> None:
        super().__init__()
        self._first_takes_s = first_takes_s
        self.quiet = False
        self.served: dict[int, list[tuple[int, float]]] = {}
        self._lock = threading.Lock()
        self._server = ModbusServer("127.0.0.1", port, no_block=True, data_bank=self)

    def get_input_registers(self, address: int, number: int = 1, srv_info: Any = None) -> list[int] | None:
        if self.quiet or address + number > POINTS:
            return None
        unit = srv_info.recv_frame.mbap.unit_id
        with self._lock:
            answers = self.served.setdefault(unit, [])
            count = len(answers) + 1
            answers.append((count, time.monotonic()))
        if count == 1:
            time.sleep(self._first_takes_s)
        return [count] * number

    def __enter__(self) -> CountingMeter:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()


PROFILE = """\
driver: modbus
names: {ja: 数える計器, en: Counting meter}
source: {trust: proposed, document: tests/chaos/counting_meter.py}
registers:
""" + "".join(
    f"  - {{channel: p{i}, quantity: value, table: input, address: {i}, type: uint16}}\n" for i in range(POINTS)
)
