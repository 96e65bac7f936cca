"""Publishes comparisons: works out what each farm has, and writes down what may be told of all, once for all.

It is done when somebody asks for the first time. Farms' values are in memory only, and only as long as it takes.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from typing import Final

from sqlalchemy.exc import IntegrityError

from api.measures import Measure, Month
from collectors.registry import Registry, comparisons
from collectors.registry.cohorts import BAND, Earlier, Party, bands_of, cohort
from collectors.registry.schema.comparisons import Comparison
from collectors.registry.sight import FarmSight, Whereabouts, whereabouts
from collectors.registry.viewer import Service
from collectors.store import Store

AGAIN_MS: Final = 600_000
"""When there was too little to publish, it is not looked at again before."""
TRIES: Final = 3

_SERVICE: Final = Service("api")


class Publisher:
    """One per process; threads share it, and publish one after the other."""

    def __init__(self, registry: Registry, store: Store) -> None:
        self._registry = registry
        self._store = store
        self._publishing = threading.Lock()
        self._too_few: dict[tuple[str, str], int] = {}

    def published(self, measure: Measure, month: Month, now_ms: int) -> Comparison | None:
        """What is published; None as long as there is too little."""
        if found := self._found(measure, month):
            return found
        with self._publishing:
            if found := self._found(measure, month):
                return found
            key = (measure.id, month.name)
            if now_ms - self._too_few.get(key, now_ms - AGAIN_MS) < AGAIN_MS:
                return None
            for _ in range(TRIES):
                try:
                    made = self._publish(measure, month, now_ms)
                except (comparisons.MembersChanged, IntegrityError):
                    continue
                if made is None:
                    self._too_few[key] = now_ms
                return made
        return self._found(measure, month)

    def own(self, measure: Measure, month: Month, sites: Sequence[str]) -> dict[str, float | None]:
        """The value of each of `sites` by itself."""
        with self._registry.read() as session:
            stood = whereabouts(session, _SERVICE, sites)
        return {site: self._value(measure, month, site, stood.get(site, {})) for site in sites}

    def _found(self, measure: Measure, month: Month) -> Comparison | None:
        with self._registry.read() as session:
            return comparisons.published(session, _SERVICE, measure.id, month.name)

    def _publish(self, measure: Measure, month: Month, now_ms: int) -> Comparison | None:
        with self._registry.read() as session:
            parties = comparisons.parties(session, _SERVICE, measure.data_class)
            earlier: Sequence[Earlier] = comparisons.earlier(session, _SERVICE, measure.id)
            if len(parties) < BAND:
                return None
            stood = whereabouts(session, _SERVICE, {site for party in parties for site in party})
        values: dict[Party, float] = {}
        for party in parties:
            known = {
                site: value
                for site in party
                if (value := self._value(measure, month, site, stood.get(site, {}))) is not None
            }
            if known:  # the farms of a party that have a value are the party, and their mean its value
                values[frozenset(known)] = sum(known.values()) / len(known)
        members = cohort(values, earlier, random.SystemRandom())
        bands = bands_of([values[party] for party in members], measure.step)
        if not bands:
            return None
        with self._registry.write() as session:
            return comparisons.publish(
                session, _SERVICE, measure.id, month.name, measure.data_class, members, bands, earlier, now_ms
            )

    def _value(self, measure: Measure, month: Month, site: str, stood: Whereabouts) -> float | None:
        return measure.value(self._store, FarmSight(frozenset({measure.data_class}), False, stood), site, month)
