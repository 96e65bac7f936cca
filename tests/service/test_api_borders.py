"""A farm's data is the farm's: on every route, another farm's answers like one that does not exist.

The routes are read from the OpenAPI document, so that a new one is in the test before anybody thinks of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from analytics import alert_book
from analytics.decision import Decision
from api.app import PREFIX, create_app
from collectors.registry.viewer import Service
from makiba.settings import Settings
from tests.service.serving import OTHER, SITE, WRITE, Centre, sign_in

PATHS: dict[str, dict[str, Any]] = create_app(Settings()).openapi()["paths"]
OPEN = {("get", f"{PREFIX}/health"), ("post", f"{PREFIX}/session"), ("post", f"{PREFIX}/session/join"),
        ("delete", f"{PREFIX}/session")}  # fmt: skip
"""What answers without a session."""

ROUTES = sorted((method, path) for path, methods in PATHS.items() for method in methods)
ABOUT_A_FARM = [(m, p) for m, p in ROUTES if "{" in p]


@dataclass
class Town:
    """A service on two farms, each with an alert; hanako is on `SITE`, taro on `OTHER`."""

    browser: httpx.Client
    own_alert: str
    other_alert: str


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    centre = Centre(Path(tmp_path_factory.mktemp("town")))
    centre.person("hanako", shikaoi_001="owner")
    centre.person("taro", shikaoi_002="owner")
    centre.person("coop", admin=True)
    alerts = {}
    for site in (SITE, OTHER):
        centre.write(f"{site}/tank-1/milk_temperature", 6.0)
        with centre.registry.write() as session:
            decision = Decision(
                "open", site, "tank.hold", "tank-1", centre.clock(), centre.clock(), severity="critical"
            )
            alerts[site] = alert_book.write(session, Service("analytics"), decision, centre.clock()).alert_id
    with centre.serving() as browser:
        yield Town(browser, alerts[SITE], alerts[OTHER])


def ask(town: Town, method: str, path: str, site: str, alert: str) -> httpx.Response:
    filled = path.format(site=site, alert_id=alert, subject="tank-1", quantity="milk_temperature")
    return town.browser.request(method, filled, headers=WRITE)


@pytest.mark.parametrize(("method", "path"), ABOUT_A_FARM)
def test_another_farm_answers_like_one_that_does_not_exist(town: Town, method: str, path: str) -> None:
    sign_in(town.browser, "hanako")
    assert ask(town, method, path, SITE, town.own_alert).status_code == 200
    foreign = ask(town, method, path, OTHER, town.other_alert)
    nowhere = ask(town, method, path, "shikaoi-999", "0" * 32)
    assert (foreign.status_code, foreign.text) == (404, nowhere.text)
    assert foreign.headers.keys() == nowhere.headers.keys()


def test_nothing_was_acknowledged_over_the_border(town: Town) -> None:
    sign_in(town.browser, "hanako")
    assert town.browser.post(f"{PREFIX}/alerts/{town.other_alert}/acknowledge", headers=WRITE).status_code == 404
    sign_in(town.browser, "taro")
    assert town.browser.get(f"{PREFIX}/alerts/{town.other_alert}").json()["state"] == "open"


@pytest.mark.parametrize(("method", "path"), ABOUT_A_FARM)
def test_an_administrator_sees_every_farm(town: Town, method: str, path: str) -> None:
    sign_in(town.browser, "coop")
    assert ask(town, method, path, OTHER, town.other_alert).status_code == 200
    roles = {s["id"]: s["role"] for s in town.browser.get(f"{PREFIX}/session").json()["sites"]}
    assert roles == {SITE: "admin", OTHER: "admin"}


@pytest.mark.parametrize(("method", "path"), [r for r in ROUTES if r not in OPEN])
def test_nobody_signed_in_sees_nothing(town: Town, method: str, path: str) -> None:
    town.browser.cookies.clear()
    for site, alert in ((SITE, town.own_alert), ("shikaoi-999", "0" * 32)):
        answer = ask(town, method, path, site, alert)
        assert answer.status_code == 401
        assert answer.json() == {"type": "about:blank", "title": "Unauthorized", "status": 401,
                                 "detail": "Please sign in."}  # fmt: skip


@pytest.mark.parametrize(("method", "path"), [r for r in ROUTES if r[0] != "get"])
def test_no_write_is_taken_from_a_foreign_page(town: Town, method: str, path: str) -> None:
    filled = path.format(site=SITE, alert_id=town.own_alert, subject="tank-1", quantity="milk_temperature")
    assert town.browser.request(method, filled).status_code == 403


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_says_what_it_answers(method: str, path: str) -> None:
    route = PATHS[path][method]
    good = [code for code in route["responses"] if code.startswith("2")]
    assert len(good) == 1
    if good != ["204"]:
        [content] = route["responses"][good[0]]["content"].values()
        assert content["schema"]
    assert route["summary"]
    assert route.get("description") or path.endswith("/stream")


def test_the_api_document_is_served(town: Town) -> None:
    document = town.browser.get(f"{PREFIX}/openapi.json").json()
    assert document["openapi"].startswith("3.")
    assert document["paths"].keys() == PATHS.keys()
