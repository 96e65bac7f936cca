"""Modbus TCP off the stream: whatever the pieces and the cuts, only the asked answer is one."""

from __future__ import annotations

import asyncio
import itertools
import struct
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from gateway.drivers._modbus_frames import Reply, ask
from gateway.drivers._modbus_wire import Tcp
from gateway.plan import Read

ASKED = ask(5, Read("holding", 0, 4, ()))
RIGHT = bytes.fromhex("05 03 08 0001 0002 0003 0004")
OLDER = bytes.fromhex("05 03 08 0009 0009 0009 0009")
REFUSED = bytes.fromhex("05 83 02")


class Far:
    """The transport's place: keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.aborted = False

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    def abort(self) -> None:
        self.aborted = True


def adu(number: int, body: bytes) -> bytes:
    return struct.pack(">HHH", number & 0xFFFF, 0, len(body)) + body


async def third_answer(pieces: list[bytes], timeout_s: float = 0.02) -> tuple[Reply, bool]:
    """Two requests stay unanswered, the third (id 3) hears `pieces`; its end, and whether the wire was given up."""
    far = Far()
    wire = Tcp(cast(Any, far))
    for _ in range(2):
        assert (await wire.ask(ASKED, 0.0, 0.0)).state == "timeout"
    asking = asyncio.ensure_future(wire.ask(ASKED, timeout_s, 0.0))
    await asyncio.sleep(0)
    assert far.sent[-1] == adu(3, ASKED.body)
    for piece in pieces:
        wire.fed(piece)
    return await asking, far.aborted


def cut(data: bytes, at: set[int]) -> list[bytes]:
    places = [0, *sorted(a for a in at if 0 < a < len(data)), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(places)]


@given(st.sets(st.integers(1, 40), max_size=5))
def test_an_answer_in_pieces_with_a_late_one_in_front_is_the_answer_or_nothing(at: set[int]) -> None:
    reply, _ = asyncio.run(third_answer(cut(adu(2, OLDER) + adu(3, RIGHT), at)))
    assert reply.words in ((1, 2, 3, 4), None)


def test_late_and_doubled_answers_are_passed_over() -> None:
    reply, aborted = asyncio.run(third_answer([adu(1, OLDER), adu(2, OLDER) + adu(3, RIGHT) + adu(3, RIGHT)]))
    assert (reply.words, aborted) == ((1, 2, 3, 4), False)


@given(st.integers(1, 16), st.sampled_from([OLDER, REFUSED]), st.booleans())
def test_a_reply_cut_short_is_not_made_whole_by_the_next_one(length: int, late: bytes, together: bool) -> None:
    pieces = [adu(3, RIGHT)[:length], adu(2, late)]
    exact = together and len(late) + 6 == len(adu(3, RIGHT)) - length
    reply, aborted = asyncio.run(third_answer([b"".join(pieces)] if together and not exact else pieces))
    assert reply.words is None
    assert aborted


def test_half_a_reply_ends_the_connection() -> None:
    reply, aborted = asyncio.run(third_answer([adu(3, RIGHT)[:10]]))
    assert (reply.state, aborted) == ("invalid", True)


@given(st.binary(min_size=1, max_size=60))
def test_rubbish_is_never_an_answer(rubbish: bytes) -> None:
    reply, _ = asyncio.run(third_answer([rubbish]))
    assert reply.words is None
