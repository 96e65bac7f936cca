"""The pages' files, and the headers and the refusals that hold for every answer.

- Everything outside /api is a file of the built front end; an unknown path is its `index.html`, which draws what
  the address says. Files under `assets/` carry a hash of their content in their names and are kept for ever; all
  others are asked for again each time (and answered 304).
- A browser is told to load nothing from elsewhere, to run no inline script, and to show the pages in no frame.
- A request that changes something needs the header `X-Makiba: 1`, which a foreign page cannot send: together
  with the SameSite cookie this holds off cross-site requests.
"""

from __future__ import annotations

import mimetypes
from pathlib import Path
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import problem

DIST: Final = Path(__file__).parent / "web" / "dist"
API: Final = "/api/"
WRITE_HEADER: Final = "X-Makiba"
MAX_BODY_BYTES: Final = 65_536

SECURITY_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_IMMUTABLE: Final = "public, max-age=31536000, immutable"

NOT_BUILT: Final = """<!doctype html><html lang="ja"><meta charset="utf-8"><title>Makiba</title>
<h1>画面がまだ作られていません</h1><p>api/web で npm ci と npm run build を行ってください。</p>
<h1 lang="en">The pages are not built yet</h1>
<p lang="en">Run <code>npm ci</code> and <code>npm run build</code> in <code>api/web</code>.</p>
"""

# A bare Debian has no /etc/mime.types that knows it.
mimetypes.add_type("application/manifest+json", ".webmanifest")


class Guard:
    """Around the whole application: headers on each answer, no write without `X-Makiba: 1`."""

    def __init__(self, app: ASGIApp, *, https: bool) -> None:
        self._app = app
        self._headers = dict(SECURITY_HEADERS)
        if https:
            self._headers["Strict-Transport-Security"] = "max-age=31536000"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_api = scope["path"].startswith(API)

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                if is_api:
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        if scope["method"] not in _SAFE and Headers(scope=scope).get(WRITE_HEADER) != "1":
            refusal = problem(403, f"A request that changes something needs the header {WRITE_HEADER}: 1.")
            await refusal(scope, receive, send_guarded)
        elif not _is_small(Headers(scope=scope)):
            await problem(413, f"At most {MAX_BODY_BYTES} bytes, announced in advance.")(scope, receive, send_guarded)
        else:
            await self._app(scope, receive, send_guarded)


def _is_small(headers: Headers) -> bool:
    """Whether the body is announced and small; the server itself sees to it that it is not longer than that."""
    length = headers.get("content-length", "0")
    return "transfer-encoding" not in headers and length.isdecimal() and int(length) <= MAX_BODY_BYTES


class Pages(StaticFiles):
    """The files of the front end that stand in `folder`; it may be built while this is running."""

    def __init__(self, folder: Path = DIST) -> None:
        super().__init__(directory=folder, check_dir=False)
        self._folder = folder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return  # no websocket is served
        try:
            response = await self._answer(scope)
        except HTTPException as error:
            response = problem(error.status_code, error.detail)
        await response(scope, receive, send)

    async def _answer(self, scope: Scope) -> Response:
        path: str = scope["path"]
        if path.startswith(API) or path == API.rstrip("/"):
            return problem(404, "There is nothing here.")
        if scope["method"] not in ("GET", "HEAD"):
            return problem(405, "Only GET is served here.", {"Allow": "GET, HEAD"})
        if not (self._folder / "index.html").is_file():
            return HTMLResponse(NOT_BUILT, 503, {"Cache-Control": "no-store"})
        name = self.get_path(scope)
        hashed = name.startswith("assets/")
        try:
            response = await self.get_response(name, scope)
        except HTTPException as error:
            # A page that knows an older build's assets must not take index.html for a script.
            if error.status_code != 404 or hashed:
                raise
            response = await self.get_response("index.html", scope)
        response.headers["Cache-Control"] = _IMMUTABLE if hashed else "no-cache"
        return response
