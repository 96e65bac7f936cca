"""What is left of a farm that went: its receipt."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from collectors.registry.schema.base import Base


class Departure(Base):
    """A farm that leaves, or has left. Its id is the receipt's.

    `site_id` is no foreign key: the row outlives the farm. Once it is done, nothing in it tells of the farm but its
    id, and how much was deleted.
    """

    __tablename__ = "departure"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    site_id: Mapped[str] = mapped_column(String(64), index=True)
    requested_ms: Mapped[int]
    requested_by: Mapped[str] = mapped_column(String(64))
    archived_ms: Mapped[int | None]
    archive_sha256: Mapped[str | None] = mapped_column(String(64))
    deleting_ms: Mapped[int | None]
    done_ms: Mapped[int | None]
    cancelled_ms: Mapped[int | None]
    counts: Mapped[dict[str, Any]] = mapped_column(default=dict)
    __table_args__ = (
        Index(
            "uq_departure_open", "site_id", unique=True,
            sqlite_where=text("done_ms IS NULL AND cancelled_ms IS NULL"),
            postgresql_where=text("done_ms IS NULL AND cancelled_ms IS NULL"),
        ),
    )  # fmt: skip
