"""Programs with tokens, writes that came already, and who has to wait."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_PERSON_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # as the table of persons has it


def upgrade() -> None:
    op.create_table(
        "api_token",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("secret_hash", sa.String(64), nullable=False),
        sa.Column("person_id", _PERSON_ID, nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("sites", sa.JSON(), nullable=True),
        sa.Column("classes", sa.JSON(), nullable=True),
        sa.Column("actions", sa.JSON(), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("used_ms", sa.BigInteger(), nullable=True),
        sa.Column("revoked_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name="fk_api_token_person_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_api_token"),
    )
    op.create_index("ix_api_token_person_id", "api_token", ["person_id"])
    op.create_table(
        "once",
        sa.Column("key_hash", sa.String(64), nullable=False),
        sa.Column("person_id", _PERSON_ID, nullable=False),
        sa.Column("site_id", sa.String(64), nullable=True),
        sa.Column("request_hash", sa.String(64), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.BigInteger(), nullable=False),
        sa.Column("headers", sa.JSON(), nullable=False),
        sa.Column("body", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name="fk_once_person_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_once_site_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("key_hash", name="pk_once"),
    )
    op.create_index("ix_once_person_id", "once", ["person_id"])
    op.create_index("ix_once_site_id", "once", ["site_id"])
    op.create_index("ix_once_created_ms", "once", ["created_ms"])
    op.create_table(
        "attempt",
        sa.Column("key_hash", sa.String(64), nullable=False),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("last_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key_hash", name="pk_attempt"),
    )
    op.create_index("ix_attempt_last_ms", "attempt", ["last_ms"])
