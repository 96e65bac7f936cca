"""Mappings and rows of CSV files: what they mean, and where each error stands."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from collectors.imports.mapping import load_table_mapping
from collectors.ways.csv_mapping import Bound, Wrong, bind, load_mapping, read_row
from collectors.ways.csv_rows import Dialect, Row, Rows
from makiba.located_yaml import ConfigErrors, load_located
from makiba.settings import configs_dir

COMMA = Dialect("utf-8", ",", '"')


def bound(tmp_path: Path, text: str, heads: list[str] | None, site: str = "s-1") -> Bound:
    file = tmp_path / "map.yaml"
    file.write_text(text, encoding="utf-8")
    return bind(load_mapping(file), heads, site, "data.csv")


def taken(bound: Bound, *fields: str) -> list[tuple[str, int, Any]]:
    return [
        (str(found[1].series), found[1].time_ms, found[1].value)
        for found in read_row(bound, fields)
        if isinstance(found, tuple)
    ]


def wrongs(bound: Bound, *fields: str) -> list[Wrong]:
    return [found for found in read_row(bound, fields) if isinstance(found, Wrong)]


MILK = """\
file: {missing: ["", "-"]}
time: {columns: [日付], format: "%Y/%m/%d", at: "06:00"}
subject: {column: 個体, prefix: "cow-"}
values:
  - {column: 乳量, quantity: milk_yield, unit: kg}
  - {column: 乳脂率, quantity: milk_fat, unit: "%"}
  - {column: 体細胞, quantity: somatic_cells, scale: 1000}
"""
HEADS = ["日付", "個体", "乳量", "乳脂率", "体細胞"]


def test_columns_become_quantities_in_our_units(tmp_path: Path) -> None:
    milk = bound(tmp_path, MILK, HEADS)
    at = 1_780_174_800_000  # 2026-05-31T06:00 in Japan
    assert taken(milk, "2026/05/31", "0123456789", "31.4", "3.92", "85") == [
        ("s-1/cow-0123456789/milk_yield", at, 31.4),
        ("s-1/cow-0123456789/milk_fat", at, 0.0392),
        ("s-1/cow-0123456789/somatic_cells", at, 85_000.0),
    ]
    assert taken(milk, "2026/05/31", "０１２３４５６７８９", "３１．４", "-", "")[0][2] == 31.4, "wide digits"
    assert len(taken(milk, "2026/05/31", "1", "31.4", "-", "")) == 1, "missing values are none"


@pytest.mark.parametrize(
    ("fields", "index", "reason"),
    [
        (("31.5.2026", "1", "3", "", ""), 0, "is no time of the form %Y/%m/%d"),
        (("2026/05/31", "", "3", "", ""), 1, "says whose it is nowhere"),
        (("2026/05/31", "a b", "3", "", ""), 1, "'a b' cannot be a subject's name"),
        (("2026/05/31", "1", "3l.4", "", ""), 2, "'3l.4' is no number"),
        (("2026/05/31", "1", "3,4", "", ""), 2, "'3,4' is no number"),
        (("2026/05/31", "1", "nan", "", ""), 2, "'nan' is no number"),
        (("2026/05/31", "1", "1e400", "", ""), 2, "is no number"),
        (("2026/05/31", "1", "314", "", ""), 2, "314 is outside 0.0..150.0 kg"),
        (("2026/05/31", "1"), None, "has 2 columns, at least 5 are needed"),
    ],
)
def test_what_is_wrong_is_told_with_its_field(
    tmp_path: Path, fields: tuple[str, ...], index: int | None, reason: str
) -> None:
    found = wrongs(bound(tmp_path, MILK, HEADS), *fields)
    assert [one.index for one in found] == [index]
    assert reason in found[0].reason


def test_a_wrong_value_does_not_cost_its_row(tmp_path: Path) -> None:
    milk = bound(tmp_path, MILK, HEADS)
    assert len(taken(milk, "2026/05/31", "1", "x", "3.9", "85")) == 2


@pytest.mark.parametrize(
    ("decimal", "text", "value"),
    [
        (".", "1,234.5", 1234.5), (".", "12,5", None), (".", "1,2345", None), (".", "+.5", 0.5), (".", "−8.4", -8.4),
        (",", "12,5", 12.5), (",", "1.234,5", 1234.5), (",", "12.5", None), (",", "1 234,5", 1234.5),
        (".", "0x10", None), (".", "1_000", None), (".", "１２", 12.0), (".", "1e2", 100.0), (".", "--5", None),
    ],
)  # fmt: skip
def test_numbers_are_read_as_the_mapping_says_and_never_guessed(
    tmp_path: Path, decimal: str, text: str, value: float | None
) -> None:
    mapping = (
        f"file: {{heads: 0, decimal: '{decimal}'}}\ntime: {{columns: [1]}}\nsubject: s\n"
        "values: [{column: 2, quantity: temperature}]\n"
    )
    got = taken(bound(tmp_path, mapping, None), "2026-05-31T06:00:00+09:00", text)
    assert [row[2] for row in got] == ([] if value is None else [value])


@pytest.mark.parametrize(
    ("time", "text", "expected"),
    [
        ("{columns: [1]}", "2026-05-31T06:00", 1_780_174_800_000),
        ("{columns: [1]}", "2026-05-31T06:00:00.125+00:00", 1_780_207_200_125),
        ("{columns: [1], timezone: UTC}", "2026-05-31 06:00", 1_780_207_200_000),
        ("{columns: [1], format: unix}", "1780207200.5", 1_780_207_200_500),
        ("{columns: [1], format: unix-ms}", "1780207200500", 1_780_207_200_500),
        ("{columns: [1], format: unix}", "-5", "before 1978"),
        ("{columns: [1], format: unix}", "1e25", "after 9999"),
        ("{columns: [1]}", "1066-01-01", "before 1978"),
        ("{columns: [1], timezone: Europe/Berlin}", "2026-03-29T02:30", "does not exist in Europe/Berlin"),
    ],
)
def test_times_have_a_timezone_and_must_exist(tmp_path: Path, time: str, text: str, expected: int | str) -> None:
    mapping = f"file: {{heads: 0}}\ntime: {time}\nsubject: s\nvalues: [{{column: 2, quantity: temperature}}]\n"
    there = bound(tmp_path, mapping, None)
    if isinstance(expected, int):
        assert taken(there, text, "1") == [("s-1/s/temperature", expected, 1.0)]
    else:
        assert expected in wrongs(there, text, "1")[0].reason


def test_every_error_of_a_mapping_has_its_place(tmp_path: Path) -> None:
    text = """\
file: {encoding: sjis}
time: {columns: [t], timezone: Asia/Tokio}
subject: {column: s}
values:
  - {column: a, quantity: milk_yeild}
  - {column: b, quantity: milk_fat, unit: "%", skale: 2}
"""
    with pytest.raises(ConfigErrors) as wrong:
        bound(tmp_path, text, ["t", "s", "a", "b"])
    said = str(wrong.value)
    for part in (
        "map.yaml:1:8: file.encoding: 'sjis' is unknown",
        "map.yaml:2:22: time.timezone: 'Asia/Tokio' is not a time zone; did you mean 'Asia/Tokyo'?",
        "map.yaml:5:17: values[0].quantity: quantity 'milk_yeild' is not in the catalogue",
        "map.yaml:6:48: values[1].skale",
        "unknown key 'skale'; did you mean 'scale'?",
    ):
        assert part in said, said


def test_units_columns_and_forms_that_do_not_fit_are_told(tmp_path: Path) -> None:
    text = """\
time: {columns: [t], at: "06:00"}
subject: s
values:
  - {column: a, quantity: milk_yield, unit: "%"}
  - {column: b, quantity: milk_yield}
"""
    with pytest.raises(ConfigErrors) as wrong:
        bound(tmp_path, text, None)
    said = str(wrong.value)
    assert "4:39: values[0].unit: '%' does not measure milk_yield (kg); expected kg, g" in said
    assert "5:17: values[1].quantity: is value 1 of this list already" in said
    assert "1:22: time.at: needs a format that is a date only" in said
    with pytest.raises(ConfigErrors, match=r"no column '乳量' in data\.csv; did you mean '乳量kg'"):
        bound(tmp_path, MILK, ["日付", "個体", "乳量kg", "乳脂率", "体細胞"])
    with pytest.raises(ConfigErrors, match="either 'values'"):
        bound(tmp_path, "time: {columns: [1]}\nsubject: s\n", None)


def test_the_examples_are_right_by_themselves() -> None:
    folder = configs_dir() / "imports"
    assert {f.stem for f in folder.glob("*.yaml")} >= {"milk-recording", "scale", "weather-history"}
    for file in folder.glob("*.yaml"):
        kind = load_located(file).value(("kind",))
        if kind is None:
            load_mapping(file)
        else:
            load_table_mapping(file, kind)


# -------------------------------------------------------------------------------------------------------------- rows


def rows(data: bytes, dialect: Dialect = COMMA) -> list[Row]:
    return list(Rows(io.BytesIO(data), dialect))


def test_rows_know_their_line_and_fields_their_column() -> None:
    found = rows('\ufeffa,b\n\n"x\ny","z,1",2\n1,2\n'.encode())
    assert [(row.line, list(row.fields)) for row in found] == [
        (1, ["a", "b"]), (3, ["x\ny", "z,1", "2"]), (5, ["1", "2"]),
    ]  # fmt: skip
    assert [found[0].column_of(i, COMMA) for i in (0, 1)] == [1, 3]
    assert found[2].column_of(1, COMMA) == 3
    assert found[1].column_of(2, COMMA) == 10  # of the second of its two lines: y","z,1",2


def test_bytes_of_another_encoding_cost_their_row_only() -> None:
    found = rows("a,牛\n".encode("cp932") + b"b,1\n", COMMA)
    assert found[0].problem == "holds bytes that are not utf-8"
    assert (found[1].problem, list(found[1].fields)) == ("", ["b", "1"])
    assert list(rows("a,牛\n".encode("cp932"), Dialect("cp932", ",", '"'))[0].fields) == ["a", "牛"]


def test_a_quote_that_is_never_closed_ends_somewhere() -> None:
    found = rows(b'a,"b\n' + b"c,d\n" * 100_000 + b"e,f\n")
    assert any("field larger" in row.problem for row in found)
    assert list(found[-1].fields) == ["e", "f"]


def test_a_row_over_many_lines_ends_somewhere() -> None:
    endless = io.BytesIO(b"a,b\n" + b'"x\n",' * 600_000 + b'"\nc,d\n')
    rows = list(Rows(endless, COMMA))
    assert (rows[0].fields, rows[-1].fields) == (["a", "b"], ["c", "d"])
    assert "row larger than" in rows[1].problem
    assert max(len(row.fields) for row in rows) < 10
