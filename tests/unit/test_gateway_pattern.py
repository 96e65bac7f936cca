"""Described protocols: which patterns are allowed, what they cost, frames out of any stream."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.pattern import LONGEST, BinaryFrame, FrameParser, compile_pattern, number, pattern_steps

A02 = BinaryFrame(start=[0xFF], length=4, checksum="sum8")


def frame(mm: int) -> bytes:
    body = bytes((0xFF, mm >> 8, mm & 0xFF))
    return body + bytes((sum(body) & 0xFF,))


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (r"R(?P<mm>\d{4})", b"R0123"),
        (r"T=(?P<t>[-+]?[\d.]+),H=(?P<h>\d+)%", b"T=-12.5,H=81%"),
        (r"(?P<a>[^;]*);(?P<b>[^;]*);.*", b"1;2;3;4"),
        (r"\[(?P<v>[-+ ]*\d+)\]", b"[ +12]"),
        (r"a\.b\x2c(?P<v>\d)", b"a.b,7"),
        (r"[]x]+(?P<v>\d)", b"]x]7"),
    ],
)
def test_a_plain_pattern_is_allowed(pattern: str, line: bytes) -> None:
    assert compile_pattern(pattern).fullmatch(line)


@pytest.mark.parametrize(
    "pattern",
    [
        r"(?P<x>(a+)+)b",
        r"(?P<x>a|aa)+",
        r"(?P<x>a)+",
        r"(?:a|b)c",
        r"(?=a)a",
        r"(?P<x>a)\1",
        r"(?P<x>.*).*.*",
        r"a*a*a*a*(?P<x>b)",
        r"(?P<x>\d+)\d+\d+",
        r"a+?b",
        r"a++b",
        r"(?P<x>a",
        r"a)",
        r"(?P<x>[z-a])",
        r"^a$",
        r"気温",
        "a" * (LONGEST + 1),
    ],
)
def test_what_may_cost_too_much_or_says_more_than_it_needs_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"not allowed|steps|group|plain ASCII|bad character|character"):
        compile_pattern(pattern)


ATOMS = st.sampled_from(["a", "b", ",", ".", r"\d", r"\w", "[ab]", "[^,]", r"\s", r"\."])
TIMES = st.sampled_from(["", "", "*", "+", "?", "{2}", "{1,3}", "{2,}"])


@given(st.lists(st.tuples(ATOMS, TIMES), min_size=1, max_size=12))
@example([(".", "*"), (",", ""), (".", "*")])
def test_an_allowed_pattern_is_quick_with_the_worst_lines(parts: list[tuple[str, str]]) -> None:
    pattern = "".join(a + t for a, t in parts)
    try:
        compiled = compile_pattern(pattern)
    except ValueError:
        assert pattern_steps(pattern) > 100_000
        return
    begun_s = time.perf_counter()
    for line in (b"a" * LONGEST, b"1" * LONGEST, b"," * LONGEST, b"a," * (LONGEST // 2), b"ab1 " * (LONGEST // 4)):
        compiled.fullmatch(line[:-1] + b"\x00")
    assert time.perf_counter() - begun_s < 0.25


@pytest.mark.parametrize(
    ("text", "value"),
    [(b" -12.50 ", -12.5), (b"+ 7", 7), (b".5", 0.5), (b"1.", 1.0), (b"1e5", None), (b"", None), (b"nan", None)],
)
def test_numbers(text: bytes, value: float | None) -> None:
    assert number(text) == value


def test_the_maker_s_frame() -> None:
    # DFRobot SEN0311: FF 07 A1 A7 is 1953 mm
    assert frame(1953) == bytes.fromhex("ff07a1a7")
    assert FrameParser(A02).feed(frame(1953) * 2) == [frame(1953)]


@given(st.lists(st.integers(0, 0xFFFF), max_size=12), st.lists(st.integers(1, 9), max_size=40), st.binary(max_size=9))
def test_any_split_of_the_stream_gives_the_same_frames(mm: list[int], cuts: list[int], noise: bytes) -> None:
    stream = noise + b"".join(map(frame, mm))
    whole = FrameParser(A02).feed(stream)
    parser, found, at = FrameParser(A02), [], 0
    for cut in [*cuts, len(stream)]:
        found += parser.feed(stream[at : at + cut])
        at += cut
    assert found == whole
    if not noise and mm:
        assert found == [frame(m) for m in mm[1:]]


@given(st.lists(st.binary(max_size=3), min_size=1, max_size=8))
def test_noise_between_frames_is_never_a_value(noise: list[bytes]) -> None:
    """Noise shorter than a frame, wherever it stands: a stream out of step gives nothing until it is in step."""
    parser, values = FrameParser(A02), set()
    for piece in noise:
        for found in parser.feed(piece.replace(b"\xff", b"\x00") + frame(1953) * 3):
            values.add(found)
    assert values == {frame(1953)}


@given(st.integers(0, 3), st.integers(1, 255))
def test_a_changed_byte_is_seen(place: int, change: int) -> None:
    parser = FrameParser(A02)
    damaged = bytearray(frame(1953))
    damaged[place] ^= change
    assert parser.feed(frame(1953) * 2 + bytes(damaged) + frame(1953) * 3).count(frame(1953)) >= 2
    assert set(parser.feed(frame(1953))) <= {frame(1953)}
