"""Which worker judges which shards of the farms: leases in the database, and the fence before every write.

Guarantees, on both databases and for any number of workers:

- A shard has one holder. One that does not renew loses it after `LEASE_MS`, to whoever asks next.
- `require_held`, in the transaction that writes, lets only the present holder write: a worker that was stopped for
  an hour and wakes up finds another number there. Until that transaction ends nobody can take the shard away.
- The shards are shared out evenly among the workers that are there, within some renewals.

One clock counts for all: PostgreSQL's own; of SQLite the machine's, where all of its workers are. A wrong clock may
let a shard change hands too early or late; it never lets two write.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import delete, select, text, update
from sqlalchemy.orm import Session

from collectors.registry.schema.leases import ShardLease, WatchWorker
from collectors.registry.viewer import Service
from makiba.topics import SHARDS

LEASE_MS: Final = 5_000
_KNOWN_SHARDS: Final = text(
    "INSERT INTO shard_lease (shard, holder, until_ms, fence) VALUES (:shard, '', 0, 0) ON CONFLICT DO NOTHING"
)


class LeaseLost(Exception):
    """Shards of this worker are another's now; nothing of this transaction may be kept."""

    def __init__(self, shards: frozenset[int]) -> None:
        super().__init__(f"shards {', '.join(map(str, sorted(shards)))} are held by another worker")
        self.shards = shards


@dataclass(frozen=True, slots=True)
class Leases:
    """What a worker holds: its shards with their fencing numbers, until when, and how many it should give back."""

    fences: Mapping[int, int] = field(default_factory=dict)
    until_ms: int = 0
    surplus: int = 0

    @property
    def shards(self) -> frozenset[int]:
        return frozenset(self.fences)


def renew(session: Session, viewer: Service, worker: str, is_gone: Callable[[str], bool] = lambda _: False) -> Leases:
    """Prolongs what `worker` holds, and takes what is free up to its even part. Wants a writer's session.

    `is_gone` may know of a worker that it is gone before its time is over.
    """
    _require_service(viewer)
    leases = _rows(session)  # first, so that all wait for one another here
    now_ms = clock_ms(session)
    gone = {name for name in session.scalars(select(WatchWorker.name)) if name != worker and is_gone(name)}
    session.execute(delete(WatchWorker).where((WatchWorker.until_ms < now_ms) | WatchWorker.name.in_(gone)))
    session.merge(WatchWorker(name=worker, until_ms=now_ms + LEASE_MS))
    session.flush()
    names = sorted(session.scalars(select(WatchWorker.name)))
    mine = [row for row in leases if row.holder == worker and row.until_ms > now_ms]
    part = SHARDS // len(names) + (names.index(worker) < SHARDS % len(names))
    free = [row for row in leases if row.until_ms <= now_ms or row.holder in gone]
    for row in free[: max(0, part - len(mine))]:
        row.holder, row.fence = worker, row.fence + 1
        mine.append(row)
    for row in mine:
        row.until_ms = now_ms + LEASE_MS
    session.flush()
    return Leases({row.shard: row.fence for row in mine}, now_ms + LEASE_MS, max(0, len(mine) - part))


def give_back(session: Session, viewer: Service, worker: str, fences: Mapping[int, int], *, leaves: bool) -> None:
    """Lets others have the shards in `fences` as far as they are still `worker`'s; `leaves`: it is gone itself."""
    _require_service(viewer)
    if leaves:
        session.execute(delete(WatchWorker).where(WatchWorker.name == worker))
    for shard, fence in fences.items():
        session.execute(
            update(ShardLease)
            .where(ShardLease.shard == shard, ShardLease.holder == worker, ShardLease.fence == fence)
            .values(holder="", until_ms=0)
        )


def require_held(session: Session, viewer: Service, worker: str, fences: Mapping[int, int]) -> None:
    """`LeaseLost` unless `worker` holds all of `fences`; if it does, nobody takes them before this transaction ends.

    That the time is over does not matter as long as nobody else came.
    """
    _require_service(viewer)
    query = select(ShardLease.shard, ShardLease.fence, ShardLease.holder).where(ShardLease.shard.in_(sorted(fences)))
    rows = session.execute(query.order_by(ShardLease.shard).with_for_update(read=True)).all()
    held = {shard for shard, fence, holder in rows if holder == worker and fences[shard] == fence}
    if held != set(fences):
        raise LeaseLost(frozenset(set(fences) - held))


def clock_ms(session: Session) -> int:
    """The time that all workers of this database share."""
    if session.get_bind().dialect.name == "postgresql":
        return int(session.scalar(text("SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)")) or 0)
    return time.time_ns() // 1_000_000


def _rows(session: Session) -> list[ShardLease]:
    """All leases, locked, in one order, so that no two workers wait crosswise."""
    query = select(ShardLease).order_by(ShardLease.shard).with_for_update()
    rows = session.scalars(query).all()
    if len(rows) < SHARDS:
        for shard in range(SHARDS):
            session.execute(_KNOWN_SHARDS, {"shard": shard})
        rows = session.scalars(query).all()
    return [row for row in rows if row.shard < SHARDS]


def _require_service(viewer: Service) -> None:
    if not isinstance(viewer, Service):
        raise TypeError("only a service judges farms")
