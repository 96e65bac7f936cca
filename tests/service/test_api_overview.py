"""The overview: every farm that somebody may see, what its classes show and no more, audited before it is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from analytics import alert_book
from analytics.decision import Decision
from api import newest
from api.sessions import COOKIE
from collectors.registry import consent, people
from collectors.registry.schema import AuditRow
from collectors.registry.viewer import Service
from makiba.rule import Severity
from tests.parts import wait_until
from tests.service.serving import CONSOLE, OTHER, SITE, Centre

OVERVIEW = "/api/v1/overview"


def alert(centre: Centre, site: str, severity: Severity, onset_ms: int) -> str:
    with centre.registry.write() as session:
        decision = Decision("open", site, f"rule.{onset_ms}", "tank-1", onset_ms, centre.clock(), severity=severity)
        return alert_book.write(session, Service("analytics"), decision, centre.clock()).alert_id


@pytest.fixture
def town(tmp_path: Path) -> Iterator[tuple[Centre, httpx.Client]]:
    centre = Centre(tmp_path)
    for site, celsius in ((SITE, 4.0), (OTHER, 6.5)):
        centre.write(f"{site}/tank-1/milk_temperature", celsius)
        centre.write(f"{site}/tank-1/state", "ok")
        centre.write(f"{site}/barn-1-climate/air_temperature", 21.0)
        centre.write(f"{site}/barn-1-climate/state", "timeout")
        centre.write(f"{site}/nowhere/air_temperature", 21.0)
    alert(centre, SITE, "warning", centre.clock() - 5)
    acknowledged = alert(centre, SITE, "critical", centre.clock() - 6)
    owner = centre.person("owner", password=None, shikaoi_001="owner", shikaoi_002="family")
    with centre.registry.write() as session:
        me = people.viewer_of(session, CONSOLE, owner, centre.clock())
        assert me
        alert_book.acknowledge(session, me, acknowledged, centre.clock())
    with centre.serving() as browser:
        browser.cookies.set(COOKIE, centre.cookie(owner))
        yield centre, browser
    centre.registry.close()
    centre.store.close()


def as_guest(
    centre: Centre, browser: httpx.Client, name: str, *, admin: bool = False, **roles: Any
) -> dict[str, str]:
    person = centre.person(name, password=None, admin=admin, **roles)
    return {"Cookie": f"{COOKIE}={centre.cookie(person)}"}


def rows(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    return {row["site"]: row for row in answer.json()["rows"]}


def test_a_family_with_two_farms_sees_both_whole(town: tuple[Centre, httpx.Client]) -> None:
    centre, browser = town
    farms = rows(browser.get(OVERVIEW))
    assert list(farms) == [SITE, OTHER]
    one = farms[SITE]
    assert one["name"] == {"ja": f"{SITE} 牧場", "en": f"{SITE} farm"}
    assert one["alerts"] == {"worst": "critical", "open": {"warning": 1}, "acknowledged": {"critical": 1}}
    assert farms[OTHER]["alerts"] == {"worst": None, "open": {}, "acknowledged": {}}
    assert one["technical"] == {
        "gateways": 1, "offline": ["gw-a"], "devices": 2, "not_ok": 1,
        "worst": [{"device": "barn-1-climate", "state": "timeout", "since_ms": centre.clock()}],
    }  # fmt: skip
    told = [(v["data_class"], v["subject"], v["quantity"], v["value"], v["state"]) for v in one["values"]]
    assert told == [
        ("tank", "tank-1", "milk_temperature", 4.0, "ok"),
        ("barn", "barn-1-climate", "air_temperature", 21.0, "timeout"),
    ]


def test_a_desk_sees_of_each_farm_what_it_shows_and_every_read_is_in_the_audit(
    town: tuple[Centre, httpx.Client],
) -> None:
    centre, browser = town
    desk = as_guest(centre, browser, "desk", shikaoi_001="coop", shikaoi_002="coop")
    assert rows(browser.get(OVERVIEW, headers=desk)) == {}
    tank = centre.consent(SITE, "tank", role="coop")
    centre.consent(OTHER, "alerts", role="coop")
    farms = rows(browser.get(OVERVIEW, headers=desk))
    assert (farms[SITE]["alerts"], farms[SITE]["technical"]) == (None, None)
    assert [v["quantity"] for v in farms[SITE]["values"]] == ["milk_temperature"]
    assert (farms[OTHER]["classes"], farms[OTHER]["values"], farms[OTHER]["alerts"]["open"]) == (["alerts"], [], {})
    browser.get(OVERVIEW, headers=desk)
    with centre.registry.read() as session:
        noted = session.scalars(select(AuditRow).where(AuditRow.kind == "read")).all()
    assert {(r.site_id, r.data_class, r.what, r.count) for r in noted} == {
        (SITE, "tank", "/overview", 2), (OTHER, "alerts", "/overview", 2),
    }  # fmt: skip
    with centre.registry.write() as session:
        consent.withdraw(session, CONSOLE, SITE, tank, centre.clock())
    assert list(rows(browser.get(OVERVIEW, headers=desk))) == [OTHER]


def test_the_administrator_sees_names_and_what_is_technical(town: tuple[Centre, httpx.Client]) -> None:
    centre, browser = town
    farms = rows(browser.get(OVERVIEW, headers=as_guest(centre, browser, "admin", admin=True)))
    assert list(farms) == [SITE, OTHER]
    for farm in farms.values():
        assert (farm["role"], farm["classes"]) == ("admin", ["technical"])
        assert (farm["alerts"], farm["values"], farm["technical"]["gateways"]) == (None, [], 1)


def test_pages_and_tags(town: tuple[Centre, httpx.Client]) -> None:
    centre, browser = town
    first = browser.get(OVERVIEW, params={"limit": 1}).json()
    second = browser.get(OVERVIEW, params={"limit": 1, "cursor": first["next"]}).json()
    assert [r["site"] for r in first["rows"] + second["rows"]] == [SITE, OTHER]
    assert second["next"] is None
    whole = browser.get(OVERVIEW)
    again = browser.get(OVERVIEW, headers={"If-None-Match": whole.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    alert(centre, OTHER, "info", centre.clock())
    changed = browser.get(OVERVIEW, headers={"If-None-Match": whole.headers["ETag"]})
    assert rows(changed)[OTHER]["alerts"]["worst"] == "info"


def test_a_consent_that_goes_while_the_answer_is_made_takes_its_farm_out_of_it(
    town: tuple[Centre, httpx.Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    centre, browser = town
    desk = as_guest(centre, browser, "desk", shikaoi_001="coop", shikaoi_002="coop")
    given = centre.consent(SITE, "tank", role="coop")
    centre.consent(OTHER, "tank", role="coop")
    real = newest.Newest.of

    def withdrawn_meanwhile(self: newest.Newest, sites: Any) -> Any:
        with centre.registry.write() as session:
            consent.withdraw(session, CONSOLE, SITE, given, centre.clock())
        return real(self, sites)

    monkeypatch.setattr(newest.Newest, "of", withdrawn_meanwhile)
    assert list(rows(browser.get(OVERVIEW, headers=desk))) == [OTHER]


def test_values_are_read_anew_behind_the_answer_and_never_told_stale(
    town: tuple[Centre, httpx.Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    centre, browser = town

    def value() -> float:
        return float(rows(browser.get(OVERVIEW))[SITE]["values"][0]["value"])

    assert value() == 4.0
    centre.write(f"{SITE}/tank-1/milk_temperature", 5.0, centre.clock() + 1)
    assert value() == 4.0  # some seconds old at most
    monkeypatch.setattr(newest, "FRESH_S", 0.0)
    wait_until(lambda: value() == 5.0, 3, "the new value")
    centre.write(f"{SITE}/tank-1/milk_temperature", 6.0, centre.clock() + 2)
    monkeypatch.setattr(newest, "STALE_S", 0.0)
    assert value() == 6.0
