"""A Modbus TCP server whose registers are the rows of a recording, one after the other.

    python -m demo.replay_server FILE.csv --tcp-port N

Holding registers of unit 1, each value a float64 in four registers, high word first: 0 the row's number (from 1),
4 the recorded time in seconds, then a value per column. An empty cell, and every cell after the last row, is `GAP`.

Every row is presented exactly once to a reader that reads from the first block to the last: the next row comes when
the first register is asked for again after the last one was. However a reader splits its reads, and whatever it
asks again before that, it stays on one row.
"""

from __future__ import annotations

import argparse
import signal
import struct
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from pyModbusTCP.server import DataBank, DataHandler, ModbusServer

from demo.recorded import Recording, Row, read_recording

UNIT: Final = 1
GAP: Final = -1.7976931348623157e308
"""The sentinel: the most negative double, which no sensor measures."""
WIDTH: Final = 4
_NO_SUCH_ADDRESS, _NOT_SUPPORTED, _UNIT_SILENT = 2, 1, 11


def words_of(number: int, row: Row | None, columns: int) -> tuple[int, ...]:
    """The registers of a row; without one, of what comes after the last."""
    if row is None:
        values: list[float] = [GAP] * (2 + columns)
    else:
        values = [float(number), row.time_s, *(GAP if v is None else v for v in row.values)]
    return struct.unpack(f">{WIDTH * len(values)}H", struct.pack(f">{len(values)}d", *values))


class Rows:
    """Which row a reader sees. `read` gives words from `address`, or None when there are none."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._at = 0
        self._all_read = False
        self._words = self._now()
        self._lock = threading.Lock()

    def read(self, address: int, count: int) -> Sequence[int] | None:
        with self._lock:
            end = address + count
            if end > len(self._words):
                return None
            if address == 0 and self._all_read:
                self._at, self._all_read = self._at + 1, False
                self._words = self._now()
            if end == len(self._words):
                self._all_read = True
            return self._words[address:end]

    def _now(self) -> tuple[int, ...]:
        rows = self._recording.rows
        row = rows[self._at] if self._at < len(rows) else None
        return words_of(self._at + 1, row, len(self._recording.columns))


class _Registers(DataHandler):  # type: ignore[misc]
    def __init__(self, rows: Rows) -> None:
        super().__init__(DataBank(virtual_mode=True))
        self._rows = rows

    def read_h_regs(self, address: int, count: int, srv_info: Any) -> Any:
        if srv_info.recv_frame.mbap.unit_id != UNIT:
            return self.Return(_UNIT_SILENT)
        words = self._rows.read(address, count)
        return self.Return(_NO_SUCH_ADDRESS) if words is None else self.Return(0, data=words)

    def _refuse(self, *_: Any) -> Any:
        return self.Return(_NOT_SUPPORTED)

    read_coils = read_d_inputs = read_i_regs = write_coils = write_h_regs = _refuse


def main() -> None:
    parser = argparse.ArgumentParser(prog="demo.replay_server", description="A recording behind Modbus TCP.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--tcp-port", type=int, required=True)
    options = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    rows = Rows(read_recording(options.file))
    server = ModbusServer(host="127.0.0.1", port=options.tcp_port, no_block=True, data_hdl=_Registers(rows))
    server.start()
    stop.wait()
    server.stop()


if __name__ == "__main__":
    main()
