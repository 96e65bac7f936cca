"""Alerts of a farm: those open, those past, one of them, and 'I have seen it'."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Path

from analytics import alert_book
from api.alert_view import view, views
from api.centre import CentreNow
from api.etags import Tagging
from api.paging import Paging
from api.problems import existing
from api.sessions import Accounting, SignedIn, writing
from api.shapes import AlertOut, AlertsOut, Names
from collectors.registry import alerts, sites

router = APIRouter(tags=["alerts"])

WHAT: Final[Mapping[str, Names]] = {
    "/sites/{site}/alerts": Names(ja="警報の 一覧を 見ました", en="looked at the list of alerts"),
    "/alerts/{alert_id}": Names(ja="警報を 見ました", en="looked at an alert"),
}

AlertId = Annotated[str, Path(max_length=64)]


@router.get("/sites/{site}/alerts")
def list_of(
    site: str,
    viewer: SignedIn,
    centre: CentreNow,
    account: Accounting,
    page: Paging,
    tags: Tagging,
    state: Literal["active", "ended"] = "active",
) -> AlertsOut:
    """Alerts of `site`, newest first: active ones by when they opened, ended ones by when they ended."""
    active = state == "active"
    with centre.registry.read() as session:
        existing(sites.get_site(session, viewer, site, "alerts"))
        rows = alerts.list_alerts(session, viewer, site, active, page.ask, page.after)
        rows, next_page = page.cut(rows, lambda row: (row.opened_ms if active else row.ended_ms, row.id))
        told = AlertsOut(rows=views(session, centre.rules, rows), next=next_page)
    account.note(site, {"alerts"})
    return tags.content(told, but={"next"})


@router.get("/alerts/{alert_id}")
def one(alert_id: AlertId, viewer: SignedIn, centre: CentreNow, account: Accounting) -> AlertOut:
    """The alert with everything that happened to it."""
    with centre.registry.read() as session:
        row = existing(alerts.get_alert(session, viewer, alert_id))
        told = view(session, centre.rules, row)
    account.note(row.site_id, {"alerts"})
    return told


@router.post("/alerts/{alert_id}/acknowledge")
def acknowledge(alert_id: AlertId, viewer: SignedIn, centre: CentreNow) -> AlertOut:
    """'I take care of it.' The first who answers has it; answering again changes nothing."""
    with writing(centre, viewer) as session:
        row = existing(alert_book.acknowledge(session, viewer, alert_id, centre.clock()))
        return view(session, centre.rules, row)
