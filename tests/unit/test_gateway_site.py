"""The gateway file: what is accepted, and that every error of a wrong one has its place."""

# ruff: noqa: E501 (messages are compared whole)
from __future__ import annotations

from pathlib import Path

import pytest

from gateway.drivers import drivers
from gateway.site import Gateway, check_files, load_gateway
from makiba.located_yaml import ConfigErrors

HEAD = "gateway: gw-7f3a\nsite: shikaoi-012\nmqtt: {port: 8883}\nbuses:\n"
GOOD = HEAD + (
    "  barn:\n"
    "    rtu: {port: /dev/ttyS0, baud: 9600, parity: none, stop_bits: 1}\n"
    "    devices:\n"
    "      - {name: barn-1-climate, profile: xy-md02, unit_id: 1, every: 30s}\n"
    "      - {name: tank-1, profile: r4dcb08, unit_id: 2, every: 10s,\n"
    "         channels: {ch1: milk_temperature, ch2: {quantity: pipe_temperature}}}\n"
    "  weather:\n"
    "    nmea: {port: /dev/ttyUSB0, baud: 4800}\n"
    "    devices:\n"
    "      - {name: mast, profile: nmea-weather}\n"
)


def _load(tmp_path: Path, text: str) -> Gateway:
    file = tmp_path / "gateway.yaml"
    file.write_text(text, encoding="utf-8")
    return load_gateway(file, drivers())


def _problems(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        _load(tmp_path, text)
    return [str(p).removeprefix(str(tmp_path) + "/") for p in caught.value.problems]


def test_a_right_file_gives_buses_devices_and_series(tmp_path: Path) -> None:
    gateway = _load(tmp_path, GOOD)
    assert [b.name for b in gateway.buses] == ["barn", "weather"]
    assert gateway.buses[0].subject == "gw-7f3a.barn"
    tank = gateway.buses[0].devices[1]
    assert [str(p.series) for p in tank.points] == [
        "shikaoi-012/tank-1.ch1/milk_temperature",
        "shikaoi-012/tank-1.ch2/pipe_temperature",
    ]
    assert gateway.spool.path == tmp_path / "spool.db"


def test_each_wrong_node_is_told_with_its_place(tmp_path: Path) -> None:
    text = HEAD.replace("{port: 8883}", "{host: 192.0.2.1}") + (
        "  barn:\n"
        "    rtuu: {port: /dev/ttyS0}\n"
        "    devices: [{name: a, profile: xy-md02, unit_id: 1, every: 1s}]\n"
        "  tank:\n"
        '    rtu: {port: /dev/ttyS1, baud: "9600"}\n'
        "    devices:\n"
        "      - {name: a b, profile: xy-md02, unit_id: 300, evry: 1s}\n"
    )
    assert _problems(tmp_path, text) == [
        "gateway.yaml:3:1: mqtt: no tls: allowed only to this machine itself, and '192.0.2.1' is another one",
        f"gateway.yaml:5:3: buses.barn: has no kind of bus; did you mean 'rtu'?; expected one of {', '.join(drivers())}",
        "gateway.yaml:9:29: buses.tank.rtu.baud: '9600' is not accepted; expected a valid integer",
        "gateway.yaml:11:9: buses.tank.devices[0].every: is missing",
        (
            "gateway.yaml:11:10: buses.tank.devices[0].name: 'a b' is not accepted; expected the form"
            " [A-Za-z0-9][A-Za-z0-9:._-]{0,63}"
        ),
        "gateway.yaml:11:39: buses.tank.devices[0].unit_id: 300 is not accepted; expected less than or equal to 254",
        "gateway.yaml:11:53: buses.tank.devices[0].evry: unknown key 'evry'; did you mean 'every'?",
    ]


def test_the_whole_file_is_checked_once_its_parts_are_right(tmp_path: Path) -> None:
    text = HEAD + (
        "  barn:\n"
        "    rtu: {port: /dev/ttyS0}\n"
        "    devices:\n"
        "      - {name: a, profile: xy-md03, unit_id: 3, every: 1s}\n"
        "      - {name: a, profile: nmea-weather, unit_id: 3, every: 1s}\n"
        "      - {name: c, profile: r4dcb08, unit_id: 4, every: 1s, channels: {ch9: temperature, ch1: ammonia}}\n"
        "  mast:\n"
        "    nmea: {port: /dev/ttyS1}\n"
        "    devices: [{name: m1, profile: nmea-weather}, {name: m2, profile: nmea-weather}]\n"
    )
    assert _problems(tmp_path, text) == [
        "gateway.yaml:8:19: buses.barn.devices[0].profile: 'xy-md03' is unknown; did you mean 'xy-md02'?",
        "gateway.yaml:9:10: buses.barn.devices[1].name: 'a' is used twice (line 8)",
        (
            "gateway.yaml:9:19: buses.barn.devices[1].profile: 'nmea-weather' is read by driver 'nmea',"
            " a rtu bus by 'modbus'"
        ),
        "gateway.yaml:9:42: buses.barn.devices[1].unit_id: unit_id 3 used twice (a, line 8)",
        "gateway.yaml:10:9: buses.barn.devices[2]: none of the channels of r4dcb08 is used; list them under 'channels'",
        "gateway.yaml:10:71: buses.barn.devices[2].channels.ch9: r4dcb08 has no free channel 'ch9'; did you mean 'ch8'?",
        (
            "gateway.yaml:10:89: buses.barn.devices[2].channels.ch1: ammonia cannot come from r4dcb08, which gives 'Cel';"
            " expected a unit of /, %, /100, ppm, ppb, mg/kg"
        ),
        "gateway.yaml:13:50: buses.mast.devices[1]: a bus of kind nmea has one device; m1 (line 13) is it",
    ]


def test_a_wrong_node_hides_no_error_of_the_others(tmp_path: Path) -> None:
    text = HEAD + (
        "  barn:\n"
        "    rtu: {port: /dev/ttyS0, baud: fast}\n"
        "    devices: [{name: a, profile: xy-md02, unit_id: 1, every: 1s}]\n"
        "  field:\n"
        "    rtu: {port: /dev/ttyS1}\n"
        "    devices:\n"
        "      - {name: b, profile: xy-md02, unit_id: 1, evry: 1s}\n"
        "      - {name: c, profile: xy-md03, unit_id: 2, every: 1s}\n"
        "      - {name: c, profile: dfrobot-sen0676, unit_id: 3, every: 1s, constants: {installation_hight: 4}}\n"
        "  field:\n"
        "    rtu: {port: /dev/ttyS1}\n"
        "    devices:\n"
        "      - {name: b, profile: xy-md02, unit_id: 1, evry: 1s}\n"
        "      - {name: c, profile: xy-md03, unit_id: 2, every: 1s}\n"
        "      - {name: c, profile: dfrobot-sen0676, unit_id: 2, every: 1s, constants: {installation_hight: 4}}\n"
    )
    assert [p.partition(" ")[2] for p in _problems(tmp_path, text)] == [
        "buses.barn.rtu.baud: 'fast' is not accepted; expected a valid integer",
        "buses.field: stands twice; remove one of the two",
        "buses.field.devices[0].every: is missing",
        "buses.field.devices[0].evry: unknown key 'evry'; did you mean 'every'?",
        "buses.field.devices[1].profile: 'xy-md03' is unknown; did you mean 'xy-md02'?",
        "buses.field.devices[2].name: 'c' is used twice (line 18)",
        "buses.field.devices[2].unit_id: unit_id 2 used twice (c, line 18)",
        (
            "buses.field.devices[2].constants.installation_hight: dfrobot-sen0676 has no constant"
            " 'installation_hight'; did you mean 'installation_height'?"
        ),
    ]


def test_an_error_in_an_own_profile_is_told_in_its_file_once(tmp_path: Path) -> None:
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "mine.yaml").write_text("driver: modbus\n", encoding="utf-8")
    text = (
        "profiles: profiles\n"
        + HEAD
        + (
            "  barn:\n    rtu: {port: /dev/ttyS0}\n    devices:\n"
            "      - {name: a, profile: mine, unit_id: 1, every: 1s}\n"
            "      - {name: b, profile: mine, unit_id: 2, every: 1s}\n"
        )
    )
    problems = _problems(tmp_path, text)
    assert [p for p in problems if "names: is missing" in p] == ["profiles/mine.yaml:1:1: names: is missing"]


def test_a_missing_key_file_is_told_before_anything_starts(tmp_path: Path) -> None:
    gateway = _load(tmp_path, GOOD.replace("{port: 8883}", "{tls: {ca: ca.pem, cert: gw.pem, key: gw.key}}"))
    with pytest.raises(ConfigErrors) as caught:
        check_files(gateway)
    assert [p.path for p in caught.value.problems] == ["mqtt.tls.ca", "mqtt.tls.cert", "mqtt.tls.key"]
