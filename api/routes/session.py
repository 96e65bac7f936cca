"""Signing in and out, and what the signed-in person may see."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import APIRouter, HTTPException, Request, Response

from api import sessions, signing_in
from api.centre import CentreNow
from api.problems import Refused, invalid
from api.sessions import Browser, NoProgram, SignedIn
from api.shapes import Health, Join, Language, Names, PersonOut, SessionOut, SignIn, SiteRole
from api.shapes.sign_in import Assertion, CodeIn, PasskeyOptions, ProofIn
from collectors.registry import people, sites
from collectors.registry.viewer import classes_on

router = APIRouter(tags=["session"])


@router.get("/health")
def health(centre: CentreNow) -> Health:
    """That the API answers; needs no session."""
    return Health(ok=True, time_ms=centre.clock())


@router.post("/session", status_code=204, dependencies=[NoProgram])
def sign_in(given: SignIn, request: Request, response: Response, centre: CentreNow) -> None:
    """Signs in with login and password. Whatever is wrong, the answer is the same.

    401 `code-needed`: both are right, and `POST /session/code` follows within five minutes.
    """
    try:
        with signing_in_too_often():
            person_id = signing_in.with_password(centre, request, given.login, given.password, _address(request))
    except signing_in.CodeNeeded as needed:
        asked = Response()
        signing_in.begin_challenge(centre, asked, "code", signing_in.CODE_MS, person_id=needed.person_id)
        raise Refused(
            401, "Now the code of your app, please.", {"Set-Cookie": asked.headers["set-cookie"]}, slug="code-needed"
        ) from None
    if person_id is None:
        raise HTTPException(401, "Login and password do not fit.")
    sessions.begin_session(centre, request, response, person_id)


@router.post("/session/code", status_code=204, dependencies=[NoProgram])
def sign_in_with_code(given: CodeIn, request: Request, response: Response, centre: CentreNow) -> None:
    """Signs in with the code that follows the password: of the authenticator app, or a recovery code."""
    with signing_in_too_often():
        person_id = signing_in.with_code(centre, request, given.code, _address(request))
    if person_id is None:
        raise HTTPException(401, "The code does not fit, or came too late after the password.")
    sessions.begin_session(centre, request, response, person_id)


@router.post("/session/passkey/options", dependencies=[NoProgram])
def passkey_options(response: Response, centre: CentreNow) -> PasskeyOptions:
    """What the browser asks for a passkey: to sign in, or to prove again who somebody is. It holds five minutes."""
    return PasskeyOptions(publicKey=signing_in.ask_passkey(centre, response))


@router.post("/session/passkey", status_code=204, dependencies=[NoProgram])
def sign_in_with_passkey(given: Assertion, request: Request, response: Response, centre: CentreNow) -> None:
    """Signs in with what a passkey answered; no login is needed."""
    person_id = signing_in.with_passkey(centre, request, given.model_dump())
    if person_id is None:
        raise HTTPException(401, "This passkey does not open anything here; please try again.")
    sessions.begin_session(centre, request, response, person_id, "passkey")


@router.post("/session/proof", status_code=204)
def prove(given: ProofIn, browser: Browser, request: Request, response: Response, centre: CentreNow) -> None:
    """Proves again who is signed in: for ten minutes they may change what cannot be taken back easily."""
    if (given.password is None) == (given.passkey is None):
        raise invalid("", "either a password or a passkey")
    if given.passkey is not None:
        if signing_in.with_passkey(centre, request, given.passkey.model_dump()) != browser.person.id:
            raise not_proved()
    else:
        with signing_in_too_often():
            proof = signing_in.proves(centre, browser.person, given.password or "", given.code)
        if proof == "code-needed":
            raise Refused(403, "The code of your app as well, please.", slug="code-needed")
        if proof == "wrong":
            raise not_proved()
    sessions.renew_session(centre, response, browser, proved=True)


@router.post("/session/join", status_code=204, dependencies=[NoProgram])
def join(given: Join, request: Request, response: Response, centre: CentreNow) -> None:
    """Signs in with the code of an invitation."""
    with signing_in_too_often():
        person_id = sessions.join(centre, given.code, _address(request))
    if person_id is None:
        raise HTTPException(401, "This code does not hold, or not any more; ask for a new one.")
    sessions.begin_session(centre, request, response, person_id, "invitation")


@router.delete("/session", status_code=204)
def sign_out(request: Request, response: Response, centre: CentreNow) -> None:
    """Signs out; the session is gone, also for whoever copied its cookie."""
    sessions.end_session(centre, request, response)


@router.get("/session")
def session(viewer: SignedIn, centre: CentreNow) -> SessionOut:
    """Who is signed in, and the farms of which they may see something.

    An administrator without a role on a farm is `admin` there, and sees what is technical.
    """
    with centre.registry.read() as rows:
        person = people.get_person(rows, viewer, viewer.id)
        farms = sites.list_sites(rows, viewer)
    return SessionOut(
        person=PersonOut(
            id=person.public_id if person else "", name=viewer.name, language=person.language if person else "ja"
        ),
        sites=[
            SiteRole(
                id=f.id,
                name=Names(ja=f.name_ja, en=f.name_en),
                role=viewer.roles.get(f.id, "admin"),
                classes=sorted(classes_on(viewer, f.id)),
            )
            for f in farms
        ],
        demo=centre.demo,
    )


@router.put("/session/language", status_code=204)
def set_language(given: Language, browser: Browser, centre: CentreNow) -> None:
    """The language in which the signed-in person reads."""
    with sessions.writing(centre, browser.person) as rows:
        people.set_language(rows, browser.person, browser.person.id, given.language)


def _address(request: Request) -> str:
    return request.client.host if request.client else "unknown"


@contextmanager
def signing_in_too_often() -> Iterator[None]:
    """Who tries too often is told how long to wait."""
    try:
        yield
    except sessions.TooManyAttempts as error:
        seconds = -(-error.wait_ms // 1000)
        detail = f"Too many attempts; wait {seconds} s."
        raise Refused(429, detail, {"Retry-After": str(seconds)}, slug="too-many") from None


def not_proved() -> Refused:
    """The answer to who is signed in, and gave a wrong password, code or passkey."""
    return Refused(403, "That does not fit.", slug="not-proved")
