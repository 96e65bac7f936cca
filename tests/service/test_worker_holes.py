"""What the feed did not bring is read from the real store: in order, once, and no further back than it can matter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analytics.farm import Farm, FarmDevice, Placed
from analytics.holes import fill, with_holes
from analytics.judge import Judge
from analytics.rules import FarmRules
from collectors.store import Store, open_store
from makiba.reading import Reading, Series, Value
from makiba.rule import load_rules
from makiba.settings import configs_dir

SITE = "farm"
T0 = 1_700_000_000_000
S, MIN, H = 1_000, 60_000, 3_600_000
TANK = Series(SITE, "tank-1", "milk_temperature")
GATEWAY = Series(SITE, "gw-1", "state")
FARM = Farm(
    SITE,
    frozenset({"gw-1"}),
    {"tank-1": FarmDevice("tank-1", "gw-1", "gw-1.milk", 10 * S, ("tank-1",))},
    {"tank-1": Placed("tank-room", "tank-room")},
)
EVERY = {"tank-1": 10 * S}
RULES = load_rules(configs_dir() / "rules")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = open_store(f"sqlite:{tmp_path / 'store.db'}")
    yield made
    made.close()


def judge() -> Judge:
    return Judge(FARM, FarmRules(RULES))


def milk(from_ms: int, to_ms: int, value: float) -> list[Reading]:
    return [Reading(TANK, time, value) for time in range(from_ms, to_ms, 10 * S)]


def opened(judged: Judge, now: int) -> list[tuple[str, int]]:
    return [(d.rule, d.onset_ms) for d in judged.tick(now) if d.kind == "open"]


def test_packs_that_were_lost_are_read_from_the_store_before_the_next_one(store: Store) -> None:
    judged = judge()
    judged.feed(milk(T0, T0 + MIN, 4.0))
    store.write(milk(T0, T0 + 20 * MIN, 7.0))
    pack = milk(T0 + 20 * MIN, T0 + 20 * MIN + S, 7.0)
    judged.feed(with_holes(judged, store, pack, EVERY))
    assert opened(judged, T0 + 20 * MIN + S) == [("tank.hold", T0 + MIN)]


def test_a_pack_that_follows_the_one_before_asks_nothing_of_the_store() -> None:
    judged = judge()
    judged.feed(milk(T0, T0 + MIN, 4.0))
    nowhere: Any = None
    pack = milk(T0 + MIN, T0 + MIN + S, 4.0)
    assert with_holes(judged, nowhere, pack, EVERY) == pack


def test_a_series_that_is_new_here_is_read_as_far_back_as_its_rules_need(store: Store) -> None:
    judged = judge()
    judged.learn([TANK])
    store.write(milk(T0 - 30 * H, T0, 7.0))
    found = with_holes(judged, store, milk(T0, T0 + S, 7.0), EVERY)
    reach_ms = T0 - min(r.time_ms for r in found)
    assert 12 * H <= reach_ms <= 24 * H  # what excuses a washed tank; a sum since the last pick-up


def test_a_start_finds_what_is_still_true_and_its_onset(store: Store) -> None:
    store.write([*milk(T0, T0 + 10 * MIN, 4.0), *milk(T0 + 10 * MIN, T0 + 30 * MIN, 7.0)])
    judged = judge()
    fill(judged, store, SITE, T0 + 30 * MIN)
    assert opened(judged, T0 + 30 * MIN) == [("tank.hold", T0 + 10 * MIN)]


def test_a_state_that_was_said_once_long_ago_still_counts(store: Store) -> None:
    store.write([Reading(GATEWAY, T0 - 72 * H, "offline"), *milk(T0 - 73 * H, T0 - 72 * H, 4.0)])
    judged = judge()
    fill(judged, store, SITE, T0)
    assert opened(judged, T0) == [("gateway.silent", T0 - 72 * H)]


def test_an_alert_that_is_open_ends_when_its_problem_ended_hours_before_the_start(store: Store) -> None:
    store.write([*milk(T0, T0 + H, 7.0), *milk(T0 + H, T0 + 6 * H, 4.0)])
    judged = judge()
    judged.adopt("tank.hold", "tank-1", T0, "critical")
    fill(judged, store, SITE, T0 + 6 * H)
    ends = [(d.kind, d.at_ms) for d in judged.tick(T0 + 6 * H)]
    assert ends == [("end", T0 + H + 10 * MIN)]


def test_what_was_measured_before_its_onset_does_not_end_an_alert(store: Store) -> None:
    """A worker that was killed reads it once more, with the alert already in the book."""
    store.write([*milk(T0, T0 + 15 * MIN, 4.0), *milk(T0 + 15 * MIN, T0 + 40 * MIN, 7.0)])
    judged = judge()
    judged.adopt("tank.hold", "tank-1", T0 + 15 * MIN, "critical")
    fill(judged, store, SITE, T0 + 40 * MIN)
    assert [d.kind for d in judged.tick(T0 + 40 * MIN)] == ["seen"]


def test_the_book_is_right_where_a_memory_says_otherwise(store: Store) -> None:
    """Another worker ended the alert; what is still true is opened again."""
    store.write(milk(T0, T0 + 20 * MIN, 7.0))
    judged = judge()
    judged.adopt("tank.hold", "tank-1", T0, "critical")
    fill(judged, store, SITE, T0 + 20 * MIN)
    judged.forget_unless(set())
    assert opened(judged, T0 + 20 * MIN) == [("tank.hold", T0)]


def test_filling_again_changes_nothing(store: Store) -> None:
    values: list[Value] = [7.0] * 3
    store.write([Reading(TANK, T0 + i * 10 * S, v) for i, v in enumerate(values)])
    judged = judge()
    assert fill(judged, store, SITE, T0 + MIN) == 3
    before = judged.memory()
    assert fill(judged, store, SITE, T0 + MIN) == 0
    assert judged.memory() == before
