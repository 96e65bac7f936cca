"""People: who may sign in, what they are on which farm, invitations and signed-in browsers.

Nothing here knows a password, a code or a cookie, only their hashes. A disabled person signs in nowhere, and
their open sessions are as good as gone. Looking people up by login, code or cookie is for parts of Makiba: at that
moment nobody is signed in yet.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast, get_args

from sqlalchemy import CursorResult, delete, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from collectors.registry import audit, consent
from collectors.registry.schema import Invitation, PersonRow, RoleRow, Site, WebSession
from collectors.registry.schema.access import ApiToken
from collectors.registry.schema.identity import AccountFlow, RecoveryLink
from collectors.registry.schema.sign_in import Challenge
from collectors.registry.viewer import (
    NotAllowed,
    Person,
    Role,
    Service,
    Viewer,
    home_sites,
    may_do,
    require_admin,
    require_service,
    spell,
)

ROLES: tuple[Role, ...] = get_args(Role)
_PER_QUERY: Final = 400
_NO_LOGIN: Final = "~"


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who is signed in with a cookie. Until `until_ms` nothing of their rights begins or ends by itself."""

    person: Person
    session: WebSession
    until_ms: int


class LastOwner(ValueError):
    """The only owner of a farm can neither leave it nor become something else; somebody else has to own it first."""


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
    require_admin(viewer)
    key = fold_login(login)
    if session.scalar(select(PersonRow.id).where(PersonRow.login == key)) is not None:
        raise LoginTaken(f"login {key!r} is taken")
    row = PersonRow(
        login=key,
        name=name,
        language=language,
        password_hash=password_hash,
        is_admin=is_admin,
        created_ms=now_ms,
    )
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError:  # somebody took it at the same moment
        raise LoginTaken(f"login {key!r} is taken") from None
    return row


def fold_login(login: str) -> str:
    """A login as it is kept: case and surrounding blanks do not matter."""
    return login.strip().casefold()


def no_login() -> str:
    """What stands for the login of somebody who has none: nobody can type it by chance."""
    return f"{_NO_LOGIN}{secrets.token_hex(16)}"


def shown_login(row: PersonRow) -> str | None:
    """The login, for who may see it; None of somebody who has none."""
    return None if row.login.startswith(_NO_LOGIN) else row.login


def person_by_login(session: Session, viewer: Service, login: str) -> PersonRow | None:
    """The person with this login, disabled or not."""
    require_service(viewer)
    return session.scalar(select(PersonRow).where(PersonRow.login == fold_login(login)))


def get_person(session: Session, viewer: Viewer, person_id: int) -> PersonRow | None:
    """The person, for a part of Makiba, the administrator, that person, and who is at home on a farm of theirs."""
    row = session.get(PersonRow, person_id)
    sites = _own_farms(viewer)
    if row is None or sites is None or (isinstance(viewer, Person) and viewer.id == person_id):
        return row
    shared = select(RoleRow.site_id).where(RoleRow.person_id == person_id, RoleRow.site_id.in_(sorted(sites)))
    return row if session.scalar(shared.limit(1)) else None


def number_of(session: Session, viewer: Service, public_id: str) -> int:
    """The row of the person who is called `public_id` outside; 0 where nobody is."""
    require_service(viewer)
    return session.scalar(select(PersonRow.id).where(PersonRow.public_id == public_id)) or 0


def public_id(session: Session, viewer: Service, person_id: int | None) -> str | None:
    """What the person of this row is called outside; None where there is none."""
    require_service(viewer)
    return session.scalar(select(PersonRow.public_id).where(PersonRow.id == person_id)) if person_id else None


def list_people(session: Session, viewer: Viewer) -> Sequence[PersonRow]:
    """Everybody, by login."""
    require_admin(viewer)
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
    """Shuts a person out from `disabled_ms` on, in every browser and program; None lets them in again.

    Who is let in again comes in by their own ways: what was open or given out before stays over.
    """
    require_admin(viewer)
    session.execute(update(PersonRow).where(PersonRow.id == person_id).values(disabled_ms=disabled_ms))
    if disabled_ms is not None:
        end_what_is_open(session, person_id, disabled_ms)
        session.execute(delete(RecoveryLink).where(RecoveryLink.person_id == person_id))


def end_what_is_open(session: Session, person_id: int, now_ms: int) -> None:
    """Ends the person's sessions, tokens and join codes, and what browsers were about to answer for them.

    Only what decided to shut somebody out calls it: nobody's right is looked at here.
    """
    for gone in (WebSession, Challenge, AccountFlow, Invitation):
        session.execute(delete(gone).where(gone.person_id == person_id))
    programs = update(ApiToken).where(ApiToken.person_id == person_id, ApiToken.revoked_ms.is_(None))
    session.execute(programs.values(revoked_ms=now_ms))


def _require_self(viewer: Viewer, person_id: int) -> None:
    if not (isinstance(viewer, Person) and viewer.id == person_id):
        require_service(viewer)


# -------------------------------------------------------------------------------------------------------- roles


def viewer_of(session: Session, viewer: Service, person_id: int, now_ms: int) -> Person | None:
    """The person as a viewer, with their roles and what is granted them; None: there is none, or disabled."""
    row = session.get(PersonRow, person_id, populate_existing=True)
    made = _viewers(session, viewer, [row] if row else [], now_ms).get(person_id)
    return made[0] if made else None


def viewers_of(session: Session, viewer: Service, person_ids: Iterable[int], now_ms: int) -> dict[int, Person]:
    """`viewer_of` for many at once; those that there are not, or that are disabled, are not in it."""
    made = viewers_until(session, viewer, person_ids, now_ms)
    return {number: person for number, (person, _) in made.items()}


def viewers_until(
    session: Session, viewer: Service, person_ids: Iterable[int], now_ms: int
) -> dict[int, tuple[Person, int]]:
    """`viewers_of`, each with the moment until which nothing of their rights begins or ends by itself."""
    numbers = sorted(set(person_ids))
    rows: list[PersonRow] = []
    for start in range(0, len(numbers), _PER_QUERY):
        query = select(PersonRow).where(PersonRow.id.in_(numbers[start : start + _PER_QUERY]))
        rows += session.scalars(query.execution_options(populate_existing=True))
    return _viewers(session, viewer, rows, now_ms)


def _viewers(
    session: Session, viewer: Service, rows: Iterable[PersonRow], now_ms: int
) -> dict[int, tuple[Person, int]]:
    """Each person as a viewer, and until when nothing of it changes by itself; disabled ones are left out."""
    require_service(viewer)
    persons = {row.id: row for row in rows if row.disabled_ms is None}
    roles: dict[int, dict[str, Role]] = {number: {} for number in persons}
    numbers = sorted(persons)
    for start in range(0, len(numbers), _PER_QUERY):
        query = select(RoleRow.person_id, RoleRow.site_id, RoleRow.role)
        for number, site, role in session.execute(
            query.where(RoleRow.person_id.in_(numbers[start : start + _PER_QUERY]))
        ):
            if role in ROLES:  # one that this version does not know gives no rights
                roles[number][site] = role
    granted = consent.granted(session, viewer, roles, now_ms)
    return {
        number: (
            Person(number, row.name, roles[number], row.is_admin, granted[number].classes),
            granted[number].until_ms,
        )
        for number, row in persons.items()
    }


def grant_role(session: Session, viewer: Viewer, person_id: int, site: str, role: Role, now_ms: int) -> None:
    """Makes a person `role` on `site`, in place of what they were there.

    The owner's right; the administrator may name the first owner of a farm that has none.
    """
    if not (role == "owner" and _may_name_owner(session, viewer, site)):
        _require_owner(viewer, site)
    if role not in ROLES:
        raise ValueError(f"role {role!r} is none of {', '.join(ROLES)}")
    person = session.get(PersonRow, person_id)
    if person is None or session.get(Site, site) is None:
        raise LookupError(f"no person {person_id} or no site {site}")
    known = session.get(RoleRow, (person_id, site), populate_existing=True)
    if known is not None and known.role == role:
        return
    if known is None:
        session.add(RoleRow(person_id=person_id, site_id=site, role=role))
    else:
        _keep_an_owner(session, viewer, site, person_id)
        known.role, known.version = role, known.version + 1
    audit.note_change(session, viewer, site, "role.granted", now_ms, person=person.public_id, role=role)
    session.flush()


def revoke_role(session: Session, viewer: Viewer, person_id: int, site: str, now_ms: int) -> None:
    """A person is nothing on `site` any more: the owner's right, and everybody's about themselves.

    `LastOwner` when nobody else owns it; only who runs the machine can leave a farm without an owner.
    """
    if not (isinstance(viewer, Person) and viewer.id == person_id and viewer.limit is None):
        _require_owner(viewer, site)
    _keep_an_owner(session, viewer, site, person_id)
    session.execute(delete(RoleRow).where(RoleRow.person_id == person_id, RoleRow.site_id == site))
    person = public_id(session, Service("api"), person_id)
    audit.note_change(session, viewer, site, "role.revoked", now_ms, person=person)


def roles_of(session: Session, viewer: Service, person_ids: Iterable[int]) -> Mapping[int, Mapping[str, str]]:
    """What each of these people is, by farm."""
    require_service(viewer)
    found: dict[int, dict[str, str]] = {}
    numbers = sorted(set(person_ids))
    for start in range(0, len(numbers), _PER_QUERY):
        query = select(RoleRow).where(RoleRow.person_id.in_(numbers[start : start + _PER_QUERY]))
        for row in session.scalars(query):
            found.setdefault(row.person_id, {})[row.site_id] = row.role
    return found


def list_roles(
    session: Session, viewer: Viewer, *, person_id: int | None = None, site: str | None = None
) -> Sequence[RoleRow]:
    """Who is what where, on the farms whose own people `viewer` belongs to; the administrator sees all."""
    query = select(RoleRow)
    sites = _own_farms(viewer)
    if sites is not None:
        query = query.where(RoleRow.site_id.in_(sorted(sites)))
    if person_id is not None:
        query = query.where(RoleRow.person_id == person_id)
    if site is not None:
        query = query.where(RoleRow.site_id == site)
    return session.scalars(query.order_by(RoleRow.site_id, RoleRow.person_id)).all()


def lock_owners(session: Session, viewer: Viewer, site: str) -> set[int]:
    """The owners of `site`, whom nobody changes until the transaction ends.

    Two who demote each other at the same moment do not both succeed; who changes a member calls it first, so that
    they do not wait for each other crosswise.
    """
    del viewer
    query = select(RoleRow.person_id).where(RoleRow.site_id == site, RoleRow.role == "owner")
    return set(session.scalars(query.order_by(RoleRow.person_id).with_for_update()))


def _keep_an_owner(session: Session, viewer: Viewer, site: str, person_id: int) -> None:
    """`LastOwner` when `person_id` is the only owner of `site` who can sign in."""
    if isinstance(viewer, Service):
        return
    owners = lock_owners(session, viewer, site)
    if person_id in owners:
        usable = select(PersonRow.id).where(PersonRow.id.in_(owners - {person_id}), PersonRow.disabled_ms.is_(None))
        if session.scalar(usable.limit(1)) is None:
            raise LastOwner("a farm keeps one owner")


def _own_farms(viewer: Viewer) -> frozenset[str] | None:
    return None if isinstance(viewer, Person) and viewer.is_admin else home_sites(viewer)


def _may_name_owner(session: Session, viewer: Viewer, site: str) -> bool:
    """An administrator who could name more would give themselves every farm."""
    if isinstance(viewer, Service) or not viewer.is_admin:
        return False
    owners = select(RoleRow.person_id).where(RoleRow.site_id == site, RoleRow.role == "owner")
    return session.scalar(owners.limit(1)) is None


def _require_owner(viewer: Viewer, site: str) -> None:
    if not may_do(viewer, site, "grant roles"):
        raise NotAllowed(f"{spell(viewer)} is not the owner of {site}")


# ------------------------------------------------------------------------------------- invitations and sessions


def create_invitation(
    session: Session,
    viewer: Service,
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


def redeem_invitation(session: Session, viewer: Service, code_hash: str, now_ms: int) -> int | None:
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
    viewer: Service,
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


def session_viewer(session: Session, viewer: Service, token_hash: str, now_ms: int) -> Person | None:
    """Who is signed in with this cookie; None when nobody is (any more)."""
    signed = signed_in(session, viewer, [token_hash], now_ms).get(token_hash)
    return signed.person if signed else None


def signed_in(
    session: Session,
    viewer: Service,
    token_hashes: Iterable[str],
    now_ms: int,
    viewers: Callable[[Collection[int]], Mapping[int, tuple[Person, int]]] | None = None,
) -> Mapping[str, SignedIn]:
    """Who is signed in with each of these cookies; those with which nobody is (any more) are not in it.

    `viewers`: `viewers_until` by whoever remembers it.
    """
    require_service(viewer)
    hashes = sorted(token_hashes)
    found: dict[str, tuple[WebSession, PersonRow]] = {}
    for start in range(0, len(hashes), _PER_QUERY):
        query = (
            select(WebSession, PersonRow)
            .join(PersonRow, PersonRow.id == WebSession.person_id)
            .where(WebSession.token_hash.in_(hashes[start : start + _PER_QUERY]), WebSession.expires_ms > now_ms)
        )
        found.update({web.token_hash: (web, row) for web, row in session.execute(query)})
    rows = {row.id: row for _, row in found.values()}
    made = viewers(rows) if viewers else _viewers(session, viewer, rows.values(), now_ms)
    return {
        token: SignedIn(made[row.id][0], web, min(web.expires_ms, made[row.id][1]))
        for token, (web, row) in found.items()
        if row.id in made
    }


def get_session(session: Session, viewer: Service, token_hash: str, now_ms: int) -> WebSession | None:
    """The signed-in browser, unless its time is over."""
    require_service(viewer)
    query = select(WebSession).where(WebSession.token_hash == token_hash, WebSession.expires_ms > now_ms)
    return session.scalar(query)


def touch(session: Session, viewer: Service, token_hash: str, now_ms: int, expires_ms: int | None = None) -> None:
    """Notes that the browser was here, and keeps it signed in until `expires_ms` where given."""
    require_service(viewer)
    values = {"seen_ms": now_ms} if expires_ms is None else {"seen_ms": now_ms, "expires_ms": expires_ms}
    session.execute(update(WebSession).where(WebSession.token_hash == token_hash).values(values))


def delete_sessions(session: Session, viewer: Service, person_id: int) -> None:
    """The person is signed out everywhere."""
    require_service(viewer)
    session.execute(delete(WebSession).where(WebSession.person_id == person_id))


def delete_session(session: Session, viewer: Service, token_hash: str) -> None:
    """The browser is signed out."""
    require_service(viewer)
    session.execute(delete(WebSession).where(WebSession.token_hash == token_hash))
