"""Weather: which areas and stations a farm looks at, what is foretold for them, which warnings are in force.

A forecast has two times: when it was issued, and for when it holds. Both are kept, so that what a rule decided can be
explained later and forecasts can be compared with what came. `newest_forecast` gives for each moment what was said
last. Kept per area of the weather service, because many farms share one; who may see a farm may see its areas.

Elements and their units are `ELEMENTS`. A warning is in force while `ended_ms` is None.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import delete, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from collectors.registry.schema import FetchState, Forecast, SiteWeather, WeatherWarning
from collectors.registry.viewer import Service, Viewer, may_see, require_service, visible_sites

FORECASTS_KEPT_MS: Final = 400 * 86_400_000

ELEMENTS: Final[dict[str, str | None]] = {
    "air_temperature_min": "Cel",
    "air_temperature_min_lower": "Cel",
    "air_temperature_min_upper": "Cel",
    "air_temperature_max": "Cel",
    "air_temperature_max_lower": "Cel",
    "air_temperature_max_upper": "Cel",
    "precipitation_probability": "/",
    "weather_code": None,
    "weather": None,
    "wind": None,
    "reliability": None,
}
"""What is foretold, and its unit; None: words, or a code kept as a text."""


@dataclass(frozen=True, slots=True)
class WeatherSpec:
    """A farm's areas and stations; see `site_file.WeatherEntry`."""

    office: str
    area: str
    municipality: str = ""
    station: str = ""
    amedas: str = ""
    subject: str = "amedas"


@dataclass(frozen=True, slots=True)
class Foretold:
    """One element of a forecast for [valid_from_ms, valid_to_ms); a number in the element's unit, or words."""

    area: str
    element: str
    issued_ms: int
    valid_from_ms: int
    valid_to_ms: int
    value: float | None
    words: str | None
    source: str


def apply_site_weather(session: Session, viewer: Service, site: str, spec: WeatherSpec | None) -> None:
    """Makes the areas and stations of `site` be those of `spec`; None: it looks at none."""
    require_service(viewer)
    row = session.get(SiteWeather, site)
    if spec is None:
        if row is not None:
            session.delete(row)
        return
    if row is None:
        row = SiteWeather(site_id=site)
        session.add(row)
    row.office, row.area, row.municipality = spec.office, spec.area, spec.municipality
    row.station, row.amedas, row.subject = spec.station, spec.amedas, spec.subject


def list_site_weather(session: Session, viewer: Viewer, site: str | None = None) -> Sequence[SiteWeather]:
    """The areas and stations of `site`, or of every farm that `viewer` may see."""
    query = select(SiteWeather)
    sites = visible_sites(viewer, "weather")
    if sites is not None:
        query = query.where(SiteWeather.site_id.in_(sorted(sites)))
    if site is not None:
        query = query.where(SiteWeather.site_id == site)
    return session.scalars(query.order_by(SiteWeather.site_id)).all()


# ---------------------------------------------------------------------------------------------------- forecasts


def add_forecasts(session: Session, viewer: Service, rows: Iterable[Foretold]) -> None:
    """Keeps what was foretold; the same forecast again changes nothing."""
    require_service(viewer)
    insert: Any = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    values = [
        {
            "area": one.area, "element": one.element, "valid_from_ms": one.valid_from_ms,
            "issued_ms": one.issued_ms, "valid_to_ms": one.valid_to_ms, "value": one.value,
            "words": one.words[:400] if one.words is not None else None, "source": one.source,
        }
        for one in rows
    ]  # fmt: skip
    for start in range(0, len(values), 200):
        session.execute(insert(Forecast).values(values[start : start + 200]).on_conflict_do_nothing())


def newest_forecast(
    session: Session, viewer: Viewer, site: str, element: str, from_ms: int, to_ms: int
) -> Sequence[Forecast]:
    """What was foretold last about `element` at the farm `site` for each time that touches [from_ms, to_ms).

    Ascending by the time it holds for. Empty when the farm looks at no area, or `viewer` may not see it.
    """
    if not may_see(viewer, site, "weather"):
        return []
    where = session.get(SiteWeather, site)
    if where is None:
        return []
    areas = [area for area in (where.area, where.station, where.office) if area]
    rows = session.scalars(
        select(Forecast)
        .where(
            Forecast.area.in_(areas), Forecast.element == element,
            Forecast.valid_from_ms < to_ms, Forecast.valid_to_ms > from_ms,
        )
        .order_by(Forecast.valid_from_ms, Forecast.issued_ms)
    )  # fmt: skip
    newest: dict[int, Forecast] = {}
    for row in rows:
        newest[row.valid_from_ms] = row
    return list(newest.values())


def forget_forecasts(session: Session, viewer: Service, now_ms: int) -> None:
    """Drops what was foretold longer ago than is kept."""
    require_service(viewer)
    session.execute(delete(Forecast).where(Forecast.issued_ms < now_ms - FORECASTS_KEPT_MS))


# ----------------------------------------------------------------------------------------------------- warnings


def open_warnings(session: Session, viewer: Service, area: str) -> Sequence[WeatherWarning]:
    """The warnings in force for `area`, the oldest first. `viewer` is a part of Makiba."""
    require_service(viewer)
    query = select(WeatherWarning).where(WeatherWarning.area == area, WeatherWarning.ended_ms.is_(None))
    return session.scalars(query.order_by(WeatherWarning.since_ms, WeatherWarning.code)).all()


def ended_warnings(session: Session, viewer: Service, area: str) -> dict[tuple[str, str], int]:
    """When the last warning of each code ended that was in force for `area`. `viewer` is a part of Makiba."""
    require_service(viewer)
    query = select(WeatherWarning.code, func.max(WeatherWarning.ended_ms)).where(
        WeatherWarning.area == area, WeatherWarning.ended_ms.is_not(None)
    )
    return {
        (area, code): ended_ms for code, ended_ms in session.execute(query.group_by(WeatherWarning.code)) if ended_ms
    }


def site_warnings(
    session: Session, viewer: Viewer, site: str, *, since_ms: int | None = None
) -> Sequence[WeatherWarning]:
    """The warnings in force at the farm `site`, and with `since_ms` those that ended after it too.

    Those of its municipality, or of its forecast area when it names no municipality.
    """
    where = session.get(SiteWeather, site) if may_see(viewer, site, "weather") else None
    if where is None:
        return []
    query = select(WeatherWarning).where(WeatherWarning.area == (where.municipality or where.area))
    if since_ms is None:
        query = query.where(WeatherWarning.ended_ms.is_(None))
    else:
        query = query.where(WeatherWarning.ended_ms.is_(None) | (WeatherWarning.ended_ms >= since_ms))
    return session.scalars(query.order_by(WeatherWarning.since_ms, WeatherWarning.code)).all()


# ------------------------------------------------------------------------------------------------------- fetching


def fetch_state(session: Session, viewer: Service, url: str) -> FetchState:
    """What is known about an address; a new row, not added yet, when nothing is."""
    require_service(viewer)
    row = session.get(FetchState, url)
    if row is None:
        row = FetchState(url=url, etag="", last_modified="", checked_ms=0, changed_ms=0, failures=0, not_before_ms=0)
    return row
