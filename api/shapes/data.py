"""What is said about series and their values."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from api.shapes import NamedPlace, Names, Shape
from collectors.out.choice import PATTERN
from collectors.out.table import Fold
from makiba.data_class import DataClass

SERIES_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9:._-]{0,63}/[a-z][a-z0-9_]{0,63}$"

Pattern = Annotated[str, Field(pattern=PATTERN)]
"""A name, or a pattern of names: `tank-*` is any tank."""

SeriesName = Annotated[str, Field(pattern=SERIES_PATTERN)]
"""`subject/quantity`."""

FarmSeriesName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}/" + SERIES_PATTERN[1:])]
"""`site/subject/quantity`."""

_MILK: dict[str, Any] = {
    "subject": "tank-1", "quantity": "milk_temperature",
    "name": {"ja": "乳温", "en": "milk temperature"}, "unit": "℃", "factor": 1.0, "offset": 0.0, "decimals": 1,
}  # fmt: skip


class Word(Shape):
    """What a series' quantity is called; people see `value * factor + offset` with `decimals` and `unit`."""

    subject: str
    quantity: str
    name: Names
    unit: str
    factor: float
    offset: float
    decimals: int


class SeriesOut(Word):
    """A series. `place`: where its subject stands now, None where it stands nowhere (or that is not told).

    `classes`: of a guest, those that it ever was of and that they may see; else those that it is of now. `first_ms`
    and `last_ms`: its first and last reading that is kept, and that may be seen. `every_s`: how often it is measured,
    None where that is not known.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    **_MILK, "subject_name": {"ja": "バルククーラー", "en": "Bulk tank"}, "kind": "gauge",
                    "classes": ["tank"], "place": {"id": "tank-room", "name": {"ja": "処理室", "en": "Tank room"}},
                    "first_ms": 1760000000000, "last_ms": 1790000000000, "every_s": 10.0,
                }
            ]
        }
    )  # fmt: skip

    subject_name: Names
    kind: Literal["gauge", "counter", "text"]
    classes: list[DataClass]
    place: NamedPlace | None
    first_ms: int | None
    last_ms: int | None
    every_s: float | None


class SeriesPage(Shape):
    """Series by subject and quantity."""

    rows: list[SeriesOut]
    next: str | None


class LatestRow(Word):
    """The newest value of a series, in the catalogue's unit, and how old it is."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{**_MILK, "value": 4.2, "time_ms": 1790000000000, "age_ms": 8000}]}
    )

    value: float | str
    time_ms: int
    age_ms: int


class LatestOut(Shape):
    """`time_ms` is the centre's clock, against which ages are told."""

    time_ms: int
    rows: list[LatestRow]


class ReadingsPage(Word):
    """Readings as they are stored, ascending: [time_ms, value], in the catalogue's unit."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{**_MILK, "rows": [[1790000000000, 4.2]], "next": None}]}
    )

    rows: list[tuple[int, float | str]]
    next: str | None


class DataColumn(Word):
    """One series: of each fold that was asked for, a value for each of `times_ms`; null where it has no reading."""

    site: str
    count: list[int | None] | None = None
    min: list[float | None] | None = None
    mean: list[float | None] | None = None
    max: list[float | None] | None = None
    last: list[float | None] | None = None


class DataOut(Shape):
    """Series side by side, in windows of `width_ms` that start at `times_ms`; windows in which none has a reading are
    left out. A text has no windows: its columns are empty.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "width_ms": 900000, "times_ms": [1790000100000, 1790001000000],
                    "columns": [{**_MILK, "site": "shikaoi-012", "mean": [4.2, None], "max": [4.4, None]}],
                }
            ]
        }
    )  # fmt: skip

    width_ms: int
    times_ms: list[int]
    columns: list[DataColumn]


Folds = list[Fold]
