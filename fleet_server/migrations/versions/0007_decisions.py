"""Incidents, and on each verdict when it came and whether it has been decided on."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

VERDICT_COLUMNS = {
    "received_at": "TIMESTAMP WITH TIME ZONE",
    "history": "BOOLEAN DEFAULT false NOT NULL",
    "decided_at": "TIMESTAMP WITH TIME ZONE",
}
TABLES = (
    """
    CREATE INDEX verdict_undecided_idx ON verdict (id) WHERE decided_at IS NULL
    """,
    """
    CREATE INDEX verdict_device_idx ON verdict (device_id, id)
    """,
    """
    CREATE TABLE incident (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        tenant TEXT NOT NULL,
        kind TEXT NOT NULL,
        state TEXT NOT NULL,
        severity TEXT NOT NULL,
        title TEXT NOT NULL,
        district TEXT DEFAULT '' NOT NULL,
        opened_at TIMESTAMP WITH TIME ZONE NOT NULL,
        first_verdict_at TIMESTAMP WITH TIME ZONE NOT NULL,
        last_verdict_at TIMESTAMP WITH TIME ZONE NOT NULL,
        closed_at TIMESTAMP WITH TIME ZONE,
        close_reason TEXT DEFAULT '' NOT NULL,
        closed_by TEXT DEFAULT '' NOT NULL,
        acknowledged_by TEXT DEFAULT '' NOT NULL,
        acknowledged_at TIMESTAMP WITH TIME ZONE,
        silenced_until TIMESTAMP WITH TIME ZONE,
        merged_into BIGINT,
        late BOOLEAN DEFAULT false NOT NULL,
        devices INTEGER NOT NULL,
        peak_score FLOAT NOT NULL,
        version INTEGER DEFAULT 1 NOT NULL,
        PRIMARY KEY (id),
        CONSTRAINT incident_merged_fkey FOREIGN KEY(merged_into) REFERENCES incident (id)
    )
    """,
    """
    CREATE INDEX incident_tenant_idx ON incident (tenant, id)
    """,
    """
    CREATE INDEX incident_open_idx ON incident (last_verdict_at) WHERE state = 'open'
    """,
    """
    CREATE INDEX incident_span_idx ON incident (tenant, last_verdict_at)
    """,
    """
    CREATE TABLE incident_member (
        incident_id BIGINT NOT NULL,
        device_id INTEGER NOT NULL,
        sensor_unit INTEGER NOT NULL,
        first_at TIMESTAMP WITH TIME ZONE NOT NULL,
        last_at TIMESTAMP WITH TIME ZONE NOT NULL,
        over_at TIMESTAMP WITH TIME ZONE,
        fault_at TIMESTAMP WITH TIME ZONE,
        fault TEXT DEFAULT '' NOT NULL,
        peak_score FLOAT NOT NULL,
        peak_level SMALLINT DEFAULT 0 NOT NULL,
        verdicts INTEGER NOT NULL,
        live_at TIMESTAMP WITH TIME ZONE,
        PRIMARY KEY (incident_id, device_id, sensor_unit),
        CONSTRAINT incident_member_incident_fkey FOREIGN KEY(incident_id) REFERENCES incident (id),
        CONSTRAINT incident_member_device_fkey FOREIGN KEY(device_id) REFERENCES device (id)
    )
    """,
    """
    CREATE INDEX incident_member_device_idx ON incident_member (device_id)
    """,
    """
    CREATE TABLE incident_verdict (
        verdict_id BIGINT NOT NULL,
        incident_id BIGINT NOT NULL,
        PRIMARY KEY (verdict_id),
        CONSTRAINT incident_verdict_verdict_fkey FOREIGN KEY(verdict_id) REFERENCES verdict (id),
        CONSTRAINT incident_verdict_incident_fkey FOREIGN KEY(incident_id) REFERENCES incident (id)
    )
    """,
    """
    CREATE INDEX incident_verdict_incident_idx ON incident_verdict (incident_id, verdict_id)
    """,
    """
    CREATE TABLE incident_event (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        incident_id BIGINT NOT NULL,
        at TIMESTAMP WITH TIME ZONE NOT NULL,
        by TEXT NOT NULL,
        what TEXT NOT NULL,
        text TEXT DEFAULT '' NOT NULL,
        told BOOLEAN NOT NULL,
        PRIMARY KEY (id),
        CONSTRAINT incident_event_incident_fkey FOREIGN KEY(incident_id) REFERENCES incident (id)
    )
    """,
    """
    CREATE INDEX incident_event_incident_idx ON incident_event (incident_id, id)
    """,
    """
    CREATE TABLE decision_counter (
        name TEXT NOT NULL,
        value BIGINT DEFAULT 0 NOT NULL,
        PRIMARY KEY (name)
    )
    """,
)


def upgrade() -> None:
    for name, kind in VERDICT_COLUMNS.items():
        op.execute(f"ALTER TABLE verdict ADD COLUMN {name} {kind}")
    for statement in TABLES:
        op.execute(statement)


def downgrade() -> None:
    for table in ("decision_counter", "incident_event", "incident_verdict", "incident_member", "incident"):
        op.execute(f"DROP TABLE {table}")
    for index in ("verdict_device_idx", "verdict_undecided_idx"):
        op.execute(f"DROP INDEX {index}")
    for name in VERDICT_COLUMNS:
        op.execute(f"ALTER TABLE verdict DROP COLUMN {name}")
