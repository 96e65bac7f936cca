"""Cells as spreadsheets and people in Japan write them, how a file is written, and how heads are found."""

from __future__ import annotations

from datetime import date, time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.imports.cells import Read, clock_of, day_of, digits_of, label_of, text_of
from collectors.imports.kinds import EVENT_DAYS, KEYS, TABLES, known_heads
from collectors.imports.mapping import find_heads, lay_out, load_table_mapping, no_mapping
from collectors.imports.said import WORDS, Said
from collectors.imports.sniff import NotCsv, dialect_of
from makiba.located_yaml import ConfigErrors
from makiba.settings import configs_dir

APRIL = date(2026, 4, 1)


@pytest.mark.parametrize(
    "text",
    [
        "2026/4/1",
        "2026-04-01",
        "2026.4.1",
        "２０２６／４／１",
        "2026年4月1日",
        "20260401",
        "R8.4.1",
        "R08/04/01",
        "r8-4-1",
        "令和8年4月1日",
        "令和 8年4月1日",
        "H38.4.1",
        "2026/4/1 0:00",
        "2026-04-01T00:00:00",
        "46113",
        "46113.0",
        "㋿8年4月1日",
    ],
)
def test_a_day_is_read_as_it_is_written(text: str) -> None:
    if text.startswith("㋿"):
        assert day_of(text) == Read(APRIL), "one sign for the era"
        return
    found = day_of(text)
    assert isinstance(found, Read)
    assert found.value == APRIL
    assert (found.said is not None) == text.startswith("46113"), "what was guessed is said"


def test_eras_begin_where_they_begin() -> None:
    assert day_of("令和元年5月1日") == Read(date(2019, 5, 1))
    assert day_of("H1.1.8") == Read(date(1989, 1, 8))
    assert day_of("S63/12/31") == Read(date(1988, 12, 31))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("4/1/2026", "unclear-day"),
        ("26/4/1", "unclear-day"),
        ("1.4.26", "unclear-day"),
        ("4/1", "not-a-day"),
        ("2026/2/30", "not-a-day"),
        ("R0.4.1", "not-a-day"),
        ("1899/1/1", "not-a-day"),
        ("12", "not-a-day"),
        ("123456", "not-a-day"),
        ("", "not-a-day"),
        ("不明", "not-a-day"),
    ],
)
def test_what_is_no_day_or_two_is_refused(text: str, code: str) -> None:
    found = day_of(text)
    assert isinstance(found, Said)
    assert found.code == code
    assert day_of("01.04.2026", "%d.%m.%Y") == Read(APRIL), "unless its form is given"


@given(st.dates(date(1950, 1, 1), date(2100, 1, 1)))
def test_every_day_comes_back_in_every_form(day: date) -> None:
    forms = [day.isoformat(), f"{day:%Y/%m/%d}", f"{day.year}/{day.month}/{day.day}", f"{day:%Y%m%d}"]
    if day.year >= 2019:
        forms.append(f"R{day.year - 2018}.{day.month}.{day.day}")
    for text in forms:
        assert day_of(text) == Read(day)


def test_times_of_day() -> None:
    assert clock_of("2026/4/1 15:30") == time(15, 30)
    assert clock_of("１５時３０分") == time(15, 30)
    assert clock_of("5:07:09") == time(5, 7, 9)
    assert clock_of("25:00") is None
    assert clock_of("2026/4/1") is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0123456789", "0123456789"),
        ("01234-5678-9", "0123456789"),
        ("０１２３４　５６７８９", "0123456789"),
        ("'0123456789", "0123456789"),
        ('="0123456789"', "0123456789"),
        ("1234567890.0", "1234567890"),
    ],
)
def test_ten_digits(text: str, value: str) -> None:
    assert digits_of(text, 10) == Read(value)


def test_zeros_that_were_taken_away_are_put_back_and_said() -> None:
    for text in ("123456789", "12345678"):
        found = digits_of(text, 10)
        assert isinstance(found, Read)
        assert (found.value, found.said and found.said.code) == (text.zfill(10), "zeros-restored")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("1.23457E+09", "digits-lost"),
        ("1E+09", "digits-lost"),
        ("1234567", "not-digits"),
        ("12345678901", "not-digits"),
        ("12345a6789", "not-digits"),
        ("-123456789x", "not-digits"),
        ("٠١٢٣٤٥٦٧٨٩", "not-digits"),
    ],
)
def test_what_lost_digits_is_refused(text: str, code: str) -> None:
    found = digits_of(text, 10)
    assert isinstance(found, Said)
    assert found.code == code


def test_texts_stay_texts() -> None:
    assert text_of(" =1+1 ", 100) == Read("=1+1")
    assert text_of("二行\r\nです", 100, lines=True) == Read("二行\nです")
    for text in ("二行\nです", "nul\x00", "turned\u202eround"):
        found = text_of(text, 100)
        assert isinstance(found, Said)
        assert found.code == "control"
    assert isinstance(label_of("12/3", 32), Said)
    assert label_of("１２", 32) == Read("12")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("個体,名\n".encode(), ("utf-8", ",")),
        ("個体,名\n".encode("utf-8-sig"), ("utf-8", ",")),
        ("個体\t名\t1,5\n".encode("cp932"), ("cp932", "\t")),
        (b"a;b;c\n1,5;2;3\n", ("utf-8", ";")),
        (b"a\n" * 5_000 + "①髙".encode("cp932"), ("cp932", ",")),
        (b'"a;b;c;d",e,f\n', ("utf-8", ",")),
        (b"", ("utf-8", ",")),
    ],
)
def test_how_a_file_is_written_is_found_out(tmp_path: Path, data: bytes, expected: tuple[str, str]) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(data)
    found = dialect_of(file)
    assert (found.encoding, found.delimiter) == expected


@pytest.mark.parametrize("data", [b"PK\x03\x04...", b"\xd0\xcf\x11\xe0", "個体".encode("utf-16"), b"a\x00b"])
def test_what_is_no_csv_is_named(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(data)
    with pytest.raises(NotCsv, match="save it as CSV"):
        dialect_of(file)


def test_heads_are_found_below_titles_and_by_their_meaning() -> None:
    first = [["牛群一覧", ""], ["作成日", "2026/4/1"], ["牛　番号", "分娩-日", "備考"], ["1", "", ""]]
    assert find_heads(no_mapping("events"), first) == 3
    layout = lay_out(no_mapping("events"), first[2], "a.csv")
    assert [(c["column"], c["field"]) for c in layout.columns()] == [(1, "number"), (2, "calving"), (3, "note")]
    with pytest.raises(ConfigErrors, match="no column says which one"):
        lay_out(no_mapping("events"), ["分娩日"], "a.csv")


def test_every_kind_has_its_keys_and_days_of_events_are_no_other_heads() -> None:
    for kind in TABLES:
        assert set(KEYS[kind]) <= set(known_heads(kind).values())
    assert not set(EVENT_DAYS) & set(known_heads("events"))


def test_the_examples_are_mappings_of_their_kind() -> None:
    for name, kind in (("herd-list", "animals"), ("breeding-events", "events"), ("field-list", "fields")):
        assert load_table_mapping(configs_dir() / f"imports/{name}.yaml", kind).model.kind == kind  # type: ignore[arg-type]


def test_everything_is_said_in_two_languages_about_the_same_things() -> None:
    import re

    for code, (_, en, ja) in WORDS.items():
        missing = set(re.findall(r"{(\w+)}", ja)) - set(re.findall(r"{(\w+)}", en))
        assert not missing, code
