"""A herd through the API: animals by any of their numbers, groups, events that are corrected, never overwritten."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from collectors.registry import animals
from tests.service.serving import CONSOLE, OTHER, SITE, WRITE, Centre, sign_in

DAY_MS = 86_400_000
ANIMALS, GROUPS, EVENTS = (f"/api/v1/sites/{SITE}/{name}" for name in ("animals", "groups", "events"))
HANA = {
    "national_id": "1409876543", "tag": "392000140987654", "number": "305", "name": "はな", "sex": "female",
    "breed": "holstein", "born_on": "2022-04-18",
}  # fmt: skip


class Farm:
    """A served farm with its owner's browser."""

    def __init__(self, centre: Centre, browser: httpx.Client) -> None:
        self.centre, self.browser = centre, browser
        self.now_ms = centre.clock()

    def ask(self, method: str, path: str, body: Any = None, status: int | None = None, **headers: str) -> Any:
        """What is answered; `status`: with which it has to be."""
        answer = self.browser.request(method, path, json=body, headers=WRITE | headers)
        if status is not None:
            assert answer.status_code == status, answer.text
        return answer

    def get(self, path: str, **query: Any) -> Any:
        answer = self.browser.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def add(self, **fields: Any) -> str:
        return str(self.ask("POST", ANIMALS, fields, 201).json()["id"])

    def happen(self, animal: str, days_ago: float, kind: str, **detail: Any) -> Any:
        told = {"animal": animal, "at_ms": self.days_ago(days_ago), "detail": {"kind": kind, **detail}}
        return self.ask("POST", EVENTS, told, 201).json()

    def changes(self) -> list[Any]:
        """What the farm's audit says was changed, and its detail, by name."""
        rows = self.get(f"/api/v1/sites/{SITE}/audit")["rows"]
        parts = ("animal.", "event.", "field.", "season.")
        return sorted(((r["what"], r["detail"]) for r in rows if r["what"].startswith(parts)), key=str)

    def days_ago(self, days: float) -> int:
        return self.now_ms - round(days * DAY_MS)


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[Farm]:
    centre = Centre(tmp_path)
    centre.person(shikaoi_001="owner")
    with centre.signed_in() as browser:
        yield Farm(centre, browser)
    centre.registry.close()
    centre.store.close()


# ----------------------------------------------------------------------------------------------------- animals


def test_an_animal_is_found_and_changed_by_any_of_its_numbers(farm: Farm) -> None:
    answer = farm.ask("POST", ANIMALS, HANA, 201)
    made = answer.json()
    assert farm.get(answer.headers["location"]) == made
    assert made | HANA == made
    assert (made["status"], made["group"], made["version"]) == ("present", None, 1)
    for n, reference in enumerate(("national-id:1409876543", "tag:392000140987654", "number:305", made["id"])):
        path = f"{ANIMALS}/{reference}"
        tag = farm.browser.get(path).headers["etag"]
        changed = farm.ask("PATCH", path, {"name": f"はな{n}"}, 200, **{"If-Match": tag})
        assert changed.json() | {"changed_ms": 0} == made | {"name": f"はな{n}", "version": n + 2, "changed_ms": 0}
        assert changed.headers["etag"] == f'"{n + 2}"'
        assert farm.ask("PATCH", path, {"name": "x"}, 412, **{"If-Match": tag}).json()["type"] == "/problems/changed"
    farm.ask("PATCH", f"{ANIMALS}/number:305", {"name": "x"}, 428)
    same = farm.ask("PATCH", f"{ANIMALS}/number:305", {"name": "はな3"}, 200, **{"If-Match": '"5"'})
    assert same.headers["etag"] == '"5"'  # what changes nothing is no new version
    assert farm.ask("GET", f"{ANIMALS}/number:305", None, 304, **{"If-None-Match": '"5"'}).content == b""
    for reference in ("number:306", "colour:305", "tag:305", "national-id:", ":", "x" * 64):
        farm.ask("GET", f"{ANIMALS}/{reference}", status=404)


def test_a_number_is_one_animals_on_a_farm(farm: Farm) -> None:
    farm.add(**HANA)
    other = farm.add(number="306")
    for field in ("national_id", "tag", "number"):
        twin = farm.ask("POST", ANIMALS, {field: HANA[field]}, 409)
        assert field in twin.json()["detail"]
        farm.ask("PATCH", f"{ANIMALS}/{other}", {field: HANA[field]}, 409, **{"If-Match": "*"})
        with farm.centre.registry.write() as session:  # on another farm it is another's
            animals.add(session, CONSOLE, OTHER, {field: HANA[field]}, 1)
    assert farm.get(f"{ANIMALS}/{other}")["number"] == "306"


def test_a_farm_gives_its_numbers_again(farm: Farm) -> None:
    old = farm.add(**HANA)
    sale = farm.happen(old, 3, "sale")
    assert farm.get(f"{ANIMALS}/{old}")["status"] == "sold"
    farm.ask("POST", ANIMALS, {"national_id": HANA["national_id"]}, 409)
    new = farm.add(number="305")
    assert farm.get(f"{ANIMALS}/number:305")["id"] == new
    # It cannot come back as 305: that is another animal now.
    path = f"{EVENTS}/{sale['id']}?why=typo"
    assert "number" in farm.ask("DELETE", path, None, 409, **{"If-Match": "*"}).json()["detail"]
    assert farm.get(f"{ANIMALS}/{old}")["status"] == "sold"
    farm.ask("PATCH", f"{ANIMALS}/{new}", {"number": "307"}, 200, **{"If-Match": "*"})
    farm.ask("DELETE", path, None, 204, **{"If-Match": "*"})
    assert farm.get(f"{ANIMALS}/number:305")["id"] == old


NO_ANIMALS: list[tuple[Any, str]] = [
    ({}, ""),
    ({"national_id": "140987654"}, "national_id"),
    ({"national_id": "１４０９８７６５４３"}, "national_id"),
    ({"national_id": 1409876543}, "national_id"),
    ({"tag": "392000140987"}, "tag"),
    ({"tag": "392999999999999"}, "tag"),
    ({"number": "3/5"}, "number"),
    ({"number": ""}, "number"),
    ({"number": "1", "name": "a\x00"}, "name"),
    ({"number": "1", "note": "\ud800"}, "note"),
    ({"number": "1", "sex": "cow"}, "sex"),
    ({"number": "1", "born_on": "2022-02-30"}, "born_on"),
    ({"number": "1", "born_on": 0}, "born_on"),
    ({"number": "1", "status": "dead"}, "status"),
]


def test_what_no_animal_is_is_refused_with_the_place(farm: Farm) -> None:
    for wrong, where in NO_ANIMALS:
        body = json.dumps(wrong)  # with \\ud800 as it stands there, which httpx itself does not send
        answer = farm.browser.post(ANIMALS, content=body, headers=WRITE | {"Content-Type": "application/json"})
        told = answer.json()
        assert (answer.status_code, told["type"]) == (422, "/problems/invalid")
        assert [e["where"] for e in told["errors"]] == [where]
    assert farm.get(ANIMALS)["rows"] == []


def test_the_list_is_in_the_order_of_numbers_and_can_be_searched(farm: Farm) -> None:
    for number in ("10", "9", "100", "11"):
        farm.add(number=number, name=f"牛{number}%")
    farm.add(national_id="1409876543")

    def numbers(**query: Any) -> list[Any]:
        found: list[Any] = []
        cursor: dict[str, str] = {}
        while True:
            told = farm.get(ANIMALS, **query, **cursor)
            found += [row["number"] for row in told["rows"]]
            if told["next"] is None:
                return found
            assert len(told["rows"]) == query["limit"]
            cursor = {"cursor": told["next"]}

    assert numbers() == [None, "9", "10", "11", "100"]
    assert numbers(limit=2) == [None, "9", "10", "11", "100"]
    assert numbers(q="10") == ["10", "100"]
    assert numbers(q="牛9") == ["9"]
    assert numbers(q="%") == ["9", "10", "11", "100"]
    assert numbers(q="_") == []
    assert numbers(q="140987") == [None]
    farm.happen("number:9", 1, "death")
    assert numbers(status="dead") == ["9"]
    assert numbers(status="present") == [None, "10", "11", "100"]


def test_readings_before_and_after_a_new_tag_are_the_animals(farm: Farm) -> None:
    old, new = "392000140987654", "392000140987655"
    made = farm.add(**HANA)
    other = farm.add(number="9")
    at_ms = farm.days_ago(10)
    path = f"{ANIMALS}/{made}"
    early = {"tag": new, "tag_from_ms": at_ms}
    assert farm.ask("PATCH", path, early, 200, **{"If-Match": "*"}).json()["tag_from_ms"] == at_ms
    farm.centre.write(f"{SITE}/{old}/body_weight", 601.0, at_ms - 5)
    farm.centre.write(f"{SITE}/{new}/body_weight", 622.5, at_ms + 5)
    farm.centre.write(f"{SITE}/1409876543/milk_yield", 17.5, at_ms + 9)
    told = farm.get(f"{path}/series")
    assert told["subjects"] == [
        {"subject": "1409876543", "from_ms": None, "to_ms": None},
        {"subject": old, "from_ms": None, "to_ms": at_ms},
        {"subject": new, "from_ms": at_ms, "to_ms": None},
    ]
    newest = {(s["subject"], s["quantity"]): (s["time_ms"], s["value"]) for s in told["series"]}
    assert newest == {
        (old, "body_weight"): (at_ms - 5, 601.0),
        (new, "body_weight"): (at_ms + 5, 622.5),
        ("1409876543", "milk_yield"): (at_ms + 9, 17.5),
    }
    # What the old tag says later is not hers, whoever wears it.
    farm.centre.write(f"{SITE}/{old}/body_weight", 99.0, at_ms + 20)
    [later] = [s for s in farm.get(f"{path}/series")["series"] if s["subject"] == old]
    assert (later["time_ms"], later["value"]) == (None, None)
    # The old tag was worn then: another animal can have it from then on only.
    farm.ask("PATCH", f"{ANIMALS}/{other}", {"tag": old}, 409, **{"If-Match": "*"})
    farm.ask("PATCH", f"{ANIMALS}/{other}", {"tag": old, "tag_from_ms": at_ms - 1}, 409, **{"If-Match": "*"})
    farm.ask("PATCH", f"{ANIMALS}/{other}", {"tag": old, "tag_from_ms": at_ms}, 200, **{"If-Match": "*"})
    # A slip of the pen is corrected without a date, and a tag does not come before the one that it replaces.
    farm.ask("PATCH", path, {"tag": "392000140987656"}, 200, **{"If-Match": "*"})
    assert [s["subject"] for s in farm.get(f"{path}/series")["subjects"]] == ["1409876543", old, "392000140987656"]
    wrong = farm.ask("PATCH", path, {"tag": new, "tag_from_ms": at_ms}, 422, **{"If-Match": "*"})
    assert wrong.json()["errors"][0]["where"] == "tag_from_ms"
    nothing = {"national_id": None, "tag": None, "number": None}
    farm.ask("PATCH", path, nothing, 422, **{"If-Match": "*"})


def test_an_animal_of_which_something_is_told_stays(farm: Farm) -> None:
    made = farm.add(**HANA)
    slip = farm.add(number="1")
    farm.ask("DELETE", f"{ANIMALS}/{slip}", None, 428)
    farm.ask("DELETE", f"{ANIMALS}/{slip}", None, 204, **{"If-Match": '"1"'})
    farm.ask("DELETE", f"{ANIMALS}/{slip}", None, 404, **{"If-Match": '"1"'})
    farm.happen(made, 1, "heat")
    farm.ask("DELETE", f"{ANIMALS}/{made}", None, 409, **{"If-Match": "*"})
    assert [(what, detail["number"]) for what, detail in farm.changes()] == [("animal.removed", "1")]


def test_the_same_write_twice_is_done_once(farm: Farm) -> None:
    first, second = (farm.ask("POST", ANIMALS, HANA, 201, **{"Idempotency-Key": "a"}) for _ in range(2))
    assert first.json() == second.json()
    farm.ask("POST", ANIMALS, HANA | {"name": "x"}, 422, **{"Idempotency-Key": "a"})
    assert len(farm.get(ANIMALS)["rows"]) == 1


# ------------------------------------------------------------------------------------------------------ groups


def test_groups_know_who_was_in_them_when(farm: Farm) -> None:
    for number in ("1", "2", "3"):
        farm.add(number=number)
    milking, dry = (
        farm.ask("POST", GROUPS, {"name": {"ja": name}, "kind": kind, "place": "barn-1"}, 201).json()["id"]
        for name, kind in (("搾乳", "lactating"), ("乾乳", "dry"))
    )
    move = {"animals": ["number:1", "number:2"], "at_ms": farm.days_ago(20)}
    farm.ask("POST", f"{GROUPS}/{milking}/animals", move, 201)
    moved = farm.happen("number:1", 10, "move", group=dry)
    farm.happen("number:2", 5, "death")

    def inside(group: str, **query: Any) -> list[str]:
        return [row["number"] for row in farm.get(f"{GROUPS}/{group}/animals", **query)["rows"]]

    assert (inside(milking), inside(dry)) == ([], ["1"])
    assert sorted(inside(milking, at_ms=farm.days_ago(15))) == ["1", "2"]
    assert inside(milking, at_ms=farm.days_ago(7)) == ["2"]
    assert {row["name"]["en"]: row["animals"] for row in farm.get(GROUPS)["rows"]} == {"搾乳": 0, "乾乳": 1}
    assert farm.get(f"{ANIMALS}/number:1")["group"] == dry
    assert [row["number"] for row in farm.get(ANIMALS, group=dry)["rows"]] == ["1"]
    # The move was never: what followed from it goes with it.
    farm.ask("DELETE", f"{EVENTS}/{moved['id']}?why=wrong+cow", None, 204, **{"If-Match": "*"})
    assert (inside(milking), inside(dry)) == (["1"], [])
    farm.ask("DELETE", f"{GROUPS}/{milking}", None, 409, **{"If-Match": "*"})
    farm.ask("DELETE", f"{GROUPS}/{dry}", None, 204, **{"If-Match": "*"})
    # All of them or none.
    half = {"animals": ["number:3", "number:99"], "at_ms": farm.days_ago(1)}
    assert farm.ask("POST", f"{GROUPS}/{milking}/animals", half, 422).json()["errors"][0]["where"] == "animals.1"
    assert farm.get(f"{ANIMALS}/number:3")["group"] is None


def test_a_group_is_changed_part_by_part(farm: Farm) -> None:
    whole = {"name": {"ja": "育成", "en": "Heifers"}, "kind": "heifers", "place": "barn-1", "note": "x"}
    answer = farm.ask("POST", GROUPS, whole, 201)
    path = answer.headers["location"]
    farm.ask("PATCH", path, {"place": "tank-room"}, 200, **{"If-Match": '"1"'})
    farm.ask("PATCH", path, {"place": None}, 200, **{"If-Match": '"2"'})
    told = farm.get(path)
    assert (told["name"], told["kind"], told["place"], told["note"]) == (whole["name"], "heifers", None, "x")
    wrong = farm.ask("PATCH", path, {"place": "barn-9"}, 422, **{"If-Match": "*"})
    assert wrong.json()["errors"][0]["where"] == "place"
    farm.ask("PATCH", path, {"place": "barn-1"}, 412, **{"If-Match": '"1"'})


# ------------------------------------------------------------------------------------------------------ events


def test_what_is_entered_wrongly_is_corrected_and_stays_to_be_read(farm: Farm) -> None:
    farm.add(**HANA)
    made = farm.happen("number:305", 300, "calving", ease="assisted", calves=[{"sex": "female"}])
    path = f"{EVENTS}/{made['id']}"
    assert made["detail"]["calves"] == [{"animal": "", "sex": "female", "alive": True, "weight_kg": None}]
    right = {"at_ms": farm.days_ago(299), "detail": {"kind": "calving", "ease": "surgery"}, "note": "帝王切開"}
    corrected = farm.ask("PUT", path, right, 200, **{"If-Match": '"1"'}).json()
    assert (corrected["version"], corrected["at_ms"], corrected["note"]) == (2, farm.days_ago(299), "帝王切開")
    [before] = corrected["history"]
    assert (before["version"], before["at_ms"], before["detail"]) == (1, farm.days_ago(300), made["detail"])
    assert (before["entered_by"], corrected["entered_by"]) == ("hanakoさん", "hanakoさん")
    farm.ask("PUT", path, right, 412, **{"If-Match": '"1"'})
    assert farm.ask("PUT", path, right, 200, **{"If-Match": '"2"'}).json() == corrected  # the same changes nothing
    assert farm.get(f"{ANIMALS}/number:305/state")["days_in_milk"] == 299
    farm.ask("DELETE", path, None, 422, **{"If-Match": "*"})
    farm.ask("DELETE", f"{path}?why=別の牛", None, 204, **{"If-Match": '"2"'})
    gone = farm.get(path)
    assert (gone["version"], gone["deleted"]["by"], gone["deleted"]["why"]) == (3, "hanakoさん", "別の牛")
    assert farm.get(EVENTS)["rows"] == []
    assert [row["id"] for row in farm.get(EVENTS, deleted=True)["rows"]] == [made["id"]]
    assert farm.get(f"{ANIMALS}/number:305/state")["calvings"] == 0
    farm.ask("PUT", path, right, 409, **{"If-Match": "*"})
    assert [what for what, _ in farm.changes()] == ["event.corrected", "event.deleted"]


def test_the_same_key_is_the_same_event(farm: Farm) -> None:
    farm.add(**HANA)
    told = {"animal": "number:305", "at_ms": farm.days_ago(1), "detail": {"kind": "heat"}, "key": "collar:77"}
    made = farm.ask("POST", EVENTS, told, 201).json()
    assert farm.ask("POST", EVENTS, told, 201).json() == made
    farm.ask("POST", EVENTS, told | {"note": "x"}, 409)
    farm.ask("DELETE", f"{EVENTS}/{made['id']}?why=x", None, 204, **{"If-Match": "*"})
    farm.ask("POST", EVENTS, told, 409)  # who deleted it had a reason
    assert farm.get(EVENTS)["rows"] == []


def test_events_are_listed_by_time_kind_animal_and_group(farm: Farm) -> None:
    for number in ("1", "2"):
        farm.add(number=number)
    group = farm.ask("POST", GROUPS, {"name": {"ja": "群"}, "kind": "other"}, 201).json()["id"]
    farm.happen("number:2", 30, "move", group=group)
    for days in (9, 8, 7, 7):
        farm.happen("number:1", days, "heat")
        farm.happen("number:2", days, "insemination", bull="JP5H54321")

    def times(**query: Any) -> list[int]:
        found: list[Any] = []
        cursor: dict[str, str] = {}
        while True:
            told = farm.get(EVENTS, limit=3, **query, **cursor)
            found += [row["at_ms"] for row in told["rows"]]
            if told["next"] is None:
                return [round((farm.now_ms - t) / DAY_MS) for t in found]
            cursor = {"cursor": told["next"]}

    assert times() == [7, 7, 7, 7, 8, 8, 9, 9, 30]
    assert times(kind=["heat"]) == [7, 7, 8, 9]
    assert times(kind=["heat", "move"]) == [7, 7, 8, 9, 30]
    assert times(animal="number:2", from_ms=farm.days_ago(9), to_ms=farm.days_ago(7)) == [8, 9]
    assert times(group=group) == [7, 7, 8, 9, 30]
    assert times(animal="number:3") == times(group="0") == []


def test_what_did_not_happen_yet_or_to_nobody_is_refused(farm: Farm) -> None:
    farm.add(number="1")
    for told, where in (
        ({"animal": "number:2", "at_ms": farm.now_ms, "detail": {"kind": "heat"}}, "animal"),
        ({"animal": "number:1", "at_ms": farm.now_ms + 2 * DAY_MS, "detail": {"kind": "heat"}}, "at_ms"),
        ({"animal": "number:1", "at_ms": farm.now_ms, "detail": {"kind": "move", "group": "x"}}, "detail.group"),
        ({"animal": "number:1", "at_ms": farm.now_ms, "detail": {"kind": "weight", "weight_kg": 9999}}, None),
        ({"animal": "number:1", "at_ms": farm.now_ms, "detail": {"kind": "birthday"}}, "detail"),
    ):
        answer = farm.ask("POST", EVENTS, told, 422).json()
        assert answer["type"] == "/problems/invalid"
        assert where is None or answer["errors"][0]["where"] == where
    assert farm.get(EVENTS)["rows"] == []


def test_the_state_of_the_herd(farm: Farm) -> None:
    farm.add(**HANA)
    farm.add(number="9", breed="japanese-black")
    farm.happen("number:305", 400, "calving")
    farm.happen("number:305", 320, "insemination", bull="JP5H54321")
    farm.happen("number:305", 280, "pregnancy-check", result="pregnant")
    farm.happen("number:305", 2, "treatment", drug="セファゾリン", milk_withdrawal_h=72, meat_withdrawal_h=24)
    state = farm.get(f"{ANIMALS}/number:305/state")
    assert state["expected_calving_ms"] == farm.days_ago(320) + 280 * DAY_MS
    assert (state["milk_withheld_until_ms"], state["meat_withheld_until_ms"]) == (farm.days_ago(-1), None)
    assert state["days_in_milk"] == 400
    rows = farm.get(f"/api/v1/sites/{SITE}/herd")["rows"]
    assert [row["animal"]["number"] for row in rows] == ["9", "305"]
    assert rows[1]["state"] == state
    farm.happen("number:305", 0, "sale")
    assert [row["animal"]["number"] for row in farm.get(f"/api/v1/sites/{SITE}/herd")["rows"]] == ["9"]


# ------------------------------------------------------------------------------------------------------ a vet


def test_a_vet_enters_what_they_did_and_changes_only_that(farm: Farm) -> None:
    farm.add(**HANA)
    own = farm.happen("number:305", 1, "heat")
    farm.centre.person("vet", shikaoi_001="vet")
    farm.centre.consent(SITE, "herd", role="vet")
    sign_in(farm.browser, "vet")
    theirs = farm.happen("number:305", 0, "treatment", drug="x", milk_withdrawal_h=72)
    assert theirs["entered_by"] == "vetさん"
    body = {"at_ms": farm.now_ms, "detail": {"kind": "note"}}
    for method, path in (("PUT", f"{EVENTS}/{own['id']}"), ("DELETE", f"{EVENTS}/{own['id']}?why=x")):
        farm.ask(method, path, body if method == "PUT" else None, 403, **{"If-Match": "*"})
    farm.ask("PUT", f"{EVENTS}/{theirs['id']}", body, 200, **{"If-Match": '"1"'})
    farm.ask("POST", ANIMALS, HANA | {"number": "1"}, 403)
    farm.ask("PATCH", f"{ANIMALS}/number:305", {"name": "x"}, 403, **{"If-Match": "*"})
    # A farm's owner may correct what the vet entered, and it stays in the history whose words they were.
    sign_in(farm.browser)
    corrected = farm.ask("PUT", f"{EVENTS}/{theirs['id']}", body | {"note": "y"}, 200, **{"If-Match": '"2"'}).json()
    assert [h["entered_by"] for h in corrected["history"]] == ["vetさん", "vetさん"]
    assert corrected["entered_by"] == "hanakoさん"
