"""How often a LoRaWAN device speaks, as its farm says it, so that one that falls silent is noticed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("lora_device", sa.Column("every_s", sa.Double(), nullable=True))
