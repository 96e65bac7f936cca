"""The newest reading of each series, for the gateway's own page. Event loop only."""

from __future__ import annotations

from collections.abc import Iterable

from makiba.reading import Reading, Series, Value


class Latest:
    """`newest`: when, and what."""

    def __init__(self) -> None:
        self.newest: dict[Series, tuple[int, Value]] = {}

    def take(self, readings: Iterable[Reading]) -> None:
        for reading in readings:
            self.newest[reading.series] = (reading.time_ms, reading.value)
