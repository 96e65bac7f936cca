"""What a value depends on decides whether it is believed: statuses, other values, the site's constants."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.constants import Table, constant_value
from gateway.decode import Text
from gateway.drivers import drivers
from gateway.interpret import interpreter
from gateway.profile import Constant
from gateway.site import load_gateway
from makiba.located_yaml import ConfigErrors

HEAD = "driver: modbus\nnames: {ja: 計器, en: Meter}\nsource: {trust: proposed, document: none}\n"


def _gateway(tmp_path: Path, profile: str, more: str = "") -> Any:
    (tmp_path / "profiles").mkdir(exist_ok=True)
    (tmp_path / "profiles" / "meter.yaml").write_text(HEAD + profile, encoding="utf-8")
    file = tmp_path / "gateway.yaml"
    file.write_text(
        "gateway: gw-1\nsite: shikaoi-001\nmqtt: {port: 8883}\nprofiles: profiles\nbuses:\n"
        f"  b:\n    rtu: {{port: /dev/ttyS0}}\n"
        f"    devices: [{{name: it, profile: meter, unit_id: 1, every: 1s{more}}}]\n",
        encoding="utf-8",
    )
    return load_gateway(file, drivers()).buses[0].devices[0]


def _found(tmp_path: Path, profile: str, memory: Mapping[int, int | None], more: str = "") -> dict[str, object]:
    """What each value comes out as; an address whose word is None is in a read that fails."""
    device = _gateway(tmp_path, profile, more)
    ready = interpreter(device)
    replies: list[list[int] | None] = []
    for read in ready.reads:
        words = [memory[a] for a in range(read.address, read.address + read.count)]
        replies.append(None if None in words else [w for w in words if w is not None])
    return {
        p.series.subject.removeprefix("it") + "/" + p.quantity.name: f
        for p, f in zip(device.points, ready.found(replies), strict=True)
    }


def test_a_value_whose_status_was_not_read_is_not_told(tmp_path: Path) -> None:
    profile = (
        "status: [{name: s, address: 5, type: uint16, bits: {0: broken}}]\n"
        "registers: [{quantity: voltage, address: 0, gated_by: [s]}, {quantity: current, address: 1}]\n"
    )
    assert _found(tmp_path, profile, {0: 3, 1: 4, 5: None}) == {"/voltage": None, "/current": 4}
    assert _found(tmp_path, profile, {0: 3, 1: 4, 5: 2}) == {"/voltage": 3, "/current": 4}
    assert _found(tmp_path, profile, {0: 3, 1: 4, 5: 3}) == {"/voltage": "broken", "/current": 4}


def test_the_lowest_bit_that_is_set_names_the_state(tmp_path: Path) -> None:
    profile = (
        "status: [{name: s, address: 5, type: uint16, bits: {3: cold, 1: dirty}}]\n"
        "registers: [{quantity: voltage, address: 0, gated_by: [s]}]\n"
    )
    assert _found(tmp_path, profile, {0: 3, 5: 0b1010}) == {"/voltage": "dirty"}
    assert _found(tmp_path, profile, {0: 3, 5: 0b1000}) == {"/voltage": "cold"}


def test_a_status_by_word_knows_only_its_words(tmp_path: Path) -> None:
    profile = (
        "status: [{name: s, address: 5, type: uint16, part: high-byte, words: {1: ok, 2: warm-up}}]\n"
        "registers: [{quantity: voltage, address: 0, gated_by: [s]}]\n"
    )
    assert _found(tmp_path, profile, {0: 3, 5: 0x01FF}) == {"/voltage": 3}
    assert _found(tmp_path, profile, {0: 3, 5: 0x0200}) == {"/voltage": "warm-up"}
    assert _found(tmp_path, profile, {0: 3, 5: 0x0300}) == {"/voltage": "invalid"}


@pytest.mark.parametrize(
    ("means", "raw", "place", "expected"),
    [
        ("decimals", 1234, 2, 12.34),
        ("exponent", 1234, 0xFFFE, 12.34),
        ("exponent", 12, 1, 120),
        ("decimals", 1234, 11, "invalid"),
    ],
)
def test_a_register_says_where_the_point_is(
    tmp_path: Path, means: str, raw: int, place: int, expected: object
) -> None:
    profile = f"registers: [{{quantity: voltage, address: 0, scaled_by: {{address: 1, means: {means}}}}}]\n"
    assert _found(tmp_path, profile, {0: raw, 1: place}) == {"/voltage": expected}


def test_parts_masks_signs_texts_and_words(tmp_path: Path) -> None:
    profile = (
        "address_base: 1\n"
        "registers:\n"
        "  - {quantity: voltage, address: 1, type: uint16, part: high-byte}\n"
        "  - {quantity: current, address: 1, type: uint16, part: low-byte}\n"
        "  - {quantity: power, address: 1, type: uint16, mask: 0x0FF0}\n"
        "  - {quantity: reactive_power, address: 2, type: uint16, sign: sign-magnitude}\n"
        "  - {quantity: model, address: 3, type: ascii, length: 2}\n"
        "  - {quantity: firmware, address: 3, type: ascii, length: 2, byte_order: little}\n"
        "  - {quantity: gas_name, address: 5, type: uint16, words: {1: CH4, 2: H2S}, sentinels: [0]}\n"
    )
    memory = {0: 0x1234, 1: 0x8007, 2: 0x4142, 3: 0x4300, 4: 2}
    assert _found(tmp_path, profile, memory) == {
        "/voltage": 0x12,
        "/current": 0x34,
        "/power": 0x23,
        "/reactive_power": -7,
        "/model": Text("ABC"),
        "/firmware": Text("BA"),
        "/gas_name": Text("H2S"),
    }
    assert _found(tmp_path, profile, {**memory, 4: 0})["/gas_name"] == "sentinel"
    assert _found(tmp_path, profile, {**memory, 4: 3})["/gas_name"] == "invalid"


def test_bits_are_read_from_their_tables(tmp_path: Path) -> None:
    profile = (
        "registers:\n"
        "  - {channel: a, quantity: switched_on, table: coil, address: 3, type: bit}\n"
        "  - {channel: b, quantity: switched_on, table: discrete, address: 4, type: bit}\n"
    )
    assert [r.table for r in interpreter(_gateway(tmp_path, profile)).reads] == ["coil", "discrete"]
    assert _found(tmp_path, profile, {3: 1, 4: 0}) == {".a/switched_on": 1, ".b/switched_on": 0}


def test_one_value_per_read_is_kept_to(tmp_path: Path) -> None:
    profile = (
        "quirks: {one-value-per-read: It answers exception 2 to anything longer.}\n"
        "registers: [{quantity: voltage, address: 0}, {quantity: current, address: 1}]\n"
    )
    assert [(r.address, r.count) for r in interpreter(_gateway(tmp_path, profile)).reads] == [(0, 1), (1, 1)]


LEVEL = """\
constants:
  height: {names: {ja: 高さ, en: height of the sensor}, unit: m, required: true, bounds: [0.1, 40]}
registers: [{quantity: distance, address: 0, type: uint16, unit: mm, sentinels: [0xFFFF]}]
derived: [{quantity: level, of: distance, subtract_from: height}]
"""


@pytest.mark.parametrize("given", ["4.2", "4.2 m", "420 cm", "4200mm"])
def test_a_height_may_be_given_in_any_unit(tmp_path: Path, given: str) -> None:
    more = f", constants: {{height: {given}}}"
    assert _found(tmp_path, LEVEL, {0: 1700}, more) == {"/distance": 1.7, "/level": 2.5}
    assert _found(tmp_path, LEVEL, {0: 0xFFFF}, more) == {"/distance": "sentinel", "/level": "sentinel"}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("", "constants.height: is missing: height of the sensor in m (高さ)"),
        (", constants: {hight: 4}", "constants.hight: meter has no constant 'hight'; did you mean 'height'?"),
        (", constants: {height: 41}", "constants.height: 41 is not accepted; expected 0.1 to 40 m"),
        (", constants: {height: 4 kg}", "constants.height: unit 'kg' does not fit; expected m"),
        (", constants: {height: high}", "constants.height: expected a number in m, or a text like 4.2 m"),
        (", constants: {height: [[1, 2]]}", "constants.height: expected a number in m, or a text like 4.2 m"),
        (", constants: {height: true}", "True is neither a number"),
    ],
)
def test_a_wrong_constant_is_told_with_its_place(tmp_path: Path, more: str, message: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        _gateway(tmp_path, LEVEL, more)
    told = [str(p) for p in caught.value.problems]
    assert any("gateway.yaml:8:" in p and message in p for p in told), told


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([[0, 0]], "two or more pairs"),
        ([[0, 0], [0, 1]], "row 2: 0 does not come after 0"),
        ([[0, 0], [1]], "row 2 is"),
        ([[0, 0], [1, "x"]], "row 2 is"),
        (5, "expected a table"),
    ],
)
def test_a_table_has_to_rise(given: Any, message: str) -> None:
    constant = Constant.model_validate({"names": {"ja": "表", "en": "table"}, "kind": "table", "unit": "m"})
    with pytest.raises(ValueError, match=message):
        constant_value(constant, given)


@pytest.mark.parametrize(("x", "y"), [(0, 10), (1, 20), (1.5, 40), (2, 60), (-0.1, None), (2.1, None)])
def test_a_table_is_straight_between_its_points(x: float, y: float | None) -> None:
    assert Table(((0, 10), (1, 20), (2, 60))).at(x) == y


def test_a_channel_with_an_open_unit_needs_one(tmp_path: Path) -> None:
    profile = "registers: [{channel: gas, ask_unit: true, address: 0, type: uint16}]\n"
    with pytest.raises(ConfigErrors, match="needs the unit that the instrument shows"):
        _gateway(tmp_path, profile, ", channels: {gas: methane}")
    with pytest.raises(ConfigErrors, match="methane cannot come from meter, which gives 'hPa'"):
        _gateway(tmp_path, profile, ", channels: {gas: {quantity: methane, unit: hPa}}")
    more = ', channels: {gas: {quantity: methane, unit: "%"}}'
    assert _found(tmp_path, profile, {0: 50}, more) == {".gas/methane": 0.5}


def test_a_unit_that_the_profile_knows_is_not_asked_for(tmp_path: Path) -> None:
    profile = "registers: [{channel: t, unit: Cel, address: 0}]\n"
    with pytest.raises(ConfigErrors, match="meter gives 'Cel'; leave 'unit' out"):
        _gateway(tmp_path, profile, ", channels: {t: {quantity: temperature, unit: K}}")
