"""What counts as a reply: every fault by itself, and every split of the bytes."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.drivers._modbus_frames import Ask, ask, conclude, conclude_tcp, crc16, has_reply
from gateway.plan import Read
from tests.chaos import faulty_units
from tests.chaos.faulty_units import RTU_FAULTS, disturb_rtu

ASKED = ask(5, Read("holding", 0x0102, 4, ()))
BODY = bytes.fromhex("05 03 08 0001 0002 0003 0004")
OLDER = bytes.fromhex("05 03 08 0009 0009 0009 0009")
WORDS = (1, 2, 3, 4)
STATES = {
    "silence": {"timeout"}, "late": {"timeout"}, "crc": {"crc", "invalid"}, "truncated": {"crc"}, "exception": None,
    "wrong-unit": {"invalid"}, "wrong-function": {"invalid"}, "wrong-count": {"crc", "invalid"},
    "noise-after": {"invalid"}, "glued": {"invalid"},
}  # fmt: skip
"""What may be said when no value came out."""
MAY_BE_READ = {"noise-before", "noise-after", "echo", "doubled"}


def test_the_crc_of_the_standard_s_example() -> None:
    assert crc16(bytes.fromhex("02 07")) == bytes.fromhex("41 12")  # Modbus over serial line 1.02, section 6.2.2
    assert crc16(BODY) == faulty_units.crc(BODY)


@given(st.sampled_from(RTU_FAULTS), st.integers(0, 10**9))
def test_every_fault_leaves_the_right_words_or_a_state_that_names_it(fault: str, seed: int) -> None:
    sent = disturb_rtu(fault, ASKED.rtu, BODY, OLDER, random.Random(seed), 6.0)
    heard = b"".join(data for after_s, data in sent if not after_s)
    reply = conclude(heard, ASKED)
    if reply.words is not None:
        assert fault in MAY_BE_READ
        assert reply.words == WORDS
    elif fault == "exception":
        assert reply.state == f"exception-{heard[2]}"
        assert not reply.owed
    else:
        assert reply.state in STATES[fault]  # type: ignore[operator]
        assert reply.silent == (reply.state == "timeout")


@pytest.mark.parametrize(("fault", "owed"), [("silence", True), ("wrong-unit", True), ("glued", False)])
def test_a_reply_that_was_not_seen_is_still_owed(fault: str, owed: bool) -> None:
    sent = disturb_rtu(fault, ASKED.rtu, BODY, OLDER, random.Random(1), 6.0)
    assert conclude(b"".join(data for _, data in sent), ASKED).owed is owed


def test_a_damaged_reply_is_not_owed_and_noise_alone_does_not_settle_it() -> None:
    frame = BODY + crc16(BODY)
    assert not conclude(frame[:-1] + b"\x00", ASKED).owed
    assert conclude(b"\x00\xff\x13\x37", ASKED).owed


def test_a_sound_frame_of_another_shape_is_astray() -> None:
    body = bytes.fromhex("05 03 04 0001 0002")
    reply = conclude(body + crc16(body), ASKED)
    assert (reply.state, reply.owed, reply.astray) == ("invalid", False, True)


def test_an_echo_is_taken_off_even_when_a_reply_could_begin_like_it() -> None:
    # Two registers at 0x0400: the request's address byte is the reply's byte count.
    asked = ask(1, Read("holding", 0x0400, 2, ()))
    body = bytes.fromhex("01 03 04 0000 0002")
    frame = body + crc16(body)
    assert conclude(asked.rtu + frame, asked).words == (0, 2)
    assert conclude(frame, asked).words == (0, 2)
    assert conclude(asked.rtu, asked).state == "timeout"


@given(st.integers(0, 30), st.binary(max_size=2))
def test_a_reply_is_complete_with_its_last_byte_and_not_before(length: int, tail: bytes) -> None:
    frame = BODY + crc16(BODY)
    assert has_reply((frame + tail)[:length], ASKED) == (length >= len(frame))


@given(st.binary(max_size=80))
def test_rubbish_is_never_a_value(rubbish: bytes) -> None:
    assert conclude(rubbish, ASKED).words is None
    assert conclude_tcp(rubbish, ASKED).words is None


def test_bits_come_out_in_order() -> None:
    asked: Ask = ask(5, Read("coil", 0, 10, ()))
    body = bytes((5, 1, 2, 0b00000101, 0b10))
    assert conclude(body + crc16(body), asked).words == (1, 0, 1, 0, 0, 0, 0, 0, 0, 1)
    assert conclude_tcp(body, asked).words == (1, 0, 1, 0, 0, 0, 0, 0, 0, 1)


@pytest.mark.parametrize("body", ["05 83 02", "05 03 08 0001 0002 0003 0004"])
def test_tcp_takes_a_body_of_the_right_length_only(body: str) -> None:
    whole = bytes.fromhex(body)
    assert conclude_tcp(whole, ASKED).state in ("ok", "exception-2")
    assert conclude_tcp(whole + b"\x00", ASKED).state == "invalid"
    assert conclude_tcp(whole[:-1], ASKED).state == "invalid"
