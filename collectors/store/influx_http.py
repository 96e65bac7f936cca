"""One InfluxDB over HTTP: queries, the two ways to write, and what each answer means.

The rule: only 204 is a write that is on the server's disk. Every other answer, and none, becomes one of the
protocol's errors by its status alone, but for two facts that only the text of an answer of InfluxDB's own holds:
that a database is missing, and how many points of a refused request were dropped. `docs/stores.md` has the table.

Nothing here repeats a request: who asked knows whether that is wanted. Redirects are not followed, so that a password
or token goes to no other server than the one in the settings.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, NoReturn
from urllib.parse import urlencode

import urllib3
from urllib3.exceptions import HTTPError, LocationValueError, SSLError

from collectors.store.line_protocol import ANCHOR, EARLIEST_MS, LATEST_MS, anchor_line, identifier, tags_are
from collectors.store.protocol import StoreError, StoreMisconfigured, StoreUnavailable

CONNECT_S: Final = 3.0
ANSWER_S: Final = 20.0
"""How long an answer may take. A write that took longer may be done: it is given again, and changes nothing."""
LONGEST_WAIT_S: Final = 300.0
"""A server that asks for more patience is asked again after this long."""

_UTC_DAY_MS: Final = 86_400_000
_ROWS_PER_CHUNK: Final = "10000"
_MINUS_ZERO: Final = re.compile(rb"-0[,\]]")
_DROPPED: Final = re.compile(r"\bdropped=(\d+)\s*$")


class Refused(Exception):
    """The server will never take (all of) these lines. `dropped`: how many it says it did not store, if it says."""

    def __init__(self, message: str, dropped: int | None = None) -> None:
        super().__init__(message)
        self.dropped = dropped


class TooLarge(Exception):
    """The body is larger than the server, or something before it, takes."""


class NoDatabase(Exception):
    """InfluxDB says that the database, or bucket, is not there."""


class Database:
    """The 1.x way to write: `POST /write`. Makes the database when it is missing.

    Before a delete each measurement that it touches gets an anchor: a point without tags, which no delete reaches.
    With `index-version = "inmem"`, Debian's default, 1.6 holds a series twice when it began with two readings in one
    request. A delete that takes a series away starts a new generation of the index, in which only one of the two is.
    When all series of an older generation have gone, through such doubles, the server forgets the whole measurement:
    SELECT finds nothing in it, of any farm, until a series is written again or the server is restarted. The anchor is
    in every generation, so that none ever is empty. A generation from before the first anchor still can be; then the
    anchor is forgotten too, and whoever deleted is told.
    """

    def __init__(self, http: Http, database: str) -> None:
        self._http = http
        self._database = database

    def write(self, lines: bytes) -> None:
        """Raises `Refused`, `TooLarge` or a `StoreError`; returns when `lines` are on the disk."""
        try:
            self._post(lines)
        except NoDatabase:
            self.create()
            try:
                self._post(lines)
            except NoDatabase as error:
                raise StoreUnavailable(str(error)) from None

    def _post(self, lines: bytes) -> None:
        status, body, headers = self._http.call("POST", "/write", {"db": self._database, "precision": "ns"}, lines)
        if status != 204:
            raise_for(self._http.base, status, body, headers)

    def miss(self) -> None:
        """A reader finds no database: nothing was written yet."""

    def create(self) -> None:
        self._http.query("", f"CREATE DATABASE {identifier(self._database)}")

    def delete_before(self, measurement: str, tags: Mapping[str, str], end_ms: int) -> None:
        """Removes the points of `measurement` and `tags` before `end_ms`."""
        condition = f"{tags_are(tags)} AND " if tags else ""
        statement = f"DELETE FROM {identifier(measurement)} WHERE {condition}time < {end_ms}ms"  # noqa: S608 (quoted)
        self._delete([measurement], statement, end_ms)

    def delete_site(self, site: str) -> None:
        """Removes all points of `site`, and its name."""
        there = tags_are({"site": site})
        tables = self._http.query(self._database, f"SHOW MEASUREMENTS WHERE {there}")
        measurements = [str(name) for table in tables for (name,) in table["values"]]
        self._delete(measurements, f"DROP SERIES WHERE {there}", EARLIEST_MS)

    def _delete(self, measurements: Sequence[str], statement: str, end_ms: int) -> None:
        """Runs `statement`, which deletes nothing from `end_ms` on that has no tags, with anchors in place."""
        today_ms = time.time_ns() // 1_000_000 // _UTC_DAY_MS * _UTC_DAY_MS
        anchors = [anchor_line(measurement, max(end_ms, today_ms)) for measurement in measurements]
        if not anchors:
            return
        try:
            self.write("\n".join(anchors).encode())
        except (Refused, TooLarge) as error:
            raise StoreMisconfigured(f"nothing is deleted, since anchors are refused: {error}") from None
        self._http.query(self._database, statement)
        sources = ", ".join(identifier(measurement) for measurement in measurements)
        ask = f"SELECT last({identifier(ANCHOR)}) FROM {sources} WHERE \"site\" = ''"  # noqa: S608 (quoted)
        seen = self._http.query(self._database, ask)
        if gone := set(measurements) - {table["name"] for table in seen}:
            raise StoreMisconfigured(
                f"{self._http.base}: InfluxDB's index in memory has forgotten {', '.join(sorted(gone))}; "
                "all is on its disk: restart influxd, once"
            )

    def close(self) -> None:
        pass


class Bucket:
    """The 2.x way to write, through influxdb-client. A bucket is made by whoever gives the token."""

    def __init__(self, http: Http, bucket: str, org: str, token: str) -> None:
        from influxdb_client.client.influxdb_client import InfluxDBClient
        from influxdb_client.service.write_service import WriteService

        self._bucket, self._org, self._base = bucket, org, http.base
        self._client = InfluxDBClient(
            http.base,
            token,
            org=org,
            timeout=(int(CONNECT_S * 1000), int(http.answer_s * 1000)),
            enable_gzip=http.gzip,
        )
        # The service, not its wrapper WriteApi: that one takes every 2xx, a proxy's page too, for a success.
        self._service = WriteService(self._client.api_client)  # type: ignore[no-untyped-call]

    def write(self, lines: bytes) -> None:
        """As `Database.write`."""
        with self._translated():
            _, status, headers = self._service.post_write_with_http_info(  # type: ignore[no-untyped-call]
                self._org, self._bucket, lines, precision="ns", content_type="text/plain; charset=utf-8"
            )
            if status != 204:
                raise_for(self._base, status, b"", headers)

    def miss(self) -> None:
        """Without a bucket, or a mapping for its readers, every answer would be empty."""
        raise StoreMisconfigured(
            f"bucket {self._bucket!r} is not there, or has no DBRP mapping for InfluxQL (`influx v1 dbrp create`)"
        )

    def create(self) -> None:
        self.miss()

    def delete_before(self, measurement: str, tags: Mapping[str, str], end_ms: int) -> None:
        """As `Database.delete_before`."""
        self._delete({"_measurement": measurement, **tags}, end_ms * 1_000_000 - 1)  # the end is deleted too

    def delete_site(self, site: str) -> None:
        """As `Database.delete_site`."""
        self._delete({"site": site}, LATEST_MS * 1_000_000)

    def _delete(self, tags: Mapping[str, str], end_ns: int) -> None:
        predicate = " AND ".join(f'{tag}="{value}"' for tag, value in tags.items())
        with self._translated():
            self._client.delete_api().delete(
                _spell_ns(EARLIEST_MS * 1_000_000), _spell_ns(end_ns), predicate, self._bucket, self._org
            )

    def close(self) -> None:
        self._client.close()  # type: ignore[no-untyped-call]

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """influxdb-client's errors as ours."""
        from influxdb_client.rest import ApiException

        try:
            yield
        except ApiException as error:
            body = error.body if isinstance(error.body, bytes) else str(error.body or error.reason).encode()
            try:
                raise_for(self._base, error.status or 503, body, error.headers or {})
            except NoDatabase:
                self.miss()
        except (HTTPError, OSError) as error:
            _raise_unreachable(self._base, error)


class Http:
    """One server. Errors come as the protocol's. Threads share it."""

    def __init__(
        self,
        base: str,
        *,
        user: str = "",
        password: str | None = None,
        token: str | None = None,
        answer_s: float = ANSWER_S,
        gzip: bool = False,
    ) -> None:
        self.base, self.answer_s, self.gzip = base, answer_s, gzip
        self._pool = urllib3.PoolManager(
            maxsize=8, retries=False, timeout=urllib3.Timeout(connect=CONNECT_S, read=answer_s)
        )
        self._headers: dict[str, str] = {}
        if token is not None:
            self._headers["Authorization"] = f"Token {token}"
        elif user:
            self._headers.update(urllib3.make_headers(basic_auth=f"{user}:{password or ''}"))

    def call(
        self, method: str, path: str, asked: Mapping[str, str], body: bytes, kind: str = "text/plain; charset=utf-8"
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """Status, body and headers of an answer, whatever it says."""
        headers = {**self._headers, "Content-Type": kind}
        if self.gzip and path == "/write":
            import gzip

            body, headers["Content-Encoding"] = gzip.compress(body, 1), "gzip"
        try:
            answer = self._pool.request(
                method, f"{self.base}{path}?{urlencode(asked)}", body=body, headers=headers, redirect=False
            )
        except (HTTPError, OSError) as error:
            _raise_unreachable(self.base, error)
        return answer.status, answer.data, answer.headers

    def query(self, database: str, statement: str, missing: Callable[[], None] | None = None) -> list[dict[str, Any]]:
        """The tables of all statements, times in ms, each with the number of its `statement`.

        `missing` is called when the database is not there.

        In chunks, since without them a server may cut an answer short (`max-row-limit`).
        """
        asked = {"epoch": "ms", "chunked": "true", "chunk_size": _ROWS_PER_CHUNK}
        asked |= {"db": database} if database else {}
        body = urlencode({"q": statement}).encode()
        status, data, headers = self.call("POST", "/query", asked, body, "application/x-www-form-urlencoded")
        try:
            if status != 200:
                raise_for(self.base, status, data, headers)
            return _tables(self.base, data)
        except (Refused, TooLarge) as error:
            raise StoreMisconfigured(f"{self.base}: {error}") from None
        except NoDatabase:
            if missing is not None:
                missing()
            return []

    def close(self) -> None:
        self._pool.clear()


def _tables(base: str, data: bytes) -> list[dict[str, Any]]:
    """The tables of an answer in chunks; the parts of one table are put together."""
    tables: list[dict[str, Any]] = []
    more_follows = False
    for line in data.splitlines():
        if not line.strip():
            continue
        try:
            results = json.loads(line, parse_int=_whole if _MINUS_ZERO.search(line) else int)["results"]
        except (ValueError, KeyError, TypeError):
            raise StoreMisconfigured(f"{base}: {_quoted(data)} is no answer of InfluxDB's") from None
        for result in results:
            if problem := result.get("error"):
                if "database not found" in problem:
                    raise NoDatabase(problem)
                # Within an answer of 200: what went wrong while the query ran (timeout, too much at once).
                raise StoreUnavailable(f"{base}: query failed: {problem[:300]}")
            for table in result.get("series", ()):
                table["statement"] = result.get("statement_id", 0)
                before = tables[-1] if more_follows and tables else None
                if before and all(before.get(key) == table.get(key) for key in ("statement", "name", "tags")):
                    before["values"] += table["values"]
                else:
                    tables.append(table)
                more_follows = bool(table.get("partial"))
    if more_follows:
        raise StoreUnavailable(f"{base}: the answer ended too early")
    if not data.strip():
        raise StoreMisconfigured(f"{base}: an empty answer is no answer of InfluxDB's")
    return tables


def _whole(text: str) -> int | float:
    """A number without a point: the server spells -0.0 as -0."""
    return -0.0 if text == "-0" else int(text)


def raise_for(base: str, status: int, body: bytes, headers: Mapping[str, str]) -> NoReturn:
    """An answer that is no success as the error that it stands for."""
    code, said = _words(body)
    problem = f"{base} answered {status}: {said}"
    if status in (401, 403):
        raise StoreMisconfigured(f"{problem}; check the store's user, password or token")
    if status == 404 and ("database not found" in said or code == "not found"):
        raise NoDatabase(problem)
    if status == 413:
        raise TooLarge(problem)
    if status in (400, 422) and code is not None:
        dropped = _DROPPED.search(said)
        raise Refused(problem, int(dropped[1]) if dropped else None)
    if status in (408, 429) or status >= 500:
        raise StoreUnavailable(problem, wait_asked_s(headers.get("Retry-After"), datetime.now(UTC)))
    raise StoreMisconfigured(f"{problem}; is this an InfluxDB?")


def wait_asked_s(retry_after: str | None, now: datetime) -> float | None:
    """Seconds of a `Retry-After` (RFC 9110, 10.2.3: seconds or a date); None when there is none that makes sense."""
    if not retry_after:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        wait_s = float(text[:9])
    else:
        try:
            until = parsedate_to_datetime(text)
        except ValueError:
            return None
        wait_s = ((until if until.tzinfo else until.replace(tzinfo=UTC)) - now).total_seconds()
    return min(max(wait_s, 0.0), LONGEST_WAIT_S)


def _words(body: bytes) -> tuple[str | None, str]:
    """Code (2.x; '' for 1.x) and words of InfluxDB's error; code None when it is not InfluxDB's."""
    try:
        said = json.loads(body)
        if "error" in said:
            return "", str(said["error"])[:500]
        return str(said["code"]), str(said["message"])[:500]
    except (ValueError, KeyError, TypeError):
        return None, _quoted(body)


def _quoted(body: bytes) -> str:
    if body.lstrip()[:1] == b"<":
        return "a page of HTML"
    return repr(body[:80].decode("utf-8", "replace"))


def _spell_ns(time_ns: int) -> str:
    seconds, rest_ns = divmod(time_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest_ns:09d}Z"


def _raise_unreachable(where: str, error: Exception) -> NoReturn:
    if isinstance(error, StoreError):
        raise error
    if isinstance(error, SSLError):
        raise StoreMisconfigured(f"{where}: TLS: {error}") from error
    if isinstance(error, LocationValueError):
        raise StoreMisconfigured(f"{where}: {error}") from error
    raise StoreUnavailable(f"{where}: {type(error).__name__}: {error}") from error
