"""What a request may see of a farm's series, and which of them it asks for.

A farm of which somebody sees no value (but alerts, perhaps) is not there for them, and neither is a series that never
was of a class that they may see. A route that takes a `Choice` narrows it to names and patterns, to a place, and to a
class: then each series is told as of the times when it was of that class, to a farm's own people too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final

from fastapi import Depends, Query
from sqlalchemy.orm import Session

from api.problems import not_found
from api.sessions import SERVICE
from api.shapes import Id
from api.shapes.data import Pattern
from collectors.out.choice import matches
from collectors.registry import sites
from collectors.registry.schema import Place, Placement, Site
from collectors.registry.sight import FarmSight, Span, farm_sight, whereabouts
from collectors.registry.viewer import Person
from makiba.data_class import EVERYTHING, DataClass
from makiba.quantities import catalogue
from makiba.reading import Series

MEASURED: Final[frozenset[DataClass]] = EVERYTHING - {"alerts"}
"""The classes that a value can be of."""

MAX_NAMES: Final = 50


@dataclass(frozen=True, slots=True)
class Seen:
    """A farm as somebody sees it, or a class of it, at `now_ms`; `classes`: of which classes something is told."""

    site: Site
    sight: FarmSight
    now_ms: int
    places: Mapping[str, Place] = field(default_factory=dict)
    placements: Mapping[str, Placement] = field(default_factory=dict)

    @property
    def classes(self) -> frozenset[DataClass]:
        return self.sight.classes & MEASURED

    def place_of(self, subject: str) -> Place | None:
        """Where the subject stands now, if that is for them to know."""
        placement = self.placements.get(subject)
        place = self.places.get(placement.place_id) if placement else None
        return place if place is not None and self.sight.sees_place(place.kind) else None

    def spans(self, series: Series) -> tuple[Span, ...]:
        """When `series` may be seen; empty: it is not there."""
        return self.sight.spans(series.subject, series.quantity) if series.quantity in catalogue() else ()


def look(session: Session, viewer: Person, site: str, now_ms: int, of_class: DataClass | None = None) -> Seen:
    """`site` as `viewer` sees it; 404 where they see no value of it, or none of `of_class`."""
    farm = glance(session, viewer, site, now_ms, of_class)
    if farm is None:
        raise not_found()
    return farm


def glance(
    session: Session, viewer: Person, site: str, now_ms: int, of_class: DataClass | None = None
) -> Seen | None:
    """`look`, with None for what is not there."""
    row = sites.get_site(session, viewer, site)
    if row is None:
        return None
    sight = farm_sight(session, SERVICE, viewer, site)
    if of_class is not None:
        stood = whereabouts(session, SERVICE, [site]).get(site, {}) if sight.is_whole else sight.stood
        sight = FarmSight(sight.classes & {of_class}, False, stood)
    if not sight.classes & MEASURED:
        return None
    places = {place.id: place for place in sites.list_places(session, SERVICE, site)}
    placements = {p.subject: p for p in sites.list_placements(session, SERVICE, site, now_ms)}
    return Seen(row, sight, now_ms, places, placements)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which series a request asks for; without anything, all of them."""

    subjects: Sequence[str] = ()
    quantities: Sequence[str] = ()
    place: str | None = None
    of_class: DataClass | None = None

    def of(self, seen: Seen, present: Iterable[Series]) -> Iterator[Series]:
        """Those of `present` that are asked for and may be seen."""
        for series in present:
            if not (matches(series.subject, self.subjects) and matches(series.quantity, self.quantities)):
                continue
            if self.place is not None:
                place = seen.place_of(series.subject)
                if place is None or place.id != self.place:
                    continue
            if seen.spans(series):
                yield series


def choice(
    subject: Annotated[
        list[Pattern] | None, Query(max_length=MAX_NAMES, description="Only these; `tank-*` is any tank")
    ] = None,
    quantity: Annotated[
        list[Pattern] | None, Query(max_length=MAX_NAMES, description="Only these; `*_temperature` is any of them")
    ] = None,
    place: Annotated[Id | None, Query(description="Only of what stands there now")] = None,
    of_class: Annotated[
        DataClass | None, Query(alias="class", description="Only what is of this class, as of when it was")
    ] = None,
) -> Choice:
    """The choice of this request."""
    return Choice(tuple(subject or ()), tuple(quantity or ()), place, of_class)


Chosen = Annotated[Choice, Depends(choice)]
