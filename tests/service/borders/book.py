"""What people do with alerts, and the rules by their word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analytics import alert_book
from analytics.decision import Decision
from collectors.registry.viewer import Service
from tests.service.borders import Cells, Room, Route, cells
from tests.service.serving import now_ms

OWN = cells(200, 200, 200, guest=403, admin=404)
LOOKED_AT = cells(200, 200, 200, guest=200, admin=404)
COMMENTED: Cells = {**cells(201, 201, 201, guest=403, admin=404), "vet": 201, "technician": 201}
CHANGED = cells(200, 200, 403, guest=403, admin=404)

DOES: Mapping[Route, Cells] = {
    ("post", "/alerts/{alert_id}/snooze"): OWN,
    ("post", "/alerts/{alert_id}/assign"): OWN,
    ("post", "/alerts/{alert_id}/feedback"): OWN,
    ("post", "/alerts/{alert_id}/comments"): COMMENTED,
    ("put", "/sites/{site}/rules/{rule}"): CHANGED,
}
LOOKS: tuple[Route, ...] = (
    ("get", "/alerts/{alert_id}/comments"),
    ("get", "/sites/{site}/rules"),
    ("get", "/sites/{site}/rules/{rule}"),
)


def _ids(town: Any, site: str) -> Mapping[str, str]:
    at_ms = town.centre.clock()
    with town.centre.registry.write() as session:
        decision = Decision("open", site, "fan.failed", "fan-1", at_ms, at_ms, severity="warning")
        alert = alert_book.write(session, Service("analytics"), decision, at_ms).alert_id
    return {"alert_id": alert}


ROOM = Room(
    about_a_farm={**DOES, **dict.fromkeys(LOOKS, LOOKED_AT)},
    by_class=dict.fromkeys(LOOKS, frozenset({"alerts"})),
    # Who is asked class by class is a vet.
    told_by_class={
        route: {"alerts": 201 if route == ("post", "/alerts/{alert_id}/comments") else 403} for route in DOES
    },
    bodies={
        "/alerts/{alert_id}/snooze": {"until_ms": now_ms() + 3_600_000},
        "/alerts/{alert_id}/assign": {"person": None},
        "/alerts/{alert_id}/feedback": {"label": "useful"},
        "/alerts/{alert_id}/comments": {"text": "電気屋さんを 呼びました。"},
        "/sites/{site}/rules/{rule}": {"mode": "by-labels"},
    },
    headers={("put", "/sites/{site}/rules/{rule}"): {"If-Match": "*"}},
    ids=_ids,
)
