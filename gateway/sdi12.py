"""SDI-12 without the wire: commands, replies, the CRC, and one measurement as a script. Pure.

A measurement is a generator that asks and waits; whoever runs it owns the wire, the retries and the clock:

    start (aM! / aC!) -> atttn -> Wait(ttt) -> aD0! … aD9! until n values are there
    continuous (aR0!) -> values at once

What cannot be true never becomes a value: a reply begins with the address asked, its CRC fits where one was asked
for, its body is values with a sign and nothing else. What goes wrong is the word of a state: `timeout`, `crc`,
`invalid`, `no-data` (the sensor answered and has nothing, or the measurement was aborted).

Sources: SDI-12 v1.4; Campbell Scientific's help pages on commands and CRC; Maiden Rock MRC-565 manual pp. 99-100.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Final, Literal

from pydantic import Field

from gateway.decode import INVALID
from gateway.lines import without_control
from gateway.profile import Measured, Profile, Serial, Strict
from makiba.located_yaml import Duration

NO_DATA: Final = "no-data"
CRC: Final = "crc"
TIMEOUT: Final = "timeout"
PAGES: Final = 10
ADDRESS_PATTERN: Final = "^[0-9A-Za-z]$"

# Sign always, at most seven digits and a point.
_VALUE = re.compile(rb"[+-](?=[0-9.]*[0-9])(?:[0-9]{0,7}\.[0-9]{0,7}|[0-9]{1,7})")
_VALUES = re.compile(rb"(?:" + _VALUE.pattern + rb")*")
MOST_DIGITS: Final = 7


def crc16(data: bytes) -> int:
    """CRC-16/ARC: start 0, reflected polynomial 0xA001; of `123456789` it is 0xBB3D."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc


def crc_text(data: bytes) -> bytes:
    """The CRC of `data` as the three characters that stand before CR LF."""
    crc = crc16(data)
    return bytes((0x40 | crc >> 12, 0x40 | crc >> 6 & 0x3F, 0x40 | crc & 0x3F))


def check_reply(address: str, line: bytes, *, with_crc: bool) -> bytes | str:
    """What stands after the address in a reply (a line without its end), or the state that says why not."""
    text = without_control(line) if not with_crc else line.lstrip(b"\x00")
    if not text.isascii() or (with_crc and (len(text) < 4 or crc_text(text[:-3]) != text[-3:])):
        return CRC
    body = text[:-3] if with_crc else text
    return body[1:] if body[:1] == address.encode() else INVALID


def parse_start(body: bytes) -> tuple[int, int] | None:
    """Seconds until ready and number of values, of `tttn` (M) or `tttnn` (C); None when it is neither."""
    if len(body) not in (4, 5) or not body.isdigit():
        return None
    return int(body[:3]), int(body[3:])


def parse_values(body: bytes) -> tuple[float, ...] | None:
    """The values after the address; empty when the sensor has none; None when it is anything else."""
    if not _VALUES.fullmatch(body):
        return None
    texts = _VALUE.findall(body)
    if any(sum(c in b"0123456789" for c in text) > MOST_DIGITS for text in texts):
        return None
    return tuple(int(t) if b"." not in t else float(t) for t in texts)


@dataclass(frozen=True, slots=True)
class Identity:
    """The answer to `aI!`."""

    version: str
    vendor: str
    model: str
    firmware: str
    serial: str


def parse_identity(body: bytes) -> Identity | None:
    """`aI!`: SDI version 2, vendor 8, model 6, version 3 characters, and a serial number."""
    if len(body) < 19 or not body.isascii() or not body[:2].isdigit():
        return None
    text = body.decode("ascii")
    vendor, model, firmware = text[2:10].strip(), text[10:16].strip(), text[16:19].strip()
    return Identity(f"{text[0]}.{text[1]}", vendor, model, firmware, text[19:].strip())


@dataclass(frozen=True, slots=True)
class Ask:
    """Send `command`; send back the reply's body, or the state that was left when the retries were used up.

    A body that `accept` refuses is asked for again; the last one is sent back all the same.
    """

    command: bytes
    with_crc: bool
    accept: Callable[[bytes], bool]


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to the sensor for `ready_s`. With `holds_bus` it says itself when it is ready, and nobody may talk."""

    ready_s: int
    holds_bus: bool


Outcome_ = tuple[float, ...] | str
Script = Generator[Ask | Wait, bytes | str, Outcome_]


def measure(address: str, command: str, *, crc: bool) -> Script:
    """One measurement: returns its values, or the state that says why there are none."""
    verb = command[0] + ("C" if crc else "") + command[1:]
    start = f"{address}{verb}!".encode()
    if command[0] == "R":
        return (yield from _one_page(Ask(start, crc, lambda b: bool(parse_values(b)))))
    digits = 4 if command[0] == "M" else 5
    # The CRC is asked for with the start and comes with the data.
    body = yield Ask(start, False, lambda b: parse_start(b) is not None and len(b) == digits)
    if isinstance(body, str):
        return body
    begun = parse_start(body) if len(body) == digits else None
    if begun is None:
        return INVALID
    ready_s, count = begun
    if count == 0:
        return NO_DATA
    if ready_s:
        yield Wait(ready_s, command[0] == "M")
    values: list[float] = []
    for page in range(PAGES):
        got = yield from _one_page(Ask(f"{address}D{page}!".encode(), crc, lambda b: bool(parse_values(b))))
        if isinstance(got, str):
            return got
        values += got
        if len(values) >= count:
            return tuple(values) if len(values) == count else INVALID
    return NO_DATA


def _one_page(ask: Ask) -> Script:
    body = yield ask
    if isinstance(body, str):
        return body
    values = parse_values(body)
    if values is None:
        return INVALID
    return values or NO_DATA


class Sdi12Value(Measured):
    """One value of a measurement, by its place."""

    value: int = Field(ge=1, le=99, description="Its place among the measurement's values, counted from 1")


class Measurement(Strict):
    """One command and what its values are."""

    command: Annotated[str, Field(pattern="^(M[1-9]?|C[1-9]?|R[0-9])$")] = "M"
    crc: bool = Field(default=False, description="Ask with a CRC (aMC!, aCC!, aRC0!); SDI-12 1.3 and later")
    values: Annotated[list[Sdi12Value], Field(min_length=1)]


class Identified(Strict):
    """What `aI!` says of the sensors that a profile describes; case does not count."""

    vendor: str = Field(min_length=1, max_length=8)
    model: str | None = Field(default=None, min_length=1, max_length=6, description="Left out: any of this vendor")

    def names(self, identity: Identity) -> bool:
        wanted = (self.vendor.strip().casefold(), (self.model or identity.model).strip().casefold())
        return wanted == (identity.vendor.casefold(), identity.model.casefold())


class Sdi12Profile(Profile):
    """A sensor on an SDI-12 bus. Its measurements are made one after the other."""

    driver: Literal["sdi12"]
    identified_by: list[Identified] = Field(default=[], description="How scan knows it: what it answers to aI!")
    serial: Serial = Serial(baud=1200, parity="even", data_bits=7)
    # The standard's 15 ms, and what an adapter on USB adds.
    timeout: Duration = timedelta(milliseconds=300)
    measurements: Annotated[list[Measurement], Field(min_length=1)]

    def measured(self) -> Iterator[tuple[tuple[str | int, ...], Measured]]:
        for m, measurement in enumerate(self.measurements):
            for v, value in enumerate(measurement.values):
                yield ("measurements", m, "values", v), value

    def places(self) -> tuple[tuple[int, int], ...]:
        """(measurement, place of the value from 0), in the order of `measured`."""
        return tuple((m, v.value - 1) for m, measurement in enumerate(self.measurements) for v in measurement.values)

    def problems(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        yield from super().problems()
        for m, measurement in enumerate(self.measurements):
            most = 9 if measurement.command[0] == "M" else 99
            for v, value in enumerate(measurement.values):
                if value.value > most:
                    yield ("measurements", m, "values", v, "value"), f"a{measurement.command}! gives at most {most}"


Poll_ = Generator[Ask | Wait, bytes | str, dict[int, Outcome_]]


def poll(address: str, profile: Sdi12Profile, wanted: Iterable[int]) -> Poll_:
    """The `wanted` measurements of a sensor, by their place; the rest is left out once one finds nobody."""
    found: dict[int, Outcome_] = {}
    for place in sorted(set(wanted)):
        measurement = profile.measurements[place]
        found[place] = yield from measure(address, measurement.command, crc=measurement.crc)
        if found[place] in NOBODY:
            break
    return found


NOBODY: Final = (TIMEOUT, "no-echo")


def next_step(due_ns: Sequence[int], ready_ns: Mapping[int, int]) -> tuple[int, int]:
    """Which sensor is next, and when: one whose measurement is ready before one that is only due.

    `ready_ns` has the sensors that measure; until they are done nothing else is sent to them.
    """
    waiting = [(at, 0, index) for index, at in ready_ns.items()]
    waiting += [(at, 1, index) for index, at in enumerate(due_ns) if index not in ready_ns]
    at, _, index = min(waiting)
    return index, at
