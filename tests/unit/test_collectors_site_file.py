"""The site file: what it says, and that each error names its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from collectors.registry.site_file import load_site_file
from collectors.registry.sites import PlacementSpec, PlaceSpec
from makiba.located_yaml import ConfigErrors
from makiba.rule import load_rules
from makiba.settings import configs_dir

GOOD = """\
site: shikaoi-001
name: {ja: 実験牧場, en: Test farm}
timezone: Asia/Tokyo
gateways: [gw-demo]
places:
  - {id: barn-1, kind: barn, name: {ja: 第1牛舎, en: Barn 1}}
  - {id: tank-room, kind: tank-room, name: {ja: 処理室}}
placements:
  - {subject: barn-1-climate, place: barn-1, name: {ja: 温湿度, en: Climate}}
  - {subject: fan-1, place: barn-1, role: fan, since: 2026-07-01}
  - {subject: tank-1.ch1, place: tank-room, since: "2026-07-01T06:30:00+00:00"}
rules:
  tank.hold: {for: 5s, clear_for: 5s, limit: 6.5}
"""


def load(tmp_path: Path, text: str) -> list[str]:
    """The problems of a site file, without the folder."""
    file = tmp_path / "site.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigErrors) as caught:
        load_site_file(file)
    return [str(problem).removeprefix(f"{tmp_path}/") for problem in caught.value.problems]


def test_a_site_file_says_what_stands_where(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(GOOD, encoding="utf-8")
    spec = load_site_file(file)
    assert (spec.id, spec.name_ja, spec.name_en, spec.gateways) == (
        "shikaoi-001", "実験牧場", "Test farm", ("gw-demo",),
    )  # fmt: skip
    assert spec.places == (
        PlaceSpec("barn-1", "barn", "第1牛舎", "Barn 1"),
        PlaceSpec("tank-room", "tank-room", "処理室", "処理室"),
    )
    midnight_in_japan = 1_782_831_600_000
    assert spec.placements == (
        PlacementSpec("barn-1-climate", "barn-1", "", "温湿度", "Climate", None),
        PlacementSpec("fan-1", "barn-1", "fan", "", "", midnight_in_japan),
        PlacementSpec("tank-1.ch1", "tank-room", "", "", "", midnight_in_japan + 55_800_000),
    )
    assert spec.rules == {"tank.hold": {"for": "5s", "clear_for": "5s", "limit": 6.5}}


def test_every_wrong_thing_is_named_with_its_place(tmp_path: Path) -> None:
    text = (
        GOOD.replace("kind: barn,", "kind: bran,")
        .replace("timezone: Asia/Tokyo", "timezone: Asia/Tokio")
        .replace("gw-demo", "demo")
        .replace("role: fan", "roll: fan")
        .replace("since: 2026-07-01}", "since: July}")
    )
    problems = load(tmp_path, text)
    assert [problem.split(": ", 2)[:2] for problem in problems] == [
        ["site.yaml:3:1", "timezone"],
        ["site.yaml:4:12", "gateways[0]"],
        ["site.yaml:6:18", "places[0].kind"],
        ["site.yaml:10:37", "placements[1].roll"],
        ["site.yaml:10:48", "placements[1].since"],
    ]
    assert "did you mean 'Asia/Tokyo'" in problems[0]
    assert "did you mean 'barn'" in problems[2]
    assert "did you mean 'role'" in problems[3]
    assert "2026-07-01T06:30" in problems[4]


def test_what_only_the_whole_file_shows_comes_second(tmp_path: Path) -> None:
    text = (
        GOOD.replace("gateways: [gw-demo]", "gateways: [gw-demo, gw-demo]")
        .replace("id: tank-room", "id: barn-1")
        .replace("subject: fan-1, place: barn-1", "subject: barn-1-climate, place: bran-1")
    )
    assert load(tmp_path, text) == [
        "site.yaml:4:21: gateways[1]: gateway gw-demo stands twice (line 4)",
        "site.yaml:7:6: places[1].id: place barn-1 stands twice (line 6)",
        "site.yaml:10:6: placements[1].subject: subject barn-1-climate stands twice (line 9)",
        "site.yaml:10:31: placements[1].place: no place 'bran-1' in this file; did you mean 'barn-1'?",
        "site.yaml:11:27: placements[2].place: no place 'tank-room' in this file",
    ]


def test_a_farms_own_numbers_are_checked_against_the_rules(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    text = GOOD[: GOOD.index("rules:")] + "rules:\n  tank.hodl: {for: 5s}\n  tank.hold: {clear_for: 5 parsecs}\n"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigErrors) as caught:
        load_site_file(file, load_rules(configs_dir() / "rules"))
    hodl, hold = caught.value.problems
    assert (hodl.line, hodl.path) == (13, "rules.tank.hodl")
    assert "did you mean 'tank.hold'" in hodl.message
    assert (hold.line, hold.path) == (14, "rules.tank.hold")


def test_the_site_files_that_come_with_makiba_are_right() -> None:
    files = sorted((configs_dir() / "sites").rglob("site.yaml"))
    assert files
    for file in files:
        load_site_file(file, load_rules(configs_dir() / "rules"))
