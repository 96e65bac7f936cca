"""What a column of a recording may be, by its head, its file's name and its numbers: where nobody gave a mapping.
Pure.

A guess, and told as one (`makiba backtest` lists what it took each column for). A column whose words say nothing, or
whose numbers cannot be what they say, is a bare `value`: a detector can look at it, no rule does.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from makiba.quantities import catalogue
from makiba.units import conversion

PLAUSIBLE_SHARE: Final = 0.95
"""So many of a column's numbers must be possible for what its words say."""


@dataclass(frozen=True, slots=True)
class Guess:
    """A quantity, the unit its numbers come in (None: the catalogue's), and the kind of place it stands in ('':
    unknown)."""

    quantity: str
    unit: str | None = None
    kind: str = ""


_UNITS: Final[tuple[tuple[str, str], ...]] = (
    (r"°\s*c\b|℃|\bdeg\s?c\b|\bcelsius\b|\bcel\b|º\s*c\b", "Cel"),
    (r"°\s*f\b|℉|\bfahrenheit\b", "degF"),
    (r"µs/cm|μs/cm|\bus/cm\b", "uS/cm"),
    (r"\bms/cm\b", "mS/cm"),
    (r"\bppm\b", "ppm"),
    (r"\bkpa\b", "kPa"), (r"\bhpa\b|\bmbar\b|\bmb\b", "hPa"), (r"\bpa\b", "Pa"),
    (r"w/m2|w/m²|w m-2", "W/m2"),
    (r"\bkm/h\b", "km/h"), (r"\bm/s\b", "m/s"), (r"\bmm/h\b", "mm/h"),
    (r"\bl/min\b|\blpm\b", "L/min"), (r"\bm3/h\b|m³/h", "m3/h"),
    (r"\bkwh\b", "kWh"), (r"\bkw\b", "kW"), (r"\bkv\b", "kV"), (r"\bmv\b", "mV"),
    (r"\bma\b", "mA"), (r"\bmm\b", "mm"), (r"\bcm\b", "cm"), (r"\blx\b|\blux\b", "lx"),
    (r"\bv\b|\bvolt\b", "V"), (r"\ba\b|\bamp(ere)?s?\b", "A"), (r"\bw\b|\bwatt\b", "W"),
    (r"%|\bpct\b|\bpercent", "%"),
)  # fmt: skip

# Words, the quantity, and the unit without one in the head; the first that fits. Digits are no words.
_WORDS: Final[tuple[tuple[str, str, str | None], ...]] = (
    (r"milk.*(temp|℃)|乳温|tank.?temp|\bbulk.*temp|cooler temp", "milk_temperature", "Cel"),
    (r"乳量|milk (volume|level)", "milk_volume", "L"),
    (r"soil.*(temp)|地温|substrate temp", "soil_temperature", "Cel"),
    (r"\bvwc\b|soil.*(moist|water)|土壌水分", "soil_moisture", "%"),
    (r"soil.*(ec\b|conduct)|\becb\b", "soil_conductivity", None),
    (r"soil.*ph\b", "soil_ph", None),
    (r"\bco2\b|carbon dioxide|二酸化炭素", "carbon_dioxide", "ppm"),
    (r"\bnh3\b|ammonia|アンモニア", "ammonia", "ppm"),
    (r"\bh2s\b|hydrogen sul|硫化水素", "hydrogen_sulfide", "ppm"),
    (r"\bch4\b|methane|メタン", "methane", "%"),
    (r"wind.?dir|風向", "wind_direction", "deg"),
    (r"gust|最大風速", "wind_gust", "m/s"),
    (r"wind.?speed|\bwind\b(?!.*(zijde|side|%|percent))|風速", "wind_speed", "m/s"),
    (r"rain.?rate|雨の強さ", "rain_rate", "mm/h"),
    (r"radiation|日射", "global_radiation", "W/m2"),
    (r"air.?pressure|barometer|気圧", "air_pressure", "hPa"),
    (r"deficit|absolute|\bdiff|\bpar\b|probability|saturation|dissolved", "value", None),
    (r"dew ?point|露点|dauwpunt", "dew_point", "Cel"),
    (r"\brh\b|humid|湿度|\brv\b", "relative_humidity", "%"),
    (r"batter(y|ij).*\bv\b|battery.?volt", "battery_voltage", "V"),
    (r"\bbattery\b|電池", "battery", "%"),
    (r"\bthi\b|暑さ指数", "thi", None),
    (r"frequency|\bhz\b", "frequency", None),
    (r"\bcurrent\b|電流|\bamps?\b", "current", "A"),
    (r"\bkwh\b|energy|電力量", "energy", "kWh"),
    (r"\bpower\b|電力|\bkw\b", "power", "W"),
    (r"volt|電圧|\bkv\b", "voltage", "V"),
    (r"(water|pump).*flow|\bflow\b|水の流れ", "water_flow", "L/min"),
    (r"\bpipe|buis|配管", "pipe_temperature", "Cel"),
    (r"water.*temp|水温", "water_temperature", "Cel"),
    (r"\b(silo|feed|tank)\b.*(pct|%|level|fill)|残量", "fill", "%"),
    (r"(barn|air|outside|outdoor|ambient|room|house|greenhouse|kas|hutch|parlour|weather|station)\w*.*(temp|°)|気温|kastemp",
     "air_temperature", "Cel"),
    (r"temp|温度|°\s*c\b|℃", "temperature", "Cel"),
)  # fmt: skip
_KINDS: Final[tuple[tuple[str, str], ...]] = (
    (r"weather|station|outdoor|outside|\bmast\b|気象|外気", "station"),
    (r"milk|乳温|バルク|bulk|tank.?(room|temp)", "tank-room"),
    (r"parlou?r|搾乳室", "parlour"),
    (r"barn|cow|stall|牛舎|hutch", "barn"),
    (r"fence|pasture|牧柵|放牧", "pasture"),
    (r"silo|feed|飼料", "silo"),
    (r"soil|field|畑|\bvwc\b|土壌", "field"),
)


def guess(head: str, file_stem: str, numbers: Sequence[float] = ()) -> Guess:
    """What the column with `head` in a file called `file_stem` is; `numbers`: some of its values.

    The file's name counts where the head says nothing (`value`).
    """
    for text in (_plain(head), f"{_plain(file_stem)} {_plain(head)}"):
        for words, quantity, unit in _WORDS:
            if re.search(words, text):
                found = Guess(quantity, _unit(text, quantity, unit), _kind(f"{_plain(file_stem)} {text}"))
                if quantity != "value" and is_likely(found, numbers):
                    return found
                return Guess("value", None, found.kind)
    return Guess("value", None, _kind(f"{_plain(file_stem)} {_plain(head)}"))


def is_likely(found: Guess, numbers: Sequence[float]) -> bool:
    """Whether nearly all `numbers` can be what was found."""
    known = catalogue()[found.quantity]
    change = conversion(found.unit, known.unit)
    if change is None:
        return False
    good = sum(known.is_plausible(float(change.factor) * n + float(change.offset)) for n in numbers)
    return good >= PLAUSIBLE_SHARE * len(numbers)


def _plain(text: str) -> str:
    """Lower case; signs that join words become blanks, digits behind words go (`tank_temp-0`)."""
    narrow = unicodedata.normalize("NFKC", text).casefold().replace("℃", "°c")
    return re.sub(r"\s+", " ", re.sub(r"[_-]+", " ", narrow)).strip()


def _unit(text: str, quantity: str, otherwise: str | None) -> str | None:
    for words, unit in _UNITS:
        if re.search(words, text) and conversion(unit, catalogue()[quantity].unit) is not None:
            return unit
    return otherwise


def _kind(text: str) -> str:
    return next((kind for words, kind in _KINDS if re.search(words, text)), "")
