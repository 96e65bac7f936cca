"""Incidents across farms."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from analytics import alert_book
from analytics.decision import Decision
from collectors.registry import incidents
from collectors.registry.incidents import Hit
from collectors.registry.viewer import Service
from tests.service.borders import Room, Route, cells

ANALYTICS = Service("analytics")
ANSWER: Route = ("post", "/sites/{site}/incidents/{incident}/answer")


def _ids(town: Any, site: str) -> Mapping[str, str]:
    at_ms, number = town.centre.clock(), hashlib.sha256(site.encode()).hexdigest()[:32]
    with town.centre.registry.write() as session:
        decision = Decision("open", site, "gateway.silent", "gw-x", at_ms, at_ms, severity="warning")
        alert = alert_book.write(session, ANALYTICS, decision, at_ms).alert_id
        incidents.begin(session, ANALYTICS, number, "", at_ms, at_ms)
        hit = Hit(alert, site, "gateway.silent", "", at_ms)
        incidents.join(session, ANALYTICS, number, [hit], "link", at_ms)
    return {"incident": number}


ROOM = Room(
    signed_in={("get", "/incidents"): 200},
    about_a_farm={ANSWER: cells(200, 200, 200, guest=403, admin=404)},
    told_by_class={ANSWER: {"alerts": 403}},
    bodies={"/sites/{site}/incidents/{incident}/answer": {"answer": "ok"}},
    ids=_ids,
)
