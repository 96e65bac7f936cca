"""Consents, the audit and the number of the rights, on SQLite and a real PostgreSQL."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, select, text
from starlette.exceptions import HTTPException

from api.ears import Ear
from api.hub import KINDS, Hub
from api.routes.stream import FRESH_S, Accounts, Listener
from api.sessions import Account, digest, rights_of
from collectors.registry import Registry, audit, consent, open_registry, people, rights_version, sites
from collectors.registry.schema import AuditRow, Consent, RoleRow
from collectors.registry.sight import Sight
from collectors.registry.sites import PlacementSpec
from collectors.registry.viewer import NotAllowed, Person, Role
from makiba.data_class import DATA_CLASSES, DataClass
from tests.parts import ROOT
from tests.service.collecting import CONSOLE, SITE, farm
from tests.service.postgres_parts import Postgres
from tests.service.serving import Centre, sign_in
from tests.service.serving import farm as served_farm

T = 1_790_000_000_000
OWNER = Person(1, "花子", {SITE: "owner"})


_numbers = itertools.count()


@pytest.fixture(params=["sqlite", "postgres"])
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    if request.param == "sqlite":
        return lambda: f"sqlite:{tmp_path / f'registry-{next(_numbers)}.db'}"
    server: Postgres = request.getfixturevalue("postgres")
    return lambda: server.create("rights")


@pytest.fixture
def registry(new_url: Callable[[], str]) -> Iterator[Registry]:
    opened = open_registry(new_url(), migrate=True)
    with opened.write() as session:
        for site, gateway in ((SITE, "gw-a"), ("shikaoi-002", "gw-b")):
            sites.apply_site(session, CONSOLE, farm(site, [gateway], [PlacementSpec("s-1", "barn-1")]), T - 1)
        for login in ("hanako", "coop", "coop2", "admin"):
            people.create_person(session, CONSOLE, login=login, name=login, now_ms=T, is_admin=login == "admin")
        people.grant_role(session, CONSOLE, 1, SITE, "owner", T)
        people.grant_role(session, CONSOLE, 2, SITE, "coop", T)
        people.grant_role(session, CONSOLE, 3, SITE, "coop", T)
    yield opened
    opened.close()


def give(registry: Registry, *classes: DataClass, **given: Any) -> str:
    with registry.write() as session:
        return consent.give(session, OWNER, SITE, classes=classes, **{"now_ms": T, **given}).id


def grants(registry: Registry, person: int, at_ms: int = T) -> set[str]:
    with registry.read() as session:
        viewer = people.viewer_of(session, CONSOLE, person, at_ms)
    assert viewer
    assert set(viewer.grants) <= {SITE}
    return set(viewer.grants.get(SITE, ()))


# ----------------------------------------------------------------------------------------------------- consents


def test_a_role_from_outside_shows_nothing_and_a_consent_its_classes(registry: Registry) -> None:
    assert grants(registry, 2) == set()
    first = give(registry, "tank", "alerts", role="coop")
    give(registry, "herd", person_id=2)
    assert (grants(registry, 2), grants(registry, 3)) == ({"tank", "alerts", "herd"}, {"tank", "alerts"})
    with registry.write() as session:
        for _ in range(2):
            row = consent.withdraw(session, OWNER, SITE, first, T + 5)
            assert row
            assert (row.withdrawn_ms, row.withdrawn_by) == (T + 5, "person:1")
        neighbour = replace(OWNER, roles={"shikaoi-002": "owner"})
        assert consent.withdraw(session, neighbour, "shikaoi-002", first, T) is None
    assert (grants(registry, 2), grants(registry, 3)) == ({"herd"}, set())


def test_a_consent_holds_in_its_period_only_and_its_edges_are_known(registry: Registry) -> None:
    give(registry, "tank", role="coop", from_ms=T + 10, until_ms=T + 20)
    assert [bool(grants(registry, 2, T + at)) for at in (9, 10, 19, 20)] == [False, True, True, False]
    with registry.read() as session:
        for at, until in ((0, T + 10), (10, T + 20), (20, consent.NEVER_MS)):
            assert consent.granted(session, CONSOLE, {2: {SITE: "coop"}}, T + at)[2].until_ms == until


def test_a_consent_ends_with_the_role_and_is_nothing_to_the_farms_own(registry: Registry) -> None:
    give(registry, "tank", person_id=2)
    with registry.write() as session:
        people.grant_role(session, OWNER, 2, SITE, "vet", T)
    assert grants(registry, 2) == {"tank"}
    with registry.write() as session:
        people.revoke_role(session, OWNER, 2, SITE, T)
    assert grants(registry, 2) == set()
    assert grants(registry, 1) == set()


def test_only_the_owner_gives_and_only_to_who_has_to_do_with_the_farm(registry: Registry) -> None:
    wrong: list[dict[str, Any]] = [
        {"classes": ()}, {"classes": ("milk",)}, {"role": "worker"}, {"role": None}, {"person_id": 2},
        {"role": None, "person_id": 4}, {"role": None, "person_id": 99}, {"role": None, "person_id": 1},
        {"until_ms": T}, {"from_ms": T + 5, "until_ms": T + 5},
    ]  # fmt: skip
    others: list[tuple[Person, str]] = [
        (replace(OWNER, roles={SITE: role}), SITE) for role in ("family", "worker", "vet", "coop", "technician")
    ]
    admin = Person(4, "admin", {}, is_admin=True)
    others += [(OWNER, "shikaoi-002"), (admin, SITE)]
    with registry.write() as session:
        for what in wrong:
            given: dict[str, Any] = {"classes": ("tank",), "role": "coop", "now_ms": T} | what
            with pytest.raises(ValueError):  # noqa: PT011 (each says its own)
                consent.give(session, OWNER, SITE, **given)
        for viewer, site in others:
            with pytest.raises(NotAllowed):
                consent.give(session, viewer, site, classes=["tank"], role="coop", now_ms=T)
            with pytest.raises(NotAllowed):
                consent.withdraw(session, viewer, site, "x", T)
        assert list(session.scalars(select(Consent))) == []


def test_an_administrator_names_the_first_owner_of_a_farm_and_helps_themselves_to_nothing(registry: Registry) -> None:
    admin = Person(4, "admin", {}, is_admin=True)

    def grant(site: str, role: Role) -> None:
        with registry.write() as session:
            people.grant_role(session, admin, 4, site, role, T)

    for site, role in ((SITE, "owner"), (SITE, "coop"), ("shikaoi-002", "coop"), ("shikaoi-002", "family")):
        with pytest.raises(NotAllowed):
            grant(site, role)  # type: ignore[arg-type]
    grant("shikaoi-002", "owner")
    with registry.read() as session:
        rows = session.scalars(select(AuditRow).where(AuditRow.site_id == "shikaoi-002")).all()
    assert [(r.who, r.what, r.detail["role"]) for r in rows] == [("person:4", "role.granted", "owner")]


# -------------------------------------------------------------------------------------------------- the number


def test_every_change_of_rights_raises_the_number_and_nothing_else_does(registry: Registry) -> None:
    def number() -> int:
        with registry.read() as session:
            return rights_version.current(session)

    given = give(registry, "tank", role="coop")
    with registry.write() as session:
        people.create_session(session, CONSOLE, token_hash="t", person_id=2, now_ms=T, expires_ms=T + 9)
    changes: list[Callable[[Any], object]] = [
        lambda s: consent.give(s, OWNER, SITE, classes=["herd"], role="vet", now_ms=T),
        lambda s: consent.withdraw(s, OWNER, SITE, given, T),
        lambda s: people.grant_role(s, OWNER, 4, SITE, "vet", T),
        lambda s: people.revoke_role(s, OWNER, 4, SITE, T),
        lambda s: people.delete_session(s, CONSOLE, "t"),
        lambda s: people.set_disabled(s, CONSOLE, 2, T),
        lambda s: people.create_person(s, CONSOLE, login="new", name="new", now_ms=T),
        lambda s: sites.apply_site(s, CONSOLE, farm(placements=[PlacementSpec("s-1", "tank")]), T),
    ]
    for change in changes:
        before = number()
        with registry.write() as session:
            change(session)
        assert number() > before
    before = number()
    with registry.write() as session:
        audit.note_read(session, OWNER, SITE, {"tank"}, "/x", T)
        people.create_session(session, CONSOLE, token_hash="u", person_id=3, now_ms=T, expires_ms=T + 9)
        people.touch(session, CONSOLE, "u", T, T + 99)
        people.delete_session(session, CONSOLE, "nobody's")
    with pytest.raises(RuntimeError), registry.write() as session:  # noqa: PT012 (the block is what is rolled back)
        people.grant_role(session, OWNER, 4, SITE, "vet", T)
        raise RuntimeError
    assert number() == before


# -------------------------------------------------------------------------------------------------- the audit


def test_reads_of_a_minute_are_one_row_with_a_count_whoever_writes_at_once(registry: Registry) -> None:
    guest = Person(2, "coop", {SITE: "coop"})

    def read(n: int) -> None:
        with registry.write() as session:
            audit.note_read(session, guest, SITE, {"tank", "barn"}, "/w", T // 60_000 * 60_000 + n, (T - n, T + n))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(read, range(40)))
    read(60_000)
    with registry.read() as session:
        rows = audit.list_rows(session, OWNER, SITE, 10)
    reads = [(r.data_class, r.count, r.from_ms, r.to_ms) for r in rows if r.kind == "read"]
    assert sorted(reads[:2]) == [(c, 1, T - 60_000, T + 60_000) for c in ("barn", "tank")]
    assert sorted(reads[2:]) == [(c, 40, T - 39, T + 39) for c in ("barn", "tank")]
    for viewer in (guest, replace(OWNER, roles={SITE: "worker"}), Person(4, "admin", {}, is_admin=True)):
        with registry.read() as session, pytest.raises(NotAllowed):
            audit.list_rows(session, viewer, SITE, 10)


def test_an_answer_that_is_ready_after_the_withdrawal_is_not_given(tmp_path: Path) -> None:
    centre = Centre(tmp_path)
    guest = centre.person("coop", password=None, shikaoi_001="coop")
    given = centre.consent(SITE, "tank", role="coop")
    with centre.registry.read() as session:
        viewer = people.viewer_of(session, CONSOLE, guest, centre.clock())
    assert viewer
    account = Account(centre, viewer, "/x")  # type: ignore[arg-type]
    account.note(SITE, {"tank"})
    for classes in ({"barn"}, {"tank", "barn"}):
        with pytest.raises(HTTPException, match="404"):
            account.note(SITE, classes)  # type: ignore[arg-type]
    with centre.registry.write() as session:
        consent.withdraw(session, CONSOLE, SITE, given, centre.clock())
    with pytest.raises(HTTPException, match="404"):
        account.note(SITE, {"tank"})
    with centre.registry.read() as session:
        reads = session.scalars(select(AuditRow).where(AuditRow.kind == "read")).all()
    assert [(r.data_class, r.count) for r in reads] == [("tank", 1)]


def test_a_stream_opened_with_older_rights_is_looked_at_again(tmp_path: Path) -> None:
    centre = Centre(tmp_path)
    guest = centre.person("coop", password=None, shikaoi_001="coop")
    given = centre.consent(SITE, "tank", role="coop")
    token = digest(centre.cookie(guest))
    before, rights = rights_of(centre, [Ear(token), Ear("nobody")])  # type: ignore[arg-type]
    assert set(rights) == {Ear(token)}
    assert rights[Ear(token)].sight.of(SITE).classes == {"tank"}
    with centre.registry.write() as session:
        consent.withdraw(session, CONSOLE, SITE, given, centre.clock())
    after, rights = rights_of(centre, [Ear(token)])  # type: ignore[arg-type]
    assert after > before
    assert rights[Ear(token)].sight.of(SITE).classes == frozenset()


def test_what_is_seen_by_consent_waits_while_nobody_can_say_that_it_holds(tmp_path: Path) -> None:
    centre = Centre(tmp_path)
    guest = centre.person("coop", password=None, shikaoi_001="coop")
    centre.consent(SITE, "tank", role="coop")
    token = digest(centre.cookie(guest))
    _, found = rights_of(centre, [Ear(token)])  # type: ignore[arg-type]
    rights, hub = found[Ear(token)], Hub()

    async def may_go_on(sight: Sight, checked_ago_s: float) -> bool:
        account = Account(centre, rights.person, "/stream")  # type: ignore[arg-type]
        stream = hub.open(Ear(token), guest, sight, rights.version)
        running: Any = SimpleNamespace(hub=hub)
        listener = Listener(running, stream.ear, rights, Accounts(account), KINDS)
        hub.checked_s = time.monotonic() - checked_ago_s
        waiting = asyncio.create_task(listener._may_go_on(stream))
        done, _ = await asyncio.wait({waiting}, timeout=0.4)
        waiting.cancel()
        return bool(done) and waiting.result()

    assert asyncio.run(may_go_on(rights.sight, 0.0))
    assert not asyncio.run(may_go_on(rights.sight, FRESH_S))
    assert asyncio.run(may_go_on(Sight(frozenset({SITE})), 1e9))  # the farm's own people go on


def test_a_sensor_that_moved_shows_a_guest_only_its_time_where_they_may_look(tmp_path: Path) -> None:
    centre = Centre(tmp_path)
    moved = centre.clock() // 3_600_000 * 3_600_000
    centre.clock.ms = moved + 1_800_000
    centre.person("coop", shikaoi_001="coop")
    centre.person("hanako", shikaoi_001="owner")
    centre.consent(SITE, "tank", role="coop")
    spec = served_farm(SITE, "gw-a")
    before = PlacementSpec("probe", "barn-1", from_ms=moved - 7_200_000)
    after = PlacementSpec("probe", "tank-room", from_ms=moved)
    with centre.registry.write() as session:
        for placement in (before, after):
            placed = (*spec.placements, placement)
            sites.apply_site(session, CONSOLE, replace(spec, placements=placed), centre.clock())
    for at_ms, value in ((moved - 1, 31.0), (moved - 3_600_000, 32.0), (moved, 21.0), (moved + 60_000, 22.0)):
        centre.write(f"{SITE}/probe/air_temperature", value, at_ms)
    path = f"/api/v1/sites/{SITE}/series/probe/air_temperature/windows"
    query = {"start_ms": moved - 7_200_000, "end_ms": moved + 1_800_000}
    with centre.signed_in("coop") as browser:
        for points in (1, 2, 7, 300, 2_000):
            told = browser.get(path, params=query | {"points": points}).json()["windows"]
            values = {v for _, _, low, mean, high, last in told for v in (low, mean, high, last)}
            assert values <= {21.0, 21.5, 22.0}, points
            assert values or points < 7
        places = browser.get(f"/api/v1/sites/{SITE}/places").json()["places"]
        assert [s["subject"] for p in places for s in p["subjects"]] == ["tank-1", "probe"]
        sign_in(browser, "hanako")
        told = browser.get(path, params=query).json()["windows"]
        assert {w[5] for w in told} >= {31.0, 32.0, 22.0}


def test_the_upgrade_keeps_roles_and_gives_no_consent(new_url: Callable[[], str]) -> None:
    url = new_url()
    config = Config()
    config.set_main_option("script_location", str(ROOT / "collectors/registry/migrations"))
    engine = create_engine(url.replace("sqlite:", "sqlite:///").replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0005")  # the version before consents
        connection.execute(
            text(
                "INSERT INTO site (id, name_ja, name_en, timezone, rules, created_ms)"
                " VALUES ('farm-1', '牧場', 'farm', 'Asia/Tokyo', '{}', 1)"
            )
        )
        connection.execute(
            text(
                "INSERT INTO person (id, login, name, language, is_admin, created_ms)"
                " VALUES (7, 'vet', '獣医', 'ja', false, 1), (8, 'owner', '主', 'ja', false, 1)"
            )
        )
        connection.execute(text("INSERT INTO role VALUES (7, 'farm-1', 'vet'), (8, 'farm-1', 'owner')"))
    engine.dispose()
    registry = open_registry(url, migrate=True)
    with registry.read() as session:
        assert {(r.person_id, r.role) for r in session.scalars(select(RoleRow))} == {(7, "vet"), (8, "owner")}
        seen = []
        for number in (7, 8):
            viewer = people.viewer_of(session, CONSOLE, number, T)
            assert viewer
            seen.append([s.id for s in sites.list_sites(session, viewer)])
        assert seen == [[], ["farm-1"]]
        assert rights_version.current(session) > 0
    registry.close()


def test_all_classes_can_be_given(registry: Registry) -> None:
    give(registry, *DATA_CLASSES, role="coop")
    assert grants(registry, 2) == set(DATA_CLASSES)
