"""What a Modbus device has to be asked, and what its replies mean together. Pure; built with the configuration.

Guarantees. A value comes out only when everything it depends on was read and is good, in this order: the statuses
that gate it, its own raw value, the values it is believed with, the site's correction, the catalogue's range.
Otherwise the word of a state comes out, or None when something it needs was not read this time. A derived value has
the state of what it is worked out from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from gateway.constants import ConstantValue, Table
from gateway.decode import INVALID, OUT_OF_RANGE, Found, Words, decoder, judge_raw, raw_number
from gateway.driver import Device, Point
from gateway.places import Derived, Place, Register, ScaledBy, Status
from gateway.plan import Limits, Read, plan_reads
from gateway.profile import exact
from gateway.record import OK
from gateway.registers import ModbusProfile
from makiba.quantities import Quantity, catalogue
from makiba.units import conversion

MOST_PLACES = 10
"""A register that says where the point is and gives more is not believed."""


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in protocol addresses."""

    table: str
    address: int
    width: int


Memory = Sequence[Words | None]
"""What was read this time, by the place among the spots."""
Look = Callable[[Memory], Found | None]
Check = Callable[[Memory], str | None]
"""OK, a state, or None when it was not read."""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """One device: `reads` to make (their items count within `spots`), and what their replies mean."""

    points: tuple[Point, ...]
    spots: tuple[Spot, ...]
    reads: tuple[Read, ...]
    looks: tuple[Look, ...]

    def found(self, replies: Sequence[Words | None]) -> list[Found | None]:
        """What each point came out as; `replies` are those of `reads`, None for one that failed."""
        memory: list[Words | None] = [None] * len(self.spots)
        for read, reply in zip(self.reads, replies, strict=True):
            if reply is not None:
                for item, at in read.items:
                    memory[item] = reply[at : at + self.spots[item].width]
        return [look(memory) for look in self.looks]


def interpreter(device: Device) -> Interpreter:
    """The interpreter of a device that passed the checks of its gateway file."""
    profile: ModbusProfile = device.profile
    build = _Builder(profile, device.constants)
    looks = tuple(build.point(point) for point in device.points)
    spots = tuple(build.spots)
    return Interpreter(device.points, spots, plan_reads(spots, limits_of(profile)), looks)


def limits_of(profile: ModbusProfile) -> Limits:
    """What the planner has to keep to."""
    one_value = "one-value-per-read" in profile.quirks
    return Limits(profile.max_registers, profile.max_gap, profile.closed(), one_value)


def every_read(profile: ModbusProfile) -> tuple[Read, ...]:
    """The reads of a poll of everything that the profile has, free channels too."""
    spots = dict.fromkeys(_spot(profile, place) for _, place in profile.places())
    return plan_reads(tuple(spots), limits_of(profile))


def _spot(profile: ModbusProfile, place: Place) -> Spot:
    return Spot(place.table, profile.address(place), place.width)


class _Builder:
    """Makes looks and notes which places they need."""

    def __init__(self, profile: ModbusProfile, constants: Mapping[str, ConstantValue]) -> None:
        self._profile = profile
        self._constants = constants
        self._status = {status.name: status for status in profile.status}
        self.spots: dict[Spot, int] = {}

    def point(self, point: Point) -> Look:
        return self._value(point.index, point.quantity, point.unit)

    def _value(self, index: int, quantity: Quantity, unit: str | None = None) -> Look:
        value = self._profile.values()[index]
        if isinstance(value, Derived):
            return self._derived(value, quantity)
        assert isinstance(value, Register)
        if unit is not None:
            value = value.model_copy(update={"unit": unit})
        look = self._believed(value, quantity)
        checks = tuple(self._condition(c.value, c.at_least, c.at_most, c.otherwise) for c in value.valid_while)
        if checks:
            look = _gated(look, checks)
        if value.correction:
            slope, intercept = (self._number(n) for n in (value.correction.slope, value.correction.intercept))
            to_catalogue = self._to_catalogue(value.correction.intercept, quantity)
            look = _then(look, _line(slope, to_catalogue(intercept), quantity))
        return look

    def _believed(self, register: Register, quantity: Quantity) -> Look:
        """The register's own value, while its statuses are good."""
        look = self._plain(register, quantity)
        gates = tuple(self._gate(self._status[name]) for name in register.gated_by)
        return _gated(look, gates) if gates else look

    def _plain(self, register: Register, quantity: Quantity) -> Look:
        spot = self._spot(register)
        if register.scaled_by:
            return self._scaled(spot, register, register.scaled_by, quantity)
        decode = decoder(register, quantity)
        raw, judge = decode.raw, decode.judge
        return lambda memory: None if (words := memory[spot]) is None else judge(raw(words))

    def _scaled(self, spot: int, register: Register, by: ScaledBy, quantity: Quantity) -> Look:
        where, places, raw = self._spot(by), raw_number(by), raw_number(register)
        sign = -1 if by.means == "decimals" else 1
        judges = {
            n: judge_raw(_with_scale(register, exact(register.scale) * Fraction(10) ** (sign * n)), quantity)
            for n in range(-MOST_PLACES, MOST_PLACES + 1)
        }

        def look(memory: Memory) -> Found | None:
            words, place = memory[spot], memory[where]
            if words is None or place is None:
                return None
            judge = judges.get(int(n)) if math.isfinite(n := places(place)) else None
            return judge(raw(words)) if judge and n == int(n) else INVALID

        return look

    def _gate(self, status: Status) -> Check:
        spot, raw, judge = self._spot(status), raw_number(status), status_judge(status)
        return lambda memory: None if (words := memory[spot]) is None else judge(raw(words))

    def _condition(self, ref: str, at_least: float | None, at_most: float | None, otherwise: str) -> Check:
        index = self._profile.find(ref)
        assert index is not None
        register = self._profile.registers[index]
        look = self._believed(register, catalogue()[str(register.quantity)])
        low = -math.inf if at_least is None else at_least
        high = math.inf if at_most is None else at_most

        def check(memory: Memory) -> str | None:
            found = look(memory)
            if isinstance(found, (int, float)):
                return OK if low <= found <= high else otherwise
            return found if found is None or isinstance(found, str) else INVALID

        return check

    def _derived(self, derived: Derived, quantity: Quantity) -> Look:
        index = self._profile.find(derived.of)
        assert index is not None
        source = catalogue()[str(self._profile.values()[index].quantity)]
        look = self._value(index, source)
        if derived.subtract_from:
            name = derived.subtract_from
            height = self._to_catalogue(name, source)(self._number(name))
            return _then(look, _line(-1.0, height, quantity))
        assert derived.table is not None
        table = self._constants[derived.table]
        assert isinstance(table, Table)
        constant = self._profile.constants[derived.table]
        return _then(look, _table(table, constant.unit, constant.to_unit, source, quantity))

    def _number(self, name: str) -> float:
        number = self._constants[name]
        assert isinstance(number, (int, float))
        return number

    def _to_catalogue(self, name: str, quantity: Quantity) -> Callable[[float], float]:
        return _converter(self._profile.constants[name].unit, quantity.unit)

    def _spot(self, place: Place) -> int:
        return self.spots.setdefault(_spot(self._profile, place), len(self.spots))


def status_judge(status: Status) -> Callable[[float], str]:
    """Raw number of a status -> OK or a state."""
    if status.bits:
        words = sorted(status.bits.items())
        return lambda raw: next((word for bit, word in words if int(raw) >> bit & 1), OK)
    if status.words:
        by_value = dict(status.words)
        return lambda raw: by_value.get(int(raw), INVALID)
    assert status.within is not None
    assert status.otherwise is not None
    low, high, otherwise = *status.within, status.otherwise
    return lambda raw: OK if low <= raw <= high else otherwise


def _gated(look: Look, checks: Sequence[Check]) -> Look:
    def gated(memory: Memory) -> Found | None:
        for check in checks:
            said = check(memory)
            if said != OK:
                return said
        return look(memory)

    return gated


def _then(look: Look, step: Callable[[float], float | str]) -> Look:
    def stepped(memory: Memory) -> Found | None:
        found = look(memory)
        return step(found) if isinstance(found, (int, float)) else found

    return stepped


def _line(slope: float, intercept: float, quantity: Quantity) -> Callable[[float], float | str]:
    if slope == 1 and intercept == 0:
        return lambda value: value
    times, plus = exact(slope), exact(intercept)

    def step(value: float) -> float | str:
        try:
            corrected = float(Fraction(repr(value)) * times + plus)
        except OverflowError:
            return OUT_OF_RANGE
        return corrected if quantity.is_plausible(corrected) else OUT_OF_RANGE

    return step


def _table(
    table: Table, unit: str | None, to_unit: str | None, source: Quantity, quantity: Quantity
) -> Callable[[float], float | str]:
    x, y = _converter(unit, source.unit), _converter(to_unit, quantity.unit)
    inside = Table(tuple((x(a), y(b)) for a, b in table.points))

    def step(value: float) -> float | str:
        found = inside.at(value)
        return found if found is not None and quantity.is_plausible(found) else OUT_OF_RANGE

    return step


def _converter(unit: str | None, primary: str | None) -> Callable[[float], float]:
    found = conversion(unit, primary)
    assert found is not None  # checked with the profile
    return lambda value: float(Fraction(repr(value)) * found.factor + found.offset)


def _with_scale(register: Register, scale: Fraction) -> Register:
    return register.model_copy(update={"scale": float(scale)})
