"""How an export spells times, texts and numbers."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.out.choice import UnknownName, choose
from collectors.out.clock import IsoTimes, offset_ms, parse_time
from collectors.out.csv_form import CsvForm, Encoding, guarded
from collectors.out.lines import ForPeople, Refused
from collectors.out.table import Column, Table
from makiba.reading import EARLIEST_MS, LATEST_MS, Reading, Series

TOKYO = ZoneInfo("Asia/Tokyo")
NOW_MS = 1_790_000_000_000  # 2026-09-21T23:13:20+09:00
ZONES = [TOKYO, ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kathmandu"), ZoneInfo("Australia/Lord_Howe"), UTC]


@given(st.integers(EARLIEST_MS, LATEST_MS - 86_400_000), st.sampled_from(ZONES))
def test_a_spelled_time_is_that_of_the_library_and_reads_back_to_the_millisecond(
    time_ms: int, zone: ZoneInfo
) -> None:
    spelled = IsoTimes(zone)(time_ms)
    moment = datetime.fromisoformat(spelled)
    assert round(moment.timestamp() * 1000) == time_ms
    assert moment.utcoffset() == datetime.fromtimestamp(time_ms / 1000, zone).utcoffset()
    assert parse_time(spelled, UTC, 0) == time_ms


def test_times_in_order_keep_the_right_offset_when_summer_ends() -> None:
    spell = IsoTimes(ZoneInfo("Europe/Berlin"))
    end_ms = 1_792_890_000_000  # 2026-10-25T01:00Z
    assert [spell(end_ms - 60_000), spell(end_ms)] == [
        "2026-10-25T02:59:00.000+02:00",
        "2026-10-25T02:00:00.000+01:00",
    ]


def test_the_last_day_of_the_calendar_is_spelled_in_utc() -> None:
    assert IsoTimes(TOKYO)(LATEST_MS) == "9999-12-31T23:59:59.999+00:00"


@pytest.mark.parametrize(
    ("text", "time_ms"),
    [
        ("2026-09-21", 1_789_916_400_000),
        ("2026-09-21T23:13:20", NOW_MS),
        ("2026-09-21T14:13:20Z", NOW_MS),
        ("2026-09-21 23:13:20+09:00", NOW_MS),
        ("now", NOW_MS),
        ("7d", NOW_MS - 7 * 86_400_000),
        ("90min", NOW_MS - 5_400_000),
    ],
)
def test_a_time_is_read_as_the_farm_s_where_it_has_no_offset(text: str, time_ms: int) -> None:
    assert parse_time(text, TOKYO, NOW_MS) == time_ms


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "24.11.2026", "0001-01-01", ""])
def test_what_is_no_time_is_explained(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a time; expected 2026-11-24|before 1978"):
        parse_time(text, TOKYO, NOW_MS)


def test_what_a_clock_is_ahead() -> None:
    assert offset_ms(TOKYO, NOW_MS) == 9 * 3_600_000


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "＋1", "－1", "＠A", "−1"]
)
def test_a_text_that_would_be_a_formula_is_only_a_text(text: str) -> None:
    assert guarded(text) == f"'{text}"
    assert guarded(f"v{text}") == f"v{text}"


def spelled(form: CsvForm, values: list[str | None], numbers: list[float | None]) -> bytes:
    columns = [Column("time", "time"), Column("text [=]", "text"), Column("value", "number")]
    table = Table(columns, iter([[[NOW_MS] * len(values), values, numbers]]))
    return b"".join(form.bytes_of(table))


def test_numbers_are_exact_and_never_guarded_and_texts_with_commas_and_quotes_read_back() -> None:
    values = ["=cmd|' /C calc'!A0", 'says "ok", twice', "two\nlines", "雪", None]
    numbers = [-5.2, -0.0, 5e-324, 1.7976931348623157e308, None]
    data = spelled(CsvForm(TOKYO), values, numbers)
    rows = list(csv.reader(io.StringIO(data.decode("utf-8"), newline="")))
    assert rows[0] == ["time", "text [=]", "value"]
    assert [row[1] for row in rows[1:]] == ["'=cmd|' /C calc'!A0", *values[1:4], ""]
    assert [float(row[2]).hex() for row in rows[1:5]] == [n.hex() for n in numbers[:4] if n is not None]
    assert rows[5][2] == ""
    assert rows[1][0] == "2026-09-21T23:13:20.000+09:00"


def test_for_excel_there_are_a_mark_a_local_time_and_line_ends_of_windows() -> None:
    data = spelled(CsvForm(TOKYO, for_excel=True), ["雪"], [1.5])
    assert data.startswith(b"\xef\xbb\xbf")
    assert data.count(b"\r\n") == data.count(b"\n") == 2
    assert b",2026-09-21 23:13:20," in data


@pytest.mark.parametrize(
    ("encoding", "text", "read_back", "replaced"),
    [
        ("cp932", "雪 ℃ 10 m³ W/m²", "雪 ℃ 10 m3 W/m2", 0),
        ("cp932", "🐄 what? 🐄𠮷", "〓 what? 〓〓", 3),
        ("utf-8", "🐄 m³", "🐄 m³", 0),
    ],
)
def test_what_cp932_does_not_have_becomes_its_nearest_or_is_counted(
    encoding: Encoding, text: str, read_back: str, replaced: int
) -> None:
    form = CsvForm(TOKYO, encoding=encoding)
    assert read_back in spelled(form, [text], [None]).decode(encoding)
    assert form.replaced == replaced


def test_what_is_asked_for_is_chosen_and_a_wrong_name_has_its_nearest() -> None:
    present = [Series("s", subject, q) for subject in ("tank-1", "tank-2", "fan") for q in ("power", "voltage")]
    assert choose(present, [], []) == present
    assert choose(present, ["tank-*"], ["power"]) == [present[0], present[2]]
    with pytest.raises(UnknownName, match="no subject 'tank1'; did you mean 'tank-1'"):
        choose(present, ["tank1"], [])
    with pytest.raises(UnknownName, match="no quantity 'powr'; did you mean 'power'"):
        choose(present, [], ["powr"])
    with pytest.raises(UnknownName, match=r"no readings of 'ammonia'.*there are power, voltage"):
        choose(present, ["fan"], ["ammonia"])


def test_a_line_is_in_the_language_and_nothing_from_outside_moves_the_terminal() -> None:
    milk = Reading(Series("s", "tank-1", "milk_temperature"), NOW_MS, 4.25)
    assert ForPeople(TOKYO, "ja").reading(milk) == "2026-09-21 23:13:20.000  s  tank-1  乳温  4.2 ℃"
    assert ForPeople(TOKYO, "en").reading(milk).endswith("tank-1  milk temperature  4.2 ℃")
    evil = ForPeople(TOKYO, "en").refused(Refused(NOW_MS, "gw-1", "a\x1b[2Jb", "no\nsuch"))
    assert evil.endswith("a\\x1b[2Jb: no\\nsuch")
