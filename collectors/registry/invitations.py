"""Invitations to a role on a farm, and the link by which the first administrator is made.

A code holds once, until its time is over, and of it only the SHA-256 is here. An invitation speaks for its inviter:
it holds only as long as they may invite. What it tells (the farm's name, the role, who invites) is for who has the
code; one that is wrong, old, used up or revoked finds nothing, all by the same statement.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

from sqlalchemy import ColumnElement, CursorResult, and_, delete, func, or_, select, update
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import UpdateBase

from collectors.registry import audit, people
from collectors.registry.schema import PersonRow, RoleRow, Site
from collectors.registry.schema.identity import FirstLink, SiteInvitation
from collectors.registry.viewer import MAY, Person, Role, Service, Viewer, require, require_service

LONGEST_MS: Final = 14 * 86_400_000
FIRST_LINK_MS: Final = 3_600_000
MAX_OPEN: Final = 50


class TooManyInvitations(ValueError):
    """A farm has `MAX_OPEN` open invitations at most."""


class MemberAlready(ValueError):
    """Who wants to accept is somebody on this farm already."""


@dataclass(frozen=True, slots=True)
class Invited:
    """What an open invitation tells to who has its code."""

    id: str
    site: str
    site_name_ja: str
    site_name_en: str
    role: Role
    name: str
    language: str
    inviter: str
    expires_ms: int


def invite(
    session: Session,
    viewer: Viewer,
    site: str,
    *,
    role: Role,
    name: str,
    language: str,
    code_hash: str,
    now_ms: int,
    expires_ms: int,
) -> SiteInvitation:
    """Invites somebody to be `role` on `site`. Only a person can: the invitation speaks for them."""
    require(viewer, site, "invite")
    if not isinstance(viewer, Person):
        raise TypeError("an invitation to a farm is a person's")
    if not now_ms < expires_ms <= now_ms + LONGEST_MS:
        raise ValueError("an invitation holds for 14 days at most")
    waiting = select(func.count()).where(SiteInvitation.site_id == site, _is_open(now_ms))
    if (session.scalar(waiting) or 0) >= MAX_OPEN:
        raise TooManyInvitations(f"at most {MAX_OPEN} invitations are open at a time")
    row = SiteInvitation(
        id=secrets.token_urlsafe(16), site_id=site, code_hash=code_hash, role=role, name=name, language=language,
        invited_by=viewer.id, created_ms=now_ms, expires_ms=expires_ms,
    )  # fmt: skip
    session.add(row)
    audit.note_change(session, viewer, site, "invitation.made", now_ms, invitation=row.id, role=role, name=name)
    session.flush()
    return row


def list_invitations(
    session: Session, viewer: Viewer, site: str, limit: int, after: tuple[int, str] | None = None
) -> Sequence[SiteInvitation]:
    """All of `site`, the newest first; `after`: behind the one of this time and id."""
    require(viewer, site, "invite")
    query = select(SiteInvitation).where(SiteInvitation.site_id == site)
    if after is not None:
        at_ms, row_id = after
        query = query.where(
            or_(
                SiteInvitation.created_ms < at_ms,
                and_(SiteInvitation.created_ms == at_ms, SiteInvitation.id < row_id),
            )
        )
    newest = query.order_by(SiteInvitation.created_ms.desc(), SiteInvitation.id.desc())
    return session.scalars(newest.limit(limit)).all()


def get_invitation(session: Session, viewer: Viewer, site: str, invitation_id: str) -> SiteInvitation | None:
    """One of `site`; None when it has none of this id."""
    require(viewer, site, "invite")
    found = select(SiteInvitation).where(SiteInvitation.id == invitation_id, SiteInvitation.site_id == site)
    return session.scalar(found)


def revoke(session: Session, viewer: Viewer, site: str, invitation_id: str, now_ms: int) -> SiteInvitation | None:
    """The code holds no more. One that was accepted stays as it was; None when the farm has none of this id."""
    require(viewer, site, "invite")
    found = select(SiteInvitation).where(SiteInvitation.id == invitation_id, SiteInvitation.site_id == site)
    row = session.scalar(found.with_for_update())
    if row is not None and row.accepted_ms is None and row.revoked_ms is None:
        row.revoked_ms = now_ms
        audit.note_change(session, viewer, site, "invitation.revoked", now_ms, invitation=row.id, role=row.role)
        session.flush()
    return row


def look(session: Session, viewer: Service, code_hash: str, now_ms: int) -> Invited | None:
    """What the code invites to; None when it does not hold."""
    require_service(viewer)
    query = (
        select(SiteInvitation, Site, PersonRow.name)
        .join(Site, Site.id == SiteInvitation.site_id)
        .join(PersonRow, PersonRow.id == SiteInvitation.invited_by)
        .where(SiteInvitation.code_hash == code_hash, _is_open(now_ms), _inviter_may())
    )
    found = session.execute(query).one_or_none()
    if found is None or found[0].role not in people.ROLES:
        return None
    row, site, inviter = found
    return Invited(
        row.id, site.id, site.name_ja, site.name_en, cast("Role", row.role), row.name, row.language, inviter,
        row.expires_ms,
    )  # fmt: skip


def accept(session: Session, viewer: Service, code_hash: str, person_id: int, now_ms: int) -> Invited | None:
    """Makes the person what the code invites to, and uses it up; None when it does not hold (any more).

    Two who accept at the same moment: one does. `MemberAlready`: they have a role there, which nobody changes so.
    """
    invited = look(session, viewer, code_hash, now_ms)
    if invited is None:
        return None
    if session.get(RoleRow, (person_id, invited.site)) is not None:
        raise MemberAlready(invited.site)
    used = (
        update(SiteInvitation)
        .where(SiteInvitation.code_hash == code_hash, _is_open(now_ms), _inviter_may())
        .values(accepted_ms=now_ms, accepted_by=person_id)
    )
    if _counted(session, used) != 1:
        return None
    # The inviter's word gives the role; who accepted it stands in the audit.
    people.grant_role(session, viewer, person_id, invited.site, invited.role, now_ms)
    who = people.viewer_of(session, viewer, person_id, now_ms)
    if who is not None:
        audit.note_change(
            session, who, invited.site, "invitation.accepted", now_ms, invitation=invited.id, role=invited.role
        )
    return invited


def _is_open(now_ms: int) -> ColumnElement[bool]:
    return and_(
        SiteInvitation.expires_ms > now_ms, SiteInvitation.accepted_ms.is_(None), SiteInvitation.revoked_ms.is_(None)
    )


def _inviter_may() -> ColumnElement[bool]:
    owners = (
        select(RoleRow.person_id)
        .join(PersonRow, PersonRow.id == RoleRow.person_id)
        .where(
            RoleRow.site_id == SiteInvitation.site_id,
            RoleRow.role.in_(sorted(MAY["invite"])),
            PersonRow.disabled_ms.is_(None),
        )
    )
    return SiteInvitation.invited_by.in_(owners)


# --------------------------------------------------------------------------------------------- the first start


def has_administrator(session: Session, viewer: Service) -> bool:
    """Whether somebody who can sign in is the administrator."""
    require_service(viewer)
    usable = select(PersonRow.id).where(PersonRow.is_admin.is_(True), PersonRow.disabled_ms.is_(None))
    return session.scalar(usable.limit(1)) is not None


def make_first_link(session: Session, viewer: Service, code_hash: str, now_ms: int) -> bool:
    """From now on this code, and none before it, makes the administrator; False: there is one already."""
    if has_administrator(session, viewer):
        return False
    session.merge(FirstLink(id=1, code_hash=code_hash, made_ms=now_ms, expires_ms=now_ms + FIRST_LINK_MS))
    session.flush()
    return True


def use_first_link(
    session: Session,
    viewer: Service,
    code_hash: str,
    *,
    login: str,
    name: str,
    language: str,
    password_hash: str | None,
    now_ms: int,
) -> PersonRow | None:
    """The first administrator; None when the code does not hold. Of two at the same moment one is it."""
    require_service(viewer)
    used = delete(FirstLink).where(FirstLink.code_hash == code_hash, FirstLink.expires_ms > now_ms)
    if _counted(session, used) != 1 or has_administrator(session, viewer):
        return None
    return people.create_person(
        session, viewer, login=login, name=name, now_ms=now_ms, language=language, password_hash=password_hash,
        is_admin=True,
    )  # fmt: skip


def _counted(session: Session, statement: UpdateBase) -> int:
    done = session.execute(statement, execution_options={"synchronize_session": False})
    return cast("CursorResult[tuple[()]]", done).rowcount
