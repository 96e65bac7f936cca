"""The farm that recorded readings are judged as: from its site file, from the registry, or made of what was measured.

Only what the readings hold is watched: a device that is not in them is not silent, it was not asked for.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

from analytics.backtest.ordered import Course
from analytics.facts import Facts, read_facts
from analytics.farm import Farm, FarmDevice, Placed, read_farm
from analytics.texts import FarmNames, farm_names
from collectors.console import CONSOLE
from collectors.registry import Registry, open_registry, said, sites
from collectors.registry.sites import SiteSpec
from makiba.reading import Series

FACTS_HOLD_MS: Final = 1_800_000
LEAST_EVERY_MS: Final = 1_000
_FILE: Final = "file"


@dataclass(frozen=True, slots=True)
class Judged:
    """A farm with its own numbers, names and settings. `facts`: what a judge is told at a time; None: nothing."""

    farm: Farm
    timezone: str = "Asia/Tokyo"
    overrides: Mapping[str, Any] = field(default_factory=dict)
    names: FarmNames = field(default_factory=FarmNames)
    settings: Mapping[str, Any] = field(default_factory=dict)
    facts: Callable[[int], Facts] | None = None


@contextmanager
def of_site_file(spec: SiteSpec, courses: Mapping[Series, Course]) -> Iterator[Judged]:
    """The farm of a site file, in a registry that is forgotten afterwards.

    Its devices are what the readings show, each polled as often as it spoke.
    """
    first_ms = min((c.first_ms for c in courses.values()), default=0)
    with tempfile.TemporaryDirectory(prefix="makiba-backtest-") as folder:
        registry = open_registry(f"sqlite:{folder}/registry.db", migrate=True)
        try:
            with registry.write() as session:
                sites.apply_site(session, CONSOLE, spec, first_ms)
            gateways = spec.gateways or (_FILE,)
            found = _judged(registry, spec.id)
            assert found
            gateway_of = dict.fromkeys(_subjects(courses), gateways[0])
            devices = _devices(spec.id, courses, gateway_of, set(gateways))
            yield replace(found, farm=replace(found.farm, gateways=frozenset(gateways), devices=devices))
        finally:
            registry.close()


@contextmanager
def of_registry(registry: Registry, site: str, courses: Mapping[Series, Course]) -> Iterator[Judged | None]:
    """The registry's farm without the devices of which there are no readings; None when there is no such farm."""
    found = _judged(registry, site)
    if found is None:
        yield None
        return
    there = {d.name for s in _subjects(courses) if (d := found.farm.device_of(s)) is not None}
    devices = {name: d for name, d in found.farm.devices.items() if name in there}
    yield replace(found, farm=replace(found.farm, devices=devices))


def _judged(registry: Registry, site: str) -> Judged | None:
    with registry.read() as session:
        row = sites.get_site(session, CONSOLE, site)
        if row is None:
            return None
        farm = read_farm(session, CONSOLE, site)
        names = farm_names(session, CONSOLE, site)
        settings = said.get_settings(session, CONSOLE, site)
        return Judged(
            farm, row.timezone, dict(row.rules or {}), names, dict(settings.settings) if settings else {},
            _Facts(registry, site),
        )  # fmt: skip


class _Facts:
    """What the registry tells of a time, each half hour anew. Settings, herd and fields are those of now."""

    def __init__(self, registry: Registry, site: str) -> None:
        self._registry, self._site = registry, site
        self._told: tuple[int, Facts] | None = None

    def __call__(self, at_ms: int) -> Facts:
        due = at_ms // FACTS_HOLD_MS
        if self._told is None or self._told[0] != due:
            with self._registry.read() as session:
                before = self._told[1] if self._told else None
                self._told = (due, read_facts(session, CONSOLE, self._site, at_ms, before))
        return self._told[1]


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
