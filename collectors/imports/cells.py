"""What stands in a cell, as spreadsheets and people in Japan write it. Pure.

Days as 2026/4/1, 2026-04-01, 2026年4月1日, 20260401, R8.4.1, 令和8年4月1日, or Excel's count of days; digits wide or
narrow, with the zeros that a spreadsheet took away; numbers with thousands. What can be read in two ways is refused,
and what was guessed is said. A cell is never calculated: `=1+1` is a text of four characters.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from datetime import time as TimeOfDay
from typing import Final, Generic, TypeVar

from collectors.imports.said import Said, said

T = TypeVar("T")

ERAS: Final = {"令和": 2018, "R": 2018, "平成": 1988, "H": 1988, "昭和": 1925, "S": 1925}
"""The year before the first of each era."""
EXCEL_DAY_ZERO: Final = date(1899, 12, 30)
EXCEL_DAYS: Final = range(20_000, 80_000)
"""1954..2119: below and above, a bare number is no day that somebody means."""
RESTORED_ZEROS: Final = 2
EARLIEST_DAY: Final = date(1950, 1, 1)
LATEST_DAY: Final = date(2100, 1, 1)
_TURNING: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029")
"""Signs that turn the direction of writing around, or end a line unseen."""
_LABEL: Final = re.compile(r"[^\s\x00-\x20\x7f-\xa0/\\:?#%\u200b-\u200f\u2060-\u206f\ufeff]+")
"""A number that stands in an address: no blanks and none of `/ \\ : ? # %`."""

_PARTS: Final = re.compile(r"(\d{4})([/.\-年])(\d{1,2})([/.\-月])(\d{1,2})日?")
_COMPACT: Final = re.compile(r"(\d{4})(\d{2})(\d{2})")
_ERA: Final = re.compile(r"(令和|平成|昭和|[RHS])\s?(元|\d{1,2})([/.\-年])(\d{1,2})([/.\-月])(\d{1,2})日?")
_TWO_WAYS: Final = re.compile(r"\d{1,2}[/.\-]\d{1,2}[/.\-]\d{1,4}")
_SERIAL: Final = re.compile(r"(\d{5})(\.0+)?")
_CLOCK: Final = re.compile(r"(\d{1,2})(?::|時)(\d{1,2})(?:(?::|分)(\d{1,2})?)?秒?")
_ROUNDED: Final = re.compile(r"\d(\.\d+)?E\+?\d+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Read(Generic[T]):
    """A value that was read; `said` when it was guessed."""

    value: T
    said: Said | None = None


def plain(text: str) -> str:
    """`text` with wide digits, letters and signs as narrow ones, without blanks around it."""
    return text.strip() if text.isascii() else unicodedata.normalize("NFKC", text).replace("−", "-").strip()


def unwrapped(text: str) -> str:
    """`="0123"` and `'0123`, as people keep a spreadsheet from eating zeros, without the wrapping."""
    if text.startswith('="') and text.endswith('"') and len(text) > 2:
        return text[2:-1]
    return text.removeprefix("'")


def day_of(text: str, format_: str = "") -> Read[date] | Said:
    """The day that `text` is; a time of day behind it is left out."""
    whole = plain(text)
    if format_:
        try:
            return Read(datetime.strptime(whole, format_).date())  # noqa: DTZ007 (a day has no zone)
        except (ValueError, re.error):  # re.error: a form that names one part twice
            return said("not-a-day", text=whole)
    word = re.sub(r"[ T]\d{1,2}:\d{2}(:\d{2}(\.0+)?)?$", "", whole)
    if found := _PARTS.fullmatch(word) or _COMPACT.fullmatch(word):
        numbers = [int(part) for part in found.groups() if part.isdigit()]
        return _checked(numbers, whole)
    if found := _ERA.fullmatch(word.upper() if word[:1] in "rhs" else word):
        year = 1 if found[2] == "元" else int(found[2])
        return _checked([ERAS[found[1]] + year, int(found[4]), int(found[6])], whole) if year else _no_day(whole)
    if (found := _SERIAL.fullmatch(word)) and int(found[1]) in EXCEL_DAYS:
        day = EXCEL_DAY_ZERO + timedelta(days=int(found[1]))
        return Read(day, said("serial-day", text=whole, day=day.isoformat()))
    return said("unclear-day", text=whole) if _TWO_WAYS.fullmatch(word) else _no_day(whole)


def _checked(parts: list[int], text: str) -> Read[date] | Said:
    try:
        day = date(*parts)
    except ValueError:
        return _no_day(text)
    return Read(day) if EARLIEST_DAY <= day <= LATEST_DAY else _no_day(text)


def _no_day(text: str) -> Said:
    return said("not-a-day", text=text)


def clock_of(text: str) -> TimeOfDay | None:
    """The time of day in `text`, alone or behind a day; None where there is none."""
    word = plain(text)
    found = _CLOCK.fullmatch(word) or _CLOCK.fullmatch(re.split(r"[ T]", word)[-1])
    if not found:
        return None
    try:
        return TimeOfDay(int(found[1]), int(found[2]), int(found[3] or 0))
    except ValueError:
        return None


def digits_of(text: str, count: int) -> Read[str] | Said:
    """The `count` digits that `text` is: with blanks or hyphens, or with leading zeros taken away."""
    whole = unwrapped(plain(text))
    if _ROUNDED.fullmatch(whole):
        return said("digits-lost", text=whole)
    word = re.sub(r"[\s\-]", "", whole)
    word = word.removesuffix(".0")
    if not (word.isascii() and word.isdigit()) or len(word) > count:
        return said("not-digits", text=whole, count=count)
    if len(word) == count:
        return Read(word)
    if count - len(word) > RESTORED_ZEROS:
        return said("not-digits", text=whole, count=count)
    full = word.zfill(count)
    return Read(full, said("zeros-restored", text=word, digits=full))


def text_of(text: str, most: int, *, lines: bool = False) -> Read[str] | Said:
    """A text of people: as it is, without blanks around it; several `lines` where they may be."""
    word = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    allowed = "\n\t" if lines else ""
    if any((unicodedata.category(c) in ("Cc", "Cs") or c in _TURNING) and c not in allowed for c in word):
        return said("control")
    if len(word) > most:
        return said("too-long", count=len(word), most=most)
    return Read(unicodedata.normalize("NFC", word))


def label_of(text: str, most: int) -> Read[str] | Said:
    """The farm's own number of something."""
    word = unwrapped(plain(text))
    if len(word) > most:
        return said("too-long", count=len(word), most=most)
    return Read(word) if _LABEL.fullmatch(word) else said("not-a-label", text=word)
