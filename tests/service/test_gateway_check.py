"""`makiba gateway check` and `schema`, as a technician calls them."""

from __future__ import annotations

import json
from pathlib import Path

from jsonschema import Draft202012Validator

from makiba.settings import configs_dir
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
    assert "注意" in done.stdout
    assert "The scales are those of similar probes" in done.stdout


def test_a_gateway_file_warns_once_for_each_profile_that_nobody_verified(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(GATEWAY, encoding="utf-8")
    done = call("check", str(file))
    assert done.returncode == 0
    (warning,) = [line for line in done.stdout.splitlines() if "warning:" in line]
    assert warning.startswith(f"{file}:8:24: warning: iot-s300smt has a map that is unverified; do not rely on")


def test_the_schemas_are_printed_for_editors() -> None:
    for kind in ("profile", "gateway"):
        done = call("schema", kind)
        assert done.returncode == 0
        Draft202012Validator.check_schema(json.loads(done.stdout))
    done = call("schema", "profil")
    assert done.returncode == 2
    assert "did you mean 'profile'?" in done.stderr
