"""How somebody signs in, and how somebody who is signed in proves again who they are.

- A wrong login, a wrong password, a disabled person, one without a password and one whose password a code follows
  get the same answer, after the same statements and one hash. Only a right password shows that a code is asked for.
- After a right password the browser has five minutes for the code. That is bound to the browser by a cookie, and is
  used up by the sign-in. Codes are counted by person, wherever they come from, besides the count by address.
- A passkey's challenge is bound to the browser in the same way, is used up by the first answer whatever that is, and
  lives in the database: any process of the API may take the answer.
- A passkey whose counter did not go on is refused, and its person is told that there may be a copy.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from typing import Any, Final, Literal

from fastapi import Request, Response

from api import known_browsers, one_time, passkeys
from api.centre import Centre
from api.passkeys import RelyingParty, relying_party
from api.problems import Refused
from api.sessions import SERVICE, begin_attempt, cookie_name, digest, set_cookie
from collectors.registry import browsers, codes, people, sign_in
from collectors.registry.schema.sign_in import Challenge
from collectors.registry.viewer import Person

log = logging.getLogger(__name__)

CHALLENGE_COOKIE: Final = "makiba_challenge"
CODE_MS: Final = 300_000
FREE_EVERYWHERE: Final = 30
"""So many failures of one login are free, from all addresses together, in browsers that its person does not know."""

Proof = Literal["right", "wrong", "code-needed"]


class CodeNeeded(Exception):
    """The password is right, and a code follows."""

    def __init__(self, person_id: int) -> None:
        super().__init__("a code follows")
        self.person_id = person_id


# ----------------------------------------------------------------------------------------------------- password


def with_password(centre: Centre, request: Request, login: str, password: str, address: str) -> int | None:
    """The person's id when login and password fit; None otherwise. `CodeNeeded`, `TooManyAttempts`."""
    key = _login_key(login, address)
    begin_attempt(centre, key)
    with centre.registry.read() as session:
        found = sign_in.person_to_sign_in(session, SERVICE, login)
    row, has_codes = found or (None, False)
    word = request.cookies.get(cookie_name(centre, known_browsers.COOKIE), "")
    if not known_browsers.is_word_of(centre.key, word, row.id if row is not None else 0):
        begin_attempt(centre, _everywhere_key(login), FREE_EVERYWHERE)
    kept = row.password_hash if row is not None and row.disabled_ms is None else None
    if not centre.passwords.matches(kept, password) or row is None or kept is None:
        return None
    if has_codes:
        raise CodeNeeded(row.id)  # the attempt is not forgotten: the code may be guessed at too
    centre.attempts.succeeded(key)
    centre.attempts.succeeded(_everywhere_key(login))
    _renew_hash(centre, row.id, kept, password)
    return row.id


def with_code(centre: Centre, request: Request, code: str, address: str) -> int | None:
    """The person whose password this browser typed just now, when the code is theirs; None otherwise."""
    token = request.cookies.get(cookie_name(centre, CHALLENGE_COOKIE), "")
    with centre.registry.read() as session:
        asked = sign_in.peek_challenge(session, SERVICE, digest(token), "code", centre.clock())
        row = sign_in.usable_person(session, SERVICE, asked.person_id) if asked and asked.person_id else None
    if row is None:
        return None
    begin_attempt(centre, _code_key(row.id))
    if not code_fits(centre, row.id, code):
        return None
    with centre.registry.write() as session:
        if sign_in.take_challenge(session, SERVICE, digest(token), "code", centre.clock()) is None:
            return None
    centre.attempts.succeeded(_code_key(row.id))
    centre.attempts.succeeded(_login_key(row.login, address))
    centre.attempts.succeeded(_everywhere_key(row.login))
    return row.id


def code_fits(centre: Centre, person_id: int, code: str) -> bool:
    """Whether it is a code of the person's authenticator or one of their recovery codes; it is used up by that."""
    now_ms, plain = centre.clock(), one_time.folded(code)
    if not one_time.is_digits(plain):
        with centre.registry.write() as session:
            fits = codes.use_recovery_code(session, SERVICE, person_id, one_time.recovery_hash(plain), now_ms)
            if fits:
                browsers.notify(session, SERVICE, person_id, "recovery-code-used", now_ms)
        return fits
    with centre.registry.read() as session:
        row = codes.totp_of(session, SERVICE, person_id)
    if row is None or row.confirmed_ms is None:
        return False
    secret = one_time.unseal(centre.key, row.sealed, person_id)
    step = one_time.matching_step(secret, plain, now_ms) if secret else None
    if step is None:
        return False
    with centre.registry.write() as session:
        fits = codes.use_totp(session, SERVICE, person_id, row.sealed, step)
        if not fits:
            log.warning("a one-time code of person %d came again", person_id)
            browsers.notify(session, SERVICE, person_id, "code-used-again", now_ms)
    return fits


def proves(centre: Centre, person: Person, password: str, code: str | None) -> Proof:
    """Whether password, and code where one follows it, are those of who is signed in. `TooManyAttempts`."""
    key = f"proof {person.id}"
    begin_attempt(centre, key)
    with centre.registry.read() as session:
        row = sign_in.usable_person(session, person, person.id)
        totp = codes.totp_of(session, person, person.id)
    kept = row.password_hash if row is not None else None
    if not centre.passwords.matches(kept, password):
        return "wrong"
    if totp is not None and totp.confirmed_ms is not None:
        if code is None:
            return "code-needed"
        if not code_fits(centre, person.id, code):
            return "wrong"
    centre.attempts.succeeded(key)
    return "right"


def proves_password(centre: Centre, person: Person, password: str) -> bool:
    """Whether it is the password of who is signed in. `TooManyAttempts`."""
    return proves(centre, person, password, None) != "wrong"


def confirm_with(centre: Centre, person: Person, code: str) -> list[str] | None:
    """Puts the codes of `person` in force if `code` is one of them: their recovery codes. `TooManyAttempts`."""
    key, now_ms = _code_key(person.id), centre.clock()
    begin_attempt(centre, key)
    with centre.registry.read() as session:
        row = codes.totp_of(session, person, person.id)
    secret = one_time.unseal(centre.key, row.sealed, person.id) if row is not None else None
    step = one_time.matching_step(secret, one_time.folded(code), now_ms) if secret else None
    if row is None or step is None:
        return None
    made = one_time.new_recovery_codes()
    with centre.registry.write() as session:
        used = codes.use_totp(session, SERVICE, person.id, row.sealed, step)
        if not (used and codes.confirm_totp(session, person, now_ms)):
            return None
        codes.replace_recovery_codes(session, person, map(one_time.recovery_hash, made))
    centre.attempts.succeeded(key)
    return made


def _renew_hash(centre: Centre, person_id: int, kept: str, password: str) -> None:
    if centre.passwords.is_outdated(kept):
        renewed = centre.passwords.hash(password)
        with centre.registry.write() as session:
            people.set_password_hash(session, SERVICE, person_id, renewed)


def _login_key(login: str, address: str) -> str:
    return f"login {digest(people.fold_login(login))} {address}"


def _everywhere_key(login: str) -> str:
    return f"login {digest(people.fold_login(login))} everywhere"


def _code_key(person_id: int) -> str:
    return f"code {person_id}"


# ----------------------------------------------------------------------------------------------------- passkeys


def party(centre: Centre) -> RelyingParty:
    """Whom passkeys are for; 409 where browsers know none."""
    found = relying_party(centre.settings.address)
    if found is None:
        raise Refused(
            409, "Passkeys work where the pages have a name and HTTPS, or on localhost.", slug="no-passkeys-here"
        )
    return found


def ask_passkey(centre: Centre, response: Response) -> dict[str, Any]:
    """What the browser asks its authenticators for, to sign in or to prove again."""
    challenge = passkeys.new_challenge()
    options = passkeys.sign_in_options(party(centre), challenge)
    begin_challenge(centre, response, "assert", passkeys.CHALLENGE_MS, challenge=challenge)
    return options


def with_passkey(centre: Centre, request: Request, credential: Mapping[str, Any]) -> int | None:
    """The person whose passkey answered this browser's challenge; None otherwise."""
    here, now_ms = party(centre), centre.clock()
    asked = take_challenge(centre, request, "assert")
    if asked is None:
        return None
    with centre.registry.read() as session:
        found = sign_in.passkey_owner(session, SERVICE, str(credential["id"]))
    if found is None:
        return None
    passkey, row, handle = found
    count = passkeys.signed(here, asked.challenge, credential, passkey, handle)
    if count is None:
        return None
    with centre.registry.write() as session:
        follows = sign_in.use_passkey(session, SERVICE, passkey.id, count, now_ms)
        if not follows:
            device = request.headers.get("user-agent", "")
            browsers.notify(session, SERVICE, row.id, "passkey-copied", now_ms, way="passkey", device=device)
    return row.id if follows else None


# --------------------------------------------------------------------------------------------------- challenges


def begin_challenge(
    centre: Centre,
    response: Response,
    kind: sign_in.ChallengeKind,
    for_ms: int,
    *,
    challenge: str = "",
    person_id: int | None = None,
) -> None:
    """The browser has something to answer, known by a cookie of its own."""
    token, now_ms = secrets.token_urlsafe(32), centre.clock()
    with centre.registry.write() as session:
        sign_in.create_challenge(
            session, SERVICE, browser_hash=digest(token), kind=kind, now_ms=now_ms, expires_ms=now_ms + for_ms,
            challenge=challenge, person_id=person_id,
        )  # fmt: skip
    set_cookie(centre, response, CHALLENGE_COOKIE, token, for_ms)


def take_challenge(centre: Centre, request: Request, kind: sign_in.ChallengeKind) -> Challenge | None:
    """What this browser was asked; nobody can answer it a second time."""
    token = request.cookies.get(cookie_name(centre, CHALLENGE_COOKIE), "")
    with centre.registry.write() as session:
        return sign_in.take_challenge(session, SERVICE, digest(token), kind, centre.clock())
