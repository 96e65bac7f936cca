"""What a judge is told besides readings: what the farm says, what is foretold, its herd, its crops, the sun.

`read_facts` works it out for one farm and one moment; who judges tells it again every few minutes, and for a past
moment (a backtest) it is worked out for that moment, as far as the registry remembers: settings are those of now.

What is not known is not there, so that a rule that needs it watches nothing rather than something wrong. Names are
those of `makiba.rule_words`; a forecast's is `forecast_name(element, hours)`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from analytics.crop_facts import crop_facts
from analytics.derived.sun import SHIKAOI, sunrise_sunset_ms
from analytics.herd_facts import NOBODY, HerdFacts, Key, read_herd, said_herd, yes
from collectors.registry import said, weather
from collectors.registry.schema.herd import CropSeason, Field
from collectors.registry.viewer import Viewer, may_see
from makiba.cow import HOUR_MS
from makiba.farm_settings import FarmSettings, Window
from makiba.reading import Value
from makiba.rule_words import FORECASTS, WITHIN_H, forecast_name

NIGHT: Final = (Window(21 * 60, 29 * 60),)
"""Where the farm does not say when its night is: 21:00 to 05:00."""
NOT_A_VALUE: Final = "said"
"""Stands for a setting that is no number and no word (milking times): that it was said is all a rule may ask."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known at one moment. `settings`: all of them as the farm wrote them; `herd`: see `herd_facts`."""

    values: Mapping[Key, Value] = field(default_factory=dict, hash=False)
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    herd: HerdFacts = field(default=NOBODY, compare=False)


def read_facts(session: Session, viewer: Viewer, site: str, now_ms: int, before: Facts | None = None) -> Facts:
    """All that is known of `site` at `now_ms`, as far as `viewer` may see it.

    `before`: what was read of the same farm last; of a herd of which nothing new was entered since, it holds for an
    hour, so that asking every minute costs little.
    """
    row = said.get_settings(session, viewer, site)
    if row is None:
        return Facts()
    own = FarmSettings.of(row.settings, row.settings_version)
    zone = ZoneInfo(row.timezone)
    values: dict[Key, Value] = dict(_settings(own))
    values.update(_forecasts(session, viewer, site, now_ms))
    herd = read_herd(session, viewer, site, now_ms, before.herd if before is not None else NOBODY)
    values.update(herd.values or said_herd(own))
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
    return Facts(values, dict(row.settings), herd)


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
    yield ("is_night", None), yes(any(at.hour * 60 + at.minute in window for window in windows))
