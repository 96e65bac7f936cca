"""Driving a judge over what is already there decides what asking it five times a second would have."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import pytest

from analytics.decision import Decision
from analytics.judge import Judge
from analytics.replay import alerts_of, replay
from analytics.rules import FarmRules
from makiba.reading import Reading, Series
from tests.unit.test_rule_on_a_farm import FARM, MIN, SITE, T0, H, S, rules

TICK = 200
OVERRIDES = {
    "tank.hold": {"for": "40s", "clear_for": "20s"},
    "air.nh3": {"for": "90s", "clear_for": "30s"},
    "heat.stress": {"for": "60s", "clear_for": "30s"},
    "device.silent": {"for": "20s"},
}


def judge() -> Judge:
    return Judge(FARM, FarmRules(rules(), OVERRIDES))


def asked_all_the_time(judge: Judge, readings: Sequence[Reading], until_ms: int) -> Iterator[Decision]:
    """The plain way: as a worker does, every 200 ms."""
    place, now_ms = 0, readings[0].time_ms // TICK * TICK
    while now_ms <= until_ms:
        come = place
        while come < len(readings) and readings[come].time_ms <= now_ms:
            come += 1
        if come > place:
            judge.feed(readings[place:come])
            place = come
        for decision in judge.tick(now_ms):
            judge.confirm(decision)
            yield decision
        now_ms += TICK


def a_bad_day(seed: int, lasts: int) -> list[Reading]:
    """Polls with jitter; values that walk over the limits; devices and gateways that go away and come back."""
    chance = random.Random(seed)
    found = [Reading(Series(SITE, "gw-1", "state"), T0, "online")]
    walks = {
        ("tank-1", "milk_temperature"): (4.0, 0.6), ("climate", "air_temperature"): (22.0, 1.0),
        ("climate", "relative_humidity"): (70.0, 4.0), ("nh3", "ammonia"): (18e-6, 3e-6),
        ("fan-1", "current"): (1.0, 0.3),
    }  # fmt: skip
    for (subject, quantity), (value, step) in walks.items():
        time_ms, away_ms = T0 + chance.randrange(10_000), 0
        middle = value
        while time_ms < T0 + lasts:
            time_ms += 10_000 + chance.randrange(-900, 900)
            value += chance.gauss(0, step) + 0.05 * (middle - value)
            if away_ms < time_ms and chance.random() < 0.006:
                away_ms = time_ms + chance.randrange(20_000, 400_000)
                if chance.random() < 0.5:
                    found.append(Reading(Series(SITE, subject, "state"), time_ms, "timeout"))
            if time_ms >= away_ms:
                found.append(Reading(Series(SITE, subject, quantity), time_ms, abs(value)))
                if chance.random() < 0.05:
                    found.append(Reading(Series(SITE, subject, "state"), time_ms, "ok"))
    for time_ms in range(T0 + 18 * MIN, T0 + lasts, 25 * MIN):
        found += [
            Reading(Series(SITE, "gw-1", "state"), time_ms + 1, "offline"),
            Reading(Series(SITE, "gw-1", "state"), time_ms + chance.randrange(5, 300) * S, "online"),
        ]
    return sorted(found, key=lambda r: r.time_ms)


@pytest.mark.parametrize(
    ("seed", "lasts"),
    [(1, 25 * MIN), *(pytest.param(seed, 3 * H, marks=pytest.mark.long) for seed in range(2, 8))],
)
def test_the_decisions_are_those_of_asking_every_200_ms(seed: int, lasts: int) -> None:
    readings, until_ms = a_bad_day(seed, lasts), T0 + lasts + 8 * MIN
    plain = list(asked_all_the_time(judge(), readings, until_ms))
    assert list(replay(judge(), readings, TICK, until_ms)) == plain
    assert {d.kind for d in plain} >= {"open", "seen", "end"}
    assert len({d.rule for d in plain}) >= 3


def test_the_clock_goes_on_after_the_last_reading_only_as_far_as_it_is_told_to() -> None:
    warm = [Reading(Series(SITE, "tank-1", "milk_temperature"), T0 + at * S, 7.0) for at in range(0, 31, 10)]
    assert list(replay(judge(), warm, TICK)) == []
    assert [d.kind for d in replay(judge(), warm, TICK, T0 + 39 * S)] == []
    raised = list(replay(judge(), warm, TICK, T0 + 40 * S))
    assert [(d.kind, d.rule, d.onset_ms, d.at_ms) for d in raised] == [("open", "tank.hold", T0, T0 + 40 * S)]


def test_a_coarser_clock_tells_the_same_problems_a_little_later() -> None:
    values = [4.0] * 12 + [7.0] * 40 + [4.0] * 20 + [6.0] * 30 + [4.0] * 10
    tank = Series(SITE, "tank-1", "milk_temperature")
    readings = [Reading(tank, T0 + i * 10_000 + 137 * (i % 7), value) for i, value in enumerate(values)]
    fine, coarse = (
        [o for o in alerts_of(replay(judge(), readings, tick_ms)) if o.rule == "tank.hold"]
        for tick_ms in (TICK, 5000)
    )
    assert len(fine) == 2
    assert [(o.key, o.onset_ms, o.ended_ms) for o in fine] == [(o.key, o.onset_ms, o.ended_ms) for o in coarse]
    assert all(0 <= c.raised_ms - f.raised_ms < 5000 for f, c in zip(fine, coarse, strict=True))


def test_an_outcome_is_a_problem_from_its_onset_to_its_end() -> None:
    def said(kind: str, at: int, severity: str = "warning", rule: str = "r") -> Decision:
        return Decision(kind, SITE, rule, "tank-1", 10, at, severity)  # type: ignore[arg-type]

    told = [
        said("open", 12), said("open", 13, rule="other"), said("seen", 20), said("worsen", 30, "critical"),
        said("end", 40, "info"), said("open", 50), said("end", 55, rule="never"),
    ]  # fmt: skip
    assert [(o.rule, o.onset_ms, o.raised_ms, o.ended_ms, o.severity) for o in alerts_of(told)] == [
        ("r", 10, 12, 40, "critical"),
        ("other", 10, 13, None, "warning"),
        ("r", 10, 50, None, "warning"),
    ]


def test_facts_are_told_at_the_beginning_and_every_ten_minutes() -> None:
    class Told(Judge):
        def tell(self, facts: object) -> None:
            told.append(facts)

    told: list[object] = []
    one = Reading(Series(SITE, "tank-1", "milk_temperature"), T0, 4.0)
    list(replay(Told(FARM, FarmRules(rules())), [one], 1000, T0 + 25 * MIN, facts=lambda at_ms: (at_ms - T0) // MIN))
    assert told == [0, 10, 20]
