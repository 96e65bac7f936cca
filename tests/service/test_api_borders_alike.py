"""What is another farm's is not to be told apart from what is not there: by no id, header or number of statements."""

from __future__ import annotations

import string
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from tests.service import borders_parts
from tests.service.borders import Route
from tests.service.borders_parts import ABOUT_A_FARM, ADMIN_SEES, FOR_A_REQUEST, NOWHERE, ROLES, Town
from tests.service.serving import OTHER

town = borders_parts.town


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


@contextmanager
def noted(town: Town) -> Iterator[list[str]]:
    """The statements for requests, and not those for the application's own watchers."""
    assert town.centre.running
    asked: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        if FOR_A_REQUEST.get():
            asked.append(statement)

    engine = town.centre.running.state.centre.registry.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(engine, "before_cursor_execute", note)


@pytest.mark.parametrize("route", ABOUT_A_FARM, ids=" ".join)
def test_what_is_not_yours_costs_the_same_as_what_is_not_there(town: Town, route: Route) -> None:
    for role in ("owner", "coop"):
        cookie = town.cookies[role]
        assert town.send(("get", "/session"), NOWHERE, cookie).status_code == 200  # their rights are known
        with noted(town) as asked:
            statements = []
            for site in (OTHER, NOWHERE):
                asked.clear()
                assert town.send(route, site, cookie).status_code == 404
                statements.append(list(asked))
        assert statements[0] == statements[1], role
        assert statements[0], role
