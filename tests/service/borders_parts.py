"""Parts for the tests of who gets what: what the rooms of `tests/service/borders` say, and a town to ask it of.

The routes are those of the rooms, so that no document has to be made for collecting tests; that they are the
document's is tested. A test asks one route for all roles and names the cell that fails. On SQLite and, where it is
there, a real PostgreSQL.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from api.centre import PREFIX
from api.sessions import COOKIE
from collectors.registry.sites import apply_site
from collectors.registry.viewer import OUTSIDERS, Role
from makiba.data_class import DATA_CLASSES, DataClass
from tests.service import borders
from tests.service.borders import Cells, Room, Route
from tests.service.serving import CONSOLE, OTHER, SITE, WRITE, Centre, farm

ROOMS: tuple[Room, ...] = tuple(
    importlib.import_module(f"tests.service.borders.{found.name}").ROOM
    for found in pkgutil.iter_modules(borders.__path__)
)

CONSENTING = "shikaoi-003"
NOWHERE = "shikaoi-999"
INSIDERS: tuple[Role, ...] = ("owner", "family", "worker")
ROLES = (*INSIDERS, *sorted(OUTSIDERS), "admin")
WORDS = {
    "subject": "tank-1", "quantity": "milk_temperature", "measure": "tank-temperature", "data_class": "tank",
    "rule": "tank.hold",
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
ROUTES: list[Route] = sorted({*OPEN, *SIGNED_IN, *ABOUT_A_FARM})

FOR_A_REQUEST: ContextVar[bool] = ContextVar("for a request", default=False)
"""Whether what runs now runs for a request, and not for the application's own watchers."""


class _Marking:
    """Around the whole application: sets `FOR_A_REQUEST`, which threads that a request is handed to take along."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        FOR_A_REQUEST.set(scope["type"] == "http")
        await self._app(scope, receive, send)


class _MarkingCentre(Centre):
    def app(self) -> FastAPI:
        app = super().app()
        app.add_middleware(_Marking)
        return app


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

    def ready(self, route: Route, *farms: str) -> None:
        """On `farms` stands what `route` uses up: another route may have done it already."""
        if route in SPENT:
            for site in farms:
                self.make(site, route)

    def ask(self, route: Route, site: str, cookie: str | None, **given: str) -> httpx.Response:
        """The answer about `site`; of a stream its beginning. What it used up is made anew for whoever is next."""
        answer = self.send(route, site, cookie, **given)
        if answer.is_success and site in self.ids and not given:
            self.ready(route, site)
        return answer

    def send(self, route: Route, site: str, cookie: str | None, **given: str) -> httpx.Response:
        """The answer about `site`; what it used up is gone."""
        method, path = route
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
        return answer


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.long)])
def town(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    url = request.getfixturevalue("postgres").ready("town") if request.param == "postgres" else ""
    centre = _MarkingCentre(Path(tmp_path_factory.mktemp("town")), registry_url=url)
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


def assert_nothing_of_another_farm(town: Town, answer: httpx.Response, cell: str) -> None:
    """`cell`: whose answer to what it is."""
    said = answer.text + str(answer.headers)
    told = [secret for secret in (OTHER, *town.ids[OTHER].values(), "gw-b", str(SECRET), "taro") if secret in said]
    assert told == [], f"{cell} tells {told}"
