"""Finding what is on a bus, and a gateway file for it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.drivers import drivers
from gateway.site import load_gateway
from gateway.tools.gateway_file import stable_name
from gateway.tools.probe import SerialProbe, Setting
from gateway.tools.scan import Plan, Sweep
from gateway.tools.scan_report import signatures
from gateway.tools.verdict import verdict
from tests.emulated import Emulated, good_cases
from tests.parts import ROOT, Process, wait_until
from tests.service.scan_parts import Bus
from tests.unit.test_gateway_modbus_cases import Case

FIVE = {
    1: ("xy-md02", {"input": [(1, [0xFF33, 875])]}),
    3: ("r4dcb08", {"holding": [(0, [38, 0x8000, 0x8000, 0x8000, 0x8000, 0x8000, 0x8000, 0x8000])]}),
    7: ("sdm120", {}),
    254: ("senseair-s8", {"input": [(0, [0, 0, 0, 812])]}),
    21: ("pzem-016", {"input": [(0, [2305, 1200, 0, 2701, 0, 1234, 0, 500, 98, 0])]}),
}


def float32(value: float) -> list[int]:
    import struct

    return list(struct.unpack(">HH", struct.pack(">f", value)))


@pytest.fixture
def bus() -> Iterator[Bus]:
    it = Bus()
    for unit_id, (name, registers) in FIVE.items():
        if name == "sdm120":
            space = [0] * 400
            for address, value in ((0, 231.5), (6, 4.25), (12, 950.0), (18, 983.0), (24, 120.0), (30, 0.97),
                                   (70, 50.02), (72, 1234.5), (74, 0.5), (342, 1235.0)):  # fmt: skip
                space[address : address + 2] = float32(value)
            registers = {"input": [(0, space)]}
        it.add(unit_id, 4800, registers)
    with it:
        yield it


def scan(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "makiba", "gateway", "scan", *arguments]


@pytest.mark.long
@pytest.mark.timeout(240)
def test_five_instruments_on_one_bus_make_a_file_that_is_accepted(bus: Bus, tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    done = subprocess.run(
        scan("--port", bus.port, "-o", str(file), "--lang", "en", "--seconds", "200"),
        capture_output=True, text=True, cwd=ROOT, timeout=220, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # Nothing but the four reading functions went over the wire.
    assert {data[1] for _, data in bus.asked} <= {1, 2, 3, 4}
    gateway = load_gateway(file, drivers())
    (found,) = gateway.buses
    assert found.options.baud == 4800
    by_unit = {d.options.unit_id: d.profile_name for d in found.devices}
    assert by_unit == {unit_id: name for unit_id, (name, _) in FIVE.items()}, done.stdout


@pytest.mark.long
@pytest.mark.timeout(240)
def test_every_profile_emulated_by_another_stack_is_named_or_left_to_choose(tmp_path: Path) -> None:
    """36 instruments on one wire, modbus-tk behind it: none is named wrongly, and no write ever goes out."""
    known = {s.name: s for s in signatures(None)}
    first: dict[str, Case] = {}
    for name, _, case in good_cases(list(known)):
        first.setdefault(name, case)
    at = dict(enumerate(first, 40))
    wire = Bus()
    for unit_id, name in at.items():
        words = Emulated(known[name], first[name], "strict", unit_id).words
        blocks: dict[str, list[tuple[int, list[int]]]] = {}
        for (table, address), word in sorted(words.items()):
            run = blocks.setdefault(table, [])
            if run and run[-1][0] + len(run[-1][1]) == address:
                run[-1][1].append(word)
            else:
                run.append((address, [word]))
        wire.add(unit_id, 19200, blocks)
    plan = Plan((Setting(19200),), 200, unit_ids=tuple(at), sdi12="no", again_s=0.05)
    with wire:
        probe = SerialProbe(wire.port)
        outcome = Sweep(probe, list(known.values()), plan, lambda *_: None, lambda _: None).run()
        probe.close()
    assert {data[1] for _, data in wire.asked} <= {1, 2, 3, 4}
    assert {f.unit_id for f in outcome.found} == set(at)
    said = {at[f.unit_id]: verdict(f.fits) for f in outcome.found}
    assert all(v is not None and name in [f.signature.name for f in v.named] for name, v in said.items()), said
    alone = [name for name, v in said.items() if v is not None and v.how != "group"]
    assert len(alone) >= 30, alone


def test_stopping_keeps_what_was_found(bus: Bus, tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    command = scan("--port", bus.port, "-o", str(file), "--baud", "4800", "--full", "--lang", "ja")
    with Process(command, log=tmp_path / "log") as process:
        wait_until(lambda: "xy-md02" in process.log() or "kicer" in process.log(), 40, process.log)
        import os

        os.kill(process.pid, signal.SIGINT)
        assert process.wait(10) == 0, process.log()
    assert "止めました" in process.log()
    assert load_gateway(file, drivers()).buses[0].devices


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Give either --port or --tcp"),
        (("--port", "/dev/ttyNOPE"), "no such port"),
        (("--tcp", "127.0.0.1:1"), "check its power"),
        (("--port", "/dev/ttyNOPE", "--lang", "fr"), "expected ja or en"),
    ],
)
def test_what_is_wrong_is_said_with_the_way_out(arguments: tuple[str, ...], said: str) -> None:
    given = (*arguments, "--lang", "en") if "--lang" not in arguments else arguments
    done = subprocess.run(scan(*given), capture_output=True, text=True, cwd=ROOT, timeout=30, check=False)
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_is_named_by_where_it_is_plugged_in(tmp_path: Path) -> None:
    (tmp_path / "ttyUSB0").touch()
    (tmp_path / "serial/by-path").mkdir(parents=True)
    (tmp_path / "serial/by-path/pci-0:1").symlink_to(tmp_path / "ttyUSB0")
    assert stable_name(str(tmp_path / "ttyUSB0"), tmp_path).endswith("serial/by-path/pci-0:1")
    assert stable_name("/dev/null", tmp_path) == "/dev/null"
