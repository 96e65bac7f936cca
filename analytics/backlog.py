"""When a farm's gateway catches up after an outage: pure, on times of measurement and this machine's clock.

A backlog shows in that nothing came from a gateway for `AWAY_MS` (or nobody listened), and what comes then goes on
where its series had stopped, behind the clock. As long as that goes on nobody knows what is true now. A series has
caught up when it is near the clock. All have when they do not come nearer any more (a gateway whose clock is wrong
stays behind for ever, and is judged as it is), or when nothing more comes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from makiba.reading import Series

AWAY_MS: Final = 300_000
"""What any link does is shorter, and what is not older was never late."""
BACK_MS: Final = 600_000
"""So long after a gateway is heard again what is late may be what it kept."""
NEAR_MS: Final = 60_000
"""So near to the clock a series is up to date."""
QUIET_MS: Final = 30_000
"""After so long without anything more, or without coming nearer, a gateway has caught up."""


@dataclass(slots=True)
class _CatchingUp:
    """A gateway that sends what it kept since `from_ms`; `series` are still behind."""

    from_ms: int
    newest_ms: int
    least_behind_ms: int
    nearer_ms: int  # when, on the clock, it came nearer last
    series: set[Series] = field(default_factory=set)


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
    _heard_ms: dict[str, int] = field(default_factory=dict)
    _back_ms: dict[str, int] = field(default_factory=dict)

    def hear(self, gateway: str, now_ms: int) -> None:
        """Something came from `gateway`."""
        last_ms = self._heard_ms.get(gateway)
        if last_ms is None or now_ms - last_ms > AWAY_MS:
            self._back_ms[gateway] = now_ms
        self._heard_ms[gateway] = now_ms

    def note(self, gateway: str, series: Series, before_ms: int, time_ms: int, now_ms: int) -> None:
        """`series`, sent by `gateway`, which had come to `before_ms` (0: it is new), goes on at `time_ms`."""
        behind_ms = now_ms - time_ms
        one = self.catching_up.get(gateway)
        if one is None:
            back_ms = self._back_ms.get(gateway)
            if behind_ms <= AWAY_MS or not before_ms or back_ms is None or now_ms - back_ms > BACK_MS:
                return
            one = self.catching_up[gateway] = _CatchingUp(before_ms, time_ms, behind_ms, now_ms)
        if behind_ms > AWAY_MS:
            one.series.add(series)
            if before_ms:
                one.from_ms = min(one.from_ms, before_ms)
        if series in one.series:
            one.newest_ms = max(one.newest_ms, time_ms)
            if behind_ms < one.least_behind_ms - NEAR_MS // 4:
                one.least_behind_ms, one.nearer_ms = behind_ms, now_ms
            if behind_ms <= NEAR_MS:
                one.series.discard(series)

    def look(self, now_ms: int) -> frozenset[str]:
        """The gateways that still catch up; what the others have brought is a stretch to look at."""
        for gateway, one in list(self.catching_up.items()):
            is_over = not one.series
            if is_over or now_ms - one.nearer_ms > QUIET_MS:
                del self.catching_up[gateway]
                if not is_over:
                    self._back_ms.pop(gateway, None)
                first, last = self.stretch or (one.from_ms, one.newest_ms)
                self.stretch = min(first, one.from_ms), max(last, one.newest_ms)
        return frozenset(self.catching_up)

    def finished(self) -> Outage | None:
        """What is to be looked at, once nobody catches up; None while there is nothing."""
        return Outage(*self.stretch) if self.stretch is not None and not self.catching_up else None

    def memory(self) -> list[Any]:
        """As JSON."""
        kept = [[g, c.from_ms, c.newest_ms, [list(s) for s in sorted(c.series)]] for g, c in self.catching_up.items()]
        return [self.stretch, kept]

    def recall(self, memory: Any, now_ms: int) -> None:
        """Goes on from `memory`: what was behind then is taken for behind until it shows otherwise, or is silent."""
        stretch, kept = memory
        self.stretch = (int(stretch[0]), int(stretch[1])) if stretch else None
        for gateway, from_ms, newest_ms, series in kept:
            behind = {Series(*parts) for parts in series}
            self.catching_up[gateway] = _CatchingUp(from_ms, newest_ms, now_ms - newest_ms, now_ms, behind)
