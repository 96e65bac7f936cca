"""Fields and crops: what comes in and what is answered; as GeoJSON too."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from api.shapes import Given, Id, Line, Names, NamesIn, Shape, Text
from api.shapes.herd import Day, Number
from collectors.registry.fields import FieldKind, Soil

Degrees = Annotated[float, Field(ge=-100_000, le=100_000, allow_inf_nan=False)]
Position = Annotated[
    list[Degrees], Field(min_length=2, max_length=3, description="Longitude, latitude in degrees (WGS 84)")
]
Ring = Annotated[list[Position], Field(min_length=4, max_length=1_000)]
Rings = Annotated[list[Ring], Field(min_length=1, max_length=100)]
BBox = Annotated[list[Degrees], Field(min_length=4, max_length=6)]

_SQUARE: Any = [[143.0, 43.2], [143.002, 43.2], [143.002, 43.202], [143.0, 43.202], [143.0, 43.2]]


class PolygonIn(Given):
    """RFC 7946: the first ring is the outline, the others are holes; each ends where it begins."""

    type: Literal["Polygon"]
    coordinates: Rings
    bbox: BBox | None = None


class MultiPolygonIn(Given):
    type: Literal["MultiPolygon"]
    coordinates: Annotated[list[Rings], Field(min_length=1, max_length=100)]
    bbox: BBox | None = None


OutlineIn = Annotated[PolygonIn | MultiPolygonIn, Field(discriminator="type")]


class FieldIn(Given):
    """A field. `place`: the place (kind field or pasture) in which its sensors stand, if there are any."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": {"ja": "東3号", "en": "East 3"}, "number": "E3", "kind": "field", "soil": "andosol",
                    "outline": {"type": "Polygon", "coordinates": [_SQUARE]},
                }
            ]
        }
    )  # fmt: skip

    name: NamesIn
    kind: FieldKind
    number: Number | None = None
    place: Id | None = None
    outline: OutlineIn | None = None
    soil: Soil = "unknown"
    note: Text = Field("", max_length=2_000)


class FieldPatch(Given):
    """What is to be another; what is left out stays. `number`, `place` and `outline` go away by null."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"soil": "brown-lowland"}]})

    name: NamesIn | None = None
    kind: FieldKind | None = None
    number: Number | None = None
    place: Id | None = None
    outline: OutlineIn | None = None
    soil: Soil | None = None
    note: Text | None = Field(None, max_length=2_000)


class SeasonIn(Given):
    """A crop on a field."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"crop": "てんさい", "variety": "アマホマレ", "planted_on": "2026-04-28"}]}
    )

    crop: Line = Field(min_length=1, max_length=64)
    variety: Line = Field("", max_length=64)
    sown_on: Day | None = None
    planted_on: Day | None = None
    harvested_on: Day | None = None
    note: Text = Field("", max_length=2_000)


class SeasonPatch(Given):
    """What is to be another; what is left out stays. A day goes away by null."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"harvested_on": "2026-10-25"}]})

    crop: Line | None = Field(None, min_length=1, max_length=64)
    variety: Line | None = Field(None, max_length=64)
    sown_on: Day | None = None
    planted_on: Day | None = None
    harvested_on: Day | None = None
    note: Text | None = Field(None, max_length=2_000)


class SeasonOut(Shape):
    id: str
    version: int
    crop: str
    variety: str
    sown_on: date | None
    planted_on: date | None
    harvested_on: date | None
    note: str
    created_ms: int
    changed_ms: int


class SeasonsOut(Shape):
    """The newest first."""

    seasons: list[SeasonOut]


class AreaOut(Shape):
    """The area inside the outline: square metres, hectares, 反 and 町歩."""

    m2: float
    ha: float
    tan: float
    cho: float


class GeometryOut(Shape):
    """RFC 7946: rings are closed; outer ones go counterclockwise, holes clockwise."""

    type: Literal["Polygon", "MultiPolygon"]
    coordinates: list[Any]


class SensorOut(Shape):
    """A subject that stands in the field now, since `from_ms`."""

    subject: str
    name: Names
    role: str
    from_ms: int


class SensorsOut(Shape):
    sensors: list[SensorOut]


class FieldOut(Shape):
    """A field. `warnings`: what is odd about its outline and may be right (`outside-japan`)."""

    id: str
    version: int
    name: Names
    kind: FieldKind
    number: str | None
    place: str | None
    outline: GeometryOut | None
    bbox: list[float] | None
    area: AreaOut | None
    soil: Soil
    soil_name: Names
    note: str
    warnings: list[str]
    created_ms: int
    changed_ms: int


class FieldRow(FieldOut):
    """`seasons`: what grew on it, the newest first; `sensors`: what stands in it now."""

    seasons: list[SeasonOut]
    sensors: list[SensorOut]


class FieldsOut(Shape):
    rows: list[FieldRow]
    next: str | None


class FeatureOut(Shape):
    """A field as GeoJSON. `properties` are those of `FieldRow` without `outline` and `bbox`."""

    type: Literal["Feature"] = "Feature"
    id: str
    geometry: GeometryOut | None
    bbox: list[float] | None = None
    properties: dict[str, Any]


class FeatureCollectionOut(Shape):
    """The fields as GeoJSON; `next` is a member of our own, as RFC 7946 allows (section 6.1)."""

    type: Literal["FeatureCollection"] = "FeatureCollection"
    features: list[FeatureOut]
    next: str | None
