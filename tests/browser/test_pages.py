"""The pages in a real browser, on the demo's farm: a phone of 360 px first, a desk after it.

`makiba demo --check` walks the main path with a stop-watch; here are the paths beside it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect, sync_playwright

from demo.check import ARGUMENTS, BROWSERS
from demo.home import Home
from tests.parts import free_port, makiba, wait_until

PROGRAM = next((found for name in BROWSERS if (found := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="Chromium is not on this machine: apt-get install chromium")

PASSWORD = "あおい空と しろい牛と わたし"


@dataclass
class Farm:
    """A running demo: its address with and without the code that signs in, and its folder."""

    origin: str
    address: str
    home: Path


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    folder = tmp_path_factory.mktemp("farm")
    process = makiba(
        "demo", "--season", "july", "--port", str(free_port()), "--home", str(folder), log=folder / "log"
    )
    with process:
        said = wait_until(Home(folder).running, 60, process.log)
        assert said
        address = str(said["address"])
        subprocess.run(
            [
                sys.executable,
                "-m",
                "makiba",
                "user",
                "add",
                "hanako",
                "--name",
                "花子",
                "--site",
                "shikaoi-001:family",
            ],
            input=f"{PASSWORD}\n{PASSWORD}\n",
            env={"MAKIBA_HOME": str(folder), "PATH": "/usr/bin", "LANG": "C.UTF-8"},
            text=True,
            check=True,
            capture_output=True,
        )
        yield Farm(address.partition("/#")[0], address, folder)
        process.terminate(20)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=PROGRAM, args=list(ARGUMENTS))
        yield chromium
        chromium.close()


@pytest.fixture
def phone(browser: Browser) -> Iterator[Page]:
    """A new phone in Japanese; whatever it complains about in its console fails the test."""
    context = browser.new_context(
        viewport={"width": 360, "height": 740}, locale="ja-JP", timezone_id="Asia/Tokyo", has_touch=True
    )
    page = context.new_page()
    page.set_default_timeout(60_000)
    complaints: list[str] = []
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    # A refused sign-in is an answer, and without a network nothing is loaded: the browser writes both down.
    unexpected = [c for c in complaints if "401" not in c and "ERR_INTERNET_DISCONNECTED" not in c]
    assert not unexpected


def is_live(page: Page) -> None:
    expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "live", timeout=60_000)


def test_the_address_signs_in_and_is_clean_afterwards(phone: Page, farm: Farm) -> None:
    asked: list[Request] = []
    phone.on("request", lambda request: asked.append(request))  # noqa: PLW0108 (the library marks its handlers)
    phone.goto(farm.address)
    is_live(phone)
    assert "join" not in phone.url
    code = farm.address.partition("join=")[2]
    assert not [r.url for r in asked if code in r.url], "the code never stands in an address that a server sees"
    assert {r.url.split("/")[2] for r in asked} == {farm.origin.split("/")[2]}, "no other host is asked"
    assert phone.locator("html").get_attribute("lang") == "ja"


def test_a_password_signs_in_and_a_wrong_one_says_so_in_plain_words(phone: Page, farm: Farm) -> None:
    phone.goto(farm.origin)
    form = phone.get_by_test_id("signin-form")
    form.locator("input").nth(0).fill("hanako")
    form.locator("input[type=password]").fill("ちがう ことば です")
    form.locator("button[type=submit]").click()
    expect(form.get_by_role("alert")).to_contain_text(re.compile("ちがい|ちがう|違"))
    form.locator("input[type=password]").fill(PASSWORD)
    form.locator("button[type=submit]").click()
    is_live(phone)
    phone.reload()  # the session stays
    is_live(phone)


def test_without_a_network_it_shows_what_it_knew_and_how_old_that_is(phone: Page, farm: Farm) -> None:
    phone.goto(farm.address)
    is_live(phone)
    phone.get_by_test_id("nav-places").click()
    value = phone.locator('[data-testid=value][data-subject="barn-1-climate"][data-quantity=air_temperature]')
    expect(value).to_have_text(re.compile(r"\d"))
    phone.evaluate("navigator.serviceWorker.ready.then(() => true)")
    phone.context.set_offline(True)
    expect(phone.get_by_test_id("connection")).to_have_attribute("data-state", "offline")
    phone.reload()  # from the service worker
    expect(phone.get_by_test_id("connection")).to_have_attribute("data-state", "offline")
    phone.get_by_test_id("nav-places").click()
    expect(value).to_have_text(re.compile(r"\d"))
    expect(phone.get_by_test_id("connection")).to_contain_text(re.compile("前|分|秒|たった今"))
    phone.context.set_offline(False)
    is_live(phone)


def test_nothing_is_cut_off_at_320_px_with_the_largest_text_in_both_languages(phone: Page, farm: Farm) -> None:
    phone.set_viewport_size({"width": 320, "height": 640})
    phone.goto(farm.address)
    is_live(phone)
    phone.get_by_test_id("nav-settings").click()
    phone.get_by_test_id("text-largest").check(force=True)
    for language in ("en", "ja"):  # the language is the person's: it ends as it was
        phone.get_by_test_id("nav-settings").click()
        phone.get_by_test_id(f"language-{language}").check(force=True)
        expect(phone.locator("html")).to_have_attribute("lang", language)
        for nav in ("alerts", "places", "settings"):
            phone.get_by_test_id(f"nav-{nav}").click()
            wide = phone.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert wide <= 0, f"{language} {nav}: {wide} px stand out"


def test_a_fault_is_switched_on_the_page_and_its_alert_explains_itself(phone: Page, farm: Farm) -> None:
    phone.goto(farm.address)
    is_live(phone)
    phone.get_by_test_id("nav-settings").click()
    phone.get_by_test_id("fault-sensor-unplugged").click()
    phone.get_by_test_id("nav-alerts").click()
    card = phone.locator('[data-testid=alert-card][data-rule="device.silent"][data-state=open]')
    expect(card).to_be_visible(timeout=90_000)
    text = card.inner_text()
    for part in ("連絡", "センサー", "第1牛舎", "見て"):
        assert part in text
    phone.context.set_offline(True)
    expect(phone.get_by_test_id("connection")).to_have_attribute("data-state", "offline")
    expect(card.get_by_test_id("acknowledge")).to_be_disabled()
    phone.context.set_offline(False)
    is_live(phone)
    card.get_by_test_id("acknowledge").click()
    seen = phone.locator('[data-testid=alert-card][data-rule="device.silent"][data-state=acknowledged]')
    expect(seen).to_be_visible()
    phone.get_by_test_id("nav-settings").click()
    phone.get_by_test_id("fault-sensor-unplugged").click()
    phone.get_by_test_id("nav-alerts").click()
    expect(seen).to_have_count(0, timeout=90_000)


def test_a_place_shows_a_chart_with_words_beside_it(phone: Page, farm: Farm) -> None:
    phone.goto(farm.address)
    is_live(phone)
    phone.get_by_test_id("nav-places").click()
    phone.locator('[data-testid=value][data-subject="tank-1.ch1"]').first.click()
    expect(phone.get_by_test_id("chart").first).to_be_visible()
    expect(phone.locator("main")).to_contain_text(re.compile("いちばん|最高|最低"))
    expect(phone.locator("main table").first).to_be_attached()


def test_signing_out_leaves_nothing_on_the_phone(phone: Page, farm: Farm) -> None:
    phone.goto(farm.address)
    is_live(phone)
    phone.get_by_test_id("nav-settings").click()
    phone.get_by_test_id("sign-out").click()
    expect(phone.get_by_test_id("signin-form")).to_be_visible()
    kept: dict[str, Any] = phone.evaluate("Object.assign({}, localStorage)")
    assert "℃" not in str(kept)
    assert "barn-1-climate" not in str(kept)
    phone.reload()
    expect(phone.get_by_test_id("signin-form")).to_be_visible()


def test_at_a_desk_alerts_and_places_stand_side_by_side(browser: Browser, farm: Farm) -> None:
    context: BrowserContext = browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-US")
    page = context.new_page()
    page.goto(farm.address)
    is_live(page)
    expect(page.locator("[data-testid=value]").first).to_be_visible()
    expect(page.locator("[data-testid=calm], [data-testid=alert-card]").first).to_be_visible()
    context.close()
