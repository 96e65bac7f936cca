"""Whether a machine runs, from its current, power or vacuum: pumps, agitator, compressor, the milking machine.

Theory of operation. Where the farm says what it draws normally, it runs above 30 % of that and stands below 20 %.
Where it does not, the level is learned: what it draws when it draws most, forgetting slowly (half in 30 days), and
never less than what a meter shows of nothing (`IDLE`). `on_ms`, `off_ms`: how long before it counts; the times are
those at which it began.

What fools it: a lamp on the same line that draws more than 30 % of the machine; a frequency converter that idles; the
first days of a machine that never stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from analytics.context.spell import STALE_MS, Spell

RUNS_SHARE: Final = 0.3
STANDS_SHARE: Final = 0.2
IDLE: Final[Mapping[str, float]] = {
    "current": 0.15, "power": 30.0, "switched_on": 0.5, "vacuum": 10_000.0, "water_flow": 8e-6,
}  # fmt: skip
"""Up to here it stands, in the quantity's unit: A, W, –, Pa, m³/s (half a litre a minute)."""
_HALF_MS: Final = 30 * 86_400_000


class Running:
    """One machine, by one quantity."""

    def __init__(
        self, quantity: str, normal: float | None = None, *, on_ms: int = 0, off_ms: int = 0, stale_ms: int = STALE_MS
    ) -> None:
        self.quantity, self.normal, self.stale_ms = quantity, normal, stale_ms
        self.on_ms, self.off_ms = on_ms, off_ms
        self.spell = Spell()
        self.newest_ms = 0
        self.run_ms = 0
        self._most = 0.0
        self._up_ms = 0  # since when it may run
        self._last_ms = 0  # when it last ran for sure
        self._sum = 0.0
        self._weight = 0.0

    @property
    def level(self) -> float:
        """Above it, it runs."""
        normal = self.normal if self.normal is not None else self._most
        return max(IDLE.get(self.quantity, 0.0), RUNS_SHARE * normal)

    def take(self, at_ms: int, value: float) -> None:
        """A reading."""
        value = abs(value)
        gap_ms = at_ms - self.newest_ms if self.newest_ms else 0
        if self.newest_ms == 0 or gap_ms > self.stale_ms:
            self.run_ms, self._up_ms = at_ms, 0
            self.spell.end(self._last_ms)
            gap_ms = 0
        self.newest_ms = at_ms
        self.spell.seen(at_ms)
        self.settle(at_ms)
        self._most = max(value, self._most * 0.5 ** (gap_ms / _HALF_MS))
        if value > self.level:
            self._up_ms = self._up_ms or at_ms
            self._last_ms = at_ms
            self._sum += value * (gap_ms or 1)
            self._weight += gap_ms or 1
            if not self.spell.on and at_ms - self._up_ms >= self.on_ms:
                self.spell.begin(self._up_ms)
                self._sum, self._weight = value, 1.0
            if self.spell.on:
                self.spell.found["current"] = self._sum / self._weight
        elif value < self.level * STANDS_SHARE / RUNS_SHARE:
            self._up_ms = 0
            if self.spell.on and at_ms - self._last_ms >= self.off_ms:
                self.spell.end(at_ms if self.off_ms == 0 else self._last_ms)
        elif self.spell.on:
            self._last_ms = at_ms

    def settle(self, at_ms: int) -> None:
        """What is over by `at_ms`."""
        if self.spell.on and self.off_ms and at_ms - self._last_ms > self.off_ms:
            self.spell.end(self._last_ms)

    def known(self, at_ms: int) -> bool:
        """Whether it is known at `at_ms`."""
        return self.newest_ms > 0 and at_ms - self.newest_ms <= self.stale_ms

    _KEPT: Final = ("newest_ms", "run_ms", "_most", "_up_ms", "_last_ms", "_sum", "_weight")

    def memory(self) -> dict[str, Any]:
        """As JSON."""
        return {"spell": self.spell.memory(), **{name: getattr(self, name) for name in self._KEPT}}

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Goes on from `memory`."""
        self.spell.recall(memory["spell"])
        for name in self._KEPT:
            setattr(self, name, memory[name])
