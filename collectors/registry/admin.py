"""What the administrator does to people and accounts, each step of it in a book of its own.

An administrator sees who there is and what they are where; that shows them no farm's data. What touches a farm (its
first owner, and what lets its people in or keeps them out) stands in the farm's audit as well.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Final, Literal

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from collectors.registry import audit, people
from collectors.registry.schema import PersonRow, RoleRow
from collectors.registry.schema.identity import AdminStep
from collectors.registry.viewer import Person, Viewer, require_admin

Step = Literal["added", "disabled", "enabled", "reset", "owner-named", "account-linked", "account-unlinked"]


TOLD_TO_FARMS: Final[frozenset[Step]] = frozenset({
    "disabled", "enabled", "reset", "account-linked", "account-unlinked",
})  # fmt: skip


class NotOneself(ValueError):
    """An administrator does not shut themselves out: so there is always one left."""


def list_people(session: Session, viewer: Viewer, limit: int, after: str | None = None) -> Sequence[PersonRow]:
    """Everybody, by login; `after`: behind this one."""
    require_admin(viewer)
    query = select(PersonRow) if after is None else select(PersonRow).where(PersonRow.login > after)
    return session.scalars(query.order_by(PersonRow.login).limit(limit)).all()


def find(session: Session, viewer: Viewer, public_id: str, *, lock: bool = True) -> PersonRow | None:
    """The person who is called `public_id`; with `lock` nobody changes them meanwhile."""
    require_admin(viewer)
    query = select(PersonRow).where(PersonRow.public_id == public_id)
    return session.scalar(query.with_for_update() if lock else query)


def set_disabled(session: Session, viewer: Viewer, person: PersonRow, disabled: bool, now_ms: int) -> None:
    """Shuts the person out in every browser, or lets them in again. `NotOneself`."""
    require_admin(viewer)
    if isinstance(viewer, Person) and viewer.id == person.id:
        raise NotOneself("nobody shuts themselves out")
    if disabled != (person.disabled_ms is not None):
        people.set_disabled(session, viewer, person.id, now_ms if disabled else None)
        note(session, viewer, "disabled" if disabled else "enabled", person, now_ms)
        session.refresh(person)


def note(session: Session, viewer: Viewer, what: Step, person: PersonRow, now_ms: int) -> None:
    """Writes down what `viewer` did, in the transaction of doing it; for the person's farms too.

    Who resets somebody's ways in could come in as them: their farms see that it happened.
    """
    who = viewer.name if isinstance(viewer, Person) else ""
    session.add(
        AdminStep(
            id=secrets.token_urlsafe(16), at_ms=now_ms, who=who, what=what, about=person.name,
            person=person.public_id,
        )
    )  # fmt: skip
    if what in TOLD_TO_FARMS:
        farms = select(RoleRow.site_id).where(RoleRow.person_id == person.id).order_by(RoleRow.site_id)
        for site in session.scalars(farms).all():
            audit.note_change(session, viewer, site, f"account.{what}", now_ms, person=person.public_id)


def list_steps(
    session: Session, viewer: Viewer, limit: int, after: tuple[int, str] | None = None
) -> Sequence[AdminStep]:
    """What administrators did, the newest first; `after`: behind the one of this time and id."""
    require_admin(viewer)
    query = select(AdminStep)
    if after is not None:
        at_ms, row_id = after
        query = query.where(or_(AdminStep.at_ms < at_ms, and_(AdminStep.at_ms == at_ms, AdminStep.id < row_id)))
    return session.scalars(query.order_by(AdminStep.at_ms.desc(), AdminStep.id.desc()).limit(limit)).all()
