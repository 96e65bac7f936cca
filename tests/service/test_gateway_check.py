"""`makiba gateway check` and `schema`, as a technician calls them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

from jsonschema import Draft202012Validator

from gateway.tools.columns import width
from makiba.settings import configs_dir
from tests.parts import ROOT
from tests.service.test_gateway_cli import call
from tests.unit.test_gateway_profile import TEN

GATEWAY = """\
gateway: gw-1
site: shikaoi-001
mqtt: {port: 8883}
buses:
  field:
    rtu: {port: /dev/ttyS0}
    devices:
      - {name: soil-1, profile: iot-s300smt, unit_id: 1, every: 1min}
      - {name: soil-2, profile: iot-s300smt, unit_id: 2, every: 1min}
      - {name: rain, profile: jxct-rain, unit_id: 3, every: 1min}
"""


def test_every_error_of_a_profile_is_shown_in_one_pass(tmp_path: Path) -> None:
    file = tmp_path / "meter.yaml"
    file.write_text(TEN, encoding="utf-8")
    done = call("check", str(file))
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len(lines) == 13
    assert all(line.startswith(f"{file}:") for line in lines)


def test_a_profile_with_a_misspelt_driver_is_still_a_profile(tmp_path: Path) -> None:
    file = tmp_path / "meter.yaml"
    file.write_text(TEN.replace("driver: modbus", "drvier: modbus"), encoding="utf-8")
    done = call("check", str(file))
    assert done.returncode == 2
    assert "driver: is missing" in done.stderr
    assert "'ppm' is no unit of voltage" in done.stderr


def test_a_profile_that_is_right_is_explained_and_an_unverified_one_warned_about() -> None:
    devices = configs_dir() / "devices"
    done = call("check", str(devices / "tuf-2000m.yaml"))
    assert done.returncode == 0
    assert "water_flow: holding 0 (0x0000) float32 x 1 m3/h, while transducers is good" in done.stdout
    assert "warning" not in done.stdout
    done = call("check", str(devices / "iot-s300smt.yaml"))
    assert done.returncode == 0
    assert "iot-s300smt.yaml:7:3: warning: iot-s300smt has a map that is unverified" in done.stdout
    assert "注意" not in done.stdout
    assert "The scales are those of similar probes" in done.stdout


def test_check_speaks_japanese_too(tmp_path: Path) -> None:
    done = call("check", str(configs_dir() / "devices" / "iot-s300smt.yaml"), "--lang", "ja")
    assert "注意: iot-s300smt の 値の 表は 未確認です" in done.stdout
    assert "warning" not in done.stdout
    file = tmp_path / "gateway.yaml"
    file.write_text(GATEWAY, encoding="utf-8")
    done = call("check", str(file), "--lang", "ja")
    assert "shikaoi-001 の ゲートウェイ gw-1" in done.stdout
    assert "バス field (rtu): 3 台" in done.stdout
    assert "soil-1: 60 秒ごとに 要求 1 回" in done.stdout


def test_on_a_phone_lines_are_wrapped_between_words_and_elsewhere_left_as_they_are() -> None:
    command = [sys.executable, "-m", "makiba", "gateway", "check", str(configs_dir() / "devices" / "tuf-2000m.yaml")]
    master, slave = os.openpty()
    with open(master, "rb", closefd=False) as screen:
        env = {**os.environ, "COLUMNS": "50", "LANG": "ja_JP.UTF-8", "LC_ALL": "", "LC_MESSAGES": ""}
        subprocess.run(command, stdout=slave, cwd=ROOT, env=env, timeout=30, check=True)
        os.close(slave)
        shown = b""
        with contextlib.suppress(OSError):  # the far end is closed
            while part := screen.read1(65536):
                shown += part
    os.close(master)
    lines = shown.decode().splitlines()
    long = [line for line in lines if width(line) > 50 and len(line.split()) > 1]
    assert not long
    assert any("プロファイル tuf-2000m" in line for line in lines)
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=30, check=True)
    assert len(done.stdout.splitlines()) < len(lines)


def test_a_gateway_file_warns_once_for_each_profile_that_nobody_verified(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(GATEWAY, encoding="utf-8")
    done = call("check", str(file))
    assert done.returncode == 0
    (warning,) = [line for line in done.stdout.splitlines() if "warning:" in line]
    assert warning.startswith(f"{file}:8:24: warning: iot-s300smt has a map that is unverified; do not rely on")


def test_the_profile_of_the_handbook_is_right(tmp_path: Path) -> None:
    """And read as the manual in front of it says."""
    text = (ROOT / "docs" / "profiles.md").read_text(encoding="utf-8")
    (block,) = [b for b in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "driver: modbus" in b]
    (tmp_path / "wt-9.yaml").write_text(block, encoding="utf-8")
    done = call("check", str(tmp_path / "wt-9.yaml"))
    assert done.returncode == 0, done.stderr
    assert "water_temperature: holding 100 (0x0064) int16 x 0.01 Cel" in done.stdout
    assert "water_flow: holding 101 (0x0065) float32 x 1 L/min, while meter is good" in done.stdout
    assert "2 requests, 6 registers" in done.stdout


def test_the_slips_of_a_first_profile_are_told_with_the_way_out(tmp_path: Path) -> None:
    text = (
        "driver: modbus\nnames: {ja: あ, en: a}\nsource: {trust: verified, document: p. 12}\n"
        "serial: {parity: E}\n"
        "status:\n  - {name: state, address: 9, type: uint16, bits: {0: sensor fault}}\n"
        "registers:\n  - {quantity: water_temperature, address: 0, unit: degC}\n"
        "  - {quantity: ph, address: 1}\n"
    )
    (tmp_path / "first.yaml").write_text(text, encoding="utf-8")
    said = call("check", str(tmp_path / "first.yaml")).stderr
    assert "4:10: serial.parity: 'E' is unknown; expected 'none', 'even' or 'odd'" in said
    assert "status[0].bits[0]: 'sensor fault' is not accepted" in said
    assert "registers[0].unit: unit 'degC' is not known; did you mean 'Cel'?" in said
    assert "registers[1].quantity: quantity 'ph' is not in the catalogue; makiba gateway schema profile" in said


def test_the_schemas_are_printed_for_editors() -> None:
    for kind in ("profile", "gateway"):
        done = call("schema", kind)
        assert done.returncode == 0
        Draft202012Validator.check_schema(json.loads(done.stdout))
    done = call("schema", "profil")
    assert done.returncode == 2
    assert "did you mean 'profile'?" in done.stderr
