"""`makiba source …`: whoever sends for a farm without being a gateway."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from collectors.console import CONSOLE, explained, fail, new_app, own_registry
from collectors.registry import sources
from collectors.ways.port import now_ms

source = new_app("Systems that send for a farm over HTTP, and their tokens.")


@source.command("add")
def source_add(
    source: Annotated[str, typer.Argument(help="Its id, src-…")],
    site: Annotated[str, typer.Option("--site", help="The farm it may send for, and no other")],
    name: Annotated[str, typer.Option("--name", help="What people call it")] = "",
) -> None:
    """Make a source and show its token, this once."""
    with explained(), own_registry() as registry:
        try:
            with registry.write() as session:
                token = sources.add_http(session, CONSOLE, source, site, name, now_ms())
        except LookupError as error:
            fail(f"{error.args[0]}; `makiba site list` shows them")
        except ValueError as error:
            fail(str(error))
    typer.echo("Its token, shown this once; send it as `Authorization: Bearer …`:", err=True)
    typer.echo(token)


@source.command("list")
def source_list(site: Annotated[str | None, typer.Argument(help="Of this farm only")] = None) -> None:
    """The sources: id, kind, farm, when last used."""
    with explained(), own_registry() as registry, registry.read() as session:
        for row in sources.list_sources(session, CONSOLE, site):
            used = f"used {_moment(row.used_ms)}" if row.used_ms else "never used"
            revoked = f"  revoked {_moment(row.revoked_ms)}" if row.revoked_ms is not None else ""
            typer.echo(f"{row.id}  {row.kind}  {row.site_id}  {used}{revoked}  {row.name}".rstrip())


@source.command("revoke")
def source_revoke(source: str) -> None:
    """Shut a source out. Its packs are refused from at most five seconds later on."""
    with explained(), own_registry() as registry, registry.write() as session:
        known = sources.revoke(session, CONSOLE, source, now_ms())
    if not known:
        fail(f"no source {source}; `makiba source list` shows them")
    typer.echo(f"{source}: revoked")


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
