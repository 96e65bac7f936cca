"""Series, readings, data side by side, exports."""

from __future__ import annotations

from api.seen import MEASURED
from makiba.data_class import DataClass
from tests.service.borders import Room, cells

_TANK: frozenset[DataClass] = frozenset({"tank"})
_SERIES = "/sites/{site}/series/{subject}/{quantity}"

ROOM = Room(
    signed_in={("get", "/data"): 200, ("get", "/export"): 200},
    about_a_farm={
        ("get", "/sites/{site}/series"): cells(200, 200, 200, guest=200, admin=200),
        ("get", "/sites/{site}/latest"): cells(200, 200, 200, guest=200, admin=200),
        ("get", f"{_SERIES}/windows"): cells(200, 200, 200, guest=200, admin=404),
        ("get", f"{_SERIES}/readings"): cells(200, 200, 200, guest=200, admin=404),
        ("get", "/sites/{site}/data"): cells(200, 200, 200, guest=200, admin=404),
        ("get", "/sites/{site}/export"): cells(200, 200, 200, guest=200, admin=404),
    },
    by_class={
        ("get", "/sites/{site}/series"): MEASURED,
        ("get", "/sites/{site}/latest"): MEASURED,
        ("get", f"{_SERIES}/windows"): _TANK,
        ("get", f"{_SERIES}/readings"): _TANK,
        ("get", "/sites/{site}/data"): _TANK,
        ("get", "/sites/{site}/export"): _TANK,
    },
    queries={
        "/data": {"series": "shikaoi-003/tank-1/milk_temperature"},
        "/sites/{site}/data": {"series": "tank-1/milk_temperature"},
        "/sites/{site}/export": {"subject": "tank-1", "quantity": "milk_temperature"},
    },
    admin_sees=frozenset({("get", "/sites/{site}/series"), ("get", "/sites/{site}/latest")}),
)
