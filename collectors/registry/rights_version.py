"""The number that goes up with every change of who may see what, in the same transaction as the change.

Nobody has to think of it: a session that writes (`WritingSession`) notices changes to the tables that rights are
made of (`schema.RIGHTS_TABLES`), by objects or by statements, and raises the number before it commits. Statements in
plain SQL text are not noticed; there are none. Of signed-in browsers only their end counts: a new one holds nothing
open yet, and one that goes on longer is looked at when it was to end. Whoever holds something open (a stream)
remembers the number with which its rights were worked out, and works them out again when it is another.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import event, select, update
from sqlalchemy.orm import ORMExecuteState, Session

from collectors.registry.schema import RIGHTS_TABLES, SESSION_TABLES, RightsVersion

_CHANGED: Final = "rights_changed"


class WritingSession(Session):
    """A session whose changes of rights are numbered."""


def number_changes(session: Session) -> None:
    """Raises the number if `session` changed rights; call it last in the transaction."""
    session.flush()
    if session.info.pop(_CHANGED, False):
        session.execute(update(RightsVersion).values(version=RightsVersion.version + 1))


def current(session: Session) -> int:
    """The number as `session` sees it. It fits to whatever else is read in the same `read()`."""
    return session.scalar(select(RightsVersion.version)) or 0


def hold(session: Session) -> int:
    """The number; no change of rights commits between this and the end of `session`'s transaction.

    Who looks at rights in a writing transaction calls it first. On SQLite there is one writer at a time anyway.
    """
    return session.scalar(select(RightsVersion.version).with_for_update(read=True)) or 0


@event.listens_for(WritingSession, "after_flush")
def _flushed(session: Session, _: Any) -> None:
    gone = [row for row in session.deleted if row.__table__.name in SESSION_TABLES]
    if gone or any(row.__table__.name in RIGHTS_TABLES for row in (*session.new, *session.dirty, *session.deleted)):
        session.info[_CHANGED] = True


@event.listens_for(WritingSession, "do_orm_execute")
def _executed(state: ORMExecuteState) -> Any:
    table = getattr(state.bind_mapper.local_table, "name", "") if state.bind_mapper else ""
    if not (table in RIGHTS_TABLES and (state.is_insert or state.is_update or state.is_delete)) and not (
        table in SESSION_TABLES and state.is_delete
    ):
        return None
    result: Any = state.invoke_statement()
    if result.rowcount:
        state.session.info[_CHANGED] = True
    return result
