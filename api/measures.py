"""What comparisons compare: a number of a farm and a month, of what was measured while it was of the measure's class.

A month is one of the calendar at UTC+9. A farm that has measured on less than half of its days has no value. Several
subjects of a farm (two tanks) count together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from collectors.registry.sight import FarmSight
from collectors.store import Store, Window
from collectors.store.levels import DAY_MS, DAY_OFFSET_MS
from makiba.data_class import DataClass
from makiba.reading import Series

MeasureId = Literal["tank-temperature", "barn-heat", "soil-moisture"]
Compared = Literal["tank", "barn", "field"]
"""The classes that there are measures of."""

HOUR_MS: Final = 3_600_000
ENOUGH: Final = 0.5
HEAT: Final = 72.0
"""THI from which cows are under heat stress."""

LATE_DAYS: Final = 3
"""A month is compared when so many days of the next have gone, since backlogs come late."""
MONTHS: Final = 12
"""Months that are compared, from the last one back."""


@dataclass(frozen=True, slots=True)
class Month:
    """A month at UTC+9, as `2026-09`, and its [start_ms, end_ms)."""

    name: str
    start_ms: int
    end_ms: int

    @property
    def days(self) -> int:
        return (self.end_ms - self.start_ms) // DAY_MS


def months(now_ms: int) -> list[Month]:
    """The months that may be compared now, the newest first."""
    local = datetime.fromtimestamp((now_ms - LATE_DAYS * DAY_MS - DAY_OFFSET_MS) / 1000, UTC)
    end = local.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    found = []
    for _ in range(MONTHS):
        start = (end - timedelta(days=1)).replace(day=1)
        found.append(Month(f"{start:%Y-%m}", _ms(start), _ms(end)))
        end = start
    return found


def _ms(local: datetime) -> int:
    return int(local.timestamp()) * 1000 + DAY_OFFSET_MS


Value = Callable[[Store, FarmSight, str, Month], float | None]
"""Of a farm in a month; None when it has too little. The sight sees the measure's class only."""


@dataclass(frozen=True, slots=True)
class Measure:
    """`step`: what published means are rounded to. Values are shown as `value * factor` in `unit`."""

    id: MeasureId
    data_class: DataClass
    names: Mapping[str, str]
    unit: str
    factor: float
    decimals: int
    step: float
    value: Value


def _mean_of(quantity: str) -> Value:
    def value(store: Store, sight: FarmSight, site: str, month: Month) -> float | None:
        days: set[int] = set()
        total = count = 0.0
        for series in store.series(site):
            if series.quantity == quantity:
                for window in _windows(store, sight, series, month, DAY_MS):
                    days.add(window.start_ms)
                    total += window.mean * window.count
                    count += window.count
        return total / count if len(days) >= ENOUGH * month.days else None

    return value


def _hours_of_heat(store: Store, sight: FarmSight, site: str, month: Month) -> float | None:
    """Hours with a THI of `HEAT` or more; of several barns the mean."""
    from analytics.derived import derive  # with numpy, which nothing else of a service needs

    barns: list[int] = []
    subjects = {series.subject for series in store.series(site) if series.quantity == "air_temperature"}
    for subject in sorted(subjects):
        air, humidity = (
            {w.start_ms: w.mean for w in _windows(store, sight, Series(site, subject, quantity), month, HOUR_MS)}
            for quantity in ("air_temperature", "relative_humidity")
        )
        both = air.keys() & humidity.keys()
        if len(both) >= ENOUGH * 24 * month.days:
            barns.append(sum(derive("thi", (air[hour], humidity[hour])) >= HEAT for hour in both))
    return sum(barns) / len(barns) if barns else None


def _windows(store: Store, sight: FarmSight, series: Series, month: Month, width_ms: int) -> Iterable[Window]:
    """Whole windows of the times at which the series was of the class that is compared."""
    for from_ms, to_ms in sight.spans(series.subject, series.quantity):
        start_ms = max(month.start_ms, -_floor(-from_ms, width_ms, -DAY_OFFSET_MS))
        end_ms = min(month.end_ms, _floor(to_ms, width_ms, DAY_OFFSET_MS))
        if start_ms < end_ms:
            yield from store.windows(series, start_ms, end_ms, width_ms, DAY_OFFSET_MS)


def _floor(at_ms: int, width_ms: int, offset_ms: int) -> int:
    return (at_ms - offset_ms) // width_ms * width_ms + offset_ms


MEASURES: Final[tuple[Measure, ...]] = (
    Measure(
        "tank-temperature", "tank", {"ja": "乳温の 平均", "en": "mean milk temperature"}, "℃", 1.0, 1, 0.1,
        _mean_of("milk_temperature"),
    ),
    Measure(
        "barn-heat", "barn", {"ja": "暑さ指数 72以上の 時間", "en": "hours with a THI of 72 or more"}, "h",
        1.0, 0, 5.0, _hours_of_heat,
    ),
    Measure(
        "soil-moisture", "field", {"ja": "土壌水分の 平均", "en": "mean soil moisture"}, "%", 100.0, 0, 0.01,
        _mean_of("soil_moisture"),
    ),
)  # fmt: skip
BY_ID: Final[Mapping[str, Measure]] = {measure.id: measure for measure in MEASURES}
