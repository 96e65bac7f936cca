"""A rule's file: what is accepted, and where what is not is said to be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from makiba.located_yaml import ConfigErrors
from makiba.rule import OverrideError, Rule, check_overrides, load_rules, tuned
from makiba.settings import configs_dir

GOOD = """\
rule: tank.hold
about: subject
title: {ja: 乳温が 高いです, en: Milk is warm}
severity: critical
signals:
  t: {quantity: milk_temperature}
numbers:
  limit: {value: 5.0, unit: Cel}
  clear: {value: 4.5, unit: Cel}
raise:
  when: [{signal: t, above: limit}]
  for: 15min
clear:
  when: [{signal: t, below: clear}]
  for: 10min
stale_after: 5min
message: {ja: "{place}の {subject} {t}。", en: "{subject} in {place}: {t}."}
action: {ja: 冷却機を 見てください。, en: Check the cooler.}
source: a test
trust: proposed
"""


def problems_of(folder: Path, **files: str) -> list[str]:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigErrors) as caught:
        load_rules(folder)
    return [str(p).removeprefix(f"{folder}/") for p in caught.value.problems]


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


def test_the_rules_that_come_with_makiba_load() -> None:
    rules = load_rules(configs_dir() / "rules")
    assert {"tank.hold", "heat.stress", "frz.pipe", "fan.failed", "air.nh3", "device.silent"} <= set(rules)
    for rule in rules.values():
        assert rule.action.ja
        assert rule.action.en
        assert not any(word in rule.action.ja for word in ("致します", "ございます"))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("action: {ja: 冷却機を 見てください。, en: Check the cooler.}", "", "action: is missing"),
        (", en: Check the cooler.}", "}", "a.yaml:18:1: action.en: is missing"),
        ("en: Check the cooler.", "en: ''", "action.en: ''"),
        ("milk_temperature", "milk_temprature", "a.yaml:6:3: signals.t: no quantity 'milk_temprature'; did you mean"),
        ("above: limit", "above: limt", "a.yaml:11:22: raise.when[0].above: no number 'limt'; did you mean 'limit'?"),
        ("{signal: t, above", "{signal: u, above", "raise.when[0].signal: no signal 'u'"),
        ("value: 5.0, unit: Cel", "value: 5.0, unit: kPa", "limit: is in kPa; milk_temperature has Cel"),
        ("value: 5.0, unit: Cel", 'value: "5.0", unit: Cel', "numbers.limit.value: '5.0' is not accepted"),
        ("above: limit}", "above: limit, below: clear}", "exactly one of 'above', 'below', 'is'"),
        ("above: limit}", "is: [ok]}", "milk_temperature is a gauge: use 'above' or 'below'"),
        ("for: 15min", "for: 15", "raise.for: 15 is not a duration"),
        ("{place}の {subject}", "{plase}の {subject}", "message.ja: no {plase}; did you mean 'place'?"),
        ("about: subject", "about: sujbect", "about: 'sujbect' is unknown; did you mean 'subject'?"),
        ("stale_after", "stale_afetr", "unknown key 'stale_afetr'; did you mean 'stale_after'?"),
        ("about: subject", "about: subject\nexplained_by: [bus.down]", "explained_by[0]: no rule 'bus.down'"),
        ("value: 4.5, unit: Cel}", "value: 4.5, unit: Cel}\n  spare: {value: 1}", "spare: is used by no condition"),
    ],
)  # fmt: skip
def test_an_error_names_its_place_and_what_was_expected(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert any(said in p for p in problems_of(tmp_path, a=changed(old, new))), problems_of(tmp_path)


def test_every_file_is_told_of_at_once(tmp_path: Path) -> None:
    told = problems_of(tmp_path, a=changed("above: limit", "above: limt"), b=changed("15min", "soon"))
    assert {p.partition(":")[0] for p in told} == {"a.yaml", "b.yaml"}


def test_a_rule_stands_in_one_file_only(tmp_path: Path) -> None:
    assert "b.yaml:1:1: rule: 'tank.hold' is also in" in problems_of(tmp_path, a=GOOD, b=GOOD)[0]


def rule(text: str = GOOD, folder: Path | None = None) -> Rule:
    assert folder
    (folder / "a.yaml").write_text(text, encoding="utf-8")
    return next(iter(load_rules(folder).values()))


def test_a_farm_sets_numbers_in_the_unit_of_the_rule(tmp_path: Path) -> None:
    ppm = changed("milk_temperature", "ammonia").replace("unit: Cel", "unit: ppm")
    tuning = tuned(rule(ppm, tmp_path), {"limit": 25, "for": "5s", "clear_for": "1min"})
    assert tuning.numbers["limit"] == pytest.approx(25e-6)
    assert (tuning.for_ms, tuning.clear_for_ms) == (5_000, 60_000)


def test_one_subject_may_have_its_own_number(tmp_path: Path) -> None:
    override = {"tank-2.limit": 7, "limit": 6, "tank-3.ch1.for": "1s"}
    both = rule(folder=tmp_path)
    assert tuned(both, override).numbers["limit"] == 6
    assert tuned(both, override, "tank-1").numbers["limit"] == 6
    assert tuned(both, override, "tank-2").numbers["limit"] == 7
    assert tuned(both, override, "tank-3.ch1").for_ms == 1_000


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ({"limti": 6}, "tank.hold: no number 'limti'; did you mean 'limit'?"),
        ({"severity": "info"}, "tank.hold: no number 'severity'; it has for, clear_for, limit, clear"),
        ({"limit": "6"}, "tank.hold.limit: '6' is not a number"),
        ({"limit": True}, "tank.hold.limit: True is not a number"),
        ({"for": "5"}, "tank.hold.for: '5' is not a duration"),
        ({"tank-1.nope": 1}, "tank.hold: no number 'nope'"),
        ({"tank-1.limit": "6"}, "tank.hold.tank-1.limit: '6' is not a number"),
    ],
)
def test_an_override_of_what_is_not_there_is_refused(tmp_path: Path, override: dict[str, Any], said: str) -> None:
    with pytest.raises(OverrideError) as caught:
        tuned(rule(folder=tmp_path), override)
    assert said in str(caught.value)


def test_an_override_of_an_unknown_rule_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD, encoding="utf-8")
    told = check_overrides(load_rules(tmp_path), {"tank.hod": {"limit": 1}, "tank.hold": {"limit": 4}})
    assert told == [("tank.hod", "no rule 'tank.hod'; did you mean 'tank.hold'?")]


def gas(name: str) -> Rule:
    return load_rules(configs_dir() / "rules")[name]


@pytest.mark.parametrize(
    ("name", "override"),
    [
        ("gas.h2s2", {"limit": 5}),
        ("gas.h2s2", {"clear_for": "1h", "clear": 2}),
        ("gas.h2s1", {"limit": 9.95}),  # the farm's own choice, up to where the law begins
        ("gas.h2s1", {"for": "10s"}),
        ("gas.o2", {"limit": 0.2}),
        ("gas.o2", {"limit": 0.18}),
        ("gas.o2", {"limit": 0.205, "clear": 0.208, "pit.low": 0.19}),
    ],
)
def test_a_life_safety_alarm_may_be_made_earlier(name: str, override: dict[str, Any]) -> None:
    assert check_overrides({name: gas(name)}, {name: override}) == []


@pytest.mark.parametrize(
    ("name", "override", "said"),
    [
        (
            "gas.h2s2",
            {"limit": 12},
            "gas.h2s2.limit: 12 is past 9.95 ppm; a life-safety alarm may be earlier, never later",
        ),
        ("gas.h2s2", {"pit.limit": 12}, "gas.h2s2.pit.limit: 12 is past 9.95 ppm"),
        ("gas.h2s2", {"for": "10s"}, "gas.h2s2.for: at most 0s: a life-safety alarm must not come later"),
        ("gas.h2s2", {"clear_for": "1min"}, "gas.h2s2.clear_for: at least 30min"),
        ("gas.h2s2", {"clear": 5}, "gas.h2s2.clear: 5 is past 3 ppm"),
        ("gas.h2s2", {"limit": 2}, "gas.h2s2.limit: lies beyond 'clear', where the alarm ends; set both"),
        ("gas.h2s2", {"pit.limit": 2}, "lies beyond 'clear'"),
        ("gas.h2s1", {"limit": 10}, "past 9.95 ppm"),
        ("gas.o2", {"limit": 0.17}, "gas.o2.limit: 0.17 is past 0.18;"),
        ("gas.o2", {"low": 0.17}, "past 0.18"),
        ("gas.o2", {"clear": 0.19}, "past 0.2"),
    ],
)
def test_a_life_safety_alarm_is_never_made_later(name: str, override: dict[str, Any], said: str) -> None:
    ((rule_name, why),) = check_overrides({name: gas(name)}, {name: override})
    assert rule_name == name
    assert said in why


def test_a_bound_that_is_earlier_than_the_value_is_refused(tmp_path: Path) -> None:
    text = (configs_dir() / "rules" / "gas.h2s2.yaml").read_text(encoding="utf-8")
    (tmp_path / "a.yaml").write_text(text.replace("limit: {value: 9.95,", "limit: {value: 9.95, bound: 5,"))
    with pytest.raises(ConfigErrors, match=r"numbers\.limit\.bound: is earlier than its value, 9\.95"):
        load_rules(tmp_path)
