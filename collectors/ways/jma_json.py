"""The JSON behind the agency's own pages (`www.jma.go.jp/bosai`): forecasts, warnings, AMeDAS. Pure.

The agency publishes these for its pages and promises no form; it allows their use under its terms (出典の記載).
Where each fact comes from:

- Forecast `forecast/data/forecast/<office>.json`: read in recorded answers of 2022 and a description of them
  (github.com/misohena/el-jma, docs and example-data). Two reports: [0] up to the day after tomorrow, [1] the week.
  Temperatures of [0] stand by time: 00:00 the morning's minimum, 09:00 the day's maximum; on the day of issue the
  minimum is not one. That the minimum is of 00-09 h and the maximum of 09-18 h is widely known, not re-read.
- Warnings `warning/data/r8/<office>.json`: a list of telegrams, read in several programs of 2026 that use it
  (the older `warning/data/warning/…` answers still, with what was true on 2026-05-28).
- AMeDAS `amedas/data/point/<station>/<yyyymmdd>_<hh>.json`, a file per three hours, a record per ten minutes: read in
  recorded answers of 2022. A value comes with a quality flag; 0 is normal, and only that is taken. Directions are
  16 points from 1 (NNE) to 16 (N); 0 is calm. `humidity`, `pressure`, `normalPressure` and `snow` are named in
  programs, not seen in the recording. `gust` is the day's highest so far and is not taken.

Whatever differs from this is passed over or refused with a reason, never guessed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from collectors.registry.weather import Foretold
from collectors.ways.jma_codes import TELEGRAMS
from collectors.ways.jma_warnings import Bulletin
from collectors.ways.values import number_of
from makiba.reading import Value

JST: Final = timezone(timedelta(hours=9))
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
SOURCE: Final = "jma"


class UnknownForm(ValueError):
    """An answer that is not of the form that is known; the text says where."""


def load(body: bytes) -> Any:
    """The JSON in an answer; `UnknownForm` when it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UnknownForm(f"not JSON: {str(error)[:100]}") from None


def moment_ms(text: Any) -> int:
    """An ISO 8601 time with offset as UTC ms; `UnknownForm` when it is none."""
    try:
        moment = datetime.fromisoformat(str(text)[:40])
    except ValueError:
        raise UnknownForm(f"{str(text)[:40]!r} is not a time") from None
    if moment.tzinfo is None or not 2015 <= moment.year < 2100:
        raise UnknownForm(f"{str(text)[:40]!r} has no offset or an impossible year")
    return int(moment.timestamp() * 1000)


# ----------------------------------------------------------------------------------------------------- forecasts


def parse_forecast(body: bytes) -> list[Foretold]:
    """What a forecast says, each element with its time; the week's only where the first report has none."""
    reports = load(body)
    if not isinstance(reports, list) or not reports:
        raise UnknownForm("a forecast is a list of reports")
    found: dict[tuple[str, str, int], Foretold] = {}
    for index, report in enumerate(reports[:2]):
        for one in _report(report, is_week=index == 1):
            found.setdefault((one.area, one.element, one.valid_from_ms), one)
    if not found:
        raise UnknownForm("a forecast without a single value")
    return list(found.values())


def _report(report: Any, *, is_week: bool) -> Iterator[Foretold]:
    if not isinstance(report, Mapping) or not isinstance(report.get("timeSeries"), list):
        raise UnknownForm("a report has a timeSeries")
    issued_ms = moment_ms(report.get("reportDatetime"))
    for series in report["timeSeries"]:
        times = [moment_ms(text) for text in _list(series, "timeDefines")]
        for entry in _list(series, "areas"):
            area = str(entry.get("area", {}).get("code", ""))[:40] if isinstance(entry, Mapping) else ""
            if not area:
                raise UnknownForm("an area without a code")
            for element, index, value, words in _values(entry):
                if index >= len(times):
                    raise UnknownForm(f"{element} of {area} has more values than times")
                window = _window(element, times[index], issued_ms, is_week=is_week)
                if window is not None:
                    name, start_ms, end_ms = window
                    yield Foretold(area, name, issued_ms, start_ms, end_ms, value, words, SOURCE)


_WORDS: Final = {
    "weathers": "weather",
    "winds": "wind",
    "weatherCodes": "weather_code",
    "reliabilities": "reliability",
}
_NUMBERS: Final = {
    "pops": "precipitation_probability", "temps": "temps",
    "tempsMin": "air_temperature_min", "tempsMinLower": "air_temperature_min_lower",
    "tempsMinUpper": "air_temperature_min_upper", "tempsMax": "air_temperature_max",
    "tempsMaxLower": "air_temperature_max_lower", "tempsMaxUpper": "air_temperature_max_upper",
}  # fmt: skip


def _values(entry: Mapping[str, Any]) -> Iterator[tuple[str, int, float | None, str | None]]:
    """(element, place in the list, number, words) of an area; empty texts are no values."""
    for key, element in _WORDS.items():
        for index, text in enumerate(_list(entry, key, missing=True)):
            if isinstance(text, str) and text.strip():
                yield element, index, None, " ".join(text.split())
    for key, element in _NUMBERS.items():
        for index, text in enumerate(_list(entry, key, missing=True)):
            number = number_of(text) if text != "" else None
            if number is not None:
                yield element, index, float(number / 100 if key == "pops" else number), None


def _window(element: str, at_ms: int, issued_ms: int, *, is_week: bool) -> tuple[str, int, int] | None:
    """The element's name and the time it holds for; None for what is no forecast."""
    local = datetime.fromtimestamp(at_ms / 1000, JST)
    midnight_ms = int(local.replace(hour=0, minute=0, second=0, microsecond=0).timestamp() * 1000)
    if element == "temps":
        issued = datetime.fromtimestamp(issued_ms / 1000, JST).date()
        if local.hour == 9:
            return "air_temperature_max", at_ms, at_ms + 9 * HOUR_MS
        if local.hour == 0 and local.date() != issued:
            return "air_temperature_min", at_ms, at_ms + 9 * HOUR_MS
        return None
    if element == "precipitation_probability" and not is_week:
        return element, at_ms, at_ms + 6 * HOUR_MS
    return element, at_ms, midnight_ms + DAY_MS


# ------------------------------------------------------------------------------------------------------ warnings


def parse_warnings(body: bytes) -> list[Bulletin]:
    """What the telegrams of an office say about each municipality and forecast area."""
    reports = load(body)
    if not isinstance(reports, list):
        raise UnknownForm("warnings are a list of telegrams")
    bulletins: list[Bulletin] = []
    for report in reports:
        warning = report.get("warning") if isinstance(report, Mapping) else None
        if not isinstance(warning, Mapping):
            raise UnknownForm("a telegram without 'warning'")
        reported_ms = moment_ms(report.get("reportDatetime"))
        telegram = str(report.get("dataTypeCode", ""))
        for key in ("class20Items", "class10Items"):
            for item in _list(warning, key, missing=True):
                kinds = tuple(
                    (str(kind.get("code", ""))[:8], str(kind.get("status", ""))[:40])
                    for kind in _list(item, "kinds")
                    if isinstance(kind, Mapping)
                )
                area = str(item.get("areaCode", ""))[:16]
                bulletins.append(
                    Bulletin(area, telegram if telegram in TELEGRAMS else "", reported_ms, kinds, SOURCE)
                )
    return bulletins


# -------------------------------------------------------------------------------------------------------- AMeDAS


@dataclass(frozen=True, slots=True)
class Observed:
    """One value of a station, in the catalogue's unit."""

    quantity: str
    time_ms: int
    value: Value


# field -> (quantity, factor): what the agency gives times the factor is in the catalogue's unit
_OBSERVED: Final[dict[str, tuple[str, float]]] = {
    "temp": ("air_temperature", 1), "humidity": ("relative_humidity", 1),
    "pressure": ("air_pressure", 100), "normalPressure": ("sea_level_pressure", 100),
    "wind": ("wind_speed", 1), "precipitation10m": ("rain_10min", 0.001), "precipitation1h": ("rain_1h", 0.001),
    "precipitation24h": ("rain_24h", 0.001), "sun10m": ("sunshine_10min", 60), "snow": ("snow_depth", 0.01),
}  # fmt: skip
NORMAL: Final = 0


def parse_amedas(body: bytes) -> list[Observed]:
    """What a station measured in three hours; values that are not flagged as normal are left out."""
    records = load(body)
    if not isinstance(records, Mapping):
        raise UnknownForm("observations are a map by time")
    found: list[Observed] = []
    for key, record in records.items():
        try:
            at = datetime.strptime(str(key), "%Y%m%d%H%M%S").replace(tzinfo=JST)
        except ValueError:
            raise UnknownForm(f"{str(key)[:20]!r} is not a time") from None
        if not isinstance(record, Mapping):
            raise UnknownForm(f"{key}: not a record")
        found += _record(record, int(at.timestamp() * 1000))
    return found


def _record(record: Mapping[str, Any], at_ms: int) -> Iterator[Observed]:
    for field, (quantity, factor) in _OBSERVED.items():
        number = _normal(record.get(field))
        if number is not None:
            yield Observed(quantity, at_ms, round(number * factor, 9))
    points = _normal(record.get("windDirection"))
    if points is not None and 1 <= points <= 16:
        yield Observed("wind_direction", at_ms, math.radians(points % 16 * 22.5))


def _normal(given: Any) -> float | None:
    """The number of a [number, flag] pair whose flag says that it is normal."""
    if not isinstance(given, list) or len(given) != 2 or given[1] != NORMAL or isinstance(given[1], bool):
        return None
    number = given[0]
    return float(number) if isinstance(number, (int, float)) and not isinstance(number, bool) else None


def parse_latest_time(body: bytes) -> int:
    """The time of the newest observations, in UTC ms."""
    return moment_ms(body.decode("ascii", "replace").strip())


def amedas_files(station: str, from_ms: int, latest_ms: int) -> list[str]:
    """The paths of the files that hold (from_ms, latest_ms], the oldest first; at most a day of them."""
    block_ms = 3 * HOUR_MS
    offset_ms = 9 * HOUR_MS  # a file begins at 0, 3, 6 … o'clock in Japan
    first = max(from_ms, latest_ms - DAY_MS)
    block = (first + offset_ms) // block_ms
    last = (latest_ms + offset_ms) // block_ms
    starts = [datetime.fromtimestamp((b * block_ms - offset_ms) / 1000, JST) for b in range(block, last + 1)]
    return [f"bosai/amedas/data/point/{station}/{start:%Y%m%d_%H}.json" for start in starts]


def _list(node: Any, key: str, *, missing: bool = False) -> list[Any]:
    found = node.get(key) if isinstance(node, Mapping) else None
    if found is None and missing:
        return []
    if not isinstance(found, list):
        raise UnknownForm(f"{key!r} is not a list")
    return found
