"""Workbooks as openpyxl, which is not ours, reads them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.out.table import Block, Column, Table
from collectors.out.xlsx_form import MAX_ROWS, TooLarge, check_rows, xlsx

TOKYO = ZoneInfo("Asia/Tokyo")
T0 = 1_790_002_800_000  # 2026-09-22T00:00+09:00
at = datetime.fromisoformat
"""Excel's dates have no timezone."""

COLUMNS = [
    Column("時刻", "time"), Column("UTCミリ秒", "integer"), Column("対象", "word"), Column("文字", "text"),
    Column("値", "number"),
]  # fmt: skip


def block(times: list[int], texts: list[str | None], numbers: list[float | None], word: str = "tank-1") -> Block:
    return [times, times, [word] * len(times), texts, numbers]


def book(*blocks: Block, zone: ZoneInfo = TOKYO, **options: Any) -> Any:
    data = b"".join(xlsx(Table(COLUMNS, iter(blocks)), zone, "ja", **options))
    assert zipfile.ZipFile(io.BytesIO(data)).testzip() is None
    return openpyxl.load_workbook(io.BytesIO(data))


def cells(sheet: Any) -> list[list[Any]]:
    return [[cell.value for cell in row] for row in sheet.iter_rows()]


def test_times_are_excel_s_own_dates_in_the_farm_s_time_and_numbers_are_exact() -> None:
    sheet = book(block([T0, T0 + 34_567], [None, "ok"], [-5.2, 1 / 3])).active
    assert cells(sheet) == [
        ["時刻", "UTCミリ秒", "対象", "文字", "値"],
        [at("2026-09-22"), T0, "tank-1", None, -5.2],
        [at("2026-09-22T00:00:34.567"), T0 + 34_567, "tank-1", "ok", 1 / 3],
    ]
    assert (sheet.title, sheet.freeze_panes) == ("データ 1", "A2")
    assert {row[0].number_format for row in sheet.iter_rows(min_row=2)} == {"yyyy\\-mm\\-dd\\ hh:mm:ss"}


def test_the_time_of_day_follows_the_farm_s_clock_when_summer_ends() -> None:
    end_ms = 1_792_890_000_000  # 2026-10-25T01:00Z
    sheet = book(block([end_ms - 60_000, end_ms], [None] * 2, [0.0] * 2), zone=ZoneInfo("Europe/Berlin")).active
    assert [row[0] for row in cells(sheet)[1:]] == [at("2026-10-25T02:59"), at("2026-10-25T02:00")]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "＝1", '=HYPERLINK("http://x","y")'])
def test_no_text_is_a_formula_and_editing_it_makes_none(text: str) -> None:
    sheet = book(block([T0], [text], [1.0], word=text)).active
    for cell in (sheet["C2"], sheet["D2"]):
        assert (cell.value, cell.data_type, cell.quotePrefix) == (text, "s", True)
    assert sheet["E2"].data_type == "n"


@given(st.lists(st.text(max_size=200), min_size=1, max_size=20))
def test_any_text_makes_a_workbook_that_opens(texts: list[str]) -> None:
    # ECMA-376 spells what XML cannot hold; openpyxl leaves that as it stands.
    sheet = book(block([T0] * len(texts), list(texts), [0.0] * len(texts))).active
    back = [cell.value or "" for cell in sheet["D"][1:]]
    for text, read in zip(texts, back, strict=True):
        if text.isprintable() and "_x" not in text:
            assert read == text
    assert all(cell.data_type in "sn" for cell in sheet["D"])


@given(st.lists(st.integers(1, 9), max_size=6), st.integers(2, 8))
def test_a_full_sheet_goes_on_in_the_next_one_and_nothing_is_lost(sizes: list[int], per_sheet: int) -> None:
    def blocks() -> Iterator[Block]:
        done = 0
        for size in sizes:
            yield block([T0 + done + i for i in range(size)], [None] * size, [float(done + i) for i in range(size)])
            done += size

    sheets = [cells(sheet) for sheet in book(*blocks(), rows_per_sheet=per_sheet)]
    assert [row[4] for sheet in sheets for row in sheet[1:]] == [float(i) for i in range(sum(sizes))]
    assert [len(sheet) for sheet in sheets[:-1]] == [per_sheet] * (len(sheets) - 1)
    assert all(sheet[0][0] == "時刻" for sheet in sheets)
    assert len(sheets) == max(1, -(-sum(sizes) // (per_sheet - 1)))


def test_the_first_bytes_leave_before_the_second_block_is_read() -> None:
    read: list[int] = []

    def blocks() -> Iterator[Block]:
        for number in range(3):
            read.append(number)
            # Random digits, so that deflate has something to give out.
            yield block(
                [T0 + i * 7919 for i in range(5000)], [str(hash((number, i))) for i in range(5000)], [0.1] * 5000
            )

    parts = xlsx(Table(COLUMNS, blocks()), TOKYO)
    assert next(part for part in parts if part).startswith(b"PK\x03\x04")
    assert len(read) <= 2


def test_what_excel_does_not_hold_is_refused_with_what_to_do() -> None:
    with pytest.raises(TooLarge, match="csv or parquet"):
        check_rows(MAX_ROWS + 1, 1)
    with pytest.raises(TooLarge, match="columns"):
        next(xlsx(Table([Column(str(i), "number") for i in range(20_000)], iter([])), TOKYO))
