"""`makiba import` as a farm's person uses it: exact in the store, the same when done again, killed or interrupted."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors.registry import open_registry, sources
from collectors.store import open_store
from makiba.settings import configs_dir
from tests.parts import Process, makiba, wait_until
from tests.service.collecting import CONSOLE, SITE, now_ms, registry_with
from tests.service.ways_parts import run, stored

MILK_MAP = configs_dir() / "imports/milk-recording.yaml"
MAY_31 = 1_780_174_800_000  # 2026-05-31T06:00 in Japan
SCALE_MAP = """\
file: {heads: 0}
time: {columns: [1], format: unix-ms}
subject: {column: 2}
values: [{column: 3, quantity: body_weight, unit: kg}]
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    registry_with(tmp_path).close()
    return tmp_path


def milk_file(home: Path, *rows: str) -> Path:
    file = home / "検定.csv"
    text = "検定日,個体識別番号,乳量,乳脂率,乳蛋白質率,無脂固形分率,体細胞数,MUN\r\n" + "".join(
        f"{row}\r\n" for row in rows
    )
    file.write_bytes(text.encode("cp932"))
    return file


def scale_file(home: Path, rows: int) -> tuple[Path, Path]:
    """A list of weights, and its mapping."""
    file, mapping = home / "scale.csv", home / "scale.yaml"
    with file.open("w", encoding="utf-8") as out:
        out.writelines(f"{MAY_31 + 1000 * i},cow-{i % 100},{400 + i % 200}.5\n" for i in range(rows))
    mapping.write_text(SCALE_MAP, encoding="utf-8")
    return file, mapping


def test_milk_recording_in_cp932_is_stored_in_our_units(home: Path) -> None:
    file = milk_file(home, "2026/05/31,0123456789,31.4,3.92,3.31,8.71,85,11.2", "2026/05/31,0123456790,-,***,,,,")
    result = run(home, "import", str(file), "--map", str(MILK_MAP), "--site", SITE)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "2 rows, 6 readings are stored" in result.stdout
    cow = "0123456789"
    assert stored(home) == {
        (cow, "milk_yield", MAY_31): 31.4,
        (cow, "milk_fat", MAY_31): 0.0392,
        (cow, "milk_protein", MAY_31): 0.0331,
        (cow, "milk_solids_not_fat", MAY_31): 0.0871,
        (cow, "somatic_cells", MAY_31): 85_000,
        (cow, "milk_urea_nitrogen", MAY_31): pytest.approx(0.112),
    }


def test_importing_twice_changes_nothing_and_a_corrected_value_replaces(home: Path) -> None:
    command = ["import", str(milk_file(home, "2026/05/31,1,31.4,,,,,")), "--map", str(MILK_MAP), "--site", SITE]
    for _ in range(2):
        assert run(home, *command).exit_code == 0
        assert stored(home) == {("1", "milk_yield", MAY_31): 31.4}
    milk_file(home, "2026/05/31,1,30.4,,,,,")
    assert run(home, *command).exit_code == 0
    assert stored(home) == {("1", "milk_yield", MAY_31): 30.4}


def test_refused_values_are_told_where_they_stand_and_the_rest_is_stored(home: Path) -> None:
    file = milk_file(
        home, "2026/05/31,1,31.4,x,,,,", "2026/13/31,1,31.4,,,,,", "2026/05/31,2,9000,,,,,", "2026/05/31"
    )
    report = home / "refused.txt"
    command = ["import", str(file), "--map", str(MILK_MAP), "--site", SITE, "--report", str(report)]
    result = run(home, *command)
    assert result.exit_code == 3
    told = result.stderr.splitlines()
    assert [line.removeprefix(f"{file}:").split(": ")[0] for line in told] == ["2:19", "3:1", "4:14", "5:1"]
    assert "9000 is outside" in told[2]
    assert "1 readings are stored, 4 values refused in 4 rows" in result.stdout
    assert report.read_text(encoding="utf-8").splitlines() == told
    assert stored(home) == {("1", "milk_yield", MAY_31): 31.4}


def test_a_dry_run_shows_and_stores_nothing_and_needs_no_farm(tmp_path: Path) -> None:
    file = milk_file(tmp_path, "2026/05/31,1,31.4,3.9,,,,", "2026/05/31,1,y,,,,,", "2014/05/31,1,31.4,,,,,")
    result = run(tmp_path, "import", str(file), "--map", str(MILK_MAP), "--site", SITE, "--dry-run")
    assert result.exit_code == 3
    assert f"2026-05-31T06:00:00+09:00  {SITE}/1/milk_yield  31.4" in result.stdout
    assert "2 readings would be stored, 2 values refused in 2 rows" in result.stdout
    assert "before 2015" in result.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"検定.csv"}


def test_what_a_person_must_change_is_said_and_nothing_is_stored(home: Path) -> None:
    file = milk_file(home, "2026/05/31,1,31.4,,,,,")
    assert "no site s-9" in run(home, "import", str(file), "--map", str(MILK_MAP), "--site", "s-9").stderr
    assert "give --site" in run(home, "import", str(file), "--map", str(MILK_MAP)).stderr

    wrong = home / "wrong.yaml"
    wrong.write_text(SCALE_MAP.replace("unit: kg", "unit: Cel"), encoding="utf-8")
    with importing(home, file, wrong) as process:
        assert (process.wait(), f"{wrong}:4:" in process.log()) == (2, True), process.log()

    other = home / "other.csv"
    other.write_bytes("日付,個体\r\n".encode("cp932"))
    with importing(home, other, MILK_MAP) as process:
        assert (process.wait(), f"{MILK_MAP}:5:" in process.log()) == (2, True), process.log()
    assert "検定日" in process.log()
    assert stored(home) == {}


def test_a_farm_that_was_told_to_take_no_more_imports_takes_none(home: Path) -> None:
    command = ["import", str(milk_file(home, "2026/05/31,1,31.4,,,,,")), "--map", str(MILK_MAP), "--site", SITE]
    assert run(home, *command).exit_code == 0
    assert run(home, "source", "revoke", sources.own_id("import", SITE)).exit_code == 0
    milk_file(home, "2026/05/31,2,31.4,,,,,")
    result = run(home, *command)
    assert (result.exit_code, "revoked" in result.stderr) == (2, True), result.stderr
    assert len(stored(home)) == 1


def test_what_was_imported_is_the_farms_source_in_the_registry(home: Path) -> None:
    run(home, "import", str(milk_file(home, "2026/05/31,1,31.4,,,,,")), "--map", str(MILK_MAP), "--site", SITE)
    with contextlib.closing(open_registry(f"sqlite:{home / 'registry.db'}")) as registry, registry.read() as session:
        found = sources.list_sources(session, CONSOLE, SITE)
        assert [(one.kind, one.token_hash) for one in found] == [("import", None)]


@contextlib.contextmanager
def importing(home: Path, file: Path, mapping: Path) -> Iterator[Process]:
    arguments = ["import", str(file), "--map", str(mapping), "--site", SITE]
    with makiba(*arguments, log=home / "import.log", env={"MAKIBA_HOME": str(home)}) as process:
        yield process


def begun(home: Path) -> bool:
    if not (home / "store.db").exists():
        return False
    with contextlib.closing(open_store(f"sqlite:{home / 'store.db'}")) as store:
        return bool(store.series(SITE))


@pytest.mark.parametrize(
    "how", [signal.SIGKILL, *(pytest.param(how, marks=pytest.mark.long) for how in (signal.SIGTERM, signal.SIGINT))]
)
def test_killed_or_interrupted_and_run_again_the_store_has_each_row_once(home: Path, how: signal.Signals) -> None:
    rows = 30_000
    file, mapping = scale_file(home, rows)
    with importing(home, file, mapping) as process:
        wait_until(lambda: begun(home), 30, what=process.log)
        os.kill(process.pid, how)
        assert process.wait() == (-signal.SIGKILL if how == signal.SIGKILL else 130)
    assert 0 < len(stored(home)) < rows, "it was in the middle of it"
    with importing(home, file, mapping) as process:
        assert process.wait(60) == 0, process.log()
    found = stored(home)
    expected = {(f"cow-{i % 100}", "body_weight", MAY_31 + 1000 * i): 400.5 + i % 200 for i in range(rows)}
    assert found == expected


@pytest.mark.long
def test_memory_does_not_grow_with_the_file(home: Path) -> None:
    def peak_mib(rows: int) -> float:
        file, mapping = scale_file(home, rows)
        peak = 0
        with importing(home, file, mapping) as process:
            while process.running:
                # not ru_maxrss, which counts what this process had before it became the other one
                status = Path(f"/proc/{process.pid}/status").read_text()
                peak = max(peak, *(int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line), 0)
                time.sleep(0.01)
            assert process.wait() == 0, process.log()
        return peak / 1024

    small, large = peak_mib(6_000), peak_mib(60_000)
    assert large < small + 8, f"{small:.0f} MiB for 6,000 rows, {large:.0f} MiB for 60,000"


def test_a_store_that_is_away_is_waited_for_and_then_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file is another kind of file: no import can go on."""
    (home / "store.db").mkdir()
    file = milk_file(home, f"2026/05/31,{now_ms() % 1000},31.4,,,,,")
    result = run(home, "import", str(file), "--map", str(MILK_MAP), "--site", SITE)
    assert result.exit_code in (1, 2)
    assert "store.db" in result.stderr
