"""How a file is written, where nobody says so: its encoding and what separates its columns.

UTF-8 with or without a byte order mark, else CP932, by the whole file; the separator by the lines at its beginning.
What is no CSV at all (a workbook, UTF-16) is named, with what to do.
"""

from __future__ import annotations

import codecs
from collections import Counter
from pathlib import Path
from typing import Final

from collectors.ways.csv_rows import Dialect

SEPARATORS: Final = ",\t;|"
_LOOKED_AT: Final = 20
_PIECE: Final = 1 << 20


class NotCsv(ValueError):
    """The file is of another kind; the message says which, and what to do."""


def dialect_of(file: Path, encoding: str = "auto", delimiter: str = "auto", quote: str = '"') -> Dialect:
    """How `file` is written; what is not `auto` is taken as said. `NotCsv` for a workbook and the like."""
    with file.open("rb") as binary:
        head = binary.read(8192)
    if head.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise NotCsv("is a workbook; save it as CSV UTF-8 first")
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\x00" in head:
        raise NotCsv("is UTF-16 or no text; save it as CSV UTF-8 first")
    found = encoding if encoding != "auto" else _encoding(file)
    text = head.decode(found, "replace").removeprefix("\ufeff")
    return Dialect(found, delimiter if delimiter != "auto" else _separator(text, quote), quote)


def _encoding(file: Path) -> str:
    decoder = codecs.getincrementaldecoder("utf-8")()
    with file.open("rb") as binary:
        try:
            while piece := binary.read(_PIECE):
                decoder.decode(piece)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "cp932"
    return "utf-8"


def _separator(text: str, quote: str) -> str:
    """The separator of most columns in the line that has most of one; a comma where there is none."""
    best = Counter[str]()
    for line in text.splitlines()[:_LOOKED_AT]:
        outside = "".join(line.split(quote)[::2]) if quote else line
        for sign in SEPARATORS:
            best[sign] = max(best[sign], outside.count(sign))
    return max(SEPARATORS, key=lambda sign: best[sign])
