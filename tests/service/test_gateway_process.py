"""The gateway's own process: the one that was started, holding only what it needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.process import LATER
from tests.parts import makiba, wait_until

FILE = """\
gateway: gw-a
site: shikaoi-002
profiles: .
mqtt: {{host: 127.0.0.1, port: 9}}
spool: {{path: spool.db}}
buses:
  barn:
    {bus}
"""
PROFILE = """\
driver: modbus
names: {ja: 計器, en: Meter}
source: {trust: proposed, document: ours}
registers: [{quantity: voltage, table: holding, address: 0, type: uint16}]
"""


def python(code: str) -> str:
    """What a fresh Python prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_process_that_was_started_runs_and_has_let_go_of_its_command_line(tmp_path: Path) -> None:
    (tmp_path / "meter.yaml").write_text(PROFILE, encoding="utf-8")
    file = tmp_path / "gateway.yaml"
    bus = "tcp: {host: 127.0.0.1, port: 9}\n    devices: [{name: meter-1, profile: meter, unit_id: 1, every: 1s}]"
    file.write_text(FILE.format(bus=bus), encoding="utf-8")
    with makiba("gateway", "run", "-c", str(file), log=tmp_path / "log") as gateway:
        wait_until(lambda: "line is down" in gateway.log(), 20, gateway.log)
        proc = Path(f"/proc/{gateway.pid}")
        assert b"-m\0gateway\0run\0" in (proc / "cmdline").read_bytes()
        assert "cbor2" not in (proc / "maps").read_text()
        peak_kb = next(int(r.split()[1]) for r in (proc / "status").read_text().splitlines() if r.startswith("VmHWM"))
        assert peak_kb < 48 * 1024, "see what is imported: python -X importtime -m gateway run FILE"
        assert gateway.terminate(20) == 0


@pytest.mark.parametrize(
    ("use", "says"),
    [
        ("import urllib.request; print(urllib.request.Request('http://a.b/').host)", "a.b"),
        ("from urllib.request import Request; print(Request('http://a.b/').host)", "a.b"),
        ("import cbor2; print(cbor2.loads(cbor2.dumps([1])))", "[1]"),
        ("from importlib.metadata import entry_points as e; print(len(e(group='makiba.commands')) > 3)", "True"),
        ("import importlib.metadata as m; m.entry_points(); print(m.version('makiba') > '')", "True"),
        ("from makiba.words import nearest; print(nearest('tpc', ['tcp', 'rtu']))", "; did you mean 'tcp'?"),
    ],
)
def test_what_is_not_loaded_works_when_it_is_used_after_all(use: str, says: str) -> None:
    later = "from gateway.process import LATER, _load_when_used as later\nfor n, f in LATER.items(): later(n, f)\n"
    assert python(later + use) == says


def test_nothing_is_loaded_by_being_imported() -> None:
    code = (
        "import sys; from gateway.process import LATER, _load_when_used as later\n"
        "for n, f in LATER.items(): later(n, f)\n"
        "import urllib.request, cbor2, importlib.metadata; from importlib.metadata import entry_points\n"
        "print([n for n in LATER if getattr(sys.modules[n], '__file__', None)])"
    )
    assert python(code) == "[]"
    assert len(LATER) == 4


@pytest.mark.parametrize(("kind", "most"), [("rtu", 1), ("nmea", 1), ("weighing", 3)])  # a scale and a reader
def test_a_gateway_imports_the_driver_that_it_needs_and_no_other(kind: str, most: int) -> None:
    code = (
        "import sys; from gateway.drivers import drivers_named\n"
        f"found = drivers_named(['{kind}'])\n"
        "print(len([m for m in sys.modules if m.startswith('gateway.drivers.') and '._' not in m]), *sorted(found))"
    )
    modules, *found = python(code).split()
    assert kind in found
    assert int(modules) == most


def test_a_kind_that_nobody_has_costs_looking_at_all() -> None:
    code = "from gateway.drivers import drivers, drivers_named; print(drivers_named(['rtv']) == drivers())"
    assert python(code) == "True"
