"""The store of the settings, together with the servers that the registry names: what every service opens.

Passwords and tokens of servers are files on each machine that needs them, one for a server and named like it, in the
folder `MAKIBA_STORE_SECRETS`; they must belong to the reader alone.
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

from collectors.registry import Registry
from collectors.registry.store_servers import assignments, list_servers
from collectors.registry.viewer import Service
from collectors.store import Store, open_store
from collectors.store.protocol import StoreMisconfigured
from collectors.store.routed import Directory, RoutedStore, Server
from makiba.settings import Settings

_CONSOLE = Service("console")


def open_settings_store(settings: Settings) -> Store:
    """The store of the settings alone."""
    password, token = settings.store_password, settings.store_token
    return open_store(
        settings.store_url,
        user=settings.store_user,
        password=password.get_secret_value() if password else None,
        token=token.get_secret_value() if token else None,
    )


def open_assigned_store(
    settings: Settings, registry: Registry, *, on_close: Callable[[], None] | None = None
) -> RoutedStore:
    """The store of the settings and the servers of `registry` as one. The registry must stay open as long."""
    return RoutedStore(
        open_settings_store(settings),
        lambda: directory_of(registry),
        lambda name, server: open_server(settings, name, server),
        on_close=on_close,
    )


def directory_of(registry: Registry) -> Directory:
    """What the registry says now."""
    with registry.read() as session:
        servers = {row.name: Server(row.url, row.user_name) for row in list_servers(session, _CONSOLE)}
        return Directory(servers, assignments(session, _CONSOLE))


def open_server(settings: Settings, name: str, server: Server) -> Store:
    """The store on a server; `StoreMisconfigured` when its address is none or its secret cannot be read."""
    secret = _secret_of(settings.store_secrets, name)
    return open_store(server.url, user=server.user, password=secret, token=secret)


def _secret_of(folder: Path | None, name: str) -> str | None:
    """The password or token of a server; None when this machine has none."""
    if folder is None:
        return None
    file = folder / name
    try:
        mode = file.stat().st_mode
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise StoreMisconfigured(f"{file}: others may read it; `chmod 600` it")
        return file.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreMisconfigured(f"{file}: {error.strerror}") from None
