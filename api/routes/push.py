"""Web Push: a browser that its person tells to show notifications, and stops.

An endpoint is an address that this Makiba will ask, and it comes from a browser: only real push services are taken
(`analytics.notify.channels.web_push`), here and again when something is sent.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Final

from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import APIRouter, HTTPException, Path, Request

from analytics.notify.channels import has_push
from analytics.notify.channels.push_services import hosts_of, is_push_service
from analytics.notify.channels.vapid import open_vapid
from api.centre import CentreNow
from api.device_words import device_words
from api.problems import existing, invalid
from api.sessions import Browser, writing
from api.shapes.channels import PushedOut, PushIn, PushOut
from collectors.registry import addresses

router = APIRouter(tags=["notifications"])

AddressId = Annotated[str, Path(max_length=64)]
AUTH_BYTES: Final = 16


@router.get("/push")
def key(browser: Browser, centre: CentreNow) -> PushOut:
    """The key with which a browser subscribes."""
    del browser
    return PushOut(key=open_vapid(centre.settings).public if has_push(centre.settings) else None)


@router.post("/push/subscriptions")
def subscribe(given: PushIn, browser: Browser, centre: CentreNow, request: Request) -> PushedOut:
    """This browser is told of alerts from now on; the same again is the same. 409 where no browser is told."""
    if not has_push(centre.settings):
        raise HTTPException(409, "This Makiba tells no browser.")
    if not is_push_service(given.endpoint, hosts_of(centre.settings.push_hosts)):
        raise invalid("body.endpoint", "no push service that browsers use")
    if not _are_keys(given.keys.p256dh, given.keys.auth):
        raise invalid("body.keys", "no keys of a browser")
    address = {"endpoint": given.endpoint, "p256dh": given.keys.p256dh, "auth": given.keys.auth}
    device = device_words(request.headers.get("user-agent", ""))
    with writing(centre, browser.person) as session:
        try:
            row = addresses.add_own(
                session, browser.person, "push", address, centre.clock(), label=device.ja, verified=True
            )
        except addresses.TooMany as error:
            raise invalid("body", str(error)) from None
        return PushedOut(id=row.id)


@router.delete("/push/subscriptions/{address_id}", status_code=204)
def unsubscribe(address_id: AddressId, browser: Browser, centre: CentreNow) -> None:
    """This browser is told no more."""
    with writing(centre, browser.person) as session:
        row = existing(addresses.get_own(session, browser.person, address_id, to_change=True))
        if row.channel != "push":
            raise HTTPException(404, "There is nothing here.")
        addresses.remove_own(session, browser.person, row)


def _are_keys(p256dh: str, auth: str) -> bool:
    try:
        point, secret = (base64.urlsafe_b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))
                         for text in (p256dh, auth))  # fmt: skip
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except (binascii.Error, ValueError):
        return False
    return len(secret) == AUTH_BYTES
