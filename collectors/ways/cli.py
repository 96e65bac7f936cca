"""`makiba source …` and `makiba lorawan …`: whoever sends for a farm without being a gateway."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from collectors.console import CONSOLE, explained, fail, new_app, own_registry
from collectors.registry import lora, sources
from collectors.ways.port import now_ms
from makiba.located_yaml import ConfigErrors, Problem
from makiba.settings import load_settings

source = new_app("Systems that send for a farm over HTTP, and their tokens.")
lorawan = new_app("LoRaWAN devices behind ChirpStack.")


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


# ------------------------------------------------------------------------------------------------------- lorawan


@lorawan.command("devices")
def lorawan_devices(site: Annotated[str | None, typer.Argument(help="Of this farm only")] = None) -> None:
    """The devices that farms name: when heard, and how many frames came, were missing or came again."""
    with explained(), own_registry() as registry, registry.read() as session:
        for row in lora.list_devices(session, CONSOLE, site):
            heard = f"heard {_moment(row.seen_ms)}" if row.seen_ms else "never heard"
            counts = f"{row.frames} frames, {row.missing} missing, {row.repeated} repeated"
            typer.echo(
                f"{row.dev_eui}  {row.site_id}/{row.subject}  {row.profile}  {heard}  {counts}  {row.note}".rstrip()
            )


@lorawan.command("unknown")
def lorawan_unknown() -> None:
    """Devices that spoke and that no farm names; what they said is lost until one does."""
    with explained(), own_registry() as registry, registry.read() as session:
        for row in lora.list_unknown(session, CONSOLE):
            typer.echo(
                f"{row.dev_eui}  {row.frames} events, the last {_moment(row.seen_ms)}  {row.application}  {row.name}"
                f"  {row.profile_name}".rstrip()
            )


@lorawan.command("check")
def lorawan_check(
    files: Annotated[list[Path] | None, typer.Argument(metavar="PROFILE.yaml…", help="Default: all")] = None,
) -> None:
    """Check profiles; every error with its place."""
    from collectors.ways.lorawan_profile import load_profile, load_profiles

    if not files:
        folder = load_settings().lorawan_profiles_dir
        typer.echo(f"{folder}: {len(load_profiles(folder))} profiles")
        return
    problems: list[Problem] = []
    for file in files:
        try:
            typer.echo(f"{file}: {len(load_profile(file).fields)} fields")
        except ConfigErrors as errors:
            problems += errors.problems
    if problems:
        raise ConfigErrors(problems)


@lorawan.command("schema")
def lorawan_schema() -> None:
    """The JSON Schema of a profile, for an editor."""
    from collectors.ways.lorawan_profile import profile_schema

    typer.echo(json.dumps(profile_schema(), ensure_ascii=False, indent=2))


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
