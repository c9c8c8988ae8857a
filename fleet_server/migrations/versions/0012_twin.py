"""Desired and reported state of devices, groups, inherited settings."""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

TABLES = (
    """
    CREATE TABLE device_twin (
        device_id INTEGER NOT NULL,
        tenant TEXT NOT NULL,
        revision BIGINT DEFAULT 0 NOT NULL,
        tags JSONB DEFAULT '{}' NOT NULL,
        tags_at JSONB DEFAULT '{}' NOT NULL,
        own JSONB DEFAULT '{}' NOT NULL,
        own_at JSONB DEFAULT '{}' NOT NULL,
        desired JSONB DEFAULT '{}' NOT NULL,
        origin JSONB DEFAULT '{}' NOT NULL,
        desired_version BIGINT DEFAULT 0 NOT NULL,
        stale BOOLEAN DEFAULT true NOT NULL,
        acknowledged BIGINT DEFAULT 0 NOT NULL,
        acknowledged_desired JSONB,
        due_at TIMESTAMP WITH TIME ZONE,
        sendings INTEGER DEFAULT 0 NOT NULL,
        reported_at JSONB DEFAULT '{}' NOT NULL,
        acks JSONB DEFAULT '{}' NOT NULL,
        PRIMARY KEY (device_id),
        CONSTRAINT device_twin_device_fkey FOREIGN KEY(device_id) REFERENCES device (id)
    )
    """,
    "CREATE INDEX device_twin_due_idx ON device_twin (due_at) WHERE due_at IS NOT NULL",
    "CREATE INDEX device_twin_stale_idx ON device_twin (device_id) WHERE stale",
    "CREATE INDEX device_twin_tenant_idx ON device_twin (tenant)",
    """
    CREATE TABLE tenant_setting (
        tenant TEXT NOT NULL,
        revision BIGINT DEFAULT 0 NOT NULL,
        settings JSONB DEFAULT '{}' NOT NULL,
        settings_at JSONB DEFAULT '{}' NOT NULL,
        PRIMARY KEY (tenant)
    )
    """,
    """
    CREATE TABLE device_group (
        id INTEGER GENERATED ALWAYS AS IDENTITY,
        tenant TEXT NOT NULL,
        name TEXT NOT NULL,
        title TEXT DEFAULT '' NOT NULL,
        query TEXT,
        priority INTEGER DEFAULT 0 NOT NULL,
        revision BIGINT DEFAULT 0 NOT NULL,
        settings JSONB DEFAULT '{}' NOT NULL,
        settings_at JSONB DEFAULT '{}' NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        PRIMARY KEY (id),
        CONSTRAINT device_group_tenant_name_key UNIQUE (tenant, name)
    )
    """,
    """
    CREATE TABLE device_group_member (
        group_id INTEGER NOT NULL,
        device_id INTEGER NOT NULL,
        tenant TEXT NOT NULL,
        PRIMARY KEY (group_id, device_id),
        CONSTRAINT device_group_member_group_fkey FOREIGN KEY(group_id) REFERENCES device_group (id)
            ON DELETE CASCADE,
        CONSTRAINT device_group_member_device_fkey FOREIGN KEY(device_id) REFERENCES device (id)
    )
    """,
    "CREATE INDEX device_group_member_device_idx ON device_group_member (device_id)",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)


def downgrade() -> None:
    for table in ("device_group_member", "device_group", "tenant_setting", "device_twin"):
        op.execute(f"DROP TABLE {table}")
