"""`makiba store servers …` and `makiba store assign`: which servers there are, and which farm is on which.

Moving a farm is `makiba store copy FROM TO --site SITE`, `makiba store assign SITE SERVER`, and the copy once more
for what came in between; `assign` refuses while the new place lacks what the old one has.
"""

from __future__ import annotations

import time
from contextlib import closing
from typing import Annotated

import typer

from collectors.console import CONSOLE, explained, fail, new_app, own_registry
from collectors.registry import store_servers
from collectors.store.assigned import directory_of, open_server, open_settings_store
from collectors.store.protocol import Store, StoreError
from collectors.store.routed import ASSIGNED_S, OWN, Directory, Server
from makiba.settings import Settings, load_settings

servers = new_app("Servers that readings are kept on, besides the store of the settings.")

_Name = Annotated[str, typer.Argument(metavar="NAME", help="Small letters, digits and '-'")]


@servers.command("list")
def list_() -> None:
    """The servers, how many farms are on each, and whether it answers from here."""
    settings = load_settings()
    with explained(), own_registry() as registry:
        directory = directory_of(registry)
    farms = list(directory.server_of.values())
    _show(OWN, settings.store_url, "every other farm", settings, directory)
    for name, server in directory.servers.items():
        _show(name, server.url, f"{farms.count(name)} farms", settings, directory)


def _show(name: str, url: str, farms: str, settings: Settings, directory: Directory) -> None:
    try:
        with closing(_opened(settings, name, directory)) as store:
            store.check()
        answer = "answers"
    except StoreError as error:
        answer = str(error)
    typer.echo(f"{name}  {url}  {farms}  {answer}")


@servers.command("add")
def add(
    name: _Name,
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="As MAKIBA_STORE; holds no password")],
    user: Annotated[str, typer.Option(help="InfluxDB 1.x user")] = "",
) -> None:
    """Add a server, or change its address. Its password or token goes into a file NAME of MAKIBA_STORE_SECRETS."""
    settings = load_settings()
    with explained(), own_registry() as registry:
        try:
            # The address is looked at; the server need not answer from here.
            open_server(settings, name, Server(address, user)).close()
            with registry.write() as session:
                store_servers.put_server(session, CONSOLE, name, address, user, _now_ms())
        except ValueError as error:
            fail(str(error))
    typer.echo(f"{name}: {address}")


@servers.command("remove")
def remove(name: _Name) -> None:
    """Remove a server that no farm is on. What is stored there stays."""
    with explained(), own_registry() as registry:
        try:
            with registry.write() as session:
                there = store_servers.remove_server(session, CONSOLE, name)
        except store_servers.ServerInUse as error:
            fail(str(error))
    if not there:
        fail(f"no store server {name}; `makiba store servers list` shows them")
    typer.echo(f"{name}: removed")


def assign(
    site: Annotated[str, typer.Argument(metavar="SITE")],
    server: Annotated[str, typer.Argument(metavar="SERVER", help=f"A server's name, or {OWN}: MAKIBA_STORE")],
    anyway: Annotated[bool, typer.Option("--anyway", help="Although series of SITE are missing there")] = False,
) -> None:
    """Keep the readings of SITE on SERVER from now on. Copy what is there already first: `makiba store copy`."""
    settings = load_settings()
    with explained(), own_registry() as registry:
        directory = directory_of(registry)
        if server != OWN and server not in directory.servers:
            fail(f"no store server {server}; `makiba store servers list` shows them")
        before = directory.server_of.get(site, OWN)
        if before == server:
            typer.echo(f"{site}: is on {server} already")
            return
        missing = [] if anyway else _missing(settings, directory, site, before, server)
        if missing:
            fail(
                f"{site}: {len(missing)} series are on {before} and not on {server}, {missing[0]} first; "
                f"`makiba store copy` them before, or give --anyway"
            )
        with registry.write() as session:
            store_servers.assign(session, CONSOLE, site, server, _now_ms())
    typer.echo(
        f"{site}: on {server}, everywhere within {ASSIGNED_S:g} s. Copy once more after that, for what came meanwhile"
    )


def _missing(settings: Settings, directory: Directory, site: str, before: str, after: str) -> list[str]:
    """Series of `site` that are only where it was."""
    with (
        closing(_opened(settings, before, directory)) as old,
        closing(_opened(settings, after, directory)) as new,
    ):
        there = set(new.series(site))
        return [str(series) for series in old.series(site) if series not in there]


def _opened(settings: Settings, name: str, directory: Directory) -> Store:
    if name == OWN:
        return open_settings_store(settings)
    return open_server(settings, name, directory.servers[name])


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
