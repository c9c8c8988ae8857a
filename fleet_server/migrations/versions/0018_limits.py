"""More of a tenant's limits; what an idempotency key was used for; groups whose query takes long; commands of
lampposts that are away are not looked at each second."""

from __future__ import annotations

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

COLUMNS = (
    ("tenant", "groups", "INTEGER"),
    ("tenant", "files_mb", "INTEGER"),
    ("tenant", "device_messages", "INTEGER"),
    ("tenant", "device_mb", "INTEGER"),
    ("command", "digest", "TEXT DEFAULT '' NOT NULL"),
    ("command", "waits", "BOOLEAN DEFAULT false NOT NULL"),
    ("device_group", "slow_since", "TIMESTAMP WITH TIME ZONE"),
)
OPEN = "state IN ('queued', 'sent', 'received')"
INDEXES = {
    "command_due_idx": f"(id) WHERE {OPEN} AND NOT waits",
    "command_ends_idx": f"(state, expires_at) WHERE {OPEN}",
}


def upgrade() -> None:
    for table, column, kind in COLUMNS:
        op.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")
    for name, over in INDEXES.items():
        op.execute(f"CREATE INDEX {name} ON command {over}")


def downgrade() -> None:
    for name in INDEXES:
        op.execute(f"DROP INDEX {name}")
    op.execute("UPDATE device_twin SET due_at = now() WHERE due_at = 'infinity'")
    for table, column, _ in COLUMNS:
        op.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
