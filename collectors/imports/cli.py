"""`makiba import animals|events|fields|readings FILE`: look at it, then do it; `list` and `undo`; `schema`.

Exit codes: 0 everything was taken; 3 it was imported to its end, but some rows or values were refused; 2 a person has
to change something, nothing was stored; 1 store or registry stayed away; 130 interrupted. After 1 and 130 run it
again: what was done is done, and nothing is done twice. Without a word between `import` and FILE it is readings.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from collectors.console import CONSOLE, explained, fail, open_own_registry
from collectors.imports import herd, work
from collectors.imports.kinds import TABLES, Kind
from collectors.imports.mapping import LoadedMapping, load_table_mapping, mapping_schema, no_mapping
from collectors.imports.plan import Planned
from collectors.imports.said import words_of
from collectors.imports.sheet import open_sheet
from collectors.registry import Registry, imports, sites
from collectors.registry.schema.imports import ImportFile, ImportRow
from collectors.ways.csv_mapping import MappingFile
from collectors.ways.icar_cli import run_icar
from collectors.ways.import_cli import REFUSED_EXIT, SHOWN_REFUSALS, run_import, stop_on_signals
from collectors.ways.port import now_ms
from makiba.settings import load_settings

SHOWN_ROWS: Final = 20


class _OrReadings(typer.core.TyperGroup):
    """A file where a command is expected is one of readings."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["readings", *args]
        return super().parse_args(ctx, args)


import_ = typer.Typer(
    cls=_OrReadings,
    help="CSV files into the registry and the store.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
import_.command("readings")(run_import)
import_.command("icar")(run_icar)

FileArg = Annotated[
    Path, typer.Argument(metavar="FILE", help="A CSV file", exists=True, dir_okay=False, readable=True)
]
MapOption = Annotated[
    Path | None, typer.Option("--map", metavar="MAPPING.yaml", help="What its columns are; default: by their heads")
]
SiteOption = Annotated[str, typer.Option("--site", help="The farm; default: the mapping's")]
PreviewOption = Annotated[bool, typer.Option("--preview", help="Say what would be changed, and change nothing")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking")]


@import_.command("animals")
def animals_(
    file: FileArg,
    mapping: MapOption = None,
    site: SiteOption = "",
    preview: PreviewOption = False,
    yes: YesOption = False,
) -> None:
    """Animals: new ones, and what changed.

    They are found by their ten digits, ear tag or number. Each row is shown before anything is done.
    """
    _run("animals", file, mapping, site, preview=preview, yes=yes)


@import_.command("events")
def events_(
    file: FileArg,
    mapping: MapOption = None,
    site: SiteOption = "",
    preview: PreviewOption = False,
    yes: YesOption = False,
) -> None:
    """Events of animals: calvings, treatments, …

    Each row is shown before anything is done.
    """
    _run("events", file, mapping, site, preview=preview, yes=yes)


@import_.command("fields")
def fields_(
    file: FileArg,
    mapping: MapOption = None,
    site: SiteOption = "",
    preview: PreviewOption = False,
    yes: YesOption = False,
) -> None:
    """Fields by their number or name, with what grows on them."""
    _run("fields", file, mapping, site, preview=preview, yes=yes)


@import_.command("list")
def list_(site: Annotated[str, typer.Argument(metavar="SITE")]) -> None:
    """The newest imports of a farm."""
    with _registry() as registry, registry.read() as session:
        for row in imports.list_imports(session, CONSOLE, site, limit=50):
            at = datetime.fromtimestamp(row.planned_ms / 1000, UTC).isoformat(timespec="minutes")
            who = row.applied_name or row.planned_name or row.planned_by
            typer.echo(f"{row.id}  {at}  {row.kind:<8}  {row.state:<8}  {_counted(row.counts)}  {row.name}  ({who})")


@import_.command("undo")
def undo_(
    site: Annotated[str, typer.Argument(metavar="SITE")],
    import_id: Annotated[str, typer.Argument(metavar="IMPORT", help="As `makiba import list` shows it")],
    yes: YesOption = False,
) -> None:
    """Take an import back, except what somebody changed since."""
    with _registry() as registry:
        with registry.read() as session:
            row = imports.get_import(session, CONSOLE, site, import_id)
        if row is None:
            fail(f"no import {import_id} of {site}; `makiba import list {site}` shows them")
        if not yes:
            _ask(f"take back {row.name} ({_counted(row.counts)})?")
        try:
            work.begin_undo(registry, CONSOLE, site, import_id, now_ms)
        except imports.WrongState as error:
            fail(_WRONG.get(error.code, f"it is {error.state}"))
        row = _to_its_end(registry, row, "taking back")
        _tell_left(registry, row, "kept", row.name)
    typer.echo(f"{row.name}: taken back")
    if row.counts.get("kept"):
        raise typer.Exit(REFUSED_EXIT)


@import_.command("schema")
def schema_(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="animals, events, fields or readings")],
) -> None:
    """The JSON Schema of a mapping file, for an editor."""
    found: Mapping[str, Callable[[], dict[str, Any]]] = {
        **{name: (lambda name=name: mapping_schema(name)) for name in TABLES},  # type: ignore[misc]
        "readings": MappingFile.model_json_schema,
    }
    if kind not in found:
        fail(f"{kind!r} is no kind of import; expected {', '.join(found)}")
    typer.echo(json.dumps(found[kind](), ensure_ascii=False, indent=1))


_WRONG: Final = {
    "readings-stay": "readings cannot be taken back: the store has no way to remove single values",
    "under-way": "it is under way just now; try again in half a minute",
    "another-under-way": "another import of this farm is under way; try again in half a minute",
    "is-undone": "it was taken back already",
    "not-applied": "it was never applied",
    "too-late": "it is older than 30 days",
}


# ------------------------------------------------------------------------------------------------------ the work


def _run(kind: Kind, file: Path, mapping: Path | None, site: str, *, preview: bool, yes: bool) -> None:
    known = load_table_mapping(mapping, kind) if mapping is not None else no_mapping(kind)
    farm = site or known.model.site
    if not farm:
        fail("which farm? give --site")
    with _registry() as registry:
        with registry.read() as session:
            if sites.get_site(session, CONSOLE, farm) is None:
                fail(f"no site {farm}; `makiba site list` shows them")
        seen = None
        if preview or not yes:
            counts = _preview(registry, farm, kind, file, known)
            if preview or not (counts.rows["create"] or counts.rows["update"] or counts.beside):
                raise typer.Exit(REFUSED_EXIT if counts.rows["refused"] else 0)
            _ask("do it?")
            seen = counts.digest
        try:
            row = work.plan_file(
                registry, CONSOLE, farm, file, kind=kind, name=_name(file), mapping=known, clock=now_ms, seen=seen
            )  # fmt: skip
            if yes:
                _tell_refused(registry, row, str(file))
            if not row.total or not work.is_anything_to_do(row):
                work.forget(registry, CONSOLE, farm, row.id)
                typer.echo(f"{file}: {_counted(row.counts)}; nothing to do")
                raise typer.Exit(REFUSED_EXIT if row.counts["refused"] else 0)
            work.begin_apply(registry, CONSOLE, farm, row.id, now_ms)
        except imports.WrongState as error:
            fail(_WRONG.get(error.code, f"it is {error.state}"))
        except work.PlanStale as error:
            for one, why in error.rows:
                typer.echo(f"{file}:{one.line}:1: {one.label}: {words_of(why)['en']}", err=True)
            fail("somebody changed what this is about in the meantime; nothing was changed. Run it again")
        row = _to_its_end(registry, row, file.name)
        _tell_left(registry, row, "left", str(file))
    typer.echo(f"{file}: {_counted(row.counts)}; to take it back: makiba import undo {farm} {row.id}")
    if row.counts["refused"] or row.counts.get("left"):
        raise typer.Exit(REFUSED_EXIT)


def _name(file: Path) -> str:
    """What the file is called, as far as it is text."""
    return file.name.encode("utf-8", "replace").decode()[:200]


def _preview(registry: Registry, site: str, kind: Kind, file: Path, mapping: LoadedMapping) -> work.Counts:
    """Shows what `file` would change; nothing is written."""
    sheet = open_sheet(file, mapping, str(file))
    for one in work.about_file(sheet):
        typer.echo(words_of(one)["en"], err=True)
    counts, shown = work.Counts(kind), [0, 0]
    with registry.read() as session:
        for row in herd.planned(session, CONSOLE, site, kind, sheet.entries, now_ms()):
            counts.add(row)
            _show(row, str(file), shown)
            if sum(counts.rows.values()) > work.MAX_ROWS:
                fail(f"{file}: more than {work.MAX_ROWS} rows; split the file")
    more = sum(counts.rows[a] for a in ("create", "update")) + sum(counts.beside.values()) - shown[0]
    if more > 0:
        typer.echo(f"and {more} more")
    typer.echo(f"{file}: {_counted(counts.as_dict())}")
    return counts


def _show(row: Planned, file: str, shown: list[int]) -> None:
    if row.action in ("create", "update") and shown[0] < SHOWN_ROWS:
        typer.echo(f"{row.action:<7}  {row.label}  {_changes(row.before, row.after)}")
        shown[0] += 1
    for one in row.said:
        if shown[1] < SHOWN_REFUSALS:
            typer.echo(f"{file}:{row.line}:{one['column']}: {words_of(one)['en']}", err=True)
            shown[1] += 1


def _changes(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> str:
    told = []
    for name, value in (after or {}).items():
        new = json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)
        told.append(f"{name}: {before.get(name)} → {new}" if before is not None else f"{name}={new}")
    return ", ".join(told)[:300]


def _to_its_end(registry: Registry, row: ImportFile, label: str) -> ImportFile:
    stop = stop_on_signals()
    with _bar(label, row.total) as at:
        done = work.go_on(registry, CONSOLE, row.site_id, row.id, now_ms, stop=stop, progress=at)
    if done.state.endswith("ing"):
        again = f"run it again to go on, or take back what was done: makiba import undo {row.site_id} {row.id}"
        typer.echo(f"interrupted after {done.done} rows; {again}", err=True)
        raise typer.Exit(130)
    return done


@contextlib.contextmanager
def _bar(label: str, total: int) -> Iterator[work.Progress | None]:
    """A bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    with typer.progressbar(length=max(1, total), label=label, file=sys.stderr) as bar:
        yield lambda done, _: bar.update(done - bar.pos)


def _tell_refused(registry: Registry, row: ImportFile, file: str) -> None:
    with registry.read() as session:
        _tell(imports.list_rows(session, CONSOLE, row, limit=SHOWN_REFUSALS, actions=("refused",)), file)


def _tell_left(registry: Registry, row: ImportFile, state: str, file: str) -> None:
    with registry.read() as session:
        _tell(imports.list_rows(session, CONSOLE, row, limit=SHOWN_REFUSALS, states=(state,)), file)


def _tell(rows: Sequence[ImportRow], file: str) -> None:
    for row in rows:
        for one in row.said[-1:]:
            typer.echo(f"{file}:{row.line}:{one['column']}: {row.label}: {words_of(one)['en']}", err=True)


def _counted(counts: Mapping[str, Any]) -> str:
    words = {"create": "created", "update": "changed", "unchanged": "unchanged", "refused": "refused", "left": "left"}
    told = [f"{counts[name]} {word}" for name, word in words.items() if counts.get(name) or name == "create"]
    return ", ".join(told + [f"{n} {thing}s beside" for thing, n in counts.get("beside", {}).items()])


def _ask(question: str) -> None:
    if not sys.stdin.isatty():
        fail("nobody to ask here; give --yes, or --preview to look only")
    if not typer.confirm(question):
        raise typer.Exit(0)


@contextlib.contextmanager
def _registry() -> Iterator[Registry]:
    with explained():
        registry = open_own_registry(load_settings(), migrate=True)
        try:
            yield registry
        finally:
            registry.close()
