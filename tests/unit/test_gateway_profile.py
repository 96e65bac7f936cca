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


TEN = """\
driver: modbus
names: {ja: 計器, en: Meter}
source: {trust: verfied, document: none}
timout: 1s
constants:
  height: {names: {ja: 高さ, en: height}, unit: Pa, required: true}
status:
  - {name: meter, address: 2, type: uint16, bits: {0: broken}, within: [0, 0], otherwise: broken}
registers:
  - {quantity: distance, address: 0, type: int61}
  - {quantity: voltage, address: 9, unit: ppm}
  - {quantity: current, address: 4, gated_by: [meeter]}
  - {quantity: gas_name, address: 5}
  - {quantity: soil_moisture, address: 6, valid_while: [{value: soil_temprature, at_least: 0, otherwise: frozen}]}
  - {quantity: soil_temperature, address: 7, mask: 0x00FF}
derived:
  - {quantity: level, of: distance, subtract_from: hight}
quirks: {unsolicited-frame: It talks by itself.}
max_gap: 3
max_gap: 4
"""


def test_ten_errors_are_told_in_one_pass_each_with_the_nearest_word(tmp_path: Path) -> None:
    assert [p.removeprefix("meter.yaml:") for p in _problems(tmp_path, TEN)] == [
        (
            "3:10: source.trust: 'verfied' is unknown; did you mean 'verified'?;"
            " expected 'verified', 'known' or 'proposed'"
        ),
        "4:1: timout: unknown key 'timout'; did you mean 'timeout'?",
        "6:3: constants.height: is used nowhere",
        "8:5: status[0]: needs exactly one of 'bits', 'words' and 'within'",
        (
            "10:38: registers[0].type: 'int61' is unknown; did you mean 'int16'?; expected 'int16', 'uint16',"
            " 'int32', 'uint32', 'int64', 'uint64', 'float32', 'float64', 'bit' or 'ascii'"
        ),
        "11:37: registers[1].unit: 'ppm' is no unit of voltage; expected one of V, mV",
        "12:48: registers[2].gated_by[0]: 'meeter' is no status of this profile; did you mean 'meter'?",
        "13:6: registers[3].quantity: gas_name is a text, which needs type 'ascii' or 'words'",
        (
            "14:58: registers[4].valid_while[0].value: 'soil_temprature' is no value of this profile;"
            " did you mean 'soil_temperature'?"
        ),
        "15:46: registers[5].mask: 0xff needs an unsigned type that is wide enough",
        "17:37: derived[0].subtract_from: 'hight' is no constant of this profile; did you mean 'height'?",
        (
            "18:10: quirks.unsolicited-frame: 'unsolicited-frame' is unknown; did you mean 'unsolicited-frames'?;"
            " expected 'one-value-per-read', 'unsolicited-frames', 'answers-any-address',"
            " 'other-protocol-when-shipped', 'power-cycle-after-settings', 'needs-trigger', 'drifts' or 'indicative'"
        ),
        "20:1: max_gap: stands twice; remove one of the two",
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("address_base: 1\nregisters: [{quantity: voltage, address: 0}]", "lies before the first holding address, 1"),
        ("address_base: 40001\nregisters: [{quantity: voltage, address: 30001}]", "holding address, 40001"),
        (
            "address_base: 40001\nunreadable: [[40002, 40003]]\nregisters: [{quantity: voltage, address: 40003}]",
            "lies in the unreadable range 40002..40003",
        ),
        ("registers: [{quantity: model, address: 0, type: ascii}]", "length: an ascii text needs it"),
        ("registers: [{quantity: voltage, address: 0}]\nmarks: [{address: 1}]", "exactly one of 'holds', 'one_of'"),
        (
            "registers: [{quantity: voltage, address: 0}]\nmarks: [{address: 1, agrees_with: voltge, by: 1}]",
            "marks[0].agrees_with: 'voltge' is no value of this profile; did you mean 'voltage'?",
        ),
        (
            (
                "registers: [{quantity: voltage, address: 0}]\n"
                "marks: [{address: 1, agrees_with: voltage, by: 1, unit: W}]"
            ),
            "marks[0].unit: 'W' is no unit of voltage",
        ),
        (
            "registers: [{quantity: voltage, address: 0}]\nmarks: [{address: 1, holds: unit-id, by: 1}]",
            "'agrees_with' and 'by' go together",
        ),
        ("registers: [{quantity: voltage, address: 0, type: ascii, length: 2}]", "needs a quantity that is a text"),
        ("registers: [{quantity: voltage, address: 0, part: low-byte}]", "part: needs type 'uint16'"),
        ("registers: [{quantity: voltage, address: 0, sign: sign-magnitude}]", "needs one of uint16, uint32, uint64"),
        ("registers: [{quantity: voltage, address: 0, counter: {wraps_at_raw: 65536}}]", "is no counter"),
        ("registers: [{channel: a, ask_unit: true, unit: V, address: 0}]", "for a free channel without a unit"),
        (
            "registers: [{quantity: voltage, address: 0}]\nstatus: [{name: a, address: 1, words: {1: broken}}]",
            "has no value that is 'ok'",
        ),
        (
            (
                "registers: [{quantity: voltage, address: 0}]\n"
                "status: [{name: a, address: 1, type: uint16, bits: {16: broken}}]"
            ),
            "bit 16 needs an unsigned type that is wide enough",
        ),
        (
            (
                "registers: [{quantity: distance, address: 0}]\n"
                "constants: {t: {names: {ja: 表, en: table}, kind: table, unit: m, to_unit: Pa}}\n"
                "derived: [{quantity: fill, of: distance, table: t}]"
            ),
            "constants.t.to_unit: 'Pa' is no unit of fill",
        ),
        (
            (
                "registers: [{quantity: distance, address: 0}]\n"
                "constants: {h: {names: {ja: 高さ, en: height}, unit: m, default: 9, bounds: [0, 5]}}\n"
                "derived: [{quantity: level, of: distance, subtract_from: h}]"
            ),
            "constants.h.default: 9 lies outside its bounds",
        ),
        (
            (
                "registers: [{quantity: distance, address: 0}]\n"
                "constants: {h: {names: {ja: 高さ, en: height}, unit: m}}\n"
                "derived: [{quantity: fill, of: level, table: h}, {quantity: level, of: distance, subtract_from: h}]"
            ),
            "'level' is derived and stands later",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(tmp_path: Path, line: str, message: str) -> None:
    problems = _problems(tmp_path, HEAD + line + "\n")
    assert any(message in p for p in problems), problems


def test_a_wrong_node_hides_no_other_and_invents_none(tmp_path: Path) -> None:
    text = HEAD + (
        "registers:\n"
        "  - {quantity: soil_temperature, adress: 1}\n"
        "  - quantity: soil_moisture\n"
        "    address: 0\n"
        "    valid_while: [{value: soil_temperature, at_least: 0, otherwise: x}]\n"
        "  - {quantity: voltage, address: 0, unit: ppm}\n"
    )
    assert [p.partition(" ")[2] for p in _problems(tmp_path, text)] == [
        "registers[0].address: is missing",
        "registers[0].adress: unknown key 'adress'; did you mean 'address'?",
        "registers[2].unit: 'ppm' is no unit of voltage; expected one of V, mV",
    ]


def test_a_wrong_driver_hides_nothing_else(tmp_path: Path) -> None:
    text = HEAD.replace("modbus", "modbuss") + "registers:\n  - {quantity: voltage, address: 0, unit: ppm}\n"
    first, second = _problems(tmp_path, text)
    assert "driver: 'modbuss' is unknown; did you mean 'modbus'?" in first
    assert "registers[0].unit: 'ppm' is no unit of voltage" in second
