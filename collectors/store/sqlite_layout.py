"""How readings lie in a SQLite file: tables, keys, the form of a number. `DESIGN.md` says why; the SQL is here.

- `series`: a number for each series. Those of one site come in blocks of 4096 numbers, so that a site is a few
  ranges.
- `hot_0` … `hot_31`: the readings of one hour each, in the order of time within a block: a pack of one gateway
  touches one page, not one for each series. `hot` says which hour a table holds.
- `reading_YYYYMMDD`: the readings of the week that begins on that Monday, each series in one run. A settled hour goes
  there.
- `minute_…`, `quarter_…` by week and `day`: roll-ups. `dirty`: quarters that have to be folded again.
- `text_reading`: texts.

Every reading has exactly one place: hot where its hour is open and its series is not settled there yet, else its
week. `meta.frontier_ms` moves forward only; no hour before it is open.

A key is series and time in one integer. A number is stored as `n * 8 + code`, which stands for n / 10^digits, where
that is the same double again; otherwise as it is (REAL; and -0.0 as text, since SQLite knows no way to tell it from
0.0). The views `reading`, `window_minute`, `window_quarter`, `window_day` show names and true values to everybody.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from collectors.store.levels import DAY_MS, DAY_OFFSET_MS, MINUTE_MS, QUARTER_MS
from collectors.store.protocol import Level

VERSION: Final = 2

HOUR_MS: Final = 3_600_000
WEEK_MS: Final = 7 * DAY_MS
WEEK_ORIGIN_MS: Final = 4 * DAY_MS + DAY_OFFSET_MS
"""A Monday, midnight at UTC+9: a day never lies in two weeks."""

SLOTS: Final = 32
"""Open hours: the two that are alive, and those of a gateway whose clock is up to a day ahead."""

BLOCK_BITS: Final = 12
BLOCK: Final = 1 << BLOCK_BITS
"""Series numbers that a site takes at a time."""

HOT_TIME_BITS: Final = 22  # an hour in ms
HOT_BLOCK_SHIFT: Final = BLOCK_BITS + HOT_TIME_BITS
WEEK_BITS: Final = 30  # a week in ms
MINUTE_BITS: Final = 14  # minutes of a week
QUARTER_BITS: Final = 10  # quarters of a week
DAY_BITS: Final = 20  # days since 1970
DIRTY_BITS: Final = 32  # quarters since 1970

PARTITIONED: Final[tuple[Level, ...]] = ("raw", "minute", "quarter")
_NAMES: Final[Mapping[Level, str]] = {"raw": "reading", "minute": "minute", "quarter": "quarter"}
_DIGITS: Final = (0, 1, 2, 3, 4, 5, 7, 9)

SCHEMA: Final = f"""
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('layout', 1), ('frontier_ms', 0), ('next_block', 0),
    ('days_until_ms', 0), ('days_to_ms', 0), ('days_series', 0),
    ('raw_from_ms', 0), ('text_from_ms', 0), ('minute_from_ms', 0), ('quarter_from_ms', 0), ('day_from_ms', 0);
CREATE TABLE series (
    id INTEGER PRIMARY KEY,
    site TEXT NOT NULL, subject TEXT NOT NULL, quantity TEXT NOT NULL,
    UNIQUE (site, subject, quantity)
);
CREATE TABLE block (number INTEGER PRIMARY KEY, site TEXT NOT NULL, used INTEGER NOT NULL);
CREATE INDEX block_of_site ON block (site);
CREATE TABLE hot (slot INTEGER PRIMARY KEY, hour_ms INTEGER UNIQUE, settled INTEGER NOT NULL DEFAULT 0);
INSERT INTO hot (slot) VALUES {", ".join(f"({slot})" for slot in range(SLOTS))};
{"".join(f"CREATE TABLE hot_{slot} (key INTEGER PRIMARY KEY, value NOT NULL);" for slot in range(SLOTS))}
CREATE TABLE week (level TEXT NOT NULL, start_ms INTEGER NOT NULL, PRIMARY KEY (level, start_ms)) WITHOUT ROWID;
CREATE TABLE dirty (key INTEGER PRIMARY KEY);
CREATE TABLE day (
    key INTEGER PRIMARY KEY, count NOT NULL, minimum NOT NULL, total NOT NULL, maximum NOT NULL, last NOT NULL
);
CREATE TABLE text_reading (
    series_id INTEGER NOT NULL, time_ms INTEGER NOT NULL, value TEXT NOT NULL, PRIMARY KEY (series_id, time_ms)
) WITHOUT ROWID
"""


# -------------------------------------------------------------------------------------------------- numbers


def encoded(sql: str) -> str:
    """The SQL expression that stores the number `sql` in the fewest bytes that give the same double again."""
    arms = []
    for code, digits in enumerate(_DIGITS):
        scaled = f"round({sql} * 1e{digits})"
        # Small enough that a million of them can be summed as integers.
        small = f"{sql} BETWEEN -1e3 AND 1e3 AND " if digits > 5 else ""
        if digits:
            arms.append(f"WHEN {small}{scaled} / 1e{digits} = {sql} THEN CAST({scaled} AS INTEGER) * 8 + {code}")
    return (
        f"CASE WHEN {sql} BETWEEN -1e6 AND 1e6 THEN CASE {' '.join(arms)} ELSE {sql} END"
        f" WHEN {sql} BETWEEN -1e12 AND 1e12 AND CAST({sql} AS INTEGER) = {sql} THEN CAST({sql} AS INTEGER) * 8"
        f" ELSE {sql} END"
    )


def decoded(sql: str) -> str:
    """The SQL expression for the double that `sql` stores."""
    powers = " ".join(f"WHEN {code} THEN 1e{digits}" for code, digits in enumerate(_DIGITS))
    return (
        f"CASE typeof({sql}) WHEN 'integer' THEN ({sql} >> 3) / (CASE {sql} & 7 {powers} END)"
        f" ELSE CAST({sql} AS REAL) END"
    )


def folded(value: str, key: str) -> str:
    """Columns count, lowest, total, highest, last_key and digits of a GROUP BY over stored numbers `value`.

    `digits`: decimals that all of them have, NULL when one is a plain double; then the total is as it comes.
    """
    digits = " ".join(f"WHEN {code} THEN {digits}" for code, digits in enumerate(_DIGITS))
    return (
        f"count(*) AS count, min({decoded(value)}) AS lowest, sum({decoded(value)}) AS total,"
        f" max({decoded(value)}) AS highest, max({key}) AS last_key,"
        f" max(CASE typeof({value}) WHEN 'integer' THEN CASE {value} & 7 {digits} END ELSE 99 END) AS digits"
    )


def total_of(group: str) -> str:
    """The total of a group of `folded`: a sum of decimals is a decimal, however its sum of doubles came out."""
    decimal = encoded(f"round({group}.total, {group}.digits)")
    return (
        f"CASE WHEN {group}.digits < 99 AND abs({group}.total) < 1e6 THEN {decimal}"
        f" ELSE {encoded(f'{group}.total')} END"
    )


# ------------------------------------------------------------------------------------------------ times, keys


def hour_of(time_ms: int) -> int:
    return time_ms - time_ms % HOUR_MS


def week_of(time_ms: int) -> int:
    """Start of the week that holds `time_ms`: Monday, midnight at UTC+9."""
    return time_ms - (time_ms - WEEK_ORIGIN_MS) % WEEK_MS


def table_of(level: Level, week_ms: int) -> str:
    """Name of the table of `level` for the week that starts at `week_ms`: the date of its Monday."""
    monday = datetime.fromtimestamp((week_ms - DAY_OFFSET_MS) / 1000, UTC)
    return f"{_NAMES[level]}_{monday:%Y%m%d}"


def spot_of(series_id: int) -> int:
    """The key of a series in a hot table at the first moment of its hour."""
    return (series_id >> BLOCK_BITS << HOT_BLOCK_SHIFT) | (series_id & (BLOCK - 1))


def id_of_spot(spot: int) -> int:
    return (spot >> HOT_BLOCK_SHIFT << BLOCK_BITS) | (spot & (BLOCK - 1))


# ---------------------------------------------------------------------------------------------------- layout


@dataclass(frozen=True, slots=True)
class Hour:
    """An open hour: in which table, and below which series number it is settled already."""

    slot: int
    settled: int


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything lies at one moment. `version` changes whenever anything here does."""

    version: int
    frontier_ms: int
    hours: Mapping[int, Hour]
    weeks: Mapping[Level, tuple[int, ...]]
    days_until_ms: int
    days_to_ms: int
    days_series: int
    kept_from_ms: Mapping[Level, int]

    def quarters_until_ms(self, series_id: int) -> int:
        """Up to where quarters of a series have been folded; before that `dirty` says which are not fresh."""
        first = min(self.hours, default=None)
        if first is not None and series_id < self.hours[first].settled:  # then the frontier is at `first`
            return first + HOUR_MS
        return self.frontier_ms

    def days_fresh_ms(self, series_id: int) -> int:
        """Up to where days of a series have been folded."""
        return self.days_to_ms if series_id < self.days_series else self.days_until_ms

    def weeks_in(self, level: Level, start_ms: int, end_ms: int) -> Iterator[int]:
        """Weeks of `level` that touch [start_ms, end_ms), ascending."""
        return (week for week in self.weeks[level] if week < end_ms and week + WEEK_MS > start_ms)


def layout_version(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT value FROM meta WHERE name = 'layout'").fetchone()[0])


def read_layout(db: sqlite3.Connection) -> Layout:
    """The layout that the current transaction of `db` sees."""
    meta: dict[str, int] = dict(db.execute("SELECT name, value FROM meta"))
    weeks: dict[Level, list[int]] = {level: [] for level in PARTITIONED}
    for level, start_ms in db.execute("SELECT level, start_ms FROM week ORDER BY level, start_ms"):
        weeks[level].append(start_ms)
    hours = db.execute("SELECT hour_ms, slot, settled FROM hot WHERE hour_ms IS NOT NULL ORDER BY hour_ms")
    return Layout(
        version=meta["layout"],
        frontier_ms=meta["frontier_ms"],
        hours={hour: Hour(slot, settled) for hour, slot, settled in hours},
        weeks={level: tuple(starts) for level, starts in weeks.items()},
        days_until_ms=meta["days_until_ms"],
        days_to_ms=meta["days_to_ms"],
        days_series=meta["days_series"],
        kept_from_ms={level: meta[f"{level}_from_ms"] for level in ("raw", "text", "minute", "quarter", "day")},
    )


def set_meta(db: sqlite3.Connection, **values: int) -> None:
    """Notes `values`, as a change of the layout; inside the caller's transaction."""
    for name, value in values.items():
        db.execute("UPDATE meta SET value = ? WHERE name = ?", (value, name))
    db.execute("UPDATE meta SET value = value + 1 WHERE name = 'layout'")


def ensure_week(db: sqlite3.Connection, week_ms: int, levels: Iterable[Level] = PARTITIONED) -> None:
    """Makes the tables of a week that are missing; inside the caller's transaction, which is told by the layout."""
    made = False
    for level in levels:
        if db.execute("INSERT OR IGNORE INTO week VALUES (?, ?)", (level, week_ms)).rowcount == 0:
            continue
        made = True
        columns = "value NOT NULL" if level == "raw" else (
            "count NOT NULL, minimum NOT NULL, total NOT NULL, maximum NOT NULL, last NOT NULL"
        )  # fmt: skip
        db.execute(f"CREATE TABLE {table_of(level, week_ms)} (key INTEGER PRIMARY KEY, {columns})")
    if made:
        make_views(db)
        set_meta(db)


def drop_week(db: sqlite3.Connection, level: Level, week_ms: int) -> None:
    """Removes a week's table; the caller says in the same transaction that the level is kept from later on."""
    db.execute("DELETE FROM week WHERE level = ? AND start_ms = ?", (level, week_ms))
    make_views(db)
    db.execute(f"DROP TABLE {table_of(level, week_ms)}")


# ----------------------------------------------------------------------------------------------------- views

_ARMS: Final = 400
"""Parts of one view: SQLite takes 500."""

_TEXT_ARM: Final = (
    "SELECT s.site, s.subject, s.quantity, r.time_ms, r.value FROM series s JOIN text_reading r ON r.series_id = s.id"
)


def make_views(db: sqlite3.Connection) -> None:
    """The views that people look at, over the tables that there are now."""
    weeks = read_layout(db).weeks
    numbers = [
        _arm(table_of("raw", week), WEEK_BITS, 1, week, f"{decoded('r.value')} AS value") for week in weeks["raw"]
    ]
    hot = [_hot_arm(slot) for slot in range(SLOTS)]
    _make_view(db, "reading", "time_ms, value", [*numbers, *hot, _TEXT_ARM])
    columns = "start_ms, count, minimum, mean, maximum, last"
    folds = (
        f"r.count, {decoded('r.minimum')} AS minimum, {decoded('r.total')} / r.count AS mean,"
        f" {decoded('r.maximum')} AS maximum, {decoded('r.last')} AS last"
    )
    minutes = [_arm(table_of("minute", week), MINUTE_BITS, MINUTE_MS, week, folds) for week in weeks["minute"]]
    quarters = [_arm(table_of("quarter", week), QUARTER_BITS, QUARTER_MS, week, folds) for week in weeks["quarter"]]
    _make_view(db, "window_minute", columns, minutes)
    _make_view(db, "window_quarter", columns, quarters)
    _make_view(db, "window_day", columns, [_arm("day", DAY_BITS, DAY_MS, DAY_OFFSET_MS, folds)])


def _arm(table: str, bits: int, width_ms: int, start_ms: int, columns: str) -> str:
    time_ms = f"(r.key & {(1 << bits) - 1}) * {width_ms} + {start_ms}"
    return (
        f"SELECT s.site, s.subject, s.quantity, {time_ms} AS time_ms, {columns} FROM series s CROSS JOIN {table} r"
        f" ON r.key BETWEEN s.id << {bits} AND (s.id << {bits}) + {(1 << bits) - 1}"
    )


def _hot_arm(slot: int) -> str:
    series_id = f"((r.key >> {HOT_BLOCK_SHIFT}) << {BLOCK_BITS}) + (r.key & {BLOCK - 1})"
    time_ms = f"((r.key >> {BLOCK_BITS}) & {(1 << HOT_TIME_BITS) - 1}) + h.hour_ms"
    return (
        f"SELECT s.site, s.subject, s.quantity, {time_ms} AS time_ms, CAST(r.value AS REAL) AS value"
        f" FROM hot h CROSS JOIN hot_{slot} r CROSS JOIN series s ON s.id = {series_id}"
        f" WHERE h.slot = {slot} AND s.id >= h.settled"
    )


def _make_view(db: sqlite3.Connection, name: str, columns: str, arms: Sequence[str]) -> None:
    named = f"site, subject, quantity, {columns}"
    nothing = f"SELECT {', '.join('NULL' for _ in named.split(','))} WHERE 0"
    parts = [arms[i : i + _ARMS] for i in range(0, len(arms), _ARMS)] or [[nothing]]
    for old, _ in list(
        db.execute("SELECT name, 1 FROM sqlite_master WHERE type = 'view' AND name GLOB ?", (name + "*",))
    ):
        db.execute(f"DROP VIEW {old}")
    if len(parts) > 1:
        for number, part in enumerate(parts):
            db.execute(f"CREATE VIEW {name}_{number} ({named}) AS {' UNION ALL '.join(part)}")
        parts = [[f"SELECT * FROM {name}_{number}" for number in range(len(parts))]]
    db.execute(f"CREATE VIEW {name} ({named}) AS {' UNION ALL '.join(parts[0])}")
