"""What every store does the same way: stretches without readings, and readings of the wrong kind. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from makiba.quantities import catalogue
from makiba.reading import Columns


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


def wrong_kind(readings: Columns) -> list[tuple[int, str]]:
    """Index and reason of each of `readings` whose value is not of the catalogue's kind, ascending."""
    words = catalogue()
    wrong: list[tuple[int, str]] = []
    for index, (series, value) in enumerate(zip(readings.series, readings.values, strict=True)):
        known = words.get(series.quantity)
        if known is None:
            wrong.append((index, f"quantity {series.quantity!r} is not in the catalogue"))
        elif isinstance(value, str) != (known.kind == "text"):
            wrong.append((index, f"{known.name} is a {'text' if known.kind == 'text' else 'number'}"))
    return wrong


def is_text(quantity: str) -> bool:
    """Whether `quantity` is a text; an unknown one is not."""
    known = catalogue().get(quantity)
    return known is not None and known.kind == "text"
