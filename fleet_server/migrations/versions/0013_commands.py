"""Commands to devices with their states, and what diagnostics brought back."""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

TABLES = (
    """
    CREATE TABLE command (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        tenant TEXT NOT NULL,
        device_id INTEGER NOT NULL,
        token TEXT NOT NULL,
        name TEXT NOT NULL,
        arguments JSONB DEFAULT '{}' NOT NULL,
        state TEXT DEFAULT 'queued' NOT NULL,
        asked_by TEXT NOT NULL,
        asked_at TIMESTAMP WITH TIME ZONE NOT NULL,
        reason TEXT DEFAULT '' NOT NULL,
        idempotency_key TEXT DEFAULT '' NOT NULL,
        bulk TEXT,
        not_before TIMESTAMP WITH TIME ZONE NOT NULL,
        expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
        timeout_s INTEGER NOT NULL,
        sent_at TIMESTAMP WITH TIME ZONE,
        sent_session BIGINT,
        sendings INTEGER DEFAULT 0 NOT NULL,
        began_at TIMESTAMP WITH TIME ZONE,
        ended_at TIMESTAMP WITH TIME ZONE,
        detail TEXT DEFAULT '' NOT NULL,
        result JSONB DEFAULT '{}' NOT NULL,
        late TEXT DEFAULT '' NOT NULL,
        canceled_by TEXT DEFAULT '' NOT NULL,
        PRIMARY KEY (id),
        CONSTRAINT command_device_fkey FOREIGN KEY(device_id) REFERENCES device (id)
    )
    """,
    "CREATE UNIQUE INDEX command_token_key ON command (token)",
    "CREATE INDEX command_open_idx ON command (device_id, id) WHERE state IN ('queued', 'sent', 'received')",
    "CREATE INDEX command_device_idx ON command (device_id, id)",
    "CREATE INDEX command_tenant_idx ON command (tenant, id)",
    "CREATE INDEX command_bulk_idx ON command (bulk) WHERE bulk IS NOT NULL",
    """
    CREATE UNIQUE INDEX command_idempotency_key ON command (tenant, asked_by, idempotency_key, device_id)
    WHERE idempotency_key <> ''
    """,
    """
    CREATE TABLE command_file (
        command_id BIGINT NOT NULL,
        tenant TEXT NOT NULL,
        name TEXT NOT NULL,
        size INTEGER NOT NULL,
        sha256 BYTEA NOT NULL,
        came_at TIMESTAMP WITH TIME ZONE NOT NULL,
        PRIMARY KEY (command_id),
        CONSTRAINT command_file_command_fkey FOREIGN KEY(command_id) REFERENCES command (id) ON DELETE CASCADE
    )
    """,
    """
    CREATE TABLE command_piece (
        command_id BIGINT NOT NULL,
        index SMALLINT NOT NULL,
        tenant TEXT NOT NULL,
        data BYTEA NOT NULL,
        PRIMARY KEY (command_id, index),
        CONSTRAINT command_piece_file_fkey FOREIGN KEY(command_id)
            REFERENCES command_file (command_id) ON DELETE CASCADE
    )
    """,
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)


def downgrade() -> None:
    for table in ("command_piece", "command_file", "command"):
        op.execute(f"DROP TABLE {table}")
