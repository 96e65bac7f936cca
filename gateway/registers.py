"""The profile of a Modbus device: its registers.

Addresses are zero-based protocol addresses; a vendor's `40001` goes into a comment. `table` chooses the function
code: coil 01, discrete 02, holding 03, input 04.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Final, Literal

from pydantic import Field

from gateway.profile import Measured, Pair, Profile
from makiba.located_yaml import Duration

Table = Literal["coil", "discrete", "holding", "input"]
FUNCTION_CODES: Final[dict[str, int]] = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}

RegisterType = Literal["int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64", "bit"]
WIDTHS: Final[dict[str, int]] = {
    "bit": 1, "int16": 1, "uint16": 1, "int32": 2, "uint32": 2, "float32": 2,
    "int64": 4, "uint64": 4, "float64": 4,
}  # fmt: skip

Order = Literal["big", "little"]
Address = Annotated[int, Field(ge=0, le=0xFFFF)]


class Register(Measured):
    """One value in one or more registers, or one bit of a bit table."""

    table: Table = "holding"
    address: Address
    type: RegisterType = "int16"
    word_order: Order = Field(default="big", description="big: high word first (ABCD); little: CDAB")
    byte_order: Order = Field(default="big", description="big, as Modbus says; little for devices that swap")
    sign: Literal["twos-complement", "from-10000"] = Field(
        default="twos-complement",
        description="from-10000: a raw value of 10000 or more means -(raw - 10000) (KinCony SHT30)",
    )

    @property
    def width(self) -> int:
        """Registers (or bits) that it takes."""
        return WIDTHS[self.type]


class ModbusProfile(Profile):
    """A device that speaks Modbus, over a serial line or TCP."""

    driver: Literal["modbus"]
    registers: Annotated[list[Register], Field(min_length=1)]
    max_registers: int = Field(default=125, ge=1, le=125, description="Most registers in one read")
    max_gap: int = Field(default=0, ge=0, le=120, description="Unwanted registers that may be read in between")
    unreadable: tuple[Pair, ...] = Field(
        default=(), strict=False, description="Address ranges [first, last] never to be read"
    )
    pause: Duration = Field(default=timedelta(0), description="Quiet time that the device needs between requests")
    turnaround: Duration = Field(
        default=timedelta(milliseconds=20), description="Usual time to its reply, for the bus budget"
    )

    def measured(self) -> Iterator[tuple[tuple[str | int, ...], Measured]]:
        for index, register in enumerate(self.registers):
            yield ("registers", index), register

    def problems(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        yield from super().problems()
        for index, register in enumerate(self.registers):
            path = ("registers", index)
            is_bit = register.table in ("coil", "discrete")
            if is_bit != (register.type == "bit"):
                yield (
                    (*path, "type"),
                    f"{register.type!r} does not fit table {register.table!r}; "
                    + ("expected 'bit'" if is_bit else "a bit stands in a coil or a discrete input"),
                )
            if register.address + register.width > 0x10000:
                yield (*path, "address"), "reaches past the last address, 65535"
            if register.width > self.max_registers:
                yield (*path, "type"), f"needs {register.width} registers, max_registers is {self.max_registers}"
            if register.sign == "from-10000" and register.type != "uint16":
                yield (*path, "sign"), "'from-10000' needs type 'uint16'"
            for first, last in self.unreadable:
                if register.address <= last and register.address + register.width > first:
                    yield (*path, "address"), f"lies in the unreadable range {int(first)}..{int(last)}"
