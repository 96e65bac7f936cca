"""How much is in a tank, as a state machine: milk comes in (milking), and is taken out (pick-up).

Theory of operation. Volume is made calm (`spell.Calm`); a change counts when it is larger than what the sensor does
by itself (`_matters`: six times its noise, two and a half steps of its resolution, at least 15 L).

- **Milking** begins when the volume stands so much above the lowest of the last 45 min; it began when it last stood
  there. It goes on while the volume makes new heights, and is over when it made none for 20 min (90 min with robots).
  Into an empty tank it has to rise for 10 min, and still be rising: rinse water comes at once, stands, and goes.
- **Pick-up** is a fall to half or less, or to empty, within 90 min of a volume that was more than water for washing.
  It ends at the bottom. A volume that comes back at once was the sensor's: the pick-up is taken back.
- After a hole in the readings the two ends are compared: what came in or was taken out meanwhile is a milking or a
  pick-up of which only that is known; it stands at the hole's ends.

What fools it: milk poured in by can at once (no milking, but milk in the tank); less milk in a milking than matters;
a sensor that drifts by more than that in 45 min; two tanks of one place, of which one is emptied.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from analytics.context.spell import HOUR_MS, MINUTE_MS, STALE_MS, Calm, Spell, Track

LEAST_M3: Final = 0.015
QUIET_MS: Final = 20 * MINUTE_MS
PAUSE_MS: Final = 30 * MINUTE_MS
"""What begins again so soon after its end goes on."""
ROBOT_QUIET_MS: Final = 90 * MINUTE_MS
KNOWN_MS: Final = 15 * MINUTE_MS
"""So long it takes to know what a sensor does by itself."""
FIRST_MS: Final = 10 * MINUTE_MS
RINSED_MS: Final = 60 * MINUTE_MS
"""What came in so long before a wash, and is no more than water may be, was for rinsing."""
STILL_RISING_MS: Final = 6 * MINUTE_MS
RISE_WITHIN_MS: Final = 45 * MINUTE_MS
FALL_WITHIN_MS: Final = 90 * MINUTE_MS
BOTTOM_MS: Final = 10 * MINUTE_MS
BACK_WITHIN_MS: Final = 2 * HOUR_MS
EMPTY_SHARE: Final = 0.03
WATER_SHARE: Final = 0.12
LEAST_EMPTY_M3: Final = 0.03
LEAST_WATER_M3: Final = 0.12


class Amount:
    """The volume of one tank, m³."""

    def __init__(self, full_m3: float | None = None, robots: bool = False, stale_ms: int = STALE_MS) -> None:
        self.calm = Calm(stale_ms)
        self.milking, self.pickup = Spell(), Spell()
        self.full_m3 = full_m3
        self.quiet_ms = ROBOT_QUIET_MS if robots else QUIET_MS
        self._track = Track(FALL_WITHIN_MS)
        self._biggest = 0.0
        self._now: float | None = None
        self._top = 0.0
        self._bottom = 0.0
        self._before = 0.0  # what the pick-up took from
        self._moved_ms = 0  # when the top rose, or the bottom sank

    # ------------------------------------------------------------------------------------------------ what is known

    @property
    def volume(self) -> float | None:
        return self._now

    @property
    def is_empty(self) -> bool:
        """Whether there is no milk in it, for all that is seen."""
        return self._now is not None and self._now < self._empty()

    @property
    def may_be_water(self) -> bool:
        """Whether what is in it is so little that it may be water for washing."""
        return self._now is not None and self._now < self._water()

    def _size(self) -> float:
        return max(self._biggest, self.full_m3 or 0.0)

    def _empty(self) -> float:
        return max(LEAST_EMPTY_M3, EMPTY_SHARE * self._size(), 3 * self.calm.noise)

    def _water(self) -> float:
        return max(LEAST_WATER_M3, WATER_SHARE * self._size(), 2 * self._empty())

    def _matters(self) -> float:
        return max(LEAST_M3, 6 * self.calm.noise, 2.5 * min(self.calm.step, 0.1 * self._size()))

    # -------------------------------------------------------------------------------------------------------- takes

    def take(self, at_ms: int, volume: float, washing: bool) -> None:
        """A reading; `washing`: the tank is being washed, so that what is in it is water."""
        newest_ms, was = self.calm.newest_ms, self._now
        calm = self.calm.take(at_ms, volume)
        if calm is None:
            return
        self.milking.seen(at_ms)
        self.pickup.seen(at_ms)
        if self.calm.run_ms == at_ms and was is not None:
            self._across(newest_ms, at_ms, was, calm)
        self._now = calm
        self._track.add(at_ms, calm)
        if washing:
            self._restart(at_ms)
            return
        self._biggest = max(self._biggest, self._settled(at_ms))
        self.settle(at_ms)
        if self.pickup.on:
            self._falling(at_ms, calm)
        elif self.milking.on:
            self._rising(at_ms, calm)
        else:
            self._resting(at_ms, calm)

    def settle(self, at_ms: int) -> None:
        """What is over by `at_ms`, readings or not."""
        if self.milking.on and at_ms - self._moved_ms > self.quiet_ms:
            self._end_milking()
        if self.pickup.on and at_ms - self._moved_ms > BOTTOM_MS:
            self._end_pickup()

    def _settled(self, at_ms: int) -> float:
        """What the tank held for the last minutes at least: a jump says nothing about its size."""
        return self._track.lowest(5 * MINUTE_MS) if at_ms - self.calm.run_ms > 5 * MINUTE_MS else 0.0

    def _restart(self, at_ms: int) -> None:
        began_ms = self.milking.began_ms
        if began_ms is not None and self.may_be_water and at_ms - began_ms < RINSED_MS:
            self.milking.retract()
        if self.milking.on:
            self._end_milking()
        if self.pickup.on:
            self._end_pickup()
        self._track.clear()
        if self._now is not None:
            self._track.add(at_ms, self._now)

    def _resting(self, at_ms: int, calm: float) -> None:
        matters = self._matters()
        high = self._track.highest()
        if high > self._water() and (calm <= high / 2 or calm < self._empty()) and high - calm > matters:
            since = self._track.last_above(high - max(matters / 2, 0.02 * high))
            self.pickup.begin(since)
            self._before, self._bottom, self._moved_ms = high, calm, at_ms
            self._falling(at_ms, calm)
            return
        low = self._track.lowest(RISE_WITHIN_MS)
        if calm - low <= matters or at_ms - self.calm.run_ms < KNOWN_MS:
            return
        since = self._track.last_below(low + max(matters / 4, 2 * self.calm.noise))
        if self._came_back(since, at_ms, calm):
            return
        if low < self._empty() and not self._is_filling(since, at_ms, calm, matters):
            return
        ended = self.milking.ended_ms
        if ended is not None and since - ended <= PAUSE_MS and (self.pickup.ended_ms or 0) < ended:
            self.milking.resume()
        else:
            self.milking.begin(since)
            self._bottom = low
        self.milking.found["litres"] = (calm - self._bottom) * 1000
        self._top, self._moved_ms = calm, at_ms

    def _is_filling(self, since: int, at_ms: int, calm: float, matters: float) -> bool:
        """Milk into an empty tank: it rises for long, and still; water is let in, stands, and goes."""
        every_ms = at_ms - self._track.rows[-2][0]
        if at_ms - since < max(FIRST_MS, 3 * every_ms) or calm < self._empty():
            return False
        rows = [v for t, v in self._track.rows if t >= since]
        then = self._track.lowest(max(STILL_RISING_MS, every_ms))
        return calm - then > matters / 4 and min(rows[len(rows) // 2 :]) > self._track.lowest() + matters / 4

    def _came_back(self, since: int, at_ms: int, calm: float) -> bool:
        """Whether a pick-up was none: the sensor had lost its value, and has it again all at once."""
        ended = self.pickup.ended_ms
        if ended is None or at_ms - ended > BACK_WITHIN_MS or calm < 0.7 * self._before:
            return False
        if at_ms - since > max(5 * MINUTE_MS, self.calm.stale_ms // 3):
            return False
        self.pickup.retract()
        self._track.clear()
        self._track.add(at_ms, calm)
        return True

    def _rising(self, at_ms: int, calm: float) -> None:
        matters = self._matters()
        if calm > self._top + matters / 3:
            self._top, self._moved_ms = calm, at_ms
            self.milking.found["litres"] = (self._top - self._bottom) * 1000
        elif calm < self._top - max(2 * matters, 0.1 * self._top):
            self._end_milking()
            self._resting(at_ms, calm)

    def _end_milking(self) -> None:
        self.milking.end(self._moved_ms)
        self._track.forget_before(self._moved_ms)

    def _falling(self, at_ms: int, calm: float) -> None:
        matters = self._matters()
        self.pickup.found["litres"] = (self._before - min(calm, self._bottom)) * 1000
        if calm < self._bottom - matters / 3:
            self._bottom, self._moved_ms = calm, at_ms
        if calm < self._empty():
            self._bottom = min(calm, self._bottom)
            self._end_pickup()
        elif calm > self._bottom + max(2 * matters, 0.1 * self._before):
            self._moved_ms = at_ms
            self._end_pickup()
            self._came_back(self._track.last_below(self._bottom + matters), at_ms, calm)

    def _end_pickup(self) -> None:
        self.pickup.end(self._moved_ms)
        low = self._track.rows[-1]
        self._track.clear()
        self._track.add(*low)

    def _across(self, from_ms: int, to_ms: int, was: float, calm: float) -> None:
        """What happened in a hole of the readings, as far as its two ends tell."""
        if self.milking.on:
            self.milking.end(self._moved_ms)
        if self.pickup.on:
            self.pickup.end(self._moved_ms)
        self._track.clear()
        matters = self._matters()
        if was > self._water() and (calm <= was / 2 or calm < self._empty()):
            self.pickup.begin(from_ms)
            self.pickup.found["litres"] = (was - calm) * 1000
            self._before = was
            self.pickup.end(to_ms)
        elif calm - was > max(2 * matters, 0.02 * self._size()) and calm > self._water():
            self.milking.begin(from_ms)
            self.milking.found["litres"] = (calm - was) * 1000
            self.milking.end(to_ms)

    # ------------------------------------------------------------------------------------------------------- memory

    _KEPT: Final = ("_biggest", "_now", "_top", "_bottom", "_before", "_moved_ms")

    def memory(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "calm": self.calm.memory(), "milking": self.milking.memory(), "pickup": self.pickup.memory(),
            "track": self._track.memory(), **{name: getattr(self, name) for name in self._KEPT},
        }  # fmt: skip

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Goes on from `memory`."""
        self.calm.recall(memory["calm"])
        self.milking.recall(memory["milking"])
        self.pickup.recall(memory["pickup"])
        self._track = Track(FALL_WITHIN_MS, memory["track"])
        for name in self._KEPT:
            setattr(self, name, memory[name])
