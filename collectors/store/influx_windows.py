"""Roll-ups as they lie in InfluxDB, and what is known about them. The readers' part; `influx_rollup` has the job's.

Three measurements hold them, `window_minute`, `window_quarter` and `window_day`: tags site, subject and quantity, the
time is the window's start, fields `count`, `min`, `mean`, `max`, `last` and `sum` (of which several windows' mean is
made). `rollup_state` holds, under the day of writing, `adopted` (1: every reading that ever was has its mark; a store
that was filled before there were roll-ups is marked as a whole first) and `swept_ms` (no recent dirty window began
before then). `kept_from` holds, by level, what has expired.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from collectors.store.influx_marks import DAY_MARK, QUARTER_MARK
from collectors.store.levels import DAY_MS, Freshness, Segment, quarter_of
from collectors.store.line_protocol import (
    EARLIEST_MS,
    identifier,
    measurement_of,
    tag,
    tags_are,
    where,
    within,
)
from collectors.store.protocol import LEVELS, Level, Window
from makiba.reading import Series

WINDOW: Final[Mapping[Level, str]] = {"minute": "window_minute", "quarter": "window_quarter", "day": "window_day"}
STATE: Final = "rollup_state"
KEPT_FROM: Final = "kept_from"

ROW: Final = '"count", "min", "mean", "max", "last", "sum"'
"""A window as it was folded."""
_RAW_FOLDS: Final = 'count("value"), min("value"), max("value"), last("value"), sum("value")'
_WINDOW_FOLDS: Final = 'sum("count"), min("min"), max("max"), last("last"), sum("sum")'
_PLAIN: Final = '"count", "min", "max", "last", "sum"'
_FOLD_FROM: Final = 8
"""Windows that fit into an answered one from which the server folds: it takes as long for one as to send eight."""

STATE_QUERY: Final = (
    f'SELECT max("adopted") AS "adopted", max("swept_ms") AS "swept_ms" FROM "{STATE}"; '  # noqa: S608 (names of ours)
    f'SELECT max("ms") FROM "{KEPT_FROM}" GROUP BY "level"'
)
_MARKS: Final = (QUARTER_MARK, DAY_MARK)

Query = Callable[[str], list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class State:
    """What the store says about its roll-ups as a whole."""

    adopted: bool
    swept_ms: int
    kept_from_ms: Mapping[Level, int]

    @property
    def raw_from_ms(self) -> int:
        """From when on there are readings that can be folded."""
        return self.kept_from_ms.get("raw", EARLIEST_MS)


def state_of(tables: Iterable[Mapping[str, Any]]) -> State:
    """What `STATE_QUERY` was answered."""
    adopted, swept_ms = 0, EARLIEST_MS
    kept: dict[Level, int] = {}
    for table in tables:
        if table["name"] == STATE:
            _, told, swept = table["values"][0]
            adopted, swept_ms = told or 0, EARLIEST_MS if swept is None else int(swept)
        elif table["name"] == KEPT_FROM:
            kept |= {level: int(table["values"][0][1]) for level in LEVELS if level == table["tags"]["level"]}
    return State(adopted == 1, swept_ms, kept)


def ask_freshness(query: Query, site: str, start_ms: int, end_ms: int) -> Freshness:
    """What is dirty of `site` in [start_ms, end_ms) and the days around, and what has expired."""
    around = f"{tags_are({'site': site})} AND {within(start_ms - DAY_MS, end_ms + DAY_MS)}"
    # In this order: a fold marks the day before it takes the quarter's mark off.
    marks = [f'SELECT "changed" FROM "{mark}" WHERE "changed" != "folded" AND {around}' for mark in _MARKS]  # noqa: S608
    tables = query("; ".join((STATE_QUERY, *marks)))
    state = state_of(tables)
    kept_from_ms = dict(state.kept_from_ms)
    if not state.adopted:
        return Freshness(quarters_until_ms=EARLIEST_MS, days_until_ms=EARLIEST_MS, kept_from_ms=kept_from_ms)
    found: dict[str, set[int]] = {mark: set() for mark in _MARKS}
    for table in tables:
        if table["name"] in found:
            found[table["name"]] |= {int(row[0]) for row in table["values"]}
    # Without its raw a window cannot be folded again: what was folded last stands.
    dirty = {at for at in found[QUARTER_MARK] if at >= state.raw_from_ms}
    return Freshness(dirty=dirty, dirty_days=found[DAY_MARK], kept_from_ms=kept_from_ms)


def statements_of(series: Series, segment: Segment, width_ms: int, offset_ms: int, level_ms: int) -> list[str]:
    """What answers a stretch of `windows`: rows of count, min, max, last and sum, ascending.

    `level_ms` is the width of the segment's windows. Of two statements the first is finer and counts where it has
    rows.
    """
    when = where(series, segment.start_ms, segment.end_ms)
    by_time = f"GROUP BY time({width_ms}ms, {offset_ms}ms) fill(none)"
    if segment.level == "raw":
        return [f"SELECT {_RAW_FOLDS} FROM {identifier(measurement_of(series.quantity))} WHERE {when} {by_time}"]  # noqa: S608
    if segment.level == "minute":
        # Which minutes are kept depends on how many readings a quarter has: as they are, to be told apart by
        # `finest`.
        return [f"SELECT {_PLAIN} FROM {identifier(WINDOW[level])} WHERE {when}" for level in ("minute", "quarter")]  # noqa: S608
    if width_ms >= _FOLD_FROM * level_ms:
        return [f"SELECT {_WINDOW_FOLDS} FROM {identifier(WINDOW[segment.level])} WHERE {when} {by_time}"]  # noqa: S608
    return [f"SELECT {_PLAIN} FROM {identifier(WINDOW[segment.level])} WHERE {when}"]  # noqa: S608


def windows_in(table: Mapping[str, Any]) -> list[Window]:
    """An answer to a statement of `statements_of`."""
    return [
        Window(at, count, float(low), total / count, float(high), float(last))
        for at, count, low, high, last, total in table["values"]
        if count
    ]


def finest(fine: list[Window], coarse: list[Window]) -> list[Window]:
    """`fine`, and of `coarse` those in whose quarter hour there is no fine one; ascending."""
    if not coarse:
        return fine
    covered = {quarter_of(window.start_ms) for window in fine}
    both = [*fine, *(window for window in coarse if window.start_ms not in covered)]
    return sorted(both, key=lambda window: window.start_ms)


def minutes_from_raw(whole: Sequence[Segment], raw_from_ms: int) -> list[Segment]:
    """`whole` with minutes read from raw where there is raw: the server folds a few readings as quickly."""
    found = []
    for segment in whole:
        if segment.level == "minute":
            if segment.start_ms < raw_from_ms:
                found.append(Segment("minute", segment.start_ms, min(segment.end_ms, raw_from_ms)))
            if segment.end_ms > raw_from_ms:
                found.append(Segment("raw", max(segment.start_ms, raw_from_ms), segment.end_ms))
        else:
            found.append(segment)
    return found


def window_line(measurement: str, series: Series, window: Window) -> str:
    """A window that was folded elsewhere, as a line."""
    return row_line(
        head_of_window(measurement, *series), window.start_ms, window.count, window.minimum, window.mean *
        window.count, window.maximum, window.last,
    )  # fmt: skip


def head_of_window(measurement: str, site: str, subject: str, quantity: str) -> str:
    """The first part of the line of a window."""
    return f"{measurement},quantity={tag(quantity)},site={tag(site)},subject={tag(subject)}"


def row_line(head: str, at_ms: int, count: int, low: float, total: float, high: float, last: float) -> str:
    """A window as a line."""
    if math.isinf(total):  # of numbers that nobody measures; no line can say it
        total = math.copysign(sys.float_info.max, total)
    return (
        f"{head} count={count}i,min={float(low)!r},mean={total / count!r},max={float(high)!r},last={float(last)!r},"
        f"sum={float(total)!r} {at_ms}000000"
    )


def window_of(row: Sequence[Any]) -> Window:
    """A row of `ROW`, after its time, as a window."""
    at, count, low, mean, high, last, _ = row
    return Window(int(at), int(count), float(low), float(mean), float(high), float(last))
