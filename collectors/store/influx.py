"""Readings in InfluxDB: 1.x and its relatives over `/write`, or 2.x over `/api/v2/write`; reads are InfluxQL.

Only what 1.6, 1.8, 2.x (with a DBRP mapping) and 3 share is used: line protocol, and InfluxQL's `last`, `count`,
`min`, `mean`, `max` and `GROUP BY time`. InfluxDB answers a write after its log is on the disk (`wal-fsync-delay`
is 0 unless somebody changed it) and overwrites a point of the same series and time: the protocol's promises.

A write that is refused in part does not say which lines: it is halved until it does, which costs a few more requests
and changes nothing that is stored already.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final, NoReturn
from urllib.parse import parse_qs, urlencode, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, SSLError

from collectors.store.fold import gaps_between, is_text, split_by_kind
from collectors.store.line_protocol import (
    EARLIEST_MS,
    LATEST_MS,
    identifier,
    line_of,
    measurement_of,
    measurements,
    split_key,
    tags_are,
    where,
)
from collectors.store.protocol import (
    Point,
    ReadingsRejected,
    StoreMisconfigured,
    StoreUnavailable,
    Window,
)
from makiba.reading import Reading, Series

LINES_PER_REQUEST: Final = 5000
_SUBJECTS_PER_QUERY: Final = 100
_TIMEOUT: Final = urllib3.Timeout(connect=3.0, read=20.0)

WriteLines = Callable[[str], None]
"""Commits lines; raises `_Refused` or a `StoreError`."""


class _Refused(Exception):
    """The server will never take (all of) these lines."""


class _NoDatabase(Exception):
    """The database is not there."""


def open_influx(url: str, *, user: str = "", password: str | None = None, token: str | None = None) -> InfluxStore:
    """The store at `http(s)://HOST:PORT/DATABASE` or `…/BUCKET?api=2&org=ORG`. Does not connect yet."""
    parts = urlsplit(url)
    asked = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    database = parts.path.strip("/")
    if parts.username or parts.password:
        raise StoreMisconfigured("a store's address holds no user or password; set MAKIBA_STORE_USER and _PASSWORD")
    if not parts.hostname or not database or "/" in database:
        raise StoreMisconfigured("expected influx+http://HOST:PORT/DATABASE")
    if unknown := asked.keys() - {"api", "org"}:
        raise StoreMisconfigured(f"store: {sorted(unknown)[0]!r} is unknown; expected api and org")
    api = asked.get("api", "1")
    if api not in ("1", "2"):
        raise StoreMisconfigured(f"store: api={api[:20]} is unknown; expected 1 or 2")
    if api == "2" and token is None:
        raise StoreMisconfigured("store: api=2 needs a token; set MAKIBA_STORE_TOKEN")
    http = _Http(f"{parts.scheme}://{parts.netloc}", user=user, password=password, token=token)
    if api == "2":
        return InfluxStore(http, database, _Bucket(http.base, database, asked.get("org", ""), token or ""))
    return InfluxStore(http, database, _Database(http, database))


class InfluxStore:
    """See `collectors.store.protocol.Store` for what is promised. Threads share it as they like."""

    def __init__(self, http: _Http, database: str, target: _Database | _Bucket) -> None:
        self._http = http
        self._database = database
        self._target = target

    def write(self, readings: Sequence[Reading]) -> None:
        good, wrong = split_by_kind(readings)
        rejected = list(wrong)
        last: dict[tuple[Series, int], Reading] = {}
        for reading in good:
            if EARLIEST_MS <= reading.time_ms <= LATEST_MS:
                last[reading.series, reading.time_ms] = reading
            else:
                rejected.append((reading, "InfluxDB keeps times from 1677 to 2262"))
        rows = list(last.values())
        for start in range(0, len(rows), LINES_PER_REQUEST):
            rejected += self._commit(rows[start : start + LINES_PER_REQUEST])
        if rejected:
            raise ReadingsRejected(rejected)

    def _commit(self, rows: Sequence[Reading]) -> list[tuple[Reading, str]]:
        """Writes `rows`; those that the server will never take, each with its reason."""
        heads: dict[Series, str] = {}
        try:
            self._target.write("\n".join(line_of(row, heads) for row in rows))
        except _Refused as refused:
            if len(rows) == 1:
                return [(rows[0], str(refused))]
            half = len(rows) // 2
            return self._commit(rows[:half]) + self._commit(rows[half:])
        return []

    def latest(self, site: str, subjects: Collection[str] | None = None) -> Mapping[Series, Point]:
        found: dict[Series, Point] = {}
        for part in _parts(subjects):
            condition = tags_are({"site": site})
            if part is not None:
                condition += f" AND ({' OR '.join(tags_are({'subject': subject}) for subject in part)})"
            # One selector per statement, or InfluxQL answers with the start of the range as time.
            statements = [
                f"SELECT last({identifier(field)}) FROM {measurements(text=field == 'text')} "  # noqa: S608 (quoted)
                f"WHERE {condition} GROUP BY {identifier('subject')}, {identifier('quantity')}"
                for field in ("value", "text")
            ]
            for table in self._query("; ".join(statements)):
                tags = table["tags"]
                time_ms, value = table["values"][0]
                found[Series(site, tags["subject"], tags["quantity"])] = _point(time_ms, value)
        return found

    def range(self, series: Series, start_ms: int, end_ms: int, limit: int | None = None) -> list[Point]:
        if limit == 0:
            return []  # to InfluxQL, LIMIT 0 is no limit
        field = "text" if is_text(series.quantity) else "value"
        most = f" LIMIT {limit}" if limit is not None else ""
        tables = self._query(
            f"SELECT {identifier(field)} FROM {_from(series)} "  # noqa: S608 (quoted)
            f"WHERE {where(series, start_ms, end_ms)} ORDER BY time ASC{most}"
        )
        return [_point(time_ms, value) for table in tables for time_ms, value in table["values"]]

    def windows(self, series: Series, start_ms: int, end_ms: int, width_ms: int) -> list[Window]:
        if is_text(series.quantity) or end_ms <= start_ms:
            return []
        folds = ", ".join(f"{fold}({identifier('value')})" for fold in ("count", "min", "mean", "max", "last"))
        tables = self._query(
            f"SELECT {folds} FROM {_from(series)} WHERE {where(series, start_ms, end_ms)} "  # noqa: S608 (quoted)
            f"GROUP BY time({max(1, width_ms)}ms) fill(none)"
        )
        return [
            Window(int(start), int(count), float(low), float(mean), float(high), float(last))
            for table in tables
            for start, count, low, mean, high, last in table["values"]
            if count
        ]

    def series(self, site: str) -> list[Series]:
        found = set()
        for table in self._query(f"SHOW SERIES WHERE {tags_are({'site': site})}"):
            for (key,) in table["values"]:
                _, tags = split_key(key)
                if tags.get("site") == site and {"subject", "quantity"} <= tags.keys():
                    found.add(Series(site, tags["subject"], tags["quantity"]))
        return sorted(found)

    def gaps(self, series: Series, start_ms: int, end_ms: int, longer_than_ms: int) -> list[tuple[int, int]]:
        times = [point.time_ms for point in self.range(series, start_ms, end_ms + 1)]
        return gaps_between(times, start_ms, end_ms, longer_than_ms)

    def delete_site(self, site: str) -> None:
        self._target.delete_site(site)

    def check(self) -> None:
        self._http.query(self._database, "SHOW MEASUREMENTS LIMIT 1", missing=self._target.create)

    def close(self) -> None:
        self._target.close()
        self._http.close()

    def _query(self, statement: str) -> list[dict[str, Any]]:
        """The tables that InfluxQL answers with; none when the database is not there yet."""
        return self._http.query(self._database, statement)


class _Database:
    """The 1.x way to write: `POST /write`. Makes the database when it is missing."""

    def __init__(self, http: _Http, database: str) -> None:
        self._http = http
        self._database = database

    def write(self, lines: str) -> None:
        try:
            self._post(lines)
        except _NoDatabase:
            self.create()
            try:
                self._post(lines)
            except _NoDatabase as error:
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


class _Bucket:
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
        return _client_errors(self.create)


class _client_errors:
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
            except _NoDatabase:
                self._missing()
        if isinstance(error, (HTTPError, OSError)):
            _raise_unreachable("InfluxDB", error)


class _Http:
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
        except _Refused as error:
            raise StoreMisconfigured(f"{self.base}: {error}") from None
        except _NoDatabase:
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
                raise _NoDatabase(problem)
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
        raise _NoDatabase(problem)
    if status in (400, 413, 422):
        raise _Refused(problem)
    if status in (408, 429) or status >= 500:
        wait_s = float(retry_after) if retry_after and retry_after.isdigit() else None
        raise StoreUnavailable(problem, wait_s)
    raise StoreMisconfigured(f"{problem}; is this an InfluxDB?")


def _raise_unreachable(where: str, error: Exception) -> NoReturn:
    if isinstance(error, SSLError):
        raise StoreMisconfigured(f"{where}: TLS: {error}") from error
    if isinstance(error, urllib3.exceptions.LocationValueError):
        raise StoreMisconfigured(f"{where}: {error}") from error
    raise StoreUnavailable(f"{where}: {type(error).__name__}: {error}") from error


def _from(series: Series) -> str:
    return identifier(measurement_of(series.quantity))


def _point(time_ms: int, value: str | float) -> Point:
    return Point(int(time_ms), value if isinstance(value, str) else float(value))


def _parts(subjects: Collection[str] | None) -> Iterator[tuple[str, ...] | None]:
    """`subjects` in parts that keep a query short; one None for all of them."""
    if subjects is None:
        yield None
        return
    known = sorted(set(subjects))
    for start in range(0, len(known), _SUBJECTS_PER_QUERY):
        yield tuple(known[start : start + _SUBJECTS_PER_QUERY])
