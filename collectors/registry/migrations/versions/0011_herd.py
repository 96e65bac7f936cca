"""Animals, groups, events and fields."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "animal",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("national_id", sa.String(length=10), nullable=True),
        sa.Column("tag", sa.String(length=15), nullable=True),
        sa.Column("tag_from_ms", sa.BigInteger(), nullable=True),
        sa.Column("number", sa.String(length=32), nullable=True),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("sex", sa.String(length=16), nullable=False),
        sa.Column("breed", sa.String(length=64), nullable=False),
        sa.Column("born_on", sa.Date(), nullable=True),
        sa.Column("dam", sa.String(length=64), nullable=False),
        sa.Column("sire", sa.String(length=64), nullable=False),
        sa.Column("note", sa.String(length=2000), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("changed_ms", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_animal_site_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_animal"),
    )
    op.create_index("ix_animal_site_id_id", "animal", ["site_id", "id"])
    op.create_index("uq_animal_national_id", "animal", ["site_id", "national_id"], unique=True)
    op.create_index(
        "uq_animal_number",
        "animal",
        ["site_id", "number"],
        unique=True,
        sqlite_where=sa.text("status = 'present'"),
        postgresql_where=sa.text("status = 'present'"),
    )
    op.create_index("uq_animal_tag", "animal", ["site_id", "tag"], unique=True)
    op.create_table(
        "animal_tag",
        sa.Column("id", _ROW_ID, autoincrement=True, nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("animal_id", sa.String(length=32), nullable=False),
        sa.Column("tag", sa.String(length=15), nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=True),
        sa.Column("to_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["animal_id"], ["animal.id"], name="fk_animal_tag_animal_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_animal_tag_site_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_animal_tag"),
    )
    op.create_index("ix_animal_tag_animal_id", "animal_tag", ["animal_id"])
    op.create_index("ix_animal_tag_site_id_tag", "animal_tag", ["site_id", "tag"])
    op.create_table(
        "herd_group",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("name_ja", sa.String(length=100), nullable=False),
        sa.Column("name_en", sa.String(length=100), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("place_id", sa.String(length=64), nullable=True),
        sa.Column("note", sa.String(length=2000), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("changed_ms", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_herd_group_site_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_herd_group"),
    )
    op.create_index("ix_herd_group_site_id", "herd_group", ["site_id"])
    op.create_table(
        "herd_member",
        sa.Column("id", _ROW_ID, autoincrement=True, nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("animal_id", sa.String(length=32), nullable=False),
        sa.Column("group_id", sa.String(length=32), nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("to_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["animal_id"], ["animal.id"], name="fk_herd_member_animal_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["group_id"], ["herd_group.id"], name="fk_herd_member_group_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_herd_member_site_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_herd_member"),
    )
    op.create_index("ix_herd_member_animal_id_from_ms", "herd_member", ["animal_id", "from_ms"])
    op.create_index("ix_herd_member_group_id_from_ms", "herd_member", ["group_id", "from_ms"])
    op.create_index("ix_herd_member_site_id", "herd_member", ["site_id"])
    op.create_index(
        "uq_herd_member_current",
        "herd_member",
        ["animal_id"],
        unique=True,
        sqlite_where=sa.text("to_ms IS NULL"),
        postgresql_where=sa.text("to_ms IS NULL"),
    )
    op.create_table(
        "herd_event",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("animal_id", sa.String(length=32), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=True),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("note", sa.String(length=2000), nullable=False),
        sa.Column("entered_ms", sa.BigInteger(), nullable=False),
        sa.Column("entered_by", sa.String(length=64), nullable=False),
        sa.Column("entered_name", sa.String(length=200), nullable=False),
        sa.Column("deleted_ms", sa.BigInteger(), nullable=True),
        sa.Column("deleted_by", sa.String(length=64), nullable=True),
        sa.Column("deleted_name", sa.String(length=200), nullable=True),
        sa.Column("deleted_why", sa.String(length=400), nullable=True),
        sa.ForeignKeyConstraint(["animal_id"], ["animal.id"], name="fk_herd_event_animal_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_herd_event_site_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_herd_event"),
    )
    op.create_index("ix_herd_event_animal_id_at_ms", "herd_event", ["animal_id", "at_ms"])
    op.create_index("ix_herd_event_site_id_at_ms_id", "herd_event", ["site_id", "at_ms", "id"])
    op.create_index("uq_herd_event_key", "herd_event", ["site_id", "key"], unique=True)
    op.create_table(
        "herd_event_before",
        sa.Column("event_id", sa.String(length=32), nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("animal_id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("note", sa.String(length=2000), nullable=False),
        sa.Column("entered_ms", sa.BigInteger(), nullable=False),
        sa.Column("entered_by", sa.String(length=64), nullable=False),
        sa.Column("entered_name", sa.String(length=200), nullable=False),
        sa.Column("replaced_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["event_id"], ["herd_event.id"], name="fk_herd_event_before_event_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_herd_event_before_site_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("event_id", "version", name="pk_herd_event_before"),
    )
    op.create_index("ix_herd_event_before_site_id", "herd_event_before", ["site_id"])
    op.create_table(
        "field",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.String(length=32), nullable=True),
        sa.Column("name_ja", sa.String(length=100), nullable=False),
        sa.Column("name_en", sa.String(length=100), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("place_id", sa.String(length=64), nullable=True),
        sa.Column("outline", sa.JSON(), nullable=True),
        sa.Column("area_m2", sa.Double(), nullable=True),
        sa.Column("soil", sa.String(length=32), nullable=False),
        sa.Column("note", sa.String(length=2000), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("changed_ms", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_field_site_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_field"),
    )
    op.create_index("ix_field_site_id", "field", ["site_id"])
    op.create_index("uq_field_number", "field", ["site_id", "number"], unique=True)
    op.create_index("uq_field_place_id", "field", ["site_id", "place_id"], unique=True)
    op.create_table(
        "crop_season",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("field_id", sa.String(length=32), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("crop", sa.String(length=64), nullable=False),
        sa.Column("variety", sa.String(length=64), nullable=False),
        sa.Column("sown_on", sa.Date(), nullable=True),
        sa.Column("planted_on", sa.Date(), nullable=True),
        sa.Column("harvested_on", sa.Date(), nullable=True),
        sa.Column("note", sa.String(length=2000), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("changed_ms", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["field_id"], ["field.id"], name="fk_crop_season_field_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_crop_season_site_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_crop_season"),
    )
    op.create_index("ix_crop_season_field_id", "crop_season", ["field_id"])
    op.create_index("ix_crop_season_site_id", "crop_season", ["site_id"])
