"""Requests that are refused before anybody looks at them, whose addresses are believed, and how often one may ask."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.sessions import COOKIE
from tests.service.serving import SITE, WRITE, Centre

PLACES = f"/api/v1/sites/{SITE}/places"


@pytest.fixture
def centre(tmp_path: Path) -> Centre:
    return Centre(tmp_path)


@pytest.fixture
def browser(centre: Centre) -> Iterator[httpx.Client]:
    centre.person(shikaoi_001="owner")
    with centre.signed_in() as browser:
        yield browser


def raw(
    browser: httpx.Client, method: str, path: str, *headers: tuple[str, str], body: bytes = b""
) -> tuple[int, Any]:
    """The answer to exactly these headers."""
    connection = http.client.HTTPConnection(browser.base_url.host, browser.base_url.port or 0, timeout=10)
    try:
        connection.putrequest(method, path, skip_host=any(n.lower() == "host" for n, _ in headers))
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        said = answer.read()
        is_ours = answer.getheader("content-type", "").endswith("json")
        return answer.status, json.loads(said) if is_ours else None
    finally:
        connection.close()


def test_a_header_that_may_stand_once_does_not_stand_twice(browser: httpx.Client) -> None:
    cookie = ("Cookie", f"{COOKIE}={browser.cookies[COOKIE]}")
    assert raw(browser, "GET", PLACES, cookie)[0] == 200
    for twice in [
        (cookie, ("Cookie", f"{COOKIE}=x")),
        (cookie, ("Authorization", "Bearer a"), ("authorization", "Bearer b")),
        (cookie, ("X-Makiba", "0"), ("X-Makiba", "1")),
        (cookie, ("Host", "a"), ("Host", "b")),
        (cookie, ("Content-Type", "application/json"), ("Content-Type", "text/plain")),
    ]:
        status, said = raw(browser, "GET", PLACES, *twice)
        assert status == 400
        assert said is None or said["type"] == "/problems/sent-twice"  # of two hosts the server itself says so


def test_a_path_is_what_it_looks_like(browser: httpx.Client) -> None:
    cookie = ("Cookie", f"{COOKIE}={browser.cookies[COOKIE]}")
    for path in (
        f"/api/v1/sites/{SITE}%2Fplaces", f"/api/v1/sites//{SITE}/places", f"/api/v1/sites/x/../{SITE}/places",
        f"/api/v1/sites/%2e%2e/{SITE}/places", f"/api/v1/sites/{SITE}%00/places", f"/api/v1/sites%5C{SITE}/places",
        f"/api/v1/./sites/{SITE}/places", "/api/v1/nothing", "/api/v1/", "/api/v2/session",
    ):  # fmt: skip
        status, said = raw(browser, "GET", path, cookie)
        assert (status, said["detail"]) == (404, "There is nothing here."), path


def test_no_header_changes_the_method(browser: httpx.Client) -> None:
    cookie = ("Cookie", f"{COOKIE}={browser.cookies[COOKIE]}")
    for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        assert raw(browser, "GET", "/api/v1/session", cookie, (name, "DELETE"))[0] == 200
    assert raw(browser, "GET", "/api/v1/session?_method=DELETE", cookie)[0] == 200
    assert browser.get("/api/v1/session").status_code == 200


def test_what_a_path_does_not_do_is_said_with_what_it_does(browser: httpx.Client) -> None:
    for method in ("HEAD", "OPTIONS", "PATCH", "TRACE", "PROPFIND"):
        answer = browser.request(method, "/api/v1/session", headers=WRITE)
        assert answer.status_code == 405
        assert answer.headers["allow"] == "DELETE, GET, POST"
        assert answer.headers["content-type"] == "application/problem+json"


def test_a_body_is_short_and_its_length_announced(browser: httpx.Client) -> None:
    for headers in (
        [("Content-Length", "65537")], [("Transfer-Encoding", "chunked")], [("Content-Length", "9" * 4000)],
    ):  # fmt: skip
        status, said = raw(browser, "POST", "/api/v1/session", ("X-Makiba", "1"), *headers, body=b"")
        assert status in (400, 413)
        assert said is None or said["type"] == "/problems/too-large"


def test_a_body_that_is_no_json_and_half_characters_are_refused(browser: httpx.Client) -> None:
    kind = ("Content-Type", "application/json")
    for body in (
        b"{", b"", b"[]", b"\xff\xfe", b'"x"', b"null", b'{"login": "\\ud800", "password": "x"}',
        b'{"login": "a\\u0000", "password": "x"}', b'{"login": 1e999, "password": "x"}',
    ):  # fmt: skip
        length = ("Content-Length", str(len(body)))
        status, said = raw(browser, "POST", "/api/v1/session", ("X-Makiba", "1"), kind, length, body=body)
        assert (status, said["type"]) == (422, "/problems/invalid"), body
        assert said["errors"]


def test_only_the_name_of_the_settings_is_served(tmp_path: Path) -> None:
    centre = Centre(tmp_path, given={"public_url": "https://makiba.example:8443"})
    with centre.serving() as browser:
        for host in (
            "makiba.example",
            "MAKIBA.example:8443",
            "makiba.example.",
            "localhost:1",
            "127.0.0.1",
            "[::1]:80",
        ):
            assert raw(browser, "GET", "/api/v1/health", ("Host", host))[0] == 200, host
        for host in ("evil.example", "makiba.example.evil.example", "127.0.0.1.evil.example", ""):
            status, said = raw(browser, "GET", "/api/v1/health", ("Host", host))
            assert (status, said["type"]) == (421, "/problems/host"), host


LIMIT = {"api_rate": 30, "api_rate_address": 10}


def test_an_address_that_is_nobodys_asks_so_often_and_says_when_to_come_again(tmp_path: Path) -> None:
    with Centre(tmp_path, given=LIMIT).serving() as browser:
        answers = [browser.get("/api/v1/health") for _ in range(11)]
    assert [a.status_code for a in answers] == [200] * 10 + [429]
    refused = answers[-1]
    assert refused.json()["type"] == "/problems/too-many"
    assert 1 <= int(refused.headers["retry-after"]) <= 6
    assert refused.headers["ratelimit-policy"] == '"address";q=10;w=60'
    assert refused.headers["ratelimit"] == f'"address";r=0;t={refused.headers["retry-after"]}'


def test_guessing_cookies_and_tokens_counts_for_the_address(tmp_path: Path) -> None:
    centre = Centre(tmp_path, given=LIMIT)
    centre.person(shikaoi_001="owner")
    good = centre.cookie(1)
    with centre.serving() as browser:
        for n in range(10):
            headers = {"Authorization": f"Bearer mkb_{n}"} if n % 2 else {"Cookie": f"{COOKIE}={n}"}
            assert browser.get(PLACES, headers=headers).status_code == 401
        assert browser.get(PLACES, headers={"Cookie": f"{COOKIE}=11"}).status_code == 429
        # Not even a right one is told from a wrong one now.
        assert browser.get(PLACES, headers={"Cookie": f"{COOKIE}={good}"}).status_code == 429


def test_a_person_has_one_measure_in_all_browsers(tmp_path: Path) -> None:
    centre = Centre(tmp_path, given=LIMIT)
    person = centre.person(shikaoi_001="owner")
    other = centre.cookie(centre.person("jiro", shikaoi_001="family"))
    cookies = [centre.cookie(person) for _ in range(3)]
    with centre.serving() as browser:
        statuses = [
            browser.get(PLACES, headers={"Cookie": f"{COOKIE}={cookies[n % 3]}"}).status_code for n in range(31)
        ]
        assert statuses == [200] * 30 + [429]
        assert browser.get(PLACES, headers={"Cookie": f"{COOKIE}={other}"}).status_code == 200


@pytest.mark.parametrize(
    ("proxies", "forwarded", "is_told_apart"),
    [
        ("", "203.0.113.{n}", False),
        ("10.0.0.0/8", "203.0.113.{n}", False),
        ("127.0.0.0/8", "203.0.113.{n}", True),
        ("127.0.0.0/8", "203.0.113.{n}, 203.0.113.200", False),
        ("127.0.0.0/8,10.0.0.0/8", "203.0.113.{n}, 10.1.2.3", True),
        ("127.0.0.0/8", "203.0.113.{n}, nonsense", False),
        ("127.0.0.0/8", "2001:db8::{n}", False),
        ("127.0.0.0/8", "2001:db8:0:{n}::1", True),
    ],
)
def test_addresses_are_believed_from_the_proxies_of_the_settings(
    tmp_path: Path, proxies: str, forwarded: str, is_told_apart: bool
) -> None:
    with Centre(tmp_path, given={**LIMIT, "trusted_proxies": proxies}).serving() as browser:
        statuses = {
            browser.get("/api/v1/health", headers={"X-Forwarded-For": forwarded.format(n=n)}).status_code
            for n in range(1, 13)
        }
    assert statuses == ({200} if is_told_apart else {200, 429})
