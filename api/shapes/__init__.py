"""What the HTTP API answers: pydantic models, from which the OpenAPI document is made.

Times are UTC in whole milliseconds since 1970. Values are in the catalogue's unit; a person sees
`value * factor + offset` with `decimals` and `unit`. Names are in Japanese and English.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from collectors.registry.viewer import Role
from makiba.data_class import DataClass
from makiba.reading import EARLIEST_MS, LATEST_MS


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
    """A farm and what the signed-in person is there; `classes`: what of its data they may see."""

    id: str
    name: Names
    role: str
    classes: list[DataClass]


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


# ------------------------------------------------------------------------------------- consent and audit

OutsideRole = Literal["vet", "coop", "town", "technician"]


class ConsentIn(Shape):
    """What a farm shows, and to whom: everybody with `role` on the farm, or the person of this id.

    From now on where `from_ms` is not given, until it is withdrawn where `until_ms` is not given.
    """

    role: OutsideRole | None = None
    person: int | None = Field(None, ge=1, le=2**53)
    classes: list[DataClass] = Field(min_length=1, max_length=7)
    from_ms: int | None = Field(None, ge=EARLIEST_MS, le=LATEST_MS)
    until_ms: int | None = Field(None, ge=EARLIEST_MS, le=LATEST_MS)

    model_config = ConfigDict(
        frozen=True, extra="forbid", json_schema_extra={"examples": [{"role": "coop", "classes": ["tank", "alerts"]}]}
    )


class ClassName(Shape):
    id: DataClass
    name: Names


class ConsentOut(Shape):
    """A consent. `grantee`: the role's or the person's name; both ids are None of a person who is gone.

    `given_by` and `withdrawn_by` are persons' names, None where it was done at the machine's own command line.
    """

    id: str
    role: Role | None
    person: int | None
    grantee: Names
    classes: list[ClassName]
    from_ms: int
    until_ms: int | None
    given_ms: int
    given_by: str | None
    withdrawn_ms: int | None
    withdrawn_by: str | None
    in_force: bool


class ConsentsOut(Shape):
    consents: list[ConsentOut]


class AuditOut(Shape):
    """Somebody from outside read `data_class` of the farm `count` times in one minute, or somebody changed rights.

    `what` is the route, or what was changed; `from_ms` and `to_ms`: the time of measurement that was asked for.
    """

    id: str
    kind: Literal["read", "change"]
    at_ms: int
    last_ms: int
    name: str | None
    role: str
    role_name: Names
    data_class: ClassName | None
    what: str
    what_name: Names
    from_ms: int | None
    to_ms: int | None
    count: int
    detail: dict[str, Any]


class AuditPage(Shape):
    """The newest first; `next` is the `cursor` that goes on, None at the end."""

    rows: list[AuditOut]
    next: str | None


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
