"""Records that were refused, each with its reason: nothing vanishes.

A letter is known by gateway, batch and place in the batch, so that a batch that comes again finds its letters here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from collectors.registry.schema import DeadLetter, Gateway, Source
from collectors.registry.viewer import Viewer, require_service, visible_sites

MAX_RECORD_CHARS = 2000
_ROWS_PER_INSERT = 500


@dataclass(frozen=True, slots=True)
class Letter:
    """A refused record of a gateway or source. `batch` is its id, or a name made of the payload when it had none."""

    gateway: str
    batch: str
    index: int
    received_ms: int
    name: str
    reason: str
    record: str


def batch_name(payload: bytes) -> str:
    """A name for a batch without an id, the same for the same payload."""
    return "sha256:" + hashlib.sha256(payload).hexdigest()[:32]


def add(session: Session, viewer: Viewer, letters: Sequence[Letter]) -> None:
    """Keeps `letters`; one that is here already stays as it is."""
    require_service(viewer)
    rows = [
        {
            "gateway_id": clean(letter.gateway, 64),
            "batch": clean(letter.batch, 64),
            "record_index": letter.index,
            "received_ms": letter.received_ms,
            "name": clean(letter.name, 300),
            "reason": clean(letter.reason, 1000),
            "record": clean(letter.record, MAX_RECORD_CHARS),
        }
        for letter in letters
    ]
    insert: Any = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    for start in range(0, len(rows), _ROWS_PER_INSERT):
        values = rows[start : start + _ROWS_PER_INSERT]
        session.execute(insert(DeadLetter).values(values).on_conflict_do_nothing())


def list_letters(
    session: Session,
    viewer: Viewer,
    *,
    gateway: str | None = None,
    limit: int = 100,
    before_id: int | None = None,
) -> Sequence[DeadLetter]:
    """The newest letters first, of `gateway` only where given; of gateways that `viewer` may see."""
    query = select(DeadLetter).where(_seen(viewer))
    if gateway is not None:
        query = query.where(DeadLetter.gateway_id == gateway)
    if before_id is not None:
        query = query.where(DeadLetter.id < before_id)
    return session.scalars(query.order_by(DeadLetter.id.desc()).limit(limit)).all()


def count(session: Session, viewer: Viewer, gateway: str | None = None) -> int:
    """How many letters there are."""
    query = select(func.count()).select_from(DeadLetter).where(_seen(viewer))
    if gateway is not None:
        query = query.where(DeadLetter.gateway_id == gateway)
    return session.scalar(query) or 0


def _seen(viewer: Viewer) -> Any:
    sites = visible_sites(viewer)
    if sites is None:
        return DeadLetter.id.is_not(None)
    # A letter of a sender that no farm knows is seen by services and the administrator only.
    return or_(
        DeadLetter.gateway_id.in_(select(Gateway.id).where(Gateway.site_id.in_(sorted(sites)))),
        DeadLetter.gateway_id.in_(select(Source.id).where(Source.site_id.in_(sorted(sites)))),
    )


def clean(text: str, most: int) -> str:
    """`text` as any database takes it: no NUL, no lone surrogates, at most `most` characters."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "\ufffd")[:most]
