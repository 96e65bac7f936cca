"""Columns of readings into InfluxDB: as lines, with the marks of what they change, in requests that it takes.

A request holds lines of readings and, in the same request, a mark for each quarter hour of a site that they touch
(`influx_marks`), so that whoever dies in between leaves no roll-up stale.

A request that is refused is taken apart until each refused reading is alone, or all of a part are. InfluxDB 1.x and
2.x store what else such a request held, so that the parts change nothing that is stored; where a server stores none
of it, the parts bring it in. What makes InfluxDB refuse a reading is nearly always shared by its neighbours (a
field's type in a shard, a retention policy), so the parts are cut by measurement and time, and a part of which
everything was dropped needs no more requests. `ISOLATE_REQUESTS` bounds them: what is not told apart by then is
rejected together. That may name readings that are stored among the rejected ones; none is lost by it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Final

from collectors.store.influx_http import Bucket, Database, Refused, TooLarge
from collectors.store.influx_marks import changed_lines, open_to_folding, windows_of
from collectors.store.levels import quarter_of
from collectors.store.line_protocol import EARLIEST_MS, LATEST_MS, head_of, spell_text
from collectors.store.protocol import StoreMisconfigured
from makiba.quantities import catalogue
from makiba.reading import Columns, Series, Value

LINES_PER_REQUEST: Final = 10_000
ISOLATE_REQUESTS: Final = 300
"""Requests spent on finding what a server refuses in one `commit`; a poison record costs about thirty."""
MOST_HEADS: Final = 200_000
"""First parts of lines that are remembered, of about 250 bytes each."""

Rejected = list[tuple[int, str]]
"""Where each stood in what was given, and why."""


class Heads:
    """The first part of a series' lines, remembered. Threads may share it."""

    def __init__(self) -> None:
        self.numbers: dict[Series, str] = {}
        self.texts: dict[Series, str] = {}

    def learn(self, series: Series) -> str:
        """Why nothing can be written to `series`; empty when it can, which is remembered."""
        known = catalogue().get(series.quantity)
        if known is None:
            return f"quantity {series.quantity!r} is not in the catalogue"
        heads, field = (self.texts, "text") if known.kind == "text" else (self.numbers, "value")
        if len(heads) >= MOST_HEADS:
            heads.clear()
        heads[series] = f"{head_of(series)} {field}="
        return ""


class Commit:
    """Writes columns through `target`. Threads may share it."""

    def __init__(self, target: Database | Bucket, *, lines_per_request: int = LINES_PER_REQUEST) -> None:
        self._target = target
        self._heads = Heads()
        self._most = lines_per_request  # less, once the server found a request too large

    def write(self, columns: Columns) -> Rejected:
        """Commits `columns`; those that can never be, with their reasons, in no order. Raises `StoreError`."""
        lines = self._plain_lines(columns)
        if lines is not None:
            return self._send(columns, range(len(lines)), lines)
        rejected: Rejected = []
        rows: list[int] = []
        lines = []
        for index, reading in enumerate(zip(columns.series, columns.times_ms, columns.values, strict=True)):
            line, reason = self._line(*reading)
            if reason:
                rejected.append((index, reason))
            else:
                rows.append(index)
                lines.append(line)
        return rejected + self._send(columns, rows, lines)

    def _plain_lines(self, columns: Columns) -> list[str] | None:
        """The lines of columns that hold only numbers, of series that were written before; None when they do not."""
        times, values = columns.times_ms, columns.values
        if not times:
            return []
        if min(times) < EARLIEST_MS or max(times) > LATEST_MS or set(map(type, values)) != {float}:
            return None
        if not math.isfinite(sum(values)):  # type: ignore[arg-type]  # one of them is not finite, or nearly so
            return None
        heads = self._heads.numbers
        try:
            return [f"{heads[s]}{v!r} {t}000000" for s, v, t in zip(columns.series, values, times, strict=True)]
        except KeyError:
            return None

    def _line(self, series: Series, time_ms: int, value: Value) -> tuple[str, str]:
        """The line of a reading, or why there is none."""
        numbers, texts = self._heads.numbers, self._heads.texts
        if series not in numbers and series not in texts and (reason := self._heads.learn(series)):
            return "", reason
        if not EARLIEST_MS <= time_ms <= LATEST_MS:
            return "", "InfluxDB keeps times from 1677 to 2262"
        is_text = isinstance(value, str)
        head = (texts if is_text else numbers).get(series)
        if head is None:
            return "", f"{series.quantity} is a {'number' if is_text else 'text'}"
        if isinstance(value, str):
            return f"{head}{spell_text(value)} {time_ms}000000", ""
        if not math.isfinite(value):
            return "", f"{value} is not a finite number"
        return f"{head}{float(value)!r} {time_ms}000000", ""

    def _send(self, columns: Columns, rows: Sequence[int], lines: Sequence[str]) -> Rejected:
        rejected: Rejected = []
        start = 0
        while start < len(lines):
            end = start + self._most
            some = (rows[start:end], lines[start:end])
            try:
                self._request(columns, *some)
            except TooLarge as error:
                if len(some[0]) == 1:
                    raise StoreMisconfigured(f"{error}; it does not even take one reading") from None
                self._most = (len(some[0]) + 1) // 2
                continue
            except Refused as refused:
                rejected += self._isolate(columns, list(zip(*some, strict=True)), refused)
            start = end
        return rejected

    def _request(self, columns: Columns, rows: Sequence[int], lines: Sequence[str]) -> None:
        """Writes `lines` with their marks."""
        series, times_ms = columns.series, columns.times_ms
        if len(rows) < len(times_ms):
            series, times_ms = [series[row] for row in rows], [times_ms[row] for row in rows]
        texts = self._heads.texts
        if texts:  # a text is in no window
            numbers = [row for row, one in enumerate(series) if one not in texts]
            series, times_ms = [series[row] for row in numbers], [times_ms[row] for row in numbers]
        windows = windows_of(series, times_ms)
        now_ms = time.time_ns() // 1_000_000
        self._target.write("\n".join([*lines, *changed_lines(windows, now_ms)]).encode())
        # A server that is asked between two lines of a request knows the mark and not the reading yet. Where a job
        # might have asked just then, the window is marked once more, now that the reading is there.
        if again := open_to_folding(windows, now_ms):
            self._target.write("\n".join(changed_lines(again, now_ms)).encode())

    def _isolate(self, columns: Columns, part: list[tuple[int, str]], refused: Refused) -> Rejected:
        """The rows of a refused `part` that the server will never take; the others are committed when it returns."""
        self._require_marks(columns.series[part[0][0]].site)
        # Neighbours share what is refused: by measurement, then by time.
        part = sorted(part, key=lambda row: (_measurement(row), columns.times_ms[row[0]], row[0]))
        rejected: Rejected = []
        waiting = [(part, refused)]
        spent = 0
        while waiting:
            part, refused = waiting.pop()
            if len(part) == 1 or refused.dropped == len(part):
                rejected += [(row, str(refused)) for row, _ in part]
            elif spent >= ISOLATE_REQUESTS:
                reason = f"one of {len(part)} readings that were refused together: {refused}"
                rejected += [(row, reason) for row, _ in part]
            else:
                for half in _halves(part):
                    spent += 1
                    try:
                        self._request(columns, [row for row, _ in half], [line for _, line in half])
                    except Refused as error:
                        waiting.append((half, error))
        return rejected

    def _require_marks(self, site: str) -> None:
        """Raises when marks are refused whatever they mark: no reading can be told from another by that."""
        now_ms = time.time_ns() // 1_000_000
        try:
            self._target.write("\n".join(changed_lines([(site, quarter_of(now_ms))], now_ms)).encode())
        except Refused as error:
            raise StoreMisconfigured(f"marks of changed windows are refused, whatever was written: {error}") from None


def _measurement(row: tuple[int, str]) -> str:
    return row[1].partition(",")[0]


def _halves(part: list[tuple[int, str]]) -> Sequence[list[tuple[int, str]]]:
    """`part`, which is sorted, cut between two measurements where it has several, else in the middle."""
    middle = len(part) // 2
    if _measurement(part[0]) != _measurement(part[-1]):
        names = [_measurement(row) for row in part]
        low = names.index(names[middle])
        middle = low or names.count(names[0])
    return part[:middle], part[middle:]
