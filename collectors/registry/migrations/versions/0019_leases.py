"""Which worker judges which shard; what was learned late."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "shard_lease",
        sa.Column("shard", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("holder", sa.String(64), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("shard", name="pk_shard_lease"),
    )
    op.create_table(
        "watch_worker",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_watch_worker"),
    )
    op.create_table(
        "late_summary",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("site_id", sa.String(64), nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("to_ms", sa.BigInteger(), nullable=False),
        sa.Column("written_ms", sa.BigInteger(), nullable=False),
        sa.Column("readings", sa.BigInteger(), nullable=False),
        sa.Column("ended", sa.JSON(), nullable=False),
        sa.Column("told_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_late_summary"),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_late_summary_site_id", ondelete="CASCADE"),
    )
    op.create_index("ix_late_summary_site_id_to_ms", "late_summary", ["site_id", "to_ms"])
    op.create_index("ix_late_summary_written_ms", "late_summary", ["written_ms"])
