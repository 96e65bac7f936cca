"""How often somebody may try to sign in: counted in the database, by all processes together."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from api.attempts import Attempts
from collectors.registry import Registry, open_registry
from collectors.registry.attempts import FORGET_AFTER_MS, FREE_FAILURES, LONGEST_WAIT_MS
from tests.service.serving import PASSWORD, WRITE, Centre

T = 1_700_000_000_000
Opened = Callable[[], Registry]


@pytest.fixture(params=["sqlite", "postgres"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    """Opens the same registry anew, as another process does."""
    url = f"sqlite:{tmp_path}/r.db"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres").ready(f"r{secrets.token_hex(6)}")
    registries: list[Registry] = []

    def another() -> Registry:
        registries.append(open_registry(url, migrate=True))
        return registries[-1]

    yield another
    for registry in registries:
        registry.close()


def test_the_first_failures_are_free_and_then_each_costs_more(opened: Opened) -> None:
    registry = opened()
    tries, now_ms, waits = Attempts(registry), T, []
    for _ in range(FREE_FAILURES + 4):
        wait = tries.begin("k", now_ms)
        waits.append(wait)
        if wait:
            assert tries.begin("k", now_ms + wait - 1) == 1  # trying early neither helps nor costs
            now_ms += wait
            assert tries.begin("k", now_ms) == 0
    assert waits[:FREE_FAILURES] == [0] * FREE_FAILURES
    assert waits[FREE_FAILURES:] == [2_000, 4_000, 8_000, 16_000]


def test_the_wait_has_an_end_and_success_or_time_forgets(opened: Opened) -> None:
    tries, now_ms = Attempts(opened()), T
    for _ in range(20):
        now_ms += tries.begin("k", now_ms)
        tries.begin("k", now_ms)
    assert tries.begin("k", now_ms) == LONGEST_WAIT_MS
    assert tries.begin("other", now_ms) == 0
    assert tries.begin("k", now_ms + FORGET_AFTER_MS) == 0
    tries.succeeded("k")
    assert [tries.begin("k", now_ms) for _ in range(FREE_FAILURES)] == [0] * FREE_FAILURES


def test_a_restart_and_other_processes_do_not_multiply_them(opened: Opened) -> None:
    for _ in range(FREE_FAILURES):
        assert Attempts(opened()).begin("k", T) == 0
    assert Attempts(opened()).begin("k", T) > 0


def test_of_many_at_the_same_moment_only_the_free_ones_go_through(opened: Opened) -> None:
    processes = [Attempts(opened()) for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        waits = list(pool.map(lambda n: processes[n % 4].begin("k", T), range(40)))
    assert waits.count(0) == FREE_FAILURES


def test_signing_in_waits_after_a_restart_too(tmp_path: Path) -> None:
    centre = Centre(tmp_path)
    centre.person()
    wrong, right = {"login": "hanako", "password": "wrong"}, {"login": "hanako", "password": PASSWORD}
    with centre.serving() as browser:
        for _ in range(FREE_FAILURES):
            assert browser.post("/api/v1/session", json=wrong, headers=WRITE).status_code == 401
    with centre.serving() as browser:
        refused = browser.post("/api/v1/session", json=right, headers=WRITE)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "2")
        centre.clock.ms += 2_000
        assert browser.post("/api/v1/session", json=right, headers=WRITE).status_code == 204
