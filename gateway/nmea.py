"""NMEA 0183 sentences from bytes, and values from sentences. Pure.

A sentence is `$` talker and formatter, fields, `*` and a checksum (exclusive or of what stands between `$` and `*`),
CR LF. The parser eats any split of the stream and gives the same sentences; a sentence without or with a wrong
checksum is counted, never used. The formatter (`MWV`) says what a sentence is; the talker (`WI`) counts only where a
profile names it, because two instruments share a line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from gateway.decode import INVALID, Outcome, judge_raw
from gateway.driver import Point
from gateway.listen import Frame
from gateway.profile import Measured, Profile
from makiba.quantities import Quantity
from makiba.reading import Series

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)")

LONGEST = 256
"""The standard says 82 characters; real weather stations send longer XDR sentences."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """`formatter` is like `MWV`; `fields[0]` is the address (`WIMWV`), so that field 1 is the standard's first."""

    formatter: str
    fields: tuple[str, ...]

    @property
    def talker(self) -> str:
        """`WI` of `WIMWV`."""
        return self.fields[0][:-3]


@dataclass(slots=True)
class SentenceParser:
    """Feed bytes, get sentences. `damaged` counts lines that looked like one and were not sound."""

    damaged: int = 0
    _buffer: bytearray = field(default_factory=bytearray)
    _is_cut: bool = False

    def feed(self, data: bytes) -> list[Sentence]:
        self._buffer += data
        found: list[Sentence] = []
        while (end := self._buffer.find(b"\n")) >= 0:
            self._keep_the_end(end)
            end = self._buffer.find(b"\n")
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            found += self._line(line)
            self._is_cut = False
        self._keep_the_end(len(self._buffer))
        return found

    def _keep_the_end(self, length: int) -> None:
        """A sentence may stand at the end of noise of any length; more than its own length is never needed."""
        if length > LONGEST:
            del self._buffer[: length - LONGEST]
            self.damaged += not self._is_cut
            self._is_cut = True

    def _line(self, line: bytes) -> Iterator[Sentence]:
        # What stands before the last `$` is the rest of a sentence that was cut off.
        start = line.rfind(b"$")
        if start < 0:
            self.damaged += bool(line.strip()) and not self._is_cut
            return
        sentence = parse_sentence(line[start:].rstrip(b"\r"))
        if sentence is None:
            self.damaged += not self._is_cut
        else:
            yield sentence


def parse_sentence(line: bytes) -> Sentence | None:
    """One line without its end; None when its checksum is missing or wrong, or it is not plain ASCII."""
    body, star, given = line[1:].partition(b"*")
    if line[:1] != b"$" or not star or len(line) > LONGEST:
        return None
    total = 0
    for byte in body:
        total ^= byte
    if given.upper() != b"%02X" % total or not body.isascii():
        return None
    fields = tuple(body.decode("ascii").split(","))
    return Sentence(fields[0][-3:], fields)


def _texts(given: Any) -> Any:
    return [given] if isinstance(given, str) else given


Letters = Annotated[
    tuple[str, ...], BeforeValidator(_texts, json_schema_input_type=str | list[str]), Field(strict=False)
]


class SentenceField(Measured):
    """Where a value stands in a sentence.

    Either a `field`, counted from 1, or a transducer of XDR (groups of type, value, unit, id). `units` says
    by the letter in `unit_field` what unit the value has.
    """

    sentence: str = Field(pattern="^[A-Z]{3}$")
    talker: Letters = Field(default=(), description="Only from these talkers (WI, II); empty: any")
    field: int | None = Field(default=None, ge=1, le=60)
    transducer: str | None = Field(default=None, description="Type letter of an XDR group")
    id: Letters = Field(default=(), description="Ids of an XDR group; empty: any")
    unit_field: int | None = Field(default=None, ge=1, le=60)
    units: dict[str, str] = Field(default={}, description="Unit by the letter that the sentence gives")
    when: dict[Annotated[int, Field(ge=1)], Letters] = Field(default={}, description="Only with these letters")
    unless: dict[Annotated[int, Field(ge=1)], Letters] = Field(default={}, description="Not with these letters")
    good: dict[Annotated[int, Field(ge=1)], Letters] = Field(
        default={}, description="Status fields: with any other letter the value is `invalid`"
    )


class NmeaProfile(Profile):
    """A device that talks by itself in NMEA 0183."""

    driver: Literal["nmea"]
    values: Annotated[list[SentenceField], Field(min_length=1)]

    def measured(self) -> Iterator[tuple[tuple[str | int, ...], Measured]]:
        for index, value in enumerate(self.values):
            yield ("values", index), value

    def repeats_series(self) -> bool:
        return True

    def problems(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        yield from super().problems()
        for index, value in enumerate(self.values):
            if (value.field is None) == (value.transducer is None):
                yield ("values", index), "needs either 'field' or 'transducer'"
            if value.transducer is None:
                continue
            if value.sentence != "XDR":
                yield ("values", index, "transducer"), "transducers stand in XDR only"
            for key in ("unit_field", "when", "unless", "good"):
                if getattr(value, key):
                    yield ("values", index, key), "means nothing for a transducer, which has its own unit and id"


Extract = Callable[[Sentence], Outcome | None]
"""None: the sentence has nothing for this value."""


def extractor(value: SentenceField, quantity: Quantity) -> Extract:
    """Sentence -> outcome for one value of a profile; `ValueError` when a unit does not fit."""
    judges = {
        letter: judge_raw(value.model_copy(update={"unit": unit}), quantity) for letter, unit in value.units.items()
    }
    plain = judge_raw(value, quantity)

    def read(text: str, letter: str | None) -> Outcome | None:
        if not text.strip():
            return None  # an empty field is 'no value', which is not a fault
        judge = plain if letter is None or not judges else judges.get(letter)
        if judge is None:
            return INVALID
        return judge(float(text)) if _NUMBER.fullmatch(text.strip()) else INVALID

    def from_field(sentence: Sentence) -> Outcome | None:
        fields = sentence.fields
        assert value.field is not None
        if not _allowed(value.when, fields) or _hit(value.unless, fields):
            return None
        letter = _at(fields, value.unit_field) if value.unit_field else None
        outcome = read(_at(fields, value.field), letter)
        return outcome if outcome is None or _allowed(value.good, fields) else INVALID

    def from_xdr(sentence: Sentence) -> Outcome | None:
        groups = sentence.fields[1:]
        for at in range(0, len(groups) - 3, 4):
            kind, text, letter, name = groups[at : at + 4]
            if kind == value.transducer and (not value.id or name in value.id):
                return read(text, letter)
        return None

    extract = from_xdr if value.transducer is not None else from_field
    if not value.talker:
        return extract
    return lambda sentence: extract(sentence) if sentence.talker in value.talker else None


class NmeaTalker:
    """Sentences -> frames, by a profile; see `gateway.listen.Talker`."""

    def __init__(self, profile: NmeaProfile, points: Sequence[Point]) -> None:
        self._parser = SentenceParser()
        self._by_formatter: dict[str, list[tuple[Point, Extract]]] = {}
        for point in points:
            value = profile.values[point.index]
            self._by_formatter.setdefault(value.sentence, []).append((point, extractor(value, point.quantity)))

    @property
    def damaged(self) -> int:
        return self._parser.damaged

    def feed(self, data: bytes, now_s: float) -> list[Frame]:
        del now_s
        return [self.frame(sentence) for sentence in self._parser.feed(data)]

    def frame(self, sentence: Sentence) -> Frame:
        """What the sentence has, the first entry of a series winning."""
        found: dict[Series, tuple[Point, Outcome]] = {}
        for point, extract in self._by_formatter.get(sentence.formatter, ()):
            outcome = extract(sentence)
            if outcome is not None:
                found.setdefault(point.series, (point, outcome))
        return Frame("$" + ",".join(sentence.fields), tuple(found.values()), kind=f"${sentence.fields[0]}")


def _at(fields: Sequence[str], place: int) -> str:
    return fields[place] if place < len(fields) else ""


def _allowed(rules: dict[int, tuple[str, ...]], fields: Sequence[str]) -> bool:
    return all(_at(fields, place) in letters for place, letters in rules.items())


def _hit(rules: dict[int, tuple[str, ...]], fields: Sequence[str]) -> bool:
    return any(_at(fields, place) in letters for place, letters in rules.items())
