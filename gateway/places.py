"""The entries of a Modbus profile: where a value stands in the registers, and what it depends on. Data only.

`table` chooses the function code: coil 01, discrete 02, holding 03, input 04. `status` entries are read beside the
values and keep those that name them in `gated_by` from being believed; `derived` values are worked out from others
with constants of the site. The profile that holds them is in `registers.py`.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, FiniteFloat

from gateway.profile import ConstantName, Measured, Pair, Strict, UnitName, Valued

Table = Literal["coil", "discrete", "holding", "input"]
FUNCTION_CODES: Final[dict[str, int]] = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}

RegisterType = Literal["int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64", "bit", "ascii"]
WIDTHS: Final[dict[str, int]] = {
    "bit": 1, "int16": 1, "uint16": 1, "int32": 2, "uint32": 2, "float32": 2,
    "int64": 4, "uint64": 4, "float64": 4,
}  # fmt: skip
UNSIGNED: Final = frozenset({"uint16", "uint32", "uint64"})

Order = Literal["big", "little"]
Address = Annotated[int, Field(ge=0, le=0xFFFF)]

StateWord = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
StatusName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
ValueRef = Annotated[str, Field(pattern=r"^(?:[A-Za-z0-9][A-Za-z0-9_-]{0,31}/)?[a-z][a-z0-9_]*$")]
"""Another value of the profile: its quantity, or channel/quantity."""

QuirkName = Literal[
    "one-value-per-read",  # refuses a request for more than one value; the planner keeps to it
    "unsolicited-frames",  # sends frames that nobody asked for
    "answers-any-address",  # one device alone on the bus answers to this unit id as well
    "other-protocol-when-shipped",  # has to be switched to Modbus first
    "power-cycle-after-settings",  # a new address or baud rate counts after it was without power
    "needs-trigger",  # measures only after a write, which Makiba never does
    "drifts",  # its cell or probe ages, so that it has to be calibrated or replaced
    "indicative",  # not measured but worked out inside; good for a trend at most
]


class Place(Strict):
    """Where something stands: one value in one or more registers, a part of one, or one bit of a bit table."""

    table: Table = "holding"
    address: Address
    type: RegisterType = "int16"
    length: int | None = Field(default=None, ge=1, le=60, description="Registers of an ascii text")
    word_order: Order = Field(default="big", description="big: high word first (ABCD); little: CDAB")
    byte_order: Order = Field(default="big", description="big, as Modbus says; little for devices that swap")
    sign: Literal["twos-complement", "from-10000", "sign-magnitude"] = Field(
        default="twos-complement",
        description=(
            "from-10000: a raw value of 10000 or more means -(raw - 10000) (KinCony SHT30); "
            "sign-magnitude: the highest bit is the sign, the others are the amount"
        ),
    )
    part: Literal["high-byte", "low-byte"] | None = Field(default=None, description="One byte of a uint16 register")
    mask: int | None = Field(default=None, ge=1, description="Bits that count, moved down to bit 0")

    @property
    def width(self) -> int:
        """Registers (or bits) that it takes."""
        return WIDTHS.get(self.type, self.length or 1)

    @property
    def counted_bits(self) -> int | None:
        """The bits that count of an unsigned value, None for all."""
        return {"high-byte": 0xFF00, "low-byte": 0x00FF}[self.part] if self.part else self.mask


class ScaledBy(Place):
    """A register that says where the point is: raw / 10^n (decimals) or raw * 10^n (exponent)."""

    means: Literal["decimals", "exponent"]


class Counter(Strict):
    """How a counter starts again. It is stored as read; whoever takes differences needs this."""

    wraps_at_raw: int | None = Field(default=None, ge=2, description="The raw value that would come as 0 again")
    cleared_by: str | None = Field(default=None, description="What sets it to 0, for people; Makiba never does")


class Condition(Strict):
    """A value is believed only while another one is within limits, in the catalogue's unit of that one."""

    value: ValueRef
    at_least: FiniteFloat | None = None
    at_most: FiniteFloat | None = None
    otherwise: StateWord


class Correction(Strict):
    """Straight-line correction for the site, in the catalogue's unit: value * slope + intercept."""

    slope: ConstantName
    intercept: ConstantName


class Register(Place, Measured):
    """One value that is read."""

    ask_unit: bool = Field(
        default=False, description="The unit differs from one instrument to the next; the gateway file says it"
    )
    words: dict[int, str] = Field(default={}, description="Text by raw value, for a text quantity")
    scaled_by: ScaledBy | None = None
    gated_by: tuple[StatusName, ...] = Field(default=(), strict=False, description="Believed only while these are ok")
    valid_while: tuple[Condition, ...] = Field(default=(), strict=False)
    correction: Correction | None = None
    counter: Counter | None = None

    @property
    def unit_is_asked(self) -> bool:
        return self.ask_unit


class Status(Place):
    """Something the device says about its values. Exactly one of `bits`, `words` and `within`."""

    name: StatusName
    bits: dict[Annotated[int, Field(ge=0, le=63)], StateWord] = Field(
        default={}, description="State while a bit is set; the lowest wins"
    )
    words: dict[int, StateWord] = Field(default={}, description="State by value; `ok` is good, others are invalid")
    within: Pair | None = Field(default=None, description="Good values")
    otherwise: StateWord | None = Field(default=None, description="State outside `within`")


class Mark(Place):
    """What tells this instrument from others; only `makiba gateway scan` looks at it, no poll ever does.

    Exactly one of `holds`, `one_of`, `within` and `agrees_with`.
    """

    holds: Literal["unit-id"] | None = Field(default=None, description="The unit id that the device answers to")
    one_of: tuple[float, ...] = Field(default=(), strict=False, description="Raw values that it can have")
    within: Pair | None = Field(default=None, description="Lowest and highest raw value that it can have")
    agrees_with: ValueRef | None = Field(default=None, description="This value, said in another way")
    scale: FiniteFloat = Field(default=1.0, description="With agrees_with: value in `unit` = raw * scale")
    unit: UnitName | None = Field(default=None, description="With agrees_with; default: the catalogue's")
    by: FiniteFloat | None = Field(default=None, gt=0, description="With agrees_with: most they differ, in `unit`")


class Derived(Valued):
    """A value worked out from another one: by exactly one of `subtract_from` and `table`."""

    of: ValueRef
    subtract_from: ConstantName | None = Field(default=None, description="constant - value: height - distance")
    table: ConstantName | None = Field(default=None, description="A constant of kind table, read at the value")

    @property
    def constant(self) -> str | None:
        return self.subtract_from or self.table
