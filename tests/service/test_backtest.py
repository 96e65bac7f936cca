"""`makiba backtest` over files as people have them: what it finds, compares, scores, draws and refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from collectors.out.clock import zone_of
from collectors.out.export import parquet_bytes
from collectors.out.table import Wanted
from collectors.registry import open_registry, sites
from collectors.registry.sites import SiteSpec
from collectors.registry.viewer import Service
from collectors.store import open_store
from makiba.cli import root
from makiba.located_yaml import ConfigErrors
from makiba.reading import Reading, Series

T0 = 1_700_000_400_000
MINUTE = 60_000
RULE = """
rule: tank.warm
about: subject
title: {ja: 乳温が 高いです, en: Milk is too warm}
severity: critical
signals: {t: {quantity: milk_temperature}}
numbers: {limit: {value: 5.0, unit: Cel}, clear: {value: 4.5, unit: Cel}}
raise: {when: [{signal: t, above: limit}], for: 15min}
clear: {when: [{signal: t, below: clear}], for: 10min}
stale_after: 10min
message: {ja: "{subject}の 乳温は {t}です。", en: "{subject}: the milk is at {t}."}
action: {ja: すぐ 冷却機を 見てください。, en: Check the cooler now.}
source: a test's
trust: proposed
"""


@pytest.fixture(autouse=True)
def own_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One rule that this file says, in a home of its own."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "tank.warm.yaml").write_text(RULE, encoding="utf-8")
    monkeypatch.setenv("MAKIBA_RULES", str(tmp_path / "rules"))
    monkeypatch.setenv("MAKIBA_HOME", str(tmp_path / "home"))


TANK = Series("farm-1", "tank-1", "milk_temperature")


@dataclass(frozen=True)
class Ran:
    exit_code: int
    stdout: str
    stderr: str


def backtest(*arguments: object) -> Ran:
    """`makiba backtest …` within this process, ending as `makiba.cli.main` ends it."""
    done = CliRunner().invoke(root, ["backtest", *map(str, arguments)])
    if isinstance(done.exception, ConfigErrors):
        return Ran(2, done.stdout, str(done.exception))
    return Ran(done.exit_code, done.stdout, done.stderr)


def told(*arguments: object) -> Any:
    done = backtest(*arguments, "--json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def a_warm_hour() -> Iterator[Reading]:
    """4 ℃, then 5.2 ℃ for an hour, 7 ℃ for half an hour, and 4 ℃ again; a value a minute."""
    values = [4.0] * 60 + [5.2] * 60 + [7.0] * 30 + [4.0] * 60
    return (Reading(TANK, T0 + i * MINUTE, v) for i, v in enumerate(values))


def long_csv(file: Path, readings: Sequence[Reading]) -> Path:
    """As `makiba export` writes it."""
    lines = ["time,utc_ms,site,subject,quantity,value,text,unit"]
    for r in readings:
        unit = "Cel" if r.series.quantity == "milk_temperature" else "%RH"
        lines.append(f"x,{r.time_ms},{r.series.site},{r.series.subject},{r.series.quantity},{r.value},,{unit}")
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def test_an_export_is_judged_whatever_the_order_of_its_series(tmp_path: Path) -> None:
    humid = Series("farm-1", "air", "relative_humidity")
    other = [Reading(humid, T0 + i * MINUTE, 60.0) for i in range(200)]
    file = long_csv(tmp_path / "export.csv", [*a_warm_hour(), *other])
    done = backtest(file)
    assert done.exit_code == 0, done.stderr
    # 5.2 since 08:20 in Japan, for 15 min; well again since 09:50.
    assert "2023-11-15 08:35  tank.warm  tank-1   critical  1:40    Milk is too warm" in done.stdout
    assert "乳温が 高いです" in backtest(file, "--lang", "ja").stdout
    (alert,) = told(file)["alerts"]
    assert (alert["onset_ms"], alert["raised_ms"]) == (T0 + 60 * MINUTE, T0 + 75 * MINUTE)
    assert alert["ended_ms"] == T0 + 160 * MINUTE
    assert told(file, "--to", "2023-11-15T08:30")["alerts"] == []


def test_a_changed_number_is_shown_beside_what_is(tmp_path: Path) -> None:
    file = long_csv(tmp_path / "export.csv", list(a_warm_hour()))
    later = told(file, "--set", "tank.warm.limit=5.5")["changed"]
    assert [(m["before"]["onset_ms"], m["after"]["onset_ms"]) for m in later["moved"]] == [
        (T0 + 60 * MINUTE, T0 + 120 * MINUTE)
    ]
    never = told(file, "--set", "tank.warm.limit=5.5", "--set", "tank.warm.for=40min")["changed"]
    assert (len(never["lost"]), never["gained"], never["moved"]) == (1, [], [])
    assert "0 gained, 1 lost, 0 moved" in backtest(file, "--set", "tank.warm.limit=9").stdout


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("tank.warm.limt=5", "'limt'; did you mean 'limit'"),
        ("tank.wram.limit=5", "begins with no rule"),
        ("tank.warm.limit", "expected RULE.NUMBER=VALUE"),
        ("tank.warm.for=soon", "tank.warm.for"),
    ],
)
def test_a_number_that_is_none_is_refused_before_anything_is_judged(tmp_path: Path, setting: str, says: str) -> None:
    done = backtest(long_csv(tmp_path / "export.csv", list(a_warm_hour())), "--set", setting)
    assert (done.exit_code, done.stdout) == (2, "")
    assert says in done.stderr


def test_any_table_of_times_and_numbers_is_taken_by_a_guess_that_is_told(tmp_path: Path) -> None:
    file = tmp_path / "tank_temp-3.csv"
    file.write_text(
        "t,value\n" + "".join(f"{r.time_ms // 1000},{r.value}\n" for r in a_warm_hour()), encoding="utf-8"
    )
    done = backtest(file)
    assert "tank_temp-3.csv  value   tank_temp-3  milk_temperature [Cel]  tank-room" in done.stdout
    assert "2023-11-15 08:35  tank.warm  tank_temp-3" in done.stdout


def test_what_is_wrong_in_a_file_is_told_with_its_place_and_the_rest_is_judged(tmp_path: Path) -> None:
    file = long_csv(tmp_path / "export.csv", list(a_warm_hour()))
    lines = file.read_text().splitlines()
    lines[3], lines[9] = lines[3].replace("4.0", "warm"), lines[9].replace("milk_temperature", "milk_temprature")
    file.write_text("\n".join(lines))
    done = backtest(file)
    assert done.exit_code == 3
    assert f"{file}:4:48: 'warm' is no number" in done.stderr
    assert f"{file}:10:" in done.stderr
    assert "did you mean 'milk_temperature'" in done.stderr
    assert "tank.warm  tank-1" in done.stdout


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"a,b\n1,2\n", "no column of times"),
        (b"PK\x03\x04xx", "is a workbook"),
        (b"PAR1xxxx", "is no Parquet"),
    ],
)
def test_a_file_that_is_none_is_told(tmp_path: Path, content: bytes, says: str) -> None:
    file = tmp_path / "file.csv"
    file.write_bytes(content)
    done = backtest(file)
    assert (done.exit_code, says in done.stderr) == (2, True), done.stderr


def test_labels_say_what_was_found_in_time_and_what_was_false(tmp_path: Path) -> None:
    file = long_csv(tmp_path / "export.csv", list(a_warm_hour()))
    at = T0 / 1000
    fault = {"name": "cooler off", "start": at + 3600, "visible": at + 3600, "end": at + 9000}
    labels: dict[str, Any] = {
        "export.csv": {
            "kind": "tank", "grid": 60, "scored_from": at, "until": at + 12600,
            "faults": [{**fault, "deadline": at + 5400}, {**fault, "name": "leak", "start": at, "end": at + 60,
                                                          "visible": at, "deadline": at + 60}],
        },
        "another.csv": {"faults": []},
    }  # fmt: skip
    known = tmp_path / "labels.json"
    known.write_text(json.dumps(labels))
    score = told(file, "--labels", known)["score"]
    assert (score["faults"], score["found"], score["in_time"], score["false"]) == (2, 1, 1, 0)
    assert score["by_fault"]["leak"] == {"known": 1, "found": 0, "in_time": 0}
    labels["export.csv"]["faults"] = []
    known.write_text(json.dumps(labels))
    assert "false alarms: 1 in 0.0 sensor-months" in backtest(file, "--labels", known).stdout
    known.write_text('{"export.csv": {"faults": [{"name": "x"}]}}')
    wrong = backtest(file, "--labels", known)
    assert (wrong.exit_code, "export.csv.faults.0.start" in wrong.stderr) == (2, True)


def test_parquet_and_the_store_tell_the_same_as_csv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readings = list(a_warm_hour())
    expected = told(long_csv(tmp_path / "export.csv", readings))["alerts"]
    store = open_store(f"sqlite:{tmp_path}/store.db")
    store.write(readings)
    wanted = Wanted([readings[0].series], 0, T0 * 2)
    parquet = tmp_path / "export.parquet"
    parquet.write_bytes(b"".join(parquet_bytes(store, wanted, zone_of("Asia/Tokyo"), lambda _: None)))
    store.close()
    assert told(parquet)["alerts"] == expected
    monkeypatch.setenv("MAKIBA_STORE", f"sqlite:{tmp_path}/store.db")
    with closing(open_registry(f"sqlite:{tmp_path}/registry.db", migrate=True)) as registry:
        with registry.write() as session:
            spec = SiteSpec("farm-1", "牧場", "Farm", rules={"tank.warm": {"limit": 6.5}})
            sites.apply_site(session, Service("console"), spec, T0)
    monkeypatch.setenv("MAKIBA_REGISTRY", f"sqlite:{tmp_path}/registry.db")
    (alert,) = told("--store", "--site", "farm-1", "--from", "2023-11-15T07:00")["alerts"]
    assert (alert["onset_ms"], alert["ended_ms"]) == (T0 + 120 * MINUTE, expected[0]["ended_ms"])
    assert backtest("--store", "--site", "farm-2").exit_code == 2


def test_a_site_file_gives_names_times_and_numbers(tmp_path: Path) -> None:
    file = long_csv(tmp_path / "export.csv", list(a_warm_hour()))
    farm = tmp_path / "site.yaml"
    farm.write_text(
        "site: farm-1\nname: {ja: 牧場, en: Farm}\ntimezone: Europe/Amsterdam\n"
        "places: [{id: room, kind: tank-room, name: {ja: 処理室, en: Tank room}}]\n"
        "placements: [{subject: tank-1, place: room, name: {ja: バルククーラー, en: Milk tank}}]\n"
        "rules: {tank.warm: {limit: 6.5}}\n",
        encoding="utf-8",
    )
    assert "2023-11-15 01:35  tank.warm  Milk tank (tank-1)  critical" in backtest(file, "--farm", farm).stdout


def test_a_picture_shows_readings_limits_and_alerts(tmp_path: Path) -> None:
    file = long_csv(tmp_path / "export.csv", list(a_warm_hour()))
    picture = tmp_path / "out.svg"
    assert backtest(file, "--picture", picture).exit_code == 0
    drawn = picture.read_text(encoding="utf-8")
    assert drawn.startswith("<svg ")
    assert ">tank.warm</text>" in drawn
    assert ">5.0 ℃</text>" in drawn
    refused = backtest(file, "--picture", tmp_path / "out.gif")
    assert (refused.exit_code, ".svg or .png" in refused.stderr) == (2, True)


def test_the_detector_tells_what_no_rule_knows(tmp_path: Path) -> None:
    series = Series("farm-1", "well", "level")
    steady = [Reading(series, T0 + i * 10 * MINUTE, 2.0 + (i * 7 % 13) / 100) for i in range(144 * 10)]
    burst = [Reading(series, r.time_ms, 9.0) for r in steady[1400:1403]]
    file = tmp_path / "well.csv"
    file.write_text(
        "time,utc_ms,site,subject,quantity,value,text,unit\n"
        + "".join(f"x,{r.time_ms},farm-1,well,level,{r.value},,m\n" for r in [*steady[:1400], *burst, *steady[1403:]])
    )
    found = [a for a in told(file, "--detector")["alerts"] if a["rule"] == "unusual"]
    assert [(a["subject"], a["onset_ms"]) for a in found] == [("well", steady[1400].time_ms)]
    assert told(file)["alerts"] == []
