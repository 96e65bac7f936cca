"""Every error of a file in one pass, also those that need several nodes. Pure.

Checks across fields need a model, and a file with one wrong node has none. So the wrong nodes are taken out, what
is left is checked, and the paths of what it tells are put back to where they stand in the file. What was taken out
can hide an error, never invent one: a word that is said to be missing and stands in a node that was taken out is
passed over until that node is right.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from makiba.located_yaml import ConfigErrors, Located, Path_, Problem

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Rest(Generic[M]):
    """What is right of a file: its model, the way from its paths to the file's, and the words of what is not."""

    model: M
    original: Callable[[Path_], Path_]
    hidden: frozenset[str]

    def is_hidden(self, word: Any) -> bool:
        """Whether `word`, said to be missing, stands in a node that was taken out."""
        return isinstance(word, str) and bool({word, word.rpartition("/")[2]} & self.hidden)


def all_problems(
    located: Located, model: type[M], across: Callable[[M], Iterable[tuple[Path_, str]]]
) -> list[Problem]:
    """What is wrong with `located` as a `model`: node by node, and `across` what of it is right."""
    problems, rest = split(located, model)
    if rest is not None:
        for path, message in across(rest.model):
            there = rest.original(path)
            if not rest.is_hidden(located.value(there)):
                problems.append(located.problem(there, message))
    return problems


def split(located: Located, model: type[M]) -> tuple[list[Problem], Rest[M] | None]:
    """What is wrong node by node, and what is right; None when too little is left."""
    try:
        return [], Rest(located.validate(model), lambda path: path, frozenset())
    except ConfigErrors as errors:
        return list(errors.problems), _rest(located.data, model)


_KEPT_AWAY = object()
_MOST_ROUNDS = 8
"""Taking out an item can empty a list that may not be empty, and so on upwards."""

# For what every file needs; what it says is never looked at across fields.
_STAND_INS: dict[str, Any] = {
    "names": {"ja": "?", "en": "?"},
    "source": {"trust": "proposed", "document": "?"},
    "gateway": "gw-0",
    "site": "site-0",
    "mqtt": {},
}


def _rest(data: Any, model: type[M]) -> Rest[M] | None:
    marked, hidden = copy.deepcopy(data), set[str]()
    for _ in range(_MOST_ROUNDS):
        kept: dict[Path_, list[int]] = {}
        cleaned = _without(marked, (), kept)
        if not isinstance(cleaned, dict):
            return None
        original = _way_back(kept)
        try:
            return Rest(model.model_validate(_completed(cleaned, model)), original, frozenset(hidden))
        except ValidationError as error:
            taken = [_take_out(marked, original(tuple(e["loc"])), e["type"], hidden) for e in error.errors()]
            if not any(taken):
                return None
    return None


def _completed(cleaned: dict[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    full = dict(cleaned)
    for name, field in model.model_fields.items():
        if field.is_required() and name not in full:
            words = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
            stand_in = words[0] if words else _STAND_INS.get(name)
            if stand_in is not None:
                full[name] = stand_in
    return full


def _way_back(kept: dict[Path_, list[int]]) -> Callable[[Path_], Path_]:
    def original(path: Path_) -> Path_:
        found: Path_ = ()
        real: Path_ = ()  # without pydantic's tags, which are no nodes
        for part in path:
            places = kept.get(real)
            there = places[part] if places and isinstance(part, int) and part < len(places) else part
            found = (*found, there)
            if not (isinstance(there, str) and there.startswith("<")):
                real = (*real, there)
        return found

    return original


def _take_out(data: Any, path: Sequence[str | int], kind: str, hidden: set[str]) -> bool:
    """Marks the smallest thing that can be missing; whether there was anything to mark.

    That is an unknown key alone; else the item of a list; else an entry of a mapping of sections; else the field.
    """
    holders: list[tuple[Any, str | int]] = []
    node = data
    for part in path:
        try:
            inner = node[part]
        except (KeyError, IndexError, TypeError):
            continue  # a tag of pydantic's, or a key that is missing
        if inner is _KEPT_AWAY:
            return True
        holders.append((node, part))
        node = inner
    if not holders:
        return False
    items = [h for h in holders if isinstance(h[1], int)]
    if kind == "extra_forbidden":
        holder, part = holders[-1]
    elif items:
        holder, part = items[0]
    else:
        holder, part = holders[1] if len(holders) > 1 and _has_sections(holders[0]) else holders[0]
    hidden.update(_texts(holder[part]))
    holder[part] = _KEPT_AWAY
    return True


def _has_sections(holder: tuple[Any, str | int]) -> bool:
    node = holder[0][holder[1]]
    return isinstance(node, dict) and all(v is _KEPT_AWAY or isinstance(v, dict) for v in node.values())


def _texts(node: Any) -> Iterable[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        yield from (str(key) for key in node)
        yield from (text for value in node.values() for text in _texts(value))
    elif isinstance(node, list):
        yield from (text for value in node for text in _texts(value))


def _without(node: Any, path: Path_, kept: dict[Path_, list[int]]) -> Any:
    """`node` without what was marked; `kept` gets, by the file's path of a list, which of its items remain."""
    if isinstance(node, dict):
        return {k: _without(v, (*path, k), kept) for k, v in node.items() if v is not _KEPT_AWAY}
    if isinstance(node, list):
        kept[path] = [i for i, item in enumerate(node) if item is not _KEPT_AWAY]
        return [_without(node[i], (*path, i), kept) for i in kept[path]]
    return node
