"""`makiba collect`, `store` and `site` as processes."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from collectors.registry import open_registry, sites, store_servers
from collectors.store import open_store
from makiba.cli import root
from makiba.located_yaml import ConfigErrors
from makiba.reading import Reading, Series
from tests.parts import ROOT, Broker, Process, free_port, makiba, wait_until
from tests.service.collecting import CONSOLE, GATEWAY, Talker, now_ms, readings
from tests.service.influx_parts import INFLUXD, NO_INFLUXD, Influxd

SITE_FILE = """\
site: shikaoi-001
name: {ja: 牧場, en: Farm}
gateways: [gw-a]
places:
  - {id: barn-1, kind: barn, name: {ja: 牛舎, en: Barn}}
placements:
  - {subject: barn-1-climate, place: barn-1}
"""


@dataclass(frozen=True)
class Ran:
    """How a command ended and what it said."""

    returncode: int
    stdout: str
    stderr: str


def run(home: Path, *arguments: str, **env: str) -> Ran:
    """`makiba …` within this process, which is ten times faster than a process of its own."""
    result = CliRunner().invoke(root, arguments, env={"MAKIBA_HOME": str(home), **env})
    assert not isinstance(result.exception, ConfigErrors), "see `run_process`"
    return Ran(result.exit_code, result.stdout, result.stderr)


def run_process(home: Path, *arguments: str) -> Ran:
    """`makiba …` as a technician runs it."""
    command = [sys.executable, "-m", "makiba", *arguments]
    env = {"PATH": "/usr/bin:/bin", "MAKIBA_HOME": str(home)}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=env)
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def site_file(tmp_path: Path) -> Path:
    file = tmp_path / "site.yaml"
    file.write_text(SITE_FILE, encoding="utf-8")
    return file


def test_a_site_file_is_applied_and_shown(tmp_path: Path, site_file: Path) -> None:
    for _ in range(2):
        applied = run(tmp_path, "site", "apply", str(site_file))
        assert (applied.returncode, applied.stdout) == (0, "shikaoi-001: 1 gateways, 1 places, 1 placements\n")
    assert run(tmp_path, "site", "list").stdout == "shikaoi-001  牧場  Farm\n"
    assert run(tmp_path, "site", "gateways", "shikaoi-001").stdout == "gw-a  unknown  0 devices\n"
    gone = run(tmp_path, "site", "gateways", "shikaoi-002")
    assert (gone.returncode, gone.stderr) == (2, "no site shikaoi-002; `makiba site list` shows them\n")


def test_wrong_site_files_are_all_explained_and_nothing_is_applied(tmp_path: Path, site_file: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(SITE_FILE.replace("kind: barn", "kind: bern").replace("001", "002"), encoding="utf-8")
    other = tmp_path / "other.yaml"
    other.write_text(SITE_FILE.replace("place: barn-1}", "place: barn-2}"), encoding="utf-8")
    applied = run_process(tmp_path, "site", "apply", str(site_file), str(wrong), str(other))
    assert applied.returncode == 2
    assert f"{wrong}:5:18: places[0].kind: 'bern' is unknown; did you mean 'barn'" in applied.stderr
    assert f"{other}:7:31: placements[0].place: no place 'barn-2' in this file" in applied.stderr
    assert not (tmp_path / "registry.db").exists()


def test_a_gateway_of_another_site_is_not_taken(tmp_path: Path, site_file: Path) -> None:
    assert run(tmp_path, "site", "apply", str(site_file)).returncode == 0
    second = tmp_path / "second.yaml"
    second.write_text(SITE_FILE.replace("001", "002"), encoding="utf-8")
    applied = run(tmp_path, "site", "apply", str(second))
    assert applied.returncode == 2
    assert "gateway gw-a belongs to site shikaoi-001" in applied.stderr
    assert run(tmp_path, "site", "list").stdout == "shikaoi-001  牧場  Farm\n"


def test_a_registry_of_another_version_says_what_to_run(tmp_path: Path) -> None:
    listed = run(tmp_path, "site", "list")
    assert listed.returncode == 2
    assert "run `makiba site migrate`" in listed.stderr
    assert run(tmp_path, "site", "migrate").returncode == 0
    assert run(tmp_path, "site", "list").returncode == 0


def test_the_store_is_looked_into(tmp_path: Path) -> None:
    store = open_store(f"sqlite:{tmp_path / 'store.db'}")
    store.write([Reading(Series("s-1", "gas", "ammonia"), 1_790_000_000_000, 1.2e-5)])
    store.close()
    assert run(tmp_path, "store", "check").stdout.endswith(f"sqlite:{tmp_path / 'store.db'}: whole\n")
    assert run(tmp_path, "store", "latest", "s-1").stdout == "2026-09-21T14:13:20.000Z  s-1/gas/ammonia  12.0 ppm\n"
    assert run(tmp_path, "store", "series", "s-1").stdout == "s-1/gas/ammonia\n"
    down = run(tmp_path, "store", "check", MAKIBA_STORE=f"influx+http://127.0.0.1:{free_port()}/makiba")
    assert down.returncode == 1
    assert "refused" in down.stderr
    wrong = run(tmp_path, "store", "check", MAKIBA_STORE="sqllite:x")
    assert (wrong.returncode, "did you mean 'sqlite'" in wrong.stderr) == (2, True)


@pytest.mark.skipif(INFLUXD is None, reason=NO_INFLUXD)
def test_what_is_wrong_with_an_influxdb_is_not_called_a_damaged_file(tmp_path: Path) -> None:
    assert run(tmp_path, "site", "migrate").returncode == 0
    with Influxd(tmp_path / "influx") as server:
        server.ask("CREATE DATABASE makiba")
        server.put('air,quantity=air_temperature,site=s,subject=b value="x" 1790000000000')
        other = run(tmp_path, "store", "check", MAKIBA_STORE=server.url)
        assert other.returncode == 2
        assert "field value is string" in other.stderr
        assert "makiba site refused" in other.stderr
        server.ask("DROP DATABASE makiba")
        assert run(tmp_path, "store", "check", MAKIBA_STORE=server.url).returncode == 0
        registry = open_registry(f"sqlite:{tmp_path / 'registry.db'}")
        with registry.write() as session:
            store_servers.put_server(session, CONSOLE, "kita", server.url, "", 1)
        registry.close()
        both = run(tmp_path, "store", "check")
        assert (both.returncode, both.stdout.endswith(": whole\n")) == (0, True)
    away = run(tmp_path, "store", "check")
    assert away.returncode == 1
    assert "kita: " in away.stderr
    assert "Start the server" in away.stderr
    assert "series 0" in away.stdout  # what answered was looked into
    assert "whole" not in away.stdout
    for ran in (other, away):
        assert "backup" not in ran.stderr
        assert "is damaged" not in ran.stderr


def test_collect_without_keys_does_not_start(tmp_path: Path) -> None:
    ran = run_process(tmp_path, "collect")
    assert ran.returncode == 2
    assert "collector.pem" in ran.stderr
    assert not (tmp_path / "registry.db").exists()


@pytest.mark.slow
def test_collect_waits_for_what_is_not_there_and_outlives_the_broker(tmp_path: Path, site_file: Path) -> None:
    assert run(tmp_path, "site", "apply", str(site_file)).returncode == 0
    broker = Broker(tmp_path / "broker")
    env = {"MAKIBA_HOME": str(tmp_path), **broker.env()}
    collector: Process = makiba("collect", log=tmp_path / "collect.log", env=env)
    rows = readings(2, now_ms())

    def connected_times(count: int) -> bool:
        return collector.log().count("connected") == count

    with collector, broker:
        for life in (1, 2):
            wait_until(partial(connected_times, life), 15, collector.log)
            with Talker(broker.options(GATEWAY)) as gateway:
                gateway.send(life, rows[life - 1 : life])
                assert gateway.ack_of(life).stored == 1
            if life == 1:
                broker.kill()
                wait_until(lambda: "trying again" in collector.log(), 5, collector.log)
                broker.start()
        assert collector.terminate() == 0
    assert collector.log().count("trying again") <= 2  # one line when it breaks, not one per attempt
    assert "Traceback" not in collector.log()
    store = open_store(f"sqlite:{tmp_path / 'store.db'}")
    assert len(store.range(rows[0].series, 0, 2**50)) == 2
    store.close()
    registry = open_registry(f"sqlite:{tmp_path / 'registry.db'}")
    with registry.read() as session:
        assert sites.site_of_gateway(session, CONSOLE, GATEWAY) == "shikaoi-001"
    registry.close()


@pytest.mark.slow
@pytest.mark.skipif(INFLUXD is None, reason=NO_INFLUXD)
def test_collect_stops_on_a_signal_while_its_store_is_down(tmp_path: Path, site_file: Path) -> None:
    assert run(tmp_path, "site", "apply", str(site_file)).returncode == 0
    server = Influxd(tmp_path / "influx")
    with Broker(tmp_path / "broker") as broker, Talker(broker.options(GATEWAY)) as gateway:
        env = {"MAKIBA_HOME": str(tmp_path), "MAKIBA_STORE": server.url, **broker.env()}
        collector: Process = makiba("collect", log=tmp_path / "collect.log", env=env)
        with collector:
            wait_until(lambda: "waiting for the store" in collector.log(), 15, collector.log)
            assert collector.terminate() == 0
        with server, collector:
            wait_until(lambda: "connected" in collector.log(), 15, collector.log)
            gateway.send(1, readings(1, now_ms()))
            gateway.ack_of(1)
            server.kill()
            gateway.send(2, readings(1, now_ms()))
            wait_until(lambda: "nothing is answered until it is back" in collector.log(), 10, collector.log)
            assert collector.terminate(within_s=15) == 0
    assert "Traceback" not in collector.log()
    assert len(gateway.acks()) == 1
