"""The tank room's Modbus TCP: a converter with two instruments behind it, by pyModbusTCP.

As in `demo/rtu_farm.py` the maps are the makers', and the library is not the gateway's. Zero-based addresses.
For a unit id that is not there the converter answers exception 11 (the device behind the gateway does not
respond); nothing here can be written.

- unit 1, R4DCB08 (FC03): 0..7 temperature 0.1 °C signed, 0x8000 where no probe is plugged in; 8..15 corrections
- unit 2, Eastron SDM120 (FC04): the compressor's meter
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any, Final

from pyModbusTCP.server import DataBank, DataHandler, ModbusServer

from demo.physics import COMPRESSOR_V, Farm
from demo.rtu_farm import sdm120_words, signed

PROBES, COMPRESSOR = 1, 2
NO_PROBE: Final = 0x8000
_NOT_SUPPORTED, _NO_SUCH_ADDRESS, _UNIT_SILENT = 1, 2, 11
_SDM120_SIZE: Final = 0x015A


class Registers(DataHandler):  # type: ignore[misc]
    """Read-only registers per unit: (unit, function) to words from address 0."""

    def __init__(self) -> None:
        super().__init__(DataBank(virtual_mode=True))
        self._words: dict[tuple[int, int], Sequence[int]] = {}

    def put(self, unit: int, function: int, words: Sequence[int]) -> None:
        """Replaces all words at once, so that a reader never sees half of an update."""
        self._words[unit, function] = words

    def read_h_regs(self, address: int, count: int, srv_info: Any) -> Any:
        return self._read(srv_info.recv_frame.mbap.unit_id, 3, address, count)

    def read_i_regs(self, address: int, count: int, srv_info: Any) -> Any:
        return self._read(srv_info.recv_frame.mbap.unit_id, 4, address, count)

    def _read(self, unit: int, function: int, address: int, count: int) -> Any:
        if not any(unit == known for known, _ in self._words):
            return self.Return(_UNIT_SILENT)
        words = self._words.get((unit, function))
        if words is None:
            return self.Return(_NOT_SUPPORTED)
        if address + count > len(words):
            return self.Return(_NO_SUCH_ADDRESS)
        return self.Return(0, data=list(words[address : address + count]))

    def _refuse(self, *_: Any) -> Any:
        return self.Return(_NOT_SUPPORTED)

    read_coils = read_d_inputs = write_coils = write_h_regs = _refuse


class TcpFarm:
    """The instruments of the tank room on 127.0.0.1:`port`."""

    def __init__(self, port: int) -> None:
        self._registers = Registers()
        self._server = ModbusServer(host="127.0.0.1", port=port, no_block=True, data_hdl=self._registers)

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        self._server.stop()

    def update(self, farm: Farm, faults: Set[str]) -> None:
        """Writes what the sensors see into the registers."""
        milk = NO_PROBE if "probe-broken" in faults else signed(farm.milk_c)
        self._registers.put(PROBES, 3, [milk, signed(farm.pipe_c), *[NO_PROBE] * 6, *[0] * 8])
        words = sdm120_words(COMPRESSOR_V, farm.compressor_a, farm.compressor_kwh)
        self._registers.put(COMPRESSOR, 4, [words.get(a, 0) for a in range(_SDM120_SIZE)])
