"""What every store does the same way: stretches without readings, and which quantities are texts. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from makiba.quantities import catalogue


def gaps_between(times_ms: Iterable[int], start_ms: int, end_ms: int, longer_than_ms: int) -> list[tuple[int, int]]:
    """(from_ms, to_ms) of each stretch of [start_ms, end_ms] without a time for longer than that.

    `times_ms` ascend and lie in [start_ms, end_ms].
    """
    gaps = []
    before = start_ms
    for time_ms in (*times_ms, end_ms):
        if time_ms - before > longer_than_ms:
            gaps.append((before, time_ms))
        before = time_ms
    return gaps


def is_text(quantity: str) -> bool:
    """Whether `quantity` is a text; an unknown one is not."""
    known = catalogue().get(quantity)
    return known is not None and known.kind == "text"
