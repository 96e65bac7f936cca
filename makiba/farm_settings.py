"""What a farm says of itself: when it milks, when milk is picked up, what stands in a barn.

The keys are `farm_settings.yaml`. A setting is written as `key: value`, or for one place or subject as
`barn-1.barn_type: freestall`; what is said of a subject goes before what is said of its place, and that before what
is said of the farm. `check` tells everything that is wrong, key by key; `FarmSettings.of` reads what is right and
leaves the rest out, so that one wrong line does not blind a farm.

How a value is written, by kind:

- number: in the unit of its key (`vacuum_setpoint: 46` are kPa); rules see it in SenML's primary unit (46000 Pa)
- choice, yes-no: a word (`true` and `false` are yes and no)
- windows: `["05:00-07:30", "16:30-19:00"]`, by the farm's clock; one may pass midnight
- time: `"09:30"`; season: `05-10..10-31`, both days included, over the new year too; date: `2026-05-01`
- days: `every-day`, `every-second-day` (with `pickup_on`, a day on which it was so), or `[mon, thu]`
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel, model_validator

from makiba.located_yaml import load_located
from makiba.reading import Value
from makiba.units import convert
from makiba.words import nearest

Kind = Literal["number", "choice", "yes-no", "windows", "time", "days", "season", "date"]
Scope = Literal["farm", "place", "subject"]

DAY_MIN: Final = 1440
WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
EVERY: Final = ("every-day", "every-second-day")
YES_NO: Final[Mapping[str, Mapping[str, str]]] = {
    "yes": {"ja": "はい", "en": "yes"},
    "no": {"ja": "いいえ", "en": "no"},
}
MOST_WINDOWS: Final = 8
MOST_SETTINGS: Final = 500
"""Of one farm."""

_CLOCK: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_MONTH_DAY: Final = re.compile(r"(\d\d)-(\d\d)\.\.(\d\d)-(\d\d)")


class Words(BaseModel):
    """What people read, in both languages."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    ja: str = Field(min_length=1)
    en: str = Field(min_length=1)


class Key(BaseModel):
    """A thing that a farm may say."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    kind: Kind = "number"
    unit: str | None = None
    primary: str | None = None
    range: list[float] = Field(default=[], max_length=2)
    choices: dict[str, Words] = {}
    also: list[Literal["place", "subject"]] = []
    ja: str = Field(min_length=1)
    en: str = Field(min_length=1)
    ask_ja: str = Field(min_length=1)
    ask_en: str = Field(min_length=1)

    @model_validator(mode="after")
    def _fits(self) -> Key:
        if (self.kind == "number") != bool(self.range) or (self.kind == "choice") != bool(self.choices):
            raise ValueError("a number has a range, a choice has choices, and nothing else has")
        if convert(1.0, self.unit, self.seen_unit) is None and self.unit is not None:
            raise ValueError(f"{self.unit} is not a unit of {self.seen_unit}")
        return self

    @property
    def seen_unit(self) -> str | None:
        """The unit in which rules see a number; None for a bare one, and for what is no number."""
        return self.primary or self.unit

    @property
    def words(self) -> Mapping[str, Mapping[str, str]]:
        """The words it may be, with their names."""
        return (
            YES_NO if self.kind == "yes-no" else {word: {"ja": n.ja, "en": n.en} for word, n in self.choices.items()}
        )

    @property
    def for_rules(self) -> bool:
        """Whether a rule may look at it as a signal: numbers and words. The others are for what recognises things."""
        return self.kind in ("number", "choice", "yes-no")


class _Keys(RootModel[dict[str, Key]]):
    pass


@cache
def keys() -> Mapping[str, Key]:
    """Every key by its name."""
    return load_located(Path(__file__).with_name("farm_settings.yaml")).validate(_Keys).root


# --------------------------------------------------------------------------------------------------------- values


@dataclass(frozen=True, slots=True)
class Window:
    """From `start` to `end`, minutes of the farm's day; `end` may be on the next."""

    start: int
    end: int

    def __contains__(self, minute: int) -> bool:
        return self.start <= minute < self.end or self.start <= minute + DAY_MIN < self.end


@dataclass(frozen=True, slots=True)
class Season:
    """From one (month, day) to another, both included; over the new year when the second is earlier."""

    first: tuple[int, int]
    last: tuple[int, int]

    def __contains__(self, day: date) -> bool:
        at = (day.month, day.day)
        if self.first <= self.last:
            return self.first <= at <= self.last
        return at >= self.first or at <= self.last


@dataclass(frozen=True, slots=True)
class Days:
    """Days on which something comes: every so many, counted from a known one, or `weekdays` (0 is Monday)."""

    every: int = 0
    weekdays: frozenset[int] = frozenset()


Said = float | str | Days | Season | date | tuple[Window, ...]


def parse(key: Key, given: Any) -> Said:
    """What `given`, as it was written, says; `ValueError` with what was expected."""
    match key.kind:
        case "number":
            return _number(key, given)
        case "choice" | "yes-no":
            word = {True: "yes", False: "no"}.get(given, given) if key.kind == "yes-no" else given
            if not isinstance(word, str) or word not in key.words:
                raise ValueError(f"{given!r} is unknown{nearest(str(given), key.words)}; expected {_or(key.words)}")
            return word
        case "windows":
            if not isinstance(given, list) or not 1 <= len(given) <= MOST_WINDOWS:
                raise ValueError('expected a list of times such as ["05:00-07:30", "16:30-19:00"]')
            return tuple(_window(one) for one in given)
        case "time":
            return float(_minute(given))
        case "days":
            return _days(given)
        case "season":
            return _season(given)
        case "date":
            try:
                return date.fromisoformat(str(given))
            except ValueError:
                raise ValueError(f"{given!r} is not a day; expected one such as 2026-05-01") from None


def _number(key: Key, given: Any) -> float:
    low, high = key.range
    unit = f" {key.unit}" if key.unit else ""
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise ValueError(f"{given!r} is not a number{unit and f' (in{unit})'}")
    if not low <= given <= high:
        raise ValueError(f"{given:g} is outside {low:g} to {high:g}{unit}")
    seen = convert(float(given), key.unit, key.seen_unit) if key.unit else float(given)
    return float(given) if seen is None else seen


def _minute(given: Any) -> int:
    found = _CLOCK.fullmatch(given) if isinstance(given, str) else None
    if found is None:
        raise ValueError(f'{given!r} is not a time of day; expected one such as "09:30"')
    return int(found[1]) * 60 + int(found[2])


def _window(given: Any) -> Window:
    ends = given.split("-") if isinstance(given, str) else []
    if len(ends) != 2:
        raise ValueError(f"{given!r} is not from one time to another; expected such as 05:00-07:30")
    start, end = (_minute(one.strip()) for one in ends)
    if start == end:
        raise ValueError(f"{given!r} begins when it ends")
    return Window(start, end if end > start else end + DAY_MIN)


def _days(given: Any) -> Days:
    if given in EVERY:
        return Days(every=1 + EVERY.index(given))
    if not isinstance(given, list) or not given or not all(day in WEEKDAYS for day in given):
        raise ValueError(f"{given!r} is not known; expected {_or(EVERY)}, or a list of {', '.join(WEEKDAYS)}")
    return Days(weekdays=frozenset(WEEKDAYS.index(day) for day in given))


def _season(given: Any) -> Season:
    found = _MONTH_DAY.fullmatch(given) if isinstance(given, str) else None
    try:
        if found is None:
            raise ValueError
        first, last = (date(2000, int(found[i]), int(found[i + 1])) for i in (1, 3))
    except ValueError:
        raise ValueError(f"{given!r} is no season; expected days such as 05-10..10-31") from None
    return Season((first.month, first.day), (last.month, last.day))


def _or(words: Iterable[str]) -> str:
    return " or ".join(repr(word) for word in words)


# ------------------------------------------------------------------------------------------------- a farm's settings


def split(name: str) -> tuple[str, str]:
    """(place or subject, key) of a name as it is written; the first is empty for the farm's own."""
    scope, _, key = name.rpartition(".")
    return scope, key


def check(
    given: Mapping[str, Any], places: Iterable[str] | None = None, subjects: Iterable[str] = ()
) -> Iterator[tuple[str, str]]:
    """(name, what is wrong) for each setting that cannot be. `places` and `subjects` of the farm, where known."""
    known_places, known_subjects = frozenset(places or ()), frozenset(subjects)
    for name, value in given.items():
        scope, word = split(name)
        key = keys().get(word)
        if key is None:
            yield name, f"unknown key {word!r}{nearest(word, keys())}"
            continue
        if scope and not key.also:
            yield name, f"{word} is said of the farm, not of one place"
        elif scope and places is not None:
            may = (known_places if "place" in key.also else frozenset()) | (
                known_subjects if "subject" in key.also else frozenset()
            )
            if scope not in may:
                what = "place or subject" if "subject" in key.also else "place"
                yield name, f"no {what} {scope!r} on this farm{nearest(scope, may)}"
        try:
            parse(key, value)
        except ValueError as error:
            yield name, str(error)
    days = [name for name, value in given.items() if split(name)[1] == "pickup_days" and value == EVERY[1]]
    for name in days:
        scope = split(name)[0]
        if "pickup_on" not in given and f"{scope}.pickup_on" not in given:
            yield name, "every second day needs pickup_on: a day on which it came"
    if ("latitude" in given) != ("longitude" in given):
        yield "latitude" if "latitude" in given else "longitude", "latitude and longitude are said together"


@dataclass(frozen=True, slots=True)
class FarmSettings:
    """What one farm says of itself, read; `version` of the registry's row."""

    said: Mapping[str, Said] = field(default_factory=dict, hash=False)
    version: int = 0

    @classmethod
    def of(cls, given: Mapping[str, Any], version: int = 0) -> FarmSettings:
        """`given` as it was written; what cannot be read is left out."""
        wrong = {name for name, _ in check(given)}
        said = {name: parse(keys()[split(name)[1]], value) for name, value in given.items() if name not in wrong}
        return cls(said, version)

    def get(self, key: str, *scopes: str | None) -> Said | None:
        """What is said of the first of `scopes` (subject, then place) of which anything is, else of the farm."""
        for scope in scopes:
            if scope and (found := self.said.get(f"{scope}.{key}")) is not None:
                return found
        return self.said.get(key)

    def value(self, key: str, *scopes: str | None) -> Value | None:
        """The same as a rule sees it: a number in its primary unit, or a word."""
        found = self.get(key, *scopes)
        return found if isinstance(found, float | str) else None

    def number(self, key: str, *scopes: str | None) -> float | None:
        """A number, or None where none is said."""
        found = self.get(key, *scopes)
        return found if isinstance(found, float) else None

    def windows(self, key: str, *scopes: str | None) -> tuple[Window, ...]:
        """Windows, or none."""
        found = self.get(key, *scopes)
        return found if isinstance(found, tuple) else ()

    def has(self, key: str) -> bool:
        """Whether the key is said of the farm or of anything on it: what a rule `needs`."""
        return any(split(name)[1] == key for name in self.said)
