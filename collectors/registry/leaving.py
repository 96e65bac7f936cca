"""A farm leaves: staying → leaving → deleting → gone.

- **leaving**: nothing new of the farm is taken (its gateways keep what they measure), so that an archive can be
  the whole of it. Everything else goes on; the owner may think better of it, and then nothing is lost.
- **deleting**: begins only with the archive in the owner's hands (they name its SHA-256), or with their word that
  they want none; and only `SETTLE_MS` after intake ended, when no collector has anything of the farm in its hands.
  There is no way back. Killed in the middle, it is finished by being called again: each step may be done twice.
- **gone**: one row is left, the receipt: the farm's id, when, and how many rows and series were deleted.

The readings are the store's to delete: `collectors.out.leave` does both in their order.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import delete, exists, select, update
from sqlalchemy.orm import Session

from collectors.registry import audit
from collectors.registry.belongings import delete_rows
from collectors.registry.schema import PersonRow, RoleRow, Site, SiteStore
from collectors.registry.schema.access import ApiToken
from collectors.registry.schema.identity import AdminStep
from collectors.registry.schema.leave import Departure
from collectors.registry.viewer import Viewer, require, require_service, spell

SETTLE_MS: Final = 15_000
"""A collector believes for 5 s that a gateway may send, and a commit takes some more."""

_OPEN = (Departure.done_ms.is_(None), Departure.cancelled_ms.is_(None))


class NotYet(Exception):
    """It is too early to delete. `wait_ms`: for how long still."""

    def __init__(self, wait_ms: int) -> None:
        super().__init__(f"what is on its way still settles; again in {-(-wait_ms // 1000)} s")
        self.wait_ms = wait_ms


class NoArchive(ValueError):
    """The archive that is named is not the one that was made last, or none was made."""


class Deleting(ValueError):
    """It is being deleted: there is no way back."""


def current(session: Session, viewer: Viewer, site: str) -> Departure | None:
    """How far `site` is on its way out; None: it stays."""
    require(viewer, site, "delete farm")
    return session.scalar(select(Departure).where(Departure.site_id == site, *_OPEN))


def begin(session: Session, viewer: Viewer, site: str, now_ms: int) -> Departure:
    """Ends what is taken of `site`; again: nothing more happens. `LookupError`: there is no such farm."""
    row = current(session, viewer, site)
    if session.get(Site, site) is None:
        raise LookupError(f"no site {site}")
    if row is None:
        row = Departure(
            id=secrets.token_urlsafe(16), site_id=site, requested_ms=now_ms, requested_by=spell(viewer), counts={}
        )
        session.add(row)
        audit.note_change(session, viewer, site, "farm.leaving", now_ms)
        session.flush()
    return row


def stay(session: Session, viewer: Viewer, site: str, now_ms: int) -> None:
    """The farm stays after all; its gateways send what they kept. `Deleting` when it is too late."""
    row = current(session, viewer, site)
    if row is None:
        return
    if row.deleting_ms is not None:
        raise Deleting(f"{site} is being deleted")
    row.cancelled_ms = now_ms
    audit.note_change(session, viewer, site, "farm.staying", now_ms)


def note_archive(session: Session, viewer: Viewer, site: str, sha256: str, begun_ms: int, now_ms: int) -> None:
    """An archive of the whole farm went out to its end. One begun while readings were taken does not count."""
    require(viewer, site, "export all")
    audit.note_change(session, viewer, site, "farm.archived", now_ms, sha256=sha256)
    row = session.scalar(select(Departure).where(Departure.site_id == site, *_OPEN))
    if row is not None and row.deleting_ms is None and begun_ms >= row.requested_ms + SETTLE_MS:
        row.archived_ms, row.archive_sha256 = now_ms, sha256


def begin_deleting(session: Session, viewer: Viewer, site: str, now_ms: int, archive_sha256: str | None) -> Departure:
    """Decides it. `archive_sha256` None: the owner wants no archive.

    `LookupError`: the farm is not leaving. `NotYet`; `NoArchive`.
    """
    row = current(session, viewer, site)
    if row is None:
        raise LookupError(f"{site} is not leaving")
    if (wait_ms := row.requested_ms + SETTLE_MS - now_ms) > 0:
        raise NotYet(wait_ms)
    if row.deleting_ms is None:
        if archive_sha256 is not None and archive_sha256 != row.archive_sha256:
            raise NoArchive("this is not the digest of the farm's last whole archive")
        row.deleting_ms = now_ms
    return row


def unfinished(session: Session, viewer: Viewer) -> Sequence[Departure]:
    """Farms of which the deletion began and has not ended: whoever deleted them was killed."""
    require_service(viewer)
    return session.scalars(select(Departure).where(*_OPEN, Departure.deleting_ms.is_not(None))).all()


def finish(session: Session, viewer: Viewer, departure_id: str, series: int, now_ms: int) -> Departure:
    """Deletes all rows of the farm, and the accounts of whoever belonged to it only. Its readings are gone before.

    The administrators' book keeps what was done, to whom only by id.

    `series`: how many the store held. Done already: nothing more happens.
    """
    require_service(viewer)
    row = session.get(Departure, departure_id, with_for_update=True, populate_existing=True)
    if row is None or row.deleting_ms is None:
        raise LookupError(f"{departure_id} is not being deleted")
    if row.done_ms is not None:
        return row
    counts: dict[str, Any] = {"series": series}
    only_here = _only_on(session, row.site_id)
    delete_rows(session, row.site_id, counts.__setitem__)
    if only_here:
        named = select(PersonRow.public_id).where(PersonRow.id.in_(only_here))
        session.execute(update(AdminStep).where(AdminStep.person.in_(named)).values(about=""))
        session.execute(delete(PersonRow).where(PersonRow.id.in_(only_here)))
        counts["person"] = len(only_here)
    _forget_in_tokens(session, row.site_id)
    session.execute(delete(SiteStore).where(SiteStore.site_id == row.site_id))
    row.counts, row.done_ms, row.requested_by = counts, now_ms, "owner"
    session.flush()
    return row


def _only_on(session: Session, site: str) -> list[int]:
    """Who has a role on `site`, none elsewhere, and does not run the machine."""
    elsewhere = select(RoleRow.person_id).where(RoleRow.site_id != site)
    here = exists().where(RoleRow.person_id == PersonRow.id, RoleRow.site_id == site)
    query = select(PersonRow.id).where(here, PersonRow.is_admin.is_(False), PersonRow.id.not_in(elsewhere))
    return list(session.scalars(query))


def _forget_in_tokens(session: Session, site: str) -> None:
    """A program that was for this farm among others is for the others; one for this farm only is no more."""
    for token in session.scalars(select(ApiToken).where(ApiToken.sites.is_not(None))):
        if site in (token.sites or ()):
            token.sites = [name for name in token.sites or () if name != site]
            if not token.sites:
                session.delete(token)


def receipt(session: Session, viewer: Viewer, departure_id: str) -> Departure | None:
    """The receipt of a farm that is gone. Its id is 128 random bits: whoever knows it was given it."""
    require_service(viewer)
    row = session.get(Departure, departure_id)
    return row if row is not None and row.done_ms is not None else None
