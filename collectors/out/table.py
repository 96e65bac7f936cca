"""An export as a table of columns, in blocks of rows: what every form (CSV, Parquet) spells in its own way.

Long: a row per reading, series after series, or a row per window with its folds. Wide: a row per time, a column per
series, holes where a series has nothing just then. A block is a few thousand rows, so that memory is flat. Numbers
are in the catalogue's units and exact, or, where `shown` is asked for, as people read them: °C, ppm, L, rounded as on
the pages. Texts are as they are; a form that a spreadsheet opens has to guard them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from collectors.out import pages
from collectors.out.stretches import seen, seen_windows
from collectors.registry.sight import ALWAYS, Span
from collectors.store import Store, Window
from collectors.store.fold import is_text
from makiba.quantities import Quantity, catalogue
from makiba.reading import Series

Kind = Literal["time", "integer", "number", "text", "word"]
"""`time`: UTC ms to be spelled as people read it; `word`: a name out of few; `text`: anything, from anywhere."""

Fold = Literal["count", "min", "mean", "max", "last"]
FOLDS: Final[tuple[Fold, ...]] = ("count", "min", "mean", "max", "last")
FIELDS: Final[dict[Fold, str]] = {
    "count": "count", "min": "minimum", "mean": "mean", "max": "maximum", "last": "last",
}  # fmt: skip

Language = Literal["ja", "en"]
HEADS: Final[dict[str, str]] = {
    "time": "時刻", "utc_ms": "UTCミリ秒", "site": "牧場", "subject": "対象", "quantity": "項目", "name": "項目名",
    "value": "値", "text": "文字", "unit": "単位", "count": "件数", "min": "最小", "mean": "平均", "max": "最大",
    "last": "最後",
}  # fmt: skip
"""What people call the columns in Japanese."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for: `series` in [start_ms, end_ms), raw or folded into windows of `every_ms`.

    With a `language`, heads and quantities have people's names; without, the names that programs know. `spans`: when
    each series may be seen, for whoever may not see all of it; `raw_from_ms`: since when each farm's raw is kept.
    """

    series: Sequence[Series]
    start_ms: int
    end_ms: int
    every_ms: int | None = None
    offset_ms: int = 0
    is_wide: bool = False
    folds: Sequence[Fold] = ("mean",)
    is_shown: bool = False
    language: Language | None = None
    spans: Mapping[Series, Sequence[Span]] | None = None
    raw_from_ms: Mapping[str, int] = field(default_factory=dict)

    def stretches(self, series: Series) -> list[Span]:
        """Which times of `series` are told, in order."""
        spans = (ALWAYS,) if self.spans is None else self.spans.get(series, ())
        if self.every_ms is None:
            return list(seen(spans, self.start_ms, self.end_ms))
        raw_from_ms = self.raw_from_ms.get(series.site, 0)
        return list(seen_windows(spans, self.start_ms, self.end_ms, self.every_ms, self.offset_ms, raw_from_ms))


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    kind: Kind


Block = list[list[Any]]
"""For each column its values, all of one length; None is a hole."""


@dataclass(frozen=True, slots=True)
class Table:
    columns: Sequence[Column]
    blocks: Iterator[Block]


def table(store: Store, wanted: Wanted) -> Table:
    """The table that `wanted` describes; reading begins when its blocks are taken. Texts have no windows."""
    if wanted.is_wide:
        return _wide(store, wanted)
    return _long_readings(store, wanted) if wanted.every_ms is None else _long_windows(store, wanted)


class _Spelling:
    """How one series' numbers, unit and name come out."""

    def __init__(self, series: Series, wanted: Wanted) -> None:
        known: Quantity | None = catalogue().get(series.quantity)
        self.is_text = is_text(series.quantity)
        is_shown = wanted.is_shown and known is not None and not self.is_text
        self.unit = ((known.show_unit if is_shown else known.unit) or "") if known else ""
        self.name = known.names[wanted.language] if known and wanted.language else series.quantity
        self._known = known if is_shown else None

    def number(self, value: float) -> float:
        if self._known is None:
            return float(value)
        return round(value * self._known.show_factor + self._known.show_offset, self._known.decimals) + 0.0


def _head(name: str, wanted: Wanted) -> str:
    return HEADS[name] if wanted.language == "ja" else name


def _columns(wanted: Wanted, *more: tuple[str, Kind]) -> list[Column]:
    """The columns that a row of the long form begins with, and `more`."""
    common: list[tuple[str, Kind]] = [
        ("time", "time"), ("utc_ms", "integer"), ("site", "word"), ("subject", "word"), ("quantity", "word"),
    ]  # fmt: skip
    if wanted.language:
        common.append(("name", "word"))
    return [Column(_head(name, wanted), kind) for name, kind in (*common, *more)]


def _common(series: Series, spelling: _Spelling, times_ms: list[int], wanted: Wanted) -> Block:
    count = len(times_ms)
    words = [series.site, series.subject, series.quantity]
    if wanted.language:
        words.append(spelling.name)
    return [times_ms, times_ms, *([word] * count for word in words)]


def _long_readings(store: Store, wanted: Wanted) -> Table:
    columns = _columns(wanted, ("value", "number"), ("text", "text"), ("unit", "word"))

    def blocks() -> Iterator[Block]:
        for series in wanted.series:
            spelling = _Spelling(series, wanted)
            for found in pages.points(store, series, wanted.stretches(series)):
                nothing = [None] * len(found)
                if spelling.is_text:
                    values: list[list[Any]] = [nothing, [point.value for point in found]]
                else:
                    values = [[spelling.number(float(point.value)) for point in found], nothing]
                times = [point.time_ms for point in found]
                yield [*_common(series, spelling, times, wanted), *values, [spelling.unit] * len(found)]

    return Table(columns, blocks())


def _long_windows(store: Store, wanted: Wanted) -> Table:
    assert wanted.every_ms
    columns = _columns(wanted, *((f, "integer" if f == "count" else "number") for f in FOLDS), ("unit", "word"))
    every_ms, offset_ms = wanted.every_ms, wanted.offset_ms

    def blocks() -> Iterator[Block]:
        for series in wanted.series:
            spelling = _Spelling(series, wanted)
            for found in pages.windows(store, series, wanted.stretches(series), every_ms, offset_ms):
                times = [window.start_ms for window in found]
                folds = [[_folded(window, fold, spelling) for window in found] for fold in FOLDS]
                yield [*_common(series, spelling, times, wanted), *folds, [spelling.unit] * len(found)]

    return Table(columns, blocks())


def _folded(window: Window, fold: Fold, spelling: _Spelling) -> float | int:
    value = getattr(window, FIELDS[fold])
    return int(value) if fold == "count" else spelling.number(value)


def _wide(store: Store, wanted: Wanted) -> Table:
    series = [s for s in wanted.series if wanted.every_ms is None or not is_text(s.quantity)]
    spellings = [_Spelling(single, wanted) for single in series]
    folds = wanted.folds if wanted.every_ms is not None else ("",)
    is_of_several = len({s.site for s in series}) > 1
    columns = [Column(_head("time", wanted), "time"), Column(_head("utc_ms", wanted), "integer")]
    for single, spelling in zip(series, spellings, strict=True):
        for fold in folds:
            name = f"{single.subject}/{spelling.name}" if not wanted.language else f"{single.subject} {spelling.name}"
            if is_of_several:
                name = f"{single.site}/{name}" if not wanted.language else f"{single.site} {name}"
            name += f" {_head(fold, wanted)}" if fold else ""
            name += f" [{spelling.unit}]" if spelling.unit and fold != "count" else ""
            columns.append(Column(name, "text" if spelling.is_text else "integer" if fold == "count" else "number"))
    if wanted.every_ms is None:
        cells = _reading_cells(store, wanted, series, spellings)
    else:
        cells = _window_cells(store, wanted, series, spellings)
    return Table(columns, _rows(cells, len(columns)))


def _reading_cells(
    store: Store, wanted: Wanted, series: Sequence[Series], spellings: Sequence[_Spelling]
) -> Iterator[tuple[int, int, list[Any]]]:
    for time_ms, place, point in pages.side_by_side(store, series, [wanted.stretches(s) for s in series]):
        spelling = spellings[place]
        yield time_ms, place, [point.value if spelling.is_text else spelling.number(float(point.value))]


def _window_cells(
    store: Store, wanted: Wanted, series: Sequence[Series], spellings: Sequence[_Spelling]
) -> Iterator[tuple[int, int, list[Any]]]:
    assert wanted.every_ms
    stretches = [wanted.stretches(s) for s in series]
    found = pages.windows_side_by_side(store, series, stretches, wanted.every_ms, wanted.offset_ms)
    for time_ms, place, window in found:
        yield time_ms, place * len(wanted.folds), [_folded(window, f, spellings[place]) for f in wanted.folds]


def _rows(cells: Iterator[tuple[int, int, list[Any]]], width: int) -> Iterator[Block]:
    """Cells (time, first column after the two of time, values), ascending in time, put together to rows."""
    most = max(pages.SMALLEST_PAGE, pages.TOGETHER // width)
    rows: list[list[Any]] = []
    for time_ms, place, values in cells:
        if not rows or rows[-1][0] != time_ms:
            if len(rows) >= most:
                yield [list(column) for column in zip(*rows, strict=True)]
                rows = []
            rows.append([time_ms, time_ms, *([None] * (width - 2))])
        rows[-1][place + 2 : place + 2 + len(values)] = values
    if rows:
        yield [list(column) for column in zip(*rows, strict=True)]
