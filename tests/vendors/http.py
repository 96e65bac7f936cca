"""What the HTTP vendors share: a server on a free port whose answers a function makes."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Told:
    """An answer. `hang`: it never comes (until the server stops); `drip`: one byte of it a time."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] | None = None
    hang: bool = False
    cut: bool = False


class Vendor(Protocol):
    def answer(self, asked: Asked) -> Told: ...


@contextmanager
def serving(vendor: Vendor, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serves `vendor` on the loopback; its address."""
    stopping = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            told = vendor.answer(Asked(self.command, self.path, headers, self.rfile.read(length)))
            if told.hang:
                stopping.wait(60)
            if told.hang or told.cut:
                self.close_connection = True
                return
            self.send_response(told.status)
            for name, value in (told.headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(told.body)))
            self.end_headers()
            self.wfile.write(told.body)

        do_GET = do_PUT = do_DELETE = do_POST

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
    finally:
        stopping.set()
        server.shutdown()
        server.server_close()
        thread.join(10)
