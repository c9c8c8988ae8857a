"""What devices report of themselves (up/twin)."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

COLUMNS = {
    "reported": "JSONB DEFAULT '{}' NOT NULL",
    "reported_version": "BIGINT",
    "reported_acknowledged": "BIGINT",
    "reported_epoch": "BYTEA",
}


def upgrade() -> None:
    for name, kind in COLUMNS.items():
        op.execute(f"ALTER TABLE device ADD COLUMN {name} {kind}")


def downgrade() -> None:
    for name in COLUMNS:
        op.execute(f"ALTER TABLE device DROP COLUMN {name}")
