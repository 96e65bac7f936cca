"""What a rule's file may say, as pydantic models; docs/rules.md explains each key to who writes rules.

`makiba/rule.py` loads files, `rule_check.py` tells what a model cannot express, `rule_measure.py` in what unit a
signal is, and `rule_numbers.py` puts a farm's own numbers in.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from makiba.farm_settings import DAY_MIN, Season, Window
from makiba.located_yaml import Duration

Severity = Literal["info", "advisory", "warning", "critical"]
SEVERITIES: Final[tuple[Severity, ...]] = ("info", "advisory", "warning", "critical")
"""From the mildest to the worst."""

About = Literal["subject", "device", "bus", "gateway"]
Kind = Literal["quantity", "derived", "difference", "ratio", "context", "forecast", "setting", "fact"]
KINDS: Final[tuple[Kind, ...]] = (
    "quantity", "derived", "difference", "ratio", "context", "forecast", "setting", "fact",
)  # fmt: skip
Who = Literal["F", "W", "C", "T", "V", "P", "M"]
WHO: Final[Mapping[Who, str]] = {
    "F": "farmer and family",
    "W": "worker on duty",
    "C": "co-op",
    "T": "technician",
    "V": "vet",
    "P": "plant operator",
    "M": "town office",
}

FOLDED_FROM: Final = timedelta(hours=26)
"""A longer window is of whole local days, without today."""
LONGEST_WINDOW: Final = timedelta(days=60)

As = Literal[
    "mean", "min", "max", "sum", "change", "rise_per_hour", "slope_per_day", "fall_per_day", "total", "sum_per_day",
    "total_per_day",
]  # fmt: skip
WINDOWED: Final[tuple[str, ...]] = (
    "mean", "min", "max", "sum", "change", "rise_per_hour", "slope_per_day", "fall_per_day", "total", "sum_per_day",
    "total_per_day",
)  # fmt: skip  # fmt: skip
PER_DAY: Final = ("sum_per_day", "total_per_day")
OF_COUNTERS: Final = ("change", "rise_per_hour", "slope_per_day", "total", "total_per_day")

_WORD: Final = r"^[a-z][a-z0-9_]*$"
_RULE: Final = r"^[a-z][a-z0-9]*(\.[a-z][a-z0-9]*)+$"
_Words = Annotated[list[str], Field(min_length=1)]
_Two = Annotated[list[str], Field(min_length=2, max_length=2)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Text(_Model):
    """What people read, in both languages."""

    ja: str = Field(min_length=1)
    en: str = Field(min_length=1)


def _month_day(text: str) -> str:
    month, dash, day = text.partition("-")
    longest = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
    if not (len(text) == 5 and dash and month.isdigit() and day.isdigit()):
        raise ValueError("expected a day of the year such as '05-01'")
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= longest[int(month) - 1]):
        raise ValueError("is no day of the year")
    return text


def _clock(text: str) -> str:
    hour, colon, minute = text.partition(":")
    if not (len(text) == 5 and colon and hour.isdigit() and minute.isdigit() and int(hour) < 24 and int(minute) < 60):
        raise ValueError("expected a time of day such as '20:00'")
    return text


class SeasonSpan(_Model):
    """From one local day of the year to another, both included; over the new year when the second is earlier."""

    from_: Annotated[str, AfterValidator(_month_day)] = Field(alias="from")
    to: Annotated[str, AfterValidator(_month_day)]

    @property
    def season(self) -> Season:
        first, last = ((int(d[:2]), int(d[3:])) for d in (self.from_, self.to))
        return Season(first, last)


class HourSpan(_Model):
    """From one local time of day to another, which is not part of it; over midnight when the second is earlier."""

    from_: Annotated[str, AfterValidator(_clock)] = Field(alias="from")
    to: Annotated[str, AfterValidator(_clock)]

    @property
    def window(self) -> Window:
        start, end = (int(t[:2]) * 60 + int(t[3:]) for t in (self.from_, self.to))
        return Window(start, end if end > start else end + DAY_MIN)


class Signal(_Model):
    """A value that conditions look at; exactly one of `KINDS` says what.

    `of`: whose: the rule's subject, whatever stands in its place, what measures outdoors, or the whole farm; of
    several sources that are fresh it is what `pick` says. Conditions on an `optional` signal that is not there are
    left out; `optional: group` leaves out all of the `when`, the `or` or the step in which such a condition stands.
    """

    quantity: str | None = None
    derived: str | None = None
    from_: dict[str, str] = Field(default={}, alias="from")
    difference: _Two | None = Field(default=None, description="Two other signals: the first less the second")
    ratio: _Two | None = Field(default=None, description="Two other signals: the first by the second")
    context: str | None = None
    forecast: str | None = None
    setting: str | None = None
    fact: str | None = None

    of: Literal["subject", "place", "outdoors", "site"] = "subject"
    role: str | None = Field(default=None, description="Only subjects that have this role in their place")
    pick: Literal["mean", "max", "min", "sum"] = "mean"
    window: Duration | None = None
    as_: str | None = Field(default=None, alias="as")
    sum_above: str | None = Field(default=None, description="A number's name: the sum over time of what is above it")
    sum_below: str | None = None
    since: str | None = Field(default=None, description="A context that begins the sum anew, or `day`")
    within: Duration | None = Field(default=None, description="Of a forecast: how far ahead")
    optional: bool | Literal["group"] = False

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The keys of `KINDS` that it has; exactly one in a rule that was loaded."""
        return tuple(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def kind(self) -> Kind:
        return self.kinds[0]

    @property
    def parts(self) -> tuple[str, ...]:
        """The other signals of its rule that it is made of."""
        return tuple(self.difference or self.ratio or ())

    @property
    def is_measured(self) -> bool:
        return self.quantity is not None or self.derived is not None

    @property
    def is_plain(self) -> bool:
        """Whether it is the newest reading of the rule's own subject, and nothing else."""
        return self.quantity is not None and self.of == "subject" and self.window is None and not self.sums

    @property
    def sums(self) -> str | None:
        """The name of the number from which on it sums up over time; None where it does not."""
        return self.sum_above or self.sum_below

    @property
    def window_ms(self) -> int:
        return round(self.window.total_seconds() * 1000) if self.window else 0

    @property
    def is_folded(self) -> bool:
        """Whether its window is of whole local days."""
        return self.window is not None and self.window > FOLDED_FROM

    @property
    def within_h(self) -> int:
        return round(self.within.total_seconds() / 3600) if self.within else 0

    @property
    def shown_as(self) -> str:
        """The quantity that it is a value of, or the name of what it is made of."""
        return self.derived or self.quantity or self.context or self.forecast or self.setting or self.fact or ""

    @property
    def quantities(self) -> tuple[str, ...]:
        """The measured quantities it needs, in the order of the derivation's arguments."""
        if self.quantity:
            return (self.quantity,)
        return tuple(self.from_[a] for a in DERIVATIONS[self.derived]) if self.derived else ()


DERIVATIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "thi": ("air", "rh"),
    "dew_point": ("air", "rh"),
    "wet_bulb": ("air", "rh"),
    "felt_temperature": ("air", "rh"),
    "wind_chill": ("air", "wind"),
    "mixing_ratio": ("air", "rh"),
    "vpd": ("air", "rh"),
}
"""Derived quantities and the names of their arguments."""


class Number(_Model):
    """A number a farm may set for itself; `unit` is SenML's, primary or secondary (`Cel`, `ppm`), or `Cel.min`."""

    value: float
    unit: str | None = None
    bound: float | None = Field(
        default=None, description="Of a life-safety rule: the latest that a farm may set; default: the value itself"
    )


class Condition(_Model):
    """One of `above`, `below` (a number's name, `times` another one) and `is` (texts, `*` stands for anything)."""

    signal: str
    above: str | None = None
    below: str | None = None
    times: str | None = None
    is_: _Words | None = Field(default=None, alias="is")


_Conditions = Annotated[list[Condition], Field(min_length=1)]


class Raise(_Model):
    """All of `when`, or all of one of `or`, held `for` so long, and for at least `polls` polls of the device.

    Nothing is raised while any of `unless` is known to hold; what is not known of them holds nothing up.
    """

    when: _Conditions
    or_: list[_Conditions] = Field(default=[], alias="or")
    unless: list[Condition] = []
    for_: Duration = Field(default=timedelta(0), alias="for")
    polls: int = Field(default=0, ge=0, le=100)


class Clear(_Model):
    """Any of `when`, held `for` so long."""

    when: _Conditions
    for_: Duration = Field(default=timedelta(0), alias="for")


class Worse(_Model):
    """While the problem is there and all of `when`, or of one of `or`, hold `for` so long, it is of `severity`."""

    severity: Severity
    when: _Conditions
    or_: list[_Conditions] = Field(default=[], alias="or")
    for_: Duration = Field(default=timedelta(0), alias="for")
    title: Text | None = None
    action: Text | None = None


class Excused(_Model):
    """After any of `after` nothing is raised until any of `until`, at most so long: a washed tank is empty."""

    after: _Conditions
    until: _Conditions
    at_most: Duration


class Guards(_Model):
    """A device that measures one of `quantities` is missed more: its silence is of `severity`."""

    severity: Severity
    quantities: _Words


class Rule(_Model):
    """A rule as its file says it.

    `explained_by`: rules about what stands above, or in the same place, whose problem explains this one.
    `once_per: place` (or `site`): one subject speaks for all in its place (on the farm), the first by name.
    `life_safety`: a gateway may judge it by itself and sound its alarm outputs. `reset: by-hand`: such an output
    stays on after the problem is over, until a person says so there, and the alert stays open, until one says so.
    `season`: outside it nothing is raised and what is open ends. `hours`: when it may be raised. `needs`: settings of
    the farm without which it watches nothing. `who`: whom it is for, as in the catalogue of alerts.
    """

    rule: str = Field(pattern=_RULE)
    about: About
    role: str | None = None
    where: _Words | None = None
    once_per: Literal["subject", "place", "site"] = "subject"
    title: Text
    severity: Severity
    life_safety: bool = False
    reset: Literal["by-itself", "by-hand"] = "by-itself"
    guards: Guards | None = None
    explained_by: list[str] = []
    season: SeasonSpan | None = None
    hours: HourSpan | None = None
    needs: list[str] = []
    who: list[Who] = []
    signals: dict[Annotated[str, Field(pattern=_WORD)], Signal] = Field(min_length=1)
    numbers: dict[Annotated[str, Field(pattern=_WORD)], Number] = {}
    raise_: Raise = Field(alias="raise")
    clear: Clear
    excused: Excused | None = None
    worse: list[Worse] = []
    stale_after: Duration | None = None
    message: Text
    action: Text
    note: Text | None = None
    source: str = Field(min_length=1)
    trust: Literal["verified", "known", "proposed"]

    def conditions(self) -> list[tuple[tuple[str | int, ...], Condition]]:
        """Every condition with its place in the file."""
        found: list[tuple[tuple[str | int, ...], Condition]] = []
        groups: list[tuple[tuple[str | int, ...], list[Condition]]] = [
            (("raise", "when"), self.raise_.when),
            *((("raise", "or", i), when) for i, when in enumerate(self.raise_.or_)),
            (("raise", "unless"), self.raise_.unless),
            (("clear", "when"), self.clear.when),
            *((("worse", i, "when"), w.when) for i, w in enumerate(self.worse)),
            *((("worse", i, "or", j), when) for i, w in enumerate(self.worse) for j, when in enumerate(w.or_)),
        ]
        if self.excused:
            groups += [(("excused", "after"), self.excused.after), (("excused", "until"), self.excused.until)]
        for path, when in groups:
            found += [((*path, i), c) for i, c in enumerate(when)]
        return found

    def in_order(self) -> tuple[str, ...]:
        """The names of its signals, each after those it is made of."""
        done: dict[str, None] = {}

        def put(name: str, above: tuple[str, ...]) -> None:
            for part in self.signals[name].parts:
                if part in self.signals and part not in above:
                    put(part, (*above, part))
            done[name] = None

        for name in self.signals:
            put(name, (name,))
        return tuple(done)
