"""Ear tags: every documented form of a line, all fifteen digits, no tag out of noise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.eartag import JAPAN, LARGEST_OWN, Tag, TagLines, TagTalker, parse_tag
from makiba.reading import Series


@pytest.mark.parametrize(
    ("line", "code"),
    [
        # Allflex RS320 p. 20, AFX-100 pp. 19 and 40
        (b"LA 982 000001088420", "982000001088420"),
        (b"LA,982,000001088420", "982000001088420"),
        (b"LA;982;000001088420", "982000001088420"),
        (b"LA\t982\t000001088420", "982000001088420"),
        (b"LA982000001088420", "982000001088420"),
        (b"A 982 000001088420", "982000001088420"),
        (b"982 000001088420", "982000001088420"),
        (b"982000001088420", "982000001088420"),
        (b"LA 00000 0 982 000001088420", "982000001088420"),
        (b"LA,00000,1,982,000001088420", "982000001088420"),
        (b"LA000000982000001088420", "982000001088420"),
        (b"LR 0006 0000000018514348", "R0006-0000000018514348"),
        (b"\x02LA 982 000001088420", "982000001088420"),  # ISO 24631-6
        (b"982 000123456789", "982000123456789"),  # Gallagher, Tru-Test: not verified
        (b"LA 392 000001234567", "392000001234567"),
        (b"LA 982,000001088420", None),  # two delimiters
        (b"LA 982 00000108842", None),
        (b"LA 982 0000010884200", None),
        (b"LA 98 2000001088420", None),
        (b"LA 000 000001088420", None),
        (b"LA 982 274877906944", None),  # does not fit into 38 bits
        (b"LA 982 00000108842\xb0", None),
        (b"\x02", None),
        (b"", None),
    ],
)
def test_forms_of_a_line(line: bytes, code: str | None) -> None:
    tag = parse_tag(line)
    assert (tag.code if tag else None) == code


def test_the_country_of_a_tag() -> None:
    assert Tag("392000001234567").country == JAPAN
    assert Tag("982000001088420").country is None
    assert not Tag("R0006-0000000018514348").is_animal


CODES = st.builds(lambda c, o: f"{c:03d}{o:012d}", st.integers(1, 999), st.integers(0, LARGEST_OWN))
FORMS = st.sampled_from(["LA {} {}", "LA,{},{}", "LA;{};{}", "LA\t{}\t{}", "LA{}{}", "{} {}", "\x02LA 00000 0 {} {}"])


@given(st.lists(st.tuples(CODES, FORMS), max_size=6), st.lists(st.integers(1, 20), max_size=40))
def test_any_split_of_the_stream_gives_the_same_tags(tags: list[tuple[str, str]], cuts: list[int]) -> None:
    stream = b"".join(form.format(code[:3], code[3:]).encode() + b"\r\n" for code, form in tags)
    parser, found, at = TagLines(), [], 0
    for cut in [*cuts, len(stream)]:
        found += [tag.code for _, tag in parser.feed(stream[at : at + cut])]
        at += cut
    assert found == [code for code, _ in tags]
    assert parser.damaged == 0


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=6))
def test_noise_between_lines_is_never_a_tag(noise: list[bytes]) -> None:
    parser = TagLines()
    for piece in noise:
        found = {tag.code for _, tag in parser.feed(piece + b"\r\nLA 982 000001088420\r\n")}
        assert found == {"982000001088420"}


def test_a_tag_that_is_read_again_is_said_once_until_it_was_away_for_a_while() -> None:
    talker = TagTalker(Series("s", "gate", "ear_tag"), repeat_s=60)
    said = [bool(talker.feed(b"LA 982 000001088420\r\n", t)[0].texts) for t in (0.0, 1.0, 59.0, 118.0, 178.0, 300.0)]
    assert said == [True, False, False, False, True, True]
