"""Fields through the API: outlines made regular, areas, crops, sensors, and GeoJSON."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from collectors.registry.sites import PlacementSpec, PlaceSpec, SiteSpec, apply_site
from tests.service.serving import CONSOLE, SITE, Centre
from tests.service.test_api_herd import Farm

FIELDS = f"/api/v1/sites/{SITE}/fields"
SQUARE = [[143.0, 43.2], [143.002, 43.2], [143.002, 43.202], [143.0, 43.202], [143.0, 43.2]]
EAST = {
    "name": {"ja": "東3号", "en": "East 3"}, "number": "E3", "kind": "field", "soil": "andosol",
    "outline": {"type": "Polygon", "coordinates": [SQUARE[::-1]]},
}  # fmt: skip


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[Farm]:
    centre = Centre(tmp_path)
    with centre.registry.write() as session:
        apply_site(
            session,
            CONSOLE,
            SiteSpec(
                SITE, "牧場", "farm",
                places=(
                    PlaceSpec("barn-1", "barn", "第1牛舎", "Barn 1"),
                    PlaceSpec("east", "field", "東", "East"),
                    PlaceSpec("hill", "pasture", "丘", "Hill"),
                ),
                placements=(
                    PlacementSpec("soil-1.ch1", "east", "", "東の土", "Soil east", from_ms=centre.clock() - 9),
                    PlacementSpec("soil-2", "hill", "", "", ""),
                ),
            ),
            centre.clock(),
        )  # fmt: skip
    centre.person(shikaoi_001="owner")
    with centre.signed_in() as browser:
        yield Farm(centre, browser)
    centre.registry.close()
    centre.store.close()


def test_an_outline_is_made_regular_and_measured(farm: Farm) -> None:
    answer = farm.ask("POST", FIELDS, EAST, 201)
    made = answer.json()
    assert made["outline"] == {"type": "Polygon", "coordinates": [SQUARE]}
    assert made["bbox"] == [143.0, 43.2, 143.002, 43.202]
    assert made["area"]["m2"] == pytest.approx(36_111, rel=1e-3)
    assert made["area"]["ha"] == pytest.approx(made["area"]["m2"] / 10_000)
    assert made["area"]["tan"] == pytest.approx(made["area"]["m2"] / 991.7355, rel=1e-6)
    assert made["area"]["cho"] == pytest.approx(made["area"]["tan"] / 10)
    assert (made["soil_name"]["ja"], made["warnings"]) == ("黒ボク土", [])
    assert farm.get(answer.headers["location"]) == made == farm.get(f"{FIELDS}/number:E3")
    path = answer.headers["location"]
    swapped = {"type": "Polygon", "coordinates": [[[y, x] for x, y in SQUARE]]}
    wrong = farm.ask("PATCH", path, {"outline": swapped}, 422, **{"If-Match": "*"}).json()
    assert wrong["errors"] == [
        {"where": "outline", "why": "ring 1, position 1: 43.2, 143 is no longitude and latitude"}
    ]
    abroad = {"type": "Polygon", "coordinates": [[[x - 130, y] for x, y in SQUARE]]}
    told = farm.ask("PATCH", path, {"outline": abroad}, 200, **{"If-Match": '"1"'}).json()
    assert (told["warnings"], told["version"]) == (["outside-japan"], 2)
    gone = farm.ask("PATCH", path, {"outline": None}, 200, **{"If-Match": '"2"'}).json()
    assert (gone["outline"], gone["area"], gone["number"]) == (None, None, "E3")


def test_what_is_no_field_is_refused(farm: Farm) -> None:
    crossing = [*SQUARE[:2], SQUARE[3], SQUARE[2], SQUARE[0]]
    wrongs: list[tuple[Any, str | None]] = [
        ({"outline": {"type": "Point", "coordinates": [1, 2]}}, "outline"),
        ({"outline": {"type": "Polygon", "coordinates": [SQUARE[:-1]]}}, "outline"),
        ({"outline": {"type": "Polygon", "coordinates": [crossing]}}, "outline"),
        ({"outline": {"type": "Polygon", "coordinates": [[[1, 2, 3, 4]] * 4]}}, None),
        ({"place": "barn-1"}, "place"),
        ({"place": "nowhere"}, "place"),
        ({"soil": "mud"}, "soil"),
        ({"kind": "barn"}, "kind"),
        ({"number": "E/3"}, "number"),
        ({"name": {"ja": ""}}, "name.ja"),
    ]
    for wrong, where in wrongs:
        told = farm.ask("POST", FIELDS, EAST | wrong, 422).json()
        assert told["type"] == "/problems/invalid"
        assert where is None or [e["where"] for e in told["errors"]] == [where]
    assert farm.get(FIELDS)["rows"] == []


def test_a_number_and_a_place_are_one_fields(farm: Farm) -> None:
    farm.ask("POST", FIELDS, EAST | {"place": "east"}, 201)
    farm.ask("POST", FIELDS, EAST, 409)
    farm.ask("POST", FIELDS, EAST | {"number": "E4", "place": "east"}, 409)
    other = farm.ask("POST", FIELDS, EAST | {"number": "E4", "place": "hill"}, 201).headers["location"]
    for taken in ({"number": "E3"}, {"place": "east"}):
        farm.ask("PATCH", other, taken, 409, **{"If-Match": "*"})


def test_crops_have_their_days(farm: Farm) -> None:
    field = farm.ask("POST", FIELDS, EAST, 201).headers["location"]
    beet = {"crop": "てんさい", "variety": "アマホマレ", "planted_on": "2025-04-28"}
    first = farm.ask("POST", f"{field}/seasons", beet, 201).headers["location"]
    wheat = {"crop": "秋まき小麦", "variety": "きたほなみ", "sown_on": "2025-09-20"}
    second = farm.ask("POST", f"{field}/seasons", wheat, 201).headers["location"]
    wrong = farm.ask("PATCH", first, {"harvested_on": "2025-04-27"}, 422, **{"If-Match": "*"}).json()
    assert wrong["errors"][0]["where"] == "harvested_on"
    done = farm.ask("PATCH", first, {"harvested_on": "2025-10-25"}, 200, **{"If-Match": '"1"'}).json()
    assert done | beet | {"harvested_on": "2025-10-25", "version": 2} == done
    farm.ask("PATCH", first, {"variety": "x"}, 412, **{"If-Match": '"1"'})
    assert [s["crop"] for s in farm.get(f"{field}/seasons")["seasons"]] == ["秋まき小麦", "てんさい"]
    assert len(farm.get(FIELDS, crop="秋まき小麦")["rows"]) == 1
    assert farm.get(FIELDS, crop="てんさい")["rows"] == []  # it stands there no more
    farm.ask("DELETE", second, None, 204, **{"If-Match": "*"})
    farm.ask("DELETE", field, None, 204, **{"If-Match": "*"})
    farm.ask("GET", first, status=404)
    assert [what for what, _ in farm.changes()] == ["field.removed", "season.changed", "season.removed"]


def test_the_sensors_in_a_field_are_those_that_stand_there_now(farm: Farm) -> None:
    field = farm.ask("POST", FIELDS, EAST | {"place": "east"}, 201).headers["location"]
    standing = {
        "subject": "soil-1.ch1", "name": {"ja": "東の土", "en": "Soil east"}, "role": "",
        "from_ms": farm.now_ms - 9,
    }  # fmt: skip
    assert farm.get(f"{field}/sensors") == {"sensors": [standing]}
    [row] = farm.get(FIELDS)["rows"]
    assert row["sensors"] == [standing]
    farm.ask("PATCH", field, {"place": None}, 200, **{"If-Match": "*"})
    assert farm.get(f"{field}/sensors") == {"sensors": []}


def test_fields_come_as_geojson_by_accept(farm: Farm) -> None:
    made = farm.ask("POST", FIELDS, EAST | {"place": "east"}, 201).json()
    farm.ask("POST", FIELDS, {"name": {"ja": "丘"}, "number": "E10", "kind": "pasture", "place": "hill"}, 201)
    plain = farm.browser.get(FIELDS)
    assert plain.headers["content-type"] == "application/json"
    assert "Accept" in plain.headers["vary"].split(", ")
    answer = farm.browser.get(FIELDS, headers={"Accept": "application/geo+json"})
    assert answer.headers["content-type"] == "application/geo+json"
    told = answer.json()
    assert (told["type"], told["next"], len(told["features"])) == ("FeatureCollection", None, 2)
    east, hill = told["features"]
    assert (east["type"], east["id"], east["geometry"]) == ("Feature", made["id"], made["outline"])
    assert (east["properties"]["name"]["en"], east["properties"]["sensors"][0]["subject"]) == ("East 3", "soil-1.ch1")
    assert (hill["geometry"], hill["properties"]["name"]["en"]) == (None, "丘")
    assert answer.headers["etag"] != plain.headers["etag"]
    for accept, etag in (("application/geo+json", answer.headers["etag"]), ("*/*", plain.headers["etag"])):
        known = {"Accept": accept, "If-None-Match": etag}
        assert farm.browser.get(FIELDS, headers=known).status_code == 304
    assert farm.browser.get(FIELDS, headers={"Accept": "image/png"}).status_code == 406
    page = farm.get(FIELDS, limit=1)
    rest = farm.browser.get(
        FIELDS, params={"limit": 1, "cursor": page["next"]}, headers={"Accept": "application/geo+json"}
    )
    assert [f["id"] for f in rest.json()["features"]] == [hill["id"]]
