"""Many farms without power: one incident, nobody told twice, one table of answers, nothing of who shows nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from analytics import alert_book, incidents
from analytics.decision import Decision, Kind
from analytics.notify import crowd
from analytics.notify.begin import ME
from collectors.registry import Registry, addresses, consent, open_registry
from collectors.registry import incidents as rows
from collectors.registry.schema import Alert, PersonRow, RoleRow, Site
from collectors.registry.schema.incidents import Incident, IncidentFarm
from collectors.registry.sites import SiteSpec, apply_site
from collectors.registry.viewer import NotAllowed, Person, Service
from collectors.registry.weather import WeatherSpec
from makiba.data_class import DataClass
from tests.service.notify_parts import MINUTE, NOON, Centre, address_of, centre
from tests.service.postgres_parts import Postgres

FARMS = 40
HIT = 12
COOP, TOWN = 900, 901
SHOWN = 35
"""Farms from this one on show the co-op nothing."""
CONSOLE = Service("console")
SHOWS: tuple[DataClass, ...] = ("alerts",)


def name(number: int) -> str:
    return f"farm-{number:02}"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.long)])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Registry]:
    if request.param == "sqlite":
        made = open_registry(f"sqlite:{tmp_path / 'registry.db'}", migrate=True)
    else:
        server: Postgres = request.getfixturevalue("postgres")
        made = open_registry(server.ready("incidents"))
    weather = WeatherSpec("014030", "014030", municipality="0163400")
    with made.write() as session:
        for number in range(FARMS):
            apply_site(
                session, CONSOLE, SiteSpec(name(number), f"牧場{number}", f"Farm {number}", weather=weather), NOON
            )
            _person(session, number + 1, {name(number): "owner"})
        _person(session, COOP, {name(n): "coop" for n in range(FARMS)})
        for number in range(SHOWN):
            consent.give(session, CONSOLE, name(number), classes=SHOWS, now_ms=NOON - 1, role="coop")
    yield made
    made.close()


def _person(session: Session, number: int, roles: dict[str, str]) -> None:
    session.add(
        PersonRow(
            id=number, public_id=f"p{number}", login=f"p{number}", name=f"p{number}", created_ms=NOON, is_admin=False
        )
    )
    session.flush()
    for site, role in roles.items():
        session.add(RoleRow(person_id=number, site_id=site, role=role))
    addresses.put(session, ME, number, "push", address_of("push", number), NOON, verified=True)


@pytest.fixture
def town(registry: Registry) -> Centre:
    return centre(registry, "push")


def say(town: Centre, number: int, kind: Kind = "open", rule: str = "pow.lost", onset_ms: int | None = None) -> str:
    onset = town.now_ms - 30_000 if onset_ms is None else onset_ms
    with town.registry.write() as session:
        decision = Decision(kind, name(number), rule, "meter", onset, town.now_ms, "critical")
        return alert_book.write(session, ME, decision, town.now_ms).alert_id


def goes_on(town: Centre, seconds: float) -> None:
    """What analytics and the notifier do, each two seconds."""
    for _ in range(int(seconds / 2)):
        with town.registry.write() as session:
            incidents.look(session, ME, town.now_ms)
            crowd.tell_incidents(session, town.ways, town.now_ms)
        town.step()
        town.now_ms += 2_000


def told(town: Centre, person: int) -> list[str]:
    return [m.title for m in town.channels["push"].got if m.to["endpoint"] == f"endpoint-{person}"]


def coop() -> Person:
    return Person(
        COOP, "coop", {name(n): "coop" for n in range(FARMS)},
        grants={name(n): frozenset({"alerts"}) for n in range(SHOWN)},
    )  # fmt: skip


def test_twelve_farms_without_power_are_one_incident_and_no_alert_of_a_single_one_is_told(town: Centre) -> None:
    for number in range(HIT):
        say(town, number)
        town.now_ms += 500
    goes_on(town, 60)
    with town.registry.read() as session:
        found = session.scalars(select(Incident)).all()
        assert [(one.kind, one.ended_ms) for one in found] == [("power", None)]
        assert len(session.scalars(select(IncidentFarm)).all()) == HIT
    assert {m.kind for m in town.channels["push"].got} == {"incident"}
    assert told(town, COOP) == ["停電の疑い 12戸"]
    assert all(told(town, n + 1) == ["停電の ようです。だいじょうぶですか"] for n in range(HIT))
    assert all(told(town, n + 1) == [] for n in range(HIT, FARMS))
    town.later(60)
    assert len(town.channels["push"].got) == HIT + 1


def test_two_farms_are_two_alerts(town: Centre) -> None:
    one, other = say(town, 0), say(town, 1)
    goes_on(town, 40)
    assert {m.alert_id for m in town.channels["push"].got} == {one, other}
    with town.registry.read() as session:
        assert session.scalars(select(Incident)).all() == []
        assert not incidents.is_to_look(session, ME)


def test_answers_stand_in_one_table_and_a_call_for_help_is_told(town: Centre) -> None:
    with town.registry.write() as session:
        for number, has in ((0, True), (1, False)):
            site = session.get_one(Site, name(number))
            site.settings = {"generator": has, "cows": 60}
    alerts = [say(town, number) for number in range(6)]
    goes_on(town, 30)
    with town.registry.write() as session:
        found = rows.list_incidents(session, coop(), 10)[0]
        assert [f.site.id for f in found.farms][-1] == name(0), "who has a generator comes last"
        assert found.farms[0].site.id == name(1), "who has cows and none comes first"
        owner = Person(5, "owner", {name(4): "owner"})
        assert rows.answer(session, owner, found.row.id, name(4), "generator", town.now_ms)
        assert rows.answer(session, owner, found.row.id, name(4), "generator", town.now_ms)
        alert_book.acknowledge(session, owner, alerts[4], town.now_ms)
        with pytest.raises(NotAllowed):
            rows.answer(session, coop(), found.row.id, name(3), "ok", town.now_ms)
        assert (
            rows.answer(session, Person(9, "x", {name(8): "owner"}), found.row.id, name(8), "ok", town.now_ms) is None
        )
    goes_on(town, 10)
    assert told(town, COOP)[-1] == "牧場4: 発電機が 要ります"
    with town.registry.read() as session:
        first = rows.list_incidents(session, coop(), 10)[0].farms[0]
        assert (first.site.id, first.row.answer) == (name(4), "generator")


def test_who_sees_no_alerts_of_a_farm_sees_it_in_no_incident(town: Centre) -> None:
    for number in range(SHOWN - 2, SHOWN + 2):
        say(town, number)
    goes_on(town, 40)
    with town.registry.read() as session:
        found = rows.list_incidents(session, coop(), 10)
        assert [f.site.id for f in found[0].farms] == [name(SHOWN - 2), name(SHOWN - 1)]
        assert found[0].in_all is None, "four farms: the number would tell of the other two"
        assert rows.list_incidents(session, Person(7, "far", {name(6): "owner"}), 10) == []
        own = rows.list_incidents(session, Person(SHOWN + 2, "own", {name(SHOWN + 1): "owner"}), 10)
        assert [f.site.id for f in own[0].farms] == [name(SHOWN + 1)]
    assert told(town, COOP) == ["停電の疑い 2戸"]


def test_it_ends_farm_by_farm_and_a_farm_that_is_hit_again_is_asked_again(town: Centre) -> None:
    onset = town.now_ms - 30_000
    for number in range(4):
        say(town, number, onset_ms=onset)
    goes_on(town, 30)
    say(town, 0, "end", onset_ms=onset)
    goes_on(town, 4)
    with town.registry.read() as session:
        ended = {f.site_id: f.ended_ms is not None for f in session.scalars(select(IncidentFarm))}
        assert ended == {name(0): True, name(1): False, name(2): False, name(3): False}
    town.now_ms += 2 * MINUTE
    say(town, 0)
    goes_on(town, 10)
    assert len(told(town, 1)) == 2
    with town.registry.read() as session:
        assert len(session.scalars(select(Incident)).all()) == 1
    for number in range(4):
        with town.registry.read() as session:
            query = select(Alert).where(Alert.site_id == name(number))
            open_onsets = [a.onset_ms for a in session.scalars(query) if a.ended_ms is None]
        for one in open_onsets:
            say(town, number, "end", onset_ms=one)
    goes_on(town, 10)
    with town.registry.read() as session:
        assert session.scalars(select(Incident)).one().ended_ms is not None
    assert told(town, COOP)[-1].startswith("終わりました")
    many = len(town.channels["push"].got)
    goes_on(town, 20)
    assert len(town.channels["push"].got) == many


def test_a_farm_that_leaves_takes_its_part_along(town: Centre) -> None:
    for number in range(4):
        say(town, number)
    goes_on(town, 10)
    with town.registry.write() as session:
        session.delete(session.get_one(Site, name(0)))
    with town.registry.read() as session:
        assert name(0) not in {f.site_id for f in session.scalars(select(IncidentFarm))}
