"""Whose an alert is to do, comments, what an alert was worth, and where that puts its rule."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from collectors.registry.schema.base import Base, RowId


class AlertAssignee(Base):
    """Whose the alert is to do; a person who goes takes it along."""

    __tablename__ = "alert_assignee"
    alert_id: Mapped[str] = mapped_column(ForeignKey("alert.id", ondelete="CASCADE"), primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"), index=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), index=True)


class AlertComment(Base):
    """Something that a person wrote about an alert; never changed. `person_id`: None once they are gone."""

    __tablename__ = "alert_comment"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"), index=True)
    alert_id: Mapped[str] = mapped_column(ForeignKey("alert.id", ondelete="CASCADE"))
    person_id: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="SET NULL"), index=True)
    at_ms: Mapped[int]
    text: Mapped[str] = mapped_column(String(2000))
    __table_args__ = (Index(None, "alert_id", "at_ms", "id"),)


class AlertFeedback(Base):
    """What one person says that an alert was worth: `useful`, `false` or `knew`. Each change is an event.

    `rule` is the alert's, so that the labels of a rule are found at once.
    """

    __tablename__ = "alert_feedback"
    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"))
    alert_id: Mapped[str] = mapped_column(ForeignKey("alert.id", ondelete="CASCADE"))
    person_id: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="SET NULL"), index=True)
    rule: Mapped[str] = mapped_column(String(64))
    label: Mapped[str] = mapped_column(String(10))
    at_ms: Mapped[int]
    __table_args__ = (UniqueConstraint("alert_id", "person_id"), Index(None, "site_id", "rule"))


class RuleStanding(Base):
    """Whether a rule wakes people on a farm. No row: nobody said anything, and it does.

    `mode`: `by-labels`, or what the farm says: `wakes`, `morning`. `is_demoted`: its alerts go to the morning list,
    since `since_ms`. `useful`, `judged`: the labels that this was decided on.
    """

    __tablename__ = "rule_standing"
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"), primary_key=True)
    rule: Mapped[str] = mapped_column(String(64), primary_key=True)
    mode: Mapped[str] = mapped_column(String(10))
    is_demoted: Mapped[bool]
    since_ms: Mapped[int]
    useful: Mapped[int]
    judged: Mapped[int]
    version: Mapped[int]
