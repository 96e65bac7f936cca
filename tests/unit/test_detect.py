"""The plain detector: it learns what is usual, and tells what is not, for any series alike."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterable
from zoneinfo import ZoneInfo

import pytest

from analytics.detect import Finding, PlainDetector, spells
from makiba.reading import Reading, Series, Value

TOKYO = ZoneInfo("Asia/Tokyo")
ROOM = Series("farm", "room", "air_temperature")
STATE = Series("farm", "room", "state")
T0 = 1_700_000_000_000
STEP = 600_000
DAY = 144


def days(count: float, change: Callable[[int, float], float | None] = lambda _, value: value) -> list[Reading]:
    """A room that is warmer by day, a reading each 10 min; `change` of (number, value) spoils it."""
    chance = random.Random(3)
    found = []
    for i in range(round(count * DAY)):
        value = round(15 + 5 * math.sin(2 * math.pi * i / DAY) + chance.gauss(0, 0.3), 1)
        changed = change(i, value)
        if changed is not None:
            found.append(Reading(ROOM, T0 + i * STEP, changed))
    return found


def found_in(readings: Iterable[Reading], until: float) -> list[tuple[str, float]]:
    """Kinds of what is unusual, and the days since the beginning at which it was found."""
    told = spells(PlainDetector(TOKYO), readings, T0 + round(until * DAY) * STEP)
    return sorted((s.first.kind, (s.first.time_ms - T0) / STEP / DAY) for s in told)


def test_a_usual_month_has_nothing_unusual() -> None:
    assert found_in(days(30), 30) == []


@pytest.mark.parametrize(
    ("kinds", "spoil"),
    [
        ({"spike"}, lambda i, v: 45.0 if i == 20 * DAY else v),
        ({"spike", "level"}, lambda i, v: v + 8 if i >= 20 * DAY else v),
        ({"stuck", "noise", "level"}, lambda i, v: 15.0 if i >= 20 * DAY else v),
        ({"spike", "noise"}, lambda i, v: v + (3.5 if i % 2 else -3.5) if i >= 20 * DAY and 12 < v < 18 else v),
        ({"silent"}, lambda i, v: None if i >= 20 * DAY else v),
    ],
)
def test_what_is_wrong_is_told_within_a_day_as_what_it_looks_like(
    kinds: set[str], spoil: Callable[[int, float], float | None]
) -> None:
    found = found_in(days(22, spoil), 22)
    assert found, "nothing was found"
    assert min(at for _, at in found) >= 20
    assert min(at for _, at in found) <= 21
    assert {kind for kind, _ in found} <= kinds


def test_readings_without_a_number_are_unusual_from_the_second_on() -> None:
    detector = PlainDetector(TOKYO)
    readings: list[tuple[Series, Value]] = [(ROOM, 15.0)] * 3 + [(STATE, "sentinel")]
    for i, (series, value) in enumerate(readings):
        detector.take(Reading(series, T0 + i * STEP, value))
    assert detector.findings(T0 + 3 * STEP) == []
    detector.take(Reading(STATE, T0 + 4 * STEP, "sentinel"))
    (finding,) = detector.findings(T0 + 4 * STEP)
    assert (finding.series, finding.kind, finding.signals) == (ROOM, "no-number", (ROOM,))


def test_a_finding_says_what_was_expected_and_since_when() -> None:
    detector = PlainDetector(TOKYO)
    for reading in days(20):
        detector.take(reading)
    at_ms = T0 + 20 * DAY * STEP
    assert detector.findings(at_ms) == []
    for i in range(3):
        detector.take(Reading(ROOM, at_ms + i * STEP, 40.0))
    (finding,) = detector.findings(at_ms + 2 * STEP)
    assert (finding.since_ms, finding.score > 1) == (at_ms, True)
    assert finding.band is not None
    assert finding.band.low < 10 < finding.band.expected < 20 < finding.band.high < 30


def test_memory_goes_through_json_and_goes_on_the_same() -> None:
    readings = days(16, lambda i, v: v + 9 if 15 * DAY <= i < 15.2 * DAY else v)
    whole, first = PlainDetector(TOKYO), PlainDetector(TOKYO)
    for reading in readings[: 15 * DAY + 9]:
        whole.take(reading)
        first.take(reading)
    second = PlainDetector(TOKYO)
    second.recall(json.loads(json.dumps(first.memory(), allow_nan=False)))
    told: list[list[list[Finding]]] = [[], []]
    for reading in readings[15 * DAY + 9 :]:
        for detector, into in zip((whole, second), told, strict=True):
            detector.take(reading)
            into.append(detector.findings(reading.time_ms))
    assert any(told[0])
    assert told[0][1:] == told[1][1:]


def test_counters_and_texts_are_not_looked_at() -> None:
    detector = PlainDetector(TOKYO)
    for i in range(20 * DAY):
        detector.take(Reading(Series("farm", "meter", "energy"), T0 + i * STEP, i * 1e6))
    assert detector.findings(T0 + 30 * DAY * STEP) == []
    assert detector.memory()["tracks"] == []
