"""People and accounts, for the administrator. It shows them no farm's data, and each step is written down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

from fastapi import APIRouter, Depends, HTTPException, Path
from sqlalchemy.orm import Session

from api.centre import CentreNow
from api.fresh import Proof
from api.links import link
from api.once import Once
from api.paging import Paging
from api.problems import existing, not_found
from api.sessions import SERVICE, SignedIn, digest, new_code, writing
from api.shapes import Names
from api.shapes.people import (
    AccountHolder,
    FarmIn,
    LinkOut,
    PeopleOut,
    PersonIn,
    RoleOn,
    StepOut,
    StepsOut,
)
from collectors.registry import admin, people, recovery
from collectors.registry.admin import Step
from collectors.registry.schema import PersonRow
from collectors.registry.viewer import Person, require_admin

PersonId = Annotated[str, Path(max_length=64)]

STEPS: Final[Mapping[Step, Names]] = {
    "added": Names(ja="人を 加えました", en="added a person"),
    "disabled": Names(ja="使えないように しました", en="disabled a person"),
    "enabled": Names(ja="また 使えるように しました", en="enabled a person"),
    "reset": Names(ja="入り方を やり直しました", en="reset the ways in"),
    "owner-named": Names(ja="牧場の 最初の 経営主に しました", en="named the first owner of a farm"),
    "account-linked": Names(ja="組合の アカウントを つなぎました", en="linked an account"),
    "account-unlinked": Names(ja="組合の アカウントを 外しました", en="unlinked an account"),
}


WHAT: Final[Mapping[str, Names]] = {f"account.{step}": STEPS[step] for step in admin.TOLD_TO_FARMS}


def administrator(viewer: SignedIn) -> Person:
    """Who is looking, if they are the administrator; 403 otherwise, before anything is looked up."""
    require_admin(viewer)
    return viewer


Admin = Annotated[Person, Depends(administrator)]

router = APIRouter(tags=["people"], dependencies=[Depends(administrator)])


@router.get("/people")
def list_of(viewer: Admin, centre: CentreNow, page: Paging) -> PeopleOut:
    """Everybody who may sign in, by login, with what they are where."""
    with centre.registry.read() as session:
        rows = admin.list_people(session, viewer, page.ask, str(page.after[0]) if page.after else None)
        shown, following = page.cut(rows, lambda row: (row.login,))
        return PeopleOut(rows=_shown(session, viewer, centre.clock(), *shown), next=following)


@router.post("/people", status_code=201)
def add(given: PersonIn, viewer: Admin, centre: CentreNow, once: Once, proof: Proof) -> AccountHolder:
    """A new person without any way in; a reset gives the link that lets them in. 409: the login is taken.

    To make an administrator needs a fresh proof of identity.
    """
    if given.admin:
        proof.require()
    with once.write() as session:
        try:
            row = people.create_person(
                session, viewer, login=given.login, name=given.name, now_ms=centre.clock(),
                language=given.language, is_admin=given.admin,
            )  # fmt: skip
        except people.LoginTaken:
            raise HTTPException(409, "This login is taken.") from None
        admin.note(session, viewer, "added", row, centre.clock())
        [told] = _shown(session, viewer, centre.clock(), row)
        return once.made(told, f"/people/{row.public_id}")


@router.get("/people/{person_id}")
def one(person_id: PersonId, viewer: Admin, centre: CentreNow) -> AccountHolder:
    """One person."""
    with centre.registry.read() as session:
        [told] = _shown(session, viewer, centre.clock(), find_person(session, viewer, person_id, lock=False))
        return told


@router.post("/people/{person_id}/disable")
def disable(person_id: PersonId, viewer: Admin, centre: CentreNow) -> AccountHolder:
    """Shuts a person out, in every browser and program, at once. Nobody does it to themselves (409)."""
    return _set_disabled(person_id, viewer, centre, True)


@router.post("/people/{person_id}/enable")
def enable(person_id: PersonId, viewer: Admin, centre: CentreNow) -> AccountHolder:
    """Lets a person in again who was disabled."""
    return _set_disabled(person_id, viewer, centre, False)


@router.post("/people/{person_id}/reset")
def reset(person_id: PersonId, viewer: Admin, centre: CentreNow, proof: Proof) -> LinkOut:
    """Takes away all that lets the person in, ends their sessions, and gives a link that lets them in once.

    It holds for an hour. Nobody does it to themselves (409). It needs a fresh proof of identity.
    """
    proof.require()
    code, now_ms = new_code(), centre.clock()
    with writing(centre, viewer) as session:
        row = find_person(session, viewer, person_id)
        try:
            made = recovery.answer_as_admin(session, viewer, row, code_hash=digest(code), now_ms=now_ms)
        except recovery.NotForThisOwner:
            raise HTTPException(409, "Nobody resets themselves; change your ways in instead.") from None
        admin.note(session, viewer, "reset", row, now_ms)
    return link(centre, "join", code, made.expires_ms)


@router.post("/people/{person_id}/first-owner", status_code=204)
def name_first_owner(person_id: PersonId, given: FarmIn, viewer: Admin, centre: CentreNow, proof: Proof) -> None:
    """Makes a person the owner of a farm that has none (403 when it has one). It stands in the farm's audit.

    It needs a fresh proof of identity.
    """
    proof.require()
    with writing(centre, viewer) as session:
        row = find_person(session, viewer, person_id)
        try:
            people.grant_role(session, viewer, row.id, given.site, "owner", centre.clock())
        except LookupError:
            raise not_found() from None
        admin.note(session, viewer, "owner-named", row, centre.clock())


@router.get("/people-steps")
def list_steps(viewer: Admin, centre: CentreNow, page: Paging) -> StepsOut:
    """What administrators did to people and accounts, the newest first."""
    after = (int(page.after[0]), str(page.after[1])) if page.after else None
    with centre.registry.read() as session:
        rows = admin.list_steps(session, viewer, page.ask, after)
    shown, following = page.cut(rows, lambda row: (row.at_ms, row.id))
    told = [
        StepOut(
            id=row.id, at_ms=row.at_ms, who=row.who or None, what=row.what,
            what_name=next((words for step, words in STEPS.items() if step == row.what), Names(ja="", en="")),
            person=row.person, about=row.about,
        )
        for row in shown
    ]  # fmt: skip
    return StepsOut(rows=told, next=following)


def _set_disabled(person_id: str, viewer: Person, centre: CentreNow, disabled: bool) -> AccountHolder:
    with writing(centre, viewer) as session:
        row = find_person(session, viewer, person_id)
        try:
            admin.set_disabled(session, viewer, row, disabled, centre.clock())
        except admin.NotOneself:
            raise HTTPException(409, "Nobody shuts themselves out; another administrator may.") from None
        [told] = _shown(session, viewer, centre.clock(), row)
        return told


def find_person(session: Session, viewer: Person, person_id: str, *, lock: bool = True) -> PersonRow:
    """The person of this id; 404 when there is none. Nobody changes them meanwhile."""
    return existing(admin.find(session, viewer, person_id, lock=lock))


def _shown(session: Session, viewer: Person, now_ms: int, *rows: PersonRow) -> list[AccountHolder]:
    asked = recovery.asked(session, viewer, rows, now_ms)
    roles = people.roles_of(session, SERVICE, [row.id for row in rows])
    return [
        AccountHolder(
            id=row.public_id, login=people.shown_login(row), name=row.name, language=row.language,
            admin=row.is_admin, created_ms=row.created_ms, disabled_ms=row.disabled_ms,
            asked_to_be_let_in_ms=asked.get(row.id),
            roles=[RoleOn(site=site, role=role) for site, role in sorted(roles.get(row.id, {}).items())],
        )
        for row in rows
    ]  # fmt: skip
