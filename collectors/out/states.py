"""States over time: what a device or gateway said of itself, as changes instead of words said again. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stretch:
    """`subject` was in `state` from `from_ms`, last said at `heard_ms`, until `to_ms` (None: it is still)."""

    subject: str
    state: str
    from_ms: int
    heard_ms: int
    to_ms: int | None


def stretches(subject: str, words: Iterable[tuple[int, str]]) -> list[Stretch]:
    """The stretches of one state each that (time, word) points, ascending, tell of."""
    found: list[Stretch] = []
    for at_ms, word in words:
        last = found[-1] if found else None
        if last is not None and last.state == word:
            found[-1] = Stretch(subject, word, last.from_ms, at_ms, None)
            continue
        if last is not None:
            found[-1] = Stretch(subject, last.state, last.from_ms, last.heard_ms, at_ms)
        found.append(Stretch(subject, word, at_ms, at_ms, None))
    return found


def newest_first(of_each: Iterable[Sequence[Stretch]]) -> list[Stretch]:
    """Stretches of several subjects, the one that began last first."""
    return sorted((s for some in of_each for s in some), key=lambda s: (s.from_ms, s.subject), reverse=True)
