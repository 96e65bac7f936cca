"""Weather: forecasts, warnings and observations of the Japan Meteorological Agency, and WAGRI's forecast.

Guarantee: what was fetched is kept before the address counts as fetched; fetching again changes nothing. Observations
become readings of the farm's weather subject through the same door as all readings. Forecasts and warnings are rows
of the registry, per area; what is in force is also a text reading (`weather_warnings`) of each farm when it changes.

Weaker than a gateway: a value exists here when the service has it and we ask in time. Observations are looked up for
at most a day back, a forecast that was replaced while nobody asked is not known. Nothing is measured on the farm. The
pages that are asked have no promise of form: what is not of the known form is refused and told, never guessed.

Source of what is shown to people: 出典：気象庁ホームページ (the agency's terms of use ask for it).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar

from pydantic import SecretStr

from collectors.registry import Registry, RegistryError, sources, weather
from collectors.registry.schema import SiteWeather, WeatherWarning
from collectors.registry.viewer import Service
from collectors.store import Store, StoreError
from collectors.ways import jma_json, jma_xml, wagri
from collectors.ways.fetch import Fetched, Fetcher
from collectors.ways.jma_codes import kind_of
from collectors.ways.jma_json import UnknownForm
from collectors.ways.jma_warnings import Bulletin, InForce, changes, spell
from collectors.ways.port import Door, now_ms, packs_of
from makiba.reading import Reading, Series

log = logging.getLogger("makiba.weather")

FORECAST_EVERY_S: Final = 1200.0
WARNINGS_EVERY_S: Final = 180.0
FEED_EVERY_S: Final = 60.0
LATEST_EVERY_S: Final = 240.0
BLOCK_EVERY_S: Final = 300.0
PASS_EVERY_S: Final = 30.0
FEED_REACHES_BACK_MS: Final = 600_000
"""How far the short feed reaches at least; after a longer pause the long one is asked."""
_COLLECTOR: Final = Service("collector")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the services are. A test has its own."""

    jma: str = "https://www.jma.go.jp"
    jma_xml: str = "https://www.data.jma.go.jp"
    wagri: str = "https://api.wagri2.net"
    warnings_from_xml: bool = False
    wagri_token: SecretStr | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Done:
    """What came of one address in a pass."""

    url: str
    result: str
    detail: str = ""


class WeatherWay:
    """The way in for all farms that name areas or stations. One thread uses it."""

    name = "weather"

    def __init__(self, registry: Registry, store: Store, door: Door, addresses: Addresses) -> None:
        self._registry, self._store, self._door, self._at = registry, store, door, addresses
        self._fetcher = Fetcher(registry)

    def run(self, stop: threading.Event) -> None:
        try:
            while not stop.is_set():
                try:
                    self.fetch_all(stop=stop)
                except (StoreError, RegistryError) as error:
                    log.warning("%s; the weather waits", error)
                except Exception:  # outermost loop: tomorrow's forecast must not depend on today's defect
                    log.exception("a pass over the weather services failed")
                stop.wait(PASS_EVERY_S)
        finally:
            self._fetcher.close()

    def fetch_all(self, site: str | None = None, stop: threading.Event | None = None) -> list[Done]:
        """One pass over what is due for `site`, or for all farms; what came of each address."""
        self._store.check()  # what could not be kept is not asked for
        with self._registry.read() as session:
            farms = list(weather.list_site_weather(session, _COLLECTOR, site))
        steps: list[Callable[[], list[Done]]] = [
            *(partial(self._forecast, office) for office in _distinct(farm.office for farm in farms)),
            partial(self._warnings, farms),
            partial(self._observations, farms),
        ]
        if self._at.wagri_token and farms:
            steps.append(self._wagri)
        done: list[Done] = []
        for step in steps:
            if stop is not None and stop.is_set():
                break
            done += step()
        return done

    # ------------------------------------------------------------------------------------------------- forecasts

    def _forecast(self, office: str) -> list[Done]:
        url = f"{self._at.jma}/bosai/forecast/data/forecast/{office}.json"
        return [self._keep(url, FORECAST_EVERY_S, jma_json.parse_forecast, self._add_forecasts)]

    def _wagri(self) -> list[Done]:
        assert self._at.wagri_token
        headers = {"X-Authorization": self._at.wagri_token.get_secret_value()}
        url = f"{self._at.wagri}/{wagri.PATH}"
        return [self._keep(url, FORECAST_EVERY_S, wagri.parse_forecast, self._add_forecasts, headers)]

    def _add_forecasts(self, rows: Sequence[weather.Foretold]) -> str:
        with self._registry.write() as session:
            weather.add_forecasts(session, _COLLECTOR, rows)
            weather.forget_forecasts(session, _COLLECTOR, now_ms())
        return f"{len(rows)} values"

    # -------------------------------------------------------------------------------------------------- warnings

    def _warnings(self, farms: Sequence[SiteWeather]) -> list[Done]:
        offices = _distinct(farm.office for farm in farms if farm.municipality or farm.area)
        if not offices:
            return []
        if self._at.warnings_from_xml:
            return self._warnings_of_feed(frozenset(offices), farms)
        done = []
        for office in offices:
            url = f"{self._at.jma}/bosai/warning/data/r8/{office}.json"
            done.append(self._keep(url, WARNINGS_EVERY_S, jma_json.parse_warnings, partial(self._note, farms)))
        return done

    def _warnings_of_feed(self, offices: frozenset[str], farms: Sequence[SiteWeather]) -> list[Done]:
        """The short feed, or the long one after a pause; then each telegram in it that was not read yet."""
        short = f"{self._at.jma_xml}/developer/xml/feed/extra.xml"
        with self._registry.read() as session:
            last_ms = weather.fetch_state(session, _COLLECTOR, short).checked_ms
        done: list[Done] = []
        feeds = [short]
        if now_ms() - last_ms > FEED_REACHES_BACK_MS:
            feeds.insert(0, f"{self._at.jma_xml}/developer/xml/feed/extra_l.xml")
        for url in feeds:
            entries: list[jma_xml.Entry] = []

            def take(found: Sequence[jma_xml.Entry], entries: list[jma_xml.Entry] = entries) -> str:
                entries += found
                return f"{len(found)} telegrams"

            fetched = self._fetcher.fetch(url, FEED_EVERY_S)
            outcome = self._use(fetched, partial(jma_xml.parse_feed, offices=offices), take)
            # The feed counts as read once all its telegrams are: a process that dies in between reads it again.
            results = [self._telegram(entry, farms) for entry in entries]
            failed = next((one for one in (outcome, *results) if one.result == "failed"), None)
            self._fetcher.done(fetched, failed.detail if failed else "")
            done += [outcome, *results]
        return done

    def _telegram(self, entry: jma_xml.Entry, farms: Sequence[SiteWeather]) -> Done:
        year_s = 365 * 86_400.0  # a telegram never changes: once read, it is read
        parse = partial(jma_xml.parse_telegram, telegram=entry.telegram)
        return self._keep(entry.url, year_s, parse, partial(self._note, farms))

    def _note(self, farms: Sequence[SiteWeather], bulletins: Sequence[Bulletin]) -> str:
        """Keeps what bulletins change about the farms' areas, and gives each farm its line of warnings."""
        wanted = {farm.municipality or farm.area for farm in farms}
        mine = [bulletin for bulletin in bulletins if bulletin.area in wanted]
        with self._registry.write() as session:
            for area in sorted({bulletin.area for bulletin in mine}):
                known = [_in_force(row) for row in weather.open_warnings(session, _COLLECTOR, area)]
                here = [bulletin for bulletin in mine if bulletin.area == area]
                found = changes(known, here, weather.ended_warnings(session, _COLLECTOR, area))
                for one in found.kept:
                    session.merge(_row(one))
                for one, ended_ms in found.ended:
                    session.merge(_row(one, ended_ms))
        self._tell(farms, mine)
        return f"{len(mine)} bulletins"

    def _tell(self, farms: Sequence[SiteWeather], bulletins: Sequence[Bulletin]) -> None:
        for farm in farms:
            area = farm.municipality or farm.area
            reported = [bulletin.reported_ms for bulletin in bulletins if bulletin.area == area]
            if not reported:
                continue
            with self._registry.read() as session:
                line = spell(row.code for row in weather.open_warnings(session, _COLLECTOR, area))
            series = Series(farm.site_id, farm.subject, "weather_warnings")
            last = self._store.latest(farm.site_id, [farm.subject]).get(series)
            if last is None or (last.value != line and last.time_ms <= max(reported)):
                self._read(farm.site_id, [Reading(series, max(reported), line)])

    # ---------------------------------------------------------------------------------------------- observations

    def _observations(self, farms: Sequence[SiteWeather]) -> list[Done]:
        with_station = [farm for farm in farms if farm.amedas]
        if not with_station:
            return []
        url = f"{self._at.jma}/bosai/amedas/data/latest_time.txt"
        latest: list[int] = []

        def note(at_ms: int) -> str:
            latest.append(at_ms)
            return ""

        done = [self._keep(url, LATEST_EVERY_S, jma_json.parse_latest_time, note)]
        for station in _distinct(farm.amedas for farm in with_station):
            here = [farm for farm in with_station if farm.amedas == station]
            for path in jma_json.amedas_files(station, self._newest_ms(here), latest[0]) if latest else []:
                keep = partial(self._observed, here)
                done.append(self._keep(f"{self._at.jma}/{path}", BLOCK_EVERY_S, jma_json.parse_amedas, keep))
        return done

    def _newest_ms(self, farms: Sequence[SiteWeather]) -> int:
        """Up to when every one of `farms` has observations; 0 when one has none."""
        newest = []
        for farm in farms:
            points = self._store.latest(farm.site_id, [farm.subject])
            times = [p.time_ms for s, p in points.items() if s.quantity != "weather_warnings"]
            newest.append(max(times, default=0))
        return min(newest)

    def _observed(self, farms: Sequence[SiteWeather], rows: Sequence[jma_json.Observed]) -> str:
        for farm in farms:
            readings = [Reading(Series(farm.site_id, farm.subject, r.quantity), r.time_ms, r.value) for r in rows]
            self._read(farm.site_id, readings)
        return f"{len(rows)} values"

    def _read(self, site: str, readings: Sequence[Reading]) -> None:
        for outcome in self._door.take(list(packs_of(sources.own_id("weather", site), readings, now_ms()))):
            if outcome.refused:
                first = outcome.refused[0].reason
                log.warning("%s: %d values refused; the first: %s", site, len(outcome.refused), first)

    # ----------------------------------------------------------------------------------------------------- common

    def _keep(
        self, url: str, every_s: float, parse: Callable[[bytes], T], keep: Callable[[T], str],
        headers: dict[str, str] | None = None,
    ) -> Done:  # fmt: skip
        """Fetches `url` when it is due, and notes that only after `keep` has kept what `parse` read."""
        fetched = self._fetcher.fetch(url, every_s, headers)
        outcome = self._use(fetched, parse, keep)
        self._fetcher.done(fetched, outcome.detail if outcome.result == "failed" else "")
        return outcome

    def _use(self, fetched: Fetched, parse: Callable[[bytes], T], keep: Callable[[T], str]) -> Done:
        if fetched.result != "new":
            return Done(fetched.url, fetched.result, fetched.reason)
        try:
            found = parse(fetched.body)
        except UnknownForm as error:
            return Done(fetched.url, "failed", f"not of the known form: {error}")
        return Done(fetched.url, "new", keep(found))


def _distinct(values: Iterable[str]) -> list[str]:
    return sorted({value for value in values if value})


def _in_force(row: WeatherWarning) -> InForce:
    return InForce(row.area, row.code, row.since_ms, row.status, row.reported_ms, row.source)


def _row(one: InForce, ended_ms: int | None = None) -> WeatherWarning:
    kind = kind_of(one.code)
    return WeatherWarning(
        area=one.area, code=one.code, since_ms=one.since_ms, name_ja=kind.name_ja, level=kind.level,
        status=one.status, reported_ms=one.reported_ms, ended_ms=ended_ms, source=one.source,
    )  # fmt: skip
