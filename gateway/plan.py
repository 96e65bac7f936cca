"""Registers -> the fewest reads that a device allows. Pure.

A read covers whole registers of one table, at most `max_registers` of them, bridges at most `max_gap` unwanted
ones at a place, and never touches an unreadable address: some devices refuse the whole request when it does.
Going up the addresses and taking as much as fits into each read gives the fewest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol


class Spot(Protocol):
    """Something to read: `width` registers or bits of `table` from the protocol address `address`."""

    @property
    def table(self) -> str: ...
    @property
    def address(self) -> int: ...
    @property
    def width(self) -> int: ...


MAX_BITS = 2000
"""Most coils or discrete inputs in one read (Modbus application protocol 1.1b3, section 6.1)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a device allows. `unreadable` holds ranges (first, last), both included."""

    max_registers: int = 125
    max_gap: int = 0
    unreadable: tuple[tuple[int, int], ...] = ()
    one_value: bool = False
    """A read may cover one value only; values at the very same place share theirs."""


@dataclass(frozen=True, slots=True)
class Read:
    """One request: `count` registers (or bits) of `table` from `address`.

    `items` are (index in the list that was planned, place of its first register in the reply).
    """

    table: str
    address: int
    count: int
    items: tuple[tuple[int, int], ...]


def plan_reads(registers: Sequence[Spot], limits: Limits) -> tuple[Read, ...]:
    """The reads, by table and rising address."""
    reads: list[Read] = []
    for table in ("coil", "discrete", "holding", "input"):
        spans = sorted(
            (r.address, r.address + r.width, index) for index, r in enumerate(registers) if r.table == table
        )
        most = min(limits.max_registers, 125) if table in ("holding", "input") else MAX_BITS
        reads += _plan_table(table, spans, most, limits)
    return tuple(reads)


def _plan_table(table: str, spans: Iterable[tuple[int, int, int]], most: int, limits: Limits) -> list[Read]:
    reads: list[Read] = []
    held: list[tuple[int, int, int]] = []
    end = 0
    for span in spans:
        first, past, _ = span
        if held and not (
            max(past, end) - held[0][0] <= most
            and first - end <= limits.max_gap
            and not _blocked(end, first, limits.unreadable)
            and (not limits.one_value or (first, past) == held[0][:2])
        ):
            reads.append(_read(table, held, end))
            held = []
        end = max(end, past) if held else past
        held.append(span)
    if held:
        reads.append(_read(table, held, end))
    return reads


def _read(table: str, spans: Sequence[tuple[int, int, int]], end: int) -> Read:
    start = spans[0][0]
    return Read(table, start, end - start, tuple((index, first - start) for first, _, index in spans))


def _blocked(first: int, past: int, unreadable: Iterable[tuple[int, int]]) -> bool:
    """Whether an unreadable address lies in first..past-1."""
    return any(low < past and high >= first for low, high in unreadable)
