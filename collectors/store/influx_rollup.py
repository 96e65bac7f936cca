"""Roll-ups in InfluxDB: which windows are dirty, folding them from raw, and what has expired.

Three measurements hold them, `window_minute`, `window_quarter` and `window_day`: tags site, subject and quantity, the
time is the window's start, fields `count`, `min`, `mean`, `max`, `last` and `sum` (of which several windows' mean is
made). The server folds, we write what it answers: `SELECT … INTO` would save the way here and back, but 2.x has none.

The order of writing is what makes them right (`influx_marks` has the marks):

1. A window's marks are read, then its readings.
2. Its day is marked as changed, and that is on the disk, before
3. the window's rows and its `folded` go out in one request, into one shard: after a crash there are both or none.

A job that is late with step 3 writes rows that are old, with a `folded` that is old: the window is dirty again. A
day is folded from its quarter hours; while one of them is dirty, readers take the day to be dirty too.

`rollup_state` holds, under the day of writing, `adopted` (1: every reading that ever was has its mark; a store that
was filled before there were roll-ups is marked as a whole first) and `swept_ms` (no recent dirty window began
before then). `kept_from` holds, by level, what has expired.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from collectors.store.influx_http import Bucket, Database, Refused, TooLarge
from collectors.store.influx_marks import (
    DAY_MARK,
    LATE_MARK,
    LATE_MS,
    QUARTER_MARK,
    changed_lines,
    day_changed_lines,
    folded_line,
    runs,
)
from collectors.store.levels import (
    DAY_MS,
    DAY_OFFSET_MS,
    MINUTE_MS,
    MINUTES_FROM,
    QUARTER_MS,
    WIDTHS_MS,
    Freshness,
)
from collectors.store.line_protocol import (
    EARLIEST_MS,
    LATEST_MS,
    any_site,
    from_groups,
    groups,
    identifier,
    tag,
    tags_are,
    where,
    within,
)
from collectors.store.protocol import LEVELS, Level, StoreMisconfigured, Window
from makiba.quantities import catalogue
from makiba.reading import Series

WINDOW: Final[Mapping[Level, str]] = {
    "minute": "window_minute",
    "quarter": "window_quarter",
    "day": "window_day",
}
STATE: Final = "rollup_state"
KEPT_FROM: Final = "kept_from"

RAW_FOLDS: Final = (
    'count("value") AS "count", min("value") AS "min", mean("value") AS "mean", max("value") AS "max", '
    'last("value") AS "last", sum("value") AS "sum"'
)
"""The fields of a window, folded from readings."""
WINDOW_FOLDS: Final = (
    'sum("count") AS "count", min("min") AS "min", mean("mean") AS "mean", max("max") AS "max", '
    'last("last") AS "last", sum("sum") AS "sum"'
)
"""The same, folded from windows; this `mean` is not theirs."""

ROW: Final = '"count", "min", "mean", "max", "last", "sum"'
"""A window as it was folded."""

STATE_QUERY: Final = (
    f'SELECT max("adopted") AS "adopted", max("swept_ms") AS "swept_ms" FROM "{STATE}"; '  # noqa: S608
    f'SELECT max("ms") FROM "{KEPT_FROM}" GROUP BY "level"'
)
_BOTH: Final = (QUARTER_MARK, DAY_MARK)
_BY_SERIES: Final = '"site", "subject", "quantity"'
_SITES_PER_QUERY: Final = 25
_WINDOWS_PER_QUERY: Final = 96
_PAIRS_PER_QUERY: Final = 100
_LINES_PER_REQUEST: Final = 10_000
_DIRTY_PER_SITE: Final = 96
"""Dirty windows of a site that are asked for at once."""
_SWEPT_EVERY_MS: Final = 600_000
_UTC_DAY_MS: Final = 86_400_000

Query = Callable[[str], list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Dirty:
    """A window of a site that has to be folded; `change` is what its mark said."""

    site: str
    start_ms: int
    change: int


@dataclass(frozen=True, slots=True)
class State:
    """What the store says about its roll-ups as a whole."""

    adopted: bool
    swept_ms: int
    kept_from_ms: Mapping[Level, int]


class RollUps:
    """The roll-ups of one InfluxDB database. Threads and processes may share it."""

    def __init__(self, query: Query, target: Database | Bucket, now_ms: Callable[[], int] | None = None) -> None:
        self._query = query
        self._target = target
        self._now_ms = now_ms or (lambda: time.time_ns() // 1_000_000)

    # ------------------------------------------------------------------------------------------------ for readers

    def state(self) -> State:
        return state_of(self._query(STATE_QUERY))

    def freshness(self, site: str, start_ms: int, end_ms: int) -> Freshness:
        """What is dirty of `site` in [start_ms, end_ms) and the days around, and what has expired."""
        around = f"{tags_are({'site': site})} AND {within(start_ms - DAY_MS, end_ms + DAY_MS)}"
        # In this order: a fold marks the day before it takes the quarter's mark off.
        marks = [f'SELECT "changed" FROM "{mark}" WHERE "changed" != "folded" AND {around}' for mark in _BOTH]  # noqa: S608
        tables = self._query("; ".join((STATE_QUERY, *marks)))
        state = state_of(tables)
        if not state.adopted:
            return Freshness(quarters_until_ms=EARLIEST_MS, days_until_ms=EARLIEST_MS)
        found: dict[str, set[int]] = {mark: set() for mark in _BOTH}
        for table in tables:
            if table["name"] in found:
                found[table["name"]] |= {int(row[0]) for row in table["values"]}
        # Without its raw a window cannot be folded again: what was folded last stands.
        raw_from_ms = state.kept_from_ms.get("raw", EARLIEST_MS)
        dirty = {at for at in found[QUARTER_MARK] if at >= raw_from_ms}
        return Freshness(dirty=dirty, dirty_days=found[DAY_MARK], kept_from_ms=dict(state.kept_from_ms))

    # -------------------------------------------------------------------------------------------------- the job

    def roll_up(self, before_ms: int, limit: int) -> int:
        """See `Store.roll_up`."""
        state = self.state()
        if not state.adopted:
            self._adopt()
        now_ms = self._now_ms()
        recent_ms = min(state.swept_ms, now_ms) - LATE_MS - QUARTER_MS
        done = self._fold_some("", recent_ms, before_ms, limit, state)
        if done:
            return done
        self._note_swept(state, min(before_ms, now_ms))
        for late in self._late():
            if done := self._fold_some(late.site, EARLIEST_MS, before_ms, limit, state):
                return done
            if not self._dirty(QUARTER_MARK, EARLIEST_MS, recent_ms, 1, late.site) and not self._dirty(
                DAY_MARK, EARLIEST_MS, recent_ms - DAY_MS, 1, late.site
            ):
                self._write([folded_line(LATE_MARK, late.site, late.start_ms, late.change)])
        return 0

    def _fold_some(self, site: str, start_ms: int, before_ms: int, limit: int, state: State) -> int:
        """Folds dirty windows of `site` (empty: of all) that begin from `start_ms` and ended by `before_ms`."""
        raw_from_ms = state.kept_from_ms.get("raw", EARLIEST_MS)
        quarters = self._dirty(QUARTER_MARK, start_ms, before_ms - QUARTER_MS + 1, _DIRTY_PER_SITE, site)[:limit]
        if quarters:
            self._fold_quarters([one for one in quarters if one.start_ms >= raw_from_ms])
            self._give_up([one for one in quarters if one.start_ms < raw_from_ms])
            return len(quarters)
        days = self._dirty(DAY_MARK, start_ms - DAY_MS, before_ms - DAY_MS + 1, _DIRTY_PER_SITE, site)
        days = days[: max(1, limit // 20)]  # a day is read from its 96 quarter hours
        if days:
            self._fold_days(days)
        return len(days)

    def _dirty(self, mark: str, start_ms: int, end_ms: int, limit: int, site: str = "") -> list[Dirty]:
        """The first dirty windows that begin in [start_ms, end_ms), at most `limit` of each site."""
        of_site = f" AND {tags_are({'site': site})}" if site else ""
        tables = self._query(
            f'SELECT "changed" FROM {identifier(mark)} WHERE "changed" != "folded"{of_site} '  # noqa: S608
            f'AND {within(start_ms, end_ms)} GROUP BY "site" LIMIT {limit}'
        )
        found = [Dirty(t["tags"]["site"], int(row[0]), int(row[1])) for t in tables for row in t["values"]]
        return sorted(found, key=lambda one: (one.start_ms, one.site))

    def _late(self) -> list[Dirty]:
        return self._dirty(LATE_MARK, EARLIEST_MS, LATEST_MS, 1000)

    def _fold_quarters(self, quarters: Sequence[Dirty]) -> None:
        for sites, start_ms, end_ms in _grouped(quarters, QUARTER_MS):
            condition = f"{any_site(sites)} AND {within(start_ms, end_ms)}"
            tables = self._query(
                f"SELECT {RAW_FOLDS} FROM {from_groups(text=False)} WHERE {condition} "  # noqa: S608 (quoted)
                f"GROUP BY time({QUARTER_MS}ms), {_BY_SERIES} fill(none)"
            )
            rows: dict[tuple[str, int], list[str]] = defaultdict(list)
            quick = []
            for table in tables:
                _collect(rows, WINDOW["quarter"], table, QUARTER_MS)
                if any(row[1] >= MINUTES_FROM for row in table["values"]):
                    quick.append(table["tags"])
            for start in range(0, len(quick), _PAIRS_PER_QUERY):
                self._collect_minutes(rows, quick[start : start + _PAIRS_PER_QUERY], start_ms, end_ms)
            dirty = [one for one in quarters if one.site in sites and start_ms <= one.start_ms < end_ms]
            touched = [(one.site, one.start_ms) for one in dirty]
            self._write(day_changed_lines(touched, self._now_ms()))
            self._commit(dirty, QUARTER_MARK, rows)

    def _collect_minutes(
        self, rows: dict[tuple[str, int], list[str]], quick: Sequence[Mapping[str, str]], start_ms: int, end_ms: int
    ) -> None:
        """Appends the minutes of series that have more readings than minutes to the rows of their quarters."""
        series = " OR ".join(f"({tags_are(tags)})" for tags in quick)
        tables = self._query(
            f"SELECT {RAW_FOLDS} FROM {from_groups(text=False)} WHERE ({series}) AND {within(start_ms, end_ms)} "  # noqa: S608
            f"GROUP BY time({MINUTE_MS}ms), {_BY_SERIES} fill(none)"
        )
        for table in tables:
            counts: dict[int, int] = defaultdict(int)
            for row in table["values"]:
                counts[row[0] // QUARTER_MS] += row[1]
            table["values"] = [row for row in table["values"] if counts[row[0] // QUARTER_MS] >= MINUTES_FROM]
            _collect(rows, WINDOW["minute"], table, QUARTER_MS)

    def _fold_days(self, days: Sequence[Dirty]) -> None:
        for sites, start_ms, end_ms in _grouped(days, DAY_MS, most_sites=5, most_windows=7):
            tables = self._query(
                f"SELECT {WINDOW_FOLDS} FROM {identifier(WINDOW['quarter'])} "  # noqa: S608 (quoted)
                f"WHERE {any_site(sites)} AND {within(start_ms, end_ms)} "
                f"GROUP BY time({DAY_MS}ms, {DAY_OFFSET_MS}ms), {_BY_SERIES} fill(none)"
            )
            rows: dict[tuple[str, int], list[str]] = defaultdict(list)
            for table in tables:
                for row in table["values"]:
                    row[3] = row[6] / row[1]
                _collect(rows, WINDOW["day"], table, DAY_MS, DAY_OFFSET_MS)
            self._commit([d for d in days if d.site in sites and start_ms <= d.start_ms < end_ms], DAY_MARK, rows)

    def _commit(self, dirty: Sequence[Dirty], mark: str, rows: Mapping[tuple[str, int], list[str]]) -> None:
        """Writes the rows of each window with its `folded` in one request."""
        lines: list[str] = []
        for one in dirty:
            new = rows.get((one.site, one.start_ms), [])
            # Nothing to fold: did its site leave meanwhile? Then it gets no mark, which would keep its name here.
            if not new and not self._dirty(mark, one.start_ms, one.start_ms + 1, 1, one.site):
                continue
            if lines and len(lines) + len(new) >= _LINES_PER_REQUEST:
                self._write(lines)
                lines = []
            lines += [*new, folded_line(mark, one.site, one.start_ms, one.change)]
        self._write(lines)

    def _give_up(self, quarters: Sequence[Dirty]) -> None:
        """Raw of these has expired while they were dirty (a clock was wrong): what was folded last stands."""
        self._write([folded_line(QUARTER_MARK, one.site, one.start_ms, one.change) for one in quarters])

    def _adopt(self) -> None:
        """Marks every quarter hour that holds readings: they may be from before there were marks."""
        tables = self._query('SHOW TAG VALUES WITH KEY = "site"')
        for site in sorted({row[1] for table in tables for row in table["values"]}):
            counted = self._query(
                f'SELECT count("value") FROM {from_groups(text=False)} WHERE {tags_are({"site": site})} '  # noqa: S608
                f"AND {within(EARLIEST_MS, LATEST_MS)} GROUP BY time({QUARTER_MS}ms) fill(none)"
            )
            starts = sorted({int(row[0]) for table in counted for row in table["values"]})
            for at in range(0, len(starts), 5000):
                self._write(changed_lines([(site, start) for start in starts[at : at + 5000]], self._now_ms()))
        self._write([f"{STATE} adopted=1i {self._today_ns()}"])

    def _note_swept(self, state: State, until_ms: int) -> None:
        if until_ms - state.swept_ms >= _SWEPT_EVERY_MS:
            self._write([f"{STATE} swept_ms={until_ms}i {self._today_ns()}"])

    # -------------------------------------------------------------------------------------------------- expiry

    def expire(self, level: Level, before_ms: int) -> int:
        """See `Store.expire`; whole days, as the server drops what it keeps together."""
        state = self.state()
        kept_from_ms = state.kept_from_ms.get(level, EARLIEST_MS)
        before_ms -= (before_ms - DAY_OFFSET_MS) % DAY_MS
        if level == "raw" and before_ms > kept_from_ms:
            while self.roll_up(before_ms, 1000):
                pass
        if before_ms > kept_from_ms:
            kept_from_ms = before_ms
            self._write([f"{KEPT_FROM},level={tag(level)} ms={kept_from_ms}i {self._today_ns()}"])
        if kept_from_ms > EARLIEST_MS:
            for measurement, tags in _held_by(level):
                if self._has_before(measurement, tags, kept_from_ms):
                    self._target.delete_before(measurement, tags, kept_from_ms)
        return kept_from_ms

    def _has_before(self, measurement: str, tags: Mapping[str, str], end_ms: int) -> bool:
        """Whether there is anything to delete: a delete makes the server stop its compactions."""
        condition = "".join(f"{tags_are({name: value})} AND " for name, value in tags.items())
        return bool(
            self._query(
                f"SELECT * FROM {identifier(measurement)} WHERE {condition}time < {end_ms}ms LIMIT 1"  # noqa: S608
            )
        )

    # ---------------------------------------------------------------------------------------- from store to store

    def stored(self, series: Series, level: Level, start_ms: int, end_ms: int, limit: int | None) -> list[Window]:
        """See `Store.rollups`."""
        if level not in WINDOW or limit == 0:
            return []
        most = f" LIMIT {limit}" if limit is not None else ""
        condition = where(series, start_ms, end_ms)
        tables = self._query(
            f"SELECT {ROW} FROM {identifier(WINDOW[level])} WHERE {condition} ORDER BY time ASC{most}"  # noqa: S608
        )
        return [window_of(row) for table in tables for row in table["values"]]

    def carry(self, series: Series, level: Level, windows: Sequence[Window]) -> None:
        """See `Store.carry`."""
        if not windows:
            return
        raw_from_ms = self.state().kept_from_ms.get("raw", EARLIEST_MS)
        if level not in WINDOW:
            raise StoreMisconfigured(f"{level} is no level of roll-ups")
        if max(window.start_ms for window in windows) + WIDTHS_MS[level] > raw_from_ms:
            raise StoreMisconfigured(
                f"{series}: roll-ups are carried only to where readings have expired, before {raw_from_ms} ms"
            )
        head = _head(WINDOW[level], series._asdict())
        lines = [
            _row(head, w.start_ms, w.count, w.minimum, w.mean, w.maximum, w.last, w.mean * w.count) for w in windows
        ]
        for at in range(0, len(lines), _LINES_PER_REQUEST):
            self._write(lines[at : at + _LINES_PER_REQUEST])

    def _write(self, lines: Sequence[str]) -> None:
        if not lines:
            return
        try:
            self._target.write("\n".join(lines).encode())
        except TooLarge:
            if len(lines) == 1:
                raise StoreMisconfigured("the server does not even take one line") from None
            # Rows go before the `folded` that follows them.
            self._write(lines[: len(lines) // 2])
            self._write(lines[len(lines) // 2 :])
        except Refused as error:
            raise StoreMisconfigured(f"roll-ups are refused: {error}") from None

    def _today_ns(self) -> int:
        return self._now_ms() // _UTC_DAY_MS * _UTC_DAY_MS * 1_000_000


def state_of(tables: Iterable[Mapping[str, Any]]) -> State:
    adopted, swept_ms = 0, EARLIEST_MS
    kept: dict[Level, int] = {}
    for table in tables:
        if table["name"] == STATE:
            _, told, swept = table["values"][0]
            adopted, swept_ms = told or 0, EARLIEST_MS if swept is None else int(swept)
        elif table["name"] == KEPT_FROM:
            kept |= {level: int(table["values"][0][1]) for level in LEVELS if level == table["tags"]["level"]}
    return State(adopted == 1, swept_ms, kept)


def _collect(
    rows: dict[tuple[str, int], list[str]],
    measurement: str,
    table: Mapping[str, Any],
    unit_ms: int,
    offset_ms: int = 0,
) -> None:
    """Appends a table of windows, as lines, to the rows of their site and unit."""
    site = table["tags"]["site"]
    head = _head(measurement, table["tags"])
    for row in table["values"]:
        rows[site, row[0] - (row[0] - offset_ms) % unit_ms].append(_row(head, *row))


def _head(measurement: str, tags: Mapping[str, str]) -> str:
    return f"{measurement},quantity={tag(tags['quantity'])},site={tag(tags['site'])},subject={tag(tags['subject'])}"


def _row(head: str, at: int, count: int, low: float, mean: float, high: float, last: float, total: float) -> str:
    return (
        f"{head} count={count}i,min={float(low)!r},mean={float(mean)!r},max={float(high)!r},"
        f"last={float(last)!r},sum={float(total)!r} {at}000000"
    )


def window_line(measurement: str, series: Series, window: Window) -> str:
    """A window that was folded elsewhere, as a line."""
    tags = {"site": series.site, "subject": series.subject, "quantity": series.quantity}
    w = window
    return _row(_head(measurement, tags), w.start_ms, w.count, w.minimum, w.mean, w.maximum, w.last, w.mean * w.count)


def window_of(row: Sequence[Any]) -> Window:
    """A row of `ROW`, after its time, as a window."""
    at, count, low, mean, high, last, _ = row
    return Window(int(at), int(count), float(low), float(mean), float(high), float(last))


def _grouped(
    dirty: Iterable[Dirty], width_ms: int, most_sites: int = _SITES_PER_QUERY, most_windows: int = _WINDOWS_PER_QUERY
) -> list[tuple[list[str], int, int]]:
    """`dirty` as (sites, from, to): what one query may ask for, since these sites are dirty in the whole stretch."""
    starts: dict[str, list[int]] = defaultdict(list)
    for one in dirty:
        starts[one.site].append(one.start_ms)
    sites: dict[tuple[int, int], list[str]] = defaultdict(list)
    for site in sorted(starts):
        for run in runs(starts[site], width_ms, most_windows):
            sites[run].append(site)
    found = []
    for (start_ms, end_ms), names in sorted(sites.items()):
        # The product of both is bounded, and with it the answer.
        most = max(1, most_sites * width_ms // (end_ms - start_ms))
        found += [(names[at : at + most], start_ms, end_ms) for at in range(0, len(names), most)]
    return found


def _held_by(level: Level) -> list[tuple[str, dict[str, str]]]:
    """The measurements that hold `level`, with the tags that tell it from others there."""
    if level == "quarter":
        return [(WINDOW["quarter"], {}), (DAY_MARK, {})]
    if level in WINDOW:
        return [(WINDOW[level], {})]
    text = level == "text"
    mixed = set(groups(text=True)) & set(groups(text=False))
    held: list[tuple[str, dict[str, str]]] = [(group, {}) for group in groups(text=text) if group not in mixed]
    held += [
        (known.group, {"quantity": known.name})
        for known in catalogue().values()
        if known.group in mixed and (known.kind == "text") == text
    ]
    return held if text else [*held, (QUARTER_MARK, {})]
