"""Events in the lives of animals: what comes in and what is answered."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from api.shapes import Given, Line, Millis, Names, Shape, Text
from api.shapes.herd import Reference
from makiba.herd_event import Detail, Kind


class EventFields(Given):
    at_ms: Millis
    detail: Detail
    note: Text = Field("", max_length=2_000)


class EventIn(EventFields):
    """What happened to `animal` (an id or a number of it) at `at_ms`.

    `key`: the entering program's own name for the event; the same key again is the same event.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "animal": "number:305", "at_ms": 1790000000000,
                    "detail": {
                        "kind": "calving", "ease": "unassisted",
                        "calves": [{"animal": "1412345670", "sex": "female", "alive": True, "weight_kg": 41.5}],
                    },
                },
                {
                    "animal": "national-id:1409876543", "at_ms": 1790000000000, "key": "visit-2026-091",
                    "detail": {
                        "kind": "treatment", "drug": "セファゾリン", "dose": "1 本", "reason": "乳房炎 左後",
                        "milk_withdrawal_h": 72, "meat_withdrawal_h": 72,
                    },
                },
            ]
        }
    )  # fmt: skip

    animal: Reference
    key: Annotated[Line, Field(min_length=1, max_length=200)] | None = None


class EventPut(EventFields):
    """What the event should have said, as a whole."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"at_ms": 1790000000000, "detail": {"kind": "dry-off", "reason": "低乳量"}}]}
    )


class DeletedOut(Shape):
    at_ms: int
    by: str | None
    why: str


class EventBeforeOut(Shape):
    """What the event said in `version`, until `replaced_ms`."""

    version: int
    kind: Kind
    at_ms: int
    detail: Detail
    note: str
    entered_ms: int
    entered_by: str | None
    replaced_ms: int


class EventRow(Shape):
    """`entered_by`: the person's name then; None where a program entered it. `deleted`: it counts no more."""

    id: str
    version: int
    animal: str
    kind: Kind
    kind_name: Names
    at_ms: int
    detail: Detail
    note: str
    key: str | None
    entered_ms: int
    entered_by: str | None
    deleted: DeletedOut | None


class EventOut(EventRow):
    """`history`: what it said before, the newest first."""

    history: list[EventBeforeOut]


class EventsOut(Shape):
    rows: list[EventRow]
    next: str | None
