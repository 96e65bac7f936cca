"""Passkeys, one-time codes and recovery; a session knows how it began and when its person last proved who they are.

Whoever is signed in stays so, and proves who they are before they change a way in.
"""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import context, op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _of_person(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["person_id"], ["person.id"], name=f"fk_{table}_person_id_person", ondelete="CASCADE"
    )


def upgrade() -> None:
    _sessions()
    op.create_table(
        "passkey_owner",
        sa.Column("person_id", _ROW_ID, nullable=False),
        sa.Column("handle", sa.String(length=100), nullable=False),
        _of_person("passkey_owner"),
        sa.PrimaryKeyConstraint("person_id", name="pk_passkey_owner"),
        sa.UniqueConstraint("handle", name="uq_passkey_owner_handle"),
    )
    op.create_table(
        "passkey",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("person_id", _ROW_ID, nullable=False),
        sa.Column("credential", sa.String(length=1400), nullable=False),
        sa.Column("public_key", sa.String(length=2000), nullable=False),
        sa.Column("sign_count", sa.BigInteger(), nullable=False),
        sa.Column("transports", sa.JSON(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("used_ms", sa.BigInteger(), nullable=True),
        _of_person("passkey"),
        sa.PrimaryKeyConstraint("id", name="pk_passkey"),
        sa.UniqueConstraint("credential", name="uq_passkey_credential"),
    )
    op.create_index("ix_passkey_person_id", "passkey", ["person_id"])
    op.create_table(
        "challenge",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("challenge", sa.String(length=200), nullable=False),
        sa.Column("person_id", _ROW_ID, nullable=True),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        _of_person("challenge"),
        sa.PrimaryKeyConstraint("id", name="pk_challenge"),
    )
    op.create_index("ix_challenge_person_id", "challenge", ["person_id"])
    op.create_index("ix_challenge_expires_ms", "challenge", ["expires_ms"])
    op.create_table(
        "totp",
        sa.Column("person_id", _ROW_ID, nullable=False),
        sa.Column("sealed", sa.String(length=200), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("confirmed_ms", sa.BigInteger(), nullable=True),
        sa.Column("last_step", sa.BigInteger(), nullable=False),
        _of_person("totp"),
        sa.PrimaryKeyConstraint("person_id", name="pk_totp"),
    )
    op.create_table(
        "recovery_code",
        sa.Column("code_hash", sa.String(length=64), nullable=False),
        sa.Column("person_id", _ROW_ID, nullable=False),
        sa.Column("used_ms", sa.BigInteger(), nullable=True),
        _of_person("recovery_code"),
        sa.PrimaryKeyConstraint("code_hash", name="pk_recovery_code"),
    )
    op.create_index("ix_recovery_code_person_id", "recovery_code", ["person_id"])
    op.create_table(
        "sign_in_notice",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("person_id", _ROW_ID, nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("way", sa.String(length=16), nullable=False),
        sa.Column("device", sa.String(length=200), nullable=False),
        sa.Column("session_id", sa.String(length=32), nullable=True),
        sa.Column("seen_ms", sa.BigInteger(), nullable=True),
        _of_person("sign_in_notice"),
        sa.PrimaryKeyConstraint("id", name="pk_sign_in_notice"),
    )
    op.create_index("ix_sign_in_notice_person_id_at_ms", "sign_in_notice", ["person_id", "at_ms"])


def _sessions() -> None:
    with op.batch_alter_table("web_session") as table:
        table.add_column(sa.Column("id", sa.String(length=32), nullable=True))
        table.add_column(sa.Column("way", sa.String(length=16), nullable=False, server_default="password"))
        table.add_column(sa.Column("proved_ms", sa.BigInteger(), nullable=True))
    if context.is_offline_mode():
        op.execute("DELETE FROM web_session")  # printed statements cannot give each row a random id
    else:
        sessions = sa.table("web_session", sa.column("token_hash", sa.String), sa.column("id", sa.String))
        connection = op.get_bind()
        for token_hash in connection.scalars(sa.select(sessions.c.token_hash)).all():
            named = sa.update(sessions).where(sessions.c.token_hash == token_hash)
            connection.execute(named.values(id=secrets.token_urlsafe(16)))
    with op.batch_alter_table("web_session") as table:
        table.alter_column("id", existing_type=sa.String(length=32), nullable=False)
        table.alter_column("way", existing_type=sa.String(length=16), server_default=None)
        table.create_unique_constraint("uq_web_session_id", ["id"])
