"""Every error of a file in one pass, also those that need several nodes. Pure.

Checks across fields need a model, and a file with one wrong node has none. So the wrong nodes are taken out, what
is left is checked, and the paths of what it tells are put back to where they stand in the file. What was taken out
can hide an error, never invent one: a word that is said to be missing and stands in a node that was taken out is
passed over until that node is right.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from makiba.located_yaml import ConfigErrors, Located, Path_, Problem

M = TypeVar("M", bound=BaseModel)


def all_problems(
    located: Located, model: type[M], across: Callable[[M], Iterable[tuple[Path_, str]]]
) -> list[Problem]:
    """What is wrong with `located` as a `model`: node by node, and `across` what of it is right."""
    try:
        whole = model.model_validate(located.data)
    except ValidationError as error:
        problems = _told_by(located, model)
        rest = _rest(located.data, model, error)
        if rest is None:
            return problems
        left, original, hidden = rest
        for path, message in across(left):
            there = original(path)
            word = located.value(there)
            if not (isinstance(word, str) and {word, word.rpartition("/")[2]} & hidden):
                problems.append(located.problem(there, message))
        return problems
    return [located.problem(path, message) for path, message in across(whole)]


def _told_by(located: Located, model: type[BaseModel]) -> list[Problem]:
    try:
        located.validate(model)
    except ConfigErrors as errors:
        return list(errors.problems)
    return []


def _spots(error: ValidationError) -> list[tuple[Path_, str]]:
    return [(tuple(e["loc"]), e["type"]) for e in error.errors()]


_KEPT_AWAY = object()


def _rest(
    data: Any, model: type[M], error: ValidationError
) -> tuple[M, Callable[[Path_], Path_], frozenset[str]] | None:
    """The model of what is right, the way from its paths to the file's, and the words that stand in what is not.

    None when too little is left.
    """
    pruned = copy.deepcopy(data)
    hidden: set[str] = set()
    for path, kind in _spots(error):
        _take_out(pruned, path, kind, hidden)
    kept: dict[Path_, list[int]] = {}
    cleaned = _without(pruned, (), kept)
    if not isinstance(cleaned, dict):
        return None
    for name, field in model.model_fields.items():
        if field.is_required() and name not in cleaned:
            words = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
            cleaned[name] = words[0] if words else _STAND_INS.get(name, [])
    try:
        left = model.model_validate(cleaned)
    except ValidationError:
        return None

    def original(path: Path_) -> Path_:
        found: Path_ = ()
        for part in path:
            places = kept.get(found)
            found = (*found, places[part] if places and isinstance(part, int) and part < len(places) else part)
        return found

    return left, original, frozenset(hidden)


# For what every profile needs; what it says is never looked at across fields.
_STAND_INS: dict[str, Any] = {
    "names": {"ja": "?", "en": "?"},
    "source": {"trust": "proposed", "document": "?"},
}


def _take_out(data: Any, path: Sequence[str | int], kind: str, hidden: set[str]) -> None:
    """Marks the smallest thing that can be missing: an unknown key alone, else the item of a list or the field."""
    holders: list[tuple[Any, str | int]] = []
    node = data
    for part in path:
        try:
            inner = node[part]
        except (KeyError, IndexError, TypeError):
            continue  # a tag of pydantic's, or a key that is missing
        holders.append((node, part))
        node = inner
        if node is _KEPT_AWAY:
            return
    if not holders:
        return
    if kind == "extra_forbidden":
        holder, part = holders[-1]
    else:
        items = [h for h in holders if isinstance(h[1], int)]
        holder, part = items[0] if items else holders[0]
    hidden.update(_texts(holder[part]))
    holder[part] = _KEPT_AWAY


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
