"""Signing in with an account elsewhere, such as the co-op's: there, back, linking, and signing out.

The provider sends the browser back to `return`, whose page hands the code over by `finish`: only a request of our own
page brings the cookies along. A sign-in that came back signs in whom the account was linked to, by themselves or by
an administrator; where the settings say so, a new person is made of it.
"""

from __future__ import annotations

import logging
import secrets
from pathlib import Path
from typing import Annotated, Final

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse
from sqlalchemy.orm import Session

from api import sessions
from api.centre import PREFIX, Centre, CentreNow
from api.fresh import Fresh, Proof
from api.oidc import Identity, Oidc, OidcError, OidcRefused, open_oidc
from api.problems import RETRY_AFTER_S, existing, not_found
from api.routes.people import Admin, PersonId, find_person
from api.sessions import SERVICE, Browser, NoProgram, digest
from api.shapes import Names
from api.shapes.oidc import AccountIn, AccountOut, CameBackIn, GoOut, ProviderOut, SignedOutOut
from collectors.registry import admin, browsers, identity, people, sign_in
from collectors.registry.browsers import NoticeKind
from collectors.registry.schema.identity import Account, AccountFlow
from collectors.registry.viewer import Viewer

log = logging.getLogger(__name__)

router = APIRouter(tags=["accounts elsewhere"])

COOKIE: Final = "makiba_oidc"
FLOW_MS: Final = 600_000
SECRET_BYTES: Final = 32
LANDING: Final = Path(__file__).parent.parent / "landing"


def _oidc(centre: CentreNow) -> Oidc:
    return existing(open_oidc(centre.settings))


Provider = Annotated[Oidc, Depends(_oidc)]


# -------------------------------------------------------------------------------------------------- there and back


@router.get("/oidc")
def provider(centre: CentreNow) -> ProviderOut:
    """Whether people may sign in with accounts elsewhere, and what that is called; needs no session."""
    found = open_oidc(centre.settings)
    return ProviderOut(label=Names(ja=found.label_ja, en=found.label_en) if found else None)


@router.post("/oidc/start", dependencies=[NoProgram])
def start(oidc: Provider, response: Response, centre: CentreNow) -> GoOut:
    """Begins a sign-in; the browser goes to the address, and comes back within ten minutes. 503: no answer there."""
    return _begin(centre, oidc, response, None)


@router.post("/oidc/link")
def link(viewer: Fresh, oidc: Provider, response: Response, centre: CentreNow) -> GoOut:
    """Begins a sign-in after which the account is the signed-in person's. It needs a fresh proof of identity."""
    return _begin(centre, oidc, response, viewer.id)


@router.get("/oidc/return", response_class=HTMLResponse)
def landing() -> HTMLResponse:
    """The page to which the provider sends the browser back."""
    return HTMLResponse((LANDING / "oidc.html").read_text(encoding="utf-8"))


@router.get(
    "/oidc/return.js",
    response_class=PlainTextResponse,
    responses={200: {"content": {"text/javascript": {"schema": {"type": "string"}}}}},
)
def landing_script() -> Response:
    """The script of that page."""
    return Response((LANDING / "oidc.js").read_text(encoding="utf-8"), media_type="text/javascript")


@router.post("/oidc/finish", status_code=204, dependencies=[NoProgram])
def finish(given: CameBackIn, oidc: Provider, request: Request, response: Response, centre: CentreNow) -> None:
    """Ends the sign-in: the person is signed in, or the account is linked to them.

    401: what came back does not hold, or not any more. 403: nobody here has this account. 409: it is linked already.
    """
    name = sessions.cookie_name(centre, COOKIE)
    browser = request.cookies.get(name, "")
    response.delete_cookie(name, path="/", secure=centre.is_https, httponly=True, samesite="strict")
    with centre.registry.write() as session:
        flow = identity.come_back(session, SERVICE, digest(given.state), digest(browser), centre.clock())
    if flow is None or not browser:
        raise _does_not_hold()
    try:
        who = oidc.identity(
            code=given.code, issuer=given.iss, redirect_uri=_redirect_uri(centre), state=given.state,
            browser=browser, now_ms=centre.clock(),
        )  # fmt: skip
    except OidcError as error:
        raise _failed(error) from None
    if not oidc.admits(who):
        raise HTTPException(403, "Accounts like this one may not sign in here.")
    if flow.person_id is not None:
        _link(centre, oidc, who, flow, request, response)
    else:
        sessions.begin_session(centre, request, response, _person_of(centre, oidc, who), "oidc")


@router.post("/oidc/sign-out")
def sign_out(oidc: Provider, request: Request, response: Response, centre: CentreNow) -> SignedOutOut:
    """Signs out here, and tells where to sign out of the provider too."""
    sessions.end_session(centre, request, response)
    return SignedOutOut(address=oidc.sign_out_address(centre.settings.address.rstrip("/") + "/"))


# ---------------------------------------------------------------------------------------------------- one's own


@router.get("/oidc/account")
def account(browser: Browser, oidc: Provider, centre: CentreNow) -> AccountOut:
    """The account that signs the signed-in person in."""
    with centre.registry.read() as session:
        return _shown(identity.account_of(session, browser.person, oidc.issuer, browser.person.id))


@router.delete("/oidc/account", status_code=204)
def unlink(viewer: Fresh, oidc: Provider, request: Request, centre: CentreNow) -> None:
    """The account signs the person in no more. 409 when it is their last way in. It needs a fresh proof."""
    with centre.registry.write() as session:
        sign_in.lock_person(session, viewer.id)
        existing(identity.account_of(session, viewer, oidc.issuer, viewer.id))
        if len(sign_in.ways_in(session, viewer, viewer.id)) <= 1:
            raise HTTPException(409, "It is the last way in: set a password or a passkey first.")
        identity.unlink(session, viewer, oidc.issuer, viewer.id)
        identity.forget_roles(session, SERVICE, viewer.id, centre.clock())
        _tell(session, centre, viewer.id, "account-unlinked", request)


# ------------------------------------------------------------------------------------------- the administrator's


@router.get("/people/{person_id}/account")
def account_of(person_id: PersonId, viewer: Admin, centre: CentreNow, oidc: Provider) -> AccountOut:
    """The account that signs a person in."""
    with centre.registry.read() as session:
        person = find_person(session, viewer, person_id, lock=False)
        return _shown(identity.account_of(session, viewer, oidc.issuer, person.id))


@router.put("/people/{person_id}/account")
def link_for(
    person_id: PersonId, given: AccountIn, viewer: Admin, centre: CentreNow, proof: Proof, oidc: Provider
) -> AccountOut:
    """Links an account to a person. 409: one of the two is linked already. It needs a fresh proof."""
    proof.require()
    with centre.registry.write() as session:
        person = find_person(session, viewer, person_id)
        subject = given.subject.casefold() if oidc.claim == "email" else given.subject
        _take(session, viewer, oidc, subject, person.id, centre.clock())
        _tell(session, centre, person.id, "account-linked", None)
        admin.note(session, viewer, "account-linked", person, centre.clock())
        return _shown(identity.account_of(session, viewer, oidc.issuer, person.id))


@router.delete("/people/{person_id}/account", status_code=204)
def unlink_for(person_id: PersonId, viewer: Admin, centre: CentreNow, proof: Proof, oidc: Provider) -> None:
    """The account signs the person in no more, and what its groups gave is gone. It needs a fresh proof."""
    proof.require()
    with centre.registry.write() as session:
        person = find_person(session, viewer, person_id)
        if not identity.unlink(session, viewer, oidc.issuer, person.id):
            raise not_found()
        identity.forget_roles(session, SERVICE, person.id, centre.clock())
        _tell(session, centre, person.id, "account-unlinked", None)
        admin.note(session, viewer, "account-unlinked", person, centre.clock())


# -------------------------------------------------------------------------------------------------------- inside


def _begin(centre: Centre, oidc: Oidc, response: Response, person_id: int | None) -> GoOut:
    state, browser = (secrets.token_urlsafe(SECRET_BYTES) for _ in range(2))
    try:
        address = oidc.address(_redirect_uri(centre), state, browser)
    except OidcError as error:
        raise _failed(error) from None
    now_ms = centre.clock()
    with centre.registry.write() as session:
        identity.begin(
            session, SERVICE, state_hash=digest(state), browser_hash=digest(browser), person_id=person_id,
            now_ms=now_ms, expires_ms=now_ms + FLOW_MS,
        )  # fmt: skip
    sessions.set_cookie(centre, response, COOKIE, browser, FLOW_MS)
    return GoOut(address=address)


def _person_of(centre: Centre, oidc: Oidc, who: Identity) -> int:
    """The person whose account it is, with the roles that its groups give; a new one where the settings say so."""
    now_ms = centre.clock()
    with centre.registry.write() as session:
        person = identity.person_of(session, SERVICE, oidc.issuer, who.subject, now_ms)
        if person is None:
            if not oidc.creates or identity.is_linked(session, SERVICE, oidc.issuer, who.subject):
                raise HTTPException(
                    403, "Nobody here has this account. Sign in otherwise and link it, or ask an administrator."
                )
            person = people.create_person(
                session, SERVICE, login=people.no_login(), name=who.name, now_ms=now_ms, language=who.language
            )
            _take(session, SERVICE, oidc, who.subject, person.id, now_ms)
        identity.apply_roles(session, SERVICE, person.id, oidc.roles(who), now_ms)
        return person.id


def _link(centre: Centre, oidc: Oidc, who: Identity, flow: AccountFlow, request: Request, response: Response) -> None:
    viewer = sessions.person_at_browser(request, response, centre)
    if viewer.id != flow.person_id:
        raise _does_not_hold()
    with centre.registry.write() as session:
        _take(session, viewer, oidc, who.subject, viewer.id, centre.clock())
        _tell(session, centre, viewer.id, "account-linked", request)
        identity.apply_roles(session, SERVICE, viewer.id, oidc.roles(who), centre.clock())


def _tell(session: Session, centre: Centre, person_id: int, kind: NoticeKind, request: Request | None) -> None:
    """The person sees in every browser what became of their account, whoever did it."""
    device = request.headers.get("user-agent", "") if request is not None else ""
    browsers.notify(session, SERVICE, person_id, kind, centre.clock(), way="oidc", device=device)


def _take(session: Session, viewer: Viewer, oidc: Oidc, subject: str, person_id: int, now_ms: int) -> None:
    try:
        identity.link(session, viewer, oidc.issuer, subject, person_id, now_ms)
    except identity.AccountTaken:
        detail = "This account is linked to somebody already, or this person has another."
        raise HTTPException(409, detail) from None


def _redirect_uri(centre: Centre) -> str:
    return f"{centre.settings.address.rstrip('/')}{PREFIX}/oidc/return"


def _does_not_hold() -> HTTPException:
    return HTTPException(401, "This sign-in does not hold, or not any more; please begin again.")


def _failed(error: OidcError) -> HTTPException:
    log.warning("account provider: %s", error)
    if isinstance(error, OidcRefused):
        return _does_not_hold()
    detail = "The accounts' provider does not answer just now; please try again."
    return HTTPException(503, detail, {"Retry-After": str(RETRY_AFTER_S)})


def _shown(row: Account | None) -> AccountOut:
    if row is None:
        return AccountOut(subject=None, linked_ms=None, used_ms=None)
    return AccountOut(subject=row.subject, linked_ms=row.linked_ms, used_ms=row.used_ms)
