"""Which series are meant: names and patterns of subjects and quantities, and what is nearest to a wrong one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Final

from makiba.quantities import catalogue
from makiba.reading import Series
from makiba.words import nearest

PATTERN: Final = r"^[A-Za-z0-9:._*?-]{1,64}$"
"""What names may be asked for by over the network: of `matches`, without sets of characters."""


class UnknownName(ValueError):
    """A name that means nothing here; the message says which, and what is nearest."""


def matches(name: str, patterns: Collection[str]) -> bool:
    """Whether `name` is one of `patterns` (`tank-*` is any tank); every name is when there are none."""
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def choose(present: Sequence[Series], subjects: Collection[str], quantities: Collection[str]) -> list[Series]:
    """Those of `present` that are asked for. `UnknownName` when a name or pattern fits none of them."""
    check_quantities(quantities)
    check_names("subject", subjects, {series.subject for series in present})
    chosen = [s for s in present if matches(s.subject, subjects) and matches(s.quantity, quantities)]
    for quantity in quantities:
        if not any(matches(series.quantity, [quantity]) for series in chosen):
            there = {s.quantity for s in present if matches(s.subject, subjects)}
            raise UnknownName(f"no readings of {quantity!r}{nearest(quantity, there)}; there are {_list(there)}")
    return chosen


def check_quantities(quantities: Collection[str]) -> None:
    """`UnknownName` when one of them fits no quantity of the catalogue."""
    check_names("quantity", quantities, catalogue())


def check_names(what: str, patterns: Collection[str], known: Collection[str]) -> None:
    """`UnknownName` when one of `patterns` fits none of the `known` names."""
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in known):
            raise UnknownName(f"no {what} {pattern!r}{nearest(pattern, known) or _hint(known)}")


def _hint(known: Collection[str]) -> str:
    return f"; there are {_list(known)}" if len(known) <= 12 else ""


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
