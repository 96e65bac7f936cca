"""When a farm's gateway catches up after an outage: pure, on times of measurement and this machine's clock.

A backlog shows in that the stream of a gateway was away for `AWAY_MS` and goes on where it had stopped, behind the
clock, and faster than the clock. As long as that goes on nobody knows what is true now. It is over when the stream is
near the clock; when it does not come nearer any more (a gateway whose clock is wrong stays behind for ever, and is
judged as it is); or when nothing more comes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

AWAY_MS: Final = 300_000
"""A stream that was away for less is what any link does."""
NEAR_MS: Final = 60_000
"""So near to the clock a stream is up to date."""
QUIET_MS: Final = 30_000
"""After so long without anything more, or without coming nearer, it has caught up."""


@dataclass(slots=True)
class _CatchingUp:
    """A gateway that sends what it kept since `from_ms`."""

    from_ms: int
    newest_ms: int
    least_behind_ms: int
    nearer_ms: int  # when, on the clock, it came nearer last


@dataclass(frozen=True, slots=True)
class Outage:
    """[from_ms, to_ms] of a farm, of which it was heard only afterwards."""

    from_ms: int
    to_ms: int


@dataclass(slots=True)
class Backlogs:
    """The gateways of one farm that catch up, and the stretch that is to be looked at when all have."""

    catching_up: dict[str, _CatchingUp] = field(default_factory=dict)
    stretch: tuple[int, int] | None = None

    def note(self, gateway: str, before_ms: int, first_ms: int, newest_ms: int, now_ms: int) -> None:
        """The stream of `gateway` had come to `before_ms` (0: it is new), and went on from `first_ms` to `newest_ms`.

        A gateway that was silent and kept nothing begins near the clock, and catches up with nothing.
        """
        behind_ms = now_ms - newest_ms
        now = self.catching_up.get(gateway)
        if now is not None:
            now.newest_ms = max(now.newest_ms, newest_ms)
            if behind_ms < now.least_behind_ms - NEAR_MS // 4:
                now.least_behind_ms, now.nearer_ms = behind_ms, now_ms
        elif before_ms and first_ms > before_ms and now_ms - first_ms > AWAY_MS:
            self.catching_up[gateway] = _CatchingUp(before_ms, newest_ms, behind_ms, now_ms)

    def look(self, now_ms: int) -> frozenset[str]:
        """The gateways that still catch up; what the others have brought is a stretch to look at."""
        for gateway, one in list(self.catching_up.items()):
            if now_ms - one.newest_ms <= NEAR_MS or now_ms - one.nearer_ms > QUIET_MS:
                del self.catching_up[gateway]
                first, last = self.stretch or (one.from_ms, one.newest_ms)
                self.stretch = min(first, one.from_ms), max(last, one.newest_ms)
        return frozenset(self.catching_up)

    def finished(self) -> Outage | None:
        """What is to be looked at, once nobody catches up; None while there is nothing."""
        return Outage(*self.stretch) if self.stretch is not None and not self.catching_up else None

    def memory(self) -> list[Any]:
        """As JSON."""
        return [self.stretch, [[g, c.from_ms, c.newest_ms] for g, c in self.catching_up.items()]]

    def recall(self, memory: Any, now_ms: int) -> None:
        """Goes on from `memory`; who caught up then has to show again that it still does."""
        stretch, catching_up = memory
        self.stretch = (int(stretch[0]), int(stretch[1])) if stretch else None
        for gateway, from_ms, newest_ms in catching_up:
            self.catching_up[gateway] = _CatchingUp(from_ms, newest_ms, now_ms - newest_ms, now_ms)
