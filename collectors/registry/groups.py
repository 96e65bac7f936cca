"""Groups of animals (lactating, dry, heifers, …) and who was in them when.

Who is in a group follows from the animals' events: an animal comes by a `move`, and goes by another, a sale or its
death (`herd_events`). A group in which an animal ever was stays, since the past knows it.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from sqlalchemy import delete, func, or_, select, tuple_
from sqlalchemy.orm import Session

from collectors.registry import audit
from collectors.registry.animals import InUse
from collectors.registry.schema import Place
from collectors.registry.schema.herd import Animal, HerdGroup, HerdMember
from collectors.registry.viewer import Viewer, may_see, require, spell

GroupKind = Literal[
    "lactating", "dry", "close-up", "fresh", "heifers", "calves", "bulls", "fattening", "sick", "other"
]

EDITABLE: Final = ("name_ja", "name_en", "kind", "place_id", "note")


class NoSuchPlace(ValueError):
    """The farm has no place of this id that fits."""


def list_groups(
    session: Session, viewer: Viewer, site: str, *, limit: int, after: tuple[Any, ...] | None = None
) -> Sequence[HerdGroup]:
    """The groups of `site`, in the order in which they were made."""
    if not may_see(viewer, site, "herd"):
        return []
    query = select(HerdGroup).where(HerdGroup.site_id == site)
    if after is not None:
        query = query.where(tuple_(HerdGroup.created_ms, HerdGroup.id) > tuple_(*after))
    return session.scalars(query.order_by(HerdGroup.created_ms, HerdGroup.id).limit(limit)).all()


def get_group(session: Session, viewer: Viewer, site: str, group_id: str, *, lock: bool = False) -> HerdGroup | None:
    """The group."""
    if not may_see(viewer, site, "herd"):
        return None
    query = select(HerdGroup).where(HerdGroup.site_id == site, HerdGroup.id == group_id)
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    return session.scalar(query)


def sizes(session: Session, viewer: Viewer, site: str) -> dict[str, int]:
    """How many animals are in each group now; empty ones are left out."""
    if not may_see(viewer, site, "herd"):
        return {}
    now = select(HerdMember.group_id, func.count()).where(HerdMember.site_id == site, HerdMember.to_ms.is_(None))
    return {row[0]: row[1] for row in session.execute(now.group_by(HerdMember.group_id))}


def list_members(
    session: Session, viewer: Viewer, row: HerdGroup, *, limit: int, at_ms: int | None = None,
    after: tuple[Any, ...] | None = None,
) -> Sequence[tuple[HerdMember, Animal]]:  # fmt: skip
    """Who is in the group now, or was at `at_ms`: by the time at which they came."""
    if not may_see(viewer, row.site_id, "herd"):
        return []
    query = select(HerdMember, Animal).join(Animal, Animal.id == HerdMember.animal_id)
    query = query.where(HerdMember.group_id == row.id)
    if at_ms is None:
        query = query.where(HerdMember.to_ms.is_(None))
    else:
        query = query.where(HerdMember.from_ms <= at_ms, or_(HerdMember.to_ms.is_(None), HerdMember.to_ms > at_ms))
    if after is not None:
        query = query.where(tuple_(HerdMember.from_ms, HerdMember.animal_id) > tuple_(*after))
    rows = session.execute(query.order_by(HerdMember.from_ms, HerdMember.animal_id).limit(limit))
    return [(member, animal) for member, animal in rows]


def group_now(session: Session, viewer: Viewer, site: str, animals: Sequence[str]) -> dict[str, HerdMember]:
    """By animal, the stay in the group in which it is now."""
    if not may_see(viewer, site, "herd") or not animals:
        return {}
    query = select(HerdMember).where(
        HerdMember.site_id == site, HerdMember.animal_id.in_(animals), HerdMember.to_ms.is_(None)
    )
    return {row.animal_id: row for row in session.scalars(query)}


def stays_of(session: Session, viewer: Viewer, animal: Animal) -> Sequence[HerdMember]:
    """In which groups the animal was, the newest first."""
    if not may_see(viewer, animal.site_id, "herd"):
        return []
    query = select(HerdMember).where(HerdMember.animal_id == animal.id)
    return session.scalars(query.order_by(HerdMember.from_ms.desc())).all()


def add(session: Session, viewer: Viewer, site: str, fields: Mapping[str, Any], now_ms: int) -> HerdGroup:
    """A new group. `NoSuchPlace` when the farm has not that place."""
    require(viewer, site, "edit animals")
    row = HerdGroup(
        id=secrets.token_urlsafe(16), site_id=site, version=1, created_ms=now_ms, changed_ms=now_ms,
        created_by=spell(viewer), note="",
    )  # fmt: skip
    _set(session, row, fields)
    session.add(row)
    session.flush()
    return row


def change(session: Session, viewer: Viewer, row: HerdGroup, fields: Mapping[str, Any], now_ms: int) -> bool:
    """Makes `row` (found locked) say `fields`; False when it says so already."""
    require(viewer, row.site_id, "edit animals")
    changed = {name: value for name, value in fields.items() if getattr(row, name) != value}
    if not changed:
        return False
    _set(session, row, changed)
    row.version, row.changed_ms = row.version + 1, now_ms
    audit.note_change(session, viewer, row.site_id, "group.changed", now_ms, group=row.id, fields=sorted(changed))
    session.flush()
    return True


def remove(session: Session, viewer: Viewer, row: HerdGroup, now_ms: int) -> None:
    """Takes a group out in which never an animal was. `InUse` otherwise."""
    require(viewer, row.site_id, "edit animals")
    if session.scalar(select(HerdMember.id).where(HerdMember.group_id == row.id).limit(1)) is not None:
        raise InUse("animals are or were in this group")
    audit.note_change(session, viewer, row.site_id, "group.removed", now_ms, group=row.id, name=row.name_ja)
    session.execute(delete(HerdGroup).where(HerdGroup.id == row.id))


def _set(session: Session, row: HerdGroup, fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        if name not in EDITABLE:
            raise ValueError(f"{name!r} is not a field that is edited")
        if name == "place_id" and value is not None and session.get(Place, (row.site_id, value)) is None:
            raise NoSuchPlace("place: the farm has no such place")
        setattr(row, name, value)
