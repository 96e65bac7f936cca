"""Series, newest values, readings and data side by side, over HTTP, on real databases."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import cbor2
import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from api.sessions import COOKIE
from api.shapes.data import DataOut, LatestOut, ReadingsPage, SeriesPage
from collectors.registry.people import viewer_of
from collectors.registry.schema import Place, Placement
from collectors.registry.sight import farm_sight
from collectors.registry.viewer import Service
from makiba import senml
from makiba.data_class import DataClass
from makiba.reading import Reading, Series
from tests.service.serving import CONSOLE, OTHER, SITE, Centre

MIN, HOUR, DAY = 60_000, 3_600_000, 86_400_000
T0 = 1_790_002_800_000  # 2026-09-22T00:00+09:00
MILK = Series(SITE, "tank-1", "milk_temperature")
AIR = Series(SITE, "barn-1-climate", "air_temperature")
STATE = Series(SITE, "tank-1", "state")
GAS = Series(SITE, "barn-1-climate", "ammonia")


class Desk:
    """A served centre with an owner and a guest."""

    def __init__(self, centre: Centre, browser: httpx.Client) -> None:
        self.centre, self.browser = centre, browser
        self.owner = centre.person("owner", password=None, shikaoi_001="owner")
        self.guest = centre.person("guest", password=None, shikaoi_001="coop", shikaoi_002="coop")
        self.cookies = {person: centre.cookie(person) for person in (self.owner, self.guest)}

    def get(self, path: str, person: int | None = None, **asked: Any) -> httpx.Response:
        headers = {"Cookie": f"{COOKIE}={self.cookies[person or self.owner]}", **asked.pop("headers", {})}
        return self.browser.get(f"/api/v1{path}", params=asked, headers=headers)

    def farm(self, path: str, person: int | None = None, **asked: Any) -> Any:
        answer = self.get(f"/sites/{SITE}{path}", person, **asked)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def fill(self) -> None:
        """Something of each kind on `SITE`."""
        store = self.centre.store
        store.write([Reading(MILK, T0 + i * MIN, 4.0 + i / 100) for i in range(300)])
        store.write([Reading(AIR, T0 + i * 10 * MIN, 20.0 - i / 10) for i in range(30)])
        store.write([Reading(GAS, T0 + 30 * MIN, 1.2e-5)])
        store.write([Reading(STATE, T0, "ok"), Reading(STATE, T0 + 5 * MIN, "timeout")])


@contextmanager
def made_desk(folder: Path) -> Iterator[Desk]:
    """A desk two days after `T0`; what stands on its farms stood there always."""
    centre = Centre(folder)
    centre.clock.ms = T0 + 2 * DAY
    with centre.registry.write() as session:
        session.execute(update(Placement).values(from_ms=0))
    with centre.serving() as browser:
        yield Desk(centre, browser)
    centre.store.close()
    centre.registry.close()


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Desk]:
    with made_desk(tmp_path) as desk:
        desk.fill()
        yield desk


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """`filled`, for tests that change nothing."""
    with made_desk(tmp_path_factory.mktemp("calm")) as desk:
        desk.fill()
        yield desk


def stand(desk: Desk, site: str, subject: str, *stays: tuple[int, int | None, str]) -> None:
    """Makes `subject` have stood in each of these kinds of place, from when until when."""
    with desk.centre.registry.write() as session:
        for row in session.query(Placement).filter_by(site_id=site, subject=subject):
            session.delete(row)
        session.flush()
        for number, (from_ms, to_ms, kind) in enumerate(stays):
            place = f"{kind}-x"
            if session.get(Place, (site, place)) is None:
                session.add(
                    Place(site_id=site, id=place, kind=kind, name_ja=kind, name_en=kind, position=90 + number)
                )
                session.flush()
            session.add(
                Placement(
                    site_id=site, subject=subject, from_ms=from_ms, to_ms=to_ms, place_id=place, role="",
                    name_ja="", name_en="",
                )
            )  # fmt: skip


# ------------------------------------------------------------------------------------------------------ the list


def test_the_list_says_what_there_is_where_and_since_when(calm: Desk) -> None:
    told = SeriesPage.model_validate(calm.farm("/series"))
    rows = {f"{r.subject}/{r.quantity}": r for r in told.rows}
    assert list(rows) == [
        "barn-1-climate/air_temperature", "barn-1-climate/ammonia", "tank-1/milk_temperature", "tank-1/state",
    ]  # fmt: skip
    milk = rows["tank-1/milk_temperature"]
    assert (milk.first_ms, milk.last_ms) == (T0, T0 + 299 * MIN)
    assert (milk.unit, milk.name.ja, milk.subject_name.ja, milk.classes) == ("℃", "乳温", "バルククーラー", ["tank"])
    assert milk.place is not None
    assert milk.place.id == "tank-room"
    assert rows["tank-1/state"].classes == ["tank", "technical"]
    assert rows["barn-1-climate/air_temperature"].every_s == 30.0


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"subject": "tank-*"}, ["tank-1/milk_temperature", "tank-1/state"]),
        ({"quantity": "*_temperature"}, ["barn-1-climate/air_temperature", "tank-1/milk_temperature"]),
        ({"class": "barn"}, ["barn-1-climate/air_temperature", "barn-1-climate/ammonia"]),
        ({"class": "technical"}, ["tank-1/state"]),
        ({"place": "tank-room"}, ["tank-1/milk_temperature", "tank-1/state"]),
        ({"place": "barn-1", "quantity": ["ammonia", "state"]}, ["barn-1-climate/ammonia"]),
        ({"subject": "nobody"}, []),
        ({"class": "herd"}, []),
    ],
)
def test_the_list_is_narrowed(calm: Desk, asked: dict[str, Any], found: list[str]) -> None:
    assert [f"{r['subject']}/{r['quantity']}" for r in calm.farm("/series", **asked)["rows"]] == found


def test_the_list_comes_in_pages_and_is_not_sent_twice(filled: Desk) -> None:
    whole = filled.farm("/series")["rows"]
    paged, cursor = [], None
    while True:
        told = filled.farm("/series", limit=1, **({"cursor": cursor} if cursor else {}))
        assert len(told["rows"]) == 1
        paged += told["rows"]
        cursor = told["next"]
        if cursor is None:
            break
    assert paged == whole
    tag = filled.get(f"/sites/{SITE}/series").headers["etag"]
    again = filled.get(f"/sites/{SITE}/series", headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    filled.centre.write(str(MILK), 5.0)
    assert filled.get(f"/sites/{SITE}/series", headers={"If-None-Match": tag}).status_code == 200


def test_a_guest_s_list_ends_where_the_sensor_left_what_they_may_see(filled: Desk) -> None:
    filled.centre.consent(SITE, "barn", role="coop")
    moved = T0 + 95 * MIN
    stand(filled, SITE, "barn-1-climate", (0, moved, "barn"), (moved, None, "station"))
    rows = filled.farm("/series", filled.guest)["rows"]
    assert [(r["quantity"], r["first_ms"], r["last_ms"]) for r in rows] == [
        ("air_temperature", T0, T0 + 90 * MIN), ("ammonia", T0 + 30 * MIN, T0 + 30 * MIN),
    ]  # fmt: skip
    # Where it stands now is none of theirs, nor what it is called there.
    assert {(r["place"], r["subject_name"]["ja"], *r["classes"]) for r in rows} == {(None, "barn-1-climate", "barn")}
    assert [r["quantity"] for r in filled.farm("/latest", filled.guest)["rows"]] == ["ammonia"]  # newer air is not
    # A series without a reading that they may see is not there.
    stand(filled, SITE, "barn-1-climate", (0, T0 + 5 * MIN, "barn"), (T0 + 5 * MIN, None, "station"))
    assert [r["quantity"] for r in filled.farm("/series", filled.guest)["rows"]] == ["air_temperature"]


# ------------------------------------------------------------------------------------------------ newest values


def test_the_newest_values_have_an_age_and_a_tag_that_holds_until_one_is_newer(filled: Desk) -> None:
    told = LatestOut.model_validate(filled.farm("/latest"))
    assert [(f"{r.subject}/{r.quantity}", r.value, r.time_ms) for r in told.rows] == [
        ("barn-1-climate/air_temperature", 20.0 - 2.9, T0 + 290 * MIN),
        ("barn-1-climate/ammonia", 1.2e-5, T0 + 30 * MIN),
        ("tank-1/milk_temperature", 4.0 + 299 / 100, T0 + 299 * MIN),
        ("tank-1/state", "timeout", T0 + 5 * MIN),
    ]
    assert {r.age_ms + r.time_ms for r in told.rows} == {told.time_ms} == {T0 + 2 * DAY}
    assert [r["quantity"] for r in filled.farm("/latest", subject="tank-1")["rows"]] == ["milk_temperature", "state"]
    path = f"/sites/{SITE}/latest"
    tag = filled.get(path).headers["etag"]
    filled.centre.clock.ms += 10_000  # a tag of ages would hold for no time at all
    again = filled.get(path, headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    filled.centre.write(str(MILK), 5.0)
    assert filled.get(path, headers={"If-None-Match": tag}).json()["rows"][2]["value"] == 5.0


# ----------------------------------------------------------------------------------------------------- readings


def test_readings_are_as_they_are_and_their_pages_join_without_a_seam(calm: Desk) -> None:
    path = "/series/tank-1/milk_temperature/readings"
    whole = ReadingsPage.model_validate(calm.farm(path, limit=10_000))
    assert whole.rows == [(T0 + i * MIN, 4.0 + i / 100) for i in range(300)]
    assert whole.next is None
    paged, cursor, pages = [], None, 0
    while True:
        told = calm.farm(
            path, limit=70, start_ms=T0 + MIN, end_ms=T0 + 250 * MIN, **({"cursor": cursor} if cursor else {})
        )
        paged += told["rows"]
        cursor, pages = told["next"], pages + 1
        if cursor is None:
            break
    assert pages == 4
    assert paged == [[T0 + i * MIN, 4.0 + i / 100] for i in range(1, 250)]
    # A cursor is of this question only.
    one = calm.farm(path, limit=70)["next"]
    refused = calm.get(f"/sites/{SITE}{path}", limit=70, start_ms=T0, cursor=one)
    assert (refused.status_code, refused.json()["type"]) == (400, "/problems/cursor")


def test_what_was_measured_elsewhere_is_in_no_page(filled: Desk) -> None:
    filled.centre.consent(SITE, "barn", role="coop")
    stand(
        filled, SITE, "barn-1-climate", (0, T0 + 45 * MIN, "barn"), (T0 + 45 * MIN, T0 + 95 * MIN, "station"),
        (T0 + 95 * MIN, None, "barn"),
    )  # fmt: skip
    path, paged, cursor = "/series/barn-1-climate/air_temperature/readings", [], None
    while True:
        told = filled.farm(path, filled.guest, limit=4, **({"cursor": cursor} if cursor else {}))
        paged += [time_ms for time_ms, _ in told["rows"]]
        cursor = told["next"]
        if cursor is None:
            break
    assert paged == [T0 + i * 10 * MIN for i in range(30) if i not in (5, 6, 7, 8, 9)]


# ------------------------------------------------------------------------------------------------------- SenML


def resolved(pack: list[dict[str, Any]]) -> list[tuple[str, float, Any]]:
    """RFC 8428, section 4.6, in ten lines of its own: (name, time in s, value) of each record."""
    base: dict[str, Any] = {"bn": "", "bt": 0, "bv": 0}
    found = []
    for record in pack:
        base |= {label: record[label] for label in base if label in record}
        if "v" in record or "vs" in record:
            value = record["vs"] if "vs" in record else record["v"] + base["bv"]
            found.append((base["bn"] + record.get("n", ""), base["bt"] + record.get("t", 0), value))
    return found


LABELS = {-2: "bn", -3: "bt", -4: "bu", 0: "n", 1: "u", 2: "v", 3: "vs", 6: "t"}


@pytest.mark.parametrize(
    "path", ["/latest", "/series/tank-1/milk_temperature/readings", "/series/tank-1/state/readings"]
)
def test_senml_by_accept_has_the_same_values_in_json_and_cbor(calm: Desk, path: str) -> None:
    told = calm.farm(path)
    if "subject" in told:
        expected = [(f"{SITE}/{told['subject']}/{told['quantity']}", t / 1000, v) for t, v in told["rows"]]
    else:
        expected = [(f"{SITE}/{r['subject']}/{r['quantity']}", r["time_ms"] / 1000, r["value"]) for r in told["rows"]]
    for kind in ("json", "cbor"):
        answer = calm.get(f"/sites/{SITE}{path}", headers={"Accept": f"application/senml+{kind}, */*;q=0.1"})
        assert answer.headers["content-type"] == f"application/senml+{kind}"
        assert "Accept" in answer.headers["vary"]
        pack = answer.json() if kind == "json" else [
            {LABELS[k]: v for k, v in record.items()} for record in cbor2.loads(answer.content)
        ]  # fmt: skip
        assert sorted(resolved(pack)) == sorted(expected)
        ours, refused = senml.readings_of(senml.parse(answer.content, answer.headers["content-type"]), 0)
        assert refused == []
        assert sorted((str(r.series), r.time_ms / 1000, r.value) for _, r in ours) == sorted(expected)
    assert calm.get(f"/sites/{SITE}{path}", headers={"Accept": "application/json;q=0.3, text/html"}).json() == told
    none = calm.get(f"/sites/{SITE}{path}", headers={"Accept": "text/html, application/senml+json;q=0"})
    assert (none.status_code, none.json()["type"]) == (406, "/problems/not-acceptable")


def test_pages_of_senml_name_the_next_one_and_an_empty_one_is_a_pack(calm: Desk) -> None:
    accept = {"Accept": "application/senml+json"}
    address, times = f"/sites/{SITE}/series/tank-1/milk_temperature/readings?limit=120", []
    while True:
        answer = calm.get(address, headers=accept)
        times += [time_s for _, time_s, _ in resolved(answer.json())]
        if "link" not in answer.headers:
            break
        address = answer.links["next"]["url"].removeprefix("/api/v1")
    assert times == [(T0 + i * MIN) / 1000 for i in range(300)]
    empty = calm.get(f"/sites/{SITE}/series/tank-1/milk_volume/readings", headers=accept)
    assert (empty.json(), senml.readings_of(senml.parse_json(empty.content), 0)) == (
        [{"bn": f"{SITE}/tank-1/milk_volume"}], ([], []),
    )  # fmt: skip


# --------------------------------------------------------------------------------------------------- many at once


def single(desk: Desk, name: str, person: int | None = None, **asked: Any) -> dict[int, list[Any]]:
    return {row[0]: row[1:] for row in desk.farm(f"/series/{name}/windows", person, **asked)["windows"]}


FOLDS = ("count", "min", "mean", "max", "last")
NAMES = ("tank-1/milk_temperature", "barn-1-climate/air_temperature", "barn-1-climate/ammonia", "tank-1/state")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True),
    folds=st.lists(st.sampled_from(FOLDS), min_size=1, max_size=5, unique=True),
    start=st.integers(-100, 299),
    length=st.integers(1, 400),
    width=st.one_of(st.none(), st.sampled_from([1, 7, 15, 60, 1440])),
    points=st.integers(1, 200),
)
def test_series_side_by_side_are_what_each_alone_is(
    calm: Desk, names: list[str], folds: list[str], start: int, length: int, width: int | None, points: int
) -> None:
    asked: dict[str, Any] = {"start_ms": T0 + start * MIN, "end_ms": T0 + (start + length) * MIN, "points": points}
    if width is not None:
        asked["width_ms"] = width * MIN
    told = calm.farm("/data", series=names, fold=folds, **asked)
    DataOut.model_validate(told)
    alone = {name: single(calm, name, **asked) for name in names}
    assert told["times_ms"] == sorted({time for windows in alone.values() for time in windows})
    assert [f"{c['subject']}/{c['quantity']}" for c in told["columns"]] == names
    for name, column in zip(names, told["columns"], strict=True):
        for fold in FOLDS:
            if fold not in folds:
                assert fold not in column
                continue
            place = FOLDS.index(fold)
            expected = [alone[name][time][place] if time in alone[name] else None for time in told["times_ms"]]
            assert column[fold] == expected


def test_farms_side_by_side_are_told_to_who_sees_each_and_to_nobody_else(filled: Desk) -> None:
    filled.centre.store.write([Reading(Series(OTHER, "tank-1", "milk_temperature"), T0, 4.5)])
    asked = {
        "series": [f"{SITE}/tank-1/milk_temperature", f"{OTHER}/tank-1/milk_temperature"], "start_ms": T0,
        "end_ms": T0 + HOUR, "width_ms": HOUR, "fold": "last",
    }  # fmt: skip
    filled.centre.consent(SITE, "tank", role="coop")
    assert filled.get("/data", filled.guest, **asked).status_code == 404
    assert filled.get("/data", filled.guest, **asked).content == filled.get(
        "/data", filled.guest, **{**asked, "series": ["nowhere-1/tank-1/milk_temperature"]}
    ).content  # fmt: skip
    filled.centre.consent(OTHER, "tank", role="coop")
    told = filled.get("/data", filled.guest, **asked).json()
    assert [(c["site"], c["last"]) for c in told["columns"]] == [(SITE, [4.59]), (OTHER, [4.5])]
    assert filled.get("/data", filled.owner, **asked).status_code == 404


@pytest.mark.parametrize(
    ("path", "asked", "where"),
    [
        ("/data", {"series": ["tank-1/milk_temperature"] * 101}, "query.series"),
        ("/data", {"series": "tank-1"}, "query.series.0"),
        ("/data", {}, "query.series"),
        ("/data", {"series": NAMES[0], "fold": "median"}, "query.fold.0"),
        ("/data", {"series": NAMES[0], "width_ms": 999}, "query.width_ms"),
        ("/data", {"series": NAMES[0], "start_ms": T0, "end_ms": T0}, "query.start_ms"),
        (
            "/data",
            {"series": NAMES[0], "start_ms": T0 - 366 * DAY, "end_ms": T0, "width_ms": 60_000},
            "query.width_ms",
        ),
        ("/data", {"series": [f"a-{i}/power" for i in range(90)], "points": 2000, "start_ms": T0}, None),
        ("/series", {"subject": "[a]"}, "query.subject.0"),
        ("/series", {"class": "secrets"}, "query.class"),
        ("/series/tank-1/milk_temperature/readings", {"limit": 10_001}, "query.limit"),
    ],
)
def test_what_cannot_be_answered_is_said_with_its_place(
    calm: Desk, path: str, asked: dict[str, Any], where: str | None
) -> None:
    answer = calm.get(f"/sites/{SITE}{path}", **asked)
    if where is None:
        assert answer.status_code == 200
    else:
        assert (answer.status_code, answer.json()["errors"][0]["where"]) == (422, where), answer.text


# --------------------------------------------------------------------------------------------- guests, value by value

KINDS = ("barn", "tank-room", "field", "station")


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_a_guest_reads_is_what_sight_allows_value_by_value(filled: Desk, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, 300), min_size=1, max_size=4)))
    edges = [0, *(T0 + cut * MIN for cut in cuts), None]
    stays = [(a, b, data.draw(st.sampled_from(KINDS))) for a, b in pairwise(edges) if data.draw(st.booleans())]
    stand(filled, SITE, "barn-1-climate", *[(a or 0, b, kind) for a, b, kind in stays])
    classes: list[DataClass] = data.draw(
        st.lists(st.sampled_from(["barn", "tank", "field", "weather"]), min_size=1, max_size=2, unique=True)
    )
    guest = filled.centre.person(secrets.token_hex(8), password=None, shikaoi_001="vet")
    filled.centre.consent(SITE, *classes, person=guest)
    filled.cookies[guest] = filled.centre.cookie(guest)
    with filled.centre.registry.read() as session:
        person = viewer_of(session, Service("api"), guest, filled.centre.clock())
        assert person is not None
        sight = farm_sight(session, CONSOLE, person, SITE)
    allowed = [
        p for p in filled.centre.store.range(AIR, 0, T0 + DAY) if sight.may_read(AIR.subject, AIR.quantity, p.time_ms)
    ]
    path = f"/sites/{SITE}/series/barn-1-climate/air_temperature"
    answer = filled.get(f"{path}/readings", guest)
    if not sight.spans(AIR.subject, AIR.quantity):
        assert answer.status_code == 404
        assert filled.get(f"/sites/{SITE}/data", guest, series="barn-1-climate/air_temperature").status_code == 404
        return
    assert answer.json()["rows"] == [[p.time_ms, p.value] for p in allowed]
    rows = [r for r in filled.farm("/series", guest)["rows"] if r["quantity"] == "air_temperature"]
    assert [(r["first_ms"], r["last_ms"]) for r in rows] == (
        [(allowed[0].time_ms, allowed[-1].time_ms)] if allowed else []
    )
    width = data.draw(st.sampled_from([MIN, 15 * MIN, HOUR]))
    asked = {"start_ms": T0, "end_ms": T0 + DAY, "width_ms": width}
    whole = single(filled, "barn-1-climate/air_temperature", **asked)
    theirs = single(filled, "barn-1-climate/air_temperature", guest, **asked)
    may = [all(sight.may_read(AIR.subject, AIR.quantity, at + i * MIN) for i in range(width // MIN)) for at in whole]
    assert theirs == {at: told for (at, told), allowed_whole in zip(whole.items(), may, strict=True) if allowed_whole}
    assert json.dumps(theirs)
