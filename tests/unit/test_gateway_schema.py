"""The generated JSON Schema accepts what Makiba ships and refuses what is broken, by a validator that is not ours."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gateway.drivers import drivers
from gateway.schema import gateway_schema, profile_schema
from makiba.located_yaml import load_located
from makiba.settings import configs_dir

PROFILES = sorted((configs_dir() / "devices").glob("*.yaml"))
GATEWAYS = sorted((configs_dir() / "sites").glob("*/gateway*.yaml"))
SCHEMAS = {"profile": profile_schema(drivers()), "gateway": gateway_schema(drivers())}


def errors(kind: str, data: Any) -> list[str]:
    # JSON has texts as keys only, as an editor sees it.
    plain = json.loads(json.dumps(data))
    return [error.message for error in Draft202012Validator(SCHEMAS[kind]).iter_errors(plain)]


@pytest.mark.parametrize("kind", SCHEMAS)
def test_the_schema_is_itself_sound(kind: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[kind])


@pytest.mark.parametrize(
    ("kind", "file"),
    [*(("profile", f) for f in PROFILES), *(("gateway", f) for f in GATEWAYS)],
    ids=lambda v: v if isinstance(v, str) else f"{v.parent.name}/{v.stem}",
)
def test_what_makiba_ships_keeps_to_the_schema(kind: str, file: Path) -> None:
    assert not errors(kind, load_located(file).data)


def _broken(file: Path, path: list[str | int], value: Any) -> Any:
    data = copy.deepcopy(load_located(file).data)
    node = data
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = value
    return data


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["driver"], "modbuss"),
        (["registers", 0, "type"], "int61"),
        (["registers", 0, "adress"], 4),
        (["registers", 0, "address"], 70000),
        (["registers", 0, "quantity"], "air_temprature"),
        (["registers", 0, "unit"], "°C"),
        (["quirks"], {"haunted": "it is"}),
        (["registers"], []),
        (["timeout"], 3),
    ],
)
def test_a_broken_profile_does_not(path: list[str | int], value: Any) -> None:
    assert errors("profile", _broken(configs_dir() / "devices" / "xy-md02.yaml", path, value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["buses", "barn"], {"rtuu": {"port": "/dev/ttyS0"}, "devices": []}),
        (["buses", "barn", "rtu", "baud"], "9600"),
        (["buses", "barn", "devices", 0, "unit_id"], 300),
        (["buses", "tank-room", "devices", 0, "channels", "ch1"], "milk_temprature"),
        (["buses", "tank-room", "devices", 0, "constants"], {"height": True}),
        (["gateway"], 7),
    ],
)
def test_a_broken_gateway_file_does_not(path: list[str | int], value: Any) -> None:
    assert errors("gateway", _broken(configs_dir() / "sites" / "demo" / "gateway.yaml", path, value))
