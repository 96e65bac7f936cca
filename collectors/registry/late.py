"""What backlogs told of: one summary for each farm and outage, which people are told of at most once.

Only `analytics.late` writes them; whoever tells people marks what it told.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from collectors.registry.schema.leases import LateSummary
from collectors.registry.viewer import Service, Viewer, may_see


def summary_id(site: str, to_ms: int) -> str:
    """The id of the summary of the outage of `site` that ended at `to_ms`, whoever writes it."""
    return hashlib.sha256(f"late|{site}|{to_ms}".encode()).hexdigest()[:32]


def add(
    session: Session,
    viewer: Service,
    site: str,
    from_ms: int,
    to_ms: int,
    readings: int,
    ended: Sequence[Mapping[str, Any]],
    now_ms: int,
) -> LateSummary | None:
    """Writes the summary of [from_ms, to_ms]; None when one of `site` is there that touches this stretch."""
    if not isinstance(viewer, Service):
        raise TypeError("only a service sums up")
    there = select(LateSummary.id).where(
        LateSummary.site_id == site, LateSummary.from_ms < to_ms, LateSummary.to_ms > from_ms
    )
    if session.scalar(there.limit(1)) is not None:
        return None
    row = LateSummary(
        id=summary_id(site, to_ms), site_id=site, from_ms=from_ms, to_ms=to_ms, written_ms=now_ms, readings=readings,
        ended=[dict(one) for one in ended],
    )  # fmt: skip
    session.add(row)
    session.flush()
    return row


def untold(session: Session, viewer: Service, limit: int = 100) -> Sequence[LateSummary]:
    """Summaries of which nobody was told, the oldest first, locked for whoever tells of them."""
    if not isinstance(viewer, Service):
        raise TypeError("only a service tells")
    query = select(LateSummary).where(LateSummary.told_ms.is_(None)).order_by(LateSummary.written_ms, LateSummary.id)
    return session.scalars(query.limit(limit).with_for_update(skip_locked=True)).all()


def list_summaries(session: Session, viewer: Viewer, site: str, limit: int = 50) -> Sequence[LateSummary]:
    """The summaries of `site`, the newest first; none for whom the farm shows no alerts."""
    if not may_see(viewer, site, "alerts"):
        return []
    query = select(LateSummary).where(LateSummary.site_id == site).order_by(LateSummary.to_ms.desc(), LateSummary.id)
    return session.scalars(query.limit(limit)).all()
