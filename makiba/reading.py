"""A series, and a reading of it: the two words that everything else is made of.

A series is site / subject / quantity. At most one reading exists per series and time.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True, order=True)
class Series:
    """What a value is about: `site` (a farm), `subject` (a device's channel or an animal), `quantity`."""

    site: str
    subject: str
    quantity: str

    def __post_init__(self) -> None:
        for part, pattern, value in (
            ("site", _SITE, self.site),
            ("subject", _SUBJECT, self.subject),
            ("quantity", _QUANTITY, self.quantity),
        ):
            if not pattern.fullmatch(value):
                raise ValueError(f"{part} {value[:80]!r} is not of the form {pattern.pattern}")

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
