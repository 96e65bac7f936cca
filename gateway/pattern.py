"""Line protocols that are described instead of programmed: a pattern of a text line, or a binary frame. Pure.

A text line is matched as a whole by a regular expression with named groups. What the expression may say is small on
purpose, so that its cost has a bound that is computed when the profile is read: single characters, escapes, classes
and named groups, each followed by a quantifier at most; no alternatives, no nested or repeated groups, no
look-around. A repetition whose characters cannot be those that follow costs nothing to retry; the others multiply,
and a profile whose product exceeds `MOST_STEPS` is refused.

A binary frame has a start, a length and a checksum. Such a checksum is weak (a sum of 8 bits lets 1 in 256 through),
so that after bytes that belonged to no frame the first sound frame is only a sign that the stream is in step again;
values are taken from the next on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field

from gateway.decode import INVALID, judge_raw
from gateway.driver import Point
from gateway.lines import LineSplitter, without_control
from gateway.listen import Frame
from gateway.profile import Measured, Profile, Strict
from gateway.scale import Command
from makiba.quantities import catalogue

LONGEST: Final = 200
MOST_STEPS: Final = 100_000

_ATOM = re.compile(
    r"(?P<open>\(\?P<[a-z][a-z0-9_]{0,31}>)|(?P<close>\))"
    r"|(?P<atom>\[\^?\]?(?:\\.|[^\]\\])*\]|\\x[0-9A-Fa-f]{2}|\\[dswDSW]|\\[^0-9A-Za-z]|\\t|[^\\()\[\]{}*+?|^$])"
    r"(?P<times>[*+?]|\{\d{1,3}(?:,\d{0,3})?\})?"
)


@dataclass(frozen=True, slots=True)
class _Part:
    """One atom: the bytes it takes, and how often at least and at most."""

    bytes: frozenset[int]
    least: int
    most: int


def pattern_steps(pattern: str) -> int:
    """Most steps that a match of a line can take; `ValueError` when the pattern says what it may not."""
    parts = list(_parts(pattern))
    steps = 1
    for place, part in enumerate(parts):
        if part.most > part.least and part.bytes & _following(parts[place + 1 :]):
            steps *= part.most - part.least + 1
    return steps * LONGEST


def compile_pattern(pattern: str) -> re.Pattern[bytes]:
    """The pattern, for whole lines; `ValueError` with the reason when it is refused."""
    steps = pattern_steps(pattern)
    if steps > MOST_STEPS:
        raise ValueError(
            f"can take {steps} steps for one line, at most {MOST_STEPS} are allowed; "
            "end each repetition with a character that it cannot take, like [^,]*,"
        )
    return re.compile(pattern.encode("ascii"))


def _parts(pattern: str) -> Iterator[_Part]:
    if not pattern.isascii() or len(pattern) > LONGEST:
        raise ValueError(f"is not plain ASCII of at most {LONGEST} characters")
    at, inside = 0, False
    while at < len(pattern):
        found = _ATOM.match(pattern, at)
        if found is None:
            raise ValueError(
                f"{pattern[at : at + 8]!r} is not allowed; expected characters, classes and named groups, "
                "without alternatives or repeated groups"
            )
        at = found.end()
        if found["open"] or found["close"]:
            if bool(found["open"]) == inside:
                raise ValueError("groups cannot stand in each other, and each needs its end")
            inside = not inside
            continue
        try:
            one = re.compile(found["atom"].encode("ascii"))
        except re.error as error:
            raise ValueError(f"{found['atom']!r}: {error}") from None
        yield _Part(frozenset(b for b in range(256) if one.fullmatch(bytes((b,)))), *_times(found["times"]))
    if inside:
        raise ValueError("a group has no end")


def _times(text: str | None) -> tuple[int, int]:
    if text is None:
        return 1, 1
    if text in "*+?":
        return (1 if text == "+" else 0), (1 if text == "?" else LONGEST)
    low, comma, high = text[1:-1].partition(",")
    return int(low), int(high) if high else LONGEST if comma else int(low)


def _following(parts: list[_Part]) -> frozenset[int]:
    """The bytes that can come next."""
    found: frozenset[int] = frozenset()
    for part in parts:
        found |= part.bytes
        if part.least:
            break
    return found


def _safe(pattern: str) -> str:
    compile_pattern(pattern)
    return pattern


class TextLine(Strict):
    """A line of text, ended by CR or LF."""

    pattern: Annotated[str, AfterValidator(_safe)] = Field(
        description="Matches the whole line; values are its named groups"
    )


def _binary_type(name: str) -> tuple[int, bool]:
    return int(name.removeprefix("u").removeprefix("int")) // 8, not name.startswith("u")


Byte = Annotated[int, Field(ge=0, le=255)]


class BinaryFrame(Strict):
    """A frame of bytes with a fixed length; its last byte is the checksum if it has one."""

    start: Annotated[list[Byte], Field(min_length=1, max_length=4)]
    length: int = Field(ge=2, le=64)
    checksum: Literal["sum8", "xor8"] = Field(
        description="Over all bytes before it; sum8: the low 8 bits of their sum"
    )


class PatternValue(Measured):
    """Where a value stands: in a named group of the line, or at a place of the frame."""

    group: str | None = Field(default=None, description="Named group of the pattern")
    words: Mapping[str, Literal["sentinel", "invalid", "out-of-range"]] = Field(
        default={}, description="Texts of the group that mean a state"
    )
    at: int | None = Field(default=None, ge=0, le=63, description="First byte in the frame, counted from 0")
    type: Literal["uint8", "int8", "uint16", "int16", "uint32", "int32"] = "uint16"
    byte_order: Literal["big", "little"] = "big"


class LinesProfile(Profile):
    """An instrument with a line protocol of its own."""

    driver: Literal["lines"]
    line: TextLine | None = None
    frame: BinaryFrame | None = None
    poll: Command | None = Field(default=None, description="What is sent to ask for values; absent: it streams")
    values: Annotated[list[PatternValue], Field(min_length=1)]

    def measured(self) -> Iterator[tuple[tuple[str | int, ...], Measured]]:
        for index, value in enumerate(self.values):
            yield ("values", index), value

    def problems(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        yield from super().problems()
        if (self.line is None) == (self.frame is None):
            yield (), "needs either 'line' or 'frame'"
            return
        groups = compile_pattern(self.line.pattern).groupindex if self.line else {}
        for index, value in enumerate(self.values):
            here = ("values", index)
            if value.quantity and catalogue()[value.quantity].kind == "text":
                yield (*here, "quantity"), f"{value.quantity} is a text, and values are numbers"
            if self.line and value.group not in groups:
                known = ", ".join(groups) or "none"
                yield (*here, "group"), f"{value.group!r} is no group of the pattern; there are {known}"
            if self.frame:
                width = _binary_type(value.type)[0]
                if value.at is None or value.at + width > self.frame.length - 1:
                    yield (
                        (*here, "at"),
                        f"is missing or beyond the frame's {self.frame.length} bytes and their checksum",
                    )


_NUMBER = re.compile(rb" *([-+]?) *(\d{1,15}(?:\.\d{0,15})?|\.\d{1,15}) *")


def number(text: bytes) -> float | None:
    """The number in a text; an integer stays one. None when it is no number."""
    found = _NUMBER.fullmatch(text)
    if found is None:
        return None
    sign, digits = found.groups()
    value: float = float(digits) if b"." in digits else int(digits)
    return -value if sign == b"-" else value


@dataclass(slots=True)
class FrameParser:
    """Feed bytes, get sound frames; any split of the stream gives the same. `damaged` counts lost steps."""

    frame: BinaryFrame
    damaged: int = 0
    _buffer: bytearray = field(default_factory=bytearray)
    _in_step: bool = False
    _skipping: bool = False

    def feed(self, data: bytes) -> list[bytes]:
        self._buffer += data
        start, length = bytes(self.frame.start), self.frame.length
        found: list[bytes] = []
        while len(self._buffer) >= length:
            candidate = bytes(self._buffer[:length])
            if candidate.startswith(start) and _is_sound(candidate, self.frame.checksum):
                if self._in_step:
                    found.append(candidate)
                self._in_step, self._skipping = True, False
                del self._buffer[:length]
                continue
            self.damaged += not self._skipping
            self._in_step, self._skipping = False, True
            del self._buffer[:1]
        return found


def _is_sound(frame: bytes, checksum: str) -> bool:
    if checksum == "sum8":
        return sum(frame[:-1]) & 0xFF == frame[-1]
    total = 0
    for byte in frame:
        total ^= byte
    return total == 0


class LinesTalker:
    """Lines or frames of a described protocol; see `gateway.listen.Talker`."""

    def __init__(self, profile: LinesProfile, points: tuple[Point, ...]) -> None:
        self._damaged = 0
        self._points = [(p, profile.values[p.index], judge_raw(profile.values[p.index], p.quantity)) for p in points]
        if profile.line:
            self._pattern = compile_pattern(profile.line.pattern)
            self._lines = LineSplitter(LONGEST)
            self._feed: Callable[[bytes], list[Frame]] = self._feed_lines
        else:
            assert profile.frame is not None
            self._frames = FrameParser(profile.frame)
            self._feed = self._feed_frames

    @property
    def damaged(self) -> int:
        return self._damaged

    def feed(self, data: bytes, now_s: float) -> list[Frame]:
        del now_s
        return self._feed(data)

    def _feed_lines(self, data: bytes) -> list[Frame]:
        frames: list[Frame] = []
        before = self._lines.damaged
        for line in self._lines.feed(data):
            text = without_control(line)
            found = self._pattern.fullmatch(text)
            if found is None:
                self._damaged += bool(text)
                continue
            frames.append(Frame(text.decode("ascii", "backslashreplace"), tuple(self._from_line(found))))
        self._damaged += self._lines.damaged - before
        return frames

    def _from_line(self, found: re.Match[bytes]) -> Iterator[tuple[Point, Any]]:
        for point, value, judge in self._points:
            text = found[value.group or 0]
            word = value.words.get(text.decode("ascii", "replace").strip())
            raw = number(text)
            if word or text.strip():  # an empty group is 'no value', which is not a fault
                yield point, word or (INVALID if raw is None else judge(raw))

    def _feed_frames(self, data: bytes) -> list[Frame]:
        frames: list[Frame] = []
        for frame in self._frames.feed(data):
            values = tuple((p, judge(_binary(value, frame))) for p, value, judge in self._points)
            frames.append(Frame(frame.hex(" "), values))
        self._damaged = self._frames.damaged
        return frames


def _binary(value: PatternValue, frame: bytes) -> int:
    width, signed = _binary_type(value.type)
    assert value.at is not None
    return int.from_bytes(frame[value.at : value.at + width], value.byte_order, signed=signed)
