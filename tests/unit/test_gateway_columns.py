"""Lines on a narrow screen."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.tools.columns import width, wrapped

WORDS = st.lists(st.text(st.sampled_from("abcか値。"), min_size=1, max_size=9), min_size=1, max_size=20)


@given(WORDS, st.integers(0, 6), st.integers(30, 80))
def test_nothing_is_lost_and_nothing_is_wider_than_the_screen(words: list[str], indent: int, columns: int) -> None:
    line = " " * indent + " ".join(words)
    parts = list(wrapped(line, columns))
    assert [word for part in parts for word in part.split()] == words
    assert all(width(part) <= columns for part in parts)


def test_what_goes_on_is_indented_and_a_long_word_stands_alone() -> None:
    assert list(wrapped("  one two three four", 12)) == ["  one two", "      three", "      four"]
    assert list(wrapped("see /dev/serial/by-path/pci-0000:00:14.0", 30)) == [
        "see",
        "    /dev/serial/by-path/pci-0000:00:14.0",
    ]
    assert width("気温 4") == 6
