"""The profile of a Modbus device: its registers, and what has to be true of them together.

Addresses count from `address_base`: 0 (the default) are protocol addresses, 1 and 40001 are what manuals print, so
that a technician types the manual's numbers. Nothing of a profile is ever written to a device.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Annotated, Final, Literal

from pydantic import Field

from gateway.places import UNSIGNED, Derived, Mark, Place, QuirkName, Register, Status
from gateway.profile import Constant, ConstantName, Pair, Profile, Valued
from makiba.located_yaml import Duration, Path_
from makiba.quantities import catalogue
from makiba.units import conversion, units_for
from makiba.words import nearest

_BASES: Final[dict[str, int]] = {"coil": 1, "discrete": 10001, "input": 30001, "holding": 40001}
Told = Iterator[tuple[Path_, str]]


class ModbusProfile(Profile):
    """A device that speaks Modbus, over a serial line or TCP."""

    driver: Literal["modbus"]
    unit_id: int | None = Field(default=None, ge=0, le=255, description="Address that it is shipped with")
    address_base: Literal[0, 1, 40001] = Field(
        default=0,
        description="What the manual calls the first register: 0, 1, or 40001 (30001, 10001, 1 by table)",
    )
    registers: Annotated[list[Register], Field(min_length=1)]
    status: list[Status] = Field(default=[], description="What is read beside the values and may gate them")
    marks: list[Mark] = Field(default=[], description="What scan tells it from others by; never polled")
    constants: dict[ConstantName, Constant] = Field(default={}, description="What only the site knows")
    derived: list[Derived] = Field(default=[], description="Values worked out from others")
    max_registers: int = Field(default=125, ge=1, le=125, description="Most registers in one read")
    max_gap: int = Field(default=0, ge=0, le=120, description="Unwanted registers that may be read in between")
    unreadable: tuple[Pair, ...] = Field(
        default=(), strict=False, description="Address ranges [first, last] never to be read"
    )
    pause: Duration = Field(default=timedelta(0), description="Quiet time that the device needs between requests")
    turnaround: Duration = Field(
        default=timedelta(milliseconds=20), description="Usual time to its reply, for the bus budget"
    )
    learn_timeout: bool = Field(
        default=True, description="false: wait the whole timeout always, for a device that is slow now and then"
    )
    quirks: dict[QuirkName, str] = Field(default={}, description="What is odd about it, and a sentence of why")

    def address(self, place: Place) -> int:
        """The protocol address, from 0; negative when the file's number lies before the table."""
        return place.address - self.first(place.table)

    def first(self, table: str) -> int:
        """What this profile calls the first register of `table`."""
        return _BASES[table] if self.address_base == 40001 else self.address_base

    def closed(self) -> tuple[tuple[int, int], ...]:
        """The unreadable ranges in protocol addresses, both ends included."""
        # With 40001 the first digit names a table, and a closed range is closed in all of them.
        by, less = (10000, 1) if self.address_base == 40001 else (0x10000, self.address_base)
        return tuple((int(first) % by - less, int(last) % by - less) for first, last in self.unreadable)

    def values(self) -> tuple[Valued, ...]:
        """All values: the registers, then what is derived."""
        return (*self.registers, *self.derived)

    def find(self, ref: str) -> int | None:
        """The place among `values` of what `ref` names."""
        channel, _, quantity = ref.rpartition("/")
        for index, value in enumerate(self.values()):
            if value.quantity == quantity and (value.channel or "") == channel:
                return index
        return None

    def measured(self) -> Iterator[tuple[Path_, Valued]]:
        yield from ((("registers", index), register) for index, register in enumerate(self.registers))
        yield from ((("derived", index), value) for index, value in enumerate(self.derived))

    def site_constants(self) -> Mapping[str, Constant]:
        return self.constants

    def constants_of(self, index: int) -> frozenset[str]:
        value = self.values()[index]
        if isinstance(value, Derived):
            source = self.find(value.of)
            before = self.constants_of(source) if source is not None and source < index else frozenset[str]()
            return before | {value.constant} if value.constant else before
        assert isinstance(value, Register)
        return frozenset({value.correction.slope, value.correction.intercept}) if value.correction else frozenset()

    def places(self) -> Iterator[tuple[Path_, Place]]:
        """Everything that is read, with its path in the file."""
        for index, register in enumerate(self.registers):
            yield ("registers", index), register
            if register.scaled_by:
                yield ("registers", index, "scaled_by"), register.scaled_by
        yield from ((("status", index), status) for index, status in enumerate(self.status))

    def problems(self) -> Told:
        yield from super().problems()
        for path, place in self.places():
            yield from _type_problems(path, place)
            yield from self._address_problems(path, place)
        for index, register in enumerate(self.registers):
            yield from self._register_problems(("registers", index), register)
        for index, mark in enumerate(self.marks):
            yield from self._mark_problems(("marks", index), mark)
        names: set[str] = set()
        for index, status in enumerate(self.status):
            yield from _status_problems(("status", index), status)
            if status.name in names:
                yield ("status", index, "name"), f"{status.name!r} stands twice"
            names.add(status.name)
        for index, derived in enumerate(self.derived):
            yield from self._derived_problems(index, derived)
        for name, constant in self.constants.items():
            yield from self._constant_problems(name, constant)

    def _address_problems(self, path: Path_, place: Place) -> Told:
        first = self.address(place)
        if first < 0:
            yield (
                (*path, "address"),
                f"{place.address} lies before the first {place.table} address, {self.first(place.table)}",
            )
        elif first + place.width > 0x10000:
            yield (*path, "address"), f"reaches past the last address, {0xFFFF + self.first(place.table)}"
        if place.width > self.max_registers:
            yield (*path, "type"), f"needs {place.width} registers, max_registers is {self.max_registers}"
        for (low, high), (shown_low, shown_high) in zip(self.closed(), self.unreadable, strict=True):
            if first <= high and first + place.width > low:
                yield (*path, "address"), f"lies in the unreadable range {int(shown_low)}..{int(shown_high)}"

    def _register_problems(self, path: Path_, register: Register) -> Told:
        is_text = register.quantity is not None and catalogue()[register.quantity].kind == "text"
        gives_text = register.type == "ascii" or bool(register.words)
        if is_text != gives_text:
            yield (
                (*path, "quantity"),
                f"{register.quantity} is a text, which needs type 'ascii' or 'words'"
                if is_text
                else "a text ('ascii' or 'words') needs a quantity that is a text, such as "
                + ", ".join(q.name for q in list(catalogue().values()) if q.kind == "text" and q.name != "state"),
            )
        for index, name in enumerate(register.gated_by):
            known = [status.name for status in self.status]
            if name not in known:
                yield (*path, "gated_by", index), f"{name!r} is no status of this profile{_hint(name, known)}"
        for index, condition in enumerate(register.valid_while):
            here = (*path, "valid_while", index)
            yield from self._ref_problems((*here, "value"), condition.value, len(self.registers))
            if condition.at_least is None and condition.at_most is None:
                yield here, "needs 'at_least' or 'at_most'"
        if register.words and register.type in ("float32", "float64", "ascii"):
            yield (*path, "words"), "needs an integer type"
        if register.correction:
            here, unit = (*path, "correction"), catalogue()[register.quantity].unit if register.quantity else None
            yield from self._constant_ref((*here, "slope"), register.correction.slope, "number", None)
            yield from self._constant_ref((*here, "intercept"), register.correction.intercept, "number", unit)
            if register.quantity is None or gives_text:
                yield here, "needs a quantity that is a number"
        if register.scaled_by and gives_text:
            yield (*path, "scaled_by"), "has no meaning for a text"
        elif register.scaled_by and register.scaled_by.type == "ascii":
            yield (*path, "scaled_by", "type"), "has to be a number"
        if register.counter and register.quantity and catalogue()[register.quantity].kind != "counter":
            yield (*path, "counter"), f"{register.quantity} is no counter in the catalogue"

    def _mark_problems(self, path: Path_, mark: Mark) -> Told:
        yield from _type_problems(path, mark)
        yield from self._address_problems(path, mark)
        kinds = (bool(mark.holds), bool(mark.one_of), mark.within is not None, mark.agrees_with is not None)
        if sum(kinds) != 1:
            yield path, "needs exactly one of 'holds', 'one_of', 'within' and 'agrees_with'"
        if mark.type == "ascii":
            yield (*path, "type"), "has to be a number"
        if (mark.agrees_with is None) != (mark.by is None):
            yield path, "'agrees_with' and 'by' go together"
        if mark.agrees_with is not None:
            yield from self._ref_problems((*path, "agrees_with"), mark.agrees_with, len(self.registers))
            if conversion(mark.unit, gives := self._unit_of(mark.agrees_with)) is None:
                expected = ", ".join(units_for(gives)) or "none"
                yield (*path, "unit"), f"{mark.unit!r} is no unit of {mark.agrees_with}; expected one of {expected}"

    def _derived_problems(self, index: int, derived: Derived) -> Told:
        path = ("derived", index)
        yield from self._ref_problems((*path, "of"), derived.of, len(self.registers) + index)
        if derived.quantity is None:
            yield path, "needs a quantity"
            return
        given, gives = self._unit_of(derived.of), catalogue()[derived.quantity].unit
        if (derived.subtract_from is None) == (derived.table is None):
            yield path, "needs either 'subtract_from' or 'table'"
        elif derived.subtract_from is not None:
            yield from self._constant_ref((*path, "subtract_from"), derived.subtract_from, "number", gives)
            if given != gives:
                yield (*path, "of"), f"is in {given!r}, and {derived.quantity} in {gives!r}"
        elif derived.table is not None:
            yield from self._constant_ref((*path, "table"), derived.table, "table", given)
            table = self.constants.get(derived.table)
            if table and conversion(table.to_unit, gives) is None:
                yield ("constants", derived.table, "to_unit"), f"{table.to_unit!r} is no unit of {derived.quantity}"

    def _ref_problems(self, path: Path_, ref: str, before: int) -> Told:
        found = self.find(ref)
        if found is None:
            named = [v for v in self.values() if v.quantity]
            known = [f"{v.channel}/{v.quantity}" if v.channel else str(v.quantity) for v in named]
            yield path, f"{ref!r} is no value of this profile{_hint(ref, known)}"
        elif found >= before:
            yield path, f"{ref!r} is derived and stands later; it has to come before"

    def _unit_of(self, ref: str) -> str | None:
        found = self.find(ref)
        quantity = self.values()[found].quantity if found is not None else None
        return catalogue()[quantity].unit if quantity else None

    def _constant_ref(self, path: Path_, name: str, kind: str, unit: str | None) -> Told:
        constant = self.constants.get(name)
        if constant is None:
            yield path, f"{name!r} is no constant of this profile{_hint(name, self.constants)}"
        elif constant.kind != kind:
            yield path, f"{name!r} is a {constant.kind}; expected a {kind}"
        elif (unit is None and constant.unit is not None) or conversion(constant.unit, unit) is None:
            expected = ", ".join(units_for(unit)) or "none"
            yield ("constants", name, "unit"), f"{constant.unit!r} does not fit its use; expected one of {expected}"

    def _constant_problems(self, name: str, constant: Constant) -> Told:
        path = ("constants", name)
        used = {c for index in range(len(self.values())) for c in self.constants_of(index)}
        if name not in used:
            yield path, "is used nowhere"
        if constant.kind == "table" and (constant.default is not None or constant.bounds):
            yield path, "a table has neither a default nor bounds"
        if constant.kind == "number" and constant.to_unit:
            yield (*path, "to_unit"), "is for tables"
        if constant.required and constant.default is not None:
            yield (*path, "required"), "has a default, so that it is not required"
        if constant.default is not None and constant.bounds:
            low, high = constant.bounds
            if not low <= constant.default <= high:
                yield (*path, "default"), f"{constant.default:g} lies outside its bounds"


def _hint(word: str, known: Mapping[str, object] | list[str]) -> str:
    return nearest(word, known) or (f"; there are {', '.join(known)}" if known else "; there are none")


def _type_problems(path: Path_, place: Place) -> Told:
    is_bit = place.table in ("coil", "discrete")
    if is_bit != (place.type == "bit"):
        yield (
            (*path, "type"),
            f"{place.type!r} does not fit table {place.table!r}; "
            + ("expected 'bit'" if is_bit else "a bit stands in a coil or a discrete input"),
        )
    if (place.type == "ascii") != (place.length is not None):
        yield (*path, "length"), "an ascii text needs it, and nothing else has it"
    if place.sign == "from-10000" and place.type != "uint16":
        yield (*path, "sign"), "'from-10000' needs type 'uint16'"
    if place.sign == "sign-magnitude" and place.type not in UNSIGNED:
        yield (*path, "sign"), f"'sign-magnitude' needs one of {', '.join(sorted(UNSIGNED))}"
    if place.part and place.mask:
        yield (*path, "mask"), "stands beside 'part'; one of the two"
    if place.part and place.type != "uint16":
        yield (*path, "part"), "needs type 'uint16'"
    if place.mask and (place.type not in UNSIGNED or place.mask >> 16 * place.width):
        yield (*path, "mask"), f"{place.mask:#x} needs an unsigned type that is wide enough"
    if place.counted_bits and place.sign != "twos-complement":
        yield (*path, "sign"), "a part of a register has no sign"


def _status_problems(path: Path_, status: Status) -> Told:
    if sum((bool(status.bits), bool(status.words), status.within is not None)) != 1:
        yield path, "needs exactly one of 'bits', 'words' and 'within'"
    if (status.within is None) != (status.otherwise is None):
        yield path, "'within' and 'otherwise' go together"
    if status.words and "ok" not in status.words.values():
        yield (*path, "words"), "has no value that is 'ok'"
    if status.bits and (status.type not in UNSIGNED or max(status.bits) >= 16 * status.width):
        yield (*path, "bits"), f"bit {max(status.bits)} needs an unsigned type that is wide enough"
    if status.type == "ascii" or (status.type.startswith("float") and not status.within):
        yield (*path, "type"), f"{status.type!r} cannot be a status; expected an integer, or a float with 'within'"
