"""The rota of a farm: its lines in the database, and who they are about. The arithmetic is `rota_times`.

A line names a person with a role on the farm, or one of its contacts. A person whose role ended or who was disabled
is on call no more, though their lines stay until somebody takes them out; the gaps that follow are told. The farm's
own people see the rota, owner and family edit it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from collectors.registry import audit
from collectors.registry.contacts import TooMany, require_own
from collectors.registry.rota_times import Kind, Line, Rota, Tier, Who
from collectors.registry.schema import PersonRow, RoleRow, Site
from collectors.registry.schema.farm import Contact, Shift
from collectors.registry.viewer import Viewer, require

MOST: Final = 500
"""Lines of one farm's rota."""


class NobodyThere(ValueError):
    """A line names a person without a role on the farm, or a contact that the farm does not have."""


@dataclass(frozen=True, slots=True)
class ShiftSpec:
    """A line as people write it; one of `person` (their id outside the registry) and `contact`."""

    kind: Kind
    tier: Tier
    position: int = 0
    person: str | None = None
    contact: str | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    weekdays: tuple[int, ...] = ()
    start_minute: int = 0
    minutes: int = 0
    first_day: str = ""
    last_day: str = ""
    except_days: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Callee:
    """Whom to call: a person of the farm, or a contact with their number."""

    name: str
    role: str | None = None
    phone: str = ""
    phone_written: str = ""
    mail: str = ""


@dataclass(frozen=True, slots=True)
class Desk:
    """A farm's rota with the names and numbers of who stands in it."""

    rota: Rota
    callees: Mapping[Who, Callee] = field(default_factory=dict)


def list_shifts(
    session: Session, viewer: Viewer, site: str, limit: int, after: Sequence[Any] | None = None
) -> Sequence[Shift]:
    """The lines of the rota by id, from behind `after` (id) on."""
    require_own(viewer, site)
    query = select(Shift).where(Shift.site_id == site)
    if after is not None:
        query = query.where(Shift.id > after[0])
    return session.scalars(query.order_by(Shift.id).limit(limit)).all()


def get_shift(session: Session, viewer: Viewer, site: str, shift: str, *, to_change: bool = False) -> Shift | None:
    """The line of this id; `to_change` locks it and asks for the right to."""
    if to_change:
        require(viewer, site, "edit rota")
    require_own(viewer, site)
    query = select(Shift).where(Shift.id == shift, Shift.site_id == site)
    return session.scalar(query.with_for_update() if to_change else query)


def add_shift(session: Session, viewer: Viewer, site: str, spec: ShiftSpec, now_ms: int) -> Shift:
    """A new line. `NobodyThere`, `TooMany`."""
    require(viewer, site, "edit rota")
    if (session.scalar(select(func.count()).select_from(Shift).where(Shift.site_id == site)) or 0) >= MOST:
        raise TooMany(f"a rota has at most {MOST} lines")
    row = Shift(id=secrets.token_urlsafe(16), site_id=site, created_ms=now_ms, version=1)
    _fill(session, row, spec)
    session.add(row)
    audit.note_change(session, viewer, site, "rota.added", now_ms, shift=row.id)
    session.flush()
    return row


def change_shift(session: Session, viewer: Viewer, row: Shift, spec: ShiftSpec, now_ms: int) -> None:
    """Makes `row` (of `get_shift(…, to_change=True)`) say what `spec` says. `NobodyThere`."""
    require(viewer, row.site_id, "edit rota")
    _fill(session, row, spec)
    row.version += 1
    audit.note_change(session, viewer, row.site_id, "rota.changed", now_ms, shift=row.id)


def remove_shift(session: Session, viewer: Viewer, row: Shift, now_ms: int) -> None:
    """Takes the line out."""
    require(viewer, row.site_id, "edit rota")
    session.delete(row)
    audit.note_change(session, viewer, row.site_id, "rota.removed", now_ms, shift=row.id)


def desk_of(session: Session, viewer: Viewer, site: str) -> Desk:
    """The whole rota of `site`, with whom to call; what an escalation needs."""
    require_own(viewer, site)
    zone = session.scalar(select(Site.timezone).where(Site.id == site)) or "UTC"
    callees = callees_of(session, viewer, site)
    shifts = session.scalars(select(Shift).where(Shift.site_id == site).order_by(Shift.id))
    people = people_of(session, viewer, site)
    lines = tuple(_line(row, who_of(row, people), callees) for row in shifts)
    return Desk(Rota(lines, ZoneInfo(zone)), callees)


def callees_of(session: Session, viewer: Viewer, site: str) -> dict[Who, Callee]:
    """Everybody who may stand in the rota of `site`."""
    require_own(viewer, site)
    people = (
        select(PersonRow.public_id, PersonRow.name, RoleRow.role)
        .join(RoleRow, RoleRow.person_id == PersonRow.id)
        .where(RoleRow.site_id == site, PersonRow.disabled_ms.is_(None))
    )
    found: dict[Who, Callee] = {
        ("person", person): Callee(name, role) for person, name, role in session.execute(people)
    }
    for row in session.scalars(select(Contact).where(Contact.site_id == site)):
        found["contact", row.id] = Callee(row.name, None, row.phone, row.phone_written, row.mail)
    return found


def people_of(session: Session, viewer: Viewer, site: str) -> dict[int, str]:
    """Of the persons who stand in the rota of `site`, what their rows' numbers are called outside."""
    require_own(viewer, site)
    query = select(PersonRow.id, PersonRow.public_id).join(Shift, Shift.person_id == PersonRow.id)
    return {row.id: row.public_id for row in session.execute(query.where(Shift.site_id == site))}


def who_of(row: Shift, people: Mapping[int, str]) -> Who:
    """Whom the line is about."""
    return ("contact", row.contact_id) if row.contact_id is not None else ("person", people[row.person_id or 0])


def _line(row: Shift, who: Who, callees: Mapping[Who, Callee]) -> Line:
    return Line(
        id=row.id,
        kind=_kind(row.kind),
        who=who if who in callees else None,
        tier=_tier(row.tier),
        position=row.position,
        from_ms=row.from_ms or 0,
        to_ms=row.to_ms or 0,
        weekdays=frozenset(row.weekdays),
        start_minute=row.start_minute,
        minutes=row.minutes,
        first_day=date.fromisoformat(row.first_day) if row.first_day else None,
        last_day=date.fromisoformat(row.last_day) if row.last_day else None,
        except_days=frozenset(map(date.fromisoformat, row.except_days)),
    )


def _kind(word: str) -> Kind:
    kinds: Iterable[Kind] = ("dated", "weekly", "absence")
    return next(kind for kind in kinds if kind == word)


def _tier(word: str) -> Tier:
    tiers: Iterable[Tier] = ("owner", "family", "helper", "coop")
    return next(tier for tier in tiers if tier == word)


def _fill(session: Session, row: Shift, spec: ShiftSpec) -> None:
    with_role = select(PersonRow.id).join(RoleRow, RoleRow.person_id == PersonRow.id)
    of_farm = with_role.where(PersonRow.public_id == spec.person, RoleRow.site_id == row.site_id)
    person = session.scalar(of_farm) if spec.person is not None else None
    known = select(Contact.id).where(Contact.id == spec.contact, Contact.site_id == row.site_id)
    contact = session.scalar(known) if spec.contact is not None else None
    if (person, contact) == (None, None):
        raise NobodyThere("nobody of this farm")
    row.kind, row.tier, row.position = spec.kind, spec.tier, spec.position
    row.person_id, row.contact_id = person, contact
    row.from_ms, row.to_ms = spec.from_ms, spec.to_ms
    row.weekdays, row.start_minute, row.minutes = sorted(set(spec.weekdays)), spec.start_minute, spec.minutes
    row.first_day, row.last_day = spec.first_day, spec.last_day
    row.except_days, row.note = sorted(set(spec.except_days)), spec.note
