"""The API under somebody who means harm: what costs much, what outlives its time, what goes by a side door."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from api.sessions import COOKIE
from collectors.imports import work
from collectors.registry import Registry, animals, consent, people, recovery, tokens
from collectors.registry.schema import AuditRow, PersonRow, WebSession
from collectors.registry.schema.access import ApiToken
from collectors.registry.schema.herd import Animal, HerdEvent
from collectors.registry.viewer import Service
from makiba.reading import EARLIEST_MS, LATEST_MS, Reading, Series
from tests.service.serving import CONSOLE, SITE, WRITE, Centre

MILK = Series(SITE, "tank-1", "milk_temperature")
YEAR = 366 * 86_400_000


@pytest.fixture
def centre(tmp_path: Path) -> Centre:
    return Centre(tmp_path)


def by(centre: Centre, person: int) -> dict[str, str]:
    """The headers of a browser that `person` is signed in with."""
    return WRITE | {"Cookie": f"{COOKIE}={centre.cookie(person)}"}


# ------------------------------------------------------------------------------------------------- what costs much


@pytest.mark.parametrize("wide", ["true", "false"])
def test_a_file_of_seconds_until_the_end_of_time_costs_what_is_stored(centre: Centre, wide: str) -> None:
    owner, now = centre.person(shikaoi_001="owner"), centre.clock()
    times = (now - 40 * YEAR, now - 20 * YEAR, now - 1_000, now)
    centre.store.write([Reading(MILK, at_ms, 4.0) for at_ms in times])
    asked: dict[str, str | int] = {"form": "csv", "language": "codes", "width_ms": 1_000, "wide": wide}
    with centre.serving() as browser:
        begun_s = time.process_time()
        answer = browser.get(
            f"/api/v1/sites/{SITE}/export",
            params=asked | {"start_ms": EARLIEST_MS, "end_ms": LATEST_MS},
            headers=by(centre, owner),
        )
        assert time.process_time() - begun_s < 3
    assert answer.status_code == 200, answer.text
    shown = [line.partition(",")[0] for line in answer.text.splitlines()[1:]]
    tokyo = timezone(timedelta(hours=9))
    assert [s[:19].replace("T", " ") for s in shown] == [
        f"{datetime.fromtimestamp(at_ms // 1_000, tokyo):%Y-%m-%d %H:%M:%S}" for at_ms in times
    ]


@pytest.mark.parametrize("made_up", [{"Cookie": f"a=b; {COOKIE}=x"}, {"Authorization": "Bearer x"}])
def test_made_up_credentials_are_no_way_round_the_count_of_an_address(
    tmp_path: Path, made_up: dict[str, str]
) -> None:
    centre = Centre(tmp_path, given={"api_rate_address": 10})
    paths = ("/session", "/session/passkey/options", "/recovery", "/invitations/look")
    with centre.serving() as browser:
        found = [browser.post(f"/api/v1{path}", headers=WRITE | made_up, json={}).status_code for path in paths * 5]
    assert set(found[-4:]) == {429}
    assert found.count(429) >= 9


def test_a_crowd_that_signs_in_does_not_hold_up_who_is_signed_in(
    centre: Centre, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, go_on, begun = centre.person(shikaoi_001="owner"), threading.Event(), threading.Event()

    def slow(*_: object) -> bool:
        begun.set()
        return not go_on.wait(20)

    monkeypatch.setattr("api.passwords.Passwords.matches", slow)
    many = httpx.Limits(max_connections=None)
    with (
        centre.serving() as browser,
        httpx.Client(limits=many, timeout=60) as client,
        ThreadPoolExecutor(60) as crowd,
    ):
        tries = [
            crowd.submit(
                client.post, f"{browser.base_url}/api/v1/session", headers=WRITE,
                json={"login": f"nobody-{n}", "password": "x"},
            )
            for n in range(60)
        ]  # fmt: skip
        try:
            assert begun.wait(10)
            headers = by(centre, owner)
            for _ in range(50):  # while the rest of the crowd comes
                assert browser.get("/api/v1/session", headers=headers, timeout=5).status_code == 200
        finally:
            go_on.set()
        assert {one.result().status_code for one in tries} == {401}


# ------------------------------------------------------------------------------------------- what outlives its time


def meanwhile(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, what: Callable[[], object]) -> None:
    """Makes `what` happen once, as soon as `name` of `owner` is called: while the request is under way."""
    plain, todo = getattr(owner, name), [what]

    def called(self: Any, *args: Any, **more: Any) -> Any:
        while todo:
            todo.pop()()
        return plain(self, *args, **more)

    monkeypatch.setattr(owner, name, called)


def change(centre: Centre, what: Callable[[Session], object]) -> Callable[[], None]:
    def done() -> None:
        with centre.registry.write() as session:
            what(session)

    return done


def test_a_slow_answer_to_who_lost_their_role_or_session_meanwhile_is_not_given(
    centre: Centre, monkeypatch: pytest.MonkeyPatch
) -> None:
    centre.write(str(MILK), 4.0)
    path, now = f"/api/v1/sites/{SITE}/latest", centre.clock()
    endings: dict[str, tuple[int, Callable[[Session, int], object]]] = {
        "no-role": (404, lambda s, who: people.revoke_role(s, CONSOLE, who, SITE, now)),
        "a-guest": (404, lambda s, who: people.grant_role(s, CONSOLE, who, SITE, "coop", now)),
        "disabled": (401, lambda s, who: people.set_disabled(s, CONSOLE, who, now)),
        "signed-out": (401, lambda s, who: s.execute(delete(WebSession).where(WebSession.person_id == who))),
        "promoted": (200, lambda s, who: people.grant_role(s, CONSOLE, who, SITE, "owner", now)),
    }
    centre.consent(SITE, "tank", role="coop")
    with centre.serving() as browser:
        for login, (status, ending) in endings.items():
            who = centre.person(login, shikaoi_001="worker")
            headers = by(centre, who)
            with monkeypatch.context() as patch:
                meanwhile(patch, type(centre.store), "latest", change(centre, partial(_swap(ending), who)))
                assert browser.get(path, headers=headers).status_code == status, login


def _swap(ending: Callable[[Session, int], object]) -> Callable[[int, Session], object]:
    return lambda who, session: ending(session, who)


def test_a_write_that_waited_is_not_done_by_who_lost_the_right_to_it(
    centre: Centre, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = centre.clock()
    with centre.registry.write() as session:
        animals.add(session, CONSOLE, SITE, {"number": "7"}, now)
    vet, given = centre.person("vet", shikaoi_001="vet"), centre.consent(SITE, "herd", role="vet")
    one, two = (centre.person(login, shikaoi_001="owner") for login in ("one", "two"))
    event = {"animal": "number:7", "at_ms": now, "detail": {"kind": "heat"}}
    wish = {"name": "p", "expires_ms": now + 86_400_000}
    role = {"role": "family"}
    cases: list[tuple[int, int, Callable[[Session], object], str, str, dict[str, Any]]] = [
        (404, vet, lambda s: consent.withdraw(s, CONSOLE, SITE, given, now), "POST", f"/sites/{SITE}/events", event),
        (401, one, lambda s: recovery_of(s, one), "POST", "/tokens", wish),
        (404, two, lambda s: people.grant_role(s, CONSOLE, two, SITE, "family", now), "PUT",
         f"/sites/{SITE}/members/{centre.public(one)}", role),
    ]  # fmt: skip
    with centre.serving() as browser:
        for status, who, ending, method, path, body in cases:
            headers = by(centre, who) | {"If-Match": "*"}
            with monkeypatch.context() as patch:
                meanwhile(patch, Registry, "write", change(centre, ending))
                answer = browser.request(method, f"/api/v1{path}", headers=headers, json=body)
            assert answer.status_code == status, (path, answer.text)
    with centre.registry.read() as session:
        assert session.scalars(select(HerdEvent)).all() == []
        assert session.scalars(select(ApiToken)).all() == []
        assert people.roles_of(session, Service("api"), [one])[one] == {SITE: "owner"}


def recovery_of(session: Session, who: int) -> None:
    """An administrator resets the ways in of `who`."""
    person = session.get(PersonRow, who)
    assert person
    recovery.answer_as_admin(session, CONSOLE, person, code_hash=f"{who}", now_ms=0)


def test_a_token_that_is_revoked_meanwhile_reads_nothing(centre: Centre, monkeypatch: pytest.MonkeyPatch) -> None:
    centre.write(str(MILK), 4.0)
    owner, vet = centre.person(shikaoi_001="owner"), centre.person("vet", shikaoi_001="vet")
    centre.consent(SITE, "tank", role="vet")
    with centre.serving() as browser:
        for who in (owner, vet):
            wish = {"name": "p", "expires_ms": centre.clock() + 86_400_000}
            made = browser.post("/api/v1/tokens", headers=by(centre, who), json=wish).json()
            bearer = {"Authorization": f"Bearer {made['token']}"}
            path = f"/api/v1/sites/{SITE}/latest"
            assert browser.get(path, headers=bearer).status_code == 200
            with monkeypatch.context() as patch:
                end = change(centre, partial(tokens.revoke_all, viewer=CONSOLE, person_id=who, now_ms=centre.clock()))
                meanwhile(patch, type(centre.store), "latest", end)
                assert browser.get(path, headers=bearer).status_code == 401


def test_an_import_stops_when_its_programs_token_is_revoked(centre: Centre, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, path = centre.person(shikaoi_001="owner"), f"/api/v1/sites/{SITE}/imports"
    wish = {"name": "p", "expires_ms": centre.clock() + 86_400_000}
    table = "牛番号,名号\n12,はな\n"
    with centre.serving() as browser:
        made = browser.post("/api/v1/tokens", headers=by(centre, owner), json=wish).json()
        bearer = {"Authorization": f"Bearer {made['token']}"}
        asked = {"kind": "animals", "name": "a.csv"}
        plan = browser.post(path, params=asked, headers=bearer, content=table.encode()).json()
        plain = work.go_on

        def revoked_before(*args: Any, **more: Any) -> Any:
            change(centre, lambda s: tokens.revoke_all(s, CONSOLE, owner, centre.clock()))()
            try:
                return plain(*args, **more)
            finally:
                done.set()

        done = threading.Event()
        monkeypatch.setattr(work, "go_on", revoked_before)
        assert browser.post(f"{path}/{plan['id']}/apply", headers=bearer).status_code == 202
        assert done.wait(10)
    with centre.registry.read() as session:
        assert session.scalars(select(Animal)).all() == []


def test_a_long_body_is_not_waited_for_from_who_may_not_send_one(centre: Centre) -> None:
    guest = centre.person("coop", shikaoi_001="coop")
    centre.consent(SITE, "herd", role="coop")
    heads = by(centre, guest) | {"Host": "x", "Content-Length": "60000000", "Idempotency-Key": "k"}
    asked = f"POST /api/v1/sites/{SITE}/imports?kind=animals&name=a.csv HTTP/1.1\r\n"
    asked += "".join(f"{name}: {value}\r\n" for name, value in heads.items()) + "\r\n"
    with centre.serving() as browser:
        with socket.create_connection((browser.base_url.host, browser.base_url.port or 0), 10) as raw:
            raw.sendall(asked.encode())
            assert raw.recv(100).startswith(b"HTTP/1.1 404 ")


# ------------------------------------------------------------------------------------------ what goes by a side door


def test_what_a_refused_change_tells_a_guest_stands_in_the_audit_too(centre: Centre) -> None:
    with centre.registry.write() as session:
        animals.add(session, CONSOLE, SITE, {"number": "7"}, centre.clock())
    vet, fitter = centre.person("vet", shikaoi_001="vet"), centre.person("fitter", shikaoi_001="technician")
    centre.consent(SITE, "herd", role="vet")
    centre.consent(SITE, "technical", role="technician")
    event = {"animal": "number:8", "at_ms": centre.clock(), "detail": {"kind": "heat"}}
    asked: list[tuple[int, int, str, str, dict[str, Any]]] = [
        (403, vet, "PATCH", "/animals/number:7", {"name": "はな"}),
        (404, vet, "PATCH", "/animals/number:8", {"name": "はな"}),
        (422, vet, "POST", "/events", event),
        (404, fitter, "PATCH", "/places/nowhere", {"position": 0}),
        (422, fitter, "POST", "/placements", {"subject": "tank-1", "place": "nowhere"}),
    ]
    with centre.serving() as browser:
        for number, (status, who, method, path, body) in enumerate(asked, 1):
            headers = by(centre, who) | {"If-Match": "*"}
            answer = browser.request(method, f"/api/v1/sites/{SITE}{path}", headers=headers, json=body)
            assert answer.status_code == status, (path, answer.text)
            with centre.registry.read() as session:
                reads = session.scalars(select(AuditRow).where(AuditRow.kind == "read")).all()
            assert sum(row.count for row in reads) == number, path
