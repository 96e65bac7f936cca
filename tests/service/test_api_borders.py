"""A farm's data is the farm's: every role on every route, on its own farm, a consenting one and another's.

The routes are read from the OpenAPI document: a new one fails `test_every_route_has_its_cells` until somebody has
said who may use it. On SQLite and, where it is there, a real PostgreSQL.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import secrets
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, select

from api.app import create_app
from api.centre import PREFIX
from api.routes import what_is_done
from api.sessions import COOKIE
from collectors.registry.schema import AuditRow
from collectors.registry.sites import apply_site
from collectors.registry.viewer import OUTSIDERS, Role
from makiba.data_class import DATA_CLASSES, DataClass
from makiba.settings import Settings
from tests.service import borders
from tests.service.borders import Cells, Room, Route
from tests.service.postgres_parts import Postgres, why_not
from tests.service.serving import CONSOLE, OTHER, SITE, WRITE, Centre, farm

PATHS: dict[str, dict[str, Any]] = create_app(Settings()).openapi()["paths"]
ROUTES = sorted((method, path.removeprefix(PREFIX)) for path, methods in PATHS.items() for method in methods)
ROOMS: tuple[Room, ...] = tuple(
    importlib.import_module(f"tests.service.borders.{found.name}").ROOM
    for found in pkgutil.iter_modules(borders.__path__)
)

CONSENTING = "shikaoi-003"
INSIDERS: tuple[Role, ...] = ("owner", "family", "worker")
ROLES = (*INSIDERS, *sorted(OUTSIDERS), "admin")
WORDS = {
    "subject": "tank-1", "quantity": "milk_temperature", "measure": "tank-temperature", "data_class": "tank",
}  # fmt: skip
"""Parts of a path that are no ids."""
SECRET = 6.640625
"""The newest milk temperature of `OTHER`: it may stand in nobody's answer."""


def together(part: str) -> dict[Any, Any]:
    """What all rooms say in `part`."""
    return {key: said for room in ROOMS for key, said in getattr(room, part).items()}


OPEN: Mapping[Route, int] = together("open")
SIGNED_IN: Mapping[Route, int] = together("signed_in")
ABOUT_A_FARM: Mapping[Route, Cells] = together("about_a_farm")
BY_CLASS: Mapping[Route, frozenset[DataClass]] = together("by_class")
TOLD_BY_CLASS: Mapping[Route, Mapping[DataClass, int]] = together("told_by_class")
BODIES: Mapping[str, Any] = together("bodies")
QUERIES: Mapping[str, Mapping[str, str]] = together("queries")
HEADERS: Mapping[Route, Mapping[str, str]] = together("headers")
SPENT = frozenset(route for room in ROOMS for route in room.spent)
ADMIN_SEES = frozenset(route for room in ROOMS for route in room.admin_sees)
AUDITED = [route for room in ROOMS if room.audited for route in room.by_class if route[0] == "get"]


def test_every_route_has_its_cells() -> None:
    assert {*OPEN, *SIGNED_IN, *ABOUT_A_FARM} == set(ROUTES)


@dataclass
class Town:
    """A service on three farms with people of every role: on `SITE` and `CONSENTING`, and nothing on `OTHER`."""

    centre: Centre
    browser: httpx.Client
    people: dict[str, int] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)
    ids: dict[str, dict[str, str]] = field(default_factory=dict)

    def make(self, site: str, route: Route | None = None) -> None:
        """What stands on `site`, of all rooms or of the one that tells of `route`."""
        for room in ROOMS:
            if route is None or route in room.about_a_farm:
                self.ids.setdefault(site, {}).update(room.ids(self, site))

    def ask(self, route: Route, site: str, cookie: str | None, **given: str) -> httpx.Response:
        """The answer about `site`; of a stream its beginning."""
        method, path = route
        if route in SPENT and site in self.ids and not given:
            self.make(site, route)
        nobody = dict.fromkeys(self.ids.get(SITE, {}), "0" * 32)
        ids = {"site": site, **WORDS}
        ids |= nobody | self.ids.get(site, {}) | given
        body = json.loads(json.dumps(BODIES.get(path)).replace("<site>", site))
        headers = {**WRITE, **HEADERS.get(route, {})} | ({"Cookie": f"{COOKIE}={cookie}"} if cookie else {})
        request = self.browser.build_request(
            method,
            PREFIX + path.format(**ids),
            headers=headers,
            params=QUERIES.get(path),
            json=body if method in ("post", "put", "patch") else None,
        )
        answer = self.browser.send(request, stream=True)
        if path == "/stream" and answer.status_code == 200:
            next(answer.iter_raw())
            answer.close()
            answer._content = b""
        else:
            answer.read()
        if route in SPENT and site in self.ids and answer.is_success:
            self.make(site, route)  # for whoever asks for it next
        return answer


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    if reason := why_not():
        pytest.skip(reason)
    with Postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def town(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    url = request.getfixturevalue("postgres").create("town") if request.param == "postgres" else ""
    centre = Centre(Path(tmp_path_factory.mktemp("town")), registry_url=url)
    with centre.registry.write() as session:
        apply_site(session, CONSOLE, farm(CONSENTING, "gw-c"), centre.clock() - 86_400_000)
    with centre.serving() as browser:
        town = Town(centre, browser)
        centre.person("taro", shikaoi_002="owner")
        for role in ROLES:
            where: dict[str, Any] = {} if role == "admin" else {"shikaoi_001": role, "shikaoi_003": role}
            town.people[role] = centre.person(role, password=None, admin=role == "admin", **where)
            town.cookies[role] = centre.cookie(town.people[role])
        for role in OUTSIDERS:
            centre.consent(CONSENTING, *DATA_CLASSES, role=role)
        for site, value in ((SITE, 4.0), (CONSENTING, 4.5), (OTHER, SECRET)):
            centre.write(f"{site}/tank-1/milk_temperature", value)
            centre.write(f"{site}/barn-1-climate/air_temperature", value)
            centre.write(f"{site}/tank-1/state", "ok")
            town.make(site)
        yield town
    centre.registry.close()
    centre.store.close()


def assert_nothing_of_another_farm(town: Town, answer: httpx.Response) -> None:
    said = answer.text + str(answer.headers)
    for secret in (OTHER, *town.ids[OTHER].values(), "gw-b", str(SECRET), "taro"):
        assert secret not in said


# ---------------------------------------------------------------------------------------------------- the matrix


@pytest.mark.parametrize("route", ABOUT_A_FARM, ids=" ".join)
@pytest.mark.parametrize("role", ROLES)
def test_a_role_on_its_own_farm_a_consenting_one_and_another(town: Town, role: str, route: Route) -> None:
    cookie = town.cookies[role]
    expected = ABOUT_A_FARM[route][role]
    # Outside the farm a role alone shows nothing.
    own = town.ask(route, SITE, cookie)
    assert own.status_code == (404 if role in OUTSIDERS - {"town"} or hidden_from_town(role, route) else expected)
    consenting = town.ask(route, CONSENTING, cookie)
    assert consenting.status_code == expected
    foreign = town.ask(route, OTHER, cookie)
    nowhere = town.ask(route, "shikaoi-999", cookie)
    if role == "admin" and route in ADMIN_SEES:
        assert foreign.status_code == 200  # names and what is technical of every farm, and no value
        assert str(SECRET) not in foreign.text
    else:
        assert (foreign.status_code, foreign.content) == (404, nowhere.content)
        assert_nothing_of_another_farm(town, foreign)
    for answer in (own, consenting):
        assert_nothing_of_another_farm(town, answer)


def hidden_from_town(role: str, route: Route) -> bool:
    """`SITE` shows the town its weather, so that the farm exists for it, with no value in it."""
    return role == "town" and "weather" not in BY_CLASS.get(route, ())


@pytest.mark.parametrize("route", SIGNED_IN, ids=" ".join)
@pytest.mark.parametrize("role", [r for r in ROLES if r != "admin"])
def test_what_is_about_no_farm_tells_of_the_viewers_farms_only(town: Town, role: str, route: Route) -> None:
    answer = town.ask(route, SITE, town.cookies[role])
    assert answer.status_code == SIGNED_IN[route]
    assert_nothing_of_another_farm(town, answer)
    if route == ("get", "/session"):
        seen = {site["id"] for site in answer.json()["sites"]}
        assert seen == ({SITE, CONSENTING} if role in (*INSIDERS, "town") else {CONSENTING})


@pytest.mark.parametrize("route", [r for r in ROUTES if r not in OPEN], ids=" ".join)
def test_without_a_session_an_expired_and_a_forged_one_nothing_is_told(town: Town, route: Route) -> None:
    expired = town.centre.cookie(town.people["owner"], for_ms=-1)
    real = town.cookies["owner"]
    for cookie in (None, expired, real[:-1], real + "0", secrets.token_urlsafe(32), "%00", "'; --"):
        for site in (SITE, CONSENTING, OTHER, "shikaoi-999"):
            answer = town.ask(route, site, cookie)
            assert answer.status_code == 401
            assert answer.json() == {
                "type": "about:blank", "title": "Unauthorized", "status": 401, "detail": "Please sign in.",
            }  # fmt: skip


@pytest.mark.parametrize("route", OPEN, ids=" ".join)
def test_what_needs_no_session_tells_of_no_farm(town: Town, route: Route) -> None:
    for cookie in (None, "forged"):
        answer = town.ask(route, OTHER, cookie)
        assert answer.status_code == OPEN[route]
        assert "shikaoi" not in answer.text


@pytest.mark.parametrize("data_class", DATA_CLASSES)
def test_a_consent_shows_its_class_and_no_other(town: Town, data_class: DataClass) -> None:
    guest = town.centre.person(f"only-{data_class}-{secrets.token_hex(4)}", password=None, shikaoi_001="vet")
    town.centre.consent(SITE, data_class, person=guest)
    cookie = town.centre.cookie(guest)
    for route in ABOUT_A_FARM:
        shown = data_class in BY_CLASS.get(route, ())
        refused = TOLD_BY_CLASS.get(route, {}).get(data_class, 404)
        assert town.ask(route, SITE, cookie).status_code == (200 if shown else refused), route
    told = town.ask(("get", "/sites/{site}/places"), SITE, cookie).json()
    values = {(s["subject"], v["quantity"]) for p in told["places"] for s in p["subjects"] for v in s["values"]}
    assert values == {
        "tank": {("tank-1", "milk_temperature")}, "barn": {("barn-1-climate", "air_temperature")},
    }.get(data_class, set())  # fmt: skip
    listed = {s["subject"] for p in told["places"] for s in p["subjects"]}
    assert listed == {
        "tank": {"tank-1"},
        "barn": {"barn-1-climate", "fan-1"},
        "technical": {"tank-1", "barn-1-climate", "fan-1", "pt100.ch1", "pt100.ch2"},
    }.get(data_class, set())
    assert bool(told["gateways"]) == ("gw-a" in str(told)) == (data_class == "technical")


@pytest.mark.parametrize("route", [r for r in ROUTES if r[0] != "get"], ids=" ".join)
def test_no_write_is_taken_from_a_foreign_page(town: Town, route: Route) -> None:
    path = PREFIX + route[1].format(site=SITE, **WORDS, **town.ids[SITE])
    assert town.browser.request(route[0], path).status_code == 403


def test_nothing_was_done_over_the_border(town: Town) -> None:
    with town.centre.registry.read() as session:
        theirs = select(AuditRow.what).where(AuditRow.site_id == OTHER)
        others = theirs.where(AuditRow.who != "service:console", AuditRow.role != "admin")
        assert session.scalars(others).all() == []


# --------------------------------------------------------------------------------------- nothing to be told apart


@given(data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_another_farms_ids_answer_like_ids_that_nobody_has(town: Town, data: st.DataObject) -> None:
    word = st.text(string.ascii_lowercase + string.digits + "-._~'\"%;é", min_size=1, max_size=40)
    role = data.draw(st.sampled_from(ROLES))
    route = data.draw(st.sampled_from(sorted(ABOUT_A_FARM)))
    if role == "admin" and route in ADMIN_SEES:
        route = ("get", "/sites/{site}/alerts")
    names = sorted(town.ids[OTHER])

    def quoted(name: str, theirs: str) -> tuple[str, str]:
        foreign = data.draw(st.sampled_from([theirs, theirs.upper(), theirs + " "])) if name == "site" else theirs
        return foreign, str(httpx.URL(path="/" + data.draw(word)).raw_path[1:], "ascii").replace("/", "-")

    site, some_site = quoted("site", OTHER)
    theirs = {name: town.ids[OTHER][name] for name in names}
    some = {name: quoted(name, theirs[name])[1] for name in names}
    cookie = town.cookies[role]
    foreign = town.ask(route, site, cookie, **theirs)
    random = town.ask(route, some_site, cookie, **some)
    mixed = town.ask(route, some_site, cookie, **theirs)
    for answer in (foreign, random, mixed):
        assert answer.status_code == 404
        assert answer.content == foreign.content
        assert {**answer.headers, "date": ""} == {**foreign.headers, "date": ""}


@pytest.mark.parametrize("route", ABOUT_A_FARM, ids=" ".join)
@pytest.mark.parametrize("role", ["owner", "coop"])
def test_what_is_not_yours_costs_the_same_as_what_is_not_there(town: Town, role: str, route: Route) -> None:
    assert town.centre.running
    asked: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        watchers = ("BEGIN", "rights_version", "alert_event.id >")
        if not any(word in statement for word in watchers):
            asked.append(statement)

    engine = town.centre.running.state.centre.registry.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        statements = []
        for site in (OTHER, "shikaoi-999"):
            asked.clear()
            assert town.ask(route, site, town.cookies[role]).status_code == 404
            statements.append(list(asked))
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert statements[0] == statements[1]
    assert statements[0]


# ------------------------------------------------------------------------------------------------------- audit


@pytest.mark.parametrize("route", AUDITED, ids=" ".join)
@pytest.mark.parametrize("role", ["coop", "owner"])
def test_every_read_from_outside_stands_in_the_audit_and_the_farms_own_does_not(
    town: Town, role: str, route: Route
) -> None:
    audit = ("get", "/sites/{site}/audit")

    def reads() -> dict[tuple[str, str], int]:
        rows = town.ask(audit, CONSENTING, town.cookies["owner"]).json()["rows"]
        return {
            (r["what"], r["data_class"]["id"]): r["count"]
            for r in rows
            if r["kind"] == "read" and r["name"] == f"{role}さん"
        }

    before = reads()
    for _ in range(3):
        assert town.ask(route, CONSENTING, town.cookies[role]).status_code == 200
    after = reads()
    new = {what: n - before.get(what, 0) for what, n in after.items() if n != before.get(what, 0)}
    classes: Any = BY_CLASS[route]
    assert new == ({} if role == "owner" else {(route[1], c): 3 for c in classes})
    assert route[1] in what_is_done()  # people can read what it was


def test_a_consent_and_its_audit_are_told_in_words_of_both_languages(town: Town) -> None:
    cookie = {"Cookie": f"{COOKIE}={town.cookies['owner']}"} | WRITE
    path = f"{PREFIX}/sites/{SITE}/consents"
    vet = town.centre.public(town.people["vet"])
    wanted = {"person": vet, "classes": ["herd", "alerts"], "until_ms": town.centre.clock() + 9}
    told = town.browser.post(path, json=wanted, headers=cookie).json()
    assert told | {"id": ""} == {
        "id": "", "role": None, "person": vet, "grantee": {"ja": "vetさん", "en": "vetさん"},
        "classes": [
            {"id": "alerts", "name": {"ja": "警報", "en": "alerts"}},
            {"id": "herd", "name": {"ja": "牛と えさ", "en": "herd and feed"}},
        ],
        "from_ms": town.centre.clock(), "until_ms": town.centre.clock() + 9, "given_ms": town.centre.clock(),
        "given_by": "ownerさん", "withdrawn_ms": None, "withdrawn_by": None, "in_force": True,
    }  # fmt: skip
    assert town.browser.delete(f"{path}/{told['id']}", headers=cookie).status_code == 204
    [now] = [c for c in town.browser.get(path, headers=cookie).json()["rows"] if c["id"] == told["id"]]
    assert (now["in_force"], now["withdrawn_by"]) == (False, "ownerさん")
    rows = town.browser.get(f"{PREFIX}/sites/{SITE}/audit?limit=500", headers=cookie).json()["rows"]
    about = [r for r in rows if r["detail"].get("consent") == told["id"]]
    assert {(r["what_name"]["en"], r["role_name"]["ja"]) for r in about} == {
        ("gave a consent", "経営主"), ("withdrew a consent", "経営主"),
    }  # fmt: skip
    # Whether a number is a person's is not told to who has nothing to do with them.
    refused = [
        town.browser.post(path, json={"person": number, "classes": ["herd"]}, headers=cookie)
        for number in (town.centre.public(town.people["admin"]), "A" * 22)
    ]
    assert {(r.status_code, r.content) for r in refused} == {(422, refused[0].content)}


def test_the_audit_is_read_in_pages_without_holes(town: Town) -> None:
    path, cookie = f"{PREFIX}/sites/{CONSENTING}/audit", {"Cookie": f"{COOKIE}={town.cookies['owner']}"}

    def page(**query: Any) -> Any:
        return town.browser.get(path, params=query, headers=cookie).json()

    whole = [row["id"] for row in page(limit=500)["rows"]]
    assert len(whole) >= 5
    paged, cursor = [], None
    while True:
        told = page(limit=2, **({"cursor": cursor} if cursor else {}))
        paged += [row["id"] for row in told["rows"]]
        cursor = told["next"]
        if cursor is None:
            break
    assert paged == whole
    with town.centre.registry.read() as session:
        foreign = session.scalars(select(AuditRow.id).where(AuditRow.site_id == OTHER)).first()
    assert page(cursor=foreign) == page(cursor="nobody")
    assert page(cursor=foreign)["type"] == "/problems/cursor"


# ------------------------------------------------------------------------------------------------ the document


@pytest.mark.parametrize("route", ROUTES, ids=" ".join)
def test_every_route_says_what_it_answers(route: Route) -> None:
    method, path = route
    described = PATHS[PREFIX + path][method]
    good = [code for code in described["responses"] if code.startswith("2")]
    assert len(good) == 1
    if good != ["204"]:
        contents = described["responses"][good[0]]["content"].values()
        assert contents
        assert all(content["schema"] for content in contents)
    assert described["summary"]
    assert described.get("description") or path.endswith("/stream")


def test_the_api_document_is_served(town: Town) -> None:
    document = town.browser.get(f"{PREFIX}/openapi.json").json()
    assert document["openapi"].startswith("3.")
    assert document["paths"].keys() == PATHS.keys()
