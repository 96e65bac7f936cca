"""Where people are reached: each person's own addresses, and who of a farm can be reached by what.

An address is used once its person has shown that it is theirs (`verified_ms`), until the vendor says that it is gone
or they take it away. A contact of a farm is reached by the number and the mail that the farm wrote down; a contact's
own LINE may be linked as well. What an address is made of is the channel's to say; `SHAPES` is what they agreed on.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from collectors.registry import people
from collectors.registry.rota_times import Who
from collectors.registry.schema import PersonRow, RoleRow
from collectors.registry.schema.farm import Contact
from collectors.registry.schema.notify import Address, LinkCode
from collectors.registry.sign_in import counted
from collectors.registry.viewer import NotAllowed, Person, Service, Viewer, may_see, require_service, spell
from collectors.registry.wishes import DEFAULT, Wishes, wishes_of

SHAPES: Final[Mapping[str, tuple[str, ...]]] = {
    "push": ("endpoint", "p256dh", "auth"),
    "line": ("user",),
    "mail": ("mail",),
    "sms": ("phone",),
    "voice": ("phone",),
    "webhook": ("url",),
}
"""What `address` holds per channel; the first makes it this one and no other."""

MOST: Final = 20
"""Addresses of one person."""
CODE_MS: Final = 15 * 60_000
MOST_TRIES: Final = 5


class TooMany(ValueError):
    """Somebody has as many addresses as they may have."""


@dataclass(frozen=True, slots=True)
class Reachable:
    """Somebody who may be told of a farm, with the addresses that work: (id, channel), '' of a contact's number."""

    who: Who
    name: str
    language: str
    wishes: Wishes
    addresses: tuple[tuple[str, str], ...]
    person_id: int | None = None
    contact_id: str | None = None
    role: str | None = None
    may_see: bool = True


# ------------------------------------------------------------------------------------------- a person's own


def list_own(session: Session, viewer: Person) -> Sequence[Address]:
    """The viewer's addresses, the oldest first, also those that are not verified or gone."""
    query = select(Address).where(Address.person_id == viewer.id)
    return session.scalars(query.order_by(Address.created_ms, Address.id)).all()


def get_own(session: Session, viewer: Person, address: str, *, to_change: bool = False) -> Address | None:
    """The viewer's address of this id; `to_change` locks it."""
    if to_change:
        _no_program(viewer)
    query = select(Address).where(Address.id == address, Address.person_id == viewer.id)
    return session.scalar(query.with_for_update() if to_change else query)


def add_own(
    session: Session,
    viewer: Person,
    channel: str,
    address: Mapping[str, Any],
    now_ms: int,
    *,
    label: str = "",
    verified: bool = False,
) -> Address:
    """An address of the viewer's; the same again is the same row, refreshed. `TooMany`.

    `verified`: how it came shows that it is theirs (a browser that subscribed while they were signed in).
    """
    _no_program(viewer)
    return put(session, Service("api"), viewer.id, channel, address, now_ms, label=label, verified=verified)


def put(
    session: Session,
    viewer: Service,
    person_id: int,
    channel: str,
    address: Mapping[str, Any],
    now_ms: int,
    *,
    label: str = "",
    verified: bool = False,
) -> Address:
    """`add_own` for a part of Makiba that knows whose it is: a LINE account that sent its person's code."""
    require_service(viewer)
    if missing := [name for name in SHAPES[channel] if not address.get(name)]:
        raise ValueError(f"{channel}: without {missing[0]}")
    mark = fingerprint(channel, address)
    if verified:  # a phone is one person's: whoever signs in on it now
        session.execute(
            delete(Address).where(
                Address.channel == channel, Address.fingerprint == mark, Address.person_id != person_id
            )
        )
    row = session.scalar(
        select(Address).where(Address.person_id == person_id, Address.channel == channel, Address.fingerprint == mark)
    )
    if row is None:
        held = select(func.count()).select_from(Address).where(Address.person_id == person_id)
        if (session.scalar(held) or 0) >= MOST:
            raise TooMany(f"at most {MOST} addresses")
        row = Address(
            id=secrets.token_urlsafe(16), person_id=person_id, channel=channel, fingerprint=mark, created_ms=now_ms,
            address=dict(address), gone_why="", label=label, version=0,
        )  # fmt: skip
        session.add(row)
    row.address, row.gone_ms, row.gone_why = dict(address), None, ""
    row.label = label or row.label
    if verified:
        row.verified_ms = row.verified_ms or now_ms
    row.version += 1
    session.flush()
    return row


def remove_own(session: Session, viewer: Person, row: Address) -> None:
    """Takes the address away; what waits for it fails, and another takes over."""
    _no_program(viewer)
    session.delete(row)


def fingerprint(channel: str, address: Mapping[str, Any]) -> str:
    """What makes an address this one, as a hash."""
    return hashlib.sha256(f"{channel}|{json.dumps(address.get(SHAPES[channel][0]))}".encode()).hexdigest()


# ------------------------------------------------------------------------------------------- codes


def make_code(
    session: Session,
    viewer: Service,
    person_id: int,
    channel: str,
    code_hash: str,
    now_ms: int,
    address: str | None,
    for_ms: int = CODE_MS,
) -> None:
    """A code that the person sends back by `channel`, or types, in time; those before hold no more."""
    require_service(viewer)
    session.execute(delete(LinkCode).where(LinkCode.expires_ms <= now_ms))
    session.execute(
        delete(LinkCode).where(
            LinkCode.person_id == person_id,
            LinkCode.channel == channel,
            LinkCode.address_id.is_not_distinct_from(address),
        )
    )
    session.add(
        LinkCode(
            code_hash=code_hash, person_id=person_id, channel=channel, address_id=address, made_ms=now_ms,
            expires_ms=now_ms + for_ms, tries=0,
        )
    )  # fmt: skip
    session.flush()


def take_code(session: Session, viewer: Service, channel: str, code_hash: str, now_ms: int) -> int | None:
    """Whose the code is; it holds once. For codes that come with their address (LINE)."""
    require_service(viewer)
    used = delete(LinkCode).where(
        LinkCode.code_hash == code_hash, LinkCode.channel == channel, LinkCode.address_id.is_(None),
        LinkCode.expires_ms > now_ms,
    )  # fmt: skip
    return session.scalar(used.returning(LinkCode.person_id))


def person_at(session: Session, viewer: Service, channel: str, address: Mapping[str, Any]) -> int | None:
    """Whose a verified address is, for a vendor that tells of it; None: nobody's here."""
    require_service(viewer)
    query = select(Address.person_id).where(
        Address.channel == channel, Address.fingerprint == fingerprint(channel, address),
        Address.verified_ms.is_not(None), Address.person_id.is_not(None),
    )  # fmt: skip
    return session.scalar(query.order_by(Address.verified_ms.desc(), Address.id).limit(1))


def forget(
    session: Session, viewer: Service, channel: str, address: Mapping[str, Any], verified_before_ms: int | None = None
) -> int:
    """Deletes an address that its owner took away at the vendor, with all we know of it; how many rows that were.

    `verified_before_ms`: only one that was linked until then, for a vendor that tells late.
    """
    require_service(viewer)
    theirs = delete(Address).where(Address.channel == channel, Address.fingerprint == fingerprint(channel, address))
    if verified_before_ms is not None:
        theirs = theirs.where(Address.verified_ms <= verified_before_ms)
    return counted(session, theirs)


def forget_others(
    session: Session, viewer: Service, person_id: int, channel: str, address: Mapping[str, Any]
) -> None:
    """Deletes the person's other addresses on a channel on which they have one."""
    require_service(viewer)
    session.execute(
        delete(Address).where(
            Address.person_id == person_id, Address.channel == channel,
            Address.fingerprint != fingerprint(channel, address),
        )
    )  # fmt: skip


def verify_own(session: Session, viewer: Person, row: Address, code_hash: str, now_ms: int) -> bool:
    """Whether the code is the one that went to this address; five wrong ones, and there has to be a new one."""
    _no_program(viewer)
    code = session.scalar(
        select(LinkCode)
        .where(LinkCode.address_id == row.id, LinkCode.person_id == viewer.id, LinkCode.expires_ms > now_ms)
        .with_for_update()
    )
    if code is None:
        return False
    if code.code_hash != code_hash:
        code.tries += 1
        if code.tries >= MOST_TRIES:
            session.delete(code)
        return False
    session.delete(code)
    row.verified_ms = now_ms
    row.version += 1
    return True


# ------------------------------------------------------------------------------------------- for the notifier


def get_address(session: Session, viewer: Service, address: str) -> Address | None:
    """The address of this id."""
    require_service(viewer)
    return session.get(Address, address)


def note_gone(session: Session, viewer: Service, address: str, why: str, now_ms: int) -> None:
    """The vendor says that this address exists no more."""
    require_service(viewer)
    row = session.get(Address, address, with_for_update=True)
    if row is not None and row.gone_ms is None:
        row.gone_ms, row.gone_why = now_ms, why[:200]
        row.version += 1


def of_site(session: Session, viewer: Service, site: str, now_ms: int) -> dict[Who, Reachable]:
    """Everybody with a role on `site`, and its contacts."""
    require_service(viewer)
    roles: dict[int, str | None] = {}
    for number, role in session.execute(select(RoleRow.person_id, RoleRow.role).where(RoleRow.site_id == site)):
        roles[number] = role
    found = _persons(session, viewer, roles, now_ms, site)
    contacts = session.scalars(select(Contact).where(Contact.site_id == site)).all()
    linked = _linked(session, Address.contact_id, [row.id for row in contacts])
    for row in contacts:
        own = [("", "sms"), ("", "voice")] if row.phone else []
        own += [("", "mail")] if row.mail else []
        who: Who = ("contact", row.id)
        found[who] = Reachable(who, row.name, "ja", DEFAULT, (*linked.get(row.id, ()), *own), contact_id=row.id)
    return found


def of_persons(session: Session, viewer: Service, numbers: Collection[int], now_ms: int) -> dict[Who, Reachable]:
    """These people, whatever farms they have to do with."""
    require_service(viewer)
    return _persons(session, viewer, dict.fromkeys(numbers), now_ms, None)


def administrators(session: Session, viewer: Service) -> list[int]:
    """Who runs the machine."""
    require_service(viewer)
    query = select(PersonRow.id).where(PersonRow.is_admin.is_(True), PersonRow.disabled_ms.is_(None))
    return list(session.scalars(query.order_by(PersonRow.id)))


def address_of_contact(session: Session, viewer: Service, contact: str, channel: str) -> dict[str, Any] | None:
    """The number or mail that the farm wrote down; None: there is none any more."""
    require_service(viewer)
    row = session.get(Contact, contact)
    value = (row.mail if channel == "mail" else row.phone) if row is not None else ""
    return {SHAPES[channel][0]: value} if value else None


def _persons(
    session: Session, viewer: Service, roles: Mapping[int, str | None], now_ms: int, site: str | None
) -> dict[Who, Reachable]:
    views = people.viewers_of(session, viewer, roles, now_ms)  # without who is disabled
    wishes = wishes_of(session, viewer, views)
    addresses = _linked(session, Address.person_id, sorted(views))
    found: dict[Who, Reachable] = {}
    rows = session.execute(
        select(PersonRow.id, PersonRow.public_id, PersonRow.name, PersonRow.language).where(
            PersonRow.id.in_(sorted(views))
        )
    )
    for number, public_id, name, language in rows:
        who: Who = ("person", public_id)
        sees = site is None or may_see(views[number], site, "alerts")
        found[who] = Reachable(
            who, name, language, wishes[number], addresses.get(number, ()), person_id=number, role=roles[number],
            may_see=sees,
        )  # fmt: skip
    return found


def _linked(session: Session, owner: Any, keys: Collection[Any]) -> dict[Any, tuple[tuple[str, str], ...]]:
    query = select(owner, Address.id, Address.channel).where(
        owner.in_(keys), Address.verified_ms.is_not(None), Address.gone_ms.is_(None)
    )
    found: dict[Any, tuple[tuple[str, str], ...]] = {}
    for key, address, channel in session.execute(query.order_by(Address.created_ms, Address.id)):
        found[key] = (*found.get(key, ()), (address, channel))
    return found


def _no_program(viewer: Viewer) -> None:
    if not isinstance(viewer, Person) or viewer.limit is not None:
        raise NotAllowed(f"{spell(viewer)} may not do this")
