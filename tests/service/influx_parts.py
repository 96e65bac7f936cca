"""A real InfluxDB 1.6 as a child process, and doors in front of it: one that speaks 2.x, one that makes faults.

InfluxDB 2.x cannot be had from Debian. Its engine for time series is that of 1.x, so that the door only has to
translate what is around it.
"""

from __future__ import annotations

import gzip
import http.client
import json
import re
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
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
index-version = "{index}"
query-log-enabled = false
trace-logging-enabled = false
{data}
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
{http}
[logging]
level = "warn"
"""


class Influxd:
    """InfluxDB 1.6 with its data in `folder`, on a free port that it keeps when it is started again.

    `data` and `http` are lines of those sections of its configuration.
    """

    def __init__(
        self, folder: Path, *, auth: bool = False, data: str = "", http: str = "", index: str = "inmem"
    ) -> None:
        assert INFLUXD, NO_INFLUXD
        self.port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "influxdb.conf"
        config.write_text(
            _CONFIG.format(
                folder=folder,
                port=self.port,
                rpc=free_port(),
                auth=str(auth).lower(),
                data=data,
                http=http,
                index=index,
            )
        )
        self.process = Process([INFLUXD, "-config", str(config)], log=folder / "influxd.log")

    @property
    def url(self) -> str:
        return f"influx+{self.base('makiba')}"

    def base(self, database: str) -> str:
        return f"http://127.0.0.1:{self.port}/{database}"

    def start(self) -> Influxd:
        self.process.start()
        wait_until(lambda: listens(self.port), 20, self.process.log)
        return self

    def kill(self) -> None:
        self.process.kill()

    def ask(self, statement: str, **asked: str) -> dict[str, Any]:
        """What the server answers to InfluxQL, as another program would ask."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("POST", f"/query?{urlencode({'q': statement, 'epoch': 'ms', 'db': 'makiba', **asked})}")
        answer = connection.getresponse()
        data: dict[str, Any] = json.loads(answer.read())
        connection.close()
        return data

    def put(self, lines: str, database: str = "makiba") -> None:
        """Writes line protocol, times in ms, as another program would."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("POST", f"/write?db={database}&precision=ms", lines.encode())
        answer = connection.getresponse()
        assert answer.status == 204, answer.read()
        connection.close()

    def __enter__(self) -> Influxd:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()


@dataclass(frozen=True)
class Fault:
    """What the faulty door does with a request instead of passing it on.

    `status` 0: the connection is closed without an answer, `after` the request was passed on. `stall`: no answer
    ever. `cut`: the true answer, but only so many bytes of it.
    """

    status: int = 0
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    after: bool = False
    stall: bool = False
    cut: int | None = None


class FaultyDoor:
    """Passes on to `port` what `fault` has nothing against; `seen` are paths and bodies of all requests."""

    def __init__(self, port: int) -> None:
        self.fault: Callable[[str, bytes], Fault | None] = lambda path, body: None
        self.seen: list[tuple[str, bytes]] = []
        self.closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _faulty(self, port))
        self.port: int = self._server.server_port

    def base(self, name: str = "makiba") -> str:
        return f"http://127.0.0.1:{self.port}/{name}"

    def __enter__(self) -> FaultyDoor:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()


def _faulty(door: FaultyDoor, port: int) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            door.seen.append((self.path, body))
            fault = door.fault(self.path, body)
            if fault and fault.stall:
                door.closing.wait(30)
            if fault and fault.status:
                self._say(fault.status, fault.body, {"Content-Type": "text/html", **fault.headers})
                return
            if fault and not fault.after and fault.cut is None:
                self.close_connection = True
                return
            upstream = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            kept = {key: value for key, value in self.headers.items() if key.lower() not in ("host", "connection")}
            upstream.request("POST", self.path, body, kept)
            answer = upstream.getresponse()
            data = answer.read()
            upstream.close()
            if fault:
                self.close_connection = True
                if fault.cut is not None:
                    self._say(answer.status, data, {}, data[: fault.cut])
                return
            kept = {key: value for key, value in answer.getheaders() if key in ("Content-Type", "Retry-After")}
            self._say(answer.status, data, kept)

        def _say(self, status: int, data: bytes, headers: dict[str, str], sent: bytes | None = None) -> None:
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            if status != 204:
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if status != 204:
                self.wfile.write(data if sent is None else sent)

    return Handler


ORG = "farm"
_PRECISIONS = {"ns": "n", "us": "u", "ms": "ms", "s": "s"}


class V2Door:
    """InfluxDB 2.x's HTTP in front of a real 1.6: write, delete and the InfluxQL of 1.x, as its OpenAPI has them.

    Token, organisation, bucket, precision and gzip are looked at as 2.x does, errors are its JSON (`code`,
    `message`). Every database of the server is a bucket of organisation `farm`, mapped for InfluxQL under its own
    name, but for `unmapped`. What 2.x's InfluxQL has not (`INTO`, `CREATE DATABASE`, `DROP SERIES`, …) is refused
    here too. Not looked at: what a token may do; every token but one is nobody's. Source: docs.influxdata.com,
    influxdb/v2: API, and "InfluxQL support".
    """

    def __init__(self, port: int, *, unmapped: str = "") -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(port, unmapped))
        self.port: int = self._server.server_port
        self.url = f"influx+{self.base('makiba')}"

    def base(self, bucket: str) -> str:
        return f"http://127.0.0.1:{self.port}/{bucket}?api=2&org={ORG}"

    def __enter__(self) -> V2Door:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _No(Exception):
    """An answer of 2.x that is an error."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.data = json.dumps({"code": code, "message": message}).encode()


def _handler(port: int, unmapped: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked = {key: values[-1] for key, values in parse_qs(urlsplit(self.path).query).items()}
            try:
                if self.headers.get("Authorization") != f"Token {TOKEN}":
                    raise _No(401, "unauthorized", "unauthorized access")
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                ways = {"/api/v2/write": self._write, "/api/v2/delete": self._delete, "/query": self._query}
                way = ways.get(urlsplit(self.path).path)
                if way is None:
                    raise _No(404, "not found", "path not found")
                self._say(*way(asked, body))
            except _No as no:
                self._say(no.status, no.data)

        def _write(self, asked: dict[str, str], body: bytes) -> tuple[int, bytes]:
            bucket = self._bucket(asked)
            if asked.get("precision", "ns") not in _PRECISIONS:
                raise _No(400, "invalid", "precision must be one of ns, us, ms, s")
            precision = _PRECISIONS[asked.get("precision", "ns")]
            status, data = self._pass("/write", {"db": bucket, "precision": precision}, body, "text/plain")
            if status == 204:
                return 204, b""
            said = str(json.loads(data)["error"])
            if "unable to parse" in said:
                raise _No(400, "invalid", said.removeprefix("partial write: "))
            if status == 400:
                raise _No(422, "unprocessable entity", f"failure writing points to database: {said}")
            raise _No(500, "internal error", said)

        def _delete(self, asked: dict[str, str], body: bytes) -> tuple[int, bytes]:
            bucket = self._bucket(asked)
            wanted = json.loads(body)
            # Equal signs joined by AND are all that a predicate may hold.
            tags = dict(re.findall(r'(?:^| AND )(\w+)="([^"]*)"', wanted["predicate"]))
            if " AND ".join(f'{tag}="{value}"' for tag, value in tags.items()) != wanted["predicate"]:
                raise _No(400, "invalid", f"invalid request; error parsing predicate: {wanted['predicate']}")
            source = f' FROM "{tags.pop("_measurement")}"' if "_measurement" in tags else ""
            parts = [f"\"{tag}\" = '{value}'" for tag, value in tags.items()]
            whole = wanted["start"].startswith("1677-") and wanted["stop"].startswith("2262-")
            if not whole:
                parts += [f"time >= '{wanted['start']}'", f"time <= '{wanted['stop']}'"]
            statement = f"{'DROP SERIES' if whole else 'DELETE'}{source} WHERE {' AND '.join(parts)}"
            status, data = self._pass("/query", {"db": bucket, "q": statement}, b"", "text/plain")
            if status != 200 or b"error" in data:
                raise _No(500, "internal error", data.decode())
            return 204, b""

        def _query(self, asked: dict[str, str], body: bytes) -> tuple[int, bytes]:
            statement = parse_qs(body.decode())["q"][-1]
            for one in statement.split(";"):
                if re.match(r"\s*(CREATE|ALTER|GRANT|DROP\s+(?!MEASUREMENT)|.*\bINTO\b)", one, re.I):
                    raise _No(400, "invalid", f"not implemented: {one.split()[0]}")
            if asked.get("db") == unmapped:
                return 200, b'{"results":[{"statement_id":0,"error":"database not found: unmapped"}]}'
            return self._pass("/query", asked, body, self.headers["Content-Type"])

        def _bucket(self, asked: dict[str, str]) -> str:
            if asked.get("org") != ORG:
                raise _No(404, "not found", f'organization name "{asked.get("org", "")}" not found')
            _, data = self._pass("/query", {"q": "SHOW DATABASES"}, b"", "text/plain")
            names = [name for (name,) in json.loads(data)["results"][0]["series"][0].get("values", [])]
            if asked.get("bucket") not in names:
                raise _No(404, "not found", f'bucket "{asked.get("bucket")}" not found')
            return asked["bucket"]

        def _pass(self, path: str, asked: dict[str, str], body: bytes, kind: str) -> tuple[int, bytes]:
            upstream = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            try:
                upstream.request("POST", f"{path}?{urlencode(asked)}", body, {"Content-Type": kind})
                answer = upstream.getresponse()
                return answer.status, answer.read()
            except OSError as error:
                raise _No(503, "unavailable", str(error)) from None
            finally:
                upstream.close()

        def _say(self, status: int, data: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            if status != 204:
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if status != 204:
                self.wfile.write(data)

    return Handler
