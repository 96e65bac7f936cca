"""In what unit a signal's value is, and how people read it: a signal's measure, as a `Quantity` of its own.

| signal | unit |
| --- | --- |
| quantity, derived; their mean, min, max, sum, change, rise per hour, slope per day | the quantity's |
| total of a counter; of a flow (m3/s, W) | the counter's; the flow's times s (m3, J) |
| sum_above, sum_below | the quantity's times s, written `Cel.s` (a bare quantity: s) |
| difference | that of both |
| ratio | none; of a value and a bare number, the value's |
| context | a text; `as` a time: s; `as` what is found: that word's |
| forecast, setting, fact | that word's, or a text |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Final

from makiba import farm_settings
from makiba.quantities import Quantity, catalogue
from makiba.rule_model import PER_DAY, Rule, Signal
from makiba.rule_words import CONTEXT_TIMES, CONTEXTS, FACTS, FORECASTS, SHOWN, Word
from makiba.senml import to_primary
from makiba.units import conversion, convert

_TIMES_S: Final[Mapping[str, float]] = {"s": 1.0, "min": 60.0, "h": 3600.0}
_FLOWS: Final[Mapping[str, str]] = {"m3/s": "m3", "W": "J", "m/s": "m", "VA": "VAs", "var": "vars"}


class NoMeasure(ValueError):
    """A signal that has no measure: a word that does not exist, or parts that do not fit; the message says which."""


def number_in(value: float, unit: str | None) -> tuple[float, str | None]:
    """A rule's number in the catalogue's unit, and that unit: 5 kPa are 5000 Pa, 50 `Cel.min` are 3000 `Cel.s`."""
    base, dot, time = (unit or "").replace("·", ".").rpartition(".")
    if dot and time in _TIMES_S:
        primary, name = number_in(value, base)
        return primary * _TIMES_S[time], f"{name}.s"
    of_senml = to_primary(value, unit)
    target = _instruments(unit or "") if of_senml[1] == unit else None
    found = None if target is None else convert(value, unit, target)
    return of_senml if found is None else (found, target)


@cache
def _instruments(unit: str) -> str | None:
    """The catalogue's unit for one that is none of SenML's (kPa, L, mS/cm), where it can only be one."""
    primary = {q.unit for q in catalogue().values()}
    targets = {p for p in primary if p is not None and p != unit and conversion(unit, p) is not None}
    return targets.pop() if len(targets) == 1 and unit not in primary else None


def measure(rule: Rule, name: str) -> Quantity:
    """The measure of the signal `name` of `rule`; `NoMeasure` says why there is none."""
    return _measure(rule, name, ())


def _measure(rule: Rule, name: str, above: tuple[str, ...]) -> Quantity:
    signal = rule.signals[name]
    if signal.is_measured:
        return _measured(signal)
    if signal.parts:
        return _combined(rule, signal, name, above)
    if signal.context is not None:
        return _of_context(signal.context, signal.as_)
    if signal.setting is not None:
        return _of_setting(signal.setting)
    word, words, what = (
        (signal.forecast, FORECASTS, "forecast")
        if signal.forecast is not None
        else (signal.fact or "", FACTS, "fact")
    )
    if word not in words:
        raise NoMeasure(f"no {what} {word!r}")
    return _of_word(word, words[word])


def _measured(signal: Signal) -> Quantity:
    quantity = catalogue().get(signal.shown_as)
    if quantity is None:
        raise NoMeasure(f"no quantity {signal.shown_as!r}")
    if signal.sums:
        return _times_time(quantity)
    if signal.as_ in (None, "mean", "min", "max"):
        return quantity
    free = replace(quantity, lowest=None, highest=None)
    if signal.as_ in ("total", "total_per_day"):
        return free if quantity.kind == "counter" else _total(free)
    if signal.as_ in ("sum", *PER_DAY):
        return free
    return _relative(free)


def _times_time(quantity: Quantity) -> Quantity:
    bare = quantity.unit is None
    unit, time, factor = ("s", "h", 1 / 3600) if bare else (f"{quantity.unit}.s", "min", 1 / 60)
    shown = f"{quantity.show_unit}·{time}".lstrip("·")
    names = {"ja": f"{quantity.names['ja']}の 合計", "en": f"sum of {quantity.names['en']}"}
    return replace(
        _relative(quantity), unit=unit, names=names, show_unit=shown, decimals=0,
        show_factor=quantity.show_factor * factor,
    )  # fmt: skip


def _total(flow: Quantity) -> Quantity:
    unit = _FLOWS.get(flow.unit or "")
    if unit is None:
        return _times_time(flow)
    word = Word(
        f"{flow.names['ja']}の 合計", f"total {flow.names['en']}", unit, {"J": ("kWh", 1 / 3.6e6, 1)}.get(unit)
    )
    return _of_word(flow.name, word)


def _relative(quantity: Quantity) -> Quantity:
    """The same as a difference: without an offset, a bound or a level's unit."""
    unit, show = ("dB", "dB") if quantity.unit == "dBW" else (quantity.unit, quantity.show_unit)
    return replace(quantity, unit=unit, show_unit=show, show_offset=0.0, lowest=None, highest=None, kind="gauge")


def _combined(rule: Rule, signal: Signal, name: str, above: tuple[str, ...]) -> Quantity:
    for part in signal.parts:
        if part not in rule.signals:
            raise NoMeasure(f"no signal {part!r}")
        if part in (*above, name):
            raise NoMeasure(f"is made of itself, by {part!r}")
    first, second = (_measure(rule, part, (*above, name)) for part in signal.parts)
    if "text" in (first.kind, second.kind):
        raise NoMeasure("a text cannot be reckoned with")
    if signal.difference is not None:
        if _relative(first).unit != _relative(second).unit:
            raise NoMeasure(f"the first is in {first.unit or 'no unit'}, the second in {second.unit or 'no unit'}")
        return _relative(first)
    if first.unit != second.unit and second.unit is not None:
        raise NoMeasure(f"a ratio of {first.unit or 'no unit'} and {second.unit} is in no unit that has a name")
    if second.unit is None and first.unit is not None:
        each = _relative(first)  # of one of many, for which litres are better
        return replace(each, show_unit="L", show_factor=1000.0, decimals=0) if first.unit == "m3" else each
    if rule.signals[signal.parts[1]].as_ == "fall_per_day":
        return Quantity(
            name, None, "gauge", None, None, "", {"ja": "残りの 日数", "en": "days left"}, "d", 1.0, 0.0, 0
        )
    names = {"ja": f"{first.names['ja']}の 割合", "en": f"share of {first.names['en']}"}
    return Quantity(name, None, "gauge", None, None, "", names, "%", 100.0, 0.0, 0)


def _of_context(context: str, what: str | None) -> Quantity:
    if context not in CONTEXTS:
        raise NoMeasure(f"no context {context!r}")
    known = CONTEXTS[context]
    if what is None:
        return Quantity(context, None, "text", None, None, "", {"ja": known.ja, "en": known.en})
    word = CONTEXT_TIMES.get(what) or known.found.get(what)
    if word is None:
        raise NoMeasure(f"{context} has no {what!r}; it has {', '.join((*CONTEXT_TIMES, *known.found))}")
    names = {"ja": f"{known.ja}: {word.ja}", "en": f"{known.en}: {word.en}"}
    return replace(_of_word(f"{context}_{what}", word), names=names)


def _of_setting(setting: str) -> Quantity:
    key = farm_settings.keys().get(setting)
    if key is None:
        raise NoMeasure(f"no setting {setting!r}")
    if not key.for_rules:
        raise NoMeasure(f"the setting {setting!r} is a {key.kind}: a rule may need it, and not look at it")
    return _of_word(setting, Word(key.ja, key.en, key.seen_unit, is_text=key.kind != "number"))


def _of_word(name: str, word: Word) -> Quantity:
    names = {"ja": word.ja, "en": word.en}
    if word.is_text:
        return Quantity(name, None, "text", None, None, "", names)
    unit, factor, decimals = word.show or SHOWN.get(word.unit) or (word.unit or "", 1.0, 1)
    return Quantity(name, word.unit, "gauge", None, None, "", names, unit, factor, 0.0, decimals)
