"""The doctor: what it says of a wire, a broker, a certificate; and of what runs already."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from gateway.board import UNDER_VOLTAGE, Board
from gateway.tools.language import Say, language
from gateway.tools.wiring import Pattern, judge
from tests.parts import ROOT, Broker, free_port, makiba, wait_until
from tests.service.gateway_parts import Cable, gateway_file, rtu_farm

BUSES = """\
  barn:
    rtu: {{port: {port}, baud: 9600}}
    devices:
      - {{name: climate, profile: xy-md02, unit_id: 1, every: 1s}}
      - {{name: dead, profile: xy-md02, unit_id: 2, every: 1s}}
"""


def doctor(file: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "makiba", "gateway", "doctor", "-c", str(file), *arguments],
        capture_output=True, text=True, cwd=ROOT, timeout=60, check=False,
    )  # fmt: skip


def test_a_farm_with_one_dead_sensor(tmp_path: Path) -> None:
    cable = Cable()
    with Broker(tmp_path / "broker") as broker, rtu_farm(cable):
        file = gateway_file(tmp_path, broker.options("gw-test"), BUSES.format(port=cable.near_end))
        done = doctor(file, "--lang", "en", "--polls", "3")
        assert done.returncode == 1
        said = done.stdout
        assert "FAIL wiring barn dead: is silent, others answer" in said
        assert "its address (2)" in said
        assert "ok   certificate: name gw-test" in said
        assert "ok   broker MQTT: connects, and may send" in said
        assert "warn collector: does not answer" in said
        assert "disk: " in said
        # Nothing was written while looking.
        assert {data[1] for _, data in cable.requests} == {4}
        before = len(cable.requests)
        with makiba("gateway", "run", "-c", str(file), log=tmp_path / "log") as gateway:
            wait_until(lambda: len(cable.requests) > before, 10, gateway.log)
            said = doctor(file, "--lang", "ja", "--polls", "1").stdout
            assert f"makiba gateway ({gateway.pid}) が 使用中" in said
    cable.close()


def test_a_foreign_certificate_and_a_dead_broker(tmp_path: Path) -> None:
    with Broker(tmp_path / "broker") as broker:
        options = broker.options("gw-other")
        file = gateway_file(tmp_path, options, BUSES.format(port="/dev/ttyNOPE"))
        said = doctor(file, "--lang", "en").stdout
        assert "FAIL certificate: its name is 'gw-other' and not 'gw-test'" in said
        assert "FAIL broker MQTT: refused (publish: Not authorized)" in said
        assert "FAIL port barn: /dev/ttyNOPE: no such port" in said
    file.write_text(file.read_text().replace(f"port: {options.port}", f"port: {free_port()}"))
    assert "FAIL broker TCP" in doctor(file, "--lang", "en").stdout


@pytest.mark.parametrize(
    ("patterns", "said"),
    [
        ([{"timeout": 3}, {"timeout": 3}], "FAIL wiring b: nobody answers"),
        ([{"crc": 5}, {"timeout": 3}], "FAIL wiring b: there are bytes, and none makes sense"),
        ([{"ok": 9, "crc": 1}, {"ok": 8, "crc": 2}], "FAIL wiring b: 15% of the replies are damaged"),
        ([{"ok": 19, "crc": 1}, {"ok": 19, "crc": 1}], "warn wiring b: 5% of the replies are damaged"),
        ([{"ok": 10}, {"ok": 9, "crc": 1}], "warn wiring b: damaged replies from d1 only"),
        ([{"ok": 10}, {"ok": 8, "timeout": 2}], "warn wiring b d1: was silent 2 times of 10"),
        ([{"ok": 10}, {"exception-2": 10}], "FAIL wiring b d1: refuses (exception-2)"),
        ([{"ok": 10}, {"ok": 10}], "ok   wiring b: 20 of 20 answered"),
    ],
)
def test_patterns_mean_something(patterns: list[dict[str, int]], said: str) -> None:
    made = [Pattern(f"d{i}", i + 1, Counter(p)) for i, p in enumerate(patterns)]
    assert said in "\n".join(str(f) for f in judge("b", made, Say("en")))
    for finding in judge("b", made, Say("ja")):
        assert finding.level == "ok" or finding.todo


def test_the_boards_flags_are_read(tmp_path: Path) -> None:
    flags = tmp_path / "sys/devices/platform/soc/soc:firmware"
    flags.mkdir(parents=True)
    (flags / "get_throttled").write_text("50005\n")
    (tmp_path / "sys/class/thermal/thermal_zone0").mkdir(parents=True)
    (tmp_path / "sys/class/thermal/thermal_zone0/temp").write_text("48250\n")
    board = Board(tmp_path)
    power = board.power()
    assert power
    assert power.now(UNDER_VOLTAGE)
    assert power.since_boot(UNDER_VOLTAGE)
    assert board.cpu_c() == 48.25
    assert Board(tmp_path / "elsewhere").power() is None


def test_the_terminals_language_counts() -> None:
    assert language(None, {"LANG": "ja_JP.UTF-8"}) == "ja"
    assert language(None, {"LANG": "ja_JP.UTF-8", "LC_ALL": "C"}) == "en"
    assert language("ja", {"LANG": "en_US.UTF-8"}) == "ja"
