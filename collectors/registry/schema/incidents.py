"""What befell many farms at once, and what each of them answered."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from collectors.registry.schema.base import Base


class Incident(Base):
    """Many farms of one `area` that lost power, or their link, together; it ends when it has ended on each.

    `kind`: `power` once one of them says so, else `link`. Of no farm in particular: which farms stands beside it.
    """

    __tablename__ = "incident"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    kind: Mapped[str] = mapped_column(String(10))
    area: Mapped[str] = mapped_column(String(16))
    onset_ms: Mapped[int]
    opened_ms: Mapped[int]
    ended_ms: Mapped[int | None]
    __table_args__ = (
        Index(
            "ix_incident_open", "area",
            sqlite_where=text("ended_ms IS NULL"), postgresql_where=text("ended_ms IS NULL"),
        ),
        Index(None, "opened_ms", "id"),
    )  # fmt: skip


class IncidentFarm(Base):
    """A farm in an incident: since when, until when, and what its people answered (`ok`, `generator`, `people`).

    `told_ms`: when its people were asked; the notifier asks who was not.
    """

    __tablename__ = "incident_farm"
    incident_id: Mapped[str] = mapped_column(ForeignKey("incident.id", ondelete="CASCADE"), primary_key=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"), primary_key=True, index=True)
    onset_ms: Mapped[int]
    joined_ms: Mapped[int]
    ended_ms: Mapped[int | None]
    told_ms: Mapped[int | None]
    answer: Mapped[str | None] = mapped_column(String(10))
    answered_ms: Mapped[int | None]
    answered_by: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="SET NULL"), index=True)


class IncidentAlert(Base):
    """An alert that an incident explains: nobody is told of it by itself."""

    __tablename__ = "incident_alert"
    alert_id: Mapped[str] = mapped_column(ForeignKey("alert.id", ondelete="CASCADE"), primary_key=True)
    incident_id: Mapped[str] = mapped_column(ForeignKey("incident.id", ondelete="CASCADE"), index=True)
    site_id: Mapped[str] = mapped_column(ForeignKey("site.id", ondelete="CASCADE"), index=True)
