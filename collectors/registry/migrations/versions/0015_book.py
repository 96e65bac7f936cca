"""Alerts put off and given to somebody; comments, labels, and where they put a rule."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("alert", sa.Column("snoozed_until_ms", sa.BigInteger(), nullable=True))
    is_snoozed = sa.text("snoozed_until_ms IS NOT NULL")
    op.create_index(
        "ix_alert_snoozed", "alert", ["snoozed_until_ms"], sqlite_where=is_snoozed, postgresql_where=is_snoozed
    )
    _assignees()
    _comments()
    _labels()


def _assignees() -> None:
    """A table of its own: SQLite adds a column with such a key only by making `alert` anew, and its events go."""
    op.create_table(
        "alert_assignee",
        sa.Column("alert_id", sa.String(32), nullable=False),
        sa.Column("site_id", sa.String(64), nullable=False),
        sa.Column("person_id", _ROW_ID, nullable=False),
        sa.PrimaryKeyConstraint("alert_id", name="pk_alert_assignee"),
        *_keys("alert_assignee", "CASCADE"),
    )
    op.create_index("ix_alert_assignee_site_id", "alert_assignee", ["site_id"])
    op.create_index("ix_alert_assignee_person_id", "alert_assignee", ["person_id"])


def _comments() -> None:
    op.create_table(
        "alert_comment",
        sa.Column("id", sa.String(32), nullable=False),
        *_about("alert_comment"),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("text", sa.String(2000), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_alert_comment"),
    )
    op.create_index("ix_alert_comment_site_id", "alert_comment", ["site_id"])
    op.create_index("ix_alert_comment_person_id", "alert_comment", ["person_id"])
    op.create_index("ix_alert_comment_alert_id_at_ms_id", "alert_comment", ["alert_id", "at_ms", "id"])


def _labels() -> None:
    op.create_table(
        "alert_feedback",
        sa.Column("id", _ROW_ID, autoincrement=True, nullable=False),
        *_about("alert_feedback"),
        sa.Column("rule", sa.String(64), nullable=False),
        sa.Column("label", sa.String(10), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_alert_feedback"),
        sa.UniqueConstraint("alert_id", "person_id", name="uq_alert_feedback_alert_id_person_id"),
    )
    op.create_index("ix_alert_feedback_person_id", "alert_feedback", ["person_id"])
    op.create_index("ix_alert_feedback_site_id_rule", "alert_feedback", ["site_id", "rule"])
    op.create_table(
        "rule_standing",
        sa.Column("site_id", sa.String(64), nullable=False),
        sa.Column("rule", sa.String(64), nullable=False),
        sa.Column("mode", sa.String(10), nullable=False),
        sa.Column("is_demoted", sa.Boolean(), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.Column("useful", sa.BigInteger(), nullable=False),
        sa.Column("judged", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("site_id", "rule", name="pk_rule_standing"),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_rule_standing_site_id_site", ondelete="CASCADE"),
    )


def _about(table: str) -> list[sa.Column[Any] | sa.ForeignKeyConstraint]:
    """Of which farm, which alert, by whom."""
    return [
        sa.Column("site_id", sa.String(64), nullable=False),
        sa.Column("alert_id", sa.String(32), nullable=False),
        sa.Column("person_id", _ROW_ID, nullable=True),
        *_keys(table, "SET NULL"),
    ]


def _keys(table: str, without_person: str) -> list[sa.ForeignKeyConstraint]:
    return [
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name=f"fk_{table}_site_id_site", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["alert_id"], ["alert.id"], name=f"fk_{table}_alert_id_alert", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=f"fk_{table}_person_id_person", ondelete=without_person
        ),
    ]
