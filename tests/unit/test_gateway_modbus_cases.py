"""Every Modbus profile that comes with Makiba is read against frames: `tests/cases/modbus/<profile>/<case>.yaml`.

A case says what stands in the registers (or the PDUs of request and reply), which requests have to be made, and what
each value comes out as: `readings` in the catalogue's unit (or a text with a unit), `states` for what has no value.
Every value of the device stands in one of the two. `device` is what the gateway file says beside the name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from gateway.decode import Text, Words
from gateway.driver import Device, Point
from gateway.drivers import drivers
from gateway.interpret import interpreter
from gateway.places import FUNCTION_CODES
from gateway.plan import Read
from gateway.site import load_gateway
from makiba.located_yaml import load_located
from makiba.settings import configs_dir
from makiba.units import convert

CASES = Path(__file__).resolve().parents[1] / "cases" / "modbus"
FILES = sorted(CASES.glob("*/*.yaml"))


class Frame(BaseModel):
    model_config = ConfigDict(extra="forbid")
    request: str
    reply: str


class Case(BaseModel):
    model_config = ConfigDict(extra="forbid")
    device: dict[str, Any] = {}
    registers: dict[str, dict[int, list[int]]] = {}
    requests: list[str] = []
    frames: list[Frame] = []
    readings: dict[str, float | str] = {}
    states: dict[str, str] = {}


def device_of(profile: str, options: Mapping[str, Any], folder: Path) -> Device:
    """The device of a gateway file that has one, as `makiba gateway run` would see it."""
    file = folder / "gateway.yaml"
    device = {"name": "it", "profile": profile, "unit_id": 1, "every": "1s", **options}
    file.write_text(
        "gateway: gw-1\nsite: shikaoi-001\nmqtt: {port: 8883}\nbuses:\n"
        f"  b:\n    rtu: {{port: /dev/ttyS0}}\n    devices: [{json.dumps(device)}]\n",
        encoding="utf-8",
    )
    return load_gateway(file, drivers()).buses[0].devices[0]


def request_pdu(read: Read) -> bytes:
    return bytes([FUNCTION_CODES[read.table], *read.address.to_bytes(2, "big"), *read.count.to_bytes(2, "big")])


def words_of(reply: bytes, read: Read) -> Words:
    assert reply[0] == FUNCTION_CODES[read.table]
    assert reply[1] == len(reply) - 2 == 2 * read.count
    return [int.from_bytes(reply[at : at + 2], "big") for at in range(2, len(reply), 2)]


def from_registers(case: Case, read: Read) -> Words:
    memory = {
        address + offset: word
        for address, words in case.registers[read.table].items()
        for offset, word in enumerate(words)
    }
    return [memory[address] for address in range(read.address, read.address + read.count)]


def key(point: Point) -> str:
    _, _, channel = point.series.subject.partition(".")
    return f"{channel}/{point.quantity.name}" if channel else point.quantity.name


def same(point: Point, found: object, expected: float | str) -> bool:
    if isinstance(found, Text):
        return found.text == expected
    if not isinstance(found, (int, float)):
        return False
    if isinstance(expected, str):
        number, _, unit = expected.partition(" ")
        converted = convert(float(number), unit, point.quantity.unit)
        assert converted is not None, f"{expected} is no {point.quantity.name}"
        expected = converted
    return found == pytest.approx(expected, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("file", FILES, ids=lambda f: f"{f.parent.name}/{f.stem}")
def test_a_profile_makes_of_its_frames_what_its_manual_says(file: Path, tmp_path: Path) -> None:
    case = Case.model_validate(load_located(file).data)
    device = device_of(file.parent.name, case.device, tmp_path)
    ready = interpreter(device)
    requests = [request_pdu(read) for read in ready.reads]
    frames = {bytes.fromhex(f.request): bytes.fromhex(f.reply) for f in case.frames}
    assert [r.hex() for r in requests] == [bytes.fromhex(r).hex() for r in case.requests or (f.hex() for f in frames)]
    replies = [
        words_of(frames[request], read) if frames else from_registers(case, read)
        for request, read in zip(requests, ready.reads, strict=True)
    ]
    found = {key(p): (p, f) for p, f in zip(device.points, ready.found(replies), strict=True)}
    assert {name: f for name, (_, f) in found.items() if isinstance(f, str)} == case.states
    values = {name: f for name, (_, f) in found.items() if not isinstance(f, str)}
    assert values.keys() == case.readings.keys()
    wrong = {name: f for name, f in values.items() if not same(found[name][0], f, case.readings[name])}
    assert not wrong


def test_every_modbus_profile_that_comes_with_makiba_has_a_case() -> None:
    shipped = {
        file.stem
        for file in (configs_dir() / "devices").glob("*.yaml")
        if load_located(file).value(("driver",)) == "modbus"
    }
    assert len(shipped) >= 25
    assert {file.parent.name for file in FILES} == shipped
