"""The audit: who from outside read which part of a farm's data, and who changed what about its rights.

A read is written before its answer goes out. Reads of the same minute, person, class and route are one row with a
count, so that a page that asks every ten seconds does not fill the book. Rows are never changed otherwise, and go
with their farm only. The farm's own reading is not written down.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import case, select, text, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from collectors.registry.schema import AuditRow
from collectors.registry.viewer import Person, Viewer, require, spell_with_program
from makiba.data_class import DataClass

MINUTE_MS: Final = 60_000
READ: Final = "read"
CHANGE: Final = "change"


@dataclass(frozen=True, slots=True)
class Read:
    """That `viewer` reads `classes` of `site` by the route `what`, of the time `span_ms` where one is asked."""

    viewer: Person
    site: str
    classes: frozenset[DataClass]
    what: str
    now_ms: int
    span_ms: tuple[int, int] | None = None


def note_read(
    session: Session,
    viewer: Person,
    site: str,
    classes: Iterable[DataClass],
    what: str,
    now_ms: int,
    span_ms: tuple[int, int] | None = None,
) -> None:
    """Notes one read."""
    note_reads(session, [Read(viewer, site, frozenset(classes), what, now_ms, span_ms)])


def note_reads(session: Session, reads: Iterable[Read]) -> None:
    """Notes reads, of any number of farms and viewers, in one statement.

    Rows are written in one order, so that two writers never wait for each other crosswise.
    """
    rows: dict[tuple[object, ...], dict[str, Any]] = {}
    for read in reads:
        start_ms, end_ms = read.span_ms or (None, None)
        for data_class in read.classes:
            row = _row(read.viewer, read.site, read.what, read.now_ms)
            row |= {"kind": READ, "data_class": data_class, "from_ms": start_ms, "to_ms": end_ms}
            key = (read.site, row["minute"], row["who"], data_class, read.what)
            if (known := rows.get(key)) is not None:
                row = {
                    **known,
                    "count": known["count"] + 1,
                    "last_ms": max(known["last_ms"], read.now_ms),
                    "from_ms": _outer(min, known["from_ms"], start_ms),
                    "to_ms": _outer(max, known["to_ms"], end_ms),
                }
            rows[key] = row
    if not rows:
        return
    insert: Any = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    new = insert(AuditRow)
    first, last = new.excluded.from_ms, new.excluded.to_ms
    upsert = new.on_conflict_do_update(
        index_elements=["site_id", "minute", "who", "data_class", "what"],
        index_where=text("kind = 'read'"),
        set_={
            "count": AuditRow.count + new.excluded.count,
            "last_ms": new.excluded.last_ms,
            "from_ms": case((first < AuditRow.from_ms, first), else_=AuditRow.from_ms),
            "to_ms": case((last > AuditRow.to_ms, last), else_=AuditRow.to_ms),
        },
    )
    session.connection().execute(upsert, [rows[key] for key in sorted(rows)])


def _outer(pick: Callable[[int, int], int], known: int | None, new: int | None) -> int | None:
    return known if new is None or known is None else pick(known, new)


def note_change(session: Session, viewer: Viewer, site: str, what: str, now_ms: int, **detail: Any) -> None:
    """Notes that `viewer` changed something about the rights of `site`, in the transaction of the change."""
    row = _row(viewer, site, what, now_ms)
    session.add(AuditRow(**row | {"detail": row["detail"] | detail}, kind=CHANGE, data_class=""))


def list_rows(
    session: Session, viewer: Viewer, site: str, limit: int, after: tuple[int, str] | None = None
) -> Sequence[AuditRow]:
    """The newest rows of `site` first; `after` goes on behind the row of this time and id.

    `NotAllowed` for who may not see them.
    """
    require(viewer, site, "see audit")
    query = select(AuditRow).where(AuditRow.site_id == site)
    if after is not None:
        query = query.where(tuple_(AuditRow.at_ms, AuditRow.id) < after)
    return session.scalars(query.order_by(AuditRow.at_ms.desc(), AuditRow.id.desc()).limit(limit)).all()


def _row(viewer: Viewer, site: str, what: str, now_ms: int) -> dict[str, Any]:
    person = viewer if isinstance(viewer, Person) else None
    program = person.limit if person else None
    role = person.roles.get(site, "admin" if person.is_admin else "") if person else ""
    return {
        "id": secrets.token_urlsafe(16), "site_id": site, "minute": now_ms // MINUTE_MS, "at_ms": now_ms,
        "last_ms": now_ms, "who": spell_with_program(viewer), "name": person.name if person else "", "role": role,
        "what": what, "count": 1, "detail": {"program": program.name} if program else {},
    }  # fmt: skip
