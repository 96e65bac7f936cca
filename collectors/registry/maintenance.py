"""Maintenance windows of a farm in the database; what they mean is `maintenance_times`.

They are of the class `technical`: whoever sees that a device is silent may see why. The farm's own people plan them,
and a technician to whom the farm shows that class. A window that has begun is ended, not removed: it explains what is
missing from then.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import func, select, tuple_
from sqlalchemy.orm import Session

from collectors.registry import audit, sites
from collectors.registry.contacts import TooMany
from collectors.registry.maintenance_times import LONGEST_MS, Farm, Target, TargetKind, Whereabouts, Window
from collectors.registry.schema import Placement
from collectors.registry.schema.farm import Maintenance
from collectors.registry.viewer import NotAllowed, Person, Service, Viewer, may_see, require, spell

BACKDATED_MS: Final = 7 * 86_400_000
MOST_AT_ONCE: Final = 200
"""Windows of one farm that are not over."""

_SERVICE: Final = Service("api")


class NotThere(ValueError):
    """A window is about something that the farm does not have, or about a time that cannot be."""


class HasBegun(ValueError):
    """A window that has begun is ended, not removed."""


@dataclass(frozen=True, slots=True)
class MaintenanceSpec:
    """A window as people write it."""

    targets: tuple[Target, ...]
    from_ms: int
    to_ms: int
    why: str


def list_windows(
    session: Session,
    viewer: Viewer,
    site: str,
    from_ms: int,
    to_ms: int,
    limit: int,
    after: Sequence[Any] | None = None,
) -> Sequence[Maintenance]:
    """Windows of `site` that touch [from_ms, to_ms), those that begin last first, from behind `after` on."""
    _require_seen(viewer, site)
    query = select(Maintenance).where(
        Maintenance.site_id == site,
        Maintenance.from_ms < to_ms,
        func.coalesce(Maintenance.ended_ms, Maintenance.to_ms) > from_ms,
    )
    if after is not None:
        query = query.where(tuple_(Maintenance.from_ms, Maintenance.id) < tuple(after))
    return session.scalars(query.order_by(Maintenance.from_ms.desc(), Maintenance.id.desc()).limit(limit)).all()


def get_window(
    session: Session, viewer: Viewer, site: str, window: str, *, to_change: bool = False
) -> Maintenance | None:
    """The window of this id; `to_change` locks it and asks for the right to."""
    if to_change:
        require(viewer, site, "plan maintenance")
    _require_seen(viewer, site)
    query = select(Maintenance).where(Maintenance.id == window, Maintenance.site_id == site)
    return session.scalar(query.with_for_update() if to_change else query)


def add_window(session: Session, viewer: Viewer, site: str, spec: MaintenanceSpec, now_ms: int) -> Maintenance:
    """A new window. `NotThere`, `TooMany`."""
    require(viewer, site, "plan maintenance")
    open_ones = select(func.count()).select_from(Maintenance).where(
        Maintenance.site_id == site, Maintenance.ended_ms.is_(None), Maintenance.to_ms > now_ms
    )  # fmt: skip
    if (session.scalar(open_ones) or 0) >= MOST_AT_ONCE:
        raise TooMany(f"at most {MOST_AT_ONCE} windows that are not over")
    row = Maintenance(id=secrets.token_urlsafe(16), site_id=site, created_ms=now_ms, version=1)
    row.who, row.who_name = spell(viewer), viewer.name if isinstance(viewer, Person) else ""
    _fill(session, row, spec, now_ms - BACKDATED_MS)
    session.add(row)
    audit.note_change(session, viewer, site, "maintenance.planned", now_ms, **_detail(row))
    session.flush()
    return row


def change_window(session: Session, viewer: Viewer, row: Maintenance, spec: MaintenanceSpec, now_ms: int) -> None:
    """Makes `row` (of `get_window(…, to_change=True)`) say what `spec` says. `NotThere`."""
    require(viewer, row.site_id, "plan maintenance")
    _fill(session, row, spec, min(row.from_ms, now_ms - BACKDATED_MS))
    if row.ended_ms is not None:
        row.ended_ms = None if row.ended_ms >= row.to_ms else max(row.ended_ms, row.from_ms)
    row.version += 1
    audit.note_change(session, viewer, row.site_id, "maintenance.changed", now_ms, **_detail(row))


def end_window(session: Session, viewer: Viewer, row: Maintenance, now_ms: int) -> None:
    """The work is done; once more, or when it is over already, changes nothing."""
    require(viewer, row.site_id, "plan maintenance")
    if row.ended_ms is None and now_ms < row.to_ms:
        row.ended_ms = max(now_ms, row.from_ms)
        row.version += 1
        audit.note_change(session, viewer, row.site_id, "maintenance.ended", now_ms, **_detail(row))


def remove_window(session: Session, viewer: Viewer, row: Maintenance, now_ms: int) -> None:
    """Takes out a window that has not begun. `HasBegun`."""
    require(viewer, row.site_id, "plan maintenance")
    if row.from_ms <= now_ms:
        raise HasBegun("this window has begun: end it")
    session.delete(row)
    audit.note_change(session, viewer, row.site_id, "maintenance.removed", now_ms, **_detail(row))


def windows_of(session: Session, viewer: Viewer, site: str, from_ms: int, to_ms: int) -> list[Window]:
    """The windows of `site` that touch [from_ms, to_ms), for `under_maintenance` and `spans_of`."""
    rows = list_windows(session, viewer, site, from_ms, to_ms, limit=10_000)
    return [
        Window(row.id, frozenset(_targets(row)), row.from_ms, row.to_ms if row.ended_ms is None else row.ended_ms)
        for row in rows
    ]


def farm_of(session: Session, viewer: Viewer, site: str, at_ms: int | None = None) -> Farm:
    """Which device each subject belongs to, and where it stood at `at_ms` (None: stands now)."""
    _require_seen(viewer, site)
    placed = {p.subject: p.place_id for p in sites.list_placements(session, _SERVICE, site, at_ms)}
    device_of = {str(s): d.name for d in sites.list_devices(session, _SERVICE, site) for s in d.subjects}
    return Farm(
        {
            subject: Whereabouts(device_of.get(subject, subject.partition(".")[0]), placed.get(subject))
            for subject in {*placed, *device_of}
        }
    )


def _targets(row: Maintenance) -> Iterable[Target]:
    kinds: tuple[TargetKind, ...] = ("site", "place", "device", "subject")
    for word, name in row.targets:
        yield next(kind for kind in kinds if kind == word), str(name)


def _require_seen(viewer: Viewer, site: str) -> None:
    if not may_see(viewer, site, "technical"):
        raise NotAllowed(f"{spell(viewer)} may not see the technical side of {site}")


def _fill(session: Session, row: Maintenance, spec: MaintenanceSpec, earliest_ms: int) -> None:
    if not spec.from_ms < spec.to_ms <= spec.from_ms + LONGEST_MS:
        raise NotThere("to_ms: after from_ms, and at most 30 days later")
    if spec.from_ms < earliest_ms:
        raise NotThere("from_ms: at most 7 days ago")
    places = {place.id for place in sites.list_places(session, _SERVICE, row.site_id)}
    devices = sites.list_devices(session, _SERVICE, row.site_id)
    placed = session.scalars(select(Placement.subject).where(Placement.site_id == row.site_id).distinct())
    known = {
        "site": {""},
        "place": places,
        "device": {device.name for device in devices},
        "subject": {*placed, *(str(s) for device in devices for s in device.subjects)},
    }
    for kind, name in spec.targets:
        if name not in known[kind]:
            raise NotThere(f"targets: no {kind} of this name on this farm")
    row.targets = [list(target) for target in sorted(set(spec.targets))]
    row.from_ms, row.to_ms, row.why = spec.from_ms, spec.to_ms, spec.why


def _detail(row: Maintenance) -> dict[str, Any]:
    return {"maintenance": row.id, "targets": row.targets, "from_ms": row.from_ms, "to_ms": row.to_ms}
