"""Letting somebody in again who lost their ways in: who asked, who may answer, and the link that does it.

Anybody may ask in any name; the answer tells nothing, since the same row is written for a login that nobody has. A
link is given to the person by somebody who knows them: an administrator, or the owner of the only farm that they
belong to (whoever could let in somebody with roles elsewhere would have those too). When it is used, what let the
person in before lets nobody in any more: password, passkeys, one-time codes, accounts elsewhere and what their groups
gave, browsers, programs, older links.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

from sqlalchemy import delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from collectors.registry import audit, identity
from collectors.registry.people import end_what_is_open, fold_login
from collectors.registry.schema import PersonRow, RoleRow
from collectors.registry.schema.identity import Account, RecoveryLink, RecoveryRequest
from collectors.registry.schema.sign_in import Passkey, RecoveryCode, Totp
from collectors.registry.viewer import Person, Service, Viewer, require, require_admin, require_service, spell

LINK_MS: Final = 3_600_000
ASKED_HOLDS_MS: Final = 7 * 86_400_000
MAX_ASKED: Final = 10_000
ANSWERED_BY_OWNER: Final = frozenset({"family", "worker"})
_PER_QUERY: Final = 400


class NotForThisOwner(ValueError):
    """The person did not ask, or has to do with more than this farm: an administrator may let them in."""


def ask(session: Session, viewer: Service, login: str, now_ms: int) -> None:
    """Somebody who calls themselves `login` cannot get in."""
    require_service(viewer)
    insert: Any = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    new = insert(RecoveryRequest).values(login_hash=_hashed(login), asked_ms=now_ms)
    session.execute(new.on_conflict_do_update(index_elements=["login_hash"], set_={"asked_ms": now_ms}))
    kept = select(RecoveryRequest.login_hash).order_by(RecoveryRequest.asked_ms.desc()).limit(MAX_ASKED)
    for too_many in (
        RecoveryRequest.asked_ms <= now_ms - ASKED_HOLDS_MS,
        RecoveryRequest.login_hash.not_in(kept),
    ):
        session.execute(delete(RecoveryRequest).where(too_many).execution_options(synchronize_session=False))


def asked(session: Session, viewer: Viewer, persons: Iterable[PersonRow], now_ms: int) -> Mapping[int, int]:
    """Who of these people asked, and when last. For who sees these people anyway."""
    del viewer
    hashes = {_hashed(row.login): row.id for row in persons}
    found: dict[int, int] = {}
    names = sorted(hashes)
    for start in range(0, len(names), _PER_QUERY):
        query = select(RecoveryRequest).where(
            RecoveryRequest.login_hash.in_(names[start : start + _PER_QUERY]),
            RecoveryRequest.asked_ms > now_ms - ASKED_HOLDS_MS,
        )
        found.update({hashes[row.login_hash]: row.asked_ms for row in session.scalars(query)})
    return found


def answer_as_owner(
    session: Session, viewer: Viewer, site: str, person: PersonRow, *, code_hash: str, now_ms: int
) -> RecoveryLink:
    """A link for one of the farm's people who asked. `NotForThisOwner`."""
    require(viewer, site, "invite")
    if person.id not in asked(session, viewer, [person], now_ms) or not _belongs_here_only(session, person, site):
        raise NotForThisOwner("this person did not ask, or has to do with more than this farm")
    audit.note_change(session, viewer, site, "member.let-in-again", now_ms, person=person.public_id)
    return _link(session, viewer, person, site, code_hash, now_ms)


def answer_as_admin(
    session: Session, viewer: Viewer, person: PersonRow, *, code_hash: str, now_ms: int
) -> RecoveryLink:
    """A link for anybody; what let them in before is void at once."""
    require_admin(viewer)
    link = _link(session, viewer, person, None, code_hash, now_ms)
    _forget_ways_in(session, person.id, now_ms)
    return link


def answer_by_mail(
    session: Session, viewer: Service, person: PersonRow, *, code_hash: str, now_ms: int
) -> RecoveryLink:
    """A link that goes to the mail address which this person has shown to be theirs; not for administrators.

    Whoever reads an administrator's mail would have every farm's machine; theirs is the console.
    """
    require_service(viewer)
    if person.is_admin:
        raise NotForThisOwner("an administrator gets in by the machine's console")
    return _link(session, viewer, person, None, code_hash, now_ms)


def asked_since(session: Session, viewer: Service, since_ms: int) -> Mapping[str, int]:
    """Who asked since then: {hash of the login that they said: when last}."""
    require_service(viewer)
    query = select(RecoveryRequest.login_hash, RecoveryRequest.asked_ms).where(RecoveryRequest.asked_ms > since_ms)
    return {row.login_hash: row.asked_ms for row in session.execute(query)}


def login_hash(login: str) -> str:
    """What is kept of a login that somebody said."""
    return _hashed(login)


def use_link(session: Session, viewer: Service, code_hash: str, now_ms: int) -> int | None:
    """The person whom the code lets in, and what let them in before is void; None when it does not hold."""
    require_service(viewer)
    usable = select(PersonRow.id).where(PersonRow.disabled_ms.is_(None))
    used = delete(RecoveryLink).where(
        RecoveryLink.code_hash == code_hash, RecoveryLink.expires_ms > now_ms, RecoveryLink.person_id.in_(usable)
    )
    found = session.execute(used.returning(RecoveryLink.person_id, RecoveryLink.site_id)).one_or_none()
    if found is None:
        return None
    person = session.get(PersonRow, found[0], with_for_update=True, populate_existing=True)
    if person is None or (found[1] is not None and not _belongs_here_only(session, person, found[1])):
        return None
    _forget_ways_in(session, person.id, now_ms)
    session.execute(delete(RecoveryRequest).where(RecoveryRequest.login_hash == _hashed(person.login)))
    return person.id


def _link(
    session: Session, viewer: Viewer, person: PersonRow, site: str | None, code_hash: str, now_ms: int
) -> RecoveryLink:
    if isinstance(viewer, Person) and viewer.id == person.id:
        raise NotForThisOwner("nobody lets themselves in")
    session.execute(delete(RecoveryLink).where(RecoveryLink.person_id == person.id))
    row = RecoveryLink(
        person_id=person.id, code_hash=code_hash, site_id=site, made_by=spell(viewer), made_ms=now_ms,
        expires_ms=now_ms + LINK_MS,
    )  # fmt: skip
    session.add(row)
    session.flush()
    return row


def _belongs_here_only(session: Session, person: PersonRow, site: str) -> bool:
    roles = session.execute(select(RoleRow.site_id, RoleRow.role).where(RoleRow.person_id == person.id)).all()
    return not person.is_admin and [(s, r in ANSWERED_BY_OWNER) for s, r in roles] == [(site, True)]


def _forget_ways_in(session: Session, person_id: int, now_ms: int) -> None:
    end_what_is_open(session, person_id, now_ms)
    for gone in (Passkey, Totp, RecoveryCode, Account):
        session.execute(delete(gone).where(gone.person_id == person_id))
    identity.forget_roles(session, Service("api"), person_id, now_ms)
    session.execute(update(PersonRow).where(PersonRow.id == person_id).values(password_hash=None))


def _hashed(login: str) -> str:
    return hashlib.sha256(fold_login(login).encode()).hexdigest()
