"""Places and placements edited over HTTP: both histories stay true, nobody sees more by a move, files do not win."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.centre import PREFIX
from api.sessions import COOKIE
from collectors.registry.sites import PlacementSpec, PlaceSpec, apply_site
from tests.service.serving import CONSOLE, SITE, WRITE, Centre, farm

FARM = f"{PREFIX}/sites/{SITE}"
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@pytest.fixture
def centre(tmp_path: Path) -> Iterator[Centre]:
    made = Centre(tmp_path)
    yield made
    made.registry.close()
    made.store.close()


@pytest.fixture
def owner(centre: Centre) -> Iterator[httpx.Client]:
    person = centre.person(password=None, shikaoi_001="owner")
    with centre.serving() as browser:
        browser.headers.update({**WRITE, "Cookie": f"{COOKIE}={centre.cookie(person, for_ms=10 * DAY_MS)}"})
        yield browser


def guest(centre: Centre, owner: httpx.Client, *classes: Any, role: Any = "technician") -> httpx.Client:
    person = centre.person(f"guest-{len(classes)}", password=None, shikaoi_001=role)
    centre.consent(SITE, *classes, person=person)
    return httpx.Client(
        base_url=owner.base_url, headers={**WRITE, "Cookie": f"{COOKIE}={centre.cookie(person, for_ms=10 * DAY_MS)}"}
    )


def move(browser: httpx.Client, subject: str, place: str, **given: Any) -> httpx.Response:
    return browser.post(f"{FARM}/placements", json={"subject": subject, "place": place, **given})


def history(browser: httpx.Client, subject: str) -> list[tuple[str, int, int | None]]:
    rows = browser.get(f"{FARM}/placements", params={"subject": subject}).json()["rows"]
    return [(r["place"], r["from_ms"], r["to_ms"]) for r in rows]


def current(browser: httpx.Client, subject: str) -> dict[str, Any]:
    [row] = [
        r for r in browser.get(f"{FARM}/placements", params={"subject": subject}).json()["rows"] if not r["to_ms"]
    ]
    found: dict[str, Any] = row
    return found


def names_of_places(browser: httpx.Client) -> list[str]:
    return [p["name"]["ja"] for p in browser.get(f"{FARM}/places").json()["places"] if p["id"] != "unplaced"]


# -------------------------------------------------------------------------------------------------------- places


def test_places_are_made_named_put_in_order_and_taken_out(owner: httpx.Client, centre: Centre) -> None:
    made = owner.post(f"{FARM}/places", json={"kind": "barn", "name": {"ja": "第2牛舎"}})
    assert (made.status_code, made.json()["id"]) == (201, "barn-2")
    path = made.headers["location"]
    assert names_of_places(owner) == ["第1牛舎", "処理室", "第2牛舎"]
    body = {"name": {"ja": "乾乳舎", "en": "Dry barn"}, "position": 1}
    assert owner.patch(path, json=body).status_code == 428
    changed = owner.patch(path, json=body, headers={"If-Match": made.headers["etag"]})
    assert changed.json()["name"] == {"ja": "乾乳舎", "en": "Dry barn"}
    assert names_of_places(owner) == ["第1牛舎", "乾乳舎", "処理室"]
    move(owner, "fan-1", "barn-2")
    tag = {"If-Match": changed.headers["etag"]}
    assert owner.delete(path, headers=tag).status_code == 409
    centre.clock.ms += 1
    move(owner, "fan-1", "barn-1")
    assert owner.delete(path, headers=tag).status_code == 204
    assert owner.get(path).status_code == 404
    assert names_of_places(owner) == ["第1牛舎", "処理室"]
    assert move(owner, "fan-1", "barn-2").status_code == 422
    assert [place for place, _, _ in history(owner, "fan-1")] == ["barn-1", "barn-2", "barn-1"]
    # Another kind would make what stood there another class of data.
    again = {"id": "barn-2", "kind": "silo", "name": {"ja": "サイロ"}}
    assert owner.post(f"{FARM}/places", json=again).status_code == 422
    assert owner.post(f"{FARM}/places", json={**again, "kind": "barn"}).status_code == 201


# ---------------------------------------------------------------------------------------------------- placements


def test_a_moved_sensor_keeps_both_histories_true(owner: httpx.Client, centre: Centre) -> None:
    [(_, began, _)] = history(owner, "fan-1")
    now_ms = centre.clock()
    moved = move(owner, "fan-1", "tank-room")
    assert moved.status_code == 201
    assert (moved.json()["role"], moved.json()["name"]["en"]) == ("fan", "Fan 1")  # it stays what it is
    assert history(owner, "fan-1") == [("tank-room", now_ms, None), ("barn-1", began, now_ms)]
    assert move(owner, "fan-1", "tank-room").json()["id"] == moved.json()["id"]
    assert move(owner, "fan-1", "barn-1", from_ms=now_ms - 1).status_code == 422
    assert move(owner, "fan-1", "barn-1", from_ms=now_ms + HOUR_MS).status_code == 422
    centre.clock.ms += DAY_MS
    assert move(owner, "fan-1", "barn-1", from_ms=now_ms + HOUR_MS).status_code == 201
    at = owner.get(f"{FARM}/placements", params={"subject": "fan-1", "at_ms": now_ms}).json()["rows"]
    assert [r["place"] for r in at] == ["tank-room"]
    rows = owner.get(f"{FARM}/audit").json()["rows"]
    told = [r["detail"] for r in rows if r["what"] == "placement.moved"]
    assert {(d["before"]["place"], d["after"]["place"]) for d in told} == {
        ("barn-1", "tank-room"), ("tank-room", "barn-1"),
    }  # fmt: skip


def test_what_was_wrong_is_corrected_and_may_not_overlap(owner: httpx.Client, centre: Centre) -> None:
    now_ms = centre.clock()
    move(owner, "fan-1", "tank-room")
    centre.clock.ms += DAY_MS
    row = current(owner, "fan-1")
    path, tag = f"{FARM}/placements/{row['id']}", {"If-Match": f'"{row["version"]}"'}
    assert owner.patch(path, json={"from_ms": now_ms - HOUR_MS}, headers=tag).status_code == 422
    assert owner.patch(path, json={"from_ms": now_ms + DAY_MS + 1}, headers=tag).status_code == 422
    later = owner.patch(path, json={"from_ms": now_ms + HOUR_MS, "name": {"ja": "扇風機"}}, headers=tag)
    assert (later.json()["from_ms"], later.json()["name"]["ja"]) == (now_ms + HOUR_MS, "扇風機")
    assert owner.patch(path, json={"place": "barn-1"}, headers=tag).status_code == 412
    away = owner.patch(path, json={"taken_away": True}, headers={"If-Match": later.headers["etag"]})
    assert away.json()["to_ms"] == now_ms + DAY_MS
    assert owner.delete(path, headers={"If-Match": away.headers["etag"]}).status_code == 204
    assert owner.get(path).status_code == 404
    assert [place for place, _, _ in history(owner, "fan-1")] == ["barn-1"]


def test_a_technician_moves_from_now_on_and_corrects_nothing(owner: httpx.Client, centre: Centre) -> None:
    with guest(centre, owner, "technical") as technician:
        assert move(technician, "fan-1", "tank-room", from_ms=centre.clock() - 1).status_code == 403
        assert move(technician, "fan-1", "tank-room").status_code == 201
        row = current(technician, "fan-1")
        path = f"{FARM}/placements/{row['id']}"
        assert technician.patch(path, json={"role": "cooler"}, headers={"If-Match": "*"}).status_code == 200
        for wrong in ({"from_ms": centre.clock() - DAY_MS}, {"place": "barn-1"}, {"to_ms": centre.clock() - 1}):
            assert technician.patch(path, json=wrong, headers={"If-Match": "*"}).status_code == 403
        assert technician.delete(path, headers={"If-Match": "*"}).status_code == 403
        centre.clock.ms += 1
        assert technician.patch(path, json={"taken_away": True}, headers={"If-Match": "*"}).status_code == 200


def test_nobody_from_outside_sees_more_by_a_move(owner: httpx.Client, centre: Centre) -> None:
    with guest(centre, owner, "technical", "tank") as technician:
        assert move(technician, "barn-1-climate", "tank-room").status_code == 403
        assert move(technician, "new-sensor", "tank-room").status_code == 403
        assert move(technician, "new-sensor", "barn-1").status_code == 201
        assert move(technician, "tank-1", "barn-1").status_code == 201
        assert history(owner, "barn-1-climate")[0][0] == "barn-1"


def test_a_move_decides_of_the_class_of_what_comes_after_it(owner: httpx.Client, centre: Centre) -> None:
    chart = f"{FARM}/series/barn-1-climate/air_temperature/windows"
    with guest(centre, owner, "tank", role="coop") as coop:
        assert coop.get(chart).status_code == 404
        assert move(owner, "barn-1-climate", "tank-room").status_code == 201
        assert coop.get(chart).status_code == 200


# ------------------------------------------------------------------------------------------------- the site file


def apply(centre: Centre, *, overwrite: bool = False, **changed: Any) -> list[str]:
    with centre.registry.write() as session:
        spec = replace(farm(SITE, "gw-a"), **changed)
        return apply_site(session, CONSOLE, spec, centre.clock(), overwrite=overwrite)


def test_a_site_file_leaves_what_people_edited_and_says_so(owner: httpx.Client, centre: Centre) -> None:
    assert apply(centre) == []
    centre.clock.ms += 1000
    move(owner, "fan-1", "tank-room")
    row = current(owner, "tank-1")
    owner.patch(f"{FARM}/placements/{row['id']}", json={"taken_away": True}, headers={"If-Match": "*"})
    owner.patch(f"{FARM}/places/barn-1", json={"name": {"ja": "本牛舎"}}, headers={"If-Match": "*"})
    owner.post(f"{FARM}/places", json={"kind": "silo", "name": {"ja": "サイロ"}})
    move(owner, "silo-level", "silo-1")
    kept = apply(centre)
    assert [line.partition(":")[0] for line in kept] == ["place barn-1", "tank-1", "fan-1", "silo-level"]
    assert names_of_places(owner) == ["本牛舎", "処理室", "サイロ"]
    assert current(owner, "fan-1")["place"] == "tank-room"
    assert current(owner, "silo-level")["place"] == "silo-1"
    assert all(to_ms for _, _, to_ms in history(owner, "tank-1"))
    # What nobody touched is the file's as before.
    spec = (PlacementSpec("barn-1-climate", "tank-room", "", "空気", "Air"), *farm(SITE, "gw-a").placements[2:])
    assert "barn-1-climate" not in str(apply(centre, placements=spec))
    assert current(owner, "barn-1-climate")["place"] == "tank-room"

    centre.clock.ms += 1000
    assert apply(centre, overwrite=True) == []
    assert names_of_places(owner)[:2] == ["第1牛舎", "処理室"]
    assert (current(owner, "fan-1")["place"], current(owner, "tank-1")["place"]) == ("barn-1", "tank-room")
    assert all(to_ms for _, _, to_ms in history(owner, "silo-level"))
    assert apply(centre) == []


def test_a_file_brings_back_neither_a_place_nor_a_placement_that_was_taken_out(
    owner: httpx.Client, centre: Centre
) -> None:
    places = (*farm(SITE, "gw-a").places, PlaceSpec("old", "silo", "古いサイロ", "Old silo"))
    apply(centre, places=places)
    assert owner.delete(f"{FARM}/places/old", headers={"If-Match": "*"}).status_code == 204
    row = current(owner, "fan-1")
    assert owner.delete(f"{FARM}/placements/{row['id']}", headers={"If-Match": "*"}).status_code == 204
    assert [line.partition(":")[0] for line in apply(centre, places=places)] == ["place old", "fan-1"]
    assert names_of_places(owner) == ["第1牛舎", "処理室"]
    assert history(owner, "fan-1") == []
