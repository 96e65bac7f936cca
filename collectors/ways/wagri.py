"""WAGRI's weather forecast (`GET /API/Public/Weather/Forecast`, header `X-Authorization`). Pure.

Facts: wagri.naro.go.jp/wagri_api/weather (text of 2024-10-21): a list of areas with `AreaName`, `ReportTime` in UTC
and `DailyWeather`, whose `DetailWeather` has a time without an offset (it is UTC: a day begins at 15:00), words for
weather, wind and waves. The page shows an excerpt; temperatures and probabilities, if there are any, are unknown and
not read. Areas have names and no codes, so that a forecast is kept as `wagri:<name of the sub-area>`.
Base address since fiscal 2025: https://api.wagri2.net; no answer of the real service was at hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from collectors.registry.weather import Foretold
from collectors.ways.jma_json import DAY_MS, JST, UnknownForm, load, moment_ms

SOURCE: Final = "wagri"
PATH: Final = "API/Public/Weather/Forecast"
_ELEMENTS: Final = {"WeatherInfo": "weather", "WindInfo": "wind"}


def parse_forecast(body: bytes) -> list[Foretold]:
    """What WAGRI foretells, in words, per sub-area and day."""
    areas = load(body)
    if not isinstance(areas, list):
        raise UnknownForm("a forecast is a list of areas")
    found: list[Foretold] = []
    for area in areas:
        issued_ms = moment_ms(_get(area, "ReportTime"))
        for part in _get(area, "DailyWeather"):
            name = f"wagri:{_get(part, 'SubAreaName')}"[:40]
            for detail in _get(part, "DetailWeather"):
                start_ms = _utc_ms(_get(detail, "TargetTime"))
                local = datetime.fromtimestamp(start_ms / 1000, JST)
                midnight = local.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
                end_ms = min(start_ms + DAY_MS, int(midnight.timestamp() * 1000))
                for key, element in _ELEMENTS.items():
                    words = " ".join(str(detail.get(key) or "").split())
                    if words:
                        found.append(Foretold(name, element, issued_ms, start_ms, end_ms, None, words, SOURCE))
    return found


def _utc_ms(text: Any) -> int:
    try:
        moment = datetime.fromisoformat(str(text)[:40])
    except ValueError:
        raise UnknownForm(f"{str(text)[:40]!r} is not a time") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _get(node: Any, key: str) -> Any:
    if not isinstance(node, Mapping) or key not in node:
        raise UnknownForm(f"{key!r} is missing")
    return node[key]
