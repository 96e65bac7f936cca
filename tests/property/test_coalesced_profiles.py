"""A device read in the fewest requests says what it would say read value by value, whatever its profile forbids."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.constants import Table
from gateway.decode import Text
from gateway.driver import Device, Point
from gateway.interpret import Interpreter, interpreter
from gateway.plan import Read
from gateway.registers import ModbusProfile
from makiba.quantities import catalogue
from makiba.reading import Series

TYPES = ["int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64", "ascii"]
HIGHEST = 90
ORDERS = ["big", "little"]
GATES: list[dict[str, Any]] = [
    {"bits": {0: "broken", 9: "dirty"}, "type": "uint16"},
    {"words": {0: "ok", 7: "warm-up"}, "type": "uint16", "part": "low-byte"},
    {"within": [-5, 30000], "otherwise": "weak-signal", "type": "int16"},
]


@st.composite
def profiles(draw: st.DrawFn) -> ModbusProfile:
    """A random profile; values in unreadable ranges are left out, as its checks would refuse them."""
    base = draw(st.sampled_from([0, 1]))
    closed = draw(st.lists(st.tuples(st.integers(0, HIGHEST), st.integers(0, 3)), max_size=3))
    unreadable = [[first + base, first + more + base] for first, more in closed]

    def place(table: str, width: int) -> dict[str, Any] | None:
        address = draw(st.integers(0, HIGHEST - 4)) + base
        blocked = any(low < address + width and high >= address for low, high in unreadable)
        return None if blocked else {"table": table, "address": address}

    status = []
    for index, gate in enumerate(draw(st.lists(st.sampled_from(GATES), max_size=2))):
        where = place("input", 1)
        if where:
            status.append({"name": f"s{index}", **where, **gate})
    registers = []
    for index in range(draw(st.integers(1, 10))):
        kind = draw(st.sampled_from(TYPES))
        where = place(draw(st.sampled_from(["holding", "input"])), 4)
        if where is None:
            continue
        register = {"channel": f"c{index}", "type": kind, "word_order": draw(st.sampled_from(ORDERS)),
                    "byte_order": draw(st.sampled_from(ORDERS)), **where}  # fmt: skip
        register["quantity"] = "model" if kind == "ascii" else "distance"
        register |= {"length": 2} if kind == "ascii" else {"scale": 0.01, "valid_raw": [-3000, 30000]}
        register["gated_by"] = draw(st.lists(st.sampled_from([s["name"] for s in status] or [""]), max_size=2))
        register["gated_by"] = [g for g in register["gated_by"] if g]
        registers.append(register)
    registers.append({"quantity": "voltage", "table": "coil", "address": HIGHEST + 5 + base, "type": "bit"})
    numbers = [r for r in registers if r["quantity"] == "distance"]
    derived = [{"quantity": "level", "of": f"{r['channel']}/distance", "channel": r["channel"],
                "subtract_from": "height"} for r in numbers[:1]]  # fmt: skip
    derived += [{"quantity": "fill", "of": f"{r['channel']}/distance", "table": "curve"} for r in numbers[:1]]
    if len(numbers) > 1:
        condition = {"value": f"{numbers[0]['channel']}/distance", "at_least": 0, "otherwise": "frozen"}
        numbers[1]["valid_while"] = [condition]
    names = {"ja": "計器", "en": "meter"}
    return ModbusProfile.model_validate(
        {
            "driver": "modbus", "names": names, "source": {"trust": "proposed", "document": "none"},
            "address_base": base, "registers": registers, "status": status, "derived": derived,
            "constants": {"height": {"names": names, "unit": "m", "required": True},
                          "curve": {"names": names, "kind": "table", "unit": "m", "to_unit": "%"}} if derived else {},
            "max_registers": draw(st.integers(4, 125)), "max_gap": draw(st.integers(0, 20)),
            "unreadable": unreadable,
            "quirks": {"one-value-per-read": "for once"} if draw(st.booleans()) else {},
        }
    )  # fmt: skip


def ready(profile: ModbusProfile) -> Interpreter:
    points = tuple(
        Point(index, Series("s-1", f"it.{value.channel}" if value.channel else "it", str(value.quantity)),
              catalogue()[str(value.quantity)])
        for index, value in enumerate(profile.values())
    )  # fmt: skip
    constants: dict[str, float | Table] = {"height": 4.2, "curve": Table(((0.0, 100.0), (1.0, 60.0), (250.0, 0.0)))}
    return interpreter(Device("it", "meter", profile, None, points, constants))


def serve(profile: ModbusProfile, read: Read, memory: Sequence[int]) -> list[int]:
    """A device that refuses what its profile says it refuses."""
    touched = range(read.address, read.address + read.count)
    if read.table in ("holding", "input"):
        assert read.count <= profile.max_registers
        assert not any(low <= a <= high for a in touched for low, high in profile.closed())
    assert read.address >= 0
    if read.table == "coil":
        return [memory[a] & 1 for a in touched]
    return [memory[a] ^ (0x5555 if read.table == "input" else 0) for a in touched]


def found(profile: ModbusProfile, memory: Sequence[int]) -> list[object]:
    device = ready(profile)
    return list(device.found([serve(profile, read, memory) for read in device.reads]))


memories = st.lists(st.integers(0, 40) | st.integers(0, 0xFFFF), min_size=HIGHEST + 8, max_size=HIGHEST + 8)


@given(profiles(), memories)
def test_the_fewest_requests_say_what_single_ones_say(profile: ModbusProfile, memory: list[int]) -> None:
    alone = profile.model_copy(update={"quirks": {"one-value-per-read": "to compare"}})
    assert not list(profile.problems())
    assert found(profile, memory) == found(alone, memory)
    assert len(ready(profile).reads) <= len(ready(alone).reads)


@given(profiles(), memories)
def test_what_comes_out_can_be_true(profile: ModbusProfile, memory: list[int]) -> None:
    for value, out in zip(profile.values(), found(profile, memory), strict=True):
        if isinstance(out, (str, Text)):
            continue
        assert isinstance(out, (int, float))
        assert math.isfinite(out)
        assert catalogue()[str(value.quantity)].is_plausible(out)


@given(profiles(), memories, st.data())
def test_a_read_that_failed_takes_only_what_needs_it(profile: ModbusProfile, memory: list[int], data: Any) -> None:
    device = ready(profile)
    lost = data.draw(st.integers(0, len(device.reads) - 1))
    replies = [None if i == lost else serve(profile, read, memory) for i, read in enumerate(device.reads)]
    whole = found(profile, memory)
    for partly, all_of_it in zip(device.found(replies), whole, strict=True):
        # A gate that was read and is bad says so even when the value behind it is missing.
        assert partly is None or partly == all_of_it
