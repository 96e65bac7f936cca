"""Who was told of an alert, by what, and what became of it. For the farm's own people: it names them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

from fastapi import APIRouter, Path

from api.centre import CentreNow
from api.etags import Tagging
from api.problems import existing
from api.routes.consents import require_insider
from api.sessions import SignedIn
from api.shapes import Names
from api.shapes.notify import DeliveriesOut, DeliveryOut
from collectors.registry import addresses, alerts, outbox
from collectors.registry.schema.notify import Escalation, Outbox
from collectors.registry.viewer import Service

router = APIRouter(tags=["alerts"])

AlertId = Annotated[str, Path(max_length=64)]

STATES: Final[Mapping[str, Names]] = {
    "waiting": Names(ja="これから 送ります", en="to be sent"),
    "held": Names(ja="一覧を 待っています", en="waits for the list"),
    "accepted": Names(ja="送りました", en="sent"),
    "delivered": Names(ja="届きました", en="delivered"),
    "seen": Names(ja="見ました", en="seen"),
    "failed": Names(ja="送れませんでした", en="could not be sent"),
    "withdrawn": Names(ja="取り消しました", en="withdrawn"),
    "listed": Names(ja="一覧で 知らせました", en="told in the list"),
}


@router.get("/sites/{site}/alerts/{alert_id}/deliveries")
def list_of(site: str, alert_id: AlertId, viewer: SignedIn, centre: CentreNow, tags: Tagging) -> DeliveriesOut:
    """Each message about the alert, the oldest first, with what happened to it."""
    require_insider(viewer, site)
    with centre.registry.read() as session:
        alert = existing(alerts.get_alert(session, viewer, alert_id))
        existing(alert if alert.site_id == site else None)
        rows = outbox.deliveries_of(session, viewer, alert_id)
        logs = outbox.logs_of(session, viewer, rows)
        service = Service("api")
        people = list(addresses.of_site(session, service, site, centre.clock()).values())
        gone = {row.person_id for row in rows if row.person_id is not None} - {one.person_id for one in people}
        people += addresses.of_persons(session, service, gone, centre.clock()).values()
        carried = session.get(Escalation, alert_id)
    names = {(one.person_id, one.contact_id): one.name for one in people}
    told = [
        DeliveryOut.model_validate(
            {
                "id": row.id,
                "who": names.get((row.person_id, row.contact_id)),
                "channel": row.channel or None,
                "severity": row.severity,
                "state": row.state,
                "state_name": STATES.get(row.state, Names(ja=row.state, en=row.state)),
                "reason": row.reason,
                "round": _round(row),
                "created_ms": row.created_ms,
                "due_ms": row.due_ms,
                "steps": [
                    {"at_ms": line.at_ms, "step": line.step, "detail": line.detail} for line in logs.get(row.id, [])
                ],
            }
        )
        for row in rows
    ]
    return tags.content(DeliveriesOut(rows=told, next=None, next_ms=carried.next_ms if carried else None))


def _round(row: Outbox) -> int:
    return int((row.content or {}).get("round", 0))
