"""A judge with windows, sums and days that is killed at any reading says what one says that was never killed.

It goes on from its memory, or without one from the store; late readings change neither.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics.farm import Farm, FarmDevice, Placed
from analytics.holes import fill
from analytics.judge import Judge
from analytics.rules import FarmRules
from collectors.store import open_store
from makiba.reading import Reading, Series
from makiba.rule import load_rules

SITE, T0, MIN, DAY = "farm", 1_783_000_000_000, 60_000, 86_400_000
FARM = Farm(
    SITE,
    frozenset({"gw-1"}),
    {"t": FarmDevice("t", "gw-1", "gw-1.b", MIN, ("t",))},
    {"t": Placed("room", "tank-room")},
)
RULE = """\
rule: try.all
about: subject
title: {ja: 試し, en: A try}
severity: advisory
signals:
  now: {quantity: milk_temperature}
  mean: {quantity: milk_temperature, window: 20min, as: mean}
  low: {quantity: milk_temperature, window: 20min, as: min}
  rise: {quantity: milk_temperature, window: 1h, as: rise_per_hour}
  warm: {quantity: milk_temperature, sum_above: four, window: 1h}
  day: {quantity: milk_temperature, sum_above: four, since: day}
  week: {quantity: milk_temperature, window: 2d, as: max}
  off: {difference: [now, mean]}
  share: {ratio: [low, mean]}
numbers: {four: {value: 4, unit: Cel}}
raise: {when: [{signal: mean, above: four}]}
clear: {when: [{signal: mean, below: four}]}
message: {ja: "{low} {rise} {warm} {day} {week} {off} {share}", en: "farm"}
action: {ja: 見てください。, en: Look.}
source: a test
trust: proposed
"""


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> FarmRules:
    folder = tmp_path_factory.mktemp("rules")
    (folder / "a.yaml").write_text(RULE, encoding="utf-8")
    return FarmRules(load_rules(folder))


READINGS = st.lists(
    st.tuples(st.sampled_from([MIN, MIN, MIN, 3 * MIN, 6 * MIN, 50 * MIN]), st.floats(0, 9)), min_size=3, max_size=50
)
SERIES = Series(SITE, "t", "milk_temperature")


def said(judge: Judge, now: int) -> dict[str, Any]:
    (pair,) = judge._pairs.values()
    return dict(judge._known.values(pair, now))


def alike(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(
        a[k] is b[k] if a[k] is None or b[k] is None else a[k] == pytest.approx(b[k], rel=1e-6, abs=1e-5) for k in a
    )


@given(steps=READINGS, kill=st.integers(0, 49), late=st.integers(0, 49))
def test_from_its_memory(rules: FarmRules, steps: list[tuple[int, float]], kill: int, late: int) -> None:
    whole, killed, now = Judge(FARM, rules), Judge(FARM, rules), T0
    for n, (step, value) in enumerate(steps):
        now += step
        for judge in (whole, killed):
            judge.feed([Reading(SERIES, now, value)])
        if n == late:
            killed.feed([Reading(SERIES, now - 30_000, 99.0)])
        if n == kill:
            kept = json.loads(json.dumps(killed.memory()))
            killed = Judge(FARM, rules)
            killed.recall(kept)
        assert alike(said(whole, now), said(killed, now)), (said(whole, now), said(killed, now))
        assert [d.kind for d in whole.tick(now)] == [d.kind for d in killed.tick(now)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=10)
@given(steps=READINGS)
def test_from_the_store_where_the_memory_is_lost(
    rules: FarmRules, tmp_path: Path, steps: list[tuple[int, float]]
) -> None:
    whole, now = Judge(FARM, rules), T0
    store = open_store(f"sqlite:{tmp_path}/{len(list(tmp_path.iterdir()))}.db")
    try:
        readings = []
        for step, value in steps:
            now += step
            readings.append(Reading(SERIES, now, value))
        store.write(readings)
        for reading in readings:
            whole.feed([reading])
        fresh = Judge(FARM, rules)
        fill(fresh, store, SITE, now)
        ours, theirs = said(whole, now), said(fresh, now)
        for name in ("now", "mean", "low", "rise", "warm", "day", "off", "share"):
            assert alike({name: ours[name]}, {name: theirs[name]}), name
        assert fresh.fill_history(store, now) == 0
    finally:
        store.close()
