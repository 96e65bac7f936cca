"""Who is not signed in, or whose cookie is no session, is told nothing; and no foreign page has anything done."""

from __future__ import annotations

import secrets

import pytest

from api.centre import PREFIX
from api.pages import foreign_paths
from api.routes import PARTS
from tests.service import borders_parts
from tests.service.borders import Route
from tests.service.borders_parts import CONSENTING, NOWHERE, OPEN, ROUTES, WORDS, Town
from tests.service.serving import OTHER, SITE

town = borders_parts.town
VENDORS = foreign_paths(PREFIX, (route for part in PARTS for route in part.router.routes))
REFUSED = {"type": "about:blank", "title": "Unauthorized", "status": 401, "detail": "Please sign in."}


@pytest.fixture(scope="module")
def expired(town: Town) -> str:
    """A cookie that was the owner's session."""
    return town.centre.cookie(town.people["owner"], for_ms=-1)


@pytest.mark.parametrize("route", [r for r in ROUTES if r not in OPEN], ids=" ".join)
def test_without_a_session_an_expired_and_a_forged_one_nothing_is_told(
    town: Town, expired: str, route: Route
) -> None:
    real = town.cookies["owner"]
    asked = [
        (None, SITE), (None, OTHER),
        (expired, SITE), (expired, CONSENTING), (expired, OTHER), (expired, NOWHERE),
        (real[:-1], SITE), (real + "0", CONSENTING), (secrets.token_urlsafe(32), SITE),
        ("%00", OTHER), ("'; --", SITE),
    ]  # fmt: skip
    for cookie, site in asked:
        answer = town.send(route, site, cookie)
        assert (answer.status_code, answer.json()) == (401, REFUSED), (cookie, site)


@pytest.mark.parametrize("route", OPEN, ids=" ".join)
def test_what_needs_no_session_tells_of_no_farm(town: Town, route: Route) -> None:
    for cookie in (None, "forged"):
        answer = town.ask(route, OTHER, cookie)
        assert answer.status_code == OPEN[route]
        assert "shikaoi" not in answer.text


def test_no_write_is_taken_from_a_foreign_page(town: Town) -> None:
    for method, path in ROUTES:
        if method != "get":
            url = PREFIX + path.format(site=SITE, **WORDS, **town.ids[SITE])
            # What a vendor's machine calls is refused for what it lacks: a signature, or a token in its body.
            refused = (403, 422) if (method.upper(), PREFIX + path) in VENDORS else (403,)
            assert town.browser.request(method, url).status_code in refused, (method, path)
