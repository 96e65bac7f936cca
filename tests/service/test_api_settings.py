"""What a farm says of itself, over HTTP: read with its questions, written with a version, kept beside a site file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from api.centre import PREFIX
from api.sessions import COOKIE
from collectors.registry import said, sites
from collectors.registry.viewer import Service
from tests.service.serving import CONSOLE, SITE, WRITE, Centre, Clock, farm

PATH = f"{PREFIX}/sites/{SITE}/settings"
GIVEN = {"cows": 70, "milking_times": ["05:00-07:30"], "barn-1.barn_type": "freestall", "vacuum_setpoint": 46}


@pytest.fixture(scope="module")
def centre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Centre]:
    made = Centre(tmp_path_factory.mktemp("settings"), Clock(1_790_000_000_000))
    yield made
    made.registry.close()
    made.store.close()


@pytest.fixture(scope="module")
def owner(centre: Centre) -> Iterator[httpx.Client]:
    person = centre.person(password=None, shikaoi_001="owner")
    with centre.serving() as browser:
        browser.headers.update({**WRITE, "Cookie": f"{COOKIE}={centre.cookie(person)}"})
        yield browser


def put(owner: httpx.Client, settings: dict[str, object]) -> httpx.Response:
    return owner.put(PATH, json={"settings": settings}, headers={"If-Match": owner.get(PATH).headers["ETag"]})


def test_it_begins_with_nothing_but_questions_and_says_what_was_said(owner: httpx.Client, centre: Centre) -> None:
    told = owner.get(PATH).json()
    assert (told["settings"], told["said_by"]) == ({}, "nobody")
    asked = {key["key"]: key for key in told["keys"]}
    assert asked["vacuum_setpoint"]["unit"] == "kPa"
    assert asked["milking_times"]["ask"]["ja"].startswith("いつ しぼりますか")
    written = put(owner, GIVEN)
    assert written.status_code == 200, written.text
    told = owner.get(PATH)
    assert (told.json()["settings"], told.json()["said_by"], told.json()["wrong"]) == (GIVEN, "people", [])
    assert written.headers["ETag"] == told.headers["ETag"]
    assert put(owner, GIVEN).headers["ETag"] == told.headers["ETag"], "the same again is no change"
    with centre.registry.read() as session:
        assert said.settings_of(session, Service("analytics"), SITE).number("vacuum_setpoint") == 46_000


def test_nobody_overwrites_what_they_have_not_seen(owner: httpx.Client) -> None:
    assert owner.put(PATH, json={"settings": {}}).status_code == 428
    assert owner.put(PATH, json={"settings": {"cows": 1}}, headers={"If-Match": '"999"'}).status_code == 412


def test_every_wrong_setting_is_named(owner: httpx.Client) -> None:
    answer = put(owner, {"cows": "many", "barn-9.barn_type": "hutch", "milking_times": ["5:00"]})
    assert answer.status_code == 422
    assert [e["where"] for e in answer.json()["errors"]] == [
        "settings.cows", "settings.barn-9.barn_type", "settings.milking_times",
    ]  # fmt: skip
    assert put(owner, {"x" * 300: 1}).status_code == 422


def test_a_site_file_does_not_undo_what_people_said_unless_asked_to(owner: httpx.Client, centre: Centre) -> None:
    assert put(owner, GIVEN).status_code == 200
    spec = replace(farm(SITE, "gw-a"), settings={**GIVEN, "cows": 80, "dry_cows": 5})
    with centre.registry.write() as session:
        kept = sites.apply_site(session, CONSOLE, spec, 1)
    assert kept == ["setting cows: 70", "setting dry_cows: taken out"]
    assert owner.get(PATH).json()["settings"] == GIVEN
    with centre.registry.write() as session:
        assert sites.apply_site(session, CONSOLE, spec, 1, overwrite=True) == []
    told = owner.get(PATH).json()
    assert (told["settings"]["cows"], told["said_by"]) == (80, "file")


def test_what_was_said_of_a_place_that_is_gone_may_stay_and_is_told(owner: httpx.Client, centre: Centre) -> None:
    gone = replace(farm(SITE, "gw-a"), settings={**GIVEN, "barn-7.barn_type": "hutch"})
    with centre.registry.write() as session:
        sites.apply_site(session, CONSOLE, gone, 1, overwrite=True)
    told = owner.get(PATH).json()
    assert [wrong["setting"] for wrong in told["wrong"]] == ["barn-7.barn_type"]
    assert put(owner, {**told["settings"], "cows": 71}).status_code == 200
    assert put(owner, {**told["settings"], "barn-7.barn_type": "loose"}).status_code == 422


def test_a_change_stands_in_the_farms_audit(owner: httpx.Client) -> None:
    assert put(owner, {"cows": 99}).status_code == 200
    rows = owner.get(f"{PREFIX}/sites/{SITE}/audit").json()["rows"]
    newest = next(row for row in rows if row["what"] == "settings.changed")
    assert "cows" in str(newest["detail"])
