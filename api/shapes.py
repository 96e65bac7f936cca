"""What the HTTP API answers: pydantic models, from which the OpenAPI document is made.

Times are UTC in whole milliseconds since 1970. Values are in the catalogue's unit; a person sees
`value * factor + offset` with `decimals` and `unit`. Names are in Japanese and English.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Shape(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Names(Shape):
    ja: str
    en: str


class Health(Shape):
    ok: bool
    time_ms: int


# ---------------------------------------------------------------------------------------------- session


class SignIn(Shape):
    login: str = Field(max_length=200)
    password: str = Field(max_length=1_000)


class Join(Shape):
    code: str = Field(max_length=200)


class Language(Shape):
    language: Literal["ja", "en"]


class PersonOut(Shape):
    id: int
    name: str
    language: str


class SiteRole(Shape):
    id: str
    name: Names
    role: str


class SessionOut(Shape):
    person: PersonOut
    sites: list[SiteRole]
    demo: bool


# ---------------------------------------------------------------------------------------------- places


class ValueOut(Shape):
    """The newest value of a series; `every_s` is how often it is measured, None where that is not known."""

    quantity: str
    name: Names
    unit: str
    factor: float
    offset: float
    decimals: int
    kind: Literal["gauge", "counter", "text"]
    value: float | str
    time_ms: int
    every_s: float | None


class SubjectOut(Shape):
    """A subject that stands in a place. `state` is its own or its device's, whichever is worse; None: never heard."""

    subject: str
    device: str
    gateway: str | None
    name: Names
    role: str
    state: str | None
    state_ms: int | None
    values: list[ValueOut]


class PlaceOut(Shape):
    id: str
    kind: str
    name: Names
    subjects: list[SubjectOut]


class GatewayOut(Shape):
    id: str
    status: str
    status_ms: int


class PlacesOut(Shape):
    time_ms: int
    places: list[PlaceOut]
    gateways: list[GatewayOut]


# ---------------------------------------------------------------------------------------------- series


class LimitOut(Shape):
    """A line in a chart: the value, in the catalogue's unit, above or below which `rule` begins to count."""

    rule: str
    title: Names
    kind: Literal["above", "below"]
    value: float


class WindowsOut(Shape):
    """A series folded into windows of `width_ms`: [start_ms, count, min, mean, max, last]; empty ones left out."""

    subject: str
    quantity: str
    name: Names
    unit: str
    factor: float
    offset: float
    decimals: int
    width_ms: int
    windows: list[tuple[int, int, float, float, float, float]]
    limits: list[LimitOut]


# ---------------------------------------------------------------------------------------------- alerts


class NamedPlace(Shape):
    id: str
    name: Names


class Signal(Shape):
    """A value that the alert is about. `shown_names`: as people read it, a state in words of each language.

    `shown` is the same as one text.
    """

    quantity: str
    name: Names
    shown: str
    shown_names: Names


class Child(Shape):
    subject: str
    name: Names


class AlertEventOut(Shape):
    """A step in an alert's life. `who` is a person's name, None where Makiba acted by itself."""

    id: int
    at_ms: int
    kind: str
    who: str | None
    detail: dict[str, Any]


class AlertOut(Shape):
    id: str
    rule: str
    severity: Literal["critical", "warning", "advisory", "info"]
    state: Literal["open", "acknowledged", "ended"]
    site: str
    subject: str
    subject_name: Names
    place: NamedPlace | None
    title: Names
    message: Names
    action: Names
    note: Names | None
    signals: list[Signal]
    onset_ms: int
    opened_ms: int
    ended_ms: int | None
    over_ms: int | None
    """Since when its values are well again: it ends when a person acknowledges it after that."""
    acknowledged_ms: int | None
    acknowledged_by: str | None
    children: list[Child]
    events: list[AlertEventOut]


class AlertsOut(Shape):
    alerts: list[AlertOut]


# ---------------------------------------------------------------------------------------------- stream


class ReadingNews(Shape):
    """One committed reading in an `event: readings`."""

    site: str
    subject: str
    quantity: str
    time_ms: int
    value: float | str


class TimeNews(Shape):
    """`event: hello` and `event: ping`: the centre's clock."""

    time_ms: int


class CentreNews(Shape):
    """`event: centre`: whether new readings can come in just now."""

    broker: bool
