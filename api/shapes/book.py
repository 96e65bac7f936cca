"""What people do with alerts: put them off, give them to somebody, write beside them, say what they were worth."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import ConfigDict, Field

from api.shapes import Given, Id, Millis, Names, Shape, Text

_AT: Final = 1_764_000_000_000
_COMMENT: Final[Any] = {
    "id": "pHk2v0Zq8sXw4nRt", "at_ms": _AT, "who": "花子", "text": "冷却機の 音が へんです。電気屋さんを 呼びます。",
}  # fmt: skip

LabelWord = Literal["useful", "false", "knew"]
ModeWord = Literal["by-labels", "wakes", "morning"]


class SnoozeIn(Given):
    """Until when it is put off: a critical alert for 2 hours at most, any other for 7 days."""

    until_ms: Millis

    model_config = ConfigDict(json_schema_extra={"examples": [{"until_ms": _AT + 3_600_000}]})


class AssignIn(Given):
    """The person of the farm whose it is to do; null: nobody in particular."""

    person: Id | None

    model_config = ConfigDict(json_schema_extra={"examples": [{"person": "pHk2v0Zq8sXw4nRt"}, {"person": None}]})


class CommentIn(Given):
    text: Text = Field(min_length=1, max_length=2000)

    model_config = ConfigDict(json_schema_extra={"examples": [{"text": _COMMENT["text"]}]})


class FeedbackIn(Given):
    """`useful`; `false`: nothing was wrong; `knew`: right, and known before. Null takes back what was said."""

    label: LabelWord | None

    model_config = ConfigDict(json_schema_extra={"examples": [{"label": "useful"}, {"label": None}]})


class CommentOut(Shape):
    """`who`: null where the person is gone."""

    id: str
    at_ms: int
    who: str | None
    text: str

    model_config = ConfigDict(json_schema_extra={"examples": [_COMMENT]})


class CommentsOut(Shape):
    """The oldest first; `next` is the `cursor` that goes on, null at the end."""

    rows: list[CommentOut]
    next: str | None

    model_config = ConfigDict(json_schema_extra={"examples": [{"rows": [_COMMENT], "next": None}]})


_NUMBER: Final[Any] = {"name": "warm", "subject": None, "value": 7.0, "unit": "Cel", "own": True}


class RuleNumberOut(Shape):
    """A number in force, in the catalogue's unit; `subject`: for this one alone; `own`: the farm's own."""

    name: str
    subject: str | None
    value: float
    unit: str | None
    own: bool

    model_config = ConfigDict(json_schema_extra={"examples": [_NUMBER]})


_PRECISION: Final[Any] = {
    "useful": 9,
    "judged": 12,
    "knew": 1,
    "low": 0.467,
    "told": {"ja": "12件中9件", "en": "9 of 12"},
}


class PrecisionOut(Shape):
    """Alerts of a rule by what people said of them: `useful` of `judged` (useful or false), and `knew`.

    `low`: what the share is at least (95 %, Wilson); null while nobody judged one.
    """

    useful: int
    judged: int
    knew: int
    low: float | None
    told: Names

    model_config = ConfigDict(json_schema_extra={"examples": [_PRECISION]})


_RULE: Final[Any] = {
    "rule": "tank.hold", "title": {"ja": "乳温が 高いです", "en": "Milk is too warm"}, "severity": "warning",
    "life_safety": False, "source": "乳等省令", "trust": "verified", "for_ms": 900_000, "clear_for_ms": 60_000,
    "numbers": [_NUMBER], "precision": _PRECISION, "mode": "by-labels", "in_morning_list": False, "since_ms": None,
    "always_wakes": False, "version": 0,
}  # fmt: skip


class RuleOut(Shape):
    """A rule as it is in force on the farm.

    `in_morning_list`: its alerts wake nobody, since `since_ms`; critical ones do all the same. `mode`: `by-labels`
    decides by what people said of its alerts; `wakes` and `morning` are the farm's own word. `always_wakes`: about
    life, or critical from the beginning, and never in the morning list.
    """

    rule: str
    title: Names
    severity: Literal["critical", "warning", "advisory", "info"]
    life_safety: bool
    source: str
    trust: Literal["verified", "known", "proposed"]
    for_ms: int
    clear_for_ms: int
    numbers: list[RuleNumberOut]
    precision: PrecisionOut
    mode: ModeWord
    in_morning_list: bool
    since_ms: int | None
    always_wakes: bool
    version: int

    model_config = ConfigDict(json_schema_extra={"examples": [_RULE]})


class RulesOut(Shape):
    """Every rule, by name."""

    rows: list[RuleOut]

    model_config = ConfigDict(json_schema_extra={"examples": [{"rows": [_RULE]}]})


class RuleIn(Given):
    mode: ModeWord

    model_config = ConfigDict(json_schema_extra={"examples": [{"mode": "wakes"}]})
