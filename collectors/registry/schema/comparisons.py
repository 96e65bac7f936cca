"""Comparisons across farms: who takes part, and what was published. No farm's value is in here."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, ForeignKeyConstraint, String
from sqlalchemy.orm import Mapped, mapped_column

from collectors.registry.schema.base import Base


class ComparisonPart(Base):
    """A farm lets a class of its data into comparisons, from `given_ms` until it is withdrawn.

    Never changed but by its withdrawal; goes with its farm only.
    """

    __tablename__ = "comparison_part"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"), index=True)
    data_class: Mapped[str] = mapped_column(String(20))
    given_ms: Mapped[int]
    given_by: Mapped[str] = mapped_column(String(64))
    withdrawn_ms: Mapped[int | None]
    withdrawn_by: Mapped[str | None] = mapped_column(String(64))


class Comparison(Base):
    """What was published of a measure and a month, once for all: `bands` are means of many farms each.

    `parties`: how many were in it, those of a farm that has left included.
    """

    __tablename__ = "comparison"
    measure: Mapped[str] = mapped_column(String(40), primary_key=True)
    period: Mapped[str] = mapped_column(String(7), primary_key=True)
    published_ms: Mapped[int]
    parties: Mapped[int]
    bands: Mapped[list[Any]]


class ComparisonMember(Base):
    """A farm was in a published comparison; not with which value."""

    __tablename__ = "comparison_member"
    measure: Mapped[str] = mapped_column(String(40), primary_key=True)
    period: Mapped[str] = mapped_column(String(7), primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"), primary_key=True, index=True)
    __table_args__ = (
        ForeignKeyConstraint(["measure", "period"], ["comparison.measure", "comparison.period"], ondelete="CASCADE"),
    )
