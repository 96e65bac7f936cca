"""A series, and a reading of it: the two words that everything else is made of.

A series is site / subject / quantity. At most one reading exists per series and time. `Columns` are readings without
an object for each, for where they come by the hundred thousand.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

# SenML (RFC 8428, section 4.5.1) allows A-Z a-z 0-9 and `- : . / _`, the first of a name alphanumeric.
# The slash separates the three parts, so that none of them may hold one.
_SITE = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_SUBJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9:._-]{0,63}")
_QUANTITY = re.compile(r"[a-z][a-z0-9_]{0,63}")

SITE_PATTERN = f"^{_SITE.pattern}$"
SUBJECT_PATTERN = f"^{_SUBJECT.pattern}$"
QUANTITY_PATTERN = f"^{_QUANTITY.pattern}$"

MAX_TEXT = 200
"""Longest text value, in characters: a device's state, a firmware version, an ear tag."""

# RFC 8428, section 4.5.3: a time below 2**28 s is relative to now, so nothing earlier can be absolute.
EARLIEST_MS = 2**28 * 1000
LATEST_MS = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z

Value = float | str


class _Parts(NamedTuple):
    site: str
    subject: str
    quantity: str


class Series(_Parts):
    """What a value is about: `site` (a farm), `subject` (a device's channel or an animal), `quantity`.

    A tuple of its three parts, since every reading is looked up by it: hash and comparison are the tuple's.
    """

    __slots__ = ()

    def __new__(cls, site: str, subject: str, quantity: str) -> Series:
        for part, pattern, value in (
            ("site", _SITE, site),
            ("subject", _SUBJECT, subject),
            ("quantity", _QUANTITY, quantity),
        ):
            if not pattern.fullmatch(value):
                raise ValueError(f"{part} {value[:80]!r} is not of the form {pattern.pattern}")
        return super().__new__(cls, site, subject, quantity)

    def __str__(self) -> str:
        return f"{self.site}/{self.subject}/{self.quantity}"

    @classmethod
    def parse(cls, name: str) -> Series:
        """The series of a full SenML name `site/subject/quantity`; `ValueError` when it is not one."""
        parts = name.split("/")
        if len(parts) != 3:
            raise ValueError(f"{name[:200]!r} is not site/subject/quantity")
        return cls(*parts)


@dataclass(frozen=True, slots=True)
class Reading:
    """One value of a series at `time_ms`, UTC in whole milliseconds since 1970, when it was measured.

    A number is in the quantity's unit (see `quantities.yaml`) and finite; a text quantity has a `str`.
    """

    series: Series
    time_ms: int
    value: Value

    def __post_init__(self) -> None:
        if not EARLIEST_MS <= self.time_ms <= LATEST_MS:
            raise ValueError(f"{self.series}: time {self.time_ms} ms is not a time since 1978")
        if isinstance(self.value, str):
            if len(self.value) > MAX_TEXT:
                raise ValueError(f"{self.series}: text of {len(self.value)} characters, at most {MAX_TEXT}")
        elif not math.isfinite(self.value):
            raise ValueError(f"{self.series}: {self.value} is not a finite number")


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Readings as three lists of one length: the i-th reading is `series[i]`, `times_ms[i]`, `values[i]`.

    Nothing is checked here: whoever fills the lists puts in only what `Reading` would take. They may be extended,
    not by two threads at once. The same `Series` object should stand for a series throughout, which makes it cheap.
    """

    series: list[Series] = field(default_factory=list)
    times_ms: list[int] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.times_ms)

    @classmethod
    def of(cls, readings: Iterable[Reading]) -> Columns:
        """`readings` as columns, in order."""
        rows = list(readings)
        return cls([r.series for r in rows], [r.time_ms for r in rows], [r.value for r in rows])

    def readings(self) -> list[Reading]:
        """An object for each, in order; `ValueError` when one is none that `Reading` takes."""
        return [Reading(*row) for row in zip(self.series, self.times_ms, self.values, strict=True)]

    def extend(self, more: Columns) -> None:
        """Appends the readings of `more`."""
        self.series.extend(more.series)
        self.times_ms.extend(more.times_ms)
        self.values.extend(more.values)
