"""What every resource of the API does alike: pages of lists, ETags, and writes that come twice."""

from __future__ import annotations

import base64
import json
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from api.etags import parse_tags
from collectors.registry import people
from collectors.registry.schema import Alert, AuditRow
from collectors.registry.schema.access import ApiToken, OnceRow
from makiba.keys import Key, KeyUnusable, open_key
from makiba.settings import Settings
from tests.service.serving import CONSOLE, OTHER, SITE, WRITE, Centre, sign_in

ALERTS = f"/api/v1/sites/{SITE}/alerts"
TOKENS = "/api/v1/tokens"
DAY_MS = 86_400_000


@pytest.fixture
def centre(tmp_path: Path) -> Centre:
    return Centre(tmp_path)


@pytest.fixture
def browser(centre: Centre) -> Iterator[httpx.Client]:
    centre.person(shikaoi_001="owner", shikaoi_002="owner")
    with centre.signed_in() as browser:
        browser.headers.update(WRITE)
        yield browser


def some_alerts(centre: Centre, count: int, site: str = SITE) -> None:
    """All of the same millisecond."""
    with centre.registry.write() as session:
        session.add_all(
            Alert(
                id=f"{site}-{n}", site_id=site, rule="tank.hold", subject=f"s{n}", place_id=None, severity="warning",
                onset_ms=5, opened_ms=5, seen_ms=5, ended_ms=None, signals={}, children=[],
            )
            for n in range(count)
        )  # fmt: skip


# -------------------------------------------------------------------------------------------------------- pages


def walk(browser: httpx.Client, path: str, **query: Any) -> list[Any]:
    """All rows of a list, page by page."""
    rows: list[Any] = []
    cursor: str | None = None
    while True:
        told = browser.get(path, params={**query, **({"cursor": cursor} if cursor else {})}).json()
        assert len(told["rows"]) <= query.get("limit", 100)
        rows += told["rows"]
        cursor = told["next"]
        if cursor is None:
            return rows


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
def test_rows_of_one_millisecond_are_told_once_each(browser: httpx.Client, centre: Centre, limit: int) -> None:
    some_alerts(centre, 7)
    assert [a["id"] for a in walk(browser, ALERTS, limit=limit)] == [f"{SITE}-{n}" for n in range(6, -1, -1)]


def test_what_comes_meanwhile_neither_hides_nor_repeats_a_row(browser: httpx.Client, centre: Centre) -> None:
    some_alerts(centre, 4)
    first = browser.get(ALERTS, params={"limit": 2}).json()
    some_alerts(centre, 1, OTHER)
    with centre.registry.write() as session:
        for row in session.scalars(select(Alert).where(Alert.id == f"{SITE}-3")):
            row.opened_ms = 9  # newer than the page
    rest = browser.get(ALERTS, params={"limit": 2, "cursor": first["next"]}).json()
    assert [a["id"] for a in rest["rows"]] == [f"{SITE}-1", f"{SITE}-0"]


def test_a_cursor_holds_for_its_reader_list_and_query_and_all_else_answers_the_same(
    browser: httpx.Client, centre: Centre
) -> None:
    some_alerts(centre, 3)
    some_alerts(centre, 3, OTHER)
    for _ in range(3):
        browser.post(TOKENS, json={"name": "x", "expires_ms": centre.clock() + DAY_MS})
    ask: Callable[..., httpx.Response] = browser.get
    cursor = ask(ALERTS, params={"limit": 1}).json()["next"]
    other = ask(f"/api/v1/sites/{OTHER}/alerts", params={"limit": 1}).json()["next"]
    audit = ask(TOKENS, params={"limit": 1}).json()["next"]
    raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    flipped = [raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :] for at in range(len(raw))]
    forged = [base64.urlsafe_b64encode(f).decode().rstrip("=") for f in flipped]
    wrong = [other, audit, "", "x", "%00", cursor + "=", cursor[:-1], cursor + "A", "é", f"{SITE}-1", *forged]
    answers = [ask(ALERTS, params={"limit": 1, "cursor": c}) for c in wrong]
    answers.append(ask(ALERTS, params={"limit": 1, "cursor": cursor, "state": "ended"}))
    answers.append(ask(f"/api/v1/sites/{OTHER}/alerts", params={"limit": 1, "cursor": cursor}))
    centre.person("jiro", shikaoi_001="owner")
    with httpx.Client(base_url=browser.base_url) as theirs:
        sign_in(theirs, "jiro")
        answers.append(theirs.get(ALERTS, params={"limit": 1, "cursor": cursor}))
    token = browser.post(TOKENS, json={"name": "x", "expires_ms": centre.clock() + DAY_MS}).json()["token"]
    with httpx.Client(base_url=browser.base_url, headers={"Authorization": f"Bearer {token}"}) as program:
        answers.append(program.get(ALERTS, params={"limit": 1, "cursor": cursor}))
    assert ask(ALERTS, params={"limit": 1, "cursor": cursor}).status_code == 200
    centre.clock.ms += DAY_MS
    answers.append(ask(ALERTS, params={"limit": 1, "cursor": cursor}))
    assert {(a.status_code, a.json()["type"], a.content) for a in answers} == {
        (400, "/problems/cursor", answers[0].content)
    }


def test_a_cursor_of_before_a_restart_holds(centre: Centre) -> None:
    some_alerts(centre, 3)
    centre.person(shikaoi_001="owner")
    with centre.signed_in() as browser:
        cursor = browser.get(ALERTS, params={"limit": 2}).json()["next"]
    with centre.signed_in() as browser:
        assert len(browser.get(ALERTS, params={"cursor": cursor}).json()["rows"]) == 1


# ---------------------------------------------------------------------------------------------------------- key


def test_processes_that_start_together_have_one_key_that_its_owner_alone_reads(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    with ThreadPoolExecutor(16) as pool:
        signs = {k.sign("x", b"y") for k in pool.map(lambda _: open_key(settings), range(64))}
    assert len(signs) == 1
    [path] = (tmp_path / "home").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().strip() not in repr(open_key(settings))
    path.write_text("short")
    with pytest.raises(KeyUnusable):
        open_key(settings)


def test_parts_are_signed_apart() -> None:
    key = Key(b"k" * 32)
    assert (
        len({key.sign("a", b"bc"), key.sign("a", b"b", b"c"), key.sign("ab", b"c"), key.sign("a", b"bc", b"")}) == 4
    )


# -------------------------------------------------------------------------------------------------------- ETags


def test_what_did_not_change_is_not_sent_again_and_still_audited(browser: httpx.Client, centre: Centre) -> None:
    some_alerts(centre, 1)
    centre.consent(SITE, "alerts", role="vet")
    centre.person("vet", shikaoi_001="vet")
    with httpx.Client(base_url=browser.base_url) as theirs:
        sign_in(theirs, "vet")
        tag = theirs.get(ALERTS).headers["etag"]
        again = theirs.get(ALERTS, headers={"If-None-Match": f'"x", {tag}'})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        with centre.registry.read() as session:
            [read] = session.scalars(select(AuditRow).where(AuditRow.kind == "read"))
            assert read.count == 2
        some_alerts(centre, 1, OTHER)
        assert theirs.get(ALERTS, headers={"If-None-Match": tag}).status_code == 304
        with centre.registry.write() as session:
            for row in session.scalars(select(Alert).where(Alert.site_id == SITE)):
                row.acknowledged_ms = 7
        assert theirs.get(ALERTS, headers={"If-None-Match": tag}).status_code == 200
    with httpx.Client(base_url=browser.base_url) as nobody:
        assert nobody.get(ALERTS, headers={"If-None-Match": "*"}).status_code == 401
    centre.person("jiro", shikaoi_002="owner")
    with httpx.Client(base_url=browser.base_url) as theirs:
        sign_in(theirs, "jiro")
        assert theirs.get(ALERTS, headers={"If-None-Match": "*"}).status_code == 404


@pytest.mark.parametrize(
    ("header", "tags"),
    [('"1"', ['"1"']), (' "1" , W/"2"', ['"1"', 'W/"2"']), ("1", []), ('"1" "2"', []), ('"1', []), ("", []),
     ('"a,b"', ['"a,b"']), ('"1",' * 60, [])],
)  # fmt: skip
def test_tags_are_read_as_they_are_written(header: str, tags: list[str]) -> None:
    assert parse_tags(header) == tags


# ---------------------------------------------------------------------------------------------------- once only


CONSENTS = f"/api/v1/sites/{SITE}/consents"
GIVEN = {"role": "coop", "classes": ["tank"]}


def test_a_write_that_comes_again_is_done_once_and_answered_the_same(browser: httpx.Client, centre: Centre) -> None:
    key = {"Idempotency-Key": "a b-1"}
    first, again = (browser.post(CONSENTS, json=GIVEN, headers=key) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert again.headers["location"] == first.headers["location"] == f"{CONSENTS}/{first.json()['id']}"
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert browser.get(first.headers["location"]).json() == first.json()
    assert len(browser.get(CONSENTS).json()["rows"]) == 1
    other = browser.post(CONSENTS, json={**GIVEN, "classes": ["barn"]}, headers=key)
    assert (other.status_code, other.json()["type"]) == (422, "/problems/key-used")
    elsewhere = browser.post(CONSENTS.replace(SITE, OTHER), json=GIVEN, headers=key)
    assert elsewhere.status_code == 422
    centre.clock.ms += DAY_MS
    sign_in(browser)
    assert browser.post(CONSENTS, json=GIVEN, headers=key).json()["id"] != first.json()["id"]
    with centre.registry.read() as session:
        assert len(session.scalars(select(OnceRow)).all()) == 1


def test_another_person_has_keys_of_their_own(browser: httpx.Client, centre: Centre) -> None:
    key = {"Idempotency-Key": "1"}
    first = browser.post(CONSENTS, json=GIVEN, headers=key).json()
    centre.person("jiro", shikaoi_001="owner")
    sign_in(browser, "jiro")
    assert browser.post(CONSENTS, json=GIVEN, headers=key).json()["id"] != first["id"]


def test_who_lost_the_right_is_not_told_the_answer_again(browser: httpx.Client, centre: Centre) -> None:
    key = {"Idempotency-Key": "1"}
    assert browser.post(CONSENTS, json=GIVEN, headers=key).status_code == 201
    with centre.registry.write() as session:
        people.grant_role(session, CONSOLE, 1, SITE, "family", centre.clock())
    assert browser.post(CONSENTS, json=GIVEN, headers=key).status_code == 403


def test_a_refused_write_leaves_its_key_free(browser: httpx.Client) -> None:
    key = {"Idempotency-Key": "1"}
    assert browser.post(CONSENTS, json={"classes": ["tank"]}, headers=key).status_code == 422
    assert browser.post(CONSENTS, json=GIVEN, headers=key).status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 256, "é", "a\tb"])
def test_a_key_is_a_short_plain_text(browser: httpx.Client, key: str) -> None:
    answer = browser.post(CONSENTS, json=GIVEN, headers=[(b"Idempotency-Key", key.encode("latin-1"))])
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["where"].startswith("header.")


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_of_writes_that_come_at_once_to_two_processes_one_is_done(
    tmp_path: Path, database: str, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("postgres").ready("writes") if database == "postgres" else ""
    centre = Centre(tmp_path, registry_url=url)
    cookie = centre.cookie(centre.person(shikaoi_001="owner"))
    headers = {**WRITE, "Idempotency-Key": "once", "Cookie": f"makiba_session={cookie}"}
    with centre.serving() as one, centre.serving() as two, ThreadPoolExecutor(8) as pool:

        def write(n: int) -> httpx.Response:
            url = (one, two)[n % 2].base_url.join(CONSENTS)
            return httpx.post(url, json=GIVEN, headers=headers, timeout=30)

        answers = list(pool.map(write, range(16)))
        assert {(a.status_code, a.json()["id"]) for a in answers} == {(201, answers[0].json()["id"])}
        assert len(one.get(CONSENTS, headers=headers).json()["rows"]) == 1
    centre.registry.close()
    centre.store.close()


def test_no_secret_is_kept_with_an_answer(browser: httpx.Client, centre: Centre) -> None:
    body = {"name": "x", "expires_ms": centre.clock() + DAY_MS}
    told = browser.post(TOKENS, json=body, headers={"Idempotency-Key": "1"}).json()
    with centre.registry.read() as session:
        [row] = session.scalars(select(OnceRow)).all()
        [token] = session.scalars(select(ApiToken)).all()
    kept = json.dumps([row.key_hash, row.request_hash, row.headers, row.body, token.secret_hash])
    assert told["token"].rpartition("_")[2][:20] not in kept
    assert row.body is None
