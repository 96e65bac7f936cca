"""Putting off, assigning, comments and feedback over HTTP, and what they make of a rule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from analytics import alert_book
from analytics.decision import Decision
from collectors.registry.viewer import Service
from makiba.rule import Severity
from tests.service.serving import OTHER, SITE, WRITE, Centre, sign_in

HOUR_MS = 3_600_000
RULES = f"/api/v1/sites/{SITE}/rules"


@pytest.fixture
def centre(tmp_path: Path) -> Centre:
    centre = Centre(tmp_path)
    centre.person("hanako", shikaoi_001="owner")
    centre.person("taro", shikaoi_001="worker")
    return centre


def alert(centre: Centre, rule: str = "fan.failed", subject: str = "fan-1", severity: Severity = "warning",
          kind: Any = "open") -> str:  # fmt: skip
    decision = Decision(kind, SITE, rule, subject, centre.clock(), centre.clock(), severity=severity)
    with centre.registry.write() as session:
        return alert_book.write(session, Service("analytics"), decision, centre.clock()).alert_id


def post(browser: httpx.Client, alert: str, what: str, body: Any, status: int = 200, **headers: str) -> Any:
    answer = browser.post(f"/api/v1/alerts/{alert}/{what}", json=body, headers={**WRITE, **headers})
    assert answer.status_code == status, answer.text
    return answer.json()


def kinds(told: Any) -> list[tuple[str, str | None]]:
    return [(e["kind"], e["who"]) for e in told["events"]]


def test_what_is_put_off_is_open_again_when_its_time_has_come(centre: Centre) -> None:
    one = alert(centre)
    until_ms = centre.clock() + HOUR_MS
    with centre.signed_in() as browser:
        told = post(browser, one, "snooze", {"until_ms": until_ms})
        assert (told["state"], told["snoozed_until_ms"], told["snoozed_by"]) == ("snoozed", until_ms, "hanakoさん")
        assert post(browser, one, "snooze", {"until_ms": until_ms}) == told
        overview = browser.get("/api/v1/overview").json()["rows"][0]["alerts"]
        assert (overview["open"], overview["acknowledged"]) == ({}, {"warning": 1})
        with centre.registry.write() as session:
            assert alert_book.wake(session, Service("analytics"), until_ms) == 1
        told = browser.get(f"/api/v1/alerts/{one}").json()
    assert (told["state"], told["snoozed_until_ms"], told["snoozed_by"]) == ("open", None, None)
    assert kinds(told) == [("opened", None), ("snoozed", "hanakoさん"), ("woke", None)]


def test_how_long_something_may_be_put_off(centre: Centre) -> None:
    critical = alert(centre, "tank.hold", "tank-1", "critical")
    gas = alert(centre, "gas.h2s1", "pit-1", "warning")
    soon = {"until_ms": centre.clock() + HOUR_MS}
    with centre.signed_in() as browser:
        assert post(browser, critical, "snooze", soon)["state"] == "snoozed"
        long = post(browser, critical, "snooze", {"until_ms": centre.clock() + 3 * HOUR_MS}, 422)
        assert long["errors"][0]["where"] == "body.until_ms"
        post(browser, critical, "snooze", {"until_ms": centre.clock()}, 422)
        assert "life" in post(browser, gas, "snooze", soon, 409)["detail"]
        alert(centre, "tank.hold", "tank-1", kind="end")
        post(browser, critical, "snooze", soon, 409)
        post(browser, critical, "assign", {"person": None}, 409)


def test_an_alert_is_given_to_one_of_the_farms_own_people(centre: Centre) -> None:
    vet = centre.person("vet", shikaoi_001="vet")
    stranger = centre.person("jiro", shikaoi_002="owner")
    one = alert(centre)
    with centre.signed_in() as browser:
        members = browser.get(f"/api/v1/sites/{SITE}/members").json()["rows"]
        taro = next(m["id"] for m in members if m["name"] == "taroさん")
        told = post(browser, one, "assign", {"person": taro})
        assert (told["assigned_to"], told["state"]) == ("taroさん", "open")
        assert told["events"][-1]["detail"] == {"to": "taroさん"}
        said = [post(browser, one, "assign", {"person": centre.public(p)}, 422) for p in (vet, stranger)]
        assert said[0] == said[1] == post(browser, one, "assign", {"person": "nobody"}, 422)
        assert post(browser, one, "assign", {"person": taro}) == told
        told = post(browser, one, "assign", {"person": None})
    assert told["assigned_to"] is None
    assert kinds(told) == [("opened", None), ("assigned", "hanakoさん"), ("assigned", "hanakoさん")]


def test_a_comment_is_made_once_per_key_and_read_by_whoever_sees_the_alert(centre: Centre) -> None:
    vet = centre.person("vet", shikaoi_001="vet")
    one = alert(centre)
    with centre.signed_in() as browser:
        first = post(browser, one, "comments", {"text": "扇風機を 見ました\n異音"}, 201, **{"Idempotency-Key": "k1"})
        assert (
            post(browser, one, "comments", {"text": "扇風機を 見ました\n異音"}, 201, **{"Idempotency-Key": "k1"})
            == first
        )
        sign_in(browser, "vet")
        post(browser, one, "comments", {"text": "?"}, 404)
        centre.consent(SITE, "alerts", person=vet)
        centre.clock.ms += 1
        post(browser, one, "comments", {"text": "牛は 元気です"}, 201)
        for what, body in (("snooze", {"until_ms": centre.clock() + 1}), ("feedback", {"label": "false"})):
            post(browser, one, what, body, 403)
        path = f"/api/v1/alerts/{one}/comments"
        page = browser.get(path, params={"limit": 1}).json()
        rest = browser.get(path, params={"limit": 1, "cursor": page["next"]}).json()
        told = browser.get(f"/api/v1/alerts/{one}").json()
    assert [(c["who"], c["text"]) for c in (*page["rows"], *rest["rows"])] == [
        ("hanakoさん", "扇風機を 見ました\n異音"), ("vetさん", "牛は 元気です"),
    ]  # fmt: skip
    assert (told["comments"], rest["next"]) == (2, None)


def judge(centre: Centre, browser: httpx.Client, label: str | None, count: int, start: int) -> Any:
    told: Any = None
    for number in range(start, start + count):
        told = post(browser, alert(centre, subject=f"fan-{number}"), "feedback", {"label": label})
    return told


def test_a_rule_that_is_mostly_wrong_goes_to_the_morning_list_says_so_and_comes_back(centre: Centre) -> None:
    with centre.signed_in() as browser:
        told = judge(centre, browser, "useful", 2, 0)
        told = judge(centre, browser, "false", 5, 2)
        assert told["in_morning_list"] is False
        told = judge(centre, browser, "false", 1, 7)
        assert [e["kind"] for e in told["events"]] == ["opened", "feedback", "demoted"]
        assert told["events"][-1]["detail"] == {"rule": "fan.failed", "useful": 2, "judged": 8}
        assert told["in_morning_list"] is True
        rule = browser.get(f"{RULES}/fan.failed").json()
        assert rule["precision"]["told"] == {"ja": "8件中2件", "en": "2 of 8"}
        assert (rule["in_morning_list"], rule["since_ms"]) == (True, centre.clock())
        # A critical alert of the same rule wakes people all the same.
        bad = alert(centre, subject="fan-critical", severity="critical")
        assert browser.get(f"/api/v1/alerts/{bad}").json()["in_morning_list"] is False
        for number in range(2, 8):
            told = post(browser, alert(centre, subject=f"fan-{number}"), "feedback", {"label": "useful"})
        assert "restored" in {e["kind"] for r in browser.get(f"/api/v1/sites/{SITE}/alerts").json()["rows"]
                              for e in r["events"]}  # fmt: skip
        assert browser.get(f"{RULES}/fan.failed").json()["in_morning_list"] is False


def test_the_last_word_of_each_person_counts_and_one_alert_is_one_vote(centre: Centre) -> None:
    one = alert(centre)
    with centre.signed_in() as browser:
        post(browser, one, "feedback", {"label": "false"})
        post(browser, one, "feedback", {"label": "false"})
        told = post(browser, one, "feedback", {"label": "knew"})
        assert told["feedback"] == {"useful": 0, "false": 0, "knew": 1}
        assert [e["detail"] for e in told["events"][1:]] == [
            {"label": "false", "before": None}, {"label": "knew", "before": "false"},
        ]  # fmt: skip
        sign_in(browser, "taro")
        post(browser, one, "feedback", {"label": "useful"})
        rule = browser.get(f"{RULES}/fan.failed").json()
        assert [rule["precision"][key] for key in ("useful", "judged", "knew")] == [1, 1, 0]
        assert post(browser, one, "feedback", {"label": None})["feedback"] == {"useful": 0, "false": 0, "knew": 1}


def test_the_farm_has_the_last_word_but_not_about_life(centre: Centre) -> None:
    with centre.signed_in() as browser:
        judge(centre, browser, "false", 8, 0)
        got = browser.get(f"{RULES}/fan.failed")
        tag = {**WRITE, "If-Match": got.headers["etag"]}
        assert browser.put(f"{RULES}/fan.failed", json={"mode": "wakes"}, headers=WRITE).status_code == 428
        told = browser.put(f"{RULES}/fan.failed", json={"mode": "wakes"}, headers=tag)
        assert (told.json()["mode"], told.json()["in_morning_list"]) == ("wakes", False)
        assert browser.put(f"{RULES}/fan.failed", json={"mode": "morning"}, headers=tag).status_code == 412
        tag = {**WRITE, "If-Match": told.headers["etag"]}
        assert browser.put(f"{RULES}/fan.failed", json={"mode": "by-labels"}, headers=tag).json()["in_morning_list"]
        for vital in ("gas.h2s1", "gas.h2s2"):
            assert browser.put(f"{RULES}/{vital}", json={"mode": "morning"},
                               headers={**WRITE, "If-Match": "*"}).status_code == 409  # fmt: skip
        assert browser.put(f"{RULES}/no.such", json={"mode": "wakes"}, headers=tag).status_code == 404
        audit = browser.get(f"/api/v1/sites/{SITE}/audit").json()["rows"]
        assert {row["detail"]["mode"] for row in audit if row["what"] == "rule.standing"} == {"by-labels", "wakes"}


def test_rules_are_told_with_the_numbers_in_force(centre: Centre) -> None:
    with centre.registry.write() as session:
        from collectors.registry.schema import Site

        site = session.get(Site, SITE)
        assert site is not None
        site.rules = {"heat.stress": {}, "fan.failed": {"for": "7min", "fan-2.normal": 1.2}}
    with centre.signed_in() as browser:
        rows = {row["rule"]: row for row in browser.get(RULES).json()["rows"]}
        assert browser.get(f"/api/v1/sites/{OTHER}/rules").status_code == 404
    fan = rows["fan.failed"]
    assert fan["for_ms"] == 7 * 60_000
    assert [(n["value"], n["own"]) for n in fan["numbers"] if n["subject"] == "fan-2"] == [(1.2, True)]
    assert all(not n["own"] for n in fan["numbers"] if n["subject"] is None)
    assert rows["gas.h2s1"]["always_wakes"]
    assert fan["precision"] == {
        "useful": 0, "judged": 0, "knew": 0, "low": None, "told": {"ja": "0件中0件", "en": "0 of 0"},
    }  # fmt: skip
