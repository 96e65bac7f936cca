"""Comparisons across farms."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict

from api.measures import Compared, MeasureId
from api.shapes import Names, Shape

Why = Literal["not-taking-part", "too-few", "sees-too-many"]

_MEASURE: dict[str, Any] = {
    "id": "tank-temperature", "data_class": "tank", "name": {"ja": "乳温の 平均", "en": "mean milk temperature"},
    "unit": "℃", "factor": 1.0, "decimals": 1,
}  # fmt: skip


class MeasureOut(Shape):
    """Something that is compared. A value is shown as `value * factor` with `decimals` and `unit`."""

    id: MeasureId
    data_class: Compared
    name: Names
    unit: str
    factor: float
    decimals: int


class MeasuresOut(Shape):
    """What is compared, and of which months; the newest month first."""

    rows: list[MeasureOut]
    months: list[str]

    model_config = ConfigDict(
        frozen=True, extra="forbid", json_schema_extra={"examples": [{"rows": [_MEASURE], "months": ["2026-09"]}]}
    )


class OwnValue(Shape):
    """A farm of one's own: its value, null when it has measured too little, and the band next to it, from 0."""

    site: str
    value: float | None
    band: int | None


class ComparisonOut(Shape):
    """The farms that take part, in bands of eight or more: the mean of each, ascending; and one's own farms.

    `at_least`: so many farms, roughly. Without bands `why` says what is missing: `not-taking-part` (only who takes
    part sees what others have), `too-few` farms take part, or one `sees-too-many` of them by themselves.
    """

    measure: MeasureOut
    month: str
    at_least: int
    bands: list[float]
    own: list[OwnValue]
    why: Why | None

    model_config = ConfigDict(
        frozen=True, extra="forbid",
        json_schema_extra={"examples": [
            {"measure": _MEASURE, "month": "2026-09", "at_least": 15, "bands": [3.6, 4.2],
             "own": [{"site": "shikaoi-001", "value": 3.7, "band": 0}], "why": None}
        ]},
    )  # fmt: skip


class PartOut(Shape):
    """A class of the farm's data that is in comparisons, since when."""

    data_class: Compared
    since_ms: int


class PartsOut(Shape):
    """With what a farm takes part in comparisons."""

    rows: list[PartOut]

    model_config = ConfigDict(
        frozen=True, extra="forbid",
        json_schema_extra={"examples": [{"rows": [{"data_class": "tank", "since_ms": 1_758_466_800_000}]}]},
    )  # fmt: skip
