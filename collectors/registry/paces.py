"""How often each device was set to measure, since when: what completeness is measured by.

Noted when a gateway reports its devices, or a site file names those of a radio network, and only where it changed. A
device that is taken out is noted with 0: nothing is expected of it from then on.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from collectors.registry.schema.farm import DevicePace
from collectors.registry.viewer import NotAllowed, Service, Viewer, may_see, require_service, spell


def note_paces(
    session: Session, viewer: Service, site: str, wanted: Mapping[str, float], gone: Collection[str], now_ms: int
) -> None:
    """From `now_ms` on the devices of `wanted` measure at that pace (seconds), and those of `gone` do not."""
    require_service(viewer)
    names = sorted({*wanted, *gone})
    query = select(DevicePace).where(DevicePace.site_id == site, DevicePace.device.in_(names))
    last = {row.device: row for row in session.scalars(query.order_by(DevicePace.from_ms))}
    for name in names:
        every_s, known = wanted.get(name, 0.0), last.get(name)
        if known is None and every_s > 0:
            session.add(DevicePace(site_id=site, device=name, from_ms=now_ms, every_s=every_s))
        elif known is not None and known.every_s != every_s:
            if known.from_ms >= now_ms:  # said twice in one millisecond, or by a clock that was set back
                known.every_s = every_s
            else:
                session.add(DevicePace(site_id=site, device=name, from_ms=now_ms, every_s=every_s))


def paces_of(session: Session, viewer: Viewer, site: str) -> dict[str, list[tuple[int, float]]]:
    """Of each device (since when, every how many seconds), in order."""
    if not may_see(viewer, site):
        raise NotAllowed(f"{spell(viewer)} may not see {site}")
    found: dict[str, list[tuple[int, float]]] = {}
    query = select(DevicePace).where(DevicePace.site_id == site).order_by(DevicePace.device, DevicePace.from_ms)
    for row in session.scalars(query):
        found.setdefault(row.device, []).append((row.from_ms, row.every_s))
    return found
