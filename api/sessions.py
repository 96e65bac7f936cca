"""Signing in, and who is looking.

- A session's token has 256 bits and a join code 160; only their SHA-256 is kept, so that somebody who reads the
  database can sign in as nobody.
- The answer to a wrong login, a wrong password and a disabled person is the same, after the same work.
- A session holds for 30 days from when it was last used; signing out, or disabling its person, ends it at once.
- Every route gets its viewer from `SignedIn`: a `Person` with their roles, and with what farms grant them, as they
  are in this moment.
- A route that answers with a farm's data calls `Account.note` before it answers: for somebody from outside it looks
  at the rights again and writes the read down, in one transaction. So nothing begins to be answered once a
  withdrawal is committed, and nothing is read that does not stand in the audit.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, HTTPException, Request, Response

from api.centre import PREFIX, Centre, CentreNow
from api.ears import Ear
from api.problems import not_found
from collectors.registry import people, rights_version
from collectors.registry.sight import Sight, sights_of
from collectors.registry.viewer import Person, Service, belongs_to
from makiba.data_class import DataClass

COOKIE: Final = "makiba_session"
SESSION_MS: Final = 30 * 86_400_000
RENEW_AFTER_MS: Final = 3_600_000
"""A session's end is moved at most this often, so that looking at pages costs no write."""

TOKEN_BYTES: Final = 32
CODE_BYTES: Final = 20

SERVICE: Final = Service("api")


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


def sign_in(centre: Centre, login: str, password: str, address: str) -> int | None:
    """The person's id when login and password fit; None otherwise. `TooManyAttempts` when it comes too often."""
    key = f"login {digest(people.fold_login(login))} {address}"
    _begin(centre, key)
    with centre.registry.read() as session:
        row = people.person_by_login(session, SERVICE, login)
    usable = row is not None and row.disabled_ms is None
    kept = row.password_hash if row is not None and usable else None
    if not centre.passwords.matches(kept, password) or row is None:
        return None
    centre.attempts.succeeded(key)
    if kept is not None and centre.passwords.is_outdated(kept):
        renewed = centre.passwords.hash(password)
        with centre.registry.write() as session:
            people.set_password_hash(session, SERVICE, row.id, renewed)
    return row.id


def join(centre: Centre, code: str, address: str) -> int | None:
    """The person whom `code` invites, and the code is used up by one; None when it does not hold."""
    key = f"join {address}"
    _begin(centre, key)
    with centre.registry.write() as session:
        person_id = people.redeem_invitation(session, SERVICE, digest(code), centre.clock())
    if person_id is not None:
        centre.attempts.succeeded(key)
    return person_id


def _begin(centre: Centre, key: str) -> None:
    wait_ms = centre.attempts.begin(key, centre.clock())
    if wait_ms:
        raise TooManyAttempts(wait_ms)


def begin_session(centre: Centre, request: Request, response: Response, person_id: int) -> None:
    """Signs the browser in; the session that it had before is gone."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    now_ms = centre.clock()
    with centre.registry.write() as session:
        if before := request.cookies.get(COOKIE):
            people.delete_session(session, SERVICE, digest(before))
        people.create_session(
            session,
            SERVICE,
            token_hash=digest(token),
            person_id=person_id,
            now_ms=now_ms,
            expires_ms=now_ms + SESSION_MS,
            device=request.headers.get("user-agent", ""),
        )
    _set_cookie(centre, response, token)


def end_session(centre: Centre, request: Request, response: Response) -> None:
    """Signs the browser out, if it was in."""
    if token := request.cookies.get(COOKIE):
        with centre.registry.write() as session:
            people.delete_session(session, SERVICE, digest(token))
    response.delete_cookie(COOKIE, path="/", secure=centre.is_https, httponly=True, samesite="strict")


def _set_cookie(centre: Centre, response: Response, token: str) -> None:
    response.set_cookie(
        COOKIE, token, max_age=SESSION_MS // 1000, path="/", secure=centre.is_https, httponly=True,
        samesite="strict",
    )  # fmt: skip


# -------------------------------------------------------------------------------------------------- who looks


def signed_in_browser(request: Request, response: Response, centre: CentreNow) -> SignedInBrowser:
    """Who is looking; 401 when nobody is signed in. Moves the session's end on."""
    token = request.cookies.get(COOKIE, "")
    now_ms = centre.clock()
    with centre.registry.read() as session:
        signed = people.signed_in(session, SERVICE, [digest(token)], now_ms).get(digest(token)) if token else None
    if signed is None:
        raise not_signed_in()
    row, person = signed.session, signed.person
    if now_ms - row.seen_ms >= RENEW_AFTER_MS:
        with centre.registry.write() as session:
            people.touch(session, SERVICE, row.token_hash, now_ms, now_ms + SESSION_MS)
        _set_cookie(centre, response, token)
    return SignedInBrowser(person, row.token_hash)


def signed_in(browser: Annotated[SignedInBrowser, Depends(signed_in_browser)]) -> Person:
    """Who is looking; 401 when nobody is signed in."""
    return browser.person


SignedIn = Annotated[Person, Depends(signed_in)]
Browser = Annotated[SignedInBrowser, Depends(signed_in_browser)]


def not_signed_in() -> HTTPException:
    """The answer to who is not signed in (any more)."""
    return HTTPException(401, "Please sign in.")


# ---------------------------------------------------------------------------------------------------- accounts


@dataclass(frozen=True, slots=True)
class Account:
    """Keeps account of what `viewer` reads by the route `what`."""

    centre: Centre
    viewer: Person
    what: str

    def note(self, site: str, classes: Iterable[DataClass], span_ms: tuple[int, int] | None = None) -> None:
        """Call it with the data in hand, before the answer: 404 when `viewer` may not see it (any more).

        Nothing is written down of the farm's own people.
        """
        if self.note_many({site: classes}, span_ms):
            raise not_found()

    def note_many(
        self, wanted: Mapping[str, Iterable[DataClass]], span_ms: tuple[int, int] | None = None
    ) -> frozenset[str]:
        """`note` for an answer about many farms: those that have to be left out of it, in one commit for all."""
        outside = {
            site: told
            for site, classes in wanted.items()
            if (told := frozenset(classes)) and not belongs_to(self.viewer, site)
        }
        if not outside:
            return frozenset()
        return self.centre.reads.note(self.viewer, outside, self.what, self.centre.clock(), span_ms)


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
        signed = people.signed_in(session, SERVICE, {ear.session_hash for ear in wanted}, now_ms)
        persons = {ear: ear.narrowed(signed[ear.session_hash].person) for ear in wanted if ear.session_hash in signed}
        sights = sights_of(session, SERVICE, persons.values())
    return version, {
        ear: Rights(person, sight, version, signed[ear.session_hash].until_ms)
        for (ear, person), sight in zip(persons.items(), sights, strict=True)
    }


def version_now(centre: Centre) -> int:
    """The number of the rights as they are."""
    with centre.registry.read() as session:
        return rights_version.current(session)
