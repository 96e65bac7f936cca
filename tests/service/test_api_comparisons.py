"""Comparisons through the API: what somebody with farms of their own among the others can find out, and cannot."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import delete, select

from api.measures import BY_ID, Month, months
from api.sessions import COOKIE, digest
from collectors.registry import comparisons, people
from collectors.registry.schema import AuditRow, PersonRow, Site
from collectors.registry.schema.comparisons import Comparison, ComparisonMember
from collectors.registry.sight import WHOLE
from collectors.registry.sites import PlacementSpec, PlaceSpec, SiteSpec, apply_site
from collectors.registry.viewer import Role
from collectors.store.levels import DAY_MS
from makiba.reading import Reading, Series
from tests.service.serving import CONSOLE, WRITE, Centre, Clock

TANK = "/api/v1/comparisons/tank-temperature"
NOW_MS = int(datetime(2026, 11, 20, tzinfo=UTC).timestamp() * 1000)
MONTHS = months(NOW_MS)


@dataclass
class Town:
    """Farms `t-000`…, each with its owner, who lets its tank be compared; farm n's milk has 3 ℃ + n / 10."""

    centre: Centre
    browser: httpx.Client
    owners: dict[int, str] = field(default_factory=dict)
    persons: dict[str, int] = field(default_factory=dict)

    def add(self, *numbers: int, owner: str | None = None, celsius: float | None = None, joins: bool = True) -> None:
        """Farms with a year of milk; of `owner`, or each of its own."""
        readings = []
        with self.centre.registry.write() as session:
            for number in numbers:
                site = f"t-{number:03}"
                spec = SiteSpec(
                    site, site, site, places=(PlaceSpec("room", "tank-room", "処理室", "Room"),),
                    placements=(PlacementSpec("tank-1", "room", from_ms=0),),
                )  # fmt: skip
                apply_site(session, CONSOLE, spec, NOW_MS)
                if owner is None:
                    self.owners[number] = f"cookie-{number}"
                    row = people.create_person(session, CONSOLE, login=site, name=site, now_ms=NOW_MS)
                    self.persons[f"cookie-{number}"] = row.id
                    people.create_session(
                        session, CONSOLE, token_hash=digest(f"cookie-{number}"), person_id=row.id, now_ms=NOW_MS,
                        expires_ms=NOW_MS + DAY_MS,
                    )  # fmt: skip
                else:
                    self.owners[number] = owner
                people.grant_role(session, CONSOLE, self.person_of(self.owners[number]), site, "owner", NOW_MS)
                if joins:
                    comparisons.join(session, CONSOLE, site, "tank", NOW_MS)
                value = 3 + number / 10 if celsius is None else celsius
                series = Series(site, "tank-1", "milk_temperature")
                readings += [
                    Reading(series, month.start_ms + n * DAY_MS, value)
                    for month in MONTHS[:3]
                    for n in range(0, month.days, 2)
                ]
        self.centre.store.write(readings)

    def person_of(self, cookie: str) -> int:
        return self.persons[cookie]

    def role(self, person: int, site: str, role: Role) -> None:
        with self.centre.registry.write() as session:
            people.grant_role(session, CONSOLE, person, site, role, NOW_MS)

    def switch(self, number: int, *, on: bool = True) -> None:
        path = f"/api/v1/sites/t-{number:03}/comparisons/tank"
        answer = self.browser.request("PUT" if on else "DELETE", path, headers=self.headers(number))
        assert answer.status_code == 204, answer.text

    def headers(self, number: int) -> dict[str, str]:
        return {"Cookie": f"{COOKIE}={self.owners[number]}", **WRITE}

    def ask(self, number: int, month: Month = MONTHS[0]) -> Any:
        answer = self.browser.get(TANK, params={"month": month.name}, headers=self.headers(number))
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Centre, httpx.Client]]:
    centre = Centre(Path(tmp_path_factory.mktemp("town")), clock=Clock(NOW_MS))
    with centre.serving() as browser:
        yield centre, browser
    centre.registry.close()
    centre.store.close()


@pytest.fixture
def town(served: tuple[Centre, httpx.Client]) -> Iterator[Town]:
    """A town with nobody in it."""
    town = Town(*served)
    yield town
    with town.centre.registry.write() as session:
        for table in (Comparison, Site, PersonRow):
            session.execute(delete(table))
    for number in town.owners:
        town.centre.store.delete_site(f"t-{number:03}")
    town.centre.clock.ms += 600_000


def test_a_farm_sees_its_own_value_and_bands_and_no_name(town: Town) -> None:
    town.add(*range(16))
    told = town.ask(2)
    assert told["bands"] == pytest.approx([3.35, 4.15], abs=0.06)  # of 3.0 … 3.7 and 3.8 … 4.5, rounded
    assert told["own"] == [{"site": "t-002", "value": pytest.approx(3.2), "band": 0}]
    assert (told["at_least"], told["why"]) == (15, None)
    assert not any(f"t-{n:03}" in str(told) for n in range(16) if n != 2)
    [measure] = [m for m in town.browser.get("/api/v1/comparisons", headers=town.headers(2)).json()["rows"]
                 if m["id"] == "tank-temperature"]  # fmt: skip
    assert told["measure"] == measure
    rows = town.browser.get("/api/v1/sites/t-005/audit", headers=town.headers(5)).json()["rows"]
    assert {r["what"] for r in rows if r["kind"] == "change"} >= {"comparison.joined", "comparison.used"}


def test_below_eight_nothing_is_told_and_who_takes_no_part_sees_nothing(town: Town) -> None:
    town.add(*range(7))
    assert (town.ask(0)["bands"], town.ask(0)["why"]) == ([], "too-few")
    town.add(7, joins=False)
    assert town.ask(7) | {"measure": 0} == {
        "measure": 0, "month": MONTHS[0].name, "at_least": 0, "bands": [], "own": [], "why": "not-taking-part",
    }  # fmt: skip
    town.switch(7)
    town.centre.clock.ms += 600_000
    assert town.ask(0)["bands"] == [3.4]


def test_three_farms_of_one_owner_count_as_one(town: Town) -> None:
    town.add(*range(5))
    attacker = town.owners[0]
    town.add(20, 21, owner=attacker)
    town.add(22)
    assert town.ask(0)["why"] == "too-few"  # eight farms, six parties
    assert len(town.ask(0)["own"]) == 3
    town.add(23, 24, celsius=4.0)
    town.centre.clock.ms += 600_000
    told = town.ask(0)
    own = (3.0 + 5.0 + 5.1) / 3
    assert told["bands"] == [pytest.approx(round((own + 3.1 + 3.2 + 3.3 + 3.4 + 5.2 + 8.0) / 8, 1))]


def test_what_is_published_stays_and_a_withdrawal_is_in_nothing_afterwards(town: Town) -> None:
    town.add(*range(20))
    published = town.ask(0)
    town.switch(19, on=False)
    assert town.ask(0) == published  # made anew without the one, the difference would be its value
    assert town.ask(19)["why"] == "not-taking-part"
    later = town.ask(0, MONTHS[1])
    assert later["bands"]
    members = _members(town, MONTHS[1])
    assert "t-019" not in members
    assert len(_members(town, MONTHS[0]) - members) >= 5  # four others sit out with it
    assert members < _members(town, MONTHS[0])


def test_a_farm_that_leaves_for_good_does_not_show_by_its_absence(town: Town) -> None:
    town.add(*range(20))
    town.ask(0)
    with town.centre.registry.write() as session:
        session.execute(delete(Site).where(Site.id == "t-019"))
    town.ask(0, MONTHS[1])
    assert len(_members(town, MONTHS[1])) == 20 - 5


def test_who_comes_in_alone_waits(town: Town) -> None:
    town.add(*range(12))
    before = town.ask(0)["bands"]
    town.add(30, celsius=30.0)
    assert town.ask(0, MONTHS[1])["bands"] == before
    assert town.ask(30, MONTHS[1])["own"][0]["value"] == 30.0
    town.add(*range(31, 35))
    assert len(_members(town, MONTHS[1])) == 12
    town.ask(0, MONTHS[2])
    assert len(_members(town, MONTHS[2])) == 17


def test_who_sees_many_of_the_farms_by_themselves_gets_no_means_of_the_others(town: Town) -> None:
    town.add(*range(9))
    vet = town.person_of(town.owners[0])
    for number in (1, 2):
        town.role(vet, f"t-{number:03}", "vet")
        town.centre.consent(f"t-{number:03}", "tank", person=vet)
    assert town.ask(0)["bands"]
    town.role(vet, "t-003", "vet")
    town.centre.consent("t-003", "tank", person=vet)
    assert (town.ask(0)["bands"], town.ask(0)["why"]) == ([], "sees-too-many")
    assert town.ask(1)["bands"]


def test_nobody_asks_for_a_group_or_a_time_of_their_choice(town: Town) -> None:
    town.add(*range(8))
    whole = town.ask(0)
    for query in ({"sites": "t-001"}, {"site": "t-001"}, {"classes": "tank"}, {"from_ms": "1"}, {"limit": "1"}):
        answer = town.browser.get(TANK, params={"month": MONTHS[0].name, **query}, headers=town.headers(0))
        assert answer.status_code == 422 or answer.json() == whole
    for month in ("2026-11", "2020-01", "2026-13", "9999-99", "2026-10-01", "2026-1"):
        assert town.browser.get(TANK, params={"month": month}, headers=town.headers(0)).status_code == 422
    assert town.browser.get("/api/v1/comparisons/weight", headers=town.headers(0)).status_code == 404


def test_a_month_is_of_this_calendar_and_counts_when_late_readings_have_come(town: Town) -> None:
    at = [datetime(2026, 3, day, 15, tzinfo=UTC) for day in (2, 3)]  # midnight of the 3rd and of the 4th at UTC+9
    names = [months(int(t.timestamp() * 1000))[0].name for t in at]
    assert names == ["2026-01", "2026-02"]
    assert [m.days for m in months(int(at[1].timestamp() * 1000))[:3]] == [28, 31, 31]
    for one, before in itertools.pairwise(MONTHS):
        assert one.start_ms == before.end_ms


def test_heat_is_counted_in_hours_and_half_a_month_is_needed(town: Town) -> None:
    month, measure = MONTHS[0], BY_ID["barn-heat"]
    store = town.centre.store
    hours = range(month.start_ms, month.end_ms, 3_600_000)

    def measured(count: int, warm: int) -> float | None:
        store.delete_site("t-100")
        rows = [
            Reading(Series("t-100", "barn-1", quantity), at_ms, value)
            for n, at_ms in enumerate(hours[:count])
            for quantity, value in (("air_temperature", 30.0 if n < warm else 10.0), ("relative_humidity", 70.0))
        ]
        store.write(rows)
        return measure.value(store, WHOLE, "t-100", month)

    assert measured(len(hours), 100) == 100
    assert measured(len(hours) // 2 - 1, 100) is None


def _members(town: Town, month: Month) -> set[str]:
    with town.centre.registry.read() as session:
        query = select(ComparisonMember.site_id).where(ComparisonMember.period == month.name)
        return set(session.scalars(query))


def test_nothing_published_says_which_value_a_farm_has(town: Town) -> None:
    town.add(*range(8))
    town.ask(0)
    with town.centre.registry.read() as session:
        details = [r.detail for r in session.scalars(select(AuditRow).where(AuditRow.what == "comparison.used"))]
    assert {tuple(sorted(d)) for d in details} == {("measure", "period")}
