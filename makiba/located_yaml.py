"""YAML whose errors are places: `file:line:column: path: what was expected`.

`load_located` reads a file and remembers where each node stands; `Located.validate` checks it against a
pydantic model and raises `ConfigErrors` with every problem of the file, in the file's order. Scalars follow
YAML 1.2's core schema: `on`, `no` and `04:30` are texts, as a farmer's nephew expects.
"""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, BeforeValidator, PlainSerializer, RootModel, Tag, ValidationError

from makiba.words import nearest

Path_ = tuple[str | int, ...]
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong in a file. Lines and columns count from 1; `path` is like `buses.barn.devices[0].every`."""

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}"
        return f"{where}: {self.path}: {self.message}" if self.path else f"{where}: {self.message}"


class ConfigErrors(Exception):
    """Every problem found in one pass over one or more configuration files."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(str(p) for p in self.problems))


class _Loader(yaml.SafeLoader):
    """YAML 1.2 core schema: no sexagesimal numbers, no dates, true and false only."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("int", r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$", "-+0123456789"),
    (
        "float",
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan)$",
        "-+0123456789.",
    ),
    ("null", r"^(?:~|null|Null|NULL|)$", ("~", "n", "N", "")),
    ("merge", r"^(?:<<)$", "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))


def _int(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node))
    # `int(text, 0)` refuses a leading zero, which YAML 1.2 reads as decimal.
    return int(text, 0) if text[:2] in ("0x", "0o") else int(text)


_Loader.add_constructor("tag:yaml.org,2002:int", _int)


class _QuickLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The same by libyaml, where it is there, for files of this machine: a tenth of the time, felt at every start."""

    yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers
    yaml_constructors = _Loader.yaml_constructors


@dataclass(frozen=True, slots=True)
class Located:
    """The data of a YAML file and the place of each of its nodes.

    `places` maps a path to (line, column), counted from 1, of the value's key (or of the item of a list).
    """

    file: str
    data: Any
    places: Mapping[Path_, tuple[int, int]] = field(repr=False)
    twice: tuple[Problem, ...] = ()
    """Keys that stand twice; `validate` tells them with everything else."""

    def place(self, path: Sequence[str | int]) -> tuple[int, int]:
        """Where the node at `path` stands, or its nearest parent that exists."""
        return self._known(path)[1]

    def problem(self, path: Sequence[str | int], message: str) -> Problem:
        """A problem at `path`, for checks that a model cannot express."""
        known, (line, column) = self._known(path)
        missing = [p for p in path if p not in known]
        return Problem(self.file, line, column, _spell([*known, *missing]), message)

    def value(self, path: Sequence[str | int]) -> Any:
        """What stands at `path`, or None."""
        node = self.data
        for part in path:
            try:
                node = node[part]
            except (KeyError, IndexError, TypeError):
                return None
        return node

    def validate(self, model: type[M]) -> M:
        """The file as a `model`; `ConfigErrors` with all that is wrong otherwise."""
        try:
            valid = model.model_validate(self.data)
        except ValidationError as error:
            raise ConfigErrors([*self.twice, *(self._explain(model, e) for e in error.errors())]) from None
        if self.twice:
            raise ConfigErrors(self.twice)
        return valid

    def _known(self, path: Sequence[str | int]) -> tuple[Path_, tuple[int, int]]:
        """The part of `path` that exists, and its place. A tag that pydantic put into a path is passed over."""
        known: Path_ = ()
        written: Path_ = ()
        for part in path:
            # A key that is a number is kept as it is written.
            for here in ((*written, part), (*written, str(part))):
                if here in self.places:
                    known, written = (*known, part), here
                    break
        return known, self.places[written]

    def _explain(self, model: type[BaseModel], error: Any) -> Problem:
        loc: tuple[str | int, ...] = error["loc"]
        known, (line, column) = self._known(loc)
        kind, ctx = error["type"], error.get("ctx", {})
        # pydantic's way to say that it means the key of a mapping, not what stands under it
        given = known[-1] if known and loc[-1] == "[key]" else self.value(known)
        shown = f"{given!r}" if isinstance(given, (str, int, float, bool)) else type(given).__name__
        path = _spell(known)
        if kind == "extra_forbidden":
            parent = _model_at(model, loc[:-1])
            fields = _field_names(parent) if parent else []
            message = f"unknown key {loc[-1]!r}{nearest(str(loc[-1]), fields)}"
            if "did you mean" not in message and fields:
                message += f"; expected one of {', '.join(fields)}"
        elif kind == "missing":
            path = _spell((*known, loc[-1])) if known != loc else path
            message = "is missing"
        elif kind in ("literal_error", "enum"):
            words = re.findall(r"'([^']*)'", str(ctx.get("expected", "")))
            message = f"{shown} is unknown{nearest(str(given), words)}; expected {ctx.get('expected')}"
        elif kind == "union_tag_invalid":
            words = re.findall(r"'([^']*)'", str(ctx.get("expected_tags", "")))
            tag, expected = ctx.get("tag"), ctx.get("expected_tags")
            message = f"{tag!r} is unknown{nearest(str(tag), words)}; expected {expected}"
        elif kind == "string_pattern_mismatch":
            message = f"{shown} is not accepted; expected the form {ctx.get('pattern', '').strip('^$')}"
        elif kind == "value_error":
            message = str(ctx.get("error", error["msg"]))
        else:
            text = error["msg"].removeprefix("Input should be ")
            message = f"{shown} is not accepted; expected {text}" if text != error["msg"] else f"{shown}: {text}"
        return Problem(self.file, line, column, path, message)


def load_located(file: Path) -> Located:
    """Reads `file`; `ConfigErrors` when it cannot be read or is not YAML."""
    name = str(file)
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigErrors([Problem(name, 1, 1, "", f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError as error:
        line = file.read_bytes()[: error.start].count(b"\n") + 1
        raise ConfigErrors([Problem(name, line, 1, "", "is not UTF-8 text; save it as UTF-8")]) from None
    if _is_shallow(text):
        try:
            return _parse(_QuickLoader(text), name)
        except (yaml.YAMLError, ValueError, OverflowError):
            pass  # what is wrong is said by the loader that has words for it
    return parse_located(text, name)


def _is_shallow(text: str) -> bool:
    """Whether nothing in it can nest so deep that libyaml's recursion would end the process."""
    flows = text.count("[") + text.count("{")
    return flows <= 2_000 and len(text) <= 1_000_000 and "- - -" not in text and "? ?" not in text


def parse_located(text: str, name: str) -> Located:
    """The same for a text that is already here; `name` stands for it in errors."""
    try:
        return _parse(_Loader(text), name)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise ConfigErrors([Problem(name, line, column, "", f"is not YAML: {error.problem}")]) from None
    except yaml.YAMLError as error:
        raise ConfigErrors([Problem(name, 1, 1, "", f"is not YAML: {error}")]) from None
    except RecursionError:
        raise ConfigErrors([Problem(name, 1, 1, "", "nests too deep")]) from None


def _parse(loader: yaml.SafeLoader, name: str) -> Located:
    try:
        node = loader.get_single_node()
        if node is None:
            raise ConfigErrors([Problem(name, 1, 1, "", "is empty")])
        places: dict[Path_, tuple[int, int]] = {(): (1, 1)}
        problems: list[Problem] = []
        _place(node, (), places, problems, name)
        data = loader.construct_document(node)
    finally:
        loader.dispose()
    return Located(name, data, places, tuple(problems))


def _place(
    node: yaml.Node,
    path: Path_,
    places: dict[Path_, tuple[int, int]],
    problems: list[Problem],
    name: str,
) -> None:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            word = key.value
            here = (*path, word)
            if word in seen and word != "<<":
                line, column = key.start_mark.line + 1, key.start_mark.column + 1
                problems.append(Problem(name, line, column, _spell(here), "stands twice; remove one of the two"))
            seen.add(word)
            places[here] = (key.start_mark.line + 1, key.start_mark.column + 1)
            _place(value, here, places, problems, name)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            here = (*path, index)
            places[here] = (item.start_mark.line + 1, item.start_mark.column + 1)
            _place(item, here, places, problems, name)


def _spell(path: Sequence[str | int]) -> str:
    """`('buses', 'barn', 'devices', 0)` as `buses.barn.devices[0]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _field_names(model: type[BaseModel]) -> list[str]:
    return [f.alias or name for name, f in model.model_fields.items()]


def _model_at(model: type[BaseModel], loc: Sequence[str | int]) -> type[BaseModel] | None:
    """The model that validates the node at `loc`, for naming its keys; None when there is no single one."""
    kinds: list[Any] = [model]
    for part in loc:
        kinds = [k for kind in kinds for k in _inside(kind, part)]
    models = [k for kind in kinds for k in _models(kind)]
    return models[0] if models else None


def _unwrap(kind: Any) -> list[Any]:
    origin = get_origin(kind)
    if origin is Annotated:
        return _unwrap(get_args(kind)[0])
    if origin in (Union, types.UnionType):
        return [k for arg in get_args(kind) for k in _unwrap(arg)]
    if isinstance(kind, type) and issubclass(kind, RootModel):
        return _unwrap(kind.model_fields["root"].annotation)
    return [kind]


def _models(kind: Any) -> list[type[BaseModel]]:
    return [k for k in _unwrap(kind) if isinstance(k, type) and issubclass(k, BaseModel)]


def _tagged(kind: Any, tag: str | int) -> list[Any]:
    """The member of a union that pydantic chose by `tag`."""
    origin = get_origin(kind)
    if origin is Annotated:
        inner, *marks = get_args(kind)
        if any(isinstance(mark, Tag) and mark.tag == tag for mark in marks):
            return [inner]
        return _tagged(inner, tag)
    if origin in (Union, types.UnionType):
        return [k for arg in get_args(kind) for k in _tagged(arg, tag)]
    return []


def _inside(kind: Any, part: str | int) -> list[Any]:
    if chosen := _tagged(kind, part):
        return chosen
    found: list[Any] = []
    for k in _unwrap(kind):
        origin, args = get_origin(k), get_args(k)
        if isinstance(k, type) and issubclass(k, BaseModel):
            for name, f in k.model_fields.items():
                if part in (name, f.alias):
                    found.append(f.annotation)
        elif origin in (list, tuple, Sequence) and isinstance(part, int):
            found.append(args[0])
        elif origin in (dict, Mapping):
            found.append(args[1])
    # A tag that pydantic put into the path names no node: stay where we are.
    return found or [kind]


_UNITS_S = {"ms": 0.001, "s": 1, "min": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|h|d)")


def parse_duration(text: object) -> timedelta:
    """`30s`, `1.5h`, `10min`, `200ms`, `2d` as a duration; `ValueError` says what is expected."""
    if isinstance(text, timedelta):
        return text
    match = _DURATION.fullmatch(text.strip()) if isinstance(text, str) else None
    if not match:
        raise ValueError(f"{text!r} is not a duration; expected a number and ms, s, min, h or d, such as 30s")
    return timedelta(seconds=float(match[1]) * _UNITS_S[match[2]])


def spell_duration(duration: timedelta) -> str:
    """The shortest text that `parse_duration` reads back as `duration`."""
    seconds = duration.total_seconds()
    for unit in ("d", "h", "min", "s"):
        count = seconds / _UNITS_S[unit]
        if count == int(count) and (count or unit == "s"):
            return f"{int(count)}{unit}"
    return f"{seconds * 1000:g}ms"


def _positive(duration: timedelta) -> timedelta:
    if duration <= timedelta(0):
        raise ValueError("must be longer than 0")
    return duration


_validator: Callable[[Any], Any] = parse_duration
Duration = Annotated[
    timedelta,
    BeforeValidator(_validator, json_schema_input_type=str),
    PlainSerializer(spell_duration, return_type=str),
]
"""A pydantic field for a duration with its unit in the text, zero allowed."""
