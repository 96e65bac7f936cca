"""What is said of a place at a time, from the machines of this place, or of others where it has none.

Nothing here changes what was recognised, except that what is over by then is ended: a milking of which nothing rose
for 20 min is over by the clock, whether a reading comes or not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final
from zoneinfo import ZoneInfo

from analytics.context.expected import (
    NOON_MIN,
    early_ms,
    edges,
    in_windows,
    learned,
    local,
    milking_minutes,
    missing_since,
    moment,
    slots,
)
from analytics.context.here import Here
from analytics.context.spell import HOUR_MS, MINUTE_MS, Spell
from analytics.context.wet import Rain
from analytics.farm import Farm
from analytics.signals.contexts import ContextState
from collectors.registry.maintenance_times import Window as Upkeep
from makiba.farm_settings import Days, FarmSettings, Season

METER_QUIET_MS: Final = 30 * MINUTE_MS
METERS_KNOWN_MS: Final = 24 * HOUR_MS
ROBOT_LATE_MS: Final = 3 * HOUR_MS
PICKUP_EARLY_MS: Final = 8 * HOUR_MS

_Seen = tuple[Spell, int]
"""A spell, and since when it would have been seen without a hole."""


class Answers:
    """See the module."""

    def __init__(self, said: FarmSettings, zone: ZoneInfo, places: Mapping[str, Here]) -> None:
        self._said, self._zone, self._places = said, zone, places
        self._slots: dict[tuple[str, str | None, int], list[int]] = {}

    def _others(self, place: str | None) -> Iterator[Here]:
        """The place itself first, then the others by name."""
        if place in self._places:
            yield self._places[place or ""]
        yield from (here for name, here in sorted(self._places.items()) if name != place)

    # ----------------------------------------------------------------------------------------------------- milking

    def milking_spell(self, place: str | None, at_ms: int, meters: Spell, metered_ms: int) -> Spell | None:
        """The best that is known of milking by what is measured, warmth excepted."""
        seen = self._milking_seen(place, at_ms, meters, metered_ms)
        return seen[0] if seen else None

    def _milking_seen(self, place: str | None, at_ms: int, meters: Spell, metered_ms: int) -> _Seen | None:
        for here in self._others(place):
            spell = here.own_milking(at_ms)
            if spell is not None:
                run = here.amount.calm if here.amount is not None and spell is here.amount.milking else here.vacuum
                return spell, run.run_ms if run is not None else at_ms
        if metered_ms and at_ms - metered_ms < METERS_KNOWN_MS:
            if meters.on and at_ms - metered_ms > METER_QUIET_MS:
                meters.end(metered_ms)
            return meters, meters.since_ms
        return None

    def milking(
        self, place: str | None, at_ms: int, meters: Spell, metered_ms: int, begun: Iterable[int]
    ) -> ContextState | None:
        """Milking, as `Contexts.state` says it."""
        seen = self._milking_seen(place, at_ms, meters, metered_ms)
        if seen is not None:
            spell, run_ms = seen
            return replace(_said(spell), missing_ms=self._milking_missing(place, at_ms, spell, run_ms, begun))
        windows = self._said.windows("milking_times", place)
        by_times = None
        if windows:
            since_ms, ended_ms = edges(at_ms, self._zone, windows)
            by_times = ContextState(in_windows(at_ms, self._zone, windows), since_ms, ended_ms)
        warmth = next((h.warmth for h in self._others(place) if h.warmth and h.warmth.calm.known(at_ms)), None)
        if warmth is None:
            return by_times
        warmth.settle(at_ms)
        by_warmth = _said(warmth.milking)
        # Warmth alone sees the end too early where the cooler is strong: it goes on as long as the farm says.
        return _any([by_times, by_warmth]) if by_times is not None else by_warmth

    def _milking_missing(
        self, place: str | None, at_ms: int, spell: Spell, run_ms: int, begun: Iterable[int]
    ) -> int | None:
        met_ms = at_ms if spell.on else spell.ended_ms
        if self._said.get("milking_by", place) == "robot":
            last_ms = max(met_ms or 0, run_ms) + ROBOT_LATE_MS
            return last_ms if at_ms > last_ms else None
        minutes = milking_minutes(self._said, place) or self._usual(at_ms, begun)
        if not minutes:
            return None
        found = self._of_hour("milking", place, at_ms, lambda: slots(at_ms + HOUR_MS, self._zone, minutes))
        return missing_since([s for s in found if s <= at_ms], met_ms, early_ms(minutes), run_ms)

    def _usual(self, at_ms: int, begun: Iterable[int]) -> list[int]:
        day = at_ms // HOUR_MS
        key = ("usual", None, day)
        if key not in self._slots:
            self._remember(key, learned(begun, at_ms, self._zone))
        return self._slots[key]

    def _of_hour(self, name: str, place: str | None, at_ms: int, made: object) -> list[int]:
        key = (name, place, at_ms // HOUR_MS)
        if key not in self._slots:
            self._remember(key, made())  # type: ignore[operator]
        return self._slots[key]

    def _remember(self, key: tuple[str, str | None, int], found: list[int]) -> None:
        if len(self._slots) > 64:
            self._slots.clear()
        self._slots[key] = found

    # ---------------------------------------------------------------------------------------------------- the rest

    def state(self, name: str, place: str | None, at_ms: int) -> ContextState | None:
        """Any other context."""
        if name == "pasture":
            return self._pasture(place, at_ms)
        if name == "rain":
            rain = self.rain(place, at_ms)
            if rain is None:
                return None
            rain.settle(at_ms)
            return _said(rain.spell)
        of = {
            "washing": self._washing, "pickup": self._pickup, "milk": self._milk, "cooling": self._cooling,
            "agitator": self._agitator, "pump": self._pump, "irrigation": self._irrigation,
        }.get(name)  # fmt: skip
        if of is None:
            return None
        if place is not None:
            return of(self._places[place], place, at_ms) if place in self._places else None
        states = [of(here, where, at_ms) for where, here in sorted(self._places.items())]
        return _any([state for state in states if state is not None])

    def _washing(self, here: Here, _: str, at_ms: int) -> ContextState | None:
        warmth = here.warmth
        if warmth is None:
            return None
        pumps = [r for name, r in here.runs.items() if name.startswith("wash-pump/")]
        if not (warmth.calm.known(at_ms) or any(r.known(at_ms) for r in pumps) or warmth.drain_known(at_ms)):
            return None
        warmth.settle(at_ms)
        washing, picked_ms = warmth.washing, here.picked_ms
        # A wash in a hole of the readings was not seen: nobody knows that it is missing.
        is_seen = 0 < max(warmth.calm.run_ms, self._volume_run(here)) < picked_ms
        is_missing = is_seen and not washing.on and (washing.began_ms or 0) < picked_ms - 5 * MINUTE_MS
        return replace(_said(washing), missing_ms=picked_ms if is_missing else None)

    @staticmethod
    def _volume_run(here: Here) -> int:
        return here.amount.calm.run_ms if here.amount is not None else 0

    def _pickup(self, here: Here, place: str, at_ms: int) -> ContextState | None:
        amount, warmth = here.amount, here.warmth
        if amount is not None and amount.calm.known(at_ms):
            amount.settle(at_ms)
            spell, run_ms = amount.pickup, amount.calm.run_ms
        elif warmth is not None and warmth.calm.known(at_ms):
            spell, run_ms = Spell(since_ms=warmth.washing.since_ms), warmth.calm.run_ms
            if warmth.emptied_ms is not None:
                spell = Spell(False, warmth.emptied_ms, warmth.emptied_ms, warmth.emptied_ms)
        elif here.handed.since_ms:
            spell, run_ms = here.handed, here.handed.since_ms
        else:
            return None
        if (here.handed.ended_ms or 0) > (spell.ended_ms or 0) and not spell.on:
            spell = here.handed
        return replace(_said(spell), missing_ms=self._pickup_missing(place, at_ms, spell, run_ms))

    def _pickup_missing(self, place: str, at_ms: int, spell: Spell, run_ms: int) -> int | None:
        days, known = self._said.get("pickup_days", place), self._said.get("pickup_on", place)
        if not isinstance(days, Days):
            return None
        minute = self._said.number("pickup_time", place)
        at = [round(minute) if minute is not None else NOON_MIN]
        first = known if known is not None and not isinstance(known, float | str | Days | Season | tuple) else None
        found = self._of_hour("pickup", place, at_ms, lambda: slots(at_ms + HOUR_MS, self._zone, at, days, first))
        met_ms = at_ms if spell.on else spell.ended_ms
        return missing_since([s for s in found if s <= at_ms], met_ms, PICKUP_EARLY_MS, run_ms)

    def _milk(self, here: Here, _: str, at_ms: int) -> ContextState | None:
        known = [m for m in (here.amount, here.warmth) if m is not None and m.calm.known(at_ms)]
        if not known or (not here.milk.on and here.milk.began_ms is None and here.amount is None):
            return None
        state = _said(here.milk)
        amount = here.amount
        if state.is_on and amount is not None and amount.volume is not None and amount.calm.known(at_ms):
            return replace(state, found={"litres": amount.volume * 1000})
        return state

    def _cooling(self, here: Here, _: str, at_ms: int) -> ContextState | None:
        state = self._fold(here, "compressor/", at_ms)
        if state is None:
            if here.warmth is None or not here.warmth.calm.known(at_ms):
                return None
            state = _said(here.cooling)
        if here.minutes_to_cold is None:
            return state
        return replace(state, found={**state.found, "minutes_to_cold": here.minutes_to_cold})

    def _agitator(self, here: Here, _: str, at_ms: int) -> ContextState | None:
        return self._fold(here, "agitator/", at_ms)

    def _pump(self, here: Here, _: str, at_ms: int) -> ContextState | None:
        return self._fold(here, "pump/", at_ms)

    def _irrigation(self, here: Here, _: str, at_ms: int) -> ContextState | None:
        if here.flow is not None and here.flow.known(at_ms):
            here.flow.settle(at_ms)
            found = {k: v for k, v in here.flow.spell.found.items() if k != "current"}
            return replace(_said(here.flow.spell), found=found)
        if here.soil is not None and here.soil.newest_ms and at_ms - here.soil.newest_ms <= 3 * HOUR_MS:
            here.soil.settle(at_ms)
            return _said(here.soil.spell)
        return None

    def _fold(self, here: Here, prefix: str, at_ms: int) -> ContextState | None:
        runs = [r for name, r in here.runs.items() if name.startswith(prefix) and r.known(at_ms)]
        for running in runs:
            running.settle(at_ms)
        return _any([_said(running.spell) for running in runs])

    def rain(self, place: str | None, at_ms: int) -> Rain | None:
        """What is known of rain at `place`, else on the farm."""
        return next((r for here in self._others(place) for r in here.rains.values() if r.known(at_ms)), None)

    def _pasture(self, place: str | None, at_ms: int) -> ContextState | None:
        season = self._said.get("pasture_season", place)
        if not isinstance(season, Season):
            return None
        day, _ = local(at_ms, self._zone)
        hours = self._said.windows("pasture_hours", place)
        year = day.year if (day.month, day.day) >= season.first else day.year - 1
        first_ms = moment(day.replace(year=year, month=season.first[0], day=min(season.first[1], 28)), 0, self._zone)
        if day not in season:
            return ContextState(False, first_ms)
        if not hours:
            return ContextState(True, first_ms)
        since_ms, ended_ms = edges(at_ms, self._zone, hours)
        return ContextState(ended_ms is None, max(since_ms, first_ms), ended_ms)

    def maintenance(self, place: str | None, at_ms: int, windows: Iterable[Upkeep], farm: Farm) -> ContextState:
        """Whether somebody works at `place`: on the farm, on the place, or on what stands in it."""
        about = sorted((w for w in windows if _touches(w, place, farm)), key=lambda w: w.from_ms)
        now = [w for w in about if w.from_ms <= at_ms < w.until_ms]
        if now:
            return ContextState(True, now[0].from_ms)
        ended = max((w.until_ms for w in about if w.until_ms <= at_ms), default=None)
        return ContextState(False, ended or 0, ended)


def _touches(window: Upkeep, place: str | None, farm: Farm) -> bool:
    for kind, name in window.targets:
        if kind == "site" or place is None or (kind == "place" and name == place):
            return True
        placed = farm.place_of(name) if kind in ("subject", "device") else None
        if placed is not None and placed.place == place:
            return True
    return False


def _said(spell: Spell) -> ContextState:
    return ContextState(spell.on, spell.since_ms, None if spell.on else spell.ended_ms, dict(spell.found))


def _any(states: list[ContextState]) -> ContextState | None:
    """On if any is, since the first; else off since the last that ended."""
    if not states:
        return None
    on = [state for state in states if state.is_on]
    if on:
        return min(on, key=lambda state: state.since_ms)
    return max(states, key=lambda state: state.ended_ms or 0)
