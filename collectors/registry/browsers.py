"""Who is signed in where, and what happened to their account that they should know."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Final, Literal

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from collectors.registry.schema import WebSession
from collectors.registry.schema.sign_in import Challenge, SignInNotice
from collectors.registry.sign_in import counted, require_own
from collectors.registry.viewer import Person, Service, require_service

Way = Literal["password", "passkey", "invitation", "oidc"]
NoticeKind = Literal[
    "signed-in", "password-changed", "password-removed", "passkey-added", "passkey-removed", "passkey-copied",
    "codes-on", "codes-off", "code-used-again", "recovery-code-used", "recovery-codes-made", "browsers-signed-out",
    "account-linked", "account-unlinked",
]  # fmt: skip

IDLE_MS: Final = 30 * 86_400_000
LONGEST_MS: Final = 180 * 86_400_000
"""A session ends when it was not used for so long, and when it is so old."""

NOTICES_KEPT: Final = 50
MAX_SESSIONS: Final = 500


def create_session(
    session: Session,
    viewer: Service,
    *,
    token_hash: str,
    person_id: int,
    now_ms: int,
    expires_ms: int,
    way: Way,
    device: str,
) -> WebSession:
    """A browser that is signed in until `expires_ms`. Sessions of the past go at this occasion.

    An invitation proves that somebody has it, and not who they are.
    """
    require_service(viewer)
    session.execute(delete(WebSession).where(WebSession.expires_ms <= now_ms))
    row = WebSession(
        token_hash=token_hash, id=secrets.token_urlsafe(16), person_id=person_id, way=way, created_ms=now_ms,
        expires_ms=expires_ms, seen_ms=now_ms, proved_ms=None if way == "invitation" else now_ms,
        device=_printable(device),
    )  # fmt: skip
    session.add(row)
    session.flush()
    return row


def end_of(row: WebSession, now_ms: int) -> int:
    """When the session ends that is used now."""
    return min(now_ms + IDLE_MS, row.created_ms + LONGEST_MS)


def renew_session(
    session: Session, viewer: Service, token_hash: str, new_hash: str, proved_ms: int | None = None
) -> bool:
    """The session has another cookie from now on, and its person proved then who they are; False: it is gone."""
    require_service(viewer)
    values: dict[str, str | int] = {"token_hash": new_hash}
    if proved_ms is not None:
        values["proved_ms"] = proved_ms
    return counted(session, update(WebSession).where(WebSession.token_hash == token_hash).values(values)) == 1


def list_sessions(session: Session, viewer: Person, now_ms: int) -> Sequence[WebSession]:
    """The browsers that `viewer` is signed in with, the newest first."""
    query = select(WebSession).where(WebSession.person_id == viewer.id, WebSession.expires_ms > now_ms)
    return session.scalars(query.order_by(WebSession.created_ms.desc(), WebSession.id).limit(MAX_SESSIONS)).all()


def end_session(session: Session, viewer: Person, session_id: str) -> bool:
    """Signs one of the viewer's browsers out; False when they have no such one."""
    gone = delete(WebSession).where(WebSession.person_id == viewer.id, WebSession.id == session_id)
    return counted(session, gone) == 1


def end_other_sessions(session: Session, viewer: Person, kept_hash: str) -> int:
    """Signs all of the viewer's browsers out but one, and forgets what others were about to answer; how many."""
    session.execute(delete(Challenge).where(Challenge.person_id == viewer.id))
    gone = delete(WebSession).where(WebSession.person_id == viewer.id, WebSession.token_hash != kept_hash)
    return counted(session, gone)


# ------------------------------------------------------------------------------------------------------------ notices


def notify(
    session: Session,
    viewer: Person | Service,
    person_id: int,
    kind: NoticeKind,
    now_ms: int,
    *,
    way: str = "",
    device: str = "",
    session_id: str | None = None,
) -> None:
    """Tells the person what happened; the oldest of many are forgotten."""
    require_own(viewer, person_id)
    session.add(
        SignInNotice(
            id=secrets.token_urlsafe(16), person_id=person_id, kind=kind, at_ms=now_ms, way=way,
            device=_printable(device), session_id=session_id,
        )
    )  # fmt: skip
    session.flush()
    kept = select(SignInNotice.id).where(SignInNotice.person_id == person_id)
    kept = kept.order_by(SignInNotice.at_ms.desc(), SignInNotice.id).limit(NOTICES_KEPT)
    session.execute(
        delete(SignInNotice)
        .where(SignInNotice.person_id == person_id, SignInNotice.id.not_in(kept))
        .execution_options(synchronize_session=False)
    )


def list_notices(session: Session, viewer: Person) -> Sequence[SignInNotice]:
    """What happened to the viewer's account, the newest first."""
    query = select(SignInNotice).where(SignInNotice.person_id == viewer.id)
    return session.scalars(query.order_by(SignInNotice.at_ms.desc(), SignInNotice.id)).all()


def notices_seen(session: Session, viewer: Person, until_ms: int, now_ms: int) -> None:
    """The viewer has seen what happened until then."""
    seen = update(SignInNotice).where(
        SignInNotice.person_id == viewer.id, SignInNotice.at_ms <= until_ms, SignInNotice.seen_ms.is_(None)
    )
    session.execute(seen.values(seen_ms=now_ms))


def _printable(device: str) -> str:
    return "".join(c for c in device if c.isprintable())[:200]
