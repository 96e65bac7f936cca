"""Wording that errors share."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the known word nearest to `word`, or an empty string."""
    matches = get_close_matches(str(word), [str(k) for k in known], n=3, cutoff=0.6)
    # Letters that changed places are the commonest slip: 'int61' is 'int16' rather than 'int64'.
    swapped = [m for m in matches if sorted(m) == sorted(str(word))]
    return f"; did you mean {(swapped or matches)[0]!r}?" if matches else ""
