"""Sources: whoever sends for a farm without being a gateway, and the tokens of those that come over HTTP.

A source's id begins with `src-`, a gateway's with `gw-`, so that the two never meet. A source is vouched for by
what let it in: its token (kind `http`), the site file that names its devices and stations (`lorawan`, `weather`), or
the person at the command line (`import`). Only the SHA-256 of a token is kept: it has 256 random bits, so that
nothing slower than a plain hash is needed, and nobody can read it back.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from sqlalchemy import delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from collectors.registry.schema import Gateway, Site, Source, SourceBatch
from collectors.registry.schema.leave import Departure
from collectors.registry.viewer import Service, Viewer, require_service, visible_sites

Kind = Literal["http", "lorawan", "weather", "import"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

PREFIX: Final = "src-"
ID_PATTERN: Final = r"^src-[a-z0-9][a-z0-9-]{0,59}$"
_ID = re.compile(ID_PATTERN)
_TOKEN_BYTES: Final = 32
_TOKEN_PREFIX: Final = "mk1_"  # noqa: S105 (says what a leaked text is; secret scanners look for such a beginning)
BATCHES_KEPT_MS: Final = 7 * 86_400_000
_IDS_PER_QUERY: Final = 500
USED_EVERY_MS: Final = 60_000
"""'Last used' is written at most this often, so that a busy source costs the registry nothing."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The farm that a sender, gateway or source, may write for."""

    site: str
    revoked: bool


class SourceTaken(ValueError):
    """A source of this id is there already."""


def new_token() -> str:
    """A token to show once."""
    return _TOKEN_PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)


def hash_token(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def own_id(kind: Kind, site: str) -> str:
    """The id of a farm's one source of `kind` that Makiba itself makes; a long name is shortened by its hash."""
    name = f"{PREFIX}{kind}-{site}"
    return name if _ID.fullmatch(name) else f"{PREFIX}{kind}-{hashlib.sha256(site.encode()).hexdigest()[:32]}"


def owner_of(session: Session, viewer: Service, sender: str) -> Owner | None:
    """Whose readings `sender`, a gateway or a source, may send; None when nobody knows it."""
    require_service(viewer)
    row: Source | Gateway | None
    row = session.get(Source, sender) if sender.startswith(PREFIX) else session.get(Gateway, sender)
    return Owner(row.site_id, row.revoked_ms is not None) if row else None


def owners_of(session: Session, viewer: Service, senders: Sequence[str]) -> dict[str, Owner]:
    """`owner_of` for many at once; those that nobody knows are not in it, nor those of a farm that is leaving."""
    require_service(viewer)
    leaving = select(Departure.site_id).where(Departure.done_ms.is_(None), Departure.cancelled_ms.is_(None))
    found: dict[str, Owner] = {}
    for table in (Gateway, Source):
        mine = [sender for sender in senders if sender.startswith(PREFIX) == (table is Source)]
        for start in range(0, len(mine), _IDS_PER_QUERY):
            rows = session.execute(
                select(table.id, table.site_id, table.revoked_ms).where(
                    table.id.in_(mine[start : start + _IDS_PER_QUERY]), table.site_id.not_in(leaving)
                )
            )
            found.update({sender: Owner(site, revoked_ms is not None) for sender, site, revoked_ms in rows})
    return found


def by_token(session: Session, viewer: Service, token: str) -> Source | None:
    """The source with this token, revoked or not."""
    require_service(viewer)
    return session.scalar(select(Source).where(Source.token_hash == hash_token(token)))


def list_sources(session: Session, viewer: Viewer, site: str | None = None) -> Sequence[Source]:
    """The sources of `site`, or of every farm that `viewer` may see, by id."""
    query = select(Source)
    sites = visible_sites(viewer, "technical")
    if sites is not None:
        query = query.where(Source.site_id.in_(sorted(sites)))
    if site is not None:
        query = query.where(Source.site_id == site)
    return session.scalars(query.order_by(Source.id)).all()


def add_http(session: Session, viewer: Service, source: str, site: str, name: str, now_ms: int) -> str:
    """Makes an HTTP source and gives its token, which cannot be read back later.

    `SourceTaken` when there is one of this id, `LookupError` when there is no such farm, `ValueError` when the id is
    not of the form.
    """
    require_service(viewer)
    if not _ID.fullmatch(source):
        raise ValueError(f"{source[:80]!r} is not of the form {ID_PATTERN.strip('^$')}")
    if session.get(Site, site) is None:
        raise LookupError(f"no site {site}")
    if session.get(Source, source) is not None:
        raise SourceTaken(f"source {source} is there already")
    token = new_token()
    session.add(
        Source(
            id=source, site_id=site, kind="http", name=name, token_hash=hash_token(token), created_ms=now_ms,
            revoked_ms=None, used_ms=None,
        )
    )  # fmt: skip
    return token


def ensure_own(session: Session, viewer: Service, kind: Kind, site: str, now_ms: int) -> Source:
    """The farm's own source of `kind`, made when it is not there. One that was revoked stays revoked."""
    require_service(viewer)
    source = own_id(kind, site)
    row = session.get(Source, source)
    if row is None:
        row = Source(id=source, site_id=site, kind=kind, name="", token_hash=None, created_ms=now_ms)
        row.revoked_ms = row.used_ms = None
        session.add(row)
        session.flush()
    return row


def revoke(session: Session, viewer: Service, source: str, now_ms: int) -> bool:
    """Shuts `source` out from now on; False when there is none. Doing it again changes nothing."""
    require_service(viewer)
    row = session.get(Source, source)
    if row is None:
        return False
    row.revoked_ms = row.revoked_ms if row.revoked_ms is not None else now_ms
    return True


def note_used(session: Session, viewer: Service, used_ms: dict[str, int]) -> None:
    """Notes when sources were last used."""
    require_service(viewer)
    for source, at_ms in sorted(used_ms.items()):
        session.execute(update(Source).where(Source.id == source).values(used_ms=at_ms))


def first_received(session: Session, viewer: Service, source: str, batch: str, received_ms: int) -> int:
    """When `batch` of `source` came first: `received_ms` unless it came before, within the last week."""
    require_service(viewer)
    session.execute(delete(SourceBatch).where(SourceBatch.received_ms < received_ms - BATCHES_KEPT_MS))
    insert: Any = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    row = {"source_id": source, "batch": batch, "received_ms": received_ms}
    session.execute(insert(SourceBatch).values(row).on_conflict_do_nothing())
    key = (SourceBatch.source_id == source, SourceBatch.batch == batch)
    return session.execute(select(SourceBatch.received_ms).where(*key)).scalar_one()
