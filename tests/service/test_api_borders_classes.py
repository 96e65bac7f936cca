"""A guest is shown the classes that a farm shows and no other, and what was read stands in the farm's audit."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import select

from api.centre import PREFIX
from api.routes import what_is_done
from api.sessions import COOKIE
from collectors.registry.schema import AuditRow
from makiba.data_class import DATA_CLASSES, DataClass
from tests.service import borders_parts
from tests.service.borders_parts import ABOUT_A_FARM, BY_CLASS, CONSENTING, ROOMS, TOLD_BY_CLASS, Town
from tests.service.serving import OTHER, SITE, WRITE

town = borders_parts.town
AUDITED = [route for room in ROOMS if room.audited for route in room.by_class if route[0] == "get"]


@pytest.mark.parametrize("data_class", DATA_CLASSES)
def test_a_consent_shows_its_class_and_no_other(town: Town, data_class: DataClass) -> None:
    guest = town.centre.person(f"only-{data_class}-{secrets.token_hex(4)}", password=None, shikaoi_001="vet")
    town.centre.consent(SITE, data_class, person=guest)
    cookie = town.centre.cookie(guest)
    for route in ABOUT_A_FARM:
        shown = data_class in BY_CLASS.get(route, ())
        refused = TOLD_BY_CLASS.get(route, {}).get(data_class, 404)
        town.ready(route, SITE)
        assert town.ask(route, SITE, cookie).status_code == (200 if shown else refused), route
    told = town.ask(("get", "/sites/{site}/places"), SITE, cookie).json()
    values = {(s["subject"], v["quantity"]) for p in told["places"] for s in p["subjects"] for v in s["values"]}
    assert values == {
        "tank": {("tank-1", "milk_temperature")}, "barn": {("barn-1-climate", "air_temperature")},
    }.get(data_class, set())  # fmt: skip
    listed = {s["subject"] for p in told["places"] for s in p["subjects"]}
    assert listed == {
        "tank": {"tank-1"},
        "barn": {"barn-1-climate", "fan-1"},
        "technical": {"tank-1", "barn-1-climate", "fan-1", "pt100.ch1", "pt100.ch2"},
    }.get(data_class, set())
    assert bool(told["gateways"]) == ("gw-a" in str(told)) == (data_class == "technical")


# ------------------------------------------------------------------------------------------------------- audit


def audit(town: Town, site: str, limit: int = 500) -> list[Mapping[str, Any]]:
    """The audit as the farm's owner reads it, page by page."""
    cookie = {"Cookie": f"{COOKIE}={town.cookies['owner']}"}
    rows, query = [], {"limit": str(limit)}
    while True:
        told = town.browser.get(f"{PREFIX}/sites/{site}/audit", params=query, headers=cookie).json()
        rows += told["rows"]
        if told["next"] is None:
            return rows
        query["cursor"] = told["next"]


@pytest.mark.parametrize("role", ["coop", "owner"])
def test_every_read_from_outside_stands_in_the_audit_and_the_farms_own_does_not(town: Town, role: str) -> None:
    def reads() -> Counter[tuple[str, str]]:
        return Counter(
            {
                (r["what"], r["data_class"]["id"]): r["count"]
                for r in audit(town, CONSENTING)
                if r["kind"] == "read" and r["name"] == f"{role}さん"
            }
        )

    before = reads()
    for route in AUDITED:
        for _ in range(3):
            assert town.ask(route, CONSENTING, town.cookies[role]).status_code == 200, route
    new = reads() - before
    classes: Mapping[Any, frozenset[DataClass]] = BY_CLASS
    assert new == ({} if role == "owner" else {(route[1], c): 3 for route in AUDITED for c in classes[route]})
    assert {route[1] for route in AUDITED} <= what_is_done().keys()  # people can read what it was


def test_a_consent_and_its_audit_are_told_in_words_of_both_languages(town: Town) -> None:
    cookie = {"Cookie": f"{COOKIE}={town.cookies['owner']}"} | WRITE
    path = f"{PREFIX}/sites/{SITE}/consents"
    vet = town.centre.public(town.people["vet"])
    wanted = {"person": vet, "classes": ["herd", "alerts"], "until_ms": town.centre.clock() + 9}
    told = town.browser.post(path, json=wanted, headers=cookie).json()
    assert told | {"id": ""} == {
        "id": "", "role": None, "person": vet, "grantee": {"ja": "vetさん", "en": "vetさん"},
        "classes": [
            {"id": "alerts", "name": {"ja": "警報", "en": "alerts"}},
            {"id": "herd", "name": {"ja": "牛と えさ", "en": "herd and feed"}},
        ],
        "from_ms": town.centre.clock(), "until_ms": town.centre.clock() + 9, "given_ms": town.centre.clock(),
        "given_by": "ownerさん", "withdrawn_ms": None, "withdrawn_by": None, "in_force": True,
    }  # fmt: skip
    assert town.browser.delete(f"{path}/{told['id']}", headers=cookie).status_code == 204
    [now] = [c for c in town.browser.get(path, headers=cookie).json()["rows"] if c["id"] == told["id"]]
    assert (now["in_force"], now["withdrawn_by"]) == (False, "ownerさん")
    about = [r for r in audit(town, SITE) if r["detail"].get("consent") == told["id"]]
    assert {(r["what_name"]["en"], r["role_name"]["ja"]) for r in about} == {
        ("gave a consent", "経営主"), ("withdrew a consent", "経営主"),
    }  # fmt: skip
    # Whether a number is a person's is not told to who has nothing to do with them.
    refused = [
        town.browser.post(path, json={"person": number, "classes": ["herd"]}, headers=cookie)
        for number in (town.centre.public(town.people["admin"]), "A" * 22)
    ]
    assert {(r.status_code, r.content) for r in refused} == {(422, refused[0].content)}


def test_the_audit_is_read_in_pages_without_holes(town: Town) -> None:
    whole = [row["id"] for row in audit(town, CONSENTING)]
    assert len(whole) >= 5
    assert [row["id"] for row in audit(town, CONSENTING, limit=7)] == whole
    path, cookie = f"{PREFIX}/sites/{CONSENTING}/audit", {"Cookie": f"{COOKIE}={town.cookies['owner']}"}
    with town.centre.registry.read() as session:
        foreign = session.scalars(select(AuditRow.id).where(AuditRow.site_id == OTHER)).first()
    theirs, nobodys = (
        town.browser.get(path, params={"cursor": cursor}, headers=cookie).json() for cursor in (foreign, "nobody")
    )
    assert theirs == nobodys
    assert theirs["type"] == "/problems/cursor"
