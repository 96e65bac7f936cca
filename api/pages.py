"""The pages' files, and the headers and the refusals that hold for every answer.

- Everything outside /api is a file of the built front end; an unknown path is its `index.html`, which draws what
  the address says. Files under `assets/` carry a hash of their content in their names and are kept for ever; all
  others are asked for again each time (and answered 304).
- A browser is told to load nothing from elsewhere, to run no inline script, and to show the pages in no frame.
- A request that changes something needs the header `X-Makiba: 1`, which a foreign page cannot send, or a program's
  token, which it does not have: together with the SameSite cookie this holds off cross-site requests. A route that
  a vendor's machine calls (`foreign`) looks at no cookie and needs no header: what it is sent is signed.
- A request is refused that two readers could understand differently: a header twice that may stand there once, a
  path with an encoded slash, dot or NUL, a body whose length is not announced; and one that names another host than
  that of the setting `public_url`. No header changes the method.
- `X-Forwarded-For` is believed from the networks of the setting `trusted_proxies` and from nobody else.
"""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Final, TypeVar

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route, compile_path
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import NOTHING_HERE, FieldError, problem

Network = IPv4Network | IPv6Network

DIST: Final = Path(__file__).parent / "web" / "dist"
API: Final = "/api/"
WRITE_HEADER: Final = "X-Makiba"
MAX_BODY_BYTES: Final = 65_536
"""Of a route that does not say otherwise (`takes`)."""

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


_ONCE: Final = (
    "authorization", "content-length", "content-type", "cookie", "host", "idempotency-key", "if-match",
    "if-none-match", "last-event-id", "transfer-encoding", "x-makiba",
)  # fmt: skip
"""Headers that may stand in a request once: of two, one reader takes the first and another the last."""

_TWISTED: Final = re.compile(rb"%(?:2f|5c|2e|00)|\\|//|/\.{1,2}(?:/|$)", re.IGNORECASE)
"""What makes two readers see two paths. A dot may stand in a name as it is, and need not be encoded."""

_NUL: Final = re.compile(rb"%00|\x00")
"""No text of the registry may hold one; said here once for all parameters."""

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})

LargeBody = tuple[str, re.Pattern[str], int]
Endpoint = TypeVar("Endpoint", bound=Callable[..., object])


def takes(max_bytes: int) -> Callable[[Endpoint], Endpoint]:
    """Says of a route's function that its body may be so long; stands below the line with its path."""

    def mark(endpoint: Endpoint) -> Endpoint:
        endpoint.max_body_bytes = max_bytes  # type: ignore[attr-defined]
        return endpoint

    return mark


def foreign(endpoint: Endpoint) -> Endpoint:
    """Says of a route's function that a vendor's machine calls it, who proves itself by what it sends."""
    endpoint.is_foreign = True  # type: ignore[attr-defined]
    return endpoint


def foreign_paths(prefix: str, routes: Iterable[BaseRoute]) -> frozenset[tuple[str, str]]:
    """(method, path) of those of `routes`, below `prefix`, that need no `X-Makiba`."""
    return frozenset(
        (method, prefix + route.path)
        for route in routes
        if isinstance(route, Route) and hasattr(route.endpoint, "is_foreign")
        for method in route.methods or ()
    )


def large_bodies(prefix: str, routes: Iterable[BaseRoute]) -> list[LargeBody]:
    """(method, path, most bytes) of those of `routes`, below `prefix`, that take long bodies."""
    return [
        (method, compile_path(prefix + route.path)[0], route.endpoint.max_body_bytes)
        for route in routes
        if isinstance(route, Route) and hasattr(route.endpoint, "max_body_bytes")
        for method in route.methods or ()
    ]


class Guard:
    """Around the whole application: headers on each answer, and the refusals of the module's docstring.

    `large`: routes that take more than `MAX_BODY_BYTES`, see `large_bodies`. `vendors`: see `foreign_paths`.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        https: bool,
        host: str = "",
        proxies: str = "",
        large: Iterable[LargeBody] = (),
        vendors: Collection[tuple[str, str]] = (),
    ) -> None:
        self._app = app
        self._headers = dict(SECURITY_HEADERS)
        if https:
            self._headers["Strict-Transport-Security"] = "max-age=31536000"
        self._host = host.lower().rstrip(".")
        self._proxies = parse_networks(proxies)
        self._large = tuple(large)
        self._vendors = frozenset(vendors)

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

        scope["client"] = _client(scope, self._proxies)
        if (refusal := self._refusal(scope)) is not None:
            await refusal(scope, receive, send_guarded)
        else:
            await self._app(scope, receive, send_guarded)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if twice := next((name for name in _ONCE if len(headers.getlist(name)) > 1), None):
            return problem(400, f"{twice.title()} stands in the request more than once.", slug="sent-twice")
        if self._host and _host(headers.get("host", "")) not in (self._host, *_LOOPBACK):
            return problem(421, "These pages are not served under this name.", slug="host")
        if scope["path"].startswith(API) and _TWISTED.search(scope.get("raw_path") or b""):
            return problem(404, NOTHING_HERE)
        if scope["path"].startswith(API) and _NUL.search(scope["query_string"]):
            return problem(
                422, "A query holds no NUL.", slug="invalid", errors=[FieldError(where="query", why="NUL")]
            )
        is_from_page = headers.get(WRITE_HEADER) == "1" or _is_program(headers)
        if scope["method"] not in _SAFE and not is_from_page and not self._is_of_a_vendor(scope):
            detail = f"A request that changes something needs the header {WRITE_HEADER}: 1."
            return problem(403, detail, slug="no-write-header")
        most = self._most_bytes(scope)
        if not _is_announced(headers, most):
            return problem(413, f"At most {most} bytes, announced in advance.", slug="too-large")
        return None

    def _is_of_a_vendor(self, scope: Scope) -> bool:
        return (scope["method"], scope["path"]) in self._vendors

    def _most_bytes(self, scope: Scope) -> int:
        for method, path, most in self._large:
            if method == scope["method"] and path.match(scope["path"]):
                return most
        return MAX_BODY_BYTES


def _is_announced(headers: Headers, most: int) -> bool:
    """Whether the body is announced and short enough; the server itself sees to it that it is no longer than that."""
    length = headers.get("content-length", "0")
    return (
        "transfer-encoding" not in headers
        and length.isascii()
        and length.isdecimal()
        and len(length) < 16
        and int(length) <= most
    )


def _is_program(headers: Headers) -> bool:
    """Whether a token comes along, right or wrong: with one, no cookie counts (`api.sessions.looking`)."""
    return headers.get("authorization", "")[:7].lower() == "bearer "


def _host(given: str) -> str:
    """The host's name without its port."""
    name = given.lower()
    return (name.partition("]")[0] + "]" if name.startswith("[") else name.partition(":")[0]).rstrip(".")


def parse_networks(spelled: str) -> tuple[Network, ...]:
    """The networks of a setting, `ValueError` for what is none."""
    return tuple(ip_network(part.strip()) for part in spelled.split(",") if part.strip())


def _client(scope: Scope, proxies: Sequence[Network]) -> tuple[str, int] | None:
    """Who asks: the nearest address that is no trusted proxy's."""
    client: tuple[str, int] | None = scope.get("client")
    if client is None or not proxies or not _is_within(client[0], proxies):
        return client
    hops = [h.strip() for line in Headers(scope=scope).getlist("x-forwarded-for") for h in line.split(",")]
    for hop in reversed(hops):
        try:
            ip_address(hop)
        except ValueError:
            break
        client = (hop, 0)
        if not _is_within(hop, proxies):
            break
    return client


def _is_within(address: str, networks: Sequence[Network]) -> bool:
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    return any(ip in network for network in networks)


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
            return problem(404, NOTHING_HERE)
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
