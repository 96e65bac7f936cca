"""Alerts over HTTP, written by the real alert book."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from analytics import alert_book
from analytics.decision import Decision
from collectors.registry.viewer import Service
from tests.service.serving import SITE, WRITE, Centre, sign_in

ANALYTICS = Service("analytics")
ALERTS = f"/api/v1/sites/{SITE}/alerts"


@pytest.fixture
def centre(tmp_path: Path) -> Centre:
    centre = Centre(tmp_path)
    centre.person("hanako", shikaoi_001="owner")
    return centre


def warm_tank(centre: Centre, kind: Any = "open", *, onset_ms: int | None = None, **more: Any) -> str:
    """Lets the alert book write down that the milk is too warm; the alert's id."""
    signal = {
        "quantity": "milk_temperature", "subject": "tank-1", "value": 6.24, "time_ms": centre.clock(),
        "toward": "above",
    }  # fmt: skip
    decision = Decision(
        kind, SITE, "tank.hold", "tank-1", onset_ms or centre.clock() - 900_000, centre.clock(),
        severity="critical", place="tank-room", signals={"t": signal}, **more,
    )  # fmt: skip
    with centre.registry.write() as session:
        return alert_book.write(session, ANALYTICS, decision, centre.clock()).alert_id


def acknowledge(browser: httpx.Client, alert: str) -> dict[str, Any]:
    answer = browser.post(f"/api/v1/alerts/{alert}/acknowledge", headers=WRITE)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def test_an_alert_says_what_where_since_when_and_what_to_do(centre: Centre) -> None:
    alert = warm_tank(centre)
    with centre.signed_in() as browser:
        [told] = browser.get(ALERTS).json()["rows"]
        assert browser.get(f"/api/v1/alerts/{alert}").json() == told
    assert (told["id"], told["rule"], told["severity"], told["state"]) == (alert, "tank.hold", "critical", "open")
    assert told["subject_name"] == {"ja": "バルククーラー", "en": "Bulk tank"}
    assert told["place"] == {"id": "tank-room", "name": {"ja": "処理室", "en": "Tank room"}}
    assert told["signals"] == [
        {
            "quantity": "milk_temperature", "name": {"ja": "乳温", "en": "milk temperature"}, "shown": "6.2 ℃",
            "shown_names": {"ja": "6.2 ℃", "en": "6.2 ℃"},
        }
    ]  # fmt: skip
    assert "バルククーラー" in told["message"]["ja"]
    assert "6.2 ℃" in told["message"]["en"]
    assert told["action"]["ja"]
    assert told["onset_ms"] == centre.clock() - 900_000
    assert [(e["kind"], e["who"]) for e in told["events"]] == [("opened", None)]


def test_the_first_who_acknowledges_has_it(centre: Centre) -> None:
    centre.person("taro", shikaoi_001="worker")
    alert = warm_tank(centre)
    with centre.signed_in("taro") as browser:
        first = acknowledge(browser, alert)
        at_ms = centre.clock()
        centre.clock.ms += 60_000
        sign_in(browser, "hanako")
        again = acknowledge(browser, alert)
        assert browser.get(ALERTS).json()["rows"] == [again]
    assert first == again
    assert (again["state"], again["acknowledged_by"], again["acknowledged_ms"]) == ("acknowledged", "taroさん", at_ms)
    assert [(e["kind"], e["who"]) for e in again["events"]] == [("opened", None), ("acknowledged", "taroさん")]


def test_an_alert_that_is_over_and_waits_for_a_person_says_so_and_ends_by_the_button(centre: Centre) -> None:
    onset_ms = centre.clock() - 900_000
    alert = warm_tank(centre, onset_ms=onset_ms, by_hand=True)
    with centre.signed_in() as browser:
        assert acknowledge(browser, alert)["state"] == "acknowledged"
        warm_tank(centre, "end", onset_ms=onset_ms, by_hand=True)
        [told] = browser.get(ALERTS).json()["rows"]
        assert (told["state"], told["over_ms"], told["ended_ms"]) == ("open", centre.clock(), None)
        assert told["message"]["en"].endswith("Values are back to normal.")
        assert told["message"]["ja"].endswith("値は もう 正常です。")
        assert "reset the alert" in told["action"]["en"]
        assert acknowledge(browser, alert)["state"] == "ended"
        assert browser.get(ALERTS).json()["rows"] == []


def test_active_and_ended_alerts_are_two_lists_and_go_on_by_time(centre: Centre) -> None:
    ids = []
    for _ in range(3):
        ids.append(warm_tank(centre))
        warm_tank(centre, "end")
        centre.clock.ms += 3_600_000
    with centre.signed_in() as browser:
        assert browser.get(ALERTS).json()["rows"] == []
        page = browser.get(ALERTS, params={"state": "ended", "limit": 2}).json()
        assert [a["id"] for a in page["rows"]] == [ids[2], ids[1]]
        assert {a["state"] for a in page["rows"]} == {"ended"}
        rest = browser.get(ALERTS, params={"state": "ended", "cursor": page["next"]}).json()
        assert ([a["id"] for a in rest["rows"]], rest["next"]) == ([ids[0]], None)
        assert browser.get(ALERTS, params={"state": "all"}).status_code == 422
        assert browser.get(ALERTS, params={"limit": 0}).status_code == 422


def test_a_silent_bus_names_what_is_not_watched(centre: Centre) -> None:
    state = {"quantity": "state", "subject": "gw-a.barn", "value": "silent", "time_ms": centre.clock()}
    decision = Decision(
        "open", SITE, "bus.down", "gw-a.barn", centre.clock() - 60_000, centre.clock(), severity="warning",
        signals={"state": state}, children=("barn-1-climate",),
    )  # fmt: skip
    with centre.registry.write() as session:
        alert_book.write(session, ANALYTICS, decision, centre.clock())
    with centre.signed_in() as browser:
        [told] = browser.get(ALERTS).json()["rows"]
    assert told["place"] is None
    assert told["children"] == [{"subject": "barn-1-climate", "name": {"ja": "牛舎の空気", "en": "Barn air"}}]
    assert told["signals"][0]["shown_names"] == {"ja": "返事なし", "en": "no answer"}


def test_an_alert_whose_rule_is_gone_is_still_told(centre: Centre) -> None:
    with centre.registry.write() as session:
        decision = Decision("open", SITE, "old.rule", "tank-1", centre.clock(), centre.clock(), severity="info")
        alert_book.write(session, ANALYTICS, decision, centre.clock())
    with centre.signed_in() as browser:
        [told] = browser.get(ALERTS).json()["rows"]
    assert told["title"]["ja"]
