"""InfluxDB over HTTP: queries, the two ways to write, and what its answers mean.

Each answer that is no success becomes one of the protocol's errors, by its status; only whether a database is missing
has to be read from the text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn
from urllib.parse import urlencode

import urllib3
from urllib3.exceptions import HTTPError, LocationValueError, SSLError

from collectors.store.line_protocol import identifier, tags_are
from collectors.store.protocol import StoreMisconfigured, StoreUnavailable

_TIMEOUT: Final = urllib3.Timeout(connect=3.0, read=20.0)


class Refused(Exception):
    """The server will never take (all of) these lines."""


class NoDatabase(Exception):
    """The database is not there."""


class Database:
    """The 1.x way to write: `POST /write`. Makes the database when it is missing."""

    def __init__(self, http: Http, database: str) -> None:
        self._http = http
        self._database = database

    def write(self, lines: str) -> None:
        try:
            self._post(lines)
        except NoDatabase:
            self.create()
            try:
                self._post(lines)
            except NoDatabase as error:
                raise StoreUnavailable(str(error)) from None

    def _post(self, lines: str) -> None:
        status, body, headers = self._http.call(
            "POST", "/write", {"db": self._database, "precision": "ms"}, lines.encode()
        )
        if status != 204:
            _raise(status, body, headers.get("Retry-After"))

    def create(self) -> None:
        self._http.query("", f"CREATE DATABASE {identifier(self._database)}")

    def delete_site(self, site: str) -> None:
        self._http.query(self._database, f"DROP SERIES WHERE {tags_are({'site': site})}")

    def close(self) -> None:
        pass


class Bucket:
    """The 2.x way to write, through influxdb-client. A bucket is made by whoever gives the token."""

    def __init__(self, base: str, bucket: str, org: str, token: str) -> None:
        from influxdb_client.client.influxdb_client import InfluxDBClient
        from influxdb_client.client.write_api import SYNCHRONOUS

        self._bucket, self._org = bucket, org
        self._client = InfluxDBClient(base, token, org=org, timeout=20_000)
        self._writer = self._client.write_api(write_options=SYNCHRONOUS)

    def write(self, lines: str) -> None:
        with self._translated():
            self._writer.write(self._bucket, self._org, lines.encode(), write_precision="ms")  # type: ignore[arg-type]

    def create(self) -> None:
        raise StoreMisconfigured(f"bucket {self._bucket!r} is not there, or has no DBRP mapping for InfluxQL")

    def delete_site(self, site: str) -> None:
        with self._translated():
            self._client.delete_api().delete(
                "1970-01-01T00:00:00Z", "2262-01-01T00:00:00Z", f'site="{site}"', self._bucket, self._org
            )

    def close(self) -> None:
        self._writer.close()  # type: ignore[no-untyped-call]
        self._client.close()  # type: ignore[no-untyped-call]

    def _translated(self) -> Any:
        return _ClientErrors(self.create)


class _ClientErrors:
    """influxdb-client's errors as ours."""

    def __init__(self, missing: Callable[[], None]) -> None:
        self._missing = missing

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        from influxdb_client.rest import ApiException

        if isinstance(error, ApiException):
            try:
                retry_after = error.headers.get("Retry-After") if error.headers else None
                _raise(error.status or 503, str(error.body or error.reason).encode(), retry_after)
            except NoDatabase:
                self._missing()
        if isinstance(error, (HTTPError, OSError)):
            _raise_unreachable("InfluxDB", error)


class Http:
    """One server. Errors come as the protocol's."""

    def __init__(self, base: str, *, user: str, password: str | None, token: str | None) -> None:
        self.base = base
        self._pool = urllib3.PoolManager(maxsize=8, retries=False, timeout=_TIMEOUT)
        self._headers: dict[str, str] = {}
        if token is not None:
            self._headers["Authorization"] = f"Token {token}"
        elif user:
            self._headers.update(urllib3.make_headers(basic_auth=f"{user}:{password or ''}"))

    def call(
        self, method: str, path: str, asked: Mapping[str, str], body: bytes, kind: str = "text/plain; charset=utf-8"
    ) -> tuple[int, bytes, Mapping[str, str]]:
        try:
            answer = self._pool.request(
                method,
                f"{self.base}{path}?{urlencode(asked)}",
                body=body,
                headers={**self._headers, "Content-Type": kind},
                redirect=False,
            )
        except (HTTPError, OSError) as error:
            _raise_unreachable(self.base, error)
        return answer.status, answer.data, answer.headers

    def query(self, database: str, statement: str, missing: Callable[[], None] | None = None) -> list[dict[str, Any]]:
        """The tables of all statements; `missing` is called when the database is not there."""
        asked = {"epoch": "ms", **({"db": database} if database else {})}
        status, data, headers = self.call(
            "POST", "/query", asked, urlencode({"q": statement}).encode(), "application/x-www-form-urlencoded"
        )
        try:
            if status != 200:
                _raise(status, data, headers.get("Retry-After"))
            return _tables(data)
        except Refused as error:
            raise StoreMisconfigured(f"{self.base}: {error}") from None
        except NoDatabase:
            if missing is not None:
                missing()
            return []

    def close(self) -> None:
        self._pool.clear()


def _tables(data: bytes) -> list[dict[str, Any]]:
    try:
        results = json.loads(data)["results"]
    except (ValueError, KeyError, TypeError):
        raise StoreUnavailable(f"an answer that is not InfluxDB's: {data[:80]!r}") from None
    tables: list[dict[str, Any]] = []
    for result in results:
        if problem := result.get("error"):
            if "database not found" in problem:
                raise NoDatabase(problem)
            # Within an answer of 200: what went wrong while the query ran (timeout, too much at once).
            raise StoreUnavailable(f"query failed: {problem[:300]}")
        tables += result.get("series", ())
    return tables


def _raise(status: int, body: bytes, retry_after: str | None) -> NoReturn:
    """An answer that is no success as the error that it stands for."""
    try:
        said = json.loads(body)
        problem = str(said.get("error") or said.get("message") or said)
    except (ValueError, AttributeError):
        problem = body.decode("utf-8", "replace").strip()
    problem = f"InfluxDB answered {status}: {problem[:300]}"
    if status in (401, 403):
        raise StoreMisconfigured(f"{problem}; check the store's user, password or token")
    if status == 404:
        raise NoDatabase(problem)
    if status in (400, 413, 422):
        raise Refused(problem)
    if status in (408, 429) or status >= 500:
        wait_s = float(retry_after) if retry_after and retry_after.isdigit() else None
        raise StoreUnavailable(problem, wait_s)
    raise StoreMisconfigured(f"{problem}; is this an InfluxDB?")


def _raise_unreachable(where: str, error: Exception) -> NoReturn:
    if isinstance(error, SSLError):
        raise StoreMisconfigured(f"{where}: TLS: {error}") from error
    if isinstance(error, LocationValueError):
        raise StoreMisconfigured(f"{where}: {error}") from error
    raise StoreUnavailable(f"{where}: {type(error).__name__}: {error}") from error
