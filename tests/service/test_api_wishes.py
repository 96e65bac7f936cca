"""How people say how they are told and where, and who was told of an alert, over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analytics import alert_book
from analytics.decision import Decision
from analytics.notify.begin import ME
from analytics.notify.carry import carry_one
from analytics.notify.send import send_one
from analytics.notify.who import Ways
from collectors.registry import addresses
from collectors.registry.wishes import DEFAULT
from tests.service.notify_parts import Recorder
from tests.service.serving import OTHER, SITE, WRITE, Centre

WISHES = "/api/v1/me/wishes"
ADDRESSES = "/api/v1/me/addresses"


@pytest.fixture
def centre(tmp_path: Path) -> Centre:
    centre = Centre(tmp_path, given={"mail_host": "127.0.0.1", "mail_from": "makiba@example.com"})
    centre.person("hanako", shikaoi_001="owner")
    centre.person("taro", shikaoi_001="worker")
    return centre


def wishes(**changed: Any) -> dict[str, Any]:
    channels = {severity: list(names) for severity, names in DEFAULT.channels.items()}
    return {"language": "ja", "channels": channels, "quiet": None, "night_budget": 2, "morning_list": True, **changed}


def test_wishes_are_ones_own_and_nobody_overwrites_what_they_have_not_seen(centre: Centre) -> None:
    with centre.signed_in() as browser:
        first = browser.get(WISHES)
        assert (first.json(), first.headers["ETag"]) == (wishes(version=0), '"0"')
        said = wishes(language="en", quiet={"from_minute": 1320, "to_minute": 240}, night_budget=1)
        assert browser.put(WISHES, json=said, headers=WRITE).status_code == 428
        put = browser.put(WISHES, json=said, headers={**WRITE, "If-Match": '"0"'})
        assert (put.json(), put.headers["ETag"]) == ({**said, "version": 1}, '"1"')
        assert browser.put(WISHES, json=said, headers={**WRITE, "If-Match": '"0"'}).status_code == 412
        none = wishes(channels={**said["channels"], "critical": []})
        assert browser.put(WISHES, json=none, headers={**WRITE, "If-Match": '"1"'}).status_code == 422
        whole_day = wishes(quiet={"from_minute": 60, "to_minute": 60})
        assert browser.put(WISHES, json=whole_day, headers={**WRITE, "If-Match": '"1"'}).status_code == 422
    with centre.signed_in("taro") as browser:
        assert browser.get(WISHES).json()["version"] == 0


def test_an_address_is_used_once_its_code_came_back(centre: Centre) -> None:
    mail = Recorder("mail")
    ways = Ways({"mail": mail}, {}, "https://makiba.example")
    with centre.signed_in() as browser:
        for wrong in ("hanako", "hanako@", "a b@example.com", "<a>@example.com"):
            given = {"channel": "mail", "address": wrong}
            assert browser.post(ADDRESSES, json=given, headers=WRITE).status_code == 422
        given = {"channel": "mail", "address": "hanako@example.com", "label": "家"}
        made = browser.post(ADDRESSES, json=given, headers=WRITE)
        assert (made.status_code, made.json()["shown"], made.json()["verified_ms"]) == (201, "h…@example.com", None)
        at = f"{ADDRESSES}/{made.json()['id']}"
        assert send_one(centre.registry, ways, "mail", "0" * 32, centre.clock)
        (message,) = mail.got
        code = "".join(sign for sign in message.body.splitlines()[0] if sign.isdigit())
        assert (message.kind, message.to["mail"], len(code)) == ("verify", "hanako@example.com", 6)
        wrong = "000000" if code != "000000" else "000001"
        assert browser.post(f"{at}/verify", json={"code": wrong}, headers=WRITE).status_code == 422
        with centre.signed_in("taro") as other:
            assert other.post(f"{at}/verify", json={"code": code}, headers=WRITE).status_code == 404
        assert browser.post(f"{at}/verify", json={"code": code}, headers=WRITE).json()["verified_ms"] is not None
        (row,) = browser.get(ADDRESSES).json()["rows"]
        assert browser.delete(at, headers={**WRITE, "If-Match": f'"{row["version"]}"'}).status_code == 204
        assert browser.get(ADDRESSES).json()["rows"] == []


def test_five_wrong_codes_end_one_and_codes_are_counted(centre: Centre) -> None:
    mail = Recorder("mail")
    ways = Ways({"mail": mail}, {}, "https://makiba.example")
    with centre.signed_in() as browser:
        given = {"channel": "mail", "address": "hanako@example.com"}
        at = f"{ADDRESSES}/{browser.post(ADDRESSES, json=given, headers=WRITE).json()['id']}"
        send_one(centre.registry, ways, "mail", "0" * 32, centre.clock)
        code = "".join(sign for sign in mail.got[0].body.splitlines()[0] if sign.isdigit())
        for number in range(5):
            wrong = f"{(int(code) + 1 + number) % 1_000_000:06}"
            assert browser.post(f"{at}/verify", json={"code": wrong}, headers=WRITE).status_code == 422
        assert browser.post(f"{at}/verify", json={"code": code}, headers=WRITE).status_code == 422
        answers = [browser.post(f"{at}/code", headers=WRITE).status_code for _ in range(6)]
        assert answers == [202] * 5 + [429]


def test_who_was_told_of_an_alert_and_how_it_went_is_for_the_farms_own_people(centre: Centre) -> None:
    push = Recorder("push")
    ways = Ways({"push": push}, {}, "https://makiba.example")
    with centre.registry.write() as session:
        at_ms = centre.clock()
        decision = Decision("open", SITE, "tank.hold", "tank-1", at_ms, at_ms, "critical")
        alert = alert_book.write(session, ME, decision, at_ms).alert_id
        owner = next(iter(addresses.of_site(session, ME, SITE, at_ms).values())).person_id
        assert owner is not None
        addresses.put(session, ME, owner, "push", {"endpoint": "e", "p256dh": "p", "auth": "a"}, at_ms, verified=True)
        assert carry_one(session, ways, at_ms)
    send_one(centre.registry, ways, "push", "0" * 32, centre.clock)
    path = f"/api/v1/sites/{SITE}/alerts/{alert}/deliveries"
    with centre.signed_in() as browser:
        told = browser.get(path).json()
        (row,) = told["rows"]
        assert (row["channel"], row["state"], row["severity"], row["round"]) == ("push", "accepted", "critical", 0)
        assert [step["step"] for step in row["steps"]] == ["written", "sent", "accepted"]
        assert told["next_ms"] > centre.clock()
        assert browser.get(path.replace(SITE, OTHER)).status_code == 404
