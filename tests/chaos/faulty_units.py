"""Modbus units whose every answer says whose it is, and every way in which an answer can go wrong. Pure.

Each register pair that a unit serves holds one number: unit id, register and a sequence that grows with each request.
So a value that got to the wrong device, register or poll is seen with certainty.

Written without a Modbus library, and with nothing of the gateway's.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

POINTS = 10
RTU_FAULTS = (
    "silence", "crc", "exception", "wrong-unit", "wrong-function", "wrong-count", "truncated", "noise-before",
    "noise-after", "echo", "late", "doubled", "glued",
)  # fmt: skip
TCP_FAULTS = (
    "silence", "exception", "wrong-unit", "wrong-function", "wrong-count", "truncated", "noise-before", "late",
    "doubled", "glued", "wrong-id",
)  # fmt: skip


def crc(data: bytes) -> bytes:
    """CRC-16 of Modbus, bit by bit."""
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ 0xA001 if value & 1 else value >> 1
    return struct.pack("<H", value)


def number(unit: int, register: int, sequence: int) -> int:
    """32 bits that name an answer."""
    return unit << 27 | register << 20 | sequence & 0xFFFFF


def parts(value: int) -> tuple[int, int, int]:
    """Unit, register, sequence."""
    return value >> 27, value >> 20 & 0x7F, value & 0xFFFFF


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it was heard, with wall-clock time, and what was done to its answer."""

    time_s: float
    unit: int
    address: int
    count: int
    sequence: int
    fault: str | None


@dataclass(slots=True)
class Units:
    """Answers for every unit id but the `dead` ones. `wide` puts a number into two registers, else 16 bits of it."""

    dead: frozenset[int] = frozenset()
    wide: bool = True
    asked: list[Asked] = field(default_factory=list)
    sequences: dict[int, int] = field(default_factory=dict)

    def hear(self, body: bytes, time_s: float, fault: str | None) -> bytes | None:
        """The answer's body (unit id, PDU) to a request's body, None from a dead unit."""
        unit, function, address, count = struct.unpack(">BBHH", body)
        sequence = self.sequences[unit] = self.sequences.get(unit, 0) + 1
        self.asked.append(Asked(time_s, unit, address, count, sequence, fault))
        if unit in self.dead:
            return None
        return self.answer(unit, function, address, count, sequence)

    def answer(self, unit: int, function: int, address: int, count: int, sequence: int) -> bytes:
        words: list[int] = []
        for register in range(address, address + count):
            if self.wide:
                whole = number(unit, register // 2, sequence)
                words.append(whole >> 16 if register % 2 == 0 else whole & 0xFFFF)
            else:
                words.append(sequence & 0xFFFF)
        return struct.pack(f">BBB{count}H", unit, function, 2 * count, *words)


Sent = Sequence[tuple[float, bytes]]
"""What goes out: seconds after the answer would have, and the bytes."""


def disturb_rtu(
    fault: str | None, request: bytes, body: bytes, older: bytes, chance: random.Random, late_s: float
) -> Sent:
    """`older` is the body of an earlier answer of the same shape."""
    frame = body + crc(body)
    if fault is None:
        return [(0.0, frame)]
    if fault == "silence":
        return []
    if fault == "crc":
        at = chance.randrange(len(frame))
        return [(0.0, frame[:at] + bytes([frame[at] ^ 1 << chance.randrange(8)]) + frame[at + 1 :])]
    if fault == "truncated":
        return [(0.0, frame[: chance.randrange(1, len(frame))])]
    if fault in ("noise-before", "noise-after"):
        noise = chance.randbytes(chance.choice((1, 2, 3, 8, 30)))
        return [(0.0, noise + frame if fault == "noise-before" else frame + noise)]
    if fault == "echo":
        return [(0.0, request + frame)]
    if fault == "late":
        return [(chance.uniform(0.25, late_s), frame)]
    if fault == "doubled":
        return [(0.0, frame + frame)]
    if fault == "glued":
        return [(0.0, older + crc(older) + frame)]
    changed = _changed(fault, body, chance)
    return [(0.0, changed + crc(changed))]


def disturb_tcp(
    fault: str | None, request_id: int, body: bytes, older: bytes, chance: random.Random, late_s: float
) -> Sent:
    """`older` is the body of the answer with the id before."""

    def adu(number_: int, of: bytes) -> bytes:
        return struct.pack(">HHH", number_ & 0xFFFF, 0, len(of)) + of

    frame = adu(request_id, body)
    if fault is None:
        return [(0.0, frame)]
    if fault == "silence":
        return []
    if fault == "truncated":
        return [(0.0, frame[: chance.randrange(1, len(frame))])]
    if fault == "noise-before":
        return [(0.0, chance.randbytes(chance.choice((1, 2, 3, 8, 30))) + frame)]
    if fault == "late":
        return [(chance.uniform(0.25, late_s), frame)]
    if fault == "doubled":
        return [(0.0, frame + frame)]
    if fault == "glued":
        return [(0.0, adu(request_id - 1, older) + frame)]
    if fault == "wrong-id":
        return [(0.0, adu(request_id + chance.randrange(1, 0xFFFF), older))]
    return [(0.0, adu(request_id, _changed(fault, body, chance)))]


def _changed(fault: str, body: bytes, chance: random.Random) -> bytes:
    """A sound frame that says something else."""
    unit, function, count = body[0], body[1], body[2]
    if fault == "exception":
        return bytes((unit, function | 0x80, chance.randint(1, 11)))
    if fault == "wrong-unit":
        return bytes((unit % 30 + 1,)) + body[1:]
    if fault == "wrong-function":
        return bytes((unit, function ^ 7)) + body[2:]
    assert fault == "wrong-count"
    less = chance.randrange(0, count)
    return bytes((unit, function, less)) + body[3 : 3 + chance.choice((less, count))]
