"""`makiba export` on a real store, and its files read with other people's readers."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from collectors.registry import open_registry
from collectors.registry.sites import apply_site
from collectors.store import Store, open_store
from makiba import senml
from makiba.reading import Reading, Series
from tests.parts import ROOT, Process, makiba, wait_until
from tests.service.collecting import CONSOLE, farm
from tests.service.influx_parts import INFLUXD, NO_INFLUXD, Influxd
from tests.service.test_collector_cli import Ran, run

SITE = "shikaoi-001"
T0 = 1_790_002_800_000  # 2026-09-22T00:00+09:00
MIN, HOUR, DAY = 60_000, 3_600_000, 86_400_000
MILK = Series(SITE, "tank-1", "milk_temperature")
GAS = Series(SITE, "barn-1", "ammonia")
STATE = Series(SITE, "tank-1", "state")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    registry = open_registry(f"sqlite:{tmp_path / 'registry.db'}", migrate=True)
    with registry.write() as session:
        apply_site(session, CONSOLE, farm(SITE), T0)
    registry.close()
    return tmp_path


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    made = open_store(f"sqlite:{home / 'store.db'}")
    made.write([Reading(MILK, T0 + i * MIN, 4.0 + i / 100) for i in range(120)])
    made.write([Reading(GAS, T0 + i * 10 * MIN, 1.2e-5) for i in range(6)])
    made.write([Reading(STATE, T0, "ok"), Reading(STATE, T0 + 5 * MIN, "=HYPERLINK(1)")])
    yield made
    made.close()


@pytest.fixture(scope="module")
def influxd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influxd]:
    if INFLUXD is None:
        pytest.skip(NO_INFLUXD)
    with Influxd(tmp_path_factory.mktemp("influx")) as server:
        yield server


def rows(ran: Ran | bytes, encoding: str = "utf-8") -> list[list[str]]:
    text = ran.decode(encoding) if isinstance(ran, bytes) else ran.stdout
    return list(csv.reader(io.StringIO(text, newline="")))


@pytest.mark.usefixtures("store")
def test_long_csv_has_a_row_per_reading_with_local_time_unit_and_exact_value(home: Path) -> None:
    ran = run(home, "export", SITE, "-o", "-")
    assert ran.returncode == 0, ran.stderr
    table = rows(ran)
    assert table[0] == ["time", "utc_ms", "site", "subject", "quantity", "value", "text", "unit"]
    assert len(table) == 1 + 120 + 6 + 2
    assert table[1] == [
        "2026-09-22T00:00:00.000+09:00", str(T0), SITE, "barn-1", "ammonia", "1.2e-05", "", "/",
    ]  # fmt: skip
    assert table[-1][4:] == ["state", "", "'=HYPERLINK(1)", ""]
    assert "128 rows of 3 series" in ran.stderr


@pytest.mark.usefixtures("store")
def test_a_range_and_names_choose_and_people_get_their_units_and_words(home: Path) -> None:
    ran = run(
        home, "export", SITE, "-o", "-", "--quantity", "ammonia", "--from", "2026-09-22T00:20", "--to",
        "2026-09-22T00:40", "--shown", "--lang", "ja",
    )  # fmt: skip
    assert rows(ran) == [
        ["時刻", "UTCミリ秒", "牧場", "対象", "項目", "項目名", "値", "文字", "単位"],
        [
            "2026-09-22T00:20:00.000+09:00",
            str(T0 + 20 * MIN),
            SITE,
            "barn-1",
            "ammonia",
            "アンモニア",
            "12.0",
            "",
            "ppm",
        ],
        [
            "2026-09-22T00:30:00.000+09:00",
            str(T0 + 30 * MIN),
            SITE,
            "barn-1",
            "ammonia",
            "アンモニア",
            "12.0",
            "",
            "ppm",
        ],
    ]


def test_windows_are_those_of_the_store_and_days_begin_at_the_farm_s_midnight(home: Path, store: Store) -> None:
    quarters = rows(run(home, "export", SITE, "-o", "-", "--subject", "tank-1", "--every", "15min"))
    assert quarters[0] == [
        "time",
        "utc_ms",
        "site",
        "subject",
        "quantity",
        "count",
        "min",
        "mean",
        "max",
        "last",
        "unit",
    ]
    expected = store.windows(MILK, T0, T0 + DAY, 15 * MIN)
    assert [(int(r[1]), int(r[5]), *map(float, r[6:10])) for r in quarters[1:]] == [
        (w.start_ms, w.count, w.minimum, w.mean, w.maximum, w.last) for w in expected
    ]
    store.write([Reading(MILK, T0 - 1, 9.0)])
    days = rows(run(home, "export", SITE, "-o", "-", "--subject", "tank-1", "--every", "1d"))
    assert [(r[0], r[5]) for r in days[1:]] == [
        ("2026-09-21T00:00:00.000+09:00", "1"), ("2026-09-22T00:00:00.000+09:00", "120"),
    ]  # fmt: skip


@pytest.mark.usefixtures("store")
def test_wide_csv_has_a_column_per_series_and_holes(home: Path) -> None:
    table = rows(run(home, "export", SITE, "-o", "-", "--wide"))
    assert table[0] == ["time", "utc_ms", "barn-1/ammonia [/]", "tank-1/milk_temperature [Cel]", "tank-1/state"]
    assert len(table) == 121
    assert table[1][2:] == ["1.2e-05", "4.0", "ok"]
    assert table[2][2:] == ["", "4.01", ""]
    folded = rows(run(home, "export", SITE, "-o", "-", "--wide", "--every", "1h", "--fold", "max", "--fold", "count"))
    assert folded[0][2:] == [
        "barn-1/ammonia count", "barn-1/ammonia max [/]", "tank-1/milk_temperature count",
        "tank-1/milk_temperature max [Cel]",
    ]  # fmt: skip
    assert [row[2:] for row in folded[1:]] == [["6", "1.2e-05", "60", "4.59"], ["", "", "60", "5.1899999999999995"]]


def test_pages_of_the_store_join_without_a_seam(home: Path) -> None:
    store = open_store(f"sqlite:{home / 'store.db'}")
    store.write([Reading(MILK, T0 + i * 1000, float(i)) for i in range(12_345)])
    store.write([Reading(GAS, T0 + i * 1500, 1e-6) for i in range(8_000)])
    store.close()
    file = home / "out.csv"
    assert run(home, "export", SITE, "-o", str(file)).returncode == 0
    table = rows(file.read_bytes())
    assert [int(r[1]) for r in table[1:] if r[4] == "milk_temperature"] == [T0 + i * 1000 for i in range(12_345)]
    wide = rows(run(home, "export", SITE, "-o", "-", "--wide"))
    times = [int(r[1]) for r in wide[1:]]
    assert times == sorted({T0 + i * 1000 for i in range(12_345)} | {T0 + i * 1500 for i in range(8_000)})
    assert sum(r[2] != "" for r in wide[1:]) == 8_000


@pytest.mark.usefixtures("store")
def test_senml_is_one_pack_that_reads_back_as_the_same_readings(home: Path) -> None:
    file = home / "out.senml"
    assert run(home, "export", SITE, "-o", str(file), "--format", "senml").returncode == 0
    taken, refused = senml.readings_of(senml.parse_json(file.read_bytes()), 0)
    assert refused == []
    assert {(r.series, r.time_ms, r.value) for _, r in taken} == {
        *((MILK, T0 + i * MIN, 4.0 + i / 100) for i in range(120)),
        *((GAS, T0 + i * 10 * MIN, 1.2e-5) for i in range(6)),
        (STATE, T0, "ok"), (STATE, T0 + 5 * MIN, "=HYPERLINK(1)"),
    }  # fmt: skip
    assert len(file.read_text().splitlines()) == 128
    empty = run(home, "export", SITE, "-o", "-", "--format", "senml", "--to", "2000-01-01")
    assert json.loads(empty.stdout) == []


@pytest.mark.usefixtures("store")
def test_parquet_is_read_by_its_own_library_with_types_and_timezone(home: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    file = home / "out.parquet"
    assert run(home, "export", SITE, "-o", str(file), "--format", "parquet").returncode == 0
    table = parquet.read_table(file)
    assert str(table.schema.field("time").type) == "timestamp[ms, tz=Asia/Tokyo]"
    assert table.num_rows == 128
    first = table.slice(6, 1).to_pylist()[0]
    assert (first["utc_ms"], first["subject"], first["value"], first["unit"]) == (T0, "tank-1", 4.0, "Cel")
    assert first["time"].isoformat() == "2026-09-22T00:00:00+09:00"
    assert table.column("text").to_pylist()[-1] == "=HYPERLINK(1)"  # no spreadsheet opens it
    wide = home / "wide.parquet"
    args = ("--format", "parquet", "--wide", "--every", "1h")
    assert run(home, "export", SITE, "-o", str(wide), *args).returncode == 0
    assert parquet.read_table(wide).column("tank-1/milk_temperature mean [Cel]").to_pylist()[0] == pytest.approx(
        4.295
    )


@pytest.mark.usefixtures("store")
def test_a_workbook_has_the_same_values_under_japanese_heads(home: Path) -> None:
    file = home / "out.xlsx"
    ran = run(home, "export", SITE, "-o", str(file), "--form", "xlsx", "--lang", "ja")
    assert ran.returncode == 0, ran.stderr
    sheet: Any = openpyxl.load_workbook(file).active
    table = [[cell.value for cell in row] for row in sheet.iter_rows()]
    assert table[0] == ["時刻", "UTCミリ秒", "牧場", "対象", "項目", "項目名", "値", "文字", "単位"]
    milk = [row for row in table if row[4] == "milk_temperature"]
    assert [(row[1], row[6]) for row in milk] == [(T0 + i * MIN, 4.0 + i / 100) for i in range(120)]
    assert milk[1][0].isoformat() == "2026-09-22T00:01:00"
    assert [row[7] for row in table if row[4] == "state"] == ["ok", "=HYPERLINK(1)"]


@pytest.mark.usefixtures("store")
def test_without_pyarrow_parquet_says_how_to_get_it_and_writes_nothing(home: Path) -> None:
    program = "import sys; sys.modules['pyarrow'] = None; from makiba.cli import main; main()"
    command = [sys.executable, "-c", program, "export", SITE, "-o", str(home / "x"), "--format", "parquet"]
    done = subprocess.run(
        command, env={**os.environ, "MAKIBA_HOME": str(home)}, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "pip install 'makiba[parquet]'" in done.stderr
    assert not (home / "x").exists()


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("shikaoi-01", "-o", "F"), "did you mean 'shikaoi-001'?"),
        ((SITE, "-o", "F", "--subject", "tank1"), "no subject 'tank1'; did you mean 'tank-1'?"),
        ((SITE, "-o", "F", "--quantity", "milk_temprature"), "did you mean 'milk_temperature'?"),
        ((SITE, "-o", "F", "--from", "tomorrow"), "'tomorrow' is not a time; expected 2026-11-24"),
        ((SITE, "-o", "F", "--every", "15m"), "'15m' is not a duration"),
        ((SITE, "-o", "F", "--fold", "meen", "--wide", "--every", "1h"), "did you mean 'mean'?"),
        ((SITE, "-o", "F", "--fold", "mean", "--every", "1h"), "--fold: only with --wide and --every"),
        ((SITE, "-o", "F", "--excel", "--format", "parquet"), "only with --format csv"),
        ((SITE, "-o", "F", "--every", "1h", "--format", "senml"), "senml holds readings as they are"),
    ],
)
def test_what_is_wrong_is_said_with_what_was_meant_and_nothing_is_written(
    home: Path, arguments: tuple[str, ...], said: str
) -> None:
    file = home / "out"
    ran = run(home, "export", *[str(file) if word == "F" else word for word in arguments])
    assert ran.returncode == 2
    assert said in ran.stderr
    assert not file.exists()


def test_a_mistyped_home_is_noticed_and_stays_empty(tmp_path: Path) -> None:
    ran = run(tmp_path / "hme", "export", SITE, "-o", str(tmp_path / "out.csv"))
    assert (ran.returncode, list(tmp_path.iterdir())) == (2, [])
    assert f"no store at {tmp_path / 'hme' / 'store.db'}; MAKIBA_HOME or MAKIBA_STORE says where it is" in ran.stderr


@pytest.mark.parametrize("options", [(), ("--wide",), ("--every", "15min"), ("--every", "1d")])
def test_influxdb_and_sqlite_give_the_same_file(
    home: Path, store: Store, influxd: Influxd, options: tuple[str, ...]
) -> None:
    other = open_store(influxd.url)
    other.check()
    for series in store.series(SITE):
        other.write([Reading(series, p.time_ms, p.value) for p in store.range(series, 0, T0 + DAY)])
    other.close()
    one = run(home, "export", SITE, "-o", "-", *options)
    assert one.returncode == 0, one.stderr
    assert run(home, "export", SITE, "-o", "-", *options, MAKIBA_STORE=influxd.url).stdout == one.stdout
    assert len(one.stdout.splitlines()) > 2


def test_a_folder_that_is_not_there_is_one_line(home: Path, store: Store) -> None:
    ran = run(home, "export", SITE, "-o", str(home / "no" / "out.csv"))
    assert (ran.returncode, ran.stderr) == (1, f"{home / 'no' / 'out.csv'}: No such file or directory\n")


@pytest.mark.parametrize("stop", ["terminate", pytest.param("kill", marks=pytest.mark.long)])
def test_an_export_that_is_stopped_leaves_the_file_as_it_was(home: Path, stop: str) -> None:
    store = open_store(f"sqlite:{home / 'store.db'}")
    store.write([Reading(MILK, T0 + i * 1000, float(i)) for i in range(200_000)])
    store.close()
    folder = home / "out"
    folder.mkdir()
    file = folder / "out.csv"
    file.write_text("before")
    with makiba("export", SITE, "-o", str(file), log=home / "log", env={"MAKIBA_HOME": str(home)}) as process:
        wait_until(lambda: any(p.stat().st_size > 0 for p in folder.glob(".out.csv.*.part")), 15, process.log)
        if stop == "kill":
            process.kill()
        else:
            assert process.terminate() == 143
    assert file.read_text() == "before"
    if stop == "terminate":
        assert list(folder.iterdir()) == [file]


def test_a_reader_that_goes_away_ends_it_without_a_word(home: Path, store: Store) -> None:
    store.write([Reading(MILK, T0 + DAY + i * 1000, float(i)) for i in range(50_000)])
    command = f"{sys.executable} -m makiba export {SITE} -o - | head -1"
    with Process(["bash", "-c", command], log=home / "log", env={"MAKIBA_HOME": str(home)}) as process:
        process.wait()
        assert process.log().splitlines() == ["time,utc_ms,site,subject,quantity,value,text,unit"]
