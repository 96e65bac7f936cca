"""Each kind of signal in a rule's file: what is accepted, in what unit it is, and where a mistake is said to be."""

from __future__ import annotations

from pathlib import Path

import pytest

from collectors.registry.weather import ELEMENTS
from makiba.located_yaml import ConfigErrors
from makiba.rule import Rule, load_rules, measure, tuned
from makiba.rule_measure import number_in
from makiba.rule_words import FORECASTS

RULE = """\
rule: try.all
about: subject
title: {ja: 試し, en: A try}
severity: advisory
season: {from: "05-01", to: "10-31"}
hours: {from: "20:00", to: "05:00"}
needs: [cows]
who: [F, W]
signals:
  t: {quantity: milk_temperature}
  outside: {quantity: air_temperature, of: outdoors}
  comp: {quantity: current, of: place, role: compressor, pick: max}
  nh3: {quantity: ammonia, window: 15min, as: mean}
  rise: {quantity: milk_temperature, window: 1h, as: rise_per_hour}
  water: {quantity: water_total, window: 12h, as: total}
  flow: {quantity: water_flow, window: 12h, as: total}
  week: {quantity: milk_yield, window: 7d, as: sum_per_day}
  today: {quantity: milk_yield, window: 24h, as: sum}
  hotter: {difference: [t, outside]}
  share: {ratio: [today, week]}
  each: {ratio: [water, cows]}
  damp: {derived: mixing_ratio, from: {air: air_temperature, rh: relative_humidity}, of: place}
  load: {quantity: milk_temperature, sum_above: limit, since: pickup}
  heat: {derived: thi, from: {air: air_temperature, rh: relative_humidity}, sum_above: mild, since: day}
  milking: {context: milking}
  quiet: {context: milking, as: off_for}
  drain: {context: washing, as: peak_drain}
  tonight: {forecast: air_temperature_min, within: 24h}
  cows: {setting: cows}
  barn: {setting: barn_type, optional: true}
  young: {fact: calves_under_21_d}
numbers:
  limit: {value: 4.0, unit: Cel}
  mild: {value: 68}
  most: {value: 5000, unit: Cel.min}
  long: {value: 2, unit: h}
  a: {value: 1, unit: ppm}
  b: {value: 0.9}
  c: {value: 40, unit: L}
  d: {value: 1.7}
  e: {value: 30, unit: h}
raise:
  when:
    - {signal: hotter, above: limit}
    - {signal: nh3, above: a}
    - {signal: share, below: b}
    - {signal: each, below: c}
    - {signal: load, above: most}
    - {signal: heat, above: e}
    - {signal: quiet, above: long}
    - {signal: milking, is: ["off"]}
    - {signal: barn, is: [freestall]}
    - {signal: young, above: d}
clear:
  when: [{signal: t, below: limit}]
message:
  ja: "{place} {comp} {rise} {flow} {damp} {drain} {tonight}"
  en: "{place}"
action: {ja: 見てください。, en: Look.}
source: a test
trust: proposed
"""


def loaded(folder: Path, text: str = RULE) -> Rule:
    (folder / "a.yaml").write_text(text, encoding="utf-8")
    return load_rules(folder)["try.all"]


def test_each_kind_of_signal_has_its_unit(tmp_path: Path) -> None:
    rule = loaded(tmp_path)
    units = {name: measure(rule, name).unit for name in rule.signals}
    assert units == {
        "t": "Cel", "outside": "Cel", "comp": "A", "nh3": "/", "rise": "Cel", "water": "m3", "flow": "m3",
        "week": "kg", "today": "kg", "hotter": "Cel", "share": None, "each": "m3", "damp": "/", "load": "Cel.s",
        "heat": "s", "milking": None, "quiet": "s", "drain": "Cel", "tonight": "Cel", "cows": None, "barn": None,
        "young": None,
    }  # fmt: skip
    assert {n for n in rule.signals if measure(rule, n).kind == "text"} == {"milking", "barn"}
    numbers = tuned(rule).numbers
    assert (numbers["most"], numbers["e"], numbers["long"]) == (300_000, 108_000, 7_200)
    assert numbers["c"] == pytest.approx(0.04)


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("load", 210_000.0, "3500 ℃·min"),
        ("heat", 36_000.0, "10 THI·h"),
        ("share", 0.85, "85 %"),
        ("each", 0.0355, "36 L"),
        ("flow", 1.25, "1250 L"),
        ("quiet", 5_400.0, "90 min"),
        ("rise", -0.5, "-0.5 ℃"),
        ("young", 3.0, "3"),
    ],
)
def test_people_read_each_in_a_unit_they_know(tmp_path: Path, name: str, value: float, shown: str) -> None:
    assert measure(loaded(tmp_path), name).shown(value) == shown


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("t: {quantity: milk_temperature}", "t: {quantity: milk_temperature, fact: calves}", "exactly one of"),
        ("{context: milking}", "{context: miking}", "signals.milking.context: no context 'miking'; did you mean 'mi"),
        ("as: off_for", "as: of_for", "signals.quiet.context: milking has no 'of_for'; it has off_for, on_for"),
        ("as: peak_drain", "as: peek_drain", "washing has no 'peek_drain'"),
        ("{fact: calves_under_21_d}", "{fact: calfs_under_21_d}", "no fact 'calfs_under_21_d'; did you mean 'calves"),
        ("forecast: air_temperature_min,", "forecast: air_temp_min,", "no forecast 'air_temp_min'; did you mean"),
        ("within: 24h", "within: 25h", "signals.tonight.within: expected how far ahead: one of 6h, 12h, 24h"),
        ("{setting: cows}", "{setting: cow}", "signals.cows.setting: no setting 'cow'; did you mean 'cows'?"),
        ("{setting: cows}", "{setting: milking_times}", "'milking_times' is a windows: a rule may need it"),
        ("needs: [cows]", "needs: [cow]", "needs[0]: no setting 'cow'; did you mean 'cows'?"),
        ("who: [F, W]", "who: [F, X]", "who[1]"),
        ("from: \"05-01\"", "from: \"05-32\"", "season.from"),
        ("from: \"20:00\"", "from: \"2000\"", "hours.from"),
        ("[t, outside]", "[t, outsid]", "signals.hotter.difference: no signal 'outsid'; did you mean 'outside'?"),
        ("[t, outside]", "[t, nh3]", "the first is in Cel, the second in /"),
        ("[t, outside]", "[t, milking]", "a text cannot be reckoned with"),
        ("[t, outside]", "[t, hotter]", "is made of itself"),
        ("[today, week]", "[today, nh3]", "a ratio of kg and / is in no unit that has a name"),
        ("window: 15min, as: mean", "window: 15min", "signals.nh3.window: needs 'as': one of mean, min"),
        ("window: 15min, as: mean", "as: mean", "signals.nh3.as: needs a window"),
        ("window: 15min, as: mean", "window: 15min, as: men", "signals.nh3.as: 'men' is unknown; did you mean 'me"),
        ("window: 7d", "window: 30h", "signals.week.window: longer than 26h it is of whole days"),
        ("window: 7d", "window: 24h", "signals.week.as: needs a window of days"),
        ("window: 12h, as: total", "window: 12h, as: mean", "water_total is a counter: use change"),
        ("role: compressor, pick: max", "role: compressor, of: subject", "stands twice"),
        ("sum_above: limit", "sum_above: limt", "signals.load.sum_above: no number 'limt'; did you mean 'limit'?"),
        ("since: pickup", "since: pikup", "signals.load.since: no context 'pikup'; did you mean 'pickup'?"),
        (", since: pickup", "", "sum_above needs either 'since' or a 'window'"),
        ("unit: Cel.min", "unit: Cel", "numbers.most: is in Cel; milk_temperature has Cel.s"),
        ("unit: L", "unit: kg", "numbers.c: is in kg; "),
        ("b: {value: 0.9}", "b: {value: 0.9, unit: kg}", "numbers.b: is in kg; share has None"),
        ("is: [\"off\"]", "above: limit", "milking is a text: use 'is'"),
        (" {drain}", "", "signals.drain: is used by nothing"),
        ("derived: mixing_ratio", "derived: mixing", "'mixing' is unknown; did you mean 'mixing_ratio'?"),
        ("{setting: cows}", "{setting: cows, window: 1h}", "signals.cows.window: does not belong to a setting"),
        ("of: place, role: compressor", "role: compressor", "signals.comp.role: narrows 'of: place' or 'of: site'"),
        ("severity: advisory", "severity: advisory\nlife_safety: true", "gas knows no season"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in RULE
    (tmp_path / "a.yaml").write_text(RULE.replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigErrors) as caught:
        load_rules(tmp_path)
    told = [str(p) for p in caught.value.problems]
    assert any(said in line for line in told), told


def test_every_forecast_that_comes_in_is_a_word_for_rules() -> None:
    assert set(ELEMENTS) <= set(FORECASTS)
    units = {n: w.unit for n, w in FORECASTS.items() if n in ELEMENTS}
    assert units == ELEMENTS


@pytest.mark.parametrize(
    ("value", "unit", "found"),
    [
        (5.0, "kPa", (5000.0, "Pa")),
        (2.0, "h", (7200.0, "s")),
        (10.0, "ppm", (pytest.approx(1e-5), "/")),
        (50.0, "Cel·h", (180_000.0, "Cel.s")),
        (3.0, "L", (pytest.approx(0.003), "m3")),
        (3.0, "m3/s", (3.0, "m3/s")),
        (3.0, None, (3.0, None)),
    ],
)
def test_a_number_is_taken_into_the_unit_of_the_catalogue(
    value: float, unit: str | None, found: tuple[float, str | None]
) -> None:
    assert number_in(value, unit) == found


def test_the_examples_for_who_writes_rules_are_rules(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "rules.md").read_text(encoding="utf-8")
    blocks = [part.partition("```")[0] for part in text.split("```yaml\n")[1:]]
    whole, everything = blocks[0], blocks[-1]
    (tmp_path / "whole.yaml").write_text(whole, encoding="utf-8")
    frame = {
        "rule": "water.least", "about": "subject", "title": "{ja: 水, en: Water}", "severity": "advisory",
        "message": "{ja: 水, en: Water}", "action": "{ja: 水, en: Water}", "source": "a test", "trust": "proposed",
    }  # fmt: skip
    head = "".join(f"{key}: {value}\n" for key, value in frame.items())
    (tmp_path / "everything.yaml").write_text(head + everything, encoding="utf-8")
    assert set(load_rules(tmp_path)) == {"tank.hold", "water.least"}
