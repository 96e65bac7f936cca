"""What people read of an alert: every rule, both languages, with values in the units they know."""

from __future__ import annotations

import re
from typing import Any

import pytest

from analytics.texts import FarmNames, describe
from collectors.registry.schema import Alert
from makiba.rule import Signal, load_rules
from makiba.settings import configs_dir

RULES = load_rules(configs_dir() / "rules")
NAMES = FarmNames(
    {"barn-1": {"ja": "第1牛舎", "en": "Barn 1"}, "tank-room": {"ja": "処理室", "en": "Tank room"}},
    {"tank-1.ch1": {"ja": "バルクタンク", "en": "Bulk tank"}, "fan-1": {"ja": "送風機1", "en": "Fan 1"}},
    frozenset({"gw-1"}),
)


def alert(rule: str, subject: str, severity: str = "warning", **given: Any) -> Alert:
    fields: dict[str, Any] = {"place_id": "barn-1", "signals": {}, "children": [], **given}
    return Alert(id="0" * 32, site_id="farm", rule=rule, subject=subject, severity=severity, onset_ms=0, **fields)


def test_a_warm_tank_says_what_where_how_much_and_what_to_do() -> None:
    signals = {"t": {"quantity": "milk_temperature", "subject": "tank-1.ch1", "value": 6.24, "time_ms": 1}}
    row = alert("tank.hold", "tank-1.ch1", "critical", place_id="tank-room", signals=signals)
    told = describe(row, RULES["tank.hold"], NAMES)
    assert told.message["ja"] == "処理室の バルクタンクの 乳温は 6.2 ℃です。このままでは 乳が いたみます。"
    assert told.message["en"].startswith("Bulk tank in Tank room: the milk is at 6.2 ℃.")
    assert told.action["ja"].startswith("すぐ 冷却機の 電源を 見てください。")
    assert told.note is not None
    assert [(s.quantity, s.shown["en"]) for s in told.signals] == [("milk_temperature", "6.2 ℃")]


def test_each_step_has_its_own_title_and_action() -> None:
    titles = {
        s: describe(alert("heat.stress", "climate", s), RULES["heat.stress"], NAMES).title["en"]
        for s in ("advisory", "warning", "critical")
    }
    assert titles == {
        "advisory": "Cows begin to suffer from heat",
        "warning": "Cows are under heat stress",
        "critical": "Dangerous heat for cows",
    }


def test_a_silent_gateway_lists_what_is_not_watched_by_the_names_of_the_farm() -> None:
    children = [{"subject": s} for s in ("tank-1", "fan-1", "a", "b", "c", "d")]
    told = describe(alert("gateway.silent", "gw-1", place_id=None, children=children), RULES["gateway.silent"], NAMES)
    assert "バルクタンク、送風機1、a、b、ほか 2" in told.message["ja"]
    assert told.subject_name == {"ja": "中継機 gw-1", "en": "gateway gw-1"}
    assert told.children[0] == ("tank-1", {"ja": "バルクタンク", "en": "Bulk tank"})


def test_a_state_is_told_in_words() -> None:
    signals = {"state": {"quantity": "state", "subject": "fan-1", "value": "exception-2", "time_ms": 1}}
    told = describe(alert("device.silent", "fan-1", signals=signals), RULES["device.silent"], NAMES)
    assert "機器の エラー" in told.message["ja"]
    assert "device error" in told.message["en"]


def test_a_value_that_is_worked_out_is_told_in_its_own_unit() -> None:
    signals: dict[str, Any] = {
        "t": {
            "signal": {"quantity": "milk_temperature", "sum_above": "limit", "since": "pickup"},
            "value": 210_000.0,
        },
        "milk": {"signal": {"context": "milking"}, "value": "on"},
    }
    given = {n: Signal.model_validate(s["signal"]) for n, s in signals.items()}
    rule = RULES["tank.hold"].model_copy(update={"signals": given})
    rows = {
        n: {"quantity": "x", "subject": "tank-1.ch1", "value": s["value"], "time_ms": 1} for n, s in signals.items()
    }
    told = describe(alert("tank.hold", "tank-1.ch1", signals=rows), rule, NAMES)
    assert [s.shown["ja"] for s in told.signals] == ["3500 ℃·分", "入"]
    assert "3500 ℃·min" in told.message["en"]


def test_an_alert_whose_rule_is_gone_is_still_told_of() -> None:
    told = describe(alert("old.rule", "fan-1"), None, NAMES)
    assert (told.title["en"], told.message["en"]) == ("old.rule", "Fan 1")


@pytest.mark.parametrize("name", sorted(RULES))
def test_every_text_of_a_rule_is_plain_and_complete_without_any_value(name: str) -> None:
    rule = RULES[name]
    for severity in (rule.severity, *(w.severity for w in rule.worse)):
        told = describe(alert(name, "thing", severity, place_id=None), rule, FarmNames())
        for text in (told.title, told.message, told.action):
            assert not re.search(r"[{}]", text["ja"] + text["en"])
        assert len(told.title["ja"]) <= 25
        for sentence in [s for s in re.split(r"[。]", told.action["ja"]) if s.strip()]:
            assert len(sentence) <= 30, sentence
            assert sentence.rstrip().endswith("ください"), sentence
