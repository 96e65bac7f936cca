"""A profile or gateway file broken in any way is either right or told with places; checking never fails by itself."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.constants import Table
from gateway.driver import Device, Point
from gateway.drivers import drivers
from gateway.interpret import interpreter
from gateway.profile import Profile, check_profile
from gateway.registers import ModbusProfile
from gateway.site import load_gateway
from gateway.tools.check import is_profile, profile_report, profile_warnings
from gateway.tools.language import Say
from makiba.located_yaml import ConfigErrors, load_located, parse_located
from makiba.quantities import catalogue
from makiba.reading import Series
from makiba.settings import configs_dir
from tests.often import often

MODELS: dict[str, type[Profile]] = {d.family: d.profile_model for d in drivers().values()}
PROFILES = [load_located(f).data for f in sorted((configs_dir() / "devices").glob("*.yaml"))]
GATEWAY = load_located(configs_dir() / "sites" / "demo" / "gateway.yaml").data
WORDS = [
    "modbus",
    "ok",
    "distance",
    "voltage",
    "model",
    "height",
    "Cel",
    "m",
    "table",
    "ascii",
    "bit",
    "uint16",
    "coil",
]
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 70000),
    st.floats(),
    st.sampled_from(WORDS),
    st.just([]),
    st.just({}),
    st.lists(st.integers(0, 9), max_size=2),
    st.dictionaries(st.sampled_from(WORDS), st.integers(0, 9), max_size=2),
)


def paths(node: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if here:
        yield here
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield from paths(value, (*here, key))


def broken(data: Any, draw: Any) -> Any:
    """`data` with some of its nodes gone, replaced, renamed or doubled."""
    data = copy.deepcopy(data)
    for _ in range(draw(st.integers(1, 5))):
        places = list(paths(data))
        if not places:
            break
        path = draw(st.sampled_from(places))
        holder = data
        for part in path[:-1]:
            holder = holder[part]
        what = draw(st.sampled_from(["drop", "replace", "rename", "double"]))
        if what == "replace":
            holder[path[-1]] = draw(VALUES)
        elif what == "double" and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[path[-1]]))
        elif what == "rename" and isinstance(holder, dict):
            holder[draw(st.sampled_from(WORDS))] = holder.pop(path[-1])
        elif what == "drop":
            del holder[path[-1]]
    return data


def placed(errors: ConfigErrors, name: str) -> None:
    assert errors.problems
    for problem in errors.problems:
        assert problem.line >= 1
        assert problem.column >= 1
        assert problem.message
        assert name in problem.file


def works(profile: ModbusProfile, draw: Any) -> None:
    """A profile that passed its checks can be read, whatever the device answers."""
    constants: dict[str, float | Table] = {
        name: Table(((0.0, 0.0), (1.0, 1.0))) if c.kind == "table" else 1.0 for name, c in profile.constants.items()
    }
    points = tuple(
        Point(index, Series("s-1", "it", value.quantity), catalogue()[value.quantity])
        for index, value in enumerate(profile.values())
        if value.quantity
    )
    ready = interpreter(Device("it", "meter", profile, None, points, constants))
    most = 1 if any(read.table in ("coil", "discrete") for read in ready.reads) else 0xFFFF
    word = st.sampled_from([0, 1, 0x7FFF, 0x8000, 0xFFFF, 0x4348, 0x7FC0]) | st.integers(0, most)
    for point, found in zip(points, ready.found([[draw(word)] * read.count for read in ready.reads]), strict=True):
        if isinstance(found, (int, float)):
            assert math.isfinite(found)
            assert point.quantity.is_plausible(found)


@settings(max_examples=often(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_broken_profile_is_told_with_places(data: Any) -> None:
    text = yaml.safe_dump(broken(data.draw(st.sampled_from(PROFILES)), data.draw), allow_unicode=True)
    located = parse_located(text, "f.yaml")
    is_profile(located)
    try:
        loaded = check_profile(located, "f", MODELS)
    except ConfigErrors as errors:
        placed(errors, "f.yaml")
    else:
        assert list(profile_report(loaded, Say("en")))
        list(profile_warnings(loaded, Say("en")))
        if isinstance(loaded.profile, ModbusProfile):
            works(loaded.profile, data.draw)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("broken")


@settings(max_examples=often(100), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_broken_gateway_file_is_told_with_places(folder: Path, data: Any) -> None:
    file = folder / "gateway.yaml"
    file.write_text(yaml.safe_dump(broken(GATEWAY, data.draw), allow_unicode=True), encoding="utf-8")
    try:
        load_gateway(file, drivers())
    except ConfigErrors as errors:
        placed(errors, "gateway.yaml")
