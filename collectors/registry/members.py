"""The members of a farm: who is what there, as the farm's own people see it.

Changes go through `people.grant_role` and `people.revoke_role`: the owner's right, written into the farm's audit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from collectors.registry import people
from collectors.registry.schema import PersonRow, RoleRow
from collectors.registry.viewer import NotAllowed, Viewer, is_insider, spell


@dataclass(frozen=True, slots=True)
class Member:
    """A person and what they are on one farm."""

    person: PersonRow
    role: str
    version: int


def list_members(
    session: Session, viewer: Viewer, site: str, limit: int, after: tuple[str, str] | None = None
) -> Sequence[Member]:
    """By name, for the farm's own people; `after`: behind the one of this name and id."""
    _require_insider(viewer, site)
    query = _members(site)
    if after is not None:
        name, public_id = after
        query = query.where(or_(PersonRow.name > name, and_(PersonRow.name == name, PersonRow.public_id > public_id)))
    rows = session.execute(query.order_by(PersonRow.name, PersonRow.public_id).limit(limit))
    return [Member(person, role, version) for person, role, version in rows]


def get_member(session: Session, viewer: Viewer, site: str, public_id: str, *, lock: bool = False) -> Member | None:
    """The member of `site` who is called `public_id`; with `lock` nobody changes their role meanwhile."""
    _require_insider(viewer, site)
    if lock:
        people.lock_owners(session, viewer, site)
    query = _members(site).where(PersonRow.public_id == public_id)
    row = session.execute(query.with_for_update(of=RoleRow) if lock else query).one_or_none()
    return None if row is None else Member(row[0], row[1], row[2])


def _members(site: str):  # type: ignore[no-untyped-def]
    return (
        select(PersonRow, RoleRow.role, RoleRow.version)
        .join(RoleRow, RoleRow.person_id == PersonRow.id)
        .where(RoleRow.site_id == site)
    )


def _require_insider(viewer: Viewer, site: str) -> None:
    if not is_insider(viewer, site):
        raise NotAllowed(f"{spell(viewer)} is none of the people of {site}")
