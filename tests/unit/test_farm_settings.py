"""What a farm may say of itself: how it is written, what is refused and with which words, what rules see."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from collectors.registry.site_file import load_site_file
from makiba.farm_settings import Days, FarmSettings, Season, Window, check, keys
from makiba.located_yaml import ConfigErrors

PLACES, SUBJECTS = ["barn-1", "barn-2", "tank-room"], ["tank-1.ch1", "fan-1"]


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("cows", 70, 70.0),
        ("vacuum_setpoint", 46, 46_000.0),
        ("tank_volume", 4000, 4.0),
        ("barn-1.barn_type", "tie-stall", "tie-stall"),
        ("generator", True, "yes"),
        ("generator", "no", "no"),
        ("milking_times", ["05:00-07:30", "16:30 - 19:00"], (Window(300, 450), Window(990, 1140))),
        ("night", ["21:00-05:00"], (Window(1260, 1740),)),
        ("pickup_time", "09:30", 570.0),
        ("pickup_days", "every-day", Days(every=1)),
        ("pickup_days", ["mon", "thu"], Days(weekdays=frozenset({0, 3}))),
        ("pasture_season", "05-10..10-31", Season((5, 10), (10, 31))),
        ("pickup_on", "2026-05-01", date(2026, 5, 1)),
        ("tank-1.ch1.tank_volume", 4000, 4.0),
    ],
)
def test_each_kind_is_read_in_the_unit_that_rules_see(name: str, given: Any, said: Any) -> None:
    assert list(check({name: given}, PLACES, SUBJECTS)) == []
    assert FarmSettings.of({name: given}).said == {name: said}


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"cow": 70}, "unknown key 'cow'; did you mean 'cows'?"),
        ({"cows": "70"}, "'70' is not a number"),
        ({"cows": True}, "True is not a number"),
        ({"vacuum_setpoint": 46000}, "46000 is outside 20 to 70 kPa"),
        ({"vacuum_setpoint": float("nan")}, "nan is outside 20 to 70 kPa"),
        ({"barn_type": "freestal"}, "'freestal' is unknown; did you mean 'freestall'?"),
        ({"milking_times": "05:00-07:30"}, "expected a list of times"),
        ({"milking_times": ["05:00"]}, "'05:00' is not from one time to another"),
        ({"milking_times": ["05:00-25:00"]}, "'25:00' is not a time of day"),
        ({"milking_times": ["05:00-05:00"]}, "begins when it ends"),
        ({"pickup_time": "9:30"}, "'9:30' is not a time of day"),
        ({"pickup_days": ["monday"]}, "['monday'] is not known"),
        ({"pickup_days": "every-second-day"}, "every second day needs pickup_on"),
        ({"pasture_season": "05-10..10-32"}, "is no season"),
        ({"pickup_on": "May 1"}, "'May 1' is not a day"),
        ({"barn-9.barn_type": "hutch"}, "no place 'barn-9' on this farm; did you mean 'barn-"),
        ({"fan-1.barn_type": "hutch"}, "no place 'fan-1' on this farm"),
        ({"barn-1.lives_alone": "yes"}, "lives_alone is said of the farm, not of one place"),
        ({"latitude": 43.1}, "latitude and longitude are said together"),
        ({"milking_times": [None]}, "None is not from one time to another"),
        ({"barn_type": ["hutch"]}, "['hutch'] is unknown"),
    ],
)
def test_what_cannot_be_is_refused_with_what_was_expected(given: dict[str, Any], wrong: str) -> None:
    told = list(check(given, PLACES, SUBJECTS))
    assert [name for name, _ in told] == list(given)
    assert wrong in told[0][1]


def test_a_subject_goes_before_its_place_and_that_before_the_farm() -> None:
    said = FarmSettings.of({"fan_current": 2, "barn-1.fan_current": 3, "fan-1.fan_current": 4, "cows": "many"})
    assert said.number("fan_current", "fan-1", "barn-1") == 4
    assert said.number("fan_current", "fan-2", "barn-1") == 3
    assert said.number("fan_current", "fan-2", "barn-2") == 2
    assert said.number("cows") is None, "one wrong line is left out, and blinds nothing else"
    assert said.has("fan_current")
    assert not said.has("cows")


def test_windows_and_seasons_know_midnight_and_the_new_year() -> None:
    night = Window(1260, 1740)
    assert all(minute in night for minute in (1260, 1439, 0, 299))
    assert not any(minute in night for minute in (300, 720, 1259))
    winter = Season((11, 1), (4, 30))
    assert all(day in winter for day in (date(2026, 11, 1), date(2026, 1, 1), date(2026, 4, 30), date(2028, 2, 29)))
    assert date(2026, 5, 1) not in winter
    assert date(2026, 10, 31) not in winter


def test_every_key_has_its_words_and_a_question_in_both_languages() -> None:
    assert all(key.words or key.kind != "choice" for key in keys().values())
    assert len({key.ja for key in keys().values()}) == len({key.en for key in keys().values()}) == len(keys())


def test_the_page_tells_of_every_key_and_no_other() -> None:
    page = (Path(__file__).parents[2] / "docs" / "farm-settings.md").read_text(encoding="utf-8")
    rows = [line for line in page.partition("## What may be said")[2].splitlines() if line.startswith("| `")]
    told = {line.split("`")[1]: line for line in rows}
    assert list(told) == list(keys())
    for name, key in keys().items():
        assert f"| {', '.join(['farm', *key.also])} | {key.ja} / {key.en} |" in told[name]
        assert (key.unit or "") in told[name]
        assert all(f"`{word}`" in told[name] for word in key.words)


def test_a_site_file_says_them_and_each_error_names_its_line(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    good = (
        "site: f-1\nname: {ja: 牧場}\nplaces:\n  - {id: barn-1, kind: barn, name: {ja: 牛舎}}\nsettings:\n"
        "  cows: 70\n  milking_times: [05:00-07:30]\n  barn-1.barn_type: freestall\n"
    )
    file.write_text(good, encoding="utf-8")
    said = load_site_file(file).settings
    assert said == {"cows": 70, "milking_times": ["05:00-07:30"], "barn-1.barn_type": "freestall"}
    file.write_text(good + "  barn-2.barn_type: freestall\n  pickup_tim: 09:30\n", encoding="utf-8")
    with pytest.raises(ConfigErrors) as caught:
        load_site_file(file)
    assert [str(p).removeprefix(f"{file}:") for p in caught.value.problems] == [
        "9:3: settings.barn-2.barn_type: no place 'barn-2' on this farm; did you mean 'barn-1'?",
        "10:3: settings.pickup_tim: unknown key 'pickup_tim'; did you mean 'pickup_time'?",
    ]
