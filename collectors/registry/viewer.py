"""Who is looking. Every query of the registry takes a viewer, so that one without rights cannot be written.

A `Service` is a named part of Makiba and sees every farm; a `Person` sees the farms on which they have a role.
Rows that a viewer may not see do not exist for them: a query answers as if there were none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

ServiceName = Literal["collector", "analytics", "api", "console"]
Role = Literal["owner", "family", "worker", "vet", "coop", "town", "technician"]


@dataclass(frozen=True, slots=True)
class Service:
    """A part of Makiba acting by itself; `console` is a person at the machine's own command line."""

    name: ServiceName


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who signed in: `roles` maps each farm they may see to what they are there."""

    id: int
    name: str
    roles: Mapping[str, Role] = field(hash=False)
    is_admin: bool = False


Viewer = Service | Person


def visible_sites(viewer: Viewer) -> frozenset[str] | None:
    """The farms that `viewer` may see; None means all."""
    if isinstance(viewer, Service) or viewer.is_admin:
        return None
    return frozenset(viewer.roles)


def may_see(viewer: Viewer, site: str) -> bool:
    """Whether `site` exists for `viewer`."""
    sites = visible_sites(viewer)
    return sites is None or site in sites


class NotAllowed(PermissionError):
    """A person asked for what only a part of Makiba, or its administrator, may do."""


def require_service(viewer: Viewer) -> None:
    """Raises `NotAllowed` unless `viewer` is a part of Makiba or its administrator."""
    if not (isinstance(viewer, Service) or viewer.is_admin):
        raise NotAllowed(f"{spell(viewer)} may not do this")


def spell(viewer: Viewer) -> str:
    """The viewer's name in the alert book and logs: `person:3`, `service:analytics`; never a person's name."""
    return f"person:{viewer.id}" if isinstance(viewer, Person) else f"service:{viewer.name}"
