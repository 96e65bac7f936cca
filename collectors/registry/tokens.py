"""Programs that act for a person: their tokens, and as whom each of them looks.

A token is its person with a `Limit`: at most their rights at this moment, less what it was not made for, never an
administrator's and never what only a person decides. It ends by its time, by being revoked, and with its person;
open streams of it too, within a second. Only a person at a browser, or the command line, makes and revokes them.
Secrets are not known here, only their SHA-256. The farms that a token reaches have its making in their audit.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from sqlalchemy import CursorResult, func, select, tuple_, update
from sqlalchemy.orm import Session

from collectors.registry import audit, people
from collectors.registry.schema.access import ApiToken
from collectors.registry.schema.people import PersonRow
from collectors.registry.viewer import (
    FOR_PROGRAMS,
    Action,
    Limit,
    NotAllowed,
    Person,
    Service,
    Viewer,
    limited,
    may_see,
    require_service,
)
from makiba.data_class import DATA_CLASSES, DataClass

LONGEST_MS: Final = 366 * 86_400_000
MOST_PER_PERSON: Final = 50
USED_EVERY_MS: Final = 3_600_000
"""When a token was last used is known to the hour, so that asking costs no write."""


class WrongToken(ValueError):
    """A token cannot be made so; `field` says what of it is wrong."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}")
        self.field = field
        self.why = why


@dataclass(frozen=True, slots=True)
class Wish:
    """What a token is to be for; None: everything that its person has, as far as a program may have it."""

    name: str
    expires_ms: int
    sites: Sequence[str] | None = None
    classes: Sequence[DataClass] | None = None
    actions: Sequence[Action] | None = None


@dataclass(frozen=True, slots=True)
class SignedInProgram:
    """As whom a program looks. Until `until_ms` nothing of its rights begins or ends by itself."""

    person: Person
    token: ApiToken
    until_ms: int


def make(
    session: Session, viewer: Viewer, person: Person, token_id: str, secret_hash: str, wish: Wish, now_ms: int
) -> ApiToken:
    """A new token of `person`. `WrongToken` when it would be more than they have, or for longer than a year."""
    _require_self(viewer, person.id)
    session.scalar(select(PersonRow.id).where(PersonRow.id == person.id).with_for_update())  # one after another
    _check(session, person, wish, now_ms)
    row = ApiToken(
        id=token_id, secret_hash=secret_hash, person_id=person.id, name=wish.name,
        sites=_sorted(wish.sites), classes=_sorted(wish.classes), actions=_sorted(wish.actions), created_ms=now_ms,
        expires_ms=wish.expires_ms, used_ms=None, revoked_ms=None,
    )  # fmt: skip
    session.add(row)
    session.flush()
    for site in _reached(person, row):
        audit.note_change(
            session, viewer, site, "token.made", now_ms, token=row.id, name=row.name, expires_ms=row.expires_ms
        )
    return row


def list_tokens(
    session: Session,
    viewer: Viewer,
    person_id: int,
    limit: int | None = None,
    after: tuple[int, str] | None = None,
) -> Sequence[ApiToken]:
    """Tokens of a person, the newest first, also those that are over; `after` goes on behind that time and id."""
    _require_self(viewer, person_id)
    query = select(ApiToken).where(ApiToken.person_id == person_id)
    if after is not None:
        query = query.where(tuple_(ApiToken.created_ms, ApiToken.id) < after)
    return session.scalars(query.order_by(ApiToken.created_ms.desc(), ApiToken.id.desc()).limit(limit)).all()


def get_token(session: Session, viewer: Viewer, person_id: int, token_id: str) -> ApiToken | None:
    """A token of this person; None when they have none of this id."""
    _require_self(viewer, person_id)
    return session.scalar(select(ApiToken).where(ApiToken.person_id == person_id, ApiToken.id == token_id))


def revoke(session: Session, viewer: Viewer, person_id: int, token_id: str, now_ms: int) -> ApiToken | None:
    """Ends a token at once; again changes nothing. None when the person has none of this id."""
    _require_self(viewer, person_id)
    found = select(ApiToken).where(ApiToken.person_id == person_id, ApiToken.id == token_id)
    row = session.scalar(found.with_for_update())
    if row is not None and row.revoked_ms is None:
        row.revoked_ms = now_ms
        session.flush()
        person = people.viewers_of(session, Service("api"), [person_id], now_ms).get(person_id)
        for site in _reached(person, row) if person else ():
            audit.note_change(session, viewer, site, "token.revoked", now_ms, token=row.id, name=row.name)
    return row


def revoke_all(session: Session, viewer: Viewer, person_id: int, now_ms: int) -> int:
    """Ends all tokens of a person; how many there were."""
    _require_self(viewer, person_id)
    theirs = update(ApiToken).where(ApiToken.person_id == person_id, ApiToken.revoked_ms.is_(None))
    done = session.execute(theirs.values(revoked_ms=now_ms))
    return cast("CursorResult[tuple[()]]", done).rowcount


def signed_in(
    session: Session, viewer: Service, token_ids: Iterable[str], now_ms: int
) -> Mapping[str, SignedInProgram]:
    """As whom each of these tokens looks; those that are over are not in it. Their secrets are not looked at."""
    require_service(viewer)
    ids = sorted(set(token_ids))
    holds = (ApiToken.revoked_ms.is_(None), ApiToken.expires_ms > now_ms)
    rows = session.scalars(select(ApiToken).where(ApiToken.id.in_(ids), *holds)).all() if ids else []
    made = people.viewers_until(session, viewer, {row.person_id for row in rows}, now_ms)
    return {
        row.id: SignedInProgram(
            limited(made[row.person_id][0], limit_of(row)), row, min(row.expires_ms, made[row.person_id][1])
        )
        for row in rows
        if row.person_id in made
    }


def with_secret(
    session: Session, viewer: Service, token_id: str, secret_hash: str, now_ms: int
) -> SignedInProgram | None:
    """As whom the program with this secret looks; None when it is wrong, or the token is over."""
    found = signed_in(session, viewer, [token_id], now_ms).get(token_id)
    kept = found.token.secret_hash if found else "0" * 64
    return found if hmac.compare_digest(kept, secret_hash) else None


def touch(session: Session, viewer: Service, token_id: str, now_ms: int) -> None:
    """Notes that the token was used. Past the session's notice: nobody's rights change by it."""
    require_service(viewer)
    session.connection().execute(update(ApiToken).where(ApiToken.id == token_id).values(used_ms=now_ms))


def limit_of(row: ApiToken) -> Limit:
    """What a token leaves of its person; a class or action that this version does not know gives nothing."""
    return Limit(
        row.id,
        row.name,
        None if row.sites is None else frozenset(row.sites),
        None if row.classes is None else frozenset(c for c in DATA_CLASSES if c in row.classes),
        FOR_PROGRAMS if row.actions is None else frozenset(a for a in FOR_PROGRAMS if a in row.actions),
    )


def _check(session: Session, person: Person, wish: Wish, now_ms: int) -> None:
    if not now_ms < wish.expires_ms <= now_ms + LONGEST_MS:
        raise WrongToken("expires_ms", "from now on, and at most a year")
    if any(not may_see(person, site) or site not in {*person.roles, *person.grants} for site in wish.sites or ()):
        raise WrongToken("sites", "only farms that you may see")
    if any(action not in FOR_PROGRAMS for action in wish.actions or ()):
        raise WrongToken("actions", f"of {', '.join(sorted(FOR_PROGRAMS))}")
    theirs = (ApiToken.person_id == person.id, ApiToken.revoked_ms.is_(None), ApiToken.expires_ms > now_ms)
    if (session.scalar(select(func.count()).select_from(ApiToken).where(*theirs)) or 0) >= MOST_PER_PERSON:
        raise WrongToken("name", f"you have {MOST_PER_PERSON} tokens already; revoke one")


def _reached(person: Person, row: ApiToken) -> list[str]:
    """The farms whose data the token may open, for their audits."""
    limit = limit_of(row)
    return sorted(s for s in {*person.roles, *person.grants} if limit.reaches(s) and may_see(person, s))


def _sorted(words: Sequence[str] | None) -> list[str] | None:
    return None if words is None else sorted(set(words))


def _require_self(viewer: Viewer, person_id: int) -> None:
    if isinstance(viewer, Person) and (viewer.id != person_id or viewer.limit is not None):
        raise NotAllowed("tokens are for their person to make and revoke, at a browser")
