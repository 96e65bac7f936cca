"""Many farms at once, a few queries for all of them: names, open alerts, gateways, devices, what stands where.

The farms of an overview are those that a viewer may see anything of. Each part is told of the farms that show the
viewer its class, and of no other.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from sqlalchemy import case, func, select, true
from sqlalchemy.orm import Session

from collectors.registry.schema import Alert, Device, Gateway, LoraDevice, Site
from collectors.registry.viewer import Viewer, may_see, visible_sites
from makiba.data_class import DataClass


@dataclass(frozen=True, slots=True)
class FarmNow:
    """What the registry says of a farm now: open alerts by (severity, is acknowledged), gateways, devices."""

    site: Site
    alerts: dict[tuple[str, bool], int] = field(default_factory=dict)
    gateways: dict[str, str] = field(default_factory=dict)
    """Status by id."""
    devices: list[str] = field(default_factory=list)


def farms_now(session: Session, viewer: Viewer, limit: int, after: str | None = None) -> Sequence[FarmNow]:
    """The first `limit` farms behind `after`, by id, of which `viewer` may see anything."""
    sites = visible_sites(viewer)
    query = select(Site).where(true() if sites is None else Site.id.in_(sorted(sites)))
    if after is not None:
        query = query.where(Site.id > after)
    farms = {row.id: FarmNow(row) for row in session.scalars(query.order_by(Site.id).limit(limit))}
    _count_alerts(session, farms, _showing(viewer, farms, "alerts"))
    _list_devices(session, farms, _showing(viewer, farms, "technical"))
    return list(farms.values())


def _showing(viewer: Viewer, sites: Collection[str], data_class: DataClass) -> list[str]:
    return [site for site in sites if may_see(viewer, site, data_class)]


def _count_alerts(session: Session, farms: dict[str, FarmNow], sites: list[str]) -> None:
    acknowledged = case((Alert.acknowledged_ms.is_(None) & Alert.snoozed_until_ms.is_(None), 0), else_=1)
    query = (
        select(Alert.site_id, Alert.severity, acknowledged, func.count())
        .where(Alert.ended_ms.is_(None), Alert.site_id.in_(sites))
        .group_by(Alert.site_id, Alert.severity, acknowledged)
    )
    for site, severity, is_acknowledged, count in session.execute(query):
        farms[site].alerts[severity, bool(is_acknowledged)] = count


def _list_devices(session: Session, farms: dict[str, FarmNow], sites: list[str]) -> None:
    gateways = select(Gateway.site_id, Gateway.id, Gateway.status).where(
        Gateway.site_id.in_(sites), Gateway.revoked_ms.is_(None)
    )
    for site, gateway, status in session.execute(gateways.order_by(Gateway.id)):
        farms[site].gateways[gateway] = status
    for site, name, gateway in session.execute(
        select(Device.site_id, Device.name, Device.gateway_id).where(Device.site_id.in_(sites)).order_by(Device.name)
    ):
        if gateway in farms[site].gateways:
            farms[site].devices.append(name)
    for site, subject in session.execute(
        select(LoraDevice.site_id, LoraDevice.subject)
        .where(LoraDevice.site_id.in_(sites))
        .order_by(LoraDevice.subject)
    ):
        farms[site].devices.append(subject)
