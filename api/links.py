"""Links that let somebody in: their codes stand behind the `#` of an address, which no server and no log sees.

What is tried with a code counts as an attempt of its address; whatever is wrong with one, the answer is the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import HTTPException, Request

from api import sessions
from api.centre import Centre
from api.password_rules import PasswordRefused, check_new_password
from api.problems import Refused, invalid
from api.qr import qr_svg
from api.shapes.people import LinkOut


def link(centre: Centre, kind: str, code: str, expires_ms: int) -> LinkOut:
    """The link to the page `kind` with this code."""
    address = f"{centre.settings.address.rstrip('/')}/#{kind}={code}"
    return LinkOut(address=address, qr_svg=qr_svg(address), expires_ms=expires_ms)


def wrong_code() -> HTTPException:
    """The answer to every code that does not hold."""
    return HTTPException(404, "This code does not hold, or not any more; ask for a new one.")


@contextmanager
def attempt(centre: Centre, request: Request, what: str, *, forgiven: bool = True) -> Iterator[None]:
    """One attempt at `what` from this address: 429 when there were too many; one that succeeds is `forgiven`."""
    address = request.client.host if request.client else "unknown"
    key = f"{what} {address}"
    try:
        sessions.begin_attempt(centre, key)
    except sessions.TooManyAttempts as error:
        seconds = -(-error.wait_ms // 1000)
        raise Refused(
            429, f"Too many attempts; wait {seconds} s.", {"Retry-After": str(seconds)}, slug="too-many"
        ) from None
    yield
    if forgiven:
        centre.attempts.succeeded(key)


def new_hash(centre: Centre, password: str | None, *own: str) -> str | None:
    """The hash of a new password; 422 when it is not taken. `own`: the person's login and name."""
    if password is None:
        return None
    try:
        check_new_password(password, own)
        return centre.passwords.hash(password)
    except (PasswordRefused, ValueError) as error:
        raise invalid("password", str(error)) from None
