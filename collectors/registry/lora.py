"""LoRaWAN devices: which farm and subject each belongs to, what its frame counter said, and who speaks unknown.

The site file says which devices there are (`apply_devices`); what they do is noted by the way in (`note_heard`,
`note_unknown`). A device that its file no longer names is forgotten; its readings stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from sqlalchemy import delete, select, true
from sqlalchemy.orm import Session

from collectors.registry.schema import Device, LoraDevice, LoraUnknown
from collectors.registry.viewer import Service, Viewer, require_service, visible_sites

MAX_UNKNOWN: Final = 1000
"""Unknown devices that are remembered; on the air anybody may speak."""
NETWORK: Final = "src-lorawan"
"""What stands for a gateway above the LoRaWAN devices of a farm: all of the way from the air to the collector."""
EVERY_S: Final = 3600.0
"""How often a device is taken to speak whose farm does not say it. Those we have profiles of come with less."""


@dataclass(frozen=True, slots=True)
class LoraSpec:
    """A LoRaWAN device as a site file says it. It speaks each `every_s`; None: the farm does not say."""

    dev_eui: str
    subject: str
    profile: str
    every_s: float | None = None


class Frame(Protocol):
    """A device's newest frame, and bits for those before it that were heard."""

    @property
    def dev_addr(self) -> str: ...
    @property
    def number(self) -> int: ...
    @property
    def frame_id(self) -> str: ...
    @property
    def seen(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Heard:
    """What to note about a device: its newest frame, and by how much the counters change."""

    dev_eui: str
    at_ms: int
    frame: Frame | None = None
    frames: int = 0
    missing: int = 0
    repeated: int = 0
    note: str | None = None


class DeviceTaken(ValueError):
    """A device that a site file names belongs to another farm already."""

    def __init__(self, dev_eui: str, site: str) -> None:
        super().__init__(f"LoRaWAN device {dev_eui} belongs to site {site}")
        self.dev_eui, self.site = dev_eui, site


def apply_devices(session: Session, viewer: Service, site: str, specs: Sequence[LoraSpec]) -> None:
    """Makes the devices of `site` be `specs`. `DeviceTaken` when one is another farm's."""
    require_service(viewer)
    for spec in specs:
        row = session.get(LoraDevice, spec.dev_eui)
        if row is None:
            row = LoraDevice(dev_eui=spec.dev_eui, site_id=site, dev_addr="", frame=None, frame_id="")
            row.seen_ms = row.frames_seen = row.frames = row.missing = row.repeated = 0
            row.note = ""
            session.add(row)
        elif row.site_id != site:
            raise DeviceTaken(spec.dev_eui, row.site_id)
        row.subject, row.profile, row.every_s = spec.subject, spec.profile, spec.every_s
    named = [spec.dev_eui for spec in specs]
    session.flush()
    session.execute(delete(LoraDevice).where(LoraDevice.site_id == site, LoraDevice.dev_eui.not_in(named)))
    session.execute(delete(LoraUnknown).where(LoraUnknown.dev_eui.in_(named)))


def list_devices(session: Session, viewer: Viewer, site: str | None = None) -> Sequence[LoraDevice]:
    """The devices of `site`, or of every farm that `viewer` may see."""
    sites = visible_sites(viewer, "technical")
    seen: Any = true() if sites is None else LoraDevice.site_id.in_(sorted(sites))
    query = select(LoraDevice).where(seen)
    if site is not None:
        query = query.where(LoraDevice.site_id == site)
    return session.scalars(query.order_by(LoraDevice.site_id, LoraDevice.subject)).all()


def as_devices(session: Session, viewer: Viewer, site: str) -> list[Device]:
    """The devices of `site` in the form of those on a gateway's bus. They are no rows of that table."""
    return [
        Device(
            site_id=site, name=row.subject, gateway_id=NETWORK, bus="air", profile=row.profile,
            every_s=EVERY_S if row.every_s is None else row.every_s, subjects=[row.subject],
        )
        for row in list_devices(session, viewer, site)
    ]  # fmt: skip


def devices_by_eui(session: Session, viewer: Service, euis: Sequence[str]) -> dict[str, LoraDevice]:
    """The devices among `euis` that a farm names."""
    require_service(viewer)
    rows = session.scalars(select(LoraDevice).where(LoraDevice.dev_eui.in_(sorted(set(euis))))).all()
    return {row.dev_eui: row for row in rows}


def note_heard(session: Session, viewer: Service, heard: Sequence[Heard]) -> None:
    """Notes what devices did, in this order. Once for each: the caller knows what it told before (`frame_id`)."""
    require_service(viewer)
    for one in heard:
        row = session.get(LoraDevice, one.dev_eui, with_for_update=True)
        if row is None:
            continue  # its farm took it out just now
        row.frames += one.frames
        row.missing = max(0, row.missing + one.missing)
        row.repeated += one.repeated
        if one.frame is not None:
            row.frame, row.frames_seen = one.frame.number, one.frame.seen
            row.frame_id, row.dev_addr = one.frame.frame_id, one.frame.dev_addr
        row.seen_ms = max(row.seen_ms, one.at_ms)
        if one.note is not None:
            row.note = one.note[:200]


def note_unknown(
    session: Session, viewer: Service, dev_eui: str, at_ms: int, *, name: str, application: str, profile_name: str
) -> None:
    """Counts a frame of a device that no farm names."""
    require_service(viewer)
    row = session.get(LoraUnknown, dev_eui, with_for_update=True)
    if row is None:
        if len(session.scalars(select(LoraUnknown.dev_eui).limit(MAX_UNKNOWN)).all()) >= MAX_UNKNOWN:
            return
        row = LoraUnknown(dev_eui=dev_eui, first_ms=at_ms, frames=0)
        session.add(row)
    row.name, row.application, row.profile_name = name[:200], application[:200], profile_name[:200]
    row.seen_ms, row.frames = at_ms, row.frames + 1
    session.flush()


def list_unknown(session: Session, viewer: Service) -> Sequence[LoraUnknown]:
    """Devices that spoke and that no farm names, those heard last first. Nobody's farm: for parts of Makiba only."""
    require_service(viewer)
    return session.scalars(select(LoraUnknown).order_by(LoraUnknown.seen_ms.desc())).all()
