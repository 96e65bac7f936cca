"""Many farms without power at once: who is hit answers with one thumb, who helps sees it, in a real browser."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from analytics import alert_book, incidents
from analytics.decision import Decision, Kind
from collectors.registry.schema import Site
from collectors.registry.sites import SiteSpec, apply_site
from collectors.registry.viewer import Service
from demo.check import ARGUMENTS, BROWSERS
from tests.service.serving import CONSOLE, PASSWORD, SITE, Centre

PROGRAM = next((found for name in BROWSERS if (found := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="Chromium is not on this machine: apt-get install chromium")

ANALYTICS = Service("analytics")
FARMS = [f"shikaoi-{number:03}" for number in range(1, 8)]
WITHOUT_GENERATOR = "shikaoi-004"


@dataclass
class Town:
    """Seven farms, all of which show their alerts to the co-op (`jiro`); `hanako` has the first."""

    centre: Centre
    origin: str
    onsets: dict[str, int] = field(default_factory=dict)

    def say(self, kind: Kind, *sites: str) -> None:
        """The power of `sites` fails, or is back, and analytics looks at the book."""
        now_ms = self.centre.clock()
        with self.centre.registry.write() as session:
            for site in sites:
                onset_ms = self.onsets.setdefault(site, now_ms - 240_000)
                decision = Decision(kind, site, "pow.lost", "meter", onset_ms, now_ms, "critical")
                alert_book.write(session, ANALYTICS, decision, now_ms)
            incidents.look(session, ANALYTICS, now_ms)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    centre = Centre(Path(tmp_path_factory.mktemp("town")))
    with centre.registry.write() as session:
        for number, site in enumerate(FARMS[2:], 3):
            apply_site(session, CONSOLE, SiteSpec(site, f"第{number}牧場", f"Farm {number}"), centre.clock())
        for site in FARMS:
            row = session.get_one(Site, site)
            row.settings = {"generator": site != WITHOUT_GENERATOR, "cows": 60}
    centre.person("hanako", shikaoi_001="owner")
    roles: dict[str, Any] = {site.replace("-", "_"): "coop" for site in FARMS}
    centre.person("jiro", **roles)
    for site in FARMS:
        centre.consent(site, "alerts", role="coop")
    with centre.serving() as api:
        made = Town(centre, f"http://localhost:{api.base_url.port}")
        made.say("open", *FARMS[:6])
        yield made
    centre.registry.close()
    centre.store.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=PROGRAM, args=list(ARGUMENTS))
        yield chromium
        chromium.close()


@pytest.fixture
def pages(browser: Browser) -> Iterator[Any]:
    """Makes pages of a phone in Japanese, each a browser of its own; no script may fail on them."""
    complaints: list[str] = []
    made: list[Page] = []

    def make(town: Town, login: str, **more: Any) -> Page:
        context = browser.new_context(**({"viewport": {"width": 360, "height": 740}, "locale": "ja-JP"} | more))
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        made.append(page)
        page.goto(town.origin)
        form = page.get_by_test_id("signin-form")
        form.locator("input[name=username]").fill(login)
        form.locator("input[name=password]").fill(PASSWORD)
        form.locator("button[type=submit]").click()
        return page

    yield make
    for page in made:
        page.context.close()
    assert [c for c in complaints if not re.search(r"status of 401|ERR_FAILED", c)] == []


def farm_of(page: Page, site: str) -> Any:
    return page.locator(f"[data-testid=incident-farm][data-site={site}]")


def test_a_farmer_answers_and_the_co_op_sees_who_needs_help_first(pages: Any, town: Town) -> None:
    farmer, coop = pages(town, "hanako"), pages(town, "jiro")
    expect(coop.get_by_test_id("incident-banner")).to_contain_text("停電の疑い 6戸")
    farmer.get_by_test_id("incident-banner").click()
    coop.get_by_test_id("incident-banner").click()
    expect(farm_of(coop, SITE)).to_contain_text("返事なし")
    expect(coop.get_by_test_id("incident-farm").first).to_have_attribute("data-site", WITHOUT_GENERATOR)

    # What does not get through says so, and what to do; the button is not shown as pressed.
    farmer.route("**/answer", lambda route: route.abort(), times=1)
    button = farmer.get_by_test_id("answer-generator")
    button.click()
    expect(farmer.get_by_test_id("answer-failed")).to_contain_text("もう一度 押してください")
    expect(button).to_have_attribute("aria-pressed", "false")
    expect(button).to_contain_text("伝わって いません")
    below = farmer.get_by_test_id("answer-people").bounding_box()
    assert button.bounding_box()["height"] >= 64

    button.focus()
    farmer.keyboard.press("Enter")
    expect(farmer.get_by_test_id("answer-saved")).to_contain_text("伝わりました：発電機が 要る")
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(button).to_contain_text("伝わりました")
    expect(button).to_be_focused()
    assert farmer.get_by_test_id("answer-people").bounding_box() == below  # nothing moves under the thumb
    expect(farmer.get_by_test_id("answer-failed")).to_have_count(0)

    # The answer acknowledges the farm's alert, and that step brings the co-op's page up to date.
    expect(farm_of(coop, SITE)).to_have_attribute("data-standing", "generator", timeout=60_000)
    expect(coop.get_by_test_id("incident-farm").first).to_have_attribute("data-site", SITE)
    expect(coop.get_by_test_id("answer-ok")).to_have_count(0)

    farmer.get_by_test_id("answer-people").click()
    expect(farmer.get_by_test_id("answer-saved")).to_contain_text("人が 要る")
    farmer.reload()
    expect(farmer.get_by_test_id("answer-people")).to_have_attribute("aria-pressed", "true")
    expect(farmer.get_by_test_id("incident-farm")).to_have_count(0)  # nothing of the others


def test_farms_that_are_back_stand_last_with_a_word_and_an_ended_incident_below(pages: Any, town: Town) -> None:
    town.say("end", FARMS[1])
    coop = pages(town, "jiro", viewport={"width": 320, "height": 640})
    coop.get_by_test_id("incident-banner").click()
    expect(farm_of(coop, FARMS[1])).to_contain_text("もどった")
    expect(coop.get_by_test_id("incident-farm").last).to_have_attribute("data-site", FARMS[1])
    coop.evaluate("document.documentElement.dataset.text = 'largest'")
    wide = coop.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0, f"{wide} px stand out"
    town.say("end", *FARMS[:6])
    coop.reload()
    expect(coop.get_by_test_id("no-incident")).to_be_visible()
    coop.get_by_test_id("past-incident").locator("summary").click()
    expect(farm_of(coop, FARMS[2])).to_be_visible()
    coop.get_by_test_id("nav-alerts").click()
    expect(coop.get_by_test_id("to-incidents")).to_be_visible()
    expect(coop.get_by_test_id("incident-banner")).to_have_count(0)
