"""Words of a reply -> a value in the catalogue's unit, or why there is none. Pure.

A decoder is built when the configuration is read, so that a wrong unit fails then. What comes out is either a number
that can be true, a text, or the word of a state: `sentinel` (the device says 'no value'), `out-of-range` (raw outside
what the device can give, or outside what the quantity can be) or `invalid` (not a number, an unknown enumeration,
bytes that are no text). Never a bad number. What one value has to do with another is in `interpret.py`.

Numbers are what the maker meant: raw integers are scaled in fractions and rounded once, so that 42 x 0.1 is 4.2; a
float32 is taken as the shortest decimal that gives the same float32.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from gateway.places import WIDTHS, Place, Register
from gateway.profile import Measured, exact
from makiba.quantities import Quantity
from makiba.units import conversion

SENTINEL = "sentinel"
OUT_OF_RANGE = "out-of-range"
INVALID = "invalid"

Words = Sequence[int]
Outcome = float | str
"""A value in the catalogue's unit, or the word of a state."""


@dataclass(frozen=True, slots=True)
class Text:
    """A text that was read, told apart from the word of a state."""

    text: str


Found = Outcome | Text

_FORMATS = {
    "int16": ">h", "uint16": ">H", "int32": ">i", "uint32": ">I", "int64": ">q", "uint64": ">Q",
    "float32": ">f", "float64": ">d",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Decoder:
    """From the words of one register, `words[at:at + width]`, to what was found."""

    width: int
    raw: Callable[[Words], Any]
    judge: Callable[[Any], Found]

    def decode(self, words: Words, at: int = 0) -> Found:
        return self.judge(self.raw(words[at : at + self.width]))


def decoder(register: Register, quantity: Quantity) -> Decoder:
    """The decoder of `register` when it measures `quantity`; `ValueError` when the units do not fit."""
    if register.type == "ascii":
        return Decoder(register.width, _characters(register), _judge_text)
    judge = _judge_word(register) if register.words else judge_raw(register, quantity)
    return Decoder(register.width, raw_number(register), judge)


def judge_raw(measured: Measured, quantity: Quantity) -> Callable[[float], Outcome]:
    """Raw number -> outcome, for registers and for fields of a sentence alike."""
    to_catalogue = conversion(measured.unit, quantity.unit)
    if to_catalogue is None:
        raise ValueError(f"unit {measured.unit!r} is no unit of {quantity.name}, which has {quantity.unit!r}")
    factor = exact(measured.scale) * to_catalogue.factor
    offset = exact(measured.offset) * to_catalogue.factor + to_catalogue.offset
    scaled = _scaling(factor, offset)
    sentinels = frozenset(measured.sentinels)
    low, high = measured.valid_raw or (-math.inf, math.inf)
    lowest = -math.inf if quantity.lowest is None else quantity.lowest
    highest = math.inf if quantity.highest is None else quantity.highest

    def judge(raw: float) -> Outcome:
        if raw in sentinels:
            return SENTINEL
        if not math.isfinite(raw):
            return INVALID
        if not low <= raw <= high:
            return OUT_OF_RANGE
        try:
            value = scaled(raw)
        except OverflowError:
            return OUT_OF_RANGE
        return value if lowest <= value <= highest else OUT_OF_RANGE

    return judge


def _scaling(factor: Fraction, offset: Fraction) -> Callable[[float], float]:
    denominator = math.lcm(factor.denominator, offset.denominator)
    times, plus = int(factor * denominator), int(offset * denominator)
    if times == denominator and plus == 0:
        return float

    def scaled(raw: float) -> float:
        if isinstance(raw, int):
            return (raw * times + plus) / denominator  # a division of integers is rounded once
        return float(Fraction(repr(raw)) * factor + offset)

    return scaled


def raw_number(place: Place) -> Callable[[Words], float]:
    """The raw number that stands in the words of `place`; NaN and infinities as they are."""
    plain = _plain(place)
    if place.sign == "from-10000":
        return lambda words: raw if (raw := plain(words)) < 10000 else 10000 - raw
    if place.sign == "sign-magnitude":
        top = 1 << 16 * WIDTHS[place.type] - 1
        return lambda words: raw if (raw := plain(words)) < top else top - raw
    if place.counted_bits is not None:
        return _masked(plain, place.counted_bits)
    if place.type == "float32":
        return lambda words: shortest(plain(words))
    return plain


def _masked(plain: Callable[[Words], Any], bits: int) -> Callable[[Words], float]:
    down = (bits & -bits).bit_length() - 1
    return lambda words: (plain(words) & bits) >> down


def _plain(place: Place) -> Callable[[Words], Any]:
    if place.type == "bit":
        return lambda words: int(words[0])
    swap_words, swap_bytes = place.word_order == "little", place.byte_order == "little"
    if place.type == "uint16" and not swap_bytes:
        return lambda words: words[0]
    if place.type == "int16" and not swap_bytes:
        return lambda words: words[0] - 0x10000 if words[0] & 0x8000 else words[0]
    unpack = struct.Struct(_FORMATS[place.type]).unpack
    pack = struct.Struct(f"{'<' if swap_bytes else '>'}{place.width}H").pack
    if swap_words:
        return lambda words: unpack(pack(*words[::-1]))[0]
    return lambda words: unpack(pack(*words))[0]


def _characters(place: Place) -> Callable[[Words], bytes]:
    pack = struct.Struct(f"{'<' if place.byte_order == 'little' else '>'}{place.width}H").pack
    if place.word_order == "little":
        return lambda words: pack(*words[::-1])
    return lambda words: pack(*words)


def _judge_text(raw: bytes) -> Found:
    """Printable ASCII up to the first NUL, without the spaces around it."""
    text = raw.split(b"\0", 1)[0].strip()
    if not text:
        return SENTINEL
    return Text(text.decode("ascii")) if all(0x20 <= byte < 0x7F for byte in text) else INVALID


def _judge_word(register: Register) -> Callable[[float], Found]:
    texts = {raw: Text(word) for raw, word in register.words.items()}
    sentinels = frozenset(register.sentinels)
    return lambda raw: SENTINEL if raw in sentinels else texts.get(int(raw), INVALID)


def shortest(value: float) -> float:
    """The shortest decimal that has the same float32 as `value`: 23.399999618530273 is 23.4."""
    if not math.isfinite(value):
        return value
    packed = struct.pack(">f", value)
    for digits in (6, 7, 8):
        short = float(f"{value:.{digits}g}")
        try:
            if struct.pack(">f", short) == packed:
                return short
        except OverflowError:
            continue
    return float(f"{value:.9g}")
