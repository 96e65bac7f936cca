"""Folding dirty windows in InfluxDB, and forgetting what is old. The job's part; `influx_windows` has what is there.

The order of writing is what makes roll-ups right (`influx_marks` has the marks):

1. A window's mark is read, then its readings.
2. Its day is marked as changed, and that is on the disk, before
3. the window's rows and its `folded` go out in one request, into one shard: after a crash there are both or none.

A job that is late with step 3 writes rows that are old, with a `folded` that is old: the window is dirty again. A day
is folded from its quarter hours; while one of them is dirty, readers take the day to be dirty too.

Readings come here to be folded. The server could do that (`GROUP BY time`), but takes four times the CPU for it, and
`SELECT … INTO`, which would save the way here and back, is not in 2.x.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
from collectors.store.influx_windows import (
    KEPT_FROM,
    STATE,
    STATE_QUERY,
    WINDOW,
    Query,
    State,
    head_of_window,
    row_line,
    state_of,
)
from collectors.store.levels import (
    DAY_MS,
    DAY_OFFSET_MS,
    MINUTE_MS,
    MINUTES_FROM,
    QUARTER_MS,
)
from collectors.store.line_protocol import (
    EARLIEST_MS,
    LATEST_MS,
    from_groups,
    groups,
    identifier,
    tag,
    tags_are,
    within,
)
from collectors.store.protocol import Level, StoreMisconfigured
from makiba.quantities import catalogue

_QUARTERS_PER_QUERY: Final = 8
"""Of one site: 24,000 readings where a farm has 200 points a minute."""
_DAYS_PER_QUERY: Final = 2
_LINES_PER_REQUEST: Final = 10_000
_DIRTY_PER_SITE: Final = 96
"""Dirty windows of a site that are asked for at once."""
_FINER: Final[Mapping[Level, Level]] = {"minute": "raw", "quarter": "minute", "day": "quarter"}
"""What must have gone before a level may go."""
_MOST_AT_ONCE: Final = 100
"""Windows of sites folded in one call, which takes a few seconds then."""
_SWEPT_EVERY_MS: Final = 600_000
_UTC_DAY_MS: Final = 86_400_000

Lines = dict[int, list[str]]
"""The rows of each window, by its start; a quarter's minutes are with it."""


@dataclass(frozen=True, slots=True)
class Dirty:
    """A window of a site that has to be folded; `change` is what its mark said."""

    site: str
    start_ms: int
    change: int


class RollUps:
    """The roll-ups of one InfluxDB database. Threads and processes may share it."""

    def __init__(self, query: Query, target: Database | Bucket, now_ms: Callable[[], int] | None = None) -> None:
        self._query = query
        self._target = target
        self._now_ms = now_ms or (lambda: time.time_ns() // 1_000_000)

    def state(self) -> State:
        return state_of(self._query(STATE_QUERY))

    def roll_up(self, before_ms: int, limit: int) -> int:
        """See `Store.roll_up`."""
        limit = min(limit, _MOST_AT_ONCE)
        state = self.state()
        if not state.adopted:
            self._adopt()
        now_ms = self._now_ms()
        recent_ms = min(state.swept_ms, now_ms) - LATE_MS - QUARTER_MS
        if done := self._fold_some("", recent_ms, before_ms, limit, state):
            return done
        self._note_swept(state, min(before_ms, now_ms))
        for late in self._dirty(LATE_MARK, EARLIEST_MS, LATEST_MS, 1000):
            if done := self._fold_some(late.site, EARLIEST_MS, before_ms, limit, state):
                return done
            if not self._dirty(QUARTER_MARK, EARLIEST_MS, recent_ms, 1, late.site) and not self._dirty(
                DAY_MARK, EARLIEST_MS, recent_ms - DAY_MS, 1, late.site
            ):
                self._write([folded_line(LATE_MARK, late.site, late.start_ms, late.change)])
        return 0

    def _fold_some(self, site: str, start_ms: int, before_ms: int, limit: int, state: State) -> int:
        """Folds dirty windows of `site` (empty: of all) that begin from `start_ms` and ended by `before_ms`."""
        quarters = self._dirty(QUARTER_MARK, start_ms, before_ms - QUARTER_MS + 1, _DIRTY_PER_SITE, site)[:limit]
        if quarters:
            # A clock was wrong where raw of a dirty window has expired: what was folded last stands.
            old = [one for one in quarters if one.start_ms < state.raw_from_ms]
            self._write([folded_line(QUARTER_MARK, one.site, one.start_ms, one.change) for one in old])
            fresh = [one for one in quarters if one.start_ms >= state.raw_from_ms]
            self._write(day_changed_lines([(one.site, one.start_ms) for one in fresh], self._now_ms()))
            self._fold(fresh, QUARTER_MARK, QUARTER_MS, _QUARTERS_PER_QUERY, self._quarters_of)
            return len(quarters)
        days = self._dirty(DAY_MARK, start_ms - DAY_MS, before_ms - DAY_MS + 1, _DIRTY_PER_SITE, site)
        days = days[: max(1, limit // 20)]  # a day is read from its 96 quarter hours
        self._fold(days, DAY_MARK, DAY_MS, _DAYS_PER_QUERY, self._days_of)
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

    def _fold(
        self, dirty: Sequence[Dirty], mark: str, width_ms: int, most: int, read: Callable[[str, int, int], Lines]
    ) -> None:
        """Writes the rows of each window that `read` has, with its `folded`, in one request."""
        lines: list[str] = []
        for site, start_ms, end_ms in _grouped(dirty, width_ms, most):
            rows = read(site, start_ms, end_ms)
            for one in dirty:
                if one.site != site or not start_ms <= one.start_ms < end_ms:
                    continue
                new = rows.get(one.start_ms, [])
                # Nothing to fold: did its site leave? Then it gets no mark, which would keep its name here.
                if not new and not self._dirty(mark, one.start_ms, one.start_ms + 1, 1, site):
                    continue
                if len(lines) + len(new) >= _LINES_PER_REQUEST:
                    self._write(lines)
                    lines = []
                lines += [*new, folded_line(mark, site, one.start_ms, one.change)]
        self._write(lines)

    def _quarters_of(self, site: str, start_ms: int, end_ms: int) -> Lines:
        """Quarters, and minutes where they are kept, of all series of a site, folded from readings."""
        condition = f"{tags_are({'site': site})} AND {within(start_ms, end_ms)}"
        tables = self._query(
            f'SELECT "value", "subject", "quantity" FROM {from_groups(text=False)} WHERE {condition}'  # noqa: S608
        )
        readings: dict[tuple[str, str, int], list[list[Any]]] = defaultdict(list)
        for table in tables:
            for row in table["values"]:
                readings[row[2], row[3], row[0] // QUARTER_MS].append(row)
        lines: Lines = defaultdict(list)
        for (subject, quantity, number), rows in readings.items():
            rows = [row for row in rows if isinstance(row[1], float | int)]
            if not subject or not quantity or not rows:
                continue  # somebody else's
            here = lines[number * QUARTER_MS]
            here.append(_folded(head_of_window(WINDOW["quarter"], site, subject, quantity), rows, QUARTER_MS))
            if len(rows) >= MINUTES_FROM:
                head = head_of_window(WINDOW["minute"], site, subject, quantity)
                here += [_folded(head, part, MINUTE_MS) for part in _minutes(rows)]
        return lines

    def _days_of(self, site: str, start_ms: int, end_ms: int) -> Lines:
        """Days of all series of a site, folded from quarters."""
        tables = self._query(
            'SELECT "count", "min", "max", "last", "sum", "subject", "quantity" '  # noqa: S608 (quoted)
            f"FROM {identifier(WINDOW['quarter'])} WHERE {tags_are({'site': site})} AND {within(start_ms, end_ms)}"
        )
        quarters: dict[tuple[str, str, int], list[list[Any]]] = defaultdict(list)
        for table in tables:
            for row in table["values"]:
                quarters[row[6], row[7], row[0] - (row[0] - DAY_OFFSET_MS) % DAY_MS].append(row)
        lines: Lines = defaultdict(list)
        for (subject, quantity, at_ms), rows in quarters.items():
            _, counts, lows, highs, lasts, totals, _, _ = zip(*rows, strict=True)
            head = head_of_window(WINDOW["day"], site, subject, quantity)
            lines[at_ms].append(
                row_line(head, at_ms, sum(counts), min(lows), float(sum(totals)), max(highs), lasts[-1])
            )
        return lines

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
        """See `Store.expire`; whole days."""
        state = self.state()
        kept_from_ms = state.kept_from_ms.get(level, EARLIEST_MS)
        if finer := _FINER.get(level):
            before_ms = min(before_ms, state.kept_from_ms.get(finer, EARLIEST_MS))
        before_ms -= (before_ms - DAY_OFFSET_MS) % DAY_MS
        if level in ("raw", "quarter") and before_ms > kept_from_ms:
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
        condition += "\"site\" != '' AND "  # an old anchor alone is nothing to delete
        return bool(
            self._query(
                f"SELECT * FROM {identifier(measurement)} WHERE {condition}time < {end_ms}ms LIMIT 1"  # noqa: S608
            )
        )

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


def _folded(head: str, rows: Sequence[Sequence[Any]], width_ms: int) -> str:
    """Readings of one window, ascending, as its line."""
    values = [row[1] for row in rows]
    at_ms = rows[0][0] // width_ms * width_ms
    return row_line(head, at_ms, len(values), min(values), float(sum(values)), max(values), values[-1])


def _minutes(rows: Iterable[list[Any]]) -> Iterator[list[list[Any]]]:
    """Readings, ascending, minute by minute."""
    part: list[list[Any]] = []
    for row in rows:
        if part and row[0] // MINUTE_MS != part[0][0] // MINUTE_MS:
            yield part
            part = []
        part.append(row)
    if part:
        yield part


def _grouped(dirty: Iterable[Dirty], width_ms: int, most: int) -> list[tuple[str, int, int]]:
    """`dirty` as (site, from, to) of at most `most` neighbouring windows: what one query asks for."""
    starts: dict[str, list[int]] = defaultdict(list)
    for one in dirty:
        starts[one.site].append(one.start_ms)
    return [(site, *run) for site in starts for run in runs(starts[site], width_ms, most)]


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
