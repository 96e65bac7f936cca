"""The queries of docs/ways-out.md, as they stand there, with the command lines of the databases' own makers."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from collectors.store import Store, open_store
from makiba.reading import Reading, Series
from tests.parts import ROOT
from tests.service.influx_parts import INFLUXD, NO_INFLUXD, Influxd

TEXT = (ROOT / "docs" / "ways-out.md").read_text(encoding="utf-8")
SITE = "shikaoi-001"
MILK = Series(SITE, "tank-1", "milk_temperature")


def scripts(heading: str) -> list[str]:
    """The commands of the `sh` block under `heading`, each with the comment above it."""
    section = TEXT.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    [block] = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    return [part.strip() for part in re.split(r"\n(?=# )", block)]


def fill(store: Store) -> None:
    now_ms = time.time_ns() // 1_000_000
    start_ms = now_ms - 2 * 3_600_000
    store.write([Reading(MILK, start_ms + i * 60_000, 4.0 + i / 1000) for i in range(121)])
    store.write([Reading(Series(SITE, "tank-1", "state"), start_ms, "ok")])
    store.write([Reading(Series("shikaoi-002", "tank-1", "milk_temperature"), now_ms, -77.25)])
    while store.roll_up(now_ms):
        pass


def answers(script: str, env: dict[str, str]) -> str:
    done = subprocess.run(
        ["sh", "-ec", script], env={"PATH": "/usr/bin:/bin", **env}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "ERR" not in done.stdout
    assert "77.25" not in done.stdout, "another farm's"
    return done.stdout


def test_sqlite_s_own_command_line_answers_the_queries_of_the_document(tmp_path: Path) -> None:
    if shutil.which("sqlite3", path="/usr/bin") is None:
        pytest.skip("sqlite3 is not on this machine: apt-get install sqlite3")
    store = open_store(f"sqlite:{tmp_path / 'store.db'}")
    fill(store)
    series, hour, states, quarters = (
        answers(script, {"MAKIBA_HOME": str(tmp_path)}) for script in scripts("The database itself: SQLite")
    )
    assert series.splitlines() == ["tank-1|milk_temperature", "tank-1|state"]
    rows = hour.splitlines()
    assert rows[0] == "time,celsius"
    assert 59 <= len(rows) - 1 <= 61
    assert rows[-1].endswith(",4.12")
    assert states.splitlines()[0].endswith("|ok")
    assert quarters.splitlines()[1].split("|")[1] == "15"
    store.close()


def test_influxdb_s_own_command_line_answers_the_queries_of_the_document(tmp_path: Path) -> None:
    if INFLUXD is None:
        pytest.skip(NO_INFLUXD)
    commands = scripts("The database itself: InfluxDB")
    with Influxd(tmp_path) as server:
        store = open_store(server.url)
        store.check()
        fill(store)
        store.close()
        env = {"HOST": "127.0.0.1", "PORT": str(server.port), "HOME": str(tmp_path)}
        last = answers(commands.pop(), env)
        assert '"milk_temperature"' in last
        assert '"2' not in last.partition("values")[0]
        if shutil.which("influx", path="/usr/bin") is None:
            pytest.skip("the rest needs influx: apt-get install influxdb-client")
        series, hour, states, folded = (answers(command, env) for command in commands)
    assert f"tank,quantity=milk_temperature,site={SITE},subject=tank-1" in series.splitlines()
    assert 59 <= len(hour.splitlines()) - 1 <= 61
    assert hour.splitlines()[-1].endswith(",4.12")
    assert "ok" in states
    assert 2 <= len([line for line in folded.splitlines() if "4." in line]) <= 3
