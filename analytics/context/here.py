"""What is recognised at one place from what is measured there; what other places tell comes in through `Around`.

Two tanks in one place are one: their volumes are added, and the warmer one counts. Readings of one series come in
ascending time; those of different series may be apart by as much as their polls.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from analytics.context.amount import Amount
from analytics.context.running import Running
from analytics.context.spell import MINUTE_MS, Spell
from analytics.context.warmth import Warmth
from analytics.context.wet import Rain, Soil

COLD_C: Final = 4.4
WARM_C: Final = 5.0
PICKUP_HAND_MS: Final = MINUTE_MS


@dataclass(frozen=True, slots=True)
class Around:
    """What the place cannot see itself: whether the farm's milking times are now (None: not said), a milking seen
    elsewhere, and whether it rained lately (None: not known)."""

    in_times: bool | None = None
    milking: Spell | None = None
    rained: bool | None = None


class Here:
    """The machines of one place, each made when its first reading comes."""

    def __init__(self) -> None:
        self.amount: Amount | None = None
        self.warmth: Warmth | None = None
        self.vacuum: Running | None = None
        self.runs: dict[str, Running] = {}  # by subject: agitator, compressor, pumps
        self.flow: Running | None = None
        self.soil: Soil | None = None
        self.rains: dict[str, Rain] = {}  # by subject
        self.milk, self.cooling, self.handed = Spell(), Spell(), Spell()
        self.minutes_to_cold: float | None = None
        self.litres = 0.0  # that flowed since the water ran
        self._volumes: dict[str, tuple[int, float]] = {}
        self._milks: dict[str, tuple[int, float]] = {}
        self._cold_ms = 0  # since when the milk is cold; 0: it is not
        self._cooled_ms = 0  # end of the milking whose cooling was timed

    # ------------------------------------------------------------------------------------------------ the tank

    def volume(self, at_ms: int, subject: str, cubic_metres: float, around: Around) -> None:
        """A reading of how much is in a tank."""
        if self.amount is None:
            return
        self._volumes[subject] = (at_ms, cubic_metres)
        fresh = [v for t, v in self._volumes.values() if at_ms - t <= self.amount.calm.stale_ms]
        before = self.amount.volume
        self.amount.take(at_ms, sum(fresh), self.washing_now(at_ms))
        if self.amount.volume != before:
            self._after(at_ms, around)

    def milk_temperature(self, at_ms: int, subject: str, celsius: float, around: Around) -> None:
        """A reading of how warm a tank is."""
        if self.warmth is None:
            return
        self._milks[subject] = (at_ms, celsius)
        fresh = [v for t, v in self._milks.values() if at_ms - t <= self.warmth.calm.stale_ms]
        amount = self.amount if self.amount is not None and self.amount.calm.known(at_ms) else None
        before = self.warmth.now
        self.warmth.take(
            at_ms,
            max(fresh),
            may_be_empty=self._may_be_empty(at_ms),
            water=amount.may_be_water and not amount.milking.on if amount else None,
            due=self._wash_is_due(),
            in_times=around.in_times,
        )
        if self.warmth.now != before:
            self._cold(at_ms, self.warmth.now or 0.0)
            self._after(at_ms, around)

    def drain(self, at_ms: int, celsius: float) -> None:
        """A reading of a drain's temperature."""
        if self.warmth is not None:
            self.warmth.drain(at_ms, celsius, self._may_be_empty(at_ms))

    def hand(self, at_ms: int, value: float) -> None:
        """Somebody presses the button that says that milk was picked up."""
        self.handed.seen(at_ms)
        if value > 0.5:
            self.handed.begin(at_ms)
            self.handed.end(at_ms)

    def _may_be_empty(self, at_ms: int) -> bool:
        amount = self.amount
        return amount is None or not amount.calm.known(at_ms) or amount.may_be_water

    def _wash_is_due(self) -> bool:
        out_ms = max(self.picked_ms, self._out_ms())
        washing = self.warmth.washing if self.warmth else Spell()
        return out_ms > 0 and (washing.began_ms or 0) < out_ms

    @property
    def picked_ms(self) -> int:
        """When milk was last picked up, for all that was seen or said; 0: never."""
        ended = [self.handed.ended_ms or 0]
        if self.amount is not None:
            ended.append(self.amount.pickup.ended_ms or 0)
        return max(ended)

    def _out_ms(self) -> int:
        return self.warmth.emptied_ms or 0 if self.warmth else 0

    def washing_now(self, at_ms: int) -> bool:
        """Whether the tank is being washed."""
        if self.warmth is None:
            return False
        self.warmth.settle(at_ms)
        return self.warmth.washing.on

    def _after(self, at_ms: int, around: Around) -> None:
        """Milk in the tank, and its cooling, once volume or warmth are known anew."""
        milking = self.own_milking(at_ms) or around.milking
        self.milk.seen(at_ms)
        if self.washing_now(at_ms):
            self.milk.end(at_ms if self.warmth is None else self.warmth.washing.since_ms)
        elif self.amount is not None and self.amount.calm.known(at_ms):
            self._milk_by_volume(at_ms, self.amount)
        elif self.warmth is not None:
            out_ms = max(self.picked_ms, self._out_ms(), self.warmth.washing.ended_ms or 0)
            began_ms = milking.began_ms if milking is not None else None
            if began_ms is not None and began_ms > out_ms:
                self.milk.begin(began_ms)
            elif self.warmth.cold_ms > out_ms:
                self.milk.begin(self.warmth.cold_ms)
            elif out_ms > (self.milk.began_ms or 0):
                self.milk.end(out_ms)
        self._cool(at_ms, milking)

    def _milk_by_volume(self, at_ms: int, amount: Amount) -> None:
        out_ms = max(self.picked_ms, self._out_ms())
        if amount.milking.on or (amount.milking.began_ms or 0) > max(out_ms, self.milk.ended_ms or 0):
            self.milk.begin(max(amount.milking.began_ms or at_ms, self.milk.since_ms))
        elif not amount.may_be_water and not amount.pickup.on:
            self.milk.begin(at_ms)
        if amount.is_empty and not amount.milking.on:
            self.milk.end(max(out_ms, self.milk.since_ms) if out_ms >= self.milk.since_ms else at_ms)

    def _cold(self, at_ms: int, celsius: float) -> None:
        self._cold_ms = (self._cold_ms or at_ms) if celsius <= COLD_C else 0

    def _cool(self, at_ms: int, milking: Spell | None) -> None:
        self.cooling.seen(at_ms)
        now = self.warmth.now if self.warmth is not None else None
        if self._cold_ms or not self.milk.on:
            self.cooling.end(self._cold_ms or at_ms)
        elif now is not None and (now > WARM_C or (milking is not None and milking.on)):
            self.cooling.begin(at_ms)
        if milking is None or milking.on or milking.ended_ms is None or not self._cold_ms or not self.milk.on:
            return
        if milking.ended_ms != self._cooled_ms:
            self._cooled_ms = milking.ended_ms
            self.minutes_to_cold = max(0, self._cold_ms - milking.ended_ms) / MINUTE_MS

    def own_milking(self, at_ms: int) -> Spell | None:
        """The milking that is seen here, by the best that is measured and fresh; warmth comes after all others."""
        if self.amount is not None and self.amount.calm.known(at_ms):
            self.amount.settle(at_ms)
            return self.amount.milking
        if self.vacuum is not None and self.vacuum.known(at_ms):
            self.vacuum.settle(at_ms)
            return self.vacuum.spell
        return None

    # ----------------------------------------------------------------------------------------------------- water

    def water(self, at_ms: int, cubic_metres_per_s: float) -> None:
        """A reading of a flow of water."""
        if self.flow is None:
            return
        gap_ms = at_ms - self.flow.newest_ms if self.flow.known(at_ms) else 0
        was_on = self.flow.spell.on
        self.flow.take(at_ms, cubic_metres_per_s)
        if not was_on:
            self.litres = 0.0
        if self.flow.spell.on:
            self.litres += cubic_metres_per_s * gap_ms
            self.flow.spell.found["litres"] = self.litres

    # ---------------------------------------------------------------------------------------------------- memory

    _KEPT: Final = ("minutes_to_cold", "litres", "_cold_ms", "_cooled_ms")
    _SPELLS: Final = ("milk", "cooling", "handed")

    def _machines(self) -> Iterator[tuple[str, Any]]:
        for name in ("amount", "warmth", "vacuum", "flow", "soil"):
            if (machine := getattr(self, name)) is not None:
                yield name, machine
        yield from (("runs/" + subject, machine) for subject, machine in self.runs.items())
        yield from (("rains/" + subject, machine) for subject, machine in self.rains.items())

    def memory(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "machines": {name: machine.memory() for name, machine in self._machines()},
            "spells": {name: getattr(self, name).memory() for name in self._SPELLS},
            "volumes": self._volumes, "milks": self._milks,
            **{name: getattr(self, name) for name in self._KEPT},
        }  # fmt: skip

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Goes on from `memory`, as far as the machines are made."""
        for name, machine in self._machines():
            if name in memory["machines"]:
                machine.recall(memory["machines"][name])
        for name in self._SPELLS:
            getattr(self, name).recall(memory["spells"][name])
        self._volumes = {subject: (int(t), float(v)) for subject, (t, v) in memory["volumes"].items()}
        self._milks = {subject: (int(t), float(v)) for subject, (t, v) in memory["milks"].items()}
        for name in self._KEPT:
            setattr(self, name, memory[name])
