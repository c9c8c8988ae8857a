"""Samples, the ledger of batches, rollups, latest values, tombstones, dead letters, verdicts."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLES = (
    """
    CREATE TABLE batch (
        device_id INTEGER NOT NULL,
        epoch BYTEA NOT NULL,
        class SMALLINT NOT NULL,
        sequence BIGINT NOT NULL,
        last BIGINT NOT NULL,
        samples INTEGER DEFAULT 0 NOT NULL,
        history BOOLEAN DEFAULT false NOT NULL,
        received_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
        PRIMARY KEY (device_id, epoch, class, sequence)
    )
    """,
    """
    CREATE INDEX batch_received_idx ON batch (received_at)
    """,
    """
    CREATE TABLE batch_cursor (
        device_id INTEGER NOT NULL,
        epoch BYTEA NOT NULL,
        class SMALLINT NOT NULL,
        prefix BIGINT DEFAULT 0 NOT NULL,
        batches BIGINT DEFAULT 0 NOT NULL,
        samples BIGINT DEFAULT 0 NOT NULL,
        PRIMARY KEY (device_id, epoch, class)
    )
    """,
    """
    CREATE TABLE ingest_counter (
        worker TEXT NOT NULL,
        name TEXT NOT NULL,
        value BIGINT DEFAULT 0 NOT NULL,
        PRIMARY KEY (worker, name)
    )
    """,
    """
    CREATE TABLE latest (
        series_id INTEGER NOT NULL,
        time TIMESTAMP WITH TIME ZONE NOT NULL,
        value INTEGER,
        flag SMALLINT NOT NULL,
        PRIMARY KEY (series_id)
    )
    """,
    """
    CREATE TABLE rollup_1d (
        series_id INTEGER NOT NULL,
        bucket TIMESTAMP WITH TIME ZONE NOT NULL,
        n INTEGER NOT NULL,
        sum BIGINT NOT NULL,
        min INTEGER,
        max INTEGER,
        flagged INTEGER NOT NULL,
        PRIMARY KEY (series_id, bucket)
    )
    """,
    """
    CREATE TABLE rollup_1h (
        series_id INTEGER NOT NULL,
        bucket TIMESTAMP WITH TIME ZONE NOT NULL,
        n INTEGER NOT NULL,
        sum BIGINT NOT NULL,
        min INTEGER,
        max INTEGER,
        flagged INTEGER NOT NULL,
        PRIMARY KEY (series_id, bucket)
    )
    """,
    """
    CREATE TABLE rollup_1m (
        series_id INTEGER NOT NULL,
        bucket TIMESTAMP WITH TIME ZONE NOT NULL,
        n INTEGER NOT NULL,
        sum BIGINT NOT NULL,
        min INTEGER,
        max INTEGER,
        flagged INTEGER NOT NULL,
        PRIMARY KEY (series_id, bucket)
    )
    """,
    """
    CREATE TABLE rollup_dirty (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        sensor_unit INTEGER NOT NULL,
        hour TIMESTAMP WITH TIME ZONE NOT NULL,
        PRIMARY KEY (id)
    )
    """,
    """
    CREATE INDEX rollup_dirty_unit_idx ON rollup_dirty (sensor_unit, hour)
    """,
    """
    CREATE TABLE sample (
        sensor_unit INTEGER NOT NULL,
        time TIMESTAMP WITH TIME ZONE NOT NULL,
        s0 INTEGER,
        s1 INTEGER,
        s2 INTEGER,
        s3 INTEGER,
        s4 INTEGER,
        s5 INTEGER,
        s6 INTEGER,
        s7 INTEGER,
        s8 INTEGER,
        s9 INTEGER,
        s10 INTEGER,
        s11 INTEGER,
        s12 INTEGER,
        s13 INTEGER,
        s14 INTEGER,
        s15 INTEGER,
        flags BIGINT NOT NULL,
        PRIMARY KEY (sensor_unit, time)
    )
    """,
    """
    CREATE TABLE dead_letter (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        device_id INTEGER,
        topic TEXT NOT NULL,
        epoch BYTEA,
        class SMALLINT,
        sequence BIGINT,
        content_hash BYTEA NOT NULL,
        payload BYTEA NOT NULL,
        properties JSONB DEFAULT '[]' NOT NULL,
        reason TEXT NOT NULL,
        detail TEXT DEFAULT '' NOT NULL,
        missing_unit INTEGER,
        received_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
        attempts INTEGER DEFAULT 0 NOT NULL,
        replayed_at TIMESTAMP WITH TIME ZONE,
        PRIMARY KEY (id),
        CONSTRAINT dead_letter_device_fkey FOREIGN KEY(device_id) REFERENCES device (id)
    )
    """,
    """
    CREATE INDEX dead_letter_device_idx ON dead_letter (device_id, id)
    """,
    """
    CREATE UNIQUE INDEX dead_letter_hash_key ON dead_letter (content_hash) WHERE sequence IS NULL
    """,
    """
    CREATE INDEX dead_letter_open_idx ON dead_letter (reason, id) WHERE replayed_at IS NULL
    """,
    """
    CREATE TABLE tombstone (
        device_id INTEGER NOT NULL,
        epoch BYTEA NOT NULL,
        class SMALLINT NOT NULL,
        first BIGINT NOT NULL,
        last BIGINT NOT NULL,
        reason TEXT NOT NULL,
        samples INTEGER NOT NULL,
        begins TIMESTAMP WITH TIME ZONE,
        ends TIMESTAMP WITH TIME ZONE,
        received_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
        PRIMARY KEY (device_id, epoch, class, first, last),
        CONSTRAINT tombstone_device_fkey FOREIGN KEY(device_id) REFERENCES device (id)
    )
    """,
    """
    CREATE TABLE verdict (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        device_id INTEGER NOT NULL,
        sensor_unit INTEGER NOT NULL,
        time TIMESTAMP WITH TIME ZONE NOT NULL,
        kind TEXT NOT NULL,
        score FLOAT NOT NULL,
        confidence FLOAT NOT NULL,
        reason TEXT NOT NULL,
        model TEXT NOT NULL,
        input_hash BYTEA NOT NULL,
        PRIMARY KEY (id),
        CONSTRAINT verdict_device_fkey FOREIGN KEY(device_id) REFERENCES device (id)
    )
    """,
    """
    CREATE INDEX verdict_unit_idx ON verdict (sensor_unit, time)
    """,
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)


def downgrade() -> None:
    for table in [
        "verdict",
        "tombstone",
        "dead_letter",
        "sample",
        "rollup_dirty",
        "rollup_1m",
        "rollup_1h",
        "rollup_1d",
        "latest",
        "ingest_counter",
        "batch_cursor",
        "batch",
    ]:
        op.execute(f"DROP TABLE {table}")
