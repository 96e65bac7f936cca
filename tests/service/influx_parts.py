"""A real InfluxDB 1.6 as a child process, and a small door in front of it that speaks the 2.x write path.

InfluxDB 2.x cannot be had from Debian; its write path is `/api/v2/write?bucket=…&precision=…` with a token, which the
door turns into `/write?db=…&precision=…`. Everything else passes through.
"""

from __future__ import annotations

import gzip
import http.client
import json
import re
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

from tests.parts import Process, free_port, listens, wait_until

INFLUXD = shutil.which("influxd", path="/usr/bin:/usr/sbin:/usr/local/bin")
NO_INFLUXD = "InfluxDB is not on this machine: apt-get install influxdb"
TOKEN = "a-token"

_CONFIG = """
reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
dir = "{folder}/meta"
logging-enabled = false
[data]
dir = "{folder}/data"
wal-dir = "{folder}/wal"
index-version = "inmem"
query-log-enabled = false
trace-logging-enabled = false
[coordinator]
[retention]
[shard-precreation]
[monitor]
store-enabled = false
[http]
bind-address = "127.0.0.1:{port}"
log-enabled = false
flux-enabled = false
auth-enabled = {auth}
[logging]
level = "warn"
"""


class Influxd:
    """InfluxDB 1.6 with its data in `folder`, on a free port that it keeps when it is started again."""

    def __init__(self, folder: Path, *, auth: bool = False) -> None:
        assert INFLUXD, NO_INFLUXD
        self.port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "influxdb.conf"
        config.write_text(_CONFIG.format(folder=folder, port=self.port, rpc=free_port(), auth=str(auth).lower()))
        self.process = Process([INFLUXD, "-config", str(config)], log=folder / "influxd.log")

    @property
    def url(self) -> str:
        return f"influx+http://127.0.0.1:{self.port}/makiba"

    def start(self) -> Influxd:
        self.process.start()
        wait_until(lambda: listens(self.port), 20, self.process.log)
        return self

    def kill(self) -> None:
        self.process.kill()

    def __enter__(self) -> Influxd:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()


class V2Door:
    """InfluxDB 2.x's write and delete paths in front of a 1.x server."""

    def __init__(self, port: int) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(port))
        self.url = f"influx+http://127.0.0.1:{self._server.server_port}/makiba?api=2&org=farm"

    def __enter__(self) -> V2Door:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(port: int) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            if self.headers.get("Authorization") != f"Token {TOKEN}":
                self._say(401, b'{"code":"unauthorized","message":"unauthorized access"}')
                return
            path, asked = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
            kind = "text/plain"
            if path == "/api/v2/write":
                precision = {"ms": "ms", "s": "s", "us": "u", "ns": "n"}[asked["precision"][0]]
                target = "/write?" + urlencode({"db": asked["bucket"][0], "precision": precision})
            elif path == "/api/v2/delete":
                matched = re.fullmatch(r'site="([a-z0-9-]+)"', json.loads(body)["predicate"])
                assert matched
                statement = f"DROP SERIES WHERE \"site\" = '{matched[1]}'"
                target = "/query?" + urlencode({"db": asked["bucket"][0], "q": statement})
                body = b""
            else:
                target, kind = self.path, self.headers.get("Content-Type", kind)
            upstream = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            try:
                upstream.request("POST", target, body, {"Content-Type": kind})
                answer = upstream.getresponse()
                status, data = answer.status, answer.read()
            finally:
                upstream.close()
            if path == "/api/v2/delete" and status == 200:
                status, data = 204, b""
            self._say(status, data)

        def _say(self, status: int, data: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            if status != 204:
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if status != 204:
                self.wfile.write(data)

    return Handler
