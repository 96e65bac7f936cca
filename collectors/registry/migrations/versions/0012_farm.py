"""Contacts, rota and maintenance windows; places and placements that people edit; how often devices measured when.

What stands in a site file stays the file's until somebody edits it (`edited_ms`).
"""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _contacts_and_rota()
    op.create_table(
        "maintenance",
        *_own("maintenance"),
        sa.Column("targets", sa.JSON(), nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("to_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True),
        sa.Column("why", sa.String(length=400), nullable=False),
        sa.Column("who", sa.String(length=64), nullable=False),
        sa.Column("who_name", sa.String(length=200), nullable=False),
    )
    op.create_index("ix_maintenance_site_id_from_ms", "maintenance", ["site_id", "from_ms"])
    op.create_table(
        "device_pace",
        sa.Column("id", _ROW_ID, autoincrement=True, nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("device", sa.String(length=64), nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("every_s", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_device_pace_site_id_site", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_device_pace"),
    )
    op.create_index(
        "ix_device_pace_site_id_device_from_ms", "device_pace", ["site_id", "device", "from_ms"], unique=True
    )
    _places_and_placements()


def _own(table: str) -> list[sa.Column[object] | sa.Constraint]:
    """What every editable row of a farm has."""
    return [
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name=f"fk_{table}_site_id_site", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
    ]


def _contacts_and_rota() -> None:
    op.create_table(
        "contact",
        *_own("contact"),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("what_for", sa.String(length=200), nullable=False),
        sa.Column("phone", sa.String(length=16), nullable=False),
        sa.Column("phone_written", sa.String(length=40), nullable=False),
        sa.Column("mail", sa.String(length=254), nullable=False),
        sa.Column("note", sa.String(length=2000), nullable=False),
    )
    op.create_index("ix_contact_site_id_id", "contact", ["site_id", "id"])
    op.create_table(
        "shift",
        *_own("shift"),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("tier", sa.String(length=10), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("person_id", _ROW_ID, nullable=True),
        sa.Column("contact_id", sa.String(length=32), nullable=True),
        sa.Column("from_ms", sa.BigInteger(), nullable=True),
        sa.Column("to_ms", sa.BigInteger(), nullable=True),
        sa.Column("weekdays", sa.JSON(), nullable=False),
        sa.Column("start_minute", sa.BigInteger(), nullable=False),
        sa.Column("minutes", sa.BigInteger(), nullable=False),
        sa.Column("first_day", sa.String(length=10), nullable=False),
        sa.Column("last_day", sa.String(length=10), nullable=False),
        sa.Column("except_days", sa.JSON(), nullable=False),
        sa.Column("note", sa.String(length=400), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name="fk_shift_person_id_person", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["contact_id"], ["contact.id"], name="fk_shift_contact_id_contact", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_shift_site_id_id", "shift", ["site_id", "id"])
    op.create_index("ix_shift_person_id", "shift", ["person_id"])
    op.create_index("ix_shift_contact_id", "shift", ["contact_id"])


def _places_and_placements() -> None:
    for table in ("place", "placement"):
        op.add_column(table, sa.Column("version", sa.BigInteger(), nullable=False, server_default="1"))
        op.add_column(table, sa.Column("edited_ms", sa.BigInteger(), nullable=True))
    op.add_column("place", sa.Column("retired_ms", sa.BigInteger(), nullable=True))
    op.add_column("placement", sa.Column("public_id", sa.String(length=32), nullable=False, server_default=""))
    placement = sa.table("placement", sa.column("id", sa.BigInteger), sa.column("public_id", sa.String))
    connection = op.get_bind()
    for row in connection.execute(sa.select(placement.c.id)).scalars().all():
        named = sa.update(placement).where(placement.c.id == row).values(public_id=secrets.token_urlsafe(16))
        connection.execute(named)
    op.create_index("ix_placement_public_id", "placement", ["public_id"], unique=True)
