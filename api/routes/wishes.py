"""How a person wants to be told, and where they are reached: everybody's own, at a browser."""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import urlsplit

from fastapi import APIRouter, HTTPException, Path, Response
from sqlalchemy.orm import Session

from analytics.notify.channels import open_names, webhook
from analytics.notify.tell import send_code
from api.centre import Centre, CentreNow
from api.etags import Changing, Tagging
from api.problems import existing, invalid
from api.sessions import SERVICE, Browser, digest, writing
from api.shapes.notify import AddressesOut, AddressIn, AddressOut, NewAddressOut, VerifyIn, WishesIn, WishesOut
from collectors.registry import addresses, people, wishes
from collectors.registry.schema.notify import Address
from collectors.registry.viewer import Person
from collectors.registry.wishes import Wishes
from makiba.phone import e164
from makiba.settings import Settings

router = APIRouter(tags=["notifications"])

AddressId = Annotated[str, Path(max_length=64)]

_TAIL: Final = 4
MOST_TYPED: Final = 254


@router.get("/me/wishes")
def wishes_now(browser: Browser, centre: CentreNow, tags: Tagging) -> WishesOut:
    """How the person is told; what holds for everybody until they say something."""
    with centre.registry.read() as session:
        kept = wishes.get_wishes(session, browser.person)
        language = _language(session, browser.person)
    tags.version(kept.version)
    return _shown(kept, language)


@router.put("/me/wishes")
def say(given: WishesIn, browser: Browser, centre: CentreNow, tags: Changing) -> WishesOut:
    """Makes this how the person is told, from the next message on."""
    said = Wishes(
        {severity: tuple(names) for severity, names in given.channels.model_dump().items()},
        (given.quiet.from_minute, given.quiet.to_minute) if given.quiet else None,
        given.night_budget,
        given.morning_list,
    )
    with writing(centre, browser.person) as session:
        tags.expect(wishes.get_wishes(session, browser.person, to_change=True).version)
        try:
            kept = wishes.put_wishes(session, browser.person, said, centre.clock())
        except ValueError as error:
            raise invalid(f"body.{str(error).partition(':')[0]}", str(error)) from None
        people.set_language(session, browser.person, browser.person.id, given.language)
        tags.changed(kept.version)
        return _shown(kept, given.language)


@router.get("/me/addresses")
def list_of(browser: Browser, centre: CentreNow, tags: Tagging) -> AddressesOut:
    """Where the person is reached, the oldest first."""
    with centre.registry.read() as session:
        rows = [_address(row) for row in addresses.list_own(session, browser.person)]
    return tags.content(AddressesOut(rows=rows, next=None))


@router.post("/me/addresses", status_code=201)
def add(given: AddressIn, browser: Browser, centre: CentreNow, response: Response) -> NewAddressOut:
    """A new address; a code goes to it, and it is used once that came back.

    Browsers and LINE accounts have ways of their own.
    """
    if not _is_open(centre.settings, given.channel):
        raise HTTPException(409, "This Makiba sends nothing by this channel.")
    at = _spelled(given, centre.settings)
    with writing(centre, browser.person) as session:
        try:
            row = addresses.add_own(session, browser.person, given.channel, at, centre.clock(), label=given.label)
        except addresses.TooMany as error:
            raise invalid("body", str(error)) from None
        if row.verified_ms is None:
            _send(session, centre, browser.person, row)
        response.headers["Location"] = f"/me/addresses/{row.id}"
        secret = webhook.secret_of(centre.key, at["url"]) if given.channel == "webhook" else None
        return NewAddressOut(**_address(row).model_dump(), secret=secret)


@router.post("/me/addresses/{address_id}/code", status_code=202)
def code(address_id: AddressId, browser: Browser, centre: CentreNow) -> AddressOut:
    """Another code for an address; the one before holds no more. 429 when too many were asked for."""
    with writing(centre, browser.person) as session:
        row = existing(addresses.get_own(session, browser.person, address_id, to_change=True))
        if row.verified_ms is None:
            _send(session, centre, browser.person, row)
        return _address(row)


@router.post("/me/addresses/{address_id}/verify")
def verify(address_id: AddressId, given: VerifyIn, browser: Browser, centre: CentreNow) -> AddressOut:
    """The address is the person's: its code came back. After five wrong ones there has to be another."""
    with writing(centre, browser.person) as session:
        row = existing(addresses.get_own(session, browser.person, address_id, to_change=True))
        fits = row.verified_ms is not None or addresses.verify_own(
            session, browser.person, row, digest(given.code), centre.clock()
        )
        told = _address(row)
    if not fits:
        raise invalid("body.code", "this is not the code, or it holds no more")
    return told


@router.delete("/me/addresses/{address_id}", status_code=204)
def remove(address_id: AddressId, browser: Browser, centre: CentreNow, tags: Changing) -> None:
    """Nothing goes to this address any more; what waits goes another way."""
    with writing(centre, browser.person) as session:
        row = existing(addresses.get_own(session, browser.person, address_id, to_change=True))
        tags.expect(row.version)
        addresses.remove_own(session, browser.person, row)


def _send(session: Session, centre: Centre, person: Person, row: Address) -> None:
    if not send_code(session, person.id, row.id, row.channel, centre.clock()):
        raise HTTPException(429, "Too many codes; wait an hour.", {"Retry-After": "3600"})


def _spelled(given: AddressIn, settings: Settings) -> dict[str, str]:
    if given.channel == "webhook":
        try:
            webhook.check_address(given.address, settings.webhook_networks)
        except ValueError as error:
            raise invalid("body.address", str(error)) from None
        return {"url": given.address}
    if len(given.address) > MOST_TYPED:
        raise invalid("body.address", f"at most {MOST_TYPED} characters")
    if given.channel == "mail":
        name, _, domain = given.address.rpartition("@")
        if not name or "." not in domain or any(sign in given.address for sign in ' <>,;"\\'):
            raise invalid("body.address", "no mail address")
        return {"mail": given.address}
    try:
        number = e164(given.address)
    except ValueError as error:
        raise invalid("body.address", str(error)) from None
    if not number:
        raise invalid("body.address", "a short number reaches nobody's own telephone")
    return {"phone": number}


def _is_open(settings: Settings, channel: str) -> bool:
    return channel in open_names(settings)


def _language(session: Session, person: Person) -> str:
    row = people.get_person(session, SERVICE, person.id)
    return "en" if row is not None and row.language == "en" else "ja"


def _shown(kept: Wishes, language: str) -> WishesOut:
    quiet = {"from_minute": kept.quiet[0], "to_minute": kept.quiet[1]} if kept.quiet else None
    return WishesOut.model_validate(
        {
            "language": language,
            "channels": {severity: list(names) for severity, names in kept.channels.items()},
            "quiet": quiet,
            "night_budget": kept.night_budget,
            "morning_list": kept.morning_list,
            "version": kept.version,
        }
    )


def _address(row: Address) -> AddressOut:
    """Enough to know it by: a number's end, a mail's domain, a webhook's; nothing of what lets somebody push."""
    at = {name: str(value) for name, value in (row.address or {}).items()}
    mail, phone = at.get("mail", ""), at.get("phone", "")
    shown = f"{mail[:1]}…@{mail.rpartition('@')[2]}" if mail else f"…{phone[-_TAIL:]}" if phone else ""
    shown = shown or (urlsplit(at.get("url", "")).hostname or "")
    return AddressOut.model_validate(
        {
            "id": row.id, "channel": row.channel, "label": row.label, "shown": shown, "created_ms": row.created_ms,
            "verified_ms": row.verified_ms, "gone_ms": row.gone_ms, "version": row.version,
        }
    )  # fmt: skip
