"""SDI-12 without a wire: the CRC, replies, and the script of a measurement."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sdi12 import (
    Ask,
    Identity,
    Wait,
    check_reply,
    crc16,
    crc_text,
    measure,
    next_step,
    parse_identity,
    parse_start,
    parse_values,
)


def test_the_check_value_of_the_crc() -> None:
    assert crc16(b"123456789") == 0xBB3D
    # 0xBB3D: 1011 101100 111101, each with 0x40
    assert crc_text(b"123456789") == bytes((0x4B, 0x6C, 0x7D))


@given(st.text(alphabet="0123456789+-.", min_size=1, max_size=75), st.integers(0, 80), st.integers(1, 127))
def test_a_reply_with_a_crc_is_taken_only_whole(text: str, place: int, flip: int) -> None:
    sound = b"0" + text.encode()
    line = sound + crc_text(sound)
    assert check_reply("0", line, with_crc=True) == text.encode()
    damaged = bytearray(line)
    damaged[place % len(line)] ^= flip
    assert check_reply("0", bytes(damaged), with_crc=True) == "crc"


@pytest.mark.parametrize(
    ("body", "values"),
    [
        (b"+3.14-0.5+12", (3.14, -0.5, 12)),
        (b"-9999+.5+5.", (-9999, 0.5, 5.0)),
        (b"", ()),
        (b"3.14", None),  # the sign is always there
        (b"+3.14 -0.5", None),
        (b"+12345678", None),  # at most seven digits
        (b"+1.234567", (1.234567,)),
        (b"+12345.678", None),
        (b"+", None),
        (b"+.", None),
        (b"+1e5", None),
        (b"+1\xb2", None),
    ],
)
def test_values(body: bytes, values: tuple[float, ...] | None) -> None:
    assert parse_values(body) == values


@given(st.lists(st.decimals(-9999, 9999, places=3), max_size=9))
def test_values_come_back_as_they_were_sent(values: list[float]) -> None:
    assert parse_values("".join(f"{v:+}" for v in values).encode()) == tuple(float(v) for v in values)


@pytest.mark.parametrize(
    ("body", "start"), [(b"0039", (3, 9)), (b"00312", (3, 12)), (b"003", None), (b"+039", None), (b"", None)]
)
def test_the_start_of_a_measurement(body: bytes, start: tuple[int, int] | None) -> None:
    assert parse_start(body) == start


def test_who_a_sensor_is() -> None:
    assert parse_identity(b"13VAISALA_WXT520103Y2630000") == Identity("1.3", "VAISALA_", "WXT520", "103", "Y2630000")
    assert parse_identity(b"13SHORT") is None


def commands(address: str, command: str, crc: bool, replies: list[bytes | str]) -> tuple[list[object], object]:
    """What a measurement does with these replies, and what it comes to."""
    script = measure(address, command, crc=crc)
    done: list[object] = []
    answers = iter(replies)
    try:
        step = next(script)
        while True:
            done.append(step.command.decode() if isinstance(step, Ask) else step)
            step = script.send(next(answers) if isinstance(step, Ask) else b"")
    except StopIteration as end:
        return done, end.value


def test_a_measurement_by_m_holds_the_bus_and_asks_pages_until_all_values_are_there() -> None:
    done, values = commands("a", "M2", False, [b"0053", b"+1-2", b"+3"])
    assert done == ["aM2!", Wait(5, True), "aD0!", "aD1!"]
    assert values == (1, -2, 3)


def test_a_concurrent_measurement_with_crc_leaves_the_bus_to_others() -> None:
    done, values = commands("0", "C", True, [b"01512", b"+1+2+3+4+5+6+7+8+9", b"+1+2+3"])
    assert done == ["0CC!", Wait(15, False), "0D0!", "0D1!"]
    assert values == (1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3)


def test_continuous_values_come_at_once() -> None:
    assert commands("0", "R0", True, [b"+1.5"]) == (["0RC0!"], (1.5,))


@pytest.mark.parametrize(
    ("replies", "outcome"),
    [
        (["timeout"], "timeout"),
        ([b"0000"], "no-data"),
        ([b"0003", b""], "no-data"),  # aborted
        ([b"0003", b"+1+2", b""], "no-data"),
        ([b"0002", b"+1+2+3"], "invalid"),
        ([b"0002", b"+1+x"], "invalid"),
        ([b"00012"], "invalid"),  # a concurrent measurement's start
        ([b"0002", "crc"], "crc"),
        ([b"0009", *[b"+1"] * 8, b""], "no-data"),
    ],
)
def test_what_goes_wrong_is_a_word_and_never_half_a_measurement(replies: list[bytes | str], outcome: str) -> None:
    assert commands("0", "M", False, replies)[1] == outcome


def test_ready_sensors_come_first_and_measuring_ones_are_left_alone() -> None:
    assert next_step([5, 3, 9], {}) == (1, 3)
    assert next_step([5, 3, 9], {1: 20}) == (0, 5)
    assert next_step([5, 3, 9], {1: 5}) == (1, 5)
