"""Consents of a farm: what it shows to whom outside it. The owner gives and withdraws; the family sees them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Path
from sqlalchemy.orm import Session

from api.alert_view import person_name
from api.centre import CentreNow
from api.once import Once
from api.paging import Paging
from api.problems import existing, invalid, not_found
from api.sessions import SERVICE, SignedIn, writing
from api.shapes import ClassName, ConsentIn, ConsentOut, ConsentsOut, Names
from collectors.registry import consent, people
from collectors.registry.schema import Consent
from collectors.registry.viewer import ROLE_NAMES, Person, is_insider
from makiba.data_class import DATA_CLASSES, NAMES, DataClass

router = APIRouter(tags=["rights"])

ConsentId = Annotated[str, Path(max_length=64)]
GONE = Names(ja="いなくなった人", en="somebody who is gone")


@router.get("/sites/{site}/consents")
def list_of(site: str, viewer: SignedIn, centre: CentreNow, page: Paging) -> ConsentsOut:
    """All consents that the farm ever gave, the newest first."""
    require_insider(viewer, site)
    with centre.registry.read() as session:
        rows = consent.list_consents(session, viewer, site, page.ask, page.after)
        rows, next_page = page.cut(rows, lambda row: (row.given_ms, row.id))
        return ConsentsOut(rows=[_shown(session, row, centre.clock()) for row in rows], next=next_page)


@router.post("/sites/{site}/consents", status_code=201)
def give(site: str, given: ConsentIn, viewer: SignedIn, centre: CentreNow, once: Once) -> ConsentOut:
    """Shows classes of the farm's data to a role on it, or to one person with such a role. It holds at once."""
    require_insider(viewer, site)
    now_ms = centre.clock()
    with once.write(site, "consent") as session:
        person_id = people.number_of(session, SERVICE, given.person) if given.person is not None else None
        try:
            row = consent.give(
                session, viewer, site, classes=given.classes, now_ms=now_ms, role=given.role, person_id=person_id,
                from_ms=given.from_ms, until_ms=given.until_ms,
            )  # fmt: skip
        except ValueError as error:
            raise invalid("", str(error)) from None
        return once.made(_shown(session, row, now_ms), f"/sites/{site}/consents/{row.id}")


@router.get("/sites/{site}/consents/{consent_id}")
def one(site: str, consent_id: ConsentId, viewer: SignedIn, centre: CentreNow) -> ConsentOut:
    """One consent of the farm, in force or not."""
    require_insider(viewer, site)
    with centre.registry.read() as session:
        row = existing(consent.get_consent(session, viewer, site, consent_id))
        return _shown(session, row, centre.clock())


@router.delete("/sites/{site}/consents/{consent_id}", status_code=204)
def withdraw(site: str, consent_id: ConsentId, viewer: SignedIn, centre: CentreNow) -> None:
    """Ends the consent at once, on open streams too. Again changes nothing."""
    require_insider(viewer, site)
    with writing(centre, viewer, site) as session:
        existing(consent.withdraw(session, viewer, site, consent_id, centre.clock()))


def require_insider(viewer: Person, site: str) -> None:
    """What a farm decides about others is not there for who is none of its own people."""
    if not is_insider(viewer, site):
        raise not_found()


def _shown(session: Session, row: Consent, now_ms: int) -> ConsentOut:
    return ConsentOut.model_validate(
        {
            "id": row.id,
            "role": row.role,
            "person": people.public_id(session, SERVICE, row.person_id),
            "grantee": _grantee(session, row),
            "classes": [class_name(c) for c in DATA_CLASSES if c in row.classes],
            "from_ms": row.from_ms,
            "until_ms": row.until_ms,
            "given_ms": row.given_ms,
            "given_by": person_name(session, row.given_by),
            "withdrawn_ms": row.withdrawn_ms,
            "withdrawn_by": person_name(session, row.withdrawn_by or ""),
            "in_force": consent.in_force(row, now_ms),
        }
    )


def class_name(data_class: DataClass) -> ClassName:
    """A data class as people read it."""
    return ClassName(id=data_class, name=names(NAMES[data_class]))


def names(words: Mapping[str, str]) -> Names:
    """A word of a table in both languages."""
    return Names(ja=words["ja"], en=words["en"])


def _grantee(session: Session, row: Consent) -> Names:
    if row.role is not None:
        return names(ROLE_NAMES[row.role])
    person = people.get_person(session, SERVICE, row.person_id) if row.person_id is not None else None
    return Names(ja=person.name, en=person.name) if person else GONE
