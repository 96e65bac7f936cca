"""Lines on a narrow screen: wrapped between words, what goes on is indented below. Pure but for `here`."""

from __future__ import annotations

import shutil
import sys
import unicodedata
from collections.abc import Iterator

LEAST = 30
"""A screen that says it is narrower is not believed."""
INDENT = 4


def width(text: str) -> int:
    """Columns that `text` takes: two for a wide character."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def wrapped(line: str, columns: int) -> Iterator[str]:
    """`line` in parts of at most `columns`; a word that is longer stands alone."""
    if width(line) <= columns:
        yield line
        return
    indent = " " * (len(line) - len(line.lstrip()))
    part, below = indent, indent + " " * INDENT
    for word in line.split():
        longer = f"{part} {word}" if part.strip() else f"{part}{word}"
        if part.strip() and width(longer) > columns:
            yield part
            part = f"{below}{word}"
        else:
            part = longer
    yield part


def here(line: str) -> Iterator[str]:
    """For the terminal that standard output is; as it is where it is none, so that other programs read it."""
    if not sys.stdout.isatty():
        yield line
        return
    yield from wrapped(line, max(shutil.get_terminal_size().columns, LEAST))
