"""A chart as SVG: what stands in it, where its axis is marked, and what nothing in it can do."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import pytest

from analytics.chart import Chart, Language, Limit, Panel, Point, Spell, svg, time_ticks, value_ticks
from analytics.chart_png import NoFont, language_for, png

TOKYO, AMSTERDAM = ZoneInfo("Asia/Tokyo"), ZoneInfo("Europe/Amsterdam")
T0 = 1_700_000_000_000
MINUTE, HOUR = 60_000, 3_600_000


def chart(name: str = "milk", language: Language = "en", points: int = 60) -> Chart:
    values = [Point(T0 + i * MINUTE, 3.9 + i / 20, 4.0 + i / 20, 4.1 + i / 20) for i in range(points)]
    panel = Panel(
        name,
        "℃",
        1,
        values,
        [Limit(5.0, "above", "limit")],
        spells=[Spell(T0 + 30 * MINUTE, None, "critical", "critical")],
    )
    return Chart("Milk is too warm", [panel], T0, T0 + HOUR, TOKYO, language)


def texts(drawn: str) -> list[str]:
    return [e.text or "" for e in ElementTree.fromstring(drawn).iter() if e.tag.endswith("text")]


def test_all_that_colour_says_is_said_in_words() -> None:
    said = texts(svg(chart()))
    assert {"milk (℃)", "limit 5.0 ℃", "critical", "normal range"} <= set(said)


def test_nothing_in_it_runs_or_is_fetched_whatever_things_are_called() -> None:
    drawn = svg(chart('"><script>alert(1)</script>\x00 & <img src=x>'))
    root = ElementTree.fromstring(drawn)
    assert {e.tag.rpartition("}")[2] for e in root.iter()} <= {"svg", "title", "rect", "text", "path", "polygon",
                                                               "polyline", "circle"}  # fmt: skip
    assert not any(key.startswith("on") or "href" in key for e in root.iter() for key in e.attrib)


def test_a_chart_without_a_value_says_so() -> None:
    assert "no records" in texts(svg(chart(points=0)))
    assert "記録が ありません" in texts(svg(chart(points=0, language="ja")))


def test_points_far_apart_are_not_joined() -> None:
    points = [Point(T0 + i * MINUTE, 4, 4, 4) for i in (0, 1, 2, 30, 31, 32)]
    panel = Panel("milk", "", 1, points, gap_ms=3 * MINUTE)
    assert svg(Chart("t", [panel], T0, T0 + HOUR, TOKYO, "en")).count("<polyline") == 2


@pytest.mark.parametrize(
    ("begin", "hours", "zone", "language", "expected"),
    [
        ("2023-11-15T07:13", 1, TOKYO, "ja", ["7:20", "7:30", "7:40", "7:50", "8:00", "8:10"]),
        ("2023-11-14T20:10", 9, TOKYO, "ja", ["22:00", "11月15日", "2:00", "4:00"]),
        ("2023-10-28T18:00", 24, AMSTERDAM, "en", ["18:00", "29 Oct", "6:00", "12:00"]),  # the clock goes back
        ("2024-03-30T18:00", 24, AMSTERDAM, "en", ["18:00", "31 Mar", "6:00", "12:00", "18:00"]),  # and forward
        ("2023-11-01T00:00", 24 * 40, TOKYO, "en", ["2 Nov", "9 Nov", "16 Nov", "23 Nov", "30 Nov", "7 Dec"]),
    ],
)
def test_the_axis_is_marked_at_round_local_times(
    begin: str, hours: int, zone: ZoneInfo, language: Language, expected: list[str]
) -> None:
    start_ms = round(datetime.fromisoformat(begin).replace(tzinfo=zone).timestamp() * 1000)
    ticks = time_ticks(start_ms, start_ms + hours * HOUR - 1, zone, language, 6)
    assert [label for _, label in ticks] == expected


def test_values_are_marked_at_round_numbers() -> None:
    assert value_ticks(3.62, 7.4) == pytest.approx([4, 5, 6, 7])
    assert value_ticks(-0.0004, 0.0011) == pytest.approx([0, 0.0005, 0.001])


def test_without_a_font_there_is_no_png_and_with_a_latin_one_it_is_english(tmp_path: Path) -> None:
    with pytest.raises(NoFont, match="fonts-ipaexfont-gothic"):
        png(svg(chart()), 480, [tmp_path])
    (tmp_path / "DejaVuSans.ttf").write_bytes(b"")
    assert language_for("ja", [tmp_path]) == "en"
    (tmp_path / "ipaexg.ttf").write_bytes(b"")
    assert language_for("ja", [tmp_path]) == "ja"
