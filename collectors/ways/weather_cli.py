"""`makiba weather fetch|run|places|show`: the weather service's forecasts, warnings and observations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated

import typer

from collectors.console import (
    CONSOLE,
    explained,
    fail,
    new_app,
    open_own_registry,
    open_own_store,
    own_registry,
)
from collectors.ingest import Ingest
from collectors.registry import Registry
from collectors.registry import weather as rows
from collectors.registry.schema import Forecast, SiteWeather, WeatherWarning
from collectors.store import Point, Store
from collectors.ways.jma_json import JST
from collectors.ways.port import IngestDoor, now_ms
from collectors.ways.weather import Addresses, WeatherWay
from makiba.quantities import catalogue
from makiba.reading import Series
from makiba.service import asked_to_stop, log_to_stderr
from makiba.settings import Settings, load_settings

weather = new_app("The weather service's forecasts, warnings and observations.")

Site = Annotated[str | None, typer.Argument(help="For this farm only")]
DAY_MS = 86_400_000


@weather.command("fetch")
def weather_fetch(site: Site = None) -> None:
    """Ask once for whatever is due, and say what came. For a timer; exit code 1 when something failed."""
    with explained(), _opened() as (_, registry, store, way):
        _require_site(registry, site)
        done = way.fetch_all(site)
        for one in done:
            typer.echo(f"{one.result:<8}{one.url}  {one.detail}".rstrip())
        if not done:
            typer.echo("no farm names a place of the weather service; see docs/ways-in.md", err=True)
        if any(one.result == "failed" for one in done):
            raise typer.Exit(1)
        store.check()


@weather.command("run")
def weather_run() -> None:
    """Ask again and again, rarely, until stopped. One of these is enough."""
    log_to_stderr()
    stop = asked_to_stop()
    with explained(), _opened() as (_, _, _, way):
        way.run(stop)


@weather.command("places")
def weather_places() -> None:
    """Which farms look at which areas and stations. Exit code 1 when none does."""
    with explained(), own_registry() as registry, registry.read() as session:
        found = rows.list_site_weather(session, CONSOLE)
        for row in found:
            codes = {"office": row.office, "area": row.area, "municipality": row.municipality,
                     "station": row.station, "amedas": row.amedas}  # fmt: skip
            typer.echo(f"{row.site_id}  " + "  ".join(f"{name} {code}" for name, code in codes.items() if code))
    if not found:
        raise typer.Exit(1)


@weather.command("show")
def weather_show(site: Annotated[str, typer.Argument(help="The farm")]) -> None:
    """What is known for SITE: observed, foretold, warned of."""
    with explained(), _opened() as (_, registry, store, _):
        _require_site(registry, site)
        now = now_ms()
        with registry.read() as session:
            where = rows.list_site_weather(session, CONSOLE, site)
            if not where:
                fail(f"{site} names no place of the weather service; see docs/ways-in.md")
            foretold = {
                element: rows.newest_forecast(session, CONSOLE, site, element, now, now + 8 * DAY_MS)
                for element in rows.ELEMENTS
            }
            warnings = rows.site_warnings(session, CONSOLE, site)
        points = store.latest(site, [where[0].subject])
        for line in spell(where[0], points, foretold, warnings):
            typer.echo(line)


def spell(
    where: SiteWeather,
    points: Mapping[Series, Point],
    foretold: Mapping[str, Sequence[Forecast]],
    warnings: Sequence[WeatherWarning],
) -> Iterator[str]:
    """What is known about a farm's weather, in lines."""
    for series, point in sorted(points.items()):
        if series.quantity != "weather_warnings":
            known = catalogue()[series.quantity]
            value = point.value if isinstance(point.value, str) else known.shown(point.value)
            yield f"observed  {_local(point.time_ms)}  {known.names['ja']} {value}"
    minimum = next(iter(foretold["air_temperature_min"]), None)
    if minimum is not None and minimum.value is not None:
        until = _local(minimum.valid_to_ms, "%d日%H時")
        yield f"tonight   最低気温 {minimum.value:g} ℃（{until}まで、{_local(minimum.issued_ms)} 発表）"
    days: dict[str, list[str]] = {}
    for element, before, after in (
        ("weather", "", ""), ("air_temperature_min", "最低 ", " ℃"), ("air_temperature_max", "最高 ", " ℃"),
        ("precipitation_probability", "降水確率 ", " %"),
    ):  # fmt: skip
        for row in foretold[element]:
            number = None if row.value is None else row.value * (100 if element.endswith("probability") else 1)
            text = row.words if number is None else f"{number:g}"
            days.setdefault(_local(row.valid_from_ms, "%m-%d"), []).append(f"{before}{text}{after}")
    for day in sorted(days):
        yield f"foretold  {day}  {'  '.join(days[day])}"
    for warning in warnings:
        yield f"warning   {_local(warning.since_ms)}から  {warning.name_ja}  {warning.status}"
    if not warnings:
        yield "warning   なし"
    yield f"出典：気象庁ホームページ（{where.area}{' / ' + where.amedas if where.amedas else ''}）"


def _local(at_ms: int, form: str = "%Y-%m-%d %H:%M") -> str:
    return datetime.fromtimestamp(at_ms / 1000, JST).strftime(form)


def addresses(settings: Settings) -> Addresses:
    """Where the services are, by the settings."""
    return Addresses(
        jma=settings.weather_jma.rstrip("/"),
        jma_xml=settings.weather_jma_xml.rstrip("/"),
        wagri=settings.weather_wagri.rstrip("/"),
        warnings_from_xml=settings.weather_warnings == "xml",
        wagri_token=settings.weather_wagri_token,
    )


@contextmanager
def _opened() -> Iterator[tuple[Settings, Registry, Store, WeatherWay]]:
    settings = load_settings()
    registry = open_own_registry(settings, migrate=True)
    try:
        store = open_own_store(settings, registry)
        try:
            yield (
                settings,
                registry,
                store,
                WeatherWay(registry, store, IngestDoor(Ingest(registry, store)), addresses(settings)),
            )
        finally:
            store.close()
    finally:
        registry.close()


def _require_site(registry: Registry, site: str | None) -> None:
    from collectors.registry import sites

    if site is None:
        return
    with registry.read() as session:
        if sites.get_site(session, CONSOLE, site) is None:
            fail(f"no site {site}; `makiba site list` shows them")
