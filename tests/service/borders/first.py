"""Places, series, alerts, consents, audit, stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analytics import alert_book
from analytics.decision import Decision
from collectors.registry.viewer import Service
from makiba.data_class import EVERYTHING
from tests.service.borders import Room, cells


def _ids(town: Any, site: str) -> Mapping[str, str]:
    centre = town.centre
    with centre.registry.write() as session:
        decision = Decision("open", site, "tank.hold", "tank-1", centre.clock(), centre.clock(), severity="critical")
        alert = alert_book.write(session, Service("analytics"), decision, centre.clock()).alert_id
    return {"alert_id": alert, "consent_id": centre.consent(site, "weather", role="town")}


ROOM = Room(
    open={
        ("get", "/health"): 200,
    },
    signed_in={
        ("get", "/stream"): 200,
    },
    about_a_farm={
        ("get", "/sites/{site}/places"): cells(200, 200, 200, guest=200, admin=200),
        ("get", "/sites/{site}/alerts"): cells(200, 200, 200, guest=200, admin=404),
        ("get", "/alerts/{alert_id}"): cells(200, 200, 200, guest=200, admin=404),
        ("post", "/alerts/{alert_id}/acknowledge"): cells(200, 200, 200, guest=403, admin=404),
        ("get", "/sites/{site}/consents"): cells(200, 200, 403, guest=404, admin=404),
        ("post", "/sites/{site}/consents"): cells(201, 403, 403, guest=404, admin=404),
        ("get", "/sites/{site}/consents/{consent_id}"): cells(200, 200, 403, guest=404, admin=404),
        ("delete", "/sites/{site}/consents/{consent_id}"): cells(204, 403, 403, guest=404, admin=404),
        ("get", "/sites/{site}/audit"): cells(200, 200, 403, guest=404, admin=404),
    },
    by_class={
        ("get", "/sites/{site}/places"): EVERYTHING,
        ("get", "/sites/{site}/alerts"): frozenset({"alerts"}),
        ("get", "/alerts/{alert_id}"): frozenset({"alerts"}),
    },
    told_by_class={("post", "/alerts/{alert_id}/acknowledge"): {"alerts": 403}},
    bodies={
        "/sites/{site}/consents": {"role": "town", "classes": ["weather"]},
    },
    queries={"/sites/{site}/audit": {"limit": "500"}},  # other rooms' changes stand in it too
    ids=_ids,
    admin_sees=frozenset({("get", "/sites/{site}/places")}),
)
