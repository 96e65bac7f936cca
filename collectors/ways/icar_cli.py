"""`makiba import icar FILE…`: documents of ICAR's Animal Data Exchange into the store and the registry.

Exit codes as `makiba import readings` has them: 0 everything was taken, 3 something was refused, 2 a person has to
change something, 1 store or registry stayed away, 130 interrupted.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, cast, get_args
from zoneinfo import ZoneInfo

import typer

from collectors.console import CONSOLE, explained, fail, open_own_registry, open_own_store
from collectors.ingest import Ingest
from collectors.registry import sites, sources
from collectors.registry.animals import KeyName
from collectors.ways.csv_import import Interrupted, SourceRefused
from collectors.ways.icar import KINDS, How, NotIcar, Refusal, Type, locations_in, resources_in
from collectors.ways.icar_import import MAX_BYTES, IcarImport, parse
from collectors.ways.import_cli import REFUSED_EXIT, SHOWN_REFUSALS, stop_on_signals
from collectors.ways.port import Door, IngestDoor, now_ms
from makiba.settings import load_settings

KEYS: Final[tuple[KeyName, ...]] = get_args(KeyName)


def run_icar(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE…", help="JSON documents", exists=True, dir_okay=False, readable=True)
    ],
    site: Annotated[str, typer.Option("--site", help="The farm")],
    scheme: Annotated[
        list[str] | None,
        typer.Option(metavar="SCHEME=KEY", help=f"What a scheme of identifiers is here: {', '.join(KEYS)}"),
    ] = None,
    type_: Annotated[str, typer.Option("--type", help=f"What resources without a type are: {', '.join(KINDS)}")] = "",
    location: Annotated[str, typer.Option(help="Take this location's resources only")] = "",
    create: Annotated[bool, typer.Option("--create", help="Add animals that the farm does not know")] = False,
    preview: Annotated[bool, typer.Option("--preview", help="Read and check everything, store nothing")] = False,
) -> None:
    """ICAR ADE documents: milkings, weights, inseminations, calvings. Doing it again changes nothing."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    schemes = dict(_scheme(text) for text in scheme or ())
    if type_ and type_ not in KINDS:
        fail(f"--type {type_!r}: one of {', '.join(KINDS)}")
    stop = stop_on_signals()
    refused = 0
    settings = load_settings()
    with explained(), contextlib.ExitStack() as stack:
        registry = open_own_registry(settings, migrate=True)
        stack.callback(registry.close)
        with registry.write() as session:
            farm = sites.get_site(session, CONSOLE, site)
            if farm is None:
                fail(f"no site {site}; `makiba site list` shows them")
            if not preview:
                sources.ensure_own(session, CONSOLE, "import", site, now_ms())
        source = sources.own_id("import", site)
        door: Door | None = None
        if not preview:
            store = open_own_store(settings, registry)
            stack.callback(store.close)
            door = IngestDoor(Ingest(registry, store))
        how = How(ZoneInfo(farm.timezone), schemes, cast("Type", type_) if type_ else None, location or None)
        for file in files:
            tell, shown = _teller(str(file))
            work = IcarImport(_read(file, location), how, site, source, registry, door, tell, CONSOLE, create)
            try:
                work.run(stop)
            except Interrupted:
                typer.echo(f"{file}: interrupted; run it again to go on", err=True)
                raise typer.Exit(130) from None
            except SourceRefused as error:
                fail(f"{source}: {error}")
            _summary(file, work, shown[0], preview=preview)
            refused += work.tally.refused
    if refused:
        raise typer.Exit(REFUSED_EXIT)


def _scheme(text: str) -> tuple[str, KeyName]:
    name, equals, key = text.rpartition("=")
    if not equals or key not in KEYS:
        fail(f"--scheme {text!r}: expected SCHEME=KEY with one of {', '.join(KEYS)}")
    return name, key


def _read(file: Path, location: str) -> bytes:
    if file.stat().st_size > MAX_BYTES:
        fail(f"{file}: more than {MAX_BYTES} bytes; ask its sender for pages")
    payload = file.read_bytes()
    try:
        named = locations_in(resources_in(parse(payload)))
    except NotIcar as error:
        fail(f"{file}: {error}")
    if len(named) > 1 and not location:
        fail(f"{file}: is about {len(named)} locations ({', '.join(sorted(named)[:5])}); say with --location which")
    return payload


def _teller(file: str) -> tuple[Callable[[Refusal], None], list[int]]:
    shown = [0]

    def tell(refusal: Refusal) -> None:
        if shown[0] < SHOWN_REFUSALS:
            shown[0] += 1
            typer.echo(f"{file}: resource {refusal.index + 1}: {refusal.reason}", err=True)

    return tell, shown


def _summary(file: Path, work: IcarImport, shown: int, *, preview: bool) -> None:
    tally = work.tally
    if tally.refused > shown:
        typer.echo(f"{file}: and {tally.refused - shown} more; the dead letters have them", err=True)
    would = "would be " if preview else ""
    parts = [f"{tally.readings} readings {would}stored", f"{tally.entered} events {would}entered"]
    for count, what in (
        (tally.corrected, "corrected"), (tally.deleted, "deleted"), (tally.unchanged, "there already"),
        (len(tally.created), "animals added"), (len(tally.unknown), "animals unknown (--create adds them)"),
        (tally.refused, "refused"),
    ):  # fmt: skip
        if count:
            parts.append(f"{count} {what}")
    typer.echo(f"{file}: {tally.resources} resources, {', '.join(parts)}")
