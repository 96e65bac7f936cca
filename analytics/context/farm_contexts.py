"""The contexts of one farm: which reading goes to which recogniser, and what is said of a place at a time.

What is asked for a place where nothing of the kind is measured is answered from the farm's other places: a tank is
milked into when the vacuum is on in the parlour. Of several ways to know the same the best that is fresh speaks (for
milking: the tank's volume, vacuum, milk meters, the tank's warmth, the farm's times).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from zoneinfo import ZoneInfo

from analytics.context.amount import Amount
from analytics.context.answers import Answers
from analytics.context.expected import in_windows
from analytics.context.here import Around, Here
from analytics.context.roles import ELECTRIC, RAIN, Use, use_of
from analytics.context.running import Running
from analytics.context.spell import HOUR_MS, MINUTE_MS, STALE_MS, Spell
from analytics.context.warmth import Warmth
from analytics.context.wet import Rain, Soil
from analytics.farm import Farm
from analytics.signals.contexts import ContextState
from collectors.registry.maintenance_times import Window as Upkeep
from makiba.farm_settings import FarmSettings
from makiba.reading import Reading, Series

NOWHERE: Final = ""
"""What stands in no place: a weather service's station, a herd's milk meters."""
VERSION: Final = 1
RAINED_MS: Final = 3 * HOUR_MS
VACUUM_ON_MS: Final = 2 * MINUTE_MS
VACUUM_OFF_MS: Final = 15 * MINUTE_MS
METER_QUIET_MS: Final = 30 * MINUTE_MS
METER_BEFORE_MS: Final = 6 * MINUTE_MS
"""A cow's milk is told when she is done."""
FILL_M3: Final = 3.0
"""The size of a tank that tells its fill only; then litres are not known."""
NORMAL: Final[Mapping[Use, str]] = {
    "vacuum-pump": "vacuum_pump_current", "agitator": "agitator_current", "compressor": "compressor_current",
}  # fmt: skip
BEGUN: Final = 40

_Take = Callable[[int, float], None]


class FarmContexts:
    """The `Contexts` of one farm."""

    def __init__(self, farm: Farm, settings: Mapping[str, Any] | None = None) -> None:
        self._farm = farm
        self._places: dict[str, Here] = {}
        self._series: dict[Series, tuple[Use, str]] = {}
        self._takes: dict[Series, _Take | None] = {}
        self._best: dict[tuple[str, str], int] = {}
        self._meters = Spell()
        self._metered_ms = 0
        self._begun: deque[int] = deque(maxlen=BEGUN)
        self._upkeep: tuple[Upkeep, ...] = ()
        self._left: dict[str, Any] = {}  # memory of machines that are not made yet
        self._read(settings or {})

    # ----------------------------------------------------------------------------------------------- configuration

    def configure(self, farm: Farm, settings: Mapping[str, Any] | None) -> None:
        """Goes on with another state of the registry; what was recognised stays, for places that stay."""
        self._farm = farm
        series, self._series, self._takes, self._best = list(self._takes), {}, {}, {}
        self._read(self._settings if settings is None else settings)
        self.learn(series)

    def _read(self, settings: Mapping[str, Any]) -> None:
        self._settings, self._said = settings, FarmSettings.of(settings)
        self._zone = ZoneInfo(self._farm.timezone)
        for place, here in self._places.items():
            if here.amount is not None:
                here.amount.full_m3 = self._said.number("tank_volume", place)
        self._answers = Answers(self._said, self._zone, self._places)

    def upkeep(self, windows: Iterable[Upkeep]) -> None:
        """What somebody works on; windows of the registry."""
        self._upkeep = tuple(windows)

    def learn(self, series: Iterable[Series]) -> None:
        """Takes note that these series exist."""
        for one in sorted(series):
            if one not in self._takes:
                self._takes[one] = self._made(one)

    def _made(self, series: Series) -> _Take | None:
        placed = self._farm.place_of(series.subject)
        use = use_of(series.quantity, placed)
        if use is None:
            return None
        place = placed.place if placed is not None else NOWHERE
        self._series[series] = (use, place)
        here = self._places.setdefault(place, Here())
        take = self._take(here, use, place, series)
        if place in self._left:
            here.recall(self._left[place])
            del self._left[place]
        return take

    def _take(self, here: Here, use: Use, place: str, series: Series) -> _Take | None:
        subject, quantity = series.subject, series.quantity
        device = self._farm.device_of(subject)
        stale_ms = max(STALE_MS, 3 * device.every_ms if device is not None else 0)
        match use:
            case "volume" | "fill":
                full = self._said.number("tank_volume", subject, place)
                robots = self._said.get("milking_by", place) == "robot"
                here.amount = here.amount or Amount(full, robots, stale_ms)
                scale = 1.0 if use == "volume" else full or FILL_M3
                amount = here.amount

                def volume(at_ms: int, value: float) -> None:
                    around = self._around(place, at_ms)
                    self._begin(amount.milking, lambda: here.volume(at_ms, subject, value * scale, around))

                return volume
            case "milk":
                here.warmth = here.warmth or Warmth(stale_ms)
                warmth = here.warmth

                def milk(at_ms: int, value: float) -> None:
                    around = self._around(place, at_ms)
                    if any(h.amount is not None or h.vacuum is not None for h in self._places.values()):
                        here.milk_temperature(at_ms, subject, value, around)
                    else:
                        self._begin(warmth.milking, lambda: here.milk_temperature(at_ms, subject, value, around))

                return milk
            case "drain":
                here.warmth = here.warmth or Warmth(stale_ms)
                return here.drain
            case "vacuum" | "vacuum-pump":
                return self._vacuum(here, use, place, series, stale_ms)
            case "agitator" | "compressor" | "pump" | "wash-pump":
                return self._machine(here, use, place, series, stale_ms)
            case "flow":
                here.flow = here.flow or Running(
                    "water_flow", on_ms=MINUTE_MS, off_ms=5 * MINUTE_MS, stale_ms=stale_ms
                )
                return here.water
            case "rain":
                rain = here.rains.setdefault(subject, Rain(max(stale_ms, HOUR_MS)))
                best = self._is_best(subject, "rain", RAIN.index(quantity))
                return lambda at, v: rain.take(at, quantity, subject, v) if best() else None
            case "soil":
                soil = here.soil = here.soil or Soil()
                return lambda at, v: soil.take(at, subject, v, self._rained(place, at))
            case "soil-temperature":
                soil = here.soil = here.soil or Soil()
                return soil.temperature
            case "yield":
                return self._meter
            case "pickup":
                return here.hand

    def _vacuum(self, here: Here, use: Use, place: str, series: Series, stale_ms: int) -> _Take:
        better = int(use == "vacuum") * len(ELECTRIC) + (ELECTRIC.index(series.quantity) if use != "vacuum" else 0)
        best = self._is_best(place, "vacuum", better)
        key = "vacuum_setpoint" if use == "vacuum" else NORMAL[use]
        normal = self._said.number(key, series.subject, place) if series.quantity in ("vacuum", "current") else None
        made = here.vacuum
        if made is None or best():
            here.vacuum = Running(
                series.quantity, normal, on_ms=VACUUM_ON_MS, off_ms=VACUUM_OFF_MS, stale_ms=stale_ms
            )
            if made is not None and made.quantity == series.quantity:
                here.vacuum.recall(made.memory())

        def take(at_ms: int, value: float) -> None:
            vacuum = here.vacuum
            if best() and vacuum is not None:
                self._begin(vacuum.spell, lambda: vacuum.take(at_ms, value))

        return take

    def _machine(self, here: Here, use: Use, place: str, series: Series, stale_ms: int) -> _Take:
        subject, quantity = series.subject, series.quantity
        name = f"{use}/{subject}"
        best = self._is_best(subject, use, ELECTRIC.index(quantity))
        normal = self._said.number(NORMAL[use], subject, place) if use in NORMAL and quantity == "current" else None
        made = here.runs.get(name)
        if made is None or best():
            here.runs[name] = Running(quantity, normal, stale_ms=stale_ms)
            if made is not None and made.quantity == quantity:
                here.runs[name].recall(made.memory())
        if use == "wash-pump":
            here.warmth = here.warmth or Warmth(stale_ms)

        def take(at_ms: int, value: float) -> None:
            if not best():
                return
            running = here.runs[name]
            running.take(at_ms, value)
            if quantity != "current":
                running.spell.found.pop("current", None)
            if use == "wash-pump" and here.warmth is not None:
                here.warmth.pump(at_ms, running.spell.on)

        return take

    def _is_best(self, of: str, what: str, rank: int) -> Callable[[], bool]:
        """Of several quantities that tell the same of one thing only the best is looked at."""
        self._best[of, what] = max(rank, self._best.get((of, what), rank))
        return lambda: self._best[of, what] == rank

    # ---------------------------------------------------------------------------------------------------- readings

    def take(self, reading: Reading) -> None:
        """Notes a reading that is newer than all of its series before."""
        if reading.series not in self._takes:
            self.learn([reading.series])
        take = self._takes[reading.series]
        if take is not None and not isinstance(reading.value, str):
            take(reading.time_ms, reading.value)

    def _begin(self, spell: Spell, take: Callable[[], None]) -> None:
        """Takes a reading; of a milking that is followed by another one, and so was one, the beginning is kept."""
        before = spell.began_ms
        take()
        if before is not None and (spell.began_ms or 0) > before and before not in self._begun:
            self._begun.append(before)

    def _meter(self, at_ms: int, _: float) -> None:
        self._meters.seen(at_ms)
        if at_ms - self._metered_ms > METER_QUIET_MS:
            self._meters.end(self._metered_ms)
        if not self._meters.on:
            self._begin(self._meters, lambda: self._meters.begin(at_ms - METER_BEFORE_MS))
        self._metered_ms = max(at_ms, self._metered_ms)

    def _around(self, place: str, at_ms: int) -> Around:
        windows = self._said.windows("milking_times", place)
        in_times = in_windows(at_ms, self._zone, windows, 90) if windows else None
        elsewhere = self._answers.milking_spell(place, at_ms, self._meters, self._metered_ms)
        return Around(in_times, elsewhere)

    def _rained(self, place: str, at_ms: int) -> bool | None:
        rain = self._answers.rain(place, at_ms)
        return rain.was_on(at_ms, RAINED_MS) if rain is not None else None

    # ----------------------------------------------------------------------------------------------------- answers

    def knows(self, name: str, place: str | None) -> bool:
        """Whether `name` can be recognised at `place` at all."""
        if name == "maintenance":
            return True
        if name == "pasture":
            return self._said.get("pasture_season", place) is not None
        if name == "milking" and self._said.windows("milking_times", place):
            return True
        return bool(self.inputs(name, place))

    def inputs(self, name: str, place: str | None) -> frozenset[Series]:
        """The series whose readings may change its state there."""
        uses, anywhere = USES.get(name, (frozenset(), False))
        of_use = {series: where for series, (use, where) in self._series.items() if use in uses}
        here = frozenset(series for series, where in of_use.items() if where == place)
        return frozenset(of_use) if place is None or (anywhere and (name == "milking" or not here)) else here

    def state(self, name: str, place: str | None, at_ms: int) -> ContextState | None:
        """How it stands; None where that is not known now."""
        if name == "milking":
            return self._answers.milking(place, at_ms, self._meters, self._metered_ms, self._begun)
        if name == "maintenance":
            return self._answers.maintenance(place, at_ms, self._upkeep, self._farm)
        return self._answers.state(name, place, at_ms)

    # ------------------------------------------------------------------------------------------------------ memory

    def memory(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "version": VERSION,
            "series": [[s.subject, s.quantity] for s in sorted(self._series)],
            "places": {place: here.memory() for place, here in self._places.items()},
            "meters": [self._meters.memory(), self._metered_ms],
            "begun": list(self._begun),
        }

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Goes on from `memory`; what it does not understand it leaves."""
        if memory.get("version") != VERSION:
            return
        self.learn(Series(self._farm.site, subject, quantity) for subject, quantity in memory["series"])
        for place, kept in memory["places"].items():
            if place in self._places:
                self._places[place].recall(kept)
        meters, self._metered_ms = memory["meters"]
        self._meters.recall(meters)
        self._begun = deque(memory["begun"], maxlen=BEGUN)


USES: Final[Mapping[str, tuple[frozenset[Use], bool]]] = {
    "milking": (frozenset({"volume", "fill", "vacuum", "vacuum-pump", "yield", "milk"}), True),
    "washing": (frozenset({"milk", "drain", "wash-pump"}), False),
    "pickup": (frozenset({"volume", "fill", "milk", "pickup"}), False),
    "milk": (frozenset({"volume", "fill", "milk"}), False),
    "cooling": (frozenset({"compressor", "milk"}), False),
    "agitator": (frozenset({"agitator"}), False),
    "pump": (frozenset({"pump"}), False),
    "irrigation": (frozenset({"flow", "soil"}), False),
    "rain": (frozenset({"rain"}), True),
}
"""Per context: the uses of series that tell it, and whether another place's tell it too."""
