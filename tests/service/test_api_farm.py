"""Contacts, the rota and maintenance windows over HTTP: what people write comes back, in order and with versions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.centre import PREFIX
from api.sessions import COOKIE
from collectors.registry import people
from tests.service.serving import CONSOLE, OTHER, SITE, WRITE, Centre, Clock

FARM = f"{PREFIX}/sites/{SITE}"
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
MONDAY = int(datetime(2026, 11, 30, 3, tzinfo=UTC).timestamp()) * 1000
"""Monday noon in Japan."""


@pytest.fixture
def centre(tmp_path: Path) -> Iterator[Centre]:
    with _made(tmp_path) as made:
        yield made


@pytest.fixture
def owner(centre: Centre) -> Iterator[httpx.Client]:
    with _signed_in(centre) as browser:
        yield browser


@pytest.fixture(scope="module")
def any_owner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """For tests that do not look at what others left behind."""
    with _made(tmp_path_factory.mktemp("farm")) as made, _signed_in(made) as browser:
        yield browser


@contextmanager
def _made(folder: Path) -> Iterator[Centre]:
    made = Centre(folder, Clock(MONDAY))
    try:
        yield made
    finally:
        made.registry.close()
        made.store.close()


@contextmanager
def _signed_in(centre: Centre) -> Iterator[httpx.Client]:
    person = centre.person(password=None, shikaoi_001="owner")
    with centre.serving() as browser:
        browser.headers.update({**WRITE, "Cookie": f"{COOKIE}={centre.cookie(person)}"})
        yield browser


def contact(owner: httpx.Client, **given: Any) -> dict[str, Any]:
    answer = owner.post(f"{FARM}/contacts", json={"name": "鹿追動物病院", "kind": "vet", **given})
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = answer.json()
    return told


def shift(owner: httpx.Client, **given: Any) -> dict[str, Any]:
    answer = owner.post(f"{FARM}/rota", json=given)
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = answer.json()
    return told


# ------------------------------------------------------------------------------------------------------ contacts


@pytest.mark.parametrize(
    ("written", "dialled"),
    [
        ("0156-66-1234", "+81156661234"), ("０９０（１２３４）５６７８", "+819012345678"),
        ("+1 212 555 0100", "+12125550100"), ("119", None), ("", None), ("0120-444-444", "+81120444444"),
    ],
)  # fmt: skip
def test_a_number_is_kept_as_written_and_as_it_is_dialled(
    any_owner: httpx.Client, written: str, dialled: str | None
) -> None:
    told = contact(any_owner, phone=written)
    assert (told["phone"], told["phone_written"]) == (dialled, written)


@pytest.mark.parametrize("wrong", ["0156", "電話", "+0123456789", "12345678901234567890", "0156-66-12345678"])
def test_what_is_no_number_is_told_by_its_field(any_owner: httpx.Client, wrong: str) -> None:
    answer = any_owner.post(f"{FARM}/contacts", json={"name": "x", "kind": "vet", "phone": wrong})
    assert (answer.status_code, answer.json()["errors"][0]["where"]) == (422, "phone")


@pytest.mark.parametrize(
    "wrong", [{"name": "a\x00b"}, {"name": "a\nb"}, {"kind": "friend"}, {"mail": "nobody"}, {"x": 1}]
)
def test_what_no_database_or_page_should_hold_is_refused(any_owner: httpx.Client, wrong: dict[str, Any]) -> None:
    assert any_owner.post(f"{FARM}/contacts", json={"name": "x", "kind": "vet", **wrong}).status_code == 422


def test_a_contact_is_changed_by_who_has_seen_it_and_taken_out(owner: httpx.Client) -> None:
    made = contact(owner, phone="0156-66-1234", note="一行\n二行")
    path = f"{FARM}/contacts/{made['id']}"
    seen = owner.get(path)
    assert (seen.json(), seen.headers["etag"]) == (made, '"1"')
    assert owner.get(path, headers={"If-None-Match": '"1"'}).status_code == 304
    body = {"name": "別の病院", "kind": "vet"}
    assert owner.put(path, json=body).status_code == 428
    changed = owner.put(path, json=body, headers={"If-Match": '"1"'})
    assert changed.json() == {**made, **body, "phone": None, "phone_written": "", "note": "", "version": 2}
    assert changed.headers["etag"] == '"2"'
    assert owner.put(path, json=body, headers={"If-Match": '"1"'}).status_code == 412
    assert owner.delete(path, headers={"If-Match": '"1"'}).status_code == 412
    assert owner.delete(path, headers={"If-Match": '"2"'}).status_code == 204
    assert owner.get(path).status_code == 404
    told = owner.get(f"{FARM}/audit").json()["rows"]
    assert {r["what_name"]["en"] for r in told} >= {"added a contact", "changed a contact", "removed a contact"}
    assert "0156" not in str(told)


def test_contacts_come_in_pages_by_name_without_holes(owner: httpx.Client) -> None:
    for name in ("d", "a", "c", "a", "b"):
        contact(owner, name=name)
    rows: list[Any] = []
    cursor = None
    while True:
        told = owner.get(f"{FARM}/contacts", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        rows += told["rows"]
        cursor = told["next"]
        if cursor is None:
            break
    assert [r["name"] for r in rows] == ["a", "a", "b", "c", "d"]
    assert len({r["id"] for r in rows}) == 5


# ---------------------------------------------------------------------------------------------------------- rota


def test_who_is_on_call_comes_in_the_order_of_the_tiers(owner: httpx.Client, centre: Centre) -> None:
    with centre.registry.read() as session:
        me = people.person_by_login(session, CONSOLE, "hanako")
        assert me
        mine = me.public_id
    vet, neighbour = contact(owner, phone="0156-66-1234"), contact(owner, name="隣", kind="neighbour")
    day = {"from_ms": MONDAY, "to_ms": MONDAY + DAY_MS}
    shift(owner, kind="dated", contact=vet["id"], tier="coop", **day)
    shift(owner, kind="dated", contact=neighbour["id"], tier="helper", **day)
    shift(owner, kind="weekly", person=mine, tier="owner", weekdays=[0], start_minute=0, minutes=780)
    told = owner.get(f"{FARM}/on-call").json()
    assert [(t["name"], t["tier"]) for t in told["on_call"]] == [
        ("hanakoさん", "owner"), ("隣", "helper"), ("鹿追動物病院", "coop"),
    ]  # fmt: skip
    assert told["on_call"][2]["phone"] == "+81156661234"
    assert told["on_call"][0]["role"] == {"ja": "経営主", "en": "owner"}
    assert told["on_call"][0]["to_ms"] == MONDAY + HOUR_MS
    later = owner.get(f"{FARM}/on-call", params={"at_ms": MONDAY + 2 * HOUR_MS}).json()["on_call"]
    assert [t["name"] for t in later] == ["隣", "鹿追動物病院"]
    shift(owner, kind="absence", contact=neighbour["id"], from_ms=MONDAY, to_ms=MONDAY + HOUR_MS)
    assert [t["name"] for t in owner.get(f"{FARM}/on-call").json()["on_call"]] == ["hanakoさん", "鹿追動物病院"]
    assert owner.get(f"{FARM}/on-call", params={"at_ms": MONDAY + DAY_MS}).json()["on_call"] == []


def test_gaps_overlaps_and_people_who_left_are_told(owner: httpx.Client, centre: Centre) -> None:
    helper = centre.person("jiro", shikaoi_001="worker")
    with centre.registry.read() as session:
        name = people.public_id(session, CONSOLE, helper)
    a, b = contact(owner, name="a"), contact(owner, name="b")
    dated = {"kind": "dated", "tier": "helper"}
    shift(owner, **dated, contact=a["id"], from_ms=MONDAY, to_ms=MONDAY + 3 * HOUR_MS)
    shift(owner, **dated, contact=b["id"], from_ms=MONDAY + 2 * HOUR_MS, to_ms=MONDAY + 4 * HOUR_MS)
    gone = shift(owner, **dated, person=name, from_ms=MONDAY + 4 * HOUR_MS, to_ms=MONDAY + 5 * HOUR_MS)
    span = {"from_ms": MONDAY, "to_ms": MONDAY + 5 * HOUR_MS}
    told = owner.get(f"{FARM}/rota-check", params=span).json()
    overlap = {"tier": "helper", "from_ms": MONDAY + 2 * HOUR_MS, "to_ms": MONDAY + 3 * HOUR_MS, "names": ["a", "b"]}
    assert (told["gaps"], told["vacant"]) == ([], [])
    assert [{**o, "names": sorted(o["names"])} for o in told["overlaps"]] == [overlap]
    with centre.registry.write() as session:
        people.revoke_role(session, CONSOLE, helper, SITE, centre.clock())
    told = owner.get(f"{FARM}/rota-check", params=span).json()
    assert told["gaps"] == [{"from_ms": MONDAY + 4 * HOUR_MS, "to_ms": MONDAY + 5 * HOUR_MS}]
    assert told["vacant"] == [gone["id"]]
    assert owner.get(f"{FARM}/rota/{gone['id']}").json()["in_force"] is False
    # Taken out with the contact whom they are about.
    assert owner.delete(f"{FARM}/contacts/{a['id']}", headers={"If-Match": '"1"'}).status_code == 204
    assert len(owner.get(f"{FARM}/rota").json()["rows"]) == 2


def test_another_farms_people_and_contacts_are_nobody_here(owner: httpx.Client, centre: Centre) -> None:
    stranger = centre.person("saburo", shikaoi_002="owner")
    with centre.registry.read() as session:
        name = people.public_id(session, CONSOLE, stranger)
    day = {"kind": "dated", "tier": "helper", "from_ms": MONDAY, "to_ms": MONDAY + DAY_MS}
    answers = [owner.post(f"{FARM}/rota", json={**day, "person": who}) for who in (name, "nobody")]
    answers += [owner.post(f"{FARM}/rota", json={**day, "contact": who}) for who in ("nobody",)]
    assert {a.status_code for a in answers} == {422}
    assert answers[0].content == answers[1].content


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "dated", "tier": "helper", "from_ms": MONDAY, "to_ms": MONDAY},
        {"kind": "weekly", "tier": "helper", "weekdays": [7], "start_minute": 0, "minutes": 60},
        {"kind": "weekly", "tier": "helper", "weekdays": [], "start_minute": 0, "minutes": 60},
        {"kind": "weekly", "tier": "helper", "weekdays": [0], "start_minute": 0, "minutes": 60,
         "first_day": "2026-02-30"},
        {"kind": "weekly", "tier": "boss", "weekdays": [0], "start_minute": 0, "minutes": 60},
        {"kind": "absence", "from_ms": MONDAY, "to_ms": MONDAY + 1, "person": "x"},
    ],
)  # fmt: skip
def test_a_line_that_cannot_be_is_refused(any_owner: httpx.Client, wrong: dict[str, Any]) -> None:
    assert any_owner.post(f"{FARM}/rota", json={"contact": contact(any_owner)["id"], **wrong}).status_code == 422


def test_a_line_becomes_one_of_another_kind(owner: httpx.Client) -> None:
    made = shift(owner, kind="weekly", contact=contact(owner)["id"], tier="family", weekdays=[2, 0, 2],
                 start_minute=60, minutes=60, except_days=["2026-12-31"])  # fmt: skip
    assert (made["weekdays"], made["except_days"]) == ([0, 2], ["2026-12-31"])
    body = {"kind": "dated", "contact": made["contact"], "tier": "family", "from_ms": MONDAY, "to_ms": MONDAY + 1}
    changed = owner.put(f"{FARM}/rota/{made['id']}", json=body, headers={"If-Match": '"1"'}).json()
    assert (changed["kind"], changed["weekdays"], changed["minutes"], changed["version"]) == ("dated", [], None, 2)
    assert owner.delete(f"{FARM}/rota/{made['id']}", headers={"If-Match": '"2"'}).status_code == 204
    assert owner.get(f"{FARM}/rota").json()["rows"] == []


# --------------------------------------------------------------------------------------------------- maintenance

WHOLE = [{"kind": "site"}]


def plan(owner: httpx.Client, **given: Any) -> httpx.Response:
    body = {"targets": WHOLE, "from_ms": MONDAY, "to_ms": MONDAY + HOUR_MS, "why": "点検", **given}
    return owner.post(f"{FARM}/maintenance", json=body)


def test_a_window_is_planned_ended_early_and_stays_in_the_list(owner: httpx.Client, centre: Centre) -> None:
    made = plan(owner, targets=[{"kind": "place", "id": "tank-room"}, {"kind": "device", "id": "pt100"}]).json()
    assert (made["who"], made["in_force"], made["ended_ms"]) == ("hanakoさん", True, None)
    path = f"{FARM}/maintenance/{made['id']}"
    assert owner.delete(path, headers={"If-Match": '"1"'}).status_code == 409
    centre.clock.ms += HOUR_MS // 2
    ended = owner.post(f"{path}/end").json()
    assert (ended["in_force"], ended["ended_ms"], ended["version"]) == (False, MONDAY + HOUR_MS // 2, 2)
    assert owner.post(f"{path}/end").json() == ended
    assert [r["id"] for r in owner.get(f"{FARM}/maintenance").json()["rows"]] == [made["id"]]
    after = {"from_ms": MONDAY + HOUR_MS // 2, "to_ms": MONDAY + DAY_MS}
    assert owner.get(f"{FARM}/maintenance", params=after).json()["rows"] == []
    future = plan(owner, from_ms=MONDAY + DAY_MS, to_ms=MONDAY + 2 * DAY_MS).json()
    path = f"{FARM}/maintenance/{future['id']}"
    body = {"targets": WHOLE, "from_ms": MONDAY + DAY_MS, "to_ms": MONDAY + 3 * DAY_MS, "why": "長く"}
    assert owner.put(path, json=body, headers={"If-Match": '"1"'}).json()["to_ms"] == MONDAY + 3 * DAY_MS
    assert owner.delete(path, headers={"If-Match": '"2"'}).status_code == 204


@pytest.mark.parametrize(
    "wrong",
    [
        {"to_ms": MONDAY + 31 * DAY_MS}, {"to_ms": MONDAY}, {"to_ms": None}, {"why": ""}, {"targets": []},
        {"from_ms": MONDAY - 8 * DAY_MS}, {"targets": [{"kind": "place", "id": "nowhere"}]},
        {"targets": [{"kind": "device", "id": "tank-1"}]}, {"targets": [{"kind": "site", "id": OTHER}]},
    ],
)  # fmt: skip
def test_a_window_has_an_end_a_reason_and_something_it_is_about(
    any_owner: httpx.Client, wrong: dict[str, Any]
) -> None:
    assert plan(any_owner, **wrong).status_code == 422


def test_a_technician_plans_where_the_farm_shows_them_its_technical_side(owner: httpx.Client, centre: Centre) -> None:
    guest = centre.person("denki", shikaoi_001="technician")
    cookie = {"Cookie": f"{COOKIE}={centre.cookie(guest)}"}
    body = {"targets": WHOLE, "from_ms": MONDAY, "to_ms": MONDAY + HOUR_MS, "why": "点検"}

    def post() -> httpx.Response:
        return httpx.post(f"{owner.base_url}{FARM}/maintenance", json=body, headers={**WRITE, **cookie})

    assert post().status_code == 404
    centre.consent(SITE, "technical", role="technician")
    assert post().status_code == 201
    rows = owner.get(f"{FARM}/audit").json()["rows"]
    assert ("planned maintenance", "denkiさん") in {(r["what_name"]["en"], r["name"]) for r in rows}


def test_a_contact_that_is_sent_twice_with_one_key_is_made_once(owner: httpx.Client) -> None:
    body, key = {"name": "隣の人", "kind": "neighbour"}, {"Idempotency-Key": "0123456789abcdef"}
    first, again = (owner.post(f"{FARM}/contacts", json=body, headers=key) for _ in range(2))
    assert (first.status_code, again.status_code, first.json()) == (201, 201, again.json())
    assert owner.post(f"{FARM}/contacts", json={**body, "name": "x"}, headers=key).status_code == 422
    assert len(owner.get(f"{FARM}/contacts").json()["rows"]) == 1
