"""Devices and gateways of a farm and their states: the technical side, without a measured value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query
from sqlalchemy.orm import Session

from api.centre import Centre, CentreNow
from api.etags import Tagging
from api.paging import Page, Paging
from api.problems import existing, invalid, not_found
from api.routes.places import subject_name
from api.routes.technical import require_technical
from api.sessions import SERVICE, Accounting, SignedIn
from api.shapes import Millis, Names
from api.shapes.devices import (
    DeviceOut,
    DevicesOut,
    DeviceSubjectOut,
    GatewayRowOut,
    GatewaysOut,
    RefusedOut,
    ReportedOut,
    StateOut,
    StretchesOut,
    StretchOut,
)
from collectors.out.states import Stretch, newest_first, stretches
from collectors.registry import gateways, maintenance, sites
from collectors.registry.maintenance_times import Window, under_maintenance
from collectors.registry.schema import Device, Gateway, Placement
from collectors.store import Point
from makiba.quantities import catalogue
from makiba.reading import Series

router = APIRouter(tags=["devices"])

DeviceName = Annotated[str, Path(max_length=64)]
GatewayId = Annotated[str, Path(max_length=64)]

STATE: Final = "state"
DAY_MS: Final = 86_400_000
SINCE_MS: Final = DAY_MS
"""How far the list looks back for when a state began."""
LONGEST_MS: Final = 92 * DAY_MS
REFUSED_MS: Final = 30 * DAY_MS
NEVER_MS: Final = 60_000

WHAT: Final[Mapping[str, Names]] = {
    "/sites/{site}/devices": Names(ja="機器の 状態を 見ました", en="looked at the devices"),
    "/sites/{site}/devices/{device}": Names(ja="機器の 状態を 見ました", en="looked at a device"),
    "/sites/{site}/devices/{device}/states": Names(
        ja="機器の 状態の 移り変わりを 見ました", en="looked at a device's states"
    ),
    "/sites/{site}/gateways": Names(ja="ゲートウェイの 状態を 見ました", en="looked at the gateways"),
    "/sites/{site}/gateways/{gateway_id}": Names(ja="ゲートウェイの 状態を 見ました", en="looked at a gateway"),
    "/sites/{site}/gateways/{gateway_id}/states": Names(
        ja="ゲートウェイの つながりを 見ました", en="looked at a gateway's link"
    ),
}

FromMs = Annotated[Millis | None, Query(description="Default: 7 days before `to_ms`")]
ToMs = Annotated[Millis | None, Query(description="Default: now")]


# ------------------------------------------------------------------------------------------------------- devices


@router.get("/sites/{site}/devices")
def list_of(
    site: str, viewer: SignedIn, centre: CentreNow, account: Accounting, page: Paging, tags: Tagging
) -> DevicesOut:
    """Every device with its state now, since when (up to a day back), and when it last measured something."""
    require_technical(viewer, site)
    with centre.registry.read() as session:
        existing(sites.get_site(session, viewer, site, "technical"))
        rows = [d for d in sites.list_devices(session, viewer, site) if page.after is None or d.name > page.after[0]]
        desk = _Desk(centre, session, site, rows)
    shown, following = page.cut(rows[: page.ask], lambda row: (row.name,))
    told = DevicesOut(rows=[desk.device(row) for row in shown], next=following)
    account.note(site, ["technical"])
    return tags.content(told, but=("next",))


@router.get("/sites/{site}/devices/{device}")
def one(
    site: str, device: DeviceName, viewer: SignedIn, centre: CentreNow, account: Accounting, tags: Tagging
) -> DeviceOut:
    """One device, with its state now."""
    require_technical(viewer, site)
    with centre.registry.read() as session:
        row = _device(sites.list_devices(session, viewer, site), device)
        desk = _Desk(centre, session, site, [row])
    told = desk.device(row)
    account.note(site, ["technical"])
    return tags.content(told)


@router.get("/sites/{site}/devices/{device}/states")
def device_states(
    site: str, device: DeviceName, viewer: SignedIn, centre: CentreNow, account: Accounting, page: Paging,
    from_ms: FromMs = None, to_ms: ToMs = None,
) -> StretchesOut:  # fmt: skip
    """What states the device and its subjects were in, as stretches, the one that began last first."""
    require_technical(viewer, site)
    start, end = _range(centre, from_ms, to_ms)
    with centre.registry.read() as session:
        row = _device(sites.list_devices(session, viewer, site), device)
    told = _told(centre, site, [row.name, *map(str, row.subjects)], start, end, page)
    account.note(site, ["technical"], (start, end))
    return told


def _device(rows: Iterable[Device], name: str) -> Device:
    row = next((d for d in rows if d.name == name), None)
    if row is None:
        raise not_found()
    return row


# ------------------------------------------------------------------------------------------------------ gateways


@router.get("/sites/{site}/gateways")
def list_gateways(
    site: str, viewer: SignedIn, centre: CentreNow, account: Accounting, page: Paging, tags: Tagging
) -> GatewaysOut:
    """Every gateway: whether it speaks, since when, its software, its backlog, and what of it was refused."""
    require_technical(viewer, site)
    with centre.registry.read() as session:
        existing(sites.get_site(session, viewer, site, "technical"))
        every = sites.list_gateways(session, viewer, site)
        rows = [g for g in every if page.after is None or g.id > page.after[0]]
        devices = sites.list_devices(session, viewer, site)
        refused = gateways.refused_since(session, viewer, site, centre.clock() - REFUSED_MS)
    shown, following = page.cut(rows[: page.ask], lambda row: (row.id,))
    latest = centre.store.latest(site, [row.id for row in shown])
    told = GatewaysOut(rows=[_gateway(row, devices, refused, latest, site) for row in shown], next=following)
    account.note(site, ["technical"])
    return tags.content(told, but=("next",))


@router.get("/sites/{site}/gateways/{gateway_id}")
def one_gateway(
    site: str, gateway_id: GatewayId, viewer: SignedIn, centre: CentreNow, account: Accounting, tags: Tagging
) -> GatewayRowOut:
    """One gateway."""
    require_technical(viewer, site)
    with centre.registry.read() as session:
        row = _own_gateway(sites.list_gateways(session, viewer, site), gateway_id)
        devices = sites.list_devices(session, viewer, site)
        refused = gateways.refused_since(session, viewer, site, centre.clock() - REFUSED_MS)
    told = _gateway(row, devices, refused, centre.store.latest(site, [row.id]), site)
    account.note(site, ["technical"])
    return tags.content(told)


@router.get("/sites/{site}/gateways/{gateway_id}/states")
def gateway_states(
    site: str, gateway_id: GatewayId, viewer: SignedIn, centre: CentreNow, account: Accounting, page: Paging,
    from_ms: FromMs = None, to_ms: ToMs = None,
) -> StretchesOut:  # fmt: skip
    """Its link over time: online, offline (it broke), stopped (it said so), the newest first."""
    require_technical(viewer, site)
    start, end = _range(centre, from_ms, to_ms)
    with centre.registry.read() as session:
        row = _own_gateway(sites.list_gateways(session, viewer, site), gateway_id)
    told = _told(centre, site, [row.id], start, end, page)
    account.note(site, ["technical"], (start, end))
    return told


def _own_gateway(rows: Iterable[Gateway], gateway: str) -> Gateway:
    row = next((g for g in rows if g.id == gateway), None)
    if row is None:
        raise not_found()
    return row


def _gateway(
    row: Gateway,
    devices: Sequence[Device],
    refused: Mapping[str, gateways.Refused],
    latest: Mapping[Series, Point],
    site: str,
) -> GatewayRowOut:
    def said(quantity: str) -> ReportedOut | None:
        point = latest.get(Series(site, row.id, quantity))
        return (
            ReportedOut(value=point.value, time_ms=point.time_ms)
            if point and not isinstance(point.value, str)
            else None
        )

    of_it = refused.get(row.id)
    return GatewayRowOut(
        id=row.id, status=row.status, status_ms=row.status_ms, software=row.software, revoked_ms=row.revoked_ms,
        devices=sum(d.gateway_id == row.id for d in devices), backlog=said("spool_backlog"),
        dropped=said("spool_dropped"), disk_free=said("disk_free"), clock_offset=said("clock_offset"),
        refused=RefusedOut(letters=of_it.letters, left_out=of_it.left_out, last_ms=of_it.last_ms) if of_it else None,
    )  # fmt: skip


# -------------------------------------------------------------------------------------------------------- states


def _range(centre: Centre, from_ms: int | None, to_ms: int | None) -> tuple[int, int]:
    end = centre.clock() + 1 if to_ms is None else to_ms
    start = end - 7 * DAY_MS if from_ms is None else from_ms
    if not start < end <= start + LONGEST_MS:
        raise invalid("query.to_ms", "after from_ms, and at most 92 days later")
    return start, end


def _stretches(centre: Centre, site: str, subject: str, start: int, end: int) -> list[Stretch]:
    points = centre.store.range(Series(site, subject, STATE), start, end)
    return stretches(subject, ((p.time_ms, str(p.value)) for p in points))


def _told(centre: Centre, site: str, subjects: Iterable[str], start: int, end: int, page: Page) -> StretchesOut:
    found = newest_first(_stretches(centre, site, subject, start, end) for subject in dict.fromkeys(subjects))
    if page.after is not None:
        found = [s for s in found if (s.from_ms, s.subject) < tuple(page.after)]
    shown, following = page.cut(found[: page.ask], lambda s: (s.from_ms, s.subject))
    return StretchesOut(
        rows=[
            StretchOut(subject=s.subject, state=s.state, from_ms=s.from_ms, heard_ms=s.heard_ms, to_ms=s.to_ms)
            for s in shown
        ],
        next=following,
    )


class _Desk:
    """What is asked once for many devices."""

    def __init__(self, centre: Centre, session: Session, site: str, rows: Sequence[Device]) -> None:
        self._centre, self._site, self._now_ms = centre, site, centre.clock()
        subjects = {s for row in rows for s in (row.name, *map(str, row.subjects))}
        self._latest = centre.store.latest(site, sorted(subjects))
        self._placed: dict[str, Placement] = {}
        self._load(session)
        self._measured: dict[str, int] = {}
        for series, point in self._latest.items():
            word = catalogue().get(series.quantity)
            if word is not None and word.group != STATE:
                self._measured[series.subject] = max(self._measured.get(series.subject, 0), point.time_ms)

    def _load(self, session: Session) -> None:
        self._placed = {p.subject: p for p in sites.list_placements(session, SERVICE, self._site)}
        self._farm = maintenance.farm_of(session, SERVICE, self._site)
        self._windows = maintenance.windows_of(session, SERVICE, self._site, self._now_ms, self._now_ms + NEVER_MS)

    def device(self, row: Device) -> DeviceOut:
        subjects = [str(s) for s in row.subjects]
        times = [self._measured[s] for s in {row.name, *subjects} if s in self._measured]
        working = {w.id for s in (row.name, *subjects) for w in self._working_on(s)}
        return DeviceOut(
            name=row.name, gateway=row.gateway_id, bus=row.bus, profile=row.profile, every_s=row.every_s,
            state=self._state(row.name), last_reading_ms=max(times, default=None), maintenance=sorted(working),
            subjects=[self._subject(s) for s in subjects],
        )  # fmt: skip

    def _working_on(self, subject: str) -> Iterable[Window]:
        return under_maintenance(self._windows, self._farm, subject, self._now_ms)

    def _subject(self, subject: str) -> DeviceSubjectOut:
        placed = self._placed.get(subject)
        return DeviceSubjectOut(
            subject=subject, name=subject_name(subject, placed), place=placed.place_id if placed else None,
            role=placed.role if placed else "", state=self._state(subject),
            last_reading_ms=self._measured.get(subject),
        )  # fmt: skip

    def _state(self, subject: str) -> StateOut | None:
        point = self._latest.get(Series(self._site, subject, STATE))
        if point is None:
            return None
        start = point.time_ms - SINCE_MS
        found = _stretches(self._centre, self._site, subject, start, point.time_ms + 1)
        if not found:
            return None  # forgotten in this moment
        last = found[-1]
        return StateOut(state=last.state, since_ms=last.from_ms, since_is_exact=len(found) > 1, said_ms=last.heard_ms)
