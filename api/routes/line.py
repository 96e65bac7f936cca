"""LINE: its webhook, and the code with which somebody links their own LINE account.

The webhook is LINE's alone: its signature over the body as it came is checked before a byte of that is read as
anything. It is answered when what it says stands in the registry; what the account replies in the chat goes out after
that. Without a secret nobody is heard.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
from typing import Annotated, Final

from fastapi import APIRouter, BackgroundTasks, Depends, Header, HTTPException, Request
from pydantic import SecretStr

from analytics.notify.channels.line_words import typed_address
from api import line_talk
from api.centre import Centre, CentreNow
from api.line_talk import Reply
from api.pages import foreign, takes
from api.problems import Refused, invalid
from api.qr import qr_svg
from api.sessions import Browser, TooManyAttempts, begin_attempt, writing
from api.shapes.channels import HeardOut, LineCode, LineOut
from collectors.registry import RegistryError, addresses
from makiba.settings import Settings

log = logging.getLogger(__name__)

router = APIRouter(tags=["notifications"])

MOST_BYTES: Final = 262_144
FREE_CODES: Final = 10


async def _body(request: Request) -> bytes:
    return await request.body()


@router.post("/line/webhook", openapi_extra={"x-called-by": "LINE"})
@takes(MOST_BYTES)
@foreign
def webhook(
    body: Annotated[bytes, Depends(_body)],
    centre: CentreNow,
    later: BackgroundTasks,
    x_line_signature: Annotated[
        str, Header(max_length=200, description="LINE's signature over the body, in base64")
    ] = "",
) -> HeardOut:
    """What LINE tells of people who use this Makiba's account. 403 when the signature is not LINE's."""
    if not is_from_line(centre.settings.line_secret, body, x_line_signature):
        raise HTTPException(403, "This is not from LINE.")
    try:
        events = line_talk.parse(body)
    except ValueError:
        raise invalid("body", "no events of LINE") from None
    for event in events:
        try:
            reply = line_talk.heard(centre, event)
        except RegistryError:
            raise  # LINE says it again later
        except Exception:  # one event that we do not understand must not keep the others from being heard
            log.exception("an event of LINE (%s) could not be taken in", event.kind)
            continue
        if reply is not None:
            later.add_task(send_reply, centre, reply)
    return HeardOut(events=len(events))


@router.get("/line")
def account(browser: Browser, centre: CentreNow) -> LineOut:
    """This Makiba's LINE account, and whether the viewer's own is linked to it."""
    with centre.registry.read() as session:
        own = addresses.list_own(session, browser.person)
    linked = next((row for row in own if row.channel == "line" and row.verified_ms and row.gone_ms is None), None)
    settings = centre.settings
    return LineOut(
        here=has_line(settings),
        account=settings.line_id,
        friend_address=f"https://line.me/R/ti/p/{settings.line_id}" if settings.line_id else None,
        linked_ms=linked.verified_ms if linked else None,
        linked_id=linked.id if linked else None,
    )


@router.post("/line/code")
def make_code(browser: Browser, centre: CentreNow) -> LineCode:
    """A code that links the LINE account from which it is sent to the viewer: once, within 10 minutes."""
    settings, now_ms = centre.settings, centre.clock()
    if not has_line(settings):
        raise HTTPException(409, "This Makiba has no LINE account.")
    try:
        begin_attempt(centre, f"line codes of {browser.person.id}", FREE_CODES)
    except TooManyAttempts as error:
        raise too_many(error) from None
    code = line_talk.new_code()
    with writing(centre, browser.person) as session:
        addresses.make_code(
            session, line_talk.SERVICE, browser.person.id, "line", line_talk.code_hash(code), now_ms, None,
            line_talk.CODE_MS,
        )  # fmt: skip
    address = typed_address(settings.line_id, code) if settings.line_id else None
    return LineCode(
        code=code, address=address, qr_svg=qr_svg(address) if address else None,
        expires_ms=now_ms + line_talk.CODE_MS,
    )  # fmt: skip


def has_line(settings: Settings) -> bool:
    """Whether people can be linked: both ways have to be open."""
    return settings.line_secret is not None and settings.line_token is not None


def is_from_line(secret: SecretStr | None, body: bytes, given: str) -> bool:
    """Whether `given` is the signature over `body` of whoever has the channel's secret; in constant time."""
    if secret is None:
        return False
    mark = hmac.digest(secret.get_secret_value().encode(), body, hashlib.sha256)
    return hmac.compare_digest(base64.b64encode(mark), given.encode("utf-8", "replace"))


def send_reply(centre: Centre, reply: Reply) -> None:
    """Says it in the chat; a token holds for a minute, so that it is tried once."""
    if (token := centre.settings.line_token) is None:
        return
    from analytics.notify.channels.line import LineAccount  # takes a second and 50 MB: only where there is LINE

    LineAccount(centre.settings.line_api, token.get_secret_value()).reply(reply.token, reply.text)


def too_many(error: TooManyAttempts) -> Refused:
    """429, with when to come again."""
    wait_s = -(-error.wait_ms // 1000)
    return Refused(429, f"Too often; wait {wait_s} s.", {"Retry-After": str(wait_s)}, slug="too-many")
