"""What befell many farms at once, and what each of them answers."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import ConfigDict

from api.shapes import Given, Names, Shape

AnswerWord = Literal["ok", "generator", "people"]

_AT: Final = 1_764_000_000_000
_FARM: Final[Any] = {
    "site": "shikaoi-001", "name": {"ja": "鹿追牧場", "en": "Shikaoi farm"}, "onset_ms": _AT, "ended_ms": None,
    "generator": False, "cows": 64, "answer": "generator", "answered_ms": _AT + 240_000, "may_answer": False,
}  # fmt: skip


class IncidentFarmOut(Shape):
    """A farm in it. `generator`, `cows`: as the farm says of itself, null where it does not.

    `answer`: `ok`, `generator` (one is needed), `people` (help is needed), null until somebody answers.
    """

    site: str
    name: Names
    onset_ms: int
    ended_ms: int | None
    generator: bool | None
    cows: float | None
    answer: AnswerWord | None
    answered_ms: int | None
    may_answer: bool

    model_config = ConfigDict(json_schema_extra={"examples": [_FARM]})


_INCIDENT: Final[Any] = {
    "id": "3f6d0c3f4a1b2c5d6e7f8091a2b3c4d5", "kind": "power",
    "title": {"ja": "停電の疑い 12戸", "en": "12 farms without power"},
    "onset_ms": _AT, "ended_ms": None, "farms": [_FARM], "farms_in_all": 12, "still_hit": 1,
}  # fmt: skip


class IncidentOut(Shape):
    """Farms that lost power (`power`) or their link (`link`) together: those that the viewer may see, who needs help
    first. `farms_in_all`: how many there are, null below five. `still_hit`: for how many of `farms` it goes on.
    """

    id: str
    kind: Literal["power", "link"]
    title: Names
    onset_ms: int
    ended_ms: int | None
    farms: list[IncidentFarmOut]
    farms_in_all: int | None
    still_hit: int

    model_config = ConfigDict(json_schema_extra={"examples": [_INCIDENT]})


class IncidentsOut(Shape):
    """The newest first; `next` is the `cursor` that goes on, null at the end."""

    rows: list[IncidentOut]
    next: str | None

    model_config = ConfigDict(json_schema_extra={"examples": [{"rows": [_INCIDENT], "next": None}]})


class AnswerIn(Given):
    """What the farm's people say; the last word counts. Their alerts in it are acknowledged with it."""

    answer: AnswerWord

    model_config = ConfigDict(json_schema_extra={"examples": [{"answer": "generator"}]})
