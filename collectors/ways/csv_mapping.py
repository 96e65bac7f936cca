"""A mapping file: what the columns of somebody's CSV are, as data; and one row by it. Pure.

Two phases: the mapping's form (keys, quantities, units), each error at its place in the mapping; then, against the
heads of the file, which columns there are. What is wrong with a row is told at its place in the file, and the row's
other values are taken.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from datetime import time as TimeOfDay
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, Field, model_validator

from collectors.imports.cells import Read, clock_of, day_of, digits_of, plain
from collectors.imports.said import Said, said
from collectors.ways.csv_rows import Dialect
from collectors.ways.values import Scaling, Strict, Valued, number_in, scaling_of, unit_problem
from makiba.located_yaml import ConfigErrors, Located, Path_, Problem, load_located, parse_located
from makiba.quantities import catalogue
from makiba.reading import EARLIEST_MS, LATEST_MS, MAX_TEXT, SITE_PATTERN, SUBJECT_PATTERN, Reading, Series
from makiba.units import conversion
from makiba.words import nearest

ColumnName = Annotated[str, Field(min_length=1, max_length=200)] | Annotated[int, Field(ge=1, le=1000)]
"""A head, or the place of a column, counted from 1."""
_CHANNEL = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$"
NOON: Final = TimeOfDay(12)
_UNIX: Final = {"unix": 1000, "unix-ms": 1}


def _timezone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"{name!r} is not a time zone{nearest(name, available_timezones())}")
    return name


class FileForm(Strict):
    """How a file is written, of whatever it is. UTF-8 may begin with a byte order mark; `auto` looks at the file."""

    encoding: Literal["auto", "utf-8", "cp932"] = "utf-8"
    delimiter: Literal["auto", ",", ";", "\t", "|"] = ","
    quote: Annotated[str, Field(min_length=1, max_length=1)] = '"'
    decimal: Literal[".", ","] = "."
    missing: list[str] = Field(default_factory=lambda: ["", "-"], description="Texts that mean 'no value'")


class FileEntry(FileForm):
    """How a file of readings is written."""

    heads: Annotated[int, Field(ge=0, le=100, description="Rows before the data; the last has the heads")] = 1


class TimeEntry(Strict):
    """When it was measured: one column, or several joined by a blank.

    `format`: iso, unix, unix-ms, auto (as people and spreadsheets in Japan write days, with a time or without), or
    the words of strptime. `at` is the time of day where the file has a date only; for auto, noon without it.
    """

    columns: Annotated[list[ColumnName], Field(min_length=1, max_length=5)]
    format: Annotated[str, Field(min_length=1, max_length=100)] = "iso"
    timezone: Annotated[str, AfterValidator(_timezone)] = "Asia/Tokyo"
    at: Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")] | None = None


class SubjectEntry(Strict):
    """Whose values a row has: the text of a column, or what `values` makes of it."""

    column: ColumnName
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9:._-]{0,32}$")] = ""
    values: dict[str, Annotated[str, Field(pattern=SUBJECT_PATTERN)]] = Field(default_factory=dict)
    digits: Literal[10, 15] | None = Field(
        default=None, description="How many digits a name has: zeros that a spreadsheet took away are put back"
    )


class ValueEntry(Valued):
    """A column that holds values of one quantity."""

    column: ColumnName
    channel: Annotated[str, Field(pattern=_CHANNEL)] | None = Field(
        default=None, description="Part of the subject's name after the dot"
    )


class LongEntry(Strict):
    """A file with one value a row, and a column that says of which quantity (as `makiba export` writes it)."""

    quantity: ColumnName
    value: ColumnName
    text: ColumnName | None = None
    unit: ColumnName | None = None


class MappingFile(Strict):
    """A whole mapping. `values` or `long`, not both."""

    site: Annotated[str, Field(pattern=SITE_PATTERN)] | None = None
    file: FileEntry = FileEntry()
    time: TimeEntry
    subject: Annotated[str, Field(pattern=SUBJECT_PATTERN)] | SubjectEntry
    values: list[ValueEntry] = Field(default_factory=list)
    long: LongEntry | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> MappingFile:
        if bool(self.values) == (self.long is not None):
            raise ValueError("either 'values' (a column per quantity) or 'long' (a row per value)")
        return self


@dataclass(frozen=True, slots=True)
class Mapping_:
    """A mapping that is right by itself, and the places of its words."""

    model: MappingFile
    located: Located
    dialect: Dialect


def load_mapping(file: Path) -> Mapping_:
    """The mapping in `file`; `ConfigErrors` with every problem of it otherwise."""
    return _checked_mapping(load_located(file))


def parse_mapping(text: str, name: str) -> Mapping_:
    """The same for a text; `name` stands for it in errors."""
    return _checked_mapping(parse_located(text, name))


def _checked_mapping(located: Located) -> Mapping_:
    model = located.validate(MappingFile)
    problems: list[Problem] = []
    seen: dict[tuple[str, str | None], int] = {}
    for index, entry in enumerate(model.values):
        if wrong := unit_problem(entry):
            problems.append(located.problem(("values", index, "unit"), wrong))
        key = (entry.quantity, entry.channel)
        if key in seen:
            wrong = f"is value {seen[key] + 1} of this list already; give one of the two a channel"
            problems.append(located.problem(("values", index, "quantity"), wrong))
        seen.setdefault(key, index)
    if model.time.at is not None and model.time.format in ("iso", *_UNIX):
        problems.append(located.problem(("time", "at"), "needs a format that is a date only, such as %Y/%m/%d"))
    if problems:
        raise ConfigErrors(problems)
    return Mapping_(model, located, Dialect(model.file.encoding, model.file.delimiter, model.file.quote))


# ------------------------------------------------------------------------------------------------ bound to a file


@dataclass(frozen=True, slots=True)
class Wrong:
    """What is wrong in a row: the place of the field (None: the row), and why."""

    index: int | None
    why: Said

    @property
    def reason(self) -> str:
        """Why, in English."""
        return str(self.why)


@dataclass(frozen=True, slots=True)
class Odd:
    """What was guessed in a row that is taken all the same."""

    index: int
    why: Said


@dataclass(frozen=True, slots=True)
class _Value:
    index: int
    quantity: str
    suffix: str
    scaling: Scaling | None
    sentinels: frozenset[float]


@dataclass(frozen=True, slots=True)
class _Long:
    quantity: int
    value: int
    text: int | None
    unit: int | None


@dataclass(frozen=True, slots=True)
class Bound:
    """A mapping that found its columns in a file."""

    site: str
    time: tuple[int, ...]
    time_format: str
    zone: ZoneInfo
    at: TimeOfDay | None
    subject: int | None
    subject_text: str
    subject_values: dict[str, str]
    subject_digits: int | None
    values: tuple[_Value, ...]
    long: _Long | None
    missing: frozenset[str]
    decimal: str
    width: int


def bind(mapping: Mapping_, heads: Sequence[str] | None, site: str, file: str) -> Bound:
    """`mapping` with the columns of a file that has `heads`; `ConfigErrors` for each column that is not there."""
    model, located = mapping.model, mapping.located
    problems: list[Problem] = []

    def place(column: str | int | None, path: Path_) -> int:
        if isinstance(column, int):
            return column - 1
        if column is not None and heads is not None and column in heads:
            return list(heads).index(column)
        known = [head for head in heads or () if head]
        wrong = f"no column {column!r} in {file}{nearest(str(column), known)}"
        problems.append(located.problem(path, f"{wrong}; it has {', '.join(known) or 'no heads'}"))
        return 0

    entry = model.subject
    times = tuple(place(c, ("time", "columns", i)) for i, c in enumerate(model.time.columns))
    subject = place(entry.column, ("subject", "column")) if isinstance(entry, SubjectEntry) else None
    values = tuple(
        _Value(
            place(v.column, ("values", i, "column")), v.quantity, f".{v.channel}" if v.channel else "",
            None if catalogue()[v.quantity].kind == "text" else scaling_of(v), frozenset(v.sentinels),
        )
        for i, v in enumerate(model.values)
    )  # fmt: skip
    long = None
    if model.long is not None:
        more = {
            name: place(getattr(model.long, name), ("long", name)) if getattr(model.long, name) is not None else None
            for name in ("text", "unit")
        }
        long = _Long(
            place(model.long.quantity, ("long", "quantity")), place(model.long.value, ("long", "value")),
            more["text"], more["unit"],
        )  # fmt: skip
    if problems:
        raise ConfigErrors(problems)
    used = [*times, *(v.index for v in values), *([subject] if subject is not None else [])]
    if long is not None:
        used += [i for i in (long.quantity, long.value, long.text, long.unit) if i is not None]
    return Bound(
        site=site, time=times, time_format=model.time.format, zone=ZoneInfo(model.time.timezone),
        at=TimeOfDay.fromisoformat(model.time.at) if model.time.at else None, subject=subject,
        subject_text=entry.prefix if isinstance(entry, SubjectEntry) else entry,
        subject_values=dict(entry.values) if isinstance(entry, SubjectEntry) else {},
        subject_digits=entry.digits if isinstance(entry, SubjectEntry) else None,
        values=values, long=long, missing=frozenset(model.file.missing), decimal=model.file.decimal,
        width=1 + max(used),
    )  # fmt: skip


def read_row(bound: Bound, fields: Sequence[str]) -> Iterator[tuple[int, Reading] | Wrong | Odd]:
    """The readings of a row, each with the place of its field, and what is wrong in it, or odd."""
    if len(fields) < bound.width:
        yield Wrong(None, said("short-row", count=len(fields), need=bound.width))
        return
    moment_ms = _time_ms(bound, [plain(fields[index]) for index in bound.time])
    if isinstance(moment_ms, Said):
        yield Wrong(bound.time[0], moment_ms)
        return
    subject = _subject(bound, fields)
    if isinstance(subject, Wrong):
        yield subject
        return
    if bound.subject is not None and subject.odd is not None:
        yield Odd(bound.subject, subject.odd)
    if bound.long is not None:
        yield from _long_value(bound, bound.long, fields, subject.name, moment_ms)
        return
    for value in bound.values:
        text = fields[value.index].strip()
        if text not in bound.missing:
            yield from _value(bound, value, text, subject.name, moment_ms)


@dataclass(frozen=True, slots=True)
class _Named:
    """Whose a row is, and what was guessed about it."""

    name: str
    odd: Said | None = None


def _subject(bound: Bound, fields: Sequence[str]) -> _Named | Wrong:
    if bound.subject is None:
        return _Named(bound.subject_text)
    text = unicodedata.normalize("NFKC", fields[bound.subject]).strip()
    if bound.subject_values:
        found = bound.subject_values.get(text)
        return _Named(found) if found else Wrong(bound.subject, said("no-subject", text=text))
    if not text:
        return Wrong(bound.subject, said("whose"))
    odd = None
    if bound.subject_digits is not None:
        digits = digits_of(text, bound.subject_digits)
        if not isinstance(digits, Read):
            return Wrong(bound.subject, digits)
        text, odd = digits.value, digits.said
    try:
        Series("x", bound.subject_text + text, "x")
    except ValueError:
        return Wrong(bound.subject, said("not-a-subject", text=text))
    return _Named(bound.subject_text + text, odd)


def _value(bound: Bound, value: _Value, text: str, subject: str, at_ms: int) -> Iterator[tuple[int, Reading] | Wrong]:
    series = Series(bound.site, subject + value.suffix, value.quantity)
    if value.scaling is None:
        yield from _text(series, value.index, text, at_ms)
        return
    number = plain_number(text, bound.decimal)
    if number is None:
        yield Wrong(value.index, said("not-a-number", text=text))
    elif float(number) not in value.sentinels:
        yield from _checked(series, value.index, at_ms, value.scaling.apply(number))


def _long_value(
    bound: Bound, long: _Long, fields: Sequence[str], subject: str, at_ms: int
) -> Iterator[tuple[int, Reading] | Wrong]:
    name = fields[long.quantity].strip()
    known = catalogue().get(name)
    if known is None:
        yield Wrong(long.quantity, said("no-quantity", text=name, near=nearest(name, catalogue())))
        return
    series = Series(bound.site, subject, name)
    if known.kind == "text":
        index = long.text if long.text is not None else long.value
        if fields[index] not in bound.missing:
            yield from _text(series, index, fields[index], at_ms)
        return
    text = fields[long.value].strip()
    if text in bound.missing:
        return
    unit = fields[long.unit].strip() or None if long.unit is not None else None
    found = conversion(unit, known.unit)
    number = plain_number(text, bound.decimal)
    if found is None:
        assert long.unit is not None
        yield Wrong(long.unit, said("no-unit", text=unit or "", name=name, known=known.unit or "a bare number"))
    elif number is None:
        yield Wrong(long.value, said("not-a-number", text=text))
    else:
        yield from _checked(series, long.value, at_ms, Scaling(conversion=found).apply(number))


def _text(series: Series, index: int, text: str, at_ms: int) -> Iterator[tuple[int, Reading] | Wrong]:
    if len(text) > MAX_TEXT:
        yield Wrong(index, said("too-long", count=len(text), most=MAX_TEXT))
    else:
        yield index, Reading(series, at_ms, text)


def _checked(series: Series, index: int, at_ms: int, value: float) -> Iterator[tuple[int, Reading] | Wrong]:
    known = catalogue()[series.quantity]
    if known.is_plausible(value):
        yield index, Reading(series, at_ms, value)
    else:
        bounds = f"{known.lowest}..{known.highest} {known.unit or ''}".rstrip()
        yield Wrong(index, said("not-plausible", text=f"{value:g}", bounds=bounds, name=series.quantity))


def plain_number(text: str, decimal: str) -> Fraction | None:
    """The number that `text` is, with wide digits and thousands; None when it is none."""
    narrow = plain(text).replace(" ", "")
    thousands = "." if decimal == "," else ","
    if thousands in narrow:
        # 1,234.5 has them; 12,5 is no number here, and must not become 125.
        if not _GROUPED[decimal].fullmatch(narrow):
            return None
        narrow = narrow.replace(thousands, "")
    return number_in(narrow.replace(",", "."))


_GROUPED: Final = {
    ".": re.compile(r"[+-]?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]*)?"),
    ",": re.compile(r"[+-]?[0-9]{1,3}(\.[0-9]{3})+(,[0-9]*)?"),
}


def _time_ms(bound: Bound, texts: Sequence[str]) -> int | Said:
    """The time in UTC ms, or why it is none."""
    text = " ".join(texts)
    if bound.time_format in _UNIX:
        number = number_in(text)
        if number is None:
            return said("no-time", text=text, form=f"in {bound.time_format}")
        return _within(round(number * _UNIX[bound.time_format]), text)
    try:
        if bound.time_format == "iso":
            moment = datetime.fromisoformat(text)
        elif bound.time_format == "auto":
            day = day_of(text)
            if isinstance(day, Said):
                return day
            moment = datetime.combine(day.value, clock_of(text) or bound.at or NOON)
        else:
            moment = datetime.strptime(text, bound.time_format)  # noqa: DTZ007 (the mapping's timezone comes next)
    except (ValueError, re.error):  # re.error: a form that names one part twice
        return said("no-time", text=text, form=f"of the form {bound.time_format}")
    if bound.at is not None and bound.time_format != "auto":
        moment = datetime.combine(moment.date(), bound.at)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=bound.zone)
        if moment.astimezone(UTC).astimezone(bound.zone).replace(tzinfo=None) != moment.replace(tzinfo=None):
            return said("clock-forward", text=text, zone=bound.zone.key)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return _within(since // timedelta(milliseconds=1), text)


def _within(at_ms: int, text: str) -> int | Said:
    return at_ms if EARLIEST_MS <= at_ms <= LATEST_MS else said("not-in-time", text=text)
