"""A rule: when a problem begins, when it ends, and what it says; read from `firmware_configs/rules/`.

`load_rules` refuses, with file and line, what would fail at 4 a.m.: an unknown quantity, a number in a unit that
does not fit, a text that is missing in one language. A farm overrides numbers and persistence (`tuned`), never
logic, and a rule that keeps people alive never to later than its `bound`. What a rule says of readings is decided in
`makiba/standing.py`.
"""

from __future__ import annotations

import math
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from makiba.located_yaml import ConfigErrors, Duration, Located, Problem, load_located, parse_duration, spell_duration
from makiba.quantities import Quantity, catalogue
from makiba.senml import to_primary
from makiba.words import nearest

Severity = Literal["info", "advisory", "warning", "critical"]
SEVERITIES: Final[tuple[Severity, ...]] = ("info", "advisory", "warning", "critical")
"""From the mildest to the worst."""

About = Literal["subject", "device", "bus", "gateway"]
_WORD: Final = r"^[a-z][a-z0-9_]*$"
_RULE: Final = r"^[a-z][a-z0-9]*(\.[a-z][a-z0-9]*)+$"
_Words = Annotated[list[str], Field(min_length=1)]

# ------------------------------------------------------------------------------------------------- what a file says


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Text(_Model):
    """What people read, in both languages."""

    ja: str = Field(min_length=1)
    en: str = Field(min_length=1)


class Signal(_Model):
    """A value that conditions look at: a quantity, or one derived `from` several of one subject.

    `of: place` takes it from whatever stands in the same place as the rule's subject (the mean of what is fresh).
    Conditions on an `optional` signal are left out on a farm that does not measure it.
    """

    quantity: str | None = None
    derived: Literal["thi", "dew_point", "wet_bulb", "felt_temperature", "wind_chill"] | None = None
    from_: dict[str, str] = Field(default={}, alias="from")
    of: Literal["subject", "place"] = "subject"
    optional: bool = False

    @property
    def shown_as(self) -> str:
        """The quantity whose unit the value has."""
        return self.derived or self.quantity or ""

    @property
    def quantities(self) -> tuple[str, ...]:
        """The measured quantities it needs, in the order of the derivation's arguments."""
        return (self.quantity,) if self.quantity else tuple(self.from_[a] for a in DERIVATIONS[self.derived or ""])


DERIVATIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "thi": ("air", "rh"),
    "dew_point": ("air", "rh"),
    "wet_bulb": ("air", "rh"),
    "felt_temperature": ("air", "rh"),
    "wind_chill": ("air", "wind"),
}
"""Derived quantities and the names of their arguments."""


class Number(_Model):
    """A number a farm may set for itself; `unit` is SenML's, primary or secondary (`Cel`, `ppm`)."""

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
    """All of `when`, held `for` so long, and for at least `polls` polls of the device."""

    when: _Conditions
    for_: Duration = Field(default=timedelta(0), alias="for")
    polls: int = Field(default=0, ge=0, le=100)


class Clear(_Model):
    """Any of `when`, held `for` so long."""

    when: _Conditions
    for_: Duration = Field(default=timedelta(0), alias="for")


class Worse(_Model):
    """While the problem is there and all of `when` hold `for` so long, it is of `severity`, and says so."""

    severity: Severity
    when: _Conditions
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
    `once_per: place`: one subject speaks for all in its place, the first by name.
    `life_safety`: a gateway may judge it by itself and sound its alarm outputs. `reset: by-hand`: such an output
    stays on after the problem is over, until a person says so there, and the alert stays open, until one says so.
    """

    rule: str = Field(pattern=_RULE)
    about: About
    role: str | None = None
    where: _Words | None = None
    once_per: Literal["subject", "place"] = "subject"
    title: Text
    severity: Severity
    life_safety: bool = False
    reset: Literal["by-itself", "by-hand"] = "by-itself"
    guards: Guards | None = None
    explained_by: list[str] = []
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
            (("clear", "when"), self.clear.when),
            *((("worse", i, "when"), w.when) for i, w in enumerate(self.worse)),
        ]
        if self.excused:
            groups += [(("excused", "after"), self.excused.after), (("excused", "until"), self.excused.until)]
        for path, when in groups:
            found += [((*path, i), c) for i, c in enumerate(when)]
        return found


def load_rules(folder: Path) -> dict[str, Rule]:
    """Every rule of `folder` by name; `ConfigErrors` with all that is wrong in all of its files."""
    problems: list[Problem] = []
    rules: dict[str, Rule] = {}
    places: dict[str, Located] = {}
    for file in sorted(folder.glob("*.yaml")):
        try:
            located = load_located(file)
            rule = located.validate(Rule)
        except ConfigErrors as errors:
            problems += errors.problems
            continue
        problems += _check(located, rule)
        if rule.rule in rules:
            problems.append(located.problem(("rule",), f"{rule.rule!r} is also in {places[rule.rule].file}"))
        rules[rule.rule], places[rule.rule] = rule, located
    for name, rule in rules.items():
        for i, parent in enumerate(rule.explained_by):
            if parent not in rules:
                message = f"no rule {parent!r}{nearest(parent, rules)}"
                problems.append(places[name].problem(("explained_by", i), message))
    if not rules and not problems:
        problems.append(Problem(str(folder), 1, 1, "", "holds no rule (*.yaml)"))
    if problems:
        raise ConfigErrors(problems)
    return rules


def _check(at: Located, rule: Rule) -> list[Problem]:
    """What a model cannot express: words that must exist, units that must fit, things never used."""
    words = catalogue()
    problems: list[Problem] = []
    for name, signal in rule.signals.items():
        here = ("signals", name)
        if (signal.quantity is None) == (signal.derived is None):
            problems.append(at.problem(here, "expected either 'quantity' or 'derived'"))
            continue
        if signal.derived and set(signal.from_) != set(DERIVATIONS[signal.derived]):
            expected = ", ".join(DERIVATIONS[signal.derived])
            problems.append(at.problem((*here, "from"), f"{signal.derived} is derived from {expected}"))
            continue
        for word in signal.quantities:
            if word not in words:
                problems.append(at.problem(here, f"no quantity {word!r}{nearest(word, words)}"))
    used: set[str] = set()
    for path, condition in rule.conditions():
        problems += _check_condition(at, rule, path, condition)
        used |= {n for n in (condition.above, condition.below, condition.times) if n}
    problems += [at.problem(("numbers", n), "is used by no condition") for n in rule.numbers if n not in used]
    order = [SEVERITIES.index(s) for s in (rule.severity, *(w.severity for w in rule.worse))]
    if order != sorted(set(order)):
        problems.append(at.problem(("worse",), "each step must be more severe than the one before"))
    for language in ("ja", "en"):
        problems += _check_text(at, rule, language)
    return problems + (_check_life_safety(at, rule) if rule.life_safety else [])


def _check_life_safety(at: Located, rule: Rule) -> list[Problem]:
    """A gateway knows its own subjects only, and a text has to say that this replaces no certified alarm."""
    problems: list[Problem] = []
    if rule.note is None:
        problems.append(at.problem(("life_safety",), "needs a note that it supplements a certified alarm"))
    if rule.about != "subject" or rule.excused:
        key = "excused" if rule.excused else "about"
        problems.append(at.problem((key,), "a gateway judges a subject's own values, and nothing excuses them"))
    for name, signal in rule.signals.items():
        if signal.of == "place" or signal.derived or signal.optional:
            problems.append(at.problem(("signals", name), "a gateway judges only what the subject itself measures"))
    if rule.stale_after is None:
        problems.append(at.problem(("life_safety",), "needs stale_after, or a dead sensor would pass for clean air"))
    for name, number in rule.numbers.items():
        if number.bound is not None and _is_later(rule, name, number.value, number.bound):
            problems.append(at.problem(("numbers", name, "bound"), f"is earlier than its value, {number.value:g}"))
    return problems


def _is_later(rule: Rule, name: str, value: float, bound: float) -> bool:
    """Whether an alarm with `value` for the number `name` comes later, or ends sooner, than with `bound`."""
    begins = [*rule.raise_.when, *(c for worse in rule.worse for c in worse.when)]
    is_ceiling = any(c.above and name in (c.above, c.times) for c in begins)
    is_ceiling = is_ceiling or any(c.below and name in (c.below, c.times) for c in rule.clear.when)
    return value > bound if is_ceiling else value < bound


def _check_condition(at: Located, rule: Rule, path: tuple[str | int, ...], c: Condition) -> list[Problem]:
    signal = rule.signals.get(c.signal)
    if signal is None:
        return [at.problem((*path, "signal"), f"no signal {c.signal!r}{nearest(c.signal, rule.signals)}")]
    if sum(x is not None for x in (c.above, c.below, c.is_)) != 1:
        return [at.problem(path, "expected exactly one of 'above', 'below', 'is'")]
    quantity = catalogue().get(signal.shown_as)
    if quantity is None:
        return []
    if (quantity.kind == "text") != (c.is_ is not None):
        return [at.problem(path, f"{quantity.name} is a {quantity.kind}: use {_verbs(quantity)}")]
    problems = []
    for key, name in (("above", c.above), ("below", c.below), ("times", c.times)):
        if name is None:
            continue
        number = rule.numbers.get(name)
        if number is None:
            problems.append(at.problem((*path, key), f"no number {name!r}{nearest(name, rule.numbers)}"))
            continue
        unit = to_primary(number.value, number.unit)[1]
        expected = None if key == "times" else quantity.unit
        if unit != expected:
            message = f"is in {number.unit or 'no unit'}; {quantity.name if expected else 'a factor'} has {expected}"
            problems.append(at.problem(("numbers", name), message))
    return problems


def _verbs(quantity: Quantity) -> str:
    return "'is'" if quantity.kind == "text" else "'above' or 'below'"


def _check_text(at: Located, rule: Rule, language: str) -> list[Problem]:
    known = {"place", "subject", "children", *rule.signals}
    try:
        fields = [f for _, f, _, _ in string.Formatter().parse(getattr(rule.message, language)) if f is not None]
    except ValueError as error:
        return [at.problem(("message", language), f"braces do not match: {error}")]
    return [at.problem(("message", language), f"no {{{f}}}{nearest(f, known)}") for f in fields if f not in known]


# ------------------------------------------------------------------------------------------- a farm's own numbers


class OverrideError(ValueError):
    """A farm's override that names what the rule does not have, or is not a number; the message says which."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """A rule with the numbers in force, in the catalogue's units."""

    rule: Rule
    numbers: Mapping[str, float] = field(hash=False)
    for_ms: int
    clear_for_ms: int

    def level(self, condition: Condition) -> float:
        """The value that `above` or `below` stands for, in the signal's unit."""
        value = self.numbers[condition.above or condition.below or ""]
        return value * self.numbers[condition.times] if condition.times else value


def tuned(rule: Rule, override: Mapping[str, Any] | None = None, subject: str | None = None) -> Tuned:
    """`rule` with a farm's `override`: `for`, `clear_for` and its numbers, each in the unit the rule states.

    `fan-2.normal: 1.2` is the number `normal` for the subject `fan-2` alone. Raises `OverrideError`.
    """
    given: dict[str, Any] = {}
    for key, value in (override or {}).items():
        own, _, name = key.rpartition(".")
        _check_override(rule, key, name, value)
        if own == subject or (not own and f"{subject}.{name}" not in (override or {})):
            given[name] = value
    numbers = {n: to_primary(float(given.get(n, d.value)), d.unit)[0] for n, d in rule.numbers.items()}
    found = Tuned(
        rule,
        numbers,
        to_ms(parse_duration(given.get("for", rule.raise_.for_))),
        to_ms(parse_duration(given.get("clear_for", rule.clear.for_))),
    )
    if rule.life_safety and given:
        _check_order(found)
    return found


def _check_override(rule: Rule, key: str, name: str, value: Any) -> None:
    where = f"{rule.rule}.{key}"
    if name in ("for", "clear_for"):
        try:
            parse_duration(value)
        except ValueError as error:
            raise OverrideError(f"{where}: {error}") from None
    elif name not in rule.numbers:
        known = ["for", "clear_for", *rule.numbers]
        hint = nearest(name, known) or f"; it has {', '.join(known)}"
        raise OverrideError(f"{rule.rule}: no number {name!r}{hint}")
    elif isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise OverrideError(f"{where}: {value!r} is not a number")
    if rule.life_safety:
        _check_never_later(rule, where, name, value)


def _check_never_later(rule: Rule, where: str, name: str, value: Any) -> None:
    """A farm may have the alarm of a rule that keeps people alive earlier, and never later than the rule allows."""
    if name == "for" and parse_duration(value) > rule.raise_.for_:
        raise OverrideError(
            f"{where}: at most {spell_duration(rule.raise_.for_)}: a life-safety alarm must not come later"
        )
    if name == "clear_for" and parse_duration(value) < rule.clear.for_:
        raise OverrideError(
            f"{where}: at least {spell_duration(rule.clear.for_)}: a life-safety alarm must not end sooner"
        )
    if name in rule.numbers:
        number = rule.numbers[name]
        bound = number.value if number.bound is None else number.bound
        if _is_later(rule, name, float(value), bound):
            unit = "" if number.unit in (None, "/") else f" {number.unit}"
            raise OverrideError(
                f"{where}: {value:g} is past {bound:g}{unit}; a life-safety alarm may be earlier, never later"
            )


def _check_order(found: Tuned) -> None:
    """An alarm that begins where it also ends would come and go with every reading."""
    for ends in found.rule.clear.when:
        for begins in found.rule.raise_.when:
            if ends.signal != begins.signal or ends.is_ is not None or begins.is_ is not None:
                continue
            low, high = (ends, begins) if ends.below else (begins, ends)
            if found.level(low) > found.level(high):
                name, other = begins.above or begins.below, ends.below or ends.above
                raise OverrideError(
                    f"{found.rule.rule}.{name}: lies beyond {other!r}, where the alarm ends; set both"
                )


def check_overrides(rules: Mapping[str, Rule], overrides: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(rule, what is wrong) for each override of a farm that cannot be applied."""
    problems = []
    for name, given in overrides.items():
        if name not in rules:
            problems.append((name, f"no rule {name!r}{nearest(name, rules)}"))
        elif not isinstance(given, Mapping):
            problems.append((name, f"{name}: expected a mapping of numbers"))
        else:
            try:
                for subject in (None, *dict.fromkeys(str(key).rpartition(".")[0] for key in given)):
                    tuned(rules[name], given, subject or None)
            except OverrideError as error:
                problems.append((name, str(error)))
    return problems


def to_ms(duration: timedelta) -> int:
    """`duration` in whole milliseconds."""
    return round(duration.total_seconds() * 1000)
