"""A LoRaWAN profile: which fields of a codec's decoded object are which quantities, as data.

ChirpStack's codec turns a device's bytes into an object (`object` of the `up` event); a profile says what the fields
of that object mean. One YAML file in `firmware_configs/lorawan`, its name is the file's. Unknown keys are refused,
every error is a place, and all of them are told in one pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from collectors.ways.values import Scaling, Strict, Valued, number_of, scaling_of, unit_problem
from makiba.located_yaml import ConfigErrors, Problem, load_located
from makiba.quantities import catalogue
from makiba.reading import MAX_TEXT, Value

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


class Names(Strict):
    """What people call it."""

    ja: str
    en: str


class Source(Strict):
    """Where the facts come from, and how sure they are."""

    trust: Literal["verified", "known", "proposed"]
    document: str
    note: str = ""


class FieldEntry(Valued):
    """A field of the decoded object. `field` may go down with dots: `sensors.0.temp`."""

    field: Annotated[str, Field(pattern=r"^[^.\s]+(\.[^.\s]+)*$", max_length=200)]
    channel: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$")] | None = Field(
        default=None, description="Part of the subject's name after the dot"
    )
    ignore: list[str] = Field(default_factory=list, description="Texts of the codec that mean 'no value'")


class ProfileFile(Strict):
    """A whole profile."""

    names: Names
    source: Source
    ports: list[Annotated[int, Field(ge=1, le=255)]] = Field(
        default_factory=list, description="FPorts that carry measurements; default: all"
    )
    fields: Annotated[list[FieldEntry], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class Mapped:
    """A field, ready to be read. `scaling` None: a text."""

    path: tuple[str, ...]
    quantity: str
    channel: str | None
    scaling: Scaling | None
    sentinels: frozenset[float]
    ignore: frozenset[str]


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile as it is used."""

    name: str
    ports: frozenset[int]
    fields: tuple[Mapped, ...]


@dataclass(frozen=True, slots=True)
class Extracted:
    """A value of one field, in the catalogue's unit; or why there is none. Both empty: the codec said 'no value'."""

    field: str
    quantity: str
    channel: str | None
    value: Value | None = None
    problem: str = ""


def load_profile(file: Path) -> Profile:
    """The profile in `file`; `ConfigErrors` with every problem of it otherwise."""
    located = load_located(file)
    model = located.validate(ProfileFile)
    problems: list[Problem] = []
    seen: dict[tuple[str, str | None], int] = {}
    for index, entry in enumerate(model.fields):
        if wrong := unit_problem(entry):
            problems.append(located.problem(("fields", index, "unit"), wrong))
        key = (entry.quantity, entry.channel)
        if key in seen:
            where = f"field {seen[key] + 1} of this list"
            problems.append(
                located.problem(("fields", index, "quantity"), f"is {where} already; give one of the two a channel")
            )
        seen.setdefault(key, index)
    if problems:
        raise ConfigErrors(problems)
    return Profile(file.stem, frozenset(model.ports), tuple(_mapped(entry) for entry in model.fields))


def load_profiles(folder: Path) -> dict[str, Profile]:
    """All profiles of `folder` by name; `ConfigErrors` with the problems of all of them otherwise."""
    profiles: dict[str, Profile] = {}
    problems: list[Problem] = []
    for file in sorted(folder.glob("*.yaml")):
        try:
            profiles[file.stem] = load_profile(file)
        except ConfigErrors as errors:
            problems += errors.problems
    if problems:
        raise ConfigErrors(problems)
    return profiles


def profile_schema() -> dict[str, Any]:
    """The JSON Schema of a profile, for editors."""
    return {"$schema": DIALECT, **ProfileFile.model_json_schema(), "title": "A LoRaWAN profile of Makiba"}


def _mapped(entry: FieldEntry) -> Mapped:
    is_text = catalogue()[entry.quantity].kind == "text"
    return Mapped(
        path=tuple(entry.field.split(".")),
        quantity=entry.quantity,
        channel=entry.channel,
        scaling=None if is_text else scaling_of(entry),
        sentinels=frozenset(entry.sentinels),
        ignore=frozenset(entry.ignore),
    )


def extract(profile: Profile, decoded: Mapping[str, Any]) -> Iterator[Extracted]:
    """What the fields of `profile` say in a decoded object. A field that is not there is passed over."""
    for mapped in profile.fields:
        given = _at(decoded, mapped.path)
        if given is not None:
            yield _extract_one(mapped, given)


def _extract_one(mapped: Mapped, given: Any) -> Extracted:
    name = ".".join(mapped.path)
    if isinstance(given, str) and given in mapped.ignore:
        return Extracted(name, mapped.quantity, mapped.channel)
    if mapped.scaling is None:
        if isinstance(given, str) and len(given) <= MAX_TEXT:
            return Extracted(name, mapped.quantity, mapped.channel, given)
        return Extracted(name, mapped.quantity, mapped.channel, problem=f"{name} is no text of at most {MAX_TEXT}")
    number = number_of(given)
    if number is None:
        return Extracted(name, mapped.quantity, mapped.channel, problem=f"{name} is {str(given)[:40]!r}, no number")
    if float(number) in mapped.sentinels:
        return Extracted(name, mapped.quantity, mapped.channel)
    return Extracted(name, mapped.quantity, mapped.channel, mapped.scaling.apply(number))


def _at(node: Any, path: tuple[str, ...]) -> Any:
    """What stands at `path` in a JSON value; None when nothing does."""
    for part in path:
        if isinstance(node, Mapping):
            node = node.get(part)
        elif isinstance(node, list) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        else:
            return None
    return node
