"""The technician's commands, as a technician calls them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.parts import ROOT
from tests.service.gateway_parts import Cable, rtu_farm
from tests.service.test_gateway_tcp_and_nmea import Mast
from tests.unit.test_gateway_nmea import framed

FILE = """\
gateway: gw-1
site: shikaoi-001
mqtt: {port: 8883}
buses:
  barn:
    rtu: {port: PORT}
    devices:
      - {name: climate, profile: xy-md02, unit_id: 1, every: 1s}
      - {name: dead, profile: xy-md02, unit_id: 2, every: 1s}
"""


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "makiba", "gateway", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=30,
        check=False,
    )


def write(tmp_path: Path, text: str) -> str:
    (tmp_path / "gateway.yaml").write_text(text, encoding="utf-8")
    return str(tmp_path / "gateway.yaml")


def test_check_shows_how_busy_a_bus_will_be(tmp_path: Path) -> None:
    done = call("check", write(tmp_path, FILE))
    assert done.returncode == 0
    assert "climate: 1 requests, 45 ms every 1 s" in done.stdout
    assert "occupied 9% of the time" in done.stdout


def test_a_wrong_file_is_exit_code_2_and_starts_nothing(tmp_path: Path) -> None:
    file = write(tmp_path, FILE.replace("xy-md02, unit_id: 2", "xy-md03, unit_id: 1"))
    for arguments in (("check", file), ("run", "-c", file), ("read", "-c", file, "climate"), ("spool", "-c", file)):
        done = call(*arguments)
        assert done.returncode == 2
        assert (
            f"{file}:9:22: buses.barn.devices[1].profile: 'xy-md03' is unknown; did you mean 'xy-md02'?"
            in done.stderr
        )
        assert "unit_id 1 used twice (climate, line 8)" in done.stderr
    assert not (tmp_path / "spool.db").exists()


def test_read_explains_one_device(tmp_path: Path) -> None:
    cable = Cable()
    with rtu_farm(cable):
        file = write(tmp_path, FILE.replace("PORT", cable.near_end))
        done = call("read", "-c", file, "climate")
        assert done.returncode == 0, done.stderr
        assert "> 01 04 00 01 00 02 20 0b" in done.stdout
        assert "< 01 04 04 ff 33 03 6b" in done.stdout
        assert "climate air temperature: -20.5 ℃   [input 1 (0x0001) int16]" in done.stdout
        assert "climate: ok" in done.stdout
        silent = call("read", "-c", file, "dead")
        assert silent.returncode == 1
        assert "dead: timeout" in silent.stdout
    cable.close()


def test_read_listens_to_a_mast(tmp_path: Path) -> None:
    mast = Mast()
    mast.says = framed("WIMWV,90,R,1.3,M,A") + framed("WIMTA,-20.5,C")
    mast_file = "gateway: gw-1\nsite: s\nmqtt: {}\nbuses:\n  w:\n    nmea: {port: PORT}\n    devices:\n"
    mast_file += "      - {name: mast, profile: nmea-weather}\n"
    done = call("read", "-c", write(tmp_path, mast_file.replace("PORT", mast.port)), "mast")
    mast.close()
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("< $WIMWV,90,R,1.3,M,A") == 1
    assert "mast wind direction: 90 °   [$WIMWV]" in done.stdout
    assert "mast air temperature: -20.5 ℃   [$WIMTA]" in done.stdout


def test_read_says_what_cannot_be_opened_or_found(tmp_path: Path) -> None:
    file = write(tmp_path, FILE.replace("PORT", "/dev/no-such-port"))
    done = call("read", "-c", file, "climate")
    assert done.returncode == 1
    assert "/dev/no-such-port" in done.stderr
    done = call("read", "-c", file, "climat")
    assert done.returncode == 2
    assert "did you mean 'climate'?" in done.stderr


def test_spool_says_what_waits(tmp_path: Path) -> None:
    from gateway.packs import Batch
    from gateway.spool_file import SpoolFile
    from makiba.reading import Reading, Series
    from makiba.senml import encode_json
    from makiba.wire import BatchId

    file = write(tmp_path, FILE)
    assert "no spool yet" in call("spool", "-c", file).stdout
    spool = SpoolFile(tmp_path / "spool.db")
    pack = encode_json([Reading(Series("s", "d", "value"), 1_700_000_000_000 + i, 1.0) for i in range(3)])
    spool.journal([Batch(BatchId("a" * 16, 1), 3, pack)], ("a" * 16, 1))
    said = call("spool", "-c", file).stdout  # while it is open, as with a running gateway
    spool.close()
    assert "1 batches with 3 readings wait" in said
    assert "oldest: batch 1, measured 2023-11-14T22:13:20+00:00, 3 readings" in said


def test_run_names_missing_keys_before_it_starts(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        FILE.replace("{port: 8883}", "{tls: {ca: ca.pem, cert: gw.pem, key: gw.key}}"),
    )
    done = call("run", "-c", file)
    assert done.returncode == 2
    assert f"{file}:3:14: mqtt.tls.ca: {tmp_path / 'ca.pem'}: no such file" in done.stderr
    assert not (tmp_path / "spool.db").exists()


def test_checking_a_file_needs_no_modbus_library() -> None:
    code = (
        "import sys, gateway.cli, gateway.site, gateway.drivers; gateway.drivers.drivers();"
        "sys.exit(any(m in sys.modules for m in ('pymodbus', 'serial')))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
