"""What is sent to whom: addresses, wishes, the outbox and its log."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TYPES: dict[str, Any] = {"site": sa.String(64), "alert": sa.String(32), "person": _ROW_ID, "contact": sa.String(32)}


def upgrade() -> None:
    _people()
    _escalation()
    _outbox()
    op.create_table(
        "quota",
        sa.Column("channel", sa.String(16), nullable=False),
        sa.Column("month", sa.String(7), nullable=False),
        _number("used"),
        _number("told_left"),
        sa.PrimaryKeyConstraint("channel", "month", name="pk_quota"),
    )
    op.create_table(
        "vendor_event",
        sa.Column("id", sa.String(64), nullable=False),
        _number("at_ms"),
        sa.PrimaryKeyConstraint("id", name="pk_vendor_event"),
    )
    op.create_index("ix_vendor_event_at_ms", "vendor_event", ["at_ms"])


def _people() -> None:
    op.create_table(
        "address",
        sa.Column("id", sa.String(32), nullable=False),
        *_of("address", "person", "contact"),
        sa.Column("channel", sa.String(16), nullable=False),
        sa.Column("address", sa.JSON(), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("label", sa.String(200), nullable=False),
        _number("created_ms"),
        _number("verified_ms", nullable=True),
        _number("gone_ms", nullable=True),
        sa.Column("gone_why", sa.String(200), nullable=False),
        _number("version"),
        sa.PrimaryKeyConstraint("id", name="pk_address"),
    )
    _indices("address", ["person_id"], ["contact_id"], ["channel", "fingerprint"])
    op.create_table(
        "wish",
        *_of("wish", "person", nullable=False),
        sa.Column("channels", sa.JSON(), nullable=False),
        _number("quiet_from", nullable=True),
        _number("quiet_to", nullable=True),
        _number("night_budget"),
        sa.Column("morning_list", sa.Boolean(), nullable=False),
        _number("changed_ms"),
        _number("version"),
        sa.PrimaryKeyConstraint("person_id", name="pk_wish"),
    )
    op.create_table(
        "link_code",
        sa.Column("code_hash", sa.String(64), nullable=False),
        *_of("link_code", "person", nullable=False),
        sa.Column("channel", sa.String(16), nullable=False),
        sa.Column("address_id", sa.String(32), nullable=True),
        _number("made_ms"),
        _number("expires_ms"),
        _number("tries"),
        sa.PrimaryKeyConstraint("code_hash", name="pk_link_code"),
        sa.ForeignKeyConstraint(["address_id"], ["address.id"], name="fk_link_code_address_id", ondelete="CASCADE"),
    )
    _indices("link_code", ["person_id"], ["address_id"])


def _escalation() -> None:
    op.create_table(
        "escalation",
        *_of("escalation", "alert", "site", nullable=False),
        _number("event"),
        sa.Column("severity", sa.String(16), nullable=False),
        _number("since_ms"),
        _number("next_ms", nullable=True),
        _number("round"),
        sa.Column("asked", sa.JSON(), nullable=False),
        sa.Column("why", sa.String(40), nullable=False),
        sa.PrimaryKeyConstraint("alert_id", name="pk_escalation"),
    )
    _indices("escalation", ["site_id"])
    is_due = sa.text("next_ms IS NOT NULL")
    op.create_index("ix_escalation_next", "escalation", ["next_ms"], sqlite_where=is_due, postgresql_where=is_due)


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        *_of("outbox", "site", "alert", "person", "contact"),
        _number("event", nullable=True),
        sa.Column("address_id", sa.String(32), nullable=True),
        sa.Column("channel", sa.String(16), nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("telling", sa.String(32), nullable=False),
        sa.Column("night", sa.String(10), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("reason", sa.String(400), nullable=False),
        sa.Column("told_in", sa.String(32), nullable=True),
        _number("created_ms"),
        _number("due_ms"),
        sa.Column("lease", sa.String(32), nullable=True),
        _number("leased_until_ms", nullable=True),
        _number("attempts"),
        sa.Column("provider_id", sa.String(200), nullable=True),
        *(_number(name, nullable=True) for name in ("accepted_ms", "delivered_ms", "seen_ms")),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
    )
    _indices("outbox", ["site_id"], ["alert_id"], ["contact_id"], ["telling"])
    _indices("outbox", ["person_id", "night"], ["channel", "provider_id"])
    is_open = sa.text("state IN ('waiting', 'held')")
    op.create_index("ix_outbox_open", "outbox", ["state", "due_ms"], sqlite_where=is_open, postgresql_where=is_open)
    op.create_table(
        "outbox_log",
        sa.Column("id", _ROW_ID, autoincrement=True, nullable=False),
        sa.Column("outbox_id", sa.String(32), nullable=False),
        _number("at_ms"),
        sa.Column("step", sa.String(12), nullable=False),
        sa.Column("detail", sa.String(400), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_outbox_log"),
        sa.ForeignKeyConstraint(["outbox_id"], ["outbox.id"], name="fk_outbox_log_outbox_id", ondelete="CASCADE"),
    )
    _indices("outbox_log", ["outbox_id"])


def _number(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def _of(table: str, *owners: str, nullable: bool = True) -> list[Any]:
    """The columns that say whose a row is; it goes with them."""
    columns = [sa.Column(f"{owner}_id", _TYPES[owner], nullable=nullable) for owner in owners]
    keys = [
        sa.ForeignKeyConstraint([f"{owner}_id"], [f"{owner}.id"], name=f"fk_{table}_{owner}_id", ondelete="CASCADE")
        for owner in owners
    ]
    return [*columns, *keys]


def _indices(table: str, *columns: list[str]) -> None:
    for names in columns:
        op.create_index(f"ix_{table}_{'_'.join(names)}", table, names)
