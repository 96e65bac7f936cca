"""Ear tags from a reader's lines (ISO 11784/11785). Pure.

A tag is known by all its 15 digits: three of the country (ISO 3166 numeric; Japan is 392) or, from 900 on, of the
manufacturer, and twelve of its own. Two manufacturers' tags can share the twelve.

Forms of a line, with a space, comma, semicolon, tab or nothing between the fields, after an optional STX:
- `LA 982 000001088420` (Allflex RS320); L is the reader's mode, A an animal; the prefix may be absent, which is also
  the 16 characters of Gallagher and Tru-Test (not verified);
- `LA 00000 0 982 000001088420` (TIRIS): with the reserved field and the data block flag;
- `LR 0006 0000000018514348`: an industrial tag, kept as `R0006-0000000018514348`.

There is no checksum on the line. What is checked: the number of digits, and that the twelve fit into the 38 bits
that ISO 11784 gives them. A reader that says nothing is not broken: no animal came by.

Sources: Allflex RS320 user guide p. 20, AFX-100 pp. 19 and 40; ISO 24631-6 (STX).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from gateway.lines import LineSplitter, without_control
from gateway.listen import Frame
from gateway.profile import Measured, Profile
from makiba.reading import Series

JAPAN: Final = 392
FIRST_MANUFACTURER: Final = 900
LARGEST_OWN: Final = 2**38 - 1

_GAP = rb"(?P<gap>[ ,;\t]?)"
_ANIMAL = re.compile(
    rb"(?:L?A(?P<after>[ ,;\t]?))?" + rb"(?:\d{5}(?P<t1>[ ,;\t]?)[01](?P<t2>[ ,;\t]?))?"
    rb"(?P<country>\d{3})" + _GAP + rb"(?P<own>\d{12})"
)
_INDUSTRIAL = re.compile(rb"L?R(?P<after>[ ,;\t]?)(?P<kind>\d{4})" + _GAP + rb"(?P<own>\d{16})")


@dataclass(frozen=True, slots=True)
class Tag:
    """`code` is what the tag is known by everywhere: 15 digits, or `R0006-…` for an industrial one."""

    code: str

    @property
    def is_animal(self) -> bool:
        return self.code.isdigit()

    @property
    def country(self) -> int | None:
        """ISO 3166 numeric code; None for a manufacturer's number or an industrial tag."""
        prefix = int(self.code[:3]) if self.is_animal else FIRST_MANUFACTURER
        return prefix if prefix < FIRST_MANUFACTURER else None


def parse_tag(line: bytes) -> Tag | None:
    """The tag in a line without its end; None when the line is not one of the known forms."""
    text = without_control(line).rstrip(b" ")
    found = _ANIMAL.fullmatch(text)
    if found and _one_gap(found):
        country, own = found["country"].decode(), found["own"].decode()
        return Tag(country + own) if int(country) and int(own) <= LARGEST_OWN else None
    found = _INDUSTRIAL.fullmatch(text)
    if found and _one_gap(found):
        return Tag(f"R{found['kind'].decode()}-{found['own'].decode()}")
    return None


def _one_gap(found: re.Match[bytes]) -> bool:
    """Whether all gaps between the fields are the same."""
    gaps = {found[name] for name in ("after", "t1", "t2", "gap") if name in found.re.groupindex} - {None}
    return len(gaps) == 1


@dataclass(slots=True)
class TagLines:
    """Feed bytes, get tags. `damaged` counts lines that were no tag; STX alone is the power-up string."""

    damaged: int = 0
    _lines: LineSplitter = field(default_factory=lambda: LineSplitter(longest=64))

    def feed(self, data: bytes) -> list[tuple[str, Tag]]:
        found: list[tuple[str, Tag]] = []
        before = self._lines.damaged
        for line in self._lines.feed(data):
            tag = parse_tag(line)
            if tag is not None:
                found.append((without_control(line).decode("ascii"), tag))
            elif without_control(line).strip():
                self.damaged += 1
        self.damaged += self._lines.damaged - before
        return found


class TagProfile(Profile):
    """An ear-tag reader. Every form above is understood; the profile has the line's settings."""

    driver: Literal["eartag"]

    def measured(self) -> Iterator[tuple[tuple[str | int, ...], Measured]]:
        yield (), Measured(quantity="ear_tag")


class TagTalker:
    """A reader's lines as frames. A tag that is read again within `repeat_s` is said once."""

    def __init__(self, series: Series, repeat_s: float) -> None:
        self._lines = TagLines()
        self._series = series
        self._repeat_s = repeat_s
        self._read_s: dict[str, float] = {}

    @property
    def damaged(self) -> int:
        return self._lines.damaged

    def feed(self, data: bytes, now_s: float) -> list[Frame]:
        frames: list[Frame] = []
        for shown, tag in self._lines.feed(data):
            self._read_s = {code: s for code, s in self._read_s.items() if now_s - s < self._repeat_s}
            texts = () if tag.code in self._read_s else ((self._series, tag.code),)
            self._read_s[tag.code] = now_s
            frames.append(Frame(shown, texts=texts))
        return frames
