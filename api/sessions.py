"""Signing in, and who is looking.

- A session's token has 256 bits and a join code 160; only their SHA-256 is kept, so that somebody who reads the
  database can sign in as nobody.
- A session holds for 30 days from when it was last used, and for 180 days at most; signing out, or disabling its
  person, ends it at once. Its cookie is another one after each proof of identity. How people prove who they are is
  in `api/signing_in.py`.
- Every route gets its viewer from `SignedIn`: a `Person` with their roles, and with what farms grant them, as they
  are in this moment; a program's is limited by its token. What is for people alone takes `Browser`.
- A route that answers with a farm's data calls `Account.note` before it answers: for somebody from outside it looks
  at the rights again and writes the read down, in one transaction. So nothing begins to be answered once a
  withdrawal is committed, and nothing is read that does not stand in the audit. Of the farm's own people it looks
  whether they still are that.
- A route that changes something does it in `writing` (or in `Once.write`), which looks again in the transaction.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import AsyncGenerator, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Annotated, Final

from fastapi import Depends, HTTPException, Request, Response, Security
from fastapi.dependencies.models import Dependant
from fastapi.security import APIKeyCookie, HTTPBearer
from sqlalchemy.orm import Session

from api import known_browsers, tokens
from api.centre import PREFIX, Centre, CentreNow
from api.ears import Ear
from api.problems import Refused, not_found
from api.rates import Rates
from collectors.registry import browsers, people, recovery, rights_version
from collectors.registry import tokens as program_tokens
from collectors.registry.attempts import FREE_FAILURES
from collectors.registry.sight import Sight, sights_of
from collectors.registry.viewer import Entrance, Person, Service, belongs_to, has_lost
from makiba.data_class import DataClass

COOKIE: Final = "makiba_session"
SESSION_MS: Final = browsers.IDLE_MS
RENEW_AFTER_MS: Final = 3_600_000
"""A session's end is moved at most this often, so that looking at pages costs no write."""

TOKEN_BYTES: Final = 32
CODE_BYTES: Final = 20

SERVICE: Final = Service("api")
_PROGRAM: Final = "token:"
"""Before a token's id, where a session's hash might stand."""


class TooManyAttempts(Exception):
    """This login, from this address, has to wait."""

    def __init__(self, wait_ms: int) -> None:
        super().__init__(f"wait {wait_ms} ms")
        self.wait_ms = wait_ms


@dataclass(frozen=True, slots=True)
class SignedInBrowser:
    """Who is looking, and through which session."""

    person: Person
    session_hash: str


def digest(secret: str) -> str:
    """What is kept of a token or a code."""
    return hashlib.sha256(secret.encode()).hexdigest()


def new_code() -> str:
    """A join code: 160 bits that stand well in an address."""
    return secrets.token_urlsafe(CODE_BYTES)


# ------------------------------------------------------------------------------------------- coming and going


def join(centre: Centre, code: str, address: str) -> int | None:
    """The person whom `code` invites or lets in again, and it is used up by one; None when it does not hold."""
    key = f"join {address}"
    begin_attempt(centre, key)
    with centre.registry.write() as session:
        person_id = people.redeem_invitation(session, SERVICE, digest(code), centre.clock())
        if person_id is None:
            person_id = recovery.use_link(session, SERVICE, digest(code), centre.clock())
    if person_id is not None:
        centre.attempts.succeeded(key)
    return person_id


def begin_attempt(centre: Centre, key: str, free: int = FREE_FAILURES) -> None:
    """Counts an attempt of `key` as failed until it succeeded; `TooManyAttempts` when it has to wait."""
    wait_ms = centre.attempts.begin(key, centre.clock(), free)
    if wait_ms:
        raise TooManyAttempts(wait_ms)


def begin_session(
    centre: Centre, request: Request, response: Response, person_id: int, way: browsers.Way = "password"
) -> None:
    """Signs the browser in, which its person is told elsewhere; the session that it had before is gone."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    now_ms = centre.clock()
    device = request.headers.get("user-agent", "")
    with centre.registry.write() as session:
        if before := session_cookie(request, centre):
            people.delete_session(session, SERVICE, digest(before))
        row = browsers.create_session(
            session, SERVICE, token_hash=digest(token), person_id=person_id, now_ms=now_ms,
            expires_ms=now_ms + SESSION_MS, way=way, device=device,
        )  # fmt: skip
        browsers.notify(
            session, SERVICE, person_id, "signed-in", now_ms, way=way, device=device, session_id=row.id
        )  # fmt: skip
    _set_cookie(centre, response, token)
    if way != "invitation":  # which proves nothing about who they are
        word = known_browsers.new_word(centre.key, person_id)
        set_cookie(centre, response, known_browsers.COOKIE, word, known_browsers.HOLDS_MS)


def renew_session(centre: Centre, response: Response, browser: SignedInBrowser, *, proved: bool) -> None:
    """The browser's session has another cookie, and the one before opens nothing; `proved`: that it is its person."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    proved_ms = centre.clock() if proved else None
    with centre.registry.write() as session:
        if not browsers.renew_session(session, SERVICE, browser.session_hash, digest(token), proved_ms):
            raise not_signed_in()
    _set_cookie(centre, response, token)


def end_session(centre: Centre, request: Request, response: Response) -> None:
    """Signs the browser out, if it was in."""
    if token := session_cookie(request, centre):
        with centre.registry.write() as session:
            people.delete_session(session, SERVICE, digest(token))
    response.delete_cookie(
        cookie_name(centre), path="/", secure=centre.is_https, httponly=True, samesite="strict"
    )  # fmt: skip


def cookie_name(centre: Centre, name: str = COOKIE) -> str:
    """What the cookie is called: over HTTPS so that no other host and no page without TLS can set it."""
    return f"__Host-{name}" if centre.is_https else name


def session_cookie(request: Request, centre: Centre) -> str:
    """The session's cookie; empty when there is none."""
    return request.cookies.get(cookie_name(centre), "")


def _set_cookie(centre: Centre, response: Response, token: str) -> None:
    set_cookie(centre, response, COOKIE, token, SESSION_MS)


def set_cookie(centre: Centre, response: Response, name: str, value: str, for_ms: int) -> None:
    """A cookie that no script reads, that goes to this host alone and with no foreign page's request."""
    response.set_cookie(
        cookie_name(centre, name), value, max_age=for_ms // 1000, path="/", secure=centre.is_https, httponly=True,
        samesite="strict",
    )  # fmt: skip


# -------------------------------------------------------------------------------------------------- who looks


@dataclass(frozen=True, slots=True)
class Looking:
    """Who is looking, as a person at a browser or as their program; `key` is what their open streams go by."""

    person: Person
    key: str


# They refuse nothing: from them FastAPI knows of each route who may ask (`api.document` makes it whole).
_BY_COOKIE: Final = APIKeyCookie(name=COOKIE, scheme_name="session", auto_error=False)
_BY_TOKEN: Final = HTTPBearer(scheme_name="token", auto_error=False)
_BY_PEOPLE: Final = APIKeyCookie(name=COOKIE, scheme_name="browser", auto_error=False)


def looking(
    request: Request,
    response: Response,
    centre: CentreNow,
    _: Annotated[object, Security(_BY_COOKIE)],
    __: Annotated[object, Security(_BY_TOKEN)],
) -> Looking:
    """Who is looking, by the session's cookie or by a program's token; 401 when nobody is, 400 with both."""
    text = tokens.bearer(request)
    if text is not None and session_cookie(request, centre):
        raise Refused(400, "Send either the session's cookie or a token, not both.", slug="two-credentials")
    centre.rates.nobody(request, count=0)  # who has guessed too often is not looked up
    found = _at_a_browser(request, response, centre) if text is None else _program(centre, text)
    if found is None:
        centre.rates.nobody(request)
        raise not_signed_in()
    centre.rates.person(found.key if found.person.limit else str(found.person.id))
    return found


async def rated(request: Request) -> AsyncGenerator[None]:
    """Counts a request of nobody: one without credentials, or at a route that does not look at them.

    Whoever signs in, or asks for a link, may send a cookie that they made up. Few of these are worked on at a time:
    however many come, those who are signed in do not wait for their passwords to be hashed.
    """
    has_some = "cookie" in request.headers or "authorization" in request.headers
    if has_some and _looks(request.scope["route"].dependant):
        yield
        return
    rates: Rates = request.app.state.centre.rates
    rates.nobody(request)
    async with rates.turn_of_nobody:
        yield


def _looks(dependant: Dependant) -> bool:
    """Whether `looking` is among what a route depends on: it counts the request of whom it finds."""
    return any(one.call is looking or _looks(one) for one in dependant.dependencies)


def _at_a_browser(request: Request, response: Response, centre: Centre) -> Looking | None:
    """Moves the session's end on."""
    token = session_cookie(request, centre)
    now_ms = centre.clock()
    with centre.registry.read() as session:
        version = rights_version.current(session)
        signed = _browsers(centre, session, [digest(token)], version, now_ms).get(digest(token)) if token else None
    if signed is None:
        return None
    row, person = signed.session, signed.person
    if now_ms - row.seen_ms >= RENEW_AFTER_MS:
        with centre.registry.write() as session:
            people.touch(session, SERVICE, row.token_hash, now_ms, browsers.end_of(row, now_ms))
        _set_cookie(centre, response, token)
    return Looking(replace(person, entrance=Entrance(row.token_hash, version)), row.token_hash)


def _program(centre: Centre, text: str) -> Looking | None:
    token, now_ms = tokens.parse(text), centre.clock()
    if token is None:
        return None
    with centre.registry.read() as session:
        version = rights_version.current(session)
        signed = program_tokens.with_secret(session, SERVICE, token.id, token.secret_hash, now_ms)
    if signed is None:
        return None
    if now_ms - (signed.token.used_ms or 0) >= program_tokens.USED_EVERY_MS:
        with centre.registry.write() as session:
            program_tokens.touch(session, SERVICE, token.id, now_ms)
    key = _PROGRAM + token.id
    return Looking(replace(signed.person, entrance=Entrance(key, version)), key)


def signed_in(looking: LookingNow) -> Person:
    """Who is looking; 401 when nobody is."""
    return looking.person


def signed_in_browser(looking: LookingNow, _: Annotated[object, Security(_BY_PEOPLE)]) -> SignedInBrowser:
    """Who is looking at a browser: 403 for a program. For what people alone decide, such as how they sign in."""
    return browser_of(looking)


def browser_of(looking: Looking) -> SignedInBrowser:
    """Who is looking, at a browser; 403 for a program."""
    if looking.person.limit is not None:
        raise Refused(403, "This is for people at a browser, not for programs.", slug="not-for-programs")
    return SignedInBrowser(looking.person, looking.key)


def browsers_only(request: Request) -> None:
    """For what signs a browser in or begins to: 400 when a token comes along, since a program gets no cookie."""
    if tokens.bearer(request) is not None:
        raise Refused(400, "A browser signs in here; send no token with it.", slug="two-credentials")


def person_at_browser(request: Request, response: Response, centre: Centre) -> Person:
    """Who is looking at a browser, for a route that asks for it only sometimes; 401 when nobody is."""
    return browser_of(looking(request, response, centre, None, None)).person


LookingNow = Annotated[Looking, Depends(looking)]
SignedIn = Annotated[Person, Depends(signed_in)]
Browser = Annotated[SignedInBrowser, Depends(signed_in_browser)]
NoProgram: Final = Depends(browsers_only)


def not_signed_in() -> HTTPException:
    """The answer to who is not signed in (any more), whatever they sent."""
    return HTTPException(401, "Please sign in.", {"WWW-Authenticate": "Bearer"})


# --------------------------------------------------------------------------------------------- once more, later


def look_again(centre: Centre, session: Session, viewer: Person) -> Person:
    """`viewer` as they are in `session`; 401 when their session or token ended since they came in."""
    entrance = viewer.entrance
    version = rights_version.current(session)
    if entrance is None or entrance.version == version:  # nothing has changed for anybody
        return viewer
    key, now_ms = entrance.key, centre.clock()
    found: people.SignedIn | program_tokens.SignedInProgram | None
    if key.startswith(_PROGRAM):
        token_id = key.removeprefix(_PROGRAM)
        found = program_tokens.signed_in(session, SERVICE, [token_id], now_ms).get(token_id)
    else:
        found = _browsers(centre, session, [key], version, now_ms).get(key)
    if found is None:
        raise not_signed_in()
    return found.person


@contextmanager
def writing(centre: Centre, viewer: Person, site: str | None = None) -> Iterator[Session]:
    """A writing session for what `viewer` changes, on `site` where it is about one.

    Who lost rights there while the request waited is told that there is nothing (404), and 401 who is signed out:
    what was withdrawn is not used once more by a request that was under way.
    """
    with centre.registry.write() as session:
        if has_lost(viewer, look_again(centre, session, viewer), site):
            raise not_found()
        yield session


# ---------------------------------------------------------------------------------------------------- accounts


@dataclass(frozen=True, slots=True)
class Account:
    """Keeps account of what `viewer` reads by the route `what`."""

    centre: Centre
    viewer: Person
    what: str

    def note(self, site: str, classes: Iterable[DataClass], span_ms: tuple[int, int] | None = None) -> None:
        """Call it with the data in hand, before the answer: 404 when `viewer` may not see it (any more).

        Nothing is written down of the farm's own people; their rights are looked at again too.
        """
        if self.note_many({site: classes}, span_ms):
            raise not_found()

    def note_many(
        self, wanted: Mapping[str, Iterable[DataClass]], span_ms: tuple[int, int] | None = None
    ) -> frozenset[str]:
        """`note` for an answer about many farms: those that have to be left out of it, in one commit for all."""
        told = {site: kept for site, classes in wanted.items() if (kept := frozenset(classes))}
        if not told:
            return frozenset()
        with self.centre.registry.read() as session:
            now = look_again(self.centre, session, self.viewer)
        own = {site for site in told if belongs_to(self.viewer, site)}
        gone = frozenset(site for site in own if has_lost(self.viewer, now, site))
        if outside := {site: classes for site, classes in told.items() if site not in own}:
            gone |= self.centre.reads.note(self.viewer, outside, self.what, self.centre.clock(), span_ms)
        return gone


def account(request: Request, viewer: SignedIn, centre: CentreNow) -> Account:
    """The account of this request; `what` is its route's template."""
    return Account(centre, viewer, request.scope["route"].path.removeprefix(PREFIX))


Accounting = Annotated[Account, Depends(account)]


# ------------------------------------------------------------------------------------------------ open streams


@dataclass(frozen=True, slots=True)
class Rights:
    """What an ear may be told: right as long as the registry's number is `version` and it is before `until_ms`.

    `person` is narrowed to what it listens to.
    """

    person: Person
    sight: Sight
    version: int
    until_ms: int


def rights_of(centre: Centre, ears: Iterable[Ear]) -> tuple[int, Mapping[Ear, Rights]]:
    """The registry's number, and what each ear may be told; those whose session ended are not in it."""
    now_ms = centre.clock()
    wanted = list(ears)
    with centre.registry.read() as session:
        version = rights_version.current(session)
        signed = _signed_in(session, {ear.session_hash for ear in wanted}, now_ms)
        persons = {ear: ear.narrowed(signed[ear.session_hash].person) for ear in wanted if ear.session_hash in signed}
        sights = sights_of(session, SERVICE, persons.values())
    return version, {
        ear: Rights(person, sight, version, signed[ear.session_hash].until_ms)
        for (ear, person), sight in zip(persons.items(), sights, strict=True)
    }


def _browsers(
    centre: Centre, session: Session, hashes: Collection[str], version: int, now_ms: int
) -> Mapping[str, people.SignedIn]:
    def viewers(numbers: Collection[int]) -> Mapping[int, tuple[Person, int]]:
        return centre.reads.remembered.of(session, SERVICE, numbers, version, now_ms)

    return people.signed_in(session, SERVICE, hashes, now_ms, viewers)


def _signed_in(
    session: Session, keys: Collection[str], now_ms: int
) -> Mapping[str, people.SignedIn | program_tokens.SignedInProgram]:
    """Who looks by each of these keys, browsers and programs."""
    programs = {key.removeprefix(_PROGRAM) for key in keys if key.startswith(_PROGRAM)}
    found = program_tokens.signed_in(session, SERVICE, programs, now_ms)
    browsers_of = people.signed_in(session, SERVICE, [k for k in keys if not k.startswith(_PROGRAM)], now_ms)
    return {**browsers_of, **{_PROGRAM + token_id: program for token_id, program in found.items()}}


def version_now(centre: Centre) -> int:
    """The number of the rights as they are."""
    with centre.registry.read() as session:
        return rights_version.current(session)
