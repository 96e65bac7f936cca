"""Contacts, rota, settings, maintenance; places and placements; devices, gateways, completeness."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from collectors.registry import contacts, maintenance, people, placements, rota, sites
from collectors.registry.contacts import ContactSpec
from collectors.registry.maintenance import MaintenanceSpec
from collectors.registry.placements import Move
from collectors.registry.rota import ShiftSpec
from collectors.registry.schema import PersonRow
from collectors.registry.sites import DeviceSpec
from collectors.registry.viewer import Service
from makiba.data_class import EVERYTHING, DataClass
from tests.service.borders import Cells, Room, Route, cells

CONSOLE = Service("console")
DAY_MS = 86_400_000
T0 = 1_900_000_000_000

OWN = cells(200, 200, 200, guest=404, admin=404)
EDITED = cells(200, 200, 403, guest=404, admin=404)
ADDED = cells(201, 201, 403, guest=404, admin=404)
REMOVED = cells(204, 204, 403, guest=404, admin=404)
LOOKED_AT = cells(200, 200, 200, guest=200, admin=200)


def technicians(answer: int, worker: int) -> Cells:
    """What the farm's people and a technician do; other guests may look and not do."""
    return {**cells(answer, answer, worker, guest=403, admin=404), "technician": answer}


LOOKS: tuple[Route, ...] = (
    ("get", "/sites/{site}/maintenance"),
    ("get", "/sites/{site}/maintenance/{window_id}"),
    ("get", "/sites/{site}/places/{place_id}"),
    ("get", "/sites/{site}/placements"),
    ("get", "/sites/{site}/placements/{placement_id}"),
    ("get", "/sites/{site}/devices"),
    ("get", "/sites/{site}/devices/{device}"),
    ("get", "/sites/{site}/devices/{device}/states"),
    ("get", "/sites/{site}/gateways"),
    ("get", "/sites/{site}/gateways/{gateway_id}"),
    ("get", "/sites/{site}/gateways/{gateway_id}/states"),
)
COMPLETENESS: Route = ("get", "/sites/{site}/completeness")
DOES: Mapping[Route, Cells] = {
    ("post", "/sites/{site}/maintenance"): technicians(201, 201),
    ("put", "/sites/{site}/maintenance/{window_id}"): technicians(200, 200),
    ("post", "/sites/{site}/maintenance/{window_id}/end"): technicians(200, 200),
    ("delete", "/sites/{site}/maintenance/{window_id}"): technicians(204, 204),
    ("post", "/sites/{site}/places"): technicians(201, 403),
    ("patch", "/sites/{site}/places/{place_id}"): technicians(200, 403),
    ("delete", "/sites/{site}/places/{place_id}"): technicians(204, 403),
    ("post", "/sites/{site}/placements"): technicians(201, 403),
    ("patch", "/sites/{site}/placements/{placement_id}"): technicians(200, 403),
    # Taking a placement out changes of which class was what is measured already.
    ("delete", "/sites/{site}/placements/{placement_id}"): cells(204, 204, 403, guest=403, admin=404),
}
TECHNICAL: frozenset[DataClass] = frozenset({"technical"})

RELIEF = "relief"
"""A helper of all farms, so that one body fits each."""

CONTACT = {"name": "鹿追電気", "kind": "electrician", "phone": "0156-66-1234"}
SHIFT = {
    "kind": "weekly", "person": RELIEF, "tier": "helper", "weekdays": [0, 6], "start_minute": 1080,
    "minutes": 720,
}  # fmt: skip
WINDOW = {"targets": [{"kind": "site"}], "from_ms": T0, "to_ms": T0 + DAY_MS, "why": "冷却機の 点検"}


def _relief(session: Session, site: str) -> None:
    row = session.scalar(select(PersonRow).where(PersonRow.public_id == RELIEF))
    if row is None:
        row = people.create_person(session, CONSOLE, login=RELIEF, name=RELIEF, now_ms=0)
        row.public_id = RELIEF
    people.grant_role(session, CONSOLE, row.id, site, "coop", 0)


def _ids(town: Any, site: str) -> Mapping[str, str]:
    now_ms = town.centre.clock()
    with town.centre.registry.write() as session:
        _relief(session, site)
        contact = contacts.add_contact(session, CONSOLE, site, ContactSpec("隣の人", "neighbour"), now_ms)
        shift = rota.add_shift(
            session, CONSOLE, site,
            ShiftSpec("dated", "helper", person=RELIEF, from_ms=now_ms, to_ms=now_ms + DAY_MS), now_ms,
        )  # fmt: skip
        window = maintenance.add_window(
            session, CONSOLE, site, MaintenanceSpec((("site", ""),), T0, T0 + DAY_MS, "x"), now_ms
        )
        silo = (f"{site} サイロ", f"{site} silo")
        place = placements.add_place(session, CONSOLE, site, "silo", silo, now_ms, secrets.token_hex(8))
        # What stood there once is in no list of what stands there now.
        stood = placements.move(session, CONSOLE, site, Move(f"s-{secrets.token_hex(4)}", "barn-1"), now_ms - DAY_MS)
        stood.to_ms = now_ms
        gateway = next(row.id for row in sites.list_gateways(session, CONSOLE, site))
        # On the first farm it is one that is there: what stands there is counted by other tests.
        device = "pt100" if gateway == "gw-a" else f"gauge-of-{gateway}"
        if device != "pt100":
            sites.record_reported(
                session, CONSOLE, gateway, [DeviceSpec(device, "bus", "pt100-4ch", 10.0, (device,))]
            )
        return {
            "device": device,
            "gateway_id": gateway,
            "place_id": place.id,
            "placement_id": stood.public_id,
            "contact_id": contact.id,
            "shift_id": shift.id,
            "window_id": window.id,
        }


ROOM = Room(
    about_a_farm={
        ("get", "/sites/{site}/contacts"): OWN,
        ("post", "/sites/{site}/contacts"): ADDED,
        ("get", "/sites/{site}/contacts/{contact_id}"): OWN,
        ("put", "/sites/{site}/contacts/{contact_id}"): EDITED,
        ("delete", "/sites/{site}/contacts/{contact_id}"): REMOVED,
        ("get", "/sites/{site}/settings"): OWN,
        ("put", "/sites/{site}/settings"): EDITED,
        ("get", "/sites/{site}/on-call"): OWN,
        ("get", "/sites/{site}/rota"): OWN,
        ("get", "/sites/{site}/rota-check"): OWN,
        ("post", "/sites/{site}/rota"): ADDED,
        ("get", "/sites/{site}/rota/{shift_id}"): OWN,
        ("put", "/sites/{site}/rota/{shift_id}"): EDITED,
        ("delete", "/sites/{site}/rota/{shift_id}"): REMOVED,
        **dict.fromkeys(LOOKS, LOOKED_AT),
        COMPLETENESS: LOOKED_AT,
        **DOES,
    },
    by_class={**dict.fromkeys(LOOKS, TECHNICAL), COMPLETENESS: EVERYTHING},
    told_by_class={route: {"technical": 403} for route in DOES},
    bodies={
        "/sites/{site}/contacts": CONTACT,
        "/sites/{site}/contacts/{contact_id}": CONTACT,
        "/sites/{site}/rota": SHIFT,
        "/sites/{site}/rota/{shift_id}": SHIFT,
        "/sites/{site}/settings": {"settings": {"cows": 70}},
        "/sites/{site}/maintenance": WINDOW,
        "/sites/{site}/maintenance/{window_id}": WINDOW,
        "/sites/{site}/places": {"kind": "silo", "name": {"ja": "サイロ"}},
        "/sites/{site}/places/{place_id}": {"name": {"ja": "新しい サイロ"}},
        "/sites/{site}/placements": {"subject": "fan-1", "place": "barn-1"},
        "/sites/{site}/placements/{placement_id}": {"name": {"ja": "古い センサー"}},
    },
    headers={
        (method, path): {"If-Match": "*"}
        for method in ("put", "patch", "delete")
        for path in (
            "/sites/{site}/contacts/{contact_id}",
            "/sites/{site}/rota/{shift_id}",
            "/sites/{site}/settings",
            "/sites/{site}/maintenance/{window_id}",
            "/sites/{site}/places/{place_id}",
            "/sites/{site}/placements/{placement_id}",
        )
    },
    ids=_ids,
    spent=frozenset(
        {
            ("delete", "/sites/{site}/contacts/{contact_id}"),
            ("delete", "/sites/{site}/rota/{shift_id}"),
            ("delete", "/sites/{site}/maintenance/{window_id}"),
            ("delete", "/sites/{site}/places/{place_id}"),
            ("delete", "/sites/{site}/placements/{placement_id}"),
        }
    ),
    admin_sees=frozenset({*LOOKS, COMPLETENESS}),
)
