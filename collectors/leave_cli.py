"""`makiba site archive` and `makiba site leave`: a farm takes its data along, and is deleted.

Leaving goes in the order that loses nothing: intake ends, what is on its way settles, the archive is written and
forced to the disk, its owner's word is asked for, and then everything goes. Stopped before the word is given, the
farm is as it was once `--stay` says so; stopped after it, the same command goes on.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from collectors.console import CONSOLE, explained, fail, open_own_registry, open_own_store
from collectors.registry import Registry, leaving
from collectors.store import Store
from makiba.settings import load_settings

Site = Annotated[str, typer.Argument(help="The farm's id, such as shikaoi-012")]


def archive(site: Site, file: Annotated[Path, typer.Argument(help="The ZIP to write")]) -> None:
    """Write all data of a farm into one ZIP.

    Readings as CSV, Parquet and SenML, everything else as JSON. Nothing is changed.
    """
    settings = load_settings()
    with explained():
        registry = open_own_registry(settings)
        store = open_own_store(settings, registry)
        try:
            typer.echo(f"{_write(registry, store, site, file)}  {file}")
        finally:
            store.close()
            registry.close()


def leave(
    site: Site,
    file: Annotated[Path | None, typer.Option("--archive", help="Write all of its data to this ZIP first")] = None,
    without_archive: Annotated[bool, typer.Option("--without-archive", help="Its owner wants none")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask")] = False,
    stay: Annotated[bool, typer.Option("--stay", help="It stays after all: its gateways send again")] = False,
) -> None:
    """Delete a farm everywhere; prints a receipt.

    All of its data is written to a file first, unless its owner wants none.
    The owner's decision: ask for it in writing. Nothing brings the farm back but the file.
    """
    if not stay and (file is None) != without_archive:
        fail("--archive FILE.zip, or --without-archive: one of the two")
    settings = load_settings()
    with explained():
        registry = open_own_registry(settings)
        store = open_own_store(settings, registry)
        try:
            if stay:
                _stay(registry, site)
            else:
                _leave(registry, store, site, file, yes)
        finally:
            store.close()
            registry.close()


def _stay(registry: Registry, site: str) -> None:
    try:
        with registry.write() as session:
            leaving.stay(session, CONSOLE, site, _now_ms())
    except leaving.Deleting as error:
        fail(str(error))
    typer.echo(f"{site} stays")


def _leave(registry: Registry, store: Store, site: str, file: Path | None, yes: bool) -> None:
    from collectors.out.leave import STILL_THERE, delete_farm

    if not yes and not sys.stdin.isatty():
        fail("nobody to ask here: --yes says that the owner decided it")
    try:
        with registry.write() as session:
            begun = leaving.begin(session, CONSOLE, site, _now_ms())
            departure, is_deleting, settles_ms = begun.id, begun.deleting_ms is not None, begun.requested_ms
    except LookupError as error:
        fail(f"{error}; `makiba site list` shows them")
    if not is_deleting:
        _settle(site, settles_ms + leaving.SETTLE_MS)
        digest = _write(registry, store, site, file) if file else None
        if file:
            typer.echo(f"{digest}  {file}")
        if not yes and typer.prompt(f"Delete {site} for good? Type its id") != site:
            _stay(registry, site)
            raise typer.Exit(1)
        with registry.write() as session:
            leaving.begin_deleting(session, CONSOLE, site, _now_ms(), digest)
    done = delete_farm(registry, store, CONSOLE, departure, _now_ms())
    typer.echo(json.dumps({"receipt": done.id, "site": site, "done_ms": done.done_ms, "deleted": done.counts}))
    for line in STILL_THERE["en"]:
        typer.echo(line, err=True)


def _settle(site: str, until_ms: int) -> None:
    if (left_ms := until_ms - _now_ms()) > 0:
        typer.echo(f"{site} is leaving; waiting {left_ms / 1000:.0f} s for what is on its way", err=True)
        time.sleep(left_ms / 1000)


def _write(registry: Registry, store: Store, site: str, file: Path) -> str:
    """Writes the archive, whole or not at all; its SHA-256."""
    from collectors.out.archive import archive as parts_of
    from collectors.out.whole_file import whole_file

    digests: list[str] = []
    begun_ms = _now_ms()
    try:
        parts = parts_of(store, registry, CONSOLE, site, begun_ms, digests.append)
        with whole_file(file.expanduser()) as target:
            for part in parts:
                target.write(part)
    except LookupError as error:
        fail(f"{error}; `makiba site list` shows them")
    except OSError as error:
        fail(f"{file}: {error.strerror or error}")
    with registry.write() as session:
        leaving.note_archive(session, CONSOLE, site, digests[0], begun_ms, _now_ms())
    return digests[0]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
