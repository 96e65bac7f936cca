"""Scales: the header decides, units become kilograms, noise is no weight."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.scale import Format, ScaleLines, Weight, parse_weight


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        # A&D EK-L p. 30, GC p. 51, AD-4329A p. 45
        (b"ST,+00123.4  kg", Weight("ok", 123.4)),
        (b"US,+00123.4  kg", Weight("unstable", 123.4)),
        (b"ST,-00000.2  kg", Weight("ok", -0.2)),
        (b"ST,+0012345   g", Weight("ok", 12.345)),
        (b"ST,+0001.234   t", Weight("ok", 1234.0)),
        (b"ST,GS,+00123.4kg", Weight("ok", 123.4)),
        (b"ST,NT,+00123.4kg", Weight("ok", 123.4)),
        (b"ST,TR,+00010.0kg", Weight("ok", 10.0, False)),
        (b"ST,PT,+00010.0kg", Weight("ok", 10.0, False)),
        (b"QT,+00000012  PC", Weight("counting")),
        # overload: nines, spaces, zeros before the point
        (b"OL,+9999999  kg", Weight("overload")),
        (b"OL,            ", Weight("overload")),
        (b"OL,GS,+0000.   kg", Weight("overload")),
        # AD-4404 p. 82: LO is out of range; on comparison scales LO, OK, HI is a second header
        (b"LO,GS,+00123.4kg", Weight("out-of-range")),
        (b"ST,LO,+00123.4  kg", Weight("ok", 123.4)),
        (b"ST,HI,NT,+00123.4kg", Weight("ok", 123.4)),
        # KERN KXS-TM p. 70, Tiger TI-02-P p. 21
        (b"ST,GS,+  123.4kg", Weight("ok", 123.4)),
        (b"ST,GS,   123.4kg", Weight("ok", 123.4)),
        (b"ST,NT,-  123.4kg", Weight("ok", -123.4)),
        (b"\x00\xffST,+00123.4  kg", Weight("ok", 123.4)),
        (b"ST,+00123.4  lb", Weight("invalid")),
        (b"ST,+00123.4", None),
        (b"+00123.4  kg", None),
        (b"ST,+001 23.4  kg", None),
        (b"ST,+00123.4.  kg", None),
        (b"ST,+00123.4  kg5", None),
        (b"xST,+00123.4  kg", None),
        (b"ST+00123.4  kg", None),
        (b"", None),
    ],
)
def test_a_and_d(line: bytes, expected: Weight | None) -> None:
    assert parse_weight(line, "and") == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"S S     100.00 g", Weight("ok", 0.1)),
        (b"S D     -12.3 kg", Weight("unstable", -12.3)),
        (b"S I", Weight("not-ready")),
        (b"S +", Weight("overload")),
        (b"S -", Weight("underload")),
        (b"ES", Weight("refused")),
        (b"ET", Weight("refused")),
        (b"EL", Weight("refused")),
        (b"S S 100.00", None),
        (b"S X 100.00 g", None),
        (b'I4 A "123"', None),
    ],
)
def test_mettler_sics(line: bytes, expected: Weight | None) -> None:
    assert parse_weight(line, "sics") == expected


LINES = st.lists(
    st.builds(
        lambda header, sign, kg: f"{header}{sign}{kg:07.1f}  kg\r\n".encode(),
        st.sampled_from(["ST,", "US,", "OL,", "ST,NT,"]),
        st.sampled_from("+-"),
        st.floats(0, 9999, allow_nan=False),
    ),
    max_size=8,
)
NOISE = st.binary(max_size=40)


@given(LINES, NOISE, st.lists(st.integers(1, 20), max_size=40))
def test_any_split_of_the_stream_gives_the_same(lines: list[bytes], noise: bytes, cuts: list[int]) -> None:
    stream = noise + b"".join(lines)
    whole = ScaleLines("and").feed(stream)
    parser, found, at = ScaleLines("and"), [], 0
    for cut in [*cuts, len(stream)]:
        found += parser.feed(stream[at : at + cut])
        at += cut
    assert found == whole


@given(st.lists(NOISE, min_size=1, max_size=6), st.sampled_from(["and", "sics"]))
def test_noise_between_frames_is_never_a_weight(noise: list[bytes], kind: Format) -> None:
    frame = {"and": b"ST,+00123.4  kg\r\n", "sics": b"S S     123.4 kg\r\n"}[kind]
    parser = ScaleLines(kind)
    for piece in noise:
        for _, weight in parser.feed(piece + frame + frame):
            assert weight.kg in (123.4, None)


@given(st.data())
def test_a_line_with_a_byte_that_is_no_ascii_is_no_other_weight(data: st.DataObject) -> None:
    frame = bytearray(b"ST,+00123.4  kg")
    place = data.draw(st.integers(0, len(frame) - 1))
    frame[place] = data.draw(st.integers(0x80, 0xFF))
    weight = parse_weight(bytes(frame), "and")
    assert weight is None or weight.kg == 123.4
