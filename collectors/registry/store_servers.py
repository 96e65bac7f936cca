"""Store servers and which farm is on which. A row holds no secret: passwords and tokens are files of each machine."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from collectors.registry.schema import SiteStore, StoreServer
from collectors.registry.viewer import Service, Viewer, require_service, visible_sites

NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
RESERVED: Final = "own"
"""The store of the settings; it is never a row."""


class ServerInUse(ValueError):
    """Farms are on this server."""


def list_servers(session: Session, viewer: Service) -> Sequence[StoreServer]:
    require_service(viewer)
    return session.scalars(select(StoreServer).order_by(StoreServer.name)).all()


def put_server(session: Session, viewer: Service, name: str, url: str, user: str, now_ms: int) -> None:
    """Adds a server, or changes its address; `ValueError` when the name is none."""
    require_service(viewer)
    if not NAME.fullmatch(name) or name == RESERVED:
        raise ValueError(
            f"{name[:80]!r} is no name for a server: small letters, digits and '-', and not {RESERVED!r}"
        )
    row = session.get(StoreServer, name)
    if row is None:
        session.add(StoreServer(name=name, url=url, user_name=user, created_ms=now_ms))
    else:
        row.url, row.user_name = url, user
    session.flush()


def remove_server(session: Session, viewer: Service, name: str) -> bool:
    """Whether there was one; `ServerInUse` while farms are on it."""
    require_service(viewer)
    sites = session.scalars(select(SiteStore.site_id).where(SiteStore.server == name)).all()
    if sites:
        raise ServerInUse(f"{len(sites)} farms are on {name}, {sorted(sites)[0]} first; move them away before")
    return bool(session.execute(delete(StoreServer).where(StoreServer.name == name)).rowcount)  # type: ignore[attr-defined]


def assignments(session: Session, viewer: Viewer) -> Mapping[str, str]:
    """The server of each farm that is not on the store of the settings."""
    rows = session.execute(select(SiteStore.site_id, SiteStore.server))
    sites = visible_sites(viewer, "technical")
    return {site: server for site, server in rows if sites is None or site in sites}


def assign(session: Session, viewer: Service, site: str, server: str, now_ms: int) -> None:
    """Puts a farm on `server`, or back on the store of the settings (`own`); `ValueError` when there is none."""
    require_service(viewer)
    session.execute(delete(SiteStore).where(SiteStore.site_id == site))
    if server == RESERVED:
        return
    if session.get(StoreServer, server) is None:
        raise ValueError(f"no store server {server}; `makiba store servers` shows them")
    session.add(SiteStore(site_id=site, server=server, assigned_ms=now_ms))
    session.flush()
