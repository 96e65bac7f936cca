"""Passkeys over HTTP: an authenticator in software on one side, the real library and registry on the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from api.passkeys import CHALLENGE_MS, RelyingParty, relying_party
from api.sessions import COOKIE
from api.signing_in import CHALLENGE_COOKIE
from collectors.registry import people
from collectors.registry.sign_in import MAX_PASSKEYS
from tests.service.authenticator import UP, UV, Algorithm, Authenticator, b64
from tests.service.serving import CONSOLE, WRITE
from tests.service.sign_in_parts import API, House, Somebody, house


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(tmp_path_factory.mktemp("home")) as home:
        yield home


@pytest.fixture
def hanako(home: House) -> Somebody:
    return home.somebody()


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "RS256"])
def test_a_passkey_signs_in_without_a_login(hanako: Somebody, algorithm: Algorithm) -> None:
    device = Authenticator(algorithm=algorithm)
    made = hanako.register(device)
    assert made.status_code == 201, made.text
    told = hanako.browser.get(made.headers["location"])
    assert (told.json(), told.headers["etag"]) == (made.json(), '"1"')
    hanako.signs_out()
    assert not hanako.is_signed_in()
    assert hanako.enter(device).status_code == 204
    assert hanako.get("session")["person"]["name"] == f"{hanako.login}さん"
    [kept] = hanako.get("sign-in")["passkeys"]
    assert kept["used_ms"] == hanako.house.centre.clock()
    assert hanako.notices() == ["signed-in", "passkey-added"] or hanako.notices() == ["passkey-added", "signed-in"]


def test_what_the_browser_is_asked_names_nobody_and_asks_for_the_person(hanako: Somebody) -> None:
    asked = hanako.options()["publicKey"]
    assert asked["rpId"] == "localhost"
    assert asked["allowCredentials"] == []
    assert asked["userVerification"] == "required"
    asked = hanako.options("sign-in/passkeys/options")["publicKey"]
    again = hanako.options("sign-in/passkeys/options")["publicKey"]
    assert asked["authenticatorSelection"] == {
        "residentKey": "required", "requireResidentKey": True, "userVerification": "required",
    }  # fmt: skip
    assert asked["attestation"] == "none"
    assert asked["user"]["id"] == again["user"]["id"]  # one account in the authenticator, not one for each passkey
    assert asked["challenge"] != again["challenge"]
    assert len(asked["challenge"]) >= 43  # 256 bits


FOREIGN: dict[str, dict[str, Any]] = {
    "another origin": {"origin": "https://makiba.example"},
    "another port": {"origin": "http://localhost:9"},
    "another name": {"rp_id": "makiba.example"},
    "another challenge": {"challenge": b64(b"x" * 32)},
}
LIES: dict[str, dict[str, Any]] = FOREIGN | {
    "forged": {"forged": True},
    "made, not asked": {"type": "webauthn.create"},
    "somebody else's name": {"handle": b64(b"y" * 32)},
    "no name": {"handle": None},
}


def test_an_answer_that_does_not_hold_opens_nothing(hanako: Somebody) -> None:
    device = Authenticator()
    assert hanako.register(device).status_code == 201
    hanako.signs_out()
    for lie, lies in LIES.items():
        refused = hanako.enter(device, **lies)
        assert refused.status_code == 401, lie
        assert refused.json()["detail"] == "This passkey does not open anything here; please try again."
        assert COOKIE not in hanako.browser.cookies
    assert hanako.enter(device).status_code == 204


def test_a_registration_that_does_not_hold_is_refused(hanako: Somebody) -> None:
    for lie, lies in FOREIGN.items():
        assert hanako.register(Authenticator(), **lies).status_code == 422, lie
    assert hanako.get("sign-in")["passkeys"] == []


def test_who_holds_the_device_is_verified_by_it_each_time(hanako: Somebody) -> None:
    device = Authenticator(flags=UP)
    assert hanako.register(device).status_code == 422
    device.flags = UP | UV
    assert hanako.register(device).status_code == 201
    hanako.signs_out()
    for flags in (UP, UV):
        device.flags = flags
        assert hanako.enter(device).status_code == 401
    device.flags = UP | UV
    assert hanako.enter(device).status_code == 204


def test_rubbish_is_an_answer_that_does_not_hold(hanako: Somebody) -> None:
    device = Authenticator()
    hanako.register(device)
    hanako.signs_out()
    for field in ("clientDataJSON", "authenticatorData", "signature"):
        for rubbish in ("A", "AAAA", b64(b"\xff" * 500), b64(b"{}"), b64(b'{"type":1}'), b64(b"\xa1\x01")):
            shown = device.get(hanako.options())
            shown["response"][field] = rubbish
            assert hanako.post("session/passkey", shown).status_code == 401, rubbish
    hanako.signs_in()
    for rubbish in ("A", b64(b"\xff" * 500), b64(b"\xa1\x01")):
        made = device.create(hanako.options("sign-in/passkeys/options"))
        made["response"]["attestationObject"] = rubbish
        assert hanako.post("sign-in/passkeys", {"name": "x", "credential": made}).status_code == 422


# -------------------------------------------------------------------------------------------------- challenges


def test_a_challenge_is_answered_once(hanako: Somebody) -> None:
    device = Authenticator(counts=False)
    hanako.register(device)
    shown = device.get(hanako.options())
    cookie = hanako.browser.cookies[CHALLENGE_COOKIE]
    assert hanako.post("session/passkey", shown).status_code == 204
    hanako.has(CHALLENGE_COOKIE, cookie)
    assert hanako.post("session/passkey", shown).status_code == 401
    # A wrong answer uses it up too.
    asked = hanako.options()
    assert hanako.post("session/passkey", device.get(asked, forged=True)).status_code == 401
    assert hanako.post("session/passkey", device.get(asked)).status_code == 401


def test_a_challenge_is_for_the_browser_that_asked_and_for_five_minutes(hanako: Somebody) -> None:
    device = Authenticator(counts=False)
    hanako.register(device)
    shown = device.get(hanako.options())
    thief = Somebody(hanako.house, 0, "", hanako.house.browser())  # saw the answer, and has no cookie
    assert thief.post("session/passkey", shown).status_code == 401
    thief.options()
    assert thief.post("session/passkey", shown).status_code == 401
    assert hanako.post("session/passkey", shown).status_code == 204
    shown = device.get(hanako.options())
    hanako.house.centre.clock.ms += CHALLENGE_MS
    assert hanako.post("session/passkey", shown).status_code == 401


def test_a_challenge_for_one_purpose_serves_no_other(hanako: Somebody) -> None:
    device, other = Authenticator(), Authenticator()
    hanako.register(device)
    # One for signing in makes no passkey.
    asked = hanako.options("sign-in/passkeys/options")["publicKey"]
    made = other.create({"publicKey": {**asked, "challenge": hanako.options()["publicKey"]["challenge"]}})
    assert hanako.post("sign-in/passkeys", {"name": "x", "credential": made}).status_code == 422
    # One for a new passkey signs nobody in.
    asked = hanako.options("sign-in/passkeys/options")["publicKey"]
    shown = device.get({"publicKey": {**asked, "rpId": "localhost", "userVerification": "required"}})
    assert hanako.post("session/passkey", shown).status_code == 401


def test_a_challenge_for_one_person_makes_no_passkey_for_another(home: House, hanako: Somebody) -> None:
    made = Authenticator().create(hanako.options("sign-in/passkeys/options"))
    taro = home.somebody()
    taro.has(CHALLENGE_COOKIE, hanako.browser.cookies[CHALLENGE_COOKIE])
    assert taro.post("sign-in/passkeys", {"name": "x", "credential": made}).status_code == 422
    assert taro.get("sign-in")["passkeys"] == []


def test_any_process_takes_the_answer(hanako: Somebody) -> None:
    device = Authenticator()
    hanako.register(device)
    shown = device.get(hanako.options())
    with hanako.house.centre.serving() as other:
        other.cookies.set(CHALLENGE_COOKIE, hanako.browser.cookies[CHALLENGE_COOKIE])
        assert other.post(f"{API}/session/passkey", json=shown, headers=WRITE).status_code == 204
        assert hanako.post("session/passkey", shown).status_code == 401


# ----------------------------------------------------------------------------------------------------- counters


def test_a_counter_that_does_not_go_on_is_refused_and_its_person_is_told(hanako: Somebody) -> None:
    device = Authenticator()
    hanako.register(device)
    for _ in range(3):
        assert hanako.enter(device).status_code == 204
    device.count -= 1  # as a copy has it
    assert hanako.enter(device).status_code == 401
    device.counts, device.count = False, 0
    assert hanako.enter(device).status_code == 401
    copied = [r for r in hanako.get("session/notices")["rows"] if r["kind"] == "passkey-copied"]
    assert len(copied) == 2
    assert copied[0]["seen_ms"] is None
    assert "copy" in copied[0]["words"]["en"]
    device.counts, device.count = True, 50
    assert hanako.enter(device).status_code == 204


def test_a_passkey_that_does_not_count_signs_in_as_often_as_wanted(hanako: Somebody) -> None:
    device = Authenticator(counts=False)
    hanako.register(device)
    assert [hanako.enter(device).status_code for _ in range(3)] == [204] * 3


# ------------------------------------------------------------------------------------------- several, and the last


def test_passkeys_have_names_and_are_renamed_by_who_saw_the_last(hanako: Somebody) -> None:
    first = hanako.register(Authenticator(), "スマホ").json()
    hanako.house.centre.clock.ms += 1
    hanako.register(Authenticator(), " 牛舎の PC ")
    assert [p["name"] for p in hanako.get("sign-in")["passkeys"]] == ["スマホ", "牛舎の PC"]
    path = f"sign-in/passkeys/{first['id']}"
    assert hanako.ask("PUT", path, {"name": "x"}).status_code == 428
    assert hanako.ask("PUT", path, {"name": " "}, If_Match='"1"').status_code == 422
    renamed = hanako.ask("PUT", path, {"name": "古い スマホ"}, If_Match='"1"')
    assert (renamed.status_code, renamed.json()["name"]) == (200, "古い スマホ")
    assert renamed.headers["etag"] == '"2"'
    assert hanako.ask("PUT", path, {"name": "x"}, If_Match='"1"').status_code == 412
    assert hanako.ask("GET", path, If_None_Match='"2"').status_code == 304


def test_a_removed_passkey_opens_nothing_and_the_last_way_in_stays(hanako: Somebody) -> None:
    first, second = Authenticator(), Authenticator()
    ids = [hanako.register(device).json()["id"] for device in (first, second)]
    assert hanako.ask("DELETE", "sign-in/password").status_code == 204
    assert hanako.password().status_code == 401
    assert hanako.ask("DELETE", f"sign-in/passkeys/{ids[0]}").status_code == 428
    assert hanako.ask("DELETE", f"sign-in/passkeys/{ids[0]}", If_Match='"1"').status_code == 204
    assert hanako.enter(first).status_code == 401
    last = hanako.ask("DELETE", f"sign-in/passkeys/{ids[1]}", If_Match='"1"')
    assert (last.status_code, last.json()["type"]) == (409, "/problems/last-way-in")
    assert hanako.ask("DELETE", "sign-in/password").status_code == 404
    assert hanako.enter(second).status_code == 204


def test_a_password_that_is_the_last_way_in_stays(hanako: Somebody) -> None:
    last = hanako.ask("DELETE", "sign-in/password")
    assert (last.status_code, last.json()["type"]) == (409, "/problems/last-way-in")
    assert hanako.password().status_code == 204


def test_a_passkey_is_one_persons(home: House, hanako: Somebody) -> None:
    device = Authenticator()
    theirs = hanako.register(device).json()["id"]
    taro = home.somebody()
    for method, body in (("GET", None), ("PUT", {"name": "x"}), ("DELETE", None)):
        assert taro.ask(method, f"sign-in/passkeys/{theirs}", body, If_Match="*").status_code == 404
    # An id is whatever a device says it is.
    refused = taro.register(Authenticator(), own_id=device.held[0].id)
    assert refused.status_code == 422
    assert "known" not in refused.text
    assert taro.get("sign-in")["passkeys"] == []


def test_a_disabled_persons_passkey_opens_nothing(hanako: Somebody) -> None:
    device = Authenticator()
    hanako.register(device)
    centre = hanako.house.centre
    with centre.registry.write() as session:
        people.set_disabled(session, CONSOLE, hanako.id, centre.clock())
    refused = hanako.enter(device)
    unknown = hanako.enter(Authenticator(held=[device.held[0]]), handle=b64(b"z" * 32))
    assert (refused.status_code, refused.content) == (401, unknown.content)


def test_nobody_has_more_than_twenty(hanako: Somebody) -> None:
    statuses = [hanako.register(Authenticator(algorithm="EdDSA")).status_code for _ in range(MAX_PASSKEYS + 1)]
    assert statuses == [201] * MAX_PASSKEYS + [409]


# ------------------------------------------------------------------------------------------------- whom they are for


@pytest.mark.parametrize(
    ("address", "party"),
    [
        ("http://127.0.0.1:8800", RelyingParty("localhost", "http://localhost:8800")),
        ("http://[::1]:8800", RelyingParty("localhost", "http://localhost:8800")),
        ("http://localhost", RelyingParty("localhost", "http://localhost")),
        ("https://makiba.example/", RelyingParty("makiba.example", "https://makiba.example")),
        ("https://makiba.example:443", RelyingParty("makiba.example", "https://makiba.example")),
        ("https://Makiba.Example:8443", RelyingParty("makiba.example", "https://makiba.example:8443")),
        ("http://makiba.example", None),
        ("https://192.0.2.1", None),
        ("http://0.0.0.0:8800", None),
    ],
)
def test_passkeys_are_for_the_name_of_the_setting(address: str, party: RelyingParty | None) -> None:
    assert relying_party(address) == party


def test_where_browsers_know_no_passkeys_it_is_said(tmp_path_factory: pytest.TempPathFactory) -> None:
    with house(tmp_path_factory.mktemp("lan"), public_url="http://barn.lan:8800") as lan:
        hanako = lan.somebody()
        hanako.browser.headers["host"] = "barn.lan:8800"
        assert hanako.get("sign-in")["passkeys_here"] is False
        for path in ("session/passkey/options", "sign-in/passkeys/options"):
            refused = hanako.post(path)
            assert (refused.status_code, refused.json()["type"]) == (409, "/problems/no-passkeys-here")
