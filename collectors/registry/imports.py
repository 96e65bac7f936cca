"""Imports of a farm: files that were looked at, and what was done with them. `collectors/imports` does the work.

They are for the farm's own people; what somebody may import is what they may do by hand. Taking events back needs the
right to edit animals, since events that are taken back leave no trace but here.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal

from sqlalchemy import and_, delete, insert, or_, select, update
from sqlalchemy.orm import Session

from collectors.registry import audit
from collectors.registry.schema.imports import ImportFile, ImportRow
from collectors.registry.viewer import Action, Person, Viewer, is_insider, require, require_service, spell

Kind = Literal["animals", "events", "fields", "readings"]

ACTION: Final[Mapping[str, Action]] = {
    "animals": "edit animals", "events": "enter events", "fields": "edit fields", "readings": "import readings",
}  # fmt: skip
UNDO_ACTION: Final[Mapping[str, Action]] = {**ACTION, "events": "edit animals"}

PLAN_MS: Final = 86_400_000
"""A plan that nobody applied for so long is forgotten."""
UNDO_MS: Final = 30 * 86_400_000
MAX_PLANS: Final = 10
"""Plans that a farm has at a time; a new one takes the oldest one's place."""
QUIET_MS: Final = 30_000
"""A step that said nothing for so long is not under way any more: whoever did it is gone."""


class WrongState(ValueError):
    """This import cannot go on that way: `state` is what it is, `code` says why."""

    def __init__(self, code: str, state: str) -> None:
        super().__init__(f"{code}: {state}")
        self.code = code
        self.state = state


# ------------------------------------------------------------------------------------------------------ reading


def list_imports(
    session: Session, viewer: Viewer, site: str, *, limit: int, after: tuple[Any, ...] | None = None
) -> Sequence[ImportFile]:
    """The imports of `site`, the newest first."""
    if not is_insider(viewer, site):
        return []
    query = select(ImportFile).where(ImportFile.site_id == site)
    if after is not None:
        at_ms, last = after
        older = and_(ImportFile.planned_ms == at_ms, ImportFile.id < last)
        query = query.where(or_(ImportFile.planned_ms < at_ms, older))
    return session.scalars(query.order_by(ImportFile.planned_ms.desc(), ImportFile.id.desc()).limit(limit)).all()


def get_import(
    session: Session, viewer: Viewer, site: str, import_id: str, *, lock: bool = False
) -> ImportFile | None:
    """The import of this id."""
    if not is_insider(viewer, site):
        return None
    query = select(ImportFile).where(ImportFile.site_id == site, ImportFile.id == import_id)
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    return session.scalar(query)


def list_rows(
    session: Session, viewer: Viewer, row: ImportFile, *, limit: int, after: int = 0,
    actions: Sequence[str] = (), states: Sequence[str] = (),
) -> Sequence[ImportRow]:  # fmt: skip
    """What its rows do, in the file's order, behind row `after`."""
    if not is_insider(viewer, row.site_id):
        return []
    query = select(ImportRow).where(ImportRow.import_id == row.id, ImportRow.number > after)
    if actions:
        query = query.where(ImportRow.action.in_(actions))
    if states:
        query = query.where(ImportRow.state.in_(states))
    return session.scalars(query.order_by(ImportRow.number).limit(limit)).all()


def rows_numbered(session: Session, viewer: Viewer, row: ImportFile, numbers: Iterable[int]) -> dict[int, ImportRow]:
    """The rows of these numbers."""
    wanted = sorted(set(numbers))
    if not wanted or not is_insider(viewer, row.site_id):
        return {}
    query = select(ImportRow).where(ImportRow.import_id == row.id, ImportRow.number.in_(wanted))
    return {one.number: one for one in session.scalars(query)}


def rows_to_undo(session: Session, viewer: Viewer, row: ImportFile, limit: int) -> Sequence[ImportRow]:
    """Rows that are done and not taken back yet, the last first: what hangs on another row goes before it."""
    if not is_insider(viewer, row.site_id):
        return []
    query = select(ImportRow).where(ImportRow.import_id == row.id, ImportRow.state == "done")
    return session.scalars(query.order_by(ImportRow.number.desc()).limit(limit)).all()


# ------------------------------------------------------------------------------------------------------ writing


def begin(
    session: Session, viewer: Viewer, site: str, *, kind: Kind, name: str, sha256: str, size_bytes: int,
    mapping: str, now_ms: int,
) -> ImportFile:  # fmt: skip
    """A file that is being planned."""
    require(viewer, site, ACTION[kind])
    open_ = select(ImportFile.id).where(ImportFile.site_id == site, ImportFile.state.in_(("planning", "planned")))
    too_many = list(session.scalars(open_.order_by(ImportFile.planned_ms.desc()).offset(MAX_PLANS - 1)))
    session.execute(delete(ImportFile).where(ImportFile.id.in_(too_many)))
    row = ImportFile(
        id=_new_id(), site_id=site, version=1, kind=kind, state="planning", name=name,
        sha256=sha256, size_bytes=size_bytes, mapping=mapping, columns=[], counts={}, said=[], done=0, total=0,
        planned_ms=now_ms, planned_by=spell(viewer), planned_name=_name(viewer),
    )  # fmt: skip
    session.add(row)
    session.flush()
    return row


def _new_id() -> str:
    """An id that a command line does not take for an option."""
    made = "-"
    while made.startswith("-"):
        made = secrets.token_urlsafe(16)
    return made


def add_rows(session: Session, viewer: Viewer, row: ImportFile, rows: Sequence[Mapping[str, Any]]) -> None:
    """Keeps planned rows of a file that is being planned."""
    require(viewer, row.site_id, ACTION[row.kind])
    if rows:
        session.execute(insert(ImportRow), [{**one, "import_id": row.id, "site_id": row.site_id} for one in rows])


def set_planned(viewer: Viewer, row: ImportFile, **what: Any) -> None:
    """The plan is whole: `columns`, `counts`, `said`, `total`, `kept`."""
    require(viewer, row.site_id, ACTION[row.kind])
    _set(row, state="planned", **what)


def begin_apply(session: Session, viewer: Viewer, row: ImportFile, now_ms: int) -> bool:
    """Begins or goes on with applying `row` (found locked); True when it begins. `WrongState`."""
    require(viewer, row.site_id, ACTION[row.kind])
    _check_alone(session, row, now_ms)
    if row.state == "applying" and row.applied_ms is not None and now_ms - row.applied_ms >= QUIET_MS:
        _set(row, applied_ms=now_ms)
        return False
    if row.state == "planned" and now_ms - row.planned_ms > PLAN_MS:
        raise WrongState("plan-expired", row.state)
    if row.state != "planned":
        raise WrongState("under-way" if row.state.endswith("ing") else f"is-{row.state}", row.state)
    _set(row, state="applying", done=0, applied_ms=now_ms, applied_by=spell(viewer), applied_name=_name(viewer))
    return True


def begin_undo(session: Session, viewer: Viewer, row: ImportFile, now_ms: int) -> None:
    """Begins or goes on with taking `row` (found locked) back. `WrongState`."""
    require(viewer, row.site_id, UNDO_ACTION[row.kind])
    _check_alone(session, row, now_ms)
    last_ms = (row.undone_ms if row.state == "undoing" else row.applied_ms) or 0
    if row.kind == "readings":
        raise WrongState("readings-stay", row.state)
    if row.state in ("applying", "undoing") and now_ms - last_ms < QUIET_MS:
        raise WrongState("under-way", row.state)
    if row.state not in ("applied", "applying", "undoing"):
        raise WrongState("is-undone" if row.state == "undone" else "not-applied", row.state)
    if row.state != "undoing" and now_ms - last_ms > UNDO_MS:
        raise WrongState("too-late", row.state)
    total = row.done if row.state != "undoing" else row.total
    done = 0 if row.state != "undoing" else row.done
    _set(row, state="undoing", done=done, total=total, undone_ms=now_ms, undone_by=spell(viewer),
         undone_name=_name(viewer))  # fmt: skip


def note_step(viewer: Viewer, row: ImportFile, *, done: int, now_ms: int) -> None:
    """A step is done, in the transaction of its rows."""
    undoing = row.state == "undoing"
    require(viewer, row.site_id, (UNDO_ACTION if undoing else ACTION)[row.kind])
    _set(row, done=row.done + done, **({"undone_ms": now_ms} if undoing else {"applied_ms": now_ms}))


def finish(session: Session, viewer: Viewer, row: ImportFile, counts: Mapping[str, Any], now_ms: int) -> None:
    """The last step is done: it stands in the farm's audit."""
    undoing = row.state == "undoing"
    require(viewer, row.site_id, (UNDO_ACTION if undoing else ACTION)[row.kind])
    _set(row, state="undone" if undoing else "applied", counts={**row.counts, **counts}, kept=None)
    what = "import.undone" if undoing else "import.applied"
    detail = {"import": row.id, "import_kind": row.kind, "file": row.name, "counts": dict(row.counts)}
    audit.note_change(session, viewer, row.site_id, what, now_ms, **detail)
    session.flush()


def back_to_planned(viewer: Viewer, row: ImportFile) -> None:
    """Nothing of it was applied after all."""
    require(viewer, row.site_id, ACTION[row.kind])
    _set(row, state="planned", done=0, applied_ms=None, applied_by=None, applied_name=None)


def forget_plan(session: Session, viewer: Viewer, row: ImportFile) -> str | None:
    """Takes out a plan that was not applied; the name of the bytes that were kept for it."""
    require(viewer, row.site_id, ACTION[row.kind])
    if row.state not in ("planning", "planned"):
        raise WrongState("is-applied", row.state)
    kept = row.kept
    session.execute(delete(ImportFile).where(ImportFile.id == row.id))
    return kept


def forget_old_plans(session: Session, viewer: Viewer, now_ms: int) -> int:
    """Takes out the plans of all farms that nobody applied in time."""
    require_service(viewer)
    old = and_(ImportFile.state.in_(("planning", "planned")), ImportFile.planned_ms < now_ms - PLAN_MS)
    found = list(session.scalars(select(ImportFile.id).where(old)))
    session.execute(delete(ImportFile).where(ImportFile.id.in_(found)))
    late = and_(ImportFile.kept.is_not(None), ImportFile.planned_ms < now_ms - 2 * PLAN_MS)
    session.execute(update(ImportFile).where(late).values(kept=None))
    return len(found)


def kept_files(session: Session, viewer: Viewer) -> set[str]:
    """The names of all bytes that are still needed."""
    require_service(viewer)
    return {name for name in session.scalars(select(ImportFile.kept)) if name is not None}


def _check_alone(session: Session, row: ImportFile, now_ms: int) -> None:
    """`WrongState` while another import of the farm is under way: one at a time keeps the machine for others."""
    busy = or_(
        and_(ImportFile.state == "applying", ImportFile.applied_ms > now_ms - QUIET_MS),
        and_(ImportFile.state == "undoing", ImportFile.undone_ms > now_ms - QUIET_MS),
    )
    others = select(ImportFile.id).where(ImportFile.site_id == row.site_id, ImportFile.id != row.id, busy)
    if session.scalar(others.limit(1)) is not None:
        raise WrongState("another-under-way", row.state)


def _set(row: ImportFile, **what: Any) -> None:
    for name, value in what.items():
        setattr(row, name, value)
    row.version += 1


def _name(viewer: Viewer) -> str:
    return viewer.name if isinstance(viewer, Person) else ""
