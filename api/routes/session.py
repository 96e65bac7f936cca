"""Signing in and out, and what the signed-in person may see."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Request, Response

from api import sessions
from api.centre import CentreNow
from api.sessions import SignedIn
from api.shapes import Health, Join, Language, Names, PersonOut, SessionOut, SignIn, SiteRole
from collectors.registry import people, sites
from collectors.registry.viewer import classes_on

router = APIRouter(tags=["session"])


@router.get("/health")
def health(centre: CentreNow) -> Health:
    """That the API answers; needs no session."""
    return Health(ok=True, time_ms=centre.clock())


@router.post("/session", status_code=204)
def sign_in(given: SignIn, request: Request, response: Response, centre: CentreNow) -> None:
    """Signs in with login and password. Whatever is wrong, the answer is the same."""
    try:
        person_id = sessions.sign_in(centre, given.login, given.password, _address(request))
    except sessions.TooManyAttempts as error:
        raise _wait(error) from None
    if person_id is None:
        raise HTTPException(401, "Login and password do not fit.")
    sessions.begin_session(centre, request, response, person_id)


@router.post("/session/join", status_code=204)
def join(given: Join, request: Request, response: Response, centre: CentreNow) -> None:
    """Signs in with the code of an invitation."""
    try:
        person_id = sessions.join(centre, given.code, _address(request))
    except sessions.TooManyAttempts as error:
        raise _wait(error) from None
    if person_id is None:
        raise HTTPException(401, "This code does not hold, or not any more; ask for a new one.")
    sessions.begin_session(centre, request, response, person_id)


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
def set_language(given: Language, viewer: SignedIn, centre: CentreNow) -> None:
    """The language in which the signed-in person reads."""
    with centre.registry.write() as rows:
        people.set_language(rows, viewer, viewer.id, given.language)


def _address(request: Request) -> str:
    return request.client.host if request.client else "unknown"


def _wait(error: sessions.TooManyAttempts) -> HTTPException:
    seconds = -(-error.wait_ms // 1000)
    return HTTPException(429, f"Too many attempts; wait {seconds} s.", {"Retry-After": str(seconds)})
