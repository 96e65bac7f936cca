"""How a person proves who they are, besides a password: passkeys, one-time codes, recovery; and what they are told.

No row here signs anybody in: a passkey's row has its public key, a recovery code's its SHA-256, and the secret of
the one-time codes is sealed with a key that is in no table.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from collectors.registry.schema.base import Base


class PasskeyOwner(Base):
    """What a person is called in their authenticators: random, since it tells nothing, and one for all of theirs."""

    __tablename__ = "passkey_owner"
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), primary_key=True)
    handle: Mapped[str] = mapped_column(String(100), unique=True)


class Passkey(Base):
    """One of a person's passkeys. `credential` and `public_key` (COSE) are base64url, as browsers send them."""

    __tablename__ = "passkey"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), index=True)
    credential: Mapped[str] = mapped_column(String(1400), unique=True)
    public_key: Mapped[str] = mapped_column(String(2000))
    sign_count: Mapped[int]
    transports: Mapped[list[Any]]
    name: Mapped[str] = mapped_column(String(100))
    version: Mapped[int] = mapped_column(default=1)
    created_ms: Mapped[int]
    used_ms: Mapped[int | None]


class Challenge(Base):
    """What a browser has to answer next: a passkey's challenge, or the code after a right password.

    `id` is the SHA-256 of that browser's cookie. It is read once, and gone by that.
    """

    __tablename__ = "challenge"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    challenge: Mapped[str] = mapped_column(String(200), default="")
    person_id: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), index=True)
    expires_ms: Mapped[int] = mapped_column(index=True)


class Totp(Base):
    """A person's one-time codes (RFC 6238), in force from `confirmed_ms` on. Steps up to `last_step` are used up."""

    __tablename__ = "totp"
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), primary_key=True)
    sealed: Mapped[str] = mapped_column(String(200))
    created_ms: Mapped[int]
    confirmed_ms: Mapped[int | None]
    last_step: Mapped[int] = mapped_column(default=0)


class RecoveryCode(Base):
    """The SHA-256 of a code that stands in for a one-time code, once."""

    __tablename__ = "recovery_code"
    code_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), index=True)
    used_ms: Mapped[int | None]


class SignInNotice(Base):
    """Something that happened to a person's account, for them to see. `session_id`: the browser that did it."""

    __tablename__ = "sign_in_notice"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(32))
    at_ms: Mapped[int]
    way: Mapped[str] = mapped_column(String(16), default="")
    device: Mapped[str] = mapped_column(String(200), default="")
    session_id: Mapped[str | None] = mapped_column(String(32))
    seen_ms: Mapped[int | None]
    __table_args__ = (Index(None, "person_id", "at_ms"),)
