"""What befell many farms at once, and what each answered."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "incident",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("area", sa.String(16), nullable=False),
        sa.Column("onset_ms", sa.BigInteger(), nullable=False),
        sa.Column("opened_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_incident"),
    )
    is_open = sa.text("ended_ms IS NULL")
    op.create_index("ix_incident_open", "incident", ["area"], sqlite_where=is_open, postgresql_where=is_open)
    op.create_index("ix_incident_opened_ms_id", "incident", ["opened_ms", "id"])
    op.create_table(
        "incident_farm",
        sa.Column("incident_id", sa.String(32), nullable=False),
        sa.Column("site_id", sa.String(64), nullable=False),
        sa.Column("onset_ms", sa.BigInteger(), nullable=False),
        sa.Column("joined_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True),
        sa.Column("told_ms", sa.BigInteger(), nullable=True),
        sa.Column("answer", sa.String(10), nullable=True),
        sa.Column("answered_ms", sa.BigInteger(), nullable=True),
        sa.Column("answered_by", _ROW_ID, nullable=True),
        sa.PrimaryKeyConstraint("incident_id", "site_id", name="pk_incident_farm"),
        *_keys("incident_farm"),
        sa.ForeignKeyConstraint(
            ["answered_by"], ["person.id"], name="fk_incident_farm_answered_by_person", ondelete="SET NULL"
        ),
    )
    op.create_index("ix_incident_farm_site_id", "incident_farm", ["site_id"])
    op.create_index("ix_incident_farm_answered_by", "incident_farm", ["answered_by"])
    op.create_table(
        "incident_alert",
        sa.Column("alert_id", sa.String(32), nullable=False),
        sa.Column("incident_id", sa.String(32), nullable=False),
        sa.Column("site_id", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("alert_id", name="pk_incident_alert"),
        *_keys("incident_alert"),
        sa.ForeignKeyConstraint(
            ["alert_id"], ["alert.id"], name="fk_incident_alert_alert_id_alert", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_incident_alert_incident_id", "incident_alert", ["incident_id"])
    op.create_index("ix_incident_alert_site_id", "incident_alert", ["site_id"])


def _keys(table: str) -> list[sa.ForeignKeyConstraint]:
    return [
        sa.ForeignKeyConstraint(
            ["incident_id"], ["incident.id"], name=f"fk_{table}_incident_id_incident", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name=f"fk_{table}_site_id_site", ondelete="CASCADE"),
    ]
