"""People: who may sign in, what they are on which farm, invitations and signed-in browsers.

Nothing here knows a password, a code or a cookie, only their hashes. A disabled person signs in nowhere, and
their open sessions are as good as gone. Looking people up by login, code or cookie is for parts of Makiba: at that
moment nobody is signed in yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast, get_args

from sqlalchemy import CursorResult, delete, or_, select, update
from sqlalchemy.orm import Session

from collectors.registry.schema import Invitation, PersonRow, RoleRow, Site, WebSession
from collectors.registry.viewer import NotAllowed, Person, Role, Viewer, require_service, spell, visible_sites

ROLES: tuple[Role, ...] = get_args(Role)


class LoginTaken(ValueError):
    """Somebody has this login already."""


def create_person(
    session: Session,
    viewer: Viewer,
    *,
    login: str,
    name: str,
    now_ms: int,
    language: str = "ja",
    password_hash: str | None = None,
    is_admin: bool = False,
) -> PersonRow:
    """A new person. `LoginTaken` when the login, whatever its case, is somebody's."""
    require_service(viewer)
    key = fold_login(login)
    if person_by_login(session, viewer, key) is not None:
        raise LoginTaken(f"login {key!r} is taken")
    row = PersonRow(
        login=key,
        name=name,
        language=language,
        password_hash=password_hash,
        is_admin=is_admin,
        created_ms=now_ms,
    )
    session.add(row)
    session.flush()
    return row


def fold_login(login: str) -> str:
    """A login as it is kept: case and surrounding blanks do not matter."""
    return login.strip().casefold()


def person_by_login(session: Session, viewer: Viewer, login: str) -> PersonRow | None:
    """The person with this login, disabled or not."""
    require_service(viewer)
    return session.scalar(select(PersonRow).where(PersonRow.login == fold_login(login)))


def get_person(session: Session, viewer: Viewer, person_id: int) -> PersonRow | None:
    """The person, when `viewer` is a part of Makiba, its administrator, that person, or shares a farm with them."""
    row = session.get(PersonRow, person_id)
    sites = visible_sites(viewer)
    if row is None or sites is None or (isinstance(viewer, Person) and viewer.id == person_id):
        return row
    shared = select(RoleRow.site_id).where(RoleRow.person_id == person_id, RoleRow.site_id.in_(sorted(sites)))
    return row if session.scalar(shared.limit(1)) else None


def list_people(session: Session, viewer: Viewer) -> Sequence[PersonRow]:
    """Everybody, by login."""
    require_service(viewer)
    return session.scalars(select(PersonRow).order_by(PersonRow.login)).all()


def set_password_hash(session: Session, viewer: Viewer, person_id: int, password_hash: str | None) -> None:
    """A person's new hash; None takes the password away."""
    _require_self(viewer, person_id)
    session.execute(update(PersonRow).where(PersonRow.id == person_id).values(password_hash=password_hash))


def set_language(session: Session, viewer: Viewer, person_id: int, language: str) -> None:
    """The language a person reads: `ja` or `en`."""
    _require_self(viewer, person_id)
    session.execute(update(PersonRow).where(PersonRow.id == person_id).values(language=language))


def set_disabled(session: Session, viewer: Viewer, person_id: int, disabled_ms: int | None) -> None:
    """Shuts a person out from `disabled_ms` on, in every browser; None lets them in again."""
    require_service(viewer)
    session.execute(update(PersonRow).where(PersonRow.id == person_id).values(disabled_ms=disabled_ms))
    if disabled_ms is not None:
        session.execute(delete(WebSession).where(WebSession.person_id == person_id))


def _require_self(viewer: Viewer, person_id: int) -> None:
    if not (isinstance(viewer, Person) and viewer.id == person_id):
        require_service(viewer)


# -------------------------------------------------------------------------------------------------------- roles


def viewer_of(session: Session, viewer: Viewer, person_id: int) -> Person | None:
    """The person as a viewer, with their roles; None when there is none or they are disabled."""
    require_service(viewer)
    row = session.get(PersonRow, person_id)
    if row is None or row.disabled_ms is not None:
        return None
    roles = session.execute(select(RoleRow.site_id, RoleRow.role).where(RoleRow.person_id == person_id))
    return Person(
        id=row.id,
        name=row.name,
        # A role that this version does not know gives no rights.
        roles={site: role for site, role in roles if role in ROLES},
        is_admin=row.is_admin,
    )


def grant_role(session: Session, viewer: Viewer, person_id: int, site: str, role: Role) -> None:
    """Makes a person `role` on `site`, in place of what they were there."""
    _require_owner(viewer, site)
    if role not in ROLES:
        raise ValueError(f"role {role!r} is none of {', '.join(ROLES)}")
    if session.get(PersonRow, person_id) is None or session.get(Site, site) is None:
        raise LookupError(f"no person {person_id} or no site {site}")
    session.merge(RoleRow(person_id=person_id, site_id=site, role=role))
    session.flush()


def revoke_role(session: Session, viewer: Viewer, person_id: int, site: str) -> None:
    """A person is nothing on `site` any more."""
    _require_owner(viewer, site)
    session.execute(delete(RoleRow).where(RoleRow.person_id == person_id, RoleRow.site_id == site))


def list_roles(
    session: Session, viewer: Viewer, *, person_id: int | None = None, site: str | None = None
) -> Sequence[RoleRow]:
    """Who is what where, on the farms that `viewer` may see."""
    query = select(RoleRow)
    sites = visible_sites(viewer)
    if sites is not None:
        query = query.where(RoleRow.site_id.in_(sorted(sites)))
    if person_id is not None:
        query = query.where(RoleRow.person_id == person_id)
    if site is not None:
        query = query.where(RoleRow.site_id == site)
    return session.scalars(query.order_by(RoleRow.site_id, RoleRow.person_id)).all()


def _require_owner(viewer: Viewer, site: str) -> None:
    if isinstance(viewer, Person) and viewer.roles.get(site) == "owner":
        return
    try:
        require_service(viewer)
    except NotAllowed:
        raise NotAllowed(f"{spell(viewer)} is not the owner of {site}") from None


# ------------------------------------------------------------------------------------- invitations and sessions


def create_invitation(
    session: Session,
    viewer: Viewer,
    *,
    code_hash: str,
    person_id: int,
    expires_ms: int,
    uses_left: int | None = 1,
) -> None:
    """A code that signs its person in until `expires_ms`, `uses_left` times (None: as often as wanted)."""
    require_service(viewer)
    session.merge(Invitation(code_hash=code_hash, person_id=person_id, expires_ms=expires_ms, uses_left=uses_left))
    session.flush()


def redeem_invitation(session: Session, viewer: Viewer, code_hash: str, now_ms: int) -> int | None:
    """Uses the code up by one and gives the person's id; None when it is unknown, expired, used up, or disabled.

    Two browsers that use the last use of a code at the same moment: one gets in.
    """
    require_service(viewer)
    allowed = select(PersonRow.id).where(PersonRow.disabled_ms.is_(None))
    used = session.execute(
        update(Invitation)
        .where(
            Invitation.code_hash == code_hash,
            Invitation.expires_ms > now_ms,
            or_(Invitation.uses_left.is_(None), Invitation.uses_left > 0),
            Invitation.person_id.in_(allowed),
        )
        .values(uses_left=Invitation.uses_left - 1)  # NULL - 1 is NULL
        .execution_options(synchronize_session=False)
    )
    if cast("CursorResult[tuple[()]]", used).rowcount != 1:
        return None
    return session.scalar(select(Invitation.person_id).where(Invitation.code_hash == code_hash))


def create_session(
    session: Session,
    viewer: Viewer,
    *,
    token_hash: str,
    person_id: int,
    now_ms: int,
    expires_ms: int,
    device: str = "",
) -> None:
    """A browser that is signed in until `expires_ms`. Sessions of the past go at this occasion."""
    require_service(viewer)
    session.execute(delete(WebSession).where(WebSession.expires_ms <= now_ms))
    session.add(
        WebSession(
            token_hash=token_hash,
            person_id=person_id,
            created_ms=now_ms,
            expires_ms=expires_ms,
            seen_ms=now_ms,
            device=device[:200],
        )
    )
    session.flush()


def session_viewer(session: Session, viewer: Viewer, token_hash: str, now_ms: int) -> Person | None:
    """Who is signed in with this cookie; None when nobody is (any more)."""
    row = get_session(session, viewer, token_hash, now_ms)
    return viewer_of(session, viewer, row.person_id) if row else None


def get_session(session: Session, viewer: Viewer, token_hash: str, now_ms: int) -> WebSession | None:
    """The signed-in browser, unless its time is over."""
    require_service(viewer)
    query = select(WebSession).where(WebSession.token_hash == token_hash, WebSession.expires_ms > now_ms)
    return session.scalar(query)


def touch(session: Session, viewer: Viewer, token_hash: str, now_ms: int, expires_ms: int | None = None) -> None:
    """Notes that the browser was here, and keeps it signed in until `expires_ms` where given."""
    require_service(viewer)
    values = {"seen_ms": now_ms} if expires_ms is None else {"seen_ms": now_ms, "expires_ms": expires_ms}
    session.execute(update(WebSession).where(WebSession.token_hash == token_hash).values(values))


def delete_session(session: Session, viewer: Viewer, token_hash: str) -> None:
    """The browser is signed out."""
    require_service(viewer)
    session.execute(delete(WebSession).where(WebSession.token_hash == token_hash))
