"""Weigh scales: a line of a scale -> weight in kg and what the scale says of it. Pure.

`and` is A&D's standard format, which KERN, Tiger and others send with small changes: `ST,+00123.4  kg`,
`ST,GS,+  123.4kg`. The header decides, not the digits: an overloaded scale may send nines, spaces or zeros.
`sics` is Mettler's MT-SICS, answers to `S` and `SI`: `S S     12.34 kg`.

A line is taken whole or not at all: what does not have exactly the form of the format is no weight. Neither format
has a checksum, so that a digit that changed on the wire cannot be seen in one line; who needs certainty waits for a
second equal one, as `weighing.py` does.

Sources: A&D EK-L p. 30, GC p. 51, AD-4404 p. 82, AD-4329A p. 45; Tiger TI-02-P p. 21; KERN KXS-TM p. 70;
Mettler GA42/L p. 31.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from gateway.decode import INVALID, OUT_OF_RANGE, judge_raw
from gateway.driver import Point
from gateway.lines import LineSplitter, without_control
from gateway.listen import Frame
from gateway.profile import Measured, Profile
from gateway.record import OK

UNSTABLE = "unstable"
OVERLOAD = "overload"
UNDERLOAD = "underload"
COUNTING = "counting"
NOT_READY = "not-ready"
REFUSED = "refused"

_KG: Final = {b"kg": Fraction(1), b"g": Fraction(1, 1000), b"t": Fraction(1000)}

Format = Literal["and", "sics"]


@dataclass(frozen=True, slots=True)
class Weight:
    """What one line says. `state` is `ok` when the weight is stable; `kg` is None when there is no weight in it.

    `is_load` is false for a tare, which says nothing about what stands on the scale.
    """

    state: str
    kg: float | None = None
    is_load: bool = True


def parse_weight(line: bytes, kind: Format) -> Weight | None:
    """What a line, without its end, says; None when it is not a line of that format."""
    return _PARSERS[kind](without_control(line))


_AND_LINE = re.compile(rb"(ST|US|QT|OL|LO),((?:(?:GS|NT|TR|PT|LO|OK|HI),){0,2})([\x20-\x7e]{0,24})")
_AND_NUMBER = re.compile(rb"([ +-]?) *(\d{1,9}(?:\.\d{0,6})?|\.\d{1,6}) *([A-Za-z]{1,3}) *")
# LO as first header is AD-4404's 'out of range'; as a second one it is a comparison's result.
_AND_STATES: Final = {b"ST": OK, b"US": UNSTABLE, b"QT": COUNTING, b"OL": OVERLOAD, b"LO": OUT_OF_RANGE}


def _parse_and(line: bytes) -> Weight | None:
    found = _AND_LINE.fullmatch(line)
    if found is None:
        return None
    header, more, rest = found.groups()
    state = _AND_STATES[header]
    is_load = not {b"TR", b"PT"} & set(more.split(b","))
    if header not in (b"ST", b"US"):
        return Weight(state, None, is_load)
    number = _AND_NUMBER.fullmatch(rest)
    if number is None:
        return None
    sign, digits, unit = number.groups()
    return _weight(state, digits, unit, negative=sign == b"-", is_load=is_load)


_SICS_WEIGHT = re.compile(rb"S ([SD]) {1,12}(-?)(\d{1,9}(?:\.\d{0,6})?|\.\d{1,6}) {1,3}([A-Za-z]{1,3}) *")
_SICS_WORDS: Final = {
    b"S I": NOT_READY, b"S +": OVERLOAD, b"S -": UNDERLOAD, b"ES": REFUSED, b"ET": REFUSED, b"EL": REFUSED,
}  # fmt: skip


def _parse_sics(line: bytes) -> Weight | None:
    word = _SICS_WORDS.get(line.rstrip(b" "))
    if word:
        return Weight(word)
    found = _SICS_WEIGHT.fullmatch(line)
    if found is None:
        return None
    how, sign, digits, unit = found.groups()
    return _weight(OK if how == b"S" else UNSTABLE, digits, unit, negative=sign == b"-", is_load=True)


_PARSERS: Final = {"and": _parse_and, "sics": _parse_sics}


def _weight(state: str, digits: bytes, unit: bytes, *, negative: bool, is_load: bool) -> Weight:
    factor = _KG.get(unit)
    if factor is None:
        return Weight(INVALID, None, is_load)  # pieces, per cent, pounds: sound, and no weight that we know
    value = Fraction(digits.decode("ascii").rstrip(".")) * factor
    return Weight(state, float(-value if negative else value), is_load)


def _bytes(text: str) -> str:
    if max(map(ord, text)) > 0xFF:
        raise ValueError(f"{text!r} has a character that is no byte; other bytes than ASCII are written \\xFF")
    return text


Command = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_bytes)]
"""What is sent to an instrument; each character is one byte (ISO 8859-1)."""


class ScaleProfile(Profile):
    """A weigh scale that sends by itself or, with `poll`, when it is asked."""

    driver: Literal["scale"]
    format: Format
    poll: Command | None = Field(default=None, description="What is sent to ask for a weight; absent: it streams")
    value: Measured = Field(
        default=Measured(quantity="weight", unit="kg"),
        description="What the weight is; its raw value is in kg, whatever unit the scale sends",
    )

    def measured(self) -> Iterator[tuple[tuple[str | int, ...], Measured]]:
        yield ("value",), self.value

    def problems(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        yield from super().problems()
        if self.value.unit not in (None, "kg"):
            yield ("value", "unit"), f"{self.value.unit!r}: the weight is in kg, whatever unit the scale sends"


@dataclass(slots=True)
class ScaleLines:
    """Feed bytes, get what the scale says. `damaged` counts lines that were no line of the format."""

    format: Format
    damaged: int = 0
    _lines: LineSplitter = field(default_factory=lambda: LineSplitter(longest=48))

    def feed(self, data: bytes) -> list[tuple[str, Weight]]:
        found: list[tuple[str, Weight]] = []
        before = self._lines.damaged
        for line in self._lines.feed(data):
            weight = parse_weight(line, self.format)
            if weight is not None:
                found.append((without_control(line).decode("ascii"), weight))
            elif without_control(line).strip():
                self.damaged += 1
        self.damaged += self._lines.damaged - before
        return found


class ScaleTalker:
    """A scale's lines as frames (`gateway.listen.Talker`). With `record_unstable` a moving weight is a value too."""

    def __init__(self, profile: ScaleProfile, points: tuple[Point, ...], *, record_unstable: bool) -> None:
        self._lines = ScaleLines(profile.format)
        self._points = [(point, judge_raw(profile.value, point.quantity)) for point in points]
        self._good = frozenset((OK, UNSTABLE) if record_unstable else (OK,))

    @property
    def damaged(self) -> int:
        return self._lines.damaged

    def feed(self, data: bytes, now_s: float) -> list[Frame]:
        del now_s
        frames: list[Frame] = []
        for shown, weight in self._lines.feed(data):
            if weight.is_load:
                kg = weight.kg if weight.state in self._good else None
                values = tuple((p, judge(kg)) for p, judge in self._points) if kg is not None else ()
                frames.append(Frame(shown, values, weight.state))
        return frames
