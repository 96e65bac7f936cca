"""What `makiba serve` counts, as OpenMetrics; `makiba.figures` gives it out.

Requests are counted by the route's template below the prefix (`/sites/{site}/places`), never by the address that was
asked for, so that no farm's name and no secret becomes a label; all files of the pages are one route, `pages`. What
no route answers (a foreign write, an unknown path) is `other`. A request's time ends when its answer begins: a stream
is open for hours.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.pages import API

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Figures:
    """The figures of one process that serves. `open_streams` says how many streams are open now."""

    def __init__(self, open_streams: Callable[[], int] = lambda: 0) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.open_streams = open_streams
        self._requests = Counter(
            "makiba_serve_requests", "Answers, by route and status", ["method", "route", "status"], registry=registry
        )
        self._seconds = Histogram(
            "makiba_serve_request_seconds",
            "From a request's coming to the beginning of its answer",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._under_way = Gauge(
            "makiba_serve_requests_under_way", "Requests without an answer yet", registry=registry
        )
        streams = Gauge("makiba_serve_open_streams", "Pages that are open and listen", registry=registry)
        streams.set_function(lambda: float(self.open_streams()))

    def begun(self) -> None:
        self._under_way.inc()

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        self._under_way.dec()
        self._requests.labels(method if method in _METHODS else "other", route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)


class Counting:
    """Around the whole application: every answer is counted."""

    def __init__(self, app: ASGIApp, *, figures: Figures, prefix: str) -> None:
        self._app = app
        self._figures = figures
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_s = time.monotonic()
        has_begun = False

        def count(status: int) -> None:
            nonlocal has_begun
            has_begun = True
            self._figures.answered(scope["method"], self._route_of(scope), status, time.monotonic() - began_s)

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start" and not has_begun:
                count(message["status"])
            await send(message)

        self._figures.begun()
        try:
            await self._app(scope, receive, send_counted)
        finally:
            if not has_begun:  # it failed, or its browser went
                count(500)

    def _route_of(self, scope: Scope) -> str:
        """The template of the route that answers; it is known once the answer begins."""
        path = getattr(scope.get("route"), "path", None)
        if isinstance(path, str):
            return path.removeprefix(self._prefix)  # some versions of FastAPI spell it with, some without
        return "other" if str(scope["path"]).startswith(API) else "pages"
