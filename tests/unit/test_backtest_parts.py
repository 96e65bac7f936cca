"""The parts of a backtest that are pure: order in flat memory, scoring, comparing, guessing what a column is."""

from __future__ import annotations

import random

import pytest

from analytics.backtest.changes import compare
from analytics.backtest.columns import Guess, guess
from analytics.backtest.forms import time_format
from analytics.backtest.labels import FaultEntry, LabelledFile, score
from analytics.backtest.ordered import Course, Ordered
from analytics.replay import Outcome
from makiba.reading import Reading, Series
from makiba.rule import Severity

A, B, STATE = (Series("s", "a", "value"), Series("s", "b", "value"), Series("s", "a", "state"))
T0, H = 1_700_000_000_000, 3_600_000


@pytest.mark.parametrize("together", [7, 50, 10_000])
def test_readings_come_in_order_as_often_as_asked_for_and_the_later_of_two_counts(together: int) -> None:
    chance = random.Random(1)
    given = [Reading(chance.choice([A, B]), T0 + chance.randrange(500), chance.random()) for _ in range(400)]
    given += [Reading(STATE, T0 + chance.randrange(500), chance.choice(["ok", "timeout"])) for _ in range(40)]
    chance.shuffle(given)
    expected = sorted({(r.time_ms, r.series): r.value for r in given}.items())
    with Ordered(together) as ordered:
        ordered.add(given)
        for _ in range(2):
            told = list(ordered.readings())
            assert [r.time_ms for r in told] == sorted(r.time_ms for r in told)
            assert sorted(((r.time_ms, r.series), r.value) for r in told) == expected
        assert ordered.courses[A].count + ordered.courses[B].count == 400


def test_how_often_a_series_comes_is_what_is_usual_or_of_one_that_likes_what_is_rarely_exceeded() -> None:
    regular, at_will = Course(), Course()
    for i in range(1000):
        regular.take(i * 60_000 + (i % 7) * 100)
    at_ms = 0
    for i in range(1000):
        at_ms += 1_800_000 if i % 20 == 0 else 300_000
        at_will.take(at_ms)
    assert regular.every_ms == pytest.approx(60_000, rel=0.02)
    assert at_will.every_ms == 1_800_000


@pytest.mark.parametrize(
    ("head", "stem", "numbers", "expected"),
    [
        ("value", "tank_temp-0", [3.9, 4.1], Guess("milk_temperature", "Cel", "tank-room")),
        ("気温(℃)", "barn", [20.0], Guess("air_temperature", "Cel", "barn")),
        ("kastemperatuur - °C  (afd 1) - Temperature (°C)", "x", [28.8], Guess("air_temperature", "Cel", "")),
        ("Sensor 3 - Absolute Humidity (g/m3)", "x", [12.0], Guess("value", None, "")),
        ("soil ec (µS/cm)", "x", [540.0], Guess("soil_conductivity", "uS/cm", "field")),
        ("Air pressure (hPa)", "station", [0.0, 0.0], Guess("value", None, "station")),
        ("column 7", "x", [1.0], Guess("value", None, "")),
    ],
)
def test_a_column_is_what_its_words_say_when_its_numbers_can_be_that(
    head: str, stem: str, numbers: list[float], expected: Guess
) -> None:
    assert guess(head, stem, numbers) == expected


@pytest.mark.parametrize(
    ("cell", "form"),
    [
        ("1700000000", "unix"), ("1700000000123", "unix-ms"), ("2020-08-16 12:45:00", "iso"),
        ("2023/11/15 8:20", "auto"), ("16-08-2020 12:45", "%d-%m-%Y %H:%M"), ("12.5", ""), ("tank", ""),
    ],
)  # fmt: skip
def test_a_time_is_known_by_its_form(cell: str, form: str) -> None:
    assert time_format(cell) == form


def alert(
    onset: float, raised: float, ended: float | None, severity: Severity = "warning", subject: str = "a"
) -> Outcome:
    ended_ms = None if ended is None else round(ended * H)
    return Outcome("r", subject, round(onset * H), round(raised * H), ended_ms, severity)


def test_alerts_are_the_same_when_they_were_there_at_the_same_time() -> None:
    before = [alert(1, 2, 3), alert(5, 6, 7), alert(9, 9, None), alert(1, 2, 3, subject="b")]
    after = [alert(1, 2, 3), alert(6, 6.5, 7, "critical"), alert(20, 21, 22), alert(30, 31, 32, subject="b")]
    found = compare(before, after)
    assert found.same == 1
    assert [(m.before.onset_ms, m.after.severity) for m in found.moved] == [(5 * H, "critical"), (9 * H, "warning")]
    assert [(o.subject, o.onset_ms) for o in found.gained] == [("b", 30 * H)]
    assert [(o.subject, o.onset_ms) for o in found.lost] == [("b", 1 * H)]


def label(*faults: tuple[float, float, float], excused: tuple[float, float] | None = None) -> LabelledFile:
    """Faults as (start, deadline, end) in hours; the whole file is 304.4 days, scored from hour 10 on."""
    entries = [FaultEntry(name="f", start=s * 3600, visible=s * 3600, deadline=d * 3600, end=e * 3600)
               for s, d, e in faults]  # fmt: skip
    spans = [(excused[0] * 3600, excused[1] * 3600)] if excused else []
    return LabelledFile(scored_from=36_000, until=304.4 * 86_400 + 36_000, grid=60, faults=entries, excused=spans)


def test_a_fault_is_found_by_an_alert_that_begins_in_it() -> None:
    told = score({"x": label((20, 22, 30), (50, 51, 60), (80, 81, 90))}, {"x": [
        alert(21, 21.5, 22), alert(15, 16, 55), alert(84, 85, 86), alert(200, 201, 202),
    ]}, {})  # fmt: skip
    assert [(j.found is not None, j.is_in_time) for j in told.faults] == [
        (False, False),
        (False, False),
        (True, False),
    ]
    assert [o.raised_ms for _, o in told.false] == [16 * H, 201 * H]


def test_alerts_that_follow_each_other_within_two_hours_are_one_and_excused_ones_are_nobodys_mistake() -> None:
    alerts = [
        alert(5, 6, 7),
        alert(100, 100, 101),
        alert(102, 102.5, 103),
        alert(106, 106, 107),
        alert(150, 150, 151),
    ]
    told = score({"x": label(excused=(149, 152))}, {"x": alerts}, {})
    assert [o.raised_ms for _, o in told.false] == [100 * H, 106 * H]
    assert told.months == pytest.approx(10.0, rel=0.001)
    assert told.false_per_month == pytest.approx(0.2, rel=0.001)
