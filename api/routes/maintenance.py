"""Maintenance windows of a farm: what somebody works on, so that what is missing has its reason.

They belong to the technical side. No rule about life is silenced by one: an alert says that somebody works there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

from fastapi import APIRouter, HTTPException, Path, Query

from api.centre import CentreNow
from api.etags import Changing, Tagging
from api.once import Once
from api.paging import Paging
from api.problems import existing, invalid
from api.routes.technical import require_technical, require_technical_of_the_farm
from api.sessions import Accounting, SignedIn, writing
from api.shapes import Millis, Names
from api.shapes.farm import MaintenanceIn, MaintenanceOut, MaintenancesOut, TargetOut
from collectors.registry import maintenance, sites
from collectors.registry.contacts import TooMany
from collectors.registry.maintenance import MaintenanceSpec
from collectors.registry.schema.farm import Maintenance

router = APIRouter(tags=["maintenance"])

WindowId = Annotated[str, Path(max_length=64)]

BACK_MS: Final = 30 * 86_400_000
AHEAD_MS: Final = 366 * 86_400_000

WHAT: Final[Mapping[str, Names]] = {
    "/sites/{site}/maintenance": Names(ja="作業の 予定を 見ました", en="looked at maintenance windows"),
    "/sites/{site}/maintenance/{window_id}": Names(ja="作業の 予定を 見ました", en="looked at a maintenance window"),
    "/sites/{site}/maintenance/{window_id}/end": Names(
        ja="作業を 終えようと しました", en="set out to end maintenance"
    ),
    "maintenance.planned": Names(ja="作業の 予定を 入れました", en="planned maintenance"),
    "maintenance.changed": Names(ja="作業の 予定を 直しました", en="changed maintenance"),
    "maintenance.ended": Names(ja="作業を 終えました", en="ended maintenance"),
    "maintenance.removed": Names(ja="作業の 予定を 消しました", en="removed planned maintenance"),
}


@router.get("/sites/{site}/maintenance")
def list_of(
    site: str,
    viewer: SignedIn,
    centre: CentreNow,
    account: Accounting,
    page: Paging,
    from_ms: Annotated[Millis | None, Query()] = None,
    to_ms: Annotated[Millis | None, Query()] = None,
) -> MaintenancesOut:
    """Windows that touch [from_ms, to_ms), the latest first; by default from 30 days ago until a year ahead."""
    require_technical(viewer, site)
    now_ms = centre.clock()
    start = now_ms - BACK_MS if from_ms is None else from_ms
    end = now_ms + AHEAD_MS if to_ms is None else to_ms
    with centre.registry.read() as session:
        existing(sites.get_site(session, viewer, site))
        rows = maintenance.list_windows(session, viewer, site, start, end, page.ask, page.after)
    account.note(site, ["technical"])
    shown, following = page.cut(rows, lambda row: (row.from_ms, row.id))
    return MaintenancesOut(rows=[_shown(row, now_ms) for row in shown], next=following)


@router.post("/sites/{site}/maintenance", status_code=201)
def plan(
    site: str, given: MaintenanceIn, viewer: SignedIn, account: Accounting, centre: CentreNow, once: Once
) -> MaintenanceOut:
    """Says that somebody works on something, from when until when; it may have begun up to 7 days ago."""
    require_technical_of_the_farm(account, site)
    with once.write(site, "plan maintenance") as session:
        try:
            row = maintenance.add_window(session, viewer, site, _spec(given), centre.clock())
        except (maintenance.NotThere, TooMany) as error:
            raise invalid("", str(error)) from None
        return once.made(_shown(row, centre.clock()), f"/sites/{site}/maintenance/{row.id}", version=row.version)


@router.get("/sites/{site}/maintenance/{window_id}")
def one(
    site: str, window_id: WindowId, viewer: SignedIn, centre: CentreNow, account: Accounting, tags: Tagging
) -> MaintenanceOut:
    """One window, with its version as ETag."""
    require_technical(viewer, site)
    with centre.registry.read() as session:
        row = existing(maintenance.get_window(session, viewer, site, window_id))
    account.note(site, ["technical"])
    tags.version(row.version)
    return _shown(row, centre.clock())


@router.put("/sites/{site}/maintenance/{window_id}")
def change(
    site: str, window_id: WindowId, given: MaintenanceIn, viewer: SignedIn, account: Accounting,
    centre: CentreNow, tags: Changing
) -> MaintenanceOut:  # fmt: skip
    """Makes the window say what is given."""
    require_technical_of_the_farm(account, site)
    with writing(centre, viewer, site) as session:
        row = existing(maintenance.get_window(session, viewer, site, window_id, to_change=True))
        tags.expect(row.version)
        try:
            maintenance.change_window(session, viewer, row, _spec(given), centre.clock())
        except maintenance.NotThere as error:
            raise invalid("", str(error)) from None
        tags.changed(row.version)
        return _shown(row, centre.clock())


@router.post("/sites/{site}/maintenance/{window_id}/end")
def end(site: str, window_id: WindowId, viewer: SignedIn, account: Accounting, centre: CentreNow) -> MaintenanceOut:
    """The work is done, earlier than planned. Again changes nothing."""
    require_technical_of_the_farm(account, site)
    with writing(centre, viewer, site) as session:
        row = existing(maintenance.get_window(session, viewer, site, window_id, to_change=True))
        maintenance.end_window(session, viewer, row, centre.clock())
        return _shown(row, centre.clock())


@router.delete("/sites/{site}/maintenance/{window_id}", status_code=204)
def remove(
    site: str, window_id: WindowId, viewer: SignedIn, account: Accounting, centre: CentreNow, tags: Changing
) -> None:
    """Takes out a window that has not begun; 409 for one that has, which is ended instead."""
    require_technical_of_the_farm(account, site)
    with writing(centre, viewer, site) as session:
        row = existing(maintenance.get_window(session, viewer, site, window_id, to_change=True))
        tags.expect(row.version)
        try:
            maintenance.remove_window(session, viewer, row, centre.clock())
        except maintenance.HasBegun as error:
            raise HTTPException(409, str(error)) from None


def _spec(given: MaintenanceIn) -> MaintenanceSpec:
    return MaintenanceSpec(tuple((t.kind, t.id) for t in given.targets), given.from_ms, given.to_ms, given.why)


def _shown(row: Maintenance, now_ms: int) -> MaintenanceOut:
    until_ms = row.to_ms if row.ended_ms is None else row.ended_ms
    return MaintenanceOut(
        id=row.id, targets=[TargetOut(kind=kind, id=name) for kind, name in row.targets], from_ms=row.from_ms,
        to_ms=row.to_ms, ended_ms=row.ended_ms, why=row.why, who=row.who_name or None,
        in_force=row.from_ms <= now_ms < until_ms, version=row.version,
    )  # fmt: skip
