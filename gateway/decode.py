"""Words of a reply -> a value in the catalogue's unit, or why there is none. Pure.

A decoder is built when the configuration is read, so that a wrong unit fails then. What comes out is either a number
that can be true or the word of a state: `sentinel` (the device says 'no value'), `out-of-range` (raw outside what the
device can give, or outside what the quantity can be) or `invalid` (not a number). Never a bad number.

Numbers are what the maker meant: raw integers are scaled in fractions and rounded once, so that 42 x 0.1 is 4.2; a
float32 is taken as the shortest decimal that gives the same float32.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from gateway.profile import Measured, exact
from gateway.registers import Register
from gateway.units import conversion
from makiba.quantities import Quantity

SENTINEL = "sentinel"
OUT_OF_RANGE = "out-of-range"
INVALID = "invalid"

Words = Sequence[int]
Outcome = float | str
"""A value in the catalogue's unit, or the word of a state."""

_FORMATS = {
    "int16": ">h", "uint16": ">H", "int32": ">i", "uint32": ">I", "int64": ">q", "uint64": ">Q",
    "float32": ">f", "float64": ">d",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Decoder:
    """From the words of one register, `words[at:at + width]`, to an outcome."""

    width: int
    raw: Callable[[Words], float]
    judge: Callable[[float], Outcome]

    def decode(self, words: Words, at: int = 0) -> Outcome:
        return self.judge(self.raw(words[at : at + self.width]))


def decoder(register: Register, quantity: Quantity) -> Decoder:
    """The decoder of `register` when it measures `quantity`; `ValueError` when the units do not fit."""
    return Decoder(register.width, _raw(register), judge_raw(register, quantity))


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
        value = scaled(raw)
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


def _raw(register: Register) -> Callable[[Words], float]:
    if register.type == "bit":
        return lambda words: int(words[0])
    swap_words, swap_bytes = register.word_order == "little", register.byte_order == "little"
    fmt = struct.Struct(_FORMATS[register.type])
    shape = struct.Struct(f">{register.width}H")
    swapped = struct.Struct(f"<{register.width}H")

    def plain(words: Words) -> float:
        ordered = words[::-1] if swap_words else words
        (value,) = fmt.unpack((swapped if swap_bytes else shape).pack(*ordered))
        return value  # type: ignore[no-any-return]

    if register.sign == "from-10000":
        return lambda words: raw if (raw := plain(words)) < 10000 else 10000 - raw
    if register.type == "uint16" and not swap_bytes:
        return lambda words: words[0]
    if register.type == "int16" and not swap_bytes:
        return lambda words: words[0] - 0x10000 if words[0] & 0x8000 else words[0]
    if register.type == "float32":
        return lambda words: shortest(plain(words))
    return plain


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
