"""Profiles: those that come with Makiba are sound, and a wrong one says where."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.drivers import drivers
from gateway.profile import Profile, load_profile
from makiba.located_yaml import ConfigErrors
from makiba.settings import configs_dir

MODELS: dict[str, type[Profile]] = {d.family: d.profile_model for d in drivers().values()}
SHIPPED = sorted((configs_dir() / "devices").glob("*.yaml"))
HEAD = "driver: modbus\nnames: {ja: 計器, en: Meter}\nsource: {trust: proposed, document: none}\n"


@pytest.mark.parametrize("file", SHIPPED, ids=lambda f: f.stem)
def test_a_profile_that_comes_with_makiba_loads(file: Path) -> None:
    loaded = load_profile(file, MODELS)
    assert loaded.profile.source.document
    assert list(loaded.profile.measured())


def _problems(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "meter.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigErrors) as caught:
        load_profile(file, MODELS)
    return [str(p).removeprefix(str(tmp_path) + "/") for p in caught.value.problems]


def test_every_error_is_a_place_and_all_are_told(tmp_path: Path) -> None:
    text = HEAD + (
        "registers:\n"
        "  - {quantity: voltage, address: 0, type: int61}\n"
        "  - {quantity: curent, address: 70000}\n"
        "  - {quantity: power, address: 1, sclae: 0.1}\n"
    )
    assert _problems(tmp_path, text) == [
        (
            "meter.yaml:5:37: registers[0].type: 'int61' is unknown; did you mean 'int16'?; expected 'int16',"
            " 'uint16', 'int32', 'uint32', 'int64', 'uint64', 'float32', 'float64', 'bit' or 'ascii'"
        ),
        "meter.yaml:6:6: registers[1].quantity: quantity 'curent' is not in the catalogue; did you mean 'current'?",
        "meter.yaml:6:24: registers[1].address: 70000 is not accepted; expected less than or equal to 65535",
        "meter.yaml:7:35: registers[2].sclae: unknown key 'sclae'; did you mean 'scale'?",
    ]


@pytest.mark.parametrize(
    ("register", "message"),
    [
        ("{quantity: voltage, address: 0, unit: ppm}", "'ppm' is no unit of voltage; expected one of V, mV"),
        ("{quantity: voltage, address: 0, unit: volt}", "unit 'volt' is not known"),
        ("{address: 0}", "has neither a quantity nor a channel"),
        ("{channel: a, address: 0}", "has no quantity, so that it needs a unit"),
        ("{quantity: voltage, address: 65535, type: float32}", "reaches past the last address"),
        ("{quantity: switched_on, table: coil, address: 0}", "'int16' does not fit table 'coil'; expected 'bit'"),
        ("{quantity: voltage, address: 9}", "lies in the unreadable range 8..10"),
        ("{quantity: voltage, address: 0, scale: 0}", "every value would be the same"),
        ("{quantity: voltage, address: 0, sign: from-10000}", "needs type 'uint16'"),
        ("{quantity: voltage, address: 0, valid_raw: [5, 1]}", "the lowest stands first"),
    ],
)
def test_what_cannot_be_right_is_refused(tmp_path: Path, register: str, message: str) -> None:
    problems = _problems(tmp_path, HEAD + f"unreadable: [[8, 10]]\nregisters:\n  - {register}\n")
    assert any(message in p and p.startswith("meter.yaml:6:") for p in problems), problems


def test_an_unknown_driver_is_told_with_the_nearest(tmp_path: Path) -> None:
    (problem,) = _problems(tmp_path, HEAD.replace("modbus", "modbuss"))
    known = ", ".join(sorted(MODELS))
    expected = f"meter.yaml:1:1: driver: 'modbuss' is unknown; did you mean 'modbus'?; expected one of {known}"
    assert problem == expected


def test_one_series_twice_is_refused(tmp_path: Path) -> None:
    text = HEAD + "registers:\n  - {quantity: voltage, address: 0}\n  - {quantity: voltage, address: 1}\n"
    assert "stands twice" in _problems(tmp_path, text)[0]
