"""docs/security.md and docs/threats.md name tests that there are; every kind of answer has the promised headers."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from api.pages import WRITE_HEADER
from tests.service.serving import WRITE
from tests.service.sign_in_parts import API, House, house

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs/security.md"
THREATS = ROOT / "docs/threats.md"
ROW = re.compile(r"^\| ([\d., –]+) \|(.*)\|(.*)\|(.*)\|$", re.MULTILINE)


def existing_tests() -> set[str]:
    return {
        node.name
        for file in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


@pytest.mark.parametrize("name", ["security.md", "threats.md"])
def test_every_test_that_the_table_names_is_there(name: str) -> None:
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", text))
    assert len(named) > 30
    assert named - existing_tests() == set()
    files = {file.name for file in (ROOT / "tests").rglob("*.py")}
    assert set(re.findall(r"`(test_\w+\.py)`", text)) - files == set()


def test_every_threat_is_held_off_by_what_a_test_shows_or_says_that_it_is_not() -> None:
    rows = re.findall(r"^\| [STRIDE](?:, [STRIDE])* \|.*$", THREATS.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) > 40
    assert [row for row in rows if not re.search(r"`(test_\w+(\.py)?|tests/[\w/.]+)`|\*\*", row)] == []


# What there is nothing to run for: what Makiba does not have, and what others see to.
WITHOUT_TEST = {
    "2.2.2", "2.7.1", "2.7.6", "5.2.1", "5.2.2", "5.2.8", "5.2.3", "5.2.5", "5.3.7", "5.3.10", "5.5.2", "5.5.4",
    "7.3.1", "7.3.4", "10.3.3", "13.3.1", "13.3.2", "13.4.1", "13.4.2",
}  # fmt: skip


def test_every_row_is_shown_by_a_test_or_says_that_it_is_not_met() -> None:
    rows = ROW.findall(DOCUMENT.read_text(encoding="utf-8"))
    assert len(rows) > 100
    told: list[str] = []
    for number, _, how, shown in rows:
        numbers = re.findall(r"\d+\.\d+\.\d+", number)
        assert "`test_" in shown or "**" in how or set(numbers) <= WITHOUT_TEST, number
        told += numbers
    assert len(told) == len(set(told))
    assert {int(number.split(".")[0]) for number in told} == set(range(2, 15))


# ----------------------------------------------------------------------------------------------------- headers


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(tmp_path_factory.mktemp("home"), public_url="https://makiba.example") as home:
        yield home


def answers(home: House) -> dict[str, httpx.Response]:
    """One of each kind."""
    hanako = home.somebody(signed_in=False)
    host = {"Host": "makiba.example"}
    cookie = host | {"Cookie": f"__Host-makiba_session={home.centre.cookie(hanako.id)}"}
    browser = hanako.browser
    tag = browser.get(f"{API}/sessions", headers=cookie).headers["etag"]
    return {
        "200": browser.get(f"{API}/session", headers=cookie),
        "200 with a tag": browser.get(f"{API}/sessions", headers=cookie),
        "204": browser.put(f"{API}/session/language", json={"language": "ja"}, headers=cookie | WRITE),
        "304": browser.get(f"{API}/sessions", headers=cookie | {"If-None-Match": tag}),
        "401": browser.get(f"{API}/session", headers=host),
        "403 without the header": browser.put(f"{API}/session/language", json={}, headers=cookie),
        "404": browser.get(f"{API}/nothing", headers=cookie),
        "404 of a farm": browser.get(f"{API}/sites/shikaoi-999/places", headers=cookie),
        "405": browser.put(f"{API}/health", headers=cookie | WRITE),
        "413": browser.post(f"{API}/session", content=b" " * 70_000, headers=host | WRITE),
        "422": browser.post(f"{API}/session", json={}, headers=host | WRITE),
        "the document": browser.get(f"{API}/openapi.json", headers=host),
        "a page": browser.get("/", headers=host),
        "any path": browser.get("/no/such/page", headers=host),
        "another host": browser.get(f"{API}/health", headers={"Host": "elsewhere.example"}),
    }


def test_every_kind_of_answer_has_the_headers(home: House) -> None:
    told = answers(home)
    for name, answer in told.items():
        assert name[:3] in ("the", "a p", "any", "ano") or str(answer.status_code) == name[:3], (name, answer.text)
        headers = answer.headers
        policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'self'", name
        assert policy.get("script-src", "'self'") == "'self'", name
        assert policy["frame-ancestors"] == policy["object-src"] == policy["base-uri"] == "'none'", name
        assert "unsafe" not in headers["content-security-policy"], name
        assert headers["x-content-type-options"] == "nosniff", name
        assert headers["x-frame-options"] == "DENY", name
        assert headers["referrer-policy"] == "no-referrer", name
        assert headers["strict-transport-security"] == "max-age=31536000", name
        assert headers["cross-origin-resource-policy"] == "same-origin", name
        assert "camera=()" in headers["permissions-policy"], name
        assert not any(h.startswith("access-control-") for h in headers), name
        assert "x-powered-by" not in headers, name
        assert not re.search(r"\d+\.\d+", headers.get("server", "")), name
        if "/api/" in str(answer.url):
            wanted = "private, no-cache" if "etag" in headers else "no-store"
            assert headers["cache-control"] == wanted, name
        if answer.content:
            kind = headers["content-type"]
            assert kind.startswith(("application/json", "application/problem+json", "text/html; charset=utf-8")), name
    assert WRITE_HEADER in told["403 without the header"].text
