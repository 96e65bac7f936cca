"""CSV (RFC 4180) for spreadsheets and programs, in UTF-8 or in CP932, the Windows code page of Japan.

A text that a spreadsheet would take for a formula gets an apostrophe in front: whoever can name a firmware must not
run anything on the co-op's desk. Numbers are never touched, so that -5.2 stays a number. With `for_excel` the file
begins with a byte order mark, without which Excel reads UTF-8 as CP932, lines end with CRLF, and a column has the
farm's time of day as Excel understands it. A character that CP932 does not have is replaced: the few of units by
their nearest, others by the mark that Japanese print has for a missing one, 〓, and `replaced` counts those.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from datetime import tzinfo
from typing import Any, Final, Literal

from collectors.out.clock import IsoTimes
from collectors.out.table import Block, Column, Table

Encoding = Literal["utf-8", "cp932"]

FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", "−")
"""What a spreadsheet may begin a formula with; the wide ones where the desk is Japanese, and what CP932 makes one of.
Source: OWASP, CSV Injection."""

_CP932_NEAREST: Final = str.maketrans({"²": "2", "³": "3", "−": "－", "〜": "～", "·": "・"})
MISSING: Final = "〓"


def guarded(text: str) -> str:
    """`text` so that a spreadsheet shows it and does nothing with it."""
    return f"'{text}" if text.startswith(FORMULA) else text


class CsvForm:
    """Spells one table; `replaced` is complete when its last bytes are taken."""

    def __init__(self, zone: tzinfo, *, encoding: Encoding = "utf-8", for_excel: bool = False) -> None:
        self._iso = IsoTimes(zone)
        self._encoding = encoding
        self._for_excel = for_excel
        self.replaced = 0

    def bytes_of(self, table: Table) -> Iterator[bytes]:
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\r\n" if self._for_excel else "\n")
        if self._for_excel and self._encoding == "utf-8":
            yield codecs.BOM_UTF8
        writer.writerow(self._heads(table))
        for block in table.blocks:
            writer.writerows(zip(*self._spelled(table, block), strict=True))
            yield self._encoded(text.getvalue())
            text.seek(0)
            text.truncate()
        yield self._encoded(text.getvalue())  # the heads of an empty table

    def _heads(self, table: Table) -> list[str]:
        heads: list[str] = []
        for column in table.columns:
            heads.append(guarded(column.name))
            if self._for_excel and column.kind == "time":
                heads.append("local" if column.name == "time" else "現地時刻")
        return heads

    def _spelled(self, table: Table, block: Block) -> Iterator[list[Any]]:
        for column, values in zip(table.columns, block, strict=True):
            if column.kind == "time":
                times = [self._iso(value) for value in values]
                yield times
                if self._for_excel:
                    yield [time[:23].replace("T", " ").removesuffix(".000") for time in times]
            else:
                yield _safe(column, values)

    def _encoded(self, text: str) -> bytes:
        if self._encoding == "utf-8":
            return text.encode("utf-8", "replace")
        try:
            return text.encode("cp932")
        except UnicodeEncodeError:
            text = text.translate(_CP932_NEAREST)
            missing = {c for c in set(text) if not _is_cp932(c)}
            self.replaced += sum(text.count(c) for c in missing)
            return text.translate(dict.fromkeys(map(ord, missing), MISSING)).encode("cp932")


def _is_cp932(character: str) -> bool:
    try:
        character.encode("cp932")
    except UnicodeEncodeError:
        return False
    return True


def _safe(column: Column, values: list[Any]) -> list[Any]:
    if column.kind == "word" and values:
        # One series' block has one and the same word in all of its rows.
        return [guarded(values[0])] * len(values)
    if column.kind == "text":
        return [value if value is None else guarded(value) for value in values]
    return values
