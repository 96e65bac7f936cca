"""One-time codes (RFC 6238) and the recovery codes that stand in for them.

A code's step and a recovery code are used up by the statement that looks whether they are unused: of two processes at
the same moment one has it. The secret is sealed before it comes here.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from collectors.registry.schema.sign_in import RecoveryCode, Totp
from collectors.registry.sign_in import counted, lock_person, require_own
from collectors.registry.viewer import Person, Service, require_service


def totp_of(session: Session, viewer: Person | Service, person_id: int) -> Totp | None:
    """The person's one-time codes, in force or being set up."""
    require_own(viewer, person_id)
    return session.get(Totp, person_id, populate_existing=True)


def prepare_totp(session: Session, viewer: Person, sealed: str, now_ms: int) -> bool:
    """A new secret for the viewer, not in force until it is confirmed; False when codes are in force already."""
    lock_person(session, viewer.id)
    row = session.get(Totp, viewer.id)
    if row is not None and row.confirmed_ms is not None:
        return False
    session.merge(Totp(person_id=viewer.id, sealed=sealed, created_ms=now_ms, confirmed_ms=None, last_step=0))
    session.flush()
    return True


def use_totp(session: Session, viewer: Service, person_id: int, sealed: str, step: int) -> bool:
    """Uses up the code of this step and all before it; False when it was used, or the secret is another by now."""
    require_service(viewer)
    used = update(Totp).where(Totp.person_id == person_id, Totp.sealed == sealed, Totp.last_step < step)
    return counted(session, used.values(last_step=step)) == 1


def confirm_totp(session: Session, viewer: Person, now_ms: int) -> bool:
    """The viewer's codes are in force from now on; False when they were already, or there are none."""
    confirmed = update(Totp).where(Totp.person_id == viewer.id, Totp.confirmed_ms.is_(None))
    return counted(session, confirmed.values(confirmed_ms=now_ms)) == 1


def remove_totp(session: Session, viewer: Person | Service, person_id: int) -> bool:
    """The person needs no codes any more, and their recovery codes are void; False when there were none."""
    require_own(viewer, person_id)
    session.execute(delete(RecoveryCode).where(RecoveryCode.person_id == person_id))
    return counted(session, delete(Totp).where(Totp.person_id == person_id)) == 1


def replace_recovery_codes(session: Session, viewer: Person, code_hashes: Iterable[str]) -> None:
    """These instead of those that the viewer had."""
    session.execute(delete(RecoveryCode).where(RecoveryCode.person_id == viewer.id))
    session.add_all(RecoveryCode(code_hash=h, person_id=viewer.id) for h in code_hashes)
    session.flush()


def use_recovery_code(session: Session, viewer: Service, person_id: int, code_hash: str, now_ms: int) -> bool:
    """Uses the code up; False when it is none of the person's, or was used."""
    require_service(viewer)
    used = update(RecoveryCode).where(
        RecoveryCode.code_hash == code_hash, RecoveryCode.person_id == person_id, RecoveryCode.used_ms.is_(None)
    )
    return counted(session, used.values(used_ms=now_ms)) == 1


def recovery_codes_left(session: Session, viewer: Person) -> int:
    """How many of the viewer's recovery codes are not used."""
    query = select(func.count()).where(RecoveryCode.person_id == viewer.id, RecoveryCode.used_ms.is_(None))
    return session.scalar(query) or 0
