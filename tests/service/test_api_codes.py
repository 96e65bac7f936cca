"""One-time codes and recovery codes over HTTP; the RFC's own vectors; each code once, in whichever process."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from api import one_time
from api.signing_in import CHALLENGE_COOKIE, CODE_MS
from makiba.keys import Key
from tests.service.serving import PASSWORD
from tests.service.sign_in_parts import API, App, House, Somebody, house

# RFC 6238, appendix B (SHA-1, the secret "12345678901234567890"): the last six of its eight digits.
RFC_SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
RFC_CODES = {
    59: "287082", 1_111_111_109: "081804", 1_111_111_111: "050471", 1_234_567_890: "005924",
    2_000_000_000: "279037", 20_000_000_000: "353130",
}  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(tmp_path_factory.mktemp("home")) as home:
        yield home


@pytest.fixture
def hanako(home: House) -> Somebody:
    return home.somebody()


# -------------------------------------------------------------------------------------------------- the codes


@pytest.mark.parametrize(("at_s", "code"), RFC_CODES.items())
def test_the_codes_are_those_of_the_rfc(at_s: int, code: str) -> None:
    step = at_s // 30
    assert one_time.matching_step(RFC_SECRET, code, at_s * 1000) == step
    for off in (-1, 1):
        assert one_time.matching_step(RFC_SECRET, code, (at_s + 30 * off) * 1000) == step
    for off in (-2, 2):
        assert one_time.matching_step(RFC_SECRET, code, (at_s + 30 * off) * 1000) is None


@pytest.mark.parametrize("typed", ["287 082", "２８７０８２", "287-082", " 287082\u3000"])
def test_a_code_is_the_same_however_it_is_typed(typed: str) -> None:
    plain = one_time.folded(typed)
    assert plain == "287082"
    assert one_time.is_digits(plain)
    assert not one_time.is_digits(one_time.folded("٢٨٧٠٨٢"))


def test_a_sealed_secret_opens_with_its_key_for_its_person_only() -> None:
    key, secret = Key(b"k" * 32), one_time.new_secret()
    sealed = one_time.seal(key, secret, 7)
    assert secret not in sealed
    assert one_time.unseal(key, sealed, 7) == secret
    assert one_time.seal(key, secret, 7) != sealed
    assert one_time.unseal(key, sealed, 8) is None
    assert one_time.unseal(Key(b"j" * 32), sealed, 7) is None
    for damaged in ("", "AAAA", sealed[:-4], sealed[:-2] + "==", "é"):
        assert one_time.unseal(key, damaged, 7) is None
    assert len(sealed) <= 200


def test_recovery_codes_are_random_and_as_people_write_them() -> None:
    codes = [code for _ in range(20) for code in one_time.new_recovery_codes()]
    assert len(set(codes)) == len(codes) == 200
    assert {len(one_time.folded(code)) for code in codes} == {24}
    assert set("".join(map(one_time.folded, codes))) <= set("abcdefghjkmnpqrstvwxyz23456789")  # 30: 117 bits in 24
    assert one_time.recovery_hash("ABCDEF GHJKMN pqrstv-wxyz23") == one_time.recovery_hash(
        "abcdef-ghjkmn-pqrstv-wxyz23"
    )


# -------------------------------------------------------------------------------------------------- setting up


def test_codes_are_asked_for_once_one_was_typed(hanako: Somebody) -> None:
    begun = hanako.post("sign-in/codes").json()
    assert begun["address"].startswith("otpauth://totp/Makiba:")
    assert f"secret={begun['secret']}" in begun["address"]
    assert begun["qr_svg"].startswith("<svg")
    assert "<script" not in begun["qr_svg"]
    assert hanako.get("sign-in")["codes"] is False
    assert hanako.password().status_code == 204  # nothing follows it yet
    assert hanako.post("sign-in/codes/confirm", {"code": "000000"}).status_code == 403
    app = App(hanako)
    assert app.secret != begun["secret"]
    assert len(app.recovery) == 10
    ways = hanako.get("sign-in")
    assert (ways["codes"], ways["recovery_codes_left"]) == (True, 10)
    assert hanako.post("sign-in/codes").status_code == 409
    assert hanako.password().json()["type"] == "/problems/code-needed"


def test_the_code_that_confirmed_signs_nobody_in(hanako: Somebody) -> None:
    app = App(hanako)
    confirmed = app.code()
    hanako.password()
    assert hanako.post("session/code", {"code": confirmed}).status_code == 401


def test_the_registry_and_the_log_hold_no_secret(hanako: Somebody, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        app = App(hanako)
        hanako.password()
        hanako.post("session/code", {"code": app.recovery[0]})
        hanako.post("session/code", {"code": "111111"})
    with sqlite3.connect(hanako.house.centre.folder / "registry.db") as db:
        kept = "\n".join(db.iterdump())
    for secret in (app.secret, *app.recovery, *(one_time.folded(c) for c in app.recovery)):
        assert secret not in kept
        assert secret not in caplog.text
    key = hanako.house.centre.folder / "api.key"
    assert key.stat().st_mode & 0o777 == 0o600


# -------------------------------------------------------------------------------------------------- signing in


def test_a_code_follows_the_password_and_no_session_begins_before(hanako: Somebody) -> None:
    app = App(hanako)
    app.wait()
    hanako.signs_out()
    asked = hanako.password()
    assert (asked.status_code, asked.json()["type"]) == (401, "/problems/code-needed")
    assert not hanako.is_signed_in()
    assert hanako.post("session/code", {"code": app.code()}).status_code == 204
    assert hanako.is_signed_in()


def test_a_code_is_used_once_and_so_are_all_before_it(hanako: Somebody) -> None:
    app = App(hanako)
    app.wait(3)
    used, before = app.code(), app.code(-1)
    hanako.password()
    assert hanako.post("session/code", {"code": used}).status_code == 204
    for code in (used, before):
        hanako.password()
        assert hanako.post("session/code", {"code": code}).status_code == 401
    assert hanako.post("session/code", {"code": app.code(1)}).status_code == 204
    assert hanako.notices().count("code-used-again") == 2  # somebody may have looked over their shoulder


def test_the_password_counts_for_this_browser_five_minutes_and_one_sign_in(hanako: Somebody) -> None:
    app = App(hanako)
    app.wait()
    hanako.password()
    assert hanako.twin().post("session/code", {"code": app.code()}).status_code == 401
    cookie = hanako.browser.cookies[CHALLENGE_COOKIE]
    assert hanako.post("session/code", {"code": app.code()}).status_code == 204
    app.wait()
    hanako.has(CHALLENGE_COOKIE, cookie)
    assert hanako.post("session/code", {"code": app.code()}).status_code == 401
    hanako.password()
    hanako.house.centre.clock.ms += CODE_MS
    assert hanako.post("session/code", {"code": app.code()}).status_code == 401


def test_a_right_password_and_guessed_codes_have_to_wait_from_wherever_they_come(hanako: Somebody) -> None:
    app = App(hanako)
    hanako.signs_out()
    statuses = []
    for _ in range(7):
        twin = hanako.twin()
        if twin.password().status_code == 429:
            break
        statuses.append(twin.post("session/code", {"code": "000000"}).status_code)
    assert statuses[:5] == [401] * 5
    assert hanako.password().status_code == 429  # the password as well: it is one sign-in
    hanako.house.centre.clock.ms += 900_000
    assert hanako.password().json()["type"] == "/problems/code-needed"
    assert hanako.post("session/code", {"code": app.code()}).status_code == 204


def test_a_recovery_code_stands_in_for_one_code_and_its_person_is_told(hanako: Somebody) -> None:
    app = App(hanako)
    hanako.password()
    assert hanako.post("session/code", {"code": app.recovery[3].upper().replace("-", " ")}).status_code == 204
    assert hanako.get("sign-in")["recovery_codes_left"] == 9
    assert "recovery-code-used" in hanako.notices()
    hanako.password()
    assert hanako.post("session/code", {"code": app.recovery[3]}).status_code == 401
    assert hanako.post("session/code", {"code": app.recovery[4]}).status_code == 204


def test_a_recovery_code_is_one_persons(home: House, hanako: Somebody) -> None:
    app, other = App(hanako), home.somebody()
    App(other)
    other.password()
    assert other.post("session/code", {"code": app.recovery[0]}).status_code == 401
    assert hanako.get("sign-in")["recovery_codes_left"] == 10


def test_new_recovery_codes_make_the_old_ones_void(hanako: Somebody) -> None:
    app = App(hanako)
    fresh = hanako.post("sign-in/codes/recovery").json()["recovery_codes"]
    assert not set(fresh) & set(app.recovery)
    hanako.password()
    assert hanako.post("session/code", {"code": app.recovery[0]}).status_code == 401
    assert hanako.post("session/code", {"code": fresh[0]}).status_code == 204


def test_a_new_password_and_a_disabled_person_end_what_waits_for_a_code(hanako: Somebody) -> None:
    app = App(hanako)
    app.wait()
    thief = hanako.twin()
    thief.password()
    changed = hanako.ask("PUT", "sign-in/password", {"password": "あたらしい ことばを 四つ ならべる"})
    assert changed.status_code == 204, changed.text
    assert thief.post("session/code", {"code": app.code()}).status_code == 401


def test_ended_codes_are_asked_for_no_more(hanako: Somebody) -> None:
    app = App(hanako)
    hanako.stale()
    refused = hanako.ask("DELETE", "sign-in/codes")
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/proof-needed")
    proof = hanako.post("session/proof", {"password": PASSWORD, "code": app.code()})
    assert proof.status_code == 204, proof.text
    assert hanako.ask("DELETE", "sign-in/codes").status_code == 204
    assert hanako.ask("DELETE", "sign-in/codes").status_code == 404
    assert hanako.get("sign-in")["recovery_codes_left"] == 0
    assert hanako.password().status_code == 204
    assert [k for k in hanako.notices() if k.startswith("codes")] == ["codes-off", "codes-on"]


def test_codes_follow_a_password_only(home: House) -> None:
    nobody = home.somebody(password=None)
    assert nobody.post("sign-in/codes").status_code == 409


def test_with_another_key_codes_fit_no_more_and_recovery_codes_do(tmp_path: Path) -> None:
    with house(tmp_path) as home:
        hanako = home.somebody()
        app = App(hanako)
        app.wait()
        (tmp_path / "api.key").unlink()
        with home.centre.serving() as other:
            hanako.browser.base_url = other.base_url
            assert other.get(f"{API}/health").status_code == 200
            assert hanako.password().status_code == 401
            assert hanako.post("session/code", {"code": app.code()}).status_code == 401
            assert hanako.post("session/code", {"code": app.recovery[0]}).status_code == 204
