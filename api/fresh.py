"""A proof of identity within the last ten minutes: what stands before everything that cannot be taken back easily.

`Fresh` in place of `SignedIn` is all that a route needs. An unlocked phone that somebody found changes no password,
makes no token and takes no farm away; its page asks for the password or the passkey (`POST /session/proof`) and tries
again. A program with a token can never be fresh: it has no browser.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends

from api.centre import Centre, CentreNow
from api.problems import Refused
from api.sessions import (
    SERVICE,
    Browser,
    Looking,
    LookingNow,
    SignedInBrowser,
    browser_of,
    not_signed_in,
)
from collectors.registry import people, sign_in
from collectors.registry.schema import WebSession
from collectors.registry.viewer import Person

FRESH_MS: Final = 600_000
FIRST_WAY_MS: Final = 3_600_000
"""Whom an invitation brought makes their first own way in within so long."""


def fresh_until_ms(row: WebSession) -> int:
    """Until when the last proof of this session counts; 0 when there was none."""
    return row.proved_ms + FRESH_MS if row.proved_ms is not None else 0


def is_fresh(row: WebSession, now_ms: int) -> bool:
    """Whether this session's person proved who they are just now."""
    return row.proved_ms is not None and row.proved_ms <= now_ms < fresh_until_ms(row)


def may_make_first_way(row: WebSession, ways: sign_in.WaysIn, now_ms: int) -> bool:
    """Whether an invitation brought somebody just now who has nothing of their own to come in with."""
    return row.way == "invitation" and now_ms < row.created_ms + FIRST_WAY_MS and len(ways) == 0


def fresh(browser: Browser, centre: CentreNow) -> Person:
    """Who is looking, when they proved it within the last ten minutes; 403 `proof-needed` otherwise."""
    if not is_fresh(session_row(centre, browser), centre.clock()):
        raise proof_needed()
    return browser.person


def fresh_or_first(browser: Browser, centre: CentreNow) -> Person:
    """`fresh`, or somebody who makes their first own way in just after an invitation brought them."""
    row, now_ms = session_row(centre, browser), centre.clock()
    if is_fresh(row, now_ms):
        return browser.person
    with centre.registry.read() as session:
        ways = sign_in.ways_in(session, browser.person, browser.person.id)
    if not may_make_first_way(row, ways, now_ms):
        raise proof_needed()
    return browser.person


def session_row(centre: Centre, browser: SignedInBrowser) -> WebSession:
    """The session of a browser; 401 when it ended in between."""
    with centre.registry.read() as session:
        row = people.get_session(session, SERVICE, browser.session_hash, centre.clock())
    if row is None:
        raise not_signed_in()
    return row


def proof_needed() -> Refused:
    """The answer to who has to prove first who they are."""
    return Refused(403, "Please show first that it is you: POST /session/proof.", slug="proof-needed")


Fresh = Annotated[Person, Depends(fresh)]
FreshOrFirst = Annotated[Person, Depends(fresh_or_first)]


@dataclass(frozen=True, slots=True)
class LaterProof:
    """The proof of this request, for a route that needs it for some of what it does, once rights are clear."""

    looking: Looking
    centre: Centre

    def require(self) -> None:
        """Returns when who is looking proved it within the last ten minutes; 403 otherwise, and for programs."""
        fresh(browser_of(self.looking), self.centre)


def later_proof(looking: LookingNow, centre: CentreNow) -> LaterProof:
    """The proof of this request."""
    return LaterProof(looking, centre)


Proof = Annotated[LaterProof, Depends(later_proof)]
