"""How people say where alerts reach them, and what a phone does with one that is pushed, in a real browser.

The browser's own push service is not on this machine: a subscription is made up by the page (`SUBSCRIBED`), and what
is pushed is handed to the service worker by the browser's developer tools.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from pydantic import SecretStr
from sqlalchemy import select

from analytics import alert_book
from analytics.decision import Decision
from collectors.registry import outbox
from collectors.registry.outbox import NewRow
from collectors.registry.schema import Alert, AlertEvent
from collectors.registry.schema.notify import Address, Outbox, Wish
from collectors.registry.viewer import Service
from demo.check import ARGUMENTS, BROWSERS
from tests.parts import wait_until
from tests.service.serving import PASSWORD, SITE, Centre
from tests.vendors import http
from tests.vendors.line import SECRET, TOKEN, Line, call
from tests.vendors.push import Browser as Subscriber

PROGRAM = next((found for name in BROWSERS if (found := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="Chromium is not on this machine: apt-get install chromium")

ANALYTICS = Service("analytics")

SUBSCRIBED = """
const given = %s;
const made = {
  options: {},
  toJSON: () => given,
  unsubscribe: async () => (sessionStorage.removeItem("subscribed"), true),
};
PushManager.prototype.getSubscription = async () => (sessionStorage.getItem("subscribed") ? made : null);
PushManager.prototype.subscribe = async ({ userVisibleOnly, applicationServerKey }) => {
  if (!userVisibleOnly || applicationServerKey.byteLength !== 65) throw new Error("no such key");
  sessionStorage.setItem("subscribed", "yes");
  return made;
};
"""


@dataclass
class Town:
    """The application on `origin`, with a LINE account, mail and Web Push."""

    centre: Centre
    line: Line
    api: Any
    origin: str
    hanako: int


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    line = Line()
    with http.serving(line) as address:
        given: dict[str, Any] = {
            "line_token": SecretStr(TOKEN), "line_secret": SecretStr(SECRET), "line_id": "@makiba",
            "line_api": address, "vapid_contact": "mailto:office@example.com", "mail_host": "mail.example.com",
            "mail_from": "makiba@example.com",
        }  # fmt: skip
        centre = Centre(Path(tmp_path_factory.mktemp("town")), given=given)
        hanako = centre.person("hanako", shikaoi_001="owner")
        with centre.serving() as api:
            yield Town(centre, line, api, f"http://localhost:{api.base_url.port}", hanako)
        centre.registry.close()
        centre.store.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=PROGRAM, args=list(ARGUMENTS))
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def signed_in(browser: Browser, town: Town) -> Iterator[tuple[Page, list[str]]]:
    """A phone on which `hanako` is signed in, and what its console complained about."""
    complaints: list[str] = []
    context = browser.new_context(viewport={"width": 360, "height": 740}, locale="ja-JP")
    context.grant_permissions(["notifications"], origin=town.origin)
    keys = {"endpoint": "https://fcm.googleapis.com/fcm/send/phone", "keys": Subscriber("phone").keys}
    context.add_init_script(SUBSCRIBED % json.dumps(keys))
    page = context.new_page()
    page.set_default_timeout(30_000)
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(town.origin)
    form = page.get_by_test_id("signin-form")
    form.locator("input[name=username]").fill("hanako")
    form.locator("input[name=password]").fill(PASSWORD)
    form.locator("button[type=submit]").click()
    expect(page.get_by_test_id("nav-settings")).to_be_visible()
    page.wait_for_function("navigator.serviceWorker.ready.then(() => true)")
    yield page, complaints
    context.close()


@pytest.fixture
def phone(signed_in: tuple[Page, list[str]]) -> Iterator[Page]:
    """That phone, at the page of notifications."""
    page, complaints = signed_in
    complaints.clear()
    page.get_by_test_id("nav-settings").click()
    page.get_by_test_id("to-notify").click()
    expect(page.get_by_test_id("push")).to_be_visible()
    yield page
    # The browser writes down each answer that is a refusal.
    assert [c for c in complaints if not re.search(r"status of (401|404)", c)] == []


def kept(town: Town, table: Any) -> list[Any]:
    with town.centre.registry.read() as session:
        return list(session.scalars(select(table)))


def alert_of(town: Town, subject: str) -> tuple[str, str]:
    """An alert, and the message that tells hanako's phone of it."""
    now_ms = town.centre.clock()
    decision = Decision("open", SITE, "tank.hold", subject, now_ms, now_ms, "critical")
    with town.centre.registry.write() as session:
        alert = alert_book.write(session, ANALYTICS, decision, now_ms).alert_id
        event = session.scalars(select(AlertEvent.id).where(AlertEvent.alert_id == alert)).first()
        row = NewRow(alert[::-1], "alert", "t" * 32, "push", "critical", now_ms, person_id=town.hanako,
                     alert_id=alert, site_id=SITE, event=event)  # fmt: skip
        return alert, outbox.write(session, ANALYTICS, [row], now_ms)[0]


def push(page: Page, town: Town, told: dict[str, Any]) -> None:
    """The browser hands a push to the page's service worker."""
    tools = page.context.new_cdp_session(page)
    found: list[str] = []
    tools.on(
        "ServiceWorker.workerRegistrationUpdated",
        lambda event: found.extend(one["registrationId"] for one in event["registrations"] if not one["isDeleted"]),
    )
    tools.send("ServiceWorker.enable")

    def known() -> bool:
        page.evaluate("0")  # lets the browser's events in
        return bool(found)

    wait_until(known, 30, "the worker is known")
    tools.send(
        "ServiceWorker.deliverPushMessage",
        {"origin": town.origin + "/", "registrationId": found[-1], "data": json.dumps(told)},
    )


def shown(page: Page) -> list[dict[str, Any]]:
    """The notifications that stand on the phone."""
    found: list[dict[str, Any]] = page.evaluate(
        """async () => (await (await navigator.serviceWorker.getRegistration()).getNotifications())
             .map(({title, body, tag, actions, requireInteraction}) =>
               ({title, body, tag, actions: actions.map((one) => one.action), requireInteraction}))"""
    )
    return found


def told_of(alert: str, message: str, **more: Any) -> dict[str, Any]:
    given = {
        "id": message, "kind": "alert", "severity": "critical", "language": "ja", "title": "乳温が 高いです",
        "body": "冷却機を 見てください。", "url": f"https://elsewhere.example/#/alerts/{alert}", "tag": alert,
        "alert": alert,
        "buttons": [{"action": "open", "label": "くわしく"}, {"action": "acknowledge", "label": "見ました"}],
    }  # fmt: skip
    return given | more


def _close_all(page: Page) -> None:
    page.evaluate(
        """async () => {
             const worker = await navigator.serviceWorker.getRegistration();
             for (const one of await worker.getNotifications()) one.close();
           }"""
    )


def press(page: Page, action: str) -> None:
    """The first notification is pressed: on a button, or ('') beside them."""
    worker = page.context.service_workers[0]
    worker.evaluate(
        """async (action) => {
             const [notification] = await self.registration.getNotifications();
             const event = new NotificationEvent("notificationclick", { notification, action });
             self.dispatchEvent(event);
           }""",
        action,
    )


def test_a_line_account_is_linked_by_its_code_while_one_looks(phone: Page, town: Town) -> None:
    section = phone.get_by_test_id("line")
    phone.get_by_test_id("line-make").click()
    code = phone.get_by_test_id("line-code").inner_text()
    assert re.fullmatch(r"[2-9A-Z]{4}-[2-9A-Z]{4}", code)
    expect(phone.get_by_test_id("line-open")).to_have_attribute("href", re.compile(re.escape(code)))
    expect(section.locator("img.qr")).to_be_visible()
    user = "U" + "1" * 32
    assert call(town.api, [town.line.text(user, code)]).status_code == 200
    expect(phone.get_by_test_id("line-test")).to_be_visible()
    expect(section.get_by_text("つながりました")).to_be_visible()
    phone.once("dialog", lambda dialog: dialog.accept())
    phone.get_by_test_id("line-unlink").click()
    expect(phone.get_by_test_id("line-make")).to_be_visible()


def test_wishes_are_kept_and_danger_always_comes_by_something(phone: Page, town: Town) -> None:
    for channel in ("push", "line", "mail"):
        phone.get_by_test_id(f"wish-critical-{channel}").set_checked(channel == "mail", force=True)
    phone.get_by_test_id("wish-critical-mail").click()
    expect(phone.get_by_test_id("wish-critical-mail")).to_be_checked()
    phone.get_by_test_id("quiet").click()
    phone.get_by_test_id("night-budget").select_option("0")
    phone.get_by_test_id("wishes-save").click()
    expect(phone.get_by_test_id("wishes-saved")).not_to_be_empty()
    (wish,) = kept(town, Wish)
    assert (wish.channels["critical"], wish.quiet_from, wish.quiet_to) == (
        ["webhook", "voice", "sms", "mail"],
        1320,
        240,
    )
    assert wish.night_budget == 0
    phone.reload()
    expect(phone.get_by_test_id("wish-critical-push")).not_to_be_checked()


def test_a_push_is_shown_and_its_button_answers_with_the_session_of_the_phone(phone: Page, town: Town) -> None:
    alert, message = alert_of(town, "tank-1")
    push(phone, town, told_of(alert, message))
    wait_until(lambda: len(shown(phone)) == 1, 30, "a notification")
    assert shown(phone) == [
        {"title": "乳温が 高いです", "body": "冷却機を 見てください。", "tag": alert, "actions": ["acknowledge"],
         "requireInteraction": True}
    ]  # fmt: skip
    push(phone, town, told_of(alert, message, body="まだ 高いです。"))
    wait_until(lambda: [one["body"] for one in shown(phone)] == ["まだ 高いです。"], 30, "the newer in its place")
    press(phone, "acknowledge")
    wait_until(
        lambda: any("伝えました" in one["body"] for one in shown(phone)) or _is_answered(town, alert), 30, "it"
    )
    wait_until(lambda: _is_answered(town, alert), 30, "the book has it")


def _is_answered(town: Town, alert: str) -> bool:
    with town.centre.registry.read() as session:
        return session.get_one(Alert, alert).acknowledged_by == town.hanako


def test_a_press_opens_the_alert_within_these_pages_and_rubbish_is_shown_as_a_notice(phone: Page, town: Town) -> None:
    alert, message = alert_of(town, "tank-2")
    _close_all(phone)
    push(phone, town, told_of(alert, message, tag="other"))
    wait_until(lambda: [one["tag"] for one in shown(phone)] == ["other"], 30, "a notification")
    press(phone, "")
    phone.wait_for_url(f"{town.origin}/#/alerts/{alert}")
    expect(phone.locator(f"[data-alert-id='{alert}']").first).to_be_visible()
    tools: Any = "rubbish"
    push(phone, town, tools)
    wait_until(lambda: any("新しい 知らせ" in one["body"] for one in shown(phone)), 30, "a notice")


def test_a_phone_is_told_from_a_press_on_until_another_and_ends_with_signing_out(phone: Page, town: Town) -> None:
    section = phone.get_by_test_id("push")
    expect(section).to_have_attribute("data-state", "off")
    phone.get_by_test_id("push-on").click()
    expect(section).to_have_attribute("data-state", "on")
    (address,) = kept(town, Address)
    assert (address.channel, address.person_id, bool(address.verified_ms)) == ("push", town.hanako, True)
    phone.get_by_test_id("push-test").click()
    expect(section.get_by_text("送りました")).to_be_visible()
    expect(phone.get_by_test_id("sent").get_by_text("ためしの 通知").first).to_be_visible()
    assert [row.address_id for row in kept(town, Outbox) if row.kind == "test"] == [address.id]
    phone.get_by_test_id("push-off").click()
    expect(section).to_have_attribute("data-state", "off")
    assert kept(town, Address) == []
    phone.get_by_test_id("push-on").click()
    expect(section).to_have_attribute("data-state", "on")
    phone.get_by_test_id("nav-settings").click()
    phone.get_by_test_id("sign-out").click()
    expect(phone.get_by_test_id("signin-form")).to_be_visible()
    assert kept(town, Address) == []
