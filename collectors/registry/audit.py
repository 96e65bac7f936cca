"""The audit: who from outside read which part of a farm's data, and who changed what about its rights.

A read is written before its answer goes out. Reads of the same minute, person, class and route are one row with a
count, so that a page that asks every ten seconds does not fill the book. Rows are never changed otherwise, and go
with their farm only. The farm's own reading is not written down.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import and_, case, or_, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from collectors.registry.schema import AuditRow
from collectors.registry.viewer import Person, Viewer, require, spell
from makiba.data_class import DataClass

MINUTE_MS: Final = 60_000
READ: Final = "read"
CHANGE: Final = "change"


def note_read(
    session: Session,
    viewer: Person,
    site: str,
    classes: Iterable[DataClass],
    what: str,
    now_ms: int,
    span_ms: tuple[int, int] | None = None,
) -> None:
    """Notes that `viewer` reads `classes` of `site` by the route `what`, of the time `span_ms` where one is asked."""
    insert: Any = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    start_ms, end_ms = span_ms or (None, None)
    for data_class in sorted(classes):
        row = {**_row(viewer, site, what, now_ms), "kind": READ, "data_class": data_class}
        new = insert(AuditRow).values(**row, from_ms=start_ms, to_ms=end_ms)
        first, last = new.excluded.from_ms, new.excluded.to_ms
        session.execute(
            new.on_conflict_do_update(
                index_elements=["site_id", "minute", "who", "data_class", "what"],
                index_where=text("kind = 'read'"),
                set_={
                    "count": AuditRow.count + 1,
                    "last_ms": now_ms,
                    "from_ms": case((first < AuditRow.from_ms, first), else_=AuditRow.from_ms),
                    "to_ms": case((last > AuditRow.to_ms, last), else_=AuditRow.to_ms),
                },
            )
        )


def note_change(session: Session, viewer: Viewer, site: str, what: str, now_ms: int, **detail: Any) -> None:
    """Notes that `viewer` changed something about the rights of `site`, in the transaction of the change."""
    session.add(AuditRow(**_row(viewer, site, what, now_ms) | {"detail": detail}, kind=CHANGE, data_class=""))


def list_rows(
    session: Session, viewer: Viewer, site: str, limit: int, after: str | None = None
) -> Sequence[AuditRow]:
    """The newest rows of `site` first; `after` goes on behind the row of this id.

    `NotAllowed` for who may not see them.
    """
    require(viewer, site, "see audit")
    query = select(AuditRow).where(AuditRow.site_id == site)
    if after is not None:
        last = session.scalar(query.where(AuditRow.id == after))
        if last is None:
            return []
        older = and_(AuditRow.at_ms == last.at_ms, AuditRow.id < last.id)
        query = query.where(or_(AuditRow.at_ms < last.at_ms, older))
    return session.scalars(query.order_by(AuditRow.at_ms.desc(), AuditRow.id.desc()).limit(limit)).all()


def _row(viewer: Viewer, site: str, what: str, now_ms: int) -> dict[str, Any]:
    person = viewer if isinstance(viewer, Person) else None
    role = person.roles.get(site, "admin" if person.is_admin else "") if person else ""
    return {
        "id": secrets.token_urlsafe(16), "site_id": site, "minute": now_ms // MINUTE_MS, "at_ms": now_ms,
        "last_ms": now_ms, "who": spell(viewer), "name": person.name if person else "", "role": role,
        "what": what, "count": 1, "detail": {},
    }  # fmt: skip
