"""What holds a new problem back: people at work, a gateway that catches up. What is open stays, life goes on."""

from __future__ import annotations

from analytics.farm import Farm, FarmDevice, Placed
from analytics.judge import Judge
from analytics.rules import FarmRules
from collectors.registry.maintenance_times import Farm as Whereabouts
from collectors.registry.maintenance_times import Target, Window
from makiba.reading import Reading, Series
from makiba.rule import Rule
from tests.property.test_judge_quick import rule

SITE, T0, S = "farm", 1_700_000_000_000, 1000
WARM = {"raise": {"when": [{"signal": "t", "above": "limit"}], "for": "60s"}}
PARTS = {
    "signals": {"t": {"quantity": "water_temperature"}},
    "numbers": {"limit": {"value": 20, "unit": "Cel"}},
    "clear": {"when": [{"signal": "t", "below": "limit"}]},
}
RULES: dict[str, Rule] = {
    "x.warm": rule("x.warm", **PARTS, **WARM),
    "x.worst": rule("x.worst", **{**PARTS, "severity": "critical"}, **WARM),
}
FARM = Farm(
    SITE,
    frozenset({"gw-1"}),
    {"bowl-1": FarmDevice("bowl-1", "gw-1", "gw-1.barn", 10 * S, ("bowl-1",))},
    {"bowl-1": Placed("barn-1", "barn")},
)


class Bowl:
    """A bowl of a given temperature; every 10 s a reading and a look at the clock."""

    def __init__(self) -> None:
        self.judge = Judge(FARM, FarmRules(RULES))
        self.now = T0
        self.opened: dict[str, int] = {}
        self.ended: dict[str, int] = {}

    def run(self, seconds: int, celsius: float) -> None:
        for _ in range(seconds // 10):
            self.now += 10 * S
            self.judge.feed([Reading(Series(SITE, "bowl-1", "water_temperature"), self.now, celsius)])
            for decision in self.judge.tick(self.now) if self.judge.next_due_ms() <= self.now else ():
                found = {"open": self.opened, "end": self.ended}.get(decision.kind, {})
                found[decision.rule] = (self.now - T0) // S
                self.judge.confirm(decision)

    def work(self, target: Target, seconds: int) -> None:
        window = Window("w", frozenset({target}), self.now, self.now + seconds * S)
        self.judge.work([window], Whereabouts())


def test_while_somebody_works_nothing_is_raised_and_afterwards_what_has_lasted_since() -> None:
    bowl = Bowl()
    bowl.run(60, 10)
    bowl.work(("device", "bowl-1"), 300)
    bowl.run(290, 30)
    assert bowl.opened.keys() == {"x.worst"}  # critical: it tells all the same
    bowl.run(200, 30)
    assert bowl.opened["x.warm"] == 60 + 300 + 60


def test_work_that_is_ended_earlier_holds_back_no_longer() -> None:
    bowl = Bowl()
    bowl.run(60, 10)
    bowl.work(("site", SITE), 3000)
    bowl.run(120, 30)
    bowl.judge.work([Window("w", frozenset({("site", SITE)}), T0 + 60 * S, bowl.now)], Whereabouts())
    bowl.run(120, 30)
    assert bowl.opened["x.warm"] == 180 + 60


def test_what_is_open_stays_and_ends_as_ever_and_work_elsewhere_matters_nothing() -> None:
    bowl = Bowl()
    bowl.work(("subject", "bowl-2"), 3000)
    bowl.run(120, 30)
    assert bowl.opened == {"x.warm": 70, "x.worst": 70}
    bowl.work(("subject", "bowl-1"), 3000)
    bowl.run(60, 30)
    assert bowl.ended == {}
    bowl.run(20, 10)
    assert bowl.ended == {"x.warm": 190, "x.worst": 190}


def test_nothing_is_raised_on_what_a_gateway_kept_and_what_still_is_true_is_afterwards() -> None:
    bowl = Bowl()
    bowl.judge.catch_up(frozenset({"gw-1"}))
    bowl.run(300, 30)
    assert bowl.opened == {}
    bowl.judge.catch_up(frozenset())
    bowl.run(10, 30)
    assert bowl.opened == {"x.warm": 310, "x.worst": 310}
