"""What every store does the same way: stretches without readings, and readings of the wrong kind. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from makiba.quantities import catalogue
from makiba.reading import Reading


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


def split_by_kind(
    readings: Sequence[Reading],
) -> tuple[Sequence[Reading], list[tuple[Reading, str]]]:
    """Readings whose value is of the catalogue's kind, and the others with the reason; both in order."""
    words = catalogue()
    wrong: list[tuple[Reading, str]] = []
    for reading in readings:
        known = words.get(reading.series.quantity)
        if known is None:
            wrong.append((reading, f"quantity {reading.series.quantity!r} is not in the catalogue"))
        elif isinstance(reading.value, str) != (known.kind == "text"):
            wrong.append((reading, f"{known.name} is a {'text' if known.kind == 'text' else 'number'}"))
    if not wrong:
        return readings, wrong
    bad = {id(reading) for reading, _ in wrong}
    return [reading for reading in readings if id(reading) not in bad], wrong


def is_text(quantity: str) -> bool:
    """Whether `quantity` is a text; an unknown one is not."""
    known = catalogue().get(quantity)
    return known is not None and known.kind == "text"
