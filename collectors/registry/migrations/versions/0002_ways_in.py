"""Other ways in: sources and their tokens, LoRaWAN devices, weather."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "fetch_state",
        sa.Column("url", sa.String(length=300), nullable=False),
        sa.Column("etag", sa.String(length=200), nullable=False),
        sa.Column("last_modified", sa.String(length=64), nullable=False),
        sa.Column("checked_ms", sa.BigInteger(), nullable=False),
        sa.Column("changed_ms", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("not_before_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("url", name="pk_fetch_state"),
    )
    op.create_table(
        "forecast",
        sa.Column("area", sa.String(length=40), nullable=False),
        sa.Column("element", sa.String(length=40), nullable=False),
        sa.Column("valid_from_ms", sa.BigInteger(), nullable=False),
        sa.Column("issued_ms", sa.BigInteger(), nullable=False),
        sa.Column("valid_to_ms", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("words", sa.String(length=400), nullable=True),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("area", "element", "valid_from_ms", "issued_ms", name="pk_forecast"),
    )
    op.create_table(
        "lora_unknown",
        sa.Column("dev_eui", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("application", sa.String(length=200), nullable=False),
        sa.Column("profile_name", sa.String(length=200), nullable=False),
        sa.Column("first_ms", sa.BigInteger(), nullable=False),
        sa.Column("seen_ms", sa.BigInteger(), nullable=False),
        sa.Column("frames", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("dev_eui", name="pk_lora_unknown"),
    )
    op.create_table(
        "weather_warning",
        sa.Column("area", sa.String(length=16), nullable=False),
        sa.Column("code", sa.String(length=8), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.Column("name_ja", sa.String(length=100), nullable=False),
        sa.Column("level", sa.String(length=16), nullable=False),
        sa.Column("status", sa.String(length=40), nullable=False),
        sa.Column("reported_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("area", "code", "since_ms", name="pk_weather_warning"),
    )
    op.create_table(
        "lora_device",
        sa.Column("dev_eui", sa.String(length=16), nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("profile", sa.String(length=64), nullable=False),
        sa.Column("dev_addr", sa.String(length=8), nullable=False),
        sa.Column("frame", sa.BigInteger(), nullable=True),
        sa.Column("frame_id", sa.String(length=64), nullable=False),
        sa.Column("frames_seen", sa.BigInteger(), nullable=False),
        sa.Column("seen_ms", sa.BigInteger(), nullable=False),
        sa.Column("frames", sa.BigInteger(), nullable=False),
        sa.Column("missing", sa.BigInteger(), nullable=False),
        sa.Column("repeated", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_lora_device_site_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("dev_eui", name="pk_lora_device"),
    )
    op.create_index("ix_lora_device_site_id", "lora_device", ["site_id"], unique=False)
    op.create_table(
        "site_weather",
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("office", sa.String(length=6), nullable=False),
        sa.Column("area", sa.String(length=6), nullable=False),
        sa.Column("municipality", sa.String(length=7), nullable=False),
        sa.Column("station", sa.String(length=5), nullable=False),
        sa.Column("amedas", sa.String(length=5), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_site_weather_site_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("site_id", name="pk_site_weather"),
    )
    op.create_table(
        "source",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("revoked_ms", sa.BigInteger(), nullable=True),
        sa.Column("used_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_source_site_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_source"),
        sa.UniqueConstraint("token_hash", name="uq_source_token_hash"),
    )
    op.create_index("ix_source_site_id", "source", ["site_id"], unique=False)
    op.create_table(
        "source_batch",
        sa.Column("source_id", sa.String(length=64), nullable=False),
        sa.Column("batch", sa.String(length=64), nullable=False),
        sa.Column("received_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name="fk_source_batch_source_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("source_id", "batch", name="pk_source_batch"),
    )
    op.create_index("ix_source_batch_received_ms", "source_batch", ["received_ms"], unique=False)
