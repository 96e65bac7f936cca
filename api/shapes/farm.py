"""Contacts, the rota and maintenance windows of a farm."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from api.shapes import Given, Id, Line, Millis, Names, Shape, Text
from collectors.registry.contacts import ContactKind
from collectors.registry.maintenance_times import LONGEST_MS, TargetKind
from collectors.registry.rota_times import Kind, Tier

# ---------------------------------------------------------------------------------------------- contacts

_CONTACT: dict[str, Any] = {
    "name": "鹿追動物病院", "kind": "vet", "what_for": "夜間の 難産", "phone": "0156-66-1234",
    "mail": "desk@example.jp", "note": "夜は 2番を 押す",
}  # fmt: skip


class ContactIn(Given):
    """Whom the farm calls. `phone` as it is written: 0156-66-1234, or +81 156 66 1234."""

    name: Line = Field(min_length=1, max_length=200)
    kind: ContactKind
    what_for: Line = Field("", max_length=200, description="When or for what they are called")
    phone: Line = Field("", max_length=40)
    mail: str = Field("", max_length=254, pattern=r"^([!-?A-~]+@[!-?A-~]+)?$")
    note: Text = Field("", max_length=2_000)

    model_config = ConfigDict(json_schema_extra={"examples": [_CONTACT]})


class ContactOut(Shape):
    """`phone` is the number in E.164, as a machine dials it; null: there is none, or it is a short one (119)."""

    id: str
    name: str
    kind: str
    what_for: str
    phone: str | None
    phone_written: str
    mail: str
    note: str
    version: int

    model_config = ConfigDict(
        frozen=True, extra="forbid",
        json_schema_extra={"examples": [
            {"id": "8sYqjV1xO0aBzT3kWm2fLw", **_CONTACT, "phone": "+81156661234", "phone_written": "0156-66-1234",
             "version": 1}
        ]},
    )  # fmt: skip


class ContactsOut(Shape):
    rows: list[ContactOut]
    next: str | None


# -------------------------------------------------------------------------------------------------- rota


def _a_day(text: str) -> str:
    date.fromisoformat(text)
    return text


Day = Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"), AfterValidator(_a_day)]
"""A day of the farm's own calendar."""


class _Who(Given):
    person: Id | None = Field(None, description="A person with a role on the farm")
    contact: Id | None = Field(None, description="One of the farm's contacts")
    note: Line = Field("", max_length=400)

    @model_validator(mode="after")
    def _one_of_two(self) -> _Who:
        if (self.person is None) == (self.contact is None):
            raise ValueError("a person or a contact, one of the two")
        return self


class _Dated(_Who):
    from_ms: Millis
    to_ms: Millis

    @model_validator(mode="after")
    def _forwards(self) -> _Dated:
        if self.from_ms >= self.to_ms:
            raise ValueError("from_ms must be before to_ms")
        return self


class DatedIn(_Dated):
    """On call once, in [from_ms, to_ms)."""

    kind: Literal["dated"]
    tier: Tier = Field(description="Who is asked first: owner, then family, helper, co-op")
    position: int = Field(0, ge=0, le=1_000, description="The order within a tier")


class AbsenceIn(_Dated):
    """Away in [from_ms, to_ms): not on call, whatever other lines say."""

    kind: Literal["absence"]


class WeeklyIn(_Who):
    """On call every week, by the clock on the farm's wall."""

    kind: Literal["weekly"]
    tier: Tier = Field(description="Who is asked first: owner, then family, helper, co-op")
    position: int = Field(0, ge=0, le=1_000, description="The order within a tier")
    weekdays: list[Annotated[int, Field(ge=0, le=6)]] = Field(
        min_length=1, max_length=7, description="On which days it begins; 0 is Monday"
    )
    start_minute: int = Field(ge=0, le=1_439, description="When it begins, in minutes after midnight")
    minutes: int = Field(ge=1, le=10_080, description="How long it lasts on the wall's clock")
    first_day: Day | None = None
    last_day: Day | None = None
    except_days: list[Day] = Field(
        default_factory=list, max_length=400, description="Days on which it does not begin"
    )


ShiftIn = Annotated[DatedIn | WeeklyIn | AbsenceIn, Field(discriminator="kind")]

SHIFT_EXAMPLES = {
    "weekly": {
        "summary": "Every night from Monday to Friday, but not on New Year's Eve",
        "value": {
            "kind": "weekly", "contact": "8sYqjV1xO0aBzT3kWm2fLw", "tier": "helper", "weekdays": [0, 1, 2, 3, 4],
            "start_minute": 1_080, "minutes": 720, "except_days": ["2026-12-31"],
        },
    },
    "dated": {
        "summary": "Once",
        "value": {
            "kind": "dated", "person": "pXq1", "tier": "owner", "from_ms": 1_790_000_000_000,
            "to_ms": 1_790_050_000_000,
        },
    },
    "absence": {
        "summary": "Away",
        "value": {
            "kind": "absence", "person": "pXq1", "from_ms": 1_790_000_000_000, "to_ms": 1_790_050_000_000,
        },
    },
}  # fmt: skip


class ShiftOut(Shape):
    """A line of the rota. `name` is the person's or contact's; `in_force`: whether they still belong to the farm."""

    id: str
    kind: Kind
    person: str | None
    contact: str | None
    name: str | None
    in_force: bool
    tier: Tier | None
    position: int
    from_ms: int | None
    to_ms: int | None
    weekdays: list[int]
    start_minute: int | None
    minutes: int | None
    first_day: str | None
    last_day: str | None
    except_days: list[str]
    note: str
    version: int


class ShiftsOut(Shape):
    rows: list[ShiftOut]
    next: str | None


class OnCallOut(Shape):
    """Somebody who is on call by the line `shift` in [from_ms, to_ms); `phone` is in E.164."""

    person: str | None
    contact: str | None
    name: str
    role: Names | None
    tier: Tier
    shift: str
    from_ms: int
    to_ms: int
    phone: str | None
    phone_written: str
    mail: str


class OnCallNowOut(Shape):
    """Who is on call at `at_ms`, in the order in which they are asked; empty: nobody."""

    at_ms: int
    on_call: list[OnCallOut]


class SpanOut(Shape):
    from_ms: int
    to_ms: int


class OverlapOut(Shape):
    tier: Tier
    from_ms: int
    to_ms: int
    names: list[str]


class RotaCheckOut(Shape):
    """`gaps`: when nobody is on call. `overlaps`: when several stand at the same place of the order.

    `vacant`: lines of people who do not belong to the farm any more.
    """

    from_ms: int
    to_ms: int
    gaps: list[SpanOut]
    overlaps: list[OverlapOut]
    vacant: list[str]


# ------------------------------------------------------------------------------------------- maintenance


class TargetIn(Given):
    """What is worked on: a `place`, `device` or `subject` by its id, or the whole `site` (then no id)."""

    kind: TargetKind
    id: Line = Field("", max_length=64)


class MaintenanceIn(Given):
    """Somebody works on `targets` in [from_ms, to_ms), at most 30 days."""

    targets: list[TargetIn] = Field(min_length=1, max_length=50)
    from_ms: Millis
    to_ms: Millis
    why: Line = Field(min_length=1, max_length=400)

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "targets": [{"kind": "place", "id": "tank-room"}], "from_ms": 1_790_000_000_000,
                    "to_ms": 1_790_007_200_000, "why": "冷却機の 点検",
                }
            ]
        }
    )  # fmt: skip

    @model_validator(mode="after")
    def _has_an_end(self) -> MaintenanceIn:
        if not self.from_ms < self.to_ms <= self.from_ms + LONGEST_MS:
            raise ValueError("to_ms must be after from_ms, and at most 30 days later")
        return self


class TargetOut(Shape):
    kind: TargetKind
    id: str


class MaintenanceOut(Shape):
    """A maintenance window. `ended_ms`: it was over earlier than planned. `who`: the name of who planned it."""

    id: str
    targets: list[TargetOut]
    from_ms: int
    to_ms: int
    ended_ms: int | None
    why: str
    who: str | None
    in_force: bool
    version: int


class MaintenancesOut(Shape):
    rows: list[MaintenanceOut]
    next: str | None
