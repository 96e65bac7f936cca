"""The alert book, and what a judge remembers."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from collectors.registry.schema.base import Base, RowId


class Alert(Base):
    """One problem. `id` is the hash of rule, site, subject and onset, so that judging again never doubles it."""

    __tablename__ = "alert"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"))
    rule: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(64))
    place_id: Mapped[str | None] = mapped_column(String(64))
    severity: Mapped[str] = mapped_column(String(16))
    onset_ms: Mapped[int]
    opened_ms: Mapped[int]
    seen_ms: Mapped[int]
    ended_ms: Mapped[int | None]
    over_ms: Mapped[int | None]
    """Since when the values are well again, of an alert that only a person ends."""
    acknowledged_ms: Mapped[int | None]
    acknowledged_by: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="SET NULL"))
    snoozed_until_ms: Mapped[int | None]
    """Put off until then; whoever finds it past wakes the alert."""
    signals: Mapped[dict[str, Any]] = mapped_column(default=dict)
    children: Mapped[list[Any]] = mapped_column(default=list)
    __table_args__ = (
        Index(None, "site_id", "opened_ms"),
        Index(
            "ix_alert_snoozed", "snoozed_until_ms",
            sqlite_where=text("snoozed_until_ms IS NOT NULL"), postgresql_where=text("snoozed_until_ms IS NOT NULL"),
        ),
        # One open alert per rule and subject, held by the database itself.
        Index(
            "uq_alert_open", "site_id", "rule", "subject", unique=True,
            sqlite_where=text("ended_ms IS NULL"), postgresql_where=text("ended_ms IS NULL"),
        ),
    )  # fmt: skip


class AlertEvent(Base):
    """A step in the life of an alert: who, when, why. Never changed, never removed but with its farm.

    Numbers go up in the order of commits and are never given twice: streams go on behind one.
    """

    __tablename__ = "alert_event"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012
    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    alert_id: Mapped[str] = mapped_column(ForeignKey("alert.id", ondelete="CASCADE"), index=True)
    site_id: Mapped[str] = mapped_column(String(64), index=True)
    at_ms: Mapped[int]
    kind: Mapped[str] = mapped_column(String(20))
    who: Mapped[str] = mapped_column(String(64))
    detail: Mapped[dict[str, Any]] = mapped_column(default=dict)


class JudgeSnapshot(Base):
    """What a worker remembers of one farm, so that a killed one goes on where it was."""

    __tablename__ = "judge_snapshot"
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"), primary_key=True)
    saved_ms: Mapped[int]
    state: Mapped[dict[str, Any]]
