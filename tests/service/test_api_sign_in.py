"""Signing in tells nobody who exists; what cannot be taken back needs a proof; browsers are listed and signed out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyotp
import pytest
from sqlalchemy import event

from api.device_words import device_words
from api.fresh import FIRST_WAY_MS, FRESH_MS
from api.sessions import COOKIE, SESSION_MS, digest, new_code
from api.signing_in import CHALLENGE_COOKIE, FREE_EVERYWHERE
from collectors.registry import people
from collectors.registry.browsers import LONGEST_MS, NOTICES_KEPT
from tests.service.authenticator import Authenticator
from tests.service.serving import CONSOLE, PASSWORD, SITE, WRITE
from tests.service.sign_in_parts import API, House, Somebody, house

NEW_PASSWORD = "乳を しぼって 朝日を 見る"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(tmp_path_factory.mktemp("home")) as home:
        yield home


@pytest.fixture
def hanako(home: House) -> Somebody:
    return home.somebody()


def invited(home: House, password: str | None = None) -> Somebody:
    """Somebody whom an invitation brought just now."""
    somebody, code = home.somebody(password, signed_in=False), new_code()
    with home.centre.registry.write() as session:
        people.create_invitation(
            session, CONSOLE, code_hash=digest(code), person_id=somebody.id, expires_ms=home.centre.clock() + 1
        )
    assert somebody.post("session/join", {"code": code}).status_code == 204
    return somebody


def codes_on(somebody: Somebody) -> str:
    """Codes follow the password from now on; their secret."""
    secret: str = somebody.post("sign-in/codes").json()["secret"]
    code = pyotp.TOTP(secret).at(somebody.house.centre.clock.ms // 1000)
    assert somebody.post("sign-in/codes/confirm", {"code": code}).status_code == 200
    return secret


# ----------------------------------------------------------------------------------- nobody learns who exists


def test_who_exists_is_told_by_no_answer_no_statement_and_no_work(home: House) -> None:
    plain, with_codes, gone, bare, keyed = (
        home.somebody(), home.somebody(), home.somebody(), home.somebody(password=None), home.somebody(),
    )  # fmt: skip
    codes_on(with_codes)
    keyed.register(Authenticator())
    with home.centre.registry.write() as session:
        people.set_disabled(session, CONSOLE, gone.id, home.centre.clock())
    assert home.centre.running
    inside = home.centre.running.state.centre
    seen: list[str] = []
    verified: list[str] = []
    hasher = inside.passwords._hasher

    class Counting:
        def verify(self, kept: str, password: str) -> bool:
            verified.append(kept.rsplit("$", 2)[0])  # with how much work
            return bool(hasher.verify(kept, password))

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        seen.append(statement)

    tries = {
        "a wrong password": (plain.login, "not this one at all"),
        "a wrong password, and codes": (with_codes.login, "not this one at all"),
        "a wrong password, and a passkey": (keyed.login, "not this one at all"),
        "nobody": ("nobody@farm.example", PASSWORD),
        "disabled": (gone.login, PASSWORD),
        "no password": (bare.login, PASSWORD),
    }
    told: dict[str, tuple[Any, ...]] = {}
    event.listen(inside.registry.engine, "before_cursor_execute", note)
    inside.passwords._hasher = Counting()
    try:
        for name, (login, password) in tries.items():
            browser = home.browser()
            seen.clear()
            verified.clear()
            answer = browser.post(f"{API}/session", json={"login": login, "password": password}, headers=WRITE)
            headers = {**answer.headers, "date": ""}
            told[name] = (answer.status_code, answer.content, headers, _own(seen), tuple(verified))
    finally:
        inside.passwords._hasher = hasher
        event.remove(inside.registry.engine, "before_cursor_execute", note)
    first = told["a wrong password"]
    assert first[0] == 401
    assert len(first[4]) == 1
    assert any("FROM person LEFT OUTER JOIN totp" in s for s in first[3])
    for name, one in told.items():
        assert one == first, name


def _own(statements: list[str]) -> list[str]:
    """Without those of the parts that look at the registry all the time."""
    watching = ("rights_version", "alert_event", "BEGIN")
    return [s for s in statements if not any(word in s for word in watching)]


def test_guessing_from_many_addresses_has_to_wait_and_shuts_nobody_out(tmp_path: Path) -> None:
    with house(tmp_path, trusted_proxies="127.0.0.1") as home:
        hanako, thief = home.somebody(signed_in=False), home.somebody(signed_in=False)
        hanako.signs_in()
        thief.login = hanako.login
        for number in range(FREE_EVERYWHERE):
            thief.browser.headers["x-forwarded-for"] = f"192.0.2.{number}"
            assert thief.password("not this one at all").status_code == 401
        thief.browser.headers["x-forwarded-for"] = "192.0.2.200"
        assert thief.password().status_code == 429
        hanako.signs_out()
        assert hanako.password().status_code == 204  # from a browser that they signed in with before


def test_a_wrong_code_and_no_code_get_the_same_answer(hanako: Somebody) -> None:
    codes_on(hanako)
    hanako.password()
    wrong = hanako.post("session/code", {"code": "000000"})
    nobody = Somebody(hanako.house, 0, "", hanako.house.browser()).post("session/code", {"code": "000000"})
    assert (wrong.status_code, wrong.content) == (401, nobody.content)
    assert "set-cookie" not in wrong.headers


@pytest.mark.parametrize("body", ['{"login": "\\ud800", "password": "x"}', '{"login": "a\\u0000", "password": "x"}'])
def test_half_a_character_and_a_nul_are_no_login(home: House, body: str) -> None:
    told = home.browser().post(f"{API}/session", content=body, headers=WRITE | {"content-type": "application/json"})
    assert told.status_code == 422


# ------------------------------------------------------------------------------------------------ proof needed


SENSITIVE: list[tuple[str, str, Any]] = [
    ("POST", "tokens", {"name": "feed planner", "expires_ms": 1_900_000_000_000}),
    ("POST", "sign-in/passkeys/options", None),
    ("POST", "sign-in/passkeys", {"name": "x", "credential": {
        "id": "q1w2", "rawId": "q1w2", "type": "public-key",
        "response": {"clientDataJSON": "q1w2", "attestationObject": "q1w2"},
    }}),
    ("DELETE", "sign-in/passkeys/x", None),
    ("PUT", "sign-in/password", {"password": NEW_PASSWORD}),
    ("DELETE", "sign-in/password", None),
    ("POST", "sign-in/codes", None),
    ("POST", "sign-in/codes/confirm", {"code": "123456"}),
    ("DELETE", "sign-in/codes", None),
    ("POST", "sign-in/codes/recovery", None),
]  # fmt: skip


def test_what_cannot_be_taken_back_needs_a_proof_of_the_last_ten_minutes(hanako: Somebody) -> None:
    hanako.house.centre.clock.ms += FRESH_MS - 1
    assert hanako.post("sign-in/passkeys/options").status_code == 200
    hanako.house.centre.clock.ms += 1
    for method, path, body in SENSITIVE:
        refused = hanako.ask(method, path, body, If_Match="*")
        assert (refused.status_code, refused.json()["type"]) == (403, "/problems/proof-needed"), path
    assert hanako.get("sign-in")["fresh_until_ms"] <= hanako.house.centre.clock()
    assert hanako.post("session/proof", {"password": PASSWORD}).status_code == 204
    assert hanako.get("sign-in")["fresh_until_ms"] == hanako.house.centre.clock() + FRESH_MS
    assert hanako.post("sign-in/passkeys/options").status_code == 200


def test_a_farms_way_out_needs_a_proof(home: House, hanako: Somebody) -> None:
    centre = home.centre
    with centre.registry.write() as session:
        people.grant_role(session, CONSOLE, hanako.id, SITE, "owner", centre.clock())
    hanako.stale()
    for method, path, body in (
        ("GET", "archive", None),
        ("POST", "leave", {"confirm": SITE}),
        ("POST", "leave/delete", {"confirm": SITE, "archive_sha256": None}),
    ):
        refused = hanako.ask(method, f"sites/{SITE}/{path}", body)
        assert (refused.status_code, refused.json()["type"]) == (403, "/problems/proof-needed"), path
        assert hanako.ask(method, f"sites/shikaoi-999/{path}", body).status_code == 404


def test_a_proof_gives_another_cookie_and_the_one_before_opens_nothing(hanako: Somebody) -> None:
    thief = hanako.copy()
    listed = hanako.get("sessions")["rows"]
    assert hanako.post("session/proof", {"password": PASSWORD}).status_code == 204
    assert not thief.is_signed_in()
    assert hanako.is_signed_in()
    assert hanako.get("sessions")["rows"] == listed  # it is the same browser


def test_a_wrong_proof_proves_nothing_and_has_to_wait(hanako: Somebody) -> None:
    hanako.stale()
    cookie = hanako.browser.cookies[COOKIE]
    for _ in range(5):
        refused = hanako.post("session/proof", {"password": "not this one"})
        assert (refused.status_code, refused.json()["type"]) == (403, "/problems/not-proved")
    assert hanako.post("session/proof", {"password": PASSWORD}).status_code == 429
    assert hanako.ask("PUT", "sign-in/password", {"password": NEW_PASSWORD, "old": PASSWORD}).status_code == 429
    assert hanako.browser.cookies[COOKIE] == cookie
    assert hanako.post("sign-in/passkeys/options").status_code == 403


def test_where_codes_are_on_a_proof_needs_one(hanako: Somebody) -> None:
    secret = codes_on(hanako)
    hanako.stale()
    needed = hanako.post("session/proof", {"password": PASSWORD})
    assert (needed.status_code, needed.json()["type"]) == (403, "/problems/code-needed")
    wrong = hanako.post("session/proof", {"password": "not this one", "code": "000000"})
    assert wrong.json()["type"] == "/problems/not-proved"
    assert hanako.post("session/proof", {"password": "not this one"}).json() == wrong.json()
    assert hanako.post("session/proof", {"password": PASSWORD, "code": "000000"}).json() == wrong.json()
    code = pyotp.TOTP(secret).at(hanako.house.centre.clock.ms // 1000)
    assert hanako.post("session/proof", {"password": PASSWORD, "code": code}).status_code == 204


def test_a_passkey_proves_its_own_person_only(home: House, hanako: Somebody) -> None:
    mine, theirs, taro = Authenticator(), Authenticator(), home.somebody()
    hanako.register(mine)
    taro.register(theirs)
    hanako.stale()
    refused = hanako.post("session/proof", {"passkey": theirs.get(hanako.options())})
    assert refused.json()["type"] == "/problems/not-proved"
    assert hanako.get("session")["person"]["name"] == f"{hanako.login}さん"
    assert hanako.post("session/proof", {"passkey": mine.get(hanako.options())}).status_code == 204
    assert hanako.post("sign-in/codes").status_code == 200
    for both in ({}, {"password": PASSWORD, "passkey": mine.get(hanako.options())}):
        assert hanako.post("session/proof", both).status_code == 422


def test_an_invitation_proves_nobody_and_lets_the_first_own_way_in_be_made(home: House) -> None:
    guest = invited(home)
    assert guest.get("sign-in") | {"passkeys_here": True} == {
        "password": False, "passkeys": [], "passkeys_here": True, "codes": False, "recovery_codes_left": 0,
        "fresh_until_ms": 0, "may_make_first": True,
    }  # fmt: skip
    for method, path, body in SENSITIVE:
        if path not in ("sign-in/passkeys/options", "sign-in/passkeys", "sign-in/password"):
            assert guest.ask(method, path, body, If_Match="*").json()["type"] == "/problems/proof-needed"
    device = Authenticator()
    assert guest.register(device).status_code == 201
    # The first, and no other.
    assert guest.get("sign-in")["may_make_first"] is False
    assert guest.ask("PUT", "sign-in/password", {"password": NEW_PASSWORD}).status_code == 403
    assert guest.post("sign-in/passkeys/options").status_code == 403
    assert guest.post("session/proof", {"passkey": device.get(guest.options())}).status_code == 204
    assert guest.ask("PUT", "sign-in/password", {"password": NEW_PASSWORD}).status_code == 204


def test_the_first_own_way_is_made_within_an_hour_and_by_who_has_none(home: House) -> None:
    late, known = invited(home), invited(home, PASSWORD)
    assert known.ask("PUT", "sign-in/password", {"password": NEW_PASSWORD}).status_code == 403
    home.centre.clock.ms += FIRST_WAY_MS
    assert late.ask("PUT", "sign-in/password", {"password": NEW_PASSWORD}).status_code == 403
    soon = invited(home)
    assert soon.ask("PUT", "sign-in/password", {"password": NEW_PASSWORD}).status_code == 204


# --------------------------------------------------------------------------------------------------- passwords


def test_a_new_password_ends_every_other_browser_and_changes_this_ones_cookie(hanako: Somebody) -> None:
    other, thief = hanako.twin(), hanako.copy()
    other.signs_in()
    hanako.stale()
    wrong = hanako.ask("PUT", "sign-in/password", {"password": NEW_PASSWORD, "old": "not this one"})
    assert (wrong.status_code, wrong.json()["type"]) == (403, "/problems/not-proved")
    assert other.is_signed_in()
    assert hanako.ask("PUT", "sign-in/password", {"password": NEW_PASSWORD, "old": PASSWORD}).status_code == 204
    assert [b.is_signed_in() for b in (hanako, other, thief)] == [True, False, False]
    assert hanako.twin().password().status_code == 401
    assert hanako.twin().password(NEW_PASSWORD).status_code == 204
    assert "password-changed" in hanako.notices()
    # The old password was no fresh proof: with codes it would be half of one.
    assert hanako.post("sign-in/codes").status_code == 403


@pytest.mark.parametrize(
    ("password", "why"), [("k3z8qq", "too-short"), ("password1234", "common"), ("{login}!", "yours")]
)
def test_a_weak_password_is_not_taken_and_it_is_said_why(hanako: Somebody, password: str, why: str) -> None:
    body = {"password": password.format(login=hanako.login)}
    refused = hanako.ask("PUT", "sign-in/password", body)
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/weak-password")
    assert refused.json()["errors"] == [{"where": "password", "why": why}]
    assert body["password"] not in refused.text
    assert hanako.password().status_code == 204


def test_a_password_of_a_thousand_characters_is_compared_whole(hanako: Somebody) -> None:
    long = "そこで いちばん はやく おきるのは" * 52
    assert hanako.ask("PUT", "sign-in/password", {"password": long}).status_code == 204
    assert hanako.twin().password(long[:-1]).status_code == 401
    assert hanako.twin().password(long[:-1] + "が").status_code == 401
    assert hanako.twin().password(long).status_code == 204
    assert hanako.ask("PUT", "sign-in/password", {"password": long * 2}).status_code == 422


# ---------------------------------------------------------------------------------------------------- browsers


def test_browsers_are_listed_and_one_of_them_is_signed_out(home: House, hanako: Somebody) -> None:
    phone, taro = hanako.twin(), home.somebody()
    phone.browser.headers["user-agent"] = (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 26_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
        "Version/26.0 Mobile/15E148 Safari/604.1"
    )
    home.centre.clock.ms += 1
    phone.signs_in()
    rows = hanako.get("sessions")["rows"]
    assert [(r["device"]["en"], r["this"], r["way"]) for r in rows] == [
        ("Safari on iPhone", False, "password"), ("unknown device", True, "password"),
    ]  # fmt: skip
    assert phone.browser.cookies[COOKIE] not in str(rows)
    assert digest(phone.browser.cookies[COOKIE]) not in str(rows)
    assert taro.ask("DELETE", f"sessions/{rows[0]['id']}").status_code == 404
    assert phone.is_signed_in()
    assert hanako.ask("DELETE", f"sessions/{rows[0]['id']}").status_code == 204
    assert hanako.ask("DELETE", f"sessions/{rows[0]['id']}").status_code == 404
    assert [b.is_signed_in() for b in (hanako, phone, taro)] == [True, False, True]


def test_all_other_browsers_are_signed_out_at_once(home: House, hanako: Somebody) -> None:
    others, taro = [hanako.twin() for _ in range(2)], home.somebody()
    for other in others:
        other.signs_in()
    assert hanako.ask("DELETE", "sessions").status_code == 204
    assert [b.is_signed_in() for b in (hanako, *others, taro)] == [True, False, False, True]
    assert hanako.notices()[0] == "browsers-signed-out" or "browsers-signed-out" in hanako.notices()


def test_a_session_ends_after_180_days_however_much_it_is_used(tmp_path: Path) -> None:
    with house(tmp_path) as home:
        hanako = home.somebody()
        hanako.signs_in()
        begun_ms = home.centre.clock.ms
        while home.centre.clock.ms < begun_ms + LONGEST_MS - SESSION_MS:
            home.centre.clock.ms += SESSION_MS - 1
            assert hanako.is_signed_in()
        home.centre.clock.ms = begun_ms + LONGEST_MS - 1
        assert hanako.is_signed_in()
        home.centre.clock.ms += 1
        assert not hanako.is_signed_in()


def test_a_sign_in_is_told_to_the_other_browsers_until_it_was_seen(home: House, hanako: Somebody) -> None:
    home.centre.clock.ms += 1
    other = hanako.twin()
    other.signs_in()
    [there] = hanako.get("session/notices")["rows"]
    [here] = other.get("session/notices")["rows"]
    assert (there["kind"], there["way"], there["seen_ms"]) == ("signed-in", "password", None)
    assert (there["this"], here["this"]) == (False, True)
    assert hanako.ask("PUT", "session/notices/seen", {"until_ms": there["at_ms"] - 1}).status_code == 204
    assert hanako.get("session/notices")["rows"][0]["seen_ms"] is None
    assert hanako.ask("PUT", "session/notices/seen", {"until_ms": there["at_ms"]}).status_code == 204
    assert hanako.get("session/notices")["rows"][0]["seen_ms"] == home.centre.clock.ms


def test_of_what_happened_the_newest_are_kept(home: House, hanako: Somebody) -> None:
    from collectors.registry import browsers

    with home.centre.registry.write() as session:
        for number in range(NOTICES_KEPT + 5):
            browsers.notify(session, CONSOLE, hanako.id, "signed-in", number, device=f"\u202e\n{number}")
    rows = hanako.get("session/notices")["rows"]
    assert [r["at_ms"] for r in rows] == list(range(NOTICES_KEPT + 4, 4, -1))


@pytest.mark.parametrize(
    ("user_agent", "ja", "en"),
    [
        ("Mozilla/5.0 (Linux; Android 15; SH-M26) AppleWebKit/537.36 Chrome/141.0.0.0 Mobile Safari/537.36",
         "Androidの Chrome", "Chrome on Android"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/141.0.0.0 Safari/537.36 Edg/141.0.0.0",
         "Windowsの Edge", "Edge on Windows"),
        ("Mozilla/5.0 (Windows NT 10.0; rv:143.0) Gecko/20100101 Firefox/143.0", "Windowsの Firefox",
         "Firefox on Windows"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/26.0 Safari/605.1.15",
         "Macの Safari", "Safari on Mac"),
        ("curl/8.0", "curl", "curl"),
        ("<script>alert(1)</script>", "不明な 端末", "unknown device"),
        ("", "不明な 端末", "unknown device"),
    ],
)  # fmt: skip
def test_a_browser_is_told_in_words_that_its_person_knows(user_agent: str, ja: str, en: str) -> None:
    words = device_words(user_agent)
    assert (words.ja, words.en) == (ja, en)


# ----------------------------------------------------------------------------------------------------- cookies


def test_over_https_cookies_are_this_hosts_alone(tmp_path: Path) -> None:
    with house(tmp_path, public_url="https://makiba.example") as home:
        hanako = home.somebody(signed_in=False)
        hanako.browser.headers["host"] = "makiba.example"
        answer = hanako.password()
        assert answer.status_code == 204
        asked = hanako.post("session/passkey/options")
        for cookie, name in ((answer.headers["set-cookie"], COOKIE), (asked.headers["set-cookie"], CHALLENGE_COOKIE)):
            assert cookie.startswith(f"__Host-{name}=")
            parts = {part.strip().lower() for part in cookie.split(";")[1:]}
            assert {"httponly", "secure", "samesite=strict", "path=/"} <= parts
            assert not any(part.startswith("domain") for part in parts)
        token = answer.headers["set-cookie"].split(";")[0].split("=", 1)[1]

        def seen(cookie: str) -> int:
            with httpx.Client(base_url=home.url) as bare:
                headers = {"Cookie": cookie, "Host": "makiba.example"}
                return bare.get(f"{API}/session", headers=headers).status_code

        assert seen(f"__Host-{COOKIE}={token}") == 200
        assert seen(f"{COOKIE}={token}") == 401  # anybody on the way may have set it


def test_a_cookie_that_somebody_put_there_before_signs_nobody_in(hanako: Somebody) -> None:
    planted = hanako.twin()
    planted.has(COOKIE, "chosen-by-somebody-else")
    planted.signs_in()
    assert planted.browser.cookies[COOKIE] != "chosen-by-somebody-else"
    thief = hanako.twin()
    thief.has(COOKIE, "chosen-by-somebody-else")
    assert not thief.is_signed_in()
