"""Which worker judges which part of the farms, and what was learned late."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from collectors.registry.schema.base import Base


class ShardLease(Base):
    """A shard of the committed feed and who judges its farms until `until_ms`.

    `fence` goes up each time that it changes hands: who writes with an older number does not write.
    """

    __tablename__ = "shard_lease"
    shard: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    holder: Mapped[str] = mapped_column(String(64), default="")
    until_ms: Mapped[int] = mapped_column(default=0)
    fence: Mapped[int] = mapped_column(default=0)


class WatchWorker(Base):
    """A worker that is there until `until_ms`, so that the others leave it its part."""

    __tablename__ = "watch_worker"
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    until_ms: Mapped[int]


class LateSummary(Base):
    """What a farm's backlog told of after an outage: one row for each outage, written once.

    [from_ms, to_ms] is the stretch of which nobody knew at the time. `ended`: the problems that began and ended in
    it, as [{alert, rule, subject, severity, onset_ms, ended_ms}]. `told_ms`: when people were told; null: not yet.
    """

    __tablename__ = "late_summary"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"))
    from_ms: Mapped[int]
    to_ms: Mapped[int]
    written_ms: Mapped[int]
    readings: Mapped[int]
    ended: Mapped[list[Any]]
    told_ms: Mapped[int | None]
    __table_args__ = (Index(None, "site_id", "to_ms"), Index(None, "written_ms"))
