"""Instruments made of their own profiles: what stands in their registers, and how forgiving they are.

`strict` refuses what it does not have, `bare` has no marks either (a clone that left them out), `forgiving` answers 0
where it has nothing, `mirrored` gives the same to functions 03 and 04, as many cheap probes do.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Literal

import yaml

from gateway.places import FUNCTION_CODES, Mark
from gateway.plan import Read
from gateway.registers import ModbusProfile
from gateway.tools.recognise import Signature
from makiba.quantities import catalogue
from makiba.units import conversion
from tests.unit.test_gateway_modbus_cases import FILES, Case

Manner = Literal["strict", "bare", "forgiving", "mirrored"]
MANNERS: tuple[Manner, ...] = ("strict", "bare", "forgiving", "mirrored")
TABLES = {code: table for table, code in FUNCTION_CODES.items()}
Memory = dict[tuple[str, int], int]


def memory_of(case: Case) -> Memory:
    words: Memory = {}
    for table, blocks in case.registers.items():
        for first, values in blocks.items():
            words |= {(table, first + i): v for i, v in enumerate(values)}
    for frame in case.frames:
        request, reply = bytes.fromhex(frame.request), bytes.fromhex(frame.reply)
        first = int.from_bytes(request[1:3], "big")
        for i in range(len(reply[2:]) // 2):
            words[TABLES[request[0]], first + i] = int.from_bytes(reply[2 + 2 * i : 4 + 2 * i], "big")
    return words


def good_cases(names: Sequence[str]) -> list[tuple[str, str, Case]]:
    """(profile, case, what it holds): every case without a bad value, or a profile's with the most good ones."""
    cases = [
        (f.parent.name, f.stem, Case(**yaml.safe_load(f.read_text(encoding="utf-8"))))
        for f in FILES
        if f.parent.name in names
    ]
    found = [it for it in cases if not it[2].states]
    for name in sorted(set(names) - {it[0] for it in found}):
        found.append(max((it for it in cases if it[0] == name), key=lambda it: len(it[2].readings)))
    return found


class Emulated:
    """An instrument; `look` is what `recognise` reads it by."""

    def __init__(self, found: Signature, case: Case, manner: Manner, unit_id: int) -> None:
        self.words = memory_of(case)
        self._closed = found.profile.closed()
        self._manner = manner
        if manner != "bare":
            for mark in found.profile.marks:
                self._fill(found, mark, unit_id)
        if manner == "mirrored":
            other = {"input": "holding", "holding": "input"}
            for (table, address), word in list(self.words.items()):
                self.words.setdefault((other.get(table, table), address), word)

    def _fill(self, found: Signature, mark: Mark, unit_id: int) -> None:
        raw = _right(found, mark, unit_id, self.words)
        words = struct.unpack(">HH", struct.pack(">f", raw)) if mark.type == "float32" else (int(raw),)
        if mark.word_order == "little":
            words = words[::-1]
        for i, word in enumerate(words):
            self.words.setdefault((mark.table, found.profile.address(mark) + i), word)

    def look(self, read: Read) -> Sequence[int] | None:
        places = [(read.table, read.address + i) for i in range(read.count)]
        if self._manner == "forgiving" and not self._closed and read.table in ("holding", "input"):
            return [self.words.get(place, 0) for place in places]
        found = [self.words.get(place) for place in places]
        return [w for w in found if w is not None] if None not in found else None


def _right(found: Signature, mark: Mark, unit_id: int, words: Memory) -> float:
    """What stands in a mark of this instrument."""
    if mark.holds == "unit-id":
        return unit_id
    if mark.one_of:
        return mark.one_of[0]
    if mark.within:
        return mark.within[0]
    profile: ModbusProfile = found.profile
    index = profile.find(str(mark.agrees_with))
    replies = [[words.get((r.table, r.address + i), 0) for i in range(r.count)] for r in found.interpreter.reads]
    value = next(
        o for p, o in zip(found.interpreter.points, found.interpreter.found(replies), strict=True) if p.index == index
    )
    assert isinstance(value, (int, float))
    to = conversion(mark.unit, catalogue()[str(profile.values()[index or 0].quantity)].unit)
    assert to is not None
    raw = (value - float(to.offset)) / float(to.factor) / mark.scale
    return raw if mark.type == "float32" else round(raw)
