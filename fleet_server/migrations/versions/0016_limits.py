"""What devices may send: floods and data budgets."""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


TABLES = (
    """
    CREATE TABLE flood (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        tenant TEXT NOT NULL,
        device_id INTEGER NOT NULL,
        state TEXT DEFAULT 'seen' NOT NULL,
        seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
        messages BIGINT NOT NULL,
        bytes BIGINT NOT NULL,
        until TIMESTAMP WITH TIME ZONE,
        ended_at TIMESTAMP WITH TIME ZONE,
        PRIMARY KEY (id),
        CONSTRAINT flood_device_fkey FOREIGN KEY(device_id) REFERENCES device (id)
    )
    """,
    "CREATE UNIQUE INDEX flood_open_key ON flood (device_id) WHERE state IN ('seen', 'held')",
    "CREATE INDEX flood_device_idx ON flood (device_id, seen_at)",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE flood")
