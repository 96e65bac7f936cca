"""The registry on SQLite and, where it is there, a real PostgreSQL: versions, farms, people, letters, alerts."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from collectors.registry import (
    SCHEMA_REVISION,
    Registry,
    RegistryMisconfigured,
    RegistryUnavailable,
    alerts,
    dead_letters,
    open_registry,
    people,
    sight,
    sites,
)
from collectors.registry.dead_letters import Letter
from collectors.registry.schema import Alert, AlertEvent, Base
from collectors.registry.sites import DeviceSpec, GatewayTaken, PlacementSpec
from collectors.registry.viewer import NotAllowed, Person, Service
from collectors.store import open_store
from makiba.wire import GatewayStatus
from tests.parts import ROOT, free_port
from tests.service.collecting import CONSOLE, GATEWAY, SITE, farm
from tests.service.postgres_parts import Postgres, why_not

NewUrl = Callable[[], str]
NOBODY = Person(0, "nobody", {})


_numbers = itertools.count()


@pytest.fixture(params=["sqlite", "postgres"])
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> NewUrl:
    """Addresses of empty registries."""
    if request.param == "sqlite":
        return lambda: f"sqlite:{tmp_path / f'registry-{next(_numbers)}.db'}"
    server: Postgres = request.getfixturevalue("postgres")
    return lambda: server.create(f"r{next(_numbers)}")


@pytest.fixture(params=["sqlite", "postgres"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Registry]:
    if request.param == "sqlite":
        opened = open_registry(f"sqlite:{tmp_path / 'registry.db'}", migrate=True)
    else:
        opened = open_registry(request.getfixturevalue("postgres").ready("r"))
    yield opened
    opened.close()


# ----------------------------------------------------------------------------------------------------- versions


def test_the_migrated_tables_are_the_models(registry: Registry) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with registry.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_the_newest_migration_is_the_one_that_open_asks_for() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(ROOT / "collectors/registry/migrations"))
    assert ScriptDirectory.from_config(config).get_heads() == [SCHEMA_REVISION]


def test_tables_of_another_version_are_refused_with_what_to_run(new_url: NewUrl) -> None:
    url = new_url()
    with pytest.raises(RegistryMisconfigured, match=r"is empty.*makiba site migrate"):
        open_registry(url)
    assert not url.startswith("sqlite:") or not Path(url.removeprefix("sqlite:")).exists()
    registry = open_registry(url, migrate=True)
    for version, said in (("0000", "version 0000.*makiba site migrate"), ("9999", "newer than this Makiba")):
        with registry.write() as session:
            session.execute(text(f"UPDATE alembic_version SET version_num = '{version}'"))
        with pytest.raises(RegistryMisconfigured, match=said):
            open_registry(url)
    with pytest.raises(RegistryMisconfigured, match="newer than this Makiba"):
        open_registry(url, migrate=True)
    registry.close()


def _migrate(url: str) -> bool:
    registry = open_registry(url, migrate=True)
    registry.check()
    registry.close()
    return True


def test_several_processes_may_migrate_at_once(new_url: NewUrl) -> None:
    url = new_url()
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as pool:
        assert all(pool.map(_migrate, [url] * 4))


def test_others_on_the_machine_cannot_read_the_file(tmp_path: Path) -> None:
    open_registry(f"sqlite:{tmp_path / 'r.db'}", migrate=True).close()
    open_store(f"sqlite:{tmp_path / 's.db'}").close()
    assert [path.stat().st_mode & 0o077 for path in tmp_path.glob("*.db*")] == [0, 0]


def test_an_open_registry_does_not_import_alembic(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path / 'r.db'}"
    open_registry(url, migrate=True).close()
    code = (
        "import sys; from collectors.registry import open_registry, sites, people, alerts, dead_letters\n"
        f"open_registry({url!r}, migrate=True)\n"
        "print([m for m in ('alembic', 'influxdb_client', 'numpy') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite:", "no path"),
        ("mysql://h/db", "expected sqlite:PATH or postgresql"),
        ("postgresql://h:port/db", "postgresql:"),
    ],
)
def test_a_wrong_address_says_what_is_expected(url: str, said: str) -> None:
    with pytest.raises(RegistryMisconfigured, match=said):
        open_registry(url)


def test_a_database_that_is_down_is_unavailable_and_its_password_not_shown() -> None:
    if reason := why_not():
        pytest.skip(reason)
    with pytest.raises(RegistryUnavailable) as caught:
        open_registry(f"postgresql://me@127.0.0.1:{free_port()}/db", password="very-secret")
    assert "very-secret" not in str(caught.value)


def test_a_write_that_raises_leaves_nothing_and_a_read_keeps_nothing(registry: Registry) -> None:
    with pytest.raises(NotAllowed), registry.write() as session:  # noqa: PT012 (the block is what is rolled back)
        sites.apply_site(session, CONSOLE, farm(), 1)
        sites.apply_site(session, NOBODY, farm(), 1)  # type: ignore[arg-type]
    with registry.read() as session:
        assert sites.list_sites(session, CONSOLE) == []
        sites.apply_site(session, CONSOLE, farm(), 1)
    with registry.read() as session:
        assert sites.list_sites(session, CONSOLE) == []


# -------------------------------------------------------------------------------------------------------- farms


def placements(registry: Registry, at_ms: int | None = None) -> dict[str, tuple[str, str]]:
    with registry.read() as session:
        rows = sites.list_placements(session, CONSOLE, SITE, at_ms)
    return {row.subject: (row.place_id, row.role) for row in rows}


def test_a_moved_subject_keeps_both_histories(registry: Registry) -> None:
    def apply(now_ms: int, *where: PlacementSpec) -> None:
        with registry.write() as session:
            sites.apply_site(session, CONSOLE, farm(placements=where), now_ms)

    barn, tank = PlacementSpec("s-1", "barn-1", "fan"), PlacementSpec("s-1", "tank")
    apply(1000, barn)
    apply(1500, barn)  # again: nothing changes
    apply(2000, tank)
    assert placements(registry) == {"s-1": ("tank", "")}
    assert placements(registry, 1000) == placements(registry, 1999) == {"s-1": ("barn-1", "fan")}
    assert placements(registry, 2000) == {"s-1": ("tank", "")}
    assert placements(registry, 999) == {}
    apply(3000)
    assert placements(registry) == {}
    assert placements(registry, 2999) == {"s-1": ("tank", "")}
    apply(4000, replace(tank, from_ms=3500))
    assert placements(registry, 3400) == {}
    assert placements(registry, 3500) == {"s-1": ("tank", "")}


def test_a_place_stays_as_long_as_the_past_knows_it(registry: Registry) -> None:
    spec = farm(placements=[PlacementSpec("s-1", "barn-1")])
    with registry.write() as session:
        sites.apply_site(session, CONSOLE, spec, 1000)
        sites.apply_site(session, CONSOLE, replace(spec, places=(), placements=()), 2000)
    with registry.read() as session:
        assert [p.id for p in sites.list_places(session, CONSOLE, SITE)] == ["barn-1"]
    assert placements(registry, 1500) == {"s-1": ("barn-1", "")}


def test_a_gateway_belongs_to_one_site_and_is_revoked_when_its_file_drops_it(registry: Registry) -> None:
    with registry.write() as session:
        sites.apply_site(session, CONSOLE, farm(), 1)
    with pytest.raises(GatewayTaken, match="gw-a belongs to site shikaoi-001"), registry.write() as session:
        sites.apply_site(session, CONSOLE, farm("shikaoi-002"), 2)
    for names, owner in (([], None), ([GATEWAY], SITE)):
        with registry.write() as session:
            sites.apply_site(session, CONSOLE, farm(gateways=names), 3)
        with registry.read() as session:
            assert sites.site_of_gateway(session, Service("collector"), GATEWAY) == owner


def test_farms_that_a_viewer_may_not_see_do_not_exist_for_them(registry: Registry) -> None:
    device = DeviceSpec("d", "bus", "profile", 1.0, ("d",))
    with registry.write() as session:
        for site, gateway in ((SITE, GATEWAY), ("shikaoi-002", "gw-b")):
            spec = farm(site, [gateway], [PlacementSpec("d", "barn-1")])
            sites.apply_site(session, CONSOLE, spec, 1)
            sites.record_reported(session, CONSOLE, gateway, [device])
            dead_letters.add(session, CONSOLE, [Letter(gateway, "b", 0, 1, "n", "r", "x")])
            session.add(_alert(f"alert-{site}", site))
            session.flush()
            session.add(
                AlertEvent(alert_id=f"alert-{site}", site_id=site, at_ms=1, kind="opened", who="w", detail={})
            )
    other = "shikaoi-002"
    owner, no_consent = Person(1, "owner", {other: "owner"}), Person(2, "vet", {other: "vet"})
    vet = replace(no_consent, grants={other: frozenset({"alerts", "herd"})})
    fitter = Person(3, "fitter", {other: "technician"}, grants={other: frozenset({"technical"})})
    admin = replace(NOBODY, is_admin=True)
    # Farms, gateways and devices, alerts, dead letters.
    for viewer, seen in (
        (CONSOLE, (2, 2, 2, 2)), (owner, (1, 1, 1, 1)), (vet, (1, 0, 1, 0)), (fitter, (1, 1, 0, 0)),
        (admin, (2, 2, 0, 0)), (no_consent, (0, 0, 0, 0)), (NOBODY, (0, 0, 0, 0)),
    ):  # fmt: skip
        with registry.read() as session:
            assert (
                len(sites.list_sites(session, viewer)),
                len(sites.list_gateways(session, viewer)),
                len(alerts.open_alerts(session, viewer)),
                len(dead_letters.list_letters(session, viewer)),
            ) == seen
            assert len(alerts.events_since(session, viewer, 0)) == seen[2]
            assert dead_letters.count(session, viewer) == seen[3]
            assert len([s for s in (SITE, other) if sites.list_devices(session, viewer, s)]) == seen[1]
    for viewer in (vet, fitter, admin):
        with registry.read() as session:
            assert list(sites.list_places(session, viewer, other)) == []
            assert list(sites.list_placements(session, viewer, other)) == []
    for viewer in (vet, no_consent, NOBODY):
        with registry.read() as session:
            assert sites.get_site(session, viewer, SITE) is None
            assert sites.get_gateway(session, viewer, GATEWAY) is None
            assert alerts.get_alert(session, viewer, f"alert-{SITE}") is None
            for rows in (
                sites.list_places(session, viewer, SITE),
                sites.list_placements(session, viewer, SITE),
                sites.list_devices(session, viewer, SITE),
                alerts.list_alerts(session, viewer, SITE, active=True),
                alerts.open_alerts(session, viewer, SITE),
                alerts.events_of(session, viewer, f"alert-{SITE}"),
            ):
                assert list(rows) == []
    with registry.write() as session, pytest.raises(NotAllowed):
        sites.apply_site(session, vet, farm("shikaoi-002"), 1)  # type: ignore[arg-type]


def test_an_old_will_never_hides_a_newer_birth(registry: Registry) -> None:
    with registry.write() as session:
        sites.apply_site(session, CONSOLE, farm(), 1)

    def hear(state: str, connection: str, time_ms: int, received_ms: int) -> tuple[str, int]:
        status = GatewayStatus(state=state, connection=connection, time_ms=time_ms, site=SITE)
        with registry.write() as session:
            first = sites.record_status(session, CONSOLE, GATEWAY, status, received_ms)
        with registry.write() as session:  # another collector, a little later
            second = sites.record_status(session, CONSOLE, GATEWAY, status, received_ms + 3)
        assert second == (replace(first, news=False) if first else None)
        with registry.read() as session:
            row = sites.get_gateway(session, CONSOLE, GATEWAY)
            assert row
            return row.status, row.status_ms

    t = 1_790_000_000_000
    assert hear("online", "9", t, t + 5) == ("online", t)
    assert hear("online", "9", t, t + 50) == ("online", t)
    assert hear("online", "10", t + 100, t + 105) == ("online", t + 100)
    assert hear("offline", "9", t, t + 110) == ("online", t + 100)  # the late will of connection 9
    assert hear("offline", "10", t + 100, t + 200) == ("offline", t + 200)
    assert hear("online", "10", t + 100, t + 300) == ("offline", t + 200)  # retained words of before, seen late
    assert hear("online", "11", t - 999_999_999_999, t + 400) == ("online", t + 400)  # its clock is not set
    assert hear("online", "1", t + 500, t + 500) == ("online", t + 500)  # a new card counts from 1
    assert hear("stopped", "1", t + 600, t + 600) == ("stopped", t + 600)


# ------------------------------------------------------------------------------------------------------- people


def person(registry: Registry, login: str = "hanako") -> int:
    with registry.write() as session:
        return people.create_person(session, CONSOLE, login=login, name="花子", now_ms=1, password_hash="h").id


def test_a_login_is_one_persons_whatever_its_case(registry: Registry) -> None:
    number = person(registry, "Hanako ")
    with registry.read() as session:
        found = people.person_by_login(session, CONSOLE, " HANAKO")
    assert found
    assert (found.id, found.login, found.password_hash) == (number, "hanako", "h")
    with pytest.raises(people.LoginTaken):
        person(registry, "hanakO")


def test_roles_make_a_viewer_and_a_disabled_person_is_none(registry: Registry) -> None:
    number = person(registry)
    with registry.write() as session:
        sites.apply_site(session, CONSOLE, farm(), 1)
        people.grant_role(session, CONSOLE, number, SITE, "worker", 1)
        people.grant_role(session, CONSOLE, number, SITE, "owner", 1)
        people.create_session(session, CONSOLE, token_hash="t", person_id=number, now_ms=10, expires_ms=100)
    with registry.read() as session:
        viewer = people.session_viewer(session, CONSOLE, "t", 99)
        assert viewer == Person(number, "花子", {SITE: "owner"})
        assert people.session_viewer(session, CONSOLE, "t", 100) is None
        assert people.session_viewer(session, CONSOLE, "other", 50) is None
        assert viewer
        assert [r.role for r in people.list_roles(session, viewer)] == ["owner"]
        assert list(people.list_roles(session, NOBODY)) == []
    with registry.write() as session:
        people.touch(session, CONSOLE, "t", 50, expires_ms=500)
    with registry.read() as session:
        assert people.session_viewer(session, CONSOLE, "t", 499) == viewer
    with registry.write() as session:
        people.set_disabled(session, CONSOLE, number, 60)
    with registry.read() as session:
        assert people.session_viewer(session, CONSOLE, "t", 61) is None
        assert people.viewer_of(session, CONSOLE, number, 61) is None


def test_the_administrator_is_no_part_of_makiba(registry: Registry) -> None:
    number, other = person(registry), person(registry, "taro")
    admin: Any = Person(number, "花子", {}, is_admin=True)
    with registry.write() as session:
        attempts: list[Callable[[], object]] = [
            lambda: sites.apply_site(session, admin, farm(), 1),
            lambda: people.set_password_hash(session, admin, other, "mine"),
            lambda: people.set_language(session, admin, other, "en"),
            lambda: people.create_session(session, admin, token_hash="t", person_id=other, now_ms=1, expires_ms=9),
            lambda: people.create_invitation(session, admin, code_hash="c", person_id=other, expires_ms=9),
            lambda: people.viewer_of(session, admin, other, 1),
            lambda: sight.sights_of(session, admin, []),
        ]
        for forbidden in attempts:
            with pytest.raises(NotAllowed):
                forbidden()
        assert len(people.list_people(session, admin)) == 2


def test_a_person_changes_only_what_is_theirs(registry: Registry) -> None:
    number, other = person(registry), person(registry, "taro")
    me = Person(number, "花子", {SITE: "worker"})
    with registry.write() as session:
        sites.apply_site(session, CONSOLE, farm(), 1)
        people.set_language(session, me, number, "en")
        attempts: list[Callable[[], object]] = [
            lambda: people.set_password_hash(session, me, other, "mine"),
            lambda: people.grant_role(session, me, number, SITE, "owner", 1),
            lambda: people.create_person(session, me, login="x", name="x", now_ms=1, is_admin=True),
            lambda: people.person_by_login(session, me, "taro"),  # type: ignore[arg-type]
        ]
        for forbidden in attempts:
            with pytest.raises(NotAllowed):
                forbidden()
        assert people.get_person(session, me, other) is None
        mine = people.get_person(session, me, number)
    assert mine
    assert mine.language == "en"


def test_an_invitation_is_used_up(registry: Registry) -> None:
    number = person(registry)
    with registry.write() as session:
        for code, uses in (("once", 1), ("always", None)):
            people.create_invitation(
                session, CONSOLE, code_hash=code, person_id=number, expires_ms=100, uses_left=uses
            )

    def redeem(code: str, now_ms: int) -> int | None:
        with registry.write() as session:
            return people.redeem_invitation(session, CONSOLE, code, now_ms)

    assert [redeem("once", 99), redeem("once", 99)] == [number, None]
    assert [redeem("always", 1), redeem("always", 99), redeem("always", 100)] == [number, number, None]
    assert redeem("none", 1) is None


def _redeem(url: str) -> int | None:
    registry = open_registry(url)
    with registry.write() as session:
        found = people.redeem_invitation(session, CONSOLE, "once", 1)
    registry.close()
    return found


def test_of_several_processes_one_gets_the_last_use_of_a_code(new_url: NewUrl) -> None:
    url = new_url()
    registry = open_registry(url, migrate=True)
    number = person(registry)
    with registry.write() as session:
        people.create_invitation(session, CONSOLE, code_hash="once", person_id=number, expires_ms=9, uses_left=2)
    registry.close()
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as pool:
        assert sorted(pool.map(_redeem, [url] * 8), key=str) == [number, number] + [None] * 6


# --------------------------------------------------------------------------------------------- letters and alerts


def test_a_letter_that_comes_again_is_there_already(registry: Registry) -> None:
    letters = [Letter(GATEWAY, "b/1", i, 5, "n\x00\ud800", "r" * 5000, "x") for i in range(700)]
    for _ in range(2):
        with registry.write() as session:
            dead_letters.add(session, CONSOLE, letters)
    with registry.read() as session:
        assert dead_letters.count(session, CONSOLE) == dead_letters.count(session, CONSOLE, GATEWAY) == 700
        page = dead_letters.list_letters(session, CONSOLE, limit=10)
        rest = dead_letters.list_letters(session, CONSOLE, limit=1000, before_id=page[-1].id)
    assert [row.record_index for row in (*page, *rest)] == list(range(699, -1, -1))


def _alert(number: str, site: str, *, opened_ms: int = 5, ended_ms: int | None = None) -> Alert:
    return Alert(
        id=number, site_id=site, rule="r", subject=number, place_id=None, severity="warning", onset_ms=1,
        opened_ms=opened_ms, seen_ms=opened_ms, ended_ms=ended_ms, signals={}, children=[],
    )  # fmt: skip


def test_alerts_come_newest_first_in_pages(registry: Registry) -> None:
    with registry.write() as session:
        sites.apply_site(session, CONSOLE, farm(), 1)
        session.add_all(_alert(f"o{i}", SITE, opened_ms=10 * i) for i in range(5))
        session.add_all(_alert(f"e{i}", SITE, opened_ms=1, ended_ms=10 * i) for i in range(5))
        session.flush()
        events = [AlertEvent(alert_id="o1", site_id=SITE, at_ms=i, kind="k", who="w", detail={}) for i in range(5)]
        session.add_all(events)
    with registry.read() as session:
        assert [a.id for a in alerts.list_alerts(session, CONSOLE, SITE, active=True, limit=2)] == ["o4", "o3"]
        ended = alerts.list_alerts(session, CONSOLE, SITE, active=False, limit=3, after=(30, "e3"))
        assert [a.id for a in ended] == ["e2", "e1", "e0"]
        assert len(alerts.open_alerts(session, CONSOLE, SITE)) == 5
        first = alerts.events_since(session, CONSOLE, 0, limit=2)
        rest = alerts.events_since(session, CONSOLE, first[-1].id)
        assert [e.at_ms for e in (*first, *rest)] == [0, 1, 2, 3, 4]
        assert alerts.last_event_id(session, CONSOLE) == rest[-1].id
        assert alerts.last_event_id(session, NOBODY) == 0
