"""Invitations to a farm by link or QR code, the first administrator, and asking to be let in again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

from fastapi import APIRouter, HTTPException, Path, Request, Response
from sqlalchemy.orm import Session

from api import sessions
from api.centre import Centre, CentreNow
from api.fresh import Proof
from api.links import attempt, link, new_hash, wrong_code
from api.once import Once
from api.paging import Paging
from api.problems import existing, invalid
from api.routes.consents import names, require_insider
from api.sessions import SERVICE, NoProgram, SignedIn, digest, new_code
from api.shapes import Names
from api.shapes.people import (
    AcceptedOut,
    AcceptIn,
    FirstIn,
    InvitationIn,
    InvitationMade,
    InvitationOut,
    InvitationsOut,
    InvitedOut,
    LinkCode,
    NewPerson,
    RecoveryIn,
    RecoveryOut,
)
from collectors.registry import invitations, people, recovery
from collectors.registry.invitations import Invited
from collectors.registry.schema.identity import SiteInvitation
from collectors.registry.viewer import ROLE_NAMES, Person, require

router = APIRouter(tags=["invitations"])

InvitationId = Annotated[str, Path(max_length=64)]

HOLDS_MS: Final = 7 * 86_400_000
ASKED: Final = Names(
    ja="この 名前の 人が いれば、牧場の 経営主か 管理者に 伝わります。リンクを もらってください。",
    en="If somebody has this login, the farm's owner or an administrator sees it now. Ask them for a link.",
)
WHAT: Final[Mapping[str, Names]] = {
    "invitation.made": Names(ja="招待しました", en="invited somebody"),
    "invitation.revoked": Names(ja="招待を 取り消しました", en="revoked an invitation"),
    "invitation.accepted": Names(ja="招待を 受けました", en="accepted an invitation"),
}


@router.get("/sites/{site}/invitations")
def list_of(site: str, viewer: SignedIn, centre: CentreNow, page: Paging) -> InvitationsOut:
    """All invitations to the farm, the newest first, without their codes. The owner's."""
    require_insider(viewer, site)
    after = (int(page.after[0]), str(page.after[1])) if page.after else None
    with centre.registry.read() as session:
        rows = invitations.list_invitations(session, viewer, site, page.ask, after)
        shown, following = page.cut(rows, lambda row: (row.created_ms, row.id))
        return InvitationsOut(rows=[_shown(session, row, centre.clock()) for row in shown], next=following)


@router.post("/sites/{site}/invitations", status_code=201)
def invite(
    site: str, given: InvitationIn, viewer: SignedIn, centre: CentreNow, once: Once, proof: Proof
) -> InvitationMade:
    """Invites somebody to a role on the farm. The address, also as a QR code, is told this once; it holds once.

    To invite an owner needs a fresh proof of identity.
    """
    require_insider(viewer, site)
    require(viewer, site, "invite")
    if given.role == "owner":
        proof.require()
    code, now_ms = new_code(), centre.clock()
    with once.write(site, "invite") as session:
        try:
            row = invitations.invite(
                session, viewer, site, role=given.role, name=given.name, language=given.language,
                code_hash=digest(code), now_ms=now_ms, expires_ms=given.expires_ms or now_ms + HOLDS_MS,
            )  # fmt: skip
        except invitations.TooManyInvitations as error:
            raise HTTPException(409, str(error)) from None
        except ValueError as error:
            raise invalid("expires_ms", str(error)) from None
        made = InvitationMade(
            invitation=_shown(session, row, now_ms), link=link(centre, "invite", code, row.expires_ms)
        )
        return once.made(made, f"/sites/{site}/invitations/{row.id}", secret=True)


@router.get("/sites/{site}/invitations/{invitation_id}")
def one(site: str, invitation_id: InvitationId, viewer: SignedIn, centre: CentreNow) -> InvitationOut:
    """One invitation, without its code."""
    require_insider(viewer, site)
    with centre.registry.read() as session:
        row = existing(invitations.get_invitation(session, viewer, site, invitation_id))
        return _shown(session, row, centre.clock())


@router.delete("/sites/{site}/invitations/{invitation_id}", status_code=204)
def revoke(site: str, invitation_id: InvitationId, viewer: SignedIn, centre: CentreNow) -> None:
    """The code holds no more. Again, or once it was accepted, changes nothing."""
    require_insider(viewer, site)
    require(viewer, site, "invite")
    with sessions.writing(centre, viewer, site) as session:
        existing(invitations.revoke(session, viewer, site, invitation_id, centre.clock()))


# ---------------------------------------------------------------------------------------------- who has the code


@router.post("/invitations/look")
def look(given: LinkCode, request: Request, centre: CentreNow) -> InvitedOut:
    """What a code invites to; needs no session. Whatever is wrong with a code, the answer is the same 404."""
    with attempt(centre, request, "invitation"):
        with centre.registry.read() as session:
            invited = invitations.look(session, SERVICE, digest(given.code), centre.clock())
        if invited is None:
            raise wrong_code()
    return InvitedOut(
        farm=Names(ja=invited.site_name_ja, en=invited.site_name_en), role=invited.role,
        role_name=names(ROLE_NAMES[invited.role]), inviter=invited.inviter, name=invited.name,
        language=invited.language, expires_ms=invited.expires_ms,
    )  # fmt: skip


@router.post("/invitations/accept", dependencies=[NoProgram])
def accept(given: AcceptIn, request: Request, response: Response, centre: CentreNow) -> AcceptedOut:
    """Uses a code up: a new person is made and signed in, or the signed-in one gets the role.

    401 without `new` and a session, 409 when the signed-in person has a role on the farm already or the new one's
    login is taken; the code holds on then.
    """
    code_hash = digest(given.code)
    with attempt(centre, request, "invitation"):
        with centre.registry.read() as session:
            if invitations.look(session, SERVICE, code_hash, centre.clock()) is None:
                raise wrong_code()
    if given.new is None:
        person = _at_a_browser(request, response, centre)
        return _told(_accept(centre, code_hash, person.id))
    with attempt(centre, request, f"new person {code_hash}"):
        password_hash = new_hash(centre, given.new.password, given.new.login or "", given.new.name)
        person_id, invited = _accept_new(centre, code_hash, given.new, password_hash)
    sessions.begin_session(centre, request, response, person_id, "invitation")
    return _told(invited)


@router.post("/first-administrator", status_code=204, dependencies=[NoProgram])
def first(given: FirstIn, request: Request, response: Response, centre: CentreNow) -> None:
    """Makes the first administrator with the code that the console shows at the first start, and signs them in."""
    with attempt(centre, request, "first"):
        password_hash = new_hash(centre, given.password, given.login, given.name)
        with centre.registry.write() as session:
            try:
                person = invitations.use_first_link(
                    session, SERVICE, digest(given.code), login=given.login, name=given.name,
                    language=given.language, password_hash=password_hash, now_ms=centre.clock(),
                )  # fmt: skip
            except people.LoginTaken:
                raise _taken() from None
            if person is None:
                raise wrong_code()
    sessions.begin_session(centre, request, response, person.id, "invitation")


@router.post("/recovery", status_code=202)
def ask_to_be_let_in(given: RecoveryIn, request: Request, centre: CentreNow) -> RecoveryOut:
    """`I cannot get in`: whoever may let in the person with this login sees that they asked.

    The answer and the work are the same for a login that nobody has: one row, which the notifier looks at later. It
    mails a link to who has shown a mail address to be theirs.
    """
    with attempt(centre, request, "recovery", forgiven=False):
        with centre.registry.write() as session:
            recovery.ask(session, SERVICE, given.login, centre.clock())
    return RecoveryOut(message=ASKED)


# ------------------------------------------------------------------------------------------------------- inside


def _at_a_browser(request: Request, response: Response, centre: Centre) -> Person:
    return sessions.person_at_browser(request, response, centre)


def _accept(centre: Centre, code_hash: str, person_id: int) -> Invited:
    with centre.registry.write() as session:
        try:
            invited = invitations.accept(session, SERVICE, code_hash, person_id, centre.clock())
        except invitations.MemberAlready:
            raise HTTPException(409, "You have a role on this farm already; its owner may change it.") from None
    if invited is None:
        raise wrong_code()
    return invited


def _accept_new(centre: Centre, code_hash: str, new: NewPerson, password_hash: str | None) -> tuple[int, Invited]:
    now_ms = centre.clock()
    with centre.registry.write() as session:
        try:
            person = people.create_person(
                session, SERVICE, login=new.login or people.no_login(), name=new.name, now_ms=now_ms,
                language=new.language, password_hash=password_hash,
            )  # fmt: skip
        except people.LoginTaken:
            raise _taken() from None
        invited = invitations.accept(session, SERVICE, code_hash, person.id, now_ms)
        if invited is None:
            raise wrong_code()  # and nobody was made: the transaction is rolled back
    return person.id, invited


def _taken() -> HTTPException:
    return HTTPException(409, "This login is taken; please choose another.")


def _told(invited: Invited) -> AcceptedOut:
    return AcceptedOut(site=invited.site, role=invited.role)


def _shown(session: Session, row: SiteInvitation, now_ms: int) -> InvitationOut:
    state = "accepted" if row.accepted_ms else "revoked" if row.revoked_ms else "open"
    return InvitationOut.model_validate(
        {
            "id": row.id,
            "role": row.role,
            "role_name": names(ROLE_NAMES[row.role]),
            "name": row.name,
            "language": row.language,
            "invited_by": _name(session, row.invited_by),
            "created_ms": row.created_ms,
            "expires_ms": row.expires_ms,
            "state": "expired" if state == "open" and row.expires_ms <= now_ms else state,
            "accepted_ms": row.accepted_ms,
            "accepted_by": _name(session, row.accepted_by),
            "revoked_ms": row.revoked_ms,
        }
    )


def _name(session: Session, person_id: int | None) -> str | None:
    person = people.get_person(session, SERVICE, person_id) if person_id is not None else None
    return person.name if person else None
