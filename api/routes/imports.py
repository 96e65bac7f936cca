"""Imports: a file comes in and is looked at; applied; taken back. For the farm's own people.

The file is the body, as it is on disk. What a step does goes on in the background, in a thread of this process, after
its request is answered; `GET` tells how far it is. If the process ends, whoever asks for the step again goes on.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import Annotated, Any, Final

from fastapi import APIRouter, BackgroundTasks, Depends, Path, Query, Request
from sqlalchemy.orm import Session

from api import uploads
from api.centre import Centre, CentreNow
from api.etags import Tagging
from api.once import Once
from api.pages import takes
from api.paging import Paging
from api.problems import FieldError, Refused, invalid, not_found
from api.routes.consents import require_insider
from api.sessions import SERVICE, SignedIn
from api.shapes import Names
from api.shapes.imports import (
    Action,
    ChangeOut,
    CountsOut,
    ImportColumn,
    ImportOut,
    ImportRowOut,
    ImportRowsOut,
    ImportsOut,
    Kind,
    RowState,
    SaidOut,
)
from api.uploads import Upload
from collectors.imports import readings, work
from collectors.imports.mapping import no_mapping, parse_table_mapping
from collectors.imports.said import is_refusal, words_of
from collectors.registry import RegistryError, imports, people, tokens
from collectors.registry.schema.imports import ImportFile, ImportRow
from collectors.registry.viewer import NotAllowed, Person, Viewer, require
from collectors.store import StoreError
from makiba.located_yaml import ConfigErrors

log = logging.getLogger(__name__)

router = APIRouter(tags=["imports"])

WHAT: Final[Mapping[str, Names]] = {
    "import.applied": Names(ja="ファイルを 取り込みました", en="imported a file"),
    "import.undone": Names(ja="取り込みを 取り消しました", en="took an import back"),
}
LARGEST_MB: Final = 64

ImportId = Annotated[str, Path(max_length=64)]
KindQuery = Annotated[Kind, Query(description="What its rows are")]
NameQuery = Annotated[
    str,
    Query(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f/\\]*$", description="What the file is called"),
]
MappingQuery = Annotated[
    str,
    Query(
        max_length=8_000,
        pattern=r"^[^\x00]*$",
        description="A mapping file as docs/ways-in.md has it (YAML); without it the heads decide",
    ),
]
CSV_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "The file as it is: CSV in UTF-8 or CP932",
        "content": {"text/csv": {"schema": {"type": "string", "format": "binary"}}},
    }
}

_SAID: Final[Mapping[str, str]] = {
    "under-way": "It is under way just now. / いま 進んでいます。",
    "another-under-way": "Another import of this farm is under way. / ほかの 取り込みが 進んでいます。",
    "plan-expired": "It was looked at more than a day ago; bring the file again. / 確認から 1日 たちました。",
    "is-applied": "It is applied already. / もう 取り込みました。",
    "is-undone": "It was taken back already. / もう 取り消しました。",
    "not-applied": "It was never applied. / まだ 取り込んでいません。",
    "readings-stay": "Readings cannot be taken back. / 測定値は 取り消せません。",
    "too-late": "It is older than 30 days. / 30日を 過ぎました。",
}  # fmt: skip


# ------------------------------------------------------------------------------------------------------ reading


@router.get("/sites/{site}/imports")
def list_of(site: str, viewer: SignedIn, centre: CentreNow, page: Paging, tags: Tagging) -> ImportsOut:
    """The files that were brought, the newest first."""
    require_insider(viewer, site)
    with centre.registry.read() as session:
        found = imports.list_imports(session, viewer, site, limit=page.ask, after=page.after)
        rows, more = page.cut(found, lambda row: (row.planned_ms, row.id))
    told = ImportsOut(rows=[_shown(row) for row in rows], next=more)
    return tags.content(told, but={"next"} if more else ())


@router.get("/sites/{site}/imports/{import_id}")
def one(site: str, import_id: ImportId, viewer: SignedIn, centre: CentreNow, tags: Tagging) -> ImportOut:
    """One file: what becomes of its rows, and how far that is."""
    require_insider(viewer, site)
    with centre.registry.read() as session:
        row = _found(session, viewer, site, import_id)
    tags.version(row.version)
    return _shown(row)


@router.get("/sites/{site}/imports/{import_id}/rows")
def rows_of(
    site: str, import_id: ImportId, viewer: SignedIn, centre: CentreNow, page: Paging, tags: Tagging,
    action: Annotated[list[Action] | None, Query(max_length=4, description="Only rows that do this")] = None,
    state: Annotated[list[RowState] | None, Query(max_length=6, description="Only rows of which this came")] = None,
) -> ImportRowsOut:  # fmt: skip
    """What its rows do, in the order of the file. Of readings: what is refused or odd, the first 1,000."""
    require_insider(viewer, site)
    with centre.registry.read() as session:
        row = _found(session, viewer, site, import_id)
        after = int(page.after[0]) if page.after else 0
        found = imports.list_rows(
            session, viewer, row, limit=page.ask, after=after, actions=action or (), states=state or ()
        )
        rows, more = page.cut(found, lambda r: (r.number,))
        told = ImportRowsOut(rows=[_shown_row(r) for r in rows], next=more)
    return tags.content(told, but={"next"} if more else ())


# -------------------------------------------------------------------------------------------------- a file comes


async def uploaded(
    request: Request, site: str, kind: KindQuery, name: NameQuery, viewer: SignedIn, centre: CentreNow, once: Once
) -> AsyncIterator[Upload]:
    """The body, written to disk as it comes. Rights come first; it is deleted afterwards unless it was kept."""
    require_insider(viewer, site)
    require(viewer, site, imports.ACTION[kind])
    most = centre.settings.import_mb * 1_000_000
    if int(request.headers.get("content-length", "0")) > most:
        raise Refused(413, f"At most {most} bytes.", slug="too-large")
    upload = await uploads.receive(centre, request, name)
    once.came(upload.digest)
    keep = False
    try:
        if not upload.path.stat().st_size:
            raise invalid("body", "the file is empty")
        yield upload
        keep = kind == "readings"
    finally:
        if not keep:
            upload.forget()


@router.post("/sites/{site}/imports", status_code=201, openapi_extra=CSV_BODY)
@takes(LARGEST_MB * 1_000_000)
def look_at(
    site: str, kind: KindQuery, name: NameQuery, viewer: SignedIn, centre: CentreNow, once: Once,
    upload: Annotated[Upload, Depends(uploaded)], mapping: MappingQuery = "",
) -> ImportOut:  # fmt: skip
    """Reads the file into a plan: nothing is changed but that. `…/rows` tells what each row would do.

    The plan holds for a day, and for what is on file now.
    """
    uploads.sweep(centre)
    try:
        row = _planned(centre, viewer, site, kind, upload, mapping)
    except ConfigErrors as error:
        errors = [
            FieldError(where=f"{p.file}:{p.line}:{p.column}", why=_spell(p.path, p.message)) for p in error.problems
        ]
        detail = f"{name}: this cannot be read as {kind}. / この ファイルは 読めません。"
        raise Refused(422, detail, slug="not-a-table", errors=errors[:20]) from None
    told = _shown(row)
    try:
        with once.write(site, imports.ACTION[kind]):
            return once.made(told, f"/sites/{site}/imports/{row.id}", version=row.version)
    except BaseException:
        with suppress(work.Gone, imports.WrongState):
            work.forget(centre.registry, viewer, site, row.id)
        upload.forget()
        raise


def _planned(centre: Centre, viewer: Person, site: str, kind: Kind, upload: Upload, mapping: str) -> ImportFile:
    if kind == "readings":
        known = readings.mapping_for(mapping, upload.path, upload.name)
        return readings.plan_readings(
            centre.registry, viewer, site, upload.path, name=upload.name, mapping=known, mapping_text=mapping,
            kept=upload.path.name, clock=centre.clock,
        )  # fmt: skip
    table = parse_table_mapping(mapping, "mapping", kind) if mapping else no_mapping(kind)
    return work.plan_file(
        centre.registry, viewer, site, upload.path, kind=kind, name=upload.name, mapping=table, clock=centre.clock
    )


def _spell(path: str, message: str) -> str:
    return f"{path}: {message}" if path else message


# ------------------------------------------------------------------------------------------------ there and back


@router.post("/sites/{site}/imports/{import_id}/apply", status_code=202)
def apply(
    site: str, import_id: ImportId, viewer: SignedIn, centre: CentreNow, background: BackgroundTasks
) -> ImportOut:
    """Does what was planned, in the background. 409 when something of it was changed in the meantime: see `errors`.

    Asked again after the service ended in the middle of it, it goes on.
    """
    require_insider(viewer, site)
    with centre.registry.read() as session:
        before = _found(session, viewer, site, import_id)
    require(viewer, site, imports.ACTION[before.kind])
    try:
        row = work.begin_apply(centre.registry, viewer, site, import_id, centre.clock)
    except work.PlanStale as error:
        errors = [
            FieldError(where=f"line {one.line}", why=f"{one.label}: {words_of(why)['en']} / {words_of(why)['ja']}")
            for one, why in error.rows[:20]
        ]
        detail = f"{len(error.rows)} rows were changed on file since this was planned; bring the file again."
        raise Refused(409, detail, slug="import-stale", errors=errors) from None
    except (work.Gone, imports.WrongState) as error:
        raise _refusal(error) from None
    background.add_task(_quietly, site, import_id, _step_of(centre, viewer, row))
    return _shown(row)


@router.post("/sites/{site}/imports/{import_id}/undo", status_code=202)
def undo(
    site: str, import_id: ImportId, viewer: SignedIn, centre: CentreNow, background: BackgroundTasks
) -> ImportOut:
    """Takes it back, in the background: once, for 30 days. What somebody changed since stays: `…/rows?state=kept`."""
    require_insider(viewer, site)
    with centre.registry.read() as session:
        before = _found(session, viewer, site, import_id)
    require(viewer, site, imports.UNDO_ACTION[before.kind])
    try:
        row = work.begin_undo(centre.registry, viewer, site, import_id, centre.clock)
    except (work.Gone, imports.WrongState) as error:
        raise _refusal(error) from None
    background.add_task(_quietly, site, import_id, _step_of(centre, viewer, row))
    return _shown(row)


def _refusal(error: Exception) -> Exception:
    if isinstance(error, imports.WrongState):
        return Refused(409, _SAID.get(error.code, f"It is {error.state}."), slug="import-state")
    return not_found()


def _step_of(centre: Centre, viewer: Person, row: ImportFile) -> Callable[[], object]:
    """What is to be done in the background."""
    action = (imports.UNDO_ACTION if row.state == "undoing" else imports.ACTION)[row.kind]

    def look_again(session: Session, known: Viewer) -> Viewer:
        """Who may not do it any more stops here, in the middle of it."""
        assert isinstance(known, Person)
        if known.limit is None:  # who signed out since wants it all the same
            now = people.viewer_of(session, SERVICE, known.id, centre.clock())
        else:
            program = tokens.signed_in(session, SERVICE, [known.limit.token], centre.clock()).get(known.limit.token)
            now = program.person if program else None
        if now is None:
            raise NotAllowed("its person or its token is gone")
        require(now, row.site_id, action)
        return now

    if row.kind != "readings":
        return lambda: work.go_on(
            centre.registry, viewer, row.site_id, row.id, centre.clock, stop=centre.hub.ending, look_again=look_again
        )
    file = uploads.kept(centre, row.kept)

    def store() -> None:
        mapping = readings.mapping_for(row.mapping, file, row.name)
        done = readings.apply_readings(
            centre.registry, centre.store, viewer, row.site_id, row.id, file, mapping, centre.clock,
            centre.hub.ending, look_again,
        )  # fmt: skip
        if done.state == "applied":
            Upload(file, row.name).forget()

    return store


def _quietly(site: str, import_id: str, step: Callable[[], object]) -> None:
    """Runs a step behind an answer that was sent; what stops it is logged, and the step can be asked for again."""
    try:
        step()
    except (NotAllowed, RegistryError, StoreError, work.Gone, OSError) as error:
        log.warning("import %s of %s stopped: %s", json.dumps(import_id), json.dumps(site), error)


# ------------------------------------------------------------------------------------------------------ showing


def _found(session: Session, viewer: Person, site: str, import_id: str) -> ImportFile:
    row = imports.get_import(session, viewer, site, import_id)
    if row is None:
        raise not_found()
    return row


def _shown(row: ImportFile) -> ImportOut:
    can_undo = row.state == "applied" and row.kind != "readings" and row.applied_ms is not None
    return ImportOut.model_validate(
        {
            "id": row.id, "kind": row.kind, "state": row.state, "name": row.name, "sha256": row.sha256,
            "size_bytes": row.size_bytes, "columns": [ImportColumn(**c) for c in row.columns],
            "counts": CountsOut(**row.counts), "said": [_said(one) for one in row.said], "done": row.done,
            "total": row.total, "planned_ms": row.planned_ms, "planned_by": row.planned_name or None,
            "applied_ms": row.applied_ms, "applied_by": row.applied_name or None, "undone_ms": row.undone_ms,
            "undone_by": row.undone_name or None,
            "undo_until_ms": row.applied_ms + imports.UNDO_MS if can_undo and row.applied_ms else None,
        }
    )  # fmt: skip


def _shown_row(row: ImportRow) -> ImportRowOut:
    before, after = _flat(row.before or {}), _flat(row.after or {})
    changes = [ChangeOut(field=name, before=before.get(name), after=value) for name, value in after.items()]
    return ImportRowOut.model_validate(
        {
            "number": row.number, "line": row.line, "thing": row.thing, "action": row.action, "state": row.state,
            "label": row.label, "id": row.target, "said": [_said(one) for one in row.said],
            "changes": [one for one in changes if one.before != one.after],
        }
    )  # fmt: skip


def _flat(values: Mapping[str, Any]) -> dict[str, str | float | bool | None]:
    """One level: `detail.bull`; lists and what is deeper as JSON."""
    found: dict[str, str | float | bool | None] = {}
    for name, value in values.items():
        if isinstance(value, dict) and name == "detail":
            found |= {f"{name}.{inner}": _plain(one) for inner, one in value.items()}
        else:
            found[name] = _plain(value)
    return found


def _plain(value: Any) -> str | float | bool | None:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


def _said(kept: Mapping[str, Any]) -> SaidOut:
    words = words_of(kept)
    return SaidOut(column=kept["column"], is_refusal=is_refusal(kept), why=Names(ja=words["ja"], en=words["en"]))
