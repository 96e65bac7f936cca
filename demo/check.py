"""`makiba demo --check`: the demo without a person, in a real browser, with a stop-watch.

A new demo in a folder of its own is started, its address opened in headless Chromium as on a phone. Then, each step
with a time limit: a sensor's value changes and appears on the page; the tank's compressor is switched off on the
page; the alert appears, is acknowledged and, once the compressor runs again, ends, all of it on the page. Times are
the browser's own (when the page changed), the rule's threshold is counted from the first stored reading beyond it.
Exit code 0 when all of that happened; a time beyond its target is marked, one beyond `FAR_BEYOND` times it fails.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from collectors.store import open_store
from demo import faults
from demo.home import Home, free_port
from demo.running import FILES, tail
from deploy.cli import makiba_command
from deploy.supervise import Child, Supervisor, stop_on_signals
from makiba.reading import Series
from makiba.rule import load_rules, tuned
from makiba.settings import configs_dir

if TYPE_CHECKING:
    from playwright.sync_api import Page

T = TypeVar("T")

TARGET_S: Final = 2.0
FAR_BEYOND: Final = 3.0
CHANGES: Final = 7
SITE: Final = "shikaoi-001"
FAULT, RULE = "compressor-off", "tank.hold"
MILK: Final = Series(SITE, "tank-1.ch1", "milk_temperature")
BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome", "/usr/bin/chromium")
ARGUMENTS: Final = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip

# Notes when each value and each state of an alert first stood on the page.
_OBSERVER: Final = """
(() => {
  const seen = (window.makibaSeen = {});
  const note = () => {
    const now = Date.now();
    for (const e of document.querySelectorAll('[data-testid="alert-card"]'))
      seen[`alert ${e.dataset.rule} ${e.dataset.state}`] ??= now;
    for (const e of document.querySelectorAll('[data-testid="value"]'))
      seen[`value ${e.dataset.subject} ${e.dataset.quantity} ${e.textContent.trim().split(/\\s/)[0]}`] ??= now;
  };
  const everything = {subtree: true, childList: true, characterData: true, attributes: true};
  new MutationObserver(note).observe(document, everything);
})();
"""


class CheckFailed(Exception):
    """A step did not happen; the text says which."""


def run_check(store: str, season: str | None) -> int:
    """Runs the check, prints its times; 0 when all of it happened, else 1, the reason and the logs' ends."""
    browser = _browser()
    if browser is None:
        print("demo --check needs Chromium: apt-get install chromium fonts-noto-cjk", file=sys.stderr)
        return 2
    home = Home(Path(tempfile.mkdtemp(prefix="makiba-check-")))
    began = time.monotonic()
    try:
        _check(home, store, season, browser)
    except CheckFailed as error:
        print(f"\ncheck failed: {error}", file=sys.stderr)
        for log in sorted((*home.logs.glob("*.log"), home.path / "check" / "demo.log")):
            print(f"--- {log}\n{tail(log)}", file=sys.stderr)
        return 1
    print(f"check passed in {time.monotonic() - began:.0f} s")
    shutil.rmtree(home.path, ignore_errors=True)
    return 0


def _check(home: Home, store: str, season: str | None, browser: str) -> None:
    with _running_demo(home, store, season) as (said, alive), _page(browser, said["address"], alive) as page:
        steps = _Steps(page, home, said["store"], alive)
        steps.opened()
        steps.values_change()
        steps.fault_becomes_alert()
        steps.alert_is_acknowledged()
        steps.alert_ends()
        steps.page_had_no_errors()


class _Steps:
    """What happens on the page, one thing after the other; each prints its line."""

    def __init__(self, page: Page, home: Home, store_url: str, alive: Callable[[], None]) -> None:
        self._page, self._home, self._alive = page, home, alive
        self._store = open_store(store_url)
        self._errors: list[str] = []
        page.on("pageerror", lambda error: self._errors.append(str(error)))

    def opened(self) -> None:
        page = self._page
        self._wait(lambda: page.locator('[data-testid="connection"]').count(), 20, "the page is there, signed in")
        page.locator('[data-testid="nav-places"]').click()
        live = '[data-testid="value"][data-subject="tank-1.ch1"][data-quantity="milk_temperature"]'
        self._wait(lambda: page.locator(live).count(), 20, "a value of the milk tank on the page")
        _line("page open, values live", "yes")

    def values_change(self) -> None:
        """A register gets a value that nothing else gives; how long until it stands on the page?"""
        times = []
        for i in range(CHANGES):
            value = round(9.1 + 0.7 * i, 1)
            self._page.wait_for_timeout(130 * i)  # another moment of the poll each time
            set_ms = time.time() * 1000
            faults.set_value(self._home.faults, "nh3_ppm", value)
            seen = self._seen(f"value barn-1-ammonia ammonia {value:.1f}", 10, f"ammonia {value} ppm on the page")
            times.append((seen - set_ms) / 1000)
        faults.set_value(self._home.faults, "nh3_ppm", None)
        median, worst = statistics.median(times), max(times)
        text = f"median {median:.2f} s, worst {worst:.2f} s of {CHANGES} (target {TARGET_S:g} s)"
        _line("sensor changed -> value on the page", text, _mark(worst, TARGET_S))
        self._not_far_beyond("a sensor's change took", worst, TARGET_S)

    def fault_becomes_alert(self) -> None:
        self._switch(FAULT, True)
        off_ms = time.time() * 1000
        seen_card = self._seen(f"alert {RULE} open", 60, f"alert {RULE} on the page")
        limit, persistence_s = _rule()
        first = self._wait(
            lambda: next((p.time_ms for p in self._store.range(MILK, int(off_ms) - 2000, int(seen_card) + 1000)
                          if float(p.value) > limit), None), 5, f"a stored milk temperature above {limit} ℃",
        )  # fmt: skip
        since_s = (seen_card - first) / 1000
        over_s = since_s - persistence_s
        _line("fault -> alert on the page",
              f"{since_s:.2f} s after the milk passed {limit:g} ℃ = persistence {persistence_s:g} s "
              f"{over_s:+.2f} s (target +{TARGET_S:g} s)", _mark(over_s, TARGET_S))  # fmt: skip
        _line(
            "  switched off -> alert on the page", f"{(seen_card - off_ms) / 1000:.1f} s, most of it the milk warming"
        )
        self._not_far_beyond("the alert came later than its persistence by", over_s, TARGET_S)
        if over_s < -1.5:
            raise CheckFailed(f"the alert came {-over_s:.1f} s before its persistence was over")

    def alert_is_acknowledged(self) -> None:
        self._page.locator('[data-testid="nav-alerts"]').click()
        card = self._page.locator(f'[data-testid="alert-card"][data-rule="{RULE}"]')
        clicked_ms = time.time() * 1000
        card.locator('[data-testid="acknowledge"]').click(timeout=5000)
        seen = self._seen(f"alert {RULE} acknowledged", 10, "the alert acknowledged on the page")
        _line("acknowledged -> on the page", f"{(seen - clicked_ms) / 1000:.2f} s")

    def alert_ends(self) -> None:
        self._switch(FAULT, False)
        mended_ms = time.time() * 1000
        seen = self._seen(f"alert {RULE} ended", 60, "the alert ended on the page")
        _line("fault mended -> alert ended on the page", f"{(seen - mended_ms) / 1000:.1f} s, cooling included")

    def page_had_no_errors(self) -> None:
        if self._errors:
            raise CheckFailed("the page had errors: " + "; ".join(self._errors))

    def _switch(self, fault: str, on: bool) -> None:
        """With the page's own switch, as a visitor would; then back to the alerts."""
        self._page.locator('[data-testid="nav-settings"]').click()
        self._page.locator(f'[data-testid="fault-{fault}"]').click(timeout=5000)
        self._wait(
            lambda: (fault in faults.read_faults(self._home.faults).on) == on, 5, f"{fault} switched on the page"
        )
        self._page.locator('[data-testid="nav-alerts"]').click()

    def _seen(self, key: str, within_s: float, what: str) -> float:
        """When `key` first stood on the page, UTC in milliseconds."""
        return float(self._wait(lambda: self._page.evaluate("key => window.makibaSeen[key]", key), within_s, what))

    def _wait(self, condition: Callable[[], T | None], within_s: float, what: str) -> T:
        deadline = time.monotonic() + within_s
        while True:
            self._alive()
            if answer := condition():
                return answer
            if time.monotonic() > deadline:
                raise CheckFailed(f"not within {within_s:g} s: {what}")
            self._page.wait_for_timeout(20)

    def _not_far_beyond(self, what: str, value_s: float, target_s: float) -> None:
        if value_s > target_s * FAR_BEYOND:
            raise CheckFailed(f"{what} {value_s:.1f} s, target {target_s:g} s")


@contextmanager
def _running_demo(home: Home, store: str, season: str | None) -> Iterator[tuple[dict[str, Any], Callable[[], None]]]:
    """What the demo says of itself, and a function that fails when it is not there any more."""
    command = makiba_command("demo", "--home", str(home.path), "--store", store)
    command += ["--season", season] if season else []
    env = {**os.environ, "MAKIBA_HTTP_PORT": str(free_port()), "MAKIBA_MQTT_PORT": str(free_port())}
    started = time.monotonic()
    with stop_on_signals() as stop, Supervisor([Child("demo", command, env)], logs=home.path / "check") as parts:

        def alive() -> None:
            parts.step()
            if stop:
                raise CheckFailed("interrupted")
            if parts.deaths("demo"):
                raise CheckFailed("the demo ended by itself")

        said: dict[str, Any] | None = None
        while not said:
            alive()
            said = home.running()
            if time.monotonic() - started > 90:
                raise CheckFailed("the demo says no address within 90 s")
            time.sleep(0.05)
        _line("demo started (first start)", f"{time.monotonic() - started:.1f} s")
        yield said, alive


@contextmanager
def _page(browser: str, address: str, alive: Callable[[], None]) -> Iterator[Page]:
    from playwright.sync_api import Error, sync_playwright

    alive()
    with sync_playwright() as playwright:
        try:
            chromium = playwright.chromium.launch(executable_path=browser, args=list(ARGUMENTS))
            context = chromium.new_context(
                viewport={"width": 390, "height": 844}, locale="ja-JP", timezone_id="Asia/Tokyo", has_touch=True
            )
            context.add_init_script(_OBSERVER)
            page = context.new_page()
            page.goto(address)
            yield page
            chromium.close()
        except Error as error:
            raise CheckFailed(f"the browser: {error}") from error


def _browser() -> str | None:
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def _rule() -> tuple[float, float]:
    """The limit and the persistence in seconds that hold for the milk tank in the demo."""
    import yaml

    rule = load_rules(configs_dir() / "rules")[RULE]
    site = yaml.safe_load((FILES / "site.yaml").read_text(encoding="utf-8"))
    numbers = tuned(rule, site["rules"].get(RULE), MILK.subject)
    return numbers.numbers["limit"], numbers.for_ms / 1000


def _mark(value_s: float, target_s: float) -> str:
    return "" if value_s <= target_s else "MISSED"


def _line(what: str, value: str, mark: str = "") -> None:
    print(f"{what:<42}{value}  {mark}".rstrip(), flush=True)
