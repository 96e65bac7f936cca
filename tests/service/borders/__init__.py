"""What each role gets from each route: a module for each part of the API, read by `borders_parts.py`.

A module that tells of routes has a `ROOM`; its name stands in `ROOMS`. A route of the OpenAPI document that no room
tells of fails the test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from collectors.registry.viewer import OUTSIDERS
from makiba.data_class import DataClass

Route = tuple[str, str]
"""(method, path below /api/v1), such as ("get", "/sites/{site}/places")."""

Cells = Mapping[str, int]


def cells(owner: int, family: int, worker: int, guest: int, admin: int) -> Cells:
    """A route's answers about a farm: to its own people, to who is shown everything, to the administrator."""
    return {"owner": owner, "family": family, "worker": worker, **dict.fromkeys(OUTSIDERS, guest), "admin": admin}


def nothing(_: Any, __: str) -> Mapping[str, str]:
    """No id besides the farm's own."""
    return {}


@dataclass(frozen=True)
class Room:
    """The routes of one part.

    `open`: what answers without a session. `signed_in`: what answers to everybody who is signed in, about no farm in
    particular. `about_a_farm`: what each role gets. `by_class`: with which classes, each alone, a read answers to a
    guest; every other class answers 404 (`told_by_class`: to be said otherwise, {class: status}, 404 where it is not
    said). `bodies`: what is sent to a path (`<site>` stands for the farm). `ids(town, site)`: the ids of what stands
    on `site`, for the paths; called once for each of the farms. `spent`: routes that use up what they were asked
    about (a DELETE that answers 404 the second time); `ids` is called anew after each request of theirs.
    """

    open: Mapping[Route, int] = field(default_factory=dict)
    signed_in: Mapping[Route, int] = field(default_factory=dict)
    about_a_farm: Mapping[Route, Cells] = field(default_factory=dict)
    by_class: Mapping[Route, frozenset[DataClass]] = field(default_factory=dict)
    told_by_class: Mapping[Route, Mapping[DataClass, int]] = field(default_factory=dict)
    bodies: Mapping[str, Any] = field(default_factory=dict)
    queries: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    headers: Mapping[Route, Mapping[str, str]] = field(default_factory=dict)
    ids: Callable[[Any, str], Mapping[str, str]] = nothing
    spent: frozenset[Route] = frozenset()
    admin_sees: frozenset[Route] = frozenset()
    """Routes by which the administrator sees something technical of every farm, and no measured value."""
    audited: bool = True
    """Whether a guest's reads by `by_class` stand in the audit, each class once."""
