"""What a judge is told besides readings: settings, forecasts, herd, crops and the sun, from a real registry."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy.orm import Session

from analytics.crop_facts import crop_of
from analytics.facts import read_facts, sun_facts
from collectors.registry import Registry, animals, groups, herd_events, open_registry, weather
from collectors.registry.herd_events import Told
from collectors.registry.schema.herd import Animal, CropSeason, Field
from collectors.registry.sites import PlaceSpec, SiteSpec, apply_site
from collectors.registry.viewer import Service
from collectors.registry.weather import Foretold, WeatherSpec
from makiba.herd_event import parse_detail
from makiba.rule_words import FACTS

ME, CONSOLE = Service("analytics"), Service("console")
SITE = "farm-9"
NOON = round(datetime(2026, 6, 10, 3, tzinfo=UTC).timestamp() * 1000)
"""Noon of 10 June in Japan."""
HOUR, DAY = 3_600_000, 86_400_000
SAID = {"cows": 70, "young_calves": 3, "milking_times": ["05:00-07:00"], "barn-1.barn_type": "freestall",
        "vacuum_setpoint": 46, "night": ["20:00-04:00"]}  # fmt: skip


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    made = open_registry(f"sqlite:///{tmp_path / 'registry.db'}", migrate=True)
    spec = SiteSpec(
        SITE, "牧場", "farm",
        places=(PlaceSpec("barn-1", "barn", "牛舎", "barn"), PlaceSpec("f-1", "field", "畑", "field")),
        weather=WeatherSpec("014030", "014030"), settings=SAID,
    )  # fmt: skip
    with made.write() as session:
        apply_site(session, CONSOLE, spec, NOON - 90 * DAY)
    yield made
    made.close()


def told(registry: Registry, now_ms: int = NOON) -> dict[tuple[str, str | None], float | str]:
    with registry.read() as session:
        return dict(read_facts(session, ME, SITE, now_ms).values)


def test_settings_are_told_as_rules_see_them_and_a_farm_without_a_herd_is_believed(registry: Registry) -> None:
    found = told(registry)
    assert found["vacuum_setpoint", None] == 46_000
    assert found["barn_type", "barn-1"] == "freestall"
    assert isinstance(found["milking_times", None], str), "said, and no number"
    assert (found["cows_in_milk", None], found["calves_under_21_d", None]) == (70, 3)
    assert ("dry_cows", None) not in found
    with registry.read() as session:
        assert read_facts(session, ME, SITE, NOON).settings == SAID
        assert read_facts(session, ME, "nobody", NOON).values == {}


def test_a_herd_is_counted_for_the_farm_and_where_it_lives_and_each_animal_is_told(registry: Registry) -> None:
    born = datetime.fromtimestamp(NOON / 1000, UTC).date()
    with registry.write() as session:
        group = groups.add(
            session, CONSOLE, SITE,
            {"name_ja": "群", "name_en": "group", "kind": "lactating", "place_id": "barn-1"}, NOON - DAY,
        )  # fmt: skip
        cow = animals.add(session, CONSOLE, SITE, {"national_id": "1412345670", "breed": "holstein"}, NOON - DAY)
        dry = animals.add(session, CONSOLE, SITE, {"number": "7", "breed": "holstein"}, NOON - DAY)
        animals.add(session, CONSOLE, SITE, {"number": "8", "born_on": born}, NOON - DAY)
        happened: list[tuple[Animal, int, dict[str, Any]]] = [
            (cow, 100, {"kind": "calving"}), (cow, 90, {"kind": "move", "group": group.id}),
            (dry, 270, {"kind": "insemination", "result": "pregnant"}), (dry, 60, {"kind": "dry-off"}),
            (dry, 60, {"kind": "move", "group": group.id}),
        ]  # fmt: skip
        for animal, days, what in happened:
            detail = parse_detail(what)
            herd_events.enter(session, CONSOLE, animal, Told(NOON - days * DAY, detail), NOON - DAY)
        dry_id = dry.id
    with registry.read() as session:
        first = read_facts(session, ME, SITE, NOON)
    found = first.values
    assert [found[name, None] for name in ("cows_in_milk", "dry_cows", "calves_under_21_d", "calves")] == [1, 1, 1, 1]
    assert [found.get((name, "barn-1"), 0) for name in ("cows_in_milk", "dry_cows", "calves")] == [1, 1, 0]
    assert (found["is_lactating", "1412345670"], found["days_in_milk", "1412345670"]) == ("yes", 100)
    assert (found["is_pregnant", dry_id], found["days_to_calving", dry_id]) == ("yes", 10)
    with registry.read() as session:
        assert read_facts(session, ME, SITE, NOON + HOUR // 2, first).herd is first.herd, "its book is the same"
    with registry.write() as session:
        milked = animals.find_subject(session, CONSOLE, SITE, "1412345670", NOON)
        assert milked is not None
        herd_events.enter(session, CONSOLE, milked, Told(NOON, parse_detail({"kind": "dry-off"})), NOON)
        assert read_facts(session, ME, SITE, NOON + HOUR // 2, first).values["dry_cows", None] == 2


def test_a_forecast_is_the_lowest_the_highest_or_the_sum_of_the_time_ahead(registry: Registry) -> None:
    def row(element: str, from_h: int, value: float, issued_h: int = -1) -> Foretold:
        at = NOON + from_h * HOUR
        return Foretold("014030", element, NOON + issued_h * HOUR, at, at + 6 * HOUR, value, None, "test")

    rows = [row("air_temperature_min", h, c) for h, c in ((0, 9.0), (15, 2.0), (40, -1.0))]
    rows += [row("precipitation", h, 0.002) for h in (0, 6, 30)] + [row("air_temperature_max", 0, 99.0, issued_h=1)]
    with registry.write() as session:
        weather.add_forecasts(session, Service("collector"), rows)
    found = told(registry)
    assert [found["air_temperature_min_6h", None], found["air_temperature_min_24h", None]] == [9.0, 2.0]
    assert found["air_temperature_min_48h", None] == -1.0
    assert found["precipitation_24h", None] == pytest.approx(0.004)
    assert found["precipitation_72h", None] == pytest.approx(0.006)
    assert ("air_temperature_max_24h", None) not in found, "not issued yet"


def test_a_crop_has_its_numbers_in_the_place_where_it_grows(registry: Registry) -> None:
    with registry.write() as session:
        _grow(session, "馬鈴薯（トヨシロ）", date(2026, 4, 28))
    found = told(registry)
    assert found["crop", "f-1"] == "potato"
    assert (found["crop_pf_start", "f-1"], found["crop_frost", "f-1"]) == (2.5, -1.0)
    assert (found["days_since_emergence", "f-1"], found["crop_canopy", "f-1"]) == (18, "no")
    assert found["crop_irrigation_pays", "f-1"] == "yes"
    assert told(registry, NOON + 60 * DAY)["crop_irrigation_pays", "f-1"] == "no"
    assert ("days_since_emergence", "f-1") not in told(registry, NOON - 30 * DAY)


def _grow(session: Session, crop: str, sown: date) -> None:
    field = Field(id="f", site_id=SITE, name_ja="畑", name_en="field", kind="field", place_id="f-1", outline=None,
                  area_m2=None, created_ms=0, changed_ms=0, created_by="test")  # fmt: skip
    season = CropSeason(id="s", site_id=SITE, field_id="f", crop=crop, sown_on=sown, planted_on=None,
                        harvested_on=None, created_ms=0, changed_ms=0, created_by="test")  # fmt: skip
    session.add(field)
    session.flush()
    session.add(season)


@pytest.mark.parametrize(
    ("words", "crop"),
    [("春まき小麦", "spring-wheat"), ("秋まき小麦", "wheat"), ("てん菜", "sugar-beet"), ("大豆", "soybean"),
     ("小豆", "bean"), ("Potato (May Queen)", "potato"), ("デントコーン", "maize"), ("玉ねぎ", "onion"),
     ("にんじん", None)],
)  # fmt: skip
def test_a_crop_is_known_by_the_words_people_write(words: str, crop: str | None) -> None:
    assert crop_of(words) == crop


def test_the_sun_is_told_until_it_rises_and_not_where_it_does_not() -> None:
    tokyo = ZoneInfo("Asia/Tokyo")
    found = dict(sun_facts((43.10, 142.99), tokyo, NOON))
    assert 15.5 < found["hours_to_sunrise", None] < 16.1, "03:47 on 11 June in Shikaoi"  # type: ignore[operator]
    assert 6.9 < found["hours_to_sunset", None] < 7.3  # type: ignore[operator]
    assert dict(sun_facts((80.0, 20.0), ZoneInfo("UTC"), NOON)) == {}


def test_every_fact_is_a_word_that_rules_know(registry: Registry) -> None:
    with registry.write() as session:
        _grow(session, "potato", date(2026, 4, 28))
    from makiba.farm_settings import keys

    assert {name for name, _ in told(registry)} <= set(FACTS) | set(keys())
    assert told(registry)["is_night", None] == "no"
    assert told(registry, NOON + 9 * HOUR)["is_night", None] == "yes"
