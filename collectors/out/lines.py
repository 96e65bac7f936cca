"""What `makiba tail` prints: a line for people in their language, or a SenML record for programs. Pure.

What came from outside (a text of a device, the reason of a refusal) is shown with its control characters spelled out,
so that nothing can take over the terminal it is printed on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any, Literal

from collectors.out.clock import IsoTimes
from makiba.quantities import catalogue
from makiba.reading import Reading

Language = Literal["ja", "en"]

_KINDS: Mapping[str, tuple[str, str]] = {
    "opened": ("発生", "opened"), "ended": ("終了", "ended"), "worsened": ("悪化", "worse"),
    "acknowledged": ("確認", "acknowledged"), "touched": ("継続", "goes on"),
}  # fmt: skip
_SEVERITIES: Mapping[str, tuple[str, str]] = {
    "critical": ("危険", "critical"), "warning": ("警告", "warning"), "advisory": ("注意", "advisory"),
    "info": ("お知らせ", "info"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class AlertStep:
    """A step in the life of an alert; `title` in the language asked for."""

    time_ms: int
    site: str
    subject: str
    rule: str
    severity: str
    kind: str
    title: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that was put among the dead letters."""

    time_ms: int
    gateway: str
    name: str
    reason: str


class ForPeople:
    """Lines for people: local time, farm, what, and the value in the unit that the pages show."""

    def __init__(self, zone: tzinfo, language: Language) -> None:
        self._iso = IsoTimes(zone)
        self._place = 0 if language == "ja" else 1
        self._language = language

    def reading(self, reading: Reading) -> str:
        series = reading.series
        known = catalogue().get(series.quantity)
        name = known.names[self._language] if known else series.quantity
        value = reading.value if isinstance(reading.value, str) or known is None else known.shown(reading.value)
        return plain(f"{self._when(reading.time_ms)}  {series.site}  {series.subject}  {name}  {value}")

    def alert(self, step: AlertStep) -> str:
        kind, severity = self._word(_KINDS, step.kind), self._word(_SEVERITIES, step.severity)
        where = f"{step.site}  {step.subject}"
        return plain(f"{self._when(step.time_ms)}  {where}  ! {severity} {kind}: {step.title} ({step.rule})")

    def refused(self, record: Refused) -> str:
        word = "拒否" if self._language == "ja" else "refused"
        return plain(f"{self._when(record.time_ms)}  {record.gateway}  ? {word}: {record.name}: {record.reason}")

    def _when(self, time_ms: int) -> str:
        return self._iso(time_ms)[:23].replace("T", " ")

    def _word(self, words: Mapping[str, tuple[str, str]], word: str) -> str:
        return words[word][self._place] if word in words else word


class ForPrograms:
    """A SenML record (RFC 8428) per line: full name, unit, seconds since 1970.

    Steps of alerts and refusals are records with a text, named `SITE/SUBJECT/alert` and `GATEWAY/refused`.
    """

    def reading(self, reading: Reading) -> str:
        record: dict[str, Any] = {"n": str(reading.series)}
        known = catalogue().get(reading.series.quantity)
        if known and known.unit:
            record["u"] = known.unit
        record["t"] = reading.time_ms / 1000
        record["vs" if isinstance(reading.value, str) else "v"] = reading.value
        return _json(record)

    def alert(self, step: AlertStep) -> str:
        text = f"{step.kind} {step.severity} {step.rule}"
        return _json({"n": f"{step.site}/{step.subject}/alert", "t": step.time_ms / 1000, "vs": text})

    def refused(self, record: Refused) -> str:
        text = f"{record.name}: {record.reason}"
        return _json({"n": f"{record.gateway}/refused", "t": record.time_ms / 1000, "vs": text})


def plain(text: str) -> str:
    """`text` with what is not printable spelled out."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _json(record: Mapping[str, Any]) -> str:
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False)
