"""Signing in with the co-op's accounts, against a real provider on this machine, and false ones."""

from __future__ import annotations

import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from pydantic import SecretStr

from api.oidc import OidcMisconfigured, OidcUnavailable, open_oidc
from api.sessions import COOKIE
from collectors.registry import identity, people
from makiba.settings import Settings
from tests.service.oidc_parts import CLIENT, SECRET, Provider, came_back, providing
from tests.service.serving import CONSOLE, OTHER, SITE, WRITE, Centre, sign_in

OIDC = "/api/v1/oidc"
SESSION = "/api/v1/session"


@pytest.fixture
def centre(tmp_path: Path) -> Centre:
    return Centre(tmp_path)


@pytest.fixture
def provider(centre: Centre) -> Iterator[Provider]:
    with providing(lambda: centre.clock() // 1000) as found:
        configure(centre, found)
        yield found


def configure(centre: Centre, provider: Provider, **more: Any) -> None:
    centre.settings = Settings(
        home=centre.folder, oidc_issuer=provider.issuer, oidc_client=CLIENT, oidc_secret=SecretStr(SECRET),
        public_url="http://makiba.example", **more,
    )  # fmt: skip


def start(browser: httpx.Client, path: str = "start") -> str:
    answer = browser.post(f"{OIDC}/{path}", headers=WRITE)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["address"])


def finish(browser: httpx.Client, came: dict[str, str]) -> httpx.Response:
    return browser.post(f"{OIDC}/finish", json=came, headers=WRITE)


def sign_in_there(browser: httpx.Client) -> httpx.Response:
    return finish(browser, came_back(start(browser)))


def linked(centre: Centre, provider: Provider, subject: str = "u-1", **roles: Any) -> int:
    person = centre.person("taro", **roles)
    with centre.registry.write() as session:
        identity.link(session, CONSOLE, provider.issuer, subject, person, centre.clock())
    return person


# -------------------------------------------------------------------------------------------------- the way it goes


def test_somebody_whose_account_is_linked_signs_in(centre: Centre, provider: Provider) -> None:
    linked(centre, provider, shikaoi_001="owner")
    with centre.serving() as browser:
        assert browser.get(OIDC).json()["label"]["ja"] == "農協の アカウント"
        address = start(browser)
        asked = {n: v[0] for n, v in parse_qs(urlsplit(address).query).items()}
        assert (asked["response_type"], asked["code_challenge_method"], asked["client_id"]) == (
            "code",
            "S256",
            CLIENT,
        )
        assert asked["redirect_uri"] == "http://makiba.example/api/v1/oidc/return"
        answer = finish(browser, came_back(address))
        assert answer.status_code == 204, answer.text
        assert "samesite=strict" in answer.headers["set-cookie"].lower()
        assert browser.get(SESSION).json()["person"]["name"] == "taroさん"
        with sqlite3.connect(centre.folder / "registry.db") as db:  # nothing by which somebody could sign in
            kept = "\n".join(db.iterdump())
        for secret in (asked["state"], asked["nonce"], browser.cookies[COOKIE]):
            assert secret not in kept
        out = browser.post(f"{OIDC}/sign-out", headers=WRITE).json()["address"]
        assert out.startswith(f"{provider.issuer}/logout?client_id={CLIENT}&post_logout_redirect_uri=")
        assert browser.get(SESSION).status_code == 401


def test_the_page_to_which_the_provider_sends_back_runs_no_inline_script(centre: Centre, provider: Provider) -> None:
    with centre.serving() as browser:
        page = browser.get(f"{OIDC}/return?code=x&state=y")
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert "default-src 'self'" in page.headers["content-security-policy"]
        assert page.text.count("<script") == page.text.count('<script src="return.js">') == 1
        assert "x" not in page.headers.get("location", "")
        script = browser.get(f"{OIDC}/return.js")
        assert script.headers["content-type"].startswith("text/javascript")
        assert script.headers["x-content-type-options"] == "nosniff"


def test_it_works_over_two_processes(centre: Centre, provider: Provider) -> None:
    linked(centre, provider)
    with centre.serving() as one, centre.serving() as two:
        came = came_back(start(one))
        two.cookies.update(one.cookies)
        assert finish(two, came).status_code == 204
        assert finish(one, came).status_code == 401  # once


def test_without_a_provider_there_is_nothing(centre: Centre) -> None:
    with centre.serving() as browser:
        assert browser.get(OIDC).json() == {"label": None}
        for path in ("start", "finish", "sign-out"):
            body = {"state": "x", "code": "y"} if path == "finish" else None
            assert browser.post(f"{OIDC}/{path}", json=body, headers=WRITE).status_code == 404


def test_an_account_that_nobody_has_makes_nobody_unless_the_settings_say_so(
    centre: Centre, provider: Provider
) -> None:
    with centre.serving() as browser:
        assert sign_in_there(browser).status_code == 403
        assert browser.get(SESSION).status_code == 401
    configure(centre, provider, oidc_create="on", oidc_domains="ja.example.jp")
    with centre.serving() as browser:
        for mail in ({"email": "a@ja.example.jp"}, {"email": "a@ja.example.jp", "email_verified": False},
                     {"email": "a@other.example", "email_verified": True}):  # fmt: skip
            provider.who = {"sub": "u-1", "name": "組合 太郎", **mail}
            assert sign_in_there(browser).status_code == 403, mail
        provider.who = {"sub": "u-1", "name": "組合 太郎", "email": "a@JA.example.jp", "email_verified": True}
        assert sign_in_there(browser).status_code == 204
        me = browser.get(SESSION).json()
        assert (me["person"]["name"], me["sites"]) == ("組合 太郎", [])
        browser.cookies.clear()
        assert sign_in_there(browser).status_code == 204
        assert browser.get(SESSION).json()["person"]["id"] == me["person"]["id"]
        with centre.registry.write() as session:
            people.set_disabled(
                session, CONSOLE, people.number_of(session, CONSOLE, me["person"]["id"]), centre.clock()
            )
        browser.cookies.clear()
        assert sign_in_there(browser).status_code == 403


def test_groups_give_roles_from_outside_and_take_them_away(centre: Centre, provider: Provider) -> None:
    person = linked(centre, provider, shikaoi_002="vet")
    owner = centre.person("owner", shikaoi_001="owner")
    configure(centre, provider, oidc_groups=f"milk=coop:{SITE},{OTHER},shikaoi-999;boss=technician:{SITE}")

    def roles() -> dict[str, str]:
        with centre.registry.read() as session:
            return {r.site_id: r.role for r in people.list_roles(session, CONSOLE, person_id=person)}

    with centre.serving() as browser:
        provider.who = {"sub": "u-1", "groups": ["milk"]}
        assert sign_in_there(browser).status_code == 204
        assert roles() == {SITE: "coop", OTHER: "vet"}  # what a farm gave stays
        assert browser.get(SESSION).json()["sites"] == []  # and a role alone shows nothing
        provider.who = {"sub": "u-1", "groups": ["boss"]}
        assert sign_in_there(browser).status_code == 204
        assert roles() == {SITE: "technician", OTHER: "vet"}
        with centre.registry.write() as session:  # the farm does not want them
            people.revoke_role(session, people.viewer_of(session, CONSOLE, owner, 1) or CONSOLE, person, SITE, 1)
        assert sign_in_there(browser).status_code == 204
        assert roles() == {OTHER: "vet"}
        provider.who = {"sub": "u-1", "groups": "milk"}  # no list
        assert sign_in_there(browser).status_code == 204
        assert roles() == {OTHER: "vet"}


# -------------------------------------------------------------------------------------------------------- false ones


FAULTS: list[tuple[str, Any]] = [
    ("claims", {"nonce": "another"}),
    ("claims", {"nonce": None}),
    ("claims", {"iss": "http://127.0.0.1:1"}),
    ("claims", {"aud": "somebody-else"}),
    ("claims", {"aud": "somebody-else", "azp": CLIENT}),
    ("claims", {"aud": ["somebody-else", "another"], "azp": CLIENT}),
    ("claims", {"aud": [CLIENT, "somebody-else"]}),
    ("claims", {"aud": [CLIENT, "somebody-else"], "azp": "somebody-else"}),
    ("claims", {"azp": "somebody-else"}),
    ("claims", {"aud": None}),
    ("claims", {"exp": 1}),
    ("claims", {"exp": None}),
    ("claims", {"exp": "never"}),
    ("claims", {"iat": 4_000_000_000}),
    ("claims", {"nbf": 4_000_000_000}),
    ("claims", {"sub": None}),
    ("claims", {"sub": ["u-1"]}),
    ("sign_with", "none"),
    ("sign_with", "HS256"),
    ("sign_with", "somebody"),
]


def test_a_token_that_does_not_hold_signs_nobody_in(centre: Centre, provider: Provider) -> None:
    linked(centre, provider)
    with centre.serving() as browser:
        for fault, value in FAULTS:
            setattr(provider, fault, value)
            answer = sign_in_there(browser)
            assert answer.status_code == 401, (fault, value)
            assert answer.json()["detail"] == "This sign-in does not hold, or not any more; please begin again."
            assert browser.get(SESSION).status_code == 401
            setattr(provider, fault, {} if fault == "claims" else "RS256")
        assert sign_in_there(browser).status_code == 204  # and it was nothing else


def test_more_audiences_are_right_when_the_token_was_made_for_us(centre: Centre, provider: Provider) -> None:
    linked(centre, provider)
    provider.claims = {"aud": ["somebody-else", CLIENT], "azp": CLIENT}
    with centre.serving() as browser:
        assert sign_in_there(browser).status_code == 204


def test_a_key_that_was_changed_holds_at_once_and_the_old_one_no_more(centre: Centre, provider: Provider) -> None:
    linked(centre, provider)
    with centre.serving() as browser:
        assert sign_in_there(browser).status_code == 204
        provider.rotate()
        assert sign_in_there(browser).status_code == 204
        stolen = provider.keys
        provider.rotate()
        new, provider.keys = provider.keys, stolen
        came = came_back(start(browser))
        handed = provider.answer

        def with_the_old_key(path: str, query: dict[str, str], headers: Any) -> Any:
            provider.keys = new if path.endswith("jwks") else stolen
            return handed(path, query, headers)

        provider.answer = with_the_old_key  # type: ignore[method-assign]
        assert finish(browser, came).status_code == 401


def test_what_came_back_holds_once_in_its_browser_and_for_ten_minutes(centre: Centre, provider: Provider) -> None:
    linked(centre, provider)
    with centre.serving() as browser, httpx.Client(base_url=browser.base_url, timeout=30) as victim:
        came = came_back(start(browser))
        assert finish(victim, came).status_code == 401  # an attacker's sign-in in somebody else's browser
        start(victim)
        came = came_back(start(browser))
        provider.asked.clear()
        assert finish(victim, came).status_code == 401
        assert provider.asked == []  # and the provider is not even asked
        mixed = came_back(start(browser)) | {"state": came["state"]}
        assert finish(browser, mixed).status_code == 401
        came = came_back(start(browser))
        assert finish(browser, came | {"iss": "https://another.example"}).status_code == 401  # mix-up
        came = came_back(start(browser))
        del came["iss"]
        assert finish(browser, came).status_code == 401  # the provider says that it always names itself
        came = came_back(start(browser))
        cookies = dict(browser.cookies)
        assert finish(browser, came).status_code == 204
        browser.cookies.clear()
        browser.cookies.update(cookies)
        assert finish(browser, came).status_code == 401
        came = came_back(start(browser))
        centre.clock.ms += 600_000
        assert finish(browser, came).status_code == 401
        code = came_back(start(browser))["code"]
        provider.codes.clear()
        state = came_back(start(browser))["state"]
        assert finish(browser, {"code": code, "state": state, "iss": provider.issuer}).status_code == 401


def test_a_provider_that_is_away_is_told_and_nothing_else_suffers(
    centre: Centre, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    linked(centre, provider)
    with centre.serving() as browser:
        for away in ("openid-configuration", "token", "jwks"):
            came = came_back(start(browser))
            provider.away = frozenset({away})
            answer = finish(browser, came)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5"), away
            for secret in (came["code"], came["state"], SECRET):
                assert secret not in caplog.text
            provider.away = frozenset()
        provider.away = frozenset({"openid-configuration"})
        assert browser.post(f"{OIDC}/start", headers=WRITE).status_code == 503
        assert browser.post(f"{OIDC}/sign-out", headers=WRITE).json() == {"address": None}
        sign_in(browser, "taro")


def test_a_provider_that_describes_itself_falsely_is_not_gone_to(centre: Centre, provider: Provider) -> None:
    with centre.serving() as browser:
        for told in (
            {"issuer": "http://127.0.0.1:1"},
            {"authorization_endpoint": "http://elsewhere.example/authorize"},
            {"authorization_endpoint": "javascript:alert(1)"},
            {"authorization_endpoint": None},
        ):
            provider.discovery = dict(told)
            assert browser.post(f"{OIDC}/start", headers=WRITE).status_code == 503, told


def test_a_provider_whose_answer_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.oidc.MAX_ANSWER_S", 0.5)
    listening = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def drip() -> None:
        connection, _ = listening.accept()
        with connection, suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n")
            while not over.wait(0.05):
                connection.sendall(b" ")

    dripping = threading.Thread(target=drip)
    dripping.start()
    oidc = open_oidc(Settings(oidc_issuer=f"http://127.0.0.1:{listening.getsockname()[1]}", oidc_client="makiba"))
    assert oidc
    try:
        with pytest.raises(OidcUnavailable, match="TimeoutError"):
            oidc.address("http://makiba.example/", "state", "browser")
    finally:
        over.set()
        dripping.join(10)
        listening.close()


# ----------------------------------------------------------------------------------------------------------- linking


def test_somebody_links_their_account_after_proving_who_they_are(centre: Centre, provider: Provider) -> None:
    centre.person("hanako")
    taro = centre.person("taro")
    with centre.serving() as browser:
        sign_in(browser)
        came = came_back(start(browser, "link"))
        mine = dict(browser.cookies)
        browser.cookies.set(COOKIE, centre.cookie(taro))  # somebody else is signed in meanwhile
        assert finish(browser, came).status_code == 401
        browser.cookies.clear()
        browser.cookies.update(mine)
        assert finish(browser, came_back(start(browser, "link"))).status_code == 204
        assert browser.get(f"{OIDC}/account").json()["subject"] == "u-1"
        browser.cookies.clear()
        sign_in(browser, "taro")
        assert finish(browser, came_back(start(browser, "link"))).status_code == 409  # it is hanako's
        browser.cookies.clear()
        assert sign_in_there(browser).status_code == 204
        assert browser.get(SESSION).json()["person"]["name"] == "hanakoさん"
        assert browser.delete(f"{OIDC}/account", headers=WRITE).status_code == 204
        browser.cookies.clear()
        assert sign_in_there(browser).status_code == 403
        sign_in(browser)
        centre.clock.ms += 700_000
        assert browser.post(f"{OIDC}/link", headers=WRITE).status_code == 403


def test_a_linked_account_is_told_in_every_browser_whoever_linked_it(centre: Centre, provider: Provider) -> None:
    hanako, admin = centre.person("hanako"), centre.person("boss", admin=True)
    with centre.serving() as browser:
        sign_in(browser)
        elsewhere = {"Cookie": f"{COOKIE}={centre.cookie(hanako)}"}
        assert finish(browser, came_back(start(browser, "link"))).status_code == 204
        assert browser.delete(f"{OIDC}/account", headers=WRITE).status_code == 204
        browser.cookies.clear()
        by_admin = {**WRITE, "Cookie": f"{COOKIE}={centre.cookie(admin)}"}
        path = f"/api/v1/people/{centre.public(hanako)}/account"
        assert browser.put(path, json={"subject": "u-2"}, headers=by_admin).status_code == 200
        assert browser.delete(path, headers=by_admin).status_code == 204
        told = [row["kind"] for row in browser.get(f"{SESSION}/notices", headers=elsewhere).json()["rows"]]
    assert (told.count("account-linked"), told.count("account-unlinked")) == (2, 2)


def test_a_reset_ends_the_account_elsewhere_and_what_its_groups_gave(centre: Centre, provider: Provider) -> None:
    provider.who["groups"] = ["milk"]
    admin, person = centre.person("boss", admin=True), linked(centre, provider)
    with centre.serving() as browser:
        assert sign_in_there(browser).status_code == 204
        browser.cookies.clear()
        by_admin = {**WRITE, "Cookie": f"{COOKIE}={centre.cookie(admin)}"}
        made = browser.post(f"/api/v1/people/{centre.public(person)}/reset", headers=by_admin).json()
        assert sign_in_there(browser).status_code == 403
        code = made["address"].partition("#join=")[2]
        assert browser.post(f"{SESSION}/join", json={"code": code}, headers=WRITE).status_code == 204
        assert browser.get(SESSION).json()["sites"] == []
        assert browser.get("/api/v1/sign-in").json()["may_make_first"] is True


def test_the_last_way_in_is_not_unlinked(centre: Centre, provider: Provider) -> None:
    person = centre.person("taro", password=None)
    with centre.registry.write() as session:
        identity.link(session, CONSOLE, provider.issuer, "u-1", person, centre.clock())
    with centre.serving() as browser:
        assert sign_in_there(browser).status_code == 204
        assert browser.delete(f"{OIDC}/account", headers=WRITE).status_code == 409


def test_the_administrator_links_and_unlinks(centre: Centre, provider: Provider) -> None:
    admin, taro = centre.person("boss", admin=True), centre.person("taro", password=None)
    hana = centre.person("hana")
    with centre.serving() as browser:
        headers = {**WRITE, "Cookie": f"{COOKIE}={centre.cookie(admin)}"}
        path = f"/api/v1/people/{centre.public(taro)}/account"
        assert browser.put(path, json={"subject": "u-1"}, headers=headers).json()["subject"] == "u-1"
        other = f"/api/v1/people/{centre.public(hana)}/account"
        assert browser.put(other, json={"subject": "u-1"}, headers=headers).status_code == 409
        browser.cookies.clear()
        assert sign_in_there(browser).status_code == 204
        assert browser.get(SESSION).json()["person"]["name"] == "taroさん"
        browser.cookies.clear()
        assert browser.delete(path, headers=headers).status_code == 204
        browser.cookies.clear()
        assert sign_in_there(browser).status_code == 403


@pytest.mark.parametrize(
    "given",
    [
        {"oidc_issuer": "http://accounts.example"},
        {"oidc_issuer": "https://user:pass@accounts.example"},
        {"oidc_client": ""},
        {"oidc_groups": "milk=owner:shikaoi-001"},
        {"oidc_groups": "milk=coop"},
    ],
)
def test_settings_that_cannot_be_are_refused(given: dict[str, str]) -> None:
    right = Settings(oidc_issuer="https://accounts.example", oidc_client="makiba")
    assert open_oidc(right)
    with pytest.raises(OidcMisconfigured):
        open_oidc(right.model_copy(update=given))
