"""Programs with tokens, writes that came already, and who has to wait."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from collectors.registry.schema.base import Base


class ApiToken(Base):
    """A program that acts for a person, with less than their rights; of its secret only the SHA-256 is kept.

    `sites`, `classes` and `actions` None: all that the person has, as far as a program may have it.
    """

    __tablename__ = "api_token"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    secret_hash: Mapped[str] = mapped_column(String(64))
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(100))
    sites: Mapped[list[Any] | None]
    classes: Mapped[list[Any] | None]
    actions: Mapped[list[Any] | None]
    created_ms: Mapped[int]
    expires_ms: Mapped[int]
    used_ms: Mapped[int | None]
    revoked_ms: Mapped[int | None]


class OnceRow(Base):
    """A write that came with an Idempotency-Key, and its answer, so that the same again is not done again.

    `body` None: the answer is not kept, since it held a secret or was too long.
    """

    __tablename__ = "once"
    key_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), index=True)
    site_id: Mapped[str | None] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"), index=True)
    request_hash: Mapped[str] = mapped_column(String(64))
    created_ms: Mapped[int] = mapped_column(index=True)
    status: Mapped[int]
    headers: Mapped[dict[str, Any]] = mapped_column(default=dict)
    body: Mapped[str | None] = mapped_column(Text)


class AttemptRow(Base):
    """How often something failed in a row (a login from an address), and when last. Its key is a hash."""

    __tablename__ = "attempt"
    key_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    failures: Mapped[int]
    last_ms: Mapped[int] = mapped_column(index=True)
