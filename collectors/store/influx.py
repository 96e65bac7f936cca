"""Readings in InfluxDB: 1.x and its relatives over `/write`, or 2.x over `/api/v2/write`; reads are InfluxQL.

Only what 1.6, 1.8 and 2.x (with a DBRP mapping) share is used: line protocol, and InfluxQL without `INTO`. InfluxDB
answers a write after its log is on the disk (`wal-fsync-delay` is 0 unless somebody changed it) and overwrites a
point of the same series and time: the protocol's promises. `influx_commit` writes, `influx_rollup` folds and
forgets, `influx_http` says what each failure means; `docs/stores.md` has what a person should know.

Two things are weaker than in SQLite: a reader may see a part of a batch that is on its way, and a reading may still
be taken in the first `_STATE_EXPIRES_S` after its time expired; the next `expire` removes it.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from collectors.store.fold import is_text
from collectors.store.influx_commit import Commit
from collectors.store.influx_http import ANSWER_S, Bucket, Database, Http
from collectors.store.influx_inventory import take_inventory
from collectors.store.influx_move import Moves
from collectors.store.influx_rollup import RollUps
from collectors.store.influx_windows import (
    STATE,
    WINDOW,
    State,
    ask_freshness,
    finest,
    minutes_from_raw,
    statements_of,
    windows_in,
)
from collectors.store.levels import WIDTHS_MS, merge, segments
from collectors.store.line_protocol import (
    EARLIEST_MS,
    LATEST_MS,
    from_groups,
    identifier,
    measurement_of,
    split_key,
    tags_are,
    where,
)
from collectors.store.protocol import (
    Inventory,
    Level,
    Point,
    ReadingsRejected,
    StoreMisconfigured,
    Window,
)
from makiba.reading import Columns, Reading, Series

_SUBJECTS_PER_QUERY: Final = 100
_SEGMENTS_PER_QUERY: Final = 50
_STATE_EXPIRES_S: Final = 30.0
_SPANS_MS: Final = (6 * 3_600_000, 3 * 86_400_000, 60 * 86_400_000)
"""How far back `latest` looks at once: a living series is found in the first, a dead one not before the end."""


def open_influx(url: str, *, user: str = "", password: str | None = None, token: str | None = None) -> InfluxStore:
    """The store at `http(s)://HOST:PORT/DATABASE` or `…/BUCKET?api=2&org=ORG`. Does not connect yet.

    `gzip=1` compresses what is written, `timeout_s=N` is how long an answer may take.
    """
    parts = urlsplit(url)
    asked = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    database = parts.path.strip("/")
    if parts.username or parts.password:
        raise StoreMisconfigured("a store's address holds no user or password; set MAKIBA_STORE_USER and _PASSWORD")
    if not parts.hostname or not database or "/" in database:
        raise StoreMisconfigured("expected influx+http://HOST:PORT/DATABASE")
    if unknown := asked.keys() - {"api", "org", "gzip", "timeout_s"}:
        raise StoreMisconfigured(f"store: {sorted(unknown)[0]!r} is unknown; expected api, org, gzip or timeout_s")
    api = asked.get("api", "1")
    if api not in ("1", "2"):
        raise StoreMisconfigured(f"store: api={api[:20]} is unknown; expected 1 or 2")
    if api == "2" and token is None:
        raise StoreMisconfigured("store: api=2 needs a token; set MAKIBA_STORE_TOKEN")
    http = Http(
        f"{parts.scheme}://{parts.netloc}",
        user=user,
        password=password,
        token=token,
        answer_s=_seconds(asked.get("timeout_s")),
        gzip=asked.get("gzip", "0") == "1",
    )
    if api == "2":
        return InfluxStore(http, database, Bucket(http, database, asked.get("org", ""), token or ""))
    return InfluxStore(http, database, Database(http, database))


def _seconds(text: str | None) -> float:
    try:
        seconds = float(text or ANSWER_S)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise StoreMisconfigured("store: timeout_s is a number of seconds, more than 0")
    return seconds


class InfluxStore(Moves):
    """See `collectors.store.protocol.Store` for what is promised. Threads share it as they like."""

    def __init__(self, http: Http, database: str, target: Database | Bucket) -> None:
        self._http = http
        self._database = database
        self._target = target
        self._commit = Commit(target)
        self._rollups = RollUps(self._query, target)
        self._known_state: tuple[float, State] | None = None

    def write(self, readings: Sequence[Reading]) -> None:
        self.write_columns(Columns.of(readings))

    def write_columns(self, columns: Columns) -> None:
        rejected: list[tuple[int, str]] = []
        kept, rows = self._not_expired(columns, rejected)
        found = self._commit.write(kept)
        rejected += found if rows is None else [(rows[index], reason) for index, reason in found]
        if rejected:
            raise ReadingsRejected(rejected)

    def _not_expired(self, columns: Columns, rejected: list[tuple[int, str]]) -> tuple[Columns, list[int] | None]:
        """`columns` without what is older than the store keeps, and where each stood (None: as it was)."""
        if not columns.times_ms:
            return columns, None
        kept_from_ms = self._state().kept_from_ms
        raw_from, text_from = kept_from_ms.get("raw", EARLIEST_MS), kept_from_ms.get("text", EARLIEST_MS)
        if min(columns.times_ms) >= max(raw_from, text_from):
            return columns, None
        kept, rows = Columns(), []
        for index, (series, time_ms, value) in enumerate(
            zip(columns.series, columns.times_ms, columns.values, strict=True)
        ):
            if time_ms < (text_from if isinstance(value, str) else raw_from):
                rejected.append((index, "older than the store keeps"))
                continue
            rows.append(index)
            kept.series.append(series)
            kept.times_ms.append(time_ms)
            kept.values.append(value)
        return kept, rows

    def latest(self, site: str, subjects: Collection[str] | None = None) -> Mapping[Series, Point]:
        wanted = {s for s in self._series_of(site, raw_only=True) if subjects is None or s.subject in set(subjects)}
        found: dict[Series, Point] = {}
        now_ms = time.time_ns() // 1_000_000
        until = ""
        for span_ms in (*_SPANS_MS, None):
            missing = wanted - found.keys()
            if not missing:
                break
            since = f" AND time >= {now_ms - span_ms}ms" if span_ms is not None else ""
            names = None if len(missing) == len(wanted) and subjects is None else {s.subject for s in missing}
            for part in _parts(names):
                found |= self._last_of(site, part, missing, f"{since}{until}")
            until = f" AND time < {now_ms - (span_ms or 0)}ms"
        return found

    def _last_of(
        self, site: str, subjects: tuple[str, ...] | None, wanted: Collection[Series], when: str
    ) -> dict[Series, Point]:
        condition = f"{tags_are({'site': site})}{when}"
        if subjects is not None:
            condition += f" AND ({' OR '.join(tags_are({'subject': subject}) for subject in subjects)})"
        # One selector per statement, or InfluxQL answers with the start of the range as time.
        kinds = {is_text(series.quantity) for series in wanted}
        statements = [
            f"SELECT last({identifier('text' if text else 'value')}) FROM {from_groups(text=text)} "  # noqa: S608
            f"WHERE {condition} GROUP BY {identifier('subject')}, {identifier('quantity')}"
            for text in kinds
        ]
        found = {}
        for table in self._query("; ".join(statements)):
            series = Series(site, table["tags"]["subject"], table["tags"]["quantity"])
            if series in wanted:
                found[series] = _point(*table["values"][0])
        return found

    def range(self, series: Series, start_ms: int, end_ms: int, limit: int | None = None) -> list[Point]:
        if limit == 0:
            return []  # to InfluxQL, LIMIT 0 is no limit
        most = f" LIMIT {limit}" if limit is not None else ""
        tables = self._query(
            f"SELECT {_field(series)} FROM {_from(series)} "  # noqa: S608 (quoted)
            f"WHERE {where(series, start_ms, end_ms)} ORDER BY time ASC{most}"
        )
        return [_point(time_ms, value) for table in tables for time_ms, value in table["values"]]

    def windows(self, series: Series, start_ms: int, end_ms: int, width_ms: int, offset_ms: int = 0) -> list[Window]:
        width_ms = max(1, width_ms)
        start_ms, end_ms = max(start_ms, EARLIEST_MS), min(end_ms, LATEST_MS)
        if is_text(series.quantity) or end_ms <= start_ms:
            return []
        fresh = ask_freshness(self._query, series.site, start_ms, end_ms)
        whole = segments(start_ms, end_ms, width_ms, offset_ms, fresh)
        asked = [
            statements_of(series, segment, width_ms, offset_ms, WIDTHS_MS.get(segment.level, 1))
            for segment in minutes_from_raw(whole, fresh.kept_from_ms.get("raw", EARLIEST_MS))
        ]
        parts: list[Window] = []
        for at in range(0, len(asked), _SEGMENTS_PER_QUERY):
            several = asked[at : at + _SEGMENTS_PER_QUERY]
            rows: dict[int, list[Window]] = {}
            for table in self._query("; ".join(statement for statements in several for statement in statements)):
                rows.setdefault(table["statement"], []).extend(windows_in(table))
            number = 0
            for statements in several:
                fine, coarse = rows.get(number, []), rows.get(number + 1, []) if len(statements) == 2 else []
                parts += finest(fine, coarse)
                number += len(statements)
        return merge(parts, width_ms, offset_ms)

    def series(self, site: str) -> list[Series]:
        return sorted(self._series_of(site))

    def _series_of(self, site: str, *, raw_only: bool = False) -> set[Series]:
        found = set()
        for table in self._query(f"SHOW SERIES WHERE {tags_are({'site': site})}"):
            for (key,) in table["values"]:
                measurement, tags = split_key(key)
                if raw_only and measurement in WINDOW.values():
                    continue
                if tags.get("site") == site and {"subject", "quantity"} <= tags.keys():
                    found.add(Series(site, tags["subject"], tags["quantity"]))
        return found

    def gaps(self, series: Series, start_ms: int, end_ms: int, longer_than_ms: int) -> list[tuple[int, int]]:
        if end_ms < start_ms:
            return []
        field, source, when = _field(series), _from(series), where(series, start_ms, end_ms + 1)
        apart = f'SELECT elapsed({field}, 1ms) AS "apart" FROM {source} WHERE {when}'  # noqa: S608 (quoted)
        tables = self._query(
            f"SELECT first({field}) FROM {source} WHERE {when}; "  # noqa: S608
            f"SELECT last({field}) FROM {source} WHERE {when}; "
            f'SELECT "apart" FROM ({apart}) WHERE "apart" > {longer_than_ms}'
        )
        rows: dict[int, list[list[Any]]] = {table["statement"]: table["values"] for table in tables}
        if not rows.get(0):
            whole = [(start_ms, end_ms)]
        else:
            inner = [(int(to_ms) - int(apart_ms), int(to_ms)) for to_ms, apart_ms in rows.get(2, [])]
            whole = [(start_ms, int(rows[0][0][0])), *inner, (int(rows[1][0][0]), end_ms)]
        return [(low, high) for low, high in whole if high - low > longer_than_ms]

    def roll_up(self, before_ms: int, limit: int = 500) -> int:
        return self._rollups.roll_up(before_ms, limit)

    def expire(self, level: Level, before_ms: int) -> int:
        try:
            return self._rollups.expire(level, before_ms)
        finally:
            self._known_state = None

    def delete_site(self, site: str) -> None:
        self._target.delete_site(site)

    def check(self) -> None:
        # A SELECT: `SHOW MEASUREMENTS` has an answer for a database that is not there.
        self._http.query(self._database, f"SELECT * FROM {identifier(STATE)} LIMIT 1", self._target.create)  # noqa: S608

    def inventory(self) -> Inventory:
        return take_inventory(self._query)

    def close(self) -> None:
        self._target.close()
        self._http.close()

    def _state(self) -> State:
        """The store's state as it was in the last `_STATE_EXPIRES_S`."""
        now_s = time.monotonic()
        if self._known_state is None or now_s >= self._known_state[0]:
            self._known_state = (now_s + _STATE_EXPIRES_S, self._rollups.state())
        return self._known_state[1]

    def _query(self, statement: str) -> list[dict[str, Any]]:
        """The tables that InfluxQL answers with; none when the database is not there yet."""
        return self._http.query(self._database, statement, self._target.miss)


def _from(series: Series) -> str:
    return identifier(measurement_of(series.quantity))


def _field(series: Series) -> str:
    return identifier("text" if is_text(series.quantity) else "value")


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
