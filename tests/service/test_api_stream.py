"""Server-sent events: from a real broker's committed feed and the real alert book to a listening browser."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from api.routes.stream import EventStream
from api.sessions import COOKIE
from collectors.registry import people
from makiba import topics
from makiba.mqtt import MqttOptions, connect_properties, new_client
from makiba.reading import Reading, Series
from makiba.senml import encode_json
from makiba.settings import Settings
from makiba.wire import pack_payload
from tests.parts import PATIENCE, Broker, free_port, listens, makiba, wait_until
from tests.service.serving import CONSOLE, OTHER, PASSWORD, SITE, WRITE, Centre, Listener, sign_in
from tests.service.test_api_alerts import warm_tank


class Collector:
    """Publishes packs on the committed feed as the collector does."""

    def __init__(self, options: MqttOptions) -> None:
        self._client = new_client(options, "test-collector")
        self._client.connect(options.host, options.port, clean_start=True, properties=connect_properties())
        self._client.loop_start()
        wait_until(self._client.is_connected, what="the collector is connected")

    def committed(self, readings: Sequence[Reading], *, deflate: bool = False) -> None:
        payload = pack_payload(encode_json(readings), deflate=deflate)
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.UserProperty = list(payload.user_properties)
        topic = topics.stored_topic(readings[0].series.site)
        self._client.publish(topic, payload.data, qos=0, properties=properties).wait_for_publish(5)

    def garbage(self) -> None:
        self._client.publish(topics.stored_topic(SITE), b"\x00not senml", qos=0).wait_for_publish(5)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def tank(centre: Centre, value: float, site: str = SITE, *, ago_ms: int = 0) -> Reading:
    return Reading(Series(site, "tank-1", "milk_temperature"), centre.clock() - ago_ms, value)


@dataclass
class Running:
    """The API on a real broker, and hanako of `SITE`, signed in."""

    centre: Centre
    broker: Broker
    collector: Collector
    browser: httpx.Client


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    centre = Centre(Path(tmp_path_factory.mktemp("stream")))
    centre.person("hanako", shikaoi_001="owner")
    with Broker() as broker:
        env = broker.env()
        centre.settings = Settings(home=centre.folder, mqtt_port=broker.port, pki=Path(env["MAKIBA_PKI"]))
        collector = Collector(broker.options("collector"))
        with centre.serving() as browser:
            sign_in(browser)
            yield Running(centre, broker, collector, browser)
        collector.close()


def flowing(running: Running, listener: Listener) -> None:
    """Waits until what is committed reaches `listener`: the API has its subscription."""

    def arrives() -> bool:
        running.collector.committed([tank(running.centre, 1.0)])
        return bool(listener.of("readings"))

    wait_until(arrives, 15, "a committed reading reaches the browser", every_s=0.1)


def values(listener: Listener) -> list[tuple[str, float]]:
    return [(r["site"], r["value"]) for e in listener.of("readings") for r in e.data]


def test_a_committed_reading_is_told_to_who_may_see_the_farm(running: Running) -> None:
    centre = running.centre
    with Listener(running.browser) as listener:
        flowing(running, listener)
        begun = time.monotonic()
        running.collector.garbage()
        running.collector.committed([tank(centre, 66.0, OTHER)])
        running.collector.committed([tank(centre, 6.25)], deflate=True)
        wait_until(lambda: (SITE, 6.25) in values(listener), 2, "the reading arrives")
        assert time.monotonic() - begun < 2 * PATIENCE
        last = listener.of("readings")[-1].data[-1]
        assert last == {"site": SITE, "subject": "tank-1", "quantity": "milk_temperature",
                        "time_ms": centre.clock(), "value": 6.25}  # fmt: skip
        assert {site for site, _ in values(listener)} == {SITE}


def test_many_packs_a_second_are_ten_messages_a_second_at_most(running: Running) -> None:
    with Listener(running.browser) as listener:
        flowing(running, listener)
        before = len(listener.of("readings"))
        begun = time.monotonic()
        for n in range(300):
            running.collector.committed([tank(running.centre, 10 + n / 100)])
        wait_until(lambda: (SITE, 12.99) in values(listener), 5, "the newest value arrives")
        took = time.monotonic() - begun
        assert len(listener.of("readings")) - before <= 10 * took + 2


def test_an_alert_is_told_within_two_seconds(running: Running) -> None:
    with Listener(running.browser) as listener:
        begun = time.monotonic()
        alert = warm_tank(running.centre)
        told = listener.wait_for("alert", 2)
        assert told.at_s - begun < 2
        assert (told.data["id"], told.data["state"]) == (alert, "open")
        warm_tank(running.centre, "end")
        assert listener.wait_for("alert", 2, count=2).data["state"] == "ended"


def test_a_browser_that_comes_back_is_told_what_it_missed_once(running: Running) -> None:
    centre = running.centre
    with Listener(running.browser) as listener:
        alert = warm_tank(centre, onset_ms=centre.clock() - 2_000)
        seen = listener.wait_for("alert", 2).number
        answer = running.browser.post(f"/api/v1/alerts/{alert}/acknowledge", headers=WRITE)
        listener.wait_for("alert", 2, count=2)  # from here on the service looks for later events only
        warm_tank(centre, "end")
    with Listener(running.browser, last_event_id=seen) as listener:
        missed = listener.wait_for("alert")
        assert listener.events[0].kind == "hello"
        assert [e["kind"] for e in missed.data["events"]] == ["opened", "acknowledged", "ended"]
        assert missed.data["events"][:2] == answer.json()["events"]
        assert missed.number not in (None, seen)
        assert listener.of("hello")[0].data["resumed"] is True
        following = warm_tank(centre, onset_ms=centre.clock() - 1_000)
        assert listener.wait_for("alert", 2, count=2).data["id"] == following
        warm_tank(centre, "end", onset_ms=centre.clock() - 1_000)
        listener.wait_for("alert", 2, count=3)
    with Listener(running.browser, last_event_id=missed.number) as listener:
        assert listener.wait_for("alert").data["id"] == following
    with Listener(running.browser, last_event_id=listener.of("hello")[0].number) as listener:
        assert listener.wait_for("alert").data["id"] == following  # a connection cut before the alert resumes there


def test_hello_says_where_to_go_on_even_before_anything_happened(running: Running) -> None:
    with Listener(running.browser) as listener:
        hello = listener.of("hello")[0]
    assert hello.data == {"time_ms": running.centre.clock(), "resumed": False}
    with Listener(running.browser, last_event_id=hello.number) as listener:
        again = listener.of("hello")[0]
        assert again.data["resumed"] is True
        assert again.number != hello.number, "nobody sees in it whether anything happened elsewhere"


def test_a_bookmark_that_is_not_ours_or_somebody_elses_makes_the_page_read_anew(running: Running) -> None:
    centre = running.centre
    with Listener(running.browser) as listener:
        own = listener.of("hello")[0].number
    assert own
    other = centre.person(f"other-{own}", password=None, shikaoi_001="worker")
    with httpx.Client(base_url=running.browser.base_url, cookies={COOKIE: centre.cookie(other)}) as browser:
        with Listener(browser, last_event_id=own) as listener:
            assert listener.of("hello")[0].data["resumed"] is False
    for bookmark in ("1", str(10**12), "0" * 38, own[:-1], own.swapcase(), "%00"):
        with Listener(running.browser, last_event_id=bookmark) as listener:
            assert listener.of("hello")[0].data["resumed"] is False
    with Listener(running.browser, last_event_id=own, query=f"?sites={SITE}") as listener:
        assert listener.of("hello")[0].data["resumed"] is False, "it has had less than it listens to now, or more"


def test_a_stream_ends_with_its_session(running: Running) -> None:
    other = running.centre.person("guest", shikaoi_001="vet")
    with httpx.Client(base_url=running.browser.base_url) as browser:
        sign_in(browser, "guest")
        with Listener(browser) as listener:
            assert browser.delete("/api/v1/session", headers=WRITE).status_code == 204
            assert listener.ended.wait(5), "signing out ends the stream"
        sign_in(browser, "guest")
        with Listener(browser) as listener, running.centre.registry.write() as session:
            people.set_disabled(session, CONSOLE, other, running.centre.clock())
        assert listener.ended.wait(5), "so does being shut out"
        assert browser.get("/api/v1/stream").status_code == 401


def test_a_guest_is_told_what_the_farm_shows_and_a_withdrawal_ends_it_within_a_second(running: Running) -> None:
    centre = running.centre
    centre.person("vet", shikaoi_001="vet")
    consents = f"/api/v1/sites/{SITE}/consents"

    def give(*classes: str) -> str:
        given = running.browser.post(consents, json={"role": "vet", "classes": classes}, headers=WRITE)
        assert given.status_code == 201, given.text
        return str(given.json()["id"])

    def withdraw(consent: str) -> float:
        assert running.browser.delete(f"{consents}/{consent}", headers=WRITE).status_code == 204
        return time.monotonic()

    stop = threading.Event()

    def measure() -> None:
        n = 0
        while not stop.is_set():
            n += 1
            air = Reading(Series(SITE, "barn-1-climate", "air_temperature"), centre.clock() + n, 20.0)
            milk = Reading(Series(SITE, "tank-1", "milk_temperature"), centre.clock() + n, 4.0)
            running.collector.committed([milk, air])
            stop.wait(0.02)

    def told(listener: Listener) -> set[str]:
        return {r["quantity"] for e in list(listener.of("readings")) for r in e.data}

    measuring = threading.Thread(target=measure)
    with httpx.Client(base_url=running.browser.base_url) as browser:
        sign_in(browser, "vet")
        with Listener(browser) as guest, Listener(running.browser) as owner:
            measuring.start()
            try:
                wait_until(lambda: told(owner) == {"milk_temperature", "air_temperature"}, 10, "the owner is told")
                assert guest.of("readings") == []
                tank = give("tank")
                wait_until(lambda: told(guest) == {"milk_temperature"}, 3, "the guest is told of the tank")
                seen = len(guest.of("hello"))
                alerts = give("alerts")
                guest.wait_for("hello", 3, count=seen + 1)
                warm_tank(centre, onset_ms=centre.clock() - 3_000)
                guest.wait_for("alert", 3)
                ended_s = [withdraw(tank), withdraw(alerts)]
                warm_tank(centre, "end", onset_ms=centre.clock() - 3_000)
                owner.wait_for("alert", 3, count=2)
                before = len(owner.of("readings"))
                wait_until(lambda: len(owner.of("readings")) >= before + 25, 10, "the owner is told more")
            finally:
                stop.set()
                measuring.join()
            last_s = [guest.of(kind)[-1].at_s for kind in ("readings", "alert")]
            assert len(guest.of("alert")) == 1
            assert not guest.ended.is_set()
            assert max(last - end for last, end in zip(last_s, ended_s, strict=True)) <= 1.0
    rows = running.browser.get(f"/api/v1/sites/{SITE}/audit").json()["rows"]
    assert {r["data_class"]["id"] for r in rows if r["what"] == "/stream"} == {"tank", "alerts"}
    changes = [r["what"] for r in rows if r["kind"] == "change" and r["name"] == "hanakoさん"]
    assert sorted(changes) == ["consent.given"] * 2 + ["consent.withdrawn"] * 2


def test_the_page_is_told_when_the_broker_goes_and_when_it_is_back(running: Running) -> None:
    with Listener(running.browser) as listener:
        flowing(running, listener)
        running.broker.kill()
        assert listener.wait_for("centre", 5).data == {"broker": False}
        with Listener(running.browser) as late:
            assert late.wait_for("centre").data == {"broker": False}
        running.broker.start()
        assert listener.wait_for("centre", 15, count=2).data == {"broker": True}


def test_a_browser_that_takes_nothing_is_let_go() -> None:
    sent: list[Any] = []
    ended: list[bool] = []

    async def frames() -> AsyncGenerator[bytes]:
        try:
            while True:
                yield b"data: 1\n\n"
        finally:
            ended.append(True)

    async def send(message: Any) -> None:
        sent.append(message)
        if len(sent) == 4:
            await asyncio.Event().wait()

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def run() -> None:
        async with asyncio.timeout(5):
            await EventStream(frames(), stuck_s=0.05)({"type": "http"}, receive, send)

    asyncio.run(run())
    assert len(sent) == 4
    assert ended == [True]


def test_makiba_serve_starts_quickly_and_stops_within_three_seconds_with_streams_open(tmp_path: Path) -> None:
    Centre(tmp_path).person("hanako", shikaoi_001="owner")
    port = free_port()
    env = {"MAKIBA_HOME": str(tmp_path), "MAKIBA_HTTP_PORT": str(port), "MAKIBA_MQTT_PORT": str(free_port())}
    with makiba("serve", log=tmp_path / "serve.log", env=env) as process:
        wait_until(lambda: listens(port), 10, process.log)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as browser:
            assert browser.get("/api/v1/health").json()["ok"] is True
            sign_in(browser, password=PASSWORD)
            with Listener(browser) as listener:
                begun = time.monotonic()
                assert process.terminate(5) == 0, process.log()
                assert time.monotonic() - begun < 3 * PATIENCE
                assert listener.ended.wait(2)
            assert browser.cookies[COOKIE] not in process.log()
        # No certificate and no broker here: one line says so, and the pages are served all the same.
        assert len(re.findall("no committed feed", process.log())) == 1
        assert "Traceback" not in process.log()


def test_makiba_serve_says_when_its_port_is_taken(tmp_path: Path) -> None:
    env = {"MAKIBA_HOME": str(tmp_path)}
    with makiba("serve", "--port", str(free_port()), log=tmp_path / "a.log", env=env) as first:
        port = first.command[-1]
        wait_until(lambda: listens(int(port)), 10, first.log)
        with makiba("serve", "--port", port, log=tmp_path / "b.log", env=env) as second:
            assert second.wait() == 1
            assert f"cannot listen on 127.0.0.1:{port}" in second.log()


def test_makiba_serve_with_a_wrong_registry_says_what_to_change(tmp_path: Path) -> None:
    env = {"MAKIBA_HOME": str(tmp_path), "MAKIBA_REGISTRY": "mysql:here", "MAKIBA_HTTP_PORT": str(free_port())}
    with makiba("serve", log=tmp_path / "serve.log", env=env) as process:
        assert process.wait() == 2
        assert "mysql" in process.log()
        assert "Traceback" not in process.log()
