"""When a rule watches: local days and local times of day, over the new year, midnight and a changed clock."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from makiba.rule_model import HourSpan, SeasonSpan
from makiba.season import Gate


def ms(text: str, zone: str = "Asia/Tokyo") -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def season(start: str, end: str, zone: str = "Asia/Tokyo") -> Gate:
    return Gate(SeasonSpan.model_validate({"from": start, "to": end}).season, None, zone)


def hours(start: str, end: str, zone: str = "Asia/Tokyo") -> Gate:
    return Gate(None, HourSpan.model_validate({"from": start, "to": end}).window, zone)


@pytest.mark.parametrize(
    ("span", "at", "is_open"),
    [
        (("05-01", "10-31"), "2026-04-30T23:59:59", False),
        (("05-01", "10-31"), "2026-05-01T00:00:00", True),
        (("05-01", "10-31"), "2026-10-31T23:59:59", True),
        (("05-01", "10-31"), "2026-11-01T00:00:00", False),
        (("11-01", "04-15"), "2026-12-31T23:59:59", True),
        (("11-01", "04-15"), "2027-01-01T00:00:00", True),
        (("11-01", "04-15"), "2027-04-16T00:00:00", False),
        (("02-01", "02-29"), "2027-02-28T23:00:00", True),
        (("02-01", "02-29"), "2027-03-01T00:00:00", False),
        (("02-01", "02-29"), "2028-02-29T23:00:00", True),
    ],
)
def test_a_season_holds_both_its_days(span: tuple[str, str], at: str, is_open: bool) -> None:
    assert season(*span).in_season(ms(at)) is is_open


@pytest.mark.parametrize(
    ("span", "at", "is_open"),
    [
        (("20:00", "05:00"), "2026-07-01T19:59:59", False),
        (("20:00", "05:00"), "2026-07-01T20:00:00", True),
        (("20:00", "05:00"), "2026-07-02T04:59:59", True),
        (("20:00", "05:00"), "2026-07-02T05:00:00", False),
        (("08:00", "17:00"), "2026-07-02T07:59:59", False),
        (("08:00", "17:00"), "2026-07-02T12:00:00", True),
    ],
)
def test_hours_hold_their_beginning_and_not_their_end(span: tuple[str, str], at: str, is_open: bool) -> None:
    assert hours(*span).in_hours(ms(at)) is is_open


def test_what_is_remembered_never_answers_for_another_time() -> None:
    kept = Gate(season("05-01", "10-31")._season, hours("20:00", "05:00")._hours, "Europe/Berlin")
    start = ms("2026-03-20T00:00", "Europe/Berlin")
    for step in range(0, 300 * 24 * 3_600_000, 5_411_000):
        for at in (start + step, start + (step * 7919) % (300 * 24 * 3_600_000)):
            fresh = Gate(kept._season, kept._hours, "Europe/Berlin")
            local = datetime.fromtimestamp(at / 1000, ZoneInfo("Europe/Berlin"))
            assert kept.in_season(at) is fresh.in_season(at) is ((5, 1) <= (local.month, local.day) <= (10, 31))
            assert kept.in_hours(at) is fresh.in_hours(at) is (local.hour >= 20 or local.hour < 5)


def test_the_next_change_is_when_an_answer_is_another_one() -> None:
    gate = Gate(season("05-01", "10-31")._season, hours("20:00", "05:00")._hours)
    assert gate.next_change_ms(ms("2026-07-01T12:00")) == ms("2026-07-01T20:00")
    assert gate.next_change_ms(ms("2026-04-30T21:00")) == ms("2026-05-01T00:00")
    assert Gate().next_change_ms(ms("2026-07-01T12:00")) is None
