"""OpenMetrics of `makiba watch` and `makiba serve`, read with the parser of prometheus-client."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from makiba.settings import Settings
from tests.parts import free_port, makiba, wait_until
from tests.service.figures_parts import Page, page
from tests.service.serving import OTHER, SITE, Centre, Listener, sign_in
from tests.service.test_worker import Farm, farm

__all__ = ["farm"]  # a fixture


def test_watch_counts_what_it_judges_fills_and_opens_without_naming_a_farm(farm: Farm) -> None:
    port = free_port()
    with makiba(
        "watch", log=farm.folder / "watch.log", env={**farm.env(), "MAKIBA_METRICS_PORT": str(port)}
    ) as worker:
        wait_until(lambda: "watching" in worker.log() and "listening" in worker.log(), 15, worker.log)
        wait_until(lambda: page(port)["makiba_watch_readings_judged_total{source=feed}"] >= 2, 10, worker.log)
        farm.milk(6.2)
        critical = "makiba_watch_open_alerts{severity=critical}"
        wait_until(lambda: page(port)[critical] == 1, 15, worker.log)
        seen = page(port)
        assert seen["makiba_watch_open_alerts{severity=warning}"] == 0
        assert seen["makiba_watch_decisions_total{kind=open}"] == 1
        assert seen["makiba_watch_feed_up"] == seen["makiba_watch_farms"] == 1
        assert seen["makiba_watch_lag_seconds_count"] >= 3
        assert seen["makiba_watch_lag_seconds_bucket{le=2.0}"] == seen["makiba_watch_lag_seconds_count"]
        assert 0 < seen["makiba_watch_judge_seconds_sum"] < seen["makiba_watch_judge_seconds_count"]
        assert seen["makiba_watch_newest_reading_timestamp_seconds"] > 1.7e9
        holes = seen["makiba_watch_holes_filled_total"]
        farm.broker.kill()
        wait_until(lambda: page(port)["makiba_watch_feed_up"] == 0, 10, worker.log)
        wait_until(lambda: page(port)["makiba_watch_holes_filled_total"] > holes, 10, worker.log)
        assert not {value for _, value in seen.labels} & {"farm", "tank-1", "gw-1"}
        assert worker.terminate() == 0


@pytest.fixture
def centre(tmp_path: Path) -> Iterator[tuple[Centre, int]]:
    made = Centre(tmp_path)
    port = free_port()
    made.settings = Settings(home=tmp_path, metrics_port=port)
    made.person(shikaoi_001="owner")
    yield made, port
    made.store.close()
    made.registry.close()


def requests_of(seen: Page) -> dict[str, float]:
    head = "makiba_serve_requests_total"
    return {name.removeprefix(head): value for name, value in seen.samples.items() if name.startswith(head)}


def test_serve_counts_answers_by_the_route_s_template_and_never_by_the_address(centre: tuple[Centre, int]) -> None:
    made, port = centre
    with made.serving() as browser:
        sign_in(browser, "hanako")
        browser.get(f"/api/v1/sites/{SITE}/places")
        browser.get(f"/api/v1/sites/{OTHER}/places")  # not hers
        browser.get("/api/v1/no/such/thing")
        browser.get("/assets/nothing.js")
        browser.post("/api/v1/session", json={"login": "hanako", "password": "guess"})  # a foreign write
        seen = page(port)
        counts = requests_of(seen)
        assert counts["{method=POST,route=/session,status=204}"] == 1
        assert counts["{method=GET,route=/sites/{site}/places,status=200}"] == 1
        assert counts["{method=GET,route=/sites/{site}/places,status=404}"] == 1
        assert counts["{method=GET,route=other,status=404}"] == 1
        assert counts["{method=POST,route=other,status=403}"] == 1
        assert seen["makiba_serve_request_seconds_count{route=/sites/{site}/places}"] == 2
        assert seen["makiba_serve_request_seconds_sum{route=/sites/{site}/places}"] > 0
        assert not {value for _, value in seen.labels} & {SITE, OTHER, "hanako"}
        assert seen["makiba_serve_requests_under_way"] == 0


def test_serve_counts_open_streams_and_their_end(centre: tuple[Centre, int]) -> None:
    made, port = centre
    with made.signed_in() as browser:
        assert page(port)["makiba_serve_open_streams"] == 0
        with Listener(browser):
            assert page(port)["makiba_serve_open_streams"] == 1
            assert page(port)["makiba_serve_requests_under_way"] == 0


@pytest.mark.parametrize("command", ["watch", "serve"])
def test_a_port_that_is_taken_is_said_and_nothing_starts(tmp_path: Path, command: str) -> None:
    folder = tmp_path / "pki"
    folder.mkdir()
    for name in ("ca.pem", "analytics.pem", "analytics.key"):
        (folder / name).touch()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        env = {
            "MAKIBA_HOME": str(tmp_path),
            "MAKIBA_METRICS_PORT": str(port),
            "MAKIBA_HTTP_PORT": str(free_port()),
        }
        with makiba(command, log=tmp_path / "log", env=env) as service:
            assert service.wait() == 2
            assert f"MAKIBA_METRICS_PORT: cannot listen on 127.0.0.1:{port}" in service.log()
    assert not (tmp_path / "store.db").exists()
