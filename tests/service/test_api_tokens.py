"""Programs' tokens: made and revoked by a person, each less than that person."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api import tokens as written
from api.sessions import COOKIE
from collectors.registry.tokens import LONGEST_MS, MOST_PER_PERSON
from tests.service.serving import OTHER, PASSWORD, SITE, WRITE, Centre, Listener, client, sign_in

TOKENS = "/api/v1/tokens"
DAY_MS = 86_400_000


@pytest.fixture
def centre(tmp_path: Path) -> Centre:
    return Centre(tmp_path)


@pytest.fixture
def browser(centre: Centre) -> Iterator[httpx.Client]:
    """Hanako's, who owns both farms."""
    centre.person(shikaoi_001="owner", shikaoi_002="owner")
    for site in (SITE, OTHER):
        centre.write(f"{site}/tank-1/milk_temperature", 4.0)
        centre.write(f"{site}/barn-1-climate/air_temperature", 21.0)
    with centre.signed_in() as browser:
        browser.headers.update(WRITE)
        yield browser


def make(browser: httpx.Client, centre: Centre, **wish: Any) -> dict[str, Any]:
    body = {"name": "飼料計画", "expires_ms": centre.clock() + DAY_MS, **wish}
    answer = browser.post(TOKENS, json=body)
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = answer.json()
    return told


def program(browser: httpx.Client, token: str) -> httpx.Client:
    """A program of its own, with no cookie."""
    return client(browser.base_url, headers={"Authorization": f"Bearer {token}"})


def test_a_program_sees_what_its_person_sees_and_gets_no_cookie(browser: httpx.Client, centre: Centre) -> None:
    with program(browser, make(browser, centre)["token"]) as client:
        theirs = client.get("/api/v1/session")
        assert theirs.json()["sites"] == browser.get("/api/v1/session").json()["sites"]
        assert "set-cookie" not in theirs.headers
        assert client.get(f"/api/v1/sites/{SITE}/places").json()["places"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("session", {"login": "hanako", "password": PASSWORD}),
        ("session/code", {"code": "123456"}),
        ("session/passkey/options", None),
        ("session/join", {"code": "x" * 27}),
        ("invitations/accept", {"code": "x" * 27, "new": {"name": "x"}}),
        ("first-administrator", {"code": "x" * 27, "login": "x", "name": "x"}),
    ],
)
def test_nothing_that_signs_a_browser_in_is_for_a_request_with_a_token(
    browser: httpx.Client, centre: Centre, path: str, body: Any
) -> None:
    with program(browser, make(browser, centre)["token"]) as client:
        answer = client.post(f"/api/v1/{path}", json=body)
        assert (answer.status_code, answer.json()["type"]) == (400, "/problems/two-credentials")
        assert "set-cookie" not in answer.headers


def test_its_secret_is_told_once_and_kept_nowhere(browser: httpx.Client, centre: Centre) -> None:
    told = make(browser, centre)
    token = told.pop("token")
    assert browser.get(f"{TOKENS}/{told['id']}").json() == told
    assert browser.get(TOKENS).json() == {"rows": [told], "next": None}
    parsed = written.parse(token)
    assert parsed is not None
    with sqlite3.connect(centre.folder / "registry.db") as db:
        kept = "\n".join(db.iterdump())
    assert parsed.secret_hash in kept
    assert parsed.secret not in kept
    assert parsed.secret not in repr(parsed)


def test_a_token_for_one_farm_and_class_sees_no_other(browser: httpx.Client, centre: Centre) -> None:
    token = make(browser, centre, sites=[SITE], classes=["tank"], actions=[])["token"]
    with program(browser, token) as client:
        [site] = client.get("/api/v1/session").json()["sites"]
        assert (site["id"], site["classes"]) == (SITE, ["tank"])
        told = client.get(f"/api/v1/sites/{SITE}/places").json()
        assert {s["subject"] for p in told["places"] for s in p["subjects"]} == {"tank-1"}
        nothing = client.get("/api/v1/sites/shikaoi-999/places")
        for path in (f"{OTHER}/places", f"{SITE}/alerts", f"{SITE}/audit", f"{SITE}/consents"):
            answer = client.get("/api/v1/sites/" + path)
            assert (answer.status_code, answer.content) == (404, nothing.content), path


def test_a_program_does_only_what_it_was_made_for(browser: httpx.Client, centre: Centre) -> None:
    silent = make(browser, centre, actions=[])["token"]
    with program(browser, silent) as client:
        assert client.get(f"/api/v1/sites/{SITE}/audit").status_code == 403
    with program(browser, make(browser, centre, actions=["see audit"])["token"]) as client:
        assert client.get(f"/api/v1/sites/{SITE}/audit").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", TOKENS, {"name": "another", "expires_ms": 1_900_000_000_000}),
        ("GET", TOKENS, None),
        ("DELETE", f"{TOKENS}/0000000000000000", None),
        ("POST", f"/api/v1/sites/{SITE}/consents", {"role": "coop", "classes": ["tank"]}),
    ],
)
def test_what_a_person_decides_no_program_does(
    browser: httpx.Client, centre: Centre, method: str, path: str, body: Any
) -> None:
    with program(browser, make(browser, centre)["token"]) as client:
        assert client.request(method, path, json=body, headers=WRITE).status_code == 403


def test_an_administrators_token_administers_nothing(browser: httpx.Client, centre: Centre) -> None:
    centre.person("root", admin=True)
    sign_in(browser, "root")
    with program(browser, make(browser, centre)["token"]) as client:
        assert client.get("/api/v1/session").json()["sites"] == []
        assert client.get(f"/api/v1/sites/{SITE}/places").status_code == 404


def test_a_token_is_never_more_than_its_person(browser: httpx.Client, centre: Centre) -> None:
    centre.person("jiro", shikaoi_001="worker")
    sign_in(browser, "jiro")
    wish = {"name": "x", "expires_ms": centre.clock() + DAY_MS}
    refused = [browser.post(TOKENS, json={**wish, "sites": [site]}) for site in (OTHER, "nowhere")]
    assert {(r.status_code, r.content) for r in refused} == {(422, refused[0].content)}
    assert refused[0].json()["errors"] == [{"where": "sites", "why": "only farms that you may see"}]
    with program(browser, make(browser, centre, actions=["see audit"])["token"]) as client:
        assert client.get(f"/api/v1/sites/{SITE}/audit").status_code == 403  # a worker may not


@pytest.mark.parametrize("wrong", [
    {"expires_ms": 0}, {"expires_ms": "soon"}, {"expires_ms": True}, {"name": ""}, {"name": "a\x00b"},
    {"name": "x" * 101}, {"classes": ["everything"]}, {"classes": []}, {"sites": []}, {"actions": ["consent"]},
    {"admin": True},
])  # fmt: skip
def test_a_wrong_wish_is_refused_with_its_field(browser: httpx.Client, centre: Centre, wrong: dict[str, Any]) -> None:
    body = {"name": "x", "expires_ms": centre.clock() + DAY_MS, **wrong}
    answer = browser.post(TOKENS, json=body)
    assert answer.status_code == 422
    assert answer.json()["type"] == "/problems/invalid"
    assert [e["where"].partition(".")[0] for e in answer.json()["errors"]] == list(wrong)
    too_long = browser.post(TOKENS, json={"name": "x", "expires_ms": centre.clock() + LONGEST_MS + 1})
    assert too_long.json()["errors"][0]["where"] == "expires_ms"


def test_what_does_not_hold_answers_like_nothing(browser: httpx.Client, centre: Centre) -> None:
    told, other, over = make(browser, centre), make(browser, centre), make(browser, centre)
    browser.delete(f"{TOKENS}/{over['id']}")
    good, foreign = written.parse(told["token"]), written.parse(other["token"])
    assert good
    assert foreign
    wrong = [
        "x", "mkb_", told["token"][:-1], told["token"] + "0", told["token"][:-1] + "_", over["token"],
        written.Token(good.id, foreign.secret).spell(), written.Token("0" * 16, good.secret).spell(),
        good.secret_hash, told["token"].swapcase(),
    ]  # fmt: skip
    with httpx.Client(base_url=browser.base_url) as client:
        nobody = client.get(f"/api/v1/sites/{SITE}/places")
        assert (nobody.status_code, nobody.headers["www-authenticate"]) == (401, "Bearer")
        for text in wrong:
            answer = client.get(f"/api/v1/sites/{SITE}/places", headers={"Authorization": f"Bearer {text}"})
            assert (answer.status_code, answer.content) == (401, nobody.content), text
        centre.clock.ms += DAY_MS
        late = client.get(f"/api/v1/sites/{SITE}/places", headers={"Authorization": f"Bearer {told['token']}"})
        assert (late.status_code, late.content) == (401, nobody.content)


def test_a_cookie_and_a_token_together_are_refused(browser: httpx.Client, centre: Centre) -> None:
    token = make(browser, centre)["token"]
    answer = browser.get("/api/v1/session", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/two-credentials")


def test_a_program_needs_no_header_of_pages_and_a_cookie_does(browser: httpx.Client, centre: Centre) -> None:
    token = make(browser, centre)["token"]
    put = {"language": "en"}
    with program(browser, token) as client:
        refused = client.put("/api/v1/session/language", json=put)  # past the header, and then not a program's
        assert (refused.status_code, refused.json()["type"]) == (403, "/problems/not-for-programs")
    with httpx.Client(base_url=browser.base_url, cookies={COOKIE: browser.cookies[COOKIE]}) as client:
        refused = client.put("/api/v1/session/language", json=put)
        assert (refused.status_code, refused.json()["type"]) == (403, "/problems/no-write-header")


def test_a_revoked_token_ends_also_its_open_stream(browser: httpx.Client, centre: Centre) -> None:
    told = make(browser, centre)
    with program(browser, told["token"]) as client, Listener(client) as listener:
        assert client.get(f"/api/v1/sites/{SITE}/places").status_code == 200
        assert browser.delete(f"{TOKENS}/{told['id']}").status_code == 204
        assert listener.ended.wait(1.0)
        assert client.get(f"/api/v1/sites/{SITE}/places").status_code == 401
    row = browser.get(f"{TOKENS}/{told['id']}").json()
    assert (row["holds"], row["revoked_ms"], row["used_ms"]) == (False, centre.clock(), centre.clock())


def test_somebody_elses_token_is_not_there(browser: httpx.Client, centre: Centre) -> None:
    theirs = make(browser, centre)["id"]
    centre.person("jiro", shikaoi_001="owner")
    sign_in(browser, "jiro")
    for method in ("GET", "DELETE"):
        one, none = (browser.request(method, f"{TOKENS}/{token}") for token in (theirs, "0" * 16))
        assert (one.status_code, one.content) == (404, none.content)
    assert browser.get(TOKENS).json()["rows"] == []


def test_the_audit_tells_which_program_it_was(browser: httpx.Client, centre: Centre) -> None:
    vet = centre.person("vet", shikaoi_001="vet")
    centre.consent(SITE, "tank", person=vet)
    with httpx.Client(base_url=browser.base_url, headers=WRITE) as theirs:
        sign_in(theirs, "vet")
        token = make(theirs, centre, name="herd app")
        with program(browser, token["token"]) as client:
            for _ in range(2):
                assert client.get(f"/api/v1/sites/{SITE}/places").status_code == 200
        assert theirs.get(f"/api/v1/sites/{SITE}/places").status_code == 200
    rows = browser.get(f"/api/v1/sites/{SITE}/audit").json()["rows"]
    reads = {(r["name"], r["detail"].get("program"), r["count"]) for r in rows if r["kind"] == "read"}
    assert reads == {("vetさん", "herd app", 2), ("vetさん", None, 1)}
    made = [(r["what"], r["detail"]["token"]) for r in rows if r["what"].startswith("token.")]
    assert made == [("token.made", token["id"])]


def test_nobody_has_more_than_a_page_of_tokens(browser: httpx.Client, centre: Centre) -> None:
    for _ in range(MOST_PER_PERSON):
        make(browser, centre)
    refused = browser.post(TOKENS, json={"name": "x", "expires_ms": centre.clock() + DAY_MS})
    assert refused.status_code == 422


def test_a_token_is_not_told_again_for_the_same_key(browser: httpx.Client, centre: Centre) -> None:
    body, key = {"name": "x", "expires_ms": centre.clock() + DAY_MS}, {"Idempotency-Key": "one"}
    first = browser.post(TOKENS, json=body, headers=key)
    again = browser.post(TOKENS, json=body, headers=key)
    assert (first.status_code, again.status_code) == (201, 409)
    assert again.json()["type"] == "/problems/answer-not-kept"
    assert again.headers["location"] == first.headers["location"] == f"{TOKENS}/{first.json()['id']}"
    assert len(browser.get(TOKENS).json()["rows"]) == 1


def test_a_tokens_check_finds_every_single_mistake() -> None:
    token = written.new().spell()
    assert written.parse(token)
    for at in range(4, len(token)):
        other = "A" if token[at] != "A" else "B"
        assert written.parse(token[:at] + other + token[at + 1 :]) is None
