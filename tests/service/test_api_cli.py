"""`makiba user`: people are added, invited and shut out at the command line."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from api.cli import user
from api.consent_cli import app as consent
from tests.service.serving import OTHER, PASSWORD, SITE, WRITE, Centre, now_ms, sign_in


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
