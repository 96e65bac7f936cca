"""What is kept over time of a farm's series: windows, sums and days, each once for all rules that ask for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from analytics.signals.planned import Track
from makiba.reading import Reading


class Tracks:
    """The tracks of one farm."""

    def keep(self, wanted: Iterable[Track], every_ms: Mapping[str, int | None]) -> None:
        """From now on exactly these are kept."""

    def take(self, reading: Reading) -> None:
        """Notes a reading newer than all of its series before."""

    def value(self, track: Track, read: str | None, at_ms: int) -> float | None:  # noqa: ARG002
        """What `track` says at `at_ms`."""
        return None
