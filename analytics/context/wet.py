"""Rain, and water on a field: from a gauge that counts, a station's sums, a flow, or soil that becomes wet.

- **Rain** begins with 0.4 mm within an hour, or a rate of 0.5 mm/h, and is over after an hour without: one tip of a
  fine gauge is dew or a shaken mast. `millimetres` is what fell since it began.
- **Irrigation** is water that flows on a field, or soil that gains 2 % of its volume within 3 h while it does not
  rain and has not for 3 h.

What fools it: a gauge that is cleaned or watered; snow that melts in the gauge (rain, days later); on a farm without
a rain gauge every rain is an irrigation; melting snow too, so that soil below 2 ℃ says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from analytics.context.spell import HOUR_MS, Spell, Track

DRY_MS: Final = HOUR_MS
RAIN_M: Final = 0.0004
RATE_M_S: Final = 0.0005 / 3600
COUNTS_TO_M: Final = 0.1
"""A gauge that jumps by more was exchanged, or cleared."""
PERIOD_MS: Final[Mapping[str, int]] = {"rain_10min": 600_000, "rain_1h": HOUR_MS}
WETTER: Final = 0.02
WETTER_WITHIN_MS: Final = 3 * HOUR_MS
THINNED_MS: Final = 300_000
THAW_C: Final = 2.0


class Rain:
    """What falls at one place."""

    def __init__(self, stale_ms: int) -> None:
        self.spell = Spell()
        self.stale_ms = stale_ms
        self.newest_ms = 0
        self.run_ms = 0
        self.last_ms = 0
        self._counted: dict[str, list[float]] = {}
        self._track = Track(HOUR_MS)

    def take(self, at_ms: int, quantity: str, subject: str, value: float) -> None:
        """A reading of a gauge or station."""
        if self.newest_ms == 0 or at_ms - self.newest_ms > self.stale_ms:
            self.run_ms = at_ms
        self.newest_ms = at_ms
        self.spell.seen(at_ms)
        self.settle(at_ms)
        fell = self._fell(at_ms, quantity, subject, value)
        if fell <= 0:
            return
        self._track.add(at_ms, fell)
        within = sum(v for _, v in self._track.rows)
        if self.spell.on:
            self.spell.found["millimetres"] += fell * 1000
        elif within >= RAIN_M or (quantity == "rain_rate" and value >= RATE_M_S):
            self.spell.begin(self._track.rows[0][0])
            self.spell.found["millimetres"] = within * 1000
        self.last_ms = at_ms

    def _fell(self, at_ms: int, quantity: str, subject: str, value: float) -> float:
        before = self._counted.get(f"{subject}/{quantity}")
        self._counted[f"{subject}/{quantity}"] = [float(at_ms), value]
        if quantity == "rainfall":
            fell = value - before[1] if before else 0.0
            return fell if 0 < fell < COUNTS_TO_M else 0.0
        if before is None:
            return 0.0
        since_s = min(at_ms - before[0], float(PERIOD_MS.get(quantity, self.stale_ms))) / 1000
        if quantity == "rain_rate":
            return value * since_s
        return value * since_s * 1000 / PERIOD_MS[quantity]

    def settle(self, at_ms: int) -> None:
        """What is over by `at_ms`."""
        if self.spell.on and at_ms - self.last_ms > DRY_MS:
            self.spell.end(self.last_ms)

    def known(self, at_ms: int) -> bool:
        return self.newest_ms > 0 and at_ms - self.newest_ms <= self.stale_ms

    def was_on(self, at_ms: int, within_ms: int) -> bool:
        """Whether it rained in the time before `at_ms`."""
        return self.last_ms > 0 and at_ms - self.last_ms <= within_ms

    def memory(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "spell": self.spell.memory(), "track": self._track.memory(), "counted": self._counted,
            "times": [self.newest_ms, self.run_ms, self.last_ms],
        }  # fmt: skip

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Goes on from `memory`."""
        self.spell.recall(memory["spell"])
        self._track = Track(HOUR_MS, memory["track"])
        self._counted = {k: list(v) for k, v in memory["counted"].items()}
        self.newest_ms, self.run_ms, self.last_ms = memory["times"]


class Soil:
    """Soil that becomes wet without rain."""

    def __init__(self) -> None:
        self.spell = Spell()
        self.newest_ms = 0
        self._tracks: dict[str, Track] = {}
        self._frozen_ms = 0
        self._rose_ms = 0

    def take(self, at_ms: int, subject: str, share: float, rained: bool | None) -> None:
        """A reading of soil moisture; `rained`: it rains, or did so lately (None: not known, and so it may have)."""
        self.newest_ms = max(at_ms, self.newest_ms)
        self.spell.seen(at_ms)
        self.settle(at_ms)
        track = self._tracks.setdefault(subject, Track(WETTER_WITHIN_MS))
        if track.rows and at_ms - track.rows[-1][0] < THINNED_MS:
            return
        low = track.lowest() if track.rows else share
        track.add(at_ms, share)
        if share - low < WETTER or rained is not False or self._frozen(at_ms):
            return
        top = max(v for _, v in list(track.rows)[:-1])
        if not self.spell.on:
            self.spell.begin(track.last_below(low + WETTER / 4))
            self._rose_ms = at_ms
        elif share > top:
            self._rose_ms = at_ms

    def temperature(self, at_ms: int, celsius: float) -> None:
        """A reading of soil temperature."""
        if celsius < THAW_C:
            self._frozen_ms = at_ms

    def _frozen(self, at_ms: int) -> bool:
        return self._frozen_ms > 0 and at_ms - self._frozen_ms < 24 * HOUR_MS

    def settle(self, at_ms: int) -> None:
        """What is over by `at_ms`."""
        if self.spell.on and at_ms - self._rose_ms > HOUR_MS:
            self.spell.end(self._rose_ms)

    def memory(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "spell": self.spell.memory(), "tracks": {s: t.memory() for s, t in self._tracks.items()},
            "times": [self.newest_ms, self._frozen_ms, self._rose_ms],
        }  # fmt: skip

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Goes on from `memory`."""
        self.spell.recall(memory["spell"])
        self._tracks = {s: Track(WETTER_WITHIN_MS, rows) for s, rows in memory["tracks"].items()}
        self.newest_ms, self._frozen_ms, self._rose_ms = memory["times"]
