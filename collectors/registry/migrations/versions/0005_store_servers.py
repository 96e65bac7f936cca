"""Store servers, and which farm is on which."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "store_server",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("url", sa.String(length=300), nullable=False),
        sa.Column("user_name", sa.String(length=100), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_store_server"),
    )
    op.create_table(
        "site_store",
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("server", sa.String(length=40), nullable=False),
        sa.Column("assigned_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["server"], ["store_server.name"], name="fk_site_store_server_store_server"),
        sa.PrimaryKeyConstraint("site_id", name="pk_site_store"),
    )
    op.create_index("ix_site_store_server", "site_store", ["server"])
