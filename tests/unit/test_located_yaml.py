"""A wrong file names every place that is wrong, what was expected, and the nearest word."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from makiba.located_yaml import ConfigErrors, Duration, load_located, parse_duration, parse_located, spell_duration
from makiba.settings import configs_dir


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Rtu(Section):
    kind: Literal["rtu"]
    port: str
    baud: int = 9600


class Tcp(Section):
    kind: Literal["tcp"]
    host: str


class Device(Section):
    name: str
    every: Duration
    kind: Literal["int16", "uint16"] = "int16"


class File(Section):
    bus: Annotated[Rtu | Tcp, Field(discriminator="kind")]
    devices: list[Device]
    names: dict[str, Device] = {}
    on: str = "off"


GOOD = """bus: {kind: rtu, port: /dev/ttyS0}
devices:
  - {name: a, every: 30s}
"""


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        parse_located(text, "f.yaml").validate(File)
    return str(caught.value).splitlines()


def test_a_right_file_is_its_model() -> None:
    file = parse_located(GOOD, "f.yaml").validate(File)
    assert file.devices[0].every == timedelta(seconds=30)
    assert file.bus == Rtu(kind="rtu", port="/dev/ttyS0")


def test_every_problem_is_named_in_one_pass_with_its_place() -> None:
    text = """bus: {kind: rtu, prt: /dev/ttyS0, baud: "9600"}
devices:
  - {name: a, every: 30}
  - name: 7
    every: 10s
    kind: int61
  - {every: 1s, nmae: x}
names:
  b: {name: b, every: 5 fortnights}
"""
    got = problems(text)
    assert got == [
        "f.yaml:1:1: bus.port: is missing",
        "f.yaml:1:18: bus.prt: unknown key 'prt'; did you mean 'port'?",
        "f.yaml:1:35: bus.baud: '9600' is not accepted; expected a valid integer",
        "f.yaml:3:15: devices[0].every: 30 is not a duration; expected a number and ms, s, min, h or d, such as 30s",
        "f.yaml:4:5: devices[1].name: 7 is not accepted; expected a valid string",
        "f.yaml:6:5: devices[1].kind: 'int61' is unknown; did you mean 'int16'?; expected 'int16' or 'uint16'",
        "f.yaml:7:5: devices[2].name: is missing",
        "f.yaml:7:17: devices[2].nmae: unknown key 'nmae'; did you mean 'name'?",
        (
            "f.yaml:9:16: names.b.every: '5 fortnights' is not a duration; "
            "expected a number and ms, s, min, h or d, such as 30s"
        ),
    ]


def test_an_unknown_kind_of_a_union_names_those_that_there_are() -> None:
    assert problems(GOOD.replace("kind: rtu", "kind: rtuu")) == [
        "f.yaml:1:1: bus: 'rtuu' is unknown; did you mean 'rtu'?; expected 'rtu', 'tcp'"
    ]


def test_an_unknown_key_without_a_near_word_lists_the_keys() -> None:
    assert problems(GOOD + "zzz: 1\n") == [
        "f.yaml:4:1: zzz: unknown key 'zzz'; expected one of bus, devices, names, on"
    ]


def test_a_key_that_stands_twice_is_an_error() -> None:
    assert problems(GOOD + "on: a\non: b\n") == ["f.yaml:5:1: on: stands twice; remove one of the two"]


def test_words_that_look_like_truth_or_time_stay_texts() -> None:
    located = parse_located("a: on\nb: 04:30\nc: 2026-01-02\nd: no\ne: 0x10\nf: 010\ng: true\nh: 1e3\n", "f.yaml")
    assert located.data == {
        "a": "on", "b": "04:30", "c": "2026-01-02", "d": "no", "e": 16, "f": 10, "g": True, "h": 1000.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: [1\nb: 2\n", "f.yaml:2:2: is not YAML"),
        ("", "f.yaml:1:1: is empty"),
        ("a: &x [*x, *y]\n", "f.yaml:1:12: is not YAML"),
        ("a: !!python/object:os.system {}\n", "f.yaml:1:4: is not YAML"),
    ],
)
def test_what_is_not_yaml_says_where(text: str, why: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        parse_located(text, "f.yaml")
    assert str(caught.value).startswith(why)


def test_a_file_that_is_not_there_or_not_text_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors, match=r"no\.yaml:1:1: cannot be read: No such file"):
        load_located(tmp_path / "no.yaml")
    (tmp_path / "sjis.yaml").write_bytes("a: 1\nname: 牛舎\n".encode("cp932"))
    with pytest.raises(ConfigErrors, match=r"sjis\.yaml:2:1: is not UTF-8"):
        load_located(tmp_path / "sjis.yaml")


@pytest.mark.parametrize("text", ["30s", "200ms", "10min", "1h", "2d", "0s", "90s", "250ms"])
def test_durations_come_back_the_same(text: str) -> None:
    assert parse_duration(spell_duration(parse_duration(text))) == parse_duration(text)


def test_a_duration_is_spelled_in_its_largest_whole_unit() -> None:
    assert [spell_duration(parse_duration(t)) for t in ("3600s", "90s", "1.5h", "0s")] == ["1h", "90s", "90min", "0s"]


@pytest.mark.parametrize(
    "text", ["[" * 50_000 + "]" * 50_000, "- " * 50_000 + "a", "{a: " * 40_000 + "1" + "}" * 40_000]
)
def test_a_file_that_nests_without_end_ends_no_process(tmp_path: Path, text: str) -> None:
    file = tmp_path / "deep.yaml"
    file.write_text(text)
    with pytest.raises(ConfigErrors, match="too deep"):
        load_located(file)


def test_both_loaders_say_the_same_of_every_file_that_comes_along() -> None:
    files = sorted(configs_dir().rglob("*.yaml"))
    assert len(files) > 100
    for file in files:
        quick, plain = load_located(file), parse_located(file.read_text(encoding="utf-8"), str(file))
        assert quick == plain, file
