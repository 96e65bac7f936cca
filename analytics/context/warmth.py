"""How warm a tank is, as a state machine: hot water (washing), milk that warms it (milking), cold milk.

Theory of operation. Milk comes at 30 to 36 ℃ and is never warmer; water for washing is 35 to 75 ℃.

- **Washing**: 45 ℃ is water, whatever else is known. From 36 ℃ on it is, when it became so by 8 ℃ within 30 min and
  the tank may be empty. Between 32 and 36 ℃ water too cool for washing and the first milk into an unwashed tank look
  alike: where the volume is known and a wash is due, it is water once it was so for 20 min or is cold again, and the
  volume stayed what water may be. What a drain's sensor or the wash pump says counts at once. It is over when it was
  not hot for 20 min: rinsing between two hot circulations is part of it.
- **Milking by warmth** (used only where nothing better is measured): the milk warms by 1.2 ℃ within 30 min, faster
  than any tank does by itself, and is over when it did not become warmer for 20 min. In a tank that was washed and
  has not been cold since, it has to pass 25 ℃, or to be in the farm's milking times. What becomes a wash within
  90 min was an empty tank, and is taken back.

What fools it: a plate cooler that leaves less than 1.2 ℃; a compressor that fails in a nearly empty tank on a hot
day; washing below 32 ℃ without a sensor in the drain; below 36 ℃ without a volume.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from analytics.context.spell import HOUR_MS, MINUTE_MS, STALE_MS, Calm, Spell, Track

WATER_C: Final = 45.0
WASH_C: Final = 36.0
LUKEWARM_C: Final = 32.0
COOL_C: Final = 28.0
WARMED_BY_C: Final = 8.0
WITHIN_MS: Final = 30 * MINUTE_MS
LUKEWARM_MS: Final = 20 * MINUTE_MS
QUIET_MS: Final = 20 * MINUTE_MS
DRAIN_AFTER_MS: Final = 15 * MINUTE_MS
MILK_WARMS_BY_C: Final = 1.2
COLD_C: Final = 8.0
"""A tank that is so cold is cooled, and so there is milk in it."""
MILK_PASSES_C: Final = 25.0
LONGEST_MS: Final = 4 * HOUR_MS
WAS_EMPTY_MS: Final = 90 * MINUTE_MS


class Warmth:
    """The temperature of one tank, and of its drain where there is one."""

    def __init__(self, stale_ms: int = STALE_MS) -> None:
        self.calm = Calm(stale_ms)
        self.washing, self.milking = Spell(), Spell()
        self.emptied_ms: int | None = None  # a wash tells that milk was taken out before
        self.cold_ms = 0  # when it was last cold
        self.now: float | None = None
        self._track = Track(WITHIN_MS)
        self._hot_ms = 0
        self._luke_ms = 0  # since when it is lukewarm; 0: it is not
        self._luke_peak = 0.0
        self._warm_ms = 0
        self._top = 0.0
        self._drain: tuple[int, float] | None = None

    def take(
        self, at_ms: int, celsius: float, *, may_be_empty: bool, water: bool | None, due: bool, in_times: bool | None
    ) -> None:
        """A reading. `water`: the volume is what water may be (None: not known); `due`: a wash is; `in_times`: the
        farm milks now (None: it did not say when)."""
        calm = self.calm.take(at_ms, celsius)
        if calm is None:
            return
        self.washing.seen(at_ms)
        self.milking.seen(at_ms)
        if self.calm.run_ms == at_ms:
            self._restart()
        self.now = calm
        self._track.add(at_ms, calm)
        if calm < COLD_C and not self.washing.on:
            self.cold_ms = at_ms
        self._wash(at_ms, calm, may_be_empty, water, due)
        self._milk(at_ms, calm, in_times)

    def drain(self, at_ms: int, celsius: float, may_be_empty: bool) -> None:
        """A reading of the drain's sensor."""
        self.washing.seen(at_ms)
        if celsius > LUKEWARM_C and may_be_empty:
            self._is_hot(at_ms, at_ms)
        self._drain = (at_ms, celsius)
        ended = self.washing.ended_ms
        if self.washing.on or (ended is not None and at_ms - ended <= DRAIN_AFTER_MS):
            self._peak("peak_drain", celsius)

    def drain_known(self, at_ms: int) -> bool:
        """Whether the drain's sensor speaks."""
        return self._drain is not None and at_ms - self._drain[0] <= self.calm.stale_ms

    def pump(self, at_ms: int, runs: bool) -> None:
        """What is known of the wash pump."""
        self.washing.seen(at_ms)
        if runs:
            self._is_hot(at_ms, at_ms)

    def settle(self, at_ms: int) -> None:
        """What is over by `at_ms`, readings or not."""
        if self.washing.on and at_ms - self._hot_ms > QUIET_MS:
            self.washing.end(self._hot_ms)
        if self.milking.on and (at_ms - self._warm_ms > QUIET_MS or at_ms - self.milking.since_ms > LONGEST_MS):
            self.milking.end(self._warm_ms)

    # ------------------------------------------------------------------------------------------------------ washing

    def _wash(self, at_ms: int, calm: float, may_be_empty: bool, water: bool | None, due: bool) -> None:
        self.settle(at_ms)
        rose = calm - self._track.lowest() >= WARMED_BY_C
        if self.washing.on:
            if calm > min(WASH_C, max(COOL_C, self.washing.found.get("peak_temperature", WASH_C) - 6)):
                self._is_hot(at_ms, at_ms)
                self._peak("peak_temperature", calm)
            return
        if calm > WATER_C or (calm > WASH_C and rose and may_be_empty):
            level = max(LUKEWARM_C, self._track.lowest() + 2)
            self._is_hot(at_ms, self._track.last_below(level) if rose else at_ms)
            self._peak("peak_temperature", calm)
            self._luke_ms = 0
            return
        self._lukewarm(at_ms, calm, rose, water, due)

    def _lukewarm(self, at_ms: int, calm: float, rose: bool, water: bool | None, due: bool) -> None:
        if not (water and due):
            self._luke_ms = 0
        elif calm > LUKEWARM_C and (rose or self._luke_ms):
            self._luke_ms, self._luke_peak = self._luke_ms or at_ms, max(self._luke_peak, calm)
            if at_ms - self._luke_ms >= LUKEWARM_MS:
                self._was_lukewarm(at_ms)
        elif self._luke_ms and calm < COOL_C:
            self._was_lukewarm(at_ms)
        if not self._luke_ms:
            self._luke_peak = 0.0

    def _was_lukewarm(self, at_ms: int) -> None:
        self._is_hot(at_ms, self._luke_ms)
        self._peak("peak_temperature", self._luke_peak)
        self._luke_ms = 0

    def _is_hot(self, at_ms: int, since_ms: int) -> None:
        if not self.washing.on:
            ended = self.washing.ended_ms
            if ended is not None and since_ms - ended <= QUIET_MS:
                since_ms = max(since_ms, ended)
            self.washing.begin(since_ms)
            self.emptied_ms = since_ms
            if self._drain is not None and at_ms - self._drain[0] <= 5 * MINUTE_MS:
                self._peak("peak_drain", self._drain[1])
            if self.milking.began_ms is not None and since_ms - self.milking.began_ms < WAS_EMPTY_MS:
                self.emptied_ms = self.milking.began_ms
                self.milking.retract()
            self.milking.end(since_ms)
        self._hot_ms = at_ms

    def _peak(self, name: str, celsius: float) -> None:
        self.washing.found[name] = max(self.washing.found.get(name, celsius), celsius)

    # ------------------------------------------------------------------------------------------------------ milking

    def _milk(self, at_ms: int, calm: float, in_times: bool | None) -> None:
        if self.washing.on or calm > WASH_C:
            return
        if self.milking.on:
            if calm > self._top + MILK_WARMS_BY_C / 6:
                self._top, self._warm_ms = calm, at_ms
            elif calm < self._top - MILK_WARMS_BY_C:
                self._top = calm
            return
        low = self._track.lowest()
        if calm - low < MILK_WARMS_BY_C or in_times is False:
            return
        washed = self.washing.ended_ms
        if washed is not None and washed > self.cold_ms and not in_times and calm < MILK_PASSES_C:
            return
        since = self._track.last_below(low + 0.2)
        if washed is not None and since <= washed:
            return
        self.milking.begin(since)
        self._top, self._warm_ms = calm, at_ms

    def _restart(self) -> None:
        self._track.clear()
        self._luke_ms = 0
        if self.washing.on:
            self.washing.end(self._hot_ms)
        if self.milking.on:
            self.milking.end(self._warm_ms)

    # ------------------------------------------------------------------------------------------------------- memory

    _KEPT: Final = ("emptied_ms", "cold_ms", "now", "_hot_ms", "_luke_ms", "_luke_peak", "_warm_ms", "_top")

    def memory(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "calm": self.calm.memory(), "washing": self.washing.memory(), "milking": self.milking.memory(),
            "track": self._track.memory(), "drain": self._drain, **{name: getattr(self, name) for name in self._KEPT},
        }  # fmt: skip

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Goes on from `memory`."""
        self.calm.recall(memory["calm"])
        self.washing.recall(memory["washing"])
        self.milking.recall(memory["milking"])
        self._track = Track(WITHIN_MS, memory["track"])
        self._drain = (int(memory["drain"][0]), float(memory["drain"][1])) if memory["drain"] else None
        for name in self._KEPT:
            setattr(self, name, memory[name])
