"""Accounts at the OIDC provider: whose they are, sign-ins under way, and roles that the provider's groups give.

A sign-in that comes back is used up by the statement that finds it. An account is one person's, and a person has one.
A group gives roles from outside only (co-op, town, …), which show nothing until a farm consents; where a farm took
such a role away, it is not given again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from collectors.registry import people
from collectors.registry.schema import PersonRow, RoleRow, Site
from collectors.registry.schema.identity import Account, AccountFlow, AccountRole
from collectors.registry.viewer import OUTSIDERS, NotAllowed, Role, Service, Viewer, require_service, spell


class AccountTaken(ValueError):
    """The account is somebody else's, or the person has one already."""


def begin(
    session: Session,
    viewer: Service,
    *,
    state_hash: str,
    browser_hash: str,
    person_id: int | None,
    now_ms: int,
    expires_ms: int,
) -> None:
    """A browser goes to the provider; `person_id`: to link the account to this person. Old ones go."""
    require_service(viewer)
    session.execute(delete(AccountFlow).where(AccountFlow.expires_ms <= now_ms))
    session.add(
        AccountFlow(
            state_hash=state_hash, browser_hash=browser_hash, person_id=person_id, expires_ms=expires_ms
        )
    )  # fmt: skip
    session.flush()


def come_back(
    session: Session, viewer: Service, state_hash: str, browser_hash: str, now_ms: int
) -> AccountFlow | None:
    """What this browser began with this state, which is used up by that; None when it did not (any more)."""
    require_service(viewer)
    used = delete(AccountFlow).where(
        AccountFlow.state_hash == state_hash,
        AccountFlow.browser_hash == browser_hash,
        AccountFlow.expires_ms > now_ms,
    )
    return session.execute(used.returning(AccountFlow)).scalar_one_or_none()


def person_of(session: Session, viewer: Service, issuer: str, subject: str, now_ms: int) -> PersonRow | None:
    """Whose account it is, unless they are disabled."""
    require_service(viewer)
    row = session.get(Account, (issuer, subject), populate_existing=True)
    person = session.get(PersonRow, row.person_id) if row is not None else None
    if row is None or person is None or person.disabled_ms is not None:
        return None
    row.used_ms = now_ms
    return person


def is_linked(session: Session, viewer: Service, issuer: str, subject: str) -> bool:
    """Whether the account is anybody's, disabled or not."""
    require_service(viewer)
    return session.get(Account, (issuer, subject)) is not None


def account_of(session: Session, viewer: Viewer, issuer: str, person_id: int) -> Account | None:
    """The person's account at `issuer`; for that person and the administrator."""
    _require_own(viewer, person_id)
    return session.scalar(select(Account).where(Account.issuer == issuer, Account.person_id == person_id))


def link(session: Session, viewer: Viewer, issuer: str, subject: str, person_id: int, now_ms: int) -> None:
    """The account signs the person in from now on. `AccountTaken`."""
    _require_own(viewer, person_id)
    session.execute(select(PersonRow.id).where(PersonRow.id == person_id).with_for_update())
    known = session.get(Account, (issuer, subject), populate_existing=True)
    if known is not None and known.person_id == person_id:
        return
    if known is not None or account_of(session, viewer, issuer, person_id) is not None:
        raise AccountTaken("the account is somebody else's, or the person has one already")
    row = Account(
        issuer=issuer, subject=subject, person_id=person_id, linked_ms=now_ms, linked_by=spell(viewer), used_ms=None
    )
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError:
        raise AccountTaken("the account was linked at the same moment") from None


def unlink(session: Session, viewer: Viewer, issuer: str, person_id: int) -> bool:
    """The account signs the person in no more; what its groups gave goes too. False: there is none."""
    row = account_of(session, viewer, issuer, person_id)
    if row is None:
        return False
    session.delete(row)
    session.flush()
    return True


def apply_roles(session: Session, viewer: Service, person_id: int, wanted: Mapping[str, Role], now_ms: int) -> None:
    """Gives the roles that the provider's groups give, by farm, and takes those away that they gave before.

    A role that the farm gave is left as it is, and one that it took away is not given again.
    """
    require_service(viewer)
    given = {
        row.site_id: row for row in session.scalars(select(AccountRole).where(AccountRole.person_id == person_id))
    }
    for site, before in given.items():
        if wanted.get(site) != before.role:
            if _role(session, person_id, site) == before.role:
                people.revoke_role(session, viewer, person_id, site, now_ms)
            session.delete(before)
    session.flush()
    for site, role in wanted.items():
        kept = site in given and given[site].role == role
        if kept or role not in OUTSIDERS or session.get(Site, site) is None:
            continue
        if _role(session, person_id, site) is None:
            people.grant_role(session, viewer, person_id, site, role, now_ms)
            session.add(AccountRole(person_id=person_id, site_id=site, role=role))
    session.flush()


def forget_roles(session: Session, viewer: Service, person_id: int, now_ms: int) -> None:
    """What the provider's groups gave the person is gone."""
    apply_roles(session, viewer, person_id, {}, now_ms)


def _role(session: Session, person_id: int, site: str) -> Role | None:
    row = session.get(RoleRow, (person_id, site), populate_existing=True)
    return cast("Role", row.role) if row is not None else None


def _require_own(viewer: Viewer, person_id: int) -> None:
    if isinstance(viewer, Service) or viewer.is_admin or (viewer.id == person_id and viewer.limit is None):
        return
    raise NotAllowed(f"{spell(viewer)} may not do this")
