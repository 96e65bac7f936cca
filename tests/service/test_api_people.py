"""Members, invitations, recovery, the first administrator and people's administration, through the API."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from api.sessions import COOKIE, digest, new_code
from collectors.registry import invitations, people
from collectors.registry.schema import PersonRow, RoleRow
from collectors.registry.schema.identity import RecoveryLink
from tests.service.serving import CONSOLE, OTHER, PASSWORD, SITE, WRITE, Centre, sign_in

V1 = "/api/v1"
MEMBERS, INVITATIONS = f"{V1}/sites/{SITE}/members", f"{V1}/sites/{SITE}/invitations"
_numbers = itertools.count()
ADMIN_DOORS = ("disable", "enable", "reset", "first-owner")


@pytest.fixture
def centre(tmp_path: Path) -> Centre:
    return Centre(tmp_path)


@pytest.fixture(params=["sqlite", "postgres"])
def racing(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Centre]:
    """A centre for what many do at the same moment, which the two databases decide in their own ways."""
    url = request.getfixturevalue("postgres").ready(f"r{next(_numbers)}") if request.param == "postgres" else ""
    centre = Centre(tmp_path, registry_url=url)
    yield centre
    centre.registry.close()
    centre.store.close()


Ask = Callable[..., httpx.Response]


@contextmanager
def as_(centre: Centre, browser: httpx.Client, person: int) -> Iterator[Ask]:
    """Asks as this person, freshly proven."""
    cookie = centre.cookie(person)

    def ask(method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        sent = {**WRITE, **headers, "Cookie": f"{COOKIE}={cookie}"}
        return browser.request(method, path, json=body, headers=sent)

    yield ask


def post(browser: httpx.Client, path: str, body: Any) -> httpx.Response:
    return browser.post(f"{V1}{path}", json=body, headers=WRITE)


def code_of(address: str) -> str:
    return address.partition("=")[2]


def role_of(centre: Centre, person: int, site: str = SITE) -> str | None:
    with centre.registry.read() as session:
        return session.scalar(select(RoleRow.role).where(RoleRow.person_id == person, RoleRow.site_id == site))


def first_link(centre: Centre) -> str:
    code = new_code()
    with centre.registry.write() as session:
        assert invitations.make_first_link(session, CONSOLE, digest(code), centre.clock())
    return code


# ------------------------------------------------------------------------------------------------ invitations


def test_an_invitation_makes_somebody_new_a_member_once(centre: Centre) -> None:
    owner = centre.person("owner", shikaoi_001="owner")
    with centre.serving() as browser, as_(centre, browser, owner) as ask:
        made = ask("POST", INVITATIONS, {"role": "worker", "name": "太郎", "language": "en"})
        assert made.status_code == 201, made.text
        link = made.json()["link"]
        assert link["address"].startswith(f"{centre.settings.address}/#invite=")  # no server sees what is behind #
        assert link["qr_svg"].startswith("<svg")
        code = code_of(link["address"])
        assert code not in ask("GET", INVITATIONS).text
        seen = post(browser, "/invitations/look", {"code": code}).json()
        assert (seen["role"], seen["farm"]["ja"], seen["inviter"]) == ("worker", f"{SITE} 牧場", "ownerさん")
        new = {"name": "太郎", "login": "Taro", "language": "en", "password": "朝五時の 牛乳は あたたかい"}
        accepted = post(browser, "/invitations/accept", {"code": code, "new": new})
        assert accepted.json() == {"site": SITE, "role": "worker"}
        me = browser.get(f"{V1}/session").json()
        assert (me["person"]["name"], me["person"]["language"], me["sites"][0]["role"]) == ("太郎", "en", "worker")
        browser.cookies.clear()
        assert post(browser, "/invitations/accept", {"code": code, "new": new}).status_code == 404
        sign_in(browser, "taro", new["password"])
        [row] = ask("GET", INVITATIONS).json()["rows"]
        assert (row["state"], row["accepted_by"]) == ("accepted", "太郎")
        audit = ask("GET", f"{V1}/sites/{SITE}/audit").json()["rows"]
        assert {"invitation.made", "invitation.accepted", "role.granted"} <= {r["what"] for r in audit}
    with sqlite3.connect(centre.folder / "registry.db") as db:
        assert code not in "\n".join(db.iterdump())


def test_the_signed_in_person_accepts_for_themselves_and_keeps_what_they_were(centre: Centre) -> None:
    owner, vet = centre.person("owner", shikaoi_001="owner"), centre.person("vet", shikaoi_002="vet")
    with centre.serving() as browser, as_(centre, browser, owner) as ask, as_(centre, browser, vet) as as_vet:
        codes = [
            code_of(ask("POST", INVITATIONS, {"role": role, "name": "獣医"}).json()["link"]["address"])
            for role in ("vet", "worker")
        ]
        assert post(browser, "/invitations/accept", {"code": codes[0]}).status_code == 401  # nobody is signed in
        assert as_vet("POST", f"{V1}/invitations/accept", {"code": codes[0]}).status_code == 200
        assert (role_of(centre, vet), role_of(centre, vet, OTHER)) == ("vet", "vet")
        # A second one neither raises nor lowers anybody: that is the owner's to decide.
        assert as_vet("POST", f"{V1}/invitations/accept", {"code": codes[1]}).status_code == 409
        assert ask("POST", f"{V1}/invitations/accept", {"code": codes[1]}).status_code == 409
        assert (role_of(centre, vet), role_of(centre, owner)) == ("vet", "owner")
        assert post(browser, "/invitations/look", {"code": codes[1]}).status_code == 200  # and it was not used up


def test_codes_that_do_not_hold_all_get_the_same_answer(centre: Centre) -> None:
    owner, second = centre.person("owner", shikaoi_001="owner"), centre.person("second", shikaoi_001="owner")
    with centre.serving() as browser, as_(centre, browser, owner) as ask, as_(centre, browser, second) as as_2:

        def invited(asking: Ask, **more: Any) -> tuple[str, str]:
            made = asking("POST", INVITATIONS, {"role": "worker", "name": "x", **more}).json()
            return code_of(made["link"]["address"]), made["invitation"]["id"]

        revoked, revoked_id = invited(ask)
        assert ask("DELETE", f"{INVITATIONS}/{revoked_id}").status_code == 204
        expired, _ = invited(ask, expires_ms=centre.clock() + 10)
        orphan, _ = invited(as_2)
        with centre.registry.write() as session:  # who invited may invite no more
            people.grant_role(session, CONSOLE, second, SITE, "worker", centre.clock())
        centre.clock.ms += 10
        answers = []
        for code in (revoked, expired, orphan, new_code(), "x"):
            for path, body in (("look", {"code": code}), ("accept", {"code": code, "new": {"name": "誰か"}})):
                answers.append(post(browser, f"/invitations/{path}", body))
                centre.clock.ms += 1_000_000  # so that nobody has to wait
        assert {(a.status_code, a.content) for a in answers} == {(404, answers[0].content)}
        with centre.registry.read() as session:
            assert session.scalars(select(PersonRow.name).where(PersonRow.name == "誰か")).all() == []


def test_an_invitation_has_bounds(centre: Centre) -> None:
    owner = centre.person("owner", shikaoi_001="owner")
    with centre.serving() as browser, as_(centre, browser, owner) as ask:
        for wrong in (
            {"role": "admin", "name": "x"},
            {"role": "worker", "name": ""},
            {"role": "worker", "name": "x\x00"},
            {"role": "worker", "name": "x", "expires_ms": centre.clock() + 14 * 86_400_000 + 1},
            {"role": "worker", "name": "x", "expires_ms": centre.clock()},
            {"role": "worker", "name": "x", "site_id": OTHER},
        ):
            assert ask("POST", INVITATIONS, wrong).status_code == 422, wrong
        for _ in range(invitations.MAX_OPEN):
            assert ask("POST", INVITATIONS, {"role": "vet", "name": "x"}).status_code == 201
        assert ask("POST", INVITATIONS, {"role": "vet", "name": "x"}).status_code == 409


def test_the_same_invitation_again_is_not_a_second_one_and_its_code_is_not_told_twice(centre: Centre) -> None:
    owner = centre.person("owner", shikaoi_001="owner")
    with centre.serving() as browser, as_(centre, browser, owner) as ask:
        body = {"role": "vet", "name": "x"}
        first = ask("POST", INVITATIONS, body, **{"Idempotency-Key": "k1"})
        again = ask("POST", INVITATIONS, body, **{"Idempotency-Key": "k1"})
        assert (first.status_code, again.status_code) == (201, 409)
        assert again.headers["location"] == first.headers["location"]
        assert code_of(first.json()["link"]["address"]) not in again.text
        assert len(ask("GET", INVITATIONS).json()["rows"]) == 1


def test_of_many_who_accept_at_the_same_moment_one_does(racing: Centre) -> None:
    centre = racing
    owner = centre.person("owner", shikaoi_001="owner")
    with centre.serving() as browser, as_(centre, browser, owner) as ask:
        code = code_of(ask("POST", INVITATIONS, {"role": "vet", "name": "x"}).json()["link"]["address"])

        def accept(number: int) -> int:
            with httpx.Client(base_url=browser.base_url, timeout=30) as own:
                new = {"name": f"n{number}", "login": f"n{number}"}
                return post(own, "/invitations/accept", {"code": code, "new": new}).status_code

        with ThreadPoolExecutor(5) as pool:
            answers = sorted(pool.map(accept, range(5)))
        assert answers == [200, 404, 404, 404, 404]
        with centre.registry.read() as session:
            assert len(session.scalars(select(PersonRow).where(PersonRow.name.like("n%"))).all()) == 1


def test_logins_are_not_found_out_with_an_invitation(centre: Centre) -> None:
    owner = centre.person("owner", shikaoi_001="owner")
    with centre.serving() as browser, as_(centre, browser, owner) as ask:
        code = code_of(ask("POST", INVITATIONS, {"role": "vet", "name": "x"}).json()["link"]["address"])
        told = [
            post(browser, "/invitations/accept", {"code": code, "new": {"name": "x", "login": "owner"}})
            for _ in range(6)
        ]
        assert [a.status_code for a in told] == [409] * 5 + [429]


# ---------------------------------------------------------------------------------------------------- members


def test_the_owner_changes_and_removes_and_it_holds_at_once(centre: Centre) -> None:
    owner, worker = centre.person("owner", shikaoi_001="owner"), centre.person("w", shikaoi_001="worker")
    with centre.serving() as browser, as_(centre, browser, owner) as ask, as_(centre, browser, worker) as as_w:
        rows = ask("GET", MEMBERS).json()["rows"]
        assert [(r["name"], r["role"], r["me"]) for r in rows] == [
            ("ownerさん", "owner", True), ("wさん", "worker", False),
        ]  # fmt: skip
        member = f"{MEMBERS}/{centre.public(worker)}"
        tag = ask("GET", member).headers["etag"]
        assert ask("PUT", member, {"role": "family"}).status_code == 428
        changed = ask("PUT", member, {"role": "family"}, **{"If-Match": tag})
        assert (changed.status_code, changed.json()["role"]) == (200, "family")
        assert ask("PUT", member, {"role": "vet"}, **{"If-Match": tag}).status_code == 412
        assert as_w("PUT", member, {"role": "owner"}, **{"If-Match": "*"}).status_code == 403
        assert ask("DELETE", member, **{"If-Match": changed.headers["etag"]}).status_code == 204
        assert as_w("GET", MEMBERS).status_code == 404
        assert ask("DELETE", member, **{"If-Match": "*"}).status_code == 404


def test_somebody_leaves_and_the_last_owner_stays(centre: Centre) -> None:
    owner, second = centre.person("owner", shikaoi_001="owner"), centre.person("second", shikaoi_001="family")
    with centre.serving() as browser, as_(centre, browser, owner) as ask, as_(centre, browser, second) as as_2:
        me, other = f"{MEMBERS}/{centre.public(owner)}", f"{MEMBERS}/{centre.public(second)}"
        assert ask("DELETE", me).status_code == 409
        assert ask("PUT", me, {"role": "worker"}, **{"If-Match": "*"}).status_code == 409
        assert ask("PUT", other, {"role": "owner"}, **{"If-Match": "*"}).status_code == 200
        with centre.registry.write() as session:  # an owner who cannot sign in is none
            people.set_disabled(session, CONSOLE, second, centre.clock())
        assert ask("DELETE", me).status_code == 409
        with centre.registry.write() as session:
            people.set_disabled(session, CONSOLE, second, None)
        assert ask("DELETE", me).status_code == 204
        assert role_of(centre, owner) is None
    with centre.serving() as browser, as_(centre, browser, second) as as_2:
        assert as_2("GET", MEMBERS).json()["rows"][0]["role"] == "owner"


def test_two_owners_who_leave_at_the_same_moment_do_not_both_go(racing: Centre) -> None:
    centre = racing
    owners = [centre.person(f"o{n}", shikaoi_001="owner") for n in range(2)]
    with centre.serving() as browser:
        cookies = {owner: centre.cookie(owner) for owner in owners}

        def leave(owner: int) -> int:
            with httpx.Client(base_url=browser.base_url, timeout=30) as own:
                headers = {**WRITE, "Cookie": f"{COOKIE}={cookies[owner]}"}
                return own.delete(f"{MEMBERS}/{centre.public(owner)}", headers=headers).status_code

        with ThreadPoolExecutor(2) as pool:
            assert sorted(pool.map(leave, owners)) == [204, 409]


def test_two_owners_who_demote_each_other_at_the_same_moment_do_not_both_succeed(racing: Centre) -> None:
    owners = [racing.person(f"o{n}", shikaoi_001="owner") for n in range(2)]
    with racing.serving() as browser:

        def demote(mine: int, other: int) -> int:
            with httpx.Client(base_url=browser.base_url, timeout=30) as own:
                headers = {**WRITE, "If-Match": "*", "Cookie": f"{COOKIE}={racing.cookie(owners[mine])}"}
                path = f"{MEMBERS}/{racing.public(owners[other])}"
                return own.put(path, json={"role": "worker"}, headers=headers).status_code

        with ThreadPoolExecutor(2) as pool:
            answers = sorted(pool.map(demote, (0, 1), (1, 0)))
        # Who comes second is no owner any more by then (404: they lost that meanwhile), or a farm keeps one.
        assert answers in ([200, 403], [200, 404], [200, 409])
        assert sorted(str(role_of(racing, owner)) for owner in owners) == ["owner", "worker"]


def test_an_owner_is_made_only_by_who_proved_just_now_who_they_are(centre: Centre) -> None:
    owner, worker = centre.person("owner", shikaoi_001="owner"), centre.person("w", shikaoi_001="worker")
    with centre.serving() as browser, as_(centre, browser, owner) as ask:
        centre.clock.ms += 700_000
        member = f"{MEMBERS}/{centre.public(worker)}"
        for answer in (
            ask("PUT", member, {"role": "owner"}, **{"If-Match": "*"}),
            ask("POST", INVITATIONS, {"role": "owner", "name": "x"}),
        ):
            assert (answer.status_code, answer.json()["type"]) == (403, "/problems/proof-needed")
        assert ask("PUT", member, {"role": "family"}, **{"If-Match": "*"}).status_code == 200
        assert role_of(centre, worker) == "family"


# ---------------------------------------------------------------------------------------------------- recovery


def test_asking_to_be_let_in_tells_nothing_of_who_exists(centre: Centre) -> None:
    owner, worker = centre.person("owner", shikaoi_001="owner"), centre.person("w", shikaoi_001="worker")
    with centre.serving() as browser, as_(centre, browser, owner) as ask:
        answers = [post(browser, "/recovery", {"login": login}) for login in ("W ", "nobody", "owner")]
        assert {(a.status_code, a.content) for a in answers} == {(202, answers[0].content)}
        assert [r["asked_to_be_let_in_ms"] for r in ask("GET", MEMBERS).json()["rows"]] == [None, centre.clock()]
        link = ask("POST", f"{MEMBERS}/{centre.public(worker)}/let-in")
        assert link.status_code == 200
        assert ask("POST", f"{MEMBERS}/{centre.public(owner)}/let-in").status_code == 409
        code = code_of(link.json()["address"])
        sign_in(browser, "w")  # until the link is used nothing changes
        before = browser.cookies[COOKIE]
        browser.cookies.clear()
        assert post(browser, "/session/join", {"code": code}).status_code == 204
        assert browser.get(f"{V1}/session").json()["person"]["id"] == centre.public(worker)
        browser.cookies.clear()
        assert post(browser, "/session/join", {"code": code}).status_code == 401  # once
        assert post(browser, "/session", {"login": "w", "password": PASSWORD}).status_code == 401
        browser.cookies.set(COOKIE, before)
        assert browser.get(f"{V1}/session").status_code == 401


def test_an_owner_lets_in_only_whom_nobody_else_has_to_do_with(centre: Centre) -> None:
    owner = centre.person("owner", shikaoi_001="owner")
    both = centre.person("both", shikaoi_001="worker", shikaoi_002="worker")
    vet, admin = centre.person("vet", shikaoi_001="vet"), centre.person("boss", admin=True, shikaoi_001="worker")
    quiet, later = centre.person("quiet", shikaoi_001="worker"), centre.person("later", shikaoi_001="worker")
    with centre.serving() as browser, as_(centre, browser, owner) as ask:
        for login in ("both", "vet", "boss", "later"):
            post(browser, "/recovery", {"login": login})
        for person in (both, vet, admin, quiet):
            assert ask("POST", f"{MEMBERS}/{centre.public(person)}/let-in").status_code == 409
        code = code_of(ask("POST", f"{MEMBERS}/{centre.public(later)}/let-in").json()["address"])
        with centre.registry.write() as session:  # what they become meanwhile is not the owner's to open
            people.grant_role(session, CONSOLE, later, OTHER, "owner", centre.clock())
        assert post(browser, "/session/join", {"code": code}).status_code == 401
        sign_in(browser, "later")


def test_a_recovery_link_holds_for_an_hour(centre: Centre) -> None:
    admin, person = centre.person("boss", admin=True), centre.person("p")
    with centre.serving() as browser, as_(centre, browser, admin) as ask:
        code = code_of(ask("POST", f"{V1}/people/{centre.public(person)}/reset").json()["address"])
        centre.clock.ms += 3_600_000
        assert post(browser, "/session/join", {"code": code}).status_code == 401


def test_asking_too_often_has_to_wait_whoever_is_named(centre: Centre) -> None:
    centre.person("w")
    with centre.serving() as browser:
        for login in ("w", "nobody") * 2 + ("w",):
            assert post(browser, "/recovery", {"login": login}).status_code == 202
        for login in ("w", "nobody"):
            assert post(browser, "/recovery", {"login": login}).status_code == 429


# ---------------------------------------------------------------------------------------- the first administrator


def test_the_first_link_makes_one_administrator_once(centre: Centre) -> None:
    old, code = first_link(centre), first_link(centre)
    given = {"name": "花子", "login": "hanako", "password": "朝五時の 牛乳は あたたかい"}
    with centre.serving() as browser:
        assert post(browser, "/first-administrator", {**given, "code": old}).status_code == 404
        assert post(browser, "/first-administrator", {**given, "code": code}).status_code == 204
        assert browser.get(f"{V1}/people").status_code == 200
        assert post(browser, "/first-administrator", {**given, "code": code, "login": "x"}).status_code == 404
        sign_in(browser, "hanako", given["password"])
    with centre.registry.write() as session:
        assert not invitations.make_first_link(session, CONSOLE, "x", centre.clock())


def test_of_two_browsers_with_the_first_link_one_wins(racing: Centre) -> None:
    centre = racing
    code = first_link(centre)
    with centre.serving() as browser:

        def first(number: int) -> int:
            with httpx.Client(base_url=browser.base_url, timeout=30) as own:
                body = {"code": code, "name": f"n{number}", "login": f"n{number}"}
                return post(own, "/first-administrator", body).status_code

        with ThreadPoolExecutor(4) as pool:
            assert sorted(pool.map(first, range(4))) == [204, 404, 404, 404]
    with centre.registry.read() as session:
        assert len(session.scalars(select(PersonRow)).all()) == 1


def test_the_first_link_ends_by_itself_and_by_an_administrator_made_otherwise(centre: Centre) -> None:
    given = {"name": "x", "login": "x"}
    with centre.serving() as browser:
        late = first_link(centre)
        centre.clock.ms += invitations.FIRST_LINK_MS
        assert post(browser, "/first-administrator", {**given, "code": late}).status_code == 404
        code = first_link(centre)
        centre.person("boss", admin=True)
        assert post(browser, "/first-administrator", {**given, "code": code}).status_code == 404


# ------------------------------------------------------------------------------------------------------- people


def test_the_administrator_adds_resets_and_disables_and_each_step_is_written_down(centre: Centre) -> None:
    admin = centre.person("boss", admin=True)
    with centre.serving() as browser, as_(centre, browser, admin) as ask:
        made = ask("POST", f"{V1}/people", {"login": "Taro@example.jp", "name": "太郎"})
        assert (made.status_code, made.json()["login"]) == (201, "taro@example.jp")
        assert ask("POST", f"{V1}/people", {"login": "taro@EXAMPLE.jp", "name": "太郎"}).status_code == 409
        path = f"{V1}/people/{made.json()['id']}"
        code = code_of(ask("POST", f"{path}/reset").json()["address"])
        assert post(browser, "/session/join", {"code": code}).status_code == 204
        assert browser.get(f"{V1}/session").status_code == 200
        assert ask("POST", f"{path}/disable").json()["disabled_ms"] == centre.clock()
        assert browser.get(f"{V1}/session").status_code == 401
        assert ask("POST", f"{path}/enable").json()["disabled_ms"] is None
        myself = f"{V1}/people/{centre.public(admin)}"
        assert ask("POST", f"{myself}/disable").status_code == 409
        assert ask("POST", f"{myself}/reset").status_code == 409
        rows = ask("GET", f"{V1}/people-steps").json()["rows"]
        assert sorted((r["who"], r["what"], r["about"]) for r in rows) == sorted(
            ("bossさん", what, "太郎") for what in ("added", "reset", "disabled", "enabled")
        )
        logins = [r["login"] for r in ask("GET", f"{V1}/people").json()["rows"]]
        assert logins == ["boss", "taro@example.jp"]
        first = ask("GET", f"{V1}/people?limit=1").json()
        second = ask("GET", f"{V1}/people?limit=1&cursor={first['next']}").json()
        assert [r["login"] for r in (*first["rows"], *second["rows"])] == logins


def test_who_is_let_in_again_after_being_shut_out_has_their_own_ways_in_and_nothing_else(centre: Centre) -> None:
    admin, person = centre.person("boss", admin=True), centre.person("taro", shikaoi_001="worker")
    with centre.serving() as browser, as_(centre, browser, admin) as ask:
        with as_(centre, browser, person) as own:
            wish = {"name": "p", "expires_ms": centre.clock() + 86_400_000}
            token = own("POST", f"{V1}/tokens", wish).json()["token"]
        now_ms = centre.clock()
        with centre.registry.write() as session:
            people.create_invitation(
                session, CONSOLE, code_hash=digest("join-me"), person_id=person, expires_ms=now_ms + 9_000_000
            )
            session.add(
                RecoveryLink(
                    person_id=person, code_hash=digest("let-me-in"), made_by="console", made_ms=now_ms,
                    expires_ms=now_ms + 9_000_000,
                )
            )  # fmt: skip
        by_program = {"Authorization": f"Bearer {token}"}
        assert browser.get(f"{V1}/session", headers=by_program).status_code == 200
        path = f"{V1}/people/{centre.public(person)}"
        assert ask("POST", f"{path}/disable").status_code == 200
        assert ask("POST", f"{path}/enable").status_code == 200
        browser.cookies.clear()
        assert browser.get(f"{V1}/session", headers=by_program).status_code == 401
        for code in ("join-me", "let-me-in"):
            assert post(browser, "/session/join", {"code": code}).status_code == 401
        sign_in(browser, "taro")


def test_the_administrator_names_a_first_owner_and_no_second_and_sees_no_data_by_it(centre: Centre) -> None:
    admin, person = centre.person("boss", admin=True), centre.person("taro")
    with centre.serving() as browser, as_(centre, browser, admin) as ask:
        owner_of = f"{V1}/people/{centre.public(person)}/first-owner"
        assert ask("POST", owner_of, {"site": SITE}).status_code == 204
        assert role_of(centre, person) == "owner"
        mine = f"{V1}/people/{centre.public(admin)}/first-owner"
        assert ask("POST", mine, {"site": SITE}).status_code == 403
        assert ask("POST", owner_of, {"site": "shikaoi-999"}).status_code == 404
        for path in (MEMBERS, INVITATIONS, f"{V1}/sites/{SITE}/alerts"):
            assert ask("GET", path).status_code == 404
        centre.clock.ms += 700_000  # all that lets somebody in needs a fresh proof
        for door, body in (("reset", None), ("first-owner", {"site": OTHER})):
            answer = ask("POST", f"{V1}/people/{centre.public(person)}/{door}", body)
            assert (answer.status_code, answer.json()["type"]) == (403, "/problems/proof-needed")


def test_farms_see_that_an_administrator_reset_one_of_their_people(centre: Centre) -> None:
    admin, owner = centre.person("boss", admin=True), centre.person("owner", shikaoi_001="owner")
    second = centre.person("second", shikaoi_001="owner", shikaoi_002="vet")
    with centre.serving() as browser, as_(centre, browser, admin) as ask, as_(centre, browser, owner) as as_owner:
        assert ask("POST", f"{V1}/people/{centre.public(second)}/reset").status_code == 200
        rows = as_owner("GET", f"{V1}/sites/{SITE}/audit").json()["rows"]
        [row] = [r for r in rows if r["what"] == "account.reset"]
        assert (row["name"], row["role"]) == ("bossさん", "admin")
        assert row["what_name"]["en"] == "reset the ways in"
        assert row["detail"] == {"person": centre.public(second)}


def test_who_is_no_administrator_learns_nothing_of_who_there_is(centre: Centre) -> None:
    owner, taro = centre.person("owner", shikaoi_001="owner"), centre.person("taro")
    with centre.serving() as browser, as_(centre, browser, owner) as ask:
        bodies = {"first-owner": {"site": SITE}}
        for door in ADMIN_DOORS:
            answers = [
                ask("POST", f"{V1}/people/{person}/{door}", bodies.get(door))
                for person in (centre.public(taro), "A" * 22)
            ]
            assert {(a.status_code, a.content) for a in answers} == {(403, answers[0].content)}


# ------------------------------------------------------------------------------------------------------ lock-out


def test_being_made_to_wait_tells_nothing_of_who_exists(centre: Centre) -> None:
    centre.person("hanako")
    gone = centre.person("gone")
    with centre.registry.write() as session:
        people.set_disabled(session, CONSOLE, gone, centre.clock())
    with centre.serving() as browser:
        told: list[list[tuple[int, bytes]]] = []
        for login in ("hanako", "nobody", "gone"):
            answers = [post(browser, "/session", {"login": login, "password": "wrong one"}) for _ in range(7)]
            told.append([(a.status_code, a.content) for a in answers])
        assert [status for status, _ in told[0]] == [401] * 5 + [429] * 2
        assert told[0] == told[1] == told[2]


def test_guessing_from_everywhere_waits_and_shuts_nobody_out_of_a_browser_they_know(centre: Centre) -> None:
    centre.person("hanako")
    with centre.serving() as browser, httpx.Client(base_url=browser.base_url, timeout=30) as stranger:
        assert centre.running
        sign_in(browser)
        begin = centre.running.state.centre.attempts.begin
        for login in ("hanako", "nobody"):
            for _ in range(40):  # as from so many addresses
                begin(f"login {digest(login)} everywhere", centre.clock(), 30)
            answer = post(stranger, "/session", {"login": login, "password": PASSWORD})
            assert answer.status_code == 429
        browser.delete(f"{V1}/session", headers=WRITE)
        sign_in(browser)  # at once
        for login in ("hanako", "nobody"):
            for _ in range(40):
                begin(f"login {digest(login)} everywhere", centre.clock(), 30)
        known = browser.cookies["makiba_known"]
        stranger.cookies.set("makiba_known", known[:-2] + "AA")
        assert post(stranger, "/session", {"login": "hanako", "password": PASSWORD}).status_code == 429
        stranger.cookies.set("makiba_known", known)
        assert post(stranger, "/session", {"login": "nobody", "password": PASSWORD}).status_code == 429
        centre.clock.ms += 300_000  # and nobody has to wait longer than this
        stranger.cookies.clear()
        sign_in(stranger)
