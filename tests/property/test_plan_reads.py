"""Coalesced reads give what single reads give, stay within the device's limits, and are as few as possible."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from gateway.decode import Found, decoder
from gateway.places import WIDTHS, Register
from gateway.plan import Limits, Read, plan_reads
from makiba.quantities import quantity

TYPES = ["int16", "uint16", "int32", "uint32", "float32", "int64", "uint64", "float64"]
registers = st.lists(
    st.builds(
        lambda table, address, kind, words, octets: Register(
            quantity="value", table=table, address=address, type=kind, word_order=words, byte_order=octets
        ),
        st.sampled_from(["holding", "input"]),
        st.integers(0, 60),
        st.sampled_from(TYPES),
        st.sampled_from(["big", "little"]),
        st.sampled_from(["big", "little"]),
    ),
    min_size=1,
    max_size=12,
)
limits = st.builds(
    Limits,
    st.integers(4, 125),
    st.integers(0, 20),
    st.lists(st.tuples(st.integers(0, 70), st.integers(0, 3)).map(lambda p: (p[0], p[0] + p[1])), max_size=3).map(
        tuple
    ),
)


def _readable(wanted: Sequence[Register], limits: Limits) -> list[Register]:
    """A profile may not put a register into an unreadable range."""
    return [
        r
        for r in wanted
        if not any(low < r.address + r.width and high >= r.address for low, high in limits.unreadable)
    ]


def _serve(memory: Sequence[int], read: Read) -> Sequence[int]:
    return memory[read.address : read.address + read.count]


@given(registers, limits, st.lists(st.integers(0, 0xFFFF), min_size=80, max_size=80))
def test_coalesced_reads_give_what_single_reads_give(
    wanted: list[Register], limits: Limits, memory: list[int]
) -> None:
    wanted = _readable(wanted, limits)
    word = quantity("value")
    single = [decoder(r, word).decode(memory[r.address : r.address + WIDTHS[r.type]]) for r in wanted]
    together: dict[int, Found] = {}
    for read in plan_reads(wanted, limits):
        reply = _serve(memory, read)
        for index, at in read.items:
            assert index not in together
            together[index] = decoder(wanted[index], word).decode(reply, at)
    assert [together[i] for i in range(len(wanted))] == single


@given(registers, limits)
def test_reads_keep_to_what_the_device_allows(wanted: list[Register], limits: Limits) -> None:
    wanted = _readable(wanted, limits)
    for read in plan_reads(wanted, limits):
        assert 1 <= read.count <= limits.max_registers
        touched = range(read.address, read.address + read.count)
        assert not any(low in touched or high in touched for low, high in limits.unreadable)
        used = {a for i, _ in read.items for a in range(wanted[i].address, wanted[i].address + wanted[i].width)}
        gap = longest = 0
        for address in touched:
            gap = 0 if address in used else gap + 1
            longest = max(longest, gap)
        assert longest <= limits.max_gap


@given(registers, limits)
def test_no_two_neighbouring_reads_would_fit_into_one(wanted: list[Register], limits: Limits) -> None:
    wanted = _readable(wanted, limits)
    reads = plan_reads(wanted, limits)
    for one, two in itertools.pairwise(reads):
        if one.table != two.table:
            continue
        first = wanted[two.items[0][0]]
        end = one.address + one.count
        would_fit = (
            max(first.address + first.width, end) - one.address <= limits.max_registers
            and first.address - end <= limits.max_gap
            and not any(low < first.address and high >= end for low, high in limits.unreadable)
        )
        assert not would_fit
