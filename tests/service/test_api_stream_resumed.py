"""Streams of several processes on one PostgreSQL: resumed at another one, narrowed, and ended by a withdrawal."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from analytics import alert_book
from analytics.decision import Decision
from api import alert_news
from api.sessions import COOKIE
from collectors.registry import alerts
from collectors.registry.viewer import Service
from makiba.reading import Reading, Series
from makiba.settings import Settings
from tests.parts import Broker, wait_until
from tests.service import test_api_stream as streams
from tests.service.postgres_parts import Postgres
from tests.service.serving import CONSOLE, OTHER, SITE, WRITE, Centre, Listener
from tests.service.test_api_alerts import warm_tank
from tests.service.test_api_stream import Collector, Running, flowing, values

ANALYTICS = Service("analytics")


@pytest.fixture(scope="module")
def running(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with Broker() as broker:
        centre = Centre(Path(tmp_path_factory.mktemp("stream")), registry_url=postgres.ready("streams"))
        hanako = centre.person("hanako", shikaoi_001="owner", shikaoi_002="family")
        pki = Path(broker.env()["MAKIBA_PKI"])
        centre.settings = Settings(home=centre.folder, mqtt_port=broker.port, pki=pki, registry=centre.registry_url)
        collector = Collector(broker.options("collector"))
        with centre.serving() as browser:
            browser.cookies.set(COOKIE, centre.cookie(hanako))
            yield Running(centre, broker, collector, browser)
        collector.close()
        centre.registry.close()
        centre.store.close()


def test_a_withdrawal_ends_it_within_a_second_on_postgresql_too(running: Running) -> None:
    streams.test_a_guest_is_told_what_the_farm_shows_and_a_withdrawal_ends_it_within_a_second(running)


def test_a_stream_goes_on_at_another_process_where_it_was(running: Running) -> None:
    centre = running.centre
    with centre.serving() as other:
        other.cookies.update(running.browser.cookies)
        with Listener(running.browser) as here:
            one = warm_tank(centre, onset_ms=centre.clock() - 20_000)
            seen = here.wait_for("alert", 3)
            assert seen.data["id"] == one
        warm_tank(centre, "end", onset_ms=centre.clock() - 20_000)
        two = warm_tank(centre, onset_ms=centre.clock() - 19_000)
        with Listener(other, last_event_id=seen.number) as there:
            there.wait_for("alert", 3, count=2)
            assert [(e.data["id"], e.data["state"]) for e in there.of("alert")] == [(one, "ended"), (two, "open")]
            assert there.of("hello")[0].data["resumed"] is True
            last = there.of("alert")[-1].number
        warm_tank(centre, "end", onset_ms=centre.clock() - 19_000)
    with centre.serving() as restarted:
        restarted.cookies.update(running.browser.cookies)
        with Listener(restarted, last_event_id=last) as again:
            assert again.wait_for("alert", 3).data["state"] == "ended"
            assert len(again.of("alert")) == 1


def test_who_missed_too_much_reads_anew(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    centre = running.centre
    with Listener(running.browser) as listener:
        seen = listener.of("hello")[0].number
        monkeypatch.setattr(alert_news, "MISSED_AT_MOST", 1)
        warm_tank(centre, onset_ms=centre.clock() - 30_000)
        warm_tank(centre, "end", onset_ms=centre.clock() - 30_000)
        wait_until(lambda: any(e.data["state"] == "ended" for e in listener.of("alert")), 5, "all streams were told")
    with Listener(running.browser, last_event_id=seen) as listener:
        assert listener.of("hello")[0].data["resumed"] is False
        assert listener.of("alert") == []


def test_what_is_not_to_be_seen_any_more_is_not_told_to_who_comes_back(running: Running) -> None:
    centre = running.centre
    guest = centre.person("guest", password=None, shikaoi_001="vet")
    given = centre.consent(SITE, "alerts", person=guest)
    with httpx.Client(base_url=running.browser.base_url, cookies={COOKIE: centre.cookie(guest)}) as browser:
        with Listener(browser) as listener:
            seen = listener.of("hello")[0].number
        warm_tank(centre, onset_ms=centre.clock() - 40_000)
        assert running.browser.delete(f"/api/v1/sites/{SITE}/consents/{given}", headers=WRITE).status_code == 204
        with Listener(browser, last_event_id=seen) as listener, Listener(running.browser) as owner:
            warm_tank(centre, "end", onset_ms=centre.clock() - 40_000)
            owner.wait_for("alert", 3)
            assert listener.of("alert") == []


def test_a_stream_is_narrowed_to_farms_classes_and_kinds(running: Running) -> None:
    centre = running.centre

    tank, air = ("tank-1", "milk_temperature"), ("barn-1-climate", "air_temperature")

    def told(query: str, last: Series | None) -> set[tuple[str, str]]:
        """What comes of the four readings before `last`, which is committed after them; None: before an alert."""
        with Listener(running.browser) as whole, Listener(running.browser, query=query) as narrow:
            flowing(running, whole)
            for site in (SITE, OTHER):
                for subject, quantity in (tank, air):
                    running.collector.committed([Reading(Series(site, subject, quantity), centre.clock(), 7.0)])
            wait_until(lambda: (OTHER, 7.0) in values(whole), 5, "the last arrives")
            if last is None:
                warm_tank(centre)
                narrow.wait_for("alert")
            else:
                running.collector.committed([Reading(last, centre.clock() + 1, 8.0)])
                wait_until(lambda: (last.site, 8.0) in values(narrow), 5, "what came after them arrives")
            return {(r["site"], r["quantity"]) for e in narrow.of("readings") for r in e.data if r["value"] == 7.0}

    assert told(f"?sites={OTHER}", Series(OTHER, "tank-1", "milk_volume")) == {(OTHER, tank[1]), (OTHER, air[1])}
    assert told("?classes=tank", Series(SITE, "tank-1", "milk_volume")) == {(SITE, tank[1]), (OTHER, tank[1])}
    damp = Series(SITE, "barn-1-climate", "relative_humidity")
    assert told(f"?classes=barn&sites={SITE}&sites=shikaoi-999", damp) == {(SITE, air[1])}
    assert told("?kinds=alerts", None) == set()
    assert running.browser.get("/api/v1/stream?kinds=all").status_code == 422


def test_events_become_visible_in_the_order_of_their_numbers(running: Running) -> None:
    """Two workers write at once; the one that began first commits last. Without an order between them, whoever
    remembers the higher number would never be told the lower one."""
    registry, now = running.centre.registry, running.centre.clock()
    with registry.read() as session:
        before = alerts.last_event_id(session, CONSOLE)
    done, begun = threading.Event(), threading.Event()

    def write(site: str) -> None:
        begun.set()
        with registry.write() as session:
            alert_book.write(session, ANALYTICS, Decision("open", site, "order", "tank-1", now, now), now)
        done.set()

    second = threading.Thread(target=write, args=(OTHER,))
    with registry.write() as session:
        alert_book.write(session, ANALYTICS, Decision("open", SITE, "order", "tank-1", now, now), now)
        second.start()
        begun.wait(5)
        assert not done.wait(0.5), "the other worker waits with its number"
        with registry.read() as reader:
            assert alerts.events_since(reader, CONSOLE, before) == []
    second.join(5)
    with registry.read() as session:
        events = alerts.events_since(session, CONSOLE, before)
    assert [e.site_id for e in events] == [SITE, OTHER]
