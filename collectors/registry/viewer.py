"""Who is looking, and what they may see and do. Every query of the registry takes a viewer.

A `Service` is a named part of Makiba and sees every farm. A `Person` sees

- all of a farm on which they are an insider (owner, family, worker);
- of any other farm the data classes that the farm has granted them (`Person.grants`, made of its consents);
- as administrator also every farm's names, people and what is technical, and no more.

A program that acts for a person with a token is that `Person` with a `Limit`: fewer farms, classes and actions, and
never those of an administrator nor what only a person decides (`FOR_PROGRAMS`). Every function here honours it.

Rows that a viewer may not see do not exist for them: a query answers as if there were none. What somebody may do is
the table `MAY`. DESIGN.md says what this guarantees.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from makiba.data_class import EVERYTHING, DataClass

ServiceName = Literal["collector", "analytics", "api", "console"]
Role = Literal["owner", "family", "worker", "vet", "coop", "town", "technician"]
Action = Literal[
    "acknowledge", "comment", "enter events", "edit animals", "edit fields", "edit placements",
    "correct placements", "import readings", "edit contacts", "edit rota", "plan maintenance", "change rules",
    "invite", "grant roles", "see audit", "consent", "export all", "delete farm", "manage gateways",
]  # fmt: skip

INSIDERS: Final[frozenset[Role]] = frozenset({"owner", "family", "worker"})
OUTSIDERS: Final[frozenset[Role]] = frozenset({"vet", "coop", "town", "technician"})

_FAMILY: Final[frozenset[Role]] = frozenset({"owner", "family"})
_OWNER: Final[frozenset[Role]] = frozenset({"owner"})

MAY: Final[Mapping[Action, frozenset[Role]]] = {
    "acknowledge": INSIDERS,
    "comment": INSIDERS | {"vet", "technician"},
    "enter events": INSIDERS | {"vet"},
    "edit animals": _FAMILY,
    "edit fields": _FAMILY,
    "edit placements": _FAMILY | {"technician"},
    "correct placements": _FAMILY,
    "import readings": _FAMILY,
    "edit contacts": _FAMILY,
    "edit rota": _FAMILY,
    "plan maintenance": INSIDERS | {"technician"},
    "change rules": _FAMILY,
    "invite": _OWNER,
    "grant roles": _OWNER,
    "see audit": _FAMILY,
    "consent": _OWNER,
    "export all": _OWNER,
    "delete farm": _OWNER,
    "manage gateways": _OWNER,
}
"""Which roles may do what on their farm. An outsider needs the data class as well (`NEEDS`)."""

NEEDS: Final[Mapping[Action, DataClass]] = {
    "acknowledge": "alerts",
    "comment": "alerts",
    "enter events": "herd",
    "edit placements": "technical",
    "plan maintenance": "technical",
}

FOR_PROGRAMS: Final[frozenset[Action]] = frozenset({
    "acknowledge", "comment", "enter events", "edit animals", "edit fields", "edit placements",
    "import readings", "change rules", "see audit", "export all",
})  # fmt: skip
"""What a token may allow. Who sees a farm, who belongs to it and its end are for people at a browser to decide."""

ROLE_NAMES: Final[Mapping[str, Mapping[str, str]]] = {
    "owner": {"ja": "経営主", "en": "owner"},
    "family": {"ja": "家族", "en": "family"},
    "worker": {"ja": "従業員", "en": "worker"},
    "vet": {"ja": "獣医師", "en": "veterinarian"},
    "coop": {"ja": "農協", "en": "co-op"},
    "town": {"ja": "町", "en": "town"},
    "technician": {"ja": "技術者", "en": "technician"},
}


@dataclass(frozen=True, slots=True)
class Service:
    """A part of Makiba acting by itself; `console` is a person at the machine's own command line."""

    name: ServiceName


@dataclass(frozen=True, slots=True)
class Limit:
    """What the token `token`, called `name`, leaves of its person's rights; None: all of them."""

    token: str
    name: str
    sites: frozenset[str] | None = None
    classes: frozenset[DataClass] | None = None
    actions: frozenset[Action] = FOR_PROGRAMS

    def reaches(self, site: str) -> bool:
        """Whether the program has to do with `site`."""
        return self.sites is None or site in self.sites


@dataclass(frozen=True, slots=True)
class Entrance:
    """By which session or token somebody came in, and the number of the rights (`rights_version`) at that moment."""

    key: str
    version: int


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who signed in: `roles` maps each farm they have to do with to what they are there.

    `grants`: what farms show them by consent, as it was when this viewer was made. `limit`: of a program that acts
    for them. `entrance`: by which they can be looked at again.
    """

    id: int
    name: str
    roles: Mapping[str, Role] = field(hash=False)
    is_admin: bool = False
    grants: Mapping[str, frozenset[DataClass]] = field(default_factory=dict, hash=False)
    limit: Limit | None = None
    entrance: Entrance | None = field(default=None, compare=False, repr=False)


Viewer = Service | Person


def limited(person: Person, limit: Limit | None) -> Person:
    """`person` as far as `limit` leaves it; no program is an administrator."""
    if limit is None:
        return person
    return replace(
        person,
        limit=limit,
        is_admin=False,
        roles={site: role for site, role in person.roles.items() if limit.reaches(site)},
        grants={site: classes for site, classes in person.grants.items() if limit.reaches(site)},
    )


def belongs_to(viewer: Viewer, site: str) -> bool:
    """Whether `viewer` is one of the farm's own people or a program of theirs, or a part of Makiba.

    Their reading is the farm's own and stands in no audit; whether they see everything is `is_insider`.
    """
    return isinstance(viewer, Service) or viewer.roles.get(site) in INSIDERS


def is_insider(viewer: Viewer, site: str) -> bool:
    """Whether `viewer` is one of the farm's own people, or a part of Makiba: they see everything of it.

    A program that may see certain classes only is none.
    """
    return belongs_to(viewer, site) and _sees_all_classes(viewer)


def classes_on(viewer: Viewer, site: str) -> frozenset[DataClass]:
    """The data classes of `site` that `viewer` may see."""
    if isinstance(viewer, Service):
        return EVERYTHING
    granted = EVERYTHING if belongs_to(viewer, site) else viewer.grants.get(site, frozenset())
    if viewer.is_admin:
        granted |= {"technical"}
    allowed = viewer.limit.classes if viewer.limit else None
    return granted if allowed is None else granted & allowed


def _sees_all_classes(viewer: Viewer) -> bool:
    return isinstance(viewer, Service) or viewer.limit is None or viewer.limit.classes in (None, EVERYTHING)


def may_see(viewer: Viewer, site: str, data_class: DataClass | None = None) -> bool:
    """Whether `site`, or its data of `data_class`, exists for `viewer`."""
    classes = classes_on(viewer, site)
    return bool(classes) if data_class is None else data_class in classes


def visible_sites(viewer: Viewer, data_class: DataClass | None = None) -> frozenset[str] | None:
    """The farms that `viewer` may see, or whose data of `data_class`; None means all."""
    if isinstance(viewer, Service) or (viewer.is_admin and data_class in (None, "technical")):
        return None
    return frozenset(s for s in {*viewer.roles, *viewer.grants} if may_see(viewer, s, data_class))


def home_sites(viewer: Viewer) -> frozenset[str] | None:
    """The farms whose own people `viewer` belongs to; None means all."""
    if isinstance(viewer, Service):
        return None
    return frozenset(s for s in viewer.roles if is_insider(viewer, s))


def may_do(viewer: Viewer, site: str, action: Action) -> bool:
    """Whether `viewer` may do this on `site`."""
    if isinstance(viewer, Service):
        return True
    if viewer.limit is not None and action not in viewer.limit.actions & FOR_PROGRAMS:
        return False
    needs = NEEDS.get(action)
    return viewer.roles.get(site) in MAY[action] and (needs is None or may_see(viewer, site, needs))


def has_lost(before: Person, now: Person, site: str | None = None) -> bool:
    """Whether somebody may not see or do `now` all that they could `before`; on `site` only, where given."""
    if before is now:
        return False
    sites = {*before.roles, *before.grants} if site is None else {site}
    return (before.is_admin and not now.is_admin) or any(
        (is_insider(before, s) and not is_insider(now, s))
        or not classes_on(before, s) <= classes_on(now, s)
        or any(may_do(before, s, action) and not may_do(now, s, action) for action in MAY)
        for s in sites
    )


class NotAllowed(PermissionError):
    """A person asked for what is there for them to see, and for others to do."""


def require(viewer: Viewer, site: str, action: Action) -> None:
    """Raises `NotAllowed` unless `viewer` may do this on `site`."""
    if not may_do(viewer, site, action):
        raise NotAllowed(f"{spell(viewer)} may not {action} on {site}")


def require_service(viewer: Viewer) -> None:
    """Raises `NotAllowed` unless `viewer` is a part of Makiba.

    Queries for these alone take a `Service`, so that a person does not type-check; this holds where nobody checked.
    """
    if not isinstance(viewer, Service):
        raise NotAllowed(f"{spell(viewer)} may not do this")


def require_admin(viewer: Viewer) -> None:
    """Raises `NotAllowed` unless `viewer` is the administrator, or a part of Makiba."""
    if not (isinstance(viewer, Service) or viewer.is_admin):
        raise NotAllowed(f"{spell(viewer)} may not do this")


def spell_with_program(viewer: Viewer) -> str:
    """`spell`, with the token of the program that acts for a person: `person:3/<token's id>`."""
    program = viewer.limit if isinstance(viewer, Person) else None
    return f"{spell(viewer)}/{program.token}" if program else spell(viewer)


def spell(viewer: Viewer) -> str:
    """The viewer's name in the alert book and logs: `person:3`, `service:analytics`; never a person's name."""
    return f"person:{viewer.id}" if isinstance(viewer, Person) else f"service:{viewer.name}"
