"""Whom a farm calls: vet, milk collector, dealer, electrician, neighbours. Plain people, without accounts.

They are the farm's own: its people see them, owner and family edit them. No consent shows them to anybody outside,
whatever its classes: a consent is about the farm's data, and a neighbour's number is the neighbour's.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from sqlalchemy import func, select, tuple_
from sqlalchemy.orm import Session

from collectors.registry import audit
from collectors.registry.schema import Site
from collectors.registry.schema.farm import Contact
from collectors.registry.viewer import NotAllowed, Viewer, is_insider, require, spell
from makiba.phone import JAPAN, e164

ContactKind = Literal["vet", "milk-collector", "dealer", "electrician", "plumber", "neighbour", "coop", "other"]
KINDS: Final[tuple[ContactKind, ...]] = get_args(ContactKind)
MOST: Final = 500
"""Contacts of one farm."""


class TooMany(ValueError):
    """A farm has as many of these as it may have."""


@dataclass(frozen=True, slots=True)
class ContactSpec:
    """A contact as people write it; `phone` as they are used to write it."""

    name: str
    kind: ContactKind
    what_for: str = ""
    phone: str = ""
    mail: str = ""
    note: str = ""


def list_contacts(
    session: Session, viewer: Viewer, site: str, limit: int, after: Sequence[Any] | None = None
) -> Sequence[Contact]:
    """The contacts of `site` by name and id, from behind `after` (name, id) on."""
    require_own(viewer, site)
    query = select(Contact).where(Contact.site_id == site)
    if after is not None:
        query = query.where(tuple_(Contact.name, Contact.id) > tuple(after))
    return session.scalars(query.order_by(Contact.name, Contact.id).limit(limit)).all()


def get_contact(
    session: Session, viewer: Viewer, site: str, contact: str, *, to_change: bool = False
) -> Contact | None:
    """The contact of this id; `to_change` locks it and asks for the right to."""
    if to_change:
        require(viewer, site, "edit contacts")
    require_own(viewer, site)
    query = select(Contact).where(Contact.id == contact, Contact.site_id == site)
    return session.scalar(query.with_for_update() if to_change else query)


def add_contact(session: Session, viewer: Viewer, site: str, spec: ContactSpec, now_ms: int) -> Contact:
    """A new contact. `ValueError` when its number is none; `TooMany`."""
    require(viewer, site, "edit contacts")
    count = session.scalar(select(func.count()).select_from(Contact).where(Contact.site_id == site)) or 0
    if count >= MOST:
        raise TooMany(f"a farm has at most {MOST} contacts")
    row = Contact(id=secrets.token_urlsafe(16), site_id=site, created_ms=now_ms, version=1)
    _fill(session, row, spec)
    session.add(row)
    audit.note_change(session, viewer, site, "contact.added", now_ms, contact=row.id, kind=row.kind)
    session.flush()
    return row


def change_contact(session: Session, viewer: Viewer, row: Contact, spec: ContactSpec, now_ms: int) -> None:
    """Makes `row` (of `get_contact(…, to_change=True)`) say what `spec` says."""
    require(viewer, row.site_id, "edit contacts")
    _fill(session, row, spec)
    row.version += 1
    audit.note_change(session, viewer, row.site_id, "contact.changed", now_ms, contact=row.id, kind=row.kind)


def remove_contact(session: Session, viewer: Viewer, row: Contact, now_ms: int) -> None:
    """Takes the contact out, and their lines of the rota."""
    require(viewer, row.site_id, "edit contacts")
    session.delete(row)
    audit.note_change(session, viewer, row.site_id, "contact.removed", now_ms, contact=row.id, kind=row.kind)


def require_own(viewer: Viewer, site: str) -> None:
    """Raises `NotAllowed` unless `viewer` is one of the farm's own people."""
    if not is_insider(viewer, site):
        raise NotAllowed(f"{spell(viewer)} is none of {site}")


def _fill(session: Session, row: Contact, spec: ContactSpec) -> None:
    zone = session.scalar(select(Site.timezone).where(Site.id == row.site_id))
    row.phone = e164(spec.phone, JAPAN if zone == "Asia/Tokyo" else None) if spec.phone else ""
    row.phone_written, row.mail = spec.phone, spec.mail
    row.name, row.kind, row.what_for, row.note = spec.name, spec.kind, spec.what_for, spec.note
