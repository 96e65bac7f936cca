"""How people prove who they are: what a browser has to answer, passkeys, passwords.

What may be used once is used up by the statement that reads it, so that two processes at the same moment cannot both
have it. What a person does about their own ways in takes that person as the viewer and touches nobody else's rows;
what happens before anybody is signed in is for parts of Makiba. One-time codes: `codes.py`; who is signed in where:
`browsers.py`.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, cast

from sqlalchemy import CursorResult, delete, func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import UpdateBase

from collectors.registry.people import fold_login
from collectors.registry.schema import PersonRow
from collectors.registry.schema.identity import Account
from collectors.registry.schema.sign_in import Challenge, Passkey, PasskeyOwner, RecoveryCode, Totp
from collectors.registry.viewer import NotAllowed, Person, Service, require_service

ChallengeKind = Literal["register", "assert", "code"]

MAX_PASSKEYS: Final = 20


class LastWayIn(ValueError):
    """Without this the person could not come in any more."""


class PasskeyKnown(ValueError):
    """This passkey is somebody's already."""


class TooManyPasskeys(ValueError):
    """A person has `MAX_PASSKEYS` at most."""


@dataclass(frozen=True, slots=True)
class WaysIn:
    """What a person has of their own to come in with."""

    password: bool
    passkeys: int
    others: int

    def __len__(self) -> int:
        return self.password + self.passkeys + self.others


def require_own(viewer: Person | Service, person_id: int) -> None:
    """Raises `NotAllowed` when a person asks about somebody else."""
    if isinstance(viewer, Person) and viewer.id != person_id:
        raise NotAllowed("a person's ways in are their own")


def lock_person(session: Session, person_id: int) -> None:
    """Two changes of one person's ways in follow each other; on SQLite all writers do anyway."""
    session.execute(select(PersonRow.id).where(PersonRow.id == person_id).with_for_update())


def counted(session: Session, statement: UpdateBase) -> int:
    """How many rows an update or a delete found."""
    done = session.execute(statement, execution_options={"synchronize_session": False})
    return cast("CursorResult[tuple[()]]", done).rowcount


# --------------------------------------------------------------------------------------------------------- challenges


def create_challenge(
    session: Session,
    viewer: Service,
    *,
    browser_hash: str,
    kind: ChallengeKind,
    now_ms: int,
    expires_ms: int,
    challenge: str = "",
    person_id: int | None = None,
) -> None:
    """What the browser has to answer until `expires_ms`. Those of the past go at this occasion."""
    require_service(viewer)
    session.execute(delete(Challenge).where(Challenge.expires_ms <= now_ms))
    session.add(
        Challenge(id=browser_hash, kind=kind, challenge=challenge, person_id=person_id, expires_ms=expires_ms)
    )
    session.flush()


def take_challenge(
    session: Session, viewer: Service, browser_hash: str, kind: ChallengeKind, now_ms: int
) -> Challenge | None:
    """The browser's challenge, which is gone by that; None when there is none (any more)."""
    require_service(viewer)
    taken = delete(Challenge).where(Challenge.id == browser_hash, Challenge.kind == kind).returning(Challenge)
    row = session.execute(taken).scalar_one_or_none()
    return row if row is not None and row.expires_ms > now_ms else None


def peek_challenge(
    session: Session, viewer: Service, browser_hash: str, kind: ChallengeKind, now_ms: int
) -> Challenge | None:
    """The browser's challenge, which stays: of a code somebody may mistype it."""
    require_service(viewer)
    query = select(Challenge).where(
        Challenge.id == browser_hash, Challenge.kind == kind, Challenge.expires_ms > now_ms
    )
    return session.scalar(query)


# ----------------------------------------------------------------------------------------------------------- passkeys


def handle_of(session: Session, viewer: Person, fresh: str) -> str:
    """What the viewer is called in their authenticators; `fresh` if they had no name there yet."""
    lock_person(session, viewer.id)
    row = session.get(PasskeyOwner, viewer.id)
    if row is None:
        row = PasskeyOwner(person_id=viewer.id, handle=fresh)
        session.add(row)
        session.flush()
    return row.handle


def add_passkey(
    session: Session,
    viewer: Person,
    *,
    credential: str,
    public_key: str,
    sign_count: int,
    transports: Iterable[str],
    name: str,
    now_ms: int,
) -> Passkey:
    """A new passkey of the viewer's. `PasskeyKnown`, `TooManyPasskeys`."""
    lock_person(session, viewer.id)
    if session.scalar(select(Passkey.id).where(Passkey.credential == credential)) is not None:
        raise PasskeyKnown("this passkey is known already")
    if ways_in(session, viewer, viewer.id).passkeys >= MAX_PASSKEYS:
        raise TooManyPasskeys(f"at most {MAX_PASSKEYS} passkeys")
    row = Passkey(
        id=secrets.token_urlsafe(16), person_id=viewer.id, credential=credential, public_key=public_key,
        sign_count=sign_count, transports=sorted(set(transports)), name=name, version=1, created_ms=now_ms,
    )  # fmt: skip
    session.add(row)
    try:
        session.flush()
    except IntegrityError:  # somebody else was faster with the same one
        raise PasskeyKnown("this passkey is known already") from None
    return row


def list_passkeys(session: Session, viewer: Person) -> Sequence[Passkey]:
    """The viewer's passkeys, the oldest first."""
    query = select(Passkey).where(Passkey.person_id == viewer.id)
    return session.scalars(query.order_by(Passkey.created_ms, Passkey.id)).all()


def get_passkey(session: Session, viewer: Person, passkey_id: str, *, lock: bool = False) -> Passkey | None:
    """One of the viewer's passkeys."""
    query = select(Passkey).where(Passkey.person_id == viewer.id, Passkey.id == passkey_id)
    return session.scalar(query.with_for_update() if lock else query)


def rename_passkey(session: Session, row: Passkey, name: str) -> None:
    """`row` of `get_passkey(lock=True)` has another name from now on."""
    row.name, row.version = name, row.version + 1
    session.flush()


def remove_passkey(session: Session, viewer: Person, row: Passkey) -> None:
    """`row` of `get_passkey` opens nothing any more. `LastWayIn` when the viewer has nothing else."""
    lock_person(session, viewer.id)
    if len(ways_in(session, viewer, viewer.id)) <= 1:
        raise LastWayIn("it is the last way in")
    session.delete(row)
    session.flush()


def passkey_owner(session: Session, viewer: Service, credential: str) -> tuple[Passkey, PersonRow, str] | None:
    """The passkey that a browser shows, whose it is and what they are called in it; None also when disabled."""
    require_service(viewer)
    query = (
        select(Passkey, PersonRow, PasskeyOwner.handle)
        .join(PersonRow, PersonRow.id == Passkey.person_id)
        .join(PasskeyOwner, PasskeyOwner.person_id == Passkey.person_id)
        .where(Passkey.credential == credential, PersonRow.disabled_ms.is_(None))
    )
    row = session.execute(query).one_or_none()
    return None if row is None else (row[0], row[1], row[2])


def use_passkey(session: Session, viewer: Service, passkey_id: str, sign_count: int, now_ms: int) -> bool:
    """Notes that the passkey signed with this count; False when it does not follow: there may be a copy of it.

    An authenticator that does not count says 0 each time.
    """
    require_service(viewer)
    follows = Passkey.sign_count < sign_count
    if sign_count == 0:
        follows = or_(follows, Passkey.sign_count == 0)
    used = update(Passkey).where(Passkey.id == passkey_id, follows)
    return counted(session, used.values(sign_count=sign_count, used_ms=now_ms)) == 1


# ------------------------------------------------------------------------------------------------------------- people


def person_to_sign_in(session: Session, viewer: Service, login: str) -> tuple[PersonRow, bool] | None:
    """The person with this login, disabled or not, and whether a code follows their password: one statement."""
    require_service(viewer)
    query = (
        select(PersonRow, Totp.confirmed_ms)
        .outerjoin(Totp, Totp.person_id == PersonRow.id)
        .where(PersonRow.login == fold_login(login))
    )
    row = session.execute(query).one_or_none()
    return None if row is None else (row[0], row[1] is not None)


def usable_person(session: Session, viewer: Person | Service, person_id: int) -> PersonRow | None:
    """The person, unless they are disabled."""
    require_own(viewer, person_id)
    row = session.get(PersonRow, person_id, populate_existing=True)
    return row if row is not None and row.disabled_ms is None else None


def ways_in(session: Session, viewer: Person | Service, person_id: int) -> WaysIn:
    """What the person has of their own to come in with; an invitation is somebody else's."""
    require_own(viewer, person_id)
    password = session.scalar(select(PersonRow.password_hash).where(PersonRow.id == person_id))
    passkeys = session.scalar(select(func.count()).where(Passkey.person_id == person_id)) or 0
    accounts = session.scalar(select(func.count()).where(Account.person_id == person_id)) or 0
    return WaysIn(password is not None, passkeys, accounts)


def change_password(session: Session, viewer: Person, password_hash: str | None, old_hash: str | None) -> bool:
    """The viewer's new hash in place of `old_hash`; False when that is not theirs (any more).

    None takes the password away, and the codes that go with it; `LastWayIn` when there is nothing else.
    """
    lock_person(session, viewer.id)
    if password_hash is None and len(ways_in(session, viewer, viewer.id)) <= 1:
        raise LastWayIn("it is the last way in")
    same = PersonRow.password_hash.is_(None) if old_hash is None else PersonRow.password_hash == old_hash
    changed = update(PersonRow).where(PersonRow.id == viewer.id, same).values(password_hash=password_hash)
    if counted(session, changed) != 1:
        return False
    if password_hash is None:
        for void in (RecoveryCode, Totp):
            session.execute(delete(void).where(void.person_id == viewer.id))
    return True
