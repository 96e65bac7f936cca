"""A siren on a pin of the Pi: the real gpiozero with its mock pins, and no gpiozero at all."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from gpiozero import Device
from gpiozero.pins.mock import MockFactory

from gateway.alarm import OutputMissing, Safety, let_go
from gateway.clock import Clock
from gateway.drivers import drivers
from gateway.record import Recorder
from gateway.site import Gateway, load_gateway
from makiba.reading import Reading, Series
from tests.parts import ROOT, free_port, makiba, wait_until

FILE = """\
gateway: gw-1
site: shikaoi-001
mqtt: {{port: {broker}}}
spool: {{path: spool.db, hot: "off"}}
buses:
  barn:
    rtu: {{port: /dev/ttyNOPE}}
    devices: [{{name: pit, profile: jxct-h2s, unit_id: 1, every: 10s}}]
outputs:
  siren: {{gpio: 17, active: {active}, fail_safe: {wiring}, refresh: 1s}}
safety: {{gas.h2s2: [siren]}}
"""
PIT = Series("shikaoi-001", "pit", "hydrogen_sulfide")
AT_MS = 1_700_000_000_000


@pytest.fixture
def pins() -> Iterator[MockFactory]:
    before, Device.pin_factory = Device.pin_factory, MockFactory()
    yield Device.pin_factory
    Device.pin_factory.reset()
    Device.pin_factory = before


def gateway_with(folder: Path, active: str, wiring: str) -> Gateway:
    file = folder / "gateway.yaml"
    file.write_text(FILE.format(broker=free_port(), active=active, wiring=wiring), encoding="utf-8")
    return load_gateway(file, drivers())


@pytest.mark.parametrize("active", ["high", "low"])
@pytest.mark.parametrize("wiring", ["energised-when-ok", "energised-on-alarm"])
def test_a_pin_is_let_go_held_and_let_go_as_its_wiring_says(
    tmp_path: Path, pins: MockFactory, active: str, wiring: str
) -> None:
    """From the start, through clean air, gas, and the stop; `held` is what the relay does, whatever level that is."""
    gateway = gateway_with(tmp_path, active, wiring)
    when_ok = wiring == "energised-when-ok"

    def held() -> bool:
        return bool(pins.pin(17).state) == (active == "high")

    async def story() -> None:
        safety = Safety(gateway, Recorder("shikaoi-001", Clock(), lambda _: None))
        assert pins.pin(17).function == "output"
        assert not held(), "from the first moment on"
        running = asyncio.create_task(safety.run())
        await asyncio.sleep(0)

        async def until(wanted: bool) -> None:
            for _ in range(600):
                if held() == wanted:
                    return
                await asyncio.sleep(0.005)
            raise AssertionError(f"the relay is {held()}")

        safety.see([Reading(PIT, AT_MS, 1e-6)])
        await until(when_ok)
        safety.see([Reading(PIT, AT_MS, 12e-6)])
        await until(not when_ok)
        # It stays so while nobody resets it, and the stop only ever lets go of what is held while all is well.
        safety.see([Reading(PIT, AT_MS, 0.0)])
        await asyncio.sleep(0.05)
        assert held() != when_ok
        await safety.stop()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert held() == (not when_ok)

    asyncio.run(story())


@pytest.mark.parametrize("active", ["high", "low"])
def test_what_is_held_in_clean_air_is_let_go_by_the_stop(tmp_path: Path, pins: MockFactory, active: str) -> None:
    gateway = gateway_with(tmp_path, active, "energised-when-ok")
    levels: list[bool] = []

    async def story() -> None:
        safety = Safety(gateway, Recorder("shikaoi-001", Clock(), lambda _: None))
        running = asyncio.create_task(safety.run())
        await asyncio.sleep(0)
        safety.see([Reading(PIT, AT_MS, 1e-6)])
        for _ in range(600):
            if pins.pin(17).state == (active == "high"):
                break
            await asyncio.sleep(0.005)
        levels.append(bool(pins.pin(17).state))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await safety.stop()
        levels.append(bool(pins.pin(17).state))

    asyncio.run(story())
    assert levels == [active == "high", active == "low"]


@pytest.mark.parametrize("active", ["high", "low"])
def test_after_a_crash_let_go_sets_the_level_that_lets_the_relay_fall(
    tmp_path: Path, pins: MockFactory, active: str
) -> None:
    """A kernel may keep the level that the dead process left."""
    gateway = gateway_with(tmp_path, active, "energised-when-ok")
    pin = pins.pin(17)
    pin.function, pin.state = "output", active == "high"
    assert asyncio.run(let_go(gateway)) == {"siren": "ok"}
    assert bool(pin.state) == (active == "low")


def test_a_pin_that_is_taken_is_told(tmp_path: Path, pins: MockFactory) -> None:
    gateway = gateway_with(tmp_path, "high", "energised-when-ok")
    recorder = Recorder("shikaoi-001", Clock(), lambda _: None)
    first = Safety(gateway, recorder)
    with pytest.raises(OutputMissing, match=r"outputs\.siren: pin 17 cannot be had"):
        Safety(gateway, recorder)
    del first


def test_the_gateway_runs_with_a_pin(tmp_path: Path) -> None:
    """The whole process, on mock pins: nothing measures the gas, so that the relay is let go."""
    gateway = gateway_with(tmp_path, "high", "energised-when-ok")
    with makiba(
        "gateway", "run", "-c", str(gateway.file), log=tmp_path / "log", env={"GPIOZERO_PIN_FACTORY": "mock"}
    ) as process:
        note = tmp_path / "safety.json"
        wait_until(lambda: note.exists() and json.loads(note.read_text())["state"] == "blind", 15, process.log)
        wait_until(lambda: json.loads(note.read_text())["outputs"]["siren"]["energised"] is False, 5, note.read_text)
        assert process.terminate() == 0


@pytest.mark.parametrize("command", [("check",), ("run", "-c")])
def test_without_the_library_check_and_run_say_so(tmp_path: Path, command: tuple[str, ...]) -> None:
    gateway = gateway_with(tmp_path, "high", "energised-when-ok")
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "gpiozero.py").write_text("raise ModuleNotFoundError('gpiozero', name='gpiozero')\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "makiba", "gateway", *command, str(gateway.file)],
        capture_output=True, text=True, cwd=ROOT, timeout=30, check=False,
        env={**os.environ, "PYTHONPATH": f"{hidden}{os.pathsep}{ROOT}"},
    )  # fmt: skip
    assert done.returncode == 2
    assert ("gateway.yaml:10:" if command == ("check",) else "outputs.siren: ") in done.stderr
    assert "apt install python3-gpiozero python3-lgpio" in done.stderr
    assert "Traceback" not in done.stderr


def test_two_outputs_on_one_pin_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    text = FILE.format(broker=1883, active="high", wiring="energised-when-ok")
    lamp = "  lamp: {gpio: 17, fail_safe: energised-on-alarm}\nsafety: {gas.h2s2: [siren, lamp]}\n"
    file.write_text(text.replace("safety: {gas.h2s2: [siren]}\n", lamp), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "makiba", "gateway", "check", str(file)],
        capture_output=True, text=True, cwd=ROOT, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "'siren' has this pin already" in done.stderr
