"""What the HTTP API answers: pydantic models, from which the OpenAPI document is made.

Times are UTC in whole milliseconds since 1970. Values are in the catalogue's unit; a person sees
`value * factor + offset` with `decimals` and `unit`. Names are in Japanese and English.

What comes in is a `Given`: strict (no number in a string), nothing unknown. Its texts are `Line` or `Text`, which
take no half characters and nothing that a database, a terminal or a table would trip over; its times are `Millis`,
its ids `Id`.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from collectors.registry.viewer import Role
from makiba.data_class import DataClass
from makiba.reading import EARLIEST_MS, LATEST_MS


class Shape(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Given(BaseModel):
    """A body that comes in."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


# No control characters (C0, DEL, C1), no lone surrogates, and none that turn the direction of writing around.
_CONTROL: Final = "\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069"
_LINE: Final = f"^[^{_CONTROL}\\t\\n\\r\\u2028\\u2029]*$"
_TEXT: Final = f"^[^{_CONTROL}]*$"


Line = Annotated[str, Field(pattern=_LINE)]
"""One line of text for people; each field says its own `Field(max_length=…)`, and a test sees to it."""

Text = Annotated[str, Field(pattern=_TEXT)]
"""Several lines of text for people: line ends and tabs too; with `Field(max_length=…)` like `Line`."""

Name = Annotated[str, Field(pattern=_LINE, min_length=1, max_length=200)]
"""What people call something."""

Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9._~-]+$", min_length=1, max_length=64)]
"""An id as the API gives it out."""

Millis = Annotated[int, Field(ge=EARLIEST_MS, le=LATEST_MS)]
"""A time: UTC in milliseconds since 1970."""


class Names(Shape):
    ja: str
    en: str


class NamesIn(Given):
    """A name as the farm says it; without `en` the Japanese one stands there too."""

    ja: Line = Field(min_length=1, max_length=100)
    en: Line = Field("", max_length=100)

    @property
    def both(self) -> tuple[str, str]:
        return self.ja, self.en or self.ja


class Health(Shape):
    ok: bool
    time_ms: int


# ---------------------------------------------------------------------------------------------- session


class SignIn(Given):
    login: Line = Field(max_length=200)
    password: Line = Field(max_length=1_000)

    model_config = ConfigDict(json_schema_extra={"examples": [{"login": "hanako", "password": "牛舎の朝は早いです"}]})


class Join(Given):
    code: Line = Field(max_length=200)

    model_config = ConfigDict(json_schema_extra={"examples": [{"code": "pHk2v0Zq8sXw4nRtYb6LcA1dEfG"}]})


class Language(Given):
    language: Literal["ja", "en"]

    model_config = ConfigDict(json_schema_extra={"examples": [{"language": "ja"}]})


class PersonOut(Shape):
    id: str
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
    """A step in an alert's life: `id` 1 is the first of this alert, 2 the next; none is ever taken away.

    `who` is a person's name, null where Makiba acted by itself.
    """

    id: int
    at_ms: int
    kind: str
    who: str | None
    detail: dict[str, Any]


class FeedbackOut(Shape):
    """How many people said of the alert that it was useful, false, or known before."""

    useful: int
    false: int
    knew: int


class AlertOut(Shape):
    id: str
    rule: str
    severity: Literal["critical", "warning", "advisory", "info"]
    state: Literal["open", "acknowledged", "snoozed", "ended"]
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
    life_safety: bool
    """Of a rule about life: it cannot be put off."""
    snoozed_until_ms: int | None
    """Put off until then, or until it gets worse."""
    snoozed_by: str | None
    assigned_to: str | None
    """Whose it is to do."""
    feedback: FeedbackOut
    comments: int
    in_morning_list: bool
    """Its rule stands in the morning list, and this alert wakes nobody."""
    children: list[Child]
    events: list[AlertEventOut]


class AlertsOut(Shape):
    """The newest first; `next` is the `cursor` that goes on, None at the end."""

    rows: list[AlertOut]
    next: str | None


# ------------------------------------------------------------------------------------- consent and audit

OutsideRole = Literal["vet", "coop", "town", "technician"]


class ConsentIn(Given):
    """What a farm shows, and to whom: everybody with `role` on the farm, or the person of this id.

    From now on where `from_ms` is not given, until it is withdrawn where `until_ms` is not given.
    """

    role: OutsideRole | None = None
    person: Id | None = None
    classes: list[DataClass] = Field(min_length=1, max_length=7)
    from_ms: Millis | None = None
    until_ms: Millis | None = None

    model_config = ConfigDict(json_schema_extra={"examples": [{"role": "coop", "classes": ["tank", "alerts"]}]})


class ClassName(Shape):
    id: DataClass
    name: Names


class ConsentOut(Shape):
    """A consent. `grantee`: the role's or the person's name; both ids are None of a person who is gone.

    `given_by` and `withdrawn_by` are persons' names, None where it was done at the machine's own command line.
    """

    id: str
    role: Role | None
    person: str | None
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
    """The newest first; `next` is the `cursor` that goes on, None at the end."""

    rows: list[ConsentOut]
    next: str | None


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


class HelloNews(Shape):
    """`event: hello`: the centre's clock, and whether the stream goes on behind `Last-Event-ID`.

    `resumed` true: all that happened to alerts since then follows. False: read lists of alerts anew.
    """

    time_ms: int
    resumed: bool


class TimeNews(Shape):
    """`event: ping`: the centre's clock."""

    time_ms: int


class CentreNews(Shape):
    """`event: centre`: whether new readings can come in just now."""

    broker: bool
