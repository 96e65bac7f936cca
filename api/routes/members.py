"""The members of a farm: its own people see who is what there; the owner decides; everybody may leave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

from fastapi import APIRouter, HTTPException, Path
from sqlalchemy.orm import Session

from api.centre import CentreNow
from api.etags import Changing, Tagging
from api.fresh import Proof
from api.links import link
from api.paging import Paging
from api.problems import existing, not_found
from api.routes.consents import names, require_insider
from api.sessions import SERVICE, SignedIn, digest, new_code, writing
from api.shapes import Names
from api.shapes.people import LinkOut, MemberOut, MembersOut, RoleIn
from collectors.registry import members, people, recovery
from collectors.registry.members import Member
from collectors.registry.viewer import ROLE_NAMES, Person, may_do, may_see, require

router = APIRouter(tags=["members"])

MemberId = Annotated[str, Path(max_length=64)]

WHAT: Final[Mapping[str, Names]] = {
    "member.let-in-again": Names(ja="入れなくなった人に リンクを 渡しました", en="let somebody in again"),
    "/sites/{site}/members": Names(ja="牧場の 人を 見ました", en="looked at the members"),
}
LAST_OWNER: Final = "A farm keeps an owner: make somebody else the owner first."


@router.get("/sites/{site}/members")
def list_of(site: str, viewer: SignedIn, centre: CentreNow, page: Paging) -> MembersOut:
    """Who is what on the farm, by name. For its own people."""
    require_insider(viewer, site)
    after = (str(page.after[0]), str(page.after[1])) if page.after else None
    with centre.registry.read() as session:
        rows = members.list_members(session, viewer, site, page.ask, after)
        shown, following = page.cut(rows, lambda m: (m.person.name, m.person.public_id))
        return MembersOut(rows=_shown(session, viewer, site, centre.clock(), *shown), next=following)


@router.get("/sites/{site}/members/{member_id}")
def one(site: str, member_id: MemberId, viewer: SignedIn, centre: CentreNow, tags: Tagging) -> MemberOut:
    """One member, with the version of their role as ETag."""
    require_insider(viewer, site)
    with centre.registry.read() as session:
        member = _found(session, viewer, site, member_id)
        [shown] = _shown(session, viewer, site, centre.clock(), member)
    tags.version(member.version)
    return shown


@router.put("/sites/{site}/members/{member_id}")
def change(
    site: str, member_id: MemberId, given: RoleIn, viewer: SignedIn, centre: CentreNow, tags: Changing,
    proof: Proof,
) -> MemberOut:  # fmt: skip
    """Makes a member something else on the farm, at once. The only owner stays one (409).

    To make an owner, or an owner something else, needs a fresh proof of identity.
    """
    require_insider(viewer, site)
    require(viewer, site, "grant roles")
    with writing(centre, viewer, site) as session:
        member = _found(session, viewer, site, member_id, lock=True)
        tags.expect(member.version)
        if "owner" in (member.role, given.role):
            proof.require()
        try:
            people.grant_role(session, viewer, member.person.id, site, given.role, centre.clock())
        except people.LastOwner:
            raise HTTPException(409, LAST_OWNER) from None
        member = _found(session, viewer, site, member_id)
        [shown] = _shown(session, viewer, site, centre.clock(), member)
    tags.changed(member.version)
    return shown


@router.delete("/sites/{site}/members/{member_id}", status_code=204)
def remove(site: str, member_id: MemberId, viewer: SignedIn, centre: CentreNow, tags: Changing, proof: Proof) -> None:
    """Takes somebody's role away: the owner anybody's, everybody their own (which needs no If-Match).

    With it ends at once all that they see of the farm, on open streams too. The only owner stays (409).
    """
    if not may_see(viewer, site) or site not in viewer.roles:
        raise not_found()
    with writing(centre, viewer, site) as session:
        person_id = viewer.id
        if people.public_id(session, SERVICE, viewer.id) != member_id:
            require_insider(viewer, site)
            require(viewer, site, "grant roles")
            member = _found(session, viewer, site, member_id, lock=True)
            tags.expect(member.version)
            if member.role == "owner":
                proof.require()
            person_id = member.person.id
        try:
            people.revoke_role(session, viewer, person_id, site, centre.clock())
        except people.LastOwner:
            raise HTTPException(409, LAST_OWNER) from None


@router.post("/sites/{site}/members/{member_id}/let-in")
def let_in(site: str, member_id: MemberId, viewer: SignedIn, centre: CentreNow) -> LinkOut:
    """A link for a member who asked to be let in again (`/recovery`), for an hour and once.

    The owner may give it to family and workers who have to do with no other farm; an administrator lets in the
    others (409). Used, it takes away what let the person in before.
    """
    require_insider(viewer, site)
    require(viewer, site, "invite")
    code, now_ms = new_code(), centre.clock()
    with writing(centre, viewer, site) as session:
        member = _found(session, viewer, site, member_id)
        try:
            made = recovery.answer_as_owner(
                session, viewer, site, member.person, code_hash=digest(code), now_ms=now_ms
            )
        except recovery.NotForThisOwner:
            detail = "They did not ask, or have to do with more than this farm: an administrator may let them in."
            raise HTTPException(409, detail) from None
    return link(centre, "join", code, made.expires_ms)


def _found(session: Session, viewer: Person, site: str, member_id: str, *, lock: bool = False) -> Member:
    return existing(members.get_member(session, viewer, site, member_id, lock=lock))


def _shown(session: Session, viewer: Person, site: str, now_ms: int, *shown: Member) -> list[MemberOut]:
    asked: Mapping[int, int] = {}
    if may_do(viewer, site, "invite"):
        near = [m.person for m in shown if m.role in recovery.ANSWERED_BY_OWNER]
        asked = recovery.asked(session, viewer, near, now_ms)
    return [
        MemberOut.model_validate(
            {
                "id": m.person.public_id,
                "name": m.person.name,
                "role": m.role,
                "role_name": names(ROLE_NAMES[m.role]),
                "me": m.person.id == viewer.id,
                "disabled": m.person.disabled_ms is not None,
                "asked_to_be_let_in_ms": asked.get(m.person.id),
                "version": m.version,
            }
        )
        for m in shown
    ]
