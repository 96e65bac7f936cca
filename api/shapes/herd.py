"""Animals and groups: what comes in and what is answered."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema

from api.shapes import Given, Id, Line, Millis, Names, NamesIn, Shape, Text
from collectors.registry.animals import NATIONAL_ID, TAG, is_tag
from collectors.registry.groups import GroupKind
from makiba.cow import Status
from makiba.herd_event import Sex

EARLIEST_DAY = date(1950, 1, 1)
LATEST_DAY = date(2100, 1, 1)


def _day(told: Any) -> Any:
    if not isinstance(told, str) or not re.fullmatch(r"\d{4}-\d{2}-\d{2}", told, re.ASCII):
        raise ValueError("expected a day as YYYY-MM-DD")
    try:
        day = date.fromisoformat(told)
    except ValueError:
        raise ValueError("there is no such day") from None
    if not EARLIEST_DAY <= day <= LATEST_DAY:
        raise ValueError(f"expected a day from {EARLIEST_DAY} to {LATEST_DAY}")
    return day


Day = Annotated[date, BeforeValidator(_day), WithJsonSchema({"type": "string", "format": "date"})]
"""A day of the farm's calendar."""


def _is_tag(tag: str) -> str:
    if not is_tag(tag):
        raise ValueError("its last twelve digits are more than 38 bits hold (ISO 11784)")
    return tag


NationalId = Annotated[str, Field(pattern=NATIONAL_ID, description="The ten digits of the individual number")]
Tag = Annotated[str, Field(pattern=TAG, description="Fifteen digits (ISO 11784)"), AfterValidator(_is_tag)]
Number = Annotated[
    str,
    Field(pattern=r"^[^\x00-\x20\x7f-\xa0/\\:?#%\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff]{1,32}$"),
]
"""The farm's own number of an animal or field: no blanks and none of `/ \\ : ? # %`, so that it stands in a path."""

Reference = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x20\x7f/\\]+$")]
"""An id, or `national-id:…`, `tag:…`, `number:…`."""


# ---------------------------------------------------------------------------------------------------- animals


class AnimalFields(Given):
    """What is written down about an animal. `dam` and `sire`: ten digits, a herd book's number, a bull's code."""

    national_id: NationalId | None = None
    tag: Tag | None = None
    number: Number | None = None
    name: Line = Field("", max_length=100)
    sex: Sex = "unknown"
    breed: Line = Field("", max_length=64, description="`holstein`, `jersey`, `japanese-black`, or any other word")
    born_on: Day | None = None
    dam: Line = Field("", max_length=64)
    sire: Line = Field("", max_length=64)
    note: Text = Field("", max_length=2_000)


class AnimalIn(AnimalFields):
    """A new animal. It needs one of its three numbers."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "national_id": "1409876543", "tag": "392000140987654", "number": "305", "name": "はな",
                    "sex": "female", "breed": "holstein", "born_on": "2022-04-18", "dam": "1312345678",
                }
            ]
        }
    )  # fmt: skip


class AnimalPatch(AnimalFields):
    """What is to be another; what is left out stays.

    A `tag` with `tag_from_ms` is a new one, worn since then: readings of the tag before stay the animal's. Without
    `tag_from_ms` it corrects what was written wrongly.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"tag": "392000140987655", "tag_from_ms": 1790000000000}]}
    )

    tag_from_ms: Millis | None = None


class AnimalOut(Shape):
    """An animal. `group`: the one in which it is now, since `group_from_ms`. `status` follows from its events."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "Zc2rD0FJ3kq1xJ7w9m5H2A", "version": 3, "national_id": "1409876543",
                    "tag": "392000140987654", "tag_from_ms": None, "number": "305", "name": "はな",
                    "sex": "female", "breed": "holstein", "born_on": "2022-04-18", "dam": "1312345678", "sire": "",
                    "note": "", "status": "present", "group": "t0Yp3yq2S5mXw8n1b6cA9g",
                    "group_from_ms": 1790000000000, "created_ms": 1780000000000, "changed_ms": 1790000000000,
                }
            ]
        }
    )  # fmt: skip

    id: str
    version: int
    national_id: str | None
    tag: str | None
    tag_from_ms: int | None
    number: str | None
    name: str
    sex: Sex
    breed: str
    born_on: date | None
    dam: str
    sire: str
    note: str
    status: Status
    group: str | None
    group_from_ms: int | None
    created_ms: int
    changed_ms: int


class AnimalsOut(Shape):
    rows: list[AnimalOut]
    next: str | None


class AnimalSeries(Shape):
    """A series of the animal's: readings in [from_ms, to_ms) are its own; None: without that end.

    `time_ms` and `value`: the newest of them.
    """

    subject: str
    quantity: str
    name: Names
    unit: str
    factor: float
    offset: float
    decimals: int
    from_ms: int | None
    to_ms: int | None
    time_ms: int | None
    value: float | str | None


class AnimalSubject(Shape):
    """What readings of the animal are called by in [from_ms, to_ms)."""

    subject: str
    from_ms: int | None
    to_ms: int | None


class AnimalSeriesOut(Shape):
    subjects: list[AnimalSubject]
    series: list[AnimalSeries]


class CowOut(Shape):
    """What an animal is at `time_ms`, by its events. None where it is not so, or nobody entered it.

    `milk_withheld_until_ms`, `meat_withheld_until_ms`: what may not be delivered until then, after a treatment.
    `days_in_milk`: whole days since it calved, while it is milked.
    """

    time_ms: int
    status: Status
    left_ms: int | None
    calvings: int
    calved_ms: int | None
    lactating_since_ms: int | None
    days_in_milk: int | None
    dry_since_ms: int | None
    heat_ms: int | None
    inseminated_ms: int | None
    pregnant_since_ms: int | None
    expected_calving_ms: int | None
    milk_withheld_until_ms: int | None
    meat_withheld_until_ms: int | None
    weaned_ms: int | None


class HerdRow(Shape):
    animal: AnimalOut
    state: CowOut


class HerdOut(Shape):
    rows: list[HerdRow]
    next: str | None


# ----------------------------------------------------------------------------------------------------- groups


class GroupIn(Given):
    """A group. `place`: the place of the farm in which it is kept."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"name": {"ja": "搾乳牛", "en": "Milking cows"}, "kind": "lactating", "place": "barn-1"}]
        }
    )

    name: NamesIn
    kind: GroupKind
    place: Id | None = None
    note: Text = Field("", max_length=2_000)


class GroupPatch(Given):
    """What is to be another; what is left out stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"place": "barn-2"}]})

    name: NamesIn | None = None
    kind: GroupKind | None = None
    place: Id | None = None
    note: Text | None = Field(None, max_length=2_000)


class GroupOut(Shape):
    id: str
    version: int
    name: Names
    kind: GroupKind
    place: str | None
    note: str
    created_ms: int
    changed_ms: int


class GroupRow(GroupOut):
    """`animals`: how many are in it now."""

    animals: int


class GroupsOut(Shape):
    rows: list[GroupRow]
    next: str | None


class GroupAnimalOut(Shape):
    """An animal in the group, in [from_ms, to_ms)."""

    animal: str
    number: str | None
    name: str
    from_ms: int
    to_ms: int | None


class GroupAnimalsOut(Shape):
    rows: list[GroupAnimalOut]
    next: str | None


class MovesIn(Given):
    """Animals that come into the group at `at_ms`, each by an event of kind `move`."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"animals": ["number:305", "number:306"], "at_ms": 1790000000000}]}
    )

    animals: list[Reference] = Field(min_length=1, max_length=200)
    at_ms: Millis
    note: Text = Field("", max_length=2_000)


class MovesOut(Shape):
    """The ids of the events by which the animals came, in the order in which they were named."""

    events: list[str]
