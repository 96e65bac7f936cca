"""The weather services, played on this machine: files by address, with ETags, and whatever can go wrong."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import threading
import time
from dataclasses import dataclass, field
from typing import Any


@dataclass
class WeatherService:
    """Serves `pages` (path to bytes); `requests` has what was asked. As a context manager it runs."""

    pages: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, int, dict[str, str]]] = field(default_factory=list)
    fail_with: int = 0
    retry_after: str = ""
    stall_s: float = 0.0
    redirect_to: str = ""

    def __enter__(self) -> WeatherService:
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                service.answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        body = self.pages.get(request.path)
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"' if body is not None else ""
        status = self.fail_with or (404 if body is None else 304 if request.headers["If-None-Match"] == etag else 200)
        if self.redirect_to:
            status = 302
        self.requests.append((request.path, status, dict(request.headers)))
        if self.stall_s:
            time.sleep(self.stall_s)
        request.send_response(status)
        if self.retry_after:
            request.send_header("Retry-After", self.retry_after)
        if self.redirect_to:
            request.send_header("Location", self.redirect_to)
        sent = gzip.compress(body) if status == 200 and body is not None else b""
        if status == 200:
            request.send_header("ETag", etag)
            request.send_header("Content-Encoding", "gzip")
        request.send_header("Content-Length", str(len(sent)))
        request.end_headers()
        request.wfile.write(sent)

    def asked(self, path: str) -> list[int]:
        """The statuses of what was asked for addresses that hold `path`, in order."""
        return [status for there, status, _ in list(self.requests) if path in there]
