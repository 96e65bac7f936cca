"""SDI-12 sensors are found, named by their identity and written into a file that is accepted."""

from __future__ import annotations

import asyncio
import dataclasses
import io
from pathlib import Path

import pytest

from gateway.drivers import drivers
from gateway.site import load_gateway
from gateway.tools.language import Say
from gateway.tools.scan import Plan
from gateway.tools.scan_report import scan as run
from gateway.tools.sdi12_scan import ADDRESSES
from tests.service.sdi12_parts import Sensor, SensorBus

KNOWN = """\
driver: sdi12
names: {ja: 土壌センサー, en: soil probe}
source: {trust: proposed, document: made for this test}
identified_by: [{vendor: makiba, model: soil}]
measurements: [{values: [{value: 1, quantity: soil_moisture, unit: "%"}]}]
"""


def scan(tmp_path: Path, far: SensorBus, profiles: Path | None = None, **plan: object) -> str:
    """What the command says; the file is in `tmp_path`."""
    out = io.StringIO()

    async def go() -> bool:
        async with far:
            how = dataclasses.replace(Plan(sdi12_first_s=0.05, budget_s=30), **plan)  # type: ignore[arg-type]
            return await asyncio.to_thread(
                run, port=far.path, tcp=None, plan=how, profiles=profiles, output=tmp_path / "gateway.yaml",
                gateway="gw-1", site="site-1", every="30s", say=Say("en"), out=out,
            )  # fmt: skip

    assert asyncio.run(go()), out.getvalue()
    return out.getvalue()


def with_profile(tmp_path: Path) -> Path:
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "our-probe.yaml").write_text(KNOWN, encoding="utf-8")
    return folder


@pytest.mark.parametrize("echo", [False, True], ids=["plain", "adapter that echoes"])
def test_sensors_are_found_at_any_address_and_the_file_is_accepted(tmp_path: Path, echo: bool) -> None:
    far = SensorBus(Sensor("0", ["+20"]), Sensor("7", ["+21"]), Sensor("q", ["+22"]), Sensor("Z", ["+23"]), echo=echo)
    how = {"sdi12_addresses": "0567qrZ", "sdi12": "only"} if echo else {"settings": (), "sdi12_addresses": ADDRESSES}
    said = scan(tmp_path, far, with_profile(tmp_path), **how)
    assert "4 instruments found" in said
    gateway = load_gateway(tmp_path / "gateway.yaml", drivers())
    (bus,) = gateway.buses
    assert [d.options.address for d in bus.devices] == ["0", "7", "q", "Z"]
    assert {d.profile_name for d in bus.devices} == {"our-probe"}
    assert bus.options.echo == echo
    # Nobody was asked anything but who is there: no measurement was begun, no address changed.
    assert {command for s in far.sensors.values() for command in s.asked} <= {"", "I"}
    assert not far.broken_rules


def test_a_sensor_that_no_profile_names_is_told_and_left_to_a_person(tmp_path: Path) -> None:
    said = scan(tmp_path, SensorBus(Sensor("3", ["+20"])), sdi12="only", sdi12_addresses="0123")
    assert "MAKIBA SOIL 100 1234" in said
    assert "no profile names it" in said
    text = (tmp_path / "gateway.yaml").read_text(encoding="utf-8")
    assert '# - {name: sensor-3, profile: …, address: "3", every: 30s}' in text


def test_an_answer_that_cannot_be_read_is_no_sensor_with_a_wrong_name(tmp_path: Path) -> None:
    """Two sensors of one address: their answers lie over one another."""
    far = SensorBus(Sensor("0", ["+20"], spoil=lambda reply: reply[:1] + b"\x13\x11MA" + reply[5:]))
    said = scan(tmp_path, far, with_profile(tmp_path), sdi12="only", sdi12_addresses="01")
    assert "its answer cannot be read" in said
    assert "our-probe-0" not in (tmp_path / "gateway.yaml").read_text(encoding="utf-8")
