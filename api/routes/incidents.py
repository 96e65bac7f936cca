"""Incidents across farms: one table for who helps, three answers for who is hit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

from fastapi import APIRouter, Path

from analytics import alert_book
from analytics.notify.crowd import title_of
from api.centre import CentreNow
from api.etags import Tagging
from api.paging import Paging
from api.problems import existing
from api.sessions import Accounting, SignedIn, writing
from api.shapes import Names
from api.shapes.incidents import AnswerIn, IncidentFarmOut, IncidentOut, IncidentsOut
from collectors.registry import incidents, sites
from collectors.registry.incidents import FarmIn, Shown
from collectors.registry.viewer import Person, may_do

router = APIRouter(tags=["incidents"])

WHAT: Final[Mapping[str, Names]] = {
    "/incidents": Names(ja="停電などの 一覧を 見ました", en="looked at power cuts and the like"),
    "incident.answered": Names(ja="停電などの 問い合わせに 答えました", en="answered about a power cut or the like"),
}

IncidentId = Annotated[str, Path(max_length=64)]


@router.get("/incidents")
def list_of(viewer: SignedIn, centre: CentreNow, account: Accounting, page: Paging, tags: Tagging) -> IncidentsOut:
    """What befell many farms at once, the newest first, with the farms whose alerts the viewer may see."""
    with centre.registry.read() as session:
        found = incidents.list_incidents(session, viewer, page.ask, page.after)
        shown, following = page.cut(found, lambda one: (one.row.opened_ms, one.row.id))
    gone = account.note_many({farm.site.id: {"alerts"} for one in shown for farm in one.farms})
    told = [
        _told(viewer, Shown(one.row, [f for f in one.farms if f.site.id not in gone], one.in_all)) for one in shown
    ]
    return tags.content(IncidentsOut(rows=[one for one in told if one.farms], next=following), but={"next"})


@router.post("/sites/{site}/incidents/{incident}/answer")
def answer(site: str, incident: IncidentId, given: AnswerIn, viewer: SignedIn, centre: CentreNow) -> IncidentFarmOut:
    """'All right', 'we need a generator', 'we need people'. Answering again changes the answer."""
    with writing(centre, viewer, site) as session:
        existing(sites.get_site(session, viewer, site, "alerts"))
        row = existing(incidents.answer(session, viewer, incident, site, given.answer, centre.clock()))
        for alert in incidents.alerts_of(session, viewer, incident, site):
            alert_book.acknowledge(session, viewer, alert, centre.clock())
        return _farm(viewer, incidents.farm_of(session, viewer, row))


def _told(viewer: Person, one: Shown) -> IncidentOut:
    still = sum(farm.row.ended_ms is None for farm in one.farms)
    ja, en = title_of(one.row.kind, one.in_all or len(one.farms))
    return IncidentOut(
        id=one.row.id,
        kind="power" if one.row.kind == "power" else "link",
        title=Names(ja=ja, en=en),
        onset_ms=one.row.onset_ms,
        ended_ms=one.row.ended_ms,
        farms=[_farm(viewer, farm) for farm in one.farms],
        farms_in_all=one.in_all,
        still_hit=still,
    )


def _farm(viewer: Person, farm: FarmIn) -> IncidentFarmOut:
    return IncidentFarmOut(
        site=farm.site.id,
        name=Names(ja=farm.site.name_ja, en=farm.site.name_en),
        onset_ms=farm.row.onset_ms,
        ended_ms=farm.row.ended_ms,
        generator=farm.generator,
        cows=farm.cows,
        answer=incidents.answer_word(farm.row),
        answered_ms=farm.row.answered_ms,
        may_answer=may_do(viewer, farm.site.id, "acknowledge"),
    )
