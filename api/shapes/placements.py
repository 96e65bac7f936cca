"""Places of a farm, and what stands in them when."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from api.shapes import Given, Millis, Names, NamesIn, Shape
from collectors.registry.site_file import PlaceKind
from makiba.reading import SUBJECT_PATTERN

PLACE_ID = r"^[a-z0-9][a-z0-9-]{0,63}$"
Role = Annotated[str, Field(pattern=r"^[a-z0-9-]{0,32}$", description="What it is for there: fan, compressor, …")]


class PlaceIn(Given):
    """A new place. Its kind decides of which class of data what stands there is, and cannot be changed."""

    id: str | None = Field(None, pattern=PLACE_ID, description="Without it one is made of the kind: barn-2")
    kind: PlaceKind
    name: NamesIn

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"kind": "barn", "name": {"ja": "第2牛舎", "en": "Barn 2"}}]}
    )


class PlaceChange(Given):
    """What is not given stays. `position`: its place in the order, 0 is the first."""

    name: NamesIn | None = None
    position: int | None = Field(None, ge=0, le=1_000)

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": {"ja": "乾乳舎"}, "position": 0}]})


class PlaceRowOut(Shape):
    """A place. `edited`: people said so last, and a site file that is applied leaves it as it is."""

    id: str
    kind: str
    name: Names
    position: int
    edited: bool
    version: int


class PlacementIn(Given):
    """A subject goes to a place: the old placement ends at `from_ms` (now, where not given), the new one begins.

    `role` and `name` stay what they were where they are not given.
    """

    subject: str = Field(pattern=SUBJECT_PATTERN, max_length=64)
    place: str = Field(pattern=PLACE_ID)
    role: Role | None = None
    name: NamesIn | None = None
    from_ms: Millis | None = None

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"subject": "barn-1-climate", "place": "barn-2", "name": {"ja": "牛舎の空気"}}]
        }
    )


class PlacementChange(Given):
    """What is not given stays. `taken_away`: it stands there no more, from now on.

    `place`, `from_ms` and `to_ms` correct what was wrong; `to_ms: null` says that it stands there still.
    """

    role: Role | None = None
    name: NamesIn | None = None
    place: str | None = Field(None, pattern=PLACE_ID)
    from_ms: Millis | None = None
    to_ms: Millis | None = None
    taken_away: bool = False

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": {"ja": "送風機2", "en": "Fan 2"}, "role": "fan"}]}
    )


class PlacementOut(Shape):
    """A subject stood in a place in [from_ms, to_ms); `to_ms` null: it stands there still."""

    id: str
    subject: str
    place: str
    role: str
    name: Names
    from_ms: int
    to_ms: int | None
    edited: bool
    version: int


class PlacementsOut(Shape):
    rows: list[PlacementOut]
    next: str | None
