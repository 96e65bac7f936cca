"""What one person may see of each farm, value by value: their classes, and where each subject stood when.

A value is of the class of the place where its subject stood when it was *measured*: a sensor that moved from the barn
to the tank room last week shows who may see the tank nothing of the barn, neither in a chart nor in a backlog that
comes late. A `Sight` is what rights were at one moment; `rights_version` tells when to make another.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from collectors.registry.schema import Place, Placement
from collectors.registry.viewer import Person, Service, classes_on, home_sites, require_service
from makiba.data_class import BY_PLACE, EVERYTHING, DataClass, classes_of
from makiba.reading import Series

Span = tuple[int, int]
"""[from, to) in UTC ms."""

ALWAYS: Final[Span] = (-(1 << 62), 1 << 62)
"""Further than any window of a reading reaches."""
_SITES_PER_QUERY: Final = 400


@dataclass(frozen=True, slots=True)
class Stood:
    """A subject stood in a place of `kind` in [from_ms, to_ms)."""

    from_ms: int
    to_ms: int
    kind: str


Whereabouts = Mapping[str, tuple[Stood, ...]]
"""Of each subject of a farm, where it stood, in order."""


@dataclass(frozen=True, slots=True)
class FarmSight:
    """What somebody may see of one farm."""

    classes: frozenset[DataClass]
    is_whole: bool
    stood: Whereabouts = field(default_factory=dict, hash=False)

    def may_read(self, subject: str, quantity: str, time_ms: int) -> bool:
        """Whether a value of this series that was measured at `time_ms` is for them."""
        return self.is_whole or bool(classes_of(quantity, self.kind(subject, time_ms)) & self.classes)

    def spans(self, subject: str, quantity: str) -> tuple[Span, ...]:
        """When the series was of a class that they may see, in order; empty: it does not exist for them."""
        if self.is_whole:
            return (ALWAYS,)
        spans: list[Span] = []
        for from_ms, to_ms, kind in _timeline(self.stood.get(subject, ())):
            if classes_of(quantity, kind) & self.classes:
                if spans and spans[-1][1] == from_ms:
                    from_ms = spans.pop()[0]
                spans.append((from_ms, to_ms))
        return tuple(spans)

    def classes_of(self, subject: str, quantity: str) -> frozenset[DataClass]:
        """Of which classes that they may see the series ever was."""
        kinds = {kind for _, _, kind in _timeline(self.stood.get(subject, ()))}
        return frozenset(c for kind in kinds for c in classes_of(quantity, kind)) & self.classes

    def lists(self, subject: str, now_ms: int, measured: Collection[str]) -> bool:
        """Whether the subject exists for them; `measured` are those of which they see a value."""
        return subject in measured or self.sees_place(self.kind(subject, now_ms))

    def sees_place(self, kind: str | None) -> bool:
        """Whether a place of this kind, and that something stands there, is for them: who sees devices sees all."""
        return self.is_whole or "technical" in self.classes or BY_PLACE.get(kind or "") in self.classes

    def kind(self, subject: str, time_ms: int) -> str | None:
        """The kind of place where the subject stood then; None: nowhere."""
        return next((s.kind for s in self.stood.get(subject, ()) if s.from_ms <= time_ms < s.to_ms), None)


def _timeline(stood: Iterable[Stood]) -> Iterable[tuple[int, int, str | None]]:
    """Where a subject was at any time: (from, to, kind of place or None), in order and without a hole."""
    since = ALWAYS[0]
    for one in stood:
        if since < one.from_ms:
            yield since, one.from_ms, None
        if one.from_ms < one.to_ms:
            yield one.from_ms, one.to_ms, one.kind
        since = max(since, one.to_ms)
    if since < ALWAYS[1]:
        yield since, ALWAYS[1], None


WHOLE: Final = FarmSight(EVERYTHING, True)
NOTHING: Final = FarmSight(frozenset(), False)
TECHNICAL: Final = FarmSight(frozenset({"technical"}), False)
"""What an administrator sees of a farm that shows them nothing."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What somebody may see of every farm: all of `homes`, of some others a part, of the rest what is in `rest`."""

    homes: frozenset[str]
    parts: Mapping[str, FarmSight] = field(default_factory=dict, hash=False)
    rest: FarmSight = NOTHING

    def of(self, site: str) -> FarmSight:
        """What they may see of `site`."""
        return WHOLE if site in self.homes else self.parts.get(site, self.rest)

    def may_read(self, series: Series, time_ms: int) -> bool:
        return series.site in self.homes or self.of(series.site).may_read(series.subject, series.quantity, time_ms)

    def may_be_told_alerts(self, site: str) -> bool:
        return "alerts" in self.of(site).classes


def sights_of(session: Session, viewer: Service, people: Iterable[Person], site: str | None = None) -> list[Sight]:
    """What each of `people` may see, in their order; of `site` only, where given."""
    require_service(viewer)
    persons = list(people)
    parts = [
        {
            s
            for s in ((site,) if site else {*p.roles, *p.grants})
            if s not in (home_sites(p) or ()) and classes_on(p, s)
        }
        for p in persons
    ]
    stood = whereabouts(session, viewer, {s for theirs in parts for s in theirs})
    return [
        Sight(
            home_sites(person) or frozenset(),
            {s: FarmSight(classes_on(person, s), False, stood.get(s, {})) for s in theirs},
            TECHNICAL if person.is_admin else NOTHING,
        )
        for person, theirs in zip(persons, parts, strict=True)
    ]


def farm_sight(session: Session, viewer: Service, person: Person, site: str) -> FarmSight:
    """What `person` may see of `site`."""
    return sights_of(session, viewer, [person], site)[0].of(site)


def whereabouts(session: Session, viewer: Service, sites: Iterable[str]) -> dict[str, Whereabouts]:
    """By farm and subject, where it stood and what kind of place that is."""
    require_service(viewer)
    names = sorted(sites)
    found: dict[str, dict[str, tuple[Stood, ...]]] = {}
    for start in range(0, len(names), _SITES_PER_QUERY):
        query = (
            select(Placement.site_id, Placement.subject, Placement.from_ms, Placement.to_ms, Place.kind)
            .join(Place, (Place.site_id == Placement.site_id) & (Place.id == Placement.place_id))
            .where(Placement.site_id.in_(names[start : start + _SITES_PER_QUERY]))
            .order_by(Placement.from_ms, Placement.id)
        )
        for site, subject, from_ms, to_ms, kind in session.execute(query):
            farm = found.setdefault(site, {})
            farm[subject] = (*farm.get(subject, ()), Stood(from_ms, ALWAYS[1] if to_ms is None else to_ms, kind))
    return dict(found)
