"""What a farm says of itself, for rules to know."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Columns added one by one: a copy of `site` on SQLite would take along what belongs to its rows.
    op.add_column("site", sa.Column("settings", sa.JSON(), nullable=False, server_default="{}"))
    op.add_column("site", sa.Column("settings_version", sa.BigInteger(), nullable=False, server_default="1"))
    op.add_column("site", sa.Column("settings_edited_ms", sa.BigInteger(), nullable=True))
