"""Times during which something goes on, and readings made calm enough to recognise them by. Nothing here does I/O.

A `Spell` is one recogniser's answer: on or off since when, when it last ended, what was found about the last one. Its
times are those at which things happened, not those at which they were noticed: a milking that is recognised after
10 min begins 10 min ago, and one that ended because nothing rose for 20 min ended 20 min ago.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Final

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
CALM_MS: Final = 30_000
"""Readings nearer to one another than this are one, their median."""
SURE_OF_NOISE: Final = 12
STALE_MS: Final = 15 * MINUTE_MS
"""Longer without a reading (or for 3 polls), nobody knows."""


@dataclass(slots=True)
class Spell:
    """See the module. `since_ms`: when the state began, or was first known; `began_ms`: of the last one."""

    on: bool = False
    since_ms: int = 0
    began_ms: int | None = None
    ended_ms: int | None = None
    found: dict[str, float] = field(default_factory=dict)
    before: dict[str, Any] | None = None

    def begin(self, at_ms: int) -> None:
        """It goes on since `at_ms`."""
        if self.on:
            return
        self.before = {**self.memory(), "before": None}
        self.on, self.since_ms, self.began_ms, self.found = True, at_ms, at_ms, {}

    def end(self, at_ms: int) -> None:
        """It is over since `at_ms`."""
        if not self.on:
            return
        at_ms = max(at_ms, self.since_ms)
        self.found["duration_s"] = (at_ms - self.since_ms) / 1000
        self.on, self.since_ms, self.ended_ms = False, at_ms, at_ms

    def resume(self) -> None:
        """The last one was not over; what was found about it stands."""
        if not self.on and self.began_ms is not None:
            self.on, self.since_ms = True, self.began_ms
            self.ended_ms = self.before["ended_ms"] if self.before else None

    def retract(self) -> None:
        """The last one was none: what was before stands again."""
        if self.before is not None:
            self.recall(self.before)

    def seen(self, at_ms: int) -> None:
        """It is known from `at_ms` on, where nothing was known before."""
        if self.since_ms == 0:
            self.since_ms = at_ms

    def memory(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Goes on from `memory`."""
        for name in ("on", "since_ms", "began_ms", "ended_ms", "before"):
            setattr(self, name, memory[name])
        self.found = dict(memory["found"])


@dataclass(slots=True)
class Calm:
    """A series made calm: one value for 30 s of readings, and of each three the middle one, so that no spike counts.

    A hole (`stale_ms`) begins it anew. `noise` is how much neighbours differ when nothing happens: the mean second
    difference, slow to learn; `step` is the smallest difference seen, which is a coarse sensor's resolution.
    """

    stale_ms: int = STALE_MS
    noise: float = 0.0
    step: float = 0.0
    bends: int = 0
    newest_ms: int = 0
    run_ms: int = 0
    """Since when readings came without a hole."""
    pending: list[float] = field(default_factory=list)
    pending_ms: int = 0
    last: deque[float] = field(default_factory=lambda: deque(maxlen=3))

    def take(self, at_ms: int, value: float) -> float | None:
        """The calm value at `at_ms`, where there is one by now. `broke` tells of a hole before it."""
        if self.newest_ms == 0 or at_ms - self.newest_ms > self.stale_ms:
            self.run_ms, self.pending, self.pending_ms = at_ms, [], at_ms
            self.last.clear()
        if at_ms - self.newest_ms >= CALM_MS:
            self.pending = []
        elif not self.pending:
            self.pending_ms = self.newest_ms
        is_rare, self.newest_ms = at_ms - self.newest_ms >= CALM_MS, at_ms
        self.pending.append(value)
        if not is_rare and at_ms - self.pending_ms < CALM_MS:
            return None
        one = median(self.pending)
        self.pending = []
        if self.last:
            difference = abs(one - self.last[-1])
            if difference > 0:
                self.step = min(difference, self.step * 1.01) if self.step else difference
        if len(self.last) == 3:
            self._learn(abs(one - 2 * self.last[-1] + self.last[-2]) / 2)
        self.last.append(one)
        return median(self.last)

    def _learn(self, bend: float) -> None:
        """The noise: a mean at first, later one that forgets, of which no single event makes much."""
        self.bends += 1
        if self.bends > SURE_OF_NOISE and self.noise:
            bend = min(bend, 4 * self.noise)
        self.noise += max(0.02, 1 / self.bends) * (bend - self.noise)

    def known(self, at_ms: int) -> bool:
        """Whether it is known at `at_ms`."""
        return self.newest_ms > 0 and at_ms - self.newest_ms <= self.stale_ms

    def memory(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "last": list(self.last)}

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Goes on from `memory`."""
        for name in ("noise", "step", "bends", "newest_ms", "run_ms", "pending", "pending_ms"):
            setattr(self, name, memory[name])
        self.last = deque(memory["last"], maxlen=3)


class Track:
    """The calm values of the last `span_ms`, at most one for 30 s."""

    def __init__(self, span_ms: int, rows: Iterable[tuple[int, float]] = ()) -> None:
        self._span_ms = span_ms
        self.rows: deque[tuple[int, float]] = deque((int(t), float(v)) for t, v in rows)

    def add(self, at_ms: int, value: float) -> None:
        self.rows.append((at_ms, value))
        while self.rows[0][0] < at_ms - self._span_ms:
            self.rows.popleft()

    def clear(self) -> None:
        self.rows.clear()

    def forget_before(self, at_ms: int) -> None:
        """Of what was before `at_ms` nothing is left, but the newest stays."""
        while len(self.rows) > 1 and self.rows[0][0] < at_ms:
            self.rows.popleft()

    def lowest(self, within_ms: int | None = None) -> float:
        """The lowest value, of the last `within_ms` where given."""
        return min(self._values(within_ms))

    def highest(self, within_ms: int | None = None) -> float:
        return max(self._values(within_ms))

    def last_below(self, level: float) -> int:
        """When the value was last at or under `level`; of all that is known, the beginning otherwise."""
        return next((t for t, v in reversed(self.rows) if v <= level), self.rows[0][0])

    def last_above(self, level: float) -> int:
        return next((t for t, v in reversed(self.rows) if v >= level), self.rows[0][0])

    def _values(self, within_ms: int | None) -> list[float]:
        if within_ms is None:
            return [v for _, v in self.rows]
        from_ms = self.rows[-1][0] - within_ms
        return [v for t, v in self.rows if t >= from_ms]

    def memory(self) -> list[list[float]]:
        """As JSON."""
        return [[t, v] for t, v in self.rows]
