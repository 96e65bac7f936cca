"""The farm that recorded readings are judged as: from its site file, from the registry, or made of what was measured.

Only what the readings hold is watched: a device that is not in them is not silent, it was not asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from analytics.backtest.ordered import Course
from analytics.farm import Farm, FarmDevice, Placed
from analytics.texts import FarmNames
from collectors.registry.sites import SiteSpec
from makiba.reading import Series

LEAST_EVERY_MS: Final = 1_000
_FILE: Final = "file"


@dataclass(frozen=True, slots=True)
class Judged:
    """A farm with its own numbers and names."""

    farm: Farm
    timezone: str = "Asia/Tokyo"
    overrides: Mapping[str, Any] = field(default_factory=dict)
    names: FarmNames = field(default_factory=FarmNames)
    settings: Mapping[str, Any] = field(default_factory=dict)


def of_site_file(spec: SiteSpec, courses: Mapping[Series, Course]) -> Judged:
    """The farm of a site file; its devices are what the readings show, each polled as often as it spoke."""
    gateways = spec.gateways or (_FILE,)
    placed = {p.subject: _placed(spec, p.place, p.role) for p in spec.placements}
    devices = _devices(spec.id, courses, dict.fromkeys(_subjects(courses), gateways[0]), set(gateways))
    names = FarmNames(
        {p.id: {"ja": p.name_ja, "en": p.name_en} for p in spec.places},
        {p.subject: {"ja": p.name_ja, "en": p.name_en or p.name_ja} for p in spec.placements if p.name_ja},
        frozenset(gateways),
    )
    farm = Farm(spec.id, frozenset(gateways), devices, placed)
    return Judged(farm, spec.timezone, dict(spec.rules or {}), names)


def _placed(spec: SiteSpec, place: str, role: str) -> Placed:
    return Placed(place, next((p.kind for p in spec.places if p.id == place), ""), role)


def of_registry(farm: Farm, courses: Mapping[Series, Course]) -> Farm:
    """The registry's farm without the devices and gateways of which there are no readings."""
    subjects = _subjects(courses)
    there = {d.name for s in subjects if (d := farm.device_of(s)) is not None}
    devices = {name: d for name, d in farm.devices.items() if name in there}
    return replace(farm, devices=devices)


def of_columns(
    site: str, timezone: str, courses: Mapping[Series, Course], kinds: Mapping[str, str], file_of: Mapping[str, str]
) -> Judged:
    """A farm made of what was measured. What comes from one file hangs on one gateway; in it, what is of one kind of
    place stands in one place, so that nothing is compared that was never together."""
    files = sorted({file_of.get(s, _FILE) for s in _subjects(courses)})
    gateways = {name: f"{_FILE}-{number}" for number, name in enumerate(files, 1)}
    gateway_of = {s: gateways[file_of.get(s, _FILE)] for s in _subjects(courses)}
    placed = {
        s: Placed(f"{kind}-{gateway_of[s].removeprefix(_FILE + '-')}" if len(files) > 1 else kind, kind)
        for s in gateway_of
        if (kind := kinds.get(s, ""))
    }
    devices = _devices(site, courses, gateway_of, set(gateways.values()))
    names = FarmNames(
        {p.place: {"ja": p.place, "en": p.place} for p in placed.values()},
        {g: {"ja": f, "en": f} for f, g in gateways.items()},
        frozenset(gateways.values()),
    )
    return Judged(Farm(site, frozenset(gateways.values()), devices, placed), timezone, names=names)


def _subjects(courses: Iterable[Series]) -> list[str]:
    return sorted({s.subject for s in courses})


def _devices(
    site: str, courses: Mapping[Series, Course], gateway_of: Mapping[str, str], gateways: set[str]
) -> dict[str, FarmDevice]:
    """A device for each first part of a subject's name; its poll is that of the quickest of its numbers."""
    subjects: dict[str, list[str]] = {}
    every: dict[str, list[int]] = {}
    buses = {s for s in gateway_of if s.partition(".")[0] in gateways}
    for series, course in courses.items():
        if series.site != site or series.subject in buses:
            continue
        name = series.subject.partition(".")[0]
        subjects.setdefault(name, [])
        if series.subject not in subjects[name]:
            subjects[name].append(series.subject)
        if course.every_ms and series.quantity != "state":
            every.setdefault(name, []).append(course.every_ms)
    return {
        name: FarmDevice(
            name,
            gateway_of[own[0]],
            f"{gateway_of[own[0]]}.bus",
            max(LEAST_EVERY_MS, min(every.get(name, [0]))),
            tuple(own),
        )
        for name, own in subjects.items()
    }
