"""Everything the registry holds of one farm, table by table, whatever tables there are.

A row belongs to a farm by its `site_id` (or `site`), by a key into a row that does, or by the gateway or source it
came from. So a new table is part of a farm's archive, and of what is deleted with the farm, without a line here; one
that holds nothing of a farm stands in `NOT_OF_A_FARM` with its reason (a test holds that each table is one or the
other). Hashes and secrets are left out of the archive: they let somebody in, and tell nothing about a farm.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from sqlalchemy import ColumnElement, Table, delete, func, or_, select
from sqlalchemy.orm import Session

from collectors.registry.schema import Base, PersonRow, RoleRow
from collectors.registry.viewer import Viewer, require

_OF_A_PERSON: Final = "a person's own: how they sign in"

NOT_OF_A_FARM: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        ("account", "api_token", "challenge", "invitation", "passkey", "passkey_owner", "recovery_code",
         "recovery_request", "sign_in_notice", "totp", "web_session"),
        _OF_A_PERSON,
    ),
    **dict.fromkeys(("link_code", "wish"), "a person's own: how they want to be told"),
    "admin_step": "what administrators did to accounts; what touches a farm is in its audit",
    "account_flow": "minutes of a sign-in at a provider",
    "attempt": "how often a sign-in failed; hashes",
    "comparison": "of five farms and more, and of none",
    "departure": "the receipt, which outlives the farm",
    "fetch_state": "addresses of the weather service",
    "first_link": "the machine's first start",
    "forecast": "about an area, shared by farms",
    "incident": "of many farms; which of them were in it goes with each",
    "lora_unknown": "devices that no farm names",
    "quota": "how many messages a vendor took in a month, of all farms",
    "person": "whoever belonged to this farm only goes with it; of the others only name and role are told",
    "rights_version": "one number",
    "shard_lease": "which worker judges which part of all farms",
    "site_store": "where the readings are; removed once they are deleted",
    "store_server": "machines",
    "vendor_event": "ids that a vendor gave to what it told us",
    "watch_worker": "machines",
    "weather_warning": "about an area, shared by farms",
}  # fmt: skip

SENDERS: Final = ("dead_letter", "dead_letter_day")
"""Tables of what came from a gateway or source, which may be gone already: `gateway_id` is no key of theirs."""

_SECRET: Final = ("_hash", "secret", "password", "token")


def tables_of(site: str) -> dict[Table, ColumnElement[bool]]:
    """The tables that may hold rows of `site`, parents first, and which rows those are."""
    of: dict[Table, ColumnElement[bool]] = {}
    for table in Base.metadata.sorted_tables:
        if table.name in NOT_OF_A_FARM:
            continue
        if table.name == "site":
            of[table] = table.c.id == site
        elif (named := table.c.get("site_id", table.c.get("site"))) is not None:
            of[table] = named == site
        elif table.name in SENDERS:
            of[table] = _came_from(table, site)
        elif through := [key for key in table.foreign_keys if key.column.table in of]:
            of[table] = or_(*(key.parent.in_(select(key.column).where(of[key.column.table])) for key in through))
    return of


def unplaced_tables() -> list[str]:
    """Tables of which nobody has said whose they are."""
    known = {table.name for table in tables_of("")} | set(NOT_OF_A_FARM)
    return sorted(set(Base.metadata.tables) - known)


def _came_from(table: Table, site: str) -> ColumnElement[bool]:
    tables = Base.metadata.tables
    theirs = (select(tables[name].c.id).where(tables[name].c.site_id == site) for name in ("gateway", "source"))
    return or_(*(table.c.gateway_id.in_(ids) for ids in theirs))


def people_of(session: Session, viewer: Viewer, site: str) -> list[dict[str, str]]:
    """Who is what on `site`: names and roles."""
    require(viewer, site, "export all")
    query = select(PersonRow.name, RoleRow.role).join(RoleRow, RoleRow.person_id == PersonRow.id)
    rows = session.execute(query.where(RoleRow.site_id == site).order_by(RoleRow.role, PersonRow.name))
    return [{"name": name, "role": role} for name, role in rows]


def rows_of(session: Session, viewer: Viewer, site: str) -> Iterator[tuple[str, Iterator[dict[str, Any]]]]:
    """(table, its rows of `site` as JSON has them), tables without a row left out. Take the rows in order."""
    require(viewer, site, "export all")
    for table, theirs in tables_of(site).items():
        shown = [column for column in table.c if not any(word in column.name for word in _SECRET)]
        found = session.execute(
            select(*shown).where(theirs).order_by(*table.primary_key).execution_options(yield_per=500)
        )
        rows = ({name: _json(value) for name, value in row.items()} for row in found.mappings())
        first = next(rows, None)
        if first is not None:
            yield table.name, _again(first, rows)


def _again(first: dict[str, Any], rest: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    yield first
    yield from rest


def _json(value: Any) -> Any:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def delete_rows(session: Session, site: str, tell: Callable[[str, int], None]) -> None:
    """Deletes every row of `site`, children first; `tell` hears each table and how many rows of it there were.

    Only `collectors.registry.leaving` calls it: nobody's right is looked at here. Statements name their tables by the
    mapped classes where there are such, so that changes of rights are noticed.
    """
    classes = {mapper.local_table: mapper.class_ for mapper in Base.registry.mappers}
    tables = tables_of(site)
    # Counted first: what hangs below a row by ON DELETE CASCADE would be gone before its turn.
    counts = {table: session.scalar(select(func.count()).select_from(table).where(tables[table])) for table in tables}
    # What came from a gateway is told by the gateway, and goes before it.
    came = [table for table in tables if table.name in SENDERS]
    for table in (*came, *(table for table in reversed(tables) if table not in came)):
        statement: Any = delete(classes.get(table, table)).where(tables[table])
        session.execute(statement.execution_options(synchronize_session=False))
        if counts[table]:
            tell(table.name, int(counts[table] or 0))
