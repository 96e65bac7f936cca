"""The pages' files, their caching, and the headers of every answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp

from api.pages import Guard, Pages


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    folder = tmp_path / "dist"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>Makiba</title>")
    (folder / "sw.js").write_text("self.skip = 1")
    (folder / "manifest.webmanifest").write_text("{}")
    (folder / "assets" / "app-3f2a.js").write_text("console.log(1)\n" * 200)
    (tmp_path / "secret.txt").write_text("not yours")
    return folder


def get(folder: Path, path: str, *, method: str = "GET", headers: Mapping[str, str] | None = None,
        https: bool = False) -> httpx.Response:  # fmt: skip
    app: ASGIApp = Guard(GZipMiddleware(Pages(folder)), https=https)

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://makiba") as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(ask())


def test_hashed_files_are_kept_for_ever_and_all_others_asked_for_again(dist: Path) -> None:
    script = get(dist, "/assets/app-3f2a.js")
    assert script.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert script.headers["content-type"].startswith("text/javascript")
    assert script.headers["content-encoding"] == "gzip"
    for path in ("/", "/index.html", "/sw.js", "/manifest.webmanifest", "/places/barn-1"):
        assert get(dist, path).headers["cache-control"] == "no-cache", path
    assert get(dist, "/manifest.webmanifest").headers["content-type"] == "application/manifest+json"


def test_what_did_not_change_is_not_sent_again(dist: Path) -> None:
    first = get(dist, "/sw.js")
    again = get(dist, "/sw.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_an_unknown_path_is_the_page_but_an_unknown_asset_and_the_api_are_not(dist: Path) -> None:
    assert "<title>Makiba</title>" in get(dist, "/alerts/abc.def").text
    for path in ("/assets/app-old.js", "/api/v1/nothing", "/api", "/api/"):
        answer = get(dist, path)
        assert answer.status_code == 404, path
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "path", ["/../secret.txt", "/assets/..%2f..%2fsecret.txt", "/%2e%2e/secret.txt", "//etc/passwd"]
)
def test_no_path_leads_out_of_the_folder(dist: Path, path: str) -> None:
    answer = get(dist, path)
    assert "not yours" not in answer.text
    assert "root:" not in answer.text


def test_only_reading_is_served(dist: Path) -> None:
    assert get(dist, "/sw.js", method="POST").status_code == 403
    assert get(dist, "/sw.js", method="POST", headers={"X-Makiba": "1"}).status_code == 405
    assert get(dist, "/sw.js", method="HEAD").content == b""


def test_before_the_pages_are_built_it_says_how(tmp_path: Path) -> None:
    answer = get(tmp_path / "dist", "/")
    assert answer.status_code == 503
    assert "まだ" in answer.text
    assert "npm run build" in answer.text


def test_every_answer_tells_the_browser_to_trust_nothing_else(dist: Path) -> None:
    for path in ("/", "/assets/app-3f2a.js", "/api/nothing"):
        headers = get(dist, path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "strict-transport-security" not in headers
    assert get(dist, "/api/nothing").headers["cache-control"] == "no-store"
    assert get(dist, "/", https=True).headers["strict-transport-security"] == "max-age=31536000"
