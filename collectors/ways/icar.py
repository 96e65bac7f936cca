"""ICAR ADE documents (Animal Data Exchange, JSON, 1.0 to 1.4) as readings and events of animals. Pure.

What is read of a document, by the standard's own names:

- icarMilkingVisitEvent: readings at milkingStartingDateTime of `milk_yield`, `milking_duration`, and of those of its
  milkCharacteristics that are in `CHARACTERISTICS`;
- icarWeightEvent: a reading of `body_weight`;
- icarReproInseminationEvent, icarReproPregnancyCheckEvent, icarReproHeatEvent, icarReproParturitionEvent,
  icarReproAbortionEvent, icarMilkingDryOffEvent: an event of a herd (`makiba/herd_event.py`).

A document is a collection (`member`), a list, or one resource. `resourceType` or `eventType` says what a resource is;
where neither does, as in the standard's own examples, its members do, or `How.default_type`. Times without a zone
(the standard forbids them, its examples have them) are the farm's. Quarters, samples, flows and remarks are not kept.

Every resource gives something or a `Refusal` with its reason. An event's `key` is made of its source, type and id, so
that the same resource is the same event however often it comes; `meta.isDeleted` takes it back.

Shapes and units: the schemas of github.com/adewg/ICAR (resources/, types/, enums/).
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from collectors.registry.animals import NATIONAL_ID, KeyName, is_tag
from makiba.herd_event import (
    Abortion,
    Calf,
    Calving,
    Detail,
    DryOff,
    Ease,
    Heat,
    Insemination,
    PregnancyCheck,
    Sex,
)
from makiba.quantities import catalogue

MAX_KEY: Final = 200
KINDS: Final = (
    "milking-visit", "weight", "insemination", "pregnancy-check", "heat", "parturition", "abortion", "dry-off",
)  # fmt: skip
Type = Literal[
    "milking-visit", "weight", "insemination", "pregnancy-check", "heat", "parturition", "abortion", "dry-off"
]

_TYPES: Final[Mapping[str, Type]] = {
    "icarMilkingVisitEvent": "milking-visit",
    "icarWeightEvent": "weight",
    "icarReproInseminationEvent": "insemination",
    "icarReproPregnancyCheckEvent": "pregnancy-check",
    "icarReproHeatEvent": "heat",
    "icarReproParturitionEvent": "parturition",
    "icarReproCalvingEvent": "parturition",
    "icarReproAbortionEvent": "abortion",
    "icarMilkingDryOffEvent": "dry-off",
    "icarMilkingDryingOffEvent": "dry-off",
}
_TELLING: Final[tuple[tuple[str, Type], ...]] = (
    ("milkingStartingDateTime", "milking-visit"), ("milkingMilkWeight", "milking-visit"),
    ("inseminationType", "insemination"), ("foetalAge", "pregnancy-check"), ("foetusCount", "pregnancy-check"),
    ("heatDetectionMethod", "heat"), ("calvingEase", "parturition"), ("progenyDetails", "parturition"),
    ("progeny", "parturition"), ("liveProgeny", "parturition"), ("totalProgeny", "parturition"), ("weight", "weight"),
)  # fmt: skip
"""Members that only one kind of resource has."""

MUN_OF_UREA: Final = 28.014 / 60.056
"""The nitrogen in urea, CO(NH2)2, by mass."""

# characteristic: (quantity, factor from the standard's unit to ours, what that unit is also called)
CHARACTERISTICS: Final[Mapping[str, tuple[str, float, frozenset[str]]]] = {
    "SCC": ("somatic_cells", 1000.0, frozenset({"NCL", "x1000 cells/ml"})),
    "FAT": ("milk_fat", 0.01, frozenset({"VP", "%"})),
    "PROTEIN": ("milk_protein", 0.01, frozenset({"VP", "%"})),
    "LAC": ("milk_lactose", 0.01, frozenset({"VP", "%"})),
    "UREA": ("milk_urea_nitrogen", 0.001 * MUN_OF_UREA, frozenset({"M1", "mg/l"})),
    "AVGCOND": ("milk_conductivity", 0.1, frozenset({"H61", "mS/cm"})),
    "WEIGHT": ("body_weight", 1.0, frozenset({"KGM", "Kg", "kg"})),
}
_MASS: Final[Mapping[str, float]] = {"KGM": 1.0, "GRM": 0.001, "LBR": 0.45359237, "TNE": 1000.0}
_DURATION: Final[Mapping[str, float]] = {"SEC": 1.0, "MIN": 60.0}

_EASE: Final[Mapping[str, Ease]] = {
    "EasyUnassisted": "unassisted", "EasyAssisted": "assisted", "DifficultExtraAssistance": "difficult",
    "DifficultVeterinaryCare": "veterinary", "CaesareanOrSurgery": "surgery",
}  # fmt: skip
_SEX: Final[Mapping[str, Sex]] = {
    "Female": "female", "FemaleNeuter": "female", "Freemartin": "female", "Male": "male",
    "MaleCryptorchid": "male", "MaleNeuter": "castrated",
}  # fmt: skip
_METHOD: Final[Mapping[str, Any]] = {
    "Ecography": "ultrasound", "Palpation": "palpation", "Blood": "blood", "Milk": "milk", "Visual": "other",
    "Other": "other",
}  # fmt: skip
_RESULT: Final[Mapping[str, Any]] = {"Empty": "empty", "Pregnant": "pregnant", "Multiple": "pregnant"}
_SERVED: Final[Mapping[str, Any]] = {
    "NaturalService": "natural", "RunWithBull": "natural", "Insemination": "artificial", "Implantation": "embryo",
}  # fmt: skip
_INTENSITY: Final[Mapping[str, Any]] = {
    "VeryWeak": "weak", "Weak": "weak", "Normal": "normal", "Strong": "strong", "VeryStrong": "strong",
}  # fmt: skip
_DEAD: Final = frozenset({"Stillborn", "Aborted", "SlaughteredAtBirth", "EuthanisedAtBirth"})


# ------------------------------------------------------------------------------------------------------ what is found


@dataclass(frozen=True, slots=True)
class AnimalKey:
    """An animal as the document names it: one of its three numbers."""

    key: KeyName
    value: str


@dataclass(frozen=True, slots=True)
class Value:
    """A reading to be, once it is known by which subject the animal's readings go."""

    quantity: str
    value: float


@dataclass(frozen=True, slots=True)
class Measured:
    """What a resource measured on an animal at one time."""

    index: int
    animal: AnimalKey
    time_ms: int
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Happening:
    """An event of an animal; `deleted`: its source took it back."""

    index: int
    animal: AnimalKey
    key: str
    at_ms: int
    detail: Detail
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """A resource, or a value of one, that is not taken, and why."""

    index: int
    reason: str


Found = Measured | Happening | Refusal


@dataclass(frozen=True, slots=True)
class How:
    """How to read: the farm's zone, what schemes of identifiers mean here, and what resources without a type are."""

    zone: tzinfo
    schemes: Mapping[str, KeyName] = field(default_factory=dict)
    default_type: Type | None = None
    location: str | None = None


class NotIcar(ValueError):
    """The document is no collection, list or resource."""


# ------------------------------------------------------------------------------------------------------ the shapes


class _Said(BaseModel):
    """What the standard fixes; members that are not read may be anything."""

    model_config = ConfigDict(
        alias_generator=to_camel, extra="ignore", frozen=True, coerce_numbers_to_str=True, populate_by_name=True
    )


class _Identifier(_Said):
    id: str
    scheme: str | None = None


class _Location(_Said):
    id: str | None = None


class _Meta(_Said):
    source: str | None = None
    source_id: str | None = None
    is_deleted: bool | None = None


class _Core(_Said):
    id: str | None = None
    animal: _Identifier
    event_date_time: str | None = None
    location: _Location | None = None
    responsible: str | None = None
    meta: _Meta | None = None


class _Amount(_Said):
    value: float
    unit_code: str | None = None


class _Mass(_Said):
    measurement: float
    units: str | None = None


class _Characteristic(_Said):
    characteristic: str
    value: str
    unit: str | None = None


class _Visit(_Core):
    milking_starting_date_time: str
    milking_milk_weight: _Amount
    milking_duration: _Amount | None = None
    milk_characteristics: list[_Characteristic] | None = None


class _Weight(_Core):
    weight: _Mass


class _Straw(_Said):
    id: _Identifier | None = None
    batch: str | None = None
    sire_identifiers: list[_Identifier] | None = None
    sire_official_name: str | None = None


class _Insemination(_Core):
    insemination_type: str
    sire_identifiers: list[_Identifier] | None = None
    sire_official_name: str | None = None
    straw: _Straw | None = None


class _PregnancyCheck(_Core):
    method: str | None = None
    result: str | None = None
    foetal_age: int | None = None


class _Visual(_Said):
    heat_intensity: str | None = None
    heat_signs: list[str] | None = None


class _Heat(_Core):
    commencement_date_time: str | None = None
    visual_detection: _Visual | None = None


class _Progeny(_Said):
    identifier: _Identifier | None = None
    management_tag: str | None = None
    gender: str | None = None
    status: str | None = None
    birth_status: str | None = None
    birth_weight: _Mass | None = None


class _Parturition(_Core):
    calving_ease: str | None = None
    live_progeny: int | None = None
    total_progeny: int | None = None
    progeny_details: list[_Progeny] | None = None
    progeny: list[_Progeny] | None = None


class _Wrong(ValueError):
    """Something in a resource cannot be taken; the message says what."""


# ------------------------------------------------------------------------------------------------------ reading


def resources_in(document: Any) -> Sequence[Any]:
    """The resources of a document; `NotIcar` when it holds none."""
    if isinstance(document, Mapping) and isinstance(document.get("member"), list):
        return list(document["member"])
    if isinstance(document, list):
        return document
    if isinstance(document, Mapping) and "animal" in document:
        return [document]
    raise NotIcar("expected a collection with `member`, a list, or one resource with `animal`")


def locations_in(resources: Sequence[Any]) -> frozenset[str]:
    """The farms that resources say they are of, by the sender's ids."""
    said = (r.get("location") for r in resources if isinstance(r, Mapping))
    return frozenset(str(one["id"]) for one in said if isinstance(one, Mapping) and one.get("id") is not None)


def read(resources: Sequence[Any], how: How) -> Iterator[Found]:
    """What each resource tells, in order."""
    for index, resource in enumerate(resources):
        try:
            yield from _read_one(index, resource, how)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])[:100]
            yield Refusal(index, f"{where}: {first['msg']}")
        except _Wrong as error:
            yield Refusal(index, str(error))


def _read_one(index: int, resource: Any, how: How) -> Iterator[Found]:
    if not isinstance(resource, Mapping):
        raise _Wrong("is no object")
    kind = _type_of(resource, how)
    core = _Core.model_validate(resource)
    if how.location is not None and (core.location is None or core.location.id != how.location):
        raise _Wrong("location: is another farm's")
    animal = _animal(core.animal, how)
    deleted = bool(core.meta and core.meta.is_deleted)
    if kind in ("milking-visit", "weight"):
        if deleted:
            raise _Wrong("meta.isDeleted: what was measured is not taken back; delete the readings by hand")
        yield from (_visit if kind == "milking-visit" else _weight)(index, resource, animal, how)
        return
    told, at = _EVENTS[kind](resource)
    at_ms = _time(at or core.event_date_time, "eventDateTime", how.zone)
    yield Happening(index, animal, _key(kind, core, animal, at_ms), at_ms, told, deleted)


def _type_of(resource: Mapping[str, Any], how: How) -> Type:
    for member in ("resourceType", "eventType"):
        said = resource.get(member)
        if isinstance(said, str) and said.startswith("icar"):
            known = _TYPES.get(said.removesuffix("Resource"))
            if known is None:
                raise _Wrong(f"{member}: {said[:60]!r} is not read by Makiba")
            return known
    for member, kind in _TELLING:
        if resource.get(member) is not None:
            return kind
    if resource.get("result") is not None and resource.get("method") is not None:
        return "pregnancy-check"
    if how.default_type is None:
        raise _Wrong("neither resourceType nor its members say what it is; give --type")
    return how.default_type


def _animal(said: _Identifier, how: How) -> AnimalKey:
    """Which animal is meant: by the scheme where it is known here, else by the look of the number."""
    plain = said.id.strip()
    digits = re.sub(r"[ -]", "", plain)
    japanese = re.fullmatch(r"(?:JPN?)?(?:00)?([0-9]{10})", digits)
    scheme = (said.scheme or "")[:200]
    key = how.schemes.get(scheme)
    if key == "number":
        if not re.fullmatch(r"[^\x00-\x20\x7f/\\:?#%]{1,32}", plain):
            raise _Wrong(f"animal.id: {plain[:40]!r} cannot be a number of this farm")
        return AnimalKey("number", plain)
    if key in (None, "national-id") and japanese:
        return AnimalKey("national-id", japanese[1])
    if key in (None, "tag") and is_tag(digits):
        return AnimalKey("tag", digits)
    if key is not None:
        expected = NATIONAL_ID if key == "national-id" else "fifteen digits (ISO 11784)"
        raise _Wrong(f"animal.id: {plain[:40]!r} is no {key}, expected {expected}")
    raise _Wrong(f"animal.scheme: what {scheme!r} means here is not known; give --scheme {scheme}=…")


def _key(kind: Type, core: _Core, animal: AnimalKey, at_ms: int) -> str:
    """The name of an event: its source's own, or what it is about where the source gives none."""
    source = core.meta.source if core.meta and core.meta.source else ""
    own = (core.meta.source_id if core.meta else None) or core.id or f"{animal.key}:{animal.value}@{at_ms}"
    key = f"icar:{kind}:{source}:{own}"
    if len(key) <= MAX_KEY and key.isprintable():
        return key
    return f"icar:{kind}:{hashlib.sha256(key.encode('utf-8', 'replace')).hexdigest()}"


def _time(said: str | None, where: str, zone: tzinfo) -> int:
    if not said:
        raise _Wrong(f"{where}: is missing")
    try:
        moment = datetime.fromisoformat(said)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=zone)
        return math.floor(aware.timestamp() * 1000)
    except (ValueError, OverflowError):
        raise _Wrong(f"{where}: {said[:40]!r} is no date and time of ISO 8601") from None


# ------------------------------------------------------------------------------------------------------ measured


def _visit(index: int, resource: Any, animal: AnimalKey, how: How) -> Iterator[Found]:
    visit = _Visit.model_validate(resource)
    time_ms = _time(visit.milking_starting_date_time, "milkingStartingDateTime", how.zone)
    found: list[tuple[str, Callable[[], Value | None]]] = [
        ("milkingMilkWeight", lambda: Value("milk_yield", _in(visit.milking_milk_weight, _MASS, "KGM"))),
        ("milkingDuration", lambda: _duration(visit.milking_duration)),
    ]
    found += [
        (f"milkCharacteristics.{one.characteristic[:20]}", lambda one=one: _characteristic(one))  # type: ignore[misc]
        for one in visit.milk_characteristics or ()
    ]
    yield from _measured(index, animal, time_ms, found)


def _weight(index: int, resource: Any, animal: AnimalKey, how: How) -> Iterator[Found]:
    said = _Weight.model_validate(resource)
    time_ms = _time(said.event_date_time, "eventDateTime", how.zone)
    amount = _Amount(value=said.weight.measurement, unit_code=said.weight.units)
    yield from _measured(
        index, animal, time_ms, [("weight", lambda: Value("body_weight", _in(amount, _MASS, "KGM")))]
    )


def _measured(
    index: int, animal: AnimalKey, time_ms: int, parts: Sequence[tuple[str, Callable[[], Value | None]]]
) -> Iterator[Found]:
    """The values that can be true; each other one is refused by itself."""
    values: dict[str, Value] = {}
    for where, part in parts:
        try:
            value = part()
            if value is None:
                continue
            if value.quantity in values:
                raise _Wrong("stands there twice")
            if not catalogue()[value.quantity].is_plausible(value.value):
                raise _Wrong(f"{value.value:g} cannot be a {value.quantity}")
            values[value.quantity] = value
        except _Wrong as error:
            yield Refusal(index, f"{where}: {error}")
    if values:
        yield Measured(index, animal, time_ms, tuple(values.values()))


def _in(amount: _Amount, units: Mapping[str, float], usual: str) -> float:
    factor = units.get(amount.unit_code or usual)
    if factor is None:
        raise _Wrong(f"unit {str(amount.unit_code)[:20]!r} is none of {', '.join(units)}")
    return amount.value * factor


def _duration(amount: _Amount | None) -> Value | None:
    return None if amount is None else Value("milking_duration", _in(amount, _DURATION, "SEC"))


def _characteristic(said: _Characteristic) -> Value | None:
    known = CHARACTERISTICS.get(said.characteristic)
    if known is None:
        return None
    quantity, factor, names = known
    if said.unit and said.unit not in names:
        raise _Wrong(f"unit {said.unit[:20]!r} is none of {', '.join(sorted(names))}")
    try:
        return Value(quantity, float(said.value) * factor)
    except ValueError:
        raise _Wrong(f"{said.value[:20]!r} is no number") from None


# ------------------------------------------------------------------------------------------------------ happened

_Event = tuple[Detail, str | None]
"""What happened, and when, if the resource has a time of its own for it."""


def _insemination(resource: Any) -> _Event:
    said = _Insemination.model_validate(resource)
    straw = said.straw or _Straw()
    sires = [*(said.sire_identifiers or ()), *(straw.sire_identifiers or ())]
    bull = said.sire_official_name or straw.sire_official_name or (sires[0].id if sires else "")
    method = _SERVED.get(said.insemination_type)
    if method is None:
        raise _Wrong(f"inseminationType: {said.insemination_type[:40]!r} is none of {', '.join(_SERVED)}")
    told = Insemination(
        bull=bull[:64],
        method=method,
        straw=((straw.id.id if straw.id else "") or straw.batch or "")[:64],
        technician=(said.responsible or "")[:200],
    )
    return told, None


def _pregnancy_check(resource: Any) -> _Event:
    said = _PregnancyCheck.model_validate(resource)
    days = said.foetal_age if said.foetal_age is not None and 1 <= said.foetal_age <= 300 else None
    method = _METHOD.get(said.method or "", "unknown")
    return PregnancyCheck(result=_RESULT.get(said.result or "", "unsure"), method=method, days=days), None


def _heat(resource: Any) -> _Event:
    said = _Heat.model_validate(resource)
    seen = said.visual_detection or _Visual()
    strength = _INTENSITY.get(seen.heat_intensity or "", "unknown")
    return Heat(strength=strength, signs=", ".join(seen.heat_signs or ())[:200]), said.commencement_date_time


def _parturition(resource: Any) -> _Event:
    said = _Parturition.model_validate(resource)
    calves = [_calf(one) for one in said.progeny_details or said.progeny or ()]
    if not calves:
        live, total = said.live_progeny or 0, max(said.total_progeny or 0, said.live_progeny or 0)
        calves = [Calf(alive=n < live) for n in range(max(0, min(total, 6)))]
    return Calving(calves=calves[:6], ease=_EASE.get(said.calving_ease or "", "unknown")), None


def _calf(said: _Progeny) -> Calf:
    weight = None
    if said.birth_weight is not None:
        weight = _in(_Amount(value=said.birth_weight.measurement, unit_code=said.birth_weight.units), _MASS, "KGM")
    return Calf(
        animal=((said.identifier.id if said.identifier else "") or said.management_tag or "")[:64],
        sex=_SEX.get(said.gender or "", "unknown"),
        alive=said.birth_status not in _DEAD and said.status != "Dead",
        weight_kg=weight if weight is not None and 0 < weight <= 200 else None,
    )


_EVENTS: Final[Mapping[str, Callable[[Any], _Event]]] = {
    "insemination": _insemination,
    "pregnancy-check": _pregnancy_check,
    "heat": _heat,
    "parturition": _parturition,
    "abortion": lambda _: (Abortion(), None),
    "dry-off": lambda _: (DryOff(), None),
}
