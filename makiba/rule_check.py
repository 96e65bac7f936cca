"""What a model of a rule cannot express: words that must exist, units that must fit, options that go together.

Each problem has its place in the file. What passes here can be judged on any farm.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Final

from makiba import farm_settings
from makiba.located_yaml import Located, Problem
from makiba.quantities import Quantity, catalogue
from makiba.rule_measure import NoMeasure, measure, number_in
from makiba.rule_model import (
    DERIVATIONS,
    FOLDED_FROM,
    KINDS,
    LONGEST_WINDOW,
    OF_COUNTERS,
    PER_DAY,
    SEVERITIES,
    WINDOWED,
    Condition,
    Rule,
    Signal,
)
from makiba.rule_numbers import is_later
from makiba.rule_words import CONTEXT_TIMES, CONTEXTS, FACTS, FORECASTS, WITHIN_H
from makiba.words import nearest

_Path = tuple[str | int, ...]

_OPTIONS: Final[tuple[tuple[str, str, tuple[str, ...]], ...]] = (
    ("from_", "from", ("derived",)),
    ("of", "of", ("quantity", "derived", "context")),
    ("role", "role", ("quantity", "derived")),
    ("pick", "pick", ("quantity", "derived")),
    ("window", "window", ("quantity", "derived")),
    ("as_", "as", ("quantity", "derived", "context")),
    ("sum_above", "sum_above", ("quantity", "derived")),
    ("sum_below", "sum_below", ("quantity", "derived")),
    ("since", "since", ("quantity", "derived")),
    ("within", "within", ("forecast",)),
)  # fmt: skip
"""Attribute, key, and the kinds of signal that take it."""


def check(at: Located, rule: Rule) -> list[Problem]:
    """All that is wrong with `rule`, which was read from `at`."""
    settings = farm_settings.keys()
    problems = list(_signals(at, rule))
    if not problems:
        problems += [p for path, c in rule.conditions() for p in _condition(at, rule, path, c)]
        problems += _unused(at, rule)
    problems += [
        at.problem(("needs", i), f"no setting {need!r}{nearest(need, settings)}")
        for i, need in enumerate(rule.needs)
        if need not in settings
    ]
    order = [SEVERITIES.index(s) for s in (rule.severity, *(w.severity for w in rule.worse))]
    if order != sorted(set(order)):
        problems.append(at.problem(("worse",), "each step must be more severe than the one before"))
    for key, span in (("season", rule.season), ("hours", rule.hours)):
        if span is not None and span.from_ == span.to:
            problems.append(at.problem((key,), "begins when it ends"))
    for language in ("ja", "en"):
        problems += _text(at, rule, language)
    return [*problems, *(_life_safety(at, rule) if rule.life_safety else ())]


# -------------------------------------------------------------------------------------------------------- signals


def _signals(at: Located, rule: Rule) -> Iterator[Problem]:
    for name, signal in rule.signals.items():
        here = ("signals", name)
        if len(signal.kinds) != 1:
            yield at.problem(here, f"expected exactly one of {', '.join(KINDS)}")
            continue
        found = [*_misplaced(at, here, signal), *_words(at, here, signal)]
        found = found or [*_windows(at, here, signal), *_sums(at, here, rule, signal)]
        yield from found
        if not found:
            try:
                measure(rule, name)
            except NoMeasure as error:
                yield at.problem((*here, signal.kind), f"{error}{_hint(signal, rule)}")


def _misplaced(at: Located, here: _Path, signal: Signal) -> Iterator[Problem]:
    for attribute, key, kinds in _OPTIONS:
        if attribute in signal.model_fields_set and signal.kind not in kinds:
            yield at.problem((*here, key), f"does not belong to a {signal.kind}")
    if signal.role is not None and signal.of not in ("place", "site"):
        yield at.problem((*here, "role"), "narrows 'of: place' or 'of: site'")
    if "pick" in signal.model_fields_set and signal.of == "subject":
        yield at.problem((*here, "pick"), "needs 'of: place', 'of: site' or 'of: outdoors'")
    if signal.context is not None and signal.of == "outdoors":
        yield at.problem((*here, "of"), "a context is of the subject's place, or 'of: site'")


def _words(at: Located, here: _Path, signal: Signal) -> Iterator[Problem]:
    if signal.derived is not None:
        if signal.derived not in DERIVATIONS:
            hint = nearest(signal.derived, DERIVATIONS) or f"; expected {', '.join(DERIVATIONS)}"
            yield at.problem((*here, "derived"), f"{signal.derived!r} is unknown{hint}")
            return
        if set(signal.from_) != set(DERIVATIONS[signal.derived]):
            expected = ", ".join(DERIVATIONS[signal.derived])
            yield at.problem((*here, "from"), f"{signal.derived} is derived from {expected}")
            return
    for word in signal.quantities:
        if word not in catalogue():
            yield at.problem(here, f"no quantity {word!r}{nearest(word, catalogue())}")
    if signal.forecast is not None and signal.within_h not in WITHIN_H:
        hours = ", ".join(f"{h}h" for h in WITHIN_H)
        yield at.problem((*here, "within"), f"expected how far ahead: one of {hours}")


def _windows(at: Located, here: _Path, signal: Signal) -> Iterator[Problem]:
    if not signal.is_measured:
        return
    quantity = catalogue()[signal.shown_as]
    if signal.as_ is not None and signal.as_ not in WINDOWED:
        hint = nearest(signal.as_, WINDOWED) or f"; expected {', '.join(WINDOWED)}"
        yield at.problem((*here, "as"), f"{signal.as_!r} is unknown{hint}")
    elif signal.window is None:
        if signal.as_ is not None:
            yield at.problem((*here, "as"), "needs a window")
        if quantity.kind == "text" and signal.of != "subject":
            yield at.problem((*here, "of"), f"{quantity.name} is a text: take it from the subject")
    elif signal.sums is None and signal.as_ is None:
        yield at.problem((*here, "window"), f"needs 'as': one of {', '.join(WINDOWED)}")
    elif signal.window <= timedelta(0) or signal.window > LONGEST_WINDOW:
        yield at.problem((*here, "window"), f"is at most {LONGEST_WINDOW.days}d, and more than 0")
    elif quantity.kind == "text":
        yield at.problem(here, f"{quantity.name} is a text and has no window")
    elif quantity.kind == "counter" and signal.as_ not in OF_COUNTERS:
        yield at.problem((*here, "as"), f"{quantity.name} is a counter: use {', '.join(OF_COUNTERS)}")
    elif signal.is_folded and signal.window % timedelta(days=1):
        hours = FOLDED_FROM.total_seconds() / 3600
        yield at.problem((*here, "window"), f"longer than {hours:g}h it is of whole days")
    elif signal.as_ in PER_DAY and not signal.is_folded:
        yield at.problem((*here, "as"), "needs a window of days")


def _sums(at: Located, here: _Path, rule: Rule, signal: Signal) -> Iterator[Problem]:
    if not signal.is_measured:
        return
    if signal.sums is None:
        if signal.since is not None:
            yield at.problem((*here, "since"), "belongs to sum_above or sum_below")
        return
    quantity = catalogue()[signal.shown_as]
    key = "sum_above" if signal.sum_above else "sum_below"
    if signal.sum_above and signal.sum_below:
        yield at.problem(here, "expected one of 'sum_above' and 'sum_below'")
    if quantity.kind != "gauge":
        yield at.problem((*here, key), f"{quantity.name} is a {quantity.kind}")
    if (signal.since is None) == (signal.window is None) or signal.as_ is not None or signal.is_folded:
        yield at.problem(here, f"{key} needs either 'since' or a 'window' of at most 26h, and no 'as'")
    if signal.since is not None and signal.since != "day" and signal.since not in CONTEXTS:
        yield at.problem((*here, "since"), f"no context {signal.since!r}{nearest(signal.since, (*CONTEXTS, 'day'))}")
    yield from _number(at, rule, (*here, key), signal.sums, quantity.unit, quantity.name)


def _hint(signal: Signal, rule: Rule) -> str:
    """A guess at the word that was meant."""
    kind, word = signal.kind, str(getattr(signal, signal.kind))
    if kind in ("difference", "ratio"):
        unknown = next((part for part in signal.parts if part not in rule.signals), None)
        return nearest(unknown, rule.signals) if unknown else ""
    if kind == "context" and word in CONTEXTS:
        return nearest(signal.as_ or "", (*CONTEXT_TIMES, *CONTEXTS[word].found))
    known: dict[str, Iterable[str]] = {
        "context": CONTEXTS, "forecast": FORECASTS, "fact": FACTS, "setting": farm_settings.keys(),
    }  # fmt: skip
    return nearest(word, known.get(kind, ()))


# ------------------------------------------------------------------------------------------------------ conditions


def _condition(at: Located, rule: Rule, path: _Path, c: Condition) -> Iterator[Problem]:
    if c.signal not in rule.signals:
        yield at.problem((*path, "signal"), f"no signal {c.signal!r}{nearest(c.signal, rule.signals)}")
        return
    if sum(x is not None for x in (c.above, c.below, c.is_)) != 1:
        yield at.problem(path, "expected exactly one of 'above', 'below', 'is'")
        return
    value = measure(rule, c.signal)
    if (value.kind == "text") != (c.is_ is not None):
        yield at.problem(path, f"{value.name} is a {value.kind}: use {_verbs(value)}")
        return
    for key, name in (("above", c.above), ("below", c.below)):
        if name is not None:
            yield from _number(at, rule, (*path, key), name, value.unit, value.name)
    if c.times is not None:
        yield from _number(at, rule, (*path, "times"), c.times, None, "a factor")


def _verbs(value: Quantity) -> str:
    return "'is'" if value.kind == "text" else "'above' or 'below'"


def _number(at: Located, rule: Rule, path: _Path, name: str, unit: str | None, what: str) -> Iterator[Problem]:
    number = rule.numbers.get(name)
    if number is None:
        yield at.problem(path, f"no number {name!r}{nearest(name, rule.numbers)}")
    elif number_in(number.value, number.unit)[1] != unit:
        yield at.problem(("numbers", name), f"is in {number.unit or 'no unit'}; {what} has {unit}")


def _unused(at: Located, rule: Rule) -> Iterator[Problem]:
    conditions = [c for _, c in rule.conditions()]
    numbers = {n for c in conditions for n in (c.above, c.below, c.times)}
    numbers |= {signal.sums for signal in rule.signals.values()}
    yield from (at.problem(("numbers", n), "is used by no condition") for n in rule.numbers if n not in numbers)
    signals = {c.signal for c in conditions} | {p for signal in rule.signals.values() for p in signal.parts}
    signals |= {f for language in ("ja", "en") for f in _fields(getattr(rule.message, language)) or ()}
    yield from (at.problem(("signals", n), "is used by nothing") for n in rule.signals if n not in signals)


# ----------------------------------------------------------------------------------------------- texts and safety


def _fields(template: str) -> list[str] | None:
    """The names in braces; None where the braces do not match."""
    try:
        return [f for _, f, _, _ in string.Formatter().parse(template) if f is not None]
    except ValueError:
        return None


def _text(at: Located, rule: Rule, language: str) -> list[Problem]:
    known = {"place", "subject", "children", *rule.signals}
    fields = _fields(getattr(rule.message, language))
    if fields is None:
        return [at.problem(("message", language), "braces do not match")]
    return [at.problem(("message", language), f"no {{{f}}}{nearest(f, known)}") for f in fields if f not in known]


def _life_safety(at: Located, rule: Rule) -> Iterator[Problem]:
    """A gateway knows its own subjects only, and a text has to say that this replaces no certified alarm."""
    if rule.note is None:
        yield at.problem(("life_safety",), "needs a note that it supplements a certified alarm")
    if rule.about != "subject" or rule.excused:
        key = "excused" if rule.excused else "about"
        yield at.problem((key,), "a gateway judges a subject's own values, and nothing excuses them")
    gates = (("season", rule.season), ("hours", rule.hours), ("needs", rule.needs), ("unless", rule.raise_.unless))
    for key, given in gates:
        if given:
            yield at.problem((key,), "a gateway watches always: gas knows no season")
    for name, signal in rule.signals.items():
        if not signal.is_plain or signal.optional:
            yield at.problem(("signals", name), "a gateway judges only what the subject itself measures")
    if rule.stale_after is None:
        yield at.problem(("life_safety",), "needs stale_after, or a dead sensor would pass for clean air")
    for name, number in rule.numbers.items():
        if number.bound is not None and is_later(rule, name, number.value, number.bound):
            yield at.problem(("numbers", name, "bound"), f"is earlier than its value, {number.value:g}")
