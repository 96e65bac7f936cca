"""What the registry knows of the farm that is asked for: whose names are right, and what time it is there.

Without a registry (a laptop that only reaches the store or the broker) names are not checked against it, and times
are Japan's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo

from collectors.console import CONSOLE, open_own_registry
from collectors.out.clock import zone_of
from collectors.registry import RegistryError, sites
from makiba.settings import Settings


@dataclass(frozen=True, slots=True)
class Known:
    """All farms; of the one that is asked for its timezone, and what it calls its devices and gateways."""

    sites: frozenset[str] = frozenset()
    timezone: str = "Asia/Tokyo"
    subjects: frozenset[str] = field(default_factory=frozenset)
    has_registry: bool = False

    @property
    def zone(self) -> ZoneInfo:
        return zone_of(self.timezone)


def known_of(settings: Settings, site: str | None) -> Known:
    """What the registry knows of `site`; nothing where there is no registry."""
    try:
        registry = open_own_registry(settings)
    except RegistryError:
        return Known()
    try:
        with registry.read() as session:
            rows = {row.id: row for row in sites.list_sites(session, CONSOLE)}
            if site is None or site not in rows:
                return Known(frozenset(rows), has_registry=True)
            devices = sites.list_devices(session, CONSOLE, site)
            subjects = {subject for device in devices for subject in (device.name, *device.subjects)}
            subjects |= {row.id for row in sites.list_gateways(session, CONSOLE, site)}
            subjects |= {row.subject for row in sites.list_placements(session, CONSOLE, site)}
            return Known(frozenset(rows), rows[site].timezone, frozenset(subjects), has_registry=True)
    except RegistryError:
        return Known()
    finally:
        registry.close()


def missing_file(store_url: str) -> Path | None:
    """The file of a SQLite store that is not there: whoever only reads must not make an empty one."""
    scheme, _, path = store_url.partition(":")
    file = Path(path.removeprefix("//")).expanduser()
    return file if scheme == "sqlite" and path and not file.is_file() else None
