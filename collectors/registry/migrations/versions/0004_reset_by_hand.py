"""Alerts that only a person ends: since when their values are well again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("alert", sa.Column("over_ms", sa.BigInteger(), nullable=True))
