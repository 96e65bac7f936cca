"""A farm as the judge sees it: gateways, their buses and devices, and what stands where, what for.

Everything comes from the registry; nothing here changes. A bus is called as in its state's name: `gw-7f3a.barn`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from collectors.registry import lora, sites, weather
from collectors.registry.viewer import Viewer

UNPOLLED_EVERY_MS = 600_000
"""For a device that speaks only when it has something to say: its state comes at least so often."""

TIMEZONE = "Asia/Tokyo"


@dataclass(frozen=True, slots=True)
class FarmDevice:
    """An instrument: where it hangs, how often it is polled, and what it measures."""

    name: str
    gateway: str
    bus: str
    every_ms: int
    subjects: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a subject stands, what kind of place that is, and its role there ('' for none)."""

    place: str
    kind: str
    role: str = ""


@dataclass(frozen=True, slots=True)
class Farm:
    """What stands on a farm now."""

    site: str
    gateways: frozenset[str] = frozenset()
    devices: Mapping[str, FarmDevice] = field(default_factory=dict, hash=False)
    placed: Mapping[str, Placed] = field(default_factory=dict, hash=False)
    timezone: str = TIMEZONE
    weather: str = ""
    """The subject of the weather service's station; '' where the farm looks at none."""

    @property
    def buses(self) -> frozenset[str]:
        return frozenset(d.bus for d in self.devices.values())

    def device_of(self, subject: str) -> FarmDevice | None:
        """The device that measures `subject`, or that is called so."""
        device = self.devices.get(subject) or self.devices.get(subject.partition(".")[0])
        if device is not None:
            return device
        return next((d for d in self.devices.values() if subject in d.subjects), None)

    def place_of(self, subject: str) -> Placed | None:
        """Where `subject` stands; a device stands where its subjects do, when they stand together."""
        if subject in self.placed:
            return self.placed[subject]
        device = self.devices.get(subject)
        found = {self.placed[s] for s in device.subjects if s in self.placed} if device else set()
        places = {(p.place, p.kind) for p in found}
        return Placed(*places.pop()) if len(places) == 1 else None


def read_farm(session: Session, viewer: Viewer, site: str) -> Farm:
    """The farm `site` as the registry has it now; revoked gateways and their devices are not part of it.

    The LoRaWAN network counts as a gateway where the farm has devices in it.
    """
    reported = sites.list_devices(session, viewer, site)
    gateways = frozenset(g.id for g in sites.list_gateways(session, viewer, site) if g.revoked_ms is None)
    gateways |= {lora.NETWORK for d in reported if d.gateway_id == lora.NETWORK}
    kinds = {p.id: p.kind for p in sites.list_places(session, viewer, site)}
    devices = {
        d.name: FarmDevice(
            d.name,
            d.gateway_id,
            f"{d.gateway_id}.{d.bus}",
            round(d.every_s * 1000) or UNPOLLED_EVERY_MS,
            tuple(str(s) for s in d.subjects),
        )
        for d in reported
        if d.gateway_id in gateways
    }
    placed = {
        p.subject: Placed(p.place_id, kinds.get(p.place_id, ""), p.role)
        for p in sites.list_placements(session, viewer, site)
    }
    row = sites.get_site(session, viewer, site)
    stations = [w.subject for w in weather.list_site_weather(session, viewer, site) if w.amedas]
    timezone = row.timezone if row is not None else TIMEZONE
    return Farm(site, gateways, devices, placed, timezone, stations[0] if stations else "")
