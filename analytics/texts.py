"""What an alert says to people, in Japanese and English: what is wrong and where, what follows from it, what to do.

The texts are the rules' own; here the names of the farm and the values, in the units people read, are put into
them. An alert whose rule is gone is still told of.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy.orm import Session

from collectors.registry import sites
from collectors.registry.lora import NETWORK
from collectors.registry.schema import Alert
from collectors.registry.viewer import Viewer
from makiba.quantities import Quantity, catalogue
from makiba.rule import Rule, Text, measure

Names = Mapping[str, str]
"""A text in each language: {"ja": …, "en": …}."""

LANGUAGES: Final = ("ja", "en")
_UNKNOWN: Final[Names] = {"ja": "不明", "en": "unknown"}
_FARM: Final[Names] = {"ja": "牧場", "en": "the farm"}
_MANY: Final = 4
_HOURS_FROM_S: Final = 7200
_TIME: Final[Mapping[str, Names]] = {
    "ja": {"min": "分", "h": "時間", "d": "日"},
    "en": {"d": "days"},
}
"""Units of time where they are said in words."""
_OVER: Final[Names] = {"ja": " 値は もう 正常です。", "en": " Values are back to normal."}
_RESET: Final[Names] = {
    "ja": "安全を たしかめてから、ボタンで 解除してください。",
    "en": "Make sure that it is safe, then reset the alert with the button.",
}

# What a device's or gateway's state says; `exception-2` and the like are found by their beginning.
_STATES: Final[Mapping[str, Names]] = {
    "ok": {"ja": "正常", "en": "well"},
    "timeout": {"ja": "返事なし", "en": "no answer"},
    "unreachable": {"ja": "つながりません", "en": "cannot be reached"},
    "crc": {"ja": "通信の 乱れ", "en": "garbled answers"},
    "invalid": {"ja": "通信の 乱れ", "en": "garbled answers"},
    "exception": {"ja": "機器の エラー", "en": "device error"},
    "bus-down": {"ja": "線が 使えません", "en": "its cable is down"},
    "no-data": {"ja": "何も 来ません", "en": "nothing comes"},
    "sentinel": {"ja": "センサー外れ", "en": "probe unplugged"},
    "out-of-range": {"ja": "ありえない 値", "en": "impossible value"},
    # What instruments say of themselves: the words of the `status` entries of device profiles.
    "sensor-error": {"ja": "センサーの 故障", "en": "sensor fault"},
    "temperature-sensor-error": {"ja": "温度センサーの 故障", "en": "temperature sensor fault"},
    "failed": {"ja": "機器の 故障", "en": "device failed"},
    "weak-signal": {"ja": "信号が 弱いです", "en": "weak signal"},
    "warm-up": {"ja": "準備中", "en": "warming up"},
    "standby": {"ja": "待機中", "en": "on standby"},
    "post-calibration": {"ja": "校正の 直後", "en": "just calibrated"},
    "low-power": {"ja": "電源が 弱いです", "en": "low power"},
    "frozen": {"ja": "土が 凍っています", "en": "frozen soil"},
    "stuck": {"ja": "値が 動きません", "en": "stuck value"},
    "down": {"ja": "線が 使えません", "en": "port is down"},
    "silent": {"ja": "返事なし", "en": "no answer"},
    "online": {"ja": "つながっています", "en": "online"},
    "offline": {"ja": "連絡なし", "en": "offline"},
    "stopped": {"ja": "止めました", "en": "stopped"},
    # Of contexts, settings and facts.
    "on": {"ja": "入", "en": "on"},
    "off": {"ja": "切", "en": "off"},
    "yes": {"ja": "はい", "en": "yes"},
    "no": {"ja": "いいえ", "en": "no"},
}


@dataclass(frozen=True)
class FarmNames:
    """How a farm calls its places and what stands in them."""

    places: Mapping[str, Names] = field(default_factory=dict)
    subjects: Mapping[str, Names] = field(default_factory=dict)
    gateways: frozenset[str] = frozenset()

    def of(self, subject: str) -> Names:
        """The name of a subject, device, bus or gateway; its id where the farm gave it none.

        A device is called as the first of its subjects that has a name.
        """
        if subject in self.subjects:
            return self.subjects[subject]
        if subject == NETWORK:
            return {"ja": "LoRaWANの 中継機", "en": "the LoRaWAN gateway"}
        if subject in self.gateways:
            return {"ja": f"中継機 {subject}", "en": f"gateway {subject}"}
        gateway, _, bus = subject.partition(".")
        if bus and gateway in self.gateways:
            return {"ja": bus, "en": bus}
        channels = sorted(s for s in self.subjects if s.partition(".")[0] == subject)
        return self.subjects[channels[0]] if channels else {"ja": subject, "en": subject}


def farm_names(session: Session, viewer: Viewer, site: str) -> FarmNames:
    """The names in force now on `site`."""
    placements = sites.list_placements(session, viewer, site)
    return FarmNames(
        {p.id: {"ja": p.name_ja, "en": p.name_en} for p in sites.list_places(session, viewer, site)},
        {
            p.subject: {"ja": p.name_ja or p.subject, "en": p.name_en or p.name_ja or p.subject}
            for p in placements
            if p.name_ja or p.name_en
        },
        frozenset(g.id for g in sites.list_gateways(session, viewer, site)),
    )


@dataclass(frozen=True)
class ShownSignal:
    """A value the alert is about; `shown` is in the unit people read. A state is shown in each language."""

    quantity: str
    name: Names
    shown: Names


@dataclass(frozen=True)
class Described:
    """An alert as people read it. `children`: (subject, name) of what is not watched because of it."""

    title: Names
    message: Names
    action: Names
    note: Names | None
    subject_name: Names
    place_name: Names | None
    signals: tuple[ShownSignal, ...]
    children: tuple[tuple[str, Names], ...]


def describe(alert: Alert, rule: Rule | None, names: FarmNames) -> Described:
    """`alert` in words; `rule` is the one it names, None where there is no such rule any more."""
    subject = names.of(alert.subject)
    place = names.places.get(alert.place_id or "")
    children = tuple((c["subject"], names.of(c["subject"])) for c in alert.children or ())
    signals = {n: _shown(s, _measure(rule, n)) for n, s in (alert.signals or {}).items()}
    title, action = _texts(rule, alert)
    waits = alert.over_ms is not None and alert.ended_ms is None
    message: dict[str, str] = {}
    for language in LANGUAGES:
        words = {
            **dict.fromkeys(rule.signals if rule else (), _UNKNOWN[language]),
            **{n: s.shown[language] for n, s in signals.items()},
            "subject": subject[language],
            "place": (place or _FARM)[language],
            "children": _listed((n for _, n in children), language),
        }
        template = getattr(rule.message, language) if rule else "{subject}"
        message[language] = _capital(string.Formatter().vformat(template, (), words))
        if waits:
            message[language] += _OVER[language]
    return Described(
        title,
        message,
        _RESET if waits else action,
        _both(rule.note) if rule and rule.note else None,
        subject,
        place,
        tuple(signals.values()),
        children,
    )


def _texts(rule: Rule | None, alert: Alert) -> tuple[Names, Names]:
    """Title and action: those of the step that the alert's severity stands for, or the rule's own."""
    if rule is None:
        return {"ja": alert.rule, "en": alert.rule}, {"ja": "見てください。", "en": "Please look."}
    step = next((w for w in rule.worse if w.severity == alert.severity), None)
    title = (step.title if step else None) or rule.title
    action = (step.action if step else None) or rule.action
    return _both(title), _both(action)


def _measure(rule: Rule | None, name: str) -> Quantity | None:
    """What the rule says its signal is; None where it has no such signal any more."""
    return measure(rule, name) if rule is not None and name in rule.signals else None


def _shown(signal: Mapping[str, Any], known: Quantity | None = None) -> ShownSignal:
    quantity = known or catalogue().get(str(signal.get("quantity")))
    value = signal.get("value")
    name = quantity.names if quantity else {"ja": str(signal.get("quantity")), "en": str(signal.get("quantity"))}
    if isinstance(value, str):
        shown: Names = state_names(value)
    elif value is None or quantity is None:
        shown = _UNKNOWN
    else:
        shown = _read(quantity, float(value))
    return ShownSignal(str(signal.get("quantity")), name, shown)


def _read(quantity: Quantity, value: float) -> Names:
    """A value as people say it: hours where minutes are many, and units of time in their language."""
    text = quantity.shown(value)
    if quantity.unit == "s" and quantity.show_unit == "min" and abs(value) >= _HOURS_FROM_S:
        text = f"{value / 3600:.1f} h"
    number, _, unit = text.rpartition(" ")
    before, dot, time = unit.rpartition("·")
    return {language: f"{number} {before}{dot}{words.get(time, time)}".strip() for language, words in _TIME.items()}


def state_names(state: str) -> Names:
    """A state in words; the state itself where there are none for it."""
    known = _STATES.get(state) or _STATES.get(state.partition("-")[0])
    return known or {"ja": state, "en": state}


def _listed(names: Iterable[Names], language: str) -> str:
    texts = list(dict.fromkeys(n[language] for n in names))
    more = len(texts) - _MANY
    if more > 0:
        texts = [*texts[:_MANY], f"ほか {more}" if language == "ja" else f"{more} more"]
    if not texts:
        return {"ja": "センサー", "en": "its sensors"}[language]
    return ("、" if language == "ja" else ", ").join(texts)


def _both(text: Text) -> Names:
    return {"ja": text.ja, "en": text.en}


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
