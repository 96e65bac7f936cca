"""`read` and `spool` explain, in both languages; every command's help reads without the source."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.tools.frames import explain_frames
from gateway.tools.language import Say
from tests.parts import ROOT, Broker, free_port, makiba, wait_until
from tests.service.gateway_parts import Cable, gateway_file, rtu_farm

BUSES = """\
  barn:
    rtu: {{port: {port}}}
    devices:
      - {{name: climate, profile: xy-md02, unit_id: 1, every: 200ms}}
      - {{name: pipes, profile: r4dcb08, unit_id: 3, every: 1s, channels: {{ch1: temperature, ch2: temperature}}}}
"""


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "makiba", "gateway", *arguments],
        capture_output=True, text=True, cwd=ROOT, timeout=60, check=False,
    )  # fmt: skip


def test_read_explains_every_byte_and_what_is_wrong(tmp_path: Path) -> None:
    cable = Cable()
    with Broker(tmp_path / "broker") as broker, rtu_farm(cable) as farm:
        file = str(gateway_file(tmp_path, broker.options("gw-test"), BUSES.format(port=cable.near_end)))
        said = call("read", "-c", file, "climate", "--lang", "en").stdout
        for line in (
            "    04           read input registers",
            "    00 01        from address 1",
            "    ff 33        1 (0x0001) = 65331",
            "CRC, right",
            "    raw -205 × 0.1 = -20.5 Cel",
        ):
            assert line in said, said
        said = call("read", "-c", file, "pipes", "--lang", "ja").stdout
        assert "-32768 は「値なし」の 印" in said
        assert "センサーが 外れています" in said
        farm.get_slave(1).set_values("input", 1, [900, 500])
        done = call("read", "-c", file, "climate", "--lang", "en")
        assert done.returncode == 1
        assert "its raw values are -400 … 800" in done.stdout
        assert "can be -60.0 ℃ … 70.0 ℃" in done.stdout
        assert "→ cannot be true" in done.stdout
        assert max(len(line) for line in said.splitlines() if "[" not in line) <= 64
    cable.close()


def test_spool_says_why_readings_wait_and_for_how_long_there_is_room(tmp_path: Path) -> None:
    cable = Cable()
    with Broker(tmp_path / "broker") as broker, rtu_farm(cable):
        options = broker.options("gw-test")
        file = gateway_file(
            tmp_path, options, BUSES.format(port=cable.near_end), spool="path: spool.db, force_every: 1s"
        )
        file.write_text(file.read_text().replace(f"port: {options.port}", f"port: {free_port()}"))
        with makiba("gateway", "run", "-c", str(file), log=tmp_path / "log") as gateway:
            wait_until(
                lambda: "MB of room" in call("spool", "-c", str(file), "--lang", "en").stdout, 20, gateway.log, 0.2
            )
        assert "空き" in call("spool", "-c", str(file), "--lang", "ja").stdout
    cable.close()


def test_an_exception_says_its_reason() -> None:
    lines, found = explain_frames(("> 01 03 00 00 00 01 84 0a", "< 01 83 02 c0 f1"), is_tcp=False, say=Say("en"))
    assert not found
    assert any("exception 2: has no such address" in line for line in lines)
    assert sum("CRC, right" in line for line in lines) == 2


def test_noise_is_no_reply() -> None:
    lines, found = explain_frames(("> 01 03 00 00 00 01 84 0a", "< 01 03 02 00"), is_tcp=False, say=Say("ja"))
    assert not found
    assert "答えでは ありません" in lines[-1]


@pytest.mark.parametrize(
    "command", ["run", "check", "schema", "scan", "read", "doctor", "spool", "silence", "let-go"]
)
def test_every_command_helps(command: str) -> None:
    done = call(command, "--help")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) > 5
    said = done.stdout.replace("\n", " ")
    assert "FILE" in said or command in ("schema",)
