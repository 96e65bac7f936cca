"""Several store servers as one: two real influxds and a SQLite file, and what happens when one is away."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from collectors.ingest import Ingest
from collectors.judge import Pack
from collectors.registry import Registry, open_registry, store_servers
from collectors.registry.sites import SiteSpec, apply_site
from collectors.registry.viewer import Service
from collectors.store import (
    PartlyCommitted,
    ReadingsRejected,
    Store,
    StoreMisconfigured,
    StoreUnavailable,
    open_store,
)
from collectors.store.assigned import directory_of, open_assigned_store
from collectors.store.routed import Directory, RoutedStore, Server
from collectors.store.servers import assign, servers
from makiba.reading import Columns, Reading, Series
from makiba.senml import encode_json
from makiba.settings import Settings, load_settings
from makiba.wire import BatchId
from tests.parts import PATIENCE, wait_until
from tests.service.influx_parts import INFLUXD, NO_INFLUXD, TOKEN, Influxd, V2Door

T0 = 1_784_000_000_000
CONSOLE = Service("console")
_numbers = itertools.count(1)


def air(site: str) -> Series:
    return Series(site, "barn-1", "air_temperature")


def rows(*sites: str, count: int = 3) -> Columns:
    columns = Columns()
    for i in range(count):
        for site in sites:
            columns.extend(Columns([air(site)], [T0 + i * 1000], [float(i)]))
    return columns


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Influxd, Influxd]]:
    if INFLUXD is None:
        pytest.skip(NO_INFLUXD)
    with Influxd(tmp_path / "a") as first, Influxd(tmp_path / "b") as second:
        yield first, second


def routed(tmp_path: Path, directory: Directory) -> RoutedStore:
    return RoutedStore(
        open_store(f"sqlite:{tmp_path / 'own.db'}"),
        lambda: directory,
        lambda name, server: open_store(server.url, token=TOKEN),
    )


def test_each_farm_is_on_its_server_and_all_is_one_store(tmp_path: Path, two: tuple[Influxd, Influxd]) -> None:
    first, second = two
    second.ask("CREATE DATABASE makiba")
    with V2Door(second.port) as door:
        store = routed(
            tmp_path,
            Directory(
                {"a": Server(first.url), "b": Server(door.url)}, {"farm-a": "a", "farm-b": "b"}
            ),
        )  # fmt: skip
        store.check()
        columns = rows("farm-a", "farm-b", "farm-own")
        columns.extend(Columns([Series("farm-a", "x", "no_such_quantity")], [T0], [1.0]))
        with pytest.raises(ReadingsRejected) as caught:
            store.write_columns(columns)
        assert [index for index, _ in caught.value.rejected] == [9]
        for site in ("farm-a", "farm-b", "farm-own"):
            assert len(store.range(air(site), 0, T0 * 2)) == 3
            assert store.latest(site)[air(site)].value == 2.0
            assert store.series(site) == [air(site)]
        there = open_store(first.url)
        assert (there.series("farm-a"), there.series("farm-b"), there.series("farm-own")) == ([air("farm-a")], [], [])
        assert store.roll_up(T0 + 10**10) > 0
        assert store.inventory().series == 3
        # A farm that leaves leaves every server, also the one that it was on before.
        there.write_columns(rows("farm-b"))
        store.delete_site("farm-b")
        assert store.series("farm-b") == there.series("farm-b") == []
        there.close()
        store.close()


def test_a_server_that_is_away_makes_only_its_farms_wait_and_is_back_by_itself(
    tmp_path: Path, two: tuple[Influxd, Influxd]
) -> None:
    first, second = two
    store = routed(
        tmp_path,
        Directory({"a": Server(first.url), "b": Server(second.url)}, {"farm-a": "a", "farm-b": "b"}),
    )
    store.write_columns(rows("farm-a", "farm-b", "farm-own"))
    second.kill()
    columns = rows("farm-a", "farm-b", "farm-own", count=5)
    columns.extend(Columns([Series("farm-a", "x", "no_such_quantity")], [T0], [1.0]))
    with pytest.raises(PartlyCommitted) as caught:
        store.write_columns(columns)
    assert caught.value.uncommitted == (1, 4, 7, 10, 13)
    assert [index for index, _ in caught.value.rejected] == [15]
    with pytest.raises(PartlyCommitted) as caught:  # all of a write, and yet others would be taken
        store.write_columns(rows("farm-b"))
    assert caught.value.uncommitted == (0, 1, 2)
    assert len(store.range(air("farm-a"), 0, T0 * 2)) == len(store.range(air("farm-own"), 0, T0 * 2)) == 5
    with pytest.raises(StoreUnavailable, match="server b"):
        store.range(air("farm-b"), 0, T0 * 2)
    assert set(store.away) == {"b"}
    store.check()  # two answer
    second.start()
    wait_until(lambda: not store.away, 20)
    store.write_columns(columns_of_b := rows("farm-b", count=5))
    assert len(store.range(air("farm-b"), 0, T0 * 2)) == len(columns_of_b)
    store.close()


def test_a_server_that_stalls_costs_its_time_out_once(tmp_path: Path) -> None:
    import socket

    with socket.socket() as deaf:  # takes connections and says nothing
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        url = f"influx+http://127.0.0.1:{deaf.getsockname()[1]}/makiba?timeout_s=0.3"
        store = routed(tmp_path, Directory({"a": Server(url)}, {"farm-a": "a"}))
        started_s = time.monotonic()
        for _ in range(20):
            with pytest.raises(PartlyCommitted):
                store.write_columns(rows("farm-a", "farm-own"))
        assert time.monotonic() - started_s < 3 * PATIENCE
        assert len(store.range(air("farm-own"), 0, T0 * 2)) == 3
        store.close()


def test_without_servers_it_is_the_one_store_and_without_a_registry_the_last_answer_stands(tmp_path: Path) -> None:
    answers: list[Directory | Exception] = [Directory(), OSError("down"), OSError("down")]
    clock = itertools.count(0, 100)

    def look_up() -> Directory:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    store = RoutedStore(
        open_store(f"sqlite:{tmp_path / 'own.db'}"),
        look_up,
        lambda name, server: open_store(server.url),
        monotonic_s=lambda: float(next(clock)),
    )
    store.write_columns(rows("farm-own"))
    assert len(store.range(air("farm-own"), 0, T0 * 2)) == 3
    answers[:] = [OSError("down")]
    nobody = RoutedStore(open_store(f"sqlite:{tmp_path / 'own.db'}"), look_up, lambda name, server: store)
    with pytest.raises(StoreUnavailable, match="down"):
        nobody.write_columns(rows("farm-own"))
    for one in (store, nobody):
        one.close()


# ----------------------------------------------------------------------------- the registry, commands, the collector


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("MAKIBA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MAKIBA_STORE_SECRETS", str(tmp_path / "secrets"))
    (tmp_path / "secrets").mkdir()
    return load_settings()


@pytest.fixture
def registry(settings: Settings) -> Iterator[Registry]:
    opened = open_registry(settings.registry_url, migrate=True)
    yield opened
    opened.close()


def run(app: object, *words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, words)  # type: ignore[arg-type]
    return result.exit_code, result.output


def test_servers_are_added_listed_and_removed_and_hold_no_secret(
    registry: Registry, settings: Settings, tmp_path: Path
) -> None:
    other = f"sqlite:{tmp_path / 'other.db'}"
    assert run(servers, "add", "hokubu", other) == (0, f"hokubu: {other}\n")
    assert run(servers, "add", "own", other)[0] == 2
    assert run(servers, "add", "Big Server", other)[0] == 2
    code, said = run(servers, "add", "bad", "influx+http://me:hush@h/db")
    assert code == 2
    assert "hush" not in said
    assert run(servers, "add", "bad", "influx+http://h/db?api=2")[0] == 2  # no token on this machine
    assert run(servers, "add", "gone", "influx+http://127.0.0.1:1/db", "--user", "m")[0] == 0
    code, said = run(servers, "list")
    assert code == 0
    lines = said.splitlines()
    assert [line.split()[0] for line in lines] == ["own", "gone", "hokubu"]
    assert lines[2].endswith("0 farms  answers")
    assert "refused" in lines[1]
    assert run(servers, "remove", "gone") == (0, "gone: removed\n")
    assert run(servers, "remove", "gone")[0] == 2


def test_a_farm_is_assigned_only_to_where_its_readings_are(
    registry: Registry, settings: Settings, tmp_path: Path
) -> None:
    import typer

    app = typer.Typer()
    app.command()(assign)
    other = f"sqlite:{tmp_path / 'other.db'}"
    run(servers, "add", "hokubu", other)
    own = open_store(settings.store_url)
    own.write_columns(rows("farm-a"))
    assert run(app, "farm-a", "nowhere")[0] == 2
    code, said = run(app, "farm-a", "hokubu")
    assert code == 2
    assert "store copy" in said
    there = open_store(other)
    there.write_columns(rows("farm-a"))
    assert run(app, "farm-a", "hokubu")[0] == 0
    with registry.read() as session:
        assert store_servers.assignments(session, CONSOLE) == {"farm-a": "hokubu"}
    assert run(servers, "remove", "hokubu")[0] == 2
    store = open_assigned_store(settings, registry)
    store.write_columns(Columns([air("farm-a")], [T0 + 99_000], [5.0]))
    assert (len(there.range(air("farm-a"), 0, T0 * 2)), len(own.range(air("farm-a"), 0, T0 * 2))) == (4, 3)
    assert run(app, "farm-a", "own")[0] == 0
    assert directory_of(registry).server_of == {}
    for one in (own, there, store):
        one.close()


def test_a_secret_is_a_file_of_the_machine_that_only_its_owner_reads(
    registry: Registry, settings: Settings, tmp_path: Path
) -> None:
    if INFLUXD is None:
        pytest.skip(NO_INFLUXD)
    with Influxd(tmp_path / "a") as server, V2Door(server.port) as door:
        server.ask("CREATE DATABASE makiba")
        secret = tmp_path / "secrets" / "two"
        secret.write_text(f"{TOKEN}\n")
        secret.chmod(0o644)
        code, said = run(servers, "add", "two", door.url)
        assert code == 2
        assert "chmod" in said
        assert TOKEN not in said
        secret.chmod(0o600)
        assert run(servers, "add", "two", door.url)[0] == 0
        assert "answers" in run(servers, "list")[1].splitlines()[1]
        with registry.read() as session:
            assert TOKEN not in str([vars(row) for row in store_servers.list_servers(session, CONSOLE)])


def test_the_collector_answers_the_farms_whose_server_is_there(
    registry: Registry, settings: Settings, tmp_path: Path
) -> None:
    if INFLUXD is None:
        pytest.skip(NO_INFLUXD)
    server = Influxd(tmp_path / "a")
    with registry.write() as session:
        for site, gateway in (("farm-a", "gw-a"), ("farm-own", "gw-own")):
            apply_site(session, CONSOLE, SiteSpec(site, site, site, gateways=(gateway,)), 1)
        store_servers.put_server(session, CONSOLE, "a", server.url, "", 1)
        store_servers.assign(session, CONSOLE, "farm-a", "a", 1)
    store = open_assigned_store(settings, registry)
    ingest = Ingest(registry, store, fair=True)

    def pack(gateway: str, site: str) -> Pack:
        number = next(_numbers)
        payload = encode_json([Reading(air(site), T0 + number, 1.0)])
        return Pack(gateway, BatchId("00000000000000aa", number).to_bytes(), payload, T0 + 60_000)

    packs = [pack("gw-a", "farm-a"), pack("gw-own", "farm-own"), pack("gw-a", "farm-a")]
    outcomes = ingest.take(packs)
    assert [outcome.answer is not None for outcome in outcomes] == [False, True, False]
    assert [outcome.count for outcome in outcomes] == [0, 1, 0]
    assert [outcome.judged.away for outcome in outcomes] == [True, False, True]
    with server:
        wait_until(lambda: not store.away, 20)
        outcomes = ingest.take(packs)  # they come again
        assert [outcome.answer is not None for outcome in outcomes] == [True, True, True]
        assert len(store.range(air("farm-a"), 0, T0 * 2)) == 2
    with pytest.raises(StoreUnavailable):  # whoever does not send again by itself is told
        Ingest(registry, store).take([pack("gw-a", "farm-a")])
    store.close()


def test_a_site_that_nobody_assigned_and_a_wrong_address_are_told_apart(tmp_path: Path) -> None:
    store: Store = routed(
        tmp_path, Directory({"a": Server("influx+http://h/db?api=9")}, {"farm-a": "a", "farm-x": "x"})
    )
    with pytest.raises(StoreMisconfigured):
        store.series("farm-a")
    with pytest.raises(StoreUnavailable, match="not in the registry"):
        store.series("farm-x")
    store.close()
