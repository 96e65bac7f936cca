"""Links that make or let in people, accounts elsewhere that sign a person in here, and who asked to be let in again.

Of every code only the SHA-256 is here. What a sign-in elsewhere needs to be finished (nonce, verifier) is nowhere: it
comes out of a cookie of the browser that began it.
"""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from collectors.registry.schema.base import Base


class FirstLink(Base):
    """The one link (`id` is 1) by which the first administrator is made; a new one takes the place of the old."""

    __tablename__ = "first_link"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    code_hash: Mapped[str] = mapped_column(String(64))
    made_ms: Mapped[int]
    expires_ms: Mapped[int]


class SiteInvitation(Base):
    """Somebody is invited to a role on a farm; who has the code is asked, and accepts once. `name`: for whom."""

    __tablename__ = "site_invitation"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"))
    code_hash: Mapped[str] = mapped_column(String(64), unique=True)
    role: Mapped[str] = mapped_column(String(20))
    name: Mapped[str] = mapped_column(String(200))
    language: Mapped[str] = mapped_column(String(8))
    invited_by: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="SET NULL"))
    created_ms: Mapped[int]
    expires_ms: Mapped[int]
    accepted_ms: Mapped[int | None]
    accepted_by: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="SET NULL"))
    revoked_ms: Mapped[int | None]
    __table_args__ = (Index(None, "site_id", "created_ms"),)


class RecoveryRequest(Base):
    """Somebody who calls themselves so (a SHA-256 of the login, be it nobody's) says that they cannot get in."""

    __tablename__ = "recovery_request"
    login_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    asked_ms: Mapped[int] = mapped_column(index=True)


class RecoveryLink(Base):
    """A code that lets its person in once and takes their old ways in away. One for a person; a new one replaces it.

    `site_id`: the farm whose owner gave it; it holds only as long as that owner may give it. None: an administrator.
    """

    __tablename__ = "recovery_link"
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), primary_key=True)
    code_hash: Mapped[str] = mapped_column(String(64), unique=True)
    site_id: Mapped[str | None] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"))
    made_by: Mapped[str] = mapped_column(String(64))
    made_ms: Mapped[int]
    expires_ms: Mapped[int]


class AdminStep(Base):
    """What an administrator did to people and accounts; `who` and `about` are names as they were."""

    __tablename__ = "admin_step"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    at_ms: Mapped[int] = mapped_column(index=True)
    who: Mapped[str] = mapped_column(String(200))
    what: Mapped[str] = mapped_column(String(64))
    about: Mapped[str] = mapped_column(String(200))
    person: Mapped[str] = mapped_column(String(32))


class Account(Base):
    """An account at the OIDC provider `issuer` that signs a person in: `subject` is what the provider calls it."""

    __tablename__ = "account"
    issuer: Mapped[str] = mapped_column(String(300), primary_key=True)
    subject: Mapped[str] = mapped_column(String(300), primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), index=True)
    linked_ms: Mapped[int]
    linked_by: Mapped[str] = mapped_column(String(64))
    used_ms: Mapped[int | None]


class AccountRole(Base):
    """A role that a group of the provider gave. Where the farm took it away, the row stays: it is not given again."""

    __tablename__ = "account_role"
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"), primary_key=True)
    role: Mapped[str] = mapped_column(String(20))


class AccountFlow(Base):
    """A browser went to the provider and has to come back. `person_id`: for whom the account is to be linked."""

    __tablename__ = "account_flow"
    state_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    browser_hash: Mapped[str] = mapped_column(String(64))
    person_id: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), index=True)
    expires_ms: Mapped[int] = mapped_column(index=True)
