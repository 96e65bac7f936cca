"""What a judge is told besides readings: what the farm says, what is foretold, its herd, its crops, the sun.

`read_facts` works it out for one farm and one moment; who judges tells it again every few minutes, and for a past
moment (a backtest) it is worked out for that moment, as far as the registry remembers: settings are those of now.

What is not known is not there, so that a rule that needs it watches nothing rather than something wrong. Names are
those of `makiba.rule_words`; a forecast's is `forecast_name(element, hours)`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from analytics.crop_facts import crop_facts
from analytics.derived.sun import SHIKAOI, sunrise_sunset_ms
from collectors.registry import animals, herd_events, said, weather
from collectors.registry.schema.herd import CropSeason, Field, HerdGroup, HerdMember
from collectors.registry.viewer import Viewer, may_see
from makiba.cow import DAY_MS, HOUR_MS, CowState
from makiba.farm_settings import FarmSettings, Window
from makiba.reading import Value
from makiba.rule_words import FORECASTS, WITHIN_H, forecast_name

Key = tuple[str, str | None]
"""A name, and the place or subject that it is said of; None: the farm."""

YOUNG_MS: Final = 21 * DAY_MS
CALF_MS: Final = 180 * DAY_MS
SOON_MS: Final = 7 * DAY_MS
MOST_ANIMALS: Final = 20_000
NIGHT: Final = (Window(21 * 60, 29 * 60),)
"""Where the farm does not say when its night is: 21:00 to 05:00."""
NOT_A_VALUE: Final = "said"
"""Stands for a setting that is no number and no word (milking times): that it was said is all a rule may ask."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known at one moment. `settings`: all of them as the farm wrote them."""

    values: Mapping[Key, Value] = field(default_factory=dict, hash=False)
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)


def read_facts(session: Session, viewer: Viewer, site: str, now_ms: int) -> Facts:
    """All that is known of `site` at `now_ms`, as far as `viewer` may see it."""
    row = said.get_settings(session, viewer, site)
    if row is None:
        return Facts()
    own = FarmSettings.of(row.settings, row.settings_version)
    zone = ZoneInfo(row.timezone)
    values: dict[Key, Value] = dict(_settings(own))
    values.update(_forecasts(session, viewer, site, now_ms))
    values.update(_herd(session, viewer, site, own, now_ms))
    grown = _fields(session, viewer, site)
    for place, season in grown.crops:
        values.update(crop_facts(place, season, datetime.fromtimestamp(now_ms / 1000, zone).date()))
    latitude, longitude = own.number("latitude"), own.number("longitude")
    at = (latitude, longitude) if latitude is not None and longitude is not None else grown.centre
    if at is None and row.timezone == "Asia/Tokyo":
        at = SHIKAOI
    if at is not None:
        values.update(sun_facts(at, zone, now_ms))
    values.update(_night(own, zone, now_ms))
    return Facts(values, dict(row.settings))


def _settings(own: FarmSettings) -> Iterator[tuple[Key, Value]]:
    for name, what in own.said.items():
        scope, _, key = name.rpartition(".")
        yield (key, scope or None), what if isinstance(what, float | str) else NOT_A_VALUE


# ------------------------------------------------------------------------------------------------------ forecasts


def _forecasts(session: Session, viewer: Viewer, site: str, now_ms: int) -> Iterator[tuple[Key, Value]]:
    """Of the time ahead the lowest of a minimum, the highest of all else that is a number, the sum of rain, and of
    words those for the soonest time. Rain and wind are there where a source tells them as numbers."""
    until_ms = now_ms + WITHIN_H[-1] * HOUR_MS
    for element in FORECASTS:
        rows = [
            row
            for row in weather.newest_forecast(session, viewer, site, element, now_ms, until_ms)
            if row.issued_ms <= now_ms
        ]
        for hours in WITHIN_H:
            ahead = [row for row in rows if row.valid_from_ms < now_ms + hours * HOUR_MS]
            numbers = [row.value for row in ahead if row.value is not None]
            name = (forecast_name(element, hours), None)
            if FORECASTS[element].is_text:
                words = next((r.words or (f"{r.value:g}" if r.value is not None else "") for r in ahead), "")
                if words:
                    yield name, words
            elif numbers:
                sums = element == "precipitation"
                lowest = element.startswith("air_temperature_min")
                yield name, sum(numbers) if sums else min(numbers) if lowest else max(numbers)


# ----------------------------------------------------------------------------------------------------------- herd


def _herd(session: Session, viewer: Viewer, site: str, own: FarmSettings, now_ms: int) -> Iterator[tuple[Key, Value]]:
    """Counts of the farm and of each place where a group lives, and each animal's own state by its number.

    A farm that keeps no herd here is believed what it says of itself instead.
    """
    rows = list(animals.list_animals(session, viewer, site, limit=MOST_ANIMALS))
    if not rows:
        for fact, key in (("cows_in_milk", "cows"), ("dry_cows", "dry_cows"), ("calves", "calves"),
                          ("calves_under_21_d", "young_calves")):  # fmt: skip
            for name, what in own.said.items():
                scope, _, word = name.rpartition(".")
                if word == key and isinstance(what, float):
                    yield (fact, scope or None), what
        return
    states = herd_events.states_of(session, viewer, site, rows, now_ms)
    where = _places_of_animals(session, site, now_ms)
    counts: dict[Key, float] = {}
    for row in rows:
        state = states[row.id]
        if state.status != "present":
            continue
        age_ms = now_ms - _day_ms(row.born_on) if row.born_on is not None else None
        for place in {None, where.get(row.id)}:
            for fact, counted in _counted(state, age_ms, now_ms):
                counts[fact, place] = counts.get((fact, place), 0.0) + counted
        for subject in filter(None, (row.national_id, row.id)):
            yield from (((name, subject), value) for name, value in animal_facts(state, now_ms))
    yield from counts.items()


def _counted(state: CowState, age_ms: int | None, now_ms: int) -> Iterator[tuple[str, float]]:
    soon = state.expected_calving_ms is not None and now_ms - SOON_MS <= state.expected_calving_ms <= now_ms + SOON_MS
    yield "cows_in_milk", float(state.lactating_since_ms is not None)
    yield "dry_cows", float(state.dry_since_ms is not None)
    yield "calves", float(age_ms is not None and age_ms < CALF_MS and not state.calvings)
    yield "calves_under_21_d", float(age_ms is not None and age_ms < YOUNG_MS)
    yield "calvings_within_7_d", float(soon)


def animal_facts(state: CowState, now_ms: int) -> Iterator[tuple[str, Value]]:
    """What a rule may ask of one animal."""
    yield "is_lactating", _yes(state.lactating_since_ms is not None)
    yield "is_dry", _yes(state.dry_since_ms is not None)
    yield "is_pregnant", _yes(state.pregnant_since_ms is not None)
    yield "is_withheld", _yes(state.milk_withheld_until_ms is not None)
    if state.days_in_milk is not None:
        yield "days_in_milk", float(state.days_in_milk)
    if state.expected_calving_ms is not None:
        yield "days_to_calving", (state.expected_calving_ms - now_ms) / DAY_MS
    last_ms = state.heat_ms or state.inseminated_ms
    if last_ms is not None:
        yield "days_since_heat", (now_ms - last_ms) / DAY_MS


def _places_of_animals(session: Session, site: str, now_ms: int) -> dict[str, str]:
    query = (
        select(HerdMember.animal_id, HerdGroup.place_id)
        .join(HerdGroup, HerdGroup.id == HerdMember.group_id)
        .where(HerdGroup.site_id == site, HerdGroup.place_id.is_not(None), HerdMember.from_ms <= now_ms)
        .where(HerdMember.to_ms.is_(None) | (HerdMember.to_ms > now_ms))
    )
    return {animal: place for animal, place in session.execute(query) if place is not None}


def _day_ms(day: Any) -> int:
    return round(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)


def _yes(so: bool) -> str:
    return "yes" if so else "no"


# ------------------------------------------------------------------------------------------------ fields and the sun


@dataclass(frozen=True, slots=True)
class _Grown:
    crops: tuple[tuple[str, CropSeason], ...] = ()
    centre: tuple[float, float] | None = None


def _fields(session: Session, viewer: Viewer, site: str) -> _Grown:
    """What grows in each place, and (latitude, longitude) of the middle of the farm's fields."""
    if not may_see(viewer, site, "field"):
        return _Grown()
    rows = session.scalars(select(Field).where(Field.site_id == site).order_by(Field.id)).all()
    places = {row.id: row.place_id for row in rows if row.place_id is not None}
    seasons = session.scalars(
        select(CropSeason)
        .where(CropSeason.site_id == site, CropSeason.harvested_on.is_(None))
        .order_by(CropSeason.id)
    )
    crops = tuple((places[s.field_id], s) for s in seasons if s.field_id in places)
    points = [point for row in rows if row.outline for point in _points(row.outline.get("coordinates"))]
    if not points:
        return _Grown(crops)
    east, north = np.mean(np.array(points, dtype=float), axis=0)
    return _Grown(crops, (float(north), float(east)))


def _points(coordinates: Any) -> Iterator[tuple[float, float]]:
    if isinstance(coordinates, list) and coordinates and isinstance(coordinates[0], int | float):
        yield float(coordinates[0]), float(coordinates[1])
    elif isinstance(coordinates, list):
        for inner in coordinates:
            yield from _points(inner)


def sun_facts(at: tuple[float, float], zone: ZoneInfo, now_ms: int) -> Iterator[tuple[Key, Value]]:
    """Hours to the next sunrise and sunset at (latitude, longitude); none where the sun does not."""
    today = np.datetime64(datetime.fromtimestamp(now_ms / 1000, zone).date())
    days = today + np.arange(-1, 3)
    for name, times in zip(("hours_to_sunrise", "hours_to_sunset"), sunrise_sunset_ms(days, *at), strict=True):
        ahead = times[times > now_ms]
        if len(ahead) and ahead[0] - now_ms <= 36 * HOUR_MS:
            yield (name, None), float(ahead[0] - now_ms) / HOUR_MS


def _night(own: FarmSettings, zone: ZoneInfo, now_ms: int) -> Iterator[tuple[Key, Value]]:
    windows = own.windows("night") or NIGHT
    at = datetime.fromtimestamp(now_ms / 1000, zone)
    yield ("is_night", None), _yes(any(at.hour * 60 + at.minute in window for window in windows))
