"""Readings in InfluxDB: 1.x and its relatives over `/write`, or 2.x over `/api/v2/write`; reads are InfluxQL.

Only what 1.6, 1.8, 2.x (with a DBRP mapping) and 3 share is used: line protocol, and InfluxQL's `last`, `count`,
`min`, `mean`, `max` and `GROUP BY time`. InfluxDB answers a write after its log is on the disk (`wal-fsync-delay`
is 0 unless somebody changed it) and overwrites a point of the same series and time: the protocol's promises.

A write that is refused in part does not say which lines: it is halved until it does, which costs a few more requests
and changes nothing that is stored already.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from collectors.store.fold import gaps_between, is_text, wrong_kind
from collectors.store.influx_http import Bucket, Database, Http, Refused
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
    RawOnly,
    ReadingsRejected,
    StoreMisconfigured,
    Window,
)
from makiba.reading import Columns, Reading, Series

LINES_PER_REQUEST: Final = 5000
_SUBJECTS_PER_QUERY: Final = 100


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
    http = Http(f"{parts.scheme}://{parts.netloc}", user=user, password=password, token=token)
    if api == "2":
        return InfluxStore(http, database, Bucket(http.base, database, asked.get("org", ""), token or ""))
    return InfluxStore(http, database, Database(http, database))


class InfluxStore(RawOnly):
    """See `collectors.store.protocol.Store` for what is promised. Threads share it as they like."""

    def __init__(self, http: Http, database: str, target: Database | Bucket) -> None:
        self._http = http
        self._database = database
        self._target = target

    def write(self, readings: Sequence[Reading]) -> None:
        rejected = wrong_kind(Columns.of(readings))
        bad = {index for index, _ in rejected}
        last: dict[tuple[Series, int], int] = {}
        for index, reading in enumerate(readings):
            if index in bad:
                continue
            if EARLIEST_MS <= reading.time_ms <= LATEST_MS:
                last[reading.series, reading.time_ms] = index
            else:
                rejected.append((index, "InfluxDB keeps times from 1677 to 2262"))
        rows = [(index, readings[index]) for index in last.values()]
        for start in range(0, len(rows), LINES_PER_REQUEST):
            rejected += self._commit(rows[start : start + LINES_PER_REQUEST])
        if rejected:
            raise ReadingsRejected(rejected)

    def _commit(self, rows: Sequence[tuple[int, Reading]]) -> list[tuple[int, str]]:
        """Writes `rows`; the index of those that the server will never take, each with its reason."""
        heads: dict[Series, str] = {}
        try:
            self._target.write("\n".join(line_of(row, heads) for _, row in rows))
        except Refused as refused:
            if len(rows) == 1:
                return [(rows[0][0], str(refused))]
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

    def windows(self, series: Series, start_ms: int, end_ms: int, width_ms: int, offset_ms: int = 0) -> list[Window]:
        if is_text(series.quantity) or end_ms <= start_ms:
            return []
        folds = ", ".join(f"{fold}({identifier('value')})" for fold in ("count", "min", "mean", "max", "last"))
        tables = self._query(
            f"SELECT {folds} FROM {_from(series)} WHERE {where(series, start_ms, end_ms)} "  # noqa: S608 (quoted)
            f"GROUP BY time({max(1, width_ms)}ms, {offset_ms}ms) fill(none)"
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
