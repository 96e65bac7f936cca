"""Lines out of a byte stream: any split gives the same, noise without an end costs one line."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.lines import LineSplitter, without_control


@given(st.binary(max_size=300), st.lists(st.integers(1, 50), max_size=20))
def test_any_split_gives_the_same_lines(stream: bytes, cuts: list[int]) -> None:
    whole = LineSplitter(40)
    expected = whole.feed(stream)
    parser, found, at = LineSplitter(40), [], 0
    for cut in [*cuts, len(stream)]:
        found += parser.feed(stream[at : at + cut])
        at += cut
    assert (found, parser.damaged) == (expected, whole.damaged)
    assert all(0 < len(line) <= 40 for line in found)


def test_a_line_that_is_too_long_is_dropped_whole_and_counted() -> None:
    parser = LineSplitter(10)
    assert parser.feed(b"x" * 25 + b"\r\nnext\n\r\n") == [b"next"]
    assert parser.damaged == 2


def test_what_cannot_begin_a_text_is_taken_off_and_nothing_else() -> None:
    assert without_control(b"\x02\x00\xffLA 982\xff") == b"LA 982\xff"
    assert without_control(b"\x02") == b""
