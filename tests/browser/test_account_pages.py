"""How people come in and what they give to others, in a real browser on the served application."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyotp
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from api.sessions import digest
from collectors.registry import people
from demo.check import ARGUMENTS, BROWSERS
from makiba.settings import Settings
from tests.parts import wait_until
from tests.service.serving import CONSOLE, PASSWORD, SITE, Centre

PROGRAM = next((found for name in BROWSERS if (found := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="Chromium is not on this machine: apt-get install chromium")

AUTHENTICATOR = {
    "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
    "isUserVerified": True, "automaticPresenceSimulation": True,
}  # fmt: skip


@dataclass
class Town:
    """The application on `origin`, whose address is a name, as passkeys want it."""

    centre: Centre
    origin: str


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    centre = Centre(Path(tmp_path_factory.mktemp("town")))
    centre.person("hanako", shikaoi_001="owner")
    centre.person("jiro", shikaoi_001="coop")
    with centre.serving() as browser:
        assert centre.running
        origin = f"http://localhost:{browser.base_url.port}"
        running = centre.running.state.centre  # its port is known only now
        object.__setattr__(running, "settings", Settings(home=centre.folder, public_url=origin))
        yield Town(centre, origin)
    centre.registry.close()
    centre.store.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=PROGRAM, args=list(ARGUMENTS))
        yield chromium
        chromium.close()


def new_page(browser: Browser, complaints: list[str], **more: Any) -> Page:
    context = browser.new_context(**({"viewport": {"width": 360, "height": 740}, "locale": "ja-JP"} | more))
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return page


@pytest.fixture
def pages(browser: Browser) -> Iterator[Any]:
    """Makes pages, each a browser of its own; what they complain about in the console fails the test."""
    complaints: list[str] = []
    made: list[Page] = []

    def make(**more: Any) -> Page:
        made.append(new_page(browser, complaints, **more))
        return made[-1]

    yield make
    for page in made:
        page.context.close()
    # The browser writes down each answer that is a refusal.
    assert [c for c in complaints if not re.search(r"status of (401|403|404)", c)] == []


def sign_in(page: Page, town: Town, login: str = "hanako") -> None:
    page.goto(town.origin)
    form = page.get_by_test_id("signin-form")
    form.locator("input[name=username]").fill(login)
    form.locator("input[name=password]").fill(PASSWORD)
    form.locator("button[type=submit]").click()


def open_page(page: Page, name: str) -> None:
    page.get_by_test_id("nav-settings").click()
    page.get_by_test_id(f"to-{name}").click()


def prove(page: Page) -> None:
    sheet = page.get_by_test_id("proof-form")
    sheet.locator("input[name=password]").fill(PASSWORD)
    sheet.locator("button[type=submit]").click()


def test_a_passkey_is_made_on_the_phone_and_signs_in_without_a_login(pages: Any, town: Town) -> None:
    phone = pages()
    devtools = phone.context.new_cdp_session(phone)
    devtools.send("WebAuthn.enable")
    devtools.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
    sign_in(phone, town)
    open_page(phone, "ways")
    phone.locator("input[name=passkey-name]").fill("牛舎の スマホ")
    phone.get_by_test_id("passkey-add").click()
    expect(phone.locator(".row-name", has_text="牛舎の スマホ")).to_be_visible()
    phone.get_by_test_id("nav-settings").click()
    phone.get_by_test_id("sign-out").click()
    phone.get_by_test_id("passkey-enter").click()
    expect(phone.get_by_test_id("nav-settings")).to_be_visible()


def test_an_important_change_asks_once_more_who_it_is(pages: Any, town: Town) -> None:
    phone = pages()
    sign_in(phone, town)
    open_page(phone, "ways")
    expect(phone.get_by_test_id("passkey-add")).to_be_visible()
    town.centre.clock.ms += 700_000  # the proof of signing in has gone stale
    phone.get_by_test_id("codes-begin").click()
    expect(phone.get_by_test_id("proof")).to_be_focused()
    phone.keyboard.press("Escape")
    expect(phone.get_by_test_id("proof")).not_to_be_attached()
    phone.get_by_test_id("codes-begin").click()
    sheet = phone.get_by_test_id("proof-form")
    sheet.locator("input[name=password]").fill("ちがう ことば です")
    sheet.locator("button[type=submit]").click()
    expect(phone.get_by_test_id("proof").get_by_role("alert")).to_be_visible()
    prove(phone)
    expect(phone.get_by_test_id("codes-secret")).to_be_visible()


def test_the_focus_stays_in_the_question_who_it_is(pages: Any, town: Town) -> None:
    phone = pages()
    sign_in(phone, town)
    open_page(phone, "ways")
    expect(phone.get_by_test_id("passkey-add")).to_be_visible()
    town.centre.clock.ms += 700_000
    phone.get_by_test_id("codes-begin").click()
    expect(phone.get_by_test_id("proof")).to_be_focused()
    inside = "document.querySelector('[data-testid=proof]').contains(document.activeElement)"
    for key in ["Tab"] * 8 + ["Shift+Tab"] * 10:
        phone.keyboard.press(key)
        assert phone.evaluate(inside) is True


def test_an_answer_to_what_was_asked_before_a_proof_ends_nothing(pages: Any, town: Town) -> None:
    phone = pages()
    sign_in(phone, town)
    expect(phone.get_by_test_id("nav-settings")).to_be_visible()
    refused: list[str] = []

    def late(route: Any) -> None:
        refused.append(route.request.url)
        problem = {"type": "about:blank", "title": "Unauthorized", "status": 401}
        route.fulfill(status=401, content_type="application/problem+json", body=json.dumps(problem))

    asked: list[str] = []
    phone.on("request", lambda request: asked.append(request.url) if request.url.endswith("/places") else None)
    phone.route("**/places", late, times=1)
    with phone.expect_response("**/api/v1/session"):
        phone.evaluate("location.reload()")
    expect(phone.get_by_test_id("nav-settings")).to_be_visible()
    wait_until(lambda: phone.evaluate("true") and len(asked) > 1, 20, "it is asked again")
    expect(phone.get_by_test_id("nav-settings")).to_be_visible()
    assert len(refused) == 1


def expect_name(page: Page, ask: str, name: str) -> None:
    wait_until(lambda: bool(page.evaluate(ask) == name), what=name)


def test_a_link_makes_nobody_somebody_else_unasked(pages: Any, town: Town) -> None:
    other = town.centre.person("other")
    with town.centre.registry.write() as session:
        people.create_invitation(
            session,
            CONSOLE,
            code_hash=digest("code-of-other"),
            person_id=other,
            expires_ms=town.centre.clock() + 9_000_000,
        )
    phone = pages()
    sign_in(phone, town)
    expect(phone.get_by_test_id("nav-settings")).to_be_visible()
    who = "fetch('/api/v1/session').then(a => a.json()).then(s => s.person.name)"
    for answer, name in (("dismiss", "hanakoさん"), ("accept", "otherさん")):
        phone.once("dialog", lambda dialog, answer=answer: getattr(dialog, answer)())
        with phone.expect_event("dialog"):
            phone.evaluate("setTimeout(() => (location.hash = '#join=code-of-other'))")
        expect_name(phone, who, name)
        assert "join" not in phone.url


def test_codes_are_turned_on_and_asked_for_after_the_password(pages: Any, town: Town) -> None:
    town.centre.person("saburo", shikaoi_001="family")
    phone = pages()
    sign_in(phone, town, "saburo")
    open_page(phone, "ways")
    phone.get_by_test_id("codes-begin").click()
    secret = phone.get_by_test_id("codes-secret").inner_text()
    totp = pyotp.TOTP(secret)
    phone.locator("input[name=code]").fill(totp.at(town.centre.clock() // 1000))
    phone.locator("input[name=code]").press("Enter")
    expect(phone.get_by_test_id("recovery-codes").locator("li")).to_have_count(10)
    recovery = phone.get_by_test_id("recovery-codes").locator("li").first.inner_text()
    phone.get_by_test_id("nav-settings").click()
    phone.get_by_test_id("sign-out").click()
    sign_in(phone, town, "saburo")
    phone.locator("input[name=code]").fill("000000")
    phone.locator("input[name=code]").press("Enter")
    expect(phone.get_by_test_id("signin-form").get_by_role("alert")).to_contain_text("番号")
    phone.locator("input[name=code]").fill(recovery)
    phone.locator("input[name=code]").press("Enter")
    expect(phone.get_by_test_id("nav-settings")).to_be_visible()


def test_somebody_is_invited_by_a_picture_and_is_of_the_farm(pages: Any, town: Town) -> None:
    owner = pages()
    sign_in(owner, town)
    open_page(owner, "people")
    owner.locator("input[name=whom]").fill("太郎")
    owner.get_by_test_id("invite-form").locator("button[type=submit]").click()
    expect(owner.get_by_test_id("invitation-link").locator("img")).to_be_visible()
    address = owner.get_by_test_id("invitation-address").text_content()
    assert address
    assert "#invite=" in address
    taro = pages(locale="en-US")
    taro.goto(address)
    expect(taro.get_by_test_id("invited")).to_be_visible()
    assert "invite" not in taro.url
    form = taro.get_by_test_id("welcome-form")
    expect(form.locator("input[name=name]")).to_have_value("太郎")
    form.locator("input[name=username]").fill("taro")
    form.locator("button[type=submit]").click()
    expect(taro.get_by_test_id("nav-settings")).to_be_visible()
    owner.reload()
    expect(owner.get_by_test_id("member").filter(has_text="太郎")).to_be_visible()
    again = pages()
    again.goto(address)
    expect(again.get_by_test_id("invite-gone")).to_be_visible()


def test_the_owner_shows_the_tank_to_the_co_op_sees_who_looked_and_stops_it(pages: Any, town: Town) -> None:
    town.centre.write(f"{SITE}/tank-1/milk_temperature", 4.0)
    owner, coop = pages(), pages(viewport={"width": 1280, "height": 800})
    sign_in(owner, town)
    open_page(owner, "shares")
    expect(owner.get_by_test_id("no-consent")).to_be_visible()
    owner.locator(".ticks input[value=tank]").check()
    owner.get_by_test_id("give-form").locator("button[type=submit]").click()
    expect(owner.get_by_test_id("consent")).to_contain_text("農協")
    sign_in(coop, town, "jiro")
    coop.get_by_test_id("nav-places").click()
    expect(coop.locator("[data-testid=value][data-subject=tank-1]")).to_be_visible()
    owner.reload()
    expect(owner.get_by_test_id("looked").filter(has_text="jiroさん").first).to_be_visible()
    owner.get_by_test_id("withdraw").click()
    expect(owner.get_by_test_id("no-consent")).to_be_visible()
    expect(coop.locator("[data-testid=value][data-subject=tank-1]")).to_have_count(0, timeout=60_000)


def test_all_data_is_saved_from_the_page(pages: Any, town: Town) -> None:
    owner = pages()
    sign_in(owner, town)
    open_page(owner, "shares")
    with owner.expect_download() as saved:
        owner.get_by_test_id("take-along").click()
    assert saved.value.suggested_filename == f"makiba-{SITE}.zip"
    assert Path(saved.value.path()).read_bytes()[:2] == b"PK"


def test_nothing_is_cut_off_at_320_px_with_the_largest_text(pages: Any, town: Town) -> None:
    phone = pages(viewport={"width": 320, "height": 640})
    sign_in(phone, town)
    phone.get_by_test_id("nav-settings").click()
    phone.get_by_test_id("text-largest").check(force=True)
    for name in ("ways", "people", "shares"):
        open_page(phone, name)
        expect(phone.locator(".page-title")).to_be_visible()
        expect(phone.locator("[aria-busy=true]")).to_have_count(0)
        wide = phone.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, f"{name}: {wide} px stand out"
