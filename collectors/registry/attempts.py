"""How often somebody failed in a row (a login from an address), so that guessing is slow: in the database, so that
several processes count together and a restart forgives nothing.

The first `FREE_FAILURES` in a row are free; then each waits twice as long as the one before, up to five minutes. A
key that was left alone for a quarter of an hour is new again. Keys are kept as hashes: who reads the database learns
no login and no address from them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from collectors.registry.schema.access import AttemptRow
from collectors.registry.viewer import Service, require_service

FREE_FAILURES: Final = 5
FIRST_WAIT_MS: Final = 2_000
LONGEST_WAIT_MS: Final = 300_000
FORGET_AFTER_MS: Final = 900_000
_FORGET_AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True)
class Failures:
    """How often a key failed in a row, and when last."""

    count: int
    last_ms: int


def wait_ms(failures: Failures | None, now_ms: int, free: int = FREE_FAILURES) -> int:
    """How long the next attempt has to wait from `now_ms` on; 0: it may be made now."""
    if failures is None or failures.count < free or now_ms - failures.last_ms >= FORGET_AFTER_MS:
        return 0
    penalty = min(LONGEST_WAIT_MS, FIRST_WAIT_MS << min(failures.count - free, 16))
    return max(0, failures.last_ms + penalty - now_ms)


def failed(failures: Failures | None, now_ms: int) -> Failures:
    """The key's failures after one more."""
    if failures is None or now_ms - failures.last_ms >= FORGET_AFTER_MS:
        return Failures(1, now_ms)
    return Failures(failures.count + 1, now_ms)


def begin(session: Session, viewer: Service, key: str, now_ms: int, free: int = FREE_FAILURES) -> int:
    """Milliseconds that `key` has to wait; at 0 the attempt is counted as failed until `succeeded`.

    Counting first keeps a hundred attempts sent at the same moment, to whatever processes, from all being free.
    """
    require_service(viewer)
    _forget_old(session, now_ms)
    insert: Any = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    new = insert(AttemptRow).values(key_hash=_hash(key), failures=0, last_ms=now_ms)
    session.execute(new.on_conflict_do_nothing())
    row = session.scalars(select(AttemptRow).where(AttemptRow.key_hash == _hash(key)).with_for_update()).one()
    before = Failures(row.failures, row.last_ms)
    wait = wait_ms(before, now_ms, free)
    if wait == 0:
        after = failed(before, now_ms)
        row.failures, row.last_ms = after.count, after.last_ms
        session.flush()
    return wait


def succeeded(session: Session, viewer: Service, key: str) -> None:
    """Forgets the failures of `key`."""
    require_service(viewer)
    session.execute(update(AttemptRow).where(AttemptRow.key_hash == _hash(key)).values(failures=0))


def _forget_old(session: Session, now_ms: int) -> None:
    over = AttemptRow.last_ms <= now_ms - FORGET_AFTER_MS
    some = select(AttemptRow.key_hash).where(over).limit(_FORGET_AT_ONCE).with_for_update(skip_locked=True)
    session.execute(delete(AttemptRow).where(AttemptRow.key_hash.in_(session.scalars(some).all())))


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
