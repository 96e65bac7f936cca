"""Which profile does an instrument fit, judged by what it answers to that profile's own reads. Pure but for `look`.

Evidence is counted in bits: a value that can be true counts as much as it would be surprising from random registers
(worked out by decoding random ones), a register of zeros hardly at all, a value that cannot be true counts heavily
against. Shipped address and line settings help a little, a profile's marks much (`marks.py`). A profile of which one
read is refused does not fit. An instrument that refuses most of what it is asked is the better known by what it does
not refuse. A profile that is right about few registers of a large map, beside one that is right about many, loses.

What the bits come to is said in `verdict.py`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

from gateway.constants import ConstantValue, Table
from gateway.decode import INVALID, OUT_OF_RANGE, SENTINEL, Text
from gateway.driver import Device, Point
from gateway.interpret import Interpreter, interpreter
from gateway.places import Register
from gateway.plan import Read
from gateway.profile import Constant, Valued
from gateway.registers import ModbusProfile
from gateway.tools import marks
from gateway.tools.probe import Setting
from makiba.quantities import catalogue
from makiba.reading import Series
from makiba.units import conversion

SAMPLES = 200
MOST_BITS = 9.0
TEXT_BITS, SENTINEL_BITS, WRONG_BITS, ODD_BITS = 8.0, 1.5, -8.0, -3.0
ZERO_SHARE = 0.15
"""What a plausible value is worth whose registers are all 0: empty registers fit nearly every map."""
NEVER_ZERO_BITS = -1.5
UNEXPLAINED_BITS, MOST_UNEXPLAINED_BITS = -1.0, -4.0
"""For a register beside a profile's own that says something, and that the profile does not know."""
NEAR = 8
LEAST_BITS = 3.0
"""Less than this is as good as chance."""
REFUSED_BITS = 5.0
"""Most that counts for a profile whose reads are answered by an instrument that refuses others."""
CLOSED_BITS = -6.0
"""An instrument whose maker says that it refuses an address has answered there."""
FAR_BITS = 20.0
"""Marks are not looked at for a profile that lies so far behind the best."""
LEAPED_BITS = -6.0
"""Something changed within seconds as it cannot."""

# What a farm's instruments usually say, in the catalogue's units, where that is much less than what can be true.
USUAL: dict[str, tuple[float, float]] = {
    "air_temperature": (-40, 50),
    "temperature": (-50, 150),
    "soil_temperature": (-30, 50),
    "voltage": (0.5, 500),
    "current": (-200, 200),
    "power": (-200_000, 200_000),
    "apparent_power": (0, 200_000),
    "reactive_power": (-200_000, 200_000),
    "frequency": (45, 65),
    "energy": (0, 3.6e12),
    "energy_exported": (0, 3.6e12),
    "carbon_dioxide": (2.5e-4, 1e-2),
    "air_pressure": (80_000, 108_000),
    "wind_speed": (0, 50),
    "wind_gust": (0, 60),
    "rainfall": (0, 2),
    "ammonia": (0, 2e-4),
    "carbon_monoxide": (0, 3e-4),
    "hydrogen_sulfide": (0, 1e-4),
    "water_flow": (-0.5, 0.5),
    "flow_speed": (-10, 10),
    "soil_ph": (3, 10),
    "soil_conductivity": (0, 1),
    "soil_permittivity": (1, 82),
    "soil_nitrogen": (0, 2e-3),
    "soil_phosphorus": (0, 2e-3),
    "soil_potassium": (0, 2e-3),
    "distance": (0, 50),
    "level": (0, 50),
    "weight": (-100, 100_000),
}

# What is hardly ever exactly 0, and nearly always 0 where there is nothing.
NEVER_ZERO = frozenset(
    {
        "air_temperature", "soil_temperature", "temperature", "relative_humidity", "soil_moisture", "soil_ph",
        "air_pressure", "carbon_dioxide", "voltage", "frequency", "soil_permittivity",
    }
)  # fmt: skip

# How far a thing can move within the seconds between two looks, in the catalogue's units.
STEADY: dict[str, float] = {
    "air_temperature": 3.0,
    "soil_temperature": 2.0,
    "dew_point": 4.0,
    "relative_humidity": 15.0,
    "soil_moisture": 0.15,
    "soil_ph": 1.0,
    "soil_conductivity": 0.1,
    "air_pressure": 500.0,
    "carbon_dioxide": 1e-3,
    "frequency": 2.0,
}

# What a free channel most probably measures, by its unit; the technician puts it right.
GUESSES = {"Cel": "temperature"}

Look = Callable[[Read], Sequence[int] | None]
"""The registers of a read, or None when the instrument does not give them."""


@dataclass(frozen=True, slots=True)
class Signature:
    """A profile made ready: everything it has that can be decoded without knowing the site."""

    name: str
    profile: ModbusProfile
    interpreter: Interpreter
    channels: dict[str, str]
    """Free channels, and what they are taken for."""
    worth: tuple[float, ...]
    """Bits per point when its value can be true."""


@dataclass(frozen=True, slots=True)
class Fit:
    """How well a signature fits, and what it read."""

    signature: Signature
    bits: float
    values: tuple[tuple[Point, float | str | Text | None], ...] = field(repr=False)

    @property
    def live_channels(self) -> dict[str, str]:
        """Free channels with a probe on them."""
        live = {p.series.subject.partition(".")[2] for p, v in self.values if isinstance(v, (int, float))}
        return {name: quantity for name, quantity in self.signature.channels.items() if name in live}


def signature(name: str, profile: ModbusProfile) -> Signature | None:
    """None for a profile of which nothing can be decoded without knowing the site."""
    points: list[Point] = []
    channels: dict[str, str] = {}
    constants = {n: _stand_in(c) for n, c in profile.site_constants().items()}
    for index, (_, value) in enumerate(profile.measured()):
        quantity = value.quantity or _guess(value)
        if quantity is None or index >= len(profile.registers):
            continue  # a derived value is no evidence of its own
        if value.quantity is None and value.channel:
            channels[value.channel] = quantity
        subject = f"x.{value.channel}" if value.channel else "x"
        points.append(Point(index, Series("x", subject, quantity), catalogue()[quantity]))
    if not points:
        return None
    device = Device("x", name, profile, SimpleNamespace(), tuple(points), constants)
    found = interpreter(device)
    return Signature(name, profile, found, channels, _worth(found))


def _guess(value: Valued) -> str | None:
    if isinstance(value, Register) and value.ask_unit:
        return None
    if guess := GUESSES.get(value.unit or ""):
        return guess
    words = (q for q in catalogue().values() if q.kind != "text" and q.group != "gateway")
    return next((q.name for q in words if conversion(value.unit, q.unit) is not None), None)


def _stand_in(constant: Constant) -> ConstantValue:
    if constant.kind == "table":
        return Table(((0.0, 0.0), (1e9, 1.0)))
    return constant.default if constant.default is not None else constant.bounds[1] if constant.bounds else 1.0


def _worth(found: Interpreter) -> tuple[float, ...]:
    chance = random.Random(7)  # noqa: S311 (the same answer each time)
    hits = [0] * len(found.points)
    for _ in range(SAMPLES):
        replies = [[_word(chance, read) for _ in range(read.count)] for read in found.reads]
        for index, outcome in enumerate(found.found(replies)):
            hits[index] += isinstance(outcome, Text) or (
                isinstance(outcome, (int, float)) and _is_usual(found.points[index], outcome)
            )
    return tuple(min(-math.log2((h + 0.5) / (SAMPLES + 1)), MOST_BITS) for h in hits)


def _word(chance: random.Random, read: Read) -> int:
    return chance.randrange(2 if read.table in ("coil", "discrete") else 0x10000)


def fit(found: Signature, look: Look, unit_id: int, setting: Setting | None) -> Fit | None:
    """How well `found` fits the instrument that `look` reads; None when it refuses one of its reads."""
    replies: list[Sequence[int]] = []
    for read in found.interpreter.reads:
        words = look(read)
        if words is None:
            return None
        replies.append(words)
    outcomes = found.interpreter.found(replies)
    dull = not any(any(words) for words in replies)
    points = found.interpreter.points
    bits = sum(_bits(p, o, w) for p, o, w in zip(points, outcomes, found.worth, strict=True))
    if dull:
        bits = min(bits, 0.0)
    profile = found.profile
    bits += 2.0 if profile.unit_id == unit_id else 0.0
    if setting:
        shipped = (profile.serial.baud, profile.serial.parity)
        bits += 0.75 if shipped == (setting.baud, setting.parity) else 0.0
    bits += {"verified": 0.3, "known": 0.2}.get(profile.source.trust, 0.0)
    return Fit(found, bits, tuple(zip(points, outcomes, strict=True)))


class _Asked:
    """Counts what an instrument answers and refuses, and notes where."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._said: dict[tuple[str, int, int], bool] = {}
        self.words: dict[tuple[str, int], int] = {}

    def look(self, read: Read) -> Sequence[int] | None:
        words = self._look(read)
        self._said[read.table, read.address, read.count] = words is not None
        if words is not None:
            self.words.update(((read.table, read.address + i), word) for i, word in enumerate(words))
        return words

    @property
    def bits(self) -> float:
        """How much it says that a read was answered at all."""
        answered = sum(self._said.values())
        return min(-math.log2((answered + 1) / (len(self._said) + 1)), REFUSED_BITS)


def recognise(signatures: Iterable[Signature], look: Look, unit_id: int, setting: Setting | None) -> list[Fit]:
    """What the instrument that `look` reads may be: all fits that are better than chance, the best first."""
    asked = _Asked(look)
    fits = [f for s in signatures if (f := fit(s, asked.look, unit_id, setting)) is not None]
    known = asked.bits
    fits = [replace(f, bits=f.bits + known) for f in fits]
    top = max((f.bits for f in fits), default=0.0)
    near = [_with_marks(f, asked, unit_id) for f in fits if top - f.bits < FAR_BITS]
    good = [f for f in near if f.bits >= LEAST_BITS]
    return sorted(good, key=lambda f: (-f.bits, f.signature.name))


def _with_marks(found: Fit, asked: _Asked, unit_id: int) -> Fit:
    profile = found.signature.profile
    values = {point.index: outcome for point, outcome in found.values}
    bits = marks.bits_of(profile, values, asked.look, unit_id)
    tables = {register.table for register in profile.registers}
    if any(t in tables and low <= a <= high for t, a in asked.words for low, high in profile.closed()):
        bits += CLOSED_BITS
    unexplained = sum(1 for t, a in _beside(profile) if asked.words.get((t, a)))
    bits += max(unexplained * UNEXPLAINED_BITS, MOST_UNEXPLAINED_BITS)
    return replace(found, bits=found.bits + bits)


def _beside(profile: ModbusProfile) -> set[tuple[str, int]]:
    """The places around what a profile reads that are no place of its own."""
    own = {
        (place.table, profile.address(place) + i)
        for place in (*(p for _, p in profile.places()), *profile.marks)
        for i in range(place.width)
    }
    closed = {a for low, high in profile.closed() for a in range(low, min(high, 0xFFFF) + 1)}
    around = {(t, a + d) for t, a in own for d in range(-2, NEAR + 1)}
    return {(t, a) for t, a in around - own if a not in closed}


def looked_again(before: Fit, now: Fit | None) -> Fit:
    """`before` as a second look seconds later leaves it: what leaped, or counted backwards, speaks against it."""
    if now is None:
        return replace(before, bits=before.bits + LEAPED_BITS)
    leaped = any(_leaped(p, a, b) for (p, a), (_, b) in zip(before.values, now.values, strict=True))
    return replace(before, bits=before.bits + (LEAPED_BITS if leaped else 0.0))


def _leaped(point: Point, before: object, now: object) -> bool:
    if not isinstance(before, (int, float)) or not isinstance(now, (int, float)):
        return False
    if point.quantity.kind == "counter":
        return now < before
    return abs(now - before) > STEADY.get(point.quantity.name, math.inf)


def _is_usual(point: Point, value: float) -> bool:
    """Whether a farm's instrument says such a thing, and not 1e-30 of it."""
    quantity = point.quantity
    low, high = USUAL.get(quantity.name, (-math.inf, math.inf))
    is_visible = abs(value * quantity.show_factor) >= 0.5 * 10.0**-quantity.decimals
    return low <= value <= high and (value == 0 or is_visible)


def _bits(point: Point, outcome: float | str | Text | None, worth: float) -> float:
    if isinstance(outcome, Text):
        return TEXT_BITS
    if isinstance(outcome, str):
        return {SENTINEL: SENTINEL_BITS, OUT_OF_RANGE: WRONG_BITS, INVALID: WRONG_BITS}.get(outcome, 0.0)
    if outcome is None:
        return 0.0
    if outcome == 0:
        return NEVER_ZERO_BITS if point.quantity.name in NEVER_ZERO else worth * ZERO_SHARE
    return worth if _is_usual(point, outcome) else ODD_BITS
