"""Consents: what a farm shows of its data to people outside it, from when until when.

Given and withdrawn by the owner. A consent is to a role on the farm (`coop`) or to one person who has such a role; it
acts as long as they have the role. Whoever is one of the farm's own people needs none. A consent opens the past too.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import or_, select, tuple_
from sqlalchemy.orm import Session

from collectors.registry import audit
from collectors.registry.schema import Consent, PersonRow, RoleRow
from collectors.registry.viewer import OUTSIDERS, Role, Service, Viewer, require, require_service, spell
from makiba.data_class import DATA_CLASSES, DataClass

NEVER_MS: Final = 1 << 62
_SITES_PER_QUERY: Final = 400


@dataclass(frozen=True, slots=True)
class Granted:
    """What consents give one person. Until `until_ms` nothing of it begins or ends by itself."""

    classes: Mapping[str, frozenset[DataClass]]
    until_ms: int


class NoSuchGrantee(ValueError):
    """Nobody with this role, or this person, stands outside this farm and has to do with it."""


def give(
    session: Session,
    viewer: Viewer,
    site: str,
    *,
    classes: Collection[DataClass],
    now_ms: int,
    role: Role | None = None,
    person_id: int | None = None,
    from_ms: int | None = None,
    until_ms: int | None = None,
) -> Consent:
    """Shows `classes` of `site` to a role on it or to one person, from now on unless told otherwise."""
    require(viewer, site, "consent")
    since_ms = now_ms if from_ms is None else from_ms
    if not classes or not set(classes) <= set(DATA_CLASSES):
        raise ValueError(f"classes: one or more of {', '.join(DATA_CLASSES)}")
    if until_ms is not None and until_ms <= since_ms:
        raise ValueError("until_ms must be after from_ms")
    if (role is None) == (person_id is None):
        raise ValueError("a role or a person, one of the two")
    if role is not None and role not in OUTSIDERS:
        raise NoSuchGrantee(f"role: one of {', '.join(sorted(OUTSIDERS))}")
    if person_id is not None:
        known = session.get(RoleRow, (person_id, site))
        if known is None or known.role not in OUTSIDERS:
            raise NoSuchGrantee("this person has no role from outside on this farm")
    row = Consent(
        id=secrets.token_urlsafe(16), site_id=site, role=role, person_id=person_id, classes=sorted(set(classes)),
        from_ms=since_ms, until_ms=until_ms, given_ms=now_ms, given_by=spell(viewer),
    )  # fmt: skip
    session.add(row)
    audit.note_change(session, viewer, site, "consent.given", now_ms, **_detail(session, row))
    session.flush()
    return row


def withdraw(session: Session, viewer: Viewer, site: str, consent_id: str, now_ms: int) -> Consent | None:
    """Ends a consent at once; again changes nothing. None when the farm gave none of this id."""
    require(viewer, site, "consent")
    found = select(Consent).where(Consent.id == consent_id, Consent.site_id == site).with_for_update()
    row = session.scalar(found)
    if row is not None and row.withdrawn_ms is None:
        row.withdrawn_ms, row.withdrawn_by = now_ms, spell(viewer)
        audit.note_change(session, viewer, site, "consent.withdrawn", now_ms, **_detail(session, row))
        session.flush()
    return row


def list_consents(
    session: Session, viewer: Viewer, site: str, limit: int | None = None, after: tuple[int, str] | None = None
) -> Sequence[Consent]:
    """What `site` ever gave, the newest first; `after` goes on behind that time and id.

    `NotAllowed` for who may not see its audit.
    """
    require(viewer, site, "see audit")
    query = select(Consent).where(Consent.site_id == site)
    if after is not None:
        query = query.where(tuple_(Consent.given_ms, Consent.id) < after)
    return session.scalars(query.order_by(Consent.given_ms.desc(), Consent.id.desc()).limit(limit)).all()


def get_consent(session: Session, viewer: Viewer, site: str, consent_id: str) -> Consent | None:
    """One that `site` gave; None when it gave none of this id. `NotAllowed` for who may not see its audit."""
    require(viewer, site, "see audit")
    return session.scalar(select(Consent).where(Consent.site_id == site, Consent.id == consent_id))


def in_force(row: Consent, now_ms: int) -> bool:
    """Whether `row` shows something at `now_ms`."""
    return row.withdrawn_ms is None and row.from_ms <= now_ms and (row.until_ms is None or now_ms < row.until_ms)


def granted(
    session: Session, viewer: Service, roles: Mapping[int, Mapping[str, Role]], now_ms: int
) -> dict[int, Granted]:
    """What each of these people, with their roles by farm, is shown by consent at `now_ms`."""
    require_service(viewer)
    outside = {site for theirs in roles.values() for site, role in theirs.items() if role in OUTSIDERS}
    rows = _open_consents(session, outside, now_ms)
    return {person: _granted(person, theirs, rows, now_ms) for person, theirs in roles.items()}


def _open_consents(session: Session, sites: Iterable[str], now_ms: int) -> dict[str, list[Consent]]:
    """By farm, the consents in force and those that will be."""
    found: dict[str, list[Consent]] = {}
    names = sorted(sites)
    for start in range(0, len(names), _SITES_PER_QUERY):
        query = select(Consent).where(
            Consent.site_id.in_(names[start : start + _SITES_PER_QUERY]),
            Consent.withdrawn_ms.is_(None),
            or_(Consent.until_ms.is_(None), Consent.until_ms > now_ms),
        )
        for row in session.scalars(query):
            found.setdefault(row.site_id, []).append(row)
    return found


def _granted(
    person_id: int, roles: Mapping[str, Role], rows: Mapping[str, Sequence[Consent]], now_ms: int
) -> Granted:
    classes: dict[str, frozenset[DataClass]] = {}
    until_ms = NEVER_MS
    for site, role in roles.items():
        if role not in OUTSIDERS:
            continue
        for row in rows.get(site, ()):
            if row.person_id != person_id and row.role != role:
                continue
            if in_force(row, now_ms):
                # A class that this version does not know gives nothing.
                known = frozenset(c for c in DATA_CLASSES if c in row.classes)
                classes[site] = classes.get(site, frozenset()) | known
            until_ms = min(
                until_ms, *(t for t in (row.from_ms, row.until_ms) if t is not None and t > now_ms), NEVER_MS
            )
    return Granted(classes, until_ms)


def _detail(session: Session, row: Consent) -> dict[str, object]:
    person = session.get(PersonRow, row.person_id) if row.person_id is not None else None
    return {
        "consent": row.id, "role": row.role, "person": person.public_id if person else None,
        "classes": list(row.classes), "from_ms": row.from_ms, "until_ms": row.until_ms,
    }  # fmt: skip
