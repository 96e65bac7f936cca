"""How people are told: each their own; and who was told of an alert, for the farm's own people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analytics import alert_book
from analytics.decision import Decision
from collectors.registry.viewer import Service
from tests.service.borders import Room, cells

OWN = cells(200, 200, 200, guest=404, admin=404)
ORDER = ["push", "line"]


def _ids(town: Any, site: str) -> Mapping[str, str]:
    at_ms = town.centre.clock()
    with town.centre.registry.write() as session:
        decision = Decision("open", site, "fan.failed", "fan-told", at_ms, at_ms, severity="warning")
        alert = alert_book.write(session, Service("analytics"), decision, at_ms).alert_id
    return {"alert_id": alert, "address_id": "nobodys"}


ROOM = Room(
    signed_in={
        ("get", "/me/wishes"): 200,
        ("put", "/me/wishes"): 200,
        ("get", "/me/addresses"): 200,
        ("post", "/me/addresses"): 409,  # no mail server is set up here
        ("post", "/me/addresses/{address_id}/code"): 404,
        ("post", "/me/addresses/{address_id}/verify"): 404,
        ("delete", "/me/addresses/{address_id}"): 404,
    },
    about_a_farm={("get", "/sites/{site}/alerts/{alert_id}/deliveries"): OWN},
    bodies={
        "/me/wishes": {
            "language": "ja",
            "channels": {"critical": ORDER, "warning": ORDER, "advisory": ORDER, "info": []},
            "quiet": {"from_minute": 1320, "to_minute": 240},
            "night_budget": 1,
            "morning_list": True,
        },
        "/me/addresses": {"channel": "mail", "address": "hanako@example.com"},
        "/me/addresses/{address_id}/verify": {"code": "123456"},
    },
    headers={
        ("put", "/me/wishes"): {"If-Match": "*"},
        ("delete", "/me/addresses/{address_id}"): {"If-Match": "*"},
    },
    ids=_ids,
)
