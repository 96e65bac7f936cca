"""`makiba import readings FILE --map MAPPING`.

Exit codes: 0 everything was taken; 3 it was imported to its end, but some values were refused; 2 a person has to
change something (the mapping, the farm), nothing was stored; 1 store or registry stayed away; 130 interrupted. After
1 and 130 run it again: what is stored stays, and nothing is stored twice.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, TextIO

import typer

from collectors.console import CONSOLE, explained, fail, open_own_registry, open_own_store
from collectors.imports.readings import mapping_of_heads, odd_about, resolved
from collectors.imports.said import said
from collectors.ingest import Ingest
from collectors.registry import sites, sources
from collectors.ways.csv_import import CsvImport, Interrupted, Refused, SourceRefused
from collectors.ways.csv_mapping import Mapping_, load_mapping
from collectors.ways.port import IngestDoor, now_ms
from makiba.quantities import catalogue
from makiba.reading import Reading
from makiba.settings import load_settings

SHOWN_REFUSALS: Final = 20
REFUSED_EXIT: Final = 3


def run_import(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A CSV file", exists=True, dir_okay=False, readable=True)
    ],
    mapping: Annotated[
        Path | None,
        typer.Option("--map", metavar="MAPPING.yaml", help="What its columns are; default: by their heads"),
    ] = None,
    site: Annotated[str, typer.Option("--site", help="The farm; default: the mapping's")] = "",
    dry_run: Annotated[
        bool, typer.Option("--preview", "--dry-run", help="Read and check everything, store nothing")
    ] = False,
    _yes: Annotated[bool, typer.Option("--yes", "-y", help="As for the others; nothing is asked here")] = False,
    report: Annotated[Path | None, typer.Option(help="Write every refusal into this file")] = None,
) -> None:
    """Readings into the store. Doing it again changes nothing; they cannot be taken back."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    known = load_mapping(mapping) if mapping is not None else mapping_of_heads(file, str(file))
    known = resolved(known, file, str(file))
    farm = site or known.model.site
    if not farm:
        fail(f"{mapping or file}: names no site; give --site")
    with contextlib.ExitStack() as stack:
        report_to = stack.enter_context(report.open("w", encoding="utf-8")) if report else None
        tell, shown = _teller(str(file), report_to)
        stop = stop_on_signals()
        if dry_run:
            work = CsvImport(file, known, farm, sources.own_id("import", farm), None, tell, lambda _: None)
            _run(work, stop)
            _preview(work)
            typer.echo(str(said("readings-stay")), err=True)
        else:
            work = _import(file, known, farm, tell, stop)
    _summary(work, shown, dry_run=dry_run)
    if work.tally.refused:
        raise typer.Exit(REFUSED_EXIT)


def _import(
    file: Path, mapping: Mapping_, farm: str, tell: Callable[[Refused], None], stop: threading.Event
) -> CsvImport:
    settings = load_settings()
    with explained(), contextlib.ExitStack() as stack:
        registry = open_own_registry(settings, migrate=True)
        stack.callback(registry.close)
        with registry.write() as session:
            if sites.get_site(session, CONSOLE, farm) is None:
                fail(f"no site {farm}; `makiba site list` shows them")
            source = sources.ensure_own(session, CONSOLE, "import", farm, now_ms()).id
        store = open_own_store(settings, registry)
        stack.callback(store.close)
        progress = stack.enter_context(_progress(file))
        door = IngestDoor(Ingest(registry, store))
        work = CsvImport(file, mapping, farm, source, door, tell, progress)
        _run(work, stop)
    return work


def _run(work: CsvImport, stop: threading.Event) -> None:
    try:
        work.run(stop)
    except Interrupted:
        typer.echo(f"interrupted after {work.tally.stored} readings; run it again to go on", err=True)
        raise typer.Exit(130) from None
    except SourceRefused as error:
        fail(f"{work.source}: {error}")


def stop_on_signals() -> threading.Event:
    """Set once somebody asks this process to end."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(ValueError):  # not the main thread: whoever called us has the signals
            signal.signal(number, lambda *_: stop.set())
    return stop


def _teller(file: str, report: TextIO | None) -> tuple[Callable[[Refused], None], list[int]]:
    """Where refusals go: the first ones onto the console, all of them into the report."""
    shown = [0]

    def tell(refused: Refused) -> None:
        line = refused.spell(file)
        if report is not None:
            print(line, file=report)
        if shown[0] < SHOWN_REFUSALS:
            shown[0] += 1
            typer.echo(line, err=True)

    return tell, shown


@contextlib.contextmanager
def _progress(file: Path) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with typer.progressbar(length=max(1, file.stat().st_size), label=file.name, file=sys.stderr) as bar:
        done = [0]

        def at(position: int) -> None:
            bar.update(position - done[0])
            done[0] = position

        yield at


def _preview(work: CsvImport) -> None:
    for one in odd_about(work.tally):
        typer.echo(str(one), err=True)
    for reading in work.tally.preview:
        typer.echo(f"{_local(work, reading)}  {reading.series}  {_shown(reading)}")
    for series, count in sorted(work.tally.by_series.items())[:50]:
        typer.echo(f"{count:>10}  {series}")
    if len(work.tally.by_series) > 50:
        typer.echo(f"{'':>10}  and {len(work.tally.by_series) - 50} more series")


def _summary(work: CsvImport, shown: list[int], *, dry_run: bool) -> None:
    tally = work.tally
    if tally.refused > shown[0]:
        typer.echo(f"and {tally.refused - shown[0]} more; --report FILE has all of them", err=True)
    what = f"{tally.readings} readings would be stored" if dry_run else f"{tally.stored} readings are stored"
    refused = f", {tally.refused} values refused in {tally.rows_with_refusals} rows" if tally.refused else ""
    typer.echo(f"{work.file}: {tally.rows} rows, {what}{refused}")


def _local(work: CsvImport, reading: Reading) -> str:
    from zoneinfo import ZoneInfo

    zone = ZoneInfo(work.mapping.model.time.timezone)
    return datetime.fromtimestamp(reading.time_ms / 1000, UTC).astimezone(zone).isoformat(timespec="seconds")


def _shown(reading: Reading) -> str:
    value = reading.value
    return value if isinstance(value, str) else catalogue()[reading.series.quantity].shown(value)
