"""Planning a file, applying a plan, taking it back: in steps, each one transaction, each saying how far it is.

A step is at most `STEP_ROWS` rows and ends after about `STEP_S`, so that nobody who writes beside it waits long.
Before the first row is touched, all rows are compared with the registry; if one does not fit any more nothing is
applied (`PlanStale`). Within each step its rows are compared again, with the registry locked: what somebody changed
in the meantime is left and said.

Any number of processes may work at one import: a step takes its rows with the import's row locked.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from time import monotonic
from typing import Any, Final

from sqlalchemy.orm import Session

from collectors.imports import herd
from collectors.imports.herd import Left
from collectors.imports.kinds import Kind
from collectors.imports.mapping import LoadedMapping
from collectors.imports.plan import MAIN, Planned
from collectors.imports.said import said
from collectors.imports.sheet import Sheet, open_sheet
from collectors.registry import Registry, imports
from collectors.registry.schema.imports import ImportFile, ImportRow
from collectors.registry.viewer import Viewer
from makiba.located_yaml import ConfigErrors, Problem

STEP_ROWS: Final = 1_000
STEP_S: Final = 2.0
PLAN_ROWS: Final = 1_000
MAX_ROWS: Final = 100_000
KEPT_MAPPING: Final = 16_000
COUNTED: Final = ("create", "update", "unchanged", "refused")

Clock = Callable[[], int]
Progress = Callable[[int, int], None]


class PlanStale(Exception):
    """The registry says something else than when this was planned: these rows, by number, and why."""

    def __init__(self, rows: Sequence[tuple[ImportRow, dict[str, Any]]]) -> None:
        super().__init__(f"{len(rows)} rows were changed on file since this was planned")
        self.rows = rows


class Gone(Exception):
    """There is no such import any more."""


class Counts:
    """Rows by what becomes of them: those that the file is about, what hangs on them, and how many had a warning."""

    def __init__(self, kind: Kind) -> None:
        self._main = MAIN[kind]
        self.rows: Counter[str] = Counter()
        self.beside: Counter[str] = Counter()
        self.warnings = 0
        self._digest = hashlib.sha256()

    def add(self, one: Planned) -> None:
        """Counts a row."""
        does = (one.number, one.action, one.thing, one.target, one.mark, one.of_row, one.after)
        self._digest.update(repr(does).encode())
        if one.thing != self._main:
            self.beside[one.thing] += 1
            return
        self.rows[one.action] += 1
        self.warnings += bool(one.said) and one.action != "refused"

    def as_dict(self) -> dict[str, Any]:
        """As it is kept and shown."""
        counted = {action: self.rows[action] for action in COUNTED}
        return {**counted, "warnings": self.warnings, "beside": dict(self.beside)}

    @property
    def digest(self) -> str:
        """Stands for all that the rows would do: the same plan, the same digest."""
        return self._digest.hexdigest()


def sha256_of(file: Path) -> str:
    """What stands for the bytes of a file."""
    with file.open("rb") as binary:
        return hashlib.file_digest(binary, "sha256").hexdigest()


# ----------------------------------------------------------------------------------------------------- planning


def about_file(sheet: Sheet) -> list[dict[str, Any]]:
    """What is said of the whole file: how it was read, and which columns nobody takes."""
    shown = {",": ",", "\t": "Tab", ";": ";", "|": "|"}[sheet.dialect.delimiter]
    read_as = said("read-as", encoding=sheet.dialect.encoding.upper(), delimiter=shown)
    unused = [
        said("column-unused", text=head).kept(sheet.layout.heads.index(head) + 1) for head in sheet.layout.unused
    ]
    return [read_as.kept(0), *unused]


def plan_file(
    registry: Registry, viewer: Viewer, site: str, file: Path, *, kind: Kind, name: str, mapping: LoadedMapping,
    clock: Clock, progress: Progress | None = None, seen: str | None = None,
) -> ImportFile:  # fmt: skip
    """The file as a plan that is kept; `ConfigErrors` when its columns cannot be found or it has too many rows.

    `seen`: the digest of what somebody was shown; `PlanStale` when it has become another plan.
    """
    sheet = open_sheet(file, mapping, name)
    size = file.stat().st_size
    with registry.write() as session:
        row = imports.begin(
            session, viewer, site, kind=kind, name=name, sha256=sha256_of(file), size_bytes=size,
            mapping=mapping.text[:KEPT_MAPPING], now_ms=clock(),
        )  # fmt: skip
    counts = Counts(kind)
    total = 0
    with registry.read() as reading:
        rows = herd.planned(reading, viewer, site, kind, sheet.entries, clock())
        while chunk := list(itertools.islice(rows, PLAN_ROWS)):
            for one in chunk:
                counts.add(one)
            total = chunk[-1].number
            if sum(counts.rows.values()) > MAX_ROWS:
                forget(registry, viewer, site, row.id)
                raise ConfigErrors(
                    [Problem(name, chunk[-1].line, 1, "", f"more than {MAX_ROWS} rows; split the file")]
                )
            with registry.write() as session:
                imports.add_rows(session, viewer, row, [_row(one) for one in chunk])
            if progress is not None:
                progress(total, 0)
    if seen is not None and counts.digest != seen:
        forget(registry, viewer, site, row.id)
        raise PlanStale([])
    with registry.write() as session:
        found = _locked(session, viewer, site, row.id)
        imports.set_planned(
            viewer,
            found,
            columns=sheet.layout.columns(),
            counts=counts.as_dict(),
            said=about_file(sheet),
            total=total,
        )
        return found


def is_anything_to_do(row: ImportFile) -> bool:
    """Whether applying the plan would change anything."""
    return bool(row.counts["create"] or row.counts["update"] or row.counts["beside"])


def forget(registry: Registry, viewer: Viewer, site: str, import_id: str) -> None:
    """Takes a plan out again."""
    with registry.write() as session:
        imports.forget_plan(session, viewer, _locked(session, viewer, site, import_id))


def _row(one: Planned) -> dict[str, Any]:
    row = asdict(one)
    row["state"] = "waiting" if one.action in ("create", "update") else "none"
    row["label"] = one.label[:200]
    return row


# ------------------------------------------------------------------------------------------------------ applying


def begin_apply(registry: Registry, viewer: Viewer, site: str, import_id: str, clock: Clock) -> ImportFile:
    """Claims the plan and compares it with the registry. `imports.WrongState`, `PlanStale`, `Gone`."""
    with registry.write() as session:
        row = _locked(session, viewer, site, import_id)
        begins = imports.begin_apply(session, viewer, row, clock())
    if begins:
        try:
            _compare(registry, viewer, site, row)
        except BaseException:
            with registry.write() as session:
                imports.back_to_planned(viewer, _locked(session, viewer, site, import_id))
            raise
    return row


def _compare(registry: Registry, viewer: Viewer, site: str, row: ImportFile) -> None:
    found: list[tuple[ImportRow, dict[str, Any]]] = []
    with registry.read() as session:
        zone = herd.zone_of(session, viewer, site)
        after = 0
        while rows := imports.list_rows(session, viewer, row, limit=STEP_ROWS, after=after, states=("waiting",)):
            changed = herd.changed_since(session, viewer, site, rows, zone)
            found += [(one, changed[one.number].kept(1)) for one in rows if one.number in changed]
            after = rows[-1].number
            session.expunge_all()
    if found:
        raise PlanStale(found)


def go_on(
    registry: Registry, viewer: Viewer, site: str, import_id: str, clock: Clock, *,
    stop: threading.Event | None = None, progress: Progress | None = None,
    look_again: Callable[[Session, Viewer], Viewer] = lambda _, viewer: viewer,
) -> ImportFile:  # fmt: skip
    """Does what is left to do of an import that is being applied or taken back, and ends it.

    It returns early, in the state in which it is, once `stop` is set. `look_again` gives the viewer with the rights
    that they have by now, in the transaction of each step.
    """
    while True:
        with registry.write() as session:
            viewer = look_again(session, viewer)
            row = _locked(session, viewer, site, import_id)
            if row.state not in ("applying", "undoing"):
                return row
            step = _apply_step if row.state == "applying" else _undo_step
            done = step(session, viewer, row, clock())
            if done:
                imports.note_step(viewer, row, done=done, now_ms=clock())
            else:
                imports.finish(session, viewer, row, _outcome(session, viewer, row), clock())
        if progress is not None:
            progress(row.done, row.total)
        if not done or (stop is not None and stop.is_set()):
            return row


def _apply_step(session: Session, viewer: Viewer, row: ImportFile, now_ms: int) -> int:
    rows = imports.list_rows(session, viewer, row, limit=STEP_ROWS, states=("waiting",))
    zone = herd.zone_of(session, viewer, row.site_id)
    changed = herd.changed_since(session, viewer, row.site_id, rows, zone) if rows else {}
    mains = imports.rows_numbered(session, viewer, row, (one.of_row for one in rows if one.of_row is not None))

    def do(one: ImportRow) -> None:
        if one.number in changed:
            raise Left(changed[one.number])
        of = mains.get(one.of_row) if one.of_row is not None else None
        herd.apply_row(session, viewer, row.site_id, one, of, now_ms)

    return _each(session, rows, do, "done")


def _undo_step(session: Session, viewer: Viewer, row: ImportFile, now_ms: int) -> int:
    rows = imports.rows_to_undo(session, viewer, row, STEP_ROWS)
    return _each(session, rows, lambda one: herd.undo_row(session, viewer, row.site_id, one, now_ms), "undone")


def _each(session: Session, rows: Sequence[ImportRow], do: Callable[[ImportRow], None], then: str) -> int:
    """Does the rows until the step has lasted long enough; a row that cannot be done is left, and says why."""
    began_s = monotonic()
    for count, one in enumerate(rows, 1):
        try:
            with session.begin_nested():
                do(one)
            one.state = then
        except Left as error:
            one.state = "left" if then == "done" else "kept"
            one.said = [*one.said, error.why.kept(1)]
        if monotonic() - began_s > STEP_S:
            return count
    return len(rows)


def _outcome(session: Session, viewer: Viewer, row: ImportFile) -> Mapping[str, Any]:
    """How many rows were left as they were."""
    state = "left" if row.state == "applying" else "kept"
    count, after = 0, 0
    while rows := imports.list_rows(session, viewer, row, limit=STEP_ROWS, after=after, states=(state,)):
        count, after = count + len(rows), rows[-1].number
    return {state: count}


# ------------------------------------------------------------------------------------------------- taking back


def begin_undo(registry: Registry, viewer: Viewer, site: str, import_id: str, clock: Clock) -> ImportFile:
    """Claims an import to be taken back. `imports.WrongState`, `Gone`."""
    with registry.write() as session:
        row = _locked(session, viewer, site, import_id)
        imports.begin_undo(session, viewer, row, clock())
        return row


def _locked(session: Session, viewer: Viewer, site: str, import_id: str) -> ImportFile:
    row = imports.get_import(session, viewer, site, import_id, lock=True)
    if row is None:
        raise Gone(import_id)
    return row
