"""Writes that come with an Idempotency-Key: done once, however often they come, from however many processes.

A key is claimed in the transaction of the write itself. So there is no 'under way' to get stuck: who comes second
waits for the first one's commit (SQLite has one writer, PostgreSQL waits at the unique key) and finds its answer; if
the first one rolled back, nothing is claimed and the second one does the write. Rows are of one person, and of one
farm where it is about one, and go with either; after `KEPT_MS` they are forgotten. Keys and requests are kept as
hashes; an answer that holds a secret is not kept at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from collectors.registry.schema.access import OnceRow
from collectors.registry.viewer import Person

KEPT_MS: Final = 86_400_000
MAX_BODY: Final = 262_144
"""Longer answers are not kept."""
_FORGET_AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered; `body` None: it is not kept."""

    status: int
    headers: Mapping[str, str]
    body: str | None


class KeyUsed(Exception):
    """The key came already, with another request."""


def claim(
    session: Session, viewer: Person, key_hash: str, request_hash: str, site: str | None, now_ms: int
) -> Answer | None:
    """None: the write is to be done now, and `keep` called in the same transaction. Else what was answered to it.

    `KeyUsed` when the key was for another request.
    """
    _forget(session, key_hash, now_ms - KEPT_MS)
    insert: Any = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    new = insert(OnceRow).values(
        key_hash=key_hash, person_id=viewer.id, site_id=site, request_hash=request_hash, created_ms=now_ms, status=0,
        headers={}, body=None,
    )  # fmt: skip
    claimed = session.execute(new.on_conflict_do_nothing().returning(OnceRow.key_hash)).scalar()
    if claimed is not None:
        return None
    row = session.execute(select(OnceRow).where(OnceRow.key_hash == key_hash)).scalar_one()
    if row.request_hash != request_hash or row.person_id != viewer.id:
        raise KeyUsed
    return Answer(row.status, row.headers, row.body)


def _forget(session: Session, key_hash: str, until_ms: int) -> None:
    """This key, if its time is over, and some others that nobody else is just forgetting."""
    over = OnceRow.created_ms <= until_ms
    session.execute(delete(OnceRow).where(OnceRow.key_hash == key_hash, over))
    some = select(OnceRow.key_hash).where(over).limit(_FORGET_AT_ONCE).with_for_update(skip_locked=True)
    session.execute(delete(OnceRow).where(OnceRow.key_hash.in_(session.scalars(some).all())))


def keep(session: Session, viewer: Person, key_hash: str, answer: Answer) -> None:
    """The answer to the write that `claim` let through."""
    row = session.get(OnceRow, key_hash)
    if row is None or row.person_id != viewer.id:
        raise LookupError("nothing was claimed")
    row.status, row.headers = answer.status, dict(answer.headers)
    row.body = answer.body if answer.body is None or len(answer.body) <= MAX_BODY else None
    session.flush()
