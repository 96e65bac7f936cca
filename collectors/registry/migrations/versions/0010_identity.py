"""Accounts elsewhere, links that let people in, and ids of persons that tell nothing.

A person's row number told how many people there are, and let one be named by counting: what is said of persons
outside the registry is their random id from here on, in the audit's details too.
"""

from __future__ import annotations

import json
import secrets

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

RowId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _random_ids()
    op.add_column("role", sa.Column("version", sa.BigInteger(), nullable=False, server_default="1"))
    op.create_table(
        "first_link",
        sa.Column("id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("code_hash", sa.String(length=64), nullable=False),
        sa.Column("made_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_first_link"),
    )
    op.create_table(
        "site_invitation",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("code_hash", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("language", sa.String(length=8), nullable=False),
        sa.Column("invited_by", RowId, nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("accepted_ms", sa.BigInteger(), nullable=True),
        sa.Column("accepted_by", RowId, nullable=True),
        sa.Column("revoked_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_site_invitation_site_id_site", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["accepted_by"], ["person.id"], name="fk_site_invitation_accepted_by_person", ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["invited_by"], ["person.id"], name="fk_site_invitation_invited_by_person", ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_site_invitation"),
        sa.UniqueConstraint("code_hash", name="uq_site_invitation_code_hash"),
    )
    op.create_index("ix_site_invitation_site_id_created_ms", "site_invitation", ["site_id", "created_ms"])
    op.create_table(
        "recovery_request",
        sa.Column("login_hash", sa.String(length=64), nullable=False),
        sa.Column("asked_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("login_hash", name="pk_recovery_request"),
    )
    op.create_index("ix_recovery_request_asked_ms", "recovery_request", ["asked_ms"])
    op.create_table(
        "recovery_link",
        sa.Column("person_id", RowId, nullable=False),
        sa.Column("code_hash", sa.String(length=64), nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=True),
        sa.Column("made_by", sa.String(length=64), nullable=False),
        sa.Column("made_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_recovery_link_site_id_site", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name="fk_recovery_link_person_id_person", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("person_id", name="pk_recovery_link"),
        sa.UniqueConstraint("code_hash", name="uq_recovery_link_code_hash"),
    )
    op.create_table(
        "admin_step",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.String(length=200), nullable=False),
        sa.Column("what", sa.String(length=64), nullable=False),
        sa.Column("about", sa.String(length=200), nullable=False),
        sa.Column("person", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_admin_step"),
    )
    op.create_index("ix_admin_step_at_ms", "admin_step", ["at_ms"])
    op.create_table(
        "account",
        sa.Column("issuer", sa.String(length=300), nullable=False),
        sa.Column("subject", sa.String(length=300), nullable=False),
        sa.Column("person_id", RowId, nullable=False),
        sa.Column("linked_ms", sa.BigInteger(), nullable=False),
        sa.Column("linked_by", sa.String(length=64), nullable=False),
        sa.Column("used_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name="fk_account_person_id_person", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("issuer", "subject", name="pk_account"),
    )
    op.create_index("ix_account_person_id", "account", ["person_id"])
    op.create_table(
        "account_role",
        sa.Column("person_id", RowId, nullable=False),
        sa.Column("site_id", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_account_role_site_id_site", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name="fk_account_role_person_id_person", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("person_id", "site_id", name="pk_account_role"),
    )
    op.create_table(
        "account_flow",
        sa.Column("state_hash", sa.String(length=64), nullable=False),
        sa.Column("browser_hash", sa.String(length=64), nullable=False),
        sa.Column("person_id", RowId, nullable=True),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name="fk_account_flow_person_id_person", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("state_hash", name="pk_account_flow"),
    )
    op.create_index("ix_account_flow_expires_ms", "account_flow", ["expires_ms"])
    op.create_index("ix_account_flow_person_id", "account_flow", ["person_id"])


def _random_ids() -> None:
    # No copy of the table: on SQLite dropping the old one would take along what belongs to its rows.
    op.add_column("person", sa.Column("public_id", sa.String(length=32), nullable=False, server_default=""))
    person = sa.table("person", sa.column("id", sa.BigInteger), sa.column("public_id", sa.String))
    connection = op.get_bind()
    ids = {number: secrets.token_urlsafe(16) for (number,) in connection.execute(sa.select(person.c.id)).all()}
    for number, public_id in ids.items():
        connection.execute(person.update().where(person.c.id == number).values(public_id=public_id))
    op.create_index("ix_person_public_id", "person", ["public_id"], unique=True)
    audit = sa.table("audit", sa.column("id", sa.String), sa.column("kind", sa.String), sa.column("detail", sa.JSON))
    for row_id, detail in connection.execute(
        sa.select(audit.c.id, audit.c.detail).where(audit.c.kind == "change")
    ).all():
        told = json.loads(detail) if isinstance(detail, str) else detail
        if isinstance(number := (told or {}).get("person"), int):
            renamed = {**told, "person": ids.get(number)}
            connection.execute(audit.update().where(audit.c.id == row_id).values(detail=renamed))
