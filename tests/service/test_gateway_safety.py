"""A siren on the gateway itself: gas is measured, a coil is switched, and the broker has no part in it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import modbus_tk.defines as modbus
import pytest
import serial
from modbus_tk import modbus_rtu

from tests.parts import PATIENCE, ROOT, Process, free_port, makiba, wait_until
from tests.service.gateway_parts import Cable

FILE = """\
gateway: gw-1
site: shikaoi-001
mqtt: {{port: {broker}}}
spool: {{path: spool.db, hot: "off"}}
metrics: {{port: {metrics}}}
page: {{port: {page}}}
buses:
  barn:
    rtu: {{port: {port}, baud: 9600}}
    devices:
      - {{name: pit, profile: jxct-h2s, unit_id: 1, every: 500ms}}
outputs:
  siren: {{modbus: {{bus: barn, unit_id: 9, coil: 3}}, fail_safe: {wiring}, refresh: 1s}}
safety:
  gas.h2s2: [siren]
"""


@contextmanager
def barn(cable: Cable) -> Iterator[modbus_rtu.RtuServer]:
    """Unit 1: an H2S transmitter. Unit 9: a relay with eight coils."""
    server = modbus_rtu.RtuServer(serial.Serial(cable.far_end, 9600), error_on_missing_slave=False)
    server.add_slave(1).add_block("gas", modbus.HOLDING_REGISTERS, 0, 16)
    server.add_slave(9).add_block("coils", modbus.COILS, 0, 8)
    server.start()
    try:
        yield server
    finally:
        server.stop()


class Farm:
    def __init__(self, folder: Path, wiring: str) -> None:
        self.cable, self.folder = Cable(), folder
        self.metrics, self.page = free_port(), free_port()
        self.file = folder / "gateway.yaml"
        self.file.write_text(
            FILE.format(
                broker=free_port(), metrics=self.metrics, page=self.page, port=self.cable.near_end, wiring=wiring
            )
        )
        self.server: Any = None

    def gas(self, ppm: float) -> None:
        self.server.get_slave(1).set_values("gas", 6, [round(ppm * 10)])

    def coil(self) -> bool:
        return bool(self.server.get_slave(9).get_values("coils", 3, 1)[0])

    def note(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self.folder / "safety.json").read_text())
            return found
        except (OSError, ValueError):
            return {}

    def gateway(self, **env: str) -> Process:
        return makiba("gateway", "run", "-c", str(self.file), log=self.folder / "gateway.log", env=env)

    def writes(self) -> set[bytes]:
        """Every request that is no read: unit id, function code, address."""
        return {data[:4] for _, data in list(self.cable.requests) if data[1] not in (1, 2, 3, 4)}


@contextmanager
def farm(folder: Path, wiring: str) -> Iterator[Farm]:
    it = Farm(folder, wiring)
    try:
        with barn(it.cable) as it.server:
            yield it
    finally:
        it.cable.close()


def test_gas_sounds_the_siren_within_a_poll_while_the_broker_is_dead(tmp_path: Path) -> None:
    with farm(tmp_path, "energised-on-alarm") as it, it.gateway():
        it.gas(2.0)
        wait_until(lambda: it.note().get("state") == "ok", 10, lambda: str(it.note()))
        assert not it.coil()
        it.gas(10.0)
        began_s = time.monotonic()
        wait_until(it.coil, 3, "the coil", every_s=0.005)
        assert time.monotonic() - began_s <= (0.5 + 0.2) * PATIENCE
        wait_until(lambda: it.note().get("state") == "alarm-gas.h2s2", 3)
        # The gas is gone: by hand only, and not while the rule still holds for its half hour.
        it.gas(0.0)
        done = silence(it)
        assert done.returncode == 1
        assert "gas.h2s2" in done.stdout
        assert it.coil()
        # The one write there is: function 05, the declared unit and coil.
        assert it.writes() == {bytes((9, 5, 0, 3))}


def test_the_farm_s_own_number_sounds_the_siren_earlier(tmp_path: Path) -> None:
    with farm(tmp_path, "energised-on-alarm") as it:
        it.file.write_text(it.file.read_text() + "rules: {gas.h2s2: {limit: 5, pit.limit: 4}}\n")
        with it.gateway():
            it.gas(3.9)
            wait_until(lambda: it.note().get("state") == "ok", 10, lambda: str(it.note()))
            it.gas(4.1)
            wait_until(it.coil, 3, "the coil")
            wait_until(lambda: it.note().get("state") == "alarm-gas.h2s2", 3)


def silence(it: Farm) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "makiba", "gateway", "silence", "-c", str(it.file), "--lang", "en"],
        capture_output=True, text=True, cwd=ROOT, timeout=20, check=False,
    )  # fmt: skip


def test_what_is_held_while_all_is_well_falls_when_the_gateway_stops(tmp_path: Path) -> None:
    with farm(tmp_path, "energised-when-ok") as it:
        it.gas(1.0)
        with it.gateway() as process:
            wait_until(it.coil, 10, "held while all is well")
            it.gas(12.0)
            wait_until(lambda: not it.coil(), 3, "let go on alarm")
            wait_until(lambda: it.note().get("latched") == [["gas.h2s2", "pit"]], 3)
            process.kill()
        it.gas(1.0)
        with it.gateway() as process:
            # The alarm outlives a restart; a person resets it, and only then the relay is held again.
            wait_until(lambda: it.note().get("state") == "latched-gas.h2s2", 10, lambda: str(it.note()))
            assert not it.coil()
            assert silence(it).returncode == 0
            wait_until(it.coil, 3, "held again after the reset")
            assert process.terminate() == 0
        assert not it.coil()
        assert it.writes() == {bytes((9, 5, 0, 3))}


def test_a_relay_that_is_gone_is_a_state(tmp_path: Path) -> None:
    with farm(tmp_path, "energised-when-ok") as it, it.gateway():
        it.gas(1.0)
        wait_until(it.coil, 10)
        it.server.remove_slave(9)
        wait_until(lambda: it.note().get("state") == "output-fault", 10, lambda: str(it.note()))


def fetch(port: int, path: str, method: str = "GET") -> tuple[int, str, dict[str, str]]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=5) as reply:
            return reply.status, reply.read().decode(), dict(reply.headers)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), dict(error.headers)


def test_the_page_and_the_metrics_say_how_it_is(tmp_path: Path) -> None:
    heard: list[bytes] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd, farm(tmp_path, "energised-on-alarm") as it:
        systemd.bind(str(tmp_path / "notify"))
        threading.Thread(target=listen, args=(systemd, heard), daemon=True).start()
        with it.gateway(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="900000") as process:
            it.gas(3.5)
            wait_until(lambda: heard.count(b"WATCHDOG=1") >= 2 and b"READY=1" in heard, 10, lambda: str(heard))
            wait_until(lambda: "3.5 ppm" in fetch(it.page, "/")[1], 5)
            status, text, headers = fetch(it.page, "/?lang=en")
            assert status == 200
            assert "hydrogen sulfide <b>3.5 ppm</b>" in text
            assert "not connected" in text
            assert "<script" not in text
            assert "default-src 'none'" in headers["Content-Security-Policy"]
            assert fetch(it.page, "/etc/passwd")[0] == 404
            assert fetch(it.page, "/", "POST")[0] == 405
            status, text, _ = fetch(it.metrics, "/metrics")
            assert 'makiba_bus_polls_total{bus="barn"}' in text
            assert text.endswith("# EOF\n")
            process.terminate()
            wait_until(lambda: b"STOPPING=1" in heard, 3)


def listen(systemd: socket.socket, heard: list[bytes]) -> None:
    while True:
        try:
            heard.append(systemd.recv(256))
        except OSError:
            return


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("bus: barn", "bus: bran", "no bus 'bran'; did you mean 'barn'?"),
        ("gas.h2s2: [siren]", "gas.o2: [siren]", "no device of this file measures oxygen"),
        ("gas.h2s2: [siren]", "tank.hold: [siren]", "'tank.hold' is no life-safety rule"),
        ("gas.h2s2: [siren]", "gas.h2s2: [sirene]", "no output 'sirene'; did you mean 'siren'?"),
        ("{bus: barn, unit_id: 9, coil: 3}", "{bus: barn, unit_id: 9, coil: 3}, gpio: 4", "exactly one of"),
        (
            "  gas.h2s2: [siren]",
            "  gas.h2s2: [siren]\nrules: {gas.h2s2: {limit: 12}}",
            ":16:9: rules.gas.h2s2: gas.h2s2.limit: 12",
        ),
        ("  gas.h2s2: [siren]", "  gas.h2s2: [siren]\nrules: {gas.h2s2: {lmiit: 5}}", "did you mean 'limit'?"),
        (
            "  gas.h2s2: [siren]",
            "  gas.h2s2: [siren]\nrules: {tank.hold: {limit: 5}}",
            "so that the centre judges it",
        ),
        (
            "  gas.h2s2: [siren]",
            "  gas.h2s2: [siren]\nrules: {gas.h2s2: {pti.limit: 5}}",
            "'pti' of this file is watched",
        ),
    ],
)
def test_a_wrong_safety_section_starts_nothing(tmp_path: Path, before: str, after: str, said: str) -> None:
    text = FILE.format(broker=1, metrics=2, page=3, port="/dev/x", wiring="energised-on-alarm")
    assert before in text
    (tmp_path / "gateway.yaml").write_text(text.replace(before, after))
    done = subprocess.run(
        [sys.executable, "-m", "makiba", "gateway", "check", str(tmp_path / "gateway.yaml")],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert said in done.stderr
