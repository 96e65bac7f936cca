"""Dead letters: what was refused, with its reason."""

from __future__ import annotations

from sqlalchemy import Index, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from collectors.registry.schema.base import Base, RowId


class DeadLetter(Base):
    """A record that was refused, with its reason: nothing vanishes. A resent batch finds its letters here already.

    `payload`: the whole pack, as it came, where not even its records could be told apart.
    """

    __tablename__ = "dead_letter"
    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    gateway_id: Mapped[str] = mapped_column(String(64))
    batch: Mapped[str] = mapped_column(String(64))
    record_index: Mapped[int]
    received_ms: Mapped[int] = mapped_column(index=True)
    name: Mapped[str] = mapped_column(String(300), default="")
    reason: Mapped[str] = mapped_column(Text)
    record: Mapped[str] = mapped_column(Text, default="")
    payload: Mapped[bytes | None] = mapped_column(LargeBinary, default=None, deferred=True)
    __table_args__ = (Index(None, "gateway_id", "batch", "record_index", unique=True),)


class DeadLetterDay(Base):
    """What was refused of one gateway on one day (UTC, counted from 1970): how many letters are kept, how large they
    are, and how many records more were refused and are counted only."""

    __tablename__ = "dead_letter_day"
    gateway_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    day: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    letters: Mapped[int]
    bytes: Mapped[int]
    left_out: Mapped[int]
    last_ms: Mapped[int]
    last_reason: Mapped[str] = mapped_column(Text)
