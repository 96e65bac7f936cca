"""When to look for what fell silent: only once a gateway's stream, or the clock, is past what may be silence.

What silence is says `seen.py`; here is only when that can be another answer than the last time.
"""

from __future__ import annotations

from dataclasses import dataclass

from analytics.causes import Key
from analytics.watching import NEVER


@dataclass(slots=True)
class Stream:
    """What a gateway sends, and the pairs about it and its devices that may fall silent.

    `check_ms`: as long as its newest reading is not later, none of its devices is newly silent. `again_ms`: the same
    of the clock.
    """

    keys: list[Key]
    newest_ms: int = 0
    check_ms: int = -1
    again_ms: int = NEVER
    is_marked: bool = True


class Streams:
    """The streams of one farm."""

    def __init__(self) -> None:
        self._streams: dict[str, Stream] = {}

    def plan(self, keys: dict[str, list[Key]], newest_ms: dict[str, int]) -> None:
        """These are the gateways; each is looked at once."""
        self._streams = {gateway: Stream(theirs, newest_ms.get(gateway, 0)) for gateway, theirs in keys.items()}

    def get(self, gateway: str | None) -> Stream | None:
        return self._streams.get(gateway) if gateway is not None else None

    def all(self) -> list[Stream]:
        return list(self._streams.values())

    def due(self, now_ms: int) -> list[Stream]:
        """Those to look at now."""
        return [s for s in self._streams.values() if s.is_marked or s.again_ms <= now_ms]

    @property
    def due_ms(self) -> int:
        return min((s.again_ms for s in self._streams.values()), default=NEVER)
