"""What the weather services' answers mean: forecasts, warnings in both forms, observations; and what is refused."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.registry.weather import ELEMENTS
from collectors.ways import jma_json, jma_xml, wagri
from collectors.ways.fetch import wait_after
from collectors.ways.jma_codes import KINDS, kind_of
from collectors.ways.jma_json import UnknownForm
from collectors.ways.jma_warnings import Bulletin, InForce, changes, spell
from tests.parts import ROOT

CASES = ROOT / "tests/cases/ways/weather"
JST = timezone(timedelta(hours=9))
TOWN = "0163400"


def body(name: str) -> bytes:
    return (CASES / name).read_bytes()


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=JST).timestamp() * 1000)


# ----------------------------------------------------------------------------------------------------- forecasts


def test_tonights_minimum_has_its_window_and_its_issue() -> None:
    rows = jma_json.parse_forecast(body("forecast-014030.json"))
    minimum = next(r for r in rows if r.element == "air_temperature_min" and r.area == "20432")
    assert (minimum.value, minimum.issued_ms) == (2.0, ms("2026-05-30T17:00"))
    assert (minimum.valid_from_ms, minimum.valid_to_ms) == (ms("2026-05-31T00:00"), ms("2026-05-31T09:00"))
    maximum = next(r for r in rows if r.element == "air_temperature_max")
    assert (maximum.value, maximum.valid_to_ms) == (21.0, ms("2026-05-31T18:00"))


def test_the_minimum_of_the_day_of_issue_is_no_forecast() -> None:
    rows = jma_json.parse_forecast(body("forecast-morning.json"))
    minima = [(r.valid_from_ms, r.value) for r in rows if r.element == "air_temperature_min"]
    assert minima == [(ms("2026-06-01T00:00"), 8.0)]


def test_the_week_fills_in_behind_the_first_days() -> None:
    rows = jma_json.parse_forecast(body("forecast-014030.json"))
    by = {(r.area, r.element, r.valid_from_ms): r for r in rows}
    assert len(by) == len(rows), "one value for each element and time"
    assert by["20432", "air_temperature_min", ms("2026-06-01T00:00")].value == 7.0
    assert by["20432", "air_temperature_min_lower", ms("2026-06-02T00:00")].value == 7.0
    assert by["014030", "precipitation_probability", ms("2026-05-31T06:00")].value == 0.1
    assert by["014030", "precipitation_probability", ms("2026-06-02T00:00")].value == 0.6
    assert by["014030", "weather", ms("2026-05-31T00:00")].words == "晴れ 時々 くもり"
    assert by["014030", "reliability", ms("2026-06-02T00:00")].words == "B"
    assert {r.element for r in rows} <= set(ELEMENTS)


@pytest.mark.parametrize(
    "wrong",
    [b"<html>", b"{}", b"[]", b'[{"timeSeries": 1}]', b'[{"reportDatetime": "x", "timeSeries": []}]'],
)
def test_what_is_no_forecast_is_refused(wrong: bytes) -> None:
    with pytest.raises(UnknownForm):
        jma_json.parse_forecast(wrong)


def test_more_values_than_times_is_a_form_that_is_not_known() -> None:
    reports = json.loads(body("forecast-014030.json"))
    reports[0]["timeSeries"][1]["timeDefines"].pop()
    with pytest.raises(UnknownForm, match="precipitation_probability of 014030 has more values than times"):
        jma_json.parse_forecast(json.dumps(reports).encode())


def test_wagris_words_are_read_with_their_days() -> None:
    rows = wagri.parse_forecast(body("wagri-forecast.json"))
    weather = [(r.area, r.valid_from_ms, r.valid_to_ms, r.words) for r in rows if r.element == "weather"]
    assert weather == [
        ("wagri:十勝地方", ms("2026-05-30T17:00"), ms("2026-05-31T00:00"), "晴れ"),
        ("wagri:十勝地方", ms("2026-05-31T00:00"), ms("2026-06-01T00:00"), "晴れ 時々 くもり"),
    ]


# ------------------------------------------------------------------------------------------------------ warnings


def in_force(known: list[InForce], found: Any) -> list[InForce]:
    ended = {(one.code, one.since_ms) for one, _ in found.ended}
    kept = {(one.code, one.since_ms): one for one in known}
    kept |= {(one.code, one.since_ms): one for one in found.kept}
    return [one for key, one in sorted(kept.items()) if key not in ended]


def of_town(bulletins: list[Bulletin]) -> list[Bulletin]:
    return [b for b in bulletins if b.area == TOWN]


def test_warnings_begin_go_on_and_end() -> None:
    evening = of_town(jma_json.parse_warnings(body("warnings-evening.json")))
    known = in_force([], changes([], evening))
    assert [(w.code, w.since_ms) for w in known] == [
        ("15", ms("2026-05-30T10:00")), ("21", ms("2026-05-30T16:10")), ("24", ms("2026-05-30T16:10")),
    ]  # fmt: skip
    assert changes(known, evening).kept == ()
    morning = changes(known, of_town(jma_json.parse_warnings(body("warnings-morning.json"))))
    assert {(w.code, at) for w, at in morning.ended} == {
        ("24", ms("2026-05-31T08:30")), ("15", ms("2026-05-31T06:00")),
    }  # fmt: skip
    after = in_force(known, morning)
    assert [(w.code, w.status) for w in after] == [("21", "継続"), ("29", "警報から注意報"), ("77", "発表")]
    assert spell(w.code for w in after) == "コード77、乾燥注意報、レベル2土砂災害注意報"


def test_json_and_xml_say_the_same() -> None:
    frost = of_town(jma_xml.parse_telegram(body("telegram-frost.xml"), "VPWW61"))
    evening = of_town(jma_json.parse_warnings(body("warnings-evening.json")))
    json_frost = [b for b in evening if b.telegram == "VPWW61"]
    assert [(b.area, b.telegram, b.reported_ms, b.kinds) for b in frost] == [
        (b.area, b.telegram, b.reported_ms, b.kinds) for b in json_frost
    ]
    known = in_force([], changes([], frost))
    lifted = changes(known, of_town(jma_xml.parse_telegram(body("telegram-lifted.xml"), "VPWW61")))
    assert {w.code for w, _ in lifted.ended} == {"21", "24"}, "what a newer bulletin does not name is over"


def test_drills_are_not_taken_and_dtds_not_parsed() -> None:
    assert jma_xml.parse_telegram(body("telegram-drill.xml"), "VPWW58") == []
    bomb = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa">]><Report>&a;</Report>'
    for wrong in (bomb, bomb.decode().encode("utf-16"), b"<Report>", b"<Report/>"):
        with pytest.raises(UnknownForm):
            jma_xml.parse_telegram(wrong, "VPWW61")


def test_a_feed_gives_the_telegrams_of_the_offices_the_oldest_first() -> None:
    entries = jma_xml.parse_feed(body("feed.xml"), frozenset({"014030"}))
    assert [(e.url.rpartition("/")[2], e.telegram) for e in entries] == [
        ("20260530071005_0_VPWW61_014030.xml", "VPWW61"),
        ("20260530073000_0_VPWW61_014030.xml", "VPWW61"),
    ]


_CODES = ["10", "03", "24", "21", "15"]
_bulletins = st.lists(
    st.builds(
        lambda at, kinds, telegram: Bulletin(TOWN, telegram, at * 1000, tuple(kinds), "t"),
        st.integers(0, 6),
        st.lists(st.tuples(st.sampled_from(_CODES), st.sampled_from(["発表", "継続", "解除"])), max_size=3),
        st.sampled_from(["VPWW55", "VPWW61", "VPWW58", ""]),
    ),
    max_size=6,
    unique_by=lambda bulletin: bulletin.reported_ms,  # two of one minute could contradict each other
)


def test_an_old_bulletin_does_not_bring_back_what_is_over() -> None:
    old = Bulletin(TOWN, "VPWW61", 1000, (("24", "発表"),), "t")
    assert changes([], [old], {(TOWN, "24"): 2000}).kept == ()
    assert len(changes([], [old], {(TOWN, "24"): 500}).kept) == 1


@given(_bulletins, _bulletins)
def test_bulletins_again_change_nothing_and_nothing_is_both_kept_and_ended(
    first: list[Bulletin], second: list[Bulletin]
) -> None:
    known = in_force([], changes([], first))
    found = changes(known, second)
    after = in_force(known, found)
    assert len({w.code for w in after}) == len(after), "one in force of each kind"
    again = changes(after, second, {(one.area, one.code): at_ms for one, at_ms in found.ended})
    assert {w.code for w in in_force(after, again)} == {w.code for w in after}
    for one, at_ms in found.ended:
        assert at_ms >= one.reported_ms


def test_the_codes_are_complete_and_unknown_ones_keep_their_number() -> None:
    assert len(KINDS) == 36  # the 37 of 別表3 without 00, 解除
    assert {kind.level for kind in KINDS.values()} == {"advisory", "warning", "danger", "special"}
    assert (kind_of("98").name_ja, kind_of("98").level) == ("コード98", "unknown")
    assert spell([]) == "なし"


# -------------------------------------------------------------------------------------------------------- AMeDAS


def test_observations_are_in_our_units_and_doubtful_ones_are_left_out() -> None:
    rows = jma_json.parse_amedas(body("amedas-20361-20260530_15.json"))
    by = {(r.quantity, r.time_ms): r.value for r in rows}
    at, doubtful = ms("2026-05-30T17:30"), ms("2026-05-30T17:40")
    assert by["air_temperature", at] == 12.4
    assert by["relative_humidity", at] == 48.0
    assert by["air_pressure", at] == 98540.0
    assert by["rain_10min", at] == 0.0005
    assert by["sunshine_10min", at] == 600.0
    assert by["wind_direction", at] == pytest.approx(4.71238898)  # west: 270°
    assert ("air_temperature", doubtful) not in by
    assert ("wind_direction", doubtful) not in by, "calm has no direction"
    assert by["wind_speed", doubtful] == 0.0
    assert "wind_gust" not in {r.quantity for r in rows}, "the day's highest is not this moment's"


def test_the_files_of_a_station_begin_at_three_hours_of_japan_and_reach_back_a_day() -> None:
    latest = ms("2026-05-30T17:50")
    assert [f[-16:] for f in jma_json.amedas_files("20361", latest, latest)] == ["20260530_15.json"]
    assert [f[-16:] for f in jma_json.amedas_files("20361", ms("2026-05-30T14:50"), latest)] == [
        "20260530_12.json", "20260530_15.json",
    ]  # fmt: skip
    files = jma_json.amedas_files("20361", 0, latest)
    assert len(files) == 9
    assert files[0] == "bosai/amedas/data/point/20361/20260529_15.json"


@pytest.mark.parametrize("wrong", [b"[]", b'{"2026": {}}', b'{"20260530150000": 3}', b"x"])
def test_what_are_no_observations_is_refused(wrong: bytes) -> None:
    with pytest.raises(UnknownForm):
        jma_json.parse_amedas(wrong)


def test_failures_back_off_and_a_server_that_asks_for_more_gets_it() -> None:
    assert [wait_after(n, 0) for n in (1, 2, 3)] == [60, 120, 240]
    assert wait_after(20, 0) == 3600
    assert wait_after(1, 7200) == 7200
    assert wait_after(1, 1e9) == 86_400
