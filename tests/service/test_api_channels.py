"""How a phone, a LINE account and a call are linked to somebody, and what they answer; LINE is a server here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import delete, select

from analytics import alert_book
from analytics.decision import Decision
from analytics.notify.channels import open_channels
from analytics.notify.channels.line_words import Tap, data_of
from analytics.notify.channels.slips import CALL, CHART, slip_of
from analytics.notify.channels.vapid import open_vapid
from analytics.notify.channels.webhook import signature
from collectors.registry import addresses, outbox, people
from collectors.registry.outbox import NewRow
from collectors.registry.schema import Alert, AlertEvent
from collectors.registry.schema.access import AttemptRow
from collectors.registry.schema.book import AlertAssignee
from collectors.registry.schema.notify import Address, Escalation, LinkCode, Outbox
from collectors.registry.viewer import Service
from makiba.rule import Severity
from tests.parts import wait_until
from tests.service.notify_parts import Centre as Notifier
from tests.service.serving import CONSOLE, OTHER, SITE, WRITE, Centre, sign_in
from tests.vendors import http
from tests.vendors.gateway import Gateway
from tests.vendors.line import SECRET, TOKEN, Line, call, sign
from tests.vendors.push import Browser, PushService

ANALYTICS = Service("analytics")
USER, STRANGER = "U" + "1" * 32, "U" + "2" * 32


@dataclass
class Town:
    """The application with a LINE account, and `hanako` (owner), `taro` (worker), `jiro` (a guest) on one farm."""

    centre: Centre
    line: Line
    browser: httpx.Client
    people: dict[str, int]

    def link(self, login: str = "hanako", user: str = USER) -> None:
        sign_in(self.browser, login)
        code = self.browser.post("/api/v1/line/code", headers=WRITE).json()["code"]
        assert call(self.browser, [self.line.text(user, code)]).status_code == 200

    def alert(self, severity: Severity = "warning", site: str = SITE, onset_ms: int = 1_000) -> str:
        now_ms = self.centre.clock()
        decision = Decision("open", site, "tank.hold", "tank-1", onset_ms, now_ms, severity)
        with self.centre.registry.write() as session:
            return alert_book.write(session, ANALYTICS, decision, self.centre.clock()).alert_id

    def sent(self, alert: str, login: str = "hanako", name: str = "1") -> str:
        """The message that told `login` of the newest event of the alert; its id."""
        with self.centre.registry.write() as session:
            newest = select(AlertEvent.id).where(AlertEvent.alert_id == alert).order_by(AlertEvent.id.desc())
            row = NewRow(
                (alert[:16] + name * 16)[:32], "alert", "t" * 32, "line", "warning", self.centre.clock(),
                person_id=self.people[login], alert_id=alert, site_id=SITE, event=session.scalars(newest).first(),
            )  # fmt: skip
            return outbox.write(session, ANALYTICS, [row], self.centre.clock())[0]

    def tap(self, alert: str, message: str, action: Any = "acknowledge", user: str = USER) -> str:
        """What the account answers in the chat."""
        return self.told(self.line.tap(user, data_of(Tap(action, alert, message))))

    def say(self, text: str, user: str = USER) -> str:
        return self.told(self.line.text(user, text))

    def told(self, event: dict[str, Any]) -> str:
        assert call(self.browser, [event]).status_code == 200
        return self.reply(event)

    def reply(self, event: dict[str, Any]) -> str:
        """What is answered to an event, which comes after the webhook was."""

        def found() -> list[str]:
            told = [one for one in self.line.replied if one["replyToken"] == event["replyToken"]]
            return [str(one["messages"][0]["text"]) for one in told]

        wait_until(lambda: bool(found()), 30, "LINE is answered")
        (text,) = found()
        return text

    def row(self, alert: str) -> Alert:
        with self.centre.registry.read() as session:
            return session.get_one(Alert, alert)

    def linked(self) -> list[int | None]:
        with self.centre.registry.read() as session:
            return list(session.scalars(select(Address.person_id).where(Address.channel == "line")))

    def events(self, alert: str) -> list[str]:
        with self.centre.registry.read() as session:
            query = select(AlertEvent.kind).where(AlertEvent.alert_id == alert).order_by(AlertEvent.id)
            return list(session.scalars(query))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    line = Line()
    with http.serving(line) as address:
        given: dict[str, Any] = {
            "line_token": SecretStr(TOKEN), "line_secret": SecretStr(SECRET), "line_id": "@makiba",
            "line_api": address, "vapid_contact": "mailto:office@example.com", "push_hosts": "127.0.0.1",
            "webhook": "on", "webhook_networks": "127.0.0.1/32",
        }  # fmt: skip
        centre = Centre(tmp_path_factory.mktemp("town"), given=given)
        persons = {
            "hanako": centre.person("hanako", shikaoi_001="owner"),
            "taro": centre.person("taro", shikaoi_001="worker"),
            "jiro": centre.person("jiro", shikaoi_001="coop"),
        }
        with centre.serving() as browser:
            yield Town(centre, line, browser, persons)
        centre.registry.close()
        centre.store.close()


@pytest.fixture
def town(served: Town) -> Town:
    """Nobody is linked, nothing is wrong, and everybody has their role."""
    with served.centre.registry.write() as session:
        for table in (Address, LinkCode, Outbox, Escalation, AlertEvent, AlertAssignee, Alert, AttemptRow):
            session.execute(delete(table))
        people.grant_role(session, CONSOLE, served.people["hanako"], SITE, "owner", served.centre.clock())
    served.browser.cookies.clear()
    return served


# ---------------------------------------------------------------------------------------------------- webhook


@pytest.mark.parametrize("how", ["none", "of another secret", "of another body", "not in base64", "twice"])
def test_what_is_not_signed_by_line_is_not_read(town: Town, how: str) -> None:
    sign_in(town.browser)
    code = town.browser.post("/api/v1/line/code", headers=WRITE).json()["code"]
    body = json.dumps({"events": [town.line.text(USER, code)]}).encode()
    mark = {
        "none": "", "of another secret": sign(body, "another"), "of another body": sign(body + b" "),
        "not in base64": "署名", "twice": f"{sign(body)}, {sign(body)}",
    }[how]  # fmt: skip
    assert call(town.browser, [], body=body, signature=mark).status_code == 403
    assert town.linked() == []


def test_the_signature_is_looked_at_before_the_body(town: Town) -> None:
    assert call(town.browser, [], body=b"{not json", signature="x").status_code == 403
    assert call(town.browser, [], body=b"{not json").status_code == 422
    assert call(town.browser, []).json() == {"events": 0}


def test_what_is_not_understood_is_left_out_and_the_rest_is_heard(town: Town) -> None:
    sign_in(town.browser)
    code = town.browser.post("/api/v1/line/code", headers=WRITE).json()["code"]
    good = town.line.text(USER, code)
    strange: list[Any] = [
        {"type": "message"}, {}, 5, None, good | {"source": {"type": "group", "groupId": "C1", "userId": USER}},
        good | {"mode": "standby", "webhookEventId": "a"}, good | {"source": {"type": "user"}},
        town.line.event("message", USER, message={"type": "sticker"}), town.line.event("unsend", USER),
        town.line.event("postback", USER, postback=7), good | {"webhookEventId": 3}, good | {"timestamp": "now"},
    ]  # fmt: skip
    assert call(town.browser, [*strange, good]).status_code == 200
    assert town.linked() == [town.people["hanako"]]


def test_without_settings_for_line_nobody_is_heard_and_no_code_is_made(tmp_path: Path) -> None:
    centre = Centre(tmp_path)
    centre.person("hanako", shikaoi_001="owner")
    with centre.signed_in() as browser:
        assert call(browser, []).status_code == 403
        assert browser.post("/api/v1/line/code", headers=WRITE).status_code == 409
        assert browser.get("/api/v1/line").json()["here"] is False
        assert browser.get("/api/v1/push").json() == {"key": None}
    centre.registry.close()
    centre.store.close()


# ---------------------------------------------------------------------------------------------------- linking


def test_a_code_links_the_line_account_that_sends_it_and_is_kept_as_a_hash(town: Town) -> None:
    sign_in(town.browser)
    made = town.browser.post("/api/v1/line/code", headers=WRITE).json()
    assert made["address"] == f"https://line.me/R/oaMessage/%40makiba/?{made['code']}"
    assert made["qr_svg"].startswith("<svg")
    assert made["expires_ms"] == town.centre.clock() + 600_000
    with town.centre.registry.read() as session:
        assert made["code"].replace("-", "") not in str([vars(row) for row in session.scalars(select(LinkCode))])
    typed = f" {made['code'].lower().replace('-', 'ー')} ".translate({c: c + 0xFEE0 for c in range(48, 58)})
    assert town.say(typed).startswith("hanakoさん")
    assert town.browser.get("/api/v1/line").json()["linked_ms"] == town.centre.clock()


def test_a_code_holds_once_and_ten_minutes(town: Town) -> None:
    sign_in(town.browser)
    code = town.browser.post("/api/v1/line/code", headers=WRITE).json()["code"]
    town.centre.clock.ms += 600_000
    assert "使えません" in town.say(code)
    code = town.browser.post("/api/v1/line/code", headers=WRITE).json()["code"]
    assert "hanakoさん" in town.say(code)
    assert "使えません" in town.say(code, STRANGER)
    assert town.linked() == [town.people["hanako"]]


def test_a_new_code_ends_the_one_before_and_a_person_has_one_line_account(town: Town) -> None:
    sign_in(town.browser)
    first, second = (town.browser.post("/api/v1/line/code", headers=WRITE).json()["code"] for _ in range(2))
    call(town.browser, [town.line.text(STRANGER, first)])
    assert town.linked() == []
    call(town.browser, [town.line.text(STRANGER, second)])
    third = town.browser.post("/api/v1/line/code", headers=WRITE).json()["code"]
    call(town.browser, [town.line.text(USER, third)])
    with town.centre.registry.read() as session:
        assert [a.address for a in session.scalars(select(Address))] == [{"user": USER}]


def test_a_line_account_is_one_persons(town: Town) -> None:
    town.link("hanako")
    town.link("taro")
    assert town.linked() == [town.people["taro"]]


def test_who_guesses_codes_has_to_wait(town: Town) -> None:
    sign_in(town.browser)
    code = town.browser.post("/api/v1/line/code", headers=WRITE).json()["code"]
    for guess in ("AAAA-AAAA", "BBBB-BBBB", "CCCC-CCCC", "DDDD-DDDD", "EEEE-EEEE"):
        assert "使えません" in town.say(guess, STRANGER)
    assert "待って" in town.say(code, STRANGER)
    assert town.linked() == []


def test_a_program_and_who_is_not_signed_in_make_no_code(town: Town) -> None:
    assert town.browser.post("/api/v1/line/code", headers=WRITE).status_code == 401


def test_codes_are_not_made_without_end(town: Town) -> None:
    sign_in(town.browser)
    answers = [town.browser.post("/api/v1/line/code", headers=WRITE) for _ in range(11)]
    assert [a.status_code for a in answers] == [200] * 10 + [429]
    assert answers[-1].headers["Retry-After"]


@pytest.mark.parametrize("how", ["unfollow", "stop"])
def test_who_leaves_is_forgotten(town: Town, how: str) -> None:
    town.link()
    leaving = town.line.event("unfollow", USER) if how == "unfollow" else town.line.text(USER, "やめる")
    call(town.browser, [leaving])
    assert town.linked() == []


def test_an_unfollow_that_line_tells_late_does_not_undo_what_came_after_it(town: Town) -> None:
    late = town.line.event("unfollow", USER, timestamp=town.centre.clock() - 60_000)
    town.link()
    call(town.browser, [late | {"deliveryContext": {"isRedelivery": True}}])
    assert town.linked() == [town.people["hanako"]]


# -------------------------------------------------------------------------------------------------- answering


def test_a_tap_acknowledges_once_whatever_line_repeats(town: Town) -> None:
    town.link()
    alert = town.alert()
    message = town.sent(alert)
    tap = town.line.tap(USER, data_of(Tap("acknowledge", alert, message)))
    again = tap | {"deliveryContext": {"isRedelivery": True}}
    for one in (tap, again, again):
        assert call(town.browser, [one]).status_code == 200
    assert town.row(alert).acknowledged_by == town.people["hanako"]
    assert town.events(alert) == ["opened", "acknowledged"]
    assert "見た ことを" in town.reply(tap)
    with town.centre.registry.read() as session:
        assert session.get_one(Outbox, message).state == "seen"


def test_who_goes_there_has_the_alert_to_do(town: Town) -> None:
    town.link()
    alert = town.alert()
    message = town.sent(alert)
    assert "行く ことを" in town.tap(alert, message, "going")
    town.tap(alert, message, "going")
    assert town.events(alert) == ["opened", "acknowledged", "assigned"]


def test_an_alert_that_somebody_has_already_is_told_with_who(town: Town) -> None:
    town.link("taro")
    alert = town.alert()
    with town.centre.registry.write() as session:
        hanako = people.viewer_of(session, CONSOLE, town.people["hanako"], town.centre.clock())
        assert hanako
        alert_book.acknowledge(session, hanako, alert, town.centre.clock())
    assert "hanakoさん" in town.tap(alert, town.sent(alert, "taro"))
    assert town.row(alert).acknowledged_by == town.people["hanako"]


def test_a_button_of_before_it_got_worse_answers_for_nothing(town: Town) -> None:
    town.link()
    alert = town.alert("warning")
    old = town.sent(alert)
    town.alert("critical")
    assert "変わりました" in town.tap(alert, old)
    assert town.row(alert).acknowledged_ms is None
    assert "見た ことを" in town.tap(alert, town.sent(alert, name="2"))
    assert town.row(alert).acknowledged_by == town.people["hanako"]


def test_a_button_does_not_say_that_it_is_safe(town: Town) -> None:
    town.link()
    alert = town.alert()
    with town.centre.registry.write() as session:
        session.get_one(Alert, alert).over_ms = town.centre.clock()
    assert "解除する" in town.tap(alert, town.sent(alert))
    assert town.row(alert).ended_ms is None


def test_what_is_tapped_is_done_with_the_rights_of_now_and_tells_nothing(town: Town) -> None:
    town.link()
    alert, elsewhere = town.alert(), town.alert(site=OTHER)
    message = town.sent(alert)
    nothing = {town.tap("f" * 32, message), town.tap(elsewhere, message)}
    with town.centre.registry.write() as session:
        people.revoke_role(session, CONSOLE, town.people["hanako"], SITE, town.centre.clock())
    nothing |= {town.tap(alert, message), town.tap(alert, message, user=STRANGER)}
    assert nothing == {"この 知らせは、今は 見られません。"}
    assert town.row(alert).acknowledged_ms is None


def test_who_only_looks_answers_nothing(town: Town) -> None:
    town.link("jiro")
    town.centre.consent(SITE, "alerts", role="coop")
    alert = town.alert()
    assert "牧場の 人だけ" in town.tap(alert, town.sent(alert, "jiro"))
    assert town.row(alert).acknowledged_ms is None


def test_later_is_an_hour_from_the_tap_and_no_hour_more_when_line_says_it_again(town: Town) -> None:
    town.link()
    alert = town.alert()
    tap = town.line.tap(USER, data_of(Tap("snooze", alert, town.sent(alert))))
    assert "1時間" in town.told(tap)
    assert town.row(alert).snoozed_until_ms == town.centre.clock() + 3_600_000
    town.centre.clock.ms += 3_600_000
    with town.centre.registry.write() as session:
        assert alert_book.wake(session, ANALYTICS, town.centre.clock()) == 1
    call(town.browser, [tap | {"deliveryContext": {"isRedelivery": True}}])  # LINE says it again, late
    assert town.row(alert).snoozed_until_ms is None


# --------------------------------------------------------------------------------------------------- web push


def subscription(name: str = "phone") -> dict[str, Any]:
    return {"endpoint": f"https://fcm.googleapis.com/fcm/send/{name}", "keys": Browser(name).keys}


def test_a_browser_is_told_from_when_it_subscribes_until_it_does_no_more(town: Town) -> None:
    sign_in(town.browser)
    assert town.browser.get("/api/v1/push").json() == {"key": open_vapid(town.centre.settings).public}
    given = subscription()
    first, second = (town.browser.post("/api/v1/push/subscriptions", json=given, headers=WRITE) for _ in range(2))
    assert (first.status_code, first.json()) == (200, second.json())
    with town.centre.registry.read() as session:
        hanako = people.viewer_of(session, CONSOLE, town.people["hanako"], town.centre.clock())
        assert hanako
        (row,) = addresses.list_own(session, hanako)
        assert row.verified_ms
        assert row.address["endpoint"] == given["endpoint"]
    own = f"/api/v1/push/subscriptions/{first.json()['id']}"
    sign_in(town.browser, "taro")
    assert town.browser.delete(own, headers=WRITE).status_code == 404
    sign_in(town.browser, "hanako")
    assert town.browser.delete(own, headers=WRITE).status_code == 204


def test_a_phone_tells_whoever_signed_in_on_it_last(town: Town) -> None:
    for login in ("hanako", "taro"):
        sign_in(town.browser, login)
        town.browser.post("/api/v1/push/subscriptions", json=subscription(), headers=WRITE)
    with town.centre.registry.read() as session:
        owners = session.scalars(select(Address.person_id).where(Address.channel == "push")).all()
    assert owners == [town.people["taro"]]


@pytest.mark.parametrize(
    "wrong",
    [
        {"endpoint": "https://evil.example/x"},
        {"endpoint": "http://fcm.googleapis.com/x"},
        {"endpoint": "https://169.254.169.254/latest/"},
        {"keys": {"p256dh": "A" * 87, "auth": "B" * 22}},
        {"keys": {"p256dh": Browser("x").keys["p256dh"], "auth": "B" * 24}},
    ],
)
def test_what_no_browser_gave_is_no_subscription(town: Town, wrong: dict[str, Any]) -> None:
    sign_in(town.browser)
    answer = town.browser.post("/api/v1/push/subscriptions", json=subscription() | wrong, headers=WRITE)
    assert answer.status_code == 422


# ------------------------------------------------------------------------------------------------------ calls


def test_a_1_on_the_telephone_acknowledges_once(town: Town) -> None:
    alert = town.alert()
    message = town.sent(alert)
    assert town.centre.running
    key = town.centre.running.state.centre.key
    token = slip_of(key, CALL, message, town.centre.clock() // 1000 + 3600)
    url = "/api/v1/voice/answer"
    assert town.browser.post(url, json={"token": token, "digit": "2"}).json() == {"say": ""}
    first = town.browser.post(url, json={"token": token, "digit": "1"})
    assert (first.status_code, first.json()["say"].startswith("見たことを伝えました。")) == (200, True)
    assert town.browser.post(url, json={"token": token, "digit": "1"}).json() == {"say": ""}
    assert town.events(alert) == ["opened", "acknowledged"]
    town.centre.clock.ms += 3_600_000
    assert town.browser.post(url, json={"token": token, "digit": "1"}).status_code == 403


def test_a_call_of_somebody_who_lost_the_farm_does_nothing(town: Town) -> None:
    alert = town.alert()
    message = town.sent(alert)
    assert town.centre.running
    token = slip_of(town.centre.running.state.centre.key, CALL, message, town.centre.clock() // 1000 + 60)
    with town.centre.registry.write() as session:
        people.revoke_role(session, CONSOLE, town.people["hanako"], SITE, town.centre.clock())
    answer = town.browser.post("/api/v1/voice/answer", json={"token": token, "digit": "1"})
    assert (answer.status_code, town.row(alert).acknowledged_ms) == (200, None)
    assert "tank" not in answer.text


# --------------------------------------------------------------------------------------------- one's own messages


def test_who_was_sent_what_is_told_to_them_alone(town: Town) -> None:
    alert = town.alert()
    message = town.sent(alert)
    sign_in(town.browser)
    (told,) = town.browser.get("/api/v1/me/messages").json()["rows"]
    assert (told["id"], told["channel"], told["state"], told["alert_id"]) == (message, "line", "waiting", alert)
    assert told["title"]["ja"]
    with town.centre.registry.write() as session:
        people.revoke_role(session, CONSOLE, town.people["hanako"], SITE, town.centre.clock())
    assert town.browser.get("/api/v1/me/messages").json()["rows"] == []
    sign_in(town.browser, "taro")
    assert town.browser.get("/api/v1/me/messages").json()["rows"] == []


def test_a_notification_is_answered_where_it_is_shown(town: Town) -> None:
    alert = town.alert("warning")
    old = town.sent(alert)
    sign_in(town.browser)

    def press(message: str, action: str = "acknowledge") -> httpx.Response:
        url = f"/api/v1/me/messages/{message}/answer"
        return town.browser.post(url, json={"action": action}, headers=WRITE)

    town.alert("critical")
    assert press(old).json()["kind"] == "stale"
    new = town.sent(alert, name="2")
    assert press(new).json()["kind"] == "done"
    assert press(new).json()["kind"] == "done"
    assert town.events(alert) == ["opened", "worsened", "acknowledged"]
    sign_in(town.browser, "taro")
    assert press(new).status_code == 404


def test_a_test_message_is_written_for_an_address_of_ones_own_a_few_times(town: Town) -> None:
    sign_in(town.browser)
    made = town.browser.post("/api/v1/push/subscriptions", json=subscription(), headers=WRITE).json()["id"]
    url = f"/api/v1/me/addresses/{made}/test"
    answers = []
    for _ in range(4):
        town.centre.clock.ms += 1
        answers.append(town.browser.post(url, headers=WRITE))
    assert [a.status_code for a in answers] == [202, 202, 202, 429]
    assert town.browser.get("/api/v1/me/channels").json() == {"open": ["push", "line", "webhook"]}
    with town.centre.registry.read() as session:
        rows = session.scalars(select(Outbox).where(Outbox.kind == "test")).all()
        assert {(row.address_id, row.channel, row.state) for row in rows} == {(made, "push", "waiting")}
        assert len(rows) == 3
    sign_in(town.browser, "taro")
    assert town.browser.post(url, headers=WRITE).status_code == 404


# ------------------------------------------------------------------------------------------------------ charts


def test_a_vendor_is_shown_the_chart_of_a_message_as_long_as_its_person_may_see_it(town: Town) -> None:
    alert = town.alert()
    message = town.sent(alert)
    assert town.centre.running
    key, now_s = town.centre.running.state.centre.key, town.centre.clock() // 1000

    def ask(slip: str) -> httpx.Response:
        return town.browser.get(f"/api/v1/charts/{slip}")

    good = slip_of(key, CHART, message, now_s + 60)
    picture = ask(good)
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/png")
    assert picture.content.startswith(b"\x89PNG")
    others = [slip_of(key, CALL, message, now_s + 60), slip_of(key, CHART, message, now_s), "0.0.AAAA", good[:-1]]
    others.append(slip_of(key, CHART, "f" * 32, now_s + 60))
    assert {ask(one).status_code for one in others} == {404}
    with town.centre.registry.write() as session:
        people.revoke_role(session, CONSOLE, town.people["hanako"], SITE, town.centre.clock())
    assert ask(good).status_code == 404


# ---------------------------------------------------------------------------------------------------- webhooks


def test_a_webhook_is_used_once_the_code_that_went_to_it_came_back(town: Town) -> None:
    sign_in(town.browser)
    receiver = Gateway()
    with http.serving(receiver) as address:

        def add(url: str) -> httpx.Response:
            given = {"channel": "webhook", "address": url}
            return town.browser.post("/api/v1/me/addresses", json=given, headers=WRITE)

        for url in ("http://10.0.0.1/", "https://127.0.0.2/x", "ftp://hooks.example.com/", "not an address"):
            assert add(url).status_code == 422, url
        made = add(f"{address}/alarm")
        assert (made.status_code, made.json()["shown"]) == (201, "127.0.0.1")
        channels: Any = open_channels(town.centre.settings)
        Notifier(town.centre.registry, channels, town.centre.clock()).step()
        (asked,) = receiver.asked
        (told,) = receiver.taken.values()
    at, mark = asked.headers["x-makiba-time"], asked.headers["x-makiba-signature"]
    assert mark == "v1=" + signature(made.json()["secret"], at, asked.body)
    found = re.search(r"(?:[0-9] ){5}[0-9]", told["body"])
    assert found
    verify = f"/api/v1/me/addresses/{made.json()['id']}/verify"
    code = found.group().replace(" ", "")
    assert town.browser.post(verify, json={"code": code}, headers=WRITE).json()["verified_ms"]


# ---------------------------------------------------------------------------------------------------- all of it


def test_an_alert_reaches_phone_and_line_and_the_button_that_came_ends_the_calling(town: Town) -> None:
    town.link()
    push = PushService()
    with http.serving(push) as push.origin:
        push.server_key = open_vapid(town.centre.settings).public
        endpoint, p256dh, auth = push.subscribe().values()
        given = {"endpoint": endpoint, "keys": {"p256dh": p256dh, "auth": auth}}
        assert town.browser.post("/api/v1/push/subscriptions", json=given, headers=WRITE).status_code == 200
        pushed = len(town.line.pushed)
        alert = town.alert("critical")
        channels: Any = open_channels(town.centre.settings)
        notifier = Notifier(town.centre.registry, channels, town.centre.clock())
        notifier.step()
        assert [one["alert"] for one in push.shown] == [alert]
        (told,) = town.line.pushed[pushed:]
        flex = told["messages"][0]
        assert flex["altText"].startswith("【緊急】")
        buttons = [one["action"] for one in flex["contents"]["footer"]["contents"]]
        assert [one["label"] for one in buttons][:2] == ["見ました", "行きます"]
        assert "見た ことを" in town.told(town.line.tap(USER, buttons[0]["data"]))
        assert town.row(alert).acknowledged_by == town.people["hanako"]
        notifier.now_ms += 1
        notifier.later(60)
        assert len(town.line.pushed) == pushed + 1
    with town.centre.registry.read() as session:
        states = {row.channel: row.state for row in session.scalars(select(Outbox).where(Outbox.alert_id == alert))}
    assert (states["line"], states["push"]) == ("seen", "accepted")


def test_a_subscription_that_ended_is_used_no_more_and_line_takes_over(town: Town) -> None:
    town.link()
    push = PushService()
    with http.serving(push) as push.origin:
        endpoint, p256dh, auth = push.subscribe().values()
        given = {"endpoint": endpoint, "keys": {"p256dh": p256dh, "auth": auth}}
        town.browser.post("/api/v1/push/subscriptions", json=given, headers=WRITE)
        push.gone.add("phone")
        channels: Any = open_channels(town.centre.settings)
        pushed = len(town.line.pushed)
        town.alert("critical")
        Notifier(town.centre.registry, channels, town.centre.clock()).step()
    assert len(town.line.pushed) == pushed + 1
    with town.centre.registry.read() as session:
        (row,) = session.scalars(select(Address).where(Address.channel == "push"))
        assert row.gone_ms
