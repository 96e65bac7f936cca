"""The audit of a farm: who from outside read what of it, and who changed what about its rights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fastapi import APIRouter, Request

from api.centre import CentreNow
from api.paging import Paging
from api.routes.consents import class_name, names, require_insider
from api.sessions import SignedIn
from api.shapes import AuditOut, AuditPage, Names
from collectors.registry import audit
from collectors.registry.schema import AuditRow
from collectors.registry.viewer import ROLE_NAMES
from makiba.data_class import DATA_CLASSES

router = APIRouter(tags=["rights"])

WHAT: Final[Mapping[str, Names]] = {
    "consent.given": Names(ja="データを 見せることに しました", en="gave a consent"),
    "consent.withdrawn": Names(ja="データを 見せるのを やめました", en="withdrew a consent"),
    "role.granted": Names(ja="役割を 決めました", en="gave somebody a role"),
    "role.revoked": Names(ja="役割を 外しました", en="took a role away"),
}
"""What changes are called. Each module of routes has a `WHAT` of its own, for what is read or changed by it."""

ADMIN: Final = Names(ja="管理者", en="administrator")
NO_ROLE: Final = Names(ja="", en="")


@router.get("/sites/{site}/audit")
def page(site: str, request: Request, viewer: SignedIn, centre: CentreNow, page: Paging) -> AuditPage:
    """Who looked at the farm from outside, and who changed what, the newest first."""
    require_insider(viewer, site)
    with centre.registry.read() as session:
        rows = audit.list_rows(session, viewer, site, page.ask, page.after)
    rows, next_page = page.cut(rows, lambda row: (row.at_ms, row.id))
    return AuditPage(rows=[_shown(row, request.app.state.what) for row in rows], next=next_page)


def _shown(row: AuditRow, what: Mapping[str, Names]) -> AuditOut:
    return AuditOut.model_validate(
        {
            "id": row.id,
            "kind": row.kind,
            "at_ms": row.at_ms,
            "last_ms": row.last_ms,
            "name": row.name or None,
            "role": row.role,
            "role_name": _role_name(row.role),
            "data_class": next((class_name(c) for c in DATA_CLASSES if c == row.data_class), None),
            "what": row.what,
            "what_name": what.get(row.what, Names(ja=row.what, en=row.what)),
            "from_ms": row.from_ms,
            "to_ms": row.to_ms,
            "count": row.count,
            "detail": row.detail,
        }
    )


def _role_name(role: str) -> Names:
    known = ROLE_NAMES.get(role)
    return names(known) if known else ADMIN if role == "admin" else NO_ROLE
