"""Claims, enrolments and the certificates that came of them."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLES = (
    """
    CREATE TABLE claim (
        id TEXT NOT NULL,
        secret_hash BYTEA NOT NULL,
        bound BOOLEAN NOT NULL,
        replaces BOOLEAN NOT NULL,
        created_by TEXT NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        PRIMARY KEY (id)
    )
    """,
    """
    CREATE TABLE enrolment (
        id INTEGER GENERATED ALWAYS AS IDENTITY,
        claim_id TEXT NOT NULL,
        state TEXT NOT NULL,
        tenant TEXT NOT NULL,
        device TEXT,
        site TEXT DEFAULT '' NOT NULL,
        key_fingerprint TEXT DEFAULT '' NOT NULL,
        csr BYTEA,
        requested_at TIMESTAMP WITH TIME ZONE,
        expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
        decided_by TEXT DEFAULT '' NOT NULL,
        decided_at TIMESTAMP WITH TIME ZONE,
        reason TEXT DEFAULT '' NOT NULL,
        chain_pem TEXT DEFAULT '' NOT NULL,
        PRIMARY KEY (id),
        CONSTRAINT enrolment_claim_key UNIQUE (claim_id),
        CONSTRAINT enrolment_claim_fkey FOREIGN KEY(claim_id) REFERENCES claim (id)
    )
    """,
    """
    CREATE UNIQUE INDEX enrolment_open_name_key ON enrolment (tenant, device)
    WHERE state IN ('claimed', 'pending', 'accepted')
    """,
    """
    CREATE INDEX enrolment_due_idx ON enrolment (expires_at) WHERE state IN ('claimed', 'pending')
    """,
    """
    CREATE TABLE certificate (
        serial TEXT NOT NULL,
        tenant TEXT NOT NULL,
        device TEXT NOT NULL,
        key_fingerprint TEXT NOT NULL,
        issued_at TIMESTAMP WITH TIME ZONE NOT NULL,
        not_after TIMESTAMP WITH TIME ZONE NOT NULL,
        revoked_at TIMESTAMP WITH TIME ZONE,
        PRIMARY KEY (serial)
    )
    """,
    """
    CREATE INDEX certificate_device_idx ON certificate (tenant, device)
    """,
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)


def downgrade() -> None:
    for table in ("certificate", "enrolment", "claim"):
        op.execute(f"DROP TABLE {table}")
