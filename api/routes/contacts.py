"""Contacts of a farm: whom it calls. Its own people see them; owner and family edit them; nobody else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

from fastapi import APIRouter, Path

from api.centre import CentreNow
from api.etags import Changing, Tagging
from api.once import Once
from api.paging import Paging
from api.problems import existing, invalid
from api.routes.consents import require_insider
from api.sessions import SignedIn, writing
from api.shapes import Names
from api.shapes.farm import ContactIn, ContactOut, ContactsOut
from collectors.registry import contacts
from collectors.registry.contacts import ContactSpec
from collectors.registry.schema.farm import Contact

router = APIRouter(tags=["contacts and rota"])

ContactId = Annotated[str, Path(max_length=64)]

WHAT: Final[Mapping[str, Names]] = {
    "contact.added": Names(ja="連絡先を 加えました", en="added a contact"),
    "contact.changed": Names(ja="連絡先を 直しました", en="changed a contact"),
    "contact.removed": Names(ja="連絡先を 消しました", en="removed a contact"),
}


@router.get("/sites/{site}/contacts")
def list_of(site: str, viewer: SignedIn, centre: CentreNow, page: Paging) -> ContactsOut:
    """Whom the farm calls, by name. For the farm's own people."""
    require_insider(viewer, site)
    with centre.registry.read() as session:
        rows = contacts.list_contacts(session, viewer, site, page.ask, page.after)
    shown, following = page.cut(rows, lambda row: (row.name, row.id))
    return ContactsOut(rows=[_shown(row) for row in shown], next=following)


@router.post("/sites/{site}/contacts", status_code=201)
def add(site: str, given: ContactIn, viewer: SignedIn, centre: CentreNow, once: Once) -> ContactOut:
    """A new contact."""
    require_insider(viewer, site)
    with once.write(site, "edit contacts") as session:
        try:
            row = contacts.add_contact(session, viewer, site, _spec(given), centre.clock())
        except contacts.TooMany as error:
            raise invalid("", str(error)) from None
        except ValueError as error:
            raise invalid("phone", str(error)) from None
        return once.made(_shown(row), f"/sites/{site}/contacts/{row.id}", version=row.version)


@router.get("/sites/{site}/contacts/{contact_id}")
def one(site: str, contact_id: ContactId, viewer: SignedIn, centre: CentreNow, tags: Tagging) -> ContactOut:
    """One contact, with its version as ETag."""
    require_insider(viewer, site)
    with centre.registry.read() as session:
        row = existing(contacts.get_contact(session, viewer, site, contact_id))
    tags.version(row.version)
    return _shown(row)


@router.put("/sites/{site}/contacts/{contact_id}")
def change(
    site: str, contact_id: ContactId, given: ContactIn, viewer: SignedIn, centre: CentreNow, tags: Changing
) -> ContactOut:  # fmt: skip
    """Makes the contact say what is given."""
    require_insider(viewer, site)
    with writing(centre, viewer, site) as session:
        row = existing(contacts.get_contact(session, viewer, site, contact_id, to_change=True))
        tags.expect(row.version)
        try:
            contacts.change_contact(session, viewer, row, _spec(given), centre.clock())
        except ValueError as error:
            raise invalid("phone", str(error)) from None
        tags.changed(row.version)
        return _shown(row)


@router.delete("/sites/{site}/contacts/{contact_id}", status_code=204)
def remove(site: str, contact_id: ContactId, viewer: SignedIn, centre: CentreNow, tags: Changing) -> None:
    """Takes the contact out, and their lines of the rota."""
    require_insider(viewer, site)
    with writing(centre, viewer, site) as session:
        row = existing(contacts.get_contact(session, viewer, site, contact_id, to_change=True))
        tags.expect(row.version)
        contacts.remove_contact(session, viewer, row, centre.clock())


def _spec(given: ContactIn) -> ContactSpec:
    return ContactSpec(given.name, given.kind, given.what_for, given.phone, given.mail, given.note)


def _shown(row: Contact) -> ContactOut:
    return ContactOut(
        id=row.id, name=row.name, kind=row.kind, what_for=row.what_for, phone=row.phone or None,
        phone_written=row.phone_written, mail=row.mail, note=row.note, version=row.version,
    )  # fmt: skip
