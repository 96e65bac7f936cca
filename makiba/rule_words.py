"""The words that a rule may use besides quantities: contexts, facts, forecasts. What a farm says of itself is in
`makiba/farm_settings.py`.

They stand here, and not with what works them out (`analytics/context`, `analytics/facts.py`), so that a rule's file
is checked wherever it is loaded. What nobody works out yet is unknown on every farm, never wrong. A number whose name
says its unit (`hours_to_sunrise`, `litres`) is a bare number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class Word:
    """A thing with a value: its names, its unit (SenML's; None: bare, or a text), and how people read it."""

    ja: str
    en: str
    unit: str | None = None
    show: tuple[str, float, int] | None = None
    """Unit, factor and decimals; None: as `SHOWN` says."""
    is_text: bool = False


@dataclass(frozen=True, slots=True)
class Context:
    """Something that goes on at a place, and the numbers that are found about its current or last time."""

    ja: str
    en: str
    found: Mapping[str, Word] = field(default_factory=dict, hash=False)


SHOWN: Final[Mapping[str | None, tuple[str, float, int]]] = {
    None: ("", 1.0, 1),
    "s": ("min", 1 / 60, 0),
    "Cel": ("℃", 1.0, 1),
    "Pa": ("kPa", 0.001, 1),
    "m3": ("L", 1000.0, 0),
    "m": ("mm", 1000.0, 1),
    "m/s": ("m/s", 1.0, 1),
    "A": ("A", 1.0, 2),
    "V": ("V", 1.0, 0),
    "W": ("kW", 0.001, 1),
    "kg": ("kg", 1.0, 0),
    "/": ("%", 100.0, 0),
    "%RH": ("%", 1.0, 0),
}
"""How a number in a unit is read where no word says otherwise: unit, factor, decimals."""

_DURATION: Final = Word("長さ", "duration", "s")
_LITRES: Final = Word("量", "amount", None, ("L", 1.0, 0))
_CURRENT: Final = Word("電流", "current", "A")

CONTEXTS: Final[Mapping[str, Context]] = {
    "milking": Context("搾乳", "milking", {"duration_s": _DURATION, "litres": _LITRES}),
    "washing": Context("洗浄", "washing", {
        "duration_s": _DURATION,
        "peak_temperature": Word("洗浄の 温度", "temperature of the wash", "Cel"),
        "peak_drain": Word("洗浄の 排水温度", "drain temperature of the wash", "Cel"),
    }),
    "pickup": Context("集荷", "pick-up", {"duration_s": _DURATION, "litres": _LITRES}),
    "milk": Context("タンクの 乳", "milk in the tank", {"duration_s": _DURATION, "litres": _LITRES}),
    "cooling": Context("冷却", "cooling", {
        "duration_s": _DURATION,
        "minutes_to_cold": Word("冷えるまでの 時間", "time to cold", None, ("min", 1.0, 0)),
        "slower": Word("いつもの 何倍 かかったか", "time to cold by what is usual", None, ("", 1.0, 1)),
        "current": _CURRENT,
    }),
    "agitator": Context("撹拌機", "agitator", {"duration_s": _DURATION, "current": _CURRENT}),
    "pump": Context("ポンプ", "pump", {"duration_s": _DURATION, "current": _CURRENT, "litres": _LITRES}),
    "irrigation": Context("かん水", "irrigation", {"duration_s": _DURATION, "litres": _LITRES}),
    "rain": Context("雨", "rain", {
        "duration_s": _DURATION,
        "millimetres": Word("雨量", "rain", None, ("mm", 1.0, 1)),
    }),
    "pasture": Context("放牧", "pasture", {"duration_s": _DURATION}),
    "maintenance": Context("点検中", "maintenance", {"duration_s": _DURATION}),
}  # fmt: skip
"""What is recognised at a place (`analytics/context`): `on` or `off`, and what was found about it."""

LASTING: Final = ("milk",)
"""Of these a sum `since` goes on while they are on, from their beginning; of all others it begins with their end."""

CONTEXT_TIMES: Final[Mapping[str, Word]] = {
    "off_for": Word("終わってからの 時間", "time since its end", "s"),
    "on_for": Word("続いている 時間", "time since its beginning", "s"),
    "missing_for": Word("おくれ", "delay", "s"),
}
"""What `as` of a context may say besides what is found. `missing_for`: how late an expected one is, else 0."""

FORECASTS: Final[Mapping[str, Word]] = {
    "air_temperature_min": Word("予報の 最低気温", "lowest temperature forecast", "Cel"),
    "air_temperature_min_lower": Word(
        "予報の 最低気温の 下限", "lower end of the lowest temperature forecast", "Cel"
    ),
    "air_temperature_min_upper": Word(
        "予報の 最低気温の 上限", "upper end of the lowest temperature forecast", "Cel"
    ),
    "air_temperature_max": Word("予報の 最高気温", "highest temperature forecast", "Cel"),
    "air_temperature_max_lower": Word(
        "予報の 最高気温の 下限", "lower end of the highest temperature forecast", "Cel"
    ),
    "air_temperature_max_upper": Word(
        "予報の 最高気温の 上限", "upper end of the highest temperature forecast", "Cel"
    ),
    "precipitation_probability": Word("降水確率", "chance of rain", "/"),
    "precipitation": Word("予報の 雨量", "rain forecast", "m"),
    "wind_speed": Word("予報の 風速", "wind forecast", "m/s"),
    "weather_code": Word("天気の 記号", "weather code", is_text=True),
    "weather": Word("天気", "weather", is_text=True),
    "wind": Word("風", "wind", is_text=True),
    "reliability": Word("予報の 確かさ", "reliability of the forecast", is_text=True),
}
"""What is foretold (`collectors/registry/weather.py`): of the time within, the lowest of a `_min`, the highest of all
else that is a number, the sum of precipitation, and of words those for the soonest time."""

WITHIN_H: Final = (6, 12, 24, 36, 48, 72)
"""How far ahead, in hours, a rule may look."""

FACTS: Final[Mapping[str, Word]] = {
    "cows_in_milk": Word("搾乳牛", "cows in milk", None, ("", 1.0, 0)),
    "dry_cows": Word("乾乳牛", "dry cows", None, ("", 1.0, 0)),
    "calves": Word("子牛", "calves", None, ("", 1.0, 0)),
    "calves_under_21_d": Word("生後3週間までの 子牛", "calves under three weeks", None, ("", 1.0, 0)),
    "calvings_within_7_d": Word("7日以内の 出産予定", "calvings expected within 7 days", None, ("", 1.0, 0)),
    "is_lactating": Word("搾乳中", "in milk", is_text=True),
    "is_dry": Word("乾乳中", "dry", is_text=True),
    "is_pregnant": Word("妊娠中", "pregnant", is_text=True),
    "is_withheld": Word("乳を 出荷できない", "milk withheld", is_text=True),
    "days_in_milk": Word("搾乳日数", "days in milk", None, ("d", 1.0, 0)),
    "days_to_calving": Word("出産予定までの 日数", "days to calving", None, ("d", 1.0, 0)),
    "days_since_heat": Word("発情からの 日数", "days since heat", None, ("d", 1.0, 0)),
    "is_night": Word("夜", "night", is_text=True),
    "hours_to_sunrise": Word("日の出までの 時間", "hours to sunrise", None, ("h", 1.0, 1)),
    "hours_to_sunset": Word("日の入りまでの 時間", "hours to sunset", None, ("h", 1.0, 1)),
    "crop": Word("作物", "crop", is_text=True),
    "crop_pf_start": Word("かん水を 始める pF", "pF at which to irrigate", None, ("pF", 1.0, 1)),
    "crop_irrigation_pays": Word("かん水が 役立つ 時期", "irrigation pays now", is_text=True),
    "crop_frost": Word("作物が 霜で いたむ 温度", "temperature at which frost hurts the crop", "Cel"),
    "crop_canopy": Word("葉が しげっている 時期", "canopy season of the crop", is_text=True),
    "blight_flabs": Word("疫病の 点 (FLABS)", "blight score (FLABS)", None, ("", 1.0, 0)),
    "blight_hutton": Word("疫病の 出やすい 2日", "two days that favour blight (Hutton)", is_text=True),
    "days_since_emergence": Word("芽が 出てからの 日数", "days since emergence", None, ("d", 1.0, 0)),
}
"""What is worked out from the registry and the sun (`analytics/facts.py`); texts are `yes` or `no` where they can."""


def forecast_name(element: str, within_h: int) -> str:
    """Under what name facts hold the forecast of `element` for the next `within_h` hours."""
    return f"{element}_{within_h}h"
