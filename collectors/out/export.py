"""An export as a stream of bytes, whatever its form: what `makiba export` writes and a web server may send.

Memory is flat: a page of the store at a time. What is written to the store meanwhile is in it or not. Errors of the
store come out of the iteration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final, Literal
from zoneinfo import ZoneInfo

from collectors.out.csv_form import CsvForm
from collectors.out.pages import STRIDE_MS
from collectors.out.parquet_form import parquet, require_pyarrow
from collectors.out.senml_form import senml
from collectors.out.table import Block, Table, Wanted, table
from collectors.out.xlsx_form import check_rows, xlsx
from collectors.store import Store
from collectors.store.levels import DAY_OFFSET_MS

Form = Literal["csv", "xlsx", "parquet", "senml"]
MEDIA_TYPES: Final[dict[Form, str]] = {
    "csv": "text/csv", "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "parquet": "application/vnd.apache.parquet", "senml": "application/senml+json",
}  # fmt: skip


class NoSuchForm(ValueError):
    """What is asked for does not exist in this form; the message says what does."""


def check_form(store: Store, wanted: Wanted, form: Form) -> None:
    """`NoSuchForm`, `ParquetMissing` or `TooLarge` where `wanted` cannot be had as `form`."""
    if form == "parquet":
        require_pyarrow()
    if form == "xlsx":
        check_rows(_most_rows(store, wanted), 0)
    if form == "senml" and (wanted.every_ms is not None or wanted.is_wide or wanted.is_shown or wanted.language):
        raise NoSuchForm(
            "senml holds readings as they are; windows, wide tables, shown units and names need csv, xlsx or parquet"
        )


def csv_bytes(
    store: Store, wanted: Wanted, csv: CsvForm, on_rows: Callable[[int], None] = lambda _: None
) -> Iterator[bytes]:
    """`wanted` as CSV; `on_rows` hears of each block's number of rows."""
    return csv.bytes_of(_told(table(store, wanted), on_rows))


def parquet_bytes(
    store: Store, wanted: Wanted, zone: ZoneInfo, on_rows: Callable[[int], None] = lambda _: None
) -> Iterator[bytes]:
    """`wanted` as Parquet."""
    return parquet(_told(table(store, wanted), on_rows), zone.key)


def xlsx_bytes(
    store: Store, wanted: Wanted, zone: ZoneInfo, on_rows: Callable[[int], None] = lambda _: None
) -> Iterator[bytes]:
    """`wanted` as an Excel workbook."""
    return xlsx(_told(table(store, wanted), on_rows), zone, wanted.language or "en")


def senml_bytes(store: Store, wanted: Wanted, on_rows: Callable[[int], None] = lambda _: None) -> Iterator[bytes]:
    """`wanted` as one SenML pack."""
    for part in senml(store, wanted):
        on_rows(part.count(b"\n"))
        yield part


def _most_rows(store: Store, wanted: Wanted) -> int:
    """How many rows `wanted` has at most, asked in days, which every store has folded; texts are few."""
    rows = 0
    for series in wanted.series:
        for start_ms, end_ms in wanted.stretches(series):
            found = store.windows(series, start_ms, end_ms, STRIDE_MS, DAY_OFFSET_MS)
            readings = sum(window.count for window in found)
            windows = len(found) * (STRIDE_MS // wanted.every_ms + 2) if wanted.every_ms else readings
            rows += min(readings, windows)
    return rows


def _told(whole: Table, on_rows: Callable[[int], None]) -> Table:
    def blocks() -> Iterator[Block]:
        for block in whole.blocks:
            on_rows(len(block[0]))
            yield block

    return replace(whole, blocks=blocks())
