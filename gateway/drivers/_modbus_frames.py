"""Modbus read requests and what may count as their reply. Pure.

An RTU reply carries no transaction id and its length is known from the request, so that a reply is never searched
for by guessing: it has the asked unit id, function code and byte count, and its CRC is right. Bytes before it (a
line without bias gives some) and up to two behind it do no harm. Two different sound replies are no answer at all:
one of them is late. The request itself in front (a two-wire adapter hears what it sends) is taken off.

Source: Modbus application protocol 1.1b3; Modbus over serial line 1.02, section 2.5; MBAP header: Modbus messaging on
TCP/IP 1.0b, section 3.1.3.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.places import FUNCTION_CODES
from gateway.plan import Read

TIMEOUT, CRC, INVALID = "timeout", "crc", "invalid"
TAIL = 2
"""Bytes that may follow a reply: a driver that lets go of the line leaves a zero or two."""
MOST_BYTES = 1024
"""More than any reply with its echo; a line that says more is talking by itself."""
MBAP = 6
"""Bytes of the TCP header in front of the unit id."""


def _crc_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ 0xA001 if value & 1 else value >> 1
        table.append(value)
    return tuple(table)


_CRC_TABLE = _crc_table()


def crc16(data: bytes) -> bytes:
    """The two bytes that follow `data` on a serial line."""
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc.to_bytes(2, "little")


@dataclass(frozen=True, slots=True)
class Ask:
    """One read request, encoded once, and how its reply begins and how long it is."""

    is_bits: bool
    count: int
    body: bytes
    """Unit id, function code, address, count."""
    rtu: bytes
    begins: bytes
    """Unit id, function code, byte count of the reply."""
    refuses: bytes
    """Unit id and function code of an exception."""
    reply_length: int
    """Of the RTU frame, CRC included."""

    @property
    def shape(self) -> bytes:
        """Two requests with the same shape have replies that cannot be told apart."""
        return self.begins


def ask(unit_id: int, read: Read) -> Ask:
    """The request for `read`."""
    code, is_bits = FUNCTION_CODES[read.table], read.table in ("coil", "discrete")
    data = (read.count + 7) // 8 if is_bits else 2 * read.count
    body = struct.pack(">BBHH", unit_id, code, read.address, read.count)
    begins = bytes((unit_id, code, data))
    return Ask(is_bits, read.count, body, body + crc16(body), begins, bytes((unit_id, code | 0x80)), 5 + data)


def switch(unit_id: int, coil: int, *, on: bool) -> Ask:
    """The request that sets a coil (function 05); its reply is its echo. For alarm outputs; no other write exists."""
    body = struct.pack(">BBHH", unit_id, 5, coil, 0xFF00 if on else 0)
    return Ask(True, 0, body, body + crc16(body), body, bytes((unit_id, 0x85)), len(body) + 2)


@dataclass(frozen=True, slots=True)
class Reply:
    """How a request ended: `words` (registers, or bits), or None and `state` why not.

    `owed` when the unit's own reply was not seen, so that it may still come; `astray` when the unit sent a sound one
    of another shape: a late one, if one is still owed, else this one's, mistaken. `silent` when nothing was heard.
    """

    words: tuple[int, ...] | None
    state: str
    owed: bool = False
    astray: bool = False
    silent: bool = False


def has_reply(heard: bytes, asked: Ask) -> bool:
    """Whether a sound reply stands in `heard`; more bytes may still make it a doubtful one."""
    return len(heard) >= 5 and next(_sound(_without_echo(heard, asked), asked), None) is not None


def is_long_enough(heard: bytes, asked: Ask) -> bool:
    """Whether a whole reply would fit into what was heard, so that little more is to be expected."""
    return len(_without_echo(heard, asked)) >= asked.reply_length


def conclude(heard: bytes, asked: Ask) -> Reply:
    """What all that was heard until the line was quiet means."""
    heard = _without_echo(heard, asked)
    if not heard:
        return Reply(None, TIMEOUT, owed=True, silent=True)
    found = list(_sound(heard, asked))
    if found:
        frames = {heard[start:end] for start, end in found}
        if len(frames) > 1 or len(heard) - found[-1][1] > TAIL:
            return Reply(None, INVALID)
        return _read(frames.pop()[:-2], asked)
    if _begins_soundly(heard):
        own = heard[0] == asked.body[0]
        return Reply(None, INVALID, owed=not own, astray=own)
    # What began like the reply was the reply, damaged; anything else was noise, and the reply may still come.
    return Reply(None, CRC, owed=asked.begins not in heard and asked.refuses not in heard)


def conclude_tcp(body: bytes, asked: Ask) -> Reply:
    """What the bytes from the unit id on mean, whose transaction id was right."""
    right_length = len(body) == (3 if body[:2] == asked.refuses else asked.reply_length - 2)
    if not right_length or not body.startswith((asked.begins, asked.refuses)):
        return Reply(None, INVALID)
    return _read(body, asked)


def _read(body: bytes, asked: Ask) -> Reply:
    if body[:2] == asked.refuses:
        return Reply(None, f"exception-{body[2]}")
    if asked.is_bits:
        return Reply(tuple(body[3 + i // 8] >> i % 8 & 1 for i in range(asked.count)), "ok")
    return Reply(struct.unpack(f">{asked.count}H", body[3:]), "ok")


def _without_echo(heard: bytes, asked: Ask) -> bytes:
    """`heard` without our own request in front, which a whole reply may begin like."""
    if heard.startswith(asked.rtu) and not _is_sound(heard[: asked.reply_length], asked.reply_length):
        return heard[len(asked.rtu) :]
    return heard


def _sound(heard: bytes, asked: Ask) -> Iterator[tuple[int, int]]:
    """Where sound replies to `asked` stand, one after the other."""
    at = 0
    while True:
        normal, refused = heard.find(asked.begins, at), heard.find(asked.refuses, at)
        starts = [s for s in (normal, refused) if s >= 0]
        if not starts:
            return
        at = min(starts)
        end = at + (asked.reply_length if at == normal else 5)
        if _is_sound(heard[at:end], end - at):
            yield at, end
            at = end
        else:
            at += 1


def _is_sound(frame: bytes, length: int) -> bool:
    return len(frame) == length and crc16(frame[:-2]) == frame[-2:]


def _begins_soundly(heard: bytes) -> bool:
    """Whether any sound frame stands in front: of another unit, to another request, an echo of something else."""
    for length in {5 + heard[2] if len(heard) > 2 else 0, 5, 8}:
        if length >= 5 and _is_sound(heard[:length], length):
            return True
    return False
