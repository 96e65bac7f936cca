"""Signing in, staying in, going out: over HTTP, on a real registry."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

import pytest

from api.passwords import Passwords
from api.sessions import COOKIE, RENEW_AFTER_MS, SESSION_MS, digest, new_code
from collectors.registry import people
from makiba.data_class import EVERYTHING
from tests.service.serving import CONSOLE, PASSWORD, SITE, WRITE, Centre, sign_in

SESSION = "/api/v1/session"


@pytest.fixture
def centre(tmp_path: Path) -> Centre:
    return Centre(tmp_path)


def test_somebody_signs_in_and_sees_their_farms_only(centre: Centre) -> None:
    person = centre.person(shikaoi_001="owner")
    with centre.signed_in() as browser:
        told = browser.get(SESSION).json()
    assert told == {
        "person": {"id": centre.public(person), "name": "hanakoさん", "language": "ja"},
        "sites": [
            {
                "id": SITE, "name": {"ja": f"{SITE} 牧場", "en": f"{SITE} farm"}, "role": "owner",
                "classes": sorted(EVERYTHING),
            }
        ],
        "demo": False,
    }  # fmt: skip


def test_the_cookie_is_for_this_site_alone_and_no_script_reads_it(centre: Centre) -> None:
    centre.person()
    with centre.serving() as browser:
        answer = browser.post(SESSION, json={"login": "Hanako ", "password": PASSWORD}, headers=WRITE)
    said = answer.headers["set-cookie"].lower()
    assert "httponly" in said
    assert "samesite=strict" in said
    assert "path=/;" in said


def test_the_registry_holds_neither_password_nor_token(tmp_path: Path) -> None:
    centre = Centre(tmp_path, passwords=Passwords())
    centre.person()  # with a hash of other work than the service's
    with centre.signed_in() as browser:
        token = browser.cookies[COOKIE]
    with sqlite3.connect(centre.folder / "registry.db") as db:
        kept = "\n".join(db.iterdump())
    assert hashlib.sha256(token.encode()).hexdigest() in kept
    assert "$argon2id$v=19$m=19456,t=2,p=1$" in kept
    assert kept.count("$argon2id$") == 1
    assert token not in kept
    assert PASSWORD not in kept


def test_wrong_password_unknown_login_and_disabled_person_get_the_same_answer(centre: Centre) -> None:
    centre.person("hanako")
    gone = centre.person("taro")
    centre.person("invited", password=None)
    with centre.registry.write() as session:
        people.set_disabled(session, CONSOLE, gone, centre.clock())
    with centre.serving() as browser:
        answers = [
            browser.post(SESSION, json={"login": login, "password": password}, headers=WRITE)
            for login, password in (
                ("hanako", "not this one"),
                ("nobody", PASSWORD),
                ("taro", PASSWORD),
                ("invited", PASSWORD),
            )
        ]
        assert {a.status_code for a in answers} == {401}
        assert len({a.text for a in answers}) == 1
        assert all("set-cookie" not in a.headers for a in answers)
        assert browser.get(SESSION).status_code == 401


def test_a_full_width_keyboard_types_the_same_password(centre: Centre) -> None:
    centre.person("hanako", password="abc1234567xyz")
    with centre.serving() as browser:
        sign_in(browser, "hanako", "ａｂｃ１２３４５６７ｘｙｚ")


def test_guessing_has_to_wait_and_says_how_long(centre: Centre) -> None:
    centre.person()
    with centre.serving() as browser:
        for _ in range(5):
            browser.post(SESSION, json={"login": "hanako", "password": "wrong"}, headers=WRITE)
        told = browser.post(SESSION, json={"login": "hanako", "password": PASSWORD}, headers=WRITE)
        assert told.status_code == 429
        assert told.headers["retry-after"] == "2"
        centre.clock.ms += 2_000
        sign_in(browser)


def test_a_request_that_changes_something_needs_the_header(centre: Centre) -> None:
    centre.person()
    with centre.serving() as browser:
        refused = browser.post(SESSION, json={"login": "hanako", "password": PASSWORD})
        assert refused.status_code == 403
        assert refused.headers["content-type"] == "application/problem+json"
        assert "set-cookie" not in refused.headers
        sign_in(browser)
        for method, path in (
            ("DELETE", SESSION),
            ("PUT", f"{SESSION}/language"),
            ("POST", "/api/v1/alerts/x/acknowledge"),
        ):
            assert browser.request(method, path, json={"language": "en"}).status_code == 403
        assert browser.get(SESSION).status_code == 200


def test_a_join_code_signs_in_as_often_as_it_says_and_no_longer(centre: Centre) -> None:
    person = centre.person(password=None, shikaoi_001="family")
    once, expired = new_code(), new_code()
    with centre.registry.write() as session:
        for code, until in ((once, centre.clock() + 1_000), (expired, centre.clock())):
            people.create_invitation(session, CONSOLE, code_hash=digest(code), person_id=person, expires_ms=until)
    with centre.serving() as browser:
        assert browser.post(f"{SESSION}/join", json={"code": expired}, headers=WRITE).status_code == 401
        assert browser.post(f"{SESSION}/join", json={"code": once}, headers=WRITE).status_code == 204
        assert browser.get(SESSION).json()["person"]["id"] == centre.public(person)
        browser.cookies.clear()
        assert browser.post(f"{SESSION}/join", json={"code": once}, headers=WRITE).status_code == 401
        assert browser.get(SESSION).status_code == 401


def test_signing_out_ends_the_session_for_a_copied_cookie_too(centre: Centre) -> None:
    centre.person()
    with centre.signed_in() as browser:
        copied = browser.cookies[COOKIE]
        assert browser.delete(SESSION, headers=WRITE).status_code == 204
        assert COOKIE not in browser.cookies
        browser.cookies.set(COOKIE, copied)
        assert browser.get(SESSION).status_code == 401


def test_signing_in_again_ends_the_session_before(centre: Centre) -> None:
    centre.person()
    with centre.signed_in() as browser:
        before = browser.cookies[COOKIE]
        sign_in(browser)
        browser.cookies.clear()
        browser.cookies.set(COOKIE, before)
        assert browser.get(SESSION).status_code == 401


def test_a_session_in_use_goes_on_and_one_left_alone_ends_after_30_days(centre: Centre) -> None:
    centre.person()
    with centre.signed_in() as browser:
        centre.clock.ms += SESSION_MS - 1
        answer = browser.get(SESSION)
        assert answer.status_code == 200
        assert "max-age=2592000" in answer.headers["set-cookie"].lower()
        centre.clock.ms += RENEW_AFTER_MS - 1
        assert "set-cookie" not in browser.get(SESSION).headers  # not a write at every look
        centre.clock.ms += SESSION_MS
        assert browser.get(SESSION).status_code == 401


def test_disabling_somebody_shuts_them_out_at_once(centre: Centre) -> None:
    person = centre.person()
    with centre.signed_in() as browser:
        with centre.registry.write() as session:
            people.set_disabled(session, CONSOLE, person, centre.clock())
        assert browser.get(SESSION).status_code == 401


def test_the_language_is_remembered(centre: Centre) -> None:
    centre.person()
    with centre.signed_in() as browser:
        assert browser.put(f"{SESSION}/language", json={"language": "en"}, headers=WRITE).status_code == 204
        assert browser.get(SESSION).json()["person"]["language"] == "en"
        wrong = browser.put(f"{SESSION}/language", json={"language": "de"}, headers=WRITE)
        assert wrong.status_code == 422
        assert wrong.json()["title"]


def test_a_large_body_is_not_read(centre: Centre) -> None:
    with centre.serving() as browser:
        large = browser.post(SESSION, content=b" " * 70_000, headers=WRITE)
        chunked = browser.post(SESSION, content=iter([b" " * 70_000]), headers=WRITE)
    assert (large.status_code, chunked.status_code) == (413, 413)


def test_a_wrong_body_is_told_without_repeating_the_password(centre: Centre) -> None:
    with centre.serving() as browser:
        told = browser.post(SESSION, json={"login": 1, "password": [PASSWORD]}, headers=WRITE)
    assert told.status_code == 422
    assert "login" in told.json()["detail"]
    assert PASSWORD not in told.text
