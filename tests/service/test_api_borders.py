"""A farm's data is the farm's: every role on every route, on its own farm, a consenting one and another's.

A new route of the OpenAPI document fails `test_every_route_has_its_cells` until a room of `tests/service/borders`
says who may use it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import select

from api.centre import PREFIX
from collectors.registry.schema import AuditRow
from collectors.registry.viewer import OUTSIDERS
from tests.service import borders_parts
from tests.service.borders import Route
from tests.service.borders_parts import (
    ABOUT_A_FARM,
    ADMIN_SEES,
    BY_CLASS,
    CONSENTING,
    INSIDERS,
    NOWHERE,
    ROLES,
    ROUTES,
    SECRET,
    SIGNED_IN,
    Town,
    assert_nothing_of_another_farm,
)
from tests.service.serving import OTHER, SITE, openapi

town = borders_parts.town


def test_every_route_has_its_cells() -> None:
    paths: Mapping[str, Any] = openapi()["paths"]
    there = {(method, path.removeprefix(PREFIX)) for path, methods in paths.items() for method in methods}
    assert set(ROUTES) == there


@pytest.mark.parametrize("route", ABOUT_A_FARM, ids=" ".join)
def test_a_role_on_its_own_farm_a_consenting_one_and_another(town: Town, route: Route) -> None:
    nowhere = {kind: town.ask(route, NOWHERE, town.cookies[kind]) for kind in ("owner", "coop", "admin")}
    town.ready(route, SITE, CONSENTING)
    for role in ROLES:
        cookie = town.cookies[role]
        cell = f"{role}: {' '.join(route)}: "
        expected = ABOUT_A_FARM[route][role]
        # Outside the farm a role alone shows nothing.
        own = town.ask(route, SITE, cookie)
        hidden = role in OUTSIDERS - {"town"} or hidden_from_town(role, route)
        assert own.status_code == (404 if hidden else expected), cell + "on its own farm"
        consenting = town.ask(route, CONSENTING, cookie)
        assert consenting.status_code == expected, cell + "on a consenting farm"
        foreign = town.ask(route, OTHER, cookie)
        if role == "admin" and route in ADMIN_SEES:
            assert foreign.status_code == 200  # names and what is technical of every farm, and no value
            assert str(SECRET) not in foreign.text
        else:
            like = nowhere["owner" if role in INSIDERS else "admin" if role == "admin" else "coop"]
            assert (foreign.status_code, foreign.content) == (404, like.content), cell + "on another's farm"
            assert_nothing_of_another_farm(town, foreign, cell + "on another's farm")
        assert_nothing_of_another_farm(town, own, cell + "on its own farm")
        assert_nothing_of_another_farm(town, consenting, cell + "on a consenting farm")


def hidden_from_town(role: str, route: Route) -> bool:
    """`SITE` shows the town its weather, so that the farm exists for it, with no value in it."""
    return role == "town" and "weather" not in BY_CLASS.get(route, ())


@pytest.mark.parametrize("route", SIGNED_IN, ids=" ".join)
def test_what_is_about_no_farm_tells_of_the_viewers_farms_only(town: Town, route: Route) -> None:
    for role in ROLES:
        if role == "admin":
            continue
        cell = f"{role}: {' '.join(route)}"
        answer = town.ask(route, SITE, town.cookies[role])
        assert answer.status_code == SIGNED_IN[route], cell
        assert_nothing_of_another_farm(town, answer, cell)
        if route == ("get", "/session"):
            seen = {site["id"] for site in answer.json()["sites"]}
            assert seen == ({SITE, CONSENTING} if role in (*INSIDERS, "town") else {CONSENTING}), cell


def test_nothing_was_done_over_the_border(town: Town) -> None:
    with town.centre.registry.read() as session:
        theirs = select(AuditRow.what).where(AuditRow.site_id == OTHER)
        others = theirs.where(AuditRow.who != "service:console", AuditRow.role != "admin")
        assert session.scalars(others).all() == []
