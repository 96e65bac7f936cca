"""Comparisons across farms: which farms take part, and what was published (`cohorts` says what may be).

A farm takes part in comparisons of a class of its data while its owner says so; who takes part sees them, and nobody
else does. What was published stays when a farm withdraws: it is a mean of many, and to make it anew without the one
that went would tell what that one had. A farm that withdrew is in nothing that is published afterwards.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from collectors.registry import audit
from collectors.registry.cohorts import Earlier, Party, parties_of
from collectors.registry.schema import RoleRow
from collectors.registry.schema.comparisons import Comparison, ComparisonMember, ComparisonPart
from collectors.registry.viewer import (
    INSIDERS,
    Person,
    Service,
    Viewer,
    home_sites,
    may_see,
    require,
    require_service,
    spell,
)
from makiba.data_class import DataClass

JOINED: Final = "comparison.joined"
LEFT: Final = "comparison.left"
USED: Final = "comparison.used"


class MembersChanged(Exception):
    """Somebody withdrew, or somebody else published, while this was worked out."""


# ------------------------------------------------------------------------------------------------- taking part


def join(session: Session, viewer: Viewer, site: str, data_class: DataClass, now_ms: int) -> ComparisonPart:
    """Lets this class of `site` into comparisons; again changes nothing."""
    require(viewer, site, "consent")
    row = _open(session, site, data_class)
    if row is None:
        row = ComparisonPart(
            id=secrets.token_urlsafe(16), site_id=site, data_class=data_class, given_ms=now_ms, given_by=spell(viewer)
        )
        session.add(row)
        audit.note_change(session, viewer, site, JOINED, now_ms, data_class=data_class)
        session.flush()
    return row


def leave(session: Session, viewer: Viewer, site: str, data_class: DataClass, now_ms: int) -> None:
    """Takes this class of `site` out of comparisons at once; again changes nothing."""
    require(viewer, site, "consent")
    row = _open(session, site, data_class)
    if row is not None:
        row.withdrawn_ms, row.withdrawn_by = now_ms, spell(viewer)
        audit.note_change(session, viewer, site, LEFT, now_ms, data_class=data_class)
        session.flush()


def list_parts(session: Session, viewer: Viewer, site: str) -> Sequence[ComparisonPart]:
    """The classes with which `site` takes part now. `NotAllowed` for who may not see its audit."""
    require(viewer, site, "see audit")
    query = select(ComparisonPart).where(ComparisonPart.site_id == site, ComparisonPart.withdrawn_ms.is_(None))
    return session.scalars(query.order_by(ComparisonPart.data_class)).all()


def _open(session: Session, site: str, data_class: DataClass) -> ComparisonPart | None:
    query = select(ComparisonPart).where(
        ComparisonPart.site_id == site,
        ComparisonPart.data_class == data_class,
        ComparisonPart.withdrawn_ms.is_(None),
    )
    return session.scalars(query.with_for_update()).first()


def own_parts(session: Session, viewer: Person, data_class: DataClass) -> list[str]:
    """The farms whose own people `viewer` belongs to and that take part with this class."""
    return sorted(_takers(session, data_class) & (home_sites(viewer) or frozenset()))


# --------------------------------------------------------------------------------------------------- publishing


def parties(session: Session, viewer: Service, data_class: DataClass) -> list[Party]:
    """The parties that take part with this class now."""
    require_service(viewer)
    return _parties(_own_people(session), _takers(session, data_class))


def published(session: Session, viewer: Service, measure: str, period: str) -> Comparison | None:
    """What was published of a measure and a period."""
    require_service(viewer)
    return session.get(Comparison, (measure, period))


def earlier(session: Session, viewer: Service, measure: str) -> list[Earlier]:
    """All that was published of a measure."""
    require_service(viewer)
    people = _own_people(session)
    found = []
    for row in session.scalars(select(Comparison).where(Comparison.measure == measure).order_by(Comparison.period)):
        there = _parties(people, _members(session, row))
        found.append(Earlier(frozenset(there), max(0, row.parties - len(there))))
    return found


def _parties(people: Mapping[str, Collection[int]], sites: Collection[str]) -> list[Party]:
    """The parties of `sites`: farms that belong together by way of a third are one party too."""
    whole = parties_of({site: people.get(site, ()) for site in {*people, *sites}})
    return [party & frozenset(sites) for party in whole if not party.isdisjoint(sites)]


def publish(
    session: Session,
    viewer: Service,
    measure: str,
    period: str,
    data_class: DataClass,
    members: Collection[Party],
    bands: Sequence[float],
    before: Sequence[Earlier],
    now_ms: int,
) -> Comparison:
    """Writes down what is published, once for all. `MembersChanged` when it may not be (any more)."""
    sites = {site for party in members for site in party}
    if published(session, viewer, measure, period) or earlier(session, viewer, measure) != before:
        raise MembersChanged
    if not sites <= _takers(session, data_class):
        raise MembersChanged
    row = Comparison(measure=measure, period=period, published_ms=now_ms, parties=len(members), bands=list(bands))
    session.add(row)
    session.flush()
    session.add_all(ComparisonMember(measure=measure, period=period, site_id=site) for site in sorted(sites))
    for site in sorted(sites):
        audit.note_change(session, viewer, site, USED, now_ms, measure=measure, period=period)
    session.flush()
    return row


def known_parties(session: Session, viewer: Person, row: Comparison, data_class: DataClass) -> int:
    """Of how many parties of a publication `viewer` may see this class by itself, their own included."""
    there = _members(session, row)
    mine = {site for site in there if may_see(viewer, site, data_class)}
    return sum(
        1 for party in parties_of({site: _own_people(session).get(site, ()) for site in there}) if party & mine
    )


def _members(session: Session, row: Comparison) -> set[str]:
    query = select(ComparisonMember.site_id).where(
        ComparisonMember.measure == row.measure, ComparisonMember.period == row.period
    )
    return set(session.scalars(query))


def _takers(session: Session, data_class: DataClass) -> frozenset[str]:
    query = select(ComparisonPart.site_id).where(
        ComparisonPart.data_class == data_class, ComparisonPart.withdrawn_ms.is_(None)
    )
    return frozenset(session.scalars(query))


def _own_people(session: Session) -> Mapping[str, set[int]]:
    found: dict[str, set[int]] = {}
    query = select(RoleRow.site_id, RoleRow.person_id).where(RoleRow.role.in_(sorted(INSIDERS)))
    for site, person in session.execute(query):
        found.setdefault(site, set()).add(person)
    return found
