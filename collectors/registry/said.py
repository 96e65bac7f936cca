"""What a farm says of itself (`makiba.farm_settings`), kept with the farm, with a version.

A site file says it, and so do people in the API. Once people did, it stays as they made it: a site file that says
something else is told so, and wins only when asked to. Owner and family edit it; all of the farm's own people see it,
and nobody else: whether a farmer lives alone is no class of data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from collectors.registry import audit
from collectors.registry.schema import Place, Placement, Site
from collectors.registry.viewer import NotAllowed, Service, Viewer, is_insider, require, spell
from makiba.farm_settings import MOST_SETTINGS, FarmSettings, check


class Wrong(ValueError):
    """Settings that cannot be: (name, what is wrong) for each."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{name}: {wrong}" for name, wrong in problems))
        self.problems = problems


def get_settings(session: Session, viewer: Viewer, site: str, *, to_change: bool = False) -> Site | None:
    """The farm's row, with its settings; `to_change` locks it and asks for the right to."""
    if to_change:
        require(viewer, site, "change rules")
    if not isinstance(viewer, Service) and not is_insider(viewer, site):
        raise NotAllowed(f"{spell(viewer)} is none of {site}")
    query = select(Site).where(Site.id == site)
    return session.scalar(query.with_for_update() if to_change else query)


def settings_of(session: Session, viewer: Viewer, site: str) -> FarmSettings:
    """What `site` says of itself, read; empty when there is no such farm."""
    row = get_settings(session, viewer, site)
    return FarmSettings.of(row.settings, row.settings_version) if row is not None else FarmSettings()


def problems_of(session: Session, row: Site, given: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is wrong with `given` on this farm, its places and subjects as they are now."""
    places = session.scalars(select(Place.id).where(Place.site_id == row.id, Place.retired_ms.is_(None))).all()
    subjects = session.scalars(
        select(Placement.subject).where(Placement.site_id == row.id, Placement.to_ms.is_(None))
    ).all()
    return list(check(given, places, subjects))


def change_settings(session: Session, viewer: Viewer, row: Site, given: Mapping[str, Any], now_ms: int) -> bool:
    """Makes the farm (of `get_settings(…, to_change=True)`) say `given`, all of it; False when it does. `Wrong`.

    What was said before of a place that is gone may stay as it was.
    """
    require(viewer, row.id, "change rules")
    if len(given) > MOST_SETTINGS:
        raise Wrong([("", f"a farm has at most {MOST_SETTINGS} settings")])
    wrong = [(name, why) for name, why in problems_of(session, row, given) if _new(row, name, given)]
    if wrong:
        raise Wrong(wrong)
    if dict(given) == row.settings:
        return False
    names = sorted(n for n in {*given, *row.settings} if given.get(n) != row.settings.get(n))
    row.settings, row.settings_edited_ms = dict(given), now_ms
    row.settings_version += 1
    audit.note_change(session, viewer, row.id, "settings.changed", now_ms, names=names[:50])
    session.flush()
    return True


def _new(row: Site, name: str, given: Mapping[str, Any]) -> bool:
    return name not in row.settings or row.settings[name] != given.get(name)


def apply_settings(row: Site, given: Mapping[str, Any], *, overwrite: bool = False) -> list[str]:
    """Makes the farm say what its file says; a line for each setting that people said otherwise."""
    if dict(given) == row.settings:
        if overwrite:
            row.settings_edited_ms = None
        return []
    if row.settings_edited_ms is not None and not overwrite:
        return [
            f"setting {name}: {row.settings[name]!r}" if name in row.settings else f"setting {name}: taken out"
            for name, value in given.items()
            if row.settings.get(name) != value
        ]
    row.settings, row.settings_edited_ms = dict(given), None
    row.settings_version = (row.settings_version or 0) + 1
    return []
