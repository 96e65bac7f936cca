"""What a herd is just now, for rules: how many are milked, dry, young, about to calve; and the state of each animal.

Counts are of the farm, and of each place in which a group lives. An animal is called by its ten digits, as its
readings are, or by its id where it has none. A farm that keeps no herd here is believed what it says of itself
(`said_herd`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from collectors.registry import animals, herd_events
from collectors.registry.schema.herd import Animal, HerdEvent, HerdGroup, HerdMember
from collectors.registry.viewer import Viewer, may_see
from makiba.cow import DAY_MS, HOUR_MS, CowState
from makiba.farm_settings import FarmSettings
from makiba.reading import Value

Key = tuple[str, str | None]
"""A name, and the place or subject that it is said of; None: the farm."""

YOUNG_MS: Final = 21 * DAY_MS
CALF_MS: Final = 180 * DAY_MS
SOON_MS: Final = 7 * DAY_MS
HOLDS_MS: Final = HOUR_MS
MOST_ANIMALS: Final = 20_000
SAID: Final[Mapping[str, str]] = {
    "cows_in_milk": "cows", "dry_cows": "dry_cows", "calves": "calves", "calves_under_21_d": "young_calves",
}  # fmt: skip
COUNTS: Final = (*SAID, "calvings_within_7_d")


@dataclass(frozen=True, slots=True)
class HerdFacts:
    """What was worked out at `at_ms`, when the herd's book stood at `mark`."""

    values: Mapping[Key, Value] = field(default_factory=dict, hash=False)
    mark: tuple[Any, ...] = ()
    at_ms: int = 0


NOBODY: Final = HerdFacts()


def read_herd(session: Session, viewer: Viewer, site: str, now_ms: int, before: HerdFacts = NOBODY) -> HerdFacts:
    """The herd of `site` at `now_ms`; `before` again while its book is the same and the hour is."""
    if not may_see(viewer, site, "herd"):
        return NOBODY
    mark = _mark(session, site)
    if mark == before.mark and 0 <= now_ms - before.at_ms < HOLDS_MS:
        return before
    rows = list(animals.list_animals(session, viewer, site, limit=MOST_ANIMALS))
    if not rows:
        return HerdFacts({}, mark, now_ms)
    states = herd_events.states_of(session, viewer, site, rows, now_ms)
    where = _places_of_animals(session, site, now_ms)
    counts: dict[Key, Value] = dict.fromkeys(((fact, None) for fact in COUNTS), 0.0)
    values: dict[Key, Value] = {}
    for row in rows:
        state = states[row.id]
        if state.status != "present":
            continue
        age_ms = now_ms - _day_ms(row.born_on) if row.born_on is not None else None
        for place in {None, where.get(row.id)}:
            for fact, counted in _counted(state, age_ms, now_ms):
                counts[fact, place] = float(counts.get((fact, place), 0.0)) + counted
        subject = row.national_id or row.id
        values.update({(name, subject): value for name, value in animal_facts(state, now_ms)})
    return HerdFacts({**values, **counts}, mark, now_ms)


def _counted(state: CowState, age_ms: int | None, now_ms: int) -> Iterator[tuple[str, float]]:
    soon = state.expected_calving_ms is not None and now_ms - SOON_MS <= state.expected_calving_ms <= now_ms + SOON_MS
    yield "cows_in_milk", float(state.lactating_since_ms is not None)
    yield "dry_cows", float(state.dry_since_ms is not None)
    yield "calves", float(age_ms is not None and age_ms < CALF_MS and not state.calvings)
    yield "calves_under_21_d", float(age_ms is not None and age_ms < YOUNG_MS)
    yield "calvings_within_7_d", float(soon)


def animal_facts(state: CowState, now_ms: int) -> Iterator[tuple[str, Value]]:
    """What a rule may ask of one animal."""
    yield "is_lactating", yes(state.lactating_since_ms is not None)
    yield "is_dry", yes(state.dry_since_ms is not None)
    yield "is_pregnant", yes(state.pregnant_since_ms is not None)
    yield "is_withheld", yes(state.milk_withheld_until_ms is not None)
    if state.days_in_milk is not None:
        yield "days_in_milk", float(state.days_in_milk)
    if state.expected_calving_ms is not None:
        yield "days_to_calving", (state.expected_calving_ms - now_ms) / DAY_MS
    last_ms = state.heat_ms or state.inseminated_ms
    if last_ms is not None:
        yield "days_since_heat", (now_ms - last_ms) / DAY_MS


def _places_of_animals(session: Session, site: str, now_ms: int) -> dict[str, str]:
    query = (
        select(HerdMember.animal_id, HerdGroup.place_id)
        .join(HerdGroup, HerdGroup.id == HerdMember.group_id)
        .where(HerdGroup.site_id == site, HerdGroup.place_id.is_not(None), HerdMember.from_ms <= now_ms)
        .where(HerdMember.to_ms.is_(None) | (HerdMember.to_ms > now_ms))
    )
    return {animal: place for animal, place in session.execute(query) if place is not None}


def _day_ms(day: date) -> int:
    return round(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)


def yes(so: bool) -> str:
    """As a rule reads it."""
    return "yes" if so else "no"


def said_herd(own: FarmSettings) -> Iterator[tuple[Key, Value]]:
    """The counts that the farm says itself."""
    for fact, key in SAID.items():
        for name, what in own.said.items():
            scope, _, word = name.rpartition(".")
            if word == key and isinstance(what, float):
                yield (fact, scope or None), what


def _mark(session: Session, site: str) -> tuple[Any, ...]:
    """Another one whenever somebody entered, corrected or deleted something."""
    events = select(
        func.count(), func.sum(HerdEvent.version), func.max(HerdEvent.entered_ms), func.max(HerdEvent.deleted_ms)
    ).where(HerdEvent.site_id == site)
    herd = select(func.count(), func.sum(Animal.version), func.max(Animal.changed_ms)).where(Animal.site_id == site)
    groups = select(func.sum(HerdGroup.version)).where(HerdGroup.site_id == site)
    return tuple(value for query in (events, herd, groups) for value in session.execute(query).one())
