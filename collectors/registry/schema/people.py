"""People, what they are where, how they come in; consents and the audit."""

from __future__ import annotations

import secrets
from typing import Any

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from collectors.registry.schema.base import Base, RowId


class PersonRow(Base):
    """Somebody who may sign in. Without `password_hash` they come in by invitation only.

    `public_id` is what is told of them outside the registry: a number would tell how many there are.
    """

    __tablename__ = "person"
    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    public_id: Mapped[str] = mapped_column(
        String(32), default=lambda: secrets.token_urlsafe(16), server_default="", unique=True, index=True
    )
    login: Mapped[str] = mapped_column(String(200), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    language: Mapped[str] = mapped_column(String(8), default="ja")
    password_hash: Mapped[str | None] = mapped_column(String(400))
    is_admin: Mapped[bool] = mapped_column(default=False)
    created_ms: Mapped[int]
    disabled_ms: Mapped[int | None]


class RoleRow(Base):
    """What a person is on a farm."""

    __tablename__ = "role"
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"), primary_key=True)
    role: Mapped[str] = mapped_column(String(20))
    version: Mapped[int] = mapped_column(default=1, server_default="1")


class Invitation(Base):
    """A code that signs its person in; only its SHA-256 is kept. `uses_left` None: as often as wanted until then."""

    __tablename__ = "invitation"
    code_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), index=True)
    expires_ms: Mapped[int]
    uses_left: Mapped[int | None]


class WebSession(Base):
    """A signed-in browser; only the SHA-256 of its cookie is kept. `id` is what its person calls it by.

    `way`: how it began (`password`, `passkey`, `invitation`, `oidc`); `proved_ms`: when its person last proved who
    they are, never of one that an invitation began.
    """

    __tablename__ = "web_session"
    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    id: Mapped[str] = mapped_column(String(32), unique=True, default=lambda: secrets.token_urlsafe(16))
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), index=True)
    way: Mapped[str] = mapped_column(String(16), default="password")
    created_ms: Mapped[int]
    expires_ms: Mapped[int]
    seen_ms: Mapped[int]
    proved_ms: Mapped[int | None]
    device: Mapped[str] = mapped_column(String(200), default="")


class Consent(Base):
    """A farm shows classes of its data to a role on it, or to one person, in [from_ms, until_ms).

    Once given it is never changed but by its withdrawal, and goes with its farm only. Its id is random: a number
    would tell how many other farms gave.
    """

    __tablename__ = "consent"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"), index=True)
    role: Mapped[str | None] = mapped_column(String(20))
    person_id: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="SET NULL"), index=True)
    classes: Mapped[list[Any]]
    from_ms: Mapped[int]
    until_ms: Mapped[int | None]
    given_ms: Mapped[int]
    given_by: Mapped[str] = mapped_column(String(64))
    withdrawn_ms: Mapped[int | None]
    withdrawn_by: Mapped[str | None] = mapped_column(String(64))


class AuditRow(Base):
    """That somebody from outside read a farm's data, or that somebody changed who may.

    Reads of one minute, person, class and route are one row with a count; `from_ms` and `to_ms` hold all spans that
    were asked for. `name` is the person's at that time.
    """

    __tablename__ = "audit"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(8))
    minute: Mapped[int]
    at_ms: Mapped[int]
    last_ms: Mapped[int]
    who: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(200), default="")
    role: Mapped[str] = mapped_column(String(20), default="")
    data_class: Mapped[str] = mapped_column(String(20), default="")
    what: Mapped[str] = mapped_column(String(200))
    from_ms: Mapped[int | None]
    to_ms: Mapped[int | None]
    count: Mapped[int]
    detail: Mapped[dict[str, Any]] = mapped_column(default=dict)
    __table_args__ = (
        Index(None, "site_id", "at_ms"),
        Index(
            "uq_audit_read", "site_id", "minute", "who", "data_class", "what", unique=True,
            sqlite_where=text("kind = 'read'"), postgresql_where=text("kind = 'read'"),
        ),
    )  # fmt: skip


class RightsVersion(Base):
    """One row: the number goes up in the same transaction as anything that changes who may see what."""

    __tablename__ = "rights_version"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    version: Mapped[int]
