"""Receipts of farms that left; comparisons across farms; numbers of alert events."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "departure",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("site_id", sa.String(64), nullable=False),
        sa.Column("requested_ms", sa.BigInteger(), nullable=False),
        sa.Column("requested_by", sa.String(64), nullable=False),
        sa.Column("archived_ms", sa.BigInteger(), nullable=True),
        sa.Column("archive_sha256", sa.String(64), nullable=True),
        sa.Column("deleting_ms", sa.BigInteger(), nullable=True),
        sa.Column("done_ms", sa.BigInteger(), nullable=True),
        sa.Column("cancelled_ms", sa.BigInteger(), nullable=True),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_departure"),
    )
    op.create_index("ix_departure_site_id", "departure", ["site_id"])
    is_open = sa.text("done_ms IS NULL AND cancelled_ms IS NULL")
    op.create_index(
        "uq_departure_open", "departure", ["site_id"], unique=True, sqlite_where=is_open, postgresql_where=is_open
    )
    _comparisons()
    if op.get_context().dialect.name == "sqlite":
        # A number of the alert book is never given twice, though the farm that had it has left.
        with op.batch_alter_table("alert_event", recreate="always", table_kwargs={"sqlite_autoincrement": True}):
            pass


def _comparisons() -> None:
    op.create_table(
        "comparison_part",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("site_id", sa.String(64), nullable=False),
        sa.Column("data_class", sa.String(20), nullable=False),
        sa.Column("given_ms", sa.BigInteger(), nullable=False),
        sa.Column("given_by", sa.String(64), nullable=False),
        sa.Column("withdrawn_ms", sa.BigInteger(), nullable=True),
        sa.Column("withdrawn_by", sa.String(64), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_comparison_part"),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_comparison_part_site_id_site", ondelete="CASCADE"),
    )
    op.create_index("ix_comparison_part_site_id", "comparison_part", ["site_id"])
    op.create_table(
        "comparison",
        sa.Column("measure", sa.String(40), nullable=False),
        sa.Column("period", sa.String(7), nullable=False),
        sa.Column("published_ms", sa.BigInteger(), nullable=False),
        sa.Column("parties", sa.BigInteger(), nullable=False),
        sa.Column("bands", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("measure", "period", name="pk_comparison"),
    )
    op.create_table(
        "comparison_member",
        sa.Column("measure", sa.String(40), nullable=False),
        sa.Column("period", sa.String(7), nullable=False),
        sa.Column("site_id", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("measure", "period", "site_id", name="pk_comparison_member"),
        sa.ForeignKeyConstraint(
            ["site_id"], ["site.id"], name="fk_comparison_member_site_id_site", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["measure", "period"], ["comparison.measure", "comparison.period"],
            name="fk_comparison_member_measure_comparison", ondelete="CASCADE",
        ),
    )  # fmt: skip
    op.create_index("ix_comparison_member_site_id", "comparison_member", ["site_id"])
