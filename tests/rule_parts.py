"""A bench for rules: one situation after the other on a small farm, judged by the real judge in event time.

A `Case` tells of one rule what is well, what is wrong, what is worse and what ends it. `check` plays it; `silly` is
all that may not wake anybody: the named situations of `silent`, and for every rule those that need no words (one
wrong reading, a sensor that says it is broken, values that do not come any more, the wrong season, the wrong hour).

In a situation `milk_temperature` is what the rule's subject measures, `fan.current` another subject in its place,
`mast.air_temperature` outdoors; `@milking` a context, `!calves` a fact or forecast, `$cows` a setting. A value may be
a function of the seconds since the situation began. A context is `on`, `off` (never seen on), seconds since it ended,
or (state, {number: value, "missing_for": s}).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from analytics.decision import Decision
from analytics.farm import Farm, FarmDevice, Placed
from analytics.judge import Judge
from analytics.rules import FarmRules
from analytics.signals.contexts import ContextState
from makiba.located_yaml import parse_duration, spell_duration
from makiba.reading import Reading, Series, Value
from makiba.rule import Rule, load_rules
from makiba.season import Gate
from makiba.settings import configs_dir

SITE, IT, HERE, ZONE = "farm", "it", "here", ZoneInfo("Asia/Tokyo")
Situation = Mapping[str, Any]


@cache
def rules() -> dict[str, Rule]:
    return load_rules(configs_dir() / "rules")


@dataclass(frozen=True)
class Case:
    """What must happen to one rule. `at` and `over` are counted from the change, give or take two polls.

    `over="<6h"`: within six hours, where a window makes the time depend on all that was before.

    `worse`: (what changes, after how long it is of a severity, that severity). `warm`: how long all is well before.
    """

    rule: str
    well: Situation
    wrong: Situation
    at: str
    good: Situation
    over: str
    severity: str = ""
    when: str = "07-15 10:00"
    warm: str = "30min"
    every: str = "1min"
    kind: str = "barn"
    role: str = ""
    roles: Mapping[str, str] = field(default_factory=dict)
    worse: tuple[tuple[Situation, str, str], ...] = ()
    also: tuple[tuple[Situation, str], ...] = ()
    silent: Mapping[str, Situation] = field(default_factory=dict)
    spike: bool = True
    fault: bool = True
    numbers: Mapping[str, Any] = field(default_factory=dict)
    """The farm's own numbers, where the rule says nothing without them."""

    def __post_init__(self) -> None:
        if self.at == "for":  # as long as the rule says
            object.__setattr__(self, "at", spell_duration(rules()[self.rule].raise_.for_))


class Told:
    """Facts and settings, as `Judge.tell` takes them."""

    def __init__(self, values: Mapping[tuple[str, str | None], Value]) -> None:
        self.values = values
        self.settings: Mapping[str, Any] = {}


class Script:
    """Contexts that are as a situation says."""

    def __init__(self) -> None:
        self.states: dict[str, ContextState] = {}
        self.known: set[str] = set()

    def configure(self, farm: Farm, settings: Mapping[str, Any] | None) -> None: ...

    def knows(self, name: str, place: str | None) -> bool:
        return name in self.known

    def inputs(self, name: str, place: str | None) -> frozenset[Series]:
        return frozenset()

    def take(self, reading: Reading) -> None: ...

    def state(self, name: str, place: str | None, at_ms: int) -> ContextState | None:
        return self.states.get(name)

    def upkeep(self, windows: Any) -> None: ...

    def learn(self, series: Iterable[Series]) -> None: ...

    def memory(self) -> dict[str, Any]:
        return {}

    def recall(self, memory: Mapping[str, Any]) -> None: ...

    def say(self, name: str, given: Any, now_ms: int) -> None:
        found = dict(given[1]) if isinstance(given, tuple) else {}
        state = given[0] if isinstance(given, tuple) else given
        late_s = found.pop("missing_for", None)
        missing_ms = None if late_s is None else now_ms - round(late_s * 1000)
        if isinstance(state, int | float):
            ended_ms = now_ms - round(state * 1000)
            self.states[name] = ContextState(False, ended_ms, ended_ms, found, missing_ms)
        else:
            was = self.states.get(name)
            ended = now_ms if was and was.is_on and state == "off" else was.ended_ms if was else None
            since = was.since_ms if was and was.is_on == (state == "on") else now_ms
            self.states[name] = ContextState(state == "on", since, ended, found, missing_ms)


def seconds(text: str) -> float:
    return parse_duration(text).total_seconds()


class Bench:
    """One farm with one rule (and those that explain it) under the real judge."""

    def __init__(
        self, case: Case, month_day: str | None = None, clock: str | None = None, *, own: bool = True
    ) -> None:
        rule = rules()[case.rule]
        self.rule, self.every_ms = rule, round(seconds(case.every) * 1000)
        self.script = Script()
        every: Collection[Situation] = (
            case.well,
            case.wrong,
            case.good,
            *case.silent.values(),
            *(w[0] for w in case.worse),
            *(a[0] for a in case.also),
        )
        names = {k for s in every for k in s}
        self.script.known = {k[1:] for k in names if k[0] == "@"}
        others = {k.partition(".")[0] for k in names if "." in k and k[0] not in "@!$"}
        devices = {s: FarmDevice(s, "gw", "gw.bus", self.every_ms, (s,)) for s in (IT, *others)}
        placed = {s: Placed(HERE, case.kind, case.roles.get(s, "")) for s in others if s != "mast"}
        placed |= {IT: Placed(HERE, case.kind, case.role), "mast": Placed("yard", "station", "outdoors")}
        self.farm = Farm(SITE, frozenset({"gw"}), devices, placed)
        numbers = {case.rule: case.numbers} if case.numbers and own else {}
        self.judge = Judge(self.farm, FarmRules({case.rule: rule}, numbers), self.script)
        day, time = case.when.split()
        start = datetime.fromisoformat(f"2026-{month_day or day}T{clock or time}").replace(tzinfo=ZONE)
        self.now_ms = round((start - timedelta(seconds=seconds(case.warm))).timestamp() * 1000)
        self.polled: dict[Series, Any] = {}
        self.facts: dict[tuple[str, str | None], Value] = {}
        self.log: list[tuple[int, Decision]] = []
        self.is_broken = self.is_silent = False

    def change(self, situation: Situation) -> None:
        for key, value in situation.items():
            if key[0] == "@":
                self.script.say(key[1:], value, self.now_ms)
            elif key[0] in "!$":
                self.facts[key[1:], None] = value
            else:
                subject, _, quantity = ("." + key).rpartition(".") if "." not in key else key.partition(".")
                self.polled[Series(SITE, subject.strip(".") or IT, quantity)] = value
        self.facts |= {(need, None): "said" for need in self.rule.needs if (need, None) not in self.facts}
        self.judge.tell(Told(dict(self.facts)))
        self.since_ms = self.now_ms

    def run(self, for_s: float) -> None:
        end_ms = self.now_ms + round(for_s * 1000)
        while self.now_ms < end_ms:
            self.now_ms = min(self.now_ms + self.every_ms, end_ms)
            at_s = (self.now_ms - self.since_ms) / 1000
            rows = [
                Reading(s, self.now_ms, v(at_s) if isinstance(v, Callable) else v)  # type: ignore[arg-type]
                for s, v in self.polled.items()
                if v is not None
            ]
            if self.is_broken:
                rows = [Reading(Series(SITE, s, "state"), self.now_ms, "sentinel") for s in self.farm.devices]
            if not self.is_silent:
                self.judge.feed(rows)
            for decision in self.judge.tick(self.now_ms):
                if decision.rule == self.rule.rule and decision.kind != "seen":
                    self.log.append((self.now_ms, decision))
                self.judge.confirm(decision)

    def happened(self, kind: str, since_ms: int = 0) -> list[tuple[int, Decision]]:
        return [(t, d) for t, d in self.log if d.kind == kind and t > since_ms]


def _outside(rule: Rule, play: Callable[[], Bench]) -> Callable[[], Bench]:
    """The same, with only what was raised outside the rule's hours: a long story lasts into them."""

    def played() -> Bench:
        bench = play()
        gate = Gate(None, rule.hours.window if rule.hours else None, str(ZONE))
        bench.log = [(t, d) for t, d in bench.log if not gate.in_hours(t)]
        return bench

    return played


SPARE: Final = 2.5
"""Polls by which a time may be later."""


def check(case: Case) -> None:
    """Plays the story of `case`: raised in time, of the right severity, worse in time, and over in time."""
    bench = Bench(case)
    bench.change(case.well)
    bench.run(seconds(case.warm))
    assert not bench.log, f"{case.rule}: raised although all is well: {bench.log[0][1]}"
    began_ms, spare_ms = bench.now_ms, round(SPARE * bench.every_ms)
    bench.change(case.wrong)
    bench.run(max(0.0, seconds(case.at) - bench.every_ms / 1000))
    assert not bench.log, f"{case.rule}: raised too early"
    bench.run(seconds("1s") + (SPARE + 1) * bench.every_ms / 1000)
    opened = bench.happened("open")
    assert len(opened) == 1, f"{case.rule}: not raised {case.at} after it began"
    assert opened[0][0] - began_ms <= seconds(case.at) * 1000 + spare_ms
    assert opened[0][1].severity == (case.severity or bench.rule.severity), case.rule
    for situation, after, severity in case.worse:
        since_ms = bench.now_ms
        bench.change(situation)
        bench.run(seconds(after) + (SPARE + 1) * bench.every_ms / 1000)
        worse = bench.happened("worsen", since_ms)
        assert [d.severity for _, d in worse] == [severity], f"{case.rule}: not {severity} after {after}: {worse}"
    assert not bench.happened("end"), f"{case.rule}: ended while it was there"
    since_ms = bench.now_ms
    bench.change(case.good)
    bench.run(max(0.0, seconds(case.over.lstrip("<")) - bench.every_ms / 1000))
    assert case.over[0] == "<" or not bench.happened("end", since_ms), f"{case.rule}: ended too early"
    bench.run((SPARE + 1) * bench.every_ms / 1000)
    assert bench.happened("end", since_ms), f"{case.rule}: not over {case.over} after it was well"


def check_also(case: Case, situation: Situation, at: str) -> None:
    """Another way in which it begins."""
    bench = Bench(case)
    bench.change(case.well)
    bench.run(seconds(case.warm))
    bench.change(situation)
    bench.run(seconds(at) + (SPARE + 1) * bench.every_ms / 1000)
    assert bench.happened("open"), f"{case.rule}: not raised by {situation}"


def quiet(case: Case, **how: Any) -> Bench:
    """A bench on which all has been well."""
    bench = Bench(case, **how)
    bench.change(case.well)
    bench.run(seconds(case.warm))
    return bench


def silly(case: Case) -> dict[str, Callable[[], Bench]]:
    """Every situation in which nobody may be woken, by what it is."""

    def of(situation: Situation, **how: Any) -> Callable[[], Bench]:
        def play() -> Bench:
            bench = quiet(case, **how)
            bench.change({**case.wrong, **situation})
            bench.run(2 * seconds(case.at) + 5 * bench.every_ms / 1000)
            return bench

        return play

    found = {what: of(situation) for what, situation in case.silent.items()}
    rule = rules()[case.rule]
    if rule.season is not None:
        last = datetime.fromisoformat(f"2026-{rule.season.to}")
        first = datetime.fromisoformat(f"2026-{rule.season.from_}")
        outside = ((first - last).days % 365) // 2
        found["wrong season"] = of({}, month_day=f"{last + timedelta(days=outside):%m-%d}")
    if rule.hours is not None:
        until = datetime.fromisoformat(f"2026-01-01T{rule.hours.to}")
        found["wrong hour"] = _outside(rule, of({}, clock=f"{until + timedelta(hours=0.5):%H:%M}"))
    if case.numbers:
        found["the farm set no number"] = of({}, own=False)
    measured = {k: v for k, v in case.wrong.items() if k[0] not in "@!$"}
    if case.spike and measured and seconds(case.at) > seconds(case.every):

        def spike() -> Bench:
            bench = quiet(case)
            bench.change(case.wrong)
            bench.run(bench.every_ms / 1000)
            bench.change(case.well)
            bench.run(2 * seconds(case.at) + 5 * bench.every_ms / 1000)
            return bench

        found["one wrong reading"] = spike
    if case.fault and measured:

        def fault(*, silent: bool) -> Bench:
            bench = quiet(case)
            bench.is_broken, bench.is_silent = not silent, silent
            bench.change(case.wrong)
            bench.run(2 * seconds(case.at) + 5 * bench.every_ms / 1000)
            return bench

        found["a broken sensor"] = lambda: fault(silent=False)
        found["a silent sensor"] = lambda: fault(silent=True)
    return found
