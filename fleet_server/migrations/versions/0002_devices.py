"""Devices, their conditions, sensor units and series."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = (
    """
    CREATE TABLE device (
        id INTEGER GENERATED ALWAYS AS IDENTITY,
        tenant TEXT NOT NULL,
        name TEXT NOT NULL,
        state TEXT DEFAULT 'active' NOT NULL,
        site TEXT DEFAULT '' NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        presence TEXT DEFAULT 'never' NOT NULL,
        presence_session BIGINT,
        presence_at TIMESTAMP WITH TIME ZONE,
        last_seen_at TIMESTAMP WITH TIME ZONE,
        agent_version TEXT DEFAULT '' NOT NULL,
        clock_ok BOOLEAN,
        epoch BYTEA,
        settings JSONB DEFAULT '{}' NOT NULL,
        backlog JSONB DEFAULT '{}' NOT NULL,
        PRIMARY KEY (id),
        CONSTRAINT device_tenant_name_key UNIQUE (tenant, name)
    )
    """,
    """
    CREATE TABLE command_reply (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        device_id INTEGER NOT NULL,
        command TEXT NOT NULL,
        ok BOOLEAN NOT NULL,
        detail TEXT DEFAULT '' NOT NULL,
        replied_at TIMESTAMP WITH TIME ZONE NOT NULL,
        PRIMARY KEY (id),
        CONSTRAINT command_reply_device_fkey FOREIGN KEY(device_id) REFERENCES device (id)
    )
    """,
    """
    CREATE INDEX command_reply_command_idx ON command_reply (device_id, command)
    """,
    """
    CREATE TABLE device_condition (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        device_id INTEGER NOT NULL,
        code TEXT NOT NULL,
        subject TEXT DEFAULT '' NOT NULL,
        severity TEXT NOT NULL,
        detail TEXT DEFAULT '' NOT NULL,
        remedy TEXT DEFAULT '' NOT NULL,
        source TEXT DEFAULT 'device' NOT NULL,
        raised_at TIMESTAMP WITH TIME ZONE NOT NULL,
        cleared_at TIMESTAMP WITH TIME ZONE,
        PRIMARY KEY (id),
        CONSTRAINT device_condition_device_fkey FOREIGN KEY(device_id) REFERENCES device (id)
    )
    """,
    """
    CREATE UNIQUE INDEX device_condition_current_key ON device_condition (device_id, code, subject)
    WHERE cleared_at IS NULL
    """,
    """
    CREATE INDEX device_condition_device_idx ON device_condition (device_id, raised_at)
    """,
    """
    CREATE TABLE sensor_unit (
        id INTEGER GENERATED ALWAYS AS IDENTITY,
        device_id INTEGER NOT NULL,
        kind TEXT NOT NULL,
        serial TEXT DEFAULT '' NOT NULL,
        site TEXT DEFAULT '' NOT NULL,
        layout TEXT NOT NULL,
        declared_at TIMESTAMP WITH TIME ZONE NOT NULL,
        PRIMARY KEY (id),
        CONSTRAINT sensor_unit_identity_key UNIQUE (device_id, kind, serial, site, layout),
        CONSTRAINT sensor_unit_device_fkey FOREIGN KEY(device_id) REFERENCES device (id)
    )
    """,
    """
    CREATE TABLE series (
        id INTEGER GENERATED ALWAYS AS IDENTITY,
        sensor_unit_id INTEGER NOT NULL,
        slot SMALLINT NOT NULL,
        channel TEXT NOT NULL,
        unit TEXT NOT NULL,
        exponent SMALLINT NOT NULL,
        PRIMARY KEY (id),
        CONSTRAINT series_sensor_unit_slot_key UNIQUE (sensor_unit_id, slot),
        CONSTRAINT series_sensor_unit_fkey FOREIGN KEY(sensor_unit_id) REFERENCES sensor_unit (id)
    )
    """,
    """
    CREATE TABLE unit_key (
        device_id INTEGER NOT NULL,
        epoch BYTEA NOT NULL,
        key INTEGER NOT NULL,
        sensor_unit_id INTEGER NOT NULL,
        PRIMARY KEY (device_id, epoch, key),
        CONSTRAINT unit_key_device_fkey FOREIGN KEY(device_id) REFERENCES device (id),
        CONSTRAINT unit_key_sensor_unit_fkey FOREIGN KEY(sensor_unit_id) REFERENCES sensor_unit (id)
    )
    """,
    """
    CREATE INDEX unit_key_sensor_unit_idx ON unit_key (sensor_unit_id)
    """,
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)


def downgrade() -> None:
    for table in ["unit_key", "series", "sensor_unit", "device_condition", "command_reply", "device"]:
        op.execute(f"DROP TABLE {table}")
