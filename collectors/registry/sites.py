"""Farms and what stands on them: gateways, devices, places, and which subject stands where, since when.

Rows that a viewer may not see do not exist for them: gateways and devices are technical; places and what stands
in them are for the farm's own people (`sight` says what of it others see). What is written here comes from two
sides: the site file (`apply_site`: farm, places, placements, the farm's own numbers) and the gateways themselves
(`record_status`, `record_reported`: what they say over MQTT). Both may be written again and again without changing
anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, delete, or_, select, true, update
from sqlalchemy.orm import Session

from collectors.registry import lora, paces, said, sources, weather
from collectors.registry.placements import end
from collectors.registry.schema import Device, Gateway, Place, Placement, Site
from collectors.registry.viewer import Service, Viewer, home_sites, require_service, visible_sites
from makiba.data_class import DataClass
from makiba.wire import GatewayStatus

_STATUS_PAST_MS = 30 * 86_400_000
_STATUS_AHEAD_MS = 300_000


@dataclass(frozen=True, slots=True)
class PlaceSpec:
    """A place as a site file says it."""

    id: str
    kind: str
    name_ja: str
    name_en: str


@dataclass(frozen=True, slots=True)
class PlacementSpec:
    """A subject in a place as a site file says it. `from_ms` None: since the file is applied."""

    subject: str
    place: str
    role: str = ""
    name_ja: str = ""
    name_en: str = ""
    from_ms: int | None = None


@dataclass(frozen=True, slots=True)
class SiteSpec:
    """A farm as its site file says it."""

    id: str
    name_ja: str
    name_en: str
    timezone: str = "Asia/Tokyo"
    gateways: tuple[str, ...] = ()
    places: tuple[PlaceSpec, ...] = ()
    placements: tuple[PlacementSpec, ...] = ()
    rules: dict[str, Any] = field(default_factory=dict, hash=False)
    lorawan: tuple[lora.LoraSpec, ...] = ()
    weather: weather.WeatherSpec | None = None
    settings: dict[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """An instrument as its gateway reports it."""

    name: str
    bus: str
    profile: str
    every_s: float
    subjects: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StatusNote:
    """A gateway's status as it was noted: its farm, since when it is in force, and whether that was new."""

    site: str
    at_ms: int
    news: bool


class GatewayTaken(ValueError):
    """A gateway that a site file names belongs to another farm already; `gateway` and `site` say which."""

    def __init__(self, gateway: str, site: str) -> None:
        super().__init__(f"gateway {gateway} belongs to site {site}")
        self.gateway, self.site = gateway, site


# ------------------------------------------------------------------------------------------------------ reading


def list_sites(session: Session, viewer: Viewer) -> Sequence[Site]:
    """The farms that `viewer` may see, by id."""
    return session.scalars(select(Site).where(_seen(Site.id, viewer)).order_by(Site.id)).all()


def known_sites(session: Session, viewer: Viewer, wanted: Iterable[str]) -> set[str]:
    """Those of `wanted` that there are."""
    query = select(Site.id).where(Site.id.in_(sorted(wanted)), _seen(Site.id, viewer))
    return set(session.scalars(query))


def get_site(session: Session, viewer: Viewer, site: str, data_class: DataClass | None = None) -> Site | None:
    """The farm, or None when `viewer` may see nothing of it, or nothing of `data_class`."""
    return session.scalar(select(Site).where(Site.id == site, _seen(Site.id, viewer, data_class)))


def site_of_gateway(session: Session, viewer: Viewer, gateway: str) -> str | None:
    """The farm whose readings `gateway` may send; None when it is unknown or revoked."""
    row = get_gateway(session, viewer, gateway)
    return row.site_id if row and row.revoked_ms is None else None


def get_gateway(session: Session, viewer: Viewer, gateway: str) -> Gateway | None:
    """The gateway, revoked or not."""
    return session.scalar(select(Gateway).where(Gateway.id == gateway, _seen(Gateway.site_id, viewer, "technical")))


def list_gateways(session: Session, viewer: Viewer, site: str | None = None) -> Sequence[Gateway]:
    """The gateways of `site`, or of every farm that `viewer` may see, by id."""
    query = select(Gateway).where(_seen(Gateway.site_id, viewer, "technical"), _of(Gateway.site_id, site))
    return session.scalars(query.order_by(Gateway.id)).all()


def list_places(session: Session, viewer: Viewer, site: str) -> Sequence[Place]:
    """The places of `site` in the order of its file."""
    query = select(Place).where(Place.site_id == site, _home(Place.site_id, viewer), Place.retired_ms.is_(None))
    return session.scalars(query.order_by(Place.position, Place.id)).all()


def list_placements(session: Session, viewer: Viewer, site: str, at_ms: int | None = None) -> Sequence[Placement]:
    """Which subject stands where on `site`: those in force now, or at `at_ms`; at most one per subject."""
    if at_ms is None:
        when: ColumnElement[bool] = Placement.to_ms.is_(None)
    else:
        when = (Placement.from_ms <= at_ms) & or_(Placement.to_ms.is_(None), Placement.to_ms > at_ms)
    query = select(Placement).where(Placement.site_id == site, _home(Placement.site_id, viewer), when)
    return session.scalars(query.order_by(Placement.id)).all()


def list_devices(session: Session, viewer: Viewer, site: str) -> Sequence[Device]:
    """The devices of `site` by name: as its gateways last reported them, and those of LoRaWAN (`lora.NETWORK`).

    Where both have one of the same name, it is the gateway's.
    """
    query = select(Device).where(Device.site_id == site, _seen(Device.site_id, viewer, "technical"))
    devices = {device.name: device for device in lora.as_devices(session, viewer, site)}
    devices |= {device.name: device for device in session.scalars(query)}
    return [devices[name] for name in sorted(devices)]


def _seen(column: Any, viewer: Viewer, data_class: DataClass | None = None) -> ColumnElement[bool]:
    sites = visible_sites(viewer, data_class)
    return true() if sites is None else column.in_(sorted(sites))


def _home(column: Any, viewer: Viewer) -> ColumnElement[bool]:
    sites = home_sites(viewer)
    return true() if sites is None else column.in_(sorted(sites))


def _of(column: Any, site: str | None) -> ColumnElement[bool]:
    return true() if site is None else column == site


# ------------------------------------------------------------------------------------------------------ writing


def apply_site(
    session: Session, viewer: Service, spec: SiteSpec, now_ms: int, *, overwrite: bool = False
) -> list[str]:
    """Makes the registry say what `spec` says; applying the same again changes nothing.

    A place or placement that people edited meanwhile (`placements`), and what they said of the farm (`said`), stays
    as they made it, unless `overwrite`; where the file says something else, that is a line of the answer.

    A subject whose place or role changed gets a new placement from its `from_ms` (or `now_ms`) on, and the old
    one ends there. A place that the file no longer names stays as long as the past knows it. A gateway that it no
    longer names is revoked: its readings are refused from then on. `GatewayTaken` or `lora.DeviceTaken` when one is
    another farm's.
    """
    require_service(viewer)
    site = session.get(Site, spec.id)
    if site is None:
        site = Site(id=spec.id, created_ms=now_ms)
        session.add(site)
    site.name_ja, site.name_en = spec.name_ja, spec.name_en
    site.timezone, site.rules = spec.timezone, dict(spec.rules)
    session.flush()
    _apply_gateways(session, spec, now_ms)
    kept = _apply_places(session, spec, overwrite)
    session.flush()
    kept += _apply_placements(session, spec, now_ms, overwrite)
    kept += said.apply_settings(site, spec.settings, overwrite=overwrite)
    session.flush()
    _drop_unknown_places(session, spec, overwrite)
    before = {d.name for d in lora.as_devices(session, viewer, spec.id)}
    lora.apply_devices(session, viewer, spec.id, spec.lorawan)
    spoken = {d.name: d.every_s for d in lora.as_devices(session, viewer, spec.id)}
    paces.note_paces(session, viewer, spec.id, spoken, before - set(spoken), now_ms)
    weather.apply_site_weather(session, viewer, spec.id, spec.weather)
    if spec.lorawan:
        sources.ensure_own(session, viewer, "lorawan", spec.id, now_ms)
    if spec.weather:
        sources.ensure_own(session, viewer, "weather", spec.id, now_ms)
    return kept


def _apply_gateways(session: Session, spec: SiteSpec, now_ms: int) -> None:
    for name in spec.gateways:
        row = session.get(Gateway, name)
        if row is None:
            session.add(Gateway(id=name, site_id=spec.id, status="unknown", status_ms=0, connection="", software=""))
        elif row.site_id != spec.id:
            raise GatewayTaken(name, row.site_id)
        else:
            row.revoked_ms = None
    gone = update(Gateway).where(Gateway.site_id == spec.id, Gateway.id.not_in(spec.gateways))
    session.execute(gone.where(Gateway.revoked_ms.is_(None)).values(revoked_ms=now_ms))


def _apply_places(session: Session, spec: SiteSpec, overwrite: bool) -> list[str]:
    kept: list[str] = []
    for position, place in enumerate(spec.places):
        row = session.get(Place, (spec.id, place.id))
        said = (place.kind, place.name_ja, place.name_en, position)
        if row is None:
            row = Place(site_id=spec.id, id=place.id, version=0)
            session.add(row)
        elif row.edited_ms is not None and not overwrite:
            if row.retired_ms is not None:
                kept.append(f"place {place.id}: taken out")
            elif (row.kind, row.name_ja, row.name_en) != said[:3]:
                kept.append(f"place {place.id}: {row.kind}, {row.name_ja} / {row.name_en}")
            continue
        elif (row.kind, row.name_ja, row.name_en, row.position) == said and row.edited_ms is None:
            continue
        row.kind, row.name_ja, row.name_en, row.position = said
        row.edited_ms = row.retired_ms = None
        row.version += 1
    return kept


def _apply_placements(session: Session, spec: SiteSpec, now_ms: int, overwrite: bool) -> list[str]:
    kept: list[str] = []
    current = {p.subject: p for p in list_placements(session, Service("console"), spec.id)}
    for wanted in spec.placements:
        row = current.pop(wanted.subject, None)
        since = now_ms if wanted.from_ms is None else wanted.from_ms
        if not overwrite and (differs := _edited(session, spec.id, row, wanted)) is not None:
            kept += [differs] if differs else []
            continue
        if row is not None and (row.place_id, row.role) != (wanted.place, wanted.role):
            # A placement never ends before it began, whatever the file's date says.
            since = max(since, row.from_ms)
            end(session, row, since)
            row = None
        if row is None:
            row = Placement(site_id=spec.id, subject=wanted.subject, from_ms=since, version=0)
            session.add(row)
        elif wanted.from_ms is not None:
            row.from_ms = wanted.from_ms
        row.place_id, row.role = wanted.place, wanted.role
        row.name_ja, row.name_en = wanted.name_ja, wanted.name_en
        row.edited_ms = None
        if row.version == 0 or session.is_modified(row):
            row.version += 1
    for row in current.values():
        if row.edited_ms is not None and not overwrite:
            kept.append(f"{row.subject}: stands in {row.place_id}; the file does not name it")
        else:
            end(session, row, max(now_ms, row.from_ms))
    return kept


def _edited(session: Session, site: str, row: Placement | None, wanted: PlacementSpec) -> str | None:
    """What people made of a placement that the file says otherwise; empty: the same. None: they did not touch it."""
    if row is None:
        last = select(Placement).where(Placement.site_id == site, Placement.subject == wanted.subject)
        gone = session.scalar(last.order_by(Placement.from_ms.desc(), Placement.id.desc()).limit(1))
        if gone is not None and gone.edited_ms is not None:
            return f"{wanted.subject}: taken away from {gone.place_id}"
        place = session.get(Place, (site, wanted.place))
        return f"{wanted.subject}: {wanted.place} was taken out" if place is None or place.retired_ms else None
    if row.edited_ms is None:
        place = session.get(Place, (site, wanted.place))
        return f"{wanted.subject}: {wanted.place} was taken out" if place is None or place.retired_ms else None
    is_same = (row.place_id, row.role, row.name_ja, row.name_en) == (
        wanted.place, wanted.role, wanted.name_ja, wanted.name_en,
    )  # fmt: skip
    return (
        ""
        if is_same and wanted.from_ms in (None, row.from_ms)
        else (f"{wanted.subject}: stands in {row.place_id} since {row.from_ms}, role {row.role!r}, {row.name_ja}")
    )


def _drop_unknown_places(session: Session, spec: SiteSpec, overwrite: bool) -> None:
    used = select(Placement.place_id).where(Placement.site_id == spec.id)
    named = [place.id for place in spec.places]
    gone = delete(Place).where(Place.site_id == spec.id, Place.id.not_in(named), Place.id.not_in(used))
    session.execute(gone if overwrite else gone.where(Place.edited_ms.is_(None)))


def status_news(row: Gateway, status: GatewayStatus, received_ms: int) -> int | None:
    """When to note `status`, in UTC ms; None when it says nothing new or is an older connection's.

    A will is noted at the time it was received, since it was written when the connection began; anything else at
    the gateway's own time, unless that cannot be true. Never before what was noted last: the newest is in force.
    """
    ordered = _order(status.connection) >= _order(row.connection) or not row.connection
    # A new card begins to count anew: its birth is younger than what is known, an old will is not a birth.
    if not ordered and (status.state != "online" or status.time_ms <= row.status_ms):
        return None
    if row.connection == status.connection[:64]:
        if row.status == status.state:
            return None
        if status.state == "online":
            return None  # a connection that ended does not begin again; the next one has its own number
    own = status.time_ms if status.state != "offline" else received_ms
    if not received_ms - _STATUS_PAST_MS <= own <= received_ms + _STATUS_AHEAD_MS:
        own = received_ms
    return max(own, row.status_ms + 1)


def record_status(
    session: Session, viewer: Service, gateway: str, status: GatewayStatus, received_ms: int
) -> StatusNote | None:
    """Notes what `gateway`, or its will, said. Saying it again gives the same note, which is no news then.

    None when there is nothing to note: the words are an older connection's, or the gateway is unknown or revoked.
    """
    require_service(viewer)
    row = session.get(Gateway, gateway, with_for_update=True)  # every collector hears the same words
    if row is None or row.revoked_ms is not None:
        return None
    at_ms = status_news(row, status, received_ms)
    if at_ms is None:
        same = (row.connection, row.status) == (status.connection[:64], status.state)
        return StatusNote(row.site_id, row.status_ms, news=False) if same else None
    row.status, row.status_ms, row.connection = status.state, at_ms, status.connection[:64]
    row.software = status.software[:64] or row.software
    return StatusNote(row.site_id, at_ms, news=True)


def _order(connection: str) -> tuple[int, str]:
    """Numbers by size, whatever their length; anything else by its text."""
    return (len(connection), connection) if connection.isdigit() else (0, connection)


def record_reported(
    session: Session, viewer: Service, gateway: str, devices: Sequence[DeviceSpec], now_ms: int | None = None
) -> bool:
    """Makes the devices of `gateway` be `devices`; False when the gateway is unknown or revoked.

    A device that another gateway of the farm had moves here with its name. With `now_ms` it is noted since when they
    measure how often.
    """
    require_service(viewer)
    owner = session.get(Gateway, gateway, with_for_update=True)
    if owner is None or owner.revoked_ms is not None:
        return False
    for spec in devices:
        row = session.get(Device, (owner.site_id, spec.name))
        if row is None:
            row = Device(site_id=owner.site_id, name=spec.name)
            session.add(row)
        row.gateway_id, row.bus, row.profile = gateway, spec.bus, spec.profile
        row.every_s, row.subjects = spec.every_s, list(spec.subjects)
    session.flush()
    names = [spec.name for spec in devices]
    if now_ms is not None:
        had = session.scalars(select(Device.name).where(Device.gateway_id == gateway, Device.name.not_in(names)))
        wanted = {spec.name: spec.every_s for spec in devices}
        paces.note_paces(session, viewer, owner.site_id, wanted, had.all(), now_ms)
    session.execute(delete(Device).where(Device.gateway_id == gateway, Device.name.not_in(names)))
    return True
