"""The quick judge, which passes over what changes nothing, and the plain one, which looks at all: the same decisions.

Random readings with gaps, faults, late ones and equal times; states; ticks; facts; people at work; restarts;
decisions that are not confirmed, or that the book knows otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.derived import FORMULAS, derive
from analytics.farm import Farm, FarmDevice, Placed
from analytics.judge import Judge
from analytics.rules import FarmRules
from collectors.registry.maintenance_times import Farm as Whereabouts
from collectors.registry.maintenance_times import Window
from makiba.reading import Reading, Series, Value
from makiba.rule import Rule, load_rules
from makiba.settings import configs_dir

SITE = "farm"
T0 = 1_700_000_000_000
S = 1000
TEXT = {"ja": "x", "en": "x"}


def rule(name: str, **parts: Any) -> Rule:
    given = {
        "rule": name, "about": "subject", "title": TEXT, "severity": "warning", "message": TEXT, "action": TEXT,
        "source": "x", "trust": "proposed", "stale_after": "3min", **parts,
    }  # fmt: skip
    return Rule.model_validate(given)


AIR = {"signal": "air", "above": "hot"}
RULES = {
    **load_rules(configs_dir() / "rules"),
    "x.excused": rule(
        "x.excused",
        signals={"t": {"quantity": "milk_temperature"}},
        numbers={n: {"value": v, "unit": "Cel"} for n, v in (("high", 7), ("low", 5), ("wash", 40))},
        **{"raise": {"when": [{"signal": "t", "above": "high"}], "for": "20s"}},
        clear={"when": [{"signal": "t", "below": "low"}], "for": "20s"},
        excused={
            "after": [{"signal": "t", "above": "wash"}],
            "until": [{"signal": "t", "below": "low"}],
            "at_most": "5min",
        },
    ),
    "x.difference": rule(
        "x.difference",
        signals={
            "air": {"quantity": "air_temperature"}, "milk": {"quantity": "water_temperature"},
            "more": {"difference": ["air", "milk"]},
        },
        numbers={"hot": {"value": 10, "unit": "Cel"}},
        **{
            "raise": {
                "when": [{"signal": "more", "above": "hot"}],
                "or": [[{"signal": "air", "above": "hot"}, {"signal": "milk", "above": "hot"}]],
                "for": "20s",
            }
        },
        clear={"when": [{"signal": "more", "below": "hot"}]},
    ),
    "x.mean": rule(
        "x.mean",
        role="fan",
        explained_by=["x.excused"],
        signals={
            "air": {"quantity": "air_temperature", "of": "place"},
            "fast": {"quantity": "current"},
            "cows": {"setting": "cows", "optional": True},
        },
        numbers={"hot": {"value": 20, "unit": "Cel"}, "some": {"value": 0.5, "unit": "A"}, "many": {"value": 50}},
        **{"raise": {"when": [AIR, {"signal": "cows", "above": "many"}], "for": "10s"}},
        clear={"when": [{"signal": "air", "below": "hot"}], "for": "30s"},
        worse=[{"severity": "critical", "when": [{"signal": "fast", "below": "some"}], "for": "30s"}],
    ),
    **{
        f"x.window.{read}.{way}": rule(
            f"x.window.{read}.{way}",
            signals={"air": {"quantity": "air_temperature", "window": "2min", "as": read}},
            numbers={"hot": {"value": 20, "unit": "Cel"}},
            **{"raise": {"when": [{"signal": "air", way: "hot"}], "for": "10s"}},
            clear={"when": [{"signal": "air", "below" if way == "above" else "above": "hot"}], "for": "30s"},
        )
        for read in ("mean", "min", "max")
        for way in ("above", "below")
    },
    "x.stuck": rule(
        "x.stuck",
        signals={
            "high": {"quantity": "air_temperature", "window": "3min", "as": "max"},
            "low": {"quantity": "air_temperature", "window": "3min", "as": "min"},
            "range": {"difference": ["high", "low"]},
        },
        numbers={"still": {"value": 0.05, "unit": "Cel"}, "moves": {"value": 4, "unit": "Cel"}},
        **{"raise": {"when": [{"signal": "range", "below": "still"}], "for": "20s"}},
        clear={"when": [{"signal": "range", "above": "moves"}]},
    ),
    "x.seasonal": rule(
        "x.seasonal",
        season={"from": "11-15", "to": "11-15"},
        hours={"from": "07:14", "to": "07:16"},
        signals={"air": {"quantity": "air_temperature"}},
        numbers={"hot": {"value": 20, "unit": "Cel"}},
        **{"raise": {"when": [AIR], "for": "10s"}},
        clear={"when": [{"signal": "air", "below": "hot"}]},
    ),
}  # fmt: skip
DEVICES = {
    name: FarmDevice(name, gateway, f"{gateway}.{bus}", every_ms, (name,))
    for name, gateway, bus, every_ms in (
        ("tank-1", "gw-1", "milk", 10 * S),
        ("fan-1", "gw-1", "barn", 10 * S),
        ("air-1", "gw-1", "barn", 20 * S),
        ("air-2", "gw-2", "barn", 20 * S),
        ("bowl-1", "gw-2", "barn", 60 * S),
    )
}
PLACED = {
    "tank-1": Placed("tank-room", "tank-room"),
    "fan-1": Placed("barn-1", "barn", "fan"),
    "air-1": Placed("barn-1", "barn"),
    "air-2": Placed("barn-1", "barn"),
    "bowl-1": Placed("barn-1", "barn"),
}
FARM = Farm(SITE, frozenset({"gw-1", "gw-2"}), DEVICES, PLACED)
VALUES: Mapping[tuple[str, str], tuple[Value, ...]] = {
    ("tank-1", "milk_temperature"): (4.0, 4.1, 5.0, 6.9, 7.0, 7.5, 45.0),
    ("fan-1", "current"): (2.0, 2.1, 0.1, 0.5, 0.6, 1.0),
    ("air-1", "air_temperature"): (14.0, 15.0, 19.9, 20.0, 24.0, 31.0),
    ("air-2", "air_temperature"): (14.0, 15.1, 20.1, 24.0, 31.0),
    ("air-1", "relative_humidity"): (40.0, 60.0, 90.0),
    ("air-1", "water_temperature"): (5.0, 12.0, 20.0),
    ("bowl-1", "water_temperature"): (0.4, 1.9, 2.5, 3.1, 8.0),
    ("air-1", "ammonia"): (1e-6, 1.9e-5, 2.1e-5, 4e-5),
    ("bowl-1", "hydrogen_sulfide"): (0.0, 5e-6, 1.2e-5),
    **{(name, "state"): ("ok", "ok", "timeout", "sentinel") for name in DEVICES},
    ("gw-1", "state"): ("online", "offline"),
    ("gw-1.barn", "state"): ("ok", "down"),
}
NAMES = list(VALUES)


@dataclass(frozen=True)
class Told:
    values: Mapping[tuple[str, str | None], Value]
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Both:
    """A plain and a quick judge of the same farm, and what both have said."""

    now: int = T0
    told: Told = field(default_factory=lambda: Told({("cows", None): 60.0}))
    windows: tuple[Window, ...] = ()
    judges: list[Judge] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.begin(None)

    def begin(self, memory: dict[str, Any] | None) -> None:
        self.judges = [Judge(FARM, FarmRules(RULES), quick=quick) for quick in (False, True)]
        for judge in self.judges:
            if memory is not None:
                judge.recall(memory)
            judge.tell(self.told)
            judge.work(self.windows, Whereabouts())

    def feed(self, readings: list[Reading]) -> None:
        for judge in self.judges:
            judge.feed(readings)

    def tick(self, trust: bool) -> None:
        plain, quick = self.judges
        said = plain.tick(self.now)
        asked = quick.next_due_ms() <= self.now
        assert asked or not said, said
        assert (quick.tick(self.now) if asked else []) == said
        if trust:
            for decision in said:
                for judge in self.judges:
                    judge.confirm(decision)

    def compare(self) -> dict[str, Any]:
        for judge in self.judges:
            judge.tick(self.now)
        plain, quick = (judge.memory() for judge in self.judges)
        assert [w for w in quick["watches"] if w not in plain["watches"]] == []
        assert plain == quick
        return quick


NUMBER = st.integers(0, 6)
STEPS = st.lists(
    st.one_of(
        # Every device sends at its pace for a while, each with the value of this number.
        st.tuples(st.just("run"), st.integers(1, 30), st.lists(NUMBER, min_size=len(NAMES), max_size=len(NAMES))),
        st.tuples(st.just("say"), st.sampled_from(range(len(NAMES))), NUMBER),
        st.tuples(st.just("late"), st.sampled_from(range(len(NAMES))), st.integers(1, 60)),
        st.tuples(st.just("without"), st.sampled_from(list(DEVICES)), st.integers(1, 60)),
        st.tuples(st.just("silence"), st.integers(1, 60), st.none()),
        st.tuples(st.just("doubt"), st.none(), st.none()),
        st.tuples(st.just("tell"), st.sampled_from([40.0, 60.0, None]), st.none()),
        st.tuples(st.just("work"), st.sampled_from(["fan-1", "air-1", "tank-1"]), st.integers(1, 30)),
        st.tuples(st.just("book"), st.none(), st.none()),
        st.tuples(st.just("restart"), st.none(), st.none()),
    ),
    min_size=2,
    max_size=25,
)  # fmt: skip


def due(values: Mapping[tuple[str, str], Value], now: int, without: str = "") -> Iterator[Reading]:
    for (subject, quantity), value in values.items():
        every = DEVICES[subject].every_ms if subject in DEVICES else 60 * S
        if (now - T0) % every == 0 and subject != without:
            yield Reading(Series(SITE, subject, quantity), now, value)


def run(steps: list[tuple[str, Any, Any]], tick_ms: int) -> None:
    both = Both()
    values = {name: choices[0] for name, choices in VALUES.items()}
    trust = True

    def pass_time(ticks: int, without: str | None = "") -> None:
        for _ in range(ticks):
            for _ in range(10 * S // tick_ms):
                both.now += tick_ms
                if without is not None and (both.now - T0) % (10 * S) == 0:
                    both.feed(list(due(values, both.now, without)))
                both.tick(trust)

    pass_time(3)
    for what, one, other in steps:
        if what == "run":
            values = {n: VALUES[n][k % len(VALUES[n])] for n, k in zip(NAMES, other, strict=True)}
            pass_time(one)
        elif what == "say":
            name = NAMES[one]
            both.feed([Reading(Series(SITE, *name), both.now + 1, VALUES[name][other % len(VALUES[name])])])
            pass_time(1, None)
        elif what == "late":
            both.feed([Reading(Series(SITE, *NAMES[one]), both.now - other * S, VALUES[NAMES[one]][-1])])
        elif what == "without":
            pass_time(other, one)
        elif what == "silence":
            pass_time(one, None)
        elif what == "doubt":
            trust = not trust
        elif what == "tell":
            both.told = Told({} if one is None else {("cows", None): one})
            for judge in both.judges:
                judge.tell(both.told)
        elif what == "work":
            both.windows = (Window("w", frozenset({("subject", one)}), both.now, both.now + other * 10 * S),)
            for judge in both.judges:
                judge.work(both.windows, Whereabouts())
        elif what == "book":
            for judge in both.judges:
                judge.forget_unless(set())
                judge.adopt("tank.hold", "tank-1", both.now - 60 * S, "critical")
        else:
            both.begin(both.compare())
        both.tick(trust)
    pass_time(6)
    both.compare()


@settings(max_examples=25, deadline=None)
@given(STEPS)
def test_both_judges_say_the_same(steps: list[tuple[str, Any, Any]]) -> None:
    run(steps, 10 * S)


@pytest.mark.long
@pytest.mark.timeout(900)
@settings(max_examples=400, deadline=None)
@given(STEPS, st.sampled_from([S, 5 * S, 10 * S]))
def test_both_judges_say_the_same_long(steps: list[tuple[str, Any, Any]], tick_ms: int) -> None:
    run(steps, tick_ms)


ARGUMENTS = {"rh": (0.0, 100.0), "air": (-30.0, 45.0), "wind": (0.0, 40.0)}


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(FORMULAS)), st.data())
def test_a_derivation_is_greatest_and_smallest_in_corners(name: str, data: st.DataObject) -> None:
    """What the bands of a derived signal stand on."""
    second = "wind" if name == "wind_chill" else "rh"
    sides = []
    for argument in ("air", second):
        low, high = ARGUMENTS[argument]
        middle = data.draw(st.floats(low, high))
        sides.append((max(low, middle - 2.0), min(high, middle + 2.0)))
    inside = tuple(data.draw(st.floats(*side)) for side in sides)
    corners = [derive(name, (a, b)) for a in sides[0] for b in sides[1]]
    value = derive(name, inside)
    if any(math.isnan(number) for number in (value, *corners)):
        return  # such a box is not taken, and what is no number raises nothing
    assert min(corners) - 1e-9 * abs(value) - 1e-9 <= value <= max(corners) + 1e-9 * abs(value) + 1e-9
