"""What an instrument's marks say for or against a profile, in bits. Pure but for `look`.

A mark is a register that a profile names for this alone: the one that holds the unit id, a product code, the same
value said in another way. It weighs more than a plausible value, since a look-alike has something else there. A mark
that is not there counts little: makers leave registers out, and clones of the same thing do more often.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from gateway.decode import raw_number
from gateway.places import Mark
from gateway.plan import Read
from gateway.registers import ModbusProfile
from makiba.quantities import catalogue
from makiba.units import conversion

MISSING_BITS, MOST_MISSING_BITS = {"verified": -2.0, "known": -1.0, "proposed": 0.0}, -3.0
UNIT_BITS, COMMON_UNIT_BITS = 7.0, 4.5
COMMON_UNITS = range(4)
"""Small numbers stand in many registers."""
AGREE_BITS, CODE_BITS, DULL_BITS = 8.0, 5.0, 0.3
WRONG_BITS, EMPTY_BITS = -6.0, -3.0

Look = Callable[[Read], Sequence[int] | None]


def reads_of(profile: ModbusProfile) -> tuple[Read, ...]:
    """One request for each mark."""
    return tuple(Read(m.table, profile.address(m), m.width, ()) for m in profile.marks)


def bits_of(profile: ModbusProfile, values: Mapping[int, object], look: Look, unit_id: int) -> float:
    """The sum over the marks; `values` is what the profile's registers came out as, by their place in it."""
    total = missing = 0.0
    for mark, read in zip(profile.marks, reads_of(profile), strict=True):
        words = look(read)
        if words is None:
            missing += MISSING_BITS[profile.source.trust]
            continue
        raw = raw_number(mark)(words)
        total += _bits(profile, mark, raw, values, unit_id) if math.isfinite(raw) else WRONG_BITS
    return total + max(missing, MOST_MISSING_BITS)


def _bits(profile: ModbusProfile, mark: Mark, raw: float, values: Mapping[int, object], unit_id: int) -> float:
    wrong = WRONG_BITS if raw else EMPTY_BITS
    if mark.agrees_with is not None:
        return _agreement(profile, mark, raw, values)
    if mark.holds == "unit-id":
        if raw == unit_id:
            return COMMON_UNIT_BITS if unit_id in COMMON_UNITS else UNIT_BITS
        return 0.0 if "answers-any-address" in profile.quirks else wrong
    if mark.one_of:
        good, share = raw in mark.one_of, len(mark.one_of) / 0x10000
    else:
        low, high = mark.within or (0.0, 0.0)
        good, share = low <= raw <= high, (high - low + 1) / 0x10000
    if not good:
        return wrong
    return min(-math.log2(min(share, 1.0)), CODE_BITS) if raw else DULL_BITS


def _agreement(profile: ModbusProfile, mark: Mark, raw: float, values: Mapping[int, object]) -> float:
    index = profile.find(str(mark.agrees_with))
    assert index is not None
    assert mark.by is not None
    value, quantity = values.get(index), catalogue()[str(profile.values()[index].quantity)]
    if not isinstance(value, (int, float)):
        return 0.0
    to = conversion(mark.unit, quantity.unit)
    assert to is not None  # checked with the profile
    differ = abs(raw * mark.scale * float(to.factor) + float(to.offset) - value)
    if quantity.unit == "rad":
        differ = min(differ, abs(2 * math.pi - differ))
    if differ > mark.by * float(to.factor):
        return WRONG_BITS if raw else EMPTY_BITS
    return AGREE_BITS if raw and value else DULL_BITS
