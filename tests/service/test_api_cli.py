"""`makiba user`: people are added, invited and shut out at the command line."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from api.cli import user
from api.consent_cli import app as consent
from tests.parts import free_port, makiba, wait_until
from tests.service.serving import OTHER, PASSWORD, SITE, WRITE, Centre, now_ms, sign_in

NEW_PASSWORD = "朝五時の 牛乳は あたたかい"


@pytest.fixture
def centre(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Centre:
    monkeypatch.setenv("MAKIBA_HOME", str(tmp_path))
    monkeypatch.setenv("MAKIBA_PUBLIC_URL", "https://makiba.example/")
    return Centre(tmp_path)


def run_consent(*arguments: str) -> Result:
    return CliRunner().invoke(consent, list(arguments))


def run(*arguments: str, given: str = "") -> Result:
    return CliRunner().invoke(user, list(arguments), input=given)


def test_somebody_is_added_with_a_password_from_standard_input_and_signs_in(centre: Centre) -> None:
    added = run(
        "add", "Hanako", "--name", "花子", "--site", f"{SITE}:owner", "--site", f"{OTHER}:worker", given=PASSWORD
    )
    assert added.exit_code == 0, added.output
    assert PASSWORD not in added.output
    with centre.serving() as browser:
        sign_in(browser, "hanako")
        told = browser.get("/api/v1/session").json()
    assert told["person"]["name"] == "花子"
    assert {s["id"]: s["role"] for s in told["sites"]} == {SITE: "owner", OTHER: "worker"}


def test_an_invitation_signs_in_once_and_its_code_is_behind_the_hash(centre: Centre) -> None:
    assert run("add", "taro", "--name", "太郎", "--site", f"{SITE}:worker", "--no-password").exit_code == 0
    invited = run("invite", "taro", "--hours", "1")
    address, _, code = invited.output.strip().partition("#join=")
    assert address == "https://makiba.example/"
    assert len(code) >= 27  # 160 bits
    with sqlite3.connect(centre.folder / "registry.db") as db:
        assert code not in "\n".join(db.iterdump())
    with centre.serving() as browser:
        for expected in (204, 401):
            answer = browser.post("/api/v1/session/join", json={"code": code}, headers=WRITE)
            assert answer.status_code == expected
        centre.clock.ms += 3_600_000
        code = run("invite", "taro", "--hours", "1").output.strip().partition("#join=")[2]
        centre.clock.ms += 3_600_000
        assert browser.post("/api/v1/session/join", json={"code": code}, headers=WRITE).status_code == 401


def test_an_invitation_may_hold_for_many_browsers(centre: Centre) -> None:
    run("add", "taro", "--name", "太郎", "--no-password")
    code = run("invite", "taro", "--uses", "0").output.strip().partition("#join=")[2]
    with centre.serving() as browser:
        for _ in range(3):
            answer = browser.post("/api/v1/session/join", json={"code": code}, headers=WRITE)
            assert answer.status_code == 204


def test_the_list_says_who_may_see_what(centre: Centre) -> None:
    run("add", "coop", "--name", "組合", "--admin", given=PASSWORD)
    run("add", "taro", "--name", "太郎", "--site", f"{SITE}:worker", "--no-password")
    run("disable", "taro")
    lines = run("list").output.splitlines()
    assert lines[0] == "coop\t組合\t\tadmin"
    assert lines[1].startswith(f"taro\t太郎\t{SITE}:worker\tby invitation only, disabled 20")
    assert run("invite", "taro").exit_code == 2
    run("disable", "taro", "--undo")
    assert run("invite", "taro").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("add", "x", "--name", "X", "--site", f"{SITE}:boss"), "owner, family"),
        (("add", "x", "--name", "X", "--site", "owner"), "SITE:ROLE"),
        (("add", "x", "--name", "X", "--site", "shikaoi-999:owner"), "shikaoi-999"),
        (("add", "x", "--name", "X", "--language", "de"), "ja or en"),
        (("add", " ", "--name", "X"), "may not be empty"),
        (("invite", "nobody"), "nobody signs in"),
        (("disable", "nobody"), "nobody signs in"),
    ],
)
@pytest.mark.usefixtures("centre")
def test_what_is_wrong_is_said_and_nothing_is_kept(arguments: tuple[str, ...], said: str) -> None:
    result = run(*arguments, given=PASSWORD)
    assert result.exit_code == 2
    assert said in result.output
    assert run("list").output == ""


def test_a_mistyped_home_is_noticed_when_nobody_is_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAKIBA_HOME", str(tmp_path))
    for arguments in (("list",), ("invite", "hanako"), ("disable", "hanako")):
        result = run(*arguments)
        assert result.exit_code == 2
        assert "registry" in result.output
    assert run("add", "hanako", "--name", "花子", "--admin", given=PASSWORD).exit_code == 0
    assert run("list").output == "hanako\t花子\t\tadmin\n"


@pytest.mark.usefixtures("centre")
def test_a_short_password_and_a_taken_login_are_refused() -> None:
    assert run("add", "x", "--name", "X", given="short\n").exit_code == 2
    assert run("add", "x", "--name", "X", given=PASSWORD).exit_code == 0
    assert run("add", "X ", "--name", "Y", given=PASSWORD).exit_code == 2


def test_a_consent_is_given_listed_and_withdrawn_and_the_audit_says_where(centre: Centre) -> None:
    run("add", "vet", "--name", "獣医", "--site", f"{SITE}:vet", given=PASSWORD)
    centre.person("owner", shikaoi_001="owner")
    given = run_consent("give", SITE, "--to", "vet", "--show", "tank", "--show", "alerts", "--days", "30")
    assert given.exit_code == 0, given.output
    number = given.output.strip()
    centre.clock.ms = now_ms() + 1_000  # the command's clock is the machine's
    with centre.serving() as browser:
        sign_in(browser, "vet")
        assert browser.get(f"/api/v1/sites/{SITE}/places").status_code == 200
        [line] = run_consent("list", SITE).output.splitlines()
        assert line.startswith(f"{number}\tvet\talerts tank\t20")
        assert "until" in line
        assert run_consent("withdraw", SITE, number).exit_code == 0
        assert "withdrawn" in run_consent("list", SITE).output
        assert browser.get(f"/api/v1/sites/{SITE}/places").status_code == 404
        sign_in(browser, "owner")
        rows = browser.get(f"/api/v1/sites/{SITE}/audit").json()["rows"]
    assert {(r["what"], r["name"]) for r in rows if r["what"].startswith("consent")} == {
        ("consent.given", None), ("consent.withdrawn", None),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("give", "farm-9", "--to", "vet", "--show", "tank"), "no site farm-9"),
        (("give", SITE, "--to", "boss", "--show", "tank"), "nobody's login"),
        (("give", SITE, "--to", "owner1", "--show", "tank"), "no role from outside"),
        (("give", SITE, "--to", "vet", "--show", "milk"), "alerts, tank"),
        (("withdraw", SITE, "x"), "no consent x"),
    ],
)
def test_a_wrong_consent_is_said(centre: Centre, arguments: tuple[str, ...], said: str) -> None:
    centre.person("owner1", password=None, shikaoi_001="owner")
    result = run_consent(*arguments)
    assert result.exit_code == 2
    assert said in result.output


def first_code(output: str) -> str:
    [line] = [line for line in output.splitlines() if "#first=" in line]
    assert line.strip().startswith("https://makiba.example/#first=")
    return line.partition("#first=")[2]


def test_the_console_shows_a_link_for_the_first_administrator_until_there_is_one(centre: Centre) -> None:
    old, new = (first_code(run("first-link").output) for _ in range(2))
    given = {"name": "花子", "login": "hanako", "password": NEW_PASSWORD}
    centre.clock.ms = now_ms()
    with centre.serving() as browser:
        for code, expected in ((old, 404), (new, 204)):
            body = {**given, "code": code}
            assert browser.post("/api/v1/first-administrator", json=body, headers=WRITE).status_code == expected
    assert run("first-link").exit_code == 2
    assert (run("first-link", "--if-needed").exit_code, run("first-link", "--if-needed").output) == (0, "")
    with sqlite3.connect(centre.folder / "registry.db") as db:
        assert new not in "\n".join(db.iterdump())


def test_serving_says_the_link_on_the_console_once_for_each_start(tmp_path: Path) -> None:
    env = {"MAKIBA_HOME": str(tmp_path), "MAKIBA_PUBLIC_URL": "https://makiba.example"}
    codes = []
    for number in range(2):
        log = tmp_path / f"serve-{number}.log"
        with makiba("serve", "--port", str(free_port()), log=log, env=env) as serving:
            wait_until(lambda: "pages on" in serving.log(), 30, what="the pages are served")
            assert serving.log().count("#first=") == 1
            codes.append(first_code(serving.log()))
    assert codes[0] != codes[1]


def test_a_password_is_given_at_the_console_and_signs_the_person_out(centre: Centre) -> None:
    centre.person()
    with centre.signed_in() as browser:
        assert run("password", "hanako", given="password123456").exit_code == 2
        assert browser.get("/api/v1/session").status_code == 200
        assert run("password", "Hanako", given=NEW_PASSWORD).exit_code == 0
        assert browser.get("/api/v1/session").status_code == 401
        sign_in(browser, "hanako", NEW_PASSWORD)
    assert run("password", "nobody", given=NEW_PASSWORD).exit_code == 2


def test_a_recovery_link_lets_in_and_what_let_in_before_does_not(centre: Centre) -> None:
    centre.person()
    centre.clock.ms = now_ms()
    with centre.signed_in() as browser:
        printed = run("recover", "hanako")
        assert printed.exit_code == 0, printed.output
        assert browser.get("/api/v1/session").status_code == 401
        body = {"code": printed.output.strip().partition("#join=")[2]}
        for expected in (204, 401):
            assert browser.post("/api/v1/session/join", json=body, headers=WRITE).status_code == expected
        again = {"login": "hanako", "password": PASSWORD}
        assert browser.post("/api/v1/session", json=again, headers=WRITE).status_code == 401
    assert run("recover", "nobody").exit_code == 2
