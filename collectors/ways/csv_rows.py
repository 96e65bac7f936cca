"""Rows of a CSV file as they come, each with where it stands, in flat memory.

Bytes that are not of the file's encoding do not end the reading: the row that holds them is told. So is a row that is
no CSV (a quote that is never closed swallows at most `FIELD_LIMIT` characters, and a row `ROW_LIMIT`).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final

FIELD_LIMIT: Final = 100_000
ROW_LIMIT: Final = 1_000_000
"""Characters of one row: short fields over many lines do not fill the memory."""

_SURROGATES: Final = range(0xDC80, 0xDD00)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a file is written."""

    encoding: str
    delimiter: str
    quote: str


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its fields, the line it begins on, its text as it stands in the file; or why it is none."""

    line: int
    fields: Sequence[str]
    text: str
    problem: str = ""

    def column_of(self, index: int, dialect: Dialect) -> int:
        """The column, from 1, at which field `index` begins on its line; of a field on a later line, 1."""
        column, quoted, count = 1, False, 0
        for place, char in enumerate(self.text):
            if count == index:
                break
            if char == dialect.quote:
                quoted = not quoted
            elif char == dialect.delimiter and not quoted:
                count, column = count + 1, place + 2
        return column - (self.text.rfind("\n", 0, column - 1) + 1)


class _Lines:
    """Lines of a binary file as text; remembers those that the row at hand is made of."""

    def __init__(self, file: BinaryIO, encoding: str) -> None:
        self._file, self._encoding = file, encoding
        self.number = 0
        self.read: list[str] = []
        self.bytes = 0
        self._of_row = 0

    def begin_row(self) -> None:
        """What is read from now on is another row."""
        self.read.clear()
        self._of_row = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        # A line at a time: no multi-byte character of the encodings that are allowed holds a newline byte.
        data = self._file.readline(FIELD_LIMIT * 4)
        if not data:
            raise StopIteration
        self.number += 1
        self.bytes += len(data)
        text = data.decode(self._encoding, "surrogateescape")
        if self.number == 1:
            text = text.removeprefix("\ufeff")
        self._of_row += len(text)
        if self._of_row > ROW_LIMIT:
            raise csv.Error(f"row larger than {ROW_LIMIT} characters")
        self.read.append(text)
        return text


class Rows:
    """The rows of `file`, the blank ones left out. `bytes_read` tells how far it is."""

    def __init__(self, file: BinaryIO, dialect: Dialect) -> None:
        self._lines = _Lines(file, dialect.encoding)
        self._reader = csv.reader(self._lines, delimiter=dialect.delimiter, quotechar=dialect.quote, strict=False)
        self._encoding = dialect.encoding

    @property
    def bytes_read(self) -> int:
        return self._lines.bytes

    def __iter__(self) -> Iterator[Row]:
        before = csv.field_size_limit(FIELD_LIMIT)
        try:
            while True:
                line = self._lines.number + 1
                self._lines.begin_row()
                try:
                    fields = next(self._reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    yield Row(line, (), "".join(self._lines.read)[:200], f"no row of CSV: {error}")
                    continue
                text = "".join(self._lines.read)
                if any(ord(char) in _SURROGATES for char in text):
                    yield Row(line, fields, text, f"holds bytes that are not {self._encoding}")
                elif any(field.strip() for field in fields):
                    yield Row(line, fields, text)
        finally:
            csv.field_size_limit(before)
