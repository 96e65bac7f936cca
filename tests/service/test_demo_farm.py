"""The simulated instruments, read by an independent Modbus client and by eye."""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import serial
from pymodbus.client import ModbusSerialClient, ModbusTcpClient
from pymodbus.exceptions import ModbusIOException

from demo import faults
from demo.farm import BARN_TTY, MAST_TTY
from tests.parts import Process, free_port, listens, wait_until


class RunningFarm:
    def __init__(self, folder: Path, tcp_port: int) -> None:
        self.faults = folder / "faults.json"
        self.barn = ModbusSerialClient(str(folder / BARN_TTY), baudrate=9600, timeout=0.4, retries=0)
        self.tank_room = ModbusTcpClient("127.0.0.1", port=tcp_port, timeout=1, retries=0)
        self.mast = folder / MAST_TTY
        assert self.barn.connect()
        assert self.tank_room.connect()  # type: ignore[no-untyped-call]

    def answers(self, unit: int) -> bool:
        """Whether a unit on the barn's cable says anything at all."""
        try:
            return not self.barn.read_input_registers(1, count=1, device_id=unit).isError() or unit == 2
        except ModbusIOException:
            return False

    def close(self) -> None:
        self.barn.close()  # type: ignore[no-untyped-call]
        self.tank_room.close()  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningFarm]:
    folder, port = tmp_path_factory.mktemp("farm"), free_port()
    command = [
        sys.executable,
        "-m",
        "demo.farm",
        "--folder",
        str(folder),
        "--tcp-port",
        str(port),
        "--season",
        "july",
    ]
    with Process(command, log=folder / "farm.log") as process:
        wait_until((folder / MAST_TTY).exists, 10, process.log)
        wait_until(lambda: listens(port))
        running = RunningFarm(folder, port)
        yield running
        running.close()
        assert process.terminate() == 0, process.log()


def tenths(word: int) -> float:
    return float(struct.unpack(">h", struct.pack(">H", word))[0]) / 10


def float_at(words: Sequence[int], address: int) -> float:
    return float(struct.unpack(">f", struct.pack(">HH", *words[address : address + 2]))[0])


def test_the_climate_sensor_speaks_xy_md02(farm: RunningFarm) -> None:
    words = farm.barn.read_input_registers(1, count=2, device_id=1).registers
    assert 10 < tenths(words[0]) < 25
    assert 50 < words[1] / 10 < 90


def test_a_register_that_the_instrument_has_not_is_an_exception(farm: RunningFarm) -> None:
    assert farm.barn.read_input_registers(0, count=3, device_id=1).exception_code == 2
    assert farm.barn.read_holding_registers(7, count=1, device_id=2).exception_code == 2
    assert farm.tank_room.read_holding_registers(10, count=8, device_id=1).exception_code == 2


def test_the_gas_sensor_speaks_jxbs_3001(farm: RunningFarm) -> None:
    words = farm.barn.read_holding_registers(0, count=7, device_id=2).registers
    assert 4 < words[6] / 10 < 8
    assert 10 < tenths(words[1]) < 25


def test_the_fans_meter_speaks_sdm120(farm: RunningFarm) -> None:
    words = farm.barn.read_input_registers(0, count=80, device_id=3).registers
    assert float_at(words, 0x00) == pytest.approx(202)
    assert float_at(words, 0x06) == pytest.approx(2.1, abs=0.1)
    assert float_at(words, 0x0C) == pytest.approx(202 * 2.1 * 0.86, rel=0.05)
    assert float_at(words, 0x46) == 50


def test_the_tank_rooms_probes_speak_r4dcb08(farm: RunningFarm) -> None:
    words = farm.tank_room.read_holding_registers(0, count=8, device_id=1).registers
    assert 3 < tenths(words[0]) < 4.6
    assert 6 < tenths(words[1]) < 25
    assert words[2:] == [0x8000] * 6


def test_behind_the_converter_each_unit_answers_for_itself(farm: RunningFarm) -> None:
    words = farm.tank_room.read_input_registers(0, count=2, device_id=2).registers
    assert float_at(words, 0) == pytest.approx(202)
    assert farm.tank_room.read_input_registers(0, count=2, device_id=9).exception_code == 11
    assert farm.tank_room.read_input_registers(0, count=2, device_id=1).exception_code == 1
    assert farm.tank_room.write_register(0, 1, device_id=1).exception_code == 1


def test_an_unknown_unit_on_the_cable_is_silent(farm: RunningFarm) -> None:
    assert not farm.answers(9)
    assert farm.answers(1)


def test_an_unplugged_sensor_is_silent_and_its_neighbours_are_not(farm: RunningFarm) -> None:
    faults.switch(farm.faults, "sensor-unplugged", True)
    wait_until(lambda: not farm.answers(1))
    assert farm.answers(3)
    faults.switch(farm.faults, "sensor-unplugged", False)
    wait_until(lambda: farm.answers(1))


def test_on_a_cut_cable_nobody_answers(farm: RunningFarm) -> None:
    faults.switch(farm.faults, "bus-cut", True)
    wait_until(lambda: not any(farm.answers(unit) for unit in (1, 2, 3)), 8)
    faults.switch(farm.faults, "bus-cut", False)
    wait_until(lambda: all(farm.answers(unit) for unit in (1, 2, 3)), 8)


def test_an_unplugged_probe_shows_the_raw_value_of_no_probe(farm: RunningFarm) -> None:
    def milk() -> Any:
        return farm.tank_room.read_holding_registers(0, count=1, device_id=1).registers[0]

    faults.switch(farm.faults, "probe-broken", True)
    wait_until(lambda: milk() == 0x8000)
    faults.switch(farm.faults, "probe-broken", False)
    wait_until(lambda: milk() != 0x8000)


def test_a_value_set_by_hand_is_in_the_register_within_half_a_second(farm: RunningFarm) -> None:
    def ammonia() -> Any:
        return farm.barn.read_holding_registers(6, count=1, device_id=2).registers[0]

    faults.set_value(farm.faults, "nh3_ppm", 12.3)
    wait_until(lambda: ammonia() == 123, 0.5)
    faults.set_value(farm.faults, "nh3_ppm", None)
    wait_until(lambda: ammonia() < 100)


def test_the_mast_says_valid_nmea(farm: RunningFarm) -> None:
    with serial.Serial(str(farm.mast), 4800, timeout=3) as line:
        line.readline()  # perhaps the rest of one
        said = [line.readline() for _ in range(8)]
    for text in said:
        assert text.endswith(b"\r\n")
        body, _, checksum = text.strip().decode().removeprefix("$").partition("*")
        assert int(checksum, 16) == reduce(lambda a, b: a ^ b, body.encode(), 0)
    assert {text[1:6] for text in said} == {b"WIMWV", b"WIMTA", b"WIMHU", b"WIMMB"}
