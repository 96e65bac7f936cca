"""What the registry knows of a farm's gateways beyond their status: how many of their records were refused.

Counts only: a dead letter may hold anything that was measured, and is for the farm's own people (`dead_letters`).
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from collectors.registry.dead_letters import DAY_MS
from collectors.registry.schema import DeadLetterDay, Gateway
from collectors.registry.viewer import NotAllowed, Viewer, may_see, spell


@dataclass(frozen=True, slots=True)
class Refused:
    """How many records of a gateway were refused: kept as letters, and counted only; when the last one was."""

    letters: int
    left_out: int
    last_ms: int


def refused_since(session: Session, viewer: Viewer, site: str, since_ms: int) -> dict[str, Refused]:
    """By gateway of `site`, what was refused since (to the day); without those of which nothing was."""
    if not may_see(viewer, site, "technical"):
        raise NotAllowed(f"{spell(viewer)} may not see the technical side of {site}")
    query = (
        select(
            DeadLetterDay.gateway_id,
            func.sum(DeadLetterDay.letters),
            func.sum(DeadLetterDay.left_out),
            func.max(DeadLetterDay.last_ms),
        )
        .join(Gateway, Gateway.id == DeadLetterDay.gateway_id)
        .where(Gateway.site_id == site, DeadLetterDay.day >= since_ms // DAY_MS)
        .group_by(DeadLetterDay.gateway_id)
    )
    return {gateway: Refused(int(n), int(m), int(at)) for gateway, n, m, at in session.execute(query)}
